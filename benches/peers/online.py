"""Times river's streaming detectors on streams like those of `cargo bench -p mlops-benches --bench online`.

    python3 -m venv peers && peers/bin/pip install river
    peers/bin/python benches/peers/online.py

CPU nanoseconds for one update, best of five.
"""

import random
import time

import river
from river import drift
from river.drift import binary

N = 100_000
rng = random.Random(1)
levels = [sum(rng.random() for _ in range(12)) - 6 for _ in range(N)]
errors = [1 if rng.random() < 0.2 else 0 for _ in range(N)]


def best(make, values):
    times = []
    for _ in range(5):
        update = make().update
        began = time.process_time_ns()
        for value in values:
            update(value)
        times.append((time.process_time_ns() - began) / len(values))
    return min(times)


print(f"river {river.__version__}, ns for one update")
for name, make, values in [
    ("adwin", drift.ADWIN, levels),
    ("page-hinkley", drift.PageHinkley, levels),
    ("kswin 100", lambda: drift.KSWIN(seed=1), levels[:1000]),
    ("adwin, errors", drift.ADWIN, errors),
    ("ddm", binary.DDM, errors),
    ("eddm", binary.EDDM, errors),
    ("hddm-a", binary.HDDMA, errors),
    ("hddm-w", binary.HDDMW, errors),
    ("fhddm", binary.FHDDM, errors),
]:
    print(f"{name:20} {best(make, values):10.0f}", flush=True)
