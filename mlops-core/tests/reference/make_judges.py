"""Reference values of the rollout's judges.

Made with Python 3.11, SciPy 1.17.1, NumPy 2.4.6 and mpmath 1.4.1 by

    pip install scipy==1.17.1 numpy mpmath==1.4.1 && python make_judges.py > judges.json

z and the roots of the rank test are computed from its published formula with SciPy's `rankdata` and `brentq`; classes by
Kayenta's published rules. Mixtures over Jeffreys' prior and over a half-normal prior are integrated numerically by mpmath with 40
digits, the smallest evidence over a composite hypothesis is found by SciPy's `minimize_scalar` on mpmath's values, bets are placed
one by one in rational steps of mpmath.
"""

import json
import math

import mpmath as mp
import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import mannwhitneyu, norm, rankdata

mp.mp.dps = 40
rng = np.random.default_rng(2026)


def z_of(x, y, mu):
    m, n = len(x), len(y)
    ranks = rankdata(np.concatenate([x - mu, y]))
    dz = ranks[:m].sum() - m * (m + 1) / 2 - m * n / 2
    _, t = np.unique(ranks, return_counts=True)
    t = t.astype(float)
    sigma = math.sqrt(m * n / 12 * ((m + n + 1) - (t**3 - t).sum() / ((m + n) * (m + n - 1))))
    return (dz - np.sign(dz) * 0.5) / sigma


def root(x, y, level):
    low, high = x.min() - y.max(), x.max() - y.min()
    if z_of(x, y, low) - level <= 0:
        return low
    if z_of(x, y, high) - level >= 0:
        return high
    return brentq(lambda mu: z_of(x, y, mu) - level, low, high, xtol=1e-12, rtol=1e-14, maxiter=1000)


def interval(x, y, confidence):
    level = norm.isf((1 - confidence) / 2)
    return root(x, y, level), root(x, y, -level), root(x, y, 0.0)


def cles(x, y):
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y]))


def outliers_removed(v, factor):
    if len(v) == 0:
        return v
    q25, q75, q05, q95 = (np.percentile(v, q) for q in (25, 75, 5, 95))
    low, high = min(q25 - factor * (q75 - q25), q05), max(q75 + factor * (q75 - q25), q95)
    return v[(v >= low) & (v <= high)]


def kayenta(candidate, stable, o):
    def clean(v):
        v = np.array([np.nan if a is None else a for a in v], dtype=float)
        v = v[~np.isnan(v)] if o["nan"] == "remove" else np.where(np.isnan(v), 0.0, v)
        return outliers_removed(v, o["outlier_factor"]) if o["outlier_factor"] else v

    x, y = clean(candidate), clean(stable)
    if len(x) == 0 or len(y) == 0:
        return "nodata_fail_metric" if o["must_have_data"] else "nodata", {}
    if (len(x) == len(y) and (x == y).all()) or len(np.unique(np.concatenate([x, y]))) == 1:
        return "pass", {}
    low, high, estimate = interval(x, y, o["confidence"])
    bound = o["tolerance"] * abs(estimate)
    effect = x.mean() / y.mean() if o["effect"] == "mean_ratio" else cles(x, y)
    none = 1.0 if o["effect"] == "mean_ratio" else 0.5
    up = none if o["allowed_increase"] is None else o["allowed_increase"]
    down = none if o["allowed_decrease"] is None else o["allowed_decrease"]
    verdict = "pass"
    if o["direction"] in ("increase", "either") and low > bound and effect >= up:
        verdict = "high"
    elif o["direction"] in ("decrease", "either") and high < -bound and effect <= down:
        verdict = "low"
    return verdict, {"low": low, "high": high, "estimate": estimate, "effect": float(effect)}


def rounded(v, digits):
    return [float(a) for a in np.round(v, digits)]


