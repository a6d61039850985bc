"""What an outside reader of the interface tried, and what did not hold at first."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta

import pytest

from wfkernel import OptionError, RetryPolicy, RunFailed, RunNotActive, StepFailed, StepNotFound, WorkflowManager
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
