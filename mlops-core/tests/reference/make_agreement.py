"""Agreement by scikit-learn 1.9.1, statsmodels 0.15.0 and krippendorff 0.9.0, for tests/data_labels.rs:
python make_agreement.py > agreement.json"""

import importlib.metadata
import json
import random

import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

draw = random.Random(11)

cohen = []
for n, classes, noise in [(50, 2, 0.2), (120, 4, 0.4), (80, 5, 0.9), (7, 3, 0.3)]:
    a = [draw.randrange(classes) for _ in range(n)]
    b = [draw.randrange(classes) if draw.random() < noise else x for x in a]
    kappa = {
        name: cohen_kappa_score(a, b, labels=list(range(classes)), weights=weights)
        for name, weights in [("none", None), ("linear", "linear"), ("quadratic", "quadratic")]
    }
    cohen.append({"a": a, "b": b, "classes": classes, "kappa": kappa})

fleiss = []
for units, raters, classes, noise in [(30, 3, 3, 0.3), (12, 5, 2, 0.6), (60, 4, 6, 0.1)]:
    rows = []
    for _ in range(units):
        truth = draw.randrange(classes)
        rows.append([draw.randrange(classes) if draw.random() < noise else truth for _ in range(raters)])
    counts, _ = aggregate_raters(np.array(rows), n_cat=classes)
    fleiss.append({"counts": counts.tolist(), "kappa": fleiss_kappa(counts, method="fleiss")})

# The example of Krippendorff's paper of 2011, then drawn ones; None is missing.
N = None
paper = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
tables = [paper]
for units, raters, values, noise, missing in [(25, 3, 4, 0.3, 0.2), (60, 5, 9, 0.5, 0.5), (15, 2, 2, 0.4, 0.0)]:
    table = [[N] * units for _ in range(raters)]
    for unit in range(units):
        truth = draw.randrange(values)
        for rater in range(raters):
            if draw.random() >= missing:
                table[rater][unit] = draw.randrange(values) if draw.random() < noise else truth
    tables.append(table)
table = [[N if draw.random() < 0.1 else round(unit + draw.gauss(30, 3), 2) for unit in range(20)] for _ in range(4)]
tables.append(table)
krippen = []
for table in tables:
    data = np.array([[np.nan if v is N else v for v in row] for row in table], dtype=float)
    alpha = {
        level: float(krippendorff.alpha(reliability_data=data, level_of_measurement=level))
        for level in ["nominal", "ordinal", "interval", "ratio"]
    }
    krippen.append({"table": table, "alpha": alpha})

versions = {name: importlib.metadata.version(name) for name in ["scikit-learn", "statsmodels", "krippendorff"]}
print(json.dumps({**versions, "cohen": cohen, "fleiss": fleiss, "krippendorff": krippen}))
