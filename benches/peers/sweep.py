"""Sweeps: ours beside Optuna's TPE, on the same functions with the same number of trials and seeds.

    python3 benches/peers/sweep.py

Prints the median of the best values over the seeds (less is better), their quartiles, and the CPU time per trial. The number
of seeds is MLOPS_BENCH_SEEDS, 30 if not given.
"""

import math
import os
import statistics
import subprocess
import sys

from side_by_side import bench, cpu, environment, lines, run

TRIALS = 80
SEEDS = int(os.environ.get("MLOPS_BENCH_SEEDS", "30"))


def branin(trial):
    x = trial.suggest_float("x", -5, 10)
    y = trial.suggest_float("y", 0, 15)
    bend = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return bend * bend + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.39788735772973816


HARTMANN = (
    (1.0, (10, 3, 17, 3.5, 1.7, 8), (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886)),
    (1.2, (0.05, 10, 17, 0.1, 8, 14), (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991)),
    (3.0, (3, 3.5, 1.7, 10, 17, 8), (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650)),
    (3.2, (17, 8, 0.05, 10, 0.1, 14), (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381)),
)


def hartmann6(trial):
    x = [trial.suggest_float(f"x{i}", 0, 1) for i in range(6)]
    bumps = (a * math.exp(-sum(c * (v - p) ** 2 for c, v, p in zip(cs, x, ps))) for a, cs, ps in HARTMANN)
    return 3.322368011415515 - sum(bumps)


def rosenbrock5(trial):
    x = [trial.suggest_float(f"x{i}", -5, 10) for i in range(5)]
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def mixed(trial):
    rate = trial.suggest_float("rate", 1e-5, 1, log=True)
    layers = trial.suggest_int("layers", 1, 12)
    kind = trial.suggest_categorical("kind", ["a", "b", "c", "d"])
    dropout = trial.suggest_float("dropout", 0, 0.9)
    cost = {"a": 0.1, "b": 0.0, "c": 0.05, "d": 0.3}[kind]
    return 0.1 * (math.log10(rate) + 2.5) ** 2 + 0.02 * (layers - 5) ** 2 + (dropout - 0.3) ** 2 + cost


FUNCTIONS = (branin, hartmann6, rosenbrock5, mixed)


def peer():
    """Optuna's part, in its own Python."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"# optuna {optuna.__version__}")
    for function in FUNCTIONS:
        best, began = [], cpu()
        for seed in range(SEEDS):
            study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
            study.optimize(function, n_trials=TRIALS)
            best.append(study.best_value)
        spent = (cpu() - began) / (SEEDS * TRIALS) * 1e3
        for part, value in zip(("low", "median", "high"), statistics.quantiles(best, n=4)):
            print(f"{function.__name__} {part}\t{value:.6g}")
        print(f"{function.__name__} ms\t{spent:.4f}", flush=True)


def main():
    python = environment("sweep", ["optuna==5.0.0"])
    ours = bench("sweep")
    theirs = lines(run([python, __file__, "peer"]))
    samplers = [name.split()[0] for name in ours if name.endswith("branin median")]
    print(f"best of {TRIALS} trials over {SEEDS} seeds: median (quartiles), CPU ms per trial")
    for function in FUNCTIONS:
        name = function.__name__
        show = lambda t, key: (  # noqa: E731
            f"{t[f'{key} median']:.4g} ({t[f'{key} low']:.4g} … {t[f'{key} high']:.4g}) {t[f'{key} ms']:.3f} ms"
        )
        print(f"{name}\n  {'optuna tpe':16} {show(theirs, name)}")
        for sampler in samplers:
            times = theirs[f"{name} ms"] / ours[f"{sampler} {name} ms"]
            print(f"  {sampler:16} {show(ours, f'{sampler} {name}')}, {times:.0f}x faster")
    worse = [f.__name__ for f in FUNCTIONS if ours[f"tpe {f.__name__} median"] > theirs[f"{f.__name__} median"]]
    print(f"# tpe is worse than optuna on: {', '.join(worse) or 'none'}")


if __name__ == "__main__":
    if sys.argv[1:] == ["peer"]:
        peer()
    else:
        main()
