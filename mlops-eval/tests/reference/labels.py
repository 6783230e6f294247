#!/usr/bin/env python3
"""Writes labels.json and multilabel.json beside this file: metrics of labels by scikit-learn 1.9.1 and Fairlearn 0.15.0.

The inputs are made here and stored with the results, so that the tests need no Python. Values that a tool does not define
(NaN, infinity) are stored as null. Run with: pip install scikit-learn==1.9.1 fairlearn==0.15.0 && python labels.py
"""
import json
import math
import pathlib
import random
import warnings

import fairlearn
import fairlearn.metrics as fm
import numpy as np
import sklearn
import sklearn.metrics as skm

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scikit-learn": sklearn.__version__, "fairlearn": fairlearn.__version__}
NAN = float("nan")
ZERO = {"zero": 0.0, "one": 1.0, "nan": NAN}  # "warn" is 0, which is asserted below


def number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def numbers(values):
    return [number(v) for v in np.asarray(values, dtype=float).ravel()]


def div(a, b):
    return NAN if b == 0 else a / b


def binary_metrics(t, p, w):
    """By definition from scikit-learn's cells; likelihood ratios by scikit-learn itself."""
    tn, fp, fn, tp = (float(x) for x in skm.confusion_matrix(t, p, labels=[0, 1], sample_weight=w).ravel())
    n = tn + fp + fn + tp
    tpr, fpr, ppv, npv = div(tp, tp + fn), div(fp, fp + tn), div(tp, tp + fp), div(tn, tn + fn)
    plus, minus = skm.class_likelihood_ratios(t, p, labels=[0, 1], sample_weight=w)
    return {
        "prevalence": (tp + fn) / n,
        "zero_one_loss": skm.zero_one_loss(t, p, sample_weight=w),
        "informedness": skm.balanced_accuracy_score(t, p, sample_weight=w, adjusted=True) if tp + fn > 0 and fp + tn > 0 else NAN,
        "markedness": ppv + npv - 1,
        "g_mean": math.sqrt(tpr * (1 - fpr)) if not math.isnan(tpr + fpr) else NAN,
        "fowlkes_mallows": math.sqrt(ppv * tpr) if not math.isnan(ppv + tpr) else NAN,
        "positive_likelihood_ratio": plus if tp + fn > 0 and fp + tn > 0 else NAN,
        "negative_likelihood_ratio": minus if tp + fn > 0 and fp + tn > 0 else NAN,
        "diagnostic_odds_ratio": div(tp * tn, fp * fn),
        "prevalence_threshold": div(math.sqrt(fpr), math.sqrt(tpr) + math.sqrt(fpr)) if not math.isnan(tpr + fpr) else NAN,
    }


def binary_cases():
    rng = random.Random(3)
    fixed = [
        ("balanced", [1, 1, 1, 0, 0, 1, 0, 0], [1, 1, 0, 1, 0, 1, 0, 0]),
        ("perfect", [1, 0, 1, 0], [1, 0, 1, 0]),
        ("always wrong", [1, 0, 1, 0], [0, 1, 0, 1]),
        ("only positives", [1, 1, 1], [1, 0, 1]),
        ("only negatives", [0, 0, 0], [1, 0, 0]),
        ("only negatives, all left alone", [0, 0, 0], [0, 0, 0]),
        ("nothing predicted positive", [1, 0, 1, 0], [0, 0, 0, 0]),
        ("everything predicted positive", [1, 0, 1, 0], [1, 1, 1, 1]),
        ("one row", [1], [1]),
        ("no false positives", [1, 1, 0, 0], [1, 0, 0, 0]),
        ("no true negatives", [1, 1, 0, 0], [1, 0, 1, 1]),
    ]
    y = [int(rng.random() < 0.03) for _ in range(400)]
    fixed.append(("rare positives", y, [int(rng.random() < (0.7 if t else 0.1)) for t in y]))
    for name, y, p in fixed:
        for w in (None, [round(rng.uniform(0.1, 4.0), 6) for _ in y]):
            t, q = np.array(y), np.array(p)
            ratios = skm.class_likelihood_ratios(t, q, labels=[0, 1], sample_weight=w, replace_undefined_by={"LR+": 7.0, "LR-": 0.5})
            rates = {"recall": fm.true_positive_rate, "false_positive_rate": fm.false_positive_rate,
                     "specificity": fm.true_negative_rate, "false_negative_rate": fm.false_negative_rate}
            fair = {}
            for rate, f in rates.items():
                try:
                    fair[rate] = number(f(t, q, sample_weight=w, pos_label=1))
                except ValueError:  # it refuses a single label that is not the positive one
                    pass
            yield {"name": name + (", weighted" if w else ""), "y_true": [bool(v) for v in y], "y_pred": [bool(v) for v in p],
                   "weights": w, "metrics": {k: number(v) for k, v in binary_metrics(t, q, w).items()},
                   "replaced_likelihood_ratios": numbers(ratios), "fairlearn": fair}


