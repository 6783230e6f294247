"""Writes the reference values of weighted Kolmogorov-Smirnov and energy distances.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 mpmath==1.4.1
    venv/bin/python mlops-drift/tests/reference/weighted.py
"""
import json
import math
import pathlib
from fractions import Fraction

import mpmath
import numpy
import scipy
import scipy.stats
from mpmath import mp, mpf

mp.dps = 60
HERE = pathlib.Path(__file__).parent
SCIPY = f"scipy {scipy.__version__}"
MPMATH = f"mpmath {mpmath.__version__}"
rng = numpy.random.default_rng(20260301)


def distribution(values, weights):
    """The distribution function in rationals."""
    total = sum(map(Fraction, weights))

    def share(x):
        return sum(Fraction(w) for v, w in zip(values, weights) if v <= x) / total

    return share


def size(weights):
    return sum(map(Fraction, weights)) ** 2 / sum(Fraction(w) ** 2 for w in weights)


def number(fraction):
    return mpf(fraction.numerator) / fraction.denominator


def ln_kolmogorov(z):
    terms = (2 * (-1) ** (k - 1) * mpmath.exp(-2 * k * k * z * z) for k in range(1, 2000))
    return mpmath.log(sum(terms))


def case(name, a, v, b, w):
    f, g = distribution(a, v), distribution(b, w)
    points = sorted(set(map(Fraction, a)) | set(map(Fraction, b)))
    gaps = [f(x) - g(x) for x in points]
    greater, less = max(max(gaps), 0), max(-min(gaps), 0)
    n, m = size(v), size(w)
    unit = number(n * m / (n + m))
    two = max(greater, less)
    energy = mpmath.sqrt(2 * sum(number(d * d * (y - x)) for d, x, y in zip(gaps, points, points[1:])))
    theirs = scipy.stats.energy_distance(a, b, v, w)
    assert math.isclose(theirs, float(energy), rel_tol=1e-12), (name, theirs, energy)
    ln_two = float(ln_kolmogorov(number(two) * mpmath.sqrt(unit)))
    check = scipy.stats.kstwobign.sf(float(number(two) * mpmath.sqrt(unit)))
    assert math.isclose(check, math.exp(ln_two), rel_tol=1e-9), (name, check, ln_two)
    return {
        "name": name, "tool": f"fractions, CPython; {MPMATH}; {SCIPY} stats.energy_distance and kstwobign",
        "reference": a, "reference_weights": v, "current": b, "current_weights": w,
        "n": float(number(n)), "m": float(number(m)),
        "two_sided": float(two), "greater": float(greater), "less": float(less),
        "ln_p_two_sided": ln_two,
        "ln_p_greater": float(-2 * number(greater) ** 2 * unit), "ln_p_less": float(-2 * number(less) ** 2 * unit),
        "energy": float(energy), "energy_scipy": float(theirs),
    }


r = lambda x, digits: numpy.asarray(x).round(digits).tolist()
CASES = {
    "small": ([0.0, 1.0, 3.0], [1.0, 1.0, 2.0], [1.0, 6.0], [3.0, 1.0]),
    "ones": (r(rng.normal(0, 1, 40), 6), [1.0] * 40, r(rng.normal(0.4, 1, 25), 6), [1.0] * 25),
    "normal shift": (r(rng.normal(0, 1, 80), 6), r(rng.exponential(1, 80), 6), r(rng.normal(0.7, 1, 60), 6), r(rng.exponential(2, 60), 6)),
    "ties": (r(rng.poisson(3, 90) * 1.0, 0), r(rng.uniform(0.5, 3.5, 90), 4), r(rng.poisson(3.5, 50) * 1.0, 0), r(rng.uniform(0, 1, 50), 4)),
    "integers": (r(rng.normal(0, 1, 30), 1), r(rng.integers(1, 9, 30) * 1.0, 0), r(rng.normal(0, 2, 45), 1), r(rng.integers(1, 9, 45) * 1.0, 0)),
    "zero weights": ([1.0, 2.0, 3.0, 50.0], [1.0, 0.0, 2.5, 0.0], [-9.0, 2.0, 4.0], [0.0, 1.0, 0.25]),
    "one heavy row": (r(rng.normal(0, 1, 30), 4), [1e6] + [1.0] * 29, r(rng.normal(0, 1, 30), 4), [1.0] * 30),
    "disjoint": (r(rng.uniform(0, 1, 70), 5), r(rng.uniform(1, 2, 70), 5), r(rng.uniform(2, 3, 60), 5), r(rng.uniform(1, 2, 60), 5)),
    "far from zero": (r(1e6 + rng.normal(0, 1, 40), 6), r(rng.uniform(0, 1, 40), 5), r(1e6 + rng.normal(0.5, 1, 40), 6), r(rng.uniform(0, 1, 40), 5)),
}
cases = [case(name, *sides) for name, sides in CASES.items()]
(HERE / "weighted.json").write_text("[\n" + ",\n".join(json.dumps(c, allow_nan=False) for c in cases) + "\n]\n")
