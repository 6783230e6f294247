"""Writes frame.json: MetricFrame of Fairlearn, over one to three features, control features, weights, vacant combinations.

Run in this folder with fairlearn 0.15.0, scikit-learn 1.9.1 and numpy 2.4.6. Same output on every run.
"""

import json
import math
import random
import warnings

import fairlearn
import fairlearn.metrics as fm
import numpy as np
import pandas as pd
import sklearn
import sklearn.metrics as skm

warnings.simplefilter("ignore")


def precision(y, p, sample_weight=None):
    return skm.precision_score(y, p, sample_weight=sample_weight, zero_division=0)


LABELS = {"accuracy": skm.accuracy_score, "recall": fm.true_positive_rate, "precision": precision,
          "selection_rate": fm.selection_rate, "false_positive_rate": fm.false_positive_rate}
SCORES = {"roc_auc": skm.roc_auc_score, "log_loss": lambda y, p, sample_weight=None: skm.log_loss(
    y, p, sample_weight=sample_weight, labels=[0, 1]), "brier": skm.brier_score_loss}
NUMBERS = {"mae": skm.mean_absolute_error, "rmse": skm.root_mean_squared_error, "r2": skm.r2_score,
           "median_absolute_error": skm.median_absolute_error}


def number(x):
    x = float(x)
    return None if math.isnan(x) else x


def table(features):
    return pd.DataFrame({f["name"]: np.array([f["categories"][c] for c in f["codes"]]) for f in features})


def key(index):
    return list(index) if isinstance(index, tuple) else [index]


def frame(metrics, y, p, features, controls, w):
    params = {} if w is None else {"sample_weight": np.array(w)}
    mf = fm.MetricFrame(metrics=metrics, y_true=np.array(y), y_pred=np.array(p), sensitive_features=table(features),
                        control_features=table(controls) if controls else None,
                        sample_params={m: params for m in metrics})
    names = list(metrics)

    def values(row):
        return {m: number(row[m]) for m in names}

    aggregates = {"min": mf.group_min(), "max": mf.group_max()}
    for method in ("between_groups", "to_overall"):
        aggregates[f"difference_{method}"] = mf.difference(method=method)
        aggregates[f"ratio_{method}"] = mf.ratio(method=method)
    if not controls:
        groups = [{"key": key(i), "values": values(row)} for i, row in mf.by_group.iterrows()]
        return [{"control": [], "overall": values(mf.overall), "groups": groups,
                 "aggregates": {a: values(v) for a, v in aggregates.items()}}]
    strata = []
    for control in mf.by_group.index.droplevel([f["name"] for f in features]).unique():
        part = mf.by_group.xs(control, level=[c["name"] for c in controls]) if len(controls) > 1 else mf.by_group.xs(
            control, level=controls[0]["name"])
        groups = [{"key": key(i), "values": values(row)} for i, row in part.iterrows()]
        strata.append({"control": key(control), "overall": values(mf.overall.loc[control]), "groups": groups,
                       "aggregates": {a: values(v.loc[control]) for a, v in aggregates.items()}})
    return strata


def case(name, rows, features, controls, weighted, seed):
    rng = random.Random(seed)
    n = rows
    draw = lambda k: [rng.randrange(k) for _ in range(n)]
    features = [{"name": f, "categories": c, "codes": draw(len(c))} for f, c in features]
    controls = [{"name": f, "categories": c, "codes": draw(len(c))} for f, c in controls]
    if name.startswith("vacant"):
        # Nobody has the last category of the first two features at once.
        a, b = features[0], features[1]
        for i in range(n):
            if a["codes"][i] == len(a["categories"]) - 1 and b["codes"][i] == len(b["categories"]) - 1:
                b["codes"][i] = 0
    scores = [round(rng.random(), 2) for _ in range(n)]
    y = [int(rng.random() < s) for s in scores]
    p = [int(s >= 0.45) for s in scores]
    target = [round(rng.gauss(0, 2), 3) for _ in range(n)]
    forecast = [round(t + rng.gauss(0.2, 1), 3) for t in target]
    w = [round(rng.uniform(0.2, 3.0), 3) for _ in range(n)] if weighted else None
    return {"name": name, "y_true": y, "y_pred": p, "scores": scores, "target": target, "forecast": forecast,
            "features": features, "controls": controls, "weights": w,
            "label": frame(LABELS, y, p, features, controls, w),
            "score": frame(SCORES, y, scores, features, controls, w),
            "regression": frame(NUMBERS, target, forecast, features, controls, w)}


SEX, AGE = ("sex", ["f", "m"]), ("age", ["mid", "old", "young"])
REGION, SITE, SHIFT = ("region", ["east", "west"]), ("site", ["north", "south"]), ("shift", ["day", "night"])
CASES = [
    case("one feature", 80, [AGE], [], False, 1),
    case("one feature, weighted", 80, [AGE], [], True, 2),
    case("two features, a control, weighted", 160, [SEX, AGE], [SITE], True, 3),
    case("three features", 160, [SEX, AGE, REGION], [], False, 4),
    case("vacant intersections, two controls", 120, [SEX, AGE], [SITE, SHIFT], False, 5),
    case("vacant intersections", 40, [SEX, AGE], [], False, 6),
]
with open("frame.json", "w") as out:
    versions = {"fairlearn": fairlearn.__version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__}
    json.dump({"versions": versions, "cases": CASES}, out, separators=(",", ":"))
    out.write("\n")
