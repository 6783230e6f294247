"""Trains models that stop early, and writes their files with rows and what the libraries answer.

    pip install lightgbm==4.7.0 xgboost==3.2.0 scikit-learn==1.9.1
    python3 make_predictors_stopping.py

Writes predictors_stopping.json. `answers` are those of what wrote the file, read back: an estimator of the scikit-learn interface takes the trees up to
the best iteration, a Booster all of them; `best` are those up to the best iteration, `iterations` how many these are.
"""

import base64
import json
import os
import tempfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
import xgboost as xgb

random = np.random.default_rng(20261126)
N = 300
X = np.round(random.normal(size=(N, 3)), 2).astype(np.float32)
SCORE = X[:, 0] - X[:, 1] ** 2 + random.normal(size=N)
BINARY, THREE = (SCORE > -0.5).astype(int), np.digitize(SCORE, [-1.2, 0.2])
TRAIN, VALID, ROWS = slice(0, 150), slice(150, 300), X[:12]
DROPPED = ("base_weights", "loss_changes", "sum_hessian", "parents")
cases = []


def plain(values):
    return [[float(v) for v in row] for row in np.asarray(values, dtype=np.float64).reshape(len(ROWS), -1)]


def stripped(value):
    """A model of XGBoost without the fields that no prediction needs."""
    if isinstance(value, dict):
        return {key: stripped(inner) for key, inner in value.items() if key not in DROPPED}
    return [stripped(inner) for inner in value] if isinstance(value, list) else value


def saved(model, ending):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model.{ending}")
        model.save_model(path)
        return Path(path).read_bytes()


def reloaded(empty, raw):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.json")
        Path(path).write_bytes(raw)
        empty.load_model(path)
    return empty


def boost(name, model, answers, best, iterations, ubj=False):
    raw = saved(model, "json")
    case = {
        "name": name, "json": json.dumps(stripped(json.loads(raw)), separators=(",", ":")), "rows": plain(ROWS),
        "answers": plain(answers(raw)), "best": plain(best(raw)), "iterations": iterations,
    }
    if ubj:
        case["ubj"] = base64.b64encode(saved(model, "ubj")).decode()
    cases.append(case)


few = {"max_depth": 3, "nthread": 1, "seed": 1, "eta": 0.6}


def estimator(name, kind, label, ubj=False, **params):
    model = kind(n_estimators=40, early_stopping_rounds=2, max_depth=3, n_jobs=1, random_state=1, learning_rate=0.6, **params)
    model.fit(X[TRAIN], label[TRAIN], eval_set=[(X[VALID], label[VALID])], verbose=False)
    ask = lambda model: model.predict_proba(ROWS) if kind is xgb.XGBClassifier else model.predict(ROWS)
    if kind is xgb.XGBClassifier and "num_class" not in params and label is BINARY:
        ask = lambda model: model.predict_proba(ROWS)[:, 1]
    later = lambda raw: ask(reloaded(kind(), raw))
    best = lambda raw: later(raw) if params.get("booster") == "gblinear" else reloaded(xgb.Booster(), raw).predict(xgb.DMatrix(ROWS), iteration_range=(0, model.best_iteration + 1))
    boost(name, model, later, best, model.best_iteration + 1, ubj)


estimator("estimator, binary", xgb.XGBClassifier, BINARY, ubj=True)
estimator("estimator, three classes", xgb.XGBClassifier, THREE)
estimator("estimator, several trees an iteration", xgb.XGBRegressor, SCORE, num_parallel_tree=2, subsample=0.7)
estimator("estimator, dart", xgb.XGBRegressor, SCORE, booster="dart", rate_drop=0.4)
estimator("estimator, linear", xgb.XGBRegressor, SCORE, booster="gblinear")

train, valid = xgb.DMatrix(X[TRAIN], BINARY[TRAIN]), xgb.DMatrix(X[VALID], BINARY[VALID])
params = {**few, "objective": "binary:logistic"}
booster = xgb.train(params, train, 40, evals=[(valid, "valid")], early_stopping_rounds=2, verbose_eval=False)
everything = lambda raw: reloaded(xgb.Booster(), raw).predict(xgb.DMatrix(ROWS))
until = lambda raw: reloaded(xgb.Booster(), raw).predict(xgb.DMatrix(ROWS), iteration_range=(0, booster.best_iteration + 1))
boost("booster", booster, everything, until, booster.best_iteration + 1)
best_saved = xgb.train(params, train, 40, evals=[(valid, "valid")], callbacks=[xgb.callback.EarlyStopping(2, save_best=True)], verbose_eval=False)
boost("booster, best saved", best_saved, everything, everything, best_saved.best_iteration + 1)

for name, extra, label in [("binary", {"objective": "binary"}, BINARY), ("three classes", {"objective": "multiclass", "num_class": 3}, THREE)]:
    data = lgb.Dataset(X[TRAIN], label[TRAIN])
    model = lgb.train(
        {"verbose": -1, "num_threads": 1, "num_leaves": 5, "min_data_in_leaf": 5, "learning_rate": 0.4, "seed": 1, "deterministic": True, **extra}, data, 40,
        valid_sets=[lgb.Dataset(X[VALID], label[VALID], reference=data)], callbacks=[lgb.early_stopping(2, verbose=False)], keep_training_booster=True,
    )
    for kept, text in [("best saved", model.model_to_string()), ("all saved", model.model_to_string(num_iteration=-1))]:
        drop = ("leaf_weight=", "leaf_count=", "internal_", "split_gain=", "tree_sizes=")
        shown = "".join(line + "\n" for line in text.split("\nfeature_importances:")[0].splitlines() if not line.startswith(drop))
        read = lgb.Booster(model_str=text)
        cases.append({
            "name": f"LightGBM, {name}, {kept}", "text": shown, "rows": plain(ROWS), "answers": plain(read.predict(ROWS)),
            "best": plain(model.predict(ROWS)), "iterations": model.best_iteration,
        })

for case in cases:
    print(case["name"], case["iterations"], np.abs(np.array(case["answers"]) - np.array(case["best"])).max())
path = Path(__file__).parent / "predictors_stopping.json"
path.write_text(json.dumps({"tool": f"LightGBM {lgb.__version__}, XGBoost {xgb.__version__}", "cases": cases}, separators=(",", ":")) + "\n")
print(path.name, len(cases), "cases", path.stat().st_size)
