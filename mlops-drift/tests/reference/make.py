"""Writes the reference values that tests/reference.rs holds every variant against.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 mpmath==1.4.1
    venv/bin/python mlops-drift/tests/reference/make.py

Inputs are written out in full; each case names the tool its expected values come from.
"""
import json
import math
import pathlib
from fractions import Fraction

import mpmath
import numpy
import scipy
import scipy.spatial.distance
import scipy.stats
from mpmath import mp, mpf

mp.dps = 60
HERE = pathlib.Path(__file__).parent
SCIPY = f"scipy {scipy.__version__}"
MPMATH = f"mpmath {mpmath.__version__}"
NUMPY = f"numpy {numpy.__version__}"


def write(name, cases):
    text = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    (HERE / f"{name}.json").write_text("[\n" + text + "\n]\n")


def chi2_tail(statistic, dof):
    """p and ln p of a chi-square statistic at 60 digits; None when nothing can vary."""
    if dof == 0:
        return {"p": None, "ln_p": None}
    p = mpmath.gammainc(mpf(dof) / 2, mpf(statistic) / 2, regularized=True)
    return {"p": float(p), "ln_p": float(mpmath.log(p))}


rng = numpy.random.default_rng(20260101)
COUNTS = {
    "three_cells": ([10, 20, 30], [20, 20, 20]),
    "two_by_two": ([90, 10], [75, 25]),
    "new_category": ([500, 500, 0], [480, 470, 50]),
    "vanished_category": ([50, 40, 10], [60, 60, 0]),
    "equal": ([7, 0, 12, 5], [7, 0, 12, 5]),
    "proportional": ([1, 2, 3], [1000, 2000, 3000]),
    "disjoint": ([5000, 0], [0, 10]),
    "disjoint_four": ([30, 12, 0, 0], [0, 0, 9, 50]),
    "five_thousand_and_ten": ([1000, 900, 1100, 1050, 950], [1, 5, 0, 2, 2]),
    "constant": ([12], [30]),
    "constant_beside_empty_cells": ([0, 12, 0], [0, 30, 0]),
    "single_values": ([1, 0], [0, 1]),
    "tiny_p": ([400, 300, 200, 100], [100, 200, 300, 400]),
    "p_near_1e_minus_120": ([600, 400, 300, 200], [230, 330, 430, 560]),
    "p_beyond_doubles": ([900_000, 100_000], [100_000, 900_000]),
    "nearly_equal_millions": ([10_000_000, 10_000_000, 5_000_000], [10_000_300, 9_999_500, 5_000_200]),
    "many_cells": (rng.multinomial(5000, [1 / 50] * 50).tolist(), rng.multinomial(3000, [1 / 50] * 50).tolist()),
    "skewed": (rng.multinomial(4000, numpy.arange(1, 21) / 210).tolist(), rng.multinomial(700, numpy.arange(20, 0, -1) / 210).tolist()),
    "sparse_hundred": (rng.multinomial(60, [1 / 100] * 100).tolist(), rng.multinomial(90, [1 / 100] * 100).tolist()),
}


def occupied(a, b):
    return [(x, y) for x, y in zip(a, b) if x + y > 0]


def chi2_cases():
    for name, (a, b) in COUNTS.items():
        cells = occupied(a, b)
        result = scipy.stats.chi2_contingency(numpy.array(cells).T, correction=False)
        n, m = sum(a), sum(b)
        exact = sum(Fraction((x * m - y * n) ** 2, n * m * (x + y)) for x, y in cells)
        assert math.isclose(result.statistic, float(exact), rel_tol=1e-9, abs_tol=1e-9), name
        tail = chi2_tail(mpf(exact.numerator) / exact.denominator, result.dof)
        if tail["p"] is not None and tail["p"] > 1e-290:
            assert math.isclose(result.pvalue, tail["p"], rel_tol=1e-9), name
        # SciPy subtracts expected counts; near 0 its own rounding exceeds 1e-12, so the exact rational is the truth there.
        yield {"name": name, "tool": f"{SCIPY} stats.chi2_contingency(correction=False); exact rational; {MPMATH}",
               "reference": a, "current": b, "statistic": float(exact), "dof": result.dof, **tail}


def shares(a, b, smoothing):
    cells = occupied(a, b)
    n, m, k = sum(a), sum(b), len(cells)
    kind, epsilon = (smoothing, None) if isinstance(smoothing, str) else next(iter(smoothing.items()))
    out = []
    for count, total in ((0, n), (1, m)):
        side = [mpf(cell[count]) for cell in cells]
        if kind == "none":
            side = [c / total for c in side]
        elif kind == "jeffreys":
            side = [(c + mpf(1) / 2) / (total + mpf(k) / 2) for c in side]
        elif kind == "laplace":
            side = [(c + 1) / (total + k) for c in side]
        elif kind == "replace":
            side = [c / total if c else mpf(epsilon) for c in side]
        elif kind == "add_renormalise":
            side = [(c / total + mpf(epsilon)) / (1 + k * mpf(epsilon)) for c in side]
        elif kind == "floor":
            side = [max(c / total, mpf(epsilon)) for c in side]
        out.append(side)
    return out


