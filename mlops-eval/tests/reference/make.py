#!/usr/bin/env python3
"""Writes classification.json and fairness.json beside this file.

The inputs are made here and stored with the results, so that the tests need no Python. Values that a tool does not define
(NaN) are stored as null. Run with: pip install scikit-learn==1.9.1 fairlearn==0.15.0 && python make.py
"""
import json
import math
import pathlib
import random
import sys
import warnings

import fairlearn
import fairlearn.metrics as fm
import numpy as np
import scipy
import sklearn
import sklearn.metrics as skm
from scipy.stats import binomtest

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
VERSIONS = {
    "python": sys.version.split()[0],
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "scikit-learn": sklearn.__version__,
    "fairlearn": fairlearn.__version__,
}


def number(value):
    value = float(value)
    return None if math.isnan(value) else value


def bools(values):
    return [bool(v) for v in values]


def write(name, cases):
    text = json.dumps({"versions": VERSIONS, "cases": cases}, indent=None, allow_nan=False, separators=(",", ":"))
    # One case per line keeps differences readable.
    text = text.replace('{"name"', '\n{"name"')
    (HERE / name).write_text(text + "\n")


def binary_inputs():
    rng = random.Random(20260101)
    yield "separated", [0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.9]
    yield "inverted", [1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]
    yield "all scores tied", [0, 1, 1, 0, 1], [0.5] * 5
    yield "ties across classes", [0, 1, 0, 1, 1, 0, 1, 0], [0.2, 0.2, 0.4, 0.4, 0.4, 0.6, 0.6, 0.8]
    yield "only positives", [1, 1, 1], [0.2, 0.7, 0.9]
    yield "only negatives", [0, 0, 0], [0.2, 0.7, 0.9]
    yield "nothing predicted positive", [1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4]
    yield "everything predicted positive", [1, 0, 1, 0], [0.6, 0.7, 0.8, 0.9]
    yield "never right", [1, 0, 1, 0], [0.1, 0.9, 0.2, 0.8]
    yield "one row", [1], [0.9]
    yield "certain and right", [1, 0, 1], [1.0, 0.0, 1.0]
    yield "certain and wrong", [1, 0, 1, 0], [0.0, 1.0, 1.0, 0.0]
    yield "extreme probabilities", [1, 0, 1, 0, 1, 0], [1e-300, 1e-17, 1 - 1e-16, 1 - 1e-12, 5e-324, 1e-9]
    n = 3000
    y = [int(rng.random() < 0.01) for _ in range(n)]
    yield "one positive in a hundred", y, [min(1.0, max(0.0, rng.gauss(0.3 + 0.25 * t, 0.15))) for t in y]
    y = [int(rng.random() < 0.4) for _ in range(n)]
    yield "many rows on a grid of scores", y, [round(min(1.0, max(0.0, rng.gauss(0.4 + 0.2 * t, 0.2))), 2) for t in y]


LABELS = {
    "accuracy": lambda t, p, w: skm.accuracy_score(t, p, sample_weight=w),
    "precision": lambda t, p, w: skm.precision_score(t, p, sample_weight=w, zero_division=np.nan),
    "recall": lambda t, p, w: skm.recall_score(t, p, sample_weight=w, zero_division=np.nan),
    "f1": lambda t, p, w: skm.f1_score(t, p, sample_weight=w, zero_division=np.nan),
    "jaccard": lambda t, p, w: skm.jaccard_score(t, p, sample_weight=w),
    "specificity": lambda t, p, w: skm.recall_score(t, p, pos_label=0, sample_weight=w, zero_division=np.nan),
    "negative_predictive_value": lambda t, p, w: skm.precision_score(t, p, pos_label=0, sample_weight=w, zero_division=np.nan),
    "false_positive_rate": lambda t, p, w: 1 - skm.recall_score(t, p, pos_label=0, sample_weight=w, zero_division=np.nan),
    "false_negative_rate": lambda t, p, w: 1 - skm.recall_score(t, p, sample_weight=w, zero_division=np.nan),
    "false_discovery_rate": lambda t, p, w: 1 - skm.precision_score(t, p, sample_weight=w, zero_division=np.nan),
    "false_omission_rate": lambda t, p, w: 1 - skm.precision_score(t, p, pos_label=0, sample_weight=w, zero_division=np.nan),
    "selection_rate": lambda t, p, w: fm.selection_rate(t, p, sample_weight=w),
    "mcc": lambda t, p, w: skm.matthews_corrcoef(t, p, sample_weight=w),
    "balanced_accuracy": lambda t, p, w: skm.balanced_accuracy_score(t, p, sample_weight=w),
}
ZERO = {
    "precision": lambda t, p, w, z: skm.precision_score(t, p, sample_weight=w, zero_division=z),
    "recall": lambda t, p, w, z: skm.recall_score(t, p, sample_weight=w, zero_division=z),
    "f1": lambda t, p, w, z: skm.f1_score(t, p, sample_weight=w, zero_division=z),
    "jaccard": lambda t, p, w, z: skm.jaccard_score(t, p, sample_weight=w, zero_division=z),
}


