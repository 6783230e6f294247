"""Graphs of ONNX with what came later or lies after the model, and what onnxruntime answers.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnxmltools==1.16.0 onnx==1.23.2 onnxruntime==1.32.0 lightgbm==4.7.0 xgboost==3.2.0
    python3 make_predictors_trees.py

Writes predictors_trees.json: models in base 64, rows and answers. TreeEnsemble of ai.onnx.ml 5, encoders of labels before the model, and arithmetic after it.
"""

import base64
import json
import warnings
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
import onnxmltools
import onnxruntime as ort
import pandas as pd
import xgboost as xgb
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType as Floats
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

warnings.filterwarnings("ignore")
random = np.random.default_rng(20261126)
N = 300
X = np.round(random.normal(size=(N, 4)), 2).astype(np.float32)
SCORE = X[:, 0] + (X[:, 1] > 0.3) - X[:, 3] ** 2 + 0.2 * random.normal(size=N)
BINARY, THREE = (SCORE > -0.5).astype(int), np.digitize(SCORE, [-1.2, 0.2])
cases = []


def plain(values):
    return [None if np.isnan(v) else float(v) if np.isfinite(v) else str(float(v)) for v in values]


def add(name, model, rows, feeds=None):
    raw = model.SerializeToString()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    answers = session.run(None, feeds or {session.get_inputs()[0].name: rows})[-1]
    if isinstance(answers, list):
        answers = np.array([[row[key] for key in sorted(row)] for row in answers])
    shown = rows if isinstance(rows, list) else [plain(row) for row in rows]
    answers = np.asarray(answers).reshape(len(shown), -1)
    cases.append({"name": name, "onnx": base64.b64encode(raw).decode(), "rows": shown, "answers": [plain(row) for row in answers]})
    print(name, answers[:2].tolist())


def model(nodes, kind, width, initializers=(), outputs=1, last="Y", rows=4):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("X", kind, [None, rows])],
        [helper.make_tensor_value_info(last, kind, [None, outputs])], list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 5), helper.make_opsetid("", 18)], ir_version=9)


def tensor(name, values, kind):
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def ensemble(modes, kind=np.float32, tracks=0, post=0, aggregate=1, targets=1, members=()):
    """Three trees: two questions with a leaf apart, one question, and one leaf."""
    modes = [modes[i % len(modes)] for i in range(4)]
    extra = {"membership_values": tensor("m", members, kind)} if len(members) else {}
    return helper.make_node(
        "TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=targets, post_transform=post, aggregate_function=aggregate, tree_roots=[0, 2, 3],
        nodes_featureids=[0, 1, 2, 3], nodes_splits=tensor("s", [0.5, -0.25, 1.5, 0.0], kind), nodes_modes=tensor("o", modes, np.uint8),
        nodes_truenodeids=[1, 0, 3, 5], nodes_trueleafs=[0, 1, 1, 1], nodes_falsenodeids=[2, 1, 4, 5], nodes_falseleafs=[1, 1, 1, 1],
        nodes_missing_value_tracks_true=[tracks, 1 - tracks, tracks, 0],
        leaf_targetids=[i % targets for i in range(6)], leaf_weights=tensor("w", [0.1, 0.2, 0.4, -0.8, 1.6, 3.2], kind), **extra,
    )


def special(kind=np.float32):
    return np.array([[a, b, c, d] for a in (0.5, 0.4, np.nan) for b in (-0.25, 3.0, np.nan) for c in (1.5, 7.0, np.nan) for d in (-0.0, 1.0)], dtype=kind)


for mode, name in enumerate(["at most", "below", "at least", "above", "equal", "unequal"]):
    tracks = mode % 2
    add(f"version 5, {name}", model([ensemble([mode], tracks=tracks, aggregate=mode % 2)], TensorProto.FLOAT, 4), special())
    add(f"version 5, {name}, missing the other way", model([ensemble([mode], tracks=1 - tracks)], TensorProto.FLOAT, 4), special())
add("version 5, sets", model([ensemble([6, 0, 6, 6], members=[0.5, 2.0, np.nan, 1.5, 3.0, 7.0, np.nan, 0.0, 9.0])], TensorProto.FLOAT, 4), special())
add("version 5, sets, missing are in", model([ensemble([6, 0, 6, 6], tracks=1, members=[0.5, 2.0, np.nan, 1.5, 3.0, 7.0, np.nan, 0.0, 9.0])], TensorProto.FLOAT, 4), special())
third = np.vstack([special(np.float64)[:6], np.array([[0.5 + 1e-12, -0.25 - 1e-12, 1.5 - 1e-13, 1e-300]])])
add("version 5, double precision", model([ensemble([0, 3], kind=np.float64)], TensorProto.DOUBLE, 4), third)
add("version 5, three targets", model([ensemble([0, 1], targets=3)], TensorProto.FLOAT, 4, outputs=3), special()[:8])
add("version 5, three targets, softmax but for zero", model([ensemble([0, 1], post=3, targets=3)], TensorProto.FLOAT, 4, outputs=3), special()[:8])
average = ensemble([0], targets=2, aggregate=0)
labels = [helper.make_node("ArgMax", ["Y"], ["L"], axis=1)]
add("version 5, the greatest of two", model([average, *labels], TensorProto.FLOAT, 4, outputs=2), special()[:8])

