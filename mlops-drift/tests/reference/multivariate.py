"""Writes the reference values of tests/multivariate.rs.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 dcor==0.7
    venv/bin/python mlops-drift/tests/reference/multivariate.py

Rows are written out in full, rounded so that they are short; the values are computed from what is written.
"""
import json
import pathlib

import dcor
import numpy as np
import scipy
import scipy.spatial.distance as ssd
import scipy.stats
import sklearn
import sklearn.decomposition
import sklearn.metrics
import sklearn.preprocessing

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(20260601)


def rounded(values):
    return np.round(values, 4)


def correlated(rho, rows):
    return rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], rows)


CLOUDS = {
    "shifted": (rng.normal(size=(60, 3)), rng.normal(size=(45, 3)) + [0.6, 0, 0]),
    "correlation_flips": (correlated(0.8, 50), correlated(-0.8, 70)),
    "scaled": (rng.normal(size=(40, 5)), 2 * rng.normal(size=(40, 5))),
    "tied": (rng.integers(0, 3, size=(50, 2)), rng.integers(0, 4, size=(30, 2))),
    "heavy_tails": (rng.standard_t(2, size=(45, 4)), rng.standard_t(2, size=(60, 4))),
    "different_units": (rng.normal(size=(50, 3)) * [1, 1e3, 1e-3], rng.normal(size=(50, 3)) * [1, 2e3, 1e-3]),
    "two_rows": (rng.normal(size=(6, 2)), rng.normal(size=(2, 2))),
}


def mmd2(x, y, sigma):
    """The unbiased estimate, by its formula on whole matrices."""
    kernel = lambda a, b: np.exp(-ssd.cdist(a, b, "sqeuclidean") / (2 * sigma**2))
    n, m = len(x), len(y)
    own = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
    return own(kernel(x, x)) + own(kernel(y, y)) - 2 * kernel(x, y).mean()


def pca_errors(x, y, share):
    """Mean and standard error of reconstruction errors, as NannyML's DataReconstructionDriftCalculator defines the metric, and the
    largest number of components that leaves a direction out."""
    scaler = sklearn.preprocessing.StandardScaler().fit(x)
    pca = sklearn.decomposition.PCA(n_components=share, svd_solver="full").fit(scaler.transform(x))
    if pca.n_components_ == x.shape[1]:
        pca = sklearn.decomposition.PCA(n_components=x.shape[1] - 1, svd_solver="full").fit(scaler.transform(x))

    def errors(rows):
        scaled = scaler.transform(rows)
        back = pca.inverse_transform(pca.transform(scaled))
        return np.linalg.norm(scaled - back, axis=1)

    return pca, errors(x), errors(y)


def cloud(name, x, y):
    x, y = rounded(x).astype(float), rounded(y).astype(float)
    pooled = np.vstack([x, y])
    sigma = float(np.median(ssd.pdist(pooled)))
    directions = rounded(rng.normal(size=(7, x.shape[1])))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    sliced = np.mean([scipy.stats.wasserstein_distance(x @ d, y @ d) for d in unit])
    pca, before, now = pca_errors(x, y, 0.65)
    return {
        "name": name,
        "tool": f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, dcor {dcor.__version__}",
        "columns": x.shape[1],
        "reference": x.ravel().tolist(),
        "current": y.ravel().tolist(),
        "median_distance": sigma,
        "mmd2": mmd2(x, y, sigma),
        "mmd2_at_half": mmd2(x, y, 0.5),
        "energy": float(dcor.energy_distance(x, y)),
        "energy_formula": 2 * ssd.cdist(x, y).mean() - ssd.cdist(x, x).mean() - ssd.cdist(y, y).mean(),
        "centroid_cosine": float(ssd.cosine(x.mean(0), y.mean(0))),
        "directions": directions.ravel().tolist(),
        "sliced_wasserstein": float(sliced),
        "components": int(pca.n_components_),
        "explained": float(pca.explained_variance_ratio_.sum()),
        "reference_errors": before.tolist(),
        "current_mean": float(now.mean()),
        "current_standard_error": float(now.std(ddof=1) / np.sqrt(len(now))),
    }


def delong(before, now):
    """The standard error by placements, from their definition."""
    wins = (now[:, None] > before[None, :]) + 0.5 * (now[:, None] == before[None, :])
    return float(np.sqrt(wins.mean(1).var(ddof=1) / len(now) + wins.mean(0).var(ddof=1) / len(before)))


def scores(name, before, now):
    before, now = rounded(before).astype(float), rounded(now).astype(float)
    labels = np.r_[np.zeros(len(before)), np.ones(len(now))]
    n, m = len(before), len(now)
    both = np.concatenate([before, now])
    test = scipy.stats.mannwhitneyu(now, before, method="asymptotic", use_continuity=False, alternative="greater")
    # The deviation that SciPy's normal approximation with ties has used.
    z = scipy.stats.norm.isf(test.pvalue)
    area = sklearn.metrics.roc_auc_score(labels, both)
    return {
        "name": name,
        "tool": f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}",
        "reference": before.tolist(),
        "current": now.tolist(),
        "auc": float(area),
        "standard_error": delong(before, now),
        "null_deviation": float((test.statistic - n * m / 2) / z / (n * m)),
    }


def main():
    document = {
        "clouds": [cloud(name, *sides) for name, sides in CLOUDS.items()],
        "scores": [
            scores("continuous", rng.normal(size=80), rng.normal(size=50) + 0.7),
            scores("tied", rng.integers(0, 5, 60), rng.integers(1, 6, 90)),
            scores("few_ties", np.round(rng.normal(size=40), 1), np.round(rng.normal(size=30), 1) - 0.5),
        ],
    }
    text = json.dumps(document, allow_nan=False)
    (HERE / "multivariate.json").write_text(text + "\n")


main()
