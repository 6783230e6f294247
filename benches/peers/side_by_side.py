"""What the scripts beside it share: the clock, the environment with the peers, and the table."""

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cpu():
    """CPU seconds of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def best(name, repeats, call):
    """Prints the name and the least CPU milliseconds of several calls, separated by a tab."""
    times = []
    for _ in range(repeats):
        began = cpu()
        call()
        times.append(cpu() - began)
    print(f"{name}\t{min(times) * 1000:.3f}", flush=True)


def lines(text):
    """The figures of a run; what is no figure is passed on."""
    figures = {}
    for line in text.splitlines():
        name, tab, number = line.partition("\t")
        if tab:
            figures[name] = float(number)
        elif line.startswith("#"):
            print(line)
    return figures


def run(command):
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


def environment(name, packages):
    """The Python with the peers, in target/peers; what cannot be installed is missed later."""
    home = ROOT / "target" / "peers" / name
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    for package in packages:
        subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=False)
    return python


def bench(name):
    return lines(run(["cargo", "bench", "--quiet", "-p", "mlops-benches", "--bench", name]))


def print_table(table, ours, theirs):
    """For each (task, peers, aim in milliseconds): ours, the aim, and the peers with how many times as long they take."""
    print(f"{'CPU milliseconds':58} {'ours':>10} {'aim':>8}   peers, and how many times as long")
    for name, peers, aim in table:
        if name not in ours:
            continue
        beside = [f"{p} {theirs[p]:.0f} ({theirs[p] / ours[name]:.0f}x)" for p in peers if p in theirs]
        print(f"{name:58} {ours[name]:10.2f} {aim:8}   {', '.join(beside)}")


def rows(default):
    """The size of a measurement, which is handed on to the benches and to the peers' process."""
    return int(float(os.environ.get("MLOPS_BENCH_ROWS", default)))
