"""Ten thousand runs that wait: memory, idle CPU, and how fast they start. In a process of its own, for a clean memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.measure import Result
from wfkernel import WorkflowManager

RUNS = 10_000
STARTERS = 8
IDLE_S = 3.0


def run(directory: Path) -> list[Result]:
    results = []
    for kind in ("event", "sleep"):
        program = [sys.executable, "-m", "tests.benchmarks.waiting", kind, str(directory / f"waiting-{kind}.duckdb")]
        found = json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        name = f"waiting: {RUNS:,} runs ({kind})"
        results += [
            Result(f"{name}, memory each", found["bytes_each"] / 1024, 12, "lower", "KB"),
            Result(f"{name}, CPU while idle", found["idle_share"] * 100, 0.5, "lower", "% of a core"),
            Result(
                f"{name}, started in",
                found["start_s"],
                10,
                "lower",
                "s",
                f"by {STARTERS} threads; one alone: {found['start_us']:.0f} us each, a commit at a time",
            ),
        ]
    return results


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(kind: str, path: str) -> None:
    with WorkflowManager(path) as wf:

        @wf.workflow
        async def waits(step, n: int):
            if kind == "event":
                await step.await_event("go")
            else:
                await step.sleep(86400)

        alone = time.perf_counter()
        for i in range(500):
            waits.start(i)
        start_us = (time.perf_counter() - alone) / 500 * 1e6
        time.sleep(1)  # the first hints are written, the first memory is taken
        gc.collect()
        before, start = resident(), time.perf_counter()
        with ThreadPoolExecutor(STARTERS) as starters:
            list(starters.map(waits.start, range(RUNS)))
        start_s = time.perf_counter() - start
        time.sleep(2)
        gc.collect()
        after = resident()
        cpu = time.process_time()
        time.sleep(IDLE_S)
        idle = (time.process_time() - cpu) / IDLE_S
        print(json.dumps({"bytes_each": (after - before) / RUNS, "idle_share": idle, "start_s": start_s, "start_us": start_us}))


if __name__ == "__main__":
    main(*sys.argv[1:])
