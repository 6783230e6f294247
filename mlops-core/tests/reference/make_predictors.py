"""Trains small models, and writes their files with rows and what the libraries answer.

    pip install lightgbm==4.7.0 xgboost==3.2.0 scikit-learn==1.9.1 pandas==3.1.1
    python3 make_predictors.py

Writes predictors_lightgbm.json, predictors_xgboost.json and predictors_sklearn.json: a list of cases with the model's file, rows (null: missing;
texts: "inf" and the like), the sums and the answers.
"""

import base64
import json
import sys
import warnings
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import sklearn
import xgboost as xgb
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "python"))
import sklearn_export

warnings.filterwarnings("ignore")
random = np.random.default_rng(20260105)
N = 400
X = np.round(random.normal(size=(N, 5)), 2)
X[:, 3] = random.integers(0, 12, N)
X[:, 4] = np.where(random.random(N) < 0.5, 0.0, np.round(random.normal(size=N), 3))
SCORE = X[:, 0] + np.isin(X[:, 3], [1, 4, 7]) * 1.5 - X[:, 4] ** 2 + 0.2 * random.normal(size=N)
BINARY = (SCORE > 0).astype(int)
THREE = np.digitize(SCORE, [-0.7, 0.6])
COUNT = random.poisson(np.exp(np.clip(SCORE, -3, 2)))
HOLES = X.copy()
HOLES[random.random((N, 5)) < 0.15] = np.nan


def shortened(text):
    """A model of LightGBM without the fields that no prediction needs."""
    dropped = ("leaf_weight=", "leaf_count=", "internal_", "split_gain=", "tree_sizes=")
    text = text.split("\nfeature_importances:")[0] + "\n" + "".join(line + "\n" for line in text.splitlines() if line.startswith("pandas_"))
    return "".join(line + "\n" for line in text.splitlines() if not line.startswith(dropped))


def stripped(value):
    """A model of XGBoost without the fields that no prediction needs."""
    dropped = ("base_weights", "loss_changes", "sum_hessian", "parents")
    if isinstance(value, dict):
        return {key: stripped(inner) for key, inner in value.items() if key not in dropped}
    return [stripped(inner) for inner in value] if isinstance(value, list) else value


def shorter(text):
    return json.dumps(stripped(json.loads(text)), separators=(",", ":"))


def plain(values):
    """Numbers as JSON: missing ones null, infinite ones as text."""
    if isinstance(values, (list, tuple, np.ndarray)):
        return [plain(v) for v in values]
    if isinstance(values, str) or values is None:
        return values
    value = float(values)
    return None if np.isnan(value) else str(value) if np.isinf(value) else value


def extremes(thresholds, cast=float):
    """Rows on and beside thresholds, and rows of numbers that nobody expects."""
    rows = []
    for value in [0.0, -0.0, 1e-35, -1e-35, 1.1e-35, 5e-324, 1e-45, 1e30, -1e30, -1.0, -0.5, 0.5, 3.9, 1e9, 4294967296.0]:
        rows.append([value] * 5)
    for t in thresholds[:4]:
        for value in [t, np.nextafter(cast(t), cast(np.inf)), np.nextafter(cast(t), cast(-np.inf))]:
            rows.append([float(value)] * 5)
    return np.array(rows)


