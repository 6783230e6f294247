"""Quantiles of latencies that a log-linear histogram must meet within its relative error.

NumPy 2.4.6, numpy.quantile(method="inverted_cdf") on the raw data, in whole nanoseconds. The latencies come from a linear
congruential generator, so that the test makes the same ones: x <- (x * 6364136223846793005 + 1442695040888963407) mod 2**64,
and what is drawn is x >> 11. Run: python monitor_latency.py > monitor_latency.json
"""

import json

import numpy as np

SHARES = [0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0]


def draws(seed, n):
    x = seed
    for _ in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        yield x >> 11


# Whole nanoseconds by integer arithmetic alone: another language makes the same ones.
SHAPES = {
    "even_to_a_second": lambda r: r % 1_000_000_000,
    "octaves": lambda r: (1 << (r % 40)) + (r >> 7) % (1 << (r % 40)),
    "tiny": lambda r: r % 300,
    "two_speeds": lambda r: 2_000_000 + r % 1_000_000 if r % 100 else 3_000_000_000 + r % 500_000_000,
    "one_value": lambda r: 1_234_567,
}

cases = []
for name, shape in SHAPES.items():
    for n in (1, 2, 10, 1_000, 20_000):
        values = np.array([shape(r) for r in draws(n, n)], dtype=np.uint64)
        quantiles = np.quantile(values, SHARES, method="inverted_cdf")
        cases.append(
            {
                "shape": name,
                "n": n,
                "total": str(sum(int(v) for v in values)),
                "quantiles": [str(int(q)) for q in quantiles],
            }
        )
print(json.dumps({"tool": f"numpy {np.__version__}", "shares": SHARES, "cases": cases}, indent=1))