constants = [tensor("scale", [2.5], np.float32), tensor("shift", [[0.1, -0.2, 0.7]], np.float32), tensor("half", 0.5, np.float32)]
steps = [
    ensemble([0], targets=3),
    helper.make_node("Mul", ["scale", "Y"], ["a"]), helper.make_node("Add", ["a", "shift"], ["b"]), helper.make_node("Sub", ["half", "b"], ["c"]),
    helper.make_node("Div", ["c", "shift"], ["d"]), helper.make_node("Sub", ["d", "half"], ["e"]), helper.make_node("Neg", ["e"], ["f"]),
    helper.make_node("Constant", [], ["third"], value=tensor("t", 0.3, np.float32)), helper.make_node("Mul", ["f", "third"], ["g"]),
]
add("arithmetic", model(steps, TensorProto.FLOAT, 4, constants, outputs=3, last="g"), special()[:12])
constants = constants[:1]
tail = [ensemble([0], targets=3), helper.make_node("Mul", ["Y", "scale"], ["a"]), helper.make_node("Softmax", ["a"], ["b"], axis=1)]
add("arithmetic, then softmax", model(tail, TensorProto.FLOAT, 4, constants, outputs=3, last="b"), special()[:12])
wide = [
    ensemble([0]), helper.make_node("Cast", ["Y"], ["y"], to=TensorProto.DOUBLE), helper.make_node("Mul", ["y", "c"], ["z"]), helper.make_node("Exp", ["z"], ["e"]),
    helper.make_node("Cast", ["e"], ["last"], to=TensorProto.FLOAT),
]
add("arithmetic in double precision", model(wide, TensorProto.FLOAT, 4, [tensor("c", 1 / 3, np.float64)], last="last"), special()[:12])

rows = X[:12]
for objective, label in [("binary", BINARY), ("multiclass", THREE)]:
    params = {"verbose": -1, "num_leaves": 4, "num_threads": 1, "objective": objective} | ({"num_class": 3} if objective == "multiclass" else {})
    booster = lgb.train(params, lgb.Dataset(X, label), 3)
    add(f"LightGBM, {objective}, without ZipMap", onnxmltools.convert_lightgbm(booster, initial_types=[("input", Floats([None, 4]))], zipmap=False), rows)
counts = xgb.XGBRegressor(n_estimators=3, max_depth=2, objective="count:poisson", n_jobs=1).fit(X, np.round(np.exp(SCORE / 2)))
add("XGBoost, poisson", onnxmltools.convert_xgboost(counts, initial_types=[("input", Floats([None, 4]))]), rows)

frame = pd.DataFrame({"x": X[:, 0], "plan": np.array(["a", "b", "c é"])[THREE], "k": random.choice([3, 5, 9], N)})
codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
for name, kind, label in [("classes", RandomForestClassifier, BINARY), ("numbers", RandomForestRegressor, SCORE)]:
    whole = make_pipeline(make_column_transformer((codes, ["plan"]), (codes, ["k"]), ("passthrough", ["x"])), kind(3, max_depth=3, random_state=1)).fit(frame, label)
    converted = to_onnx(whole, initial_types=[("x", FloatTensorType([None, 1])), ("plan", StringTensorType([None, 1])), ("k", Int64TensorType([None, 1]))])
    some = frame[:16].copy()
    some.iloc[3, 1] = "never seen"
    some.iloc[5, 2] = 4
    feeds = {"x": some[["x"]].values.astype(np.float32), "plan": some[["plan"]].values.astype(object), "k": some[["k"]].values.astype(np.int64)}
    order = [i.name for i in converted.graph.input]
    shown = [[{"x": float(x), "plan": p, "k": float(k)}[n] for n in order] for x, p, k in some.itertuples(index=False)]
    add(f"encoded labels, {name}", converted, shown, feeds)

path = Path(__file__).parent / "predictors_trees.json"
path.write_text(json.dumps({"tool": f"onnxruntime {ort.__version__}", "cases": cases}, separators=(",", ":"), ensure_ascii=False) + "\n")
print(path.name, len(cases), "cases", path.stat().st_size)