def prf(t, p, w, labels=None):
    out = {}
    for zero, z in ZERO.items():
        out[zero] = {}
        for average in ("micro", "macro", "weighted", None):
            key = average or "each"
            common = {"average": average, "labels": labels, "sample_weight": w, "zero_division": z}
            values = {
                "precision": skm.precision_score(t, p, **common),
                "recall": skm.recall_score(t, p, **common),
                "f1": skm.f1_score(t, p, **common),
                "f_beta_0.5": skm.fbeta_score(t, p, beta=0.5, **common),
                "f_beta_2": skm.fbeta_score(t, p, beta=2.0, **common),
            }
            if zero != "nan":
                values["jaccard"] = skm.jaccard_score(t, p, **common)
            if zero == "zero":
                common["zero_division"] = "warn"
                assert np.array_equal(values["precision"], skm.precision_score(t, p, **common))
                assert np.array_equal(values["f1"], skm.f1_score(t, p, **common))
                assert np.array_equal(values["jaccard"], skm.jaccard_score(t, p, **common))
            out[zero][key] = {m: numbers(v) for m, v in values.items()}
    return out


def multiclass_cases():
    rng = random.Random(17)
    y = [rng.randrange(4) for _ in range(120)]
    p = [t if rng.random() < 0.6 else rng.randrange(4) for t in y]
    sets = [
        ("four classes", y, p, 4, [1, 3]),
        ("never predicted", [0, 1, 2, 2, 1], [0, 1, 1, 0, 1], 3, [2, 1]),
        ("only predicted", [0, 1, 1, 0, 1], [0, 1, 4, 0, 4], 5, [4, 0]),
        ("absent classes", [0, 3, 3, 0, 6], [3, 3, 0, 0, 6], 8, [6, 3, 1]),
        ("one class", [1, 1, 1], [1, 1, 1], 2, [1]),
        ("one true class", [1, 1, 1, 1], [0, 1, 2, 1], 3, [0, 1]),
        ("one predicted class", [0, 1, 2, 1], [1, 1, 1, 1], 3, [0, 2]),
        ("always wrong", [0, 1, 2], [1, 2, 0], 3, [0]),
        ("independent", [0, 0, 1, 1], [0, 1, 0, 1], 2, [0]),
    ]
    for name, y, p, k, some in sets:
        for w in (None, [round(rng.uniform(0.1, 3.0), 6) for _ in y]):
            t, q = np.array(y), np.array(p)
            everything = list(range(k))
            matrix = lambda normalize, labels: skm.confusion_matrix(t, q, labels=labels, sample_weight=w, normalize=normalize)
            kappas = {}
            for weights in ("unweighted", "linear", "quadratic"):
                kind = None if weights == "unweighted" else weights
                kappas[weights] = {
                    "present": number(skm.cohen_kappa_score(t, q, weights=kind, sample_weight=w)),
                    "all": number(skm.cohen_kappa_score(t, q, weights=kind, sample_weight=w, labels=everything)),
                    "replaced": number(skm.cohen_kappa_score(t, q, weights=kind, sample_weight=w, replace_undefined_by=-1.0)),
                }
            yield {"name": name + (", weighted" if w else ""), "y_true": y, "y_pred": p, "classes": k, "weights": w, "some": some,
                   "normalized": {n: numbers(matrix(n, everything)) for n in ("true", "pred", "all")},
                   "selected": numbers(matrix(None, some)),
                   "kappa": kappas,
                   "accuracy": number(skm.accuracy_score(t, q, sample_weight=w)),
                   "zero_one_loss": number(skm.zero_one_loss(t, q, sample_weight=w)),
                   "hamming_loss": number(skm.hamming_loss(t, q, sample_weight=w)),
                   "mcc": number(skm.matthews_corrcoef(t, q, sample_weight=w)),
                   "balanced_accuracy": number(skm.balanced_accuracy_score(t, q, sample_weight=w)),
                   "balanced_accuracy_adjusted": number(skm.balanced_accuracy_score(t, q, sample_weight=w, adjusted=True)),
                   "support": numbers(skm.precision_recall_fscore_support(t, q, labels=everything, sample_weight=w)[3]),
                   "present": prf(t, q, w), "all": prf(t, q, w, everything), "of_some": prf(t, q, w, some)}


