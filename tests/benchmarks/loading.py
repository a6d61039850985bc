"""``%load_ext wfkernel`` in a fresh process that has imported ipywidgets, with a journal that is there already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.measure import Result, quantile

ROUNDS = 11
PROGRAM = """
import time
from IPython.core.interactiveshell import InteractiveShell
import ipywidgets
shell = InteractiveShell.instance()
start, spent = time.perf_counter(), time.process_time()
shell.run_line_magic("load_ext", "wfkernel")
print(time.perf_counter() - start, time.process_time() - spent)
"""


def run(directory: Path) -> list[Result]:
    command = [sys.executable, "-c", PROGRAM]

    def once() -> tuple[float, float]:
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=directory)
        took, spent = done.stdout.split()[-2:]
        return float(took), float(spent)

    (cold, _), *warm = [once() for _ in range(ROUNDS + 1)]
    took, spent = [list(values) for values in zip(*warm, strict=True)]
    detail = (
        f"the least disturbed of {ROUNDS} processes; p50 {quantile(took, 0.5):.2f} s, of which {quantile(spent, 0.5):.2f} s CPU; "
        f"the first {cold:.2f} s"
    )
    return [Result("load: %load_ext wfkernel, ipywidgets imported", min(took), 0.5, "lower", "s", detail)]
