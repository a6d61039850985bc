"""``import wfkernel`` against ``import duckdb, pydantic``; and, for the record, what its first use then costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.measure import Result, quantile, timed

ROUNDS = 15


def run(directory: Path) -> list[Result]:
    def once(code: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    ours, bare, use = [], [], []
    for _ in range(ROUNDS):
        ours.append(once("import wfkernel"))
        bare.append(once("import duckdb, pydantic"))
        use.append(once("from wfkernel import WorkflowManager"))
    ratio = quantile(ours, 0.5) / quantile(bare, 0.5)
    detail = f"{quantile(ours, 0.5) * 1e3:.0f} ms against {quantile(bare, 0.5) * 1e3:.0f} ms; with WorkflowManager {quantile(use, 0.5) * 1e3:.0f} ms"
    return [Result("import: import wfkernel / import duckdb, pydantic", ratio, 1.3, "lower", "x", detail)]
