"""restart: which steps are kept, which run again, what becomes of their events and children."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import RunActive, RunNotFound, StepCanceled, StepFailed, StepNotFound

FLAGS: dict[str, bool] = {}
CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    FLAGS.clear()
    CALLS.clear()


def ok(x: Any = None) -> Any:
    CALLS.append(x)
    return x


def shaky(x: Any = None) -> Any:
    CALLS.append(x)
    if not FLAGS.get("well"):
        raise ValueError(f"bad {x}")
    return x


def get_well() -> None:
    FLAGS["well"] = True


def test_none_runs_the_failed_step_again_and_nothing_else(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, "a"), await step.run_action(shaky, "b"), await step.run_action(ok, "c")]

    run = flow.start()
    error_of(run)
    get_well()
    assert run.restart() is run
    assert run.result(10) == ["a", "b", "c"]
    assert CALLS == ["a", "b", "b", "c"]
    assert run.status().type == "completed"


def test_none_keeps_a_failure_that_a_later_step_followed(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.run_action(shaky, "first")
        except StepFailed:
            await step.run_action(ok, "repair")
        return await step.run_action(shaky, "last")

    run = flow.start()
    error_of(run)
    get_well()
    run.restart()
    assert run.result(10) == "last"
    assert CALLS == ["first", "repair", "last", "last"]
    assert world.statuses(run) == ["failed", "success", "success"]


def test_none_runs_again_every_failed_step_that_nothing_followed(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        found = await asyncio.gather(*(step.run_action(shaky, i) for i in range(3)), return_exceptions=True)
        if any(isinstance(f, Exception) for f in found):
            raise RuntimeError("not all")
        return found

    run = flow.start()
    error_of(run)
    get_well()
    run.restart()
    assert run.result(10) == [0, 1, 2]
    assert sorted(CALLS) == [0, 0, 1, 1, 2, 2]


def test_none_on_a_completed_run_runs_nothing_again(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        try:
            await step.run_action(shaky, 1)
        except StepFailed:
            pass
        return await step.run_action(ok, 2)

    run = flow.start()
    assert run.result(10) == 2
    steps = run.steps()
    get_well()
    run.restart()
    assert run.result(10) == 2
    assert CALLS == [1, 2]
    assert run.steps() == steps


def test_none_on_a_completed_run_keeps_even_a_failure_at_its_end(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        try:
            return await step.run_action(shaky, 1)
        except StepFailed:
            return "caught"

    run = flow.start()
    assert run.result(10) == "caught"
    get_well()
    run.restart()
    assert run.result(10) == "caught"
    assert CALLS == [1]


def test_none_on_a_completed_run_keeps_its_canceled_steps(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        tasks = [asyncio.create_task(step.run_action(ok, 1)), asyncio.create_task(step.await_event("never"))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return "first"

    run = flow.start()
    assert run.result(10) == "first"
    run.restart()
    assert run.result(10) == "first"
    assert CALLS == [1]
    assert world.statuses(run) == ["success", "canceled"]


def test_none_after_a_cancel_during_a_step_runs_that_step_again(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, "a"), await step.await_event("go"), await step.run_action(ok, "z")]

    run = flow.start()
    world.wait_for_step(run, "go")
    run.cancel()
    assert run.status().type == "canceled"
    run.restart()
    assert run.status().type == "in_progress"
    run.send_event("go", 5)
    assert run.result(10) == ["a", 5, "z"]
    assert CALLS == ["a", "z"]


def test_none_after_a_cancel_with_cleanup_forgets_the_cleanup(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        try:
            return [await step.run_action(ok, "a"), await step.await_event("go")]
        except asyncio.CancelledError:
            await step.run_action(ok, "cleanup")
            raise

    run = flow.start()
    world.wait_for_step(run, "go")
    run.cancel()
    until(lambda: run.status().type == "canceled")
    run.restart()
    run.send_event("go", 5)
    assert run.result(10) == ["a", 5]
    assert CALLS == ["a", "cleanup"]


def test_none_on_a_failure_of_the_body_itself_replays_it(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        await step.run_action(ok, 1)
        if not FLAGS.get("well"):
            raise ValueError("the body")
        return "fine"

    run = flow.start()
    assert error_of(run).error.message == "the body"
    get_well()
    run.restart()
    assert run.result(10) == "fine"
    assert CALLS == [1]


def test_a_number_drops_that_step_and_later_ones(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, i) for i in range(4)]

    run = flow.start()
    run.result(10)
    run.restart(from_step=2)
    assert run.result(10) == [0, 1, 2, 3]
    assert CALLS == [0, 1, 2, 3, 2, 3]


def test_zero_runs_everything_again(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, i) for i in range(2)]

    run = flow.start()
    run.result(10)
    run.restart(from_step=0)
    assert run.result(10) == [0, 1]
    assert CALLS == [0, 1, 0, 1]


@pytest.mark.parametrize("by", ["name", "function"])
def test_a_name_or_a_function_means_its_last_occurrence(world: World, by: str) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [
            await step.run_action(ok, 0), await step.run_action(shaky, 1),
            await step.run_action(ok, 2), await step.run_action(shaky, 3),
        ]  # fmt: skip

    get_well()
    run = flow.start()
    run.result(10)
    run.restart(from_step="ok" if by == "name" else ok)
    assert run.result(10) == [0, 1, 2, 3]
    assert CALLS == [0, 1, 2, 3, 2, 3]


def test_a_name_given_by_options_is_the_steps_name(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.options(name="fetch").run_action(ok, 0)
        await step.options(name="store").run_action(ok, 1)

    run = flow.start()
    run.result(10)
    run.restart(from_step="store")
    run.result(10)
    assert CALLS == [0, 1, 1]


@pytest.mark.parametrize("unknown", ["nope", -1, 3, 100, shaky])
def test_an_unknown_step_leaves_the_state_untouched(world: World, unknown: Any) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, i) for i in range(3)]

    run = flow.start()
    run.result(10)
    before = world.rows()
    with pytest.raises(StepNotFound) as caught:
        run.restart(from_step=unknown)
    assert run.id in str(caught.value)
    assert isinstance(caught.value, LookupError)
    assert world.rows() == before
    assert run.status().type == "completed"


def test_a_running_run_is_not_restarted(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    run = flow.start()
    for from_step in (None, 0, "changed"):
        with pytest.raises(RunActive) as caught:
            run.restart(from_step=from_step)
        assert run.id in str(caught.value)
    run.send_event("go")
    run.result(10)


def test_an_unknown_run_is_not_restarted(world: World) -> None:
    with pytest.raises(RunNotFound):
        world.wf.restart("nobody")


def test_dropped_rows_are_kept_under_their_generation(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, i) for i in range(3)]

    run = flow.start()
    run.result(10)
    run.restart(from_step=1)
    run.result(10)
    run.restart(from_step=2)
    run.result(10)
    assert [(s.step_number, s.generation) for s in run.steps()] == [(0, 0), (1, 1), (2, 2)]
    assert world.wf.list().items[0].generation == 2
    kept = "SELECT step_number, generation, status FROM wf.steps WHERE run_id = ? ORDER BY ALL"
    assert world.wf.db.execute(kept, [run.id]).fetchall() == [
        (0, 0, "success"),
        (1, 0, "success"),
        (1, 1, "success"),
        (2, 0, "success"),
        (2, 1, "success"),
        (2, 2, "success"),
    ]


def test_the_generation_does_not_grow_without_from_step(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.run_action(shaky, 1)

    run = flow.start()
    error_of(run)
    run.restart()
    error_of(run)
    assert world.wf.list().items[0].generation == 0
    run.restart(from_step=0)
    error_of(run)
    assert world.wf.list().items[0].generation == 1


def test_the_event_of_a_dropped_step_is_dropped_with_it(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.await_event("go"), await step.await_event("go")]

    run = flow.start()
    run.send_event("go", 1)
    run.send_event("go", 2)
    assert run.result(10) == [1, 2]
    run.restart(from_step=1)
    until(lambda: world.running(run) == ["go"])
    run.send_event("go", 3)
    assert run.result(10) == [1, 3]


def test_an_event_that_nobody_used_outlives_a_restart(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        await step.run_action(shaky, 0)
        return [await step.await_event("go")]

    gate = world.gate()

    @world.define
    async def flow2(step: Any) -> list[Any]:
        await step.run_action(held, 0)
        return [await step.await_event("go")]

    def held(x: int) -> None:
        gate.wait(10)
        shaky(x)

    run = flow2.start()
    run.send_event("go", "kept")
    gate.set()
    error_of(run)
    get_well()
    run.restart(from_step=0)
    assert run.result(10) == ["kept"]


def test_a_restarted_run_survives_a_crash(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        found = [await step.run_action(ok, "a"), await step.run_action(shaky, "b")]
        return [*found, await step.await_event("go"), await step.run_action(ok, "c")]

    run = flow.start()
    error_of(run)
    get_well()
    run.restart()
    world.wait_for_step(run, "go")
    world.crash()
    run = world.again(run)
    run.send_event("go", 1)
    assert run.result(10) == ["a", "b", 1, "c"]
    run.restart(from_step=1)
    world.wait_for_step(run, "go")
    world.reopen()
    run = world.again(run)
    run.send_event("go", 2)
    assert run.result(10) == ["a", "b", 2, "c"]
    assert CALLS == ["a", "b", "b", "c", "b", "c"]


def test_a_restart_from_the_first_step_survives_a_crash_though_the_body_began_later(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        began = step.now().isoformat()
        await step.run_action(ok, began)
        await step.sleep(10)
        return [began, await step.await_event("go")]

    run = flow.start()
    world.wait_for_step(run, "go")
    run.cancel()
    world.crash(after_s=5000)
    run = world.again(run)
    run.restart(from_step=0)
    world.wait_for_step(run, "go")
    assert len(set(CALLS)) == 2, "its time is that of its second beginning"
    world.crash(after_s=5000)
    run = world.again(run)
    run.send_event("go", 1)
    assert run.result(10) == [CALLS[1], 1]
    world.wf.verify(run)
    run.restart()
    assert run.result(10) == [CALLS[1], 1]


def test_a_restart_is_acknowledged_only_once_it_is_on_disk(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        await step.run_action(shaky, 1)
        return await step.await_event("go")

    run = flow.start()
    error_of(run)
    get_well()
    run.restart()
    world.crash()
    run = world.again(run)
    assert run.status().type == "in_progress"
    run.send_event("go", "x")
    assert run.result(10) == "x"


def changing_v1(world: World) -> Any:
    def helper(x: int) -> int:
        CALLS.append("v1")
        return x

    async def flow(step: Any) -> list[int]:
        return [await step.run_action(ok, 1), await step.run_action(helper, 2), await step.run_action(ok, 3)]

    return world.define(flow)


def changing_v2(world: World) -> Any:
    def helper(x: int) -> int:
        CALLS.append("v2")
        return x * 100

    async def flow(step: Any) -> list[int]:
        return [await step.run_action(ok, 1), await step.run_action(helper, 2), await step.run_action(ok, 3)]

    return world.define(flow)


def test_changed_runs_again_from_the_first_step_whose_function_changed(world: World) -> None:
    run = changing_v1(world).start()
    assert run.result(10) == [1, 2, 3]
    changing_v2(world)
    CALLS.clear()
    run.restart(from_step="changed")
    assert run.result(10) == [1, 200, 3]
    assert CALLS == ["v2", 3]


def test_changed_runs_again_from_the_first_step_whose_arguments_changed(world: World) -> None:
    factor = [1]

    @world.define
    async def flow(step: Any) -> list[int]:
        return [await step.run_action(ok, 1), await step.run_action(ok, 2 * factor[0]), await step.run_action(ok, 3)]

    run = flow.start()
    run.result(10)
    factor[0] = 10
    CALLS.clear()
    run.restart(from_step="changed")
    assert run.result(10) == [1, 20, 3]
    assert CALLS == [20, 3]


def test_changed_after_a_failure_runs_the_failed_step_again_though_nothing_changed(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, 1), await step.run_action(shaky, 2)]

    run = flow.start()
    error_of(run)
    get_well()
    run.restart(from_step="changed")
    assert run.result(10) == [1, 2]
    assert CALLS == [1, 2, 2]


def test_changed_without_a_change_runs_nothing_again(world: World) -> None:
    run = changing_v1(world).start()
    run.result(10)
    CALLS.clear()
    run.restart(from_step="changed")
    assert run.result(10) == [1, 2, 3]
    assert CALLS == []


def test_changed_repairs_a_run_that_no_longer_replays(world: World) -> None:
    async def before(step: Any) -> list[int]:
        return [await step.run_action(ok, 1), await step.run_action(ok, 2)]

    async def after(step: Any) -> list[int]:
        return [await step.run_action(ok, 1), await step.sleep(5), await step.run_action(ok, 2)]

    run = world.define(before, name="flow").start()
    run.result(10)
    world.define(after, name="flow")
    CALLS.clear()
    run.restart(from_step="changed")
    assert run.result(10) == [1, None, 2]
    assert CALLS == [2]


def test_a_step_left_over_by_an_edit_is_dropped_by_changed(world: World) -> None:
    async def before(step: Any) -> list[int]:
        return [await step.run_action(ok, 1), await step.run_action(ok, 2)]

    async def after(step: Any) -> list[int]:
        return [await step.run_action(ok, 1)]

    run = world.define(before, name="flow").start()
    run.result(10)
    world.define(after, name="flow")
    run.restart(from_step="changed")
    assert run.result(10) == [1]
    assert len(run.steps()) == 1


def test_a_mutation_that_is_restarted_writes_again(world: World) -> None:
    world.wf.db.execute("CREATE TABLE notes (x INTEGER)")

    def write(db: Any) -> int:
        db.execute("INSERT INTO notes VALUES (1)")
        return db.execute("SELECT count(*) FROM notes").fetchall()[0][0]

    @world.define
    async def flow(step: Any) -> int:
        return await step.run_mutation(write)

    run = flow.start()
    assert run.result(10) == 1
    run.restart(from_step=0)
    assert run.result(10) == 2


def test_the_idempotency_key_of_a_step_that_is_run_anew_is_another(world: World) -> None:
    from wfkernel import current_step

    def key() -> str:
        return current_step().idempotency_key

    @world.define
    async def flow(step: Any) -> list[str]:
        return [await step.run_action(key), await step.run_action(key)]

    run = flow.start()
    first = run.result(10)
    run.restart(from_step=1)
    second = run.result(10)
    assert first[0] == second[0]
    assert len({*first, *second}) == 3


def test_who_waits_sees_the_new_end_after_a_restart(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.run_action(shaky, 1)

    run = flow.start()
    assert error_of(run).error.message == "bad 1"
    get_well()
    run.restart()
    assert run.result(10) == 1
    status = run.status()
    assert (status.type, status.result, status.error) == ("completed", 1, None)


def test_a_restarted_child_step_begins_a_new_child(world: World) -> None:
    @world.define
    async def child(step: Any) -> Any:
        return await step.run_action(ok, "child")

    @world.define
    async def parent(step: Any) -> Any:
        return await step.run_workflow(child)

    run = parent.start()
    run.result(10)
    first = run.steps()[0].child_run_id
    run.restart(from_step=0)
    run.result(10)
    assert CALLS == ["child", "child"]
    assert run.steps()[0].child_run_id != first


def test_restart_of_a_parent_goes_on_with_its_failed_child(world: World) -> None:
    @world.define
    async def child(step: Any) -> list[Any]:
        return [await step.run_action(ok, "done before"), await step.run_action(shaky, "b")]

    @world.define
    async def parent(step: Any) -> Any:
        return await step.run_workflow(child)

    run = parent.start()
    assert error_of(run).error.type == "ValueError"
    get_well()
    run.restart()
    assert run.result(10) == ["done before", "b"]
    assert CALLS.count("b") == 2


def test_restart_of_a_canceled_parent_finishes(world: World) -> None:
    @world.define
    async def child(step: Any) -> Any:
        return await step.await_event("up")

    @world.define
    async def parent(step: Any) -> Any:
        return await step.run_workflow(child)

    run = parent.start()
    child_id = until(lambda: run.steps() and run.steps()[0].child_run_id)
    until(lambda: world.wf.list().items[0].run_id == child_id)
    run.cancel()
    until(lambda: world.wf.status(child_id).type == "canceled")
    run.restart()
    child_id = until(lambda: run.steps()[0].child_run_id)
    until(lambda: world.wf.status(child_id).type == "in_progress")
    world.wf.send_event("up", 9, run=child_id)
    assert run.result(10) == 9


def test_a_child_that_was_canceled_alone_fails_its_parent_and_a_restart_goes_on(world: World) -> None:
    @world.define
    async def child(step: Any) -> Any:
        return await step.await_event("up")

    @world.define
    async def parent(step: Any) -> Any:
        try:
            return await step.run_workflow(child)
        except StepCanceled:
            await step.run_action(ok, "noticed")
            raise

    run = parent.start()
    child_id = until(lambda: run.steps() and run.steps()[0].child_run_id)
    until(lambda: world.wf.list().items[0].run_id == child_id)
    world.wf.cancel(child_id)
    assert error_of(run).error.type == "StepCanceled"
    run.restart(from_step=0)
    child_id = until(lambda: run.steps() and run.steps()[0].child_run_id)
    until(lambda: world.wf.status(child_id).type == "in_progress")
    world.wf.send_event("up", 9, run=child_id)
    assert run.result(10) == 9
