"""Writes the reference values that tests/performance.rs holds performance with and without labels against.

    python3.11 -m venv venv && venv/bin/pip install nannyml==0.13.0
    NML_DISABLE_USAGE_LOGGING=1 venv/bin/python mlops-drift/tests/reference/performance.py

Inputs are written out in full, scores in millionths so that both sides read the same doubles. No two scores are equal, because
NannyML's AUROC and average precision depend on the order of ties.
"""
import json
import os
import pathlib
import warnings

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.filterwarnings("ignore")

import nannyml
import numpy
import pandas
import sklearn
from nannyml.calibration import IsotonicCalibrator, needs_calibration
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

HERE = pathlib.Path(__file__).parent
rng = numpy.random.default_rng(20260707)
BINARY = ["accuracy", "precision", "recall", "f1", "specificity", "roc_auc", "average_precision"]
MULTICLASS = ["accuracy", "precision", "recall", "f1", "specificity", "roc_auc"]
REGRESSION = ["mae", "mape", "mse", "rmse", "msle", "rmsle"]


def distinct(values):
    """Millionths, no two alike."""
    seen, out = set(), []
    for value in values:
        ppm = int(round(value * 1e6))
        while ppm in seen or not 0 < ppm < 1_000_000:
            ppm = int(rng.integers(1, 1_000_000))
        seen.add(ppm)
        out.append(ppm)
    return numpy.array(out)


def bits(flags):
    return "".join(str(int(flag)) for flag in flags)


def records(result, names, kinds):
    """The columns of a NannyML result by chunk: {metric: {kind: [...]}}."""
    frame = result.to_df()
    out = {}
    for name in names:
        out[name] = {kind: [float(v) for v in frame[(name, kind)]] for kind in kinds}
    return out


def exact_areas(calibrated, raw):
    """NannyML's AUROC and average precision without rounding to five decimals."""
    p = calibrated[numpy.argsort(-raw)]
    tps, fps = numpy.cumsum(p), numpy.cumsum(1 - p)
    tps, fps = numpy.r_[0, tps], numpy.r_[0, fps]
    auroc = numpy.trapezoid(tps / tps[-1], fps / fps[-1])
    precision = tps[1:] / numpy.arange(1, len(p) + 1)
    return float(auroc), float(numpy.sum(numpy.diff(tps / tps[-1]) * precision))


def binary(name, truth_of):
    ref = distinct(rng.beta(1.1, 1.3, 1500))
    new = distinct(numpy.r_[rng.beta(1.1, 1.3, 400), rng.beta(3, 3, 400)])
    score = lambda ppm: ppm / 1e6
    y_ref = (rng.random(len(ref)) < truth_of(score(ref))).astype(int)
    y_new = (rng.random(len(new)) < truth_of(score(new))).astype(int)
    frame = lambda ppm, y: pandas.DataFrame({"p": score(ppm), "pred": (score(ppm) >= 0.4).astype(int), "y": y})
    estimator = nannyml.CBPE(metrics=BINARY, y_pred_proba="p", y_pred="pred", y_true="y",
                             problem_type="classification_binary", chunk_size=400)
    reference, current = frame(ref, y_ref), frame(new, y_new)
    # Reference chunks of 300 rows set the bands; the chunks of the current data have 400.
    estimator.chunker = nannyml.chunk.SizeBasedChunker(300)
    for metric in estimator.metrics:
        metric.chunker = nannyml.chunk.SizeBasedChunker(300)
    estimator.fit(reference)
    estimator.chunker = nannyml.chunk.SizeBasedChunker(400)
    result = estimator.estimate(current).filter(period="analysis")
    kinds = ["value", "sampling_error", "realized", "upper_threshold", "lower_threshold"]
    chunks = [slice(0, 400), slice(400, 800)]
    curve = IsotonicRegression(out_of_bounds="clip").fit(score(ref), y_ref) if estimator.needs_calibration else None
    calibrated = curve.predict(score(new)) if curve is not None else score(new)
    realised = []
    for chunk in chunks:
        p, y = score(new)[chunk], y_new[chunk]
        realised.append({"log_loss": float(metrics.log_loss(y, p)), "brier": float(metrics.brier_score_loss(y, p))})
    return {
        "name": name, "tool": f"nannyml {nannyml.__version__}, scikit-learn {sklearn.__version__}",
        "reference": ref.tolist(), "reference_truth": bits(y_ref), "current": new.tolist(), "current_truth": bits(y_new),
        "threshold": 0.4, "calibrated": bool(estimator.needs_calibration),
        "metrics": records(result, BINARY, kinds),
        "exact_auroc_ap": [exact_areas(calibrated[c], score(new)[c]) for c in chunks],
        "realised": realised,
    }


