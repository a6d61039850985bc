"""Steps: options, names, kinds, current_step, records, timeouts, inline, and what is refused at the call."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from wfkernel import (
    DefinitionError,
    InvalidArguments,
    OptionError,
    RetryPolicy,
    RunFailed,
    RunRecord,
    RunStatus,
    StepFailed,
    StepRecord,
    ValueNotStorable,
    WfkernelError,
    WorkflowManager,
    action,
    current_step,
    define_event,
    mutation,
    query,
)
from wfkernel.testing import VirtualClock


def double(n: int) -> int:
    return n * 2


async def triple(n: int) -> int:
    return n * 3


def fail(text: str = "no seats") -> None:
    raise ValueError(text)


class Greeter:
    def __call__(self, who: str) -> str:
        return f"hello {who}"

    def method(self, who: str) -> str:
        return f"dear {who}"


class AsyncGreeter:
    async def __call__(self, who: str) -> str:
        return f"hello {who}"


# -- functions --


def test_plain_actions_run_in_threads_and_async_ones_on_a_loop(any_wf: WorkflowManager) -> None:
    async def thread_of_async() -> int:
        asyncio.get_running_loop()
        return threading.get_ident()

    @any_wf.workflow
    async def trip(step):
        return [await step.run_action(threading.get_ident), await step.run_action(thread_of_async)]

    plain, coroutine = trip.start().result(20)
    assert len({plain, coroutine, threading.get_ident()}) == 3


@pytest.mark.parametrize(
    ("fn", "args", "result"),
    [
        (double, (4,), 8),
        (triple, (4,), 12),
        (lambda n: n + 1, (4,), 5),
        (functools.partial(double, 5), (), 10),
        (functools.partial(triple, n=5), (), 15),
        (Greeter(), ("Ada",), "hello Ada"),
        (AsyncGreeter(), ("Ada",), "hello Ada"),
        (Greeter().method, ("Ada",), "dear Ada"),
        (lambda n: triple(n), (2,), 6),
        (len, ([1, 2],), 2),
        (dict, (), {}),
        (max, (3, 4), 4),
    ],
    ids=[
        "def",
        "async def",
        "lambda",
        "partial",
        "async partial",
        "object",
        "async object",
        "method",
        "coroutine",
        "len",
        "dict",
        "max",
    ],
)
def test_any_callable_can_be_an_action(any_wf: WorkflowManager, fn: Any, args: tuple[Any, ...], result: Any) -> None:
    @any_wf.workflow
    async def trip(step):
        return await step.run_action(fn, *args)

    assert trip.start().result(20) == result


def test_arguments_go_to_the_function_by_position_and_by_name(any_wf: WorkflowManager) -> None:
    def take(a, /, b, *rest, c=3, **more):
        return [a, b, list(rest), c, more]

    @any_wf.workflow
    async def trip(step):
        return [
            await step.run_action(take, 1, 2),
            await step.run_action(take, 1, 2, 8, 9, c=4, d=5),
            await step.run_action(take, 1, b=2, z=6),
        ]

    assert trip.start().result(20) == [[1, 2, [], 3, {}], [1, 2, [8, 9], 4, {"d": 5}], [1, 2, [], 3, {"z": 6}]]


def test_an_argument_may_be_called_fn_or_workflow_or_self(any_wf: WorkflowManager) -> None:
    def take(fn, workflow, self):
        return [fn, workflow, self]

    @any_wf.workflow
    async def child(step, workflow, fn):
        return [workflow, fn]

    @any_wf.workflow
    async def trip(step):
        return [await step.run_action(take, fn=1, workflow=2, self=3), await step.run_workflow(child, workflow=1, fn=2)]

    assert trip.start().result(20) == [[1, 2, 3], [1, 2]]
    assert any_wf.start(child, workflow="a", fn="b").result(20) == ["a", "b"]
    assert child.start(workflow="a", fn="b").result(20) == ["a", "b"]


def test_a_query_cannot_write(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE notes (text VARCHAR)")

    def sneak(db):
        db.execute("INSERT INTO notes VALUES ('x')")

    def sneakier(db):
        db.execute("COMMIT")
        db.execute("INSERT INTO notes VALUES ('x')")

    @any_wf.workflow
    async def trip(step):
        failed = []
        for fn in (sneak, sneakier):
            try:
                await step.run_query(fn)
            except StepFailed as exc:
                failed.append(exc.attempts)
        return failed

    assert trip.start().result(20) == [1, 1]
    assert any_wf.db.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_a_mutation_that_fails_writes_nothing(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE notes (text VARCHAR)")

    def write_then_fail(db):
        db.execute("INSERT INTO notes VALUES ('x')")
        raise ValueError("second thoughts")

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(retry=True).run_mutation(write_then_fail)
        except StepFailed as exc:
            return [str(exc), exc.attempts]

    assert trip.start().result(20) == ["second thoughts", 1]
    assert any_wf.db.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_mutations_of_many_runs_lose_no_update(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE counter (n INTEGER)")
    any_wf.db.execute("INSERT INTO counter VALUES (0)")

    @mutation
    def add(db):
        db.execute("UPDATE counter SET n = n + 1")

    @any_wf.workflow
    async def trip(step):
        await asyncio.gather(*(step.run_mutation(add) for _ in range(5)))

    for run in [trip.start() for _ in range(4)]:
        run.result(30)
    assert any_wf.db.execute("SELECT n FROM counter").fetchone() == (20,)


def test_a_decorated_function_can_still_be_called(any_wf: WorkflowManager) -> None:
    @action
    def act(n: int) -> int:
        return n + 1

    @action(name="x", timeout=timedelta(seconds=3), retry=True)
    async def async_act(n: int) -> int:
        return n + 1

    assert act(1) == 2
    assert asyncio.run(async_act(1)) == 2
    assert act.__name__ == "act"


def test_a_function_decorated_as_one_kind_is_refused_as_another(any_wf: WorkflowManager) -> None:
    @query
    def look(db):
        return 1

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(look)
        except DefinitionError as exc:
            return str(exc)

    run = trip.start()
    assert "look" in run.result(20)
    assert run.steps() == []


# -- names --


@pytest.mark.parametrize(
    ("fn", "name"),
    [(double, "double"), (lambda who: 1, "<lambda>"), (Greeter(), "Greeter"), (Greeter().method, "method")],
    ids=["function", "lambda", "object", "method"],
)
def test_a_step_is_called_like_its_function_else_like_its_type(any_wf: WorkflowManager, fn: Any, name: str) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.run_action(fn, 3)

    run = trip.start()
    run.result(20)
    assert [s.name for s in run.steps()] == [name]


def test_the_name_of_a_partial_holds_no_address(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.run_action(functools.partial(double, 3))

    run = trip.start()
    run.result(20)
    assert run.steps()[0].name == "partial"


def test_sleeps_events_and_children_have_default_names(quick_wf: WorkflowManager) -> None:
    approval = define_event("approval", bool)

    @quick_wf.workflow(name="kid")
    async def child(step):
        return 1

    @quick_wf.workflow
    async def trip(step):
        await step.sleep(1)
        await step.sleep_until(step.now() + timedelta(seconds=1))
        await step.await_event(approval)
        await step.await_event("second")
        await step.run_workflow(child)

    run = trip.start()
    run.send_event(approval, True)
    run.send_event("second")
    run.result(20)
    assert [(s.kind, s.name) for s in run.steps()] == [
        ("sleep", "sleep"),
        ("sleep", "sleep"),
        ("event", "approval"),
        ("event", "second"),
        ("workflow", "kid"),
    ]


def test_options_name_a_step_of_any_kind(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def child(step):
        return 1

    @quick_wf.workflow
    async def trip(step):
        await step.options(name="a").run_action(double, 1)
        await step.options(name="b").run_query(lambda db: 1)
        await step.options(name="c").run_mutation(lambda db: 1)
        await step.options(name="d").run_workflow(child)
        await step.options(name="e").sleep(1)
        await step.options(name="f").await_event("go")

    run = trip.start()
    run.send_event("go")
    run.result(20)
    assert [s.name for s in run.steps()] == list("abcdef")


def test_the_decorators_name_is_used_unless_the_call_says_otherwise(any_wf: WorkflowManager) -> None:
    @action(name="charge card")
    def charge() -> None: ...

    @any_wf.workflow
    async def trip(step):
        await step.run_action(charge)
        await step.options(name="again").run_action(charge)

    run = trip.start()
    run.result(20)
    assert [s.name for s in run.steps()] == ["charge card", "again"]


# -- options --


def test_options_chain_and_the_later_word_wins(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        named = step.options(name="first", timeout=30)
        await named.options(name="second").run_action(double, 1)
        await named.run_action(double, 1)
        await step.run_action(double, 1)

    run = trip.start()
    run.result(20)
    assert [s.name for s in run.steps()] == ["second", "first", "double"]


BAD_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "inline and run_after": lambda step: step.options(inline=True, run_after=1).run_query(lambda db: 1),
    "inline and run_at": lambda step: step.options(inline=True, run_at=datetime.now(UTC)).run_query(lambda db: 1),
    "chained inline and run_after": lambda step: step.options(inline=True).options(run_after=1).run_mutation(lambda db: 1),
    "inline action": lambda step: step.options(inline=True).run_action(double, 1),
    "run_after and run_at": lambda step: step.options(run_after=1, run_at=datetime.now(UTC)).run_action(double, 1),
    "inline sleep": lambda step: step.options(inline=True).sleep(1),
    "inline child": lambda step: step.options(inline=True).run_workflow("child"),
    "inline event": lambda step: step.options(inline=True).await_event("go"),
    "negative sleep": lambda step: step.sleep(-1),
    "sleep of a text": lambda step: step.sleep("1"),
    "endless sleep": lambda step: step.sleep(float("inf")),
    "sleep until a naive instant": lambda step: step.sleep_until(datetime(2030, 1, 1)),  # noqa: DTZ001
    "sleep until a number": lambda step: step.sleep_until(17),
    "naive run_at": lambda step: step.options(run_at=datetime(2030, 1, 1)),  # noqa: DTZ001
    "negative run_after": lambda step: step.options(run_after=-1),
    "negative timeout": lambda step: step.options(timeout=-1),
    "timeout of a text": lambda step: step.options(timeout="soon"),
    "retry of a number": lambda step: step.options(retry=3),
    "empty name": lambda step: step.options(name=""),
    "name of a number": lambda step: step.options(name=3),
    "no event": lambda step: step.await_event(),
    "event of a number": lambda step: step.await_event(3),
    "executor of a text": lambda step: step.options(executor="moon").run_action(double, 1),
    "async action elsewhere": lambda step: step.options(executor="process").run_action(triple, 1),
}


@pytest.mark.parametrize("which", BAD_OPTIONS)
def test_contradicting_options_are_refused_at_the_call_and_nothing_is_recorded(any_wf: WorkflowManager, which: str) -> None:
    @any_wf.workflow
    async def child(step): ...

    @any_wf.workflow
    async def trip(step):
        try:
            BAD_OPTIONS[which](step)  # not awaited: the call itself refuses
        except OptionError as exc:
            return str(exc)

    run = trip.start()
    assert run.result(20)
    assert run.steps() == []


def test_an_option_error_that_is_not_caught_fails_the_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.options(inline=True).run_action(double, 1)

    with pytest.raises(RunFailed) as failed:
        trip.start().result(20)
    assert failed.value.error.type == "OptionError"
    assert isinstance(failed.value.__cause__, OptionError)


def test_an_unknown_option_is_refused(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            step.options(colour="red")
        except TypeError as exc:
            return str(exc)

    assert "colour" in trip.start().result(20)


def test_run_after_delays_a_step(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        await step.options(run_after=timedelta(hours=2)).run_action(double, 1)
        return (step.now() - begun).total_seconds()

    run = trip.start()
    assert run.result(20) == 7200
    record = run.steps()[0]
    assert record.started_at - record.scheduled_at == timedelta(hours=2)


@pytest.mark.parametrize("fn", [double, triple])
def test_a_delayed_action_begins_by_the_machines_clock_though_nothing_else_happens(any_wf: WorkflowManager, fn: Any) -> None:
    @any_wf.workflow
    async def trip(step):
        return await step.options(run_after=0.05).run_action(fn, 1)

    assert trip.start().result(20) == {double: 2, triple: 3}[fn]


def test_run_at_delays_a_step(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(clock=VirtualClock(datetime(2030, 1, 1, tzinfo=UTC)))

    @wf.workflow
    async def trip(step):
        await step.options(run_at=datetime(2030, 1, 2, tzinfo=UTC)).run_query(lambda db: 1)
        return step.now()

    assert trip.start().result(20) == datetime(2030, 1, 2, tzinfo=UTC)


def test_a_delayed_step_is_scheduled_until_it_starts(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(clock=VirtualClock(autojump=False))

    @wf.workflow
    async def trip(step):
        await step.options(run_after=60).run_action(double, 1)

    run = trip.start()
    assert [(s.name, s.status, s.attempts) for s in run.status().running] == [("double", "scheduled", 0)]


def test_run_after_delays_a_child(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def child(step):
        return step.now()

    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        return (await step.options(run_after=3600).run_workflow(child) - begun).total_seconds()

    assert trip.start().result(20) == 3600


def test_an_inline_step_does_not_wait_for_a_slot(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(max_parallelism=0)

    @wf.workflow
    async def trip(step):
        quick = step.options(inline=True)
        return [await quick.run_query(lambda db: 1), await quick.run_mutation(lambda db: 2)]

    run = trip.start()
    assert run.result(20) == [1, 2]
    assert [(s.kind, s.status) for s in run.steps()] == [("query", "success"), ("mutation", "success")]


def test_unstable_arguments_are_stored_all_the_same(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return await step.options(unstable_args=True).run_action(double, time.monotonic_ns())

    run = trip.start()
    assert run.result(20) % 2 == 0
    assert run.steps()[0].args["n"] * 2 == run.result()


def test_arguments_that_change_on_replay_are_allowed_with_unstable_args(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(replay="always")
    counted = iter(range(100))

    @wf.workflow
    async def trip(step):
        a = await step.options(unstable_args=True).run_action(double, next(counted))
        b = await step.options(unstable_args=True).run_action(double, next(counted))
        return [a, b]

    assert trip.start().result(20) == [0, 4]


def test_an_executor_runs_a_plain_action(any_wf: WorkflowManager) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:

        def who() -> list[Any]:
            return [threading.current_thread().name, current_step().name]

        @any_wf.workflow
        async def trip(step):
            return await step.options(executor=pool).run_action(who)

        name, step_name = trip.start().result(20)
    assert name.startswith("mine")
    assert step_name == "who"


# -- arguments that do not fit --


@pytest.mark.parametrize(
    "call",
    [
        lambda step: step.run_action(double),
        lambda step: step.run_action(double, 1, 2),
        lambda step: step.run_action(double, 1, n=1),
        lambda step: step.run_action(double, m=1),
        lambda step: step.run_query(lambda db, origin: 1),
    ],
    ids=["too few", "too many", "twice", "unknown", "query"],
)
def test_arguments_that_do_not_fit_are_refused_at_the_call(any_wf: WorkflowManager, call: Callable[[Any], Any]) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            await call(step)
        except InvalidArguments as exc:
            return str(exc)

    run = trip.start()
    assert run.result(20)
    assert run.steps() == []


def test_an_argument_that_cannot_be_stored_is_refused_at_the_call_naming_the_step(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(double, threading.Lock())
        except ValueNotStorable as exc:
            return str(exc)

    run = trip.start()
    assert "'double'" in run.result(20)
    assert run.steps() == []


@pytest.mark.parametrize("not_a_function", [3, None, "double", double(1)])
def test_what_is_no_function_is_refused_at_the_call(any_wf: WorkflowManager, not_a_function: Any) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(not_a_function)
        except DefinitionError as exc:
            return str(exc)

    assert "function" in trip.start().result(20)


# -- current_step --


def test_current_step_says_which_step_this_is(any_wf: WorkflowManager) -> None:
    def plain(n: int):
        info = current_step()
        return [info.run_id, info.step_number, info.name, info.attempt, n]

    async def coroutine(n: int):
        await asyncio.sleep(0)
        return plain(n)

    @any_wf.workflow
    async def trip(step):
        return [await step.run_action(plain, 5), await step.options(name="other").run_action(coroutine, 6)]

    run = trip.start()
    assert run.result(20) == [[run.id, 0, "plain", 1, 5], [run.id, 1, "other", 1, 6]]


def test_current_step_works_in_a_thread_that_the_action_starts(any_wf: WorkflowManager) -> None:
    async def act():
        return await asyncio.to_thread(lambda: current_step().name)

    @any_wf.workflow
    async def trip(step):
        return await step.run_action(act)

    assert trip.start().result(20) == "act"


def test_current_step_outside_of_a_step_is_an_error(any_wf: WorkflowManager) -> None:
    with pytest.raises(WfkernelError):
        current_step()

    @any_wf.workflow
    async def trip(step):
        try:
            current_step()
        except WfkernelError:
            return "refused"

    assert trip.start().result(20) == "refused"


def test_the_idempotency_key_is_different_for_every_step_of_every_run(any_wf: WorkflowManager) -> None:
    def key() -> str:
        return current_step().idempotency_key

    @any_wf.workflow
    async def trip(step):
        return [await step.run_action(key), *(await asyncio.gather(step.run_action(key), step.run_action(key)))]

    keys = [k for run in [trip.start(), trip.start()] for k in run.result(20)]
    assert all(isinstance(k, str) and k for k in keys)
    assert len(set(keys)) == 6


def test_progress_and_log_can_be_called_from_any_action(any_wf: WorkflowManager) -> None:
    def plain() -> None:
        step = current_step()
        step.progress(1, 2)
        step.progress(2, 2, "done")
        step.log("a line")

    async def coroutine() -> bool:
        plain()
        return current_step().is_canceled

    @any_wf.workflow
    async def trip(step):
        await step.run_action(plain)
        return await step.run_action(coroutine)

    assert trip.start().result(20) is False


def test_a_thread_sees_that_its_run_was_canceled(wf: WorkflowManager) -> None:
    begun, seen = threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        step = current_step()
        while not step.is_canceled:
            seen.wait(0.001)
        seen.set()

    @wf.workflow
    async def trip(step):
        await step.run_action(act)

    run = trip.start()
    assert begun.wait(10)
    run.cancel()
    assert seen.wait(10)
    assert run.steps()[0].status == "canceled"


def test_an_async_action_that_has_not_begun_when_its_run_is_canceled_never_does(wf: WorkflowManager) -> None:
    blocked, release, ran = threading.Event(), threading.Event(), threading.Event()

    async def hold_the_loop() -> None:
        blocked.set()
        release.wait(10)

    async def never() -> None:
        ran.set()
        await asyncio.sleep(3600)

    @wf.workflow
    async def holder(step):
        await step.run_action(hold_the_loop)

    @wf.workflow
    async def trip(step):
        await step.run_action(never)

    held = holder.start()
    assert blocked.wait(10)
    run = trip.start()
    run.cancel()
    release.set()
    held.result(20)

    @wf.workflow
    async def after(step):
        await step.run_action(asyncio.sleep, 0)

    after.start().result(20)
    assert not ran.is_set()


# -- timeouts --


def test_an_async_action_that_takes_too_long_fails_with_timeout_error(any_wf: WorkflowManager) -> None:
    stopped = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(timeout=0.01).run_action(endless)
        except StepFailed as exc:
            return [type(exc.__cause__).__name__, exc.attempts, exc.error.type]

    assert trip.start().result(20) == ["TimeoutError", 1, "TimeoutError"]
    assert stopped.is_set()


@pytest.mark.parametrize("kind", ["action", "query", "mutation"])
def test_a_plain_function_that_takes_too_long_fails_with_timeout_error(any_wf: WorkflowManager, kind: str) -> None:
    release = threading.Event()

    def stuck(db: Any = None) -> None:
        release.wait(10)

    @any_wf.workflow
    async def trip(step):
        try:
            await getattr(step.options(timeout=0.01), f"run_{kind}")(stuck)
        except StepFailed as exc:
            return type(exc.__cause__).__name__

    run = trip.start()
    assert run.result(20) == "TimeoutError"
    release.set()
    assert run.steps()[0].status == "failed"


def test_a_thread_that_took_too_long_sees_that_it_is_not_wanted(any_wf: WorkflowManager) -> None:
    seen = threading.Event()

    def stuck_at_first() -> str:
        step = current_step()
        if step.attempt == 2:
            return "second"
        while not step.is_canceled:
            seen.wait(0.001)
        seen.set()
        return "first"

    @any_wf.workflow
    async def late(step):
        again = RetryPolicy(max_attempts=2, initial_backoff=0)
        return await step.options(timeout=0.05, retry=again).run_action(stuck_at_first)

    assert late.start().result(20) == "second"
    assert seen.wait(10)


def test_the_decorators_timeout_holds_unless_the_call_says_otherwise(any_wf: WorkflowManager) -> None:
    release = threading.Event()

    @action(timeout=0.01)
    def slow() -> str:
        release.wait(20)
        return "done"

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(slow)
        except StepFailed as exc:
            first = type(exc.__cause__).__name__
        release.set()
        return [first, await step.options(timeout=30).run_action(slow)]

    assert trip.start().result(20) == ["TimeoutError", "done"]


def test_a_child_that_takes_too_long_is_canceled_and_fails_the_step(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def child(step):
        await step.sleep(3600)

    @quick_wf.workflow
    async def trip(step):
        try:
            await step.options(timeout=60).run_workflow(child)
        except StepFailed as exc:
            return type(exc.__cause__).__name__

    run = trip.start()
    assert run.result(20) == "TimeoutError"
    record = run.steps()[0]
    assert record.status == "failed"
    assert record.completed_at - record.scheduled_at == timedelta(seconds=60)


def test_await_event_with_a_timeout_raises_timeout_error(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        try:
            await step.await_event("never", timeout=timedelta(minutes=5))
        except TimeoutError:
            return (step.now() - begun).total_seconds()

    assert trip.start().result(20) == 300


# -- failures --


def test_a_failed_step_is_caught_with_its_error(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(fail, "no seats")
        except StepFailed as exc:
            return [str(exc), exc.attempts, exc.error.type, exc.error.message, type(exc.__cause__).__name__, str(exc.__cause__)]

    run = trip.start()
    assert run.result(20) == ["no seats", 1, "ValueError", "no seats", "ValueError", "no seats"]
    record = run.steps()[0]
    assert (record.status, record.attempts, record.result) == ("failed", 1, None)
    assert record.error.type == "ValueError"
    assert "in fail" in record.error.traceback


def test_a_failed_step_that_is_not_caught_fails_the_run_with_the_original_type(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.run_action(fail)

    run = trip.start()
    with pytest.raises(RunFailed, match="no seats") as failed:
        run.result(20)
    assert failed.value.error.type == "ValueError"
    assert isinstance(failed.value.__cause__, ValueError)
    assert run.status().error.message == "no seats"


def test_a_live_failure_has_the_very_exception_as_its_cause(wf: WorkflowManager) -> None:
    class Sold(Exception):
        pass

    raised = Sold("out")

    def sell() -> None:
        raise raised

    @wf.workflow
    async def trip(step):
        try:
            await step.run_action(sell)
        except StepFailed as exc:
            return exc.__cause__ is raised

    assert trip.start().result(20) is True


def test_an_error_with_a_key_keeps_its_text(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(lambda: {}["missing"])
        except StepFailed as exc:
            return [str(exc), type(exc.__cause__).__name__, str(exc.__cause__)]

    assert trip.start().result(20) == ["'missing'", "KeyError", "'missing'"]


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_whatever_an_action_raises_is_a_failed_step(any_wf: WorkflowManager, raised: BaseException, is_async: bool) -> None:
    def plain() -> None:
        raise type(raised)(*raised.args)

    async def coroutine() -> None:
        plain()

    @any_wf.workflow
    async def trip(step):
        try:
            await step.options(retry=True).run_action(coroutine if is_async else plain)
        except StepFailed as exc:
            return [exc.error.type, exc.attempts]

    assert trip.start().result(20) == [type(raised).__name__, 1]


def test_an_exception_that_cannot_be_shown_is_a_failed_step(any_wf: WorkflowManager) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def act() -> None:
        raise Broken

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(act)
        except StepFailed as exc:
            return exc.error.type

    assert trip.start().result(20) == "Broken"


# -- status and records --


def test_records_tell_everything_of_a_step(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return await step.run_action(double, 4)

    run = trip.start()
    run.result(20)
    (record,) = run.steps()
    assert isinstance(record, StepRecord)
    assert (record.run_id, record.step_number, record.name, record.kind) == (run.id, 0, "double", "action")
    assert (record.status, record.args, record.result, record.error) == ("success", {"n": 4}, 8, None)
    assert (record.attempts, record.generation, record.child_run_id, record.event_id) == (1, 0, None, None)
    assert record.scheduled_at <= record.started_at <= record.completed_at
    assert record.completed_at.utcoffset() == timedelta(0)


def test_records_are_frozen(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.run_action(double, 4)

    run = trip.start()
    run.result(20)
    status: RunStatus = run.status()
    record: RunRecord = any_wf.list().items[0]
    for frozen, field in ((status, "type"), (run.steps()[0], "name"), (record, "status")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(frozen, field, "other")


def test_the_status_of_a_run_shows_what_is_running_and_then_its_result(wf: WorkflowManager) -> None:
    begun, release = threading.Event(), threading.Event()

    def wait() -> int:
        begun.set()
        release.wait(10)
        return 7

    @wf.workflow
    async def trip(step):
        return await step.run_action(wait)

    run = trip.start()
    assert begun.wait(10)
    status = run.status()
    assert (status.type, status.result, status.error) == ("in_progress", None, None)
    assert [(s.name, s.status, s.attempts, s.kind) for s in status.running] == [("wait", "running", 1, "action")]
    release.set()
    assert run.result(20) == 7
    status = run.status()
    assert (status.type, status.running, status.result, status.error) == ("completed", [], 7, None)


def test_the_status_of_a_failed_run_holds_its_error(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        raise LookupError("gone")

    run = trip.start()
    with pytest.raises(RunFailed):
        run.result(20)
    status = run.status()
    assert (status.type, status.result) == ("failed", None)
    assert (status.error.type, status.error.message) == ("LookupError", "gone")
    assert "in trip" in status.error.traceback


def test_a_child_is_one_step_and_knows_its_parent(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def child(step, n: int):
        return await step.run_action(double, n)

    @any_wf.workflow
    async def parent(step):
        return await step.run_workflow(child, 4)

    run = parent.start()
    assert run.result(20) == 8
    (record,) = run.steps()
    assert (record.kind, record.name, record.status, record.args) == ("workflow", "child", "success", {"n": 4})
    assert any_wf.get(record.child_run_id).result(20) == 8
    (listed,) = any_wf.list_by_name("child").items
    assert (listed.run_id, listed.parent_run_id) == (record.child_run_id, run.id)


def test_a_failed_child_raises_step_failed_with_the_original_error(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def child(step):
        await step.run_action(fail)

    @any_wf.workflow
    async def parent(step):
        try:
            await step.run_workflow("child")
        except StepFailed as exc:
            return [str(exc), exc.error.type, type(exc.__cause__).__name__]

    assert parent.start().result(20) == ["no seats", "ValueError", "ValueError"]


def test_list_steps_gives_pages(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        for n in range(5):
            await step.run_action(double, n)

    run = trip.start()
    run.result(20)
    first = any_wf.list_steps(run, limit=2)
    second = any_wf.list_steps(run.id, limit=2, cursor=first.cursor)
    third = any_wf.list_steps(run, limit=2, cursor=second.cursor)
    assert [[s.step_number for s in page.items] for page in (first, second, third)] == [[0, 1], [2, 3], [4]]
    assert [page.is_done for page in (first, second, third)] == [False, False, True]
    assert [s.step_number for s in any_wf.list_steps(run, order="desc").items] == [4, 3, 2, 1, 0]
    back = any_wf.list_steps(run, order="desc", limit=3)
    assert [s.step_number for s in any_wf.list_steps(run, order="desc", limit=3, cursor=back.cursor).items] == [1, 0]


def test_the_journal_can_be_read_by_sql(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, n: int):
        return await step.run_action(double, n)

    run = trip.start(4)
    run.result(20)
    assert any_wf.db.execute("SELECT run_id, name, status FROM wf.runs").fetchall() == [(run.id, "trip", "completed")]
    rows = any_wf.db.execute("SELECT run_id, step_number, name, kind, status, attempts, generation FROM wf.steps").fetchall()
    assert rows == [(run.id, 0, "double", "action", "success", 1, 0)]


def test_views_have_the_fields_of_the_records(wf: WorkflowManager) -> None:
    def columns(view: str) -> set[str]:
        return {c[0] for c in wf.db.execute(f"SELECT * FROM wf.{view}").description}

    assert set(RunRecord.model_fields) <= columns("runs")
    assert set(StepRecord.model_fields) <= columns("steps")
    assert {"event_id", "run_id", "name", "status", "value", "error", "created_at", "sent_at", "consumed_at"} <= columns("events")


def test_a_mutation_must_not_end_its_transaction(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE notes (text VARCHAR)")

    def sneak(db):
        db.execute("INSERT INTO notes VALUES ('x')")
        db.execute("COMMIT")

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_mutation(sneak)
        except StepFailed as exc:
            return isinstance(exc.__cause__, duckdb.Error) or exc.error.type

    assert trip.start().result(20)
    assert any_wf.db.execute("SELECT count(*) FROM notes").fetchone() == (0,)
