"""What an outside reader of the interface tried, and what did not hold at first."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from recovery_fixtures import until

import wfkernel
from wfkernel import (
    DefinitionError,
    EngineStopped,
    InvalidArguments,
    InvalidEvent,
    OptionError,
    RetryPolicy,
    RunCanceled,
    RunFailed,
    RunNotActive,
    StepCanceled,
    StepFailed,
    StepNotFound,
    WorkflowManager,
    define_event,
)
from wfkernel.core.step import Step
from wfkernel.testing import VirtualClock


def test_a_retry_policy_takes_a_timedelta_for_every_duration(quick_wf: WorkflowManager):
    policy = RetryPolicy(4, initial_backoff=timedelta(seconds=10), base=10, max_backoff=timedelta(seconds=12), jitter=0)

    def fails():
        raise ValueError

    @quick_wf.workflow
    async def waits(step):
        begun = step.now()
        try:
            await step.options(retry=policy).run_action(fails)
        except StepFailed:
            return (step.now() - begun).total_seconds()

    assert waits.start().result(10) == pytest.approx(34, abs=0.5)


def test_a_step_that_is_shown_can_be_forked_from_and_planned_at_once(any_wf: WorkflowManager):
    @any_wf.workflow
    async def waits(step):
        first = await step.run_action(lambda: 1)
        return [first, await step.await_event("x")]

    run = waits.start()
    while len(run.steps()) < 2:
        pass
    fork = run.fork(from_step=1)
    assert [i.action for i in run.plan(from_step=1).items] == ["reuse", "run"]
    fork.send_event("x", 2)
    assert fork.result(10) == [1, 2]
    with pytest.raises(StepNotFound):
        run.fork(from_step=2)


def test_every_error_with_facts_survives_a_pickle(any_wf: WorkflowManager):
    @any_wf.workflow
    async def fails(step):
        raise ValueError("oh")

    with pytest.raises(RunFailed) as caught:
        fails.start().result(10)
    for error in (caught.value, RunNotActive("r1", "completed"), StepNotFound("r1", 3)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.run_id) == (type(error), str(error), error.run_id)


def test_a_clock_that_is_none_is_refused_before_the_journal_is_opened(make_wf: Callable[..., WorkflowManager]):
    for clock in (3, VirtualClock):
        with pytest.raises(OptionError, match="clock"):
            make_wf(clock=clock)


def test_a_failed_step_with_a_lone_surrogate_in_its_text_ends_its_run(any_wf: WorkflowManager):
    def fails():
        raise ValueError("\ud800x")

    @any_wf.workflow
    async def runs(step):
        await step.run_action(fails)

    with pytest.raises(RunFailed):
        runs.start().result(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_in_a_forked_child_the_parents_manager_is_stopped_and_does_not_hang():
    script = """
        import os, wfkernel
        wf = wfkernel.WorkflowManager(":memory:")
        @wf.workflow
        async def one(step): return 1
        one.start().result(10)
        child = os.fork()
        if not child:
            try: one.start()
            except wfkernel.EngineStopped: os._exit(7)
            finally: os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert one.start().result(10) == 1
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=30, stdout=subprocess.DEVNULL)


def test_a_child_that_is_cleaned_up_under_its_parent_is_canceled_for_it(any_wf: WorkflowManager):
    @any_wf.workflow
    async def child(step):
        await step.await_event("never")

    @any_wf.workflow
    async def parent(step):
        try:
            await step.run_workflow(child)
        except StepCanceled:
            return "canceled"

    run = parent.start()
    until(lambda: run.steps() and run.steps()[0].child_run_id)
    assert any_wf.cleanup(run.steps()[0].child_run_id, force=True)
    assert run.result(10) == "canceled"


def test_without_a_grace_the_run_is_canceled_when_cancel_returns(any_wf: WorkflowManager):
    @any_wf.workflow
    async def lingers(step):
        try:
            await step.await_event("never")
        finally:
            await step.await_event("cleaned")

    run = lingers.start()
    until(lambda: run.status().running)
    run.cancel(grace=0)
    assert run.status().type == "canceled"


def test_the_grace_of_a_cancel_passes_on_a_virtual_clock(quick_wf: WorkflowManager):
    @quick_wf.workflow
    async def lingers(step):
        try:
            await step.await_event("never")
        finally:
            await step.await_event("cleaned")

    run = lingers.start()
    until(lambda: run.status().running)
    run.cancel(grace=3600)
    with pytest.raises(RunCanceled):
        run.result(10)


def test_the_signature_is_that_of_the_interface():
    shown = inspect.signature(WorkflowManager).parameters
    assert list(shown)[:7] == ["path", "max_parallelism", "retry", "retry_actions_by_default", "clock", "replay", "allow_pickle"]
    assert shown["path"].default == ".wfkernel/journal.duckdb"
    assert shown["max_parallelism"].default == 25
    assert list(inspect.signature(Step.await_event).parameters) == ["self", "event_or_name", "id", "timeout"]
    assert wfkernel.VirtualClock is VirtualClock
    assert "VirtualClock" in wfkernel.__all__


