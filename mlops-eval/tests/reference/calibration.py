#!/usr/bin/env python3
"""Writes calibration.json beside this file.

Curves and isotonic regression by scikit-learn, logistic recalibration by statsmodels, tails by SciPy, the smooth calibration
error by relplot; what no tool has (errors over bins, Spiegelhalter, Hosmer-Lemeshow) by NumPy, from the formulas. Whole-number
weights are rows repeated where a tool takes no weights. Values that do not exist are null. Run with:
pip install scikit-learn==1.9.1 statsmodels==0.15.0 relplot==1.0.3 && python calibration.py
"""
import json
import math
import pathlib
import sys
import warnings

import numpy as np
import relplot
import scipy
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy.stats import chi2, norm
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
EPS = np.finfo(float).eps
VERSIONS = {
    "python": sys.version.split()[0],
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "scikit-learn": sklearn.__version__,
    "statsmodels": statsmodels.__version__,
    "relplot": "1.0.3",
}


def inputs():
    rng = np.random.default_rng(20260311)
    p = rng.beta(0.8, 1.2, 300)
    yield "calibrated", rng.random(300) < p, p, None
    q = rng.beta(2, 5, 250)
    yield "too extreme", rng.random(250) < 1 / (1 + np.exp(0.4 - 0.5 * np.log(q / (1 - q)))), q, None
    p = np.round(rng.random(200), 1)
    yield "tied on the edges", rng.random(200) < 0.2 + 0.6 * p, p, None
    p = rng.random(101)
    yield "quantiles that are values", rng.random(101) < p, p, None
    p = rng.random(150)
    yield "whole weights", rng.random(150) < p**2, p, rng.integers(0, 5, 150).astype(float)
    p = np.round(rng.random(120), 2)
    yield "weights", rng.random(120) < p**0.5, p, rng.exponential(2.0, 120)
    p = np.concatenate([[0, 1, 0, 1, 1], rng.random(60)])
    yield "certainty", np.concatenate([[0, 1, 0, 1, 1], rng.random(60) < p[5:]]).astype(bool), p, None
    yield "all alike", np.array([1, 0, 1, 1], bool), np.full(4, 0.4), None
    yield "only positives", np.ones(3, bool), np.array([0.2, 0.7, 0.9]), None
    yield "separated", np.array([0, 0, 1, 1], bool), np.array([0.1, 0.4, 0.4, 0.9]), None
    yield "rare", rng.random(400) < 0.03, rng.beta(1, 30, 400), None


def binned(y, p, w, edges):
    ids = np.searchsorted(edges[1:-1], p)
    n = len(edges) - 1
    total = [math.fsum(w[ids == b]) for b in range(n)]
    pred = [math.fsum((w * p)[ids == b]) for b in range(n)]
    obs = [math.fsum((w * y)[ids == b]) for b in range(n)]
    return total, pred, obs


def norms(total, pred, obs):
    kept = [(t, p / t, o / t) for t, p, o in zip(total, pred, obs) if t > 0]
    all_ = math.fsum(t for t, _, _ in kept)
    return {
        "ece": math.fsum(t * abs(o - p) for t, p, o in kept) / all_,
        "mce": max(abs(o - p) for _, p, o in kept),
        "rmsce": math.sqrt(math.fsum(t * (o - p) ** 2 for t, p, o in kept) / all_),
        "ace": math.fsum(abs(o - p) for _, p, o in kept) / len(kept),
    }


def mass_ids(p, w, n):
    """Bins of equal mass with ties together, by the middle of each value's mass."""
    values, inverse = np.unique(p, return_inverse=True)
    mass = np.array([math.fsum(w[inverse == i]) for i in range(len(values))])
    ids, below = [], 0.0
    for m in mass:
        ids.append(int((below + m / 2) / w.sum() * n))
        below += m
    return np.unique(np.array(ids)[inverse], return_inverse=True)[1]