def psi_of(a, b, smoothing):
    p, q = shares(a, b, smoothing)
    return sum((x - y) * mpmath.log(x / y) for x, y in zip(p, q))


SMOOTHINGS = ["none", "jeffreys", "laplace", {"replace": 1e-4}, {"add_renormalise": 1e-6}, {"floor": 0.01}]


def calibrated(a, b, scaled):
    n, m, k = sum(a), sum(b), len(occupied(a, b))
    unit = mpf(1) / n + mpf(1) / m
    return {"unit": float(unit), **chi2_tail(scaled / unit, k - 1)}


def psi_cases():
    for name, (a, b) in COUNTS.items():
        for smoothing in SMOOTHINGS:
            if smoothing == "none" and any((x == 0) != (y == 0) for x, y in zip(a, b)):
                continue
            score = psi_of(a, b, smoothing)
            yield {"name": name, "tool": MPMATH, "reference": a, "current": b, "smoothing": smoothing,
                   "score": float(score), **calibrated(a, b, psi_of(a, b, "jeffreys"))}


def js_of(a, b, smoothing="none"):
    p, q = shares(a, b, smoothing)
    part = lambda x, mean: x * mpmath.log(x / mean) if x else mpf(0)
    return sum((part(x, (x + y) / 2) + part(y, (x + y) / 2)) / 2 for x, y in zip(p, q))


def js_cases():
    for name, (a, b) in COUNTS.items():
        divergence = js_of(a, b)
        for base, unit in (("two", mpmath.log(2)), ("e", mpf(1))):
            scored = float(mpmath.sqrt(divergence / unit))
            peer = scipy.spatial.distance.jensenshannon(a, b, base=2 if base == "two" else math.e)
            # SciPy cancels where the rows are nearly equal; 60 digits do not.
            assert math.isclose(peer, scored, rel_tol=1e-12) or scored < 1e-3, (name, peer, scored)
            yield {"name": name, "tool": f"{SCIPY} spatial.distance.jensenshannon; {MPMATH}", "reference": a,
                   "current": b, "base": base, "distance": scored, "divergence": float(divergence / unit),
                   **calibrated(a, b, 8 * js_of(a, b, "jeffreys"))}


def cut(values, edges):
    """Counts over underflow, [e0, e1), …, [.., last], overflow."""
    values = numpy.asarray(values)
    inner, _ = numpy.histogram(values, edges)
    return [int((values < edges[0]).sum()), *map(int, inner), int((values > edges[-1]).sum())]


def binned_cases():
    draws = {
        "normal_shifted": (rng.normal(0, 1, 400), rng.normal(0.5, 1, 300)),
        "lognormal_null": (rng.lognormal(0, 1, 257), rng.lognormal(0, 1, 1000)),
        "five_thousand_and_ten": (rng.normal(0, 1, 5000), rng.normal(3, 1, 10)),
    }
    for name, (a, b) in draws.items():
        a, b = a.round(6).tolist(), b.round(6).tolist()
        assert len(set(a)) > 0.9 * len(a)
        for rule, edges in (({"quantile": 10}, numpy.quantile(a, numpy.arange(11) / 10)),
                            ({"equal_width": 8}, numpy.linspace(min(a), max(a), 9))):
            x, y = cut(a, edges), cut(b, edges)
            yield {"name": name, "tool": f"{NUMPY} quantile, linspace, histogram; {MPMATH}", "rule": rule,
                   "reference": a, "current": b, "reference_counts": x, "current_counts": y,
                   "psi": float(psi_of(x, y, "jeffreys")), "js": float(mpmath.sqrt(js_of(x, y) / mpmath.log(2)))}


def pooled_blocks(a, b):
    """(reference, current) values in each block of equal values, ascending."""
    return [(a.count(v), b.count(v)) for v in sorted(set(a) | set(b))]


def ks_numerator(a, b):
    n, m, i, j, best = len(a), len(b), 0, 0, 0
    for x, y in pooled_blocks(a, b):
        i, j = i + x, j + y
        best = max(best, abs(i * m - j * n))
    return best


def ks_exact(n, m, numerator, blocks):
    """P(D >= numerator/nm) by counting, in integers, the orderings that stay below at the end of every block."""
    ends, total = set(), 0
    for size in blocks:
        total += size
        ends.add(total)
    paths = {0: 1}
    for t in range(1, n + m + 1):
        step = {}
        for i, ways in paths.items():
            for following in ((i + 1, i) if i < n else (i,)):
                if t - following <= m:
                    step[following] = step.get(following, 0) + ways
        if t in ends:
            step = {i: w for i, w in step.items() if abs(i * m - (t - i) * n) < numerator}
        paths = step
    below, every = paths.get(n, 0), math.comb(n + m, n)
    return Fraction(every - below, every)


