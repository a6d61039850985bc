"""An await by an id that no event has, and a send that says two things at once."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import EventAlreadyConsumed, EventNotFound, InvalidArguments


@pytest.mark.parametrize("unknown", ["nope", "e", "e-1", "e1kdvdna005prf-zz"])
def test_awaiting_an_unknown_id_raises_in_the_body(world: World, unknown: str) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.await_event(id=unknown)

    run = flow.start()
    failed = error_of(run)
    assert failed.error.type == "EventNotFound"
    assert failed.error.message.startswith(f"no event has the id {unknown!r}")
    assert world.steps(run) == [(unknown, "event", "failed")]


def test_the_body_catches_it_the_same_way_after_a_crash(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        try:
            await step.options(name="answer").await_event(id="nope")
        except EventNotFound as exc:
            missing = [exc.event_id, str(exc)]
        return [*missing, await step.await_event("go")]

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    before = world.rows()
    world.crash()
    assert world.rows()[: len(before)] == before
    world.again(run).send_event("go", "on")
    wanted, text, last = world.again(run).result(10)
    assert (wanted, last) == ("nope", "on")
    assert text.startswith("no event has the id 'nope'")
    assert world.statuses(run) == ["failed", "success"]


def test_an_await_that_was_journaled_as_waiting_goes_on_waiting_after_its_owner_is_gone(world: World) -> None:
    @world.define
    async def owner(step: Any) -> Any:
        return await step.await_event("never")

    @world.define
    async def listener(step: Any, event_id: str) -> Any:
        return await step.await_event(id=event_id, timeout=3600)

    owning = owner.start()
    event_id = world.wf.create_event("news", run=owning)
    world.hold_time()
    run = listener.start(event_id)
    world.wait_for_step(run, event_id)
    world.wf.cleanup(owning, force=True)
    world.crash()
    assert world.again(run).status().type == "in_progress"
    assert world.running(run) == [event_id]


def test_an_event_that_a_restart_dropped_can_be_awaited_and_sent_again(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        event_id = await step.await_event("which")
        return await step.await_event(id=event_id)

    run = flow.start()
    event_id = world.wf.create_event("answer", run=run)
    run.send_event("which", event_id)
    world.wf.send_event(event_id, 1)
    assert run.result(10) == 1
    run.restart(from_step=1)
    until(lambda: world.running(run) == [event_id])
    world.wf.send_event(event_id, 2)
    assert run.result(10) == 2


def test_the_id_of_an_await_by_name_is_known_to_others(world: World) -> None:
    @world.define
    async def asked(step: Any) -> Any:
        return await step.await_event("answer")

    @world.define
    async def listener(step: Any, event_id: str) -> Any:
        return await step.await_event(id=event_id, timeout=60)

    asking = asked.start()
    until(lambda: world.running(asking) == ["answer"])
    event_id = asking.status().running[0].event_id
    assert event_id is not None
    world.hold_time()
    run = listener.start(event_id)
    until(lambda: world.running(run) == [event_id])


def test_a_value_and_an_error_together_are_refused(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.await_event("answer")

    run = flow.start()
    until(lambda: world.running(run) == ["answer"])
    before = world.rows()
    with pytest.raises(InvalidArguments, match="send 'answer' a value or an error, not both"):
        run.send_event("answer", 5, error="no")
    assert world.rows() == before
    run.send_event("answer", 5)
    assert run.result(10) == 5


def test_an_id_whose_event_was_used_raises_in_the_body(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        event_id = await step.await_event("which")
        first = await step.await_event(id=event_id)
        with pytest.raises(EventAlreadyConsumed):
            await step.await_event(id=event_id)
        return [first, await step.await_event("go")]

    run = flow.start()
    event_id = world.wf.create_event("answer", run=run)
    run.send_event("which", event_id)
    world.wf.send_event(event_id, 1)
    until(lambda: world.running(run) == ["go"])
    world.crash()
    world.again(run).send_event("go", 2)
    assert world.again(run).result(10) == [1, 2]


def test_of_two_awaits_of_one_id_the_second_is_refused(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        event_id = await step.await_event("which")
        both = await asyncio.gather(step.await_event(id=event_id), step.await_event(id=event_id), return_exceptions=True)
        return [type(b).__name__ for b in both]

    run = flow.start()
    event_id = world.wf.create_event("answer", run=run)
    run.send_event("which", event_id)
    until(lambda: world.statuses(run)[1:] == ["running", "failed"])
    world.wf.send_event(event_id, 1)
    assert run.result(10) == ["int", "EventAlreadyConsumed"]


def test_an_id_of_a_run_that_has_ended_raises_in_the_body(world: World) -> None:
    @world.define
    async def owner(step: Any) -> Any:
        return await step.await_event("go")

    @world.define
    async def listener(step: Any, event_id: str) -> Any:
        return await step.await_event(id=event_id)

    owning = owner.start()
    event_id = world.wf.create_event("news", run=owning)
    owning.send_event("go")
    owning.result(10)
    failed = error_of(listener.start(event_id))
    assert failed.error.type == "RunNotActive"
    assert owning.id in failed.error.message
