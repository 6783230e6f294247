"""Our metrics, fairness and comparisons beside what users would take today, in one run, with ratios.

    python3 benches/peers/eval.py            # everything: builds, installs, measures, prints the table
    python3 benches/peers/eval.py --n 1e5    # the same on a hundred thousand rows

Makes a virtual environment in target/peers with the peers from PyPI, runs `cargo bench -p mlops-benches --bench eval`, and then the
peers on rows of the same number and kind. CPU milliseconds (user and system), the fastest of several repetitions, so that other
work on the machine disturbs little; the peers' libraries are held to one thread. `--n` (default 1 000 000) is the number of rows, and
only for that number are the aims meant; slow peers run once. A peer that cannot be installed is reported and left out.
"""

import argparse
import os
import sys

from side_by_side import bench, best, environment, lines, print_table, rows, run

PACKAGES = ["numpy", "scipy", "scikit-learn", "pandas", "fairlearn", "MLstatkit"]
ROWS = rows(1_000_000)

# Our task, their task, the aim in milliseconds.
TABLE = [
    ("confusion cells and all count metrics", ["scikit-learn confusion_matrix", "numpy bincount"], 3),
    ("log loss", ["scikit-learn log_loss", "numpy log loss"], 5),
    ("Brier score", ["scikit-learn brier_score_loss"], ""),
    ("ROC AUC", ["scikit-learn roc_auc_score", "numpy rank AUC"], 20),
    ("average precision", ["scikit-learn average_precision_score"], ""),
    ("score state", [], ""),
    ("10-bin calibration, all norms", ["scikit-learn calibration_curve"], 5),
    ("regression, all moments", ["scikit-learn MAE, MSE and R2"], 3),
    ("residual quantiles", ["numpy quantiles"], ""),
    ("median absolute error", ["scikit-learn median_absolute_error"], ""),
    ("Spearman correlation", ["scipy spearmanr"], ""),
    ("Kendall correlation", ["scipy kendalltau"], ""),
    ("NDCG, queries of 100 documents", ["scikit-learn ndcg_score"], ""),
    ("4 metrics x 15 groups with intervals", ["fairlearn MetricFrame"], 10),
    ("2 000 bootstrap resamples of all group rates", ["fairlearn MetricFrame, one resample"], 10),
    ("DeLong, 2 models", ["MLstatkit Delong_test"], 100),
    ("one AUC bootstrap resample", ["scikit-learn AUC of a resample", "numpy presorted Poisson resample"], 8),
]


def metrics(np, labels, scores, predicted):
    import sklearn
    from scipy import stats
    from sklearn import metrics as sk
    from sklearn.calibration import calibration_curve

    print(f"# scikit-learn {sklearn.__version__}", flush=True)
    best("scikit-learn confusion_matrix", 3, lambda: sk.confusion_matrix(labels, predicted))
    best("numpy bincount", 3, lambda: np.bincount(2 * labels.astype(np.int8) + predicted, minlength=4))
    best("scikit-learn log_loss", 3, lambda: sk.log_loss(labels, scores))
    best("numpy log loss", 3, lambda: -np.mean(np.log(np.where(labels, scores, 1 - scores))))
    best("scikit-learn brier_score_loss", 3, lambda: sk.brier_score_loss(labels, scores))
    best("scikit-learn roc_auc_score", 3, lambda: sk.roc_auc_score(labels, scores))

    def rank_auc():
        order = np.argsort(scores)
        ranks = np.empty(len(scores))
        ranks[order] = np.arange(1, len(scores) + 1)
        n = labels.sum()
        return (ranks[labels].sum() - n * (n + 1) / 2) / (n * (len(labels) - n))

    best("numpy rank AUC", 3, rank_auc)
    best("scikit-learn average_precision_score", 3, lambda: sk.average_precision_score(labels, scores))
    best("scikit-learn calibration_curve", 3, lambda: calibration_curve(labels, scores, n_bins=10))
    target = scores + labels
    best("scikit-learn MAE, MSE and R2", 3, lambda: (
        sk.mean_absolute_error(target, scores), sk.mean_squared_error(target, scores), sk.r2_score(target, scores)))
    best("numpy quantiles", 3, lambda: np.quantile(target - scores, [0.05, 0.25, 0.5, 0.75, 0.95]))
    best("scikit-learn median_absolute_error", 3, lambda: sk.median_absolute_error(target, scores))
    best("scipy spearmanr", 2, lambda: stats.spearmanr(target, scores))
    best("scipy kendalltau", 2, lambda: stats.kendalltau(target, scores))
    rng = np.random.default_rng(2)
    whole = len(scores) // 100 * 100
    grades = rng.integers(0, 5, whole).reshape(-1, 100)
    best("scikit-learn ndcg_score", 2, lambda: sk.ndcg_score(grades, scores[:whole].reshape(-1, 100)))

    def resampled():
        rows = rng.integers(0, len(labels), len(labels))
        return sk.roc_auc_score(labels[rows], scores[rows])

    best("scikit-learn AUC of a resample", 2, resampled)
    order = np.argsort(scores)
    positive = labels[order]

    def poisson():
        weights = rng.poisson(1, len(labels))
        negatives = np.cumsum(weights * ~positive)
        return (weights * positive * negatives).sum() / (weights[positive].sum() * negatives[-1])

    best("numpy presorted Poisson resample", 3, poisson)