shifts = []
for m, n, shift, digits in [
    (8, 9, 0.0, 3), (12, 30, 0.5, 1), (50, 50, 1.0, 2), (40, 60, -0.7, 0), (3, 4, 2.0, 2), (100, 100, 0.2, 1), (25, 26, 3.0, 0),
]:
    x = np.round(rng.normal(10 + shift, 1, m), digits)
    y = np.round(rng.normal(10, 1.3, n), digits)
    low, high, estimate = interval(x, y, 0.98)
    assert abs(abs(z_of(x, y, 0.0)) - norm.isf(mannwhitneyu(x, y, method="asymptotic").pvalue / 2)) < 1e-9
    shifts.append({"x": list(map(float, x)), "y": list(map(float, y)), "z": float(z_of(x, y, 0.0)), "low": low, "high": high,
                   "estimate": estimate, "z_at": [[mu, float(z_of(x, y, mu))] for mu in (-1.0, -0.25, 0.3, 1.0)]})

base = {"direction": "either", "confidence": 0.98, "tolerance": 0.25, "effect": "mean_ratio", "allowed_increase": None,
        "allowed_decrease": None, "nan": "remove", "outlier_factor": None, "must_have_data": False}
cases = []


def case(candidate, stable, **options):
    o = {**base, **options}
    verdict, numbers = kayenta(candidate, stable, o)
    cases.append({"candidate": candidate, "stable": stable, "options": o, "class": verdict, **numbers})


for shift in (-3.0, -1.0, -0.3, 0.0, 0.3, 0.6, 1.0, 3.0):
    for size in (10, 40):
        stable = rounded(rng.normal(20, 1.5, size), 1)
        candidate = rounded(rng.normal(20 + shift, 1.5, size + 3), 1)
        for direction in ("increase", "decrease", "either"):
            case(candidate, stable, direction=direction)
        case(candidate, stable, allowed_increase=1.1, allowed_decrease=0.9)
        case(candidate, stable, effect="common_language", allowed_increase=0.8, allowed_decrease=0.2)
        case(candidate, stable, tolerance=0.8, confidence=0.9)
gaps = [None if rng.random() < 0.3 else v for v in rounded(rng.normal(5, 1, 30), 1)]
for nan in ("remove", "replace"):
    case(gaps, rounded(rng.normal(5, 1, 30), 1), nan=nan)
wild = rounded(rng.normal(5, 1, 40), 2)
case(wild + [500.0, 600.0], wild[:20], outlier_factor=3.0)
case(wild + [500.0, 600.0], wild[:20])
case([], [1.0, 2.0])
case([None], [1.0, 2.0], must_have_data=True)
case([4.0, 4.0, 4.0], [4.0, 4.0])
case([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])


def ln_beta_mixture(s, n, p):
    s, n, p = mp.mpf(s), mp.mpf(n), mp.mpf(p)
    top = mp.log(mp.beta(s + mp.mpf(1) / 2, n - s + mp.mpf(1) / 2)) - mp.log(mp.pi)
    return top - (s * mp.log(p) if s else 0) - ((n - s) * mp.log(1 - p) if n - s else 0)


# That the closed form is the integral.
integral = mp.quad(lambda p: p**5 * (1 - p) ** 15 / (mp.pi * mp.sqrt(p * (1 - p))), [0, 0.25, 0.5, 1])
assert abs(mp.log(integral / (mp.mpf("0.2") ** 5 * mp.mpf("0.8") ** 15)) - ln_beta_mixture(5, 20, mp.mpf("0.2"))) < 1e-12

mixtures = [[s, n, p, float(ln_beta_mixture(s, n, p))] for s, n, p in [
    (0, 1, 0.3), (1, 1, 0.3), (0, 1000, 0.001), (3, 10, 0.5), (50, 10_000, 0.004), (123_456, 1_000_000, 0.12), (7, 10**9, 1e-8),
    (499_999_000, 10**9, 0.5), (10, 10, 0.999)]]

intervals = []
for s, n, alpha in [(0, 20, 0.05), (5, 100, 0.05), (50, 10_000, 0.01), (20, 20, 0.1), (500, 1000, 0.001)]:
    f = lambda p: float(ln_beta_mixture(s, n, p)) + math.log(alpha)
    low = 0.0 if s == 0 else brentq(f, 1e-12, s / n if s < n else 1 - 1e-15, xtol=1e-15)
    high = 1.0 if s == n else brentq(f, max(s / n, 1e-15), 1 - 1e-12, xtol=1e-15)
    intervals.append([s, n, alpha, low, high])