def weights_for(n, seed):
    rng = random.Random(seed)
    return [rng.choice([0.0, 0.25, 1.0, 3.5]) if n > 6 else rng.uniform(0.1, 4.0) for _ in range(n)]


def binary_case(name, y, s, w):
    t = np.array(y)
    p = (np.array(s) >= 0.5).astype(int)
    kept = t if w is None else t[np.array(w) > 0]
    labels = {m: number(f(t, p, w)) for m, f in LABELS.items()}
    if len(set(kept)) < 2:
        # One class: scikit-learn averages what is left; there is nothing to balance and no correlation.
        labels["balanced_accuracy"] = None
    cm = skm.confusion_matrix(t, p, sample_weight=w, labels=[0, 1])
    if (cm.sum(axis=0) == 0).any() or (cm.sum(axis=1) == 0).any():
        labels["mcc"] = None  # scikit-learn returns 0
    if cm[0, 1] + cm[1, 0] + cm[1, 1] == 0:
        labels["jaccard"] = None  # scikit-learn returns 0
    scores = {
        "roc_auc": number(skm.roc_auc_score(t, s, sample_weight=w)),
        "log_loss": number(skm.log_loss(t, s, sample_weight=w, labels=[0, 1])),
        "brier": number(skm.brier_score_loss(t, s, sample_weight=w, pos_label=1) if len(set(t)) == 2
                        else np.average((np.array(s) - t) ** 2, weights=w)),
    }
    fpr, tpr, thresholds = skm.roc_curve(t, s, sample_weight=w, drop_intermediate=False)
    curve = None
    if len(y) <= 20:
        curve = {
            "thresholds": [None if math.isinf(x) else float(x) for x in thresholds],
            "fpr": [number(x) for x in fpr],
            "tpr": [number(x) for x in tpr],
        }
    return {
        "name": name,
        "kind": "binary",
        "y_true": bools(y),
        "y_pred": bools(p),
        "scores": s,
        "weights": w,
        "metrics": labels | scores,
        "f_beta": {b: number(skm.fbeta_score(t, p, beta=float(b), sample_weight=w, zero_division=np.nan)) for b in ("0.5", "2")},
        "zero_division": {
            m: {"zero": number(f(t, p, w, 0)), "one": number(f(t, p, w, 1))} for m, f in ZERO.items()
        } | {"mcc": {"zero": number(skm.matthews_corrcoef(t, p, sample_weight=w))}},
        "curve": curve,
    }


def multiclass_case(name, y, p, classes, w):
    t, q = np.array(y), np.array(p)
    values = {
        "accuracy": number(skm.accuracy_score(t, q, sample_weight=w)),
        "balanced_accuracy": number(skm.balanced_accuracy_score(t, q, sample_weight=w)),
        "mcc": number(skm.matthews_corrcoef(t, q, sample_weight=w)),
    }
    averages = {
        average: {
            "precision": number(skm.precision_score(t, q, sample_weight=w, average=average, zero_division=0)),
            "recall": number(skm.recall_score(t, q, sample_weight=w, average=average, zero_division=0)),
            "f1": number(skm.f1_score(t, q, sample_weight=w, average=average, zero_division=0)),
            "jaccard": number(skm.jaccard_score(t, q, sample_weight=w, average=average, zero_division=0)),
        }
        for average in ("macro", "micro", "weighted")
    }
    return {"name": name, "kind": "multiclass", "y_true": y, "y_pred": p, "classes": classes, "weights": w,
            "metrics": values, "averages": averages}


def classification():
    cases = []
    for i, (name, y, s) in enumerate(binary_inputs()):
        cases.append(binary_case(name, y, s, None))
        cases.append(binary_case(name + ", weighted", y, s, weights_for(len(y), i)))
    rng = random.Random(7)
    y = [rng.randrange(4) for _ in range(300)]
    p = [t if rng.random() < 0.6 else rng.randrange(4) for t in y]
    sets = [("four classes", y, p, 4), ("a class is never predicted", [0, 1, 2, 2, 1], [0, 1, 1, 0, 1], 3),
            ("a class is only predicted", [0, 1, 1, 0, 1], [0, 1, 2, 0, 2], 5)]
    for i, (name, y, p, k) in enumerate(sets):
        cases.append(multiclass_case(name, y, p, k, None))
        w = [random.Random(i * 1000 + j).uniform(0.1, 3.0) for j in range(len(y))]
        cases.append(multiclass_case(name + ", weighted", y, p, k, w))
    for k, n in [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (5, 1000), (999, 1000), (500000, 1000000)]:
        for confidence in (0.5, 0.9, 0.95, 0.999):
            ci = binomtest(k, n).proportion_ci(confidence, method="wilson")
            cases.append({"name": f"Wilson {k}/{n} at {confidence}", "kind": "wilson", "successes": k, "trials": n,
                          "confidence": confidence, "lower": float(ci.low), "upper": float(ci.high)})
    write("classification.json", cases)


