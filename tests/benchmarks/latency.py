"""From ``send_event`` to the body going on, against one bare commit."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.benchmarks.measure import INSERT, Result, bare_journal, quantile, step_rows
from wfkernel import WorkflowManager

EVENTS = 500


def run(directory: Path) -> list[Result]:
    with WorkflowManager(directory / "latency.duckdb") as wf, bare_journal(directory / "bare-latency.duckdb") as bare:
        resumed_at: list[float] = []
        resumed = threading.Event()

        @wf.workflow
        async def listens(step, n: int):
            for _ in range(n):
                await step.await_event("go")
                resumed_at.append(time.perf_counter())
                resumed.set()

        run = listens.start(EVENTS)
        latencies, commits = [], []
        row = statement = None
        for i in range(EVENTS):
            resumed.clear()
            start = time.perf_counter()
            run.send_event("go", i)
            resumed.wait()
            latencies.append(resumed_at[-1] - start)
            if row is None:
                row = step_rows(wf, run.id)[-1]
                statement = bare.extract_statements(INSERT)[0]
            start = time.perf_counter()
            bare.execute(statement, row).fetchall()
            commits.append(time.perf_counter() - start)
        ours, commit = quantile(latencies, 0.5), quantile(commits, 0.5)
        detail = f"{ours * 1e6:.0f} us against {commit * 1e6:.0f} us"
        return [Result("latency: send_event to body resumed / bare commit, p50", ours / commit, 3, "lower", "x", detail)]
