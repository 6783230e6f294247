"""Our drift statistics beside what users would take today, in one run, with ratios.

    python3 benches/peers/drift.py            # everything: builds, installs, measures, prints the table
    python3 benches/peers/drift.py --n 1e6    # the same with a million values a side

Makes a virtual environment in target/peers with the peers from PyPI, runs `cargo bench -p mlops-benches --bench drift` and
`--bench online`, and then the peers on samples of the same size and kind. CPU milliseconds (user and system) of one thread, the
fastest of several repetitions, so that other work on the machine disturbs little. `--n` (default 10 000 000) is the size of a
side, and only for that size are the aims meant; slow peers run once. A peer that cannot be installed is reported and left out.
"""

import argparse
import os
import sys

from side_by_side import bench, best, cpu, environment, lines, print_table, rows, run

# Evidently 0.7 does not import with pandas 3.
PACKAGES = ["numpy", "scipy", "pandas<3", "evidently==0.7.*", "nannyml", "river"]
ROWS = rows(10_000_000)

# Our task, their task, the aim in milliseconds.
TABLE = [
    ("PSI and JS counts, 10 fitted cells", ["numpy histogram, 10 fixed edges", "evidently psi"], 16),
    ("PSI and JS counts, 20 fitted cells", [], 16),
    ("PSI and JS counts, 64 fitted cells", ["numpy histogram, 64 fixed edges"], 16),
    ("KS, fitted reference, no drift", ["scipy ks_2samp"], 60),
    ("KS, fitted reference, drift", ["scipy ks_2samp"], 60),
    ("KS, two raw samples, no drift", ["scipy ks_2samp"], 80),
    ("KS, two raw samples, drift", ["scipy ks_2samp"], 80),
    ("KS, two raw samples, heavy ties", ["scipy ks_2samp, ties"], 210),
    ("Wasserstein, two raw samples, no drift", ["scipy wasserstein_distance"], 130),
    ("Wasserstein, two raw samples, drift", ["scipy wasserstein_distance"], 130),
    ("100 000 rows x 20 columns, PSI + KS + W1 + chi-square", ["nannyml ks", "evidently ks"], 60),
]

# Of the streaming detectors, for one value.
AIMS = {"ADWIN update": 0.00005, "Page-Hinkley update": 0.00005, "KSWIN update": 0.001}


def measure():
    """Runs inside the environment: a line for each peer, name and milliseconds, separated by a tab."""
    # NannyML and Evidently report their use unless told not to.
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"
    import numpy as np
    import pandas as pd
    import scipy
    from scipy import stats

    print(f"# numpy {np.__version__}, scipy {scipy.__version__}, {ROWS} rows a side", flush=True)
    rng = np.random.default_rng(1)

    def bell(n):
        return rng.random((4, n)).sum(axis=0) - 2

    reference, current = bell(ROWS), bell(ROWS)
    for k in (10, 64):
        edges = np.quantile(reference[:1_000_000], np.linspace(0, 1, k + 1))
        best(f"numpy histogram, {k} fixed edges", 3, lambda: np.histogram(current, edges))
    best("scipy ks_2samp", 1, lambda: stats.ks_2samp(reference, current))
    ties = np.round(1.7 * reference, 2), np.round(1.7 * current, 2)
    best("scipy ks_2samp, ties", 1, lambda: stats.ks_2samp(*ties))
    best("scipy wasserstein_distance", 1, lambda: stats.wasserstein_distance(reference, current))
    frames = [pd.DataFrame({f"c{i}": bell(100_000) for i in range(20)}) for _ in range(2)]
    try:
        from evidently.legacy.calculations.stattests import psi_stat_test
        from evidently.legacy.core import ColumnType

        pair = pd.Series(reference), pd.Series(current)
        best("evidently psi", 1, lambda: psi_stat_test.func(*pair, ColumnType.Numerical, 0.1))
        from evidently import Report
        from evidently.presets import DataDriftPreset

        report = Report([DataDriftPreset(method="ks")])
        best("evidently ks", 1, lambda: report.run(frames[1], frames[0]).dict())
    except Exception as error:
        print(f"# evidently left out: {error!r}")
    try:
        import nannyml

        def univariate():
            columns = list(frames[0].columns)
            calculator = nannyml.UnivariateDriftCalculator(
                column_names=columns, continuous_methods=["kolmogorov_smirnov"], chunk_size=100_000
            )
            calculator.fit(frames[0])
            calculator.calculate(frames[1])

        best("nannyml ks", 1, univariate)
    except Exception as error:
        print(f"# nannyml left out: {error!r}")
    try:
        import river
        from river import drift
        from river.drift import binary

        print(f"# river {river.__version__}")
        levels = (rng.random((12, 100_000)).sum(axis=0) - 6).tolist()
        errors = [int(error) for error in rng.random(100_000) < 0.2]
        for name, make, values in [
            ("ADWIN update", drift.ADWIN, levels),
            ("Page-Hinkley update", drift.PageHinkley, levels),
            ("KSWIN update", lambda: drift.KSWIN(seed=1), levels[:1000]),
            ("ADWIN update, errors", drift.ADWIN, errors),
            ("DDM update", binary.DDM, errors),
            ("EDDM update", binary.EDDM, errors),
            ("HDDM-A update", binary.HDDMA, errors),
            ("HDDM-W update", binary.HDDMW, errors),
            ("FHDDM update", binary.FHDDM, errors),
        ]:
            times = []
            for _ in range(3):
                update, began = make().update, cpu()
                for value in values:
                    update(value)
                times.append((cpu() - began) * 1000 / len(values))
            print(f"river {name}\t{min(times):.6f}", flush=True)
    except Exception as error:
        print(f"# river left out: {error!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=lambda n: int(float(n)), default=ROWS, help="values a side")
    # For the benches and for the peers, which run in processes of their own.
    os.environ["MLOPS_BENCH_ROWS"] = str(parser.parse_args().n)
    python = environment("drift", PACKAGES)
    # `online` prints update times of the streaming detectors in the same form, under river's names without "river ".
    ours = bench("drift") | bench("online")
    theirs = lines(run([python, __file__, "--measure"]))
    print_table(TABLE, ours, theirs)
    for name, time in theirs.items():
        own = ours.get(name.removeprefix("river "))
        if name.startswith("river ") and own:
            aim = AIMS.get(name.removeprefix("river "), "")
            print(f"{name.removeprefix('river '):58} {own:10.6f} {aim:8}   river {time:.6f} ({time / own:.0f}x)")
    wall = [ours.get(f"the same on {threads}, wall") for threads in ("1 thread", "2 threads")]
    if all(wall):
        print(f"twenty columns, wall: {wall[0]:.1f} on 1 thread, {wall[1]:.1f} on 2, {wall[0] / wall[1]:.2f} times as fast")


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else main()
