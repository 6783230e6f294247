"""Times MLflow's Python client on SQLite, without a server, at the tasks of `cargo bench -p mlops-benches --bench store`.

Usage: store.py DATABASE PROJECTION. DATABASE is made; PROJECTION is a database with the runs to search, which MLflow may
migrate. Prints a line for each task: name, wall seconds, CPU seconds, separated by tabs.
"""

import os
import sys
import time

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

print(f"MLflow {mlflow.__version__}, Python {sys.version.split()[0]}")


def fastest(name, repeats, times, work):
    wall = cpu = float("inf")
    for _ in range(repeats):
        began, busy = time.perf_counter(), time.process_time()
        work()
        wall = min(wall, (time.perf_counter() - began) / times)
        cpu = min(cpu, (time.process_time() - busy) / times)
    print(f"{name}\t{wall}\t{cpu}", flush=True)


client = MlflowClient(f"sqlite:///{sys.argv[1]}")
experiment = client.create_experiment("bench")
run = client.create_run(experiment).info.run_id
step = 0


def log_metric():
    global step
    for _ in range(100):
        client.log_metric(run, "loss", 0.5, step=step)
        step += 1


def log_batch():
    global step
    now = int(time.time() * 1000)
    client.log_batch(run, [Metric("loss", float(i), now, step + i) for i in range(1000)])
    step += 1000


def small_run():
    for _ in range(5):
        small = client.create_run(experiment).info.run_id
        for i in range(10):
            client.log_metric(small, "loss", 0.5, step=i)
        client.set_terminated(small)


fastest("log_metric", 3, 100, log_metric)
fastest("log_batch of 1000, per point", 5, 1000, log_batch)
fastest("create, 10 metrics, end", 3, 5, small_run)

full = MlflowClient(f"sqlite:///{sys.argv[2]}")
searched = full.get_experiment_by_name("bench").experiment_id  # migrates, which is not timed


def search(order):
    found = full.search_runs([searched], order_by=order, max_results=100)
    assert len(found) == 100 and len(found[0].data.metrics) == 5


fastest("search, page of 100", 5, 1, lambda: search([]))
fastest("search, ordered by a metric", 3, 1, lambda: search(["metrics.auc DESC"]))


def reopen():
    again = MlflowClient(f"sqlite:///{sys.argv[2]}?again={time.time_ns()}")
    again.get_experiment_by_name("bench")


try:
    fastest("open", 3, 1, reopen)
except Exception as error:  # some versions do not take parameters in the address
    print(f"open: not measured, {type(error).__name__}")
