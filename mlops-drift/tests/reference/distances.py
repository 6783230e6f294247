"""Writes the reference values of the distances on cells, of the energy distance and of the bin rules.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 mpmath==1.4.1
    venv/bin/python mlops-drift/tests/reference/distances.py
"""
import json
import math
import pathlib

import mpmath
import numpy
import scipy
import scipy.stats
from mpmath import mp, mpf

mp.dps = 60
HERE = pathlib.Path(__file__).parent
SCIPY = f"scipy {scipy.__version__}"
MPMATH = f"mpmath {mpmath.__version__}"
NUMPY = f"numpy {numpy.__version__}"
rng = numpy.random.default_rng(20260202)


def write(name, cases):
    text = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    (HERE / f"{name}.json").write_text("[\n" + text + "\n]\n")


COUNTS = {
    "two_by_two": ([90, 10], [75, 25]),
    "three_cells": ([10, 20, 30], [20, 20, 20]),
    "new_category": ([500, 500, 0], [480, 470, 50]),
    "vanished_category": ([50, 40, 10], [60, 60, 0]),
    "disjoint": ([5000, 0, 3], [0, 10, 0]),
    "five_thousand_and_ten": ([1000, 900, 1100, 1050, 950], [1, 5, 0, 2, 2]),
    "p_near_1e_minus_120": ([600, 400, 300, 200], [230, 330, 430, 560]),
    "p_beyond_doubles": ([900_000, 100_000, 7], [100_000, 900_000, 9]),
    "nearly_equal_millions": ([10_000_000, 10_000_000, 5_000_000], [10_000_300, 9_999_500, 5_000_200]),
    "many_cells": (rng.multinomial(5000, [1 / 50] * 50).tolist(), rng.multinomial(3000, [1 / 50] * 50).tolist()),
    "sparse_hundred": (rng.multinomial(60, [1 / 100] * 100).tolist(), rng.multinomial(90, [1 / 100] * 100).tolist()),
}


def shares(a, b, half):
    cells = [(x, y) for x, y in zip(a, b) if x + y > 0]
    side = lambda i, total: [(mpf(c[i]) + half) / (total + half * len(cells)) for c in cells]
    return side(0, sum(a)), side(1, sum(b))


def kl(p, q):
    return sum(x * mpmath.log(x / y) for x, y in zip(p, q) if x)


def hellinger_square(p, q):
    return sum((mpmath.sqrt(x) - mpmath.sqrt(y)) ** 2 for x, y in zip(p, q)) / 2


def ln_chi2(statistic, dof):
    return float(mpmath.log(mpmath.gammainc(mpf(dof) / 2, statistic / 2, regularized=True)))


def ln_sidak(p, q, n, m):
    """ln of 1 - prod(1 - alpha): alpha the two-sided normal tail of a cell; two cells are one."""
    unit = mpf(1) / n + mpf(1) / m
    largest = max(abs(x - y) for x, y in zip(p, q))
    pooled = [(n * x + m * y) / (n + m) for x, y in zip(p, q)][: 1 if len(p) == 2 else None]
    with mp.workdps(400_000 if largest**2 / unit > 700_000 else 4000):
        alphas = [mpmath.erfc(largest / mpmath.sqrt(2 * s * (1 - s) * unit)) for s in pooled if 0 < s < 1]
        below = mpf(1)
        for alpha in alphas:
            below *= 1 - alpha
        return float(mpmath.log(1 - below)) if below < 1 else None


def cell_cases():
    for name, (a, b) in COUNTS.items():
        n, m = sum(a), sum(b)
        unit = mpf(1) / n + mpf(1) / m
        (p, q), (u, v) = shares(a, b, 0), shares(a, b, mpf(1) / 2)
        for one, other in ((u, v), (v, u)):
            peer = scipy.stats.entropy([float(x) for x in one], [float(x) for x in other])
            assert math.isclose(peer, float(kl(one, other)), rel_tol=1e-10) or peer < 1e-6, name
        dof = len(p) - 1
        far = name == "p_beyond_doubles"
        yield {
            "name": name, "tool": f"{MPMATH}; {SCIPY} stats.entropy", "reference": a, "current": b,
            "kl_current": float(kl(v, u)), "ln_p_kl_current": ln_chi2(2 * kl(v, u) / unit, dof),
            "kl_reference": float(kl(u, v)), "ln_p_kl_reference": ln_chi2(2 * kl(u, v) / unit, dof),
            "hellinger": float(mpmath.sqrt(hellinger_square(p, q))), "ln_p_hellinger": ln_chi2(8 * hellinger_square(u, v) / unit, dof),
            "total_variation": float(sum(abs(x - y) for x, y in zip(p, q)) / 2),
            "l_infinity": float(max(abs(x - y) for x, y in zip(p, q))),
            "ln_p_l_infinity": None if far else ln_sidak(p, q, n, m),
        }


def energy_cases():
    r = lambda x, digits: x.round(digits).tolist()
    samples = {
        "small": ([0.0, 8.0], [0.0, 6.0, 8.0]),
        "single_values": ([1.0], [2.5]),
        "constants": ([3.5] * 4, [4.5] * 9),
        "normal_shift": (r(rng.normal(0, 1, 150), 9), r(rng.normal(0.7, 1, 120), 9)),
        "tied": (r(rng.normal(0, 1, 200), 1), r(rng.normal(0, 2, 90), 1)),
        "scaled": (r(rng.normal(0, 1e-8, 60), 15), r(rng.normal(1e-8, 1e-8, 50), 15)),
        "outlier": (r(rng.normal(0, 1, 50), 6), r(rng.normal(0, 1, 50), 6) + [1e12]),
        "five_thousand_and_ten": (r(rng.normal(0, 1, 1500), 3), r(rng.normal(1, 1, 10), 3)),
    }
    for name, (a, b) in samples.items():
        yield {"name": name, "tool": f"{SCIPY} stats.energy_distance", "reference": a, "current": b,
               "score": float(scipy.stats.energy_distance(a, b))}


def rule_cases():
    r = lambda x: x.round(6).tolist()
    samples = {
        "normal": r(rng.normal(0, 1, 400)), "lognormal": r(rng.lognormal(0, 1, 257)),
        "power_of_two": r(rng.uniform(0, 1, 512)), "bimodal": r(numpy.concatenate([rng.normal(-5, 1, 150), rng.normal(5, 0.5, 100)])),
        "few": r(rng.normal(0, 1, 7)), "two": [0.0, 1.0],
    }
    for name, values in samples.items():
        for rule, numpy_name in (("sturges", "sturges"), ("doane", "doane"), ("freedman_diaconis", "fd")):
            edges = numpy.histogram_bin_edges(values, bins=numpy_name)
            counts, _ = numpy.histogram(values, edges)
            yield {"name": name, "tool": f"{NUMPY} histogram_bin_edges(bins='{numpy_name}')", "rule": rule,
                   "reference": values, "edges": edges.tolist(), "counts": counts.tolist()}


write("distances", cell_cases())
write("energy", energy_cases())
write("rules", rule_cases())
