"""Sweeps: ours beside Optuna's TPE, on the same functions with the same number of trials and seeds.

    python3 benches/peers/sweep.py
    MLOPS_BENCH_GP=1 MLOPS_BENCH_TRIALS=30 MLOPS_BENCH_SEEDS=10 python3 benches/peers/sweep.py   # GP samplers; installs torch

Prints the median of the best values over the seeds (less is better), their quartiles, and the CPU time per trial; then what a
trial costs with a journal on disk. The number of seeds is MLOPS_BENCH_SEEDS, 30 if not given, that of trials
MLOPS_BENCH_TRIALS, 80 if not given.
"""

import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

from side_by_side import bench, cpu, environment, lines, run

TRIALS = int(os.environ.get("MLOPS_BENCH_TRIALS", "80"))
GP = "MLOPS_BENCH_GP" in os.environ
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


def ackley5(trial):
    x = [trial.suggest_float(f"x{i}", -15, 30) for i in range(5)]
    far = math.sqrt(sum(v * v for v in x) / 5)
    return 20 - 20 * math.exp(-0.2 * far) + math.e - math.exp(sum(math.cos(2 * math.pi * v) for v in x) / 5)


def levy4(trial):
    w = [1 + (trial.suggest_float(f"x{i}", -10, 10) - 1) / 4 for i in range(4)]
    hills = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:3])
    last = (w[3] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[3]) ** 2)
    return math.sin(math.pi * w[0]) ** 2 + hills + last


def styblinski_tang4(trial):
    x = [trial.suggest_float(f"x{i}", -5, 5) for i in range(4)]
    return sum(0.5 * (v**4 - 16 * v * v + 5 * v) + 39.16616570377142 for v in x)


def conditional(trial):
    scale = 0.1 * (trial.suggest_float("scale", 0, 1) - 0.25) ** 2
    kind = trial.suggest_categorical("kind", ["svm", "forest", "linear"])
    if kind == "svm":
        c, gamma = trial.suggest_float("c", 1e-3, 1e3, log=True), trial.suggest_float("gamma", 1e-4, 10, log=True)
        return scale + 0.05 + 0.08 * (math.log10(c) - 1) ** 2 + 0.05 * (math.log10(gamma) + 2) ** 2
    if kind == "forest":
        depth, share = trial.suggest_int("depth", 1, 16), trial.suggest_float("share", 0.1, 1)
        return scale + 0.005 * (depth - 8) ** 2 + (share - 0.6) ** 2
    return scale + 0.2 + 0.02 * math.log10(trial.suggest_float("penalty", 1e-5, 1e2, log=True)) ** 2


# The bar is on the first four; the others show that nothing was made for these alone.
FUNCTIONS = (branin, hartmann6, rosenbrock5, mixed, ackley5, levy4, styblinski_tang4, conditional)


def sweep(sampler, function, storage=None):
    """The best value of a study, and the CPU seconds it took."""
    import optuna

    began = cpu()
    study = optuna.create_study(sampler=sampler, storage=storage)
    study.optimize(function, n_trials=TRIALS)
    return study.best_value, cpu() - began


def on_disk(function, folder):
    """CPU milliseconds per trial with the journal in a file, and with SQLite."""
    from optuna.samplers import TPESampler
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    name = function.__name__
    storages = {
        "file": JournalStorage(JournalFileBackend(str(Path(folder) / f"{name}.log"))),
        "sqlite": RDBStorage(f"sqlite:///{folder}/{name}.db"),
    }
    for label, storage in storages.items():
        spent = sweep(TPESampler(seed=0), function, storage)[1]
        print(f"{label} {name} ms\t{spent / TRIALS * 1e3:.4f}", flush=True)


def peer():
    """Optuna's part, in its own Python."""
    import warnings

    import optuna

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"# optuna {optuna.__version__}")
    sampler = optuna.samplers.GPSampler if GP else optuna.samplers.TPESampler
    if GP:
        import torch

        torch.set_num_threads(1)
        print(f"# torch {torch.__version__}")
    for function in FUNCTIONS:
        best, spent = zip(*(sweep(sampler(seed=seed), function) for seed in range(SEEDS)))
        for part, value in zip(("low", "median", "high"), statistics.quantiles(best, n=4, method="inclusive")):
            print(f"{function.__name__} {part}\t{value:.6g}")
        print(f"{function.__name__} ms\t{sum(spent) / (SEEDS * TRIALS) * 1e3:.4f}", flush=True)
    if not GP:
        with tempfile.TemporaryDirectory() as folder:
            for function in FUNCTIONS:
                on_disk(function, folder)


def main():
    python = environment("sweep", ["optuna==5.0.0"] + (["torch"] if GP else []))
    if GP:
        os.environ["MLOPS_BENCH_SAMPLERS"] = '[["random", {"type": "random"}], ["gp", {"type": "gp"}]]'
    ours = bench("sweep")
    theirs = lines(run([python, __file__, "peer"]))
    named = "gp" if GP else "tpe"
    samplers = [name.split()[0] for name in ours if name.endswith("branin median")]
    print(f"best of {TRIALS} trials over {SEEDS} seeds: median (quartiles), CPU ms per trial")
    for name in (function.__name__ for function in FUNCTIONS):
        show = lambda t, key: (  # noqa: E731
            f"{t[f'{key} median']:.4g} ({t[f'{key} low']:.4g} … {t[f'{key} high']:.4g}) {t[f'{key} ms']:.3f} ms"
        )
        print(f"{name}\n  {'optuna ' + named:16} {show(theirs, name)}")
        for sampler in (s for s in samplers if f"{s} {name} ms" in ours):
            times = theirs[f"{name} ms"] / ours[f"{sampler} {name} ms"]
            print(f"  {sampler:16} {show(ours, f'{sampler} {name}')}, {times:.0f}x faster")
    both = [f.__name__ for f in FUNCTIONS if f"{named} {f.__name__} median" in ours]
    worse = [name for name in both if ours[f"{named} {name} median"] > theirs[f"{name} median"]]
    print(f"# {named} is worse than optuna on: {', '.join(worse) or 'none'}")
    if not GP:
        print_engines(ours, theirs)


def print_engines(ours, theirs):
    print("\nCPU ms per trial of a whole sweep with TPE, and how many times as long Optuna takes")
    for name in (function.__name__ for function in FUNCTIONS):
        memory, disk = ours[f"memory {name} ms"], ours[f"disk {name} ms"]
        beside = {"in memory": (name, memory), "journal file": (f"file {name}", disk), "SQLite": (f"sqlite {name}", disk)}
        shown = (f"{label} {theirs[f'{key} ms']:.2f} ({theirs[f'{key} ms'] / own:.0f}x)" for label, (key, own) in beside.items())
        print(f"{name:18} memory {memory:.4f}, disk {disk:.4f};  optuna {', '.join(shown)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["peer"]:
        peer()
    else:
        main()
