"""Forests of 200 trees with 31 leaves: ours beside LightGBM, XGBoost and onnxruntime, on the same models and rows, one thread each.

    python3 benches/peers/forest.py

Prints CPU milliseconds for a row: alone, and among many. LightGBM's row alone goes through its fast C interface, not through Python's checks.
The number of rows is MLOPS_BENCH_ROWS, 20 000 if not given.
"""

import ctypes
import os
import sys
from pathlib import Path

from side_by_side import ROOT, bench, cpu, environment, rows, run

FOLDER = ROOT / "target" / "forest-bench"
ROWS = rows(20_000)
FEATURES, SINGLE, REPEATS = 20, 2000, 7


def fastest(call, times):
    best = float("inf")
    for _ in range(REPEATS):
        began = cpu()
        call()
        best = min(best, (cpu() - began) / times)
    return best * 1000


def peer():
    """Trains, writes the files, and measures the libraries; in their own Python."""
    import lightgbm as lgb
    import numpy as np
    import onnxmltools
    import onnxruntime as ort
    import xgboost as xgb
    from onnxmltools.convert.common.data_types import FloatTensorType

    random = np.random.default_rng(1)
    x = random.normal(size=(ROWS, FEATURES))
    y = (x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x[:, 3:].sum(axis=1) / 4 + random.normal(size=ROWS) > 0).astype(int)
    FOLDER.mkdir(parents=True, exist_ok=True)
    x.astype("<f8").tofile(FOLDER / "rows.f64")
    booster = lgb.train({"objective": "binary", "num_leaves": 31, "num_threads": 1, "verbose": -1}, lgb.Dataset(x, y), 200)
    booster.save_model(FOLDER / "lightgbm.txt")
    trees = xgb.train({"objective": "binary:logistic", "max_leaves": 31, "max_depth": 0, "grow_policy": "lossguide", "nthread": 1}, xgb.DMatrix(x, y), 200)
    trees.save_model(FOLDER / "xgboost.json")
    graph = onnxmltools.convert_lightgbm(booster, initial_types=[("input", FloatTensorType([None, FEATURES]))], zipmap=False)
    (FOLDER / "lightgbm.onnx").write_bytes(graph.SerializeToString())

    library, handle = lgb.basic._LIB, booster._handle
    fast, out, length = ctypes.c_void_p(), (ctypes.c_double * 1)(), ctypes.c_int64()
    library.LGBM_BoosterPredictForMatSingleRowFastInit(handle, 0, 0, -1, 1, FEATURES, b"num_threads=1", ctypes.byref(fast))
    pointers = [ctypes.c_void_p(row.ctypes.data) for row in x[:SINGLE]]

    def alone():
        for pointer in pointers:
            library.LGBM_BoosterPredictForMatSingleRowFast(fast, pointer, ctypes.byref(length), out)

    print(f"LightGBM, a row alone\tLightGBM\t{fastest(alone, SINGLE):.6f}")
    print(f"LightGBM, a row of {ROWS}\tLightGBM\t{fastest(lambda: booster.predict(x, num_threads=1), ROWS):.6f}")
    single = x.astype(np.float32)
    trees.set_param({"nthread": 1})
    print(f"XGBoost, a row of {ROWS}\tXGBoost\t{fastest(lambda: trees.inplace_predict(single), ROWS):.6f}")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(FOLDER / "lightgbm.onnx", options, providers=["CPUExecutionProvider"])
    name, one = session.get_inputs()[0].name, [single[i : i + 1] for i in range(SINGLE)]
    print(f"ONNX, a row alone\tonnxruntime\t{fastest(lambda: [session.run(None, {name: row}) for row in one], SINGLE):.6f}")
    print(f"ONNX, a row of {ROWS}\tonnxruntime\t{fastest(lambda: session.run(None, {name: single}), ROWS):.6f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["peer"]:
        peer()
        sys.exit()
    given = os.environ.get("MLOPS_BENCH_PYTHON")
    python = Path(given) if given else environment("forest", ["lightgbm", "xgboost", "onnxmltools", "skl2onnx", "onnxruntime"])
    theirs = {}
    for line in run([python, __file__, "peer"]).splitlines():
        if line.count("\t") == 2:
            task, library, figure = line.split("\t")
            theirs[task] = (library, float(figure))
    os.environ["MLOPS_BENCH_FOREST"] = str(FOLDER)
    print(f"{'CPU microseconds a row':50} {'ours':>8}   peer, and how many times as long")
    for task, figure in bench("forest").items():
        library, other = theirs.get(task, ("", 0.0))
        print(f"{task:50} {figure * 1000:8.3f}   " + (f"{library} {other * 1000:.3f} ({other / figure:.1f}x)" if library else ""))
