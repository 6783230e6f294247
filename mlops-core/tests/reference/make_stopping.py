"""Decisions of Optuna's pruners on random learning curves, and p-values of SciPy's signed-rank test.

Made with Optuna 5.0.0, SciPy 1.17.1 and NumPy 2.4.6 by

    pip install optuna==5.0.0 scipy==1.17.1 && python make_stopping.py > stopping_optuna_5.0.0.json

Trials run one after the other or in turns, report at each step and are told whether to stop; what was reported and decided
is written down in that order. The patience rule is asked without NaN, where ours differs. NaN is written as the string "NaN".
"""

import json
import math
import warnings

import numpy as np
import optuna
import scipy.stats as ss

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")


def number(value):
    return "NaN" if math.isnan(value) else value


def curve(rng, length, nan_share, ties):
    level, rate = rng.uniform(0.1, 1.0), rng.uniform(0.05, 0.6)
    values = level + np.exp(-rate * np.arange(length)) + rng.normal(0, 0.1, length)
    values = np.round(values, 1 if ties else 3)
    values[rng.random(length) < nan_share] = np.nan
    return [float(v) for v in values]


def play(pruner, direction, seed, trials=18, length=14, width=1, nan_share=0.0, ties=False, start=0):
    """Events [trial, step, value, stop] and [trial, "end", value]; `width` trials at a time, taken in turns."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(study_name="study", direction=direction, pruner=pruner)
    events, running, asked = [], [], 0
    while running or asked < trials:
        while len(running) < width and asked < trials:
            sign = 1 if direction == "minimize" else -1
            values = [sign * v for v in curve(rng, length, nan_share, ties)]
            running.append([study.ask(), values, 0])
            asked += 1
        for state in list(running):
            trial, values, at = state
            step = at + start
            trial.report(values[at], step)
            stop = bool(trial.should_prune())
            events.append([trial.number, step, number(values[at]), stop])
            state[2] += 1
            if stop:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                running.remove(state)
            elif state[2] == length:
                finite = [v for v in values if not math.isnan(v)]
                final = float(finite[-1]) if finite else 0.0
                study.tell(trial, final)
                events.append([trial.number, "end", final])
                running.remove(state)
    return events


def case(spec, make, nan=True, **options):
    out = []
    for direction in ("minimize", "maximize"):
        for seed, extra in ((1, {}), (2, {"width": 3}), (3, {"nan_share": 0.15 * nan, "ties": True})):
            events = play(make(), direction, seed, **{**options, **extra})
            out.append({"goal": direction, "policy": spec, "events": events})
    return out


P = optuna.pruners
cases = []
cases += case({"type": "percentile"}, lambda: P.MedianPruner(), trials=14, length=8)
cases += case(
    {"type": "percentile", "percentile": 25.0, "startup_trials": 2, "warmup_steps": 3, "interval_steps": 4, "min_trials": 2},
    lambda: P.PercentilePruner(25.0, 2, 3, 4, n_min_trials=2), trials=14, length=14,
)
cases += case(
    {"type": "asha", "min_resource": 1, "reduction_factor": 2},
    lambda: P.SuccessiveHalvingPruner(1, 2), trials=18, length=9,
)
cases += case(
    {"type": "asha", "min_resource": 2, "reduction_factor": 3, "early_stopping_rate": 0, "bootstrap_count": 2},
    lambda: P.SuccessiveHalvingPruner(2, 3, 0, 2), trials=18, length=8, start=1,
)
cases += case(
    {"type": "hyperband", "name": "study", "min_resource": 1, "max_resource": 9, "reduction_factor": 3},
    lambda: P.HyperbandPruner(1, 9, 3), trials=24, length=9, start=1,
)
cases += case({"type": "wilcoxon"}, lambda: P.WilcoxonPruner(), trials=14, length=12)
cases += case({"type": "wilcoxon", "p_threshold": 0.2, "startup_steps": 5}, lambda: P.WilcoxonPruner(p_threshold=0.2, n_startup_steps=5), trials=14, length=12)
cases += case(
    {"type": "threshold", "lower": -1.6, "upper": 1.6, "warmup_steps": 1, "interval_steps": 2},
    lambda: P.ThresholdPruner(-1.6, 1.6, 1, 2), trials=10, length=8,
)
cases += case(
    {"type": "patience", "patience": 2, "min_delta": 0.02},
    lambda: P.PatientPruner(None, 2, 0.02), nan=False, trials=8, length=14,
)
cases += case(
    {"type": "patience", "patience": 1, "min_delta": 0.0, "inner": {"type": "percentile"}},
    lambda: P.PatientPruner(P.MedianPruner(), 1, 0.0), nan=False, trials=14, length=9,
)

rng = np.random.default_rng(7)
tests = []
for n in (1, 2, 3, 5, 8, 12, 13, 14, 20, 35, 49, 50, 51, 80):
    for kind in ("plain",) if n == 1 else ("plain", "ties", "zeros"):
        d = rng.normal(0.2, 1.0, n)
        if kind == "ties":
            d = np.round(d, 0) + 0.5
        if kind == "zeros":
            d = np.round(d, 1)
            d[0] = 0.0
        d = [float(round(v, 6)) for v in d]
        p = ss.wilcoxon(d, alternative="greater", zero_method="zsplit").pvalue
        tests.append({"differences": d, "p": float(p)})
for n in (2, 13):
    p = ss.wilcoxon([0.0] * n, alternative="greater", zero_method="zsplit").pvalue
    tests.append({"differences": [0.0] * n, "p": float(p)})

brackets = []
for low, high, eta in ((1, 9, 3), (1, 81, 3), (2, 100, 4), (1, 27, 2)):
    study = optuna.create_study(study_name="a sweep", pruner=P.HyperbandPruner(low, high, eta))
    study.pruner._try_initialization(study)
    ids = []
    for _ in range(60):
        trial = study.ask()
        ids.append(study.pruner._get_bracket_id(study, study.trials[trial.number]))
    brackets.append({"min": low, "max": high, "factor": eta, "brackets": ids})

print(json.dumps({"optuna": optuna.__version__, "cases": cases, "signed_rank": tests, "brackets": brackets}, separators=(",", ":")))
