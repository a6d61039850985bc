"""Replay matches steps by the order of their creation; a body that asks for something else fails, and can be put back."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import NondeterminismError, Run, StepFailed, define_event, query

SEEN: list[str] = []


def one(x: int = 1) -> int:
    SEEN.append("one")
    return x


def two(x: int = 1) -> int:
    SEEN.append("two")
    return x


@query
def one_query(db: Any, x: int = 1) -> int:
    return x


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


async def original(step: Any) -> list[Any]:
    first = await step.run_action(one, 1)
    told = await step.await_event("go")
    return [first, told, await step.run_action(two, 2)]


async def other_kind(step: Any) -> list[Any]:
    first = await step.options(name="one").run_query(one_query, 1)
    return [first, await step.await_event("go"), await step.run_action(two, 2)]


async def other_name(step: Any) -> list[Any]:
    first = await step.run_action(two, 1)
    return [first, await step.await_event("go"), await step.run_action(two, 2)]


async def other_arguments(step: Any) -> list[Any]:
    first = await step.run_action(one, 99)
    return [first, await step.await_event("go"), await step.run_action(two, 2)]


async def other_order(step: Any) -> list[Any]:
    told = await step.await_event("go")
    first = await step.run_action(one, 1)
    return [first, told, await step.run_action(two, 2)]


async def other_event(step: Any) -> list[Any]:
    first = await step.run_action(one, 1)
    return [first, await step.await_event("stop"), await step.run_action(two, 2)]


async def left_over(step: Any) -> list[Any]:
    return [await step.run_action(one, 1)]


async def nothing_left(step: Any) -> list[Any]:
    return []


async def raises_early(step: Any) -> list[Any]:
    await step.run_action(one, 1)
    raise ValueError("this body ends before the await")


CHANGES: list[Callable[..., Any]] = [
    other_kind, other_name, other_arguments, other_order, other_event, left_over, nothing_left, raises_early,
]  # fmt: skip


def interrupted(world: World, body: Any = original) -> Run:
    """A run that waits for "go", in the next life, where nothing is defined yet."""
    run = world.define(body, name="flow").start()
    world.wait_for_step(run, "go")
    world.forget()
    world.crash()
    return world.again(run)


@pytest.mark.parametrize("changed", CHANGES, ids=lambda f: f.__name__)
def test_a_changed_body_fails_and_finishes_when_the_code_is_put_back(world: World, changed: Any) -> None:
    run = interrupted(world)
    world.define(changed, name="flow")
    error = error_of(run)
    assert error.error.type == "NondeterminismError"
    assert isinstance(error.__cause__, NondeterminismError)
    assert run.status().type == "failed"
    assert all(s.status in ("success", "failed", "canceled") for s in run.steps()), "no step is left hanging"

    world.define(original, name="flow")
    run.restart()
    run.send_event("go", "now")
    assert run.result(10) == [1, "now", 2]
    assert SEEN == ["one", "two"], "the step that was journaled did not run again"


def test_the_error_shows_recorded_and_requested_side_by_side(world: World) -> None:
    run = interrupted(world)
    world.define(other_arguments, name="flow")
    cause = error_of(run).__cause__
    assert (cause.run_id, cause.step_number) == (run.id, 0)
    assert "one" in cause.recorded
    assert "1" in cause.recorded
    assert "99" in cause.requested
    lines = str(cause).splitlines()
    assert any("recorded" in line and cause.recorded in line for line in lines)
    assert any("requested" in line and cause.requested in line for line in lines)


def test_the_error_of_a_step_left_over_names_that_step(world: World) -> None:
    run = interrupted(world)
    world.define(left_over, name="flow")
    cause = error_of(run).__cause__
    assert cause.step_number == 1
    assert "go" in cause.recorded


async def stubborn(step: Any) -> str:
    try:
        await step.run_action(two, 1)
    except BaseException as exc:
        SEEN.append(f"caught {type(exc).__name__}")
        return "survived"
    finally:
        SEEN.append("finally")
    return "not reached"


def test_the_body_cannot_catch_it(world: World) -> None:
    run = interrupted(world)
    world.define(stubborn, name="flow")
    assert error_of(run).error.type == "NondeterminismError"
    assert "caught NondeterminismError" not in SEEN


def test_a_body_that_catches_everything_in_a_loop_cannot_hold_it_up(world: World) -> None:
    run = interrupted(world)

    async def endless(step: Any) -> None:
        while True:
            try:
                await step.run_action(two, 1)
            except Exception:
                SEEN.append("caught")

    world.define(endless, name="flow")
    assert error_of(run).error.type == "NondeterminismError"
    assert SEEN == ["one"]


def test_a_changed_pending_sleep_is_a_difference(world: World) -> None:
    world.hold_time()

    async def short(step: Any) -> str:
        await step.sleep(60)
        return "done"

    async def long(step: Any) -> str:
        await step.sleep(3600)
        return "done"

    run = world.define(short, name="flow").start()
    world.wait_for_step(run, "sleep")
    world.forget()
    world.crash()
    run = world.again(run)
    world.define(long, name="flow")
    assert error_of(run).error.type == "NondeterminismError"
    world.define(short, name="flow")
    run.restart()
    world.let_time_go()
    assert run.result(10) == "done"


def test_a_changed_finished_sleep_is_a_difference(world: World) -> None:
    async def body(step: Any) -> str:
        await step.sleep(60)
        return await step.await_event("go")

    async def changed(step: Any) -> str:
        await step.sleep(61)
        return await step.await_event("go")

    run = interrupted(world, body)
    world.define(changed, name="flow")
    assert error_of(run).error.type == "NondeterminismError"


def test_arguments_are_not_compared_with_unstable_args(world: World) -> None:
    stamp = [0]

    async def body(step: Any) -> list[Any]:
        stamp[0] += 1
        first = await step.options(unstable_args=True).run_action(one, stamp[0])
        return [first, await step.await_event("go")]

    world.define(body, name="flow")
    run = world.wf.start("flow")
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go", 2)
    assert run.result(10) == [1, 2]
    assert SEEN == ["one"]


def test_kind_and_name_are_compared_even_with_unstable_args(world: World) -> None:
    async def body(step: Any) -> list[Any]:
        await step.options(unstable_args=True).run_action(one, 1)
        return await step.await_event("go")

    async def changed(step: Any) -> list[Any]:
        await step.options(unstable_args=True).run_action(two, 1)
        return await step.await_event("go")

    run = interrupted(world, body)
    world.define(changed, name="flow")
    assert error_of(run).error.type == "NondeterminismError"


def test_what_follows_the_recorded_steps_may_change(world: World) -> None:
    run = interrupted(world)

    async def longer(step: Any) -> list[Any]:
        first = await step.run_action(one, 1)
        told = await step.await_event("go")
        return [first, told, await step.run_action(two, 5), await step.run_action(two, 6)]

    world.define(longer, name="flow")
    run.send_event("go", "x")
    assert run.result(10) == [1, "x", 5, 6]


def test_options_that_say_how_may_change(world: World) -> None:
    world.hold_time()
    run = interrupted(world)

    async def retried(step: Any) -> list[Any]:
        first = await step.options(retry=True, timeout=50).run_action(one, 1)
        return [first, await step.await_event(define_event("go", str), timeout=3600)]

    world.define(retried, name="flow")
    run.send_event("go", "x")
    assert run.result(10) == [1, "x"]


def test_a_body_of_chance_is_found_out_at_once_when_every_step_replays(world: World) -> None:
    counter = iter(range(100))

    @world.define
    async def flow(step: Any) -> int:
        await step.run_action(one, next(counter))
        return await step.run_action(two, 1)

    run = flow.start()
    if world.replay == "always":
        assert error_of(run).error.type == "NondeterminismError"
    else:
        assert run.result(10) == 1


def test_restart_without_putting_the_code_back_fails_again_and_loses_nothing(world: World) -> None:
    run = interrupted(world)
    world.define(other_name, name="flow")
    error_of(run)
    for _ in range(3):
        run.restart()
        assert error_of(run).error.type == "NondeterminismError"
    world.define(original, name="flow")
    run.restart()
    run.send_event("go", 1)
    assert run.result(10) == [1, 1, 2]
    assert SEEN == ["one", "two"]


def test_a_nondeterministic_run_can_be_restarted_from_the_step_that_differs(world: World) -> None:
    run = interrupted(world)
    world.define(other_arguments, name="flow")
    error_of(run)
    run.restart(from_step=0)
    run.send_event("go", "x")
    assert run.result(10) == [99, "x", 2]


def test_an_event_that_was_sent_is_not_lost_by_a_nondeterminism_error(world: World) -> None:
    run = interrupted(world)
    run.send_event("go", "early")
    world.define(other_name, name="flow")
    error_of(run)
    world.define(original, name="flow")
    run.restart()
    assert run.result(10) == [1, "early", 2]


def test_the_children_of_a_run_that_does_not_replay_are_canceled(world: World) -> None:
    @world.define
    async def child(step: Any) -> str:
        return await step.await_event("up")

    async def parent(step: Any) -> str:
        return await step.run_workflow("child")

    async def changed(step: Any) -> str:
        return await step.run_action(one)

    run = world.define(parent, name="flow").start()
    world.wait_for_step(run, "child")
    child_id = until(lambda: run.steps()[0].child_run_id)
    del world.workflows["flow"]
    world.crash()
    run = world.again(run)
    world.define(changed, name="flow")
    assert error_of(run).error.type == "NondeterminismError"
    until(lambda: world.wf.status(child_id).type == "canceled")


def test_the_order_in_a_gather_is_part_of_the_recording(world: World) -> None:
    async def body(step: Any) -> list[Any]:
        await asyncio.gather(step.run_action(one, 1), step.run_action(two, 2))
        return await step.await_event("go")

    async def swapped(step: Any) -> list[Any]:
        await asyncio.gather(step.run_action(two, 2), step.run_action(one, 1))
        return await step.await_event("go")

    run = interrupted(world, body)
    world.define(swapped, name="flow")
    assert error_of(run).error.type == "NondeterminismError"


@pytest.mark.parametrize("container", [list, tuple, set])
@pytest.mark.parametrize("own", [False, True])
def test_as_completed_numbers_its_steps_in_the_order_written(world: World, container: Any, own: bool) -> None:
    async def helper(step: Any, i: int) -> int:
        return await step.run_action(one, i)

    @world.define
    async def flow(step: Any) -> list[int]:
        calls = container(helper(step, i) if own else step.run_action(one, i) for i in range(6))
        found = [await each for each in asyncio.as_completed(calls)]
        await step.await_event("go")
        return sorted(found)

    run = flow.start()
    world.wait_for_step(run, "go")
    assert [s.args["x"] for s in run.steps()[:6]] == list(range(6))
    for _ in range(3):
        world.crash()
        run = world.again(run)
        until(lambda run=run: world.running(run) == ["go"])
    run.send_event("go")
    assert run.result(10) == list(range(6))


def test_a_task_group_that_gives_up_cleans_up_in_an_order_that_replays(world: World) -> None:
    async def guarded(step: Any, i: int) -> None:
        try:
            await step.await_event(f"never-{i}")
        finally:
            await step.run_action(one, i)

    def fail() -> None:
        raise ValueError("no")

    @world.define
    async def flow(step: Any) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                for i in range(8):
                    group.create_task(guarded(step, i))
                group.create_task(step.run_action(fail))
        except* StepFailed:
            pass
        await step.await_event("go")
        return "done"

    run = flow.start()
    world.wait_for_step(run, "go")
    for _ in range(3):
        world.crash()
        run = world.again(run)
        until(lambda run=run: world.running(run) == ["go"] or run.status().type != "in_progress")
    run.send_event("go")
    assert run.result(10) == "done"
    assert SEEN == ["one"] * 8


def test_the_tasks_that_wait_gives_back_are_walked_in_an_order_that_replays(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        tasks = [asyncio.create_task(step.run_action(one, i)) for i in range(8)]
        done, _ = await asyncio.wait(tasks)
        for task in done:
            await step.run_action(two, task.result())
        await step.await_event("go")
        return "done"

    run = flow.start()
    world.wait_for_step(run, "go")
    for _ in range(3):
        world.crash()
        run = world.again(run)
        until(lambda run=run: world.running(run) == ["go"] or run.status().type != "in_progress")
    run.send_event("go")
    assert run.result(10) == "done"