def fairness_case(name, y, p, features, w):
    t, q = np.array(y), np.array(p)
    columns = {f["name"]: np.array([f["categories"][c] for c in f["codes"]]) for f in features}
    import pandas as pd

    sf = pd.DataFrame(columns)
    params = {} if w is None else {"sample_weight": np.array(w)}
    rates = {"selection_rate": fm.selection_rate, "recall": fm.true_positive_rate,
             "false_positive_rate": fm.false_positive_rate, "false_negative_rate": fm.false_negative_rate,
             "specificity": fm.true_negative_rate, "accuracy": skm.accuracy_score}
    frame = fm.MetricFrame(metrics=rates, y_true=t, y_pred=q, sensitive_features=sf,
                           sample_params={m: params for m in rates})
    groups = []
    for key, row in frame.by_group.iterrows():
        key = key if isinstance(key, tuple) else (key,)
        groups.append({"key": list(key), "values": {m: number(row[m]) for m in rates}})
    comparisons = {}
    for method in ("between_groups", "to_overall"):
        difference, ratio = frame.difference(method=method), frame.ratio(method=method)
        values = {
            "difference": {m: number(difference[m]) for m in rates},
            "ratio": {m: number(ratio[m]) for m in rates},
        }
        arguments = {"sensitive_features": sf, "method": method, "sample_weight": w}
        for f in ("demographic_parity_difference", "demographic_parity_ratio",
                  "equal_opportunity_difference", "equal_opportunity_ratio"):
            values[f] = number(getattr(fm, f)(t, q, **arguments))
        for f in ("equalized_odds_difference", "equalized_odds_ratio"):
            for agg in ("worst_case", "mean"):
                values[f"{f}_{agg}"] = number(getattr(fm, f)(t, q, agg=agg, **arguments))
        comparisons[method] = values
    return {"name": name, "y_true": bools(y), "y_pred": bools(p), "features": features, "weights": w,
            "overall": {m: number(frame.overall[m]) for m in rates}, "groups": groups, "comparisons": comparisons}


def fairness():
    rng = random.Random(5)
    n = 600
    region = {"name": "region", "categories": ["east", "north", "west"], "codes": [rng.randrange(3) for _ in range(n)]}
    sex = {"name": "sex", "categories": ["female", "male"], "codes": [rng.randrange(2) for _ in range(n)]}
    y = [int(rng.random() < 0.3 + 0.1 * r) for r in region["codes"]]
    p = [int(rng.random() < (0.7 if t else 0.2) + 0.1 * s) for t, s in zip(y, sex["codes"])]
    w = [rng.uniform(0.2, 3.0) for _ in range(n)]
    small = {"name": "group", "categories": ["a", "b"], "codes": [0, 0, 0, 1, 1, 1]}
    gap_a = {"name": "x", "categories": ["p", "q"], "codes": [0, 0, 1, 1, 0, 1]}
    gap_b = {"name": "y", "categories": ["u", "v", "z"], "codes": [0, 1, 0, 0, 2, 2]}
    lone = {"name": "group", "categories": ["a"], "codes": [0] * 6}
    cases = [
        fairness_case("three regions", y, p, [region], None),
        fairness_case("three regions, weighted", y, p, [region], w),
        fairness_case("three regions by two sexes", y, p, [region, sex], None),
        fairness_case("three regions by two sexes, weighted", y, p, [region, sex], w),
        fairness_case("a group without positives", [1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 1], [small], None),
        fairness_case("a group without negatives", [1, 1, 0, 1, 1, 1], [1, 0, 1, 1, 0, 1], [small], None),
        fairness_case("nobody selected", [1, 1, 0, 1, 0, 0], [0] * 6, [small], None),
        fairness_case("perfect predictions", [1, 1, 0, 1, 0, 0], [1, 1, 0, 1, 0, 0], [small], None),
        fairness_case("combinations nobody belongs to", [1, 0, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1], [gap_a, gap_b], None),
        fairness_case("a single group", [1, 1, 0, 1, 0, 0], [1, 0, 1, 1, 0, 0], [lone], None),
    ]
    write("fairness.json", cases)


if __name__ == "__main__":
    classification()
    fairness()
