"""Many at once, against a bare group commit: one writer thread, DuckDB's appender, one commit a batch, the same rows."""

from __future__ import annotations

import asyncio
import collections
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.measure import Result, bare_journal, quantile, step_rows
from wfkernel import WorkflowManager

RUNS, STEPS = 1000, 10
PARALLEL = 1000
REPEATS = 5


async def trivial(i: int) -> int:
    return i


class BareWriter:
    """The least that a group commit needs: a deque, a thread, an appender, one wake-up of the loop a batch."""

    def __init__(self, connection, loop):
        self._appender = connection.cursor()
        self._appender.execute("USE bare")
        self._cursor, self._appender = self._appender, self._appender.appender("facts")
        self._loop = loop
        self._queue: collections.deque = collections.deque()
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, row):
        future = self._loop.create_future()
        self._queue.append((row, future))
        self._wake.set()
        return future

    def _run(self):
        while not self._stopped:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), 4096))]
                self._cursor.begin()
                self._appender.append_rows([row for row, _ in batch])
                self._appender.flush()
                self._cursor.commit()
                self._loop.call_soon_threadsafe(self._done, batch)

    @staticmethod
    def _done(batch):
        for _, future in batch:
            future.set_result(None)

    def close(self):
        self._stopped = True
        self._wake.set()
        self._thread.join()
        self._cursor.close()


def bare_rate(connection, rows: list[tuple], producers: int, each: int) -> float:
    """Rows a second when so many producers each await the commit of one row after the other."""

    async def main() -> float:
        writer = BareWriter(connection, asyncio.get_running_loop())

        async def produce(row):
            for _ in range(each):
                await writer.submit(row)

        start = time.perf_counter()
        await asyncio.gather(*(produce(rows[i % len(rows)]) for i in range(producers)))
        rate = producers * each / (time.perf_counter() - start)
        writer.close()
        return rate

    return asyncio.run(main())


def run(directory: Path) -> list[Result]:
    with (
        WorkflowManager(directory / "many.duckdb", max_parallelism=PARALLEL) as wf,
        bare_journal(directory / "bare-many.duckdb") as bare,
    ):

        @wf.workflow
        async def ten(step):
            for i in range(STEPS):
                await step.run_action(trivial, i)

        @wf.workflow
        async def wide(step, n: int):
            await asyncio.gather(*(step.run_action(trivial, i) for i in range(n)))

        warm = ten.start()
        warm.result()
        rows = step_rows(wf, warm.id)
        many, parallel, bare_many, bare_parallel = [], [], [], []
        for _ in range(REPEATS):
            many.append(_rate_of_many(wf, ten))
            bare_many.append(bare_rate(bare, rows, RUNS, STEPS))
            parallel.append(_rate_of_wide(wide))
            bare_parallel.append(bare_rate(bare, rows, PARALLEL, 1))
        return [
            _result(f"many: {RUNS:,} runs x {STEPS} steps at once / bare group commit", many, bare_many),
            _result(f"many: 1 run x {PARALLEL:,} parallel steps / bare group commit", parallel, bare_parallel),
        ]


def _result(name: str, ours: list[float], bare: list[float]) -> Result:
    ours_p50, bare_p50 = quantile(ours, 0.5), quantile(bare, 0.5)
    return Result(name, ours_p50 / bare_p50, 0.12, "higher", "x", f"{ours_p50:,.0f} steps/s against {bare_p50:,.0f} rows/s")


def _rate_of_many(wf: WorkflowManager, ten) -> float:
    """All runs are started while the pool is paused, so that they go at once; until every one of them has ended."""
    wf.set_max_parallelism(0)
    with ThreadPoolExecutor(16) as starters:
        runs = list(starters.map(lambda _: ten.start(), range(RUNS)))
    waiters = [wf._engine.call(wf._waiting, run._key).future for run in runs]
    start = time.perf_counter()
    wf.set_max_parallelism(PARALLEL)
    for waiter in waiters:
        waiter.result()
    return RUNS * STEPS / (time.perf_counter() - start)


def _rate_of_wide(wide) -> float:
    start = time.perf_counter()
    wide.start(PARALLEL).result()
    return PARALLEL / (time.perf_counter() - start)
