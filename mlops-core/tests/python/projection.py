"""Serves the projection of a store with MLflow's own server, asks it over REST, and prints the answers as one JSON object.

Usage: projection.py DATABASE EXPERIMENT MODEL
"""

import json
import logging
import os
import sys
import threading
import urllib.parse
import urllib.request

database, experiment, model = sys.argv[1:4]
os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ["_MLFLOW_SERVER_FILE_STORE"] = os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = f"sqlite:///{database}"
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = f"{os.path.dirname(database)}/made-by-mlflow"

import mlflow
from mlflow.server import app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
base = f"http://127.0.0.1:{server.server_port}"


def ask(at, body=None, **query):
    url = f"{base}{at}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with opener.open(request, timeout=120) as answer:
        return answer.read()


def api(at, body=None, **query):
    return json.loads(ask(f"/api/2.0/mlflow/{at}", body, **query))


# MLflow 2.22.5 makes a statement that SQLite refuses (`no such column: anon_1.destination_id`) of a filter on datasets.
by_dataset = "" if mlflow.__version__.startswith("2.") else " AND dataset.name = 'patients'"


found = api("experiments/get-by-name", experiment_name=experiment)["experiment"]
runs = api(
    "runs/search",
    {"experiment_ids": [found["experiment_id"]], "order_by": ["metrics.loss DESC"], "run_view_type": "ALL"},
)["runs"]
by_name = {run["info"]["run_name"]: run for run in runs}
main = by_name["main"]["info"]["run_id"]
answers = {
    "mlflow": mlflow.__version__,
    "experiment": found,
    "runs": by_name,
    "loss": api("metrics/get-history", run_id=main, metric_key="loss")["metrics"],
    "filtered": [
        run["info"]["run_name"]
        for run in api(
            "runs/search",
            {
                "experiment_ids": [found["experiment_id"]],
                "filter": f"metrics.auc > 0.5 AND params.depth = '6'{by_dataset}",
            },
        ).get("runs", [])
    ],
    "artifacts": api("artifacts/list", run_id=main).get("files", []),
    "artifact": ask("/get-artifact", run_id=main, path="notes.txt").decode(),
    "versions": api("model-versions/search", filter=f"name='{model}'")["model_versions"],
    "champion": api("registered-models/alias", name=model, alias="champion")["model_version"],
}
if len(sys.argv) > 4:  # edits, as the user interface makes them
    api("runs/set-tag", {"run_id": main, "key": "mlflow.note.content", "value": "looks good"})
    api("runs/set-tag", {"run_id": main, "key": "reviewed", "value": "yes"})
    api("model-versions/set-tag", {"name": model, "version": "1", "key": "stage", "value": "blue"})
    api("registered-models/alias", {"name": model, "alias": "candidate", "version": "1"})
print(json.dumps(answers))
