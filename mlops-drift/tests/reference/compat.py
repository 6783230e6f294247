"""Writes what other tools say, for the presets of mlops_drift::compat. One part for each environment:

    venv/bin/pip install numpy==2.4.6 scipy==1.17.1   && venv/bin/python mlops-drift/tests/reference/compat.py formulas
    venv/bin/pip install evidently==0.7.23            && venv/bin/python mlops-drift/tests/reference/compat.py evidently
    venv/bin/pip install nannyml==0.13.1              && venv/bin/python mlops-drift/tests/reference/compat.py nannyml

Evidently and NannyML are run. Azure ML, scouter and driftwatch are their published formulas in NumPy and SciPy.
"""
import json
import math
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
rng = np.random.Generator(np.random.PCG64(20260303))
r = lambda x: x.round(6).tolist()
NUMBERS = {
    "normal_shift": (r(rng.normal(0, 1, 300)), r(rng.normal(0.3, 1, 200))),
    "lognormal": (r(rng.lognormal(0, 1, 150)), r(rng.lognormal(0.2, 1, 190))),
    "outlier": (r(rng.normal(0, 1, 120)), r(rng.normal(0.5, 1, 110)) + [60.0]),
    "few_levels": ([float(v) for v in rng.integers(0, 9, 200)], [float(v) for v in rng.integers(2, 11, 150)]),
}
CATEGORIES = {
    "plain": ([50, 30, 20], [35, 40, 25]),
    "new": ([500, 500, 0], [480, 470, 50]),
    "gone": ([9000, 900, 99, 1], [700, 290, 10, 0]),
}


def evidently():
    import importlib.metadata
    import importlib.util
    import types

    import pandas as pd

    # The functions are Evidently's own files; what they register with is left out, because it imports the whole product.
    __version__ = importlib.metadata.version("evidently")
    root = pathlib.Path(next(p for p in sys.path if (pathlib.Path(p) / "evidently/legacy").is_dir()), "evidently/legacy")
    functions = {}
    ColumnType = types.SimpleNamespace(Numerical="num", Categorical="cat")

    def module(name, **members):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(members)

    stattests = "evidently.legacy.calculations.stattests"
    module("evidently.legacy.core", ColumnType=ColumnType)
    module(f"{stattests}.registry", StatTest=types.SimpleNamespace, register_stattest=lambda test, function: functions.update({test.name: function}))
    for file in ("utils", "psi", "kl_div", "jensenshannon", "hellinger_distance", "energy_distance", "wasserstein_distance_norm"):
        spec = importlib.util.spec_from_file_location(f"{stattests}.{file}", root / f"calculations/stattests/{file}.py")
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[spec.name])
    names = {"psi": "psi", "kl_div": "kl", "jensenshannon": "js", "hellinger": "hellinger", "ed": "energy", "wasserstein": "wasserstein"}
    tool = f"evidently {__version__}"

    def one(name, a, b, kind):
        score, alert = functions[name](pd.Series(a), pd.Series(b), kind, 0.1)
        return {"tool": tool, "preset": "evidently_" + names[name], "score": float(score), "alert": bool(alert)}

    for case, (a, b) in NUMBERS.items():
        for name in names:
            yield {"name": case, "reference": a, "current": b, **one(name, a, b, ColumnType.Numerical)}
    for case, (a, b) in CATEGORIES.items():
        rows = lambda counts: [f"c{i}" for i, count in enumerate(counts) for _ in range(count)]
        for name in ("psi", "kl_div", "jensenshannon", "hellinger"):
            yield {"name": case, "reference_counts": a, "current_counts": b, **one(name, rows(a), rows(b), ColumnType.Categorical)}


