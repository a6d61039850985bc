"""on_complete: a mutation in the transaction of the end."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import OptionError, RunNotFound, WfkernelError, action, mutation, query

FLAGS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def table(world: World) -> None:
    FLAGS.clear()
    world.wf.db.execute("CREATE TABLE ends (run_id VARCHAR, kind VARCHAR, value VARCHAR)")


def write_down(db: Any, completion: Any) -> None:
    db.execute("INSERT INTO ends VALUES (?, ?, ?)", [completion.run_id, completion.result.kind, repr(completion.result.value)])


def fragile(db: Any, completion: Any) -> None:
    write_down(db, completion)
    if not FLAGS.get("well"):
        raise ValueError("the hook broke")


def ends(world: World) -> list[Any]:
    return world.wf.db.execute("SELECT kind, value FROM ends").fetchall()


def working(world: World) -> Any:
    @world.define(name="working")
    async def flow(step: Any, n: int = 1) -> int:
        return await step.run_action(world.note, n)

    return flow


def test_it_is_told_of_a_success(world: World) -> None:
    seen: list[Any] = []

    def hook(db: Any, completion: Any) -> None:
        seen.append(completion)
        write_down(db, completion)

    run = working(world).options(on_complete=hook, context={"for": [1, 2]}).start(7)
    assert run.result(10) == 7
    (completion,) = seen
    assert (completion.run_id, completion.name, completion.context) == (run.id, "working", {"for": [1, 2]})
    assert (completion.result.kind, completion.result.value, completion.result.error) == ("success", 7, None)
    assert ends(world) == [("success", "7")]


def test_it_is_told_of_a_failure(world: World) -> None:
    seen: list[Any] = []

    def hook(db: Any, completion: Any) -> None:
        seen.append(completion)

    @world.define
    async def flow(step: Any) -> None:
        raise KeyError("gone")

    run = flow.options(on_complete=hook).start()
    error_of(run)
    (completion,) = seen
    assert (completion.result.kind, completion.result.value) == ("failed", None)
    assert completion.result.error.type == "KeyError"
    assert completion.context is None


def test_it_is_told_of_a_cancel(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    run = flow.options(on_complete=write_down).start()
    run.cancel()
    assert run.status().type == "canceled"
    assert ends(world) == [("canceled", "None")]


def test_it_sees_what_the_run_wrote_and_its_writes_are_there_when_the_result_is(world: World) -> None:
    world.wf.db.execute("CREATE TABLE notes (x INTEGER)")

    def hook(db: Any, completion: Any) -> None:
        count = db.execute("SELECT count(*) FROM notes").fetchall()[0][0]
        db.execute("INSERT INTO ends VALUES (?, 'count', ?)", [completion.run_id, str(count)])

    def write(db: Any) -> None:
        db.execute("INSERT INTO notes VALUES (1), (2)")

    @world.define
    async def flow(step: Any) -> None:
        await step.run_mutation(write)

    flow.options(on_complete=hook).start().result(10)
    assert ends(world) == [("count", "2")]


def test_a_hook_that_raises_has_its_writes_undone_and_the_status_stands(world: World) -> None:
    run = working(world).options(on_complete=fragile).start(3)
    assert run.result(10) == 3
    assert run.status().type == "completed"
    assert ends(world) == []
    (failure,) = world.wf.list_failures()
    assert failure.run_id == run.id
    assert (failure.error.type, failure.error.message) == ("ValueError", "the hook broke")


def test_a_failed_hook_can_be_run_again(world: World) -> None:
    run = working(world).options(on_complete=fragile).start(3)
    run.result(10)
    with pytest.raises(ValueError, match="the hook broke"):
        world.wf.retry_on_complete(run)
    assert len(world.wf.list_failures()) == 1
    assert ends(world) == []
    FLAGS["well"] = True
    assert world.wf.retry_on_complete(run.id) is None
    assert ends(world) == [("success", "3")]
    assert world.wf.list_failures() == []
    with pytest.raises(OptionError):
        world.wf.retry_on_complete(run)
    assert ends(world) == [("success", "3")]


def test_a_failed_hook_is_listed_and_run_again_after_a_crash(world: World) -> None:
    run = working(world).options(on_complete=fragile, context="ctx").start(3)
    run.result(10)
    world.crash()
    assert [f.run_id for f in world.wf.list_failures()] == [run.id]
    FLAGS["well"] = True
    world.wf.retry_on_complete(run.id)
    assert ends(world) == [("success", "3")]
    world.crash()
    assert world.wf.list_failures() == []


def test_only_failed_hooks_are_run_again(world: World) -> None:
    run = working(world).options(on_complete=write_down).start()
    run.result(10)
    with pytest.raises(WfkernelError):
        world.wf.retry_on_complete(run)
    without = working(world).start()
    without.result(10)
    with pytest.raises(WfkernelError):
        world.wf.retry_on_complete(without)
    with pytest.raises(RunNotFound):
        world.wf.retry_on_complete("nobody")
    assert len(ends(world)) == 1


@mutation(name="registered-hook")
def registered(db: Any, completion: Any) -> None:
    write_down(db, completion)


@pytest.mark.parametrize("hook", [write_down, registered], ids=["by module and name", "by registered name"])
def test_it_is_found_again_after_a_crash(world: World, hook: Any) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.await_event("go")

    run = flow.options(on_complete=hook).start()
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go", 5)
    assert run.result(10) == 5
    assert ends(world) == [("success", "5")]


def test_a_hook_that_cannot_be_found_is_a_listed_failure(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.await_event("go")

    @mutation(name="a-hook-of-this-test")
    def hook(db: Any, completion: Any) -> None:
        write_down(db, completion)

    run = flow.options(on_complete=hook).start()
    world.wait_for_step(run, "go")
    world.die()
    from wfkernel.model import functions

    for registry in vars(functions).values():
        if isinstance(registry, dict) and "a-hook-of-this-test" in registry:
            del registry["a-hook-of-this-test"]
    del hook
    world.open_again()
    run = world.again(run)
    run.send_event("go", 5)
    assert run.result(10) == 5
    failures = world.wf.list_failures()
    if failures:  # else it was still found by its place
        assert failures[0].run_id == run.id

        @mutation(name="a-hook-of-this-test")
        def hook_again(db: Any, completion: Any) -> None:
            write_down(db, completion)

        world.wf.retry_on_complete(run)
    assert ends(world) == [("success", "5")]


def test_it_is_called_again_after_a_restart(world: World) -> None:
    def shaky() -> int:
        if not FLAGS.get("well"):
            raise ValueError("bad")
        return 9

    @world.define
    async def flow(step: Any) -> int:
        return await step.run_action(shaky)

    run = flow.options(on_complete=write_down).start()
    error_of(run)
    FLAGS["well"] = True
    run.restart()
    assert run.result(10) == 9
    assert ends(world) == [("failed", "None"), ("success", "9")]


def test_a_restart_takes_the_old_failure_off_the_list(world: World) -> None:
    run = working(world).options(on_complete=fragile).start()
    run.result(10)
    assert len(world.wf.list_failures()) == 1
    FLAGS["well"] = True
    run.restart(from_step=0)
    run.result(10)
    assert world.wf.list_failures() == []
    assert len(ends(world)) == 1


def test_a_crash_in_the_hook_leaves_neither_its_writes_nor_the_end(world: World) -> None:
    gate = world.gate()
    calls: list[int] = []

    def slow(db: Any, completion: Any) -> None:
        write_down(db, completion)
        calls.append(1)
        if len(calls) == 1:
            gate.wait(10)

    run = working(world).options(on_complete=slow).start(4)
    until(lambda: calls)
    assert run.status().type == "in_progress"
    world.die()
    gate.set()
    world.open_again()
    run = world.again(run)
    assert run.result(10) == 4
    assert ends(world) == [("success", "4")]
    assert world.calls == [4]


def test_a_value_of_the_context_is_what_was_given(world: World) -> None:
    seen: list[Any] = []

    def hook(db: Any, completion: Any) -> None:
        seen.append(completion.context)

    working(world).options(on_complete=hook, context=(1, {"a": 2.5})).start().result(10)
    assert seen == [(1, {"a": 2.5})]
    assert world.wf.list().items[0].context is not None


@pytest.mark.parametrize("bad", ["name", 5])
def test_something_else_is_no_hook(world: World, bad: Any) -> None:
    with pytest.raises(OptionError):
        working(world).options(on_complete=bad)


def test_a_hook_that_cannot_be_called_as_one_is_refused_at_once(world: World) -> None:
    flow = working(world)
    with pytest.raises(OptionError, match="does not take"):
        flow.options(on_complete=lambda db: None)
    with pytest.raises(OptionError, match="declared as query"):
        flow.options(on_complete=query(write_down))
    with pytest.raises(OptionError, match="declared as action"):
        flow.options(on_complete=action(write_down))


def test_an_async_hook_is_run_to_its_end(world: World) -> None:
    async def hook(db: Any, completion: Any) -> None:
        write_down(db, completion)

    working(world).options(on_complete=hook).start(2).result(10)
    assert ends(world) == [("success", "2")]