def test_the_parameters_of_a_sleep_and_of_an_await_have_names(quick_wf: WorkflowManager):
    @quick_wf.workflow
    async def named(step):
        await step.sleep(seconds=5)
        return await step.await_event(event_or_name="go")  # without a timeout: the clock of this test would jump over it

    run = named.start()
    run.send_event("go", 1)
    assert run.result(10) == 1


def test_a_closed_manager_cannot_be_entered(make_wf: Callable[..., WorkflowManager]):
    wf = make_wf()
    wf.close()
    with pytest.raises(EngineStopped), wf:
        pass


def test_steps_without_a_function_have_no_attempts_in_the_view_either(quick_wf: WorkflowManager):
    @quick_wf.workflow
    async def sleeps(step):
        await step.sleep(1)

    sleeps.start().result(10)
    assert quick_wf.db.execute("SELECT attempts FROM wf.steps").fetchall() == [(0,)]


def test_an_await_that_timed_out_is_no_event(quick_wf: WorkflowManager):
    @quick_wf.workflow
    async def late(step):
        try:
            await step.await_event("never", timeout=1)
        except TimeoutError:
            return "late"

    assert late.start().result(10) == "late"
    assert quick_wf.db.execute("SELECT * FROM wf.events").fetchall() == []


def test_an_event_that_a_dropped_step_used_is_gone_from_the_view(any_wf: WorkflowManager):
    @any_wf.workflow
    async def asks(step):
        return await step.await_event("go")

    def events():
        return any_wf.db.execute("SELECT status, value, error FROM wf.events").fetchall()

    run = asks.start()
    run.send_event("go", error="boom")
    with pytest.raises(RunFailed):
        run.result(10)
    assert events() == [("consumed", None, "boom")]
    run.restart()
    until(lambda: run.status().running)
    run.send_event("go", 4)
    assert run.result(10) == 4
    assert events() == [("consumed", "4", None)]
    run.restart(from_step=0)
    until(lambda: events() == [("waiting", None, None)])
    run.send_event("go", 5)
    assert run.result(10) == 5
    assert events() == [("consumed", "5", None)]


def test_the_error_of_an_attempt_is_known_after_a_reopen(make_wf: Callable[..., WorkflowManager], journal_path: Path):
    def fails():
        raise ValueError("the first try")

    async def tries(step):
        await step.options(retry=RetryPolicy(5, initial_backoff=3600)).run_action(fails)

    wf = make_wf(journal_path)
    run = wf.workflow(tries).start()
    until(lambda: run.steps() and run.steps()[0].error)
    wf.close()
    wf = make_wf(journal_path)
    wf.workflow(tries)
    again = until(lambda: wf.get(run.id).status().running)
    assert again[0].error.message == "the first try"


def test_a_workflow_is_not_run_as_a_function(any_wf: WorkflowManager):
    @any_wf.workflow
    async def child(step, city: str = "a"):
        return city

    @any_wf.workflow
    async def parent(step):
        with pytest.raises(DefinitionError, match=r"'child' is a workflow: call it by step\.run_workflow"):
            await step.run_action(child, "b")
        return await step.run_workflow(child, "b")

    assert parent.start().result(10) == "b"


def test_a_typed_event_of_another_type_than_the_awaited_one_is_refused_at_the_sender(any_wf: WorkflowManager):
    class Decision(BaseModel):
        by: str

    awaited = define_event("decision", Decision)

    @any_wf.workflow
    async def asks(step):
        return (await step.await_event(awaited)).by

    run = asks.start()
    until(lambda: run.status().running)
    with pytest.raises(InvalidEvent):
        run.send_event(define_event("decision", str), "text")
    anew = type("Decision", (BaseModel,), {"__annotations__": {"by": str}})  # as a cell does that is run again
    run.send_event(define_event("decision", anew), anew(by="Mum"))
    assert run.result(10) == "Mum"


@pytest.mark.parametrize("wrong", [3, "NoSuchType", [int], {"a": int}])
def test_a_value_is_no_type_of_an_event(wrong: object):
    with pytest.raises(DefinitionError, match="an event's type is a type"):
        define_event("x", wrong)


def test_a_fork_whose_steps_do_not_fit_its_arguments_is_refused_and_says_from_where(any_wf: WorkflowManager):
    @any_wf.workflow
    async def trip(step, city: str, days: int = 1):
        await step.run_action(str.upper, city)
        await step.run_action(abs, days)
        return await step.await_event("go")

    run = trip.start("Oslo")
    until(lambda: len(run.steps()) == 3)
    with pytest.raises(InvalidArguments, match=r"from_step=1"):
        run.fork(args={"days": 2})
    assert len(any_wf.list().items) == 1
    fork = run.fork(from_step=1, args={"days": 2})
    fork.send_event("go", "on")
    assert fork.result(10) == "on"
    assert [s.args for s in fork.steps()][1] != run.steps()[1].args