def nannyml():
    import types

    # A plotting dependency that no score touches.
    sys.modules.setdefault("statsmodels", types.ModuleType("statsmodels")).api = None
    sys.modules.setdefault("statsmodels.api", types.ModuleType("statsmodels.api"))
    import nannyml as nml
    import pandas as pd
    from nannyml.chunk import DefaultChunker
    from nannyml.drift.univariate.methods import FeatureType, MethodFactory
    from nannyml.thresholds import ConstantThreshold

    def one(key, kind, preset, a, b):
        method = MethodFactory.create(key, kind, chunker=DefaultChunker(), threshold=ConstantThreshold(upper=0.1))
        method._fit(pd.Series(a))
        return {"tool": f"nannyml {nml.__version__}", "preset": preset, "score": float(method._calculate(pd.Series(b))), "alert": None}

    for case, (a, b) in NUMBERS.items():
        for key, preset in (("jensen_shannon", "nanny_ml_js"), ("hellinger", "nanny_ml_hellinger")):
            yield {"name": case, "reference": a, "current": b, **one(key, FeatureType.CONTINUOUS, preset, a, b)}
    for case, (a, b) in CATEGORIES.items():
        rows = lambda counts: [f"c{i}" for i, count in enumerate(counts) for _ in range(count)]
        for key, preset in (("jensen_shannon", "nanny_ml_js"), ("hellinger", "nanny_ml_hellinger"), ("l_infinity", "nanny_ml_l_infinity")):
            yield {"name": case, "reference_counts": a, "current_counts": b, **one(key, FeatureType.CATEGORICAL, preset, rows(a), rows(b))}


def formulas():
    import scipy
    from scipy import stats
    from scipy.spatial.distance import jensenshannon

    tool = f"formula in numpy {np.__version__}, scipy {scipy.__version__}"
    psi = lambda p, q: float(np.sum((p - q) * np.log(p / q)))
    for case, (a, b) in NUMBERS.items():
        base = {"name": case, "tool": tool, "reference": a, "current": b}
        x, y = np.array(a), np.array(b)
        cells = math.ceil(math.log2(min(len(a), len(b)))) + 1
        edges = np.histogram_bin_edges(np.concatenate([x, y]), bins=cells)
        f, g = np.histogram(x, edges)[0], np.histogram(y, edges)[0]
        score = float(jensenshannon(f / f.sum(), g / g.sum(), base=2))
        yield {**base, "preset": "azure_ml_js", "score": score, "alert": score > 0.1}
        score = psi((f + 1) / (f.sum() + cells), (g + 1) / (g.sum() + cells))
        yield {**base, "preset": "azure_ml_psi", "score": score, "alert": score > 0.1}
        score = float(stats.wasserstein_distance(a, b) / max(np.std(a, ddof=1), 0.001))
        yield {**base, "preset": "azure_ml_wasserstein", "score": score, "alert": score > 0.1}
        score = float(stats.ks_2samp(a, b, method="exact").pvalue)
        yield {**base, "preset": "azure_ml_ks", "score": score, "alert": score < 0.05}
        cuts = np.quantile(x, np.arange(1, 10) / 10)
        f, g = (np.bincount(np.searchsorted(cuts, v, side="left"), minlength=10) for v in (x, y))
        score = psi(f / len(a) + 1e-10, g / len(b) + 1e-10)
        yield {**base, "preset": "scouter_psi", "score": score, "alert": bool(score > stats.chi2.ppf(0.95, 9) / len(b))}
        f, g = (np.bincount(np.searchsorted(cuts, v, side="right"), minlength=10) for v in (x, y))
        p, q = ((c / c.sum() + 1e-6) / (1 + 10e-6) for c in (f, g))
        yield {**base, "preset": "driftwatch_psi", "score": psi(p, q), "alert": psi(p, q) > 0.25}
        yield {**base, "preset": "driftwatch_js", "score": float(jensenshannon(p, q) ** 2), "alert": None}
        yield {**base, "preset": "driftwatch_kl", "score": float(np.sum(q * np.log(q / p))), "alert": None}


part = sys.argv[1]
cases = list({"evidently": evidently, "nannyml": nannyml, "formulas": formulas}[part]())
text = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
(HERE / f"compat_{part}.json").write_text("[\n" + text + "\n]\n")
