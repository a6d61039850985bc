"""One step after the other: the cost of a step against one bare inline commit of the same row."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.measure import INSERT, Result, bare_journal, quantile, step_rows, timed
from wfkernel import WorkflowManager

ROUNDS, STEPS = 10, 100  # 1,000 steps and 1,000 commits, in turn, so that the machine's moods hit both


async def trivial(i: int) -> int:
    return i


def run(directory: Path) -> list[Result]:
    with WorkflowManager(directory / "sequential.duckdb") as wf, bare_journal(directory / "bare.duckdb") as bare:
        durations: list[float] = []

        @wf.workflow
        async def sequence(step, n: int):
            for i in range(n):
                start = time.perf_counter()
                await step.run_action(trivial, i)
                durations.append(time.perf_counter() - start)

        warm = sequence.start(STEPS)
        warm.result()
        rows = step_rows(wf, warm.id)
        statement = bare.extract_statements(INSERT)[0]
        commits: list[float] = []

        def commit_all() -> None:
            for row in rows:
                start = time.perf_counter()
                bare.execute(statement, row).fetchall()
                commits.append(time.perf_counter() - start)

        commit_all()
        durations.clear(), commits.clear()
        for _ in range(ROUNDS):
            sequence.start(STEPS).result()
            commit_all()
        steps_p50, commits_p50 = quantile(durations, 0.5), quantile(commits, 0.5)
        return [
            Result(
                "sequential: step / bare inline commit, p50",
                steps_p50 / commits_p50,
                1.3,
                "lower",
                "x",
                f"{steps_p50 * 1e6:.0f} us against {commits_p50 * 1e6:.0f} us",
            ),
            Result(
                "sequential: p99 / p50 of a step",
                quantile(durations, 0.99) / steps_p50,
                2.5,
                "lower",
                "x",
                f"bare commits: {quantile(commits, 0.99) / commits_p50:.2f}",
            ),
            _growth(wf, sequence, durations),
        ]


def _growth(wf: WorkflowManager, sequence, durations: list[float]) -> Result:
    """Cost of a step in runs of 5,000 steps against runs of 500, in turn; medians, so that one bad second does not decide."""
    long_runs: list[float] = []
    short_runs: list[float] = []
    for _ in range(3):
        for _ in range(5):
            short_runs.append(timed(lambda: sequence.start(500).result()) / 500)
        long_runs.append(timed(lambda: sequence.start(5000).result()) / 5000)
    ratio = quantile(long_runs, 0.5) / quantile(short_runs, 0.5)
    detail = f"{quantile(long_runs, 0.5) * 1e6:.0f} us against {quantile(short_runs, 0.5) * 1e6:.0f} us"
    return Result("sequential: cost of a step at 5,000 steps / at 500", ratio, 1.1, "lower", "x", detail)
