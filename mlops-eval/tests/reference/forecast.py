#!/usr/bin/env python3
"""Writes forecast.json beside this file.

The inputs are made here and stored with the results, so that the tests need no Python. Values that are not defined are stored as
null. Scores that a tool gives row by row are averaged here, with the weights.
Run with: pip install numpy==2.4.6 properscoring==0.1 scoringrules==0.10.0 utilsforecast==0.2.17 && python forecast.py
"""
import importlib.metadata
import json
import math
import pathlib
import random
import sys
import warnings

import numpy as np
import pandas as pd
import properscoring
import scoringrules as sr
import utilsforecast.losses as ufl

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
VERSIONS = {"python": sys.version.split()[0]}
VERSIONS |= {m: importlib.metadata.version(m) for m in ("numpy", "properscoring", "scoringrules", "utilsforecast")}


def number(value):
    value = float(value)
    return None if math.isnan(value) or math.isinf(value) else value


def mean(values, w):
    return number(np.average(values, weights=w))


def series_cases():
    rng = random.Random(7)
    for name, length, horizon, season in [("short", 5, 2, 1), ("seasonal", 36, 12, 12), ("weekly", 29, 7, 7), ("one step", 3, 1, 2)]:
        train = [round(10 + 3 * math.sin(t / 2) + rng.gauss(0, 1), 3) for t in range(length)]
        actual = [round(10 + rng.gauss(0, 2), 3) for _ in range(horizon)]
        forecast = [round(y + rng.gauss(0, 1), 3) for y in actual]
        yield name, train, actual, forecast, season
    yield "a naive forecast that is never wrong", [4.0] * 6, [4.0, 5.0], [4.0, 4.0], 1
    yield "perfect", [1.0, 2.0, 4.0, 4.0], [3.0, 5.0], [3.0, 5.0], 1


def series():
    cases = []
    for name, train, actual, forecast, season in series_cases():
        n = len(train)
        df = pd.DataFrame({"unique_id": "s", "ds": range(n, n + len(actual)), "y": actual, "m": forecast})
        train_df = pd.DataFrame({"unique_id": "s", "ds": range(n), "y": train})
        value = lambda f: number(f(df, ["m"], season, train_df)["m"].iloc[0])
        constant = len(set(train)) == 1
        cases.append({"name": name, "training": train, "actual": actual, "forecast": forecast, "season": season,
                      "mase": None if constant else value(ufl.mase), "rmsse": None if constant else value(ufl.rmsse),
                      "wape": number(ufl.nd(df, ["m"])["m"].iloc[0])})
    return cases


def intervals():
    rng = random.Random(9)
    cases = []
    for name, n, level in [("ninety percent", 60, 0.9), ("half", 25, 0.5), ("one row", 1, 0.8)]:
        y = [round(rng.gauss(0, 1), 2) for _ in range(n)]
        lower = [round(-1 - rng.random(), 2) for _ in range(n)]
        upper = [round(1 + rng.random(), 2) for _ in range(n)]
        lower[0] = y[0]  # an end counts as inside
        upper[-1] = max(upper[-1], lower[-1])
        for w in (None, [rng.choice([0.0, 0.5, 2.0]) if n > 1 else 1.5 for _ in range(n)]):
            ya, la, ua = map(np.array, (y, lower, upper))
            scores = np.ravel(sr.interval_score(ya, la, ua, 1 - level))
            inside = (la <= ya) & (ya <= ua)
            cases.append({"name": name + ("" if w is None else ", weighted"), "level": level, "actual": y, "lower": lower,
                          "upper": upper, "weights": w, "coverage": mean(inside, w), "width": mean(ua - la, w),
                          "winkler": mean(scores, w)})
    return cases


