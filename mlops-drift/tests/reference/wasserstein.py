"""Writes wasserstein.json and ks_one_sided.json: distances by exact rationals and by SciPy, one-sided exact p by SciPy.

Usage: python3 wasserstein.py, with NumPy and SciPy.
"""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

HERE = Path(__file__).parent
rng = np.random.default_rng(20)


def exact(a, b):
    """The integral of |F - G| in rationals."""
    a, b = sorted(map(Fraction, a)), sorted(map(Fraction, b))
    points = sorted(set(a) | set(b))
    i = j = 0
    total = Fraction(0)
    for x, y in zip(points, points[1:]):
        while i < len(a) and a[i] <= x:
            i += 1
        while j < len(b) and b[j] <= x:
            j += 1
        total += abs(Fraction(i, len(a)) - Fraction(j, len(b))) * (y - x)
    return float(total)


SAMPLES = {
    "normal": (rng.normal(size=60), rng.normal(0.3, 1.2, size=45)),
    "far from zero": (1e9 + rng.normal(size=50), 1e9 + rng.normal(0.1, size=70)),
    "ties": (rng.poisson(3, 80), rng.poisson(3.5, 60)),
    "two values": ([0] * 30 + [1] * 10, [0] * 20 + [1] * 25),
    "an outlier of 1e300": (np.append(rng.normal(size=40), 1e300), rng.normal(size=30)),
    "the same outlier twice": (np.append(rng.normal(size=29), 1e300), np.append(rng.normal(size=29), 1e300)),
    "subnormal": (np.arange(1, 30) * 5e-324, np.arange(3, 40) * 5e-324),
    "disjoint": (rng.random(20), 5 + rng.random(30)),
    "one and one": ([1.5], [4.0]),
    "many and few": (rng.exponential(size=300), rng.exponential(size=3)),
    "negative zero": ([-0.0, 0.0, 1.0], [0.0, -0.0, -0.0, 2.0]),
}
cases = []
for name, (a, b) in SAMPLES.items():
    a, b = [float(v) for v in a], [float(v) for v in b]
    raw = exact(a, b)
    theirs = stats.wasserstein_distance(a, b)
    iqr = float(np.subtract(*np.quantile(a, [0.75, 0.25])))
    with np.errstate(over="ignore"):
        std = [float(np.std(a, ddof=ddof)) if len(a) > ddof else math.nan for ddof in (0, 1)]
    cases.append({
        "name": name,
        "tool": "fractions, CPython; quantiles and deviations by NumPy " + np.__version__,
        "reference": a,
        "current": b,
        "raw": raw,
        "scipy": theirs if math.isfinite(theirs) else None,
        "iqr": iqr,
        "std": [s if math.isfinite(s) else None for s in std],
    })
weights = (rng.random(60), rng.random(45))
a, b = SAMPLES["normal"]
weighted = {
    "tool": f"scipy {scipy.__version__} wasserstein_distance",
    "reference": list(a),
    "reference_weights": list(weights[0]),
    "current": list(b),
    "current_weights": list(weights[1]),
    "raw": stats.wasserstein_distance(a, b, *weights),
}
(HERE / "wasserstein.json").write_text(json.dumps({"cases": cases, "weighted": weighted}, indent=1))

sided = []
for name, a, b in [
    ("shifted", rng.normal(size=40), rng.normal(0.5, size=55)),
    ("the other way", rng.normal(0.5, size=70), rng.normal(size=70)),
    ("deep", rng.random(120), 0.9 + rng.random(100)),
    ("null", rng.random(200), rng.random(150)),
]:
    for alternative in ["less", "greater"]:
        test = stats.ks_2samp(a, b, alternative=alternative, method="exact")
        sided.append({
            "name": f"{name}, {alternative}",
            "tool": f"scipy {scipy.__version__} ks_2samp, exact",
            "reference": list(a),
            "current": list(b),
            "alternative": alternative,
            "statistic": float(test.statistic),
            "p": float(test.pvalue),
        })
(HERE / "ks_one_sided.json").write_text(json.dumps(sided, indent=1))
