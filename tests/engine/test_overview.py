"""What a dashboard reads: pages and counts of all runs, and how long steps took, against journals whose content is known exactly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from wfkernel import RetryPolicy, Run, RunFailed, WorkflowManager, define_event
from wfkernel.engine import overview
from wfkernel.engine.overview import Count, Look, StepTimes
from wfkernel.testing import VirtualClock

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = 2_000_000_000_000_000


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START, autojump=False)


@pytest.fixture
def wf(make_wf: Callable[..., WorkflowManager], clock: VirtualClock) -> WorkflowManager:
    return make_wf(clock=clock)


@pytest.fixture
def runs(wf: WorkflowManager, clock: VirtualClock) -> dict[str, str]:
    """Runs by what they are: they took 3, 1, 2 s and are in progress since 4 s; their ids."""
    go = define_event("go")

    @wf.workflow
    async def order(step, fails: bool = False):
        await step.await_event(go)
        if fails:
            raise ValueError("No table of RATES")
        return 1

    @wf.workflow
    async def report(step):
        await step.await_event(go)

    started = {
        "completed": order.start(),
        "failed": order.start(fails=True),
        "canceled": report.start(),
        "going": report.options(id="Bericht-7").start(),
    }
    for name, after_s in (("failed", 1), ("canceled", 1), ("completed", 1), (None, 1)):
        clock.advance(after_s)
        if name == "canceled":
            started[name].cancel()
        elif name is not None:
            started[name].send_event(go)
            wait_for_end(started[name])
    return {name: run.id for name, run in started.items()}


def wait_for_end(run: Run) -> None:
    with contextlib.suppress(RunFailed):
        run.result(timeout=10)


def named(wf: WorkflowManager, runs: dict[str, str], **look: Any) -> list[str]:
    """The page, each run by what it is."""
    keys = overview.page(wf._engine.journal, Look(**look), wf._engine.clock.time_us())
    by_key = {wf._engine.key_of(run_id): name for name, run_id in runs.items()}
    return [by_key[key] for key in keys]


def test_runs_are_sorted_both_ways(wf: WorkflowManager, runs: dict[str, str]) -> None:
    newest = ["going", "canceled", "failed", "completed"]
    assert named(wf, runs) == newest
    assert named(wf, runs, is_descending=False) == newest[::-1]
    assert named(wf, runs, sort="duration") == ["going", "completed", "canceled", "failed"]
    assert named(wf, runs, sort="duration", is_descending=False) == ["failed", "canceled", "completed", "going"]
    assert named(wf, runs, sort="status", is_descending=False) == ["going", "failed", "canceled", "completed"]
    assert named(wf, runs, sort="status") == ["completed", "canceled", "failed", "going"]
    assert named(wf, runs, sort="name", is_descending=False) == ["failed", "completed", "going", "canceled"]
    assert named(wf, runs, sort="name") == ["going", "canceled", "failed", "completed"]


def test_pages_follow_each_other(wf: WorkflowManager, runs: dict[str, str]) -> None:
    assert named(wf, runs, limit=3) == ["going", "canceled", "failed"]
    assert named(wf, runs, limit=3, offset=3) == ["completed"]
    assert named(wf, runs, limit=3, offset=6) == []


def test_runs_are_filtered_by_workflow_status_and_text(wf: WorkflowManager, runs: dict[str, str]) -> None:
    assert named(wf, runs, names=("order",)) == ["failed", "completed"]
    assert named(wf, runs, names=("order", "report"), statuses=("failed", "in_progress")) == ["going", "failed"]
    assert named(wf, runs, names=("no such",)) == []
    assert named(wf, runs, text="bericht") == ["going"], "an id, in any case"
    assert named(wf, runs, text=runs["completed"][4:].upper()) == ["completed"], "a part of a generated id"
    assert named(wf, runs, text="ORD") == ["failed", "completed"], "a workflow"
    assert named(wf, runs, text="valueerror: no table of rates") == ["failed"], "an error"
    assert named(wf, runs, text="%") == named(wf, runs, text="'; DROP TABLE") == []


def test_an_error_counts_only_while_the_run_has_failed(wf: WorkflowManager, runs: dict[str, str]) -> None:
    wf.restart(runs["failed"], from_step=0)
    assert named(wf, runs, text="rates") == []
    assert named(wf, runs, statuses=("in_progress",)) == ["going", "failed"]


def test_counts_are_of_all_runs_and_of_those_whose_text_fits(wf: WorkflowManager, runs: dict[str, str]) -> None:
    journal = wf._engine.journal
    everything = [
        Count("order", "completed", 1, 1),
        Count("order", "failed", 1, 1),
        Count("report", "canceled", 1, 1),
        Count("report", "in_progress", 1, 1),
    ]
    assert overview.counts(journal, Look()) == everything
    assert overview.counts(journal, Look(names=("order",), statuses=("failed",))) == everything
    assert [c.fitting for c in overview.counts(journal, Look(text="rep"))] == [0, 0, 1, 1]


def test_an_empty_journal_has_nothing(wf: WorkflowManager) -> None:
    journal = wf._engine.journal
    assert overview.counts(journal, Look()) == []
    assert overview.page(journal, Look(text="x"), NOW) == []
    assert overview.step_times(journal, "order") == overview.StepTable(0, 1, [], 0)


def test_quantiles_of_steps_are_exact(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock(START)
    wf = make_wf(clock=clock)

    async def fetch(took_s: float) -> None:
        clock.advance(took_s)

    def parse() -> None:
        raise ValueError("no")

    @wf.workflow
    async def order(step, took_s: float):
        await step.run_action(fetch, took_s)
        await step.sleep(30)
        await step.run_action(parse)

    took = [1, 2, 3, 4, 10]
    for took_s in took:
        run = order.start(took_s)
        with pytest.raises(Exception, match="no"):
            run.result(timeout=10)
    table = overview.step_times(wf._engine.journal, "order")
    whole = [t for t in table.times if t.bucket is None]
    rounded = [t._replace(p95_s=round(t.p95_s, 9)) for t in whole]
    assert rounded == [StepTimes("fetch", None, 5, 0, 3.0, 8.8), StepTimes("parse", None, 5, 5, 0.0, 0.0)]
    assert table.left_out == 0
    assert table.width_s == 10, "170 s in 30 parts at most, of a round width"
    assert table.start_us == round(START.timestamp() * 1e6), "a bucket begins at a multiple of its width"
    fetched = [(t.bucket, t.ended, t.p50_s, t.p95_s) for t in table.times if t.name == "fetch" and t.bucket is not None]
    assert fetched == [(0, 1, 1.0, 1.0), (3, 1, 2.0, 2.0), (6, 1, 3.0, 3.0), (10, 1, 4.0, 4.0), (14, 1, 10.0, 10.0)]
    assert overview.step_times(wf._engine.journal, "another").times == []


def test_the_last_attempt_counts_and_a_forks_copies_do_not(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock(START)
    wf = make_wf(clock=clock)
    tries = []

    async def flaky() -> None:
        tries.append(1)
        clock.advance(5 if len(tries) == 1 else 2)
        if len(tries) == 1:
            raise OSError("again")

    @wf.workflow
    async def order(step):
        await step.options(retry=RetryPolicy(max_attempts=2, initial_backoff=60)).run_action(flaky)

    run = order.start()
    run.result(timeout=10)
    run.fork().result(timeout=10)
    (whole, _) = overview.step_times(wf._engine.journal, "order").times
    assert whole == StepTimes("flaky", None, 1, 0, 2.0, 2.0)
