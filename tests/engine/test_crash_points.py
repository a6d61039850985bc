"""Stopped before and after every journal write, and killed for real: nothing acknowledged is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from wfkernel import RunNotFound, WorkflowManager
from wfkernel.testing import CrashPoint, crash_points

PROGRAM = """
import asyncio, os, sys
from wfkernel import WorkflowManager, action

log = open(sys.argv[2], "a")

@action
async def work(i: int) -> int:
    await asyncio.sleep(0.001)
    return i * i

def insert(db, i):
    db.execute("CREATE TABLE IF NOT EXISTS done (i INTEGER)")
    db.execute("INSERT INTO done VALUES (?)", [i])
    return i

wf = WorkflowManager(sys.argv[1])

@wf.workflow
async def squares(step, n: int):
    total = 0
    for i in range(n):
        total += sum(await asyncio.gather(step.run_action(work, i), step.run_action(work, i + 1)))
        await step.run_mutation(insert, i)
    return total

run = squares.options(id="the-run").start(60)
log.write("started\\n")
log.flush()
print(run.result())
wf.close()
"""


def work(i: int) -> int:
    return i


def insert(db, i: int) -> int:
    db.execute("CREATE TABLE IF NOT EXISTS inserted (i INTEGER)")
    db.execute("INSERT INTO inserted VALUES (?)", [i])
    return i


def note_end(db, completion) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS ends (kind VARCHAR)")
    db.execute("INSERT INTO ends VALUES (?)", [completion.result.kind])


def define(wf: WorkflowManager):
    @wf.workflow
    async def child(step, i: int):
        return await step.run_mutation(insert, i)

    @wf.workflow
    async def flow(step):
        a = await step.run_action(work, 1)
        await step.run_mutation(insert, a)
        both = await asyncio.gather(step.run_action(work, 10), step.run_workflow(child, 11))
        await step.sleep(0.001)
        return a, both, await step.await_event("go")

    return flow


def start(wf: WorkflowManager):
    run = define(wf).options(id="one", on_complete=note_end).start()
    run.send_event("go", 5)
    return run


def goes_on(wf: WorkflowManager):
    """What the user of a restarted kernel does: run the cells again."""
    flow = define(wf)
    try:
        run = wf.get("one")
    except RunNotFound:
        return start(wf)
    if run.status().type == "in_progress" and not wf.db.execute("SELECT * FROM wf.events WHERE sent_at IS NOT NULL").fetchall():
        run.send_event("go", 5)
    assert flow.name == run.name
    return run


@pytest.mark.timeout(120)
def test_a_run_survives_a_crash_before_and_after_every_journal_write(tmp_path: Path):
    stops = Counter()
    for crash in crash_points():
        path = tmp_path / f"{crash}.duckdb"
        with crash:
            start(WorkflowManager(path)).result(20)
        stops[crash.side] += crash.reached
        with WorkflowManager(path) as wf:
            run = goes_on(wf)
            assert run.result(20) == (1, [10, 11], 5), crash
            assert wf.db.execute("SELECT i FROM inserted ORDER BY i").fetchall() == [(1,), (11,)], crash
            assert wf.db.execute("SELECT kind FROM ends").fetchall() == [("success",)], crash
            assert {s.status for s in run.steps()} == {"success"}, crash
            wf.verify(run)
    assert min(stops["before"], stops["after"]) >= 10, stops


def test_a_crash_point_that_is_not_reached_lets_the_scenario_run_through(tmp_path: Path):
    point = CrashPoint(10_000, "before")
    with point:
        assert start(WorkflowManager(tmp_path / "j.duckdb")).result(20) == (1, [10, 11], 5)
    assert not point.reached


def test_a_loop_that_does_not_use_its_crash_points_is_told_so():
    with pytest.raises(RuntimeError, match="use each crash point"):
        for _ in crash_points():
            pass


@pytest.mark.timeout(180)
def test_a_process_that_is_killed_again_and_again_ends_its_run_with_every_step_once(tmp_path: Path):
    journal, log = tmp_path / "journal.duckdb", tmp_path / "log"
    program = [sys.executable, "-c", PROGRAM, str(journal), str(log)]
    kills = int(os.environ.get("WFKERNEL_KILLS", "8"))
    delays = [0.005 * (1 + 3 * k % 11) for k in range(kills)]
    for delay in delays:
        process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        with log.open() if log.exists() else open(os.devnull) as seen:
            before = len(seen.read().splitlines())
        while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > before):
            pass
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    end = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert end.returncode == 0, end.stderr
    assert int(end.stdout) == sum(i * i + (i + 1) ** 2 for i in range(60))
    with WorkflowManager(journal) as wf:
        assert wf.db.execute("SELECT count(*), count(DISTINCT i) FROM done").fetchall() == [(60, 60)]
        rows = wf.db.execute("SELECT count(*), count(DISTINCT step_number) FROM wf.steps WHERE status = 'success'").fetchall()
        assert rows == [(180, 180)]
