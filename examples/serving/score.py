"""Answers of the closed loop's models behind a managed online endpoint.

Reads the formats that `mlops-core` writes for its own predictors (`mlops.constant/v1`, `mlops.linear/v1`, `mlops.forest/v1`), which are
JSON, with the standard library alone; nothing of a model is ever run. The answers are those of `mlops-core` but for the order in which
sums are rounded.

A request is `{"input_data": {"columns": [...], "data": [[...], ...]}}`, with `null` for what is missing; the answer is a list with one
number for each row: for a binary task the probability of the positive class.
"""

import json
import math
import os

MODEL = None


def init():
    """Loads the model, once; Azure mounts it at `AZUREML_MODEL_DIR`."""
    global MODEL
    MODEL = load(os.environ["AZUREML_MODEL_DIR"])


def run(raw_data):
    """Answers one request. What is wrong with it is said without its values, which may be private."""
    rows = table(json.loads(raw_data))
    return [predict(MODEL, row) for row in rows]


def load(folder):
    """The model in the one file below a folder."""
    files = [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]
    if len(files) != 1:
        raise ValueError(f"the model must be one file, and there are {len(files)}")
    with open(files[0], encoding="utf-8") as file:
        model = json.load(file)["model"]
    if model["task"] not in ("binary_classification", "regression"):
        raise ValueError(f"the task {model['task']} has no answer of one number")
    if not ({"value"} <= model.keys() or {"encoder", "weights", "intercept"} <= model.keys()
            or {"encoder", "trees", "base"} <= model.keys()):
        raise ValueError("the model is of no format that is known here")
    return model


def table(request):
    """The rows of a request, each by the names of its columns."""
    given = request["input_data"]
    names = given["columns"]
    if any(len(row) != len(names) for row in given["data"]):
        raise ValueError("a row has another number of values than there are columns")
    return [dict(zip(names, row)) for row in given["data"]]


def predict(model, row):
    """What a model says of one row."""
    if "value" in model:
        return model["value"]
    encoded = encode(model["encoder"], row)
    if "weights" in model:
        answer = model["intercept"]
        for value, weight in zip(encoded, model["weights"]):
            answer += value * weight
    else:
        answer = model["base"] + math.fsum(walk(tree, encoded) for tree in model["trees"])
    return logistic(answer) if model["task"] == "binary_classification" else answer


def encode(encoder, row):
    """A row as the numbers that the model was trained on."""
    numbers = []
    for feature in encoder["inputs"]:
        name, encoding = feature["name"], feature["encoding"]
        if name not in row:
            raise ValueError(f"the column {name!r} is not there")
        value = row[name]
        if encoding == "raw":
            numbers.append(number(name, value))
        elif "standard" in encoding:
            known, value = encoding["standard"], number(name, value)
            numbers.append(0.0 if math.isnan(value) else (value - known["center"]) / known["scale"])
        else:
            known = encoding["levels"]
            if not (value is None or isinstance(value, str)):
                raise ValueError(f"the column {name!r} takes texts")
            numbers.extend(1.0 if value == level else 0.0 for level in known["levels"])
            if known["missing"]:
                numbers.append(1.0 if value is None else 0.0)
    return numbers


def number(name, value):
    """A value as a number; one that is missing is NaN."""
    if value is None:
        return math.nan
    if not isinstance(value, (bool, int, float)) or math.isinf(value):
        raise ValueError(f"the column {name!r} takes finite numbers")
    return float(value)


def walk(tree, encoded):
    """What a tree adds for a row: paths lead to nodes further back in the list, so that they end."""
    node = tree[0]
    while "leaf" not in node:
        split = node["split"]
        value = encoded[split["column"]]
        if math.isnan(value):
            way = "missing"
        else:
            way = "left" if value < split["below"] else "right"
        node = tree[split[way]]
    return node["leaf"]


def logistic(z):
    """1 / (1 + e^-z), without an overflow."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)
