"""Replay of a long run after a reopen, up to its first new step, against reading the same rows by a bare SELECT."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.benchmarks.measure import Result, quantile, timed
from wfkernel import WorkflowManager

STEPS = 10_000


async def trivial(i: int) -> int:
    return i


def run(directory: Path) -> list[Result]:
    path = directory / "replaying.duckdb"
    reached = threading.Event()
    new_step_at: list[float] = []

    async def new_step() -> None:
        new_step_at.append(time.perf_counter())
        reached.set()
        await threading_never()

    def define(wf: WorkflowManager):
        @wf.workflow
        async def long(step, n: int):
            for i in range(n):
                await step.run_action(trivial, i)
            await step.run_action(new_step)

        return long

    with WorkflowManager(path) as wf:
        key = define(wf).start(STEPS)._key
        reached.wait()
    extra, reads = [], []
    for _ in range(3):
        reached.clear()
        with WorkflowManager(path) as wf:
            db = wf.db
            read = timed(lambda db=db: db.execute("SELECT * FROM wf.facts WHERE run = ? ORDER BY seq", [key]).fetchall())
            start = time.perf_counter()
            define(wf)
            reached.wait()
            extra.append(new_step_at[-1] - start - read)
            reads.append(read)
    detail = f"bare SELECT of the rows: {quantile(reads, 0.5) * 1e3:.0f} ms"
    return [
        Result(
            f"replay: {STEPS:,} steps to the first new one, beyond a bare SELECT", quantile(extra, 0.5), 1.0, "lower", "s", detail
        )
    ]


async def threading_never() -> None:
    """Waits until the manager is closed."""
    import asyncio

    await asyncio.Event().wait()
