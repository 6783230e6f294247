"""Converts small models to ONNX, and writes them with rows and what onnxruntime answers.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnxmltools==1.16.0 onnxruntime==1.32.0 lightgbm==4.7.0
    python3 make_predictors_onnx.py

Writes predictors_onnx.json: models in base 64, rows and answers. Modes of branches that no converter writes come from graphs made by hand.
"""

import base64
import json
import warnings
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

warnings.filterwarnings("ignore")
random = np.random.default_rng(20260105)
N = 300
X = np.round(random.normal(size=(N, 4)), 2).astype(np.float32)
SCORE = X[:, 0] + (X[:, 1] > 0.3) - X[:, 3] ** 2 + 0.2 * random.normal(size=N)
BINARY = (SCORE > -0.5).astype(int)
THREE = np.digitize(SCORE, [-1.2, 0.2])
cases = []


def plain(values):
    return [None if np.isnan(v) else float(v) if np.isfinite(v) else str(float(v)) for v in values]


def add(name, model, rows, feeds=None):
    raw = model if isinstance(model, bytes) else model.SerializeToString()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    answers = session.run(None, feeds or {session.get_inputs()[0].name: rows})[-1]
    if isinstance(answers, list):
        answers = np.array([[row[key] for key in sorted(row)] for row in answers])
    shown = rows if isinstance(rows, list) else [plain(row) for row in rows]
    cases.append({"name": name, "onnx": base64.b64encode(raw).decode(), "rows": shown, "answers": [plain(row) for row in np.asarray(answers).reshape(len(shown), -1)]})


def rows_of(model):
    """Some rows, and rows on and beside thresholds."""
    node = [n for n in model.graph.node if n.op_type.startswith("TreeEnsemble")]
    values = [v for n in node for a in n.attribute if a.name == "nodes_values" for v in a.floats][:5]
    beside = [[f] * 4 for v in values for f in (v, np.nextafter(np.float32(v), np.float32(9)), np.nextafter(np.float32(v), np.float32(-9)))]
    odd = [[v] * 4 for v in (0.0, -0.0, 1e-45, 1e30, -1e30, np.inf, -np.inf)]
    return np.vstack([X[:8], np.array(beside + odd, dtype=np.float32).reshape(-1, 4)])


for name, model, label in [
    ("random forest", RandomForestClassifier(4, max_depth=4, random_state=1), BINARY),
    ("random forest, three classes", RandomForestClassifier(4, max_depth=3, random_state=1), THREE),
    ("random forest of numbers", RandomForestRegressor(4, max_depth=4, random_state=1), SCORE),
    ("gradient boosting", GradientBoostingClassifier(n_estimators=5, random_state=1), BINARY),
    ("gradient boosting, three classes", GradientBoostingClassifier(n_estimators=3, random_state=1), THREE),
    ("gradient boosting of numbers", GradientBoostingRegressor(n_estimators=5, random_state=1), SCORE),
]:
    converted = to_onnx(model.fit(X, label), X[:1])
    add(name, converted, rows_of(converted))
for name, model, label in [
    ("linear", LinearRegression(), SCORE),
    ("scaled logistic", make_pipeline(StandardScaler(), LogisticRegression()), BINARY),
    ("scaled logistic, three classes", make_pipeline(StandardScaler(), LogisticRegression()), THREE),
    ("normalised", make_pipeline(Normalizer("l2"), LogisticRegression()), BINARY),
    ("scaled trees", make_pipeline(StandardScaler(), RandomForestRegressor(3, max_depth=3, random_state=1)), SCORE),
]:
    add(name, to_onnx(model.fit(X, label), X[:1]), X[:20])

import pandas as pd

frame = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "plan": np.array(["a", "b", "c é"])[THREE]})
columns = make_column_transformer((StandardScaler(), ["x", "y"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"]))
whole = make_pipeline(columns, LogisticRegression()).fit(frame, BINARY)
converted = to_onnx(whole, initial_types=[("x", FloatTensorType([None, 1])), ("y", FloatTensorType([None, 1])), ("plan", StringTensorType([None, 1]))])
some = frame[:16].copy()
some.iloc[3, 2] = "never seen"
feeds = {"x": some[["x"]].values.astype(np.float32), "y": some[["y"]].values.astype(np.float32), "plan": some[["plan"]].values.astype(object)}
add("encoded texts", converted, [[float(x), float(y), p] for x, y, p in some.itertuples(index=False)], feeds)

import onnxmltools
from onnxmltools.convert.common.data_types import FloatTensorType as Floats

for name, params, label in [("LightGBM, binary", {"objective": "binary"}, BINARY), ("LightGBM of numbers", {"objective": "regression"}, SCORE), ("LightGBM, three classes", {"objective": "multiclass", "num_class": 3}, THREE)]:
    booster = lgb.train({"verbose": -1, "num_leaves": 6, "num_threads": 1, **params}, lgb.Dataset(X, label), 4)
    try:
        converted = onnxmltools.convert_lightgbm(booster, initial_types=[("input", Floats([None, 4]))])
        add(name, converted, rows_of(converted))
    except Exception as error:
        print("left out:", name, repr(error)[:200])


def ensemble(mode, tracks, post="NONE", aggregate="SUM"):
    """Two trees of one question of this mode each, and a third of two."""
    return helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, post_transform=post, aggregate_function=aggregate, base_values=[0.25],
        nodes_treeids=[0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2], nodes_nodeids=[0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4],
        nodes_featureids=[0, 0, 0, 1, 0, 0, 2, 3, 0, 0, 0], nodes_values=[0.5, 0, 0, -0.25, 0, 0, 1.5, 0.0, 0, 0, 0],
        nodes_modes=[mode, "LEAF", "LEAF", mode, "LEAF", "LEAF", mode, mode, "LEAF", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0, 1, 0, 0, 1, 2, 0, 0, 0], nodes_falsenodeids=[2, 0, 0, 2, 0, 0, 4, 3, 0, 0, 0],
        nodes_missing_value_tracks_true=[tracks, 0, 0, tracks, 0, 0, tracks, 1 - tracks, 0, 0, 0], nodes_hitrates=[1.0] * 11,
        target_treeids=[0, 0, 1, 1, 2, 2, 2], target_nodeids=[1, 2, 1, 2, 2, 3, 4], target_ids=[0] * 7, target_weights=[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4],
    )


special = np.array([[a, b, c, d] for a in (0.5, 0.4, np.nan) for b in (-0.25, 3.0, np.nan) for c in (1.5, np.nan) for d in (-0.0, 1.0)], dtype=np.float32)
for mode in ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]:
    for tracks in [0, 1]:
        post, aggregate = ("NONE", "SUM") if tracks else ("LOGISTIC", "AVERAGE")
        post = post if mode != "BRANCH_EQ" or tracks else "PROBIT"
        post = "NONE" if post == "PROBIT" else post
        graph = helper.make_graph(
            [ensemble(mode, tracks, post, aggregate)], "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 4])],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 15)], ir_version=8)
        add(f"{mode}, missing {'true' if tracks else 'false'}", model, special)

path = Path(__file__).parent / "predictors_onnx.json"
text = json.dumps({"tool": f"onnxruntime {ort.__version__}", "cases": cases}, separators=(",", ":"), ensure_ascii=False)
path.write_text(text + "\n")
print(path.name, len(cases), "cases", path.stat().st_size)
