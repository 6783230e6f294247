"""Reads back with MLflow's own client what the Rust backends wrote, and compares.

usage: read_back.py EXPECTED.json, with the server in MLFLOW_TRACKING_URI

Ends with 0 and the number of comparisons, or with 1 and every difference.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

compared = 0
differences = []


def equal(what, found, expected):
    """Compares, and remembers. Two NaNs are equal; an integer is not a float, and True is not 1."""
    global compared
    compared += 1
    nans = isinstance(found, float) and isinstance(expected, float) and math.isnan(found) and math.isnan(expected)
    if not nans and (type(found) is not type(expected) or found != expected):
        differences.append(f"{what}: found {found!r}, expected {expected!r}")


def number(text):
    """A float that JSON cannot hold travels as text."""
    return float(text)


def check_run(client, run):
    found = client.get_run(run["id"])
    equal("run name", found.info.run_name, run["name"])
    equal("status", found.info.status, run["status"])
    equal("experiment", client.get_experiment(found.info.experiment_id).name, run["experiment"])
    for key, value in run["params"].items():
        equal(f"parameter {key}", found.data.params.get(key), value)
    for key, value in run["tags"].items():
        equal(f"tag {key}", found.data.tags.get(key), value)
    for key, points in run["metrics"].items():
        history = sorted(client.get_metric_history(run["id"], key), key=lambda m: m.step)
        equal(f"points of {key}", len(history), len(points))
        for point, (step, value) in zip(history, points):
            equal(f"step of {key}", point.step, step)
            equal(f"{key} at {step}", point.value, number(value))
    inputs = [
        (i.dataset.name, i.dataset.digest, {t.key: t.value for t in i.tags}.get("mlflow.data.context"))
        for i in found.inputs.dataset_inputs
    ]
    equal("inputs", sorted(inputs), sorted(tuple(i) for i in run["inputs"]))
    children = client.search_runs([found.info.experiment_id], f"tags.mlflow.parentRunId = '{run['id']}'")
    equal("children", [c.info.run_id for c in children], run["children"])
    by_metric = client.search_runs([found.info.experiment_id], "metrics.loss < 0.3 and params.depth = '6'")
    equal("search", [r.info.run_id for r in by_metric], [run["id"]])


def content(uri):
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
        return Path(path).read_bytes().hex()


def check_model(client, model):
    name = model["name"]
    equal("models", [m.name for m in client.search_registered_models(f"name = '{name}'")], [name])
    versions = client.search_model_versions(f"name = '{name}'")
    equal("versions", sorted(v.version if isinstance(v.version, str) else str(v.version) for v in versions),
          sorted(model["versions"]))
    for number_, expected in model["versions"].items():
        found = client.get_model_version(name, number_)
        for field in ("description", "run_id", "status"):
            equal(f"{field} of version {number_}", getattr(found, field), expected[field])
        for key, value in expected["tags"].items():
            equal(f"tag {key} of version {number_}", found.tags.get(key), value)
        for key in expected["absent_tags"]:
            equal(f"tag {key} of version {number_}", found.tags.get(key), None)
        equal(f"aliases of version {number_}", sorted(found.aliases), sorted(expected["aliases"]))
        equal(f"content of version {number_}", content(found.tags["mlops.source"]), expected["content"])
        if expected["source_is_content"]:
            source = client.get_model_version_download_uri(name, number_)
            equal(f"source of version {number_}", source, found.tags["mlops.source"])
    for alias, number_ in model["aliases"].items():
        equal(f"alias {alias}", str(client.get_model_version_by_alias(name, alias).version), number_)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        expected = json.load(file)
    client = MlflowClient()
    for run in expected["runs"]:
        check_run(client, run)
    check_model(client, expected["model"])
    for difference in differences:
        print(difference)
    print(f"MLflow {mlflow.__version__}: {compared} comparisons, {len(differences)} differences")
    sys.exit(1 if differences else 0)


main()
