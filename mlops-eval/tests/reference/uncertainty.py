#!/usr/bin/env python3
"""Writes uncertainty.json beside this file: intervals of rates, differences and ratios, homogeneity tests, means.

Run with: pip install scipy==1.17.1 statsmodels==0.15.0 && python uncertainty.py
"""
import json
import math
import pathlib
import sys
import warnings

import numpy as np
import scipy
import statsmodels
from scipy import stats
from scipy.stats import binomtest, chi2_contingency
from scipy.optimize import brentq
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
VERSIONS = {
    "python": sys.version.split()[0],
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "statsmodels": statsmodels.__version__,
}
ONE = [(0, 1), (1, 1), (0, 10), (1, 10), (5, 10), (9, 10), (10, 10), (3, 17), (45, 53), (2, 1000), (500, 1000), (123456, 1000000)]
TWO = [
    # Newcombe (1998), table II, cases (a) to (h).
    ((56, 70), (48, 80)), ((9, 10), (3, 10)), ((6, 7), (2, 7)), ((5, 56), (0, 29)),
    ((0, 10), (0, 20)), ((0, 10), (0, 10)), ((10, 10), (0, 20)), ((10, 10), (0, 10)),
    ((1, 2), (1, 3)), ((7, 34), (1, 34)), ((300, 1000), (280, 900)), ((3, 100000), (11, 90000)), ((45, 50), (4000, 5000)),
]
TABLES = [
    [(30, 100), (45, 100)], [(1, 5), (4, 9), (0, 6)], [(12, 40), (15, 41), (30, 60), (2, 11)],
    [(0, 7), (0, 9), (1, 8)], [(500, 1000), (520, 1000), (480, 1000), (5100, 10000), (3, 4)],
]
MEANS = [[1.0, 2.0, 3.0, 4.0], [0.5, 0.5, 7.25], [1e6, 1e6 + 1, 1e6 + 2, 1e6 + 4, 1e6], [0.0, 0.0, 0.0, 1e-3, 5.0, 0.25]]


def number(value):
    value = float(value)
    return "Infinity" if math.isinf(value) else value


def limits(pair):
    low, high = pair
    return [number(low), number(high)]


def one(k, n, confidence):
    alpha = 1 - confidence
    test = binomtest(k, n)
    made = {
        "wilson": test.proportion_ci(confidence, method="wilson"),
        "clopper_pearson": test.proportion_ci(confidence, method="exact"),
        "agresti_coull": proportion_confint(k, n, alpha, method="agresti_coull"),
    }
    if 0 < k < n:
        made["jeffreys"] = proportion_confint(k, n, alpha, method="jeffreys")
    made = {name: limits(pair) for name, pair in made.items()}
    made["agresti_coull"] = [max(made["agresti_coull"][0], 0.0), min(made["agresti_coull"][1], 1.0)]
    return {"k": k, "n": n, "confidence": confidence, "limits": made}


def two(first, second, confidence):
    alpha = 1 - confidence
    (x1, n1), (x2, n2) = first, second

    def made(method, compare, **more):
        try:
            low, high = confint_proportions_2indep(x1, n1, x2, n2, method=method, compare=compare, alpha=alpha, **more)
        except Exception:
            return None
        return None if math.isnan(low) or math.isnan(high) else [low, high]

    difference = {
        "newcombe": made("newcomb", "diff"),
        "miettinen_nurminen": score_difference(x1, n1, x2, n2, alpha),
        "agresti_caffo": made("agresti-caffo", "diff"),
        "wald": made("wald", "diff"),
    }
    ratio = {"walter": made("log-adjusted", "ratio")}
    if x1 and x2:
        ratio["katz"] = made("log", "ratio")
        ratio["koopman"] = made("score", "ratio", correction=False)
        ratio["miettinen_nurminen"] = made("score", "ratio", correction=True)
    for name in ("agresti_caffo", "wald", "newcombe"):
        difference[name] = [max(difference[name][0], -1.0), min(difference[name][1], 1.0)]
    keep = lambda values: {name: limits(pair) for name, pair in values.items() if pair is not None}
    return {"first": first, "second": second, "confidence": confidence, "difference": keep(difference), "ratio": keep(ratio)}


def most_likely(x1, n1, x2, n2, delta):
    """The p2 at which the likelihood of p1 = p2 + delta is largest: where its derivative, times what is positive, is 0."""
    low, high = max(0.0, -delta), min(1.0, 1.0 - delta)
    slope = lambda p: (x1 - n1 * (p + delta)) * p * (1 - p) + (x2 - n2 * p) * (p + delta) * (1 - p - delta)
    a, b = low + 1e-14 * (high - low), high - 1e-14 * (high - low)
    if slope(a) <= 0:
        return low
    if slope(b) >= 0:
        return high
    return brentq(slope, a, b, xtol=1e-17, rtol=1e-15)


def score_difference(x1, n1, x2, n2, alpha):
    """Miettinen and Nurminen's interval by its definition.

    Not statsmodels' own: the constrained rates of its 0.15.0 do not maximise the likelihood (56/70, 48/80, difference 0.3382:
    0.4638 instead of 0.5126), so that its interval is not that of the paper, nor does it change its sign with the sides.
    """
    quantile = stats.norm.isf(alpha / 2)
    difference = x1 / n1 - x2 / n2

    def z(delta):
        p2 = most_likely(x1, n1, x2, n2, delta)
        p1 = p2 + delta
        variance = (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2) * (n1 + n2) / (n1 + n2 - 1)
        return (difference - delta) / math.sqrt(variance)

    solve = lambda target, low, high: brentq(lambda delta: z(delta) - target, low, high, xtol=1e-16, rtol=1e-15)
    edge = 1e-10
    low = solve(quantile, -1 + edge, difference - edge) if difference > -1 else -1.0
    high = solve(-quantile, difference + edge, 1 - edge) if difference < 1 else 1.0
    return [low, high]


def table(rates):
    counts = np.array([[k, n - k] for k, n in rates])
    pearson = chi2_contingency(counts, correction=False)
    likelihood = chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    return {
        "rates": rates,
        "pearson": [float(pearson.statistic), float(pearson.pvalue)],
        "likelihood_ratio": [float(likelihood.statistic), float(likelihood.pvalue)],
    }


def mean(values, confidence):
    center, error = np.mean(values), stats.sem(values)
    return {
        "values": values,
        "confidence": confidence,
        "student_t": limits(stats.t.interval(confidence, len(values) - 1, loc=center, scale=error)),
        "normal": limits(stats.norm.interval(confidence, loc=center, scale=error)),
    }


file = {
    "versions": VERSIONS,
    "rates": [one(k, n, c) for k, n in ONE for c in (0.5, 0.95, 0.999)],
    "pairs": [two(a, b, c) for a, b in TWO for c in (0.9, 0.95)],
    "tables": [table(rates) for rates in TABLES],
    "means": [mean(values, c) for values in MEANS for c in (0.8, 0.95)],
}
text = json.dumps(file, allow_nan=False, separators=(",", ":")).replace("},{", "},\n{")
(HERE / "uncertainty.json").write_text(text + "\n")
