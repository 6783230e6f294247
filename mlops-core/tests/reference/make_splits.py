"""Folds by scikit-learn 1.9.1, for tests/data_split.rs: python make_splits.py > splits.json"""

import json
import random

import sklearn
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

draw = random.Random(20260101)


def tests(folds):
    return [[int(row) for row in test] for _, test in folds]


def fold_of(folds, rows):
    """The fold that tests each row."""
    out = [-1] * rows
    for fold, (_, test) in enumerate(folds):
        for row in test:
            out[int(row)] = fold
    return out


cases = []
for rows, folds in [(10, 3), (7, 7), (100, 8), (23, 2)]:
    found = list(KFold(folds).split([0] * rows))
    cases.append({"method": "k_fold", "rows": rows, "folds": folds, "fold_of": fold_of(found, rows)})

for rows, folds, shares in [(30, 3, [6, 3, 1]), (101, 5, [1, 1, 1, 1]), (200, 10, [30, 1]), (57, 4, [9, 8, 7, 6, 5])]:
    y = draw.choices([f"c{i}" for i in range(len(shares))], weights=shares, k=rows)
    found = list(StratifiedKFold(folds).split([0] * rows, y))
    cases.append({"method": "stratified", "rows": rows, "folds": folds, "y": y, "fold_of": fold_of(found, rows)})

for rows, folds, groups in [(40, 3, 9), (200, 5, 60), (64, 4, 4), (300, 7, 150)]:
    group = draw.choices(range(groups), weights=[1 + i % 5 for i in range(groups)], k=rows)
    if len(set(group)) < folds:
        raise SystemExit("too few groups")
    found = list(GroupKFold(folds).split([0] * rows, groups=group))
    cases.append({"method": "group", "rows": rows, "folds": folds, "groups": group, "fold_of": fold_of(found, rows)})

# The example of scikit-learn's documentation, then drawn ones.
y = [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
group = [1, 1, 2, 2, 3, 3, 3, 4, 5, 5, 5, 5, 6, 6, 7, 8, 8]
grouped = [(y, group, 3)]
for rows, folds, groups, classes in [(120, 4, 30, 2), (300, 5, 80, 3), (250, 3, 12, 5), (400, 10, 133, 4)]:
    group = draw.choices(range(groups), k=rows)
    lean = [draw.random() for _ in range(groups)]
    y = [int((lean[g] * 0.7 + draw.random() * 0.3) * classes) for g in group]
    grouped.append((y, group, folds))
for y, group, folds in grouped:
    found = list(StratifiedGroupKFold(folds).split([0] * len(y), y, group))
    cases.append(
        {"method": "stratified_group", "rows": len(y), "folds": folds, "y": y, "groups": group,
         "fold_of": fold_of(found, len(y))}
    )

series = []
for rows, folds, test, gap, most in [(12, 3, 2, 0, None), (30, 4, 5, 2, None), (50, 5, 6, 3, 9), (20, 2, 3, 0, 4), (17, 8, 1, 1, None)]:
    splitter = TimeSeriesSplit(folds, test_size=test, gap=gap, max_train_size=most)
    found = [[[int(train[0]), int(train[-1])], [int(t[0]), int(t[-1])]] for train, t in splitter.split([0] * rows)]
    series.append({"rows": rows, "folds": folds, "test": test, "gap": gap, "train": most, "ends": found})

fold = [2, -1, 0, 2, 7, 0, -1, 7, 2]
predefined = {"fold": fold, "tests": tests(PredefinedSplit(fold).split())}

print(json.dumps({"scikit-learn": sklearn.__version__, "cases": cases, "series": series, "predefined": predefined}))