def ks_samples():
    r = lambda x, digits: x.round(digits).tolist()
    line = lambda start, count: [float(v) for v in range(start, start + count)]
    yield "small", [1.0, 2.0, 3.0, 4.0], [3.5, 4.5, 5.5]
    yield "single_values", [1.0], [2.0]
    yield "single_equal_values", [1.0], [1.0]
    yield "constants_equal", [3.5] * 8, [3.5] * 5
    yield "constants_different", [3.5] * 8, [4.5] * 5
    yield "same_sample", line(0, 20), line(0, 20)
    yield "normal_null", r(rng.normal(0, 1, 150), 9), r(rng.normal(0, 1, 120), 9)
    yield "normal_shift", r(rng.normal(0, 1, 150), 9), r(rng.normal(1, 1, 120), 9)
    yield "equal_sizes", r(rng.normal(0, 1, 100), 9), r(rng.normal(0.4, 1, 100), 9)
    yield "equal_sizes_tied", r(rng.normal(0, 1, 100), 1), r(rng.normal(0.4, 1, 100), 1)
    yield "multiple_sizes", r(rng.normal(0, 1, 200), 9), r(rng.normal(0.3, 2, 50), 9)
    yield "rounded_20x25", r(rng.normal(0, 1, 20), 0), r(rng.normal(0.6, 1, 25), 0)
    yield "poisson", rng.poisson(3, 120).astype(float).tolist(), rng.poisson(4, 90).astype(float).tolist()
    yield "zero_inflated", [0.0] * 60 + r(rng.exponential(1, 40), 9), [0.0] * 30 + r(rng.exponential(1, 40), 9)
    yield "bernoulli", [0.0] * 70 + [1.0] * 30, [0.0] * 40 + [1.0] * 50
    yield "five_thousand_and_ten", r(rng.normal(0, 1, 5000), 3), r(rng.normal(0.5, 1, 10), 3)
    yield "disjoint_equal_sizes_1e_minus_120", line(0, 201), line(1000, 201)
    yield "disjoint_1e_minus_95", line(0, 200), line(1000, 140)
    yield "far_tail", line(0, 200), [v + 150.5 for v in line(0, 180)]
    yield "beyond_doubles", line(0, 700), line(2000, 600)


def kolmogorov_ln_sf(x):
    if x == 0:
        return mpf(0)
    if x < 1:
        below = sum(mpmath.exp(-((2 * k - 1) ** 2) * mpmath.pi**2 / (8 * x * x)) for k in range(1, 30))
        return mpmath.log1p(-mpmath.sqrt(2 * mpmath.pi) / x * below)
    return mpmath.log(2 * sum((-1) ** (k - 1) * mpmath.exp(-2 * k * k * x * x) for k in range(1, 60)))


def ln_fraction(value):
    return float(mpmath.log(mpf(value.numerator)) - mpmath.log(mpf(value.denominator)))


def ks_cases():
    for name, a, b in ks_samples():
        n, m = len(a), len(b)
        numerator = ks_numerator(a, b)
        peer = scipy.stats.ks_2samp(a, b, method="exact")
        assert math.isclose(peer.statistic, numerator / (n * m), rel_tol=1e-14, abs_tol=0), name
        blocks = [x + y for x, y in pooled_blocks(a, b)]
        continuous = ks_exact(n, m, numerator, [1] * (n + m))
        exact = ks_exact(n, m, numerator, blocks)
        if continuous > Fraction(1, 10**290):
            assert math.isclose(peer.pvalue, float(continuous), rel_tol=1e-12), (name, peer.pvalue, float(continuous))
        limit = kolmogorov_ln_sf(numerator / mpmath.sqrt(mpf(n) * m * (n + m)))
        wide = scipy.stats.kstwobign.sf(numerator / math.sqrt(n * m * (n + m)))
        assert math.isclose(wide, float(mpmath.exp(limit)), rel_tol=1e-9, abs_tol=1e-300), (name, wide)
        yield {"name": name,
               "tool": f"{SCIPY} stats.ks_2samp(method='exact'), stats.kstwobign; exact rationals; {MPMATH}",
               "reference": a, "current": b, "numerator": numerator, "statistic": float(peer.statistic),
               "ties": max(blocks) > 1, "p_exact": float(exact), "ln_p_exact": ln_fraction(exact),
               "p_continuous": float(continuous), "ln_p_continuous": ln_fraction(continuous),
               "p_asymptotic": float(mpmath.exp(limit)), "ln_p_asymptotic": float(limit)}


for name, cases in (("chi2", chi2_cases), ("psi", psi_cases), ("js", js_cases), ("binned", binned_cases), ("ks", ks_cases)):
    write(name, cases())