def lightgbm_cases():
    base = {"verbose": -1, "num_threads": 1, "num_leaves": 8, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1.0, "seed": 1, "deterministic": True}
    cases = []

    def add(name, data, label, rounds=6, cat=(), beyond=True, **params):
        ds = lgb.Dataset(data, label, categorical_feature=list(cat), params=params)
        booster = lgb.train({**base, **params}, ds, rounds)
        text = booster.model_to_string()
        found = [float(t) for line in text.splitlines() if line.startswith("threshold=") for t in line[10:].split()]
        rows = np.vstack([data[:11], extremes(found)] + ([[[np.nan] * 5], [[np.inf] * 5], [[-np.inf] * 5]] if beyond else []))
        cases.append({
            "name": name, "text": shortened(text), "rows": plain(rows),
            "sums": plain(booster.predict(rows, raw_score=True)), "answers": plain(booster.predict(rows)),
        })

    add("regression", X, SCORE, objective="regression")
    add("regression with sqrt", X, np.abs(SCORE), objective="regression", reg_sqrt=True)
    add("binary with holes", HOLES, BINARY, objective="binary", sigmoid=0.7)
    add("zero is missing", HOLES, BINARY, objective="binary", zero_as_missing=True)
    add("nothing is missing", HOLES, BINARY, objective="binary", use_missing=False)
    add("multiclass", HOLES, THREE, objective="multiclass", num_class=3, rounds=4)
    add("one against all", X, THREE, objective="multiclassova", num_class=3, rounds=3)
    add("categories", X, SCORE, cat=[3], objective="regression", max_cat_to_onehot=1)
    add("categories with holes", HOLES, BINARY, cat=[3], objective="binary", max_cat_to_onehot=4)
    add("random forest", X, SCORE, objective="regression", boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    add("random forest, binary", X, BINARY, objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    add("dart", X, BINARY, objective="binary", boosting="dart", drop_rate=0.5)
    for objective in ["poisson", "tweedie"]:
        add(objective, X, COUNT, objective=objective, rounds=3)
    add("gamma", X, COUNT + 1.0, objective="gamma", rounds=3)
    add("cross entropy", X, 1 / (1 + np.exp(-SCORE)), objective="cross_entropy", rounds=3)
    add("cross entropy lambda", X, 1 / (1 + np.exp(-SCORE)), objective="cross_entropy_lambda", rounds=3)
    add("median", X, SCORE, objective="regression_l1", rounds=3)
    add("deep", X, SCORE, objective="regression", num_leaves=60, min_data_in_leaf=2, rounds=1)
    add("deeper", X, SCORE, objective="regression", num_leaves=90, min_data_in_leaf=1, rounds=1)
    add("one leaf", X, np.full(N, 2.5), objective="regression", rounds=2)
    frame = pd.DataFrame({"x": X[:, 0], "plan": pd.Categorical(np.array(["a", "b", "c é"])[THREE]), "k": pd.Categorical(random.choice([3, 5, 9], N))})
    booster = lgb.train({**base, "objective": "binary", "max_cat_to_onehot": 1}, lgb.Dataset(frame, BINARY), 4)
    text = booster.model_to_string()
    cases.append({
        "name": "data frame", "text": shortened(text) + "[categorical_feature: 1,2]\n",
        "rows": [[x, p, int(k)] for x, p, k in frame[:16].itertuples(index=False)],
        "sums": plain(booster.predict(frame[:16], raw_score=True)), "answers": plain(booster.predict(frame[:16])),
    })
    return cases


def xgboost_cases():
    base = {"max_depth": 3, "eta": 0.3, "nthread": 1, "seed": 1}
    cases = []

    def add(name, data, label, rounds=5, cat=(), **params):
        types = ["c" if i in cat else "float" for i in range(5)]
        train = xgb.DMatrix(data, label, feature_types=types, enable_categorical=True)
        booster = xgb.train({**base, **params}, train, rounds)
        text = booster.save_raw("json").decode()
        model = json.loads(text)["learner"]["gradient_booster"]
        trees = model.get("model", model.get("gbtree", {}).get("model", {})).get("trees", [])
        found = [np.float32(t) for tree in trees for t, left in zip(tree["split_conditions"], tree["left_children"]) if left >= 0]
        found = [t for t in found if abs(t) > 1e-40]
        more = extremes(found, np.float32)
        if cat:
            more = more[:, :]
            more[:, 3] = np.clip(np.abs(np.nan_to_num(more[:, 3])), 0, 100).astype(int)
        # Beside a threshold by less than single precision tells apart.
        near = np.array([[float(t) * (1 - 1e-9)] * 5 for t in found[:4]] or [[0.0] * 5])
        if cat:
            near[:, 3] = 1
        rows = np.vstack([data[:11], more, near])
        matrix = xgb.DMatrix(rows, feature_types=types, enable_categorical=True)
        case = {
            "name": name, "json": shorter(text), "rows": plain(rows),
            "sums": plain(booster.predict(matrix, output_margin=True)), "answers": plain(booster.predict(matrix)),
        }
        if name in ("binary with holes", "categories", "dart"):
            case["ubj"] = base64.b64encode(bytes(booster.save_raw("ubj"))).decode()
        cases.append(case)

    add("regression", X, SCORE, objective="reg:squarederror")
    add("binary with holes", HOLES, BINARY, objective="binary:logistic")
    add("base score given", X, BINARY, objective="binary:logistic", base_score=0.2, rounds=3)
    add("multiclass", HOLES, THREE, objective="multi:softprob", num_class=3, rounds=3)
    add("categories", X, SCORE, cat=[3], objective="reg:squarederror", max_cat_to_onehot=1)
    add("one category against the others", HOLES, BINARY, cat=[3], objective="binary:logistic", max_cat_to_onehot=100)
    add("dart", X, BINARY, objective="binary:logistic", booster="dart", rate_drop=0.5)
    add("random forest", X, SCORE, objective="reg:squarederror", num_parallel_tree=3, subsample=0.6, eta=1.0, rounds=1)
    add("poisson", X, COUNT, objective="count:poisson", rounds=3)
    add("gamma", X, COUNT + 1.0, objective="reg:gamma", rounds=3)
    add("tweedie", X, COUNT, objective="reg:tweedie", rounds=3)
    add("logistic regression", X, 1 / (1 + np.exp(-SCORE)), objective="reg:logistic", rounds=2)
    add("margin", X, BINARY, objective="binary:logitraw", rounds=2)
    add("absolute error", X, SCORE, objective="reg:absoluteerror", rounds=2)
    add("linear", X, SCORE, objective="reg:squarederror", booster="gblinear", rounds=3)
    add("linear, multiclass", X, THREE, objective="multi:softprob", num_class=3, booster="gblinear", rounds=3)
    frame = pd.DataFrame({"x": X[:, 0], "plan": pd.Categorical(np.array(["a", "b", "c d"])[THREE]), "k": pd.Categorical(random.choice([3, 5, 9], N))})
    matrix = xgb.DMatrix(frame, BINARY, enable_categorical=True)
    booster = xgb.train({**base, "objective": "binary:logistic", "max_cat_to_onehot": 1}, matrix, 4)
    some = xgb.DMatrix(frame[:16], enable_categorical=True)
    cases.append({
        "name": "data frame", "json": shorter(booster.save_raw("json").decode()), "ubj": base64.b64encode(bytes(booster.save_raw("ubj"))).decode(),
        "rows": [[x, p, int(k)] for x, p, k in frame[:16].itertuples(index=False)],
        "sums": plain(booster.predict(some, output_margin=True)), "answers": plain(booster.predict(some)),
    })
    return cases


def sklearn_cases():
    cases = []
    names = ["a", "b", "c", "d", "e"]

    def add(name, model, label, data=X):
        model.fit(data, label)
        found = []
        for estimator in np.ravel(getattr(model, "estimators_", [model])):
            if hasattr(estimator, "tree_"):
                found += [t for t, left in zip(estimator.tree_.threshold, estimator.tree_.children_left) if left >= 0]
        rows = np.vstack([data[:11], extremes(found, np.float32)])
        if isinstance(model, (HistGradientBoostingClassifier, HistGradientBoostingRegressor)) and model.is_categorical_ is not None:
            rows[12:, 3] = np.abs(rows[12:, 3].astype(int)) % 12
        answers = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
        if answers.ndim == 2 and answers.shape[1] == 2:
            answers = answers[:, 1]
        cases.append({"name": name, "json": sklearn_export.export(model, names), "rows": plain(rows), "answers": plain(answers)})

    add("decision tree", DecisionTreeClassifier(max_depth=4, random_state=1), BINARY)
    add("random forest", RandomForestRegressor(4, max_depth=4, random_state=1, n_jobs=1), SCORE)
    add("random forest with holes", RandomForestClassifier(4, max_depth=4, random_state=1, n_jobs=1), BINARY, HOLES)
    add("random forest, three classes", RandomForestClassifier(4, max_depth=3, random_state=1, n_jobs=1), THREE)
    add("extra trees", ExtraTreesRegressor(4, max_depth=4, random_state=1, n_jobs=1), SCORE)
    add("gradient boosting", GradientBoostingRegressor(n_estimators=5, random_state=1), SCORE)
    add("gradient boosting, binary", GradientBoostingClassifier(n_estimators=5, random_state=1), BINARY)
    add("gradient boosting, three classes", GradientBoostingClassifier(n_estimators=3, random_state=1), THREE)
    few = {"max_iter": 5, "max_leaf_nodes": 8}
    add("histograms with holes", HistGradientBoostingRegressor(**few), SCORE, HOLES)
    add("histograms, binary, categories", HistGradientBoostingClassifier(categorical_features=[3], **few), BINARY, X)
    add("histograms, categories with holes", HistGradientBoostingClassifier(categorical_features=[3], **few), BINARY, HOLES)
    add("histograms, three classes", HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=5), THREE, HOLES)
    add("histograms, poisson", HistGradientBoostingRegressor(loss="poisson", **few), COUNT)
    for name, model, label in [
        ("linear", LinearRegression(), SCORE), ("ridge", Ridge(), SCORE), ("logistic", LogisticRegression(), BINARY), ("logistic, three classes", LogisticRegression(), THREE),
    ]:
        model.fit(X, label)
        answers = model.predict_proba(X[:16]) if hasattr(model, "predict_proba") else model.predict(X[:16])
        answers = answers[:, 1] if answers.ndim == 2 and answers.shape[1] == 2 else answers
        cases.append({"name": name, "json": sklearn_export.export(model, names), "rows": plain(X[:16]), "answers": plain(answers)})
    frame = pd.DataFrame({"x": HOLES[:, 0], "y": X[:, 1], "plan": np.array(["a", "b", "c é"])[THREE]})
    for name, model in [("pipeline", LogisticRegression()), ("pipeline of trees", RandomForestClassifier(3, max_depth=3, random_state=1, n_jobs=1))]:
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["x"]), (MinMaxScaler(clip=True), ["y"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"]),
        )
        whole = make_pipeline(columns, model).fit(frame[:200], BINARY[:200])
        later = frame[200:240].copy()
        later.iloc[3, 2] = "never seen"
        cases.append({
            "name": name, "json": sklearn_export.export(whole, list(frame.columns)),
            "rows": [plain([x, y]) + [p] for x, y, p in later.itertuples(index=False)],
            "answers": plain(whole.predict_proba(later)[:, 1]),
        })
    return cases


def write(name, tool, cases):
    path = HERE / f"predictors_{name}.json"
    path.write_text(json.dumps({"tool": tool, "cases": cases}, separators=(",", ":"), ensure_ascii=False) + "\n")
    print(path.name, len(cases), "cases", path.stat().st_size)


write("lightgbm", f"LightGBM {lgb.__version__}", lightgbm_cases())
write("xgboost", f"XGBoost {xgb.__version__}", xgboost_cases())
write("sklearn", f"scikit-learn {sklearn.__version__}", sklearn_cases())