def weighted_intervals():
    rng = random.Random(10)
    n, levels = 30, [0.9, 0.6, 0.2]
    y = [round(rng.gauss(0, 1), 3) for _ in range(n)]
    median = [round(rng.gauss(0, 0.3), 3) for _ in range(n)]
    half = [1.6, 0.8, 0.25]
    lower = [[round(m - h, 3) for h in half] for m in median]
    upper = [[round(m + h * 1.25, 3) for h in half] for m in median]
    w = [rng.choice([0.5, 1.0, 3.0]) for _ in range(n)]
    alpha = np.array([1 - level for level in levels])
    # By its definition from the tool's interval scores: weighted_interval_score of scoringrules 0.10.0 (NumPy) is another number,
    # and not what the tool's own quantile scores of the same seven quantiles give.
    ya, ma, la, ua = map(np.array, (y, median, lower, upper))
    scores = 0.5 * np.abs(ya - ma)
    for k, a in enumerate(alpha):
        scores = scores + a / 2 * np.ravel(sr.interval_score(ya, la[:, k], ua[:, k], a))
    scores = scores / (len(levels) + 0.5)
    all_levels = np.array(sorted([0.5, *(alpha / 2), *(1 - alpha / 2)]))
    all_quantiles = np.sort(np.column_stack([la, ma, ua]), axis=1)
    assert np.allclose(scores, sr.crps_quantile(ya, all_quantiles, all_levels), atol=1e-12)
    return [{"name": "three intervals" + ("" if x is None else ", weighted"), "actual": y, "median": median, "lower": sum(lower, []),
             "upper": sum(upper, []), "levels": levels, "weights": x, "score": mean(scores, x)} for x in (None, w)]


def quantiles():
    rng = random.Random(12)
    cases = []
    for name, n, levels in [("deciles", 30, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), ("three", 20, [0.05, 0.5, 0.95]), ("one", 5, [0.3])]:
        y = [round(rng.gauss(0, 1), 2) for _ in range(n)]
        q = [sorted(round(rng.gauss(0, 1.2), 2) for _ in levels) for _ in range(n)]
        for w in (None, [rng.choice([0.0, 1.0, 2.5]) for _ in range(n)]):
            crps = sr.crps_quantile(np.array(y), np.array(q), np.array(levels))
            losses = [mean(sr.quantile_score(np.array(y), np.array(q)[:, k], level), w) for k, level in enumerate(levels)]
            coverage = [mean(np.array(y) <= np.array(q)[:, k], w) for k in range(len(levels))]
            cases.append({"name": name + ("" if w is None else ", weighted"), "actual": y, "quantiles": sum(q, []), "levels": levels,
                          "weights": w, "losses": losses, "crps": mean(crps, w), "coverage": coverage})
    return cases


def ensembles():
    rng = random.Random(13)
    cases = []
    for name, n, m, digits in [("ten members", 25, 10, 3), ("ties", 25, 6, 0), ("two members", 8, 2, 2), ("one member", 4, 1, 2)]:
        y = [round(rng.gauss(3, 2), digits) for _ in range(n)]
        x = [[round(rng.gauss(3, 2), digits) for _ in range(m)] for _ in range(n)]
        for w in (None, [rng.choice([0.0, 1.0, 2.5]) for _ in range(n - 1)] + [1.0]):
            ya, xa = np.array(y), np.array(x)
            plain = properscoring.crps_ensemble(ya, xa)
            assert np.allclose(plain, sr.crps_ensemble(ya, xa, estimator="nrg"), atol=1e-12)
            fair = mean(sr.crps_ensemble(ya, xa, estimator="fair"), w) if m > 1 else None
            pit = (xa < ya[:, None]).mean(axis=1) + 0.5 * (xa == ya[:, None]).mean(axis=1)
            cases.append({"name": name + ("" if w is None else ", weighted"), "actual": y, "ensemble": sum(x, []), "members": m,
                          "weights": w, "plain": mean(plain, w), "fair": fair, "transform": mean(pit, w)})
    return cases


def main():
    file = {"versions": VERSIONS, "series": series(), "intervals": intervals(), "weighted_intervals": weighted_intervals(),
            "quantiles": quantiles(), "ensembles": ensembles()}
    text = json.dumps(file, allow_nan=False, separators=(",", ":"))
    (HERE / "forecast.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