def top_k_cases():
    rng = random.Random(23)
    for name, n, k, levels in [("distinct scores", 40, 4, 10**6), ("tied scores", 40, 5, 3), ("all tied", 10, 3, 1)]:
        y = [i % k for i in range(n)]
        s = [[round(rng.randrange(levels) / levels, 6) for _ in range(k)] for _ in y]
        for w in (None, [round(rng.uniform(0.1, 3.0), 6) for _ in y]):
            values = {str(top): number(skm.top_k_accuracy_score(y, s, k=top, labels=list(range(k)), sample_weight=w))
                      for top in range(1, k + 1)}
            yield {"name": name + (", weighted" if w else ""), "y_true": y, "scores": [v for row in s for v in row], "classes": k,
                   "weights": w, "values": values}


def multilabel_cases():
    rng = random.Random(29)
    def draw(n, labels, share, agree):
        t = [[int(rng.random() < share) for _ in range(labels)] for _ in range(n)]
        return t, [[v if rng.random() < agree else int(rng.random() < share) for v in row] for row in t]
    sets = [("six labels", *draw(40, 6, 0.4, 0.6)), ("rare labels", *draw(30, 5, 0.1, 0.5)),
            ("a label that nothing has", [[1, 0, 0], [1, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 0]]),
            ("no labels at all", [[0, 0], [0, 0]], [[0, 0], [0, 0]]),
            ("perfect", [[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 1], [1, 1]]),
            ("nothing predicted", [[1, 0], [0, 1], [1, 1]], [[0, 0], [0, 0], [0, 0]])]
    for name, y, p in sets:
        for w in (None, [round(rng.uniform(0.1, 3.0), 6) for _ in y]):
            t, q = np.array(y), np.array(p)
            levels = rng.choice([4, 1000])
            s = np.array([[round(rng.randrange(levels) / levels, 6) for _ in row] for row in y])
            samples = {}
            for zero, z in ZERO.items():
                common = {"average": "samples", "sample_weight": w, "zero_division": z}
                samples[zero] = {"precision": skm.precision_score(t, q, **common), "recall": skm.recall_score(t, q, **common),
                                 "f1": skm.f1_score(t, q, **common), "f_beta_2": skm.fbeta_score(t, q, beta=2.0, **common)}
                if zero != "nan":
                    samples[zero]["jaccard"] = skm.jaccard_score(t, q, **common)
                samples[zero] = {m: number(v) for m, v in samples[zero].items()}
            yield {"name": name + (", weighted" if w else ""), "y_true": [bool(v) for row in y for v in row],
                   "y_pred": [bool(v) for row in p for v in row], "scores": numbers(s), "labels": len(y[0]), "weights": w,
                   "cells": [numbers(m) for m in skm.multilabel_confusion_matrix(t, q, sample_weight=w)],
                   "averages": prf(t, q, w), "of_some": prf(t, q, w, [1, 0]), "samples": samples,
                   "subset_accuracy": number(skm.accuracy_score(t, q, sample_weight=w)),
                   "hamming_loss": number(skm.hamming_loss(t, q, sample_weight=w)),
                   "coverage_error": number(skm.coverage_error(t, s, sample_weight=w)),
                   "label_ranking_average_precision": number(skm.label_ranking_average_precision_score(t, s, sample_weight=w)),
                   "label_ranking_loss": number(skm.label_ranking_loss(t, s, sample_weight=w))}


def shorten(value):
    """Whole numbers as whole numbers, others to 14 digits behind the point."""
    if isinstance(value, dict):
        return {k: shorten(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shorten(v) for v in value]
    if not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else round(value, 14)


def write(name, **content):
    text = json.dumps(shorten({"versions": VERSIONS} | content), allow_nan=False, separators=(",", ":"))
    (HERE / name).write_text(text.replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    write("labels.json", binary=list(binary_cases()), multiclass=list(multiclass_cases()), top_k=list(top_k_cases()))
    write("multilabel.json", multilabel=list(multilabel_cases()))