def fairness(np, labels, predicted):
    import fairlearn
    import pandas as pd
    from fairlearn import metrics as fl
    from sklearn import metrics as sk

    print(f"# fairlearn {fairlearn.__version__}", flush=True)
    rng = np.random.default_rng(3)
    n = len(labels)
    groups = pd.DataFrame({"a": rng.integers(0, 3, n), "b": rng.integers(0, 5, n)})
    chosen = {
        "accuracy": sk.accuracy_score, "selection rate": fl.selection_rate, "TPR": fl.true_positive_rate,
        "FPR": fl.false_positive_rate,
    }

    def frame(rows, boot=None):
        return fl.MetricFrame(
            metrics=chosen, y_true=labels[:rows], y_pred=predicted[:rows], sensitive_features=groups[:rows],
            **({"n_boot": boot, "ci_quantiles": [0.025, 0.975], "random_state": 1} if boot else {})).by_group

    best("fairlearn MetricFrame", 1, lambda: frame(n))
    # One resample of a tenth of the rows: all of them take too long to wait for.
    best("fairlearn MetricFrame, one resample", 1, lambda: frame(n // 10, boot=1))


def comparison(np, labels, scores):
    from MLstatkit import Delong_test

    rng = np.random.default_rng(4)
    other = scores + 0.2 * rng.random(len(scores))
    best("MLstatkit Delong_test", 1, lambda: Delong_test(labels.astype(int), scores, other))


def measure():
    """Runs inside the environment: a line for each peer, name and milliseconds, separated by a tab."""
    import numpy as np

    print(f"# numpy {np.__version__}, {ROWS} rows", flush=True)
    rng = np.random.default_rng(1)
    labels = rng.random(ROWS) < 0.3
    scores = 0.7 * rng.random(ROWS) + 0.3 * labels
    predicted = scores >= 0.5
    for part in (lambda: metrics(np, labels, scores, predicted), lambda: fairness(np, labels, predicted),
                 lambda: comparison(np, labels, scores)):
        try:
            part()
        except Exception as error:
            print(f"# left out: {error!r}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=lambda n: int(float(n)), default=ROWS, help="rows")
    # For the bench and for the peers, which run in processes of their own.
    os.environ["MLOPS_BENCH_ROWS"] = str(parser.parse_args().n)
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    python = environment("eval", PACKAGES)
    ours = bench("eval")
    theirs = lines(run([python, __file__, "--measure"]))
    print_table(TABLE, ours, theirs)
    for name, time in ours.items():
        two = ours.get(f"{name.removesuffix(', 1 thread, wall')}, 2 threads, wall")
        if name.endswith(", 1 thread, wall") and two:
            print(f"{name.removesuffix(', 1 thread, wall')}: wall {time:.2f} on 1 thread, {two:.2f} on 2, {time / two:.2f} times as fast")


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else main()
