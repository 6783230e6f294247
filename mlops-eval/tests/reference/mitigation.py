"""Reference values of ThresholdOptimizer, by Fairlearn 0.15.0.

    pip install fairlearn==0.15.0 && python mitigation.py > mitigation.json

Every case holds the rows, the options, and what Fairlearn makes of them: the chance of every row to be selected.
"""

import itertools
import json
import warnings

import fairlearn
import numpy as np
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator

warnings.simplefilter("ignore")

CONSTRAINTS = {
    "demographic_parity": "selection_rate",
    "false_positive_rate_parity": "false_positive_rate",
    "false_negative_rate_parity": "false_negative_rate",
    "true_positive_rate_parity": "true_positive_rate",
    "true_negative_rate_parity": "true_negative_rate",
    "equalized_odds": "equalized_odds",
}
OBJECTIVES = {
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced_accuracy",
    "selection_rate": "selection_rate",
    "true_positive_rate": "true_positive_rate",
    "true_negative_rate": "true_negative_rate",
}


class Scores(BaseEstimator):
    """The score is the feature."""

    def fit(self, x, y):
        self.fitted_ = True
        return self

    def predict(self, x):
        return np.asarray(x)[:, 0]


def rows(seed, n, groups, digits):
    random = np.random.default_rng(seed)
    group = random.integers(0, groups, n)
    y = (random.random(n) < 0.25 + 0.15 * group).astype(int)
    score = np.round(random.normal(0.9 * y - 0.3 * group, 1.0), digits)
    return group, y, score


def fit(group, y, score, constraint, objective, grid, flip, tolerance):
    optimizer = ThresholdOptimizer(
        estimator=Scores().fit(None, None), constraints=constraint, objective=objective, grid_size=grid, flip=flip,
        prefit=True, predict_method="predict", tol=tolerance)
    x = score.reshape(-1, 1)
    optimizer.fit(x, y, sensitive_features=group)
    return optimizer, optimizer._pmf_predict(x, sensitive_features=group)[:, 1]


cases = []
for number, (seed, n, groups, digits) in enumerate([(1, 40, 2, 1), (2, 60, 3, 0), (3, 80, 3, 4)]):
    group, y, score = rows(seed, n, groups, digits)
    data = {"groups": group.tolist(), "y_true": y.tolist(), "scores": score.tolist(), "count": groups}
    fits = []
    for constraint, objective in itertools.product(CONSTRAINTS, OBJECTIVES):
        odds = constraint == "equalized_odds"
        if odds and objective not in ("accuracy_score", "balanced_accuracy_score"):
            continue
        for grid, flip, tolerance in [(1000, False, None), (37, True, None), (200, False, 0.1)]:
            if odds and tolerance:
                continue
            optimizer, chances = fit(group, y, score, constraint, objective, grid, flip, tolerance)
            fits.append({
                "constraint": CONSTRAINTS[constraint], "objective": OBJECTIVES[objective], "grid": grid, "flip": flip,
                "tolerance": tolerance, "chances": [float(chance) for chance in chances],
                "best": float(optimizer._y_best),
            })
    cases.append({**data, "fits": fits})

print(json.dumps({"fairlearn": fairlearn.__version__, "cases": cases}))
