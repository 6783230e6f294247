"""What a cached step costs, ours and joblib's: microseconds of the wall clock per step, the fastest of five runs.

    python3 benches/peers/pipeline.py

The same work on both sides: 200 steps, each of which digests a thousand bytes. joblib keeps results in a folder and finds them by the
arguments; it keeps no journal, verifies nothing and shares nothing between processes, so that ours does more for its time.
"""

import hashlib
import importlib.metadata
import sys
import tempfile
import time

from side_by_side import bench, environment, lines, run

STEPS = 200


def theirs():
    from joblib import Memory

    def work(number):
        return hashlib.sha256(number.to_bytes(8, "little") * 125).digest()

    def fastest(call):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            for number in range(STEPS):
                call(number)
            took.append((time.perf_counter() - began) / STEPS * 1e6)
        return min(took)

    print(f"# joblib {importlib.metadata.version('joblib')}, Python {sys.version.split()[0]}")
    print(f"calling the function\t{fastest(work):.3f}")
    with tempfile.TemporaryDirectory() as folder:
        cached = Memory(folder, verbose=0).cache(work)
        for number in range(STEPS):
            cached(number)
        print(f"joblib.Memory, reused\t{fastest(cached):.3f}")


def main():
    if "theirs" in sys.argv:
        return theirs()
    ours = bench("pipeline")
    python = environment("pipeline", ["joblib"])
    peers = lines(run([python, __file__, "theirs"]))
    print(f"{'microseconds per step':46} {'ours':>10} {'joblib':>10}")
    for name, figure in ours.items():
        other = peers.get("joblib.Memory, reused") if "reused" in name else peers.get(name)
        shown = f"{other:10.2f} ({other / figure:.1f}x)" if other else ""
        print(f"{name:46} {figure:10.2f} {shown}")


if __name__ == "__main__":
    main()
