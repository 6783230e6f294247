#!/usr/bin/env python3
"""Writes regression.json beside this file.

The inputs are made here and stored with the results, so that the tests need no Python. Values that are not defined are stored as
null; metrics that refuse a row's numbers are listed under "refused". Weighted values that a tool lacks are those of rows repeated
as often as the weights, which are multiples of a quarter, say.
Run with: pip install scikit-learn==1.9.1 scipy==1.17.1 lifelines==0.30.3 utilsforecast==0.2.17 mpmath==1.4.1 && python regression.py
"""
import json
import math
import pathlib
import random
import sys
import warnings

import lifelines
import mpmath
import numpy as np
import pandas as pd
import scipy
import sklearn
import sklearn.metrics as skm
import utilsforecast
import utilsforecast.losses as ufl
from lifelines.utils import concordance_index
from mpmath import mp
from scipy import special, stats

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
VERSIONS = {
    "python": sys.version.split()[0],
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "scikit-learn": sklearn.__version__,
    "lifelines": lifelines.__version__,
    "utilsforecast": utilsforecast.__version__,
    "mpmath": mpmath.__version__,
}
POWERS = [-1.5, 0.0, 1.0, 1.25, 1.75, 2.0, 3.0]
ALPHAS = [0.05, 0.5, 0.9]
DELTAS = [0.5, 1.35]


def number(value):
    value = float(value)
    return None if math.isnan(value) or math.isinf(value) else value


def repeated(values, w):
    times = [1] * len(values) if w is None else [round(4 * x) for x in w]
    assert w is None or all(4 * x == t for x, t in zip(w, times))
    return np.repeat(np.array(values), times)


def attempt(f):
    """The value, or None where the tool refuses the numbers."""
    try:
        return number(f())
    except ValueError:
        return "refused"


def symmetric(y, p):
    y, p = np.array(y), np.array(p)
    both = (y == 0) & (p == 0)
    terms = np.where(both, 0.0, 2 * np.abs(y - p) / np.where(both, 1.0, np.abs(y) + np.abs(p)))
    frame = pd.DataFrame({"unique_id": 0, "ds": range(len(y)), "y": y, "m": p})
    # utilsforecast halves it: its range ends at 1.
    tool = 2 * ufl.smape(frame, ["m"])["m"][0]
    assert both.any() or abs(tool - terms.mean()) < 1e-12 * max(1, tool)
    return terms.mean()


def poisson(y, p):
    return 2 * ((y * mp.log(y / p) if y > 0 else 0) - y + p)


def gamma(y, p):
    return 2 * (mp.log(p / y) + y / p - 1)


def exact(tool, y, p, w, deviance):
    """The mean deviance at fifty digits: scikit-learn's loses half of its digits where predictions are close."""
    with mp.workdps(50):
        terms = [mp.mpf(float(c)) * deviance(mp.mpf(float(a)), mp.mpf(float(b))) for a, b, c in zip(y, p, w)]
        value = float(sum(terms) / sum(mp.mpf(float(c)) for c in w))
    assert abs(value - tool) <= 1e-7 * abs(value), (value, tool)
    return value


def concordance(y, p):
    return 2 * np.mean((y - y.mean()) * (p - p.mean())) / (y.var() + p.var() + (y.mean() - p.mean()) ** 2)


