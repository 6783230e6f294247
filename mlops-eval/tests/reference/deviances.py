#!/usr/bin/env python3
"""Writes deviances.json beside this file: power, y, prediction and their unit deviance, where doubles cancel.

Run with: pip install mpmath==1.4.1 && python deviances.py
"""
import json
import pathlib

import mpmath
from mpmath import log, mpf

mpmath.mp.dps = 150


def deviance(power, y, mean):
    power, y, mean = mpf(power), mpf(y), mpf(mean)
    if power == 1:
        return 2 * ((y * log(y / mean) if y else 0) - y + mean)
    if power == 2:
        return 2 * (log(mean / y) + y / mean - 1)
    one, two = 1 - power, 2 - power
    return 2 * (max(y, 0) ** two / (one * two) - y * mean**one / one + mean**two / two)


POWERS = [1.0, 2.0, 1.000001, 1.999999, 1.000000000000001, 1.5, 3.0, -1.0, -0.001, 1.2, 7.5]
PAIRS = [
    (2.0, 2.0 * (1 + 1e-1)),
    (2.0, 2.0 * (1 + 1e-3)),
    (2.0, 2.0 * (1 - 1e-6)),
    (2.0, 2.0 * (1 + 1e-9)),
    (3.0, 3.0000000000000004),
    (2.0, 2.6),
    (2.0, 1.6),
    (2.0, 1.5),
    (0.03, 700.0),
    (41.0, 0.02),
]
ENDS = [
    (1.0, 0.0, 3.0),
    (1.5, 0.0, 3.0),
    (1.000001, 0.0, 3.0),
    (1.999999, 0.0, 3.0),
    (-1.0, -2.0, 0.5),
    (-2.5, 0.0, 0.5),
    (-0.5, -2.0, 0.5),
    (1.0, 1e300, 1e-300),
    (2.0, 1e-300, 1e-10),
    (-1.0, 1e50, 1e-200),
    (1.0, 5e-324, 1.0),
    (2.0, 1e150, 1e-150),
]
cases = [(power, y, mean) for power in POWERS for y, mean in PAIRS] + ENDS
rows = ",\n".join(json.dumps([*case, float(deviance(*case))]) for case in cases)
target = pathlib.Path(__file__).with_suffix(".json")
target.write_text(f'{{"versions": {{"mpmath": "{mpmath.__version__}"}}, "deviances": [\n{rows}\n]}}\n')
