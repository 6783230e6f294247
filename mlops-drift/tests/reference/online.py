"""Writes reference/online.json: alarms and warnings of river's detectors on streams that are written out or drawn by SplitMix64.

    python3 -m venv venv && venv/bin/pip install river==0.26.1 scipy==1.17.1 numpy==2.4.6
    venv/bin/python mlops-drift/tests/reference/online.py

Each case names a stream, a detector with its options, and the indices (from 0) at which river says "drift" or "warning".

Two of river's detectors are corrected here, and the case says so:
- HDDM_W: the sum of squared weights of a mean of one value is 1; river starts one step further, at l^2 + (1 - l)^2. Such cases also hold
  what river says as it is ("drift_uncorrected").
- FHDDM: fed with 1 - x, since river's alarms when errors fall.
KSWIN has window = 2 x stat_size, where nothing is left to choose at random.
"""

import json
import pathlib

import river
import scipy
from river import drift
from river.drift import binary
from river.drift.binary import hddm_w

HERE = pathlib.Path(__file__).parent
MASK = (1 << 64) - 1


def mix(state):
    """SplitMix64: the new state and the number."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def uniforms(seed, n):
    state, out = seed, []
    for _ in range(n):
        state, z = mix(state)
        out.append((z >> 11) / (1 << 53))
    return out


def errors(spec):
    """Segments of (length, error rate)."""
    seed, segments = spec["seed"], spec["segments"]
    u = iter(uniforms(seed, sum(n for n, _ in segments)))
    return [1.0 if next(u) < rate else 0.0 for n, rate in segments for _ in range(n)]


def levels(spec):
    """Segments of (length, shift, scale): the sum of four uniforms minus 2, scaled and shifted."""
    seed, segments = spec["seed"], spec["segments"]
    u = iter(uniforms(seed, 4 * sum(n for n, _, _ in segments)))
    return [((((next(u) + next(u)) + next(u)) + next(u)) - 2.0) * scale + shift for n, shift, scale in segments for _ in range(n)]


class Squares(hddm_w.SampleInfo):
    """With 1 as the sum of squared weights of the first value."""

    def update(self, x):
        first = not self._is_init
        super().update(x)
        if first:
            self._ibc = 1.0


def corrected_hddm_w(**options):
    class Corrected(binary.HDDMW):
        def _reset(self):
            original, hddm_w.SampleInfo = hddm_w.SampleInfo, Squares
            super()._reset()
            hddm_w.SampleInfo = original

        def update(self, x):
            original, hddm_w.SampleInfo = hddm_w.SampleInfo, Squares
            super().update(x)
            hddm_w.SampleInfo = original

    return Corrected(**options)


def run(detector, stream):
    drifts, warnings = [], []
    for i, x in enumerate(stream):
        detector.update(x)
        if detector.drift_detected:
            drifts.append(i)
        elif getattr(detector, "warning_detected", False):
            warnings.append(i)
    return drifts, warnings


def ranges(indices):
    """Consecutive indices as [first, last]."""
    out = []
    for i in indices:
        if out and out[-1][1] == i - 1:
            out[-1][1] = i
        else:
            out.append([i, i])
    return out


BINARY = [
    {"kind": "errors", "seed": 1, "segments": [[2000, 0.1], [2000, 0.4]]},
    {"kind": "errors", "seed": 2, "segments": [[2000, 0.3], [2000, 0.05], [2000, 0.5]]},
    {"kind": "errors", "seed": 3, "segments": [[6000, 0.2]]},
    {"kind": "errors", "seed": 4, "segments": [[500, 0.02], [500, 0.06], [500, 0.12], [500, 0.2], [500, 0.35]]},
    {"kind": "errors", "seed": 5, "segments": [[40, 0.0], [300, 1.0], [300, 0.0], [1000, 0.5]]},
    {"kind": "errors", "seed": 6, "segments": [[300, 0.1], [300, 0.6]] * 8},
]
REAL = [
    {"kind": "levels", "seed": 11, "segments": [[3000, 0.0, 1.0]]},
    {"kind": "levels", "seed": 12, "segments": [[2000, 0.0, 1.0], [2000, 1.0, 1.0], [2000, -0.5, 1.0]]},
    {"kind": "levels", "seed": 13, "segments": [[1000, 5.0, 0.1], [1000, 5.05, 0.1], [1000, 5.05, 1.0]]},
    {"kind": "levels", "seed": 14, "segments": [[500, 0.0, 1.0], [500, 10.0, 3.0]] * 4},
    {"kind": "levels", "seed": 15, "segments": [[1000, -100.0, 20.0], [1000, -130.0, 20.0]]},
]
DETECTORS = {
    "ddm": (binary.DDM, BINARY, [{}, {"warm_start": 100, "warning_threshold": 1.5, "drift_threshold": 2.5}]),
    "eddm": (binary.EDDM, BINARY, [{}, {"warm_start": 50, "alpha": 0.9, "beta": 0.8}]),
    "hddm_a": (binary.HDDMA, BINARY, [{}, {"drift_confidence": 0.01, "warning_confidence": 0.05, "two_sided_test": True}]),
    "hddm_w": (corrected_hddm_w, BINARY, [{}, {"drift_confidence": 0.01, "warning_confidence": 0.05, "lambda_val": 0.1, "two_sided_test": True}]),
    "fhddm": (binary.FHDDM, BINARY, [{}, {"sliding_window_size": 70, "confidence_level": 1e-3, "short_window_size": 25}]),
    "adwin": (drift.ADWIN, BINARY + REAL, [{}, {"delta": 0.05, "clock": 1, "max_buckets": 3, "min_window_length": 2, "grace_period": 20}]),
    "page_hinkley": (drift.PageHinkley, BINARY + REAL, [{}, {"delta": 0.1, "threshold": 12.0, "alpha": 0.999}, {"threshold": 20.0, "mode": "up"}, {"threshold": 20.0, "mode": "down", "min_instances": 5, "alpha": 1.0}]),
    "kswin": (drift.KSWIN, BINARY + REAL, [{"window_size": 60, "stat_size": 30, "seed": 1}, {"window_size": 40, "stat_size": 20, "alpha": 0.05, "seed": 1}]),
}

cases = []
for name, (make, streams, settings) in DETECTORS.items():
    for spec in streams:
        stream = (errors if spec["kind"] == "errors" else levels)(spec)
        given = [1.0 - x for x in stream] if name == "fhddm" else stream
        if name == "kswin":
            given = given[:1500]
        for options in settings:
            drifts, warnings = run(make(**options), given)
            case = {"tool": f"river {river.__version__}", "detector": name, "options": options, "values": len(given), "stream": spec}
            case["drift"], case["warning"] = drifts, ranges(warnings)
            if name == "hddm_w":
                case["tool"] += ", first squared weight corrected"
                case["drift_uncorrected"] = run(binary.HDDMW(**options), given)[0]
            cases.append(case)

text = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
(HERE / "online.json").write_text("[\n" + text + "\n]\n")
print(f"{len(cases)} cases, river {river.__version__}, scipy {scipy.__version__}")