def multiclass():
    def draw(n, tilt):
        rows, seen = [], [set(), set(), set()]
        while len(rows) < n:
            first, second, _ = (rng.dirichlet([1.2, 1.0 + tilt, 0.8]) * 1e6).round().astype(int)
            row = [int(first), int(second), int(1_000_000 - first - second)]
            if min(row) > 0 and not any(score in known for score, known in zip(row, seen)):
                rows.append(row)
                for score, known in zip(row, seen):
                    known.add(score)
        scores = numpy.array(rows)
        # Truth follows sharpened scores: the model is not confident enough.
        sharp = (scores / 1e6) ** 1.7
        sharp /= sharp.sum(axis=1, keepdims=True)
        truth = numpy.array([rng.choice(3, p=row) for row in sharp])
        return scores, truth
    (ref, y_ref), (new, y_new) = draw(1200, 0.0), draw(400, 1.0)
    def frame(ppm, y):
        data = {f"p{k}": ppm[:, k] / 1e6 for k in range(3)}
        # Strings, as NannyML sorts the names of the classes.
        data["pred"] = [str(k) for k in ppm.argmax(axis=1)]
        data["y"] = [str(k) for k in y]
        return pandas.DataFrame(data)
    estimator = nannyml.CBPE(metrics=MULTICLASS, y_pred_proba={str(k): f"p{k}" for k in range(3)}, y_pred="pred",
                             y_true="y", problem_type="classification_multiclass", chunk_size=400)
    estimator.fit(frame(ref, y_ref))
    result = estimator.estimate(frame(new, y_new)).filter(period="analysis")
    kinds = ["value", "sampling_error", "realized", "upper_threshold", "lower_threshold"]
    calibrated = [bool(needs_calibration((y_ref == k).astype(int), ref[:, k] / 1e6, IsotonicCalibrator())) for k in range(3)]
    return {
        "tool": f"nannyml {nannyml.__version__}", "reference": ref.ravel().tolist(), "current": new.ravel().tolist(),
        "reference_truth": "".join(map(str, y_ref)), "current_truth": "".join(map(str, y_new)),
        "calibrated": calibrated, "metrics": records(result, MULTICLASS, kinds),
    }


def regression():
    def draw(n, low, high):
        x = numpy.round(rng.uniform(low, high, n), 3)
        z = numpy.round(rng.normal(size=n), 3)
        predicted = numpy.round(3 * x, 3)
        truth = numpy.round(predicted + rng.normal(size=n) * (0.2 + 0.5 * x), 3)
        keep = (truth > 0.05) & (predicted > 0.05)
        return pandas.DataFrame({"x": x, "z": z, "pred": predicted, "y": truth})[keep].reset_index(drop=True)
    reference, current = draw(1250, 0.5, 3.0).iloc[:1200], draw(420, 1.5, 3.0).iloc[:400]
    estimator = nannyml.DLE(feature_column_names=["x", "z"], y_pred="pred", y_true="y", metrics=REGRESSION, chunk_size=400)
    estimator.fit(reference)
    result = estimator.estimate(current).filter(period="analysis")
    kinds = ["value", "sampling_error", "upper_threshold", "lower_threshold"]
    y, p = current["y"], current["pred"]
    realised = {
        "mae": metrics.mean_absolute_error(y, p), "mape": metrics.mean_absolute_percentage_error(y, p),
        "mse": metrics.mean_squared_error(y, p), "rmse": metrics.root_mean_squared_error(y, p),
        "msle": metrics.mean_squared_log_error(y, p), "rmsle": metrics.root_mean_squared_log_error(y, p),
    }
    rows = lambda frame: {key: frame[key].tolist() for key in ["x", "z", "pred", "y"]}
    return {
        "tool": f"nannyml {nannyml.__version__}, scikit-learn {sklearn.__version__}", "reference": rows(reference),
        "current": rows(current), "metrics": records(result, REGRESSION, kinds),
        "realised": {key: float(value) for key, value in realised.items()},
    }


