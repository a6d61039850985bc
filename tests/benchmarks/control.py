"""What another process's requests cost the one that holds the journal: how many are answered beside busy runs, and how soon."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Result, quantile
from wfkernel import WorkflowManager

RUNS, STEPS = 500, 40
RATE = 200  # requests a second
IDLE_S = 2.0
REPEATS = 5

ASKER = """
import json, sys, threading, time
from concurrent.futures import wait
from wfkernel.control.mux import Mux

path, sink, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
mux = Mux(path, lambda: None)
print("ready", flush=True)
for line in sys.stdin:
    runs, over = json.loads(line), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set())).start()
    asks = [
        lambda i: ("status", {"run": runs[i % len(runs)]}),
        lambda i: ("steps", {"run": runs[i % len(runs)]}),
        lambda i: ("list", {"limit": 20}),
        lambda i: ("get", {"run": runs[i % len(runs)]}),
        lambda i: ("send_event", {"run": sink, "event": "news", "value": i}),
    ]
    times, answers, begin = [], [], time.perf_counter()
    while not over.is_set():
        time.sleep(max(0, begin + len(answers) / rate - time.perf_counter()))
        sent = time.perf_counter()
        answer = mux.submit(*asks[len(answers) % len(asks)](len(answers)))
        answer.add_done_callback(lambda f, sent=sent: times.append(time.perf_counter() - sent))
        answers.append(answer)
    wait(answers)
    seconds = time.perf_counter() - begin
    assert all(answer.result() for answer in answers)
    print(json.dumps([seconds, times]), flush=True)
"""
"""A process that asks at a fixed rate, from one line of its input to the next, and tells how long each answer took."""


async def trivial(i: int) -> int:
    return i


class Asker:
    def __init__(self, path: Path, sink: str):
        self._process = subprocess.Popen(
            [sys.executable, "-c", ASKER, str(path), sink, str(RATE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.rates: list[float] = []
        self.times: list[float] = []
        self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    @contextlib.contextmanager
    def asking(self, runs: list[Any]) -> Iterator[None]:
        self._say(json.dumps([run.id for run in runs]))
        yield
        self._say("over")
        seconds, times = json.loads(self._hear())
        self.rates.append(len(times) / seconds)
        self.times += times

    def close(self) -> None:
        self._process.communicate()


def run(directory: Path) -> list[Result]:
    path = directory / "control.duckdb"
    with WorkflowManager(path, max_parallelism=RUNS) as wf:

        @wf.workflow
        async def busy(step):
            for i in range(STEPS):
                await step.run_action(trivial, i)

        @wf.workflow
        async def sink(step):
            await step.await_event("never")

        waiting = sink.start().id
        idle, beside = Asker(path, waiting), Asker(path, waiting)
        with idle.asking([busy.start()]):
            time.sleep(IDLE_S)
        _seconds(wf, busy, None)  # warm
        alone, asked = [], []
        for _ in range(REPEATS):
            alone.append(_seconds(wf, busy, None))
            asked.append(_seconds(wf, busy, beside))
        idle.close()
        beside.close()
    slower = min(asked) / min(alone)  # the best of each: what else the machine does only adds to them
    detail = f"{RUNS} runs x {STEPS} steps in {min(asked):.2f} s beside {RATE} requests/s, {min(alone):.2f} s alone"
    return [
        Result("control: requests a second, beside busy runs", min(beside.rates), 0.95 * RATE, "higher", "/s"),
        Result("control: busy runs beside requests / alone", slower, 1.2, "lower", "x", detail),
        Result("control: an idle holder's answer", 1e3 * quantile(idle.times, 0.5), 3, "lower", "ms", _p95(idle)),
        Result("control: a busy holder's answer", 1e3 * quantile(beside.times, 0.5), 50, "lower", "ms", _p95(beside)),
    ]


def _p95(asker: Asker) -> str:
    return f"p95 {1e3 * quantile(asker.times, 0.95):.1f} ms of {len(asker.times):,}"


def _seconds(wf: WorkflowManager, busy: Any, asker: Asker | None) -> float:
    """All runs are started while the pool is paused, so that they go at once; until every one of them has ended."""
    wf.set_max_parallelism(0)
    with ThreadPoolExecutor(16) as starters:
        runs = list(starters.map(lambda _: busy.start(), range(RUNS)))
    waiters = [boxed.future for run in runs if (boxed := wf._engine.call(wf._waiting, run._key))]
    with asker.asking(runs) if asker is not None else contextlib.nullcontext():
        start = time.perf_counter()
        wf.set_max_parallelism(RUNS)
        for waiter in waiters:
            waiter.result()
        return time.perf_counter() - start
