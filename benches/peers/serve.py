"""Trains 100 trees with scikit-learn, writes them in our format, and serves them with MLflow's scoring server.

Usage: serve.py FOLDER. FOLDER/model.json is made; prints the versions, then the address once the server answers, and serves until
it is killed. Started by `cargo bench -p mlops-benches --bench serve`.
"""

import atexit
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

import mlflow
import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import GradientBoostingRegressor

FEATURES = [f"x{i}" for i in range(20)]
folder = Path(sys.argv[1])
print(f"MLflow {mlflow.__version__}, scikit-learn {sklearn.__version__}, Python {sys.version.split()[0]}", flush=True)

random = np.random.default_rng(7)
x = pd.DataFrame((random.random((4000, len(FEATURES))) * 10).astype(np.float32).astype(float), columns=FEATURES)
y = np.sin(x["x0"]) * x["x1"] + np.sqrt(x["x2"]) * x["x3"] + random.normal(size=len(x))
model = GradientBoostingRegressor(n_estimators=100, max_depth=5, max_leaf_nodes=31, random_state=7).fit(x, y)


def node(tree, at):
    if tree.children_left[at] < 0:
        return {"leaf": model.learning_rate * float(tree.value[at][0][0])}
    # Theirs goes left up to the threshold, ours below it.
    below = math.nextafter(float(tree.threshold[at]), math.inf)
    left, right = int(tree.children_left[at]), int(tree.children_right[at])
    return {"split": {"column": int(tree.feature[at]), "below": below, "left": left, "right": right, "missing": right}}


trees = [[node(t.tree_, at) for at in range(t.tree_.node_count)] for t in model.estimators_[:, 0]]
inputs = [{"name": name, "data_type": "f64", "encoding": "raw"} for name in FEATURES]
base = float(model.init_.constant_[0][0])
stored = {"task": "regression", "encoder": {"inputs": inputs}, "base": base, "trees": trees}
(folder / "model.json").write_text(json.dumps({"model": stored}))
signature = mlflow.models.infer_signature(x, model.predict(x))
# We made the file ourselves a moment ago.
mlflow.sklearn.save_model(
    model, folder / "mlflow", signature=signature, skops_trusted_types=["sklearn.tree._tree.Tree"]
)

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
workers = str(os.cpu_count())
command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder / "mlflow")]
command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", workers]
server = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr, start_new_session=True)
atexit.register(lambda: os.killpg(server.pid, signal.SIGKILL))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for _ in range(1500):
    if server.poll() is not None:
        sys.exit("MLflow's scoring server ended")
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1)
        break
    except OSError:
        time.sleep(0.2)
else:
    sys.exit("MLflow's scoring server did not answer within five minutes")
print(f"{workers} workers", flush=True)
print(f"127.0.0.1:{port}", flush=True)
# Whoever started this holds the other end: when it goes, so does the server.
sys.stdin.read()
