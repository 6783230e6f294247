#!/usr/bin/env python3
"""Writes scores.json beside this file: curves, areas, thresholds and losses of scores, by scikit-learn and SciPy.

The inputs are made here and stored with the results, so that the tests need no Python. Values that a tool does not define (NaN,
infinities) are stored as null. Run with: pip install scikit-learn==1.9.1 scipy==1.17.1 && python scores.py
"""
import json
import math
import pathlib
import random
import sys
import warnings

import numpy as np
import scipy
import scipy.stats
import sklearn
import sklearn.metrics as skm

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
VERSIONS = {
    "python": sys.version.split()[0],
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "scikit-learn": sklearn.__version__,
}


def number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def numbers(values):
    return [number(v) for v in values]


def inputs():
    rng = random.Random(20260202)
    yield "four rows", [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    yield "all scores tied", [0, 1, 1, 0, 1], [0.5] * 5
    yield "ties across classes", [0, 1, 0, 1, 1, 0, 1, 0], [0.2, 0.2, 0.4, 0.4, 0.4, 0.6, 0.6, 0.8]
    yield "inverted", [1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]
    yield "separated", [0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.9]
    yield "only positives", [1, 1, 1], [0.2, 0.7, 0.9]
    yield "only negatives", [0, 0, 0], [0.2, 0.7, 0.9]
    yield "certain and wrong", [1, 0, 1, 0], [0.0, 1.0, 1.0, 0.0]
    yield "extreme probabilities", [1, 0, 1, 0, 1, 0], [1e-300, 1e-17, 1 - 1e-16, 1 - 1e-12, 5e-324, 1e-9]
    y = [int(rng.random() < 0.3) for _ in range(120)]
    yield "no ties", y, [min(1.0, max(0.0, rng.gauss(0.4 + 0.2 * t, 0.15))) for t in y]
    y = [int(rng.random() < 0.05) for _ in range(200)]
    yield "rare positives on a grid", y, [round(min(1.0, max(0.0, rng.gauss(0.3 + 0.3 * t, 0.2))), 1) for t in y]


def area(f):
    try:
        return number(f())
    except ValueError:
        return None


def curves(y, s, w):
    fpr, tpr, thresholds = skm.roc_curve(y, s, sample_weight=w, drop_intermediate=True)
    roc = {"false_positive_rate": numbers(fpr), "true_positive_rate": numbers(tpr), "thresholds": numbers(thresholds)}
    precision, recall, thresholds = skm.precision_recall_curve(y, s, sample_weight=w)
    pr = {"precision": numbers(precision), "recall": numbers(recall), "thresholds": numbers(thresholds)}
    tn, fp, fn, tp, thresholds = skm.confusion_matrix_at_thresholds(y, s, sample_weight=w, pos_label=1)
    cells = {"cells": [numbers(c) for c in zip(tp, fp, fn, tn)], "thresholds": numbers(thresholds)}
    det = None
    if len(set(y)) == 2:
        fpr, fnr, thresholds = skm.det_curve(y, s, sample_weight=w)
        det = {"false_positive_rate": numbers(fpr), "false_negative_rate": numbers(fnr), "thresholds": numbers(thresholds)}
    return {"roc": roc, "pr": pr, "cells": cells, "det": det}


def binary_case(name, y, s, w):
    two = len(set(y)) == 2
    precision, recall, _ = skm.precision_recall_curve(y, s, sample_weight=w)
    positives = [v for t, v in zip(y, s) if t]
    negatives = [v for t, v in zip(y, s) if not t]
    metrics = {
        "roc_auc": area(lambda: skm.roc_auc_score(y, s, sample_weight=w)),
        "average_precision": area(lambda: skm.average_precision_score(y, s, sample_weight=w)) if any(y) else None,
        "pr_auc": area(lambda: skm.auc(recall, precision)) if any(y) else None,
        "log_loss": skm.log_loss(y, s, sample_weight=w, labels=[0, 1]),
        "brier": skm.brier_score_loss(y, s, sample_weight=w, pos_label=1),
        "d2_log_loss": number(skm.d2_log_loss_score(y, s, sample_weight=w, labels=[0, 1])) if two else None,
        "d2_brier": number(skm.d2_brier_score(y, s, sample_weight=w, pos_label=1)) if two else None,
    }
    metrics["gini"] = None if metrics["roc_auc"] is None else 2 * metrics["roc_auc"] - 1
    fpr, tpr, _ = skm.roc_curve(y, s, sample_weight=w, drop_intermediate=False)
    metrics["ks"] = number(np.max(np.abs(tpr - fpr))) if two else None
    if two and w is None:
        assert abs(metrics["ks"] - scipy.stats.ks_2samp(positives, negatives).statistic) < 1e-14
    partial = {}
    for max_fpr in ("0.05", "0.1", "0.5", "1.0"):
        partial[max_fpr] = area(lambda: skm.roc_auc_score(y, s, sample_weight=w, max_fpr=float(max_fpr))) if two else None
    return {"name": name, "kind": "binary", "y_true": [bool(t) for t in y], "scores": s, "weights": w, "metrics": metrics,
            "partial": partial, "single_precision_log_loss": skm.log_loss(y, np.array(s, dtype=np.float32), sample_weight=w, labels=[0, 1]),
            **curves(y, s, w)}


def binary():
    for i, (name, y, s) in enumerate(inputs()):
        rng = random.Random(i)
        yield binary_case(name, y, s, None)
        # Quarters add up exactly, so that ties and straight lines are found alike by everybody.
        yield binary_case(name + ", weighted", y, s, [rng.choice([0.25, 0.5, 1.0, 1.75, 2.25]) for _ in y])


def multiclass_case(name, y, p, w):
    k = p.shape[1]
    labels = list(range(k))
    present = len(set(y)) == k
    ovr, ovo, ap = {}, {}, {}
    onehot = np.eye(k, dtype=int)[y]
    for average in ("macro", "weighted", "micro"):
        ap[average] = number(skm.average_precision_score(onehot, p, average=average, sample_weight=w))
        ovr[average] = area(lambda: skm.roc_auc_score(y, p, multi_class="ovr", average=average, sample_weight=w, labels=labels)) if k > 2 else None
        if average != "micro" and w is None and present and k > 2:
            ovo[average] = area(lambda: skm.roc_auc_score(y, p, multi_class="ovo", average=average, labels=labels))
    brier = {
        scale: skm.brier_score_loss(y, p, sample_weight=w, labels=labels, scale_by_half=flag)
        for scale, flag in (("auto", "auto"), ("half", True), ("sum", False))
    }
    return {"name": name, "kind": "multiclass", "y_true": [int(t) for t in y], "probabilities": [float(v) for v in p.ravel()],
            "classes": k, "weights": w, "one_vs_rest": ovr if k > 2 else {}, "one_vs_one": ovo, "average_precision": ap,
            "log_loss": skm.log_loss(y, p, sample_weight=w, labels=labels), "brier": brier,
            "d2_log_loss": number(skm.d2_log_loss_score(y, p, sample_weight=w, labels=labels)),
            "d2_brier": number(skm.d2_brier_score(y, p, sample_weight=w, labels=labels))}


def multiclass():
    rng = np.random.default_rng(7)
    for name, n, k in (("three classes", 60, 3), ("two classes", 30, 2), ("five classes, ties", 90, 5)):
        y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
        raw = rng.random((n, k)) + np.eye(k)[y] * 0.5
        if "ties" in name:
            raw = np.ceil(raw * 3)
        p = raw / raw.sum(axis=1, keepdims=True)
        w = [float(v) for v in rng.choice([0.25, 0.5, 1.0, 1.75], n)]
        yield multiclass_case(name, y, p, None)
        yield multiclass_case(name + ", weighted", y, p, w)


def multilabel():
    rng = np.random.default_rng(8)
    n, k = 50, 3
    for name, y in (("three labels", rng.random((n, k)) < [0.5, 0.2, 0.1]), ("a label nobody has", rng.random((n, k)) < [0.5, 0.2, -1.0])):
        s = np.round(rng.random((n, k)) + 0.3 * y, 1)
        for w in (None, [float(v) for v in rng.choice([0.25, 0.5, 1.0, 1.75], n)]):
            averages = ("macro", "weighted", "micro")
            yield {"name": name + ("" if w is None else ", weighted"), "kind": "multilabel", "y_true": [bool(v) for v in y.ravel()],
                   "scores": [float(v) for v in s.ravel()], "labels": k, "weights": w,
                   "roc_auc": {a: area(lambda: skm.roc_auc_score(y.astype(int), s, average=a, sample_weight=w)) for a in averages},
                   "average_precision": {a: number(skm.average_precision_score(y.astype(int), s, average=a, sample_weight=w)) for a in averages}}


if __name__ == "__main__":
    cases = [*binary(), *multiclass(), *multilabel()]
    text = json.dumps({"versions": VERSIONS, "cases": cases}, allow_nan=False, separators=(",", ":"))
    # One case per line keeps differences readable.
    (HERE / "scores.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")
