"""Events: who gets which, what is refused, what is stored."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import (
    DefinitionError,
    EventAlreadyConsumed,
    EventAlreadySent,
    EventError,
    EventNotFound,
    InvalidEvent,
    OptionError,
    Run,
    RunNotActive,
    RunNotFound,
    ValueNotStorable,
    define_event,
)


class Verdict(BaseModel):
    ok: bool
    note: str = ""


VERDICT = define_event("verdict", Verdict)
NUMBER = define_event("number", int)


def waiting(world: World, event: Any = "go", count: int = 1) -> Run:
    @world.define(name="waiting")
    async def flow(step: Any) -> Any:
        found = [await step.await_event(event) for _ in range(count)]
        return found[0] if count == 1 else found

    run = flow.start()
    until(lambda: run.status().running)
    return run


def events(world: World, run: Run | str) -> list[Any]:
    run_id = run if isinstance(run, str) else run.id
    sql = "SELECT event_id, name, status, value, error FROM wf.events WHERE run_id = ? ORDER BY created_at, event_id"
    return world.wf.db.execute(sql, [run_id]).fetchall()


# -- by name --


def test_the_value_arrives(world: World) -> None:
    run = waiting(world)
    assert world.wf.send_event("go", {"a": [1, 2]}, run=run) is None
    assert run.result(10) == {"a": [1, 2]}


def test_the_run_may_be_named_by_its_id(world: World) -> None:
    run = waiting(world)
    world.wf.send_event("go", 1, run=run.id)
    assert run.result(10) == 1


def test_an_event_without_a_value_is_none(world: World) -> None:
    run = waiting(world)
    run.send_event("go")
    assert run.result(10) is None


def test_a_typed_event_arrives_as_its_type_live_and_on_replay(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        verdict = await step.await_event(VERDICT)
        await step.await_event("go")
        return [type(verdict).__name__, verdict.ok, verdict.note]

    run = flow.start()
    run.send_event(VERDICT, {"ok": "yes", "note": "fine"})
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == ["Verdict", True, "fine"]


def test_a_model_may_be_sent_as_it_is(world: World) -> None:
    run = waiting(world, VERDICT)
    run.send_event(VERDICT, Verdict(ok=False))
    assert run.result(10) == Verdict(ok=False)


def test_sent_before_awaited_it_waits(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        await step.await_event("first")
        return await step.await_event("second")

    run = flow.start()
    run.send_event("second", 2)
    run.send_event("first", 1)
    assert run.result(10) == 2


def test_several_sends_queue_first_in_first_out_one_per_await(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        await step.await_event("start")
        return [await step.await_event("item") for _ in range(5)]

    run = flow.start()
    for i in range(3):
        run.send_event("item", i)
    run.send_event("start")
    until(lambda: world.running(run) == ["item"])
    for i in range(3, 5):
        run.send_event("item", i)
    assert run.result(10) == [0, 1, 2, 3, 4]


def test_awaits_of_one_name_side_by_side_are_served_in_their_order(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await asyncio.gather(*(step.await_event("item") for _ in range(3)))

    run = flow.start()
    for i in range(3):
        run.send_event("item", i)
    assert run.result(10) == [0, 1, 2]


def test_events_of_other_names_and_other_runs_do_not_disturb(world: World) -> None:
    one, two = waiting(world), waiting(world)
    one.send_event("else", "wrong")
    two.send_event("go", "two")
    assert two.result(10) == "two"
    assert one.status().type == "in_progress"
    one.send_event("go", "one")
    assert one.result(10) == "one"


def test_a_hundred_sends_from_four_threads_are_each_received_once(world: World) -> None:
    import threading

    run = waiting(world, "item", 100)
    threads = [threading.Thread(target=lambda k=k: [run.send_event("item", k * 25 + i) for i in range(25)]) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = run.result(20)
    assert sorted(found) == list(range(100))
    for k in range(4):
        mine = [x for x in found if x // 25 == k]
        assert mine == sorted(mine), "each sender's events keep their order"


# -- errors --


def test_error_makes_the_await_raise_event_error_with_that_text(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.await_event(NUMBER)
        except EventError as exc:
            seen = str(exc)
        await step.await_event("go")
        return seen

    run = flow.start()
    run.send_event(NUMBER, error="the printer is on fire")
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == "the printer is on fire"
    assert run.steps()[0].status == "failed"
    assert run.steps()[0].error.type == "EventError"


def test_an_error_sent_before_the_await_raises_there(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        await step.await_event("go")
        try:
            return await step.await_event("answer")
        except EventError as exc:
            return f"refused: {exc}"

    run = flow.start()
    run.send_event("answer", error="no")
    run.send_event("go")
    assert run.result(10) == "refused: no"


def test_an_event_error_that_is_not_caught_fails_the_run(world: World) -> None:
    run = waiting(world)
    run.send_event("go", error="no")
    error = error_of(run)
    assert (error.error.type, error.error.message) == ("EventError", "no")


@pytest.mark.parametrize("value", ["many", None, [1], 1.5])
def test_a_value_that_fails_validation_is_refused_at_the_sender_and_nothing_is_stored(world: World, value: Any) -> None:
    run = waiting(world, NUMBER)
    world.wait_for_step(run, "number")
    before = world.rows()
    with pytest.raises(InvalidEvent) as caught:
        run.send_event(NUMBER, value)
    assert "number" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(InvalidEvent):
        world.wf.send_event("number", value, run=run)  # untyped, but the run waits for the typed one
    assert world.rows() == before
    run.send_event(NUMBER, 3)
    assert run.result(10) == 3


def test_a_value_that_cannot_be_stored_is_refused_at_the_sender(world: World) -> None:
    run = waiting(world)
    with pytest.raises(ValueNotStorable):
        run.send_event("go", object())
    run.send_event("go", 1)
    assert run.result(10) == 1


def test_an_untyped_send_is_validated_by_the_type_that_the_run_waits_for(world: World) -> None:
    run = waiting(world, NUMBER)
    run.send_event("number", "42")
    assert run.result(10) == 42


def test_an_untyped_send_that_comes_first_is_validated_when_it_is_awaited(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        await step.await_event("go")
        try:
            first = await step.await_event(NUMBER)
        except InvalidEvent as exc:
            first = type(exc).__name__
        return [first, await step.await_event(NUMBER)]

    run = flow.start()
    run.send_event("number", "many")
    run.send_event("number", "7")
    run.send_event("go")
    assert run.result(10) == ["InvalidEvent", 7]


def test_a_sender_mistake_does_not_reach_the_body(world: World) -> None:
    run = waiting(world, NUMBER)
    with pytest.raises(InvalidEvent):
        run.send_event(NUMBER, "x")
    assert run.status().type == "in_progress"


@pytest.mark.parametrize("name", ["", None, 5])
def test_an_event_needs_a_name(name: Any) -> None:
    with pytest.raises(DefinitionError):
        define_event(name)


# -- runs that have ended --


def test_sending_to_an_ended_run_says_so(world: World) -> None:
    run = waiting(world)
    run.send_event("go")
    run.result(10)
    with pytest.raises(RunNotActive) as caught:
        run.send_event("go")
    assert run.id in str(caught.value)
    canceled = waiting(world)
    canceled.cancel()
    with pytest.raises(RunNotActive):
        canceled.send_event("go")
    world.crash()
    with pytest.raises(RunNotActive):
        world.wf.send_event("go", run=run.id)
    with pytest.raises(RunNotActive):
        world.wf.create_event("go", run=run.id)


def test_sending_to_an_unknown_run_says_so(world: World) -> None:
    with pytest.raises(RunNotFound):
        world.wf.send_event("go", run="nobody")
    with pytest.raises(RunNotFound):
        world.wf.create_event("go", run="nobody")


# -- by id --


def test_an_event_by_id_is_sent_without_naming_the_run(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        event_id = await step.await_event("which")
        return await step.await_event(id=event_id)

    run = flow.start()
    event_id = world.wf.create_event("answer", run=run)
    assert isinstance(event_id, str)
    run.send_event("which", event_id)
    until(lambda: len(run.steps()) == 2)
    world.wf.send_event(event_id, 5)
    assert run.result(10) == 5
    assert run.steps()[1].event_id == event_id


def test_an_event_by_id_answers_an_await_of_its_name(world: World) -> None:
    run = waiting(world, "answer")
    event_id = world.wf.create_event("answer", run=run)
    world.wf.send_event(event_id, "by id")
    assert run.result(10) == "by id"


def test_an_event_by_id_that_is_sent_first_waits_for_its_await(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        event_id = await step.await_event("which")
        return await step.await_event("answer", id=event_id)

    run = flow.start()
    event_id = world.wf.create_event(define_event("answer"), run=run.id)
    world.wf.send_event(event_id, 5)
    run.send_event("which", event_id)
    assert run.result(10) == 5


def test_a_second_send_by_id_is_refused(world: World) -> None:
    run = waiting(world, "other")
    event_id = world.wf.create_event("answer", run=run)
    world.wf.send_event(event_id, 1)
    before = world.rows()
    with pytest.raises(EventAlreadySent) as caught:
        world.wf.send_event(event_id, 2)
    assert event_id in str(caught.value)
    with pytest.raises(EventAlreadySent):
        world.wf.send_event(event_id, error="x")
    assert world.rows() == before
    world.crash()
    with pytest.raises(EventAlreadySent):
        world.wf.send_event(event_id, 2)


def test_a_send_by_id_after_its_use_is_refused(world: World) -> None:
    run = waiting(world, "answer", 2)
    event_id = world.wf.create_event("answer", run=run)
    world.wf.send_event(event_id, 1)
    until(lambda: world.statuses(run)[0] == "success")
    with pytest.raises(EventAlreadyConsumed) as caught:
        world.wf.send_event(event_id, 2)
    assert event_id in str(caught.value)
    world.crash()
    run = world.again(run)
    with pytest.raises(EventAlreadyConsumed):
        world.wf.send_event(event_id, 2)
    run.send_event("answer", 2)
    assert run.result(10) == [1, 2]
    with pytest.raises(EventAlreadyConsumed):
        world.wf.send_event(event_id, 2)


@pytest.mark.parametrize("unknown", ["nope", "e", "e123", "e-1", "r1kdvdna005prf", "e1kdvdna005prf-zz", ""])
def test_an_unknown_id_is_not_found(world: World, unknown: str) -> None:
    waiting(world)
    with pytest.raises((EventNotFound, ValueError)) as caught:
        world.wf.send_event(unknown, 1)
    if unknown:
        assert isinstance(caught.value, EventNotFound)
        assert isinstance(caught.value, LookupError)


def test_an_unsent_id_of_an_ended_run_says_that_the_run_has_ended(world: World) -> None:
    run = waiting(world)
    event_id = world.wf.create_event("late", run=run)
    run.send_event("go")
    run.result(10)
    with pytest.raises(RunNotActive):
        world.wf.send_event(event_id, 1)


def test_a_created_event_survives_a_crash(world: World) -> None:
    run = waiting(world, "answer")
    event_id = world.wf.create_event("answer", run=run)
    world.crash()
    run = world.again(run)
    world.wf.send_event(event_id, "x")
    assert run.result(10) == "x"


def test_a_created_event_can_be_sent_before_the_definition_is_there(world: World) -> None:
    run = waiting(world, "answer")
    event_id = world.wf.create_event("answer", run=run)
    definition = world.workflows.pop("waiting")[0]
    world.crash()
    world.wf.send_event(event_id, "x")
    with pytest.raises(EventAlreadySent):
        world.wf.send_event(event_id, "y")
    world.define(definition, name="waiting")
    assert world.again(run).result(10) == "x"


def test_a_typed_await_validates_a_send_by_id(world: World) -> None:
    run = waiting(world, NUMBER)
    event_id = world.wf.create_event(NUMBER, run=run)
    before = world.rows()
    with pytest.raises(InvalidEvent):
        world.wf.send_event(event_id, "many")
    assert world.rows() == before
    world.wf.send_event(event_id, "8")
    assert run.result(10) == 8


def test_two_created_events_of_one_name_have_their_own_ids(world: World) -> None:
    run = waiting(world, "answer", 2)
    first, second = (world.wf.create_event("answer", run=run) for _ in range(2))
    assert first != second
    world.wf.send_event(second, "second")
    world.wf.send_event(first, "first")
    assert run.result(10) == ["second", "first"], "in the order of the sends"


def test_a_run_may_await_an_event_of_another_run_by_its_id(world: World) -> None:
    @world.define
    async def listener(step: Any, event_id: str) -> Any:
        return await step.await_event(id=event_id)

    owner = waiting(world, "never")
    event_id = world.wf.create_event("news", run=owner)
    run = listener.start(event_id)
    until(lambda: run.status().running)
    world.wf.send_event(event_id, "heard")
    assert run.result(10) == "heard"


# -- timeouts --


@pytest.mark.parametrize("timeout", [60, timedelta(minutes=1)])
def test_an_await_that_takes_too_long_raises_timeout_error(world: World, timeout: Any) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        began = step.now()
        try:
            await step.await_event("go", timeout=timeout)
        except TimeoutError:
            return (step.now() - began).total_seconds()

    run = flow.start()
    assert run.result(10) == 60
    assert [(s.status, s.error.type) for s in run.steps()] == [("failed", "TimeoutError")]


def test_an_event_in_time_stops_the_timeout(world: World) -> None:
    world.hold_time()

    @world.define
    async def flow(step: Any) -> Any:
        return await step.await_event("go", timeout=60)

    run = flow.start()
    run.send_event("go", 1)
    assert run.result(10) == 1
    assert world.wf._engine.timers.next_due() is None


def test_an_event_that_comes_after_the_timeout_waits_for_the_next_await(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        try:
            await step.await_event("go", timeout=60)
        except TimeoutError:
            pass
        await step.await_event("ready")
        return await step.await_event("go")

    run = flow.start()
    until(lambda: world.running(run) == ["ready"])
    run.send_event("go", "late")
    run.send_event("ready")
    assert run.result(10) == "late"


def test_an_await_given_up_by_wait_for_leaves_its_event_to_the_next(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        try:
            await asyncio.wait_for(step.await_event("go"), 60)
        except TimeoutError:
            pass
        return await step.await_event("go")

    run = flow.start()
    until(lambda: len(run.steps()) > 1 and world.running(run) == ["go"] and run.steps()[-1].status == "running")
    run.send_event("go", "second")
    assert run.result(10) == "second"


@pytest.mark.parametrize("bad", [{}, {"event": ""}, {"event": 5}, {"id": ""}, {"event": "x", "timeout": -1}])
def test_a_senseless_await_is_refused_at_the_call_and_nothing_is_recorded(world: World, bad: dict[str, Any]) -> None:
    @world.define
    async def flow(step: Any) -> str:
        event = bad.pop("event", None)
        try:
            await step.await_event(event, **bad)
        except OptionError:
            return "refused"
        return "taken"

    run = flow.start()
    if world.replay == "on_recovery":
        assert run.result(10) == "refused"
        assert run.steps() == []
    else:
        assert run.result(10) in ("refused", "taken")


# -- what is stored --


def test_the_view_of_events_follows_an_event(world: World) -> None:
    run = waiting(world, "never")
    event_id = world.wf.create_event("answer", run=run)
    mine = lambda: [e[1:] for e in events(world, run) if e[0] == event_id]  # noqa: E731
    assert mine() == [("answer", "created", None, None)]
    world.wf.send_event(event_id, {"a": 1})
    assert mine() == [("answer", "sent", '{"a":1}', None)]


def test_the_view_of_events_shows_consumed_ones_and_errors(world: World) -> None:
    run = waiting(world, "go", 2)
    run.send_event("go", 5)
    until(lambda: world.statuses(run)[0] == "success")
    run.send_event("go", error="no")
    error_of(run)
    assert [e[1:] for e in events(world, run)] == [("go", "consumed", "5", None), ("go", "consumed", None, "no")]
    times = world.wf.db.execute("SELECT created_at, sent_at, consumed_at FROM wf.events").fetchall()
    assert all(a and b and c and a <= b <= c for a, b, c in times)
