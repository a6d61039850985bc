"""cancel: the body's one CancelledError, its cleanup, its grace, and what becomes of steps, children and late results."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import EngineStopped, RunCanceled, RunNotActive, RunNotFound, StepCanceled, WorkflowManager, current_step, mutation

TERMINAL = {"success", "failed", "canceled"}


def test_the_status_is_canceled_when_cancel_returns(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    run = flow.start()
    until(lambda: world.running(run))
    assert run.cancel() is None
    status = run.status()
    assert (status.type, status.running, status.result, status.error) == ("canceled", [], None, None)
    assert world.statuses(run) == ["canceled"]
    with pytest.raises(RunCanceled) as caught:
        run.result(10)
    assert run.id in str(caught.value)


def test_a_second_cancel_names_the_run(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    run = flow.start()
    run.cancel()
    for again in (run.cancel, lambda: world.wf.cancel(run), lambda: world.wf.cancel(run.id)):
        with pytest.raises(RunNotActive) as caught:
            again()
        assert run.id in str(caught.value)


def test_a_second_cancel_during_the_cleanup_names_the_run(world: World) -> None:
    gate = world.gate()

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(lambda: gate.wait(10))

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    run.cancel()
    assert run.status().type == "in_progress"
    with pytest.raises(RunNotActive) as caught:
        run.cancel()
    assert run.id in str(caught.value)
    gate.set()
    until(lambda: run.status().type == "canceled")


def test_ended_and_unknown_runs_are_not_canceled(world: World) -> None:
    @world.define
    async def flow(step: Any) -> int:
        return 1

    run = flow.start()
    run.result(10)
    with pytest.raises(RunNotActive) as caught:
        run.cancel()
    assert run.id in str(caught.value)
    assert run.status().type == "completed"
    with pytest.raises(RunNotFound):
        world.wf.cancel("nobody")


def test_the_body_gets_one_cancelled_error_and_its_cleanup_steps_are_journaled(world: World) -> None:
    seen: list[str] = []

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.run_action(world.note, "work")
            await step.await_event("go")
        except asyncio.CancelledError:
            seen.append("cancelled")
            await step.run_action(world.note, "undo 1")
            await step.run_action(world.note, "undo 2")
            raise
        finally:
            await step.sleep(5)
            await step.run_action(world.note, "undo 3")

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    run.cancel()
    with pytest.raises(RunCanceled):
        run.result(10)
    assert world.calls == ["work", "undo 1", "undo 2", "undo 3"]
    assert world.statuses(run) == ["success", "canceled", "success", "success", "success", "success"]
    assert set(seen) == {"cancelled"}
    if world.replay == "on_recovery":
        assert seen == ["cancelled"]


def test_a_body_that_swallows_the_cancel_and_returns_is_canceled_all_the_same(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.await_event("go")
        except asyncio.CancelledError:
            pass
        return "ignored"

    run = flow.start()
    until(lambda: world.running(run))
    run.cancel()
    status = run.status()
    assert (status.type, status.result) == ("canceled", None)


def test_a_cleanup_that_fails_ends_canceled(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            return await step.await_event("go")
        finally:
            raise ValueError("in the cleanup")

    run = flow.start()
    until(lambda: world.running(run))
    run.cancel()
    assert run.status().type == "canceled"


def test_a_cleanup_has_grace_seconds(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.sleep(3600)
            await step.run_action(world.note, "too late")

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    began = world.clock.now()
    run.cancel(grace=20)
    with pytest.raises(RunCanceled):
        run.result(10)
    assert (world.clock.now() - began).total_seconds() == 20
    assert world.calls == []
    assert world.statuses(run) == ["canceled", "canceled"]


def test_no_grace_leaves_no_time(world: World) -> None:
    gate = world.gate()

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(lambda: gate.wait(10))

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    run.cancel(grace=0)
    until(lambda: run.status().type == "canceled")
    assert set(world.statuses(run)) <= TERMINAL


def test_the_default_grace_is_thirty_seconds(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.sleep(3600)

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    began = world.clock.now()
    run.cancel()
    with pytest.raises(RunCanceled):
        run.result(10)
    assert (world.clock.now() - began).total_seconds() == 30


def test_a_running_async_action_gets_cancelled_error(world: World) -> None:
    seen: list[str] = []

    async def slow() -> None:
        try:
            seen.append("began")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @world.define
    async def flow(step: Any) -> None:
        await step.run_action(slow)

    run = flow.start()
    until(lambda: seen)
    run.cancel()
    assert run.status().type == "canceled"
    until(lambda: seen == ["began", "cancelled"])
    assert world.statuses(run) == ["canceled"]


def test_a_thread_sees_is_canceled_and_its_late_result_is_dropped(world: World) -> None:
    seen: list[str] = []

    def slow() -> str:
        seen.append("began")
        until(lambda: current_step().is_canceled)
        seen.append("noticed")
        return "late"

    @world.define
    async def flow(step: Any) -> str:
        return await step.run_action(slow)

    run = flow.start()
    until(lambda: seen)
    run.cancel()
    until(lambda: seen == ["began", "noticed"])
    until(lambda: not world.wf._engine.attempts.running)
    assert [(s.status, s.result) for s in run.steps()] == [("canceled", None)]
    assert run.status().type == "canceled"


def test_an_async_action_that_ignores_the_cancel_brings_nothing(world: World) -> None:
    seen: list[str] = []
    gate = world.gate()

    async def stubborn() -> str:
        seen.append("began")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("ignored")
        await asyncio.to_thread(gate.wait, 10)
        seen.append("done")
        return "late"

    @world.define
    async def flow(step: Any) -> str:
        return await step.run_action(stubborn)

    run = flow.start()
    until(lambda: seen)
    run.cancel()
    until(lambda: "ignored" in seen)
    gate.set()
    until(lambda: "done" in seen)
    assert [(s.status, s.result) for s in run.steps()] == [("canceled", None)]


def test_a_mutation_that_is_canceled_in_its_transaction_writes_nothing(world: World) -> None:
    world.wf.db.execute("CREATE TABLE notes (x INTEGER)")
    gate = world.gate()
    seen: list[int] = []

    @mutation
    def write(db: Any) -> None:
        db.execute("INSERT INTO notes VALUES (1)")
        seen.append(1)
        gate.wait(10)

    @world.define
    async def flow(step: Any) -> None:
        await step.run_mutation(write)

    run = flow.start()
    until(lambda: seen)
    run.cancel()
    assert run.status().type == "canceled"
    gate.set()
    until(lambda: not world.wf._engine.attempts.running)
    assert world.wf.db.execute("SELECT * FROM notes").fetchall() == []
    assert world.statuses(run) == ["canceled"]


def test_every_step_row_ends_in_a_terminal_status(world: World) -> None:
    gate = world.gate()

    async def forever() -> None:
        await asyncio.sleep(3600)

    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def flow(step: Any) -> None:
        await step.run_action(world.note, 1)
        await asyncio.gather(
            step.run_action(forever),
            step.run_action(lambda: gate.wait(10)),
            step.await_event("go"),
            step.sleep(1_000_000),
            step.run_workflow(child),
            step.options(run_after=1_000_000).run_action(world.note, 2),
            step.run_query(lambda db: gate.wait(10)),
        )

    world.hold_time()
    run = flow.start()
    until(lambda: len(world.running(run)) == 7)
    world.wait_for_step(run, "child")
    run.cancel()
    assert run.status().type == "canceled"
    gate.set()
    assert world.statuses(run) == ["success"] + ["canceled"] * 7
    in_sql = world.wf.db.execute("SELECT DISTINCT status FROM wf.steps WHERE run_id = ?", [run.id]).fetchall()
    assert {s for (s,) in in_sql} == {"success", "canceled"}
    world.crash()
    assert world.statuses(run.id) == ["success"] + ["canceled"] * 7


def test_children_are_canceled_and_theirs(world: World) -> None:
    @world.define
    async def leaf(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def middle(step: Any) -> None:
        await step.run_workflow(leaf)

    @world.define
    async def top(step: Any) -> None:
        await asyncio.gather(step.run_workflow(middle), step.run_workflow(leaf))

    run = top.start()
    until(lambda: len(world.wf.list().items) == 4)
    run.cancel()
    until(lambda: {r.status for r in world.wf.list().items} == {"canceled"})
    steps = world.wf.db.execute("SELECT DISTINCT status FROM wf.steps").fetchall()
    assert steps == [("canceled",)]


def test_a_child_that_is_canceled_cleans_up_too(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        try:
            await step.await_event("up")
        finally:
            await step.run_action(world.note, "child cleaned up")

    @world.define
    async def parent(step: Any) -> None:
        await step.run_workflow(child)

    run = parent.start()
    until(
        lambda: world.wf.list_by_name("child").items and world.wf.status(world.wf.list_by_name("child").items[0].run_id).running
    )
    run.cancel()
    until(lambda: {r.status for r in world.wf.list().items} == {"canceled"})
    assert world.calls == ["child cleaned up"]


def test_a_run_that_has_not_begun_is_canceled(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        world.calls.append("began")

    world.hold_time()
    run = flow.options(run_after=3600).start()
    run.cancel()
    assert run.status().type == "canceled"
    world.clock.advance(7200)
    assert world.calls == []
    assert run.steps() == []


def test_a_run_whose_definition_is_missing_is_canceled_with_its_steps_and_children(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def parent(step: Any) -> None:
        await asyncio.gather(step.run_workflow(child), step.await_event("go"), step.sleep(1_000_000))

    world.hold_time()
    run = parent.start()
    until(lambda: world.wf.list_by_name("child").items)
    for name in ("child", "go", "sleep"):
        world.wait_for_step(run, name)
    child_id = until(lambda: run.steps()[0].child_run_id)
    world.forget()
    world.crash()
    run = world.again(run)
    run.cancel()
    assert run.status().type == "canceled"
    assert world.statuses(run) == ["canceled"] * 3
    until(lambda: world.wf.status(child_id).type == "canceled")


def test_a_child_that_comes_back_while_its_parent_is_undefined_is_canceled_with_it(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def parent(step: Any) -> None:
        await step.run_workflow(child)

    run = parent.start()
    world.wait_for_step(run, "child")
    child_id = until(lambda: run.steps()[0].child_run_id)
    del world.workflows["parent"]
    world.crash()
    until(lambda: world.running(child_id) == ["up"])
    world.wf.cancel(run.id)
    until(lambda: world.wf.status(child_id).type == "canceled")
    assert world.statuses(run.id) == ["canceled"]


def test_a_canceled_run_stays_canceled_after_a_crash(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    run = flow.start()
    run.cancel()
    world.crash()
    run = world.again(run)
    assert run.status().type == "canceled"
    with pytest.raises(RunNotActive):
        run.cancel()


def test_a_cancel_that_was_acknowledged_is_carried_out_after_a_crash(world: World) -> None:
    gate = world.gate()

    def clean(text: str) -> None:
        world.calls.append(text)
        if len(world.calls) == 1:
            gate.wait(10)

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(clean, "a")
            await step.run_action(clean, "b")

    run = flow.start()
    world.wait_for_step(run, "go")
    run.cancel()
    until(lambda: world.calls)
    world.crash()
    gate.set()
    run = world.again(run)
    with pytest.raises(RunCanceled):
        run.result(10)
    assert world.calls == ["a", "a", "b"]


def test_the_grace_goes_on_across_a_crash(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.sleep(3600)

    world.hold_time()
    run = flow.start()
    world.wait_for_step(run, "go")
    began = world.clock.now()
    run.cancel(grace=100)
    world.wait_for_step(run, "sleep")
    world.crash(after_s=40)
    world.let_time_go()
    run = world.again(run)
    with pytest.raises(RunCanceled):
        run.result(10)
    assert (world.clock.now() - began).total_seconds() == 100


def test_a_cancel_wakes_every_task_of_the_body(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        async def one(name: str) -> None:
            try:
                await step.await_event(name)
            except asyncio.CancelledError:
                await step.run_action(world.note, f"{name} cleaned")
                raise

        async with asyncio.TaskGroup() as group:
            group.create_task(one("a"))
            group.create_task(one("b"))

    run = flow.start()
    until(lambda: world.running(run) == ["a", "b"])
    run.cancel()
    until(lambda: run.status().type == "canceled")
    assert sorted(world.calls) == ["a cleaned", "b cleaned"]


def test_cancel_never_waits_for_the_cleanup(world: World) -> None:
    gate = world.gate()

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(lambda: gate.wait(10))

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 5
    assert not gate.is_set()
    gate.set()
    until(lambda: run.status().type == "canceled")


def test_cancel_from_many_threads_succeeds_once(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    run = flow.start()
    outcomes: list[str] = []

    def cancel() -> None:
        try:
            run.cancel()
            outcomes.append("canceled")
        except RunNotActive:
            outcomes.append("refused")

    threads = [threading.Thread(target=cancel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["canceled"] + ["refused"] * 7


def test_a_child_canceled_alone_raises_step_canceled_in_the_parent(world: World) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def parent(step: Any) -> str:
        try:
            await step.run_workflow(child)
        except StepCanceled as exc:
            seen = type(exc).__name__
        await step.await_event("go")
        return seen

    run = parent.start()
    child_id = until(lambda: world.wf.list_by_name("child").items)[0].run_id
    world.wf.cancel(child_id)
    world.wait_for_step(run, "go")
    assert world.statuses(run)[0] == "canceled"
    world.crash()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == "StepCanceled"


def test_on_complete_is_called_once(world: World) -> None:
    world.wf.db.execute("CREATE TABLE ends (kind VARCHAR)")

    def hook(db: Any, completion: Any) -> None:
        db.execute("INSERT INTO ends VALUES (?)", [completion.result.kind])

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(world.note, "cleanup")

    run = flow.options(on_complete=hook).start()
    until(lambda: world.running(run) == ["go"])
    run.cancel()
    until(lambda: run.status().type == "canceled")
    world.crash()
    assert world.wf.db.execute("SELECT * FROM ends").fetchall() == [("canceled",)]


def test_who_waits_by_await_gets_run_canceled(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.await_event("go")

    async def cell() -> str:
        run = flow.start()
        waiting = asyncio.ensure_future(run._wait())
        await asyncio.sleep(0)
        run.cancel()
        try:
            await waiting
        except RunCanceled:
            return "canceled"
        return "done"

    assert asyncio.run(cell()) == "canceled"


def test_a_cancelled_error_that_nobody_asked_for_fails_the_run(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        raise asyncio.CancelledError

    run = flow.start()
    assert error_of(run).error.type == "CancelledError"


@pytest.mark.parametrize("grace", [-1, "long", float("nan")])
def test_a_senseless_grace_is_refused(grace: Any) -> None:
    with WorkflowManager(":memory:") as wf:

        @wf.workflow
        async def flow(step: Any) -> None:
            await step.await_event("go")

        run = flow.start()
        with pytest.raises(ValueError, match="grace"):
            run.cancel(grace=grace)
        assert run.status().type == "in_progress"


def test_who_cancels_while_the_manager_closes_is_told(tmp_path: Path) -> None:
    wf = WorkflowManager(tmp_path / "journal.duckdb")

    @wf.workflow
    async def flow(step: Any) -> None:
        await step.await_event("go")

    runs = [flow.start() for _ in range(120)]
    ends: list[BaseException | None] = []
    begin = threading.Barrier(7)

    def cancel(some: list[Any]) -> None:
        begin.wait()
        try:
            for run in some:
                run.cancel()
        except EngineStopped as error:
            ends.append(error)
        else:
            ends.append(None)

    threads = [threading.Thread(target=cancel, args=(runs[i::6],), daemon=True) for i in range(6)]
    for thread in threads:
        thread.start()
    begin.wait()
    wf.close()
    for thread in threads:
        thread.join(10)
    assert len(ends) == 6
