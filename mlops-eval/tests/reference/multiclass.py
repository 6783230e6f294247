#!/usr/bin/env python3
"""Writes multiclass.json beside this file: what a report of several classes has, by scikit-learn 1.9.1 and Fairlearn 0.15.0,
and what SciPy says of two models.

The rows are made here and stored with the results, so that the test needs no Python. Values that a tool does not define, or sets
to 0 with a warning, are stored as null. Run with: pip install scikit-learn==1.9.1 fairlearn==0.15.0 scipy==1.17.1 && python multiclass.py
"""
import json
import math
import pathlib
import warnings

import fairlearn
import fairlearn.metrics as fm
import numpy as np
import scipy
import scipy.stats
import sklearn
import sklearn.metrics as skm

HERE = pathlib.Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__,
            "fairlearn": fairlearn.__version__}


def defined(call, *args, **kwargs):
    """The value; null where the tool raises, warns that there is none, or returns NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            value = float(call(*args, **kwargs))
        except (ValueError, Warning):
            return None
    return value if math.isfinite(value) else None


def bins_error(correct, confidence):
    """Expected calibration error of ten bins of equal width, the first left-closed: by definition."""
    edges = np.linspace(0.0, 1.0, 11)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, 9)
    total = 0.0
    for b in range(10):
        inside = place == b
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def metrics(y, p, probabilities, names):
    """What scikit-learn says of all rows, and of each class against the rest."""
    k = len(names)
    codes = list(range(k))
    values = {
        "accuracy": defined(skm.accuracy_score, y, p),
        "zero_one_loss": defined(skm.zero_one_loss, y, p),
        "balanced_accuracy": defined(skm.recall_score, y, p, labels=sorted(set(y)), average="macro") if len(set(y)) > 1 else None,
        "mcc": defined(skm.matthews_corrcoef, y, p) if len(set(y)) > 1 and len(set(p)) > 1 else None,
        "cohen_kappa": defined(skm.cohen_kappa_score, y, p),
        "log_loss": defined(skm.log_loss, y, probabilities, labels=codes),
        "brier": defined(skm.brier_score_loss, y, probabilities, labels=codes, scale_by_half=True),
        "d2_log_loss": defined(skm.d2_log_loss_score, y, probabilities, labels=codes) if len(set(y)) > 1 else None,
        "d2_brier": defined(skm.d2_brier_score, y, probabilities, labels=codes) if len(set(y)) > 1 else None,
    }
    for average in ["macro", "micro", "weighted"]:
        for name, score in [("precision", skm.precision_score), ("recall", skm.recall_score), ("f1", skm.f1_score)]:
            values[f"{name}_{average}"] = defined(score, y, p, average=average)
    area = lambda **kwargs: defined(skm.roc_auc_score, y, probabilities, labels=codes, **kwargs)
    if k > 2:
        values["roc_auc_ovr"] = area(multi_class="ovr", average="macro")
        # scikit-learn passes over the pairs of a class that does not occur.
        if set(y) == set(codes):
            values["roc_auc_ovo"] = area(multi_class="ovo", average="macro")
            values["roc_auc_ovr_weighted"] = area(multi_class="ovr", average="weighted")
            values["roc_auc_ovo_weighted"] = area(multi_class="ovo", average="weighted")
    onehot = np.eye(k)[y]
    values["average_precision_macro"] = (
        defined(skm.average_precision_score, onehot, probabilities, average="macro") if set(y) == set(codes) else None)
    for top in [2, 3, 5]:
        if top < k:
            values[f"top_{top}_accuracy"] = defined(skm.top_k_accuracy_score, y, probabilities, k=top, labels=codes)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    values["ece"] = bins_error(correct, confidence)
    values["classwise_ece"] = float(np.mean([bins_error(y == c, probabilities[:, c]) for c in codes]))
    for c, name in enumerate(names):
        t, s = y == c, p == c
        values[f"precision/{name}"] = defined(skm.precision_score, t, s)
        values[f"recall/{name}"] = defined(skm.recall_score, t, s)
        values[f"f1/{name}"] = defined(skm.f1_score, t, s)
        values[f"roc_auc/{name}"] = defined(skm.roc_auc_score, t, probabilities[:, c])
        negatives = int((~t).sum())
        values[f"false_positive_rate/{name}"] = float((s & ~t).sum() / negatives) if negatives else None
        values[f"support/{name}"] = float(t.sum())
    return values


def fairness(y, p, groups, names):
    """Fairlearn on each class against the rest, and the largest difference and smallest ratio of any class."""
    rate = lambda metric, **kwargs: fm.MetricFrame(metrics=metric, sensitive_features=groups, **kwargs)
    right = rate(skm.accuracy_score, y_true=y, y_pred=p)
    values = {
        "accuracy_equality_difference": float(right.difference()),
        "accuracy_equality_ratio": float(right.ratio()),
    }
    by_name = {}
    for c, name in enumerate(names):
        t, s = (y == c).astype(int), (p == c).astype(int)
        precision = rate(skm.precision_score, y_true=t, y_pred=s)
        found = {
            "demographic_parity": (fm.demographic_parity_difference, fm.demographic_parity_ratio),
            "equal_opportunity": (fm.equal_opportunity_difference, fm.equal_opportunity_ratio),
            "equalized_odds": (fm.equalized_odds_difference, fm.equalized_odds_ratio),
        }
        for criterion, (difference, ratio) in found.items():
            by_name[criterion, "difference", name] = float(difference(t, s, sensitive_features=groups))
            by_name[criterion, "ratio", name] = float(ratio(t, s, sensitive_features=groups))
        by_name["predictive_parity", "difference", name] = float(precision.difference())
        by_name["predictive_parity", "ratio", name] = float(precision.ratio())
    for (criterion, kind, name), value in by_name.items():
        values[f"{criterion}_{kind}/{name}"] = value
    for criterion in ["demographic_parity", "equal_opportunity", "equalized_odds", "predictive_parity"]:
        of = lambda kind: [by_name[criterion, kind, name] for name in names]
        values[f"{criterion}_difference"] = max(of("difference"))
        values[f"{criterion}_ratio"] = min(of("ratio"))
    return values


def case(name, names, rows, seed, sure, classes_in_truth=None, digits=6):
    """Rows of a model that is right with a probability that depends on the class and the group."""
    rng = np.random.default_rng(seed)
    k = len(names)
    weights = np.arange(1, k + 1, dtype=float)
    y = rng.choice(k, size=rows, p=weights / weights.sum())
    if classes_in_truth is not None:
        y = np.array(classes_in_truth)[rng.integers(0, len(classes_in_truth), rows)]
    group = rng.choice(["north", "south", "west"], size=rows, p=[0.5, 0.3, 0.2])
    device = rng.choice(["phone", "web"], size=rows)
    logits = rng.normal(size=(rows, k))
    logits[np.arange(rows), y] += sure + 0.4 * (group == "south") - 0.3 * (y % 2)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # Of two digits many rows have the same. No row has classes that tie, where rules differ.
    probabilities = np.round(probabilities, digits)
    probabilities[:, -1] = np.round(1.0 - probabilities[:, :-1].sum(axis=1), digits)
    ranked = np.sort(probabilities, axis=1)
    keep = (probabilities.min(axis=1) >= 0.0) & (np.diff(ranked, axis=1).min(axis=1) > 1e-9)
    y, group, device, probabilities = y[keep], group[keep], device[keep], probabilities[keep]
    p = probabilities.argmax(axis=1)
    judged = fairness(y, p, group, names) if set(y) == set(range(k)) and len(y) > 200 else None
    return {
        "name": name,
        "classes": names,
        "truth": [names[c] for c in y],
        "probabilities": [float(x) for x in probabilities.ravel()],
        "group": group.tolist(),
        "device": device.tolist(),
        "metrics": metrics(y, p, probabilities, names),
        "slices": {f"device = {d}": metrics(y[device == d], p[device == d], probabilities[device == d], names)
                   for d in ["phone", "web"]},
        "accuracy_by_group": {g: float((y == p)[group == g].mean()) for g in sorted(set(group))},
        "fairness": judged,
    }


def tests(y, names):
    """Two models of the same rows, and what SciPy says about them."""
    rng = np.random.default_rng(7)
    k = len(names)
    models = []
    for sure in [1.6, 1.3]:
        logits = rng.normal(size=(len(y), k))
        logits[np.arange(len(y)), y] += sure
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        p = np.round(p, 6)
        p[:, -1] = np.abs(np.round(1.0 - p[:, :-1].sum(axis=1), 6))
        models.append(p)
    new, old = models
    losses = [-np.log(np.clip(m[np.arange(len(y)), y], np.finfo(float).eps, 1.0)) for m in models]
    briers = [0.5 * ((m - np.eye(k)[y]) ** 2).sum(axis=1) for m in models]
    right = new.argmax(axis=1) == y
    of_class = y == 0
    binom = lambda hits, n, share: float(scipy.stats.binomtest(int(hits), int(n), share, alternative="greater").pvalue)
    paired = lambda a, b: float(scipy.stats.ttest_rel(a, b, alternative="less").pvalue)
    return {
        "classes": names,
        "truth": [names[c] for c in y],
        "challenger": [float(x) for x in new.ravel()],
        "champion": [float(x) for x in old.ravel()],
        "accuracy_above": 0.6,
        "accuracy_p": binom(right.sum(), len(y), 0.6),
        "recall_above": 0.6,
        "recall_p": binom(right[of_class].sum(), of_class.sum(), 0.6),
        "log_loss_p": paired(losses[0], losses[1]),
        "brier_p": paired(briers[0], briers[1]),
    }


def main():
    cases = [
        case("three classes", ["pine", "birch", "ash"], 600, 1, 1.5),
        case("seven classes", list("gfedcba"), 900, 2, 2.0),
        case("two digits", ["low", "mid", "high"], 500, 3, 1.0, digits=2),
        case("a class that the truth lacks", ["0", "1", "2", "3"], 120, 4, 2.0, classes_in_truth=[0, 1, 3]),
        case("one class only", ["a", "b", "c"], 40, 5, 1.0, classes_in_truth=[1]),
        case("two classes of several", ["no", "yes"], 300, 6, 1.0),
    ]
    compared = tests(np.random.default_rng(8).integers(0, 3, 240), ["pine", "birch", "ash"])
    with open(HERE / "multiclass.json", "w") as file:
        json.dump({"versions": VERSIONS, "cases": cases, "compared": compared}, file)
        file.write("\n")


main()
