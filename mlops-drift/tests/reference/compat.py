"""Writes what other tools say, for the presets of mlops_drift::compat. One part for each environment:

    venv/bin/pip install numpy==2.4.6 scipy==1.17.1   && venv/bin/python mlops-drift/tests/reference/compat.py formulas
    venv/bin/pip install evidently==0.7.23            && venv/bin/python mlops-drift/tests/reference/compat.py evidently
    venv/bin/pip install evidently==0.7.23            && venv/bin/python mlops-drift/tests/reference/compat.py evidently_tests
    venv/bin/pip install nannyml==0.13.1              && venv/bin/python mlops-drift/tests/reference/compat.py nannyml
    venv/bin/pip install whylogs[viz]==1.6.4 numpy==1.26.4 scipy==1.17.1 && venv/bin/python mlops-drift/tests/reference/compat.py whylogs

Evidently, NannyML and whylogs are run; whylogs on columns so short that its sketches hold every value. Azure ML, scouter and driftwatch are their published formulas in NumPy and SciPy.
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


rng = np.random.Generator(np.random.PCG64(20260304))
r3 = lambda x: x.round(3).tolist()
SMALL = {
    "shift": (r3(rng.normal(0, 1, 90)), r3(rng.normal(0.4, 1, 70))),
    "down": (r3(rng.normal(0, 1, 60)), r3(rng.normal(-0.3, 1, 80))),
    "same": (r3(rng.normal(0, 1, 75)), r3(rng.normal(0, 1, 55))),
    "rounded": ([float(v) for v in rng.poisson(6, 60)], [float(v) for v in rng.poisson(7, 50)]),
    "few": (r3(rng.normal(5, 1, 7)), r3(rng.normal(6, 2, 9))),
    "few_rounded": ([float(v) for v in rng.integers(0, 9, 11)], [float(v) for v in rng.integers(1, 10, 12)]),
    "spread": (r3(rng.normal(0, 1, 40)), r3(rng.normal(0, 3, 25))),
}
# Sizes whose products with the ranks 0, 1/99, … 1 are whole numbers, and a column of one value.
RANKS = {
    "ninety_nine": (r3(rng.normal(0, 1, 99)), r3(rng.normal(0.3, 1, 198))),
    "longer": (r3(rng.exponential(1, 400)), r3(rng.exponential(1.2, 297))),
    "constant": ([2.5] * 12, [2.5] * 9),
    "zeros": ([0.0] * 12, [0.0] * 8 + [1.0]),
    "close": ([1000.0 + i * 1e-5 for i in range(30)], [1000.0 + i * 1.2e-5 for i in range(30)]),
}
EQUAL = {"two": ([40, 60], [55, 45]), "two_alike": ([12, 18], [13, 17]), "three": ([30, 40, 30], [22, 38, 40]), "swapped": ([0, 10], [10, 0])}
MORE = {"hundred": ([29, 71], [35, 65]), "levels": ([50, 40, 30, 20, 10, 5], [60, 45, 20, 22, 9, 6]), "dropped": ([70, 20, 10], [75, 25, 0])}
rows = lambda counts: [f"c{i}" for i, count in enumerate(counts) for _ in range(count)]


def evidently_functions(files):
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
    module(f"{stattests}.registry", StatTest=types.SimpleNamespace, register_stattest=lambda test, default_impl: functions.update({test.name: default_impl}))
    for file in ("utils", *files):
        spec = importlib.util.spec_from_file_location(f"{stattests}.{file}", root / f"calculations/stattests/{file}.py")
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[spec.name])
    tool = f"evidently {__version__}"

    def one(name, preset, threshold, a, b, kind):
        score, alert = functions[name](pd.Series(a), pd.Series(b), getattr(ColumnType, kind), threshold)
        return {"tool": tool, "preset": "evidently_" + preset, "score": float(score), "alert": bool(alert)}

    return one


def evidently():
    one = evidently_functions(("psi", "kl_div", "jensenshannon", "hellinger_distance", "energy_distance", "wasserstein_distance_norm"))
    names = {"psi": "psi", "kl_div": "kl", "jensenshannon": "js", "hellinger": "hellinger", "ed": "energy", "wasserstein": "wasserstein"}
    for case, (a, b) in NUMBERS.items():
        for name, preset in names.items():
            yield {"name": case, "reference": a, "current": b, **one(name, preset, 0.1, a, b, "Numerical")}
    for case, (a, b) in CATEGORIES.items():
        for name in ("psi", "kl_div", "jensenshannon", "hellinger"):
            yield {"name": case, "reference_counts": a, "current_counts": b, **one(name, names[name], 0.1, rows(a), rows(b), "Categorical")}


def evidently_tests():
    import warnings

    import scipy
    from scipy import stats

    warnings.simplefilter("ignore")
    files = ("ks_stattest", "t_test", "anderson_darling_stattest", "cramer_von_mises_stattest", "mann_whitney_urank_stattest", "epps_singleton_stattest", "chisquare_stattest", "z_stattest", "g_stattest", "fisher_exact_stattest")
    one = evidently_functions(files)
    numeric = {"ks": ("ks", 0.05), "t_test": ("t", 0.05), "anderson": ("anderson", 0.1), "cramer_von_mises": ("cramer_von_mises", 0.1), "mannw": ("mann_whitney", 0.05), "es": ("epps_singleton", 0.05)}
    for case, (a, b) in SMALL.items():
        for name, (preset, threshold) in numeric.items():
            if preset == "cramer_von_mises" and max(len(a), len(b)) <= 20:
                # Evidently's copy of SciPy's exact law counts in floats of 32 bits, or raises under NumPy 2; SciPy's own does neither.
                p = float(stats.cramervonmises_2samp(a, b, method="exact").pvalue)
                found = {"tool": f"scipy {scipy.__version__}", "preset": "evidently_" + preset, "score": p, "alert": p <= threshold}
            else:
                found = one(name, preset, threshold, a, b, "Numerical")
            yield {"name": case, "reference": a, "current": b, **found}
    categorical = {"chisquare": ("chi2", 0.05), "z": ("z", 0.05), "g_test": ("g", 0.1), "fisher_exact": ("fisher", 0.1)}
    for case, (a, b) in {**CATEGORIES, **EQUAL, "one": ([7, 0], [9, 0])}.items():
        for name, (preset, threshold) in categorical.items():
            try:
                found = one(name, preset, threshold, rows(a), rows(b), "Categorical")
            except ValueError:
                found = {"score": math.nan}
            if math.isnan(found["score"]):
                found = {"tool": "evidently", "preset": "evidently_" + preset, "score": None, "alert": None}
            yield {"name": case, "reference_counts": a, "current_counts": b, **found}


def whylogs():
    import importlib.metadata

    from whylogs.core import DatasetProfile
    from whylogs.viz.drift.column_drift_algorithms import KS, ChiSquare, Hellinger

    tool = f"whylogs {importlib.metadata.version('whylogs')}"

    def column(values):
        profile = DatasetProfile()
        for value in values:
            profile.track({"x": value})
        return profile.view().get_column("x")

    def one(algorithm, preset, a, b):
        found = algorithm.calculate(column(b), column(a), with_thresholds=True)
        score = found.statistic if found.pvalue is None else found.pvalue
        category = found.drift_category
        return {"tool": tool, "preset": preset, "score": float(score), "alert": category == "DRIFT", "warning": category != "NO_DRIFT"}

    for case, (a, b) in {**SMALL, **RANKS}.items():
        for algorithm, preset in ((KS(), "whylogs_ks"), (Hellinger(), "whylogs_hellinger")):
            yield {"name": case, "reference": a, "current": b, **one(algorithm, preset, a, b)}
    for case, (a, b) in {**CATEGORIES, **EQUAL, **MORE}.items():
        if sum(a) + sum(b) < 3000:
            yield {"name": case, "reference_counts": a, "current_counts": b, **one(ChiSquare(), "whylogs_chi2", rows(a), rows(b))}


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
    for case, (a, b) in {**CATEGORIES, **EQUAL}.items():
        # azureml-assets 4b41f8c, `_chisquaretest` of categorical_data_drift_metrics.py.
        with np.errstate(divide="ignore"):
            score = float(stats.chisquare(b, [x / sum(a) * sum(b) for x in a]).pvalue)
        yield {"name": case, "tool": tool, "reference_counts": a, "current_counts": b, "preset": "azure_ml_chi2", "score": score, "alert": score < 0.05}


part = sys.argv[1]
cases = list({f.__name__: f for f in (evidently, evidently_tests, nannyml, whylogs, formulas)}[part]())
text = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
(HERE / f"compat_{part}.json").write_text("[\n" + text + "\n]\n")