def logistic(y, p, w):
    out = {}
    x = np.clip(p, EPS, 1 - EPS)
    x = np.log(x) - np.log1p(-x)
    keep = w > 0
    x, y, w = x[keep], y[keep].astype(float), w[keep]
    fit = lambda **k: sm.GLM(y, k.pop("design"), family=sm.families.Binomial(), freq_weights=w, **k).fit(tol=1e-15, tol_criterion="params", maxiter=200)
    if 0 < y.sum() < len(y):
        large = fit(design=np.ones((len(y), 1)), offset=x)
        out["large"] = [large.params[0], large.bse[0], large.tvalues[0], large.pvalues[0]]
        overlap = x[y == 0].max() > x[y == 1].min() and x[y == 1].max() > x[y == 0].min()
        if overlap and x.min() < x.max():
            full = fit(design=sm.add_constant(x))
            a, b = full.params
            ll = lambda eta: math.fsum(-w * (y * np.logaddexp(0, -eta) + (1 - y) * np.logaddexp(0, eta)))
            lr = 2 * (ll(a + b * x) - ll(x))
            out["intercept"] = [a, full.bse[0], full.tvalues[0], full.pvalues[0]]
            z = (b - 1) / full.bse[1]
            out["slope"] = [b, full.bse[1], z, 2 * norm.sf(abs(z))]
            out["likelihood_ratio"] = [lr, chi2.sf(lr, 2)]
    return out


def case(name, y, p, w):
    given, w = w, np.ones(len(y)) if w is None else w
    whole = bool((w == np.round(w)).all())
    repeated = np.repeat(np.arange(len(y)), w.astype(int)) if whole else None
    out = {"name": name, "y_true": [bool(v) for v in y], "probabilities": p.tolist(), "weights": None if given is None else given.tolist()}
    out["curves"] = []
    if whole:
        for strategy in ["uniform", "quantile"]:
            for bins in [3, 10]:
                obs, pred = calibration_curve(y[repeated], p[repeated], n_bins=bins, strategy=strategy)
                out["curves"].append({"strategy": strategy, "bins": bins, "observed": obs.tolist(), "predicted": pred.tolist()})
    out["uniform"] = {str(b): norms(*binned(y, p, w, np.linspace(0, 1, b + 1))) for b in [5, 10, 15]}
    ids = mass_ids(p[w > 0], w[w > 0], 10)
    yy, pp, ww = y[w > 0], p[w > 0], w[w > 0]
    groups = [(ww[ids == g], pp[ids == g], yy[ids == g]) for g in range(ids.max() + 1)]
    sums = [[math.fsum(v) for v in (a, a * b, a * c)] for a, b, c in groups]
    out["mass"] = norms(*zip(*sums))
    g = len(sums)
    if any(e * (1 - e / n) == 0 and e != o for n, e, o in sums):
        out["hosmer_lemeshow"] = None
    else:
        stat = math.fsum((o - e) ** 2 / (e * (1 - e / n)) for n, e, o in sums if e != o)
        out["hosmer_lemeshow"] = [stat, g, chi2.sf(stat, g), chi2.sf(stat, g - 2) if g > 2 else None]
    var = math.fsum(w * (1 - 2 * p) ** 2 * p * (1 - p))
    z = math.fsum(w * (y - p) * (1 - 2 * p)) / math.sqrt(var)
    out["spiegelhalter"] = [z, 2 * norm.sf(abs(z))]
    out["ratio"] = math.fsum(w * y) / math.fsum(w * p)
    out["logistic"] = logistic(y, p, w)
    iso = IsotonicRegression(y_min=0, y_max=1).fit(pp, yy.astype(float), sample_weight=ww).predict(pp)
    base = np.full(len(ww), math.fsum(ww * yy) / math.fsum(ww))
    brier = lambda q: brier_score_loss(yy, q, sample_weight=ww, pos_label=True)
    log = lambda q: log_loss(yy, q, sample_weight=ww, labels=[False, True])
    for key, score in [("brier", brier), ("log_loss", log)]:
        s, c, r = score(pp), score(np.clip(iso, 0, 1)), score(base)
        out["corp_" + key] = [s, s - c, r - c, r]
    order = np.argsort(pp, kind="stable")
    out["isotonic"] = [pp[order].tolist(), iso[order].tolist()]
    if given is None:
        out["smooth"] = float(relplot.smECE(p, y.astype(float)))
        out["smooth_at"] = float(relplot.smECE_sigma(p, y.astype(float), 0.1))
    return out


def main():
    cases = [case(*row) for row in inputs()]
    text = json.dumps({"versions": VERSIONS, "cases": cases}, allow_nan=False, separators=(",", ":"))
    (HERE / "calibration.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")


main()
