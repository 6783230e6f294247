"""Makes attribution.json: what scikit-learn and SciPy say of attribution drift.

    python -m venv venv && venv/bin/pip install scipy==1.17.1 scikit-learn==1.9.1 && venv/bin/python attribution.py > attribution.json
"""

import json
import math

import numpy as np
import scipy
import sklearn
from scipy.stats import weightedtau
from sklearn.metrics import ndcg_score

rng = np.random.default_rng(20260301)
cases = [
    ([3.0, 0.0, 0.0], [0.2, 0.2, 0.2]),
    ([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]),
    ([1.0, 1.0, 2.0, 2.0], [2.0, 1.0, 2.0, 1.0]),
    ([0.5, 0.25, 0.125], [0.5, 0.25, 0.125]),
    ([1e-9, 1e9], [1e9, 1e-9]),
]
for k in (2, 5, 17, 60):
    a = rng.gamma(0.5, 1.0, k)
    cases.append((a.tolist(), (a * rng.uniform(0.5, 1.5, k)).tolist()))
    cases.append((np.round(a, 1).tolist(), np.round(rng.gamma(0.5, 1.0, k), 1).tolist()))

out = []
for reference, current in cases:
    tau = float(weightedtau(reference, current).statistic)
    out.append(
        {
            "reference": reference,
            "current": current,
            "ndcg": float(ndcg_score([reference], [current])),
            "weighted_tau": None if math.isnan(tau) else tau,
        }
    )
print(json.dumps({"scipy": scipy.__version__, "sklearn": sklearn.__version__, "cases": out}, indent=1))
