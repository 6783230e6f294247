"""Writes sketches.json: sketches as the Python library of Apache DataSketches serialises them, and what they answer.

    python sketches.py > sketches.json        datasketches 5.2.0, NumPy 2.4.6, SciPy 1.17.1
"""

import json

import datasketches as ds
import numpy as np
from scipy.stats import ks_2samp

rng = np.random.default_rng(7)


def quantiles(k, count):
    sketch = ds.kll_doubles_sketch(k)
    values = rng.permutation(count).astype(float)
    for value in values:
        sketch.update(value)
    probes = [0.0, count / 3, count / 2, count - 1.0] if count else []
    return {
        "k": k,
        "count": count,
        "bytes": sketch.serialize().hex(),
        "ranks": [[value, sketch.get_rank(value, True)] for value in probes],
        "rank_error": sketch.normalized_rank_error(False) if sketch.is_estimation_mode() else 0.0,
    }


def composite(sketch):
    """The estimate that does not depend on the order: a union has no other."""
    union = ds.hll_union(sketch.lg_config_k)
    union.update(sketch)
    union.update(sketch)
    return union.get_estimate()


def distinct(lg_k, kind, numbers, texts):
    sketch = ds.hll_sketch(lg_k, kind)
    for i in range(numbers):
        sketch.update(float(i))
    for i in range(texts):
        sketch.update(f"text {i}")
    return {
        "lg_k": lg_k,
        "numbers": numbers,
        "texts": texts,
        "bytes": sketch.serialize_compact().hex(),
        "estimate": composite(sketch),
    }


def frequent(lg_size, count):
    sketch = ds.frequent_strings_sketch(lg_size)
    for i in range(count):
        sketch.update(f"text {i}", 1 + (count - i) // 8)
    sketch.update("one", 1000)
    top = sketch.get_frequent_items(ds.frequent_items_error_type.NO_FALSE_NEGATIVES)[:3]
    return {
        "total": sketch.total_weight,
        "bytes": sketch.serialize().hex(),
        "top": [[text, low, high] for text, _, low, high in top],
    }


def drifted():
    """Sketches of 200 000 uniform values each, shifted by nothing, a little and a lot, with the D of the values."""
    values = [rng.random(200_000) + shift for shift in (0.0, 0.005, 0.1)]
    cases = []
    for shifted in values:
        sketch = ds.kll_doubles_sketch(200)
        sketch.update(shifted)
        statistic = ks_2samp(values[0], shifted, method="asymp").statistic
        cases.append({"bytes": sketch.serialize().hex(), "statistic": statistic})
    return cases


HLL_4, HLL_8 = ds.tgt_hll_type.HLL_4, ds.tgt_hll_type.HLL_8
print(
    json.dumps(
        {
            "quantiles": [quantiles(200, n) for n in (0, 1, 2, 100, 5000)],
            "distinct": [
                distinct(12, HLL_8, 0, 0),
                distinct(12, HLL_8, 3, 2),
                distinct(12, HLL_8, 300, 100),
                distinct(10, HLL_8, 20000, 500),
                distinct(10, HLL_4, 20000, 500),
            ],
            "frequent": [frequent(3, 2), frequent(5, 100)],
            "drifted": drifted(),
        },
        indent=1,
    )
)