differences = []
for (s, n), (t, k), margin in [
    ((5, 100), (3, 900), 0.01), ((5, 100), (3, 900), 0.1), ((60, 1000), (9, 9000), 0.01), ((0, 50), (0, 50), 0.0),
    ((10, 10), (0, 10), 0.2), ((700, 1000), (650, 900), -0.05), ((1, 10_000), (2, 90_000), 0.001), ((12, 40), (25, 41), 0.0),
]:
    edge = minimize_scalar(lambda q: float(ln_beta_mixture(s, n, q + margin) + ln_beta_mixture(t, k, q)),
                           bounds=(max(0, -margin) + 1e-12, min(1, 1 - margin) - 1e-12), method="bounded",
                           options={"xatol": 1e-14, "maxiter": 5000}).fun
    inner = lambda s, n: mp.log(mp.beta(mp.mpf(s) + 0.5, mp.mpf(n - s) + 0.5) / mp.pi) - (
        (s * mp.log(mp.mpf(s) / n) if s else 0) + ((n - s) * mp.log(1 - mp.mpf(s) / n) if n - s else 0))
    free = float(inner(s, n) + inner(t, k))
    beyond, within = (edge, free) if s / n - t / k > margin else (free, edge)
    differences.append([s, n, t, k, margin, beyond, within])

half_normals = []
for excess, variance, scale in [(0.0, 1.0, 1.0), (1.5, 0.04, 0.5), (-2.0, 0.25, 1.0), (-30.0, 0.25, 1.0), (3.0, 2.0, 0.1), (40.0, 1.0, 5.0)]:
    e, v, s = mp.mpf(excess), mp.mpf(variance), mp.mpf(scale)
    density = lambda t: 2 * mp.exp(-t * t / (2 * s * s)) / mp.sqrt(2 * mp.pi) / s
    ratio = lambda t: mp.exp(((e * e) - (e - t) ** 2) / (2 * v))
    peak = max(mp.mpf(0), e * s * s / (v + s * s))
    width = mp.sqrt(v * s * s / (v + s * s))
    parts = [0, peak / 2, peak, peak + width, peak + 3 * width, peak + 10 * width, peak + 40 * width] if peak > 0 else \
        [0, width / 100, width / 10, width, 3 * width, 10 * width, 40 * width]
    half_normals.append([excess, variance, scale, float(mp.log(mp.quad(lambda t: ratio(t) * density(t), parts)))])


def bets(values, alpha, mean):
    total, squares, mu, ln_e = mp.mpf("0.5"), mp.mpf("0.25"), mp.mpf("0.5"), mp.mpf(0)
    variance = mp.mpf("0.25")
    for t, v in enumerate(values, 1):
        v = mp.mpf(v)
        stake = min(mp.sqrt(2 * mp.log(1 / mp.mpf(alpha)) / (variance * t * mp.log(1 + t))), mp.mpf("0.5"))
        ln_e += stake * (v - mp.mpf(mean)) - 4 * (v - mu) ** 2 * (-mp.log(1 - stake) - stake) / 4
        total += v
        mu = total / (t + 1)
        squares += (v - mu) ** 2
        variance = squares / (t + 1)
    return float(ln_e)


bounded = []
for n, shift, margin in [(1, 0.0, 0.0), (20, 0.2, 0.0), (100, 0.3, 0.1), (100, -0.1, 0.05)]:
    y = np.round(rng.beta(2, 5, n), 3)
    x = np.round(np.clip(rng.beta(2, 5, n) + shift, 0, 1), 3)
    d = [(mp.mpf(float(a)) - mp.mpf(float(b)) + 1) / 2 for a, b in zip(x, y)]
    at = (mp.mpf(margin) + 1) / 2
    bounded.append({"candidate": list(map(float, x)), "stable": list(map(float, y)), "margin": margin,
                    "beyond": bets(d, 0.05, at), "within": bets([1 - v for v in d], 0.05, 1 - at)})

json.dump({"scipy": "1.17.1", "mpmath": "1.4.1", "shifts": shifts, "kayenta": cases, "mixtures": mixtures, "intervals": intervals,
           "differences": differences, "half_normals": half_normals, "bounded": bounded}, open(1, "w"), separators=(",", ":"))
