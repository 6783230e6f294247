"""Writes parzen.json: kernels, weights and densities of Optuna 5.0.0's Parzen estimator on given trials.

    python3 make_parzen.py > parzen.json

Needs optuna 5.0.0 and NumPy. Densities are with respect to the logarithm for parameters on a logarithmic scale, and masses
for those on a grid, as Optuna has them. NumPy sorts trials of equal value in an order that depends on the machine, and so does
then which of them has the wider kernel; here equal ones stay in the order of the trials.
"""

import json

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

argsort = np.argsort
np.argsort = lambda values, **options: argsort(values, **{**options, "kind": "stable"})

assert optuna.__version__ == "5.0.0", optuna.__version__

PARAMETERS = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)

# Ours, and Optuna's.
AXES = {
    "float": ({"type": "float", "low": -5.0, "high": 10.0}, FloatDistribution(-5.0, 10.0)),
    "log": ({"type": "float", "low": 1e-5, "high": 1.0, "log": True}, FloatDistribution(1e-5, 1.0, log=True)),
    "step": ({"type": "float", "low": 0.0, "high": 3.0, "step": 0.25}, FloatDistribution(0.0, 3.0, step=0.25)),
    "int": ({"type": "int", "low": 1, "high": 12}, IntDistribution(1, 12)),
    "int_step": ({"type": "int", "low": -4, "high": 20, "step": 4}, IntDistribution(-4, 20, step=4)),
    "int_log": ({"type": "int", "low": 1, "high": 500, "log": True}, IntDistribution(1, 500, log=True)),
    "choice": ({"type": "choice", "values": ["a", "b", "c", "d"]}, CategoricalDistribution(["a", "b", "c", "d"])),
}


def draw(rng, law):
    """A value inside a distribution, as Optuna's user sees it."""
    if isinstance(law, CategoricalDistribution):
        return str(rng.choice(law.choices))
    if isinstance(law, IntDistribution):
        if law.log:
            return int(np.exp(rng.uniform(np.log(law.low), np.log(law.high))))
        return int(law.low + law.step * rng.integers(0, (law.high - law.low) // law.step + 1))
    if law.step is not None:
        return float(law.low + law.step * rng.integers(0, round((law.high - law.low) / law.step) + 1))
    if law.log:
        return float(np.exp(rng.uniform(np.log(law.low), np.log(law.high))))
    return float(rng.uniform(law.low, law.high))


def case(seed, names, trials, repeated=False):
    rng = np.random.default_rng(seed)
    names = sorted(names)
    space = {name: AXES[name][1] for name in names}
    rows = [[draw(rng, space[name]) for name in names] for _ in range(trials)]
    if repeated and trials > 2:
        rows[trials // 2] = rows[0]
    places = [[draw(rng, space[name]) for name in names] for _ in range(6)]
    internal = lambda table: {  # noqa: E731
        name: np.array([space[name].to_internal_repr(row[i]) for row in table], dtype=float)
        for i, name in enumerate(names)
    }
    estimator = _ParzenEstimator(internal(rows), space, PARAMETERS)
    mixture = estimator._mixture_distribution
    kernels = [
        {"mu": d.mu.tolist(), "sigma": d.sigma.tolist()} if hasattr(d, "mu") else {"probabilities": d.weights.tolist()}
        for d in mixture.distributions
    ]
    return {
        "space": {name: AXES[name][0] for name in names},
        "rows": rows,
        "places": places,
        "weights": mixture.weights.tolist(),
        "kernels": kernels,
        "ln_density": estimator.log_pdf(internal(places)).tolist(),
    }


CASES = [case(i, [name], n) for i, name in enumerate(AXES) for n in (0, 1, 2, 7)]
CASES += [
    case(100, ["float", "log", "int", "choice"], 8),
    case(101, ["float", "log", "int", "choice"], 40),
    case(102, ["step", "int_step", "int_log", "choice"], 26, repeated=True),
    case(103, ["float", "int"], 120, repeated=True),
]

print(json.dumps({"tool": f"optuna {optuna.__version__}", "cases": CASES}, separators=(",", ":")))
