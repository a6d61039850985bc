"""Child runs: one step of the parent each, and what is between them."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import DefinitionError, InvalidArguments, OptionError, StepCanceled, StepFailed


class Box(BaseModel):
    n: int


def child_of(world: World, name: str = "child") -> str:
    """The id of the newest child, once it is in the journal."""
    return until(lambda: world.wf.list_by_name(name).items)[0].run_id


def test_the_result_of_the_child_is_that_of_the_step_live_and_on_replay(world: World) -> None:
    @world.define
    async def child(step: Any, n: int) -> Any:
        return (await step.run_action(world.note, n), Box(n=n))

    @world.define
    async def parent(step: Any) -> str:
        pair = await step.run_workflow(child, 5)
        await step.await_event("go")
        return repr(pair)

    run = parent.start()
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == repr((5, Box(n=5)))
    assert world.calls == [5]


def test_the_records_point_at_each_other(world: World) -> None:
    @world.define
    async def child(step: Any, n: int) -> int:
        return n

    @world.define
    async def parent(step: Any) -> int:
        return await step.run_workflow(child, n=5)

    run = parent.start()
    assert run.result(10) == 5
    (step,) = run.steps()
    assert (step.kind, step.name, step.status, step.args) == ("workflow", "child", "success", {"n": 5})
    records = {r.run_id: r for r in world.wf.list().items}
    assert records[step.child_run_id].parent_run_id == run.id
    assert records[step.child_run_id].name == "child"
    assert records[run.id].parent_run_id is None


def test_a_child_may_be_named_by_its_name(world: World) -> None:
    @world.define
    async def child(step: Any) -> str:
        return "hi"

    @world.define
    async def parent(step: Any) -> str:
        return await step.options(name="greeting").run_workflow("child")

    run = parent.start()
    assert run.result(10) == "hi"
    assert run.steps()[0].name == "greeting"


def test_a_child_that_fails_is_a_failed_step(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        raise ValueError("from below")

    @world.define
    async def parent(step: Any) -> list[Any]:
        try:
            await step.run_workflow(child)
        except StepFailed as exc:
            seen = [str(exc), exc.error.type, type(exc.__cause__).__name__, exc.attempts]
        await step.await_event("go")
        return seen

    run = parent.start()
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == ["from below", "ValueError", "ValueError", 1]
    assert run.steps()[0].status == "failed"


def test_the_original_error_comes_up_through_two_levels(world: World) -> None:
    def fail() -> None:
        raise KeyError("deep")

    @world.define
    async def leaf(step: Any) -> None:
        await step.run_action(fail)

    @world.define
    async def middle(step: Any) -> None:
        await step.run_workflow(leaf)

    @world.define
    async def top(step: Any) -> None:
        await step.run_workflow(middle)

    error = error_of(top.start())
    assert error.error.type == "KeyError"
    assert isinstance(error.__cause__, KeyError)


def test_a_child_that_is_canceled_raises_step_canceled(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def parent(step: Any) -> str:
        try:
            await step.run_workflow(child)
        except StepFailed:
            return "wrong"
        except StepCanceled:
            return "canceled"
        return "done"

    run = parent.start()
    world.wf.cancel(child_of(world))
    assert run.result(10) == "canceled"


def test_a_canceled_child_that_nobody_catches_fails_the_parent(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def parent(step: Any) -> None:
        await step.run_workflow(child)

    run = parent.start()
    world.wf.cancel(child_of(world))
    assert error_of(run).error.type == "StepCanceled"
    assert run.status().type == "failed"


def test_bad_arguments_for_a_child_are_refused_at_the_call(world: World) -> None:
    @world.define
    async def child(step: Any, n: int) -> int:
        return n

    @world.define
    async def parent(step: Any) -> str:
        try:
            await step.run_workflow(child, "many")
        except InvalidArguments:
            return "refused"
        return "taken"

    run = parent.start()
    assert run.result(10) == "refused"
    assert run.steps() == []
    assert len(world.wf.list().items) == 1


def test_an_inline_child_is_refused_at_the_call(world: World) -> None:
    @world.define
    async def child(step: Any) -> None: ...

    @world.define
    async def parent(step: Any) -> str:
        try:
            await step.options(inline=True).run_workflow(child)
        except OptionError:
            return "refused"
        return "taken"

    run = parent.start()
    assert run.result(10) == "refused"
    assert run.steps() == []


@pytest.mark.parametrize("delay", [3600, timedelta(hours=1)])
def test_run_after_delays_a_child(world: World, delay: Any) -> None:
    @world.define
    async def child(step: Any) -> float:
        return step.now().timestamp()

    @world.define
    async def parent(step: Any) -> float:
        return await step.options(run_after=delay).run_workflow(child)

    began = world.clock.now().timestamp()
    assert parent.start().result(10) == began + 3600


def test_run_at_delays_a_child_even_across_a_crash(world: World) -> None:
    when = world.clock.now() + timedelta(days=1)

    @world.define
    async def child(step: Any) -> str:
        world.note("child")
        return step.now().isoformat()

    @world.define
    async def parent(step: Any) -> str:
        return await step.options(run_at=when).run_workflow(child)

    world.hold_time()
    run = parent.start()
    child_of(world)
    world.wait_for_step(run, "child")
    world.crash(after_s=3600)
    assert world.calls == []
    world.let_time_go()
    assert world.again(run).result(10) == when.isoformat()
    assert len(world.wf.list_by_name("child").items) == 1


def test_children_run_side_by_side(world: World) -> None:
    @world.define
    async def child(step: Any, n: int) -> int:
        await step.sleep(100)
        return n

    @world.define
    async def parent(step: Any) -> list[Any]:
        began = step.now()
        found = await asyncio.gather(*(step.run_workflow(child, i) for i in range(5)))
        return [found, (step.now() - began).total_seconds()]

    assert parent.start().result(10) == [[0, 1, 2, 3, 4], 100]


@pytest.mark.parametrize("end", ["crash", "reopen"])
def test_parent_and_child_find_each_other_again(world: World, end: str) -> None:
    @world.define
    async def child(step: Any) -> Any:
        await step.run_action(world.note, "before")
        told = await step.await_event("up")
        return [told, await step.run_action(world.note, "after")]

    @world.define
    async def parent(step: Any) -> Any:
        return await step.run_workflow(child)

    run = parent.start()
    child_id = child_of(world)
    until(lambda: world.running(child_id) == ["up"])
    for _ in range(3):
        getattr(world, end)()
        run = world.again(run)
        until(lambda: world.running(child_id) == ["up"])
        assert [s.child_run_id for s in run.steps()] == [child_id]
    world.wf.send_event("up", 1, run=child_id)
    assert run.result(10) == [1, "after"]
    assert world.calls == ["before", "after"]
    assert len(world.wf.list().items) == 2


@pytest.mark.parametrize("how", ["result", "failure", "cancel"])
def test_a_child_that_ends_before_its_parent_is_defined_again_is_not_lost(world: World, how: str) -> None:
    async def child(step: Any) -> Any:
        told = await step.await_event("up")
        if told == "bad":
            raise ValueError(told)
        return told

    async def parent(step: Any) -> Any:
        try:
            return await step.run_workflow("child")
        except (StepFailed, StepCanceled) as exc:
            return type(exc).__name__

    world.define(child)
    run = world.define(parent).start()
    child_id = child_of(world)
    world.wait_for_step(run, "child")
    world.forget()
    world.crash()
    world.define(child)
    until(lambda: world.running(child_id) == ["up"])
    if how == "cancel":
        world.wf.cancel(child_id)
    else:
        world.wf.send_event("up", "good" if how == "result" else "bad", run=child_id)
    until(lambda: world.wf.status(child_id).type != "in_progress")
    world.define(parent)
    run = world.again(run)
    assert run.result(10) == {"result": "good", "failure": "StepFailed", "cancel": "StepCanceled"}[how]
    assert len(world.wf.list().items) == 2


def test_a_child_whose_definition_comes_back_later_goes_on(world: World) -> None:
    async def child(step: Any) -> Any:
        return await step.await_event("up")

    async def parent(step: Any) -> Any:
        return await step.run_workflow("child")

    world.define(child)
    run = world.define(parent).start()
    child_id = child_of(world)
    world.wait_for_step(run, "child")
    world.forget()
    world.crash()
    run = world.again(run)
    world.wf.send_event("up", 3, run=child_id)
    world.define(child)
    world.define(parent)
    assert run.result(10) == 3


def test_a_parent_whose_child_is_defined_after_it_waits_for_that_definition(world: World) -> None:
    async def child(step: Any) -> Any:
        return await step.run_action(world.note, "child")

    async def parent(step: Any) -> Any:
        try:
            first = await step.run_workflow("child")
        except BaseException as exc:
            return f"the body saw {exc!r}"
        return [first, await step.await_event("go")]

    world.define(child)
    run = world.define(parent).start()
    world.wait_for_step(run, "go")
    world.forget()
    world.crash()
    run = world.again(run)
    world.define(parent)
    run.send_event("go", 1)
    assert run.status().type == "in_progress"
    assert "'child'" in (run.status().waiting_for or "")
    with pytest.raises(DefinitionError):
        world.wf.verify(run)
    world.define(child)
    assert run.result(10) == ["child", 1]
    assert world.calls == ["child"]


def test_a_child_that_the_body_gives_up_is_canceled(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def parent(step: Any) -> str:
        try:
            await asyncio.wait_for(step.run_workflow(child), 60)
        except TimeoutError:
            return "gave up"
        return "done"

    world.hold_time()
    run = parent.start()
    child_id = child_of(world)
    world.clock.advance(100)
    assert run.result(10) == "gave up"
    until(lambda: world.wf.status(child_id).type == "canceled")


def test_a_parent_that_fails_cancels_its_other_children(world: World) -> None:
    @world.define
    async def waits(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def fails(step: Any) -> None:
        await step.await_event("now")
        raise ValueError("no")

    @world.define
    async def parent(step: Any) -> None:
        await asyncio.gather(step.run_workflow(waits), step.run_workflow(fails))

    run = parent.start()
    waiting, failing = child_of(world, "waits"), child_of(world, "fails")
    world.wf.send_event("now", run=failing)
    error_of(run)
    until(lambda: world.wf.status(waiting).type == "canceled")
    assert world.statuses(run) == ["canceled", "failed"]


def test_a_child_under_an_id_of_its_own_keeps_it(world: World) -> None:
    @world.define
    async def child(step: Any) -> str:
        return step.run_id

    @world.define
    async def parent(step: Any) -> str:
        return await step.run_workflow(child.options(id="my-child"))

    run = parent.start()
    assert run.result(10) == "my-child"
    assert run.steps()[0].child_run_id == "my-child"


def test_a_child_has_its_own_on_complete(world: World) -> None:
    world.wf.db.execute("CREATE TABLE ends (name VARCHAR)")

    def hook(db: Any, completion: Any) -> None:
        db.execute("INSERT INTO ends VALUES (?)", [completion.name])

    @world.define
    async def child(step: Any) -> int:
        return 1

    @world.define
    async def parent(step: Any) -> int:
        return await step.run_workflow(child.options(on_complete=hook))

    assert parent.start().result(10) == 1
    assert world.wf.db.execute("SELECT name FROM ends").fetchall() == [("child",)]


def test_children_of_children_are_restarted_where_they_failed(world: World) -> None:
    well: list[bool] = []

    def shaky() -> str:
        world.calls.append("shaky")
        if not well:
            raise ValueError("not well")
        return "well"

    @world.define
    async def leaf(step: Any) -> Any:
        await step.run_action(world.note, "leaf")
        return await step.run_action(shaky)

    @world.define
    async def middle(step: Any) -> Any:
        await step.run_action(world.note, "middle")
        return await step.run_workflow(leaf)

    @world.define
    async def top(step: Any) -> Any:
        return await step.run_workflow(middle)

    run = top.start()
    error_of(run)
    well.append(True)
    run.restart()
    assert run.result(10) == "well"
    assert world.calls == ["middle", "leaf", "shaky", "shaky"]
    assert len(world.wf.list().items) == 3


def test_a_hundred_children_survive_a_crash(world: World) -> None:
    @world.define
    async def child(step: Any, n: int) -> int:
        await step.run_action(world.note, n)
        await step.sleep(60)
        return n

    @world.define
    async def parent(step: Any) -> int:
        return sum(await asyncio.gather(*(step.run_workflow(child, i) for i in range(100))))

    world.hold_time()
    run = parent.start()
    until(lambda: len(world.calls) == 100)
    until(lambda: len(world.wf.db.execute("SELECT 1 FROM wf.steps WHERE kind = 'sleep'").fetchall()) == 100, 20)
    world.crash()
    world.let_time_go()
    assert world.again(run).result(30) == sum(range(100))
    assert sorted(world.calls) == list(range(100))
