"""Reference values of inequality, consistency, demographic disparity and differential fairness, by AIF360 0.6.1, and of data
balance, by responsibleai 0.36.0.

    pip install aif360==0.6.1 && pip install --no-deps responsibleai==0.36.0
    python inequality.py > inequality.json

GE(0) is left out: AIF360 0.6.1 divides by the mean once too often. The modules of responsibleai are loaded one by one, because the
package as a whole wants releases of NumPy and pandas that AIF360 does not.
"""

import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types
import warnings

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")
from aif360.sklearn import metrics as aif  # noqa: E402
from aif360.sklearn.preprocessing import Reweighing  # noqa: E402


def responsibleai(module):
    """A module of responsibleai.databalanceanalysis without the package around it."""
    folder = pathlib.Path(next(p for p in map(pathlib.Path, sys.path) if (p / "responsibleai").is_dir()), "responsibleai")
    for name, path in [("responsibleai", folder), ("responsibleai.databalanceanalysis", folder / "databalanceanalysis")]:
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(path)]
            sys.modules[name] = package
    return importlib.import_module(f"responsibleai.databalanceanalysis.{module}")


def finite(value):
    value = float(value)
    return value if np.isfinite(value) else None


def rows(seed, n):
    random = np.random.default_rng(seed)
    group = random.integers(0, 3, n)
    y = (random.random(n) < 0.3 + 0.1 * group).astype(int)
    p = np.where(random.random(n) < 0.25 + 0.05 * group, 1 - y, y)
    return group, y, p, random.random((n, 2)), np.round(random.random(n) + 0.1, 3)


def fairness(seed, n):
    group, y, p, x, w = rows(seed, n)
    index = pd.MultiIndex.from_arrays([group], names=["group"])
    y_true, y_pred = pd.Series(y, index=index), pd.Series(p, index=index)
    alphas = [0.5, 1.0, 1.5, 2.0, 3.0]
    weights = Reweighing("group").fit_transform(pd.DataFrame(x, index=index), y_true, sample_weight=w)[1]
    return {
        "groups": group.tolist(), "y_true": y.tolist(), "y_pred": p.tolist(), "features": x.ravel().tolist(),
        "weights": w.tolist(), "alphas": alphas,
        "entropy": [float(aif.generalized_entropy_error(y, p, alpha=a)) for a in alphas],
        "between": [float(aif.between_group_generalized_entropy_error(y_true, y_pred, prot_attr="group", alpha=a))
                    for a in alphas],
        "theil": float(aif.theil_index(1 + p - y)),
        "variation": float(aif.coefficient_of_variation(1 + p - y)),
        "consistency": float(aif.consistency_score(x, p, n_neighbors=5)),
        "disparity": finite(aif.conditional_demographic_disparity(y_true, y_pred, prot_attr="group")),
        "epsilon_true": float(aif.smoothed_edf(y_true, prot_attr="group", concentration=1.0)),
        "epsilon_pred": float(aif.smoothed_edf(y_true, y_pred, prot_attr="group", concentration=1.0)),
        "epsilon_ten": float(aif.smoothed_edf(y_true, y_pred, prot_attr="group", concentration=10.0)),
        "amplification": float(aif.df_bias_amplification(y_true, y_pred, prot_attr="group")),
        "reweighed": [float(v) for v in weights],
    }


def balance(seed, n):
    group, y, _, _, _ = rows(seed, n)
    frame = pd.DataFrame({"group": group, "half": group // 2, "label": y})
    features = responsibleai("feature_balance_measures").FeatureBalanceMeasures(["group"], "label", "1")
    distribution = responsibleai("distribution_balance_measures").DistributionBalanceMeasures(["group"])
    aggregate = responsibleai("aggregate_balance_measures").AggregateBalanceMeasures(["group", "label"])
    gaps = features.measures(frame)
    names = [c for c in gaps.columns if c not in ("ClassA", "ClassB", "FeatureName")]
    return {
        "codes": group.tolist(), "y_true": y.tolist(),
        "gaps": [{"a": int(r["ClassA"]), "b": int(r["ClassB"]), **{k: finite(r[k]) for k in names}}
                 for _, r in gaps.iterrows()],
        "distribution": {k: finite(v) for k, v in distribution.measures(frame).iloc[0].items() if k != "FeatureName"},
        "aggregate_counts": [int(c) for c in frame.groupby(["group", "label"]).size()],
        "aggregate": {k: finite(v) for k, v in aggregate.measures(frame).iloc[0].items()},
    }


versions = {name: importlib.metadata.version(name) for name in ["aif360", "responsibleai", "scikit-learn", "numpy"]}
print(json.dumps({
    "versions": versions,
    "fairness": [fairness(seed, n) for seed, n in [(1, 30), (2, 120)]],
    "balance": [balance(seed, n) for seed, n in [(3, 40), (4, 200)]],
}))