def metrics(y, p, w):
    k = {"sample_weight": w}
    yr, pr = repeated(y, w), repeated(p, w)
    few, constant = len(y) < 2, len(set(y)) == 1
    flat = constant or len(set(p)) == 1
    weights = np.ones(len(y)) if w is None else np.array(w)
    values = {
        "mae": skm.mean_absolute_error(y, p, **k),
        "mse": skm.mean_squared_error(y, p, **k),
        "rmse": skm.root_mean_squared_error(y, p, **k),
        "msle": attempt(lambda: skm.mean_squared_log_error(y, p, **k)),
        "rmsle": attempt(lambda: skm.root_mean_squared_log_error(y, p, **k)),
        "mape": None if 0.0 in y else skm.mean_absolute_percentage_error(y, p, **k),
        "smape": symmetric(yr, pr),
        "wape": None if not np.any(yr) else np.abs(yr - pr).sum() / np.abs(yr).sum(),
        "mean_error": np.average(np.array(p) - np.array(y), weights=weights),
        "log_cosh": np.average(np.log(np.cosh(np.clip(np.array(y) - np.array(p), -300, 300))), weights=weights),
        "poisson_deviance": attempt(lambda: exact(skm.mean_poisson_deviance(y, p, **k), y, p, weights, poisson)),
        "gamma_deviance": attempt(lambda: exact(skm.mean_gamma_deviance(y, p, **k), y, p, weights, gamma)),
        "r2": None if few or constant else skm.r2_score(y, p, **k),
        "explained_variance": None if few or constant else skm.explained_variance_score(y, p, **k),
        "d2_absolute_error": None if few or constant else skm.d2_absolute_error_score(y, p, **k),
        "pearson": None if few or flat else stats.pearsonr(yr, pr).statistic,
        "spearman": None if few or flat else stats.spearmanr(yr, pr).statistic,
        "kendall": None if few or flat else stats.kendalltau(yr, pr).statistic,
        "concordance_correlation": None if few or len(set(y) | set(p)) == 1 else concordance(yr, pr),
        "concordance_index": None if few or constant else concordance_index(yr, pr),
        "median_absolute_error": skm.median_absolute_error(y, p, **k),
        "max_error": skm.max_error(y, p),
    }
    refused = [name for name, value in values.items() if value == "refused"]
    return {m: None if v is None else number(v) for m, v in values.items() if v != "refused"}, refused


def losses(y, p, w):
    k = {"sample_weight": w}
    weights = np.ones(len(y)) if w is None else np.array(w)
    errors = np.array(y) - np.array(p)
    few, constant = len(y) < 2, len(set(y)) == 1
    cases = []
    for alpha in ALPHAS:
        loss = {"pinball": {"alpha": alpha}}
        d2 = None if few or constant else skm.d2_pinball_score(y, p, alpha=alpha, **k)
        cases.append({"loss": loss, "mean": number(skm.mean_pinball_loss(y, p, alpha=alpha, **k)), "d2": d2})
    for delta in DELTAS:
        mean = np.average(special.huber(delta, errors), weights=weights)
        cases.append({"loss": {"huber": {"delta": delta}}, "mean": number(mean), "d2": None})
    # Far from 0, powers are differences of numbers that agree in all but a few digits.
    for power in [0.0] if max(map(abs, y)) > 1e5 else POWERS:
        mean = attempt(lambda: skm.mean_tweedie_deviance(y, p, power=power, **k))
        if mean == "refused":
            cases.append({"loss": {"tweedie": {"power": power}}, "mean": None, "d2": None, "refused": True})
            continue
        # Below 0 a power needs a positive mean, and allows targets that have none.
        d2 = None
        if not (few or constant):
            d2 = attempt(lambda: skm.d2_tweedie_score(y, p, power=power, **k))
            d2 = None if d2 == "refused" else d2
        cases.append({"loss": {"tweedie": {"power": power}}, "mean": mean, "d2": d2})
    return cases


def quantiles(y, p, w):
    e = repeated(np.array(y) - np.array(p), w)
    shares = [0.0, 0.05, 0.25, 0.5, 0.6, 0.95, 1.0]
    return [[q, float(np.quantile(e, q, method="averaged_inverted_cdf"))] for q in shares]


