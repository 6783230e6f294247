"""Times NumPy, SciPy and scikit-learn on samples like those of `cargo bench -p mlops-benches`. CPU milliseconds, best of five."""

import time

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics

N = 1_000_000
rng = np.random.default_rng(1)
reference = rng.random((N, 12)).sum(axis=1) - 6
current = rng.random((N, 12)).sum(axis=1) - 5.9
labels = rng.random(N) < 0.3
scores = 0.7 * rng.random(N) + 0.3 * labels
predicted = scores >= 0.5
edges = np.quantile(reference, np.linspace(0, 1, 11))
baseline = np.histogram(reference, edges)[0]


def psi():
    counts = np.histogram(current, edges)[0]
    a, b = (baseline + 0.5) / (baseline.sum() + 5), (counts + 0.5) / (counts.sum() + 5)
    return np.sum((b - a) * np.log(b / a))


def best(call):
    call()
    times = []
    for _ in range(5):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times) * 1000


print(f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, n = {N}")
for name, call in {
    "numpy psi, cells fitted": psi,
    "scipy ks_2samp": lambda: stats.ks_2samp(reference, current),
    "scikit-learn confusion_matrix": lambda: metrics.confusion_matrix(labels, predicted),
    "scikit-learn log_loss": lambda: metrics.log_loss(labels, scores),
    "scikit-learn roc_auc_score": lambda: metrics.roc_auc_score(labels, scores),
}.items():
    print(f"{name:32} {best(call):10.1f} ms")
