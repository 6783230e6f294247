"""Reference values for tests/data_profile.rs: what columns are like.

Made with pandas 3.1.1 and SciPy 1.17.1 (Python 3.11):
    python data_profile.py > data_profile.json
"""

import importlib.metadata
import json
import math
import sys

import numpy as np
import pandas as pd
import scipy.stats as st


def table():
    n = 500
    i = np.arange(n)
    frame = pd.DataFrame(
        {
            "id": i,
            "skew": np.round(np.exp((i * 37 % 100) / 20.0), 6),
            "offset": 1e9 + (i * 7919 % 503) / 8,
            "zeros": np.where(i % 3 == 0, 0, i % 11 - 4),
            "holes": np.where(i % 7 == 0, np.nan, (i * 53 % 97) - 0.5 * (i % 5)),
            "site": np.array(["bonn", "köln", "trier"])[(i * 7 % 10) // 4],
            "arm": np.array(["a", "b"])[((i * 7 % 10) // 4 + (i % 9 == 0)) % 2],
            "flag": i % 50 != 0,
        }
    )
    # Rows that come twice.
    return pd.concat([frame, frame.iloc[[3, 77, 77]]], ignore_index=True)


def cramers_v(a, b):
    """Bergsma's bias correction, as in ydata-profiling."""
    cells = pd.crosstab(a, b).to_numpy()
    n = cells.sum()
    chi2 = st.chi2_contingency(cells, correction=False).statistic
    r, k = cells.shape
    phi2 = max(0.0, chi2 / n - (k - 1) * (r - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return math.sqrt(phi2 / min(k - 1, r - 1))


def main():
    frame = table()
    columns = {}
    # Moments do not change with an origin near the values, and SciPy loses digits to one that is far away.
    for name in ["id", "skew", "offset", "zeros", "holes"]:
        x = frame[name].dropna().astype(float)
        columns[name] = {
            "count": int(frame[name].notna().sum()),
            "missing": int(frame[name].isna().sum()),
            "distinct": int(frame[name].nunique()),
            "zeros": int((x == 0).sum()),
            "negative": int((x < 0).sum()),
            "min": float(x.min()),
            "max": float(x.max()),
            "sum": math.fsum(x),
            "mean": math.fsum(x) / len(x),
            "variance": float(np.var(x.to_numpy() - x.iloc[0], ddof=1)),
            "skewness": float(st.skew(x - x.iloc[0])),
            "kurtosis": float(st.kurtosis(x - x.iloc[0])),
            "quantiles": [float(x.quantile(q)) for q in [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]],
        }
    for name in ["site", "arm", "flag"]:
        counts = frame[name].value_counts()
        shares = counts / counts.sum()
        columns[name] = {
            "count": int(frame[name].notna().sum()),
            "missing": 0,
            "distinct": int(frame[name].nunique()),
            "top": sorted(([str(k).lower(), int(v)] for k, v in counts.items()), key=lambda t: (-t[1], t[0])),
            "imbalance": float(1 - st.entropy(shares) / math.log(len(shares))),
        }
    numeric = ["id", "skew", "offset", "zeros", "holes"]
    pairs = []
    for kind, method in [("pearson", "pearson"), ("spearman", "spearman")]:
        # pandas' Pearson loses digits to the offset; NumPy's on centred values does not.
        centred = frame[numeric] - frame[numeric].mean()
        matrix = centred.corr(method=method)
        for at, a in enumerate(numeric):
            for b in numeric[at + 1 :]:
                both = frame[a].notna() & frame[b].notna()
                value = float(matrix.loc[a, b])
                if kind == "pearson":
                    value = float(st.pearsonr(centred.loc[both, a], centred.loc[both, b]).statistic)
                pairs.append([a, b, kind, value, int(both.sum())])
    for a, b in [("site", "arm"), ("site", "flag"), ("arm", "flag")]:
        pairs.append([a, b, "cramers_v", cramers_v(frame[a], frame[b]), len(frame)])
    out = {
        "made_with": {name: importlib.metadata.version(name) for name in ["pandas", "scipy", "numpy"]},
        "csv": frame.to_csv(index=False),
        "columns": columns,
        "pairs": pairs,
        "duplicates": int(frame.duplicated().sum()),
    }
    json.dump(out, sys.stdout, ensure_ascii=False, indent=1)


main()