def sets():
    rng = random.Random(11)
    big = [rng.gauss(1e6, 30.0) for _ in range(1000)]
    yield "four rows", [3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]
    yield "perfect", [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]
    yield "constant target, missed", [2.0, 2.0, 2.0], [1.0, 2.0, 3.0]
    yield "constant target, met", [0.1] * 7, [0.1] * 7
    yield "one row", [2.0], [1.5]
    yield "worse than the mean", [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]
    yield "tied errors", [0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 1.0, 2.0]
    yield "a large mean and a small spread", big, [y + rng.gauss(0, 12.0) for y in big]
    counts = [float(rng.randrange(6)) for _ in range(60)]
    yield "counts", counts, [round(abs(y + rng.gauss(0, 1.0)) + 0.25, 3) for y in counts]
    positive = [round(rng.lognormvariate(1.0, 0.7), 4) for _ in range(35)]
    yield "positive numbers", positive, [round(y * rng.lognormvariate(0.1, 0.3), 4) for y in positive]
    grid = [float(rng.randrange(-4, 5)) for _ in range(60)]
    yield "a grid with many ties", grid, [float(round(y + rng.gauss(0, 2.0))) for y in grid]
    yield "predictions that do not vary", [1.0, 2.0, 5.0, 3.0], [2.0] * 4
    yield "targets below minus one", [-3.0, 2.0, -1.0], [-2.5, 2.5, 0.5]
    yield "predictions below minus one", [0.5, 2.0, 1.0], [-2.5, 2.5, 0.5]
    yield "errors that do not vary", [1.0, 2.0, 4.0, 0.5], [1.5, 2.5, 4.5, 1.0]
    yield "reversed signs", [1.0, -2.0, 4.0], [-1.0, 2.0, -4.0]


def outputs():
    rng = random.Random(3)
    y = [[round(rng.gauss(0, 1), 3), round(rng.gauss(5, 3), 3), 2.0, round(rng.uniform(1, 9), 3)] for _ in range(9)]
    p = [[round(a + rng.gauss(0, 0.5), 3) for a in row] for row in y]
    w = [rng.choice([0.5, 1.0, 1.75]) for _ in y]
    cases = []
    scorers = {
        "mae": skm.mean_absolute_error, "rmse": skm.root_mean_squared_error, "r2": skm.r2_score,
        "explained_variance": skm.explained_variance_score, "mape": skm.mean_absolute_percentage_error,
        "median_absolute_error": skm.median_absolute_error, "d2_absolute_error": skm.d2_absolute_error_score,
    }
    for weights in (None, w):
        for name, f in scorers.items():
            call = lambda m: f(y, p, sample_weight=weights, multioutput=m)
            variance = number(call("variance_weighted")) if name in ("r2", "explained_variance") else None
            cases.append({"name": name, "y_true": sum(y, []), "y_pred": sum(p, []), "outputs": 4, "weights": weights,
                          "raw": [number(v) for v in call("raw_values")], "uniform": number(call("uniform_average")),
                          "given": [1.0, 0.5, 0.0, 2.0], "given_average": number(call([1.0, 0.5, 0.0, 2.0])),
                          "variance_weighted": variance})
    return cases


def main():
    cases = []
    for i, (name, y, p) in enumerate(sets()):
        for w in (None, [random.Random(i * 100 + j).choice([0.5, 1.0, 1.75, 2.25]) for j in range(len(y))]):
            values, refused = metrics(y, p, w)
            # scikit-learn calls shares of one row nan, but explained variance 1.
            compat = {
                "r2": number(skm.r2_score(y, p, sample_weight=w)),
                "explained_variance": number(skm.explained_variance_score(y, p, sample_weight=w)),
                "mape": number(skm.mean_absolute_percentage_error(y, p, sample_weight=w)),
                "d2_absolute_error": number(skm.d2_absolute_error_score(y, p, sample_weight=w)),
            }
            cases.append({"name": name + ("" if w is None else ", weighted"), "y_true": y, "y_pred": p, "weights": w,
                          "metrics": values, "refused": refused, "r2_force_finite": compat["r2"], "compat": compat,
                          "losses": losses(y, p, w), "quantiles": quantiles(y, p, w)})
    text = json.dumps({"versions": VERSIONS, "cases": cases, "outputs": outputs()}, allow_nan=False, separators=(",", ":"))
    # One case per line keeps differences readable.
    text = text.replace('{"name"', '\n{"name"')
    (HERE / "regression.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
