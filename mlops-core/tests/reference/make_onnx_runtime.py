"""Makes small models of ONNX that need the runtime, and writes them with rows and what onnxruntime answers.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
    python3 make_onnx_runtime.py

Writes onnx_runtime.json: models in base 64, options, features with their values, and the answer to each row, asked for alone.
"""

import base64
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skl2onnx import to_onnx

warnings.filterwarnings("ignore")
random = np.random.default_rng(20260210)
X = np.round(random.normal(size=(200, 4)), 2).astype(np.float32)
SCORE = X[:, 0] + (X[:, 1] > 0.3) - X[:, 3] ** 2 + 0.2 * random.normal(size=200)
BINARY = (SCORE > -0.5).astype(int)
ROWS = X[:25]
cases = []


def add(name, model, feeds, output, column, options=None, names=None):
    """`feeds`: by input, the rows; `output`: the output's place; `column`: the number that counts, none of one, or "all"."""
    raw = model.SerializeToString()
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = 1
    session = ort.InferenceSession(raw, session_options, providers=["CPUExecutionProvider"])
    features, answers = [], []
    for key, values in feeds.items():
        wide = values.reshape(len(values), -1)
        for i in range(wide.shape[1]):
            feature = (names or {}).get(key, [key] if wide.shape[1] == 1 else [f"{key}_{k}" for k in range(wide.shape[1])])[i]
            features.append({"name": feature, "values": [v.item() if isinstance(v, np.generic) else v for v in wide[:, i]]})
    count = len(next(iter(feeds.values())))
    for row in range(count):
        answer = session.run(None, {key: values[row : row + 1] for key, values in feeds.items()})[output]
        if isinstance(answer, list):
            answer = np.array([[one[key] for key in sorted(one)] for one in answer])
        answer = np.asarray(answer).reshape(-1)
        answers.append([float(p) for p in answer] if column == "all" else float(answer[column or 0]))
    cases.append({"name": name, "onnx": base64.b64encode(raw).decode(), "options": options or {}, "features": features, "answers": answers})


def mlp(kind, label):
    return make_pipeline(StandardScaler(), kind(hidden_layer_sizes=(6, 4), max_iter=300, random_state=1)).fit(X, label)


classifier = mlp(MLPClassifier, BINARY)
add("mlp of classes, as maps", to_onnx(classifier, X[:1]), {"X": ROWS}, 1, 1)
add("mlp of classes, as numbers", to_onnx(classifier, X[:1], options={"zipmap": False}), {"X": ROWS}, 1, 1)
THREE = np.digitize(SCORE, [-1.2, 0.2])
three = mlp(MLPClassifier, THREE)
add("mlp of three classes", to_onnx(three, X[:1], options={"zipmap": False}), {"X": ROWS}, 1, "all")
maps = {"task": "multiclass_classification", "classes": ["high", "low", "mid"]}
words = mlp(MLPClassifier, np.array(["low", "mid", "high"])[THREE])
add("mlp of three classes, as maps", to_onnx(words, X[:1]), {"X": ROWS}, 1, "all", maps)
named = MLPClassifier(hidden_layer_sizes=(3,), max_iter=200, random_state=2).fit(X, np.where(BINARY == 1, "yes", "no"))
add("mlp of classes with names", to_onnx(named, X[:1]), {"X": ROWS}, 1, 1, {"features": {"X": ["a", "b", "c", "d"]}}, {"X": ["a", "b", "c", "d"]})
add("mlp of numbers", to_onnx(mlp(MLPRegressor, SCORE), X[:1]), {"X": ROWS}, 0, None)
add("support vectors", to_onnx(SVC(probability=True, random_state=1).fit(X[:40], BINARY[:40]), X[:1], options={"zipmap": False}), {"X": ROWS}, 1, 1)
add("nearest neighbours", to_onnx(KNeighborsRegressor(3).fit(X[:30], SCORE[:30]), X[:1]), {"X": ROWS}, 0, None)


def weights(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model_of(nodes, inputs, outputs, constants, opsets=(("", 17), ("ai.onnx.ml", 3))):
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


value = helper.make_tensor_value_info
# Every type of a table in one network: doubles, a list of whole numbers, truth values, texts.
nodes = [
    helper.make_node("LabelEncoder", ["plan"], ["code"], domain="ai.onnx.ml", keys_strings=["basic", "pro"], values_floats=[0.25, 1.5], default_float=-1.0),
    helper.make_node("Cast", ["visits"], ["visits_f"], to=TensorProto.FLOAT),
    helper.make_node("Unsqueeze", ["visits_f", "axis"], ["visits_c"]),
    helper.make_node("Cast", ["new"], ["new_f"], to=TensorProto.FLOAT),
    helper.make_node("Cast", ["x"], ["x_f"], to=TensorProto.FLOAT),
    helper.make_node("Concat", ["x_f", "code", "visits_c", "new_f"], ["all"], axis=1),
    helper.make_node("Gemm", ["all", "w1", "b1"], ["h"]),
    helper.make_node("Tanh", ["h"], ["t"]),
    helper.make_node("Gemm", ["t", "w2", "b2"], ["z"]),
    helper.make_node("Sigmoid", ["z"], ["p"]),
]
constants = [
    weights("axis", np.array([1], dtype=np.int64)),
    weights("w1", random.normal(size=(5, 4)).astype(np.float32)),
    weights("b1", random.normal(size=4).astype(np.float32)),
    weights("w2", random.normal(size=(4, 1)).astype(np.float32)),
    weights("b2", random.normal(size=1).astype(np.float32)),
]
inputs = [
    value("x", TensorProto.DOUBLE, [None, 2]),
    value("plan", TensorProto.STRING, [None, 1]),
    value("visits", TensorProto.INT64, [None]),
    value("new", TensorProto.BOOL, [None, 1]),
]
mixed = model_of(nodes, inputs, [value("p", TensorProto.FLOAT, [None, 1])], constants)
feeds = {
    "x": X[:20, :2].astype(np.float64),
    "plan": np.array([["basic", "pro", "other", ""][i % 4] for i in range(20)], dtype=object).reshape(-1, 1),
    "visits": np.arange(20, dtype=np.int64) - 5,
    "new": np.array([i % 3 == 0 for i in range(20)]).reshape(-1, 1),
}
add("every type", mixed, feeds, 0, None, {"task": "binary_classification"})

# One row at a time and no more, and one output of several to be named.
one = model_of(
    [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("ReduceSum", ["r", "axis"], ["total"], keepdims=0),
    ],
    [value("x", TensorProto.FLOAT, [1, 4])],
    [value("r", TensorProto.FLOAT, [1, 3]), value("total", TensorProto.FLOAT, [1])],
    [weights("w", random.normal(size=(4, 3)).astype(np.float32)), weights("axis", np.array([1], dtype=np.int64))],
)
add("one row at a time", one, {"x": ROWS}, 1, None, {"output": "total"})
add("one of three numbers", one, {"x": ROWS}, 0, 2, {"output": "r", "column": 2})

path = Path(__file__).with_name("onnx_runtime.json")
path.write_text(json.dumps({"generator": "scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0", "cases": cases}))
print(path.stat().st_size, [case["name"] for case in cases])
