"""cleanup: what goes, what stays, and what is not there."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import EventNotFound, RunNotFound

LARGE = 3_000_000


def side_files(world: World) -> list[Path]:
    return [
        p for p in world.path.parent.rglob("*") if p.is_file() and p.stat().st_size >= LARGE // 3 and "files" in p.parent.name
    ]


def quick(world: World) -> Any:
    @world.define(name="quick")
    async def flow(step: Any, n: int = 1) -> int:
        return await step.run_action(world.note, n)

    return flow


def patient(world: World) -> Any:
    @world.define(name="patient")
    async def flow(step: Any) -> Any:
        return await step.await_event("go")

    return flow


def rows_of(world: World, run_id: str) -> list[int]:
    count = "SELECT count(*) FROM wf.{} WHERE run_id = ?"
    return [world.wf.db.execute(count.format(t), [run_id]).fetchall()[0][0] for t in ("runs", "steps", "events")]


def test_an_ended_run_is_gone(world: World) -> None:
    run = patient(world).start()
    run.send_event("other", 1)
    run.send_event("go", 2)
    run.result(10)
    other = quick(world).start()
    other.result(10)
    assert world.wf.cleanup(run) is True
    assert rows_of(world, run.id) == [0, 0, 0]
    assert [r.run_id for r in world.wf.list().items] == [other.id]
    for look in (
        lambda: run.status(),
        lambda: run.steps(),
        lambda: run.result(1),
        lambda: world.wf.get(run.id),
        lambda: world.wf.status(run.id),
        lambda: run.restart(),
        lambda: run.fork(),
        lambda: run.plan(),
        lambda: world.wf.list_steps(run.id),
        lambda: run.cancel(),
        lambda: run.send_event("go"),
    ):
        with pytest.raises(RunNotFound) as caught:
            look()
        assert run.id in str(caught.value)
    assert other.status().type == "completed"


def test_failed_and_canceled_runs_go_too(world: World) -> None:
    @world.define
    async def bad(step: Any) -> None:
        raise ValueError

    failed, canceled = bad.start(), patient(world).start()
    error_of(failed)
    canceled.cancel()
    assert [world.wf.cleanup(failed), world.wf.cleanup(canceled.id)] == [True, True]
    assert world.wf.list().items == []


def test_an_unknown_run_is_false(world: World) -> None:
    assert world.wf.cleanup("nobody") is False
    run = quick(world).start()
    run.result(10)
    assert [world.wf.cleanup(run.id), world.wf.cleanup(run.id)] == [True, False]


def test_the_handle_of_a_run_that_is_gone_is_false_too(world: World) -> None:
    run = quick(world).start()
    run.result(10)
    assert [world.wf.cleanup(run), world.wf.cleanup(run)] == [True, False]


def test_a_run_in_progress_is_false_and_goes_on(world: World) -> None:
    run = patient(world).start()
    before = world.rows()
    assert world.wf.cleanup(run) is False
    assert world.rows()[: len(before)] == before
    run.send_event("go", 1)
    assert run.result(10) == 1


def test_force_ends_a_run_in_progress_without_a_trace(world: World) -> None:
    gate = world.gate()

    @world.define
    async def flow(step: Any) -> Any:
        await step.run_action(lambda: gate.wait(10))
        return await step.run_action(world.note, "next")

    run = flow.start()
    until(lambda: world.running(run))
    assert world.wf.cleanup(run, force=True) is True
    gate.set()
    until(lambda: not world.wf._engine.attempts.running)
    assert world.wf.list().items == []
    assert rows_of(world, run.id) == [0, 0, 0]
    assert world.calls == []
    world.crash()
    assert world.wf.list().items == []
    assert world.rows() == []


def test_who_waits_for_a_run_that_is_forced_out_is_told(world: World) -> None:
    import threading

    run = patient(world).start()
    told: list[Any] = []

    def wait() -> None:
        try:
            run.result(10)
        except Exception as exc:
            told.append(type(exc))

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: any(r.waiters for r in world.wf._engine.runs.values()))
    world.wf.cleanup(run, force=True)
    thread.join(10)
    assert told == [RunNotFound]


def test_children_go_with_their_parent(world: World) -> None:
    @world.define
    async def leaf(step: Any) -> int:
        return await step.run_action(world.note, 1)

    @world.define
    async def middle(step: Any) -> int:
        return await step.run_workflow(leaf)

    @world.define
    async def top(step: Any) -> int:
        return await step.run_workflow(middle)

    run = top.start()
    run.result(10)
    run.restart(from_step=0)
    run.result(10)
    assert len(world.wf.list().items) == 5
    assert world.wf.cleanup(run) is True
    assert world.rows() == []


def test_children_in_progress_go_by_force(world: World) -> None:
    @world.define
    async def parent(step: Any) -> Any:
        return await step.run_workflow("patient")

    patient(world)
    run = parent.start()
    child = until(lambda: world.wf.list_by_name("patient").items)[0]
    until(lambda: run.steps()[0].child_run_id)
    assert world.wf.cleanup(run) is False
    assert world.wf.cleanup(run, force=True) is True
    assert world.wf.list().items == []
    assert rows_of(world, child.run_id) == [0, 0, 0]
    world.crash()
    assert world.wf.list().items == []


def test_a_parent_outlives_the_cleanup_of_its_child(world: World) -> None:
    @world.define
    async def parent(step: Any) -> Any:
        found = await step.run_workflow("quick")
        await step.await_event("go")
        return found

    quick(world)
    run = parent.start()
    world.wait_for_step(run, "go")
    assert world.wf.cleanup(run.steps()[0].child_run_id) is True
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == 1


def test_its_events_are_gone(world: World) -> None:
    run = patient(world).start()
    event_id = world.wf.create_event("other", run=run)
    run.send_event("go")
    run.result(10)
    world.wf.cleanup(run)
    with pytest.raises(EventNotFound):
        world.wf.send_event(event_id, 1)


def test_the_id_is_free_again(world: World) -> None:
    flow = quick(world)
    flow.options(id="job").start(1).result(10)
    assert world.wf.cleanup("job") is True
    assert flow.options(id="job").start(2).result(10) == 2
    assert world.calls == [1, 2]


def test_the_failure_of_its_hook_is_gone(world: World) -> None:
    def hook(db: Any, completion: Any) -> None:
        raise ValueError

    run = quick(world).options(on_complete=hook).start()
    run.result(10)
    assert len(world.wf.list_failures()) == 1
    world.wf.cleanup(run)
    assert world.wf.list_failures() == []


def large(tag: str) -> str:
    return tag * LARGE


def heavy(world: World) -> Any:
    @world.define(name="heavy")
    async def flow(step: Any, tag: str) -> int:
        return len(await step.run_action(large, tag))

    return flow


@pytest.mark.blocking_allowed("a replay reads side files where the body runs")
def test_side_files_that_nothing_refers_to_are_freed(world: World) -> None:
    flow = heavy(world)
    one, two, three = flow.start("a"), flow.start("a"), flow.start("b")
    assert [r.result(10) for r in (one, two, three)] == [LARGE] * 3
    assert len(side_files(world)) == 2
    world.wf.cleanup(one)
    assert len(side_files(world)) == 2, "another run refers to it"
    world.wf.cleanup(two)
    assert len(side_files(world)) == 1
    assert two not in world.wf.list().items
    assert len(three.steps()[0].result) == LARGE
    world.wf.cleanup(three)
    assert side_files(world) == []


@pytest.mark.blocking_allowed("a replay reads side files where the body runs")
def test_a_large_result_of_a_child_outlives_the_cleanup_of_the_child(world: World) -> None:
    @world.define
    async def child(step: Any) -> str:
        return "x" * LARGE

    @world.define
    async def parent(step: Any) -> int:
        text = await step.run_workflow(child)
        await step.await_event("go")
        return len(text)

    run = parent.start()
    world.wait_for_step(run, "go")
    assert world.wf.cleanup(run.steps()[0].child_run_id) is True
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == LARGE
    world.wf.cleanup(run)
    assert side_files(world) == []


def test_a_cleanup_is_on_disk_when_it_returns(world: World) -> None:
    run = quick(world).start()
    run.result(10)
    world.wf.cleanup(run)
    world.crash()
    assert world.rows() == []
    assert world.wf.list().items == []