def isotonic():
    x = rng.integers(0, 60, 250) / 60
    y = (rng.random(250) < x).astype(float)
    curve = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    at = numpy.r_[-1.0, 0.0, 1.0, 2.0, rng.random(60)]
    return {"tool": f"scikit-learn {sklearn.__version__}", "x": x.tolist(), "y": y.tolist(), "at": at.tolist(),
            "value": curve.predict(at).tolist()}


def scored():
    """Realised metrics with heavy ties, by scikit-learn."""
    scores = rng.integers(0, 21, 300) / 20
    truth = (rng.random(300) < scores * 0.8 + 0.1).astype(int)
    predicted = (scores > 0.5).astype(int)
    k = rng.integers(0, 4, (3, 300))
    scores4 = rng.integers(0, 11, (300, 4)) + 1
    truth4, predicted4 = k[0], numpy.where(k[1] > 0, k[0], k[2])
    p4 = scores4 / scores4.sum(axis=1, keepdims=True)
    binary = {
        "accuracy": metrics.accuracy_score(truth, predicted), "precision": metrics.precision_score(truth, predicted),
        "recall": metrics.recall_score(truth, predicted), "f1": metrics.f1_score(truth, predicted),
        "specificity": metrics.recall_score(truth, predicted, pos_label=0), "auroc": metrics.roc_auc_score(truth, scores),
        "average_precision": metrics.average_precision_score(truth, scores), "log_loss": metrics.log_loss(truth, scores),
        "brier": metrics.brier_score_loss(truth, scores),
    }
    many = {
        "accuracy": metrics.accuracy_score(truth4, predicted4),
        "precision": metrics.precision_score(truth4, predicted4, average="macro"),
        "recall": metrics.recall_score(truth4, predicted4, average="macro"),
        "f1": metrics.f1_score(truth4, predicted4, average="macro"),
        "auroc": metrics.roc_auc_score(truth4, p4, multi_class="ovr", average="macro"),
        "log_loss": metrics.log_loss(truth4, p4),
        "brier": metrics.brier_score_loss(truth4, p4, scale_by_half=False),
    }
    number = lambda found: {key: float(value) for key, value in found.items()}
    return {
        "tool": f"scikit-learn {sklearn.__version__}", "scores": scores.tolist(), "truth": bits(truth),
        "predicted": bits(predicted), "binary": number(binary), "weights4": scores4.ravel().tolist(),
        "truth4": "".join(map(str, truth4)), "predicted4": "".join(map(str, predicted4)), "multiclass": number(many),
    }


cases = {
    "binary": [binary("calibrated scores", lambda p: p), binary("cubed scores", lambda p: p ** 2.2)],
    "multiclass": multiclass(),
    "regression": regression(),
    "isotonic": isotonic(),
    "scored": scored(),
}
text = json.dumps(cases, allow_nan=False, separators=(",", ":"))
(HERE / "performance.json").write_text(text.replace('},{"name"', '},\n{"name"').replace(',"multiclass":{"tool"', ',\n"multiclass":{"tool"').replace(',"regression"', ',\n"regression"') + "\n")
print(len(text), [case["calibrated"] for case in cases["binary"]], cases["multiclass"]["calibrated"])
