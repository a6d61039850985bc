"""Retries: who asks for them, which policy holds, how long they wait, and what ends them at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from wfkernel import (
    OptionError,
    RetryPolicy,
    RunFailed,
    StepFailed,
    StopRetrying,
    WorkflowManager,
    action,
    current_step,
    mutation,
    query,
)
from wfkernel.testing import VirtualClock


def policy(attempts: int) -> RetryPolicy:
    return RetryPolicy(max_attempts=attempts, initial_backoff=0, jitter=0)


class Flaky:
    """Fails a number of times, then returns how often it was called."""

    def __init__(self, failures: int, error: type[Exception] = ConnectionError):
        self.failures = failures
        self.error = error
        self.calls = 0
        self.__name__ = "flaky"

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(f"failure {self.calls}")
        return self.calls


async def attempts_of(call: Any) -> int:
    try:
        await call
    except StepFailed as exc:
        return exc.attempts
    return 0


# -- the policy --


def test_the_default_policy_is_the_documented_one() -> None:
    default = RetryPolicy()
    assert (default.max_attempts, default.initial_backoff, default.base, default.max_backoff, default.jitter) == (
        5,
        0.5,
        2.0,
        None,
        0.5,
    )


def test_the_wait_grows_by_the_base_and_spreads_by_the_jitter() -> None:
    spread = RetryPolicy(initial_backoff=1, base=3, jitter=0.5)
    assert [spread.delay(k, 0.5) for k in (1, 2, 3)] == [1, 3, 9]
    assert spread.delay(1, 0.0) == 0.5
    assert 1.49 < spread.delay(1, 0.999) < 1.5


def test_the_wait_is_capped() -> None:
    capped = RetryPolicy(initial_backoff=1, base=10, max_backoff=30, jitter=0.5)
    assert [capped.delay(k, 0.999) for k in (3, 50, 5000)] == [30, 30, 30]


def test_no_wait_stays_no_wait_however_many_attempts_there_were() -> None:
    assert RetryPolicy(initial_backoff=0, base=2).delay(5000, 0.5) == 0


def test_a_policy_is_immutable_and_compares_by_value() -> None:
    assert RetryPolicy(3) == RetryPolicy(max_attempts=3)
    with pytest.raises(AttributeError):
        RetryPolicy().max_attempts = 9  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"initial_backoff": -1},
        {"base": 0.5},
        {"jitter": 2},
        {"jitter": -0.1},
        {"max_backoff": -1},
        {"initial_backoff": "1"},
    ],
    ids=str,
)
def test_a_policy_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


# -- whether --


def test_an_action_is_not_retried_unless_it_asks(any_wf: WorkflowManager) -> None:
    flaky = Flaky(1)

    @any_wf.workflow
    async def trip(step):
        return await attempts_of(step.run_action(flaky))

    assert trip.start().result(20) == 1
    assert flaky.calls == 1


def test_retry_true_uses_the_default_policy(quick_wf: WorkflowManager) -> None:
    flaky = Flaky(9)

    @quick_wf.workflow
    async def trip(step):
        return await attempts_of(step.options(retry=True).run_action(flaky))

    assert trip.start().result(20) == 5
    assert flaky.calls == 5


def test_a_retried_action_that_succeeds_gives_its_result(quick_wf: WorkflowManager) -> None:
    flaky = Flaky(3)

    @quick_wf.workflow
    async def trip(step):
        return await step.options(retry=True).run_action(flaky)

    run = trip.start()
    assert run.result(20) == 4
    (record,) = run.steps()
    assert (record.status, record.attempts, record.error) == ("success", 4, None)


def test_an_async_action_is_retried_too(any_wf: WorkflowManager) -> None:
    flaky = Flaky(2)

    async def act() -> int:
        await asyncio.sleep(0)
        return flaky()

    @any_wf.workflow
    async def trip(step):
        return await step.options(retry=policy(3)).run_action(act)

    assert trip.start().result(20) == 3


@pytest.mark.parametrize("kind", ["query", "mutation"])
def test_only_actions_are_retried_on_a_users_error(any_wf: WorkflowManager, kind: str) -> None:
    flaky = Flaky(1)
    decorate = {"query": query, "mutation": mutation}[kind]

    @decorate(retry=True)
    def look(db):
        return flaky()

    @any_wf.workflow(retry=policy(3), retry_actions_by_default=True)
    async def trip(step):
        return await attempts_of(getattr(step.options(retry=policy(3)), f"run_{kind}")(look))

    assert trip.start().result(20) == 1
    assert flaky.calls == 1


def test_a_child_workflow_is_not_retried(any_wf: WorkflowManager) -> None:
    flaky = Flaky(1)

    @any_wf.workflow
    async def child(step):
        await step.run_action(flaky)

    @any_wf.workflow
    async def parent(step):
        return await attempts_of(step.options(retry=policy(3)).run_workflow(child))

    assert parent.start().result(20) == 1
    assert flaky.calls == 1


def test_a_manager_can_retry_all_actions(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(retry=policy(3), retry_actions_by_default=True)
    flaky = Flaky(9)

    @wf.workflow
    async def trip(step):
        return await attempts_of(step.run_action(flaky))

    assert trip.start().result(20) == 3


def test_a_workflow_can_retry_all_its_actions(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(retry=policy(4))

    @wf.workflow(retry_actions_by_default=True)
    async def trip(step):
        return await attempts_of(step.run_action(Flaky(9)))

    assert trip.start().result(20) == 4


def test_a_workflow_can_opt_out_of_the_managers_retries(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(retry=policy(3), retry_actions_by_default=True)

    @wf.workflow(retry_actions_by_default=False)
    async def trip(step):
        return [await attempts_of(step.run_action(Flaky(9))), await attempts_of(step.options(retry=True).run_action(Flaky(9)))]

    assert trip.start().result(20) == [1, 3]


# -- which policy --

_LEVELS = [
    # call, decorator, workflow, manager -> attempts
    (2, 3, 4, 5, 2),
    (None, 3, 4, 5, 3),
    (None, None, 4, 5, 4),
    (None, None, None, 5, 5),
    (True, 3, 4, 5, 3),
    (True, None, 4, 5, 4),
    (True, None, None, 5, 5),
    (None, True, 4, 5, 4),
    (None, None, True, 5, 5),
    (False, 3, 4, 5, 1),
    (None, False, 4, 5, 1),
    (None, None, False, 5, 1),
    (2, False, False, False, 2),
    (True, False, False, False, 5),
    (None, None, None, False, 1),
]


@pytest.mark.parametrize(("call", "decorator", "workflow", "manager", "attempts"), _LEVELS, ids=[str(level) for level in _LEVELS])
def test_the_call_beats_the_decorator_beats_the_workflow_beats_the_manager(
    make_wf: Callable[..., WorkflowManager], call: Any, decorator: Any, workflow: Any, manager: Any, attempts: int
) -> None:
    def how(level: Any) -> Any:
        return policy(level) if type(level) is int else level

    wf = make_wf(retry=how(manager), retry_actions_by_default=True, clock=VirtualClock())
    flaky = action(retry=how(decorator))(lambda: 1 / 0)

    @wf.workflow(retry=how(workflow))
    async def trip(step):
        asked = step if call is None else step.options(retry=how(call))
        return await attempts_of(asked.run_action(flaky))

    assert trip.start().result(20) == attempts


# -- how --


def test_the_waits_between_attempts_follow_the_policy(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        steady = RetryPolicy(max_attempts=4, initial_backoff=1, base=10, jitter=0)
        await attempts_of(step.options(retry=steady).run_action(Flaky(9)))
        return (step.now() - begun).total_seconds()

    assert trip.start().result(20) == 111


def test_the_waits_between_attempts_have_a_longest(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        capped = RetryPolicy(max_attempts=5, initial_backoff=1, base=100, max_backoff=7, jitter=0)
        await attempts_of(step.options(retry=capped).run_action(Flaky(9)))
        return (step.now() - begun).total_seconds()

    assert trip.start().result(20) == 1 + 7 + 7 + 7


def test_the_jitter_spreads_the_waits(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        once = RetryPolicy(max_attempts=2, initial_backoff=100, jitter=0.5)
        await attempts_of(step.options(retry=once).run_action(Flaky(9)))
        return (step.now() - begun).total_seconds()

    waits = [run.result(20) for run in [trip.start() for _ in range(8)]]
    assert all(50 <= w < 150 for w in waits)
    assert len(set(waits)) > 1


def test_a_step_waiting_for_its_next_attempt_is_scheduled_and_shows_its_error(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock(autojump=False)
    wf = make_wf(clock=clock)
    flaky = Flaky(1)

    @wf.workflow
    async def trip(step):
        return await step.options(retry=RetryPolicy(initial_backoff=10, jitter=0)).run_action(flaky)

    run = trip.start()
    while (step := run.status().running[0]).status != "scheduled" or not step.attempts:
        assert run.status().type == "in_progress"
    assert (step.attempts, step.error.type) == (1, "ConnectionError")
    clock.advance(timedelta(seconds=10))
    assert run.result(20) == 2


def test_a_step_between_attempts_holds_no_slot(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(max_parallelism=1, clock=VirtualClock(autojump=False))
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ConnectionError

    @wf.workflow
    async def waiting(step):
        await step.options(retry=RetryPolicy(initial_backoff=1000)).run_action(fail)

    @wf.workflow
    async def quick(step):
        return await step.run_action(lambda: "ran")

    waiting.start()
    assert failed.wait(10)
    assert quick.start().result(20) == "ran"


def test_all_attempts_share_one_idempotency_key(any_wf: WorkflowManager) -> None:
    seen: list[tuple[int, str]] = []

    def act() -> None:
        step = current_step()
        seen.append((step.attempt, step.idempotency_key))
        raise ConnectionError

    @any_wf.workflow
    async def trip(step):
        return await attempts_of(step.options(retry=policy(3)).run_action(act))

    assert trip.start().result(20) == 3
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    assert len({key for _, key in seen}) == 1


def test_an_argument_changed_by_one_attempt_is_whole_for_the_next(any_wf: WorkflowManager) -> None:
    seen: list[list[int]] = []

    def act(items: list[int]) -> None:
        seen.append(list(items))
        items.clear()
        raise ConnectionError

    @any_wf.workflow
    async def trip(step):
        await attempts_of(step.options(retry=policy(2)).run_action(act, [1, 2]))

    trip.start().result(20)
    assert seen == [[1, 2], [1, 2]]


def test_the_last_error_is_the_one_that_is_reported(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.options(retry=policy(3)).run_action(Flaky(9))

    run = trip.start()
    with pytest.raises(RunFailed, match="failure 3") as failed:
        run.result(20)
    assert isinstance(failed.value.__cause__, ConnectionError)
    (record,) = run.steps()
    assert (record.status, record.attempts, record.error.message) == ("failed", 3, "failure 3")


# -- what ends them --


def test_stop_retrying_ends_a_step_at_once(any_wf: WorkflowManager) -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        raise StopRetrying("card declined")

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(retry=policy(5)).run_action(act)
        except StepFailed as exc:
            return [str(exc), exc.attempts]

    assert trip.start().result(20) == ["card declined", 1]
    assert len(calls) == 1


def test_stop_retrying_in_a_later_attempt_ends_there(any_wf: WorkflowManager) -> None:
    def act() -> None:
        raise ConnectionError if current_step().attempt < 3 else StopRetrying("enough")

    @any_wf.workflow
    async def trip(step):
        return await attempts_of(step.options(retry=policy(5)).run_action(act))

    assert trip.start().result(20) == 3


def test_stop_retrying_raised_from_an_error_reports_that_error(any_wf: WorkflowManager) -> None:
    def act() -> None:
        try:
            raise ValueError("bad card")
        except ValueError as exc:
            raise StopRetrying from exc

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(retry=policy(5)).run_action(act)
        except StepFailed as exc:
            return [exc.error.type, str(exc), exc.attempts]

    assert trip.start().result(20) == ["ValueError", "bad card", 1]


def test_a_subclass_of_stop_retrying_ends_a_step_too(any_wf: WorkflowManager) -> None:
    class Declined(StopRetrying):
        pass

    async def act() -> None:
        raise Declined("no")

    @any_wf.workflow
    async def trip(step):
        return await attempts_of(step.options(retry=policy(5)).run_action(act))

    assert trip.start().result(20) == 1


def test_a_timeout_holds_for_each_attempt_and_is_retried(any_wf: WorkflowManager) -> None:
    async def slow_at_first() -> int:
        if current_step().attempt < 3:
            await asyncio.sleep(3600)
        return current_step().attempt

    @any_wf.workflow
    async def trip(step):
        return await step.options(timeout=0.2, retry=policy(3)).run_action(slow_at_first)

    assert trip.start().result(20) == 3


def test_when_every_attempt_takes_too_long_the_cause_is_timeout_error(any_wf: WorkflowManager) -> None:
    async def slow() -> None:
        await asyncio.sleep(3600)

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(timeout=0.005, retry=policy(2)).run_action(slow)
        except StepFailed as exc:
            return [type(exc.__cause__).__name__, exc.attempts]

    assert trip.start().result(20) == ["TimeoutError", 2]


def test_a_result_that_cannot_be_stored_is_not_retried(any_wf: WorkflowManager) -> None:
    calls: list[int] = []

    def act() -> Any:
        calls.append(1)
        return threading.Lock()

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(retry=policy(5), name="make a lock").run_action(act)
        except StepFailed as exc:
            return [exc.attempts, exc.error.type, str(exc)]

    attempts, kind, text = trip.start().result(20)
    assert (attempts, kind, len(calls)) == (1, "ValueNotStorable", 1)
    assert "make a lock" in text


def test_canceling_a_run_ends_its_retries(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock(autojump=False)
    wf = make_wf(clock=clock)
    flaky = Flaky(9)
    failed = threading.Event()

    def act() -> None:
        try:
            flaky()
        finally:
            failed.set()

    @wf.workflow
    async def trip(step):
        await step.options(retry=True).run_action(act)

    run = trip.start()
    assert failed.wait(10)
    run.cancel()
    clock.advance(timedelta(days=1))
    assert flaky.calls == 1
    assert run.status().type == "canceled"
    assert run.steps()[0].status == "canceled"
