"""After a crash, and after a close: what runs again, what does not, and what the body sees."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recovery_fixtures import World, a_world, error_of, until, world  # noqa: F401

from wfkernel import (
    EngineStopped,
    OutcomeUnknown,
    RetryPolicy,
    StepFailed,
    StopRetrying,
    WorkflowManager,
    action,
    current_step,
    define_event,
    mutation,
)
from wfkernel.model.facts import Fact

ENDS = ("crash", "reopen")


@pytest.fixture(params=ENDS)
def again(request: pytest.FixtureRequest, world: World) -> Any:
    """Both ways to stop and come back."""
    return getattr(world, request.param)


def test_a_step_whose_result_was_journaled_never_runs_again(world: World, again: Any) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        first = await step.run_action(world.note, "first")
        told = await step.await_event("go")
        return [first, told, await step.run_action(world.note, "last")]

    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go", 7)
    assert run.result(10) == ["first", 7, "last"]
    assert world.calls == ["first", "last"]


def test_an_action_that_was_in_flight_runs_again(world: World, again: Any) -> None:
    gate = world.gate()
    keys = []

    @world.define
    async def flow(step: Any) -> int:
        return await step.run_action(slow)

    def slow() -> int:
        keys.append(current_step().idempotency_key)
        if len(keys) == 1:
            gate.wait(10)
        return len(keys)

    run = flow.start()
    world.wait_for_step(run, "slow")
    until(lambda: keys)
    again()
    run = world.again(run)
    assert run.result(10) == 2
    assert keys[0] == keys[1], "the idempotency key is the same for all attempts"
    assert world.wf.list_steps(run).items[0].attempts == 2


def test_an_async_action_that_was_in_flight_runs_again(world: World, again: Any) -> None:
    began = []

    async def slow() -> str:
        began.append(1)
        if len(began) == 1:
            await asyncio.sleep(3600)
        return "done"

    @world.define
    async def flow(step: Any) -> str:
        return await step.run_action(slow)

    run = flow.start()
    world.wait_for_step(run, "slow")
    until(lambda: began)
    again()
    assert world.again(run).result(10) == "done"
    assert len(began) == 2


def test_an_at_most_once_action_that_was_in_flight_fails_with_outcome_unknown(world: World, again: Any) -> None:
    gate = world.gate()

    @action(at_most_once=True)
    def charge() -> None:
        world.calls.append("charged")
        gate.wait(10)

    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.run_action(charge)
        except OutcomeUnknown as exc:
            return f"unknown: {exc.error.type} {isinstance(exc, StepFailed)}"
        return "charged"

    run = flow.start()
    until(lambda: world.calls)
    again()
    run = world.again(run)
    assert run.result(10) == "unknown: OutcomeUnknown True"
    assert world.calls == ["charged"]
    assert [(s.status, s.error.type) for s in run.steps()] == [("failed", "OutcomeUnknown")]


def test_an_at_most_once_action_that_had_not_begun_runs_after_a_crash(world: World, again: Any) -> None:
    @action(at_most_once=True)
    def charge() -> str:
        world.calls.append("charged")
        return "ok"

    @world.define
    async def flow(step: Any) -> str:
        return await step.options(run_after=60).run_action(charge)

    waits = world.define(never, name="never")
    waits.start()  # keeps the virtual clock where it is
    run = flow.start()
    world.wait_for_step(run, "charge", "scheduled")
    again(after_s=120)
    assert world.again(run).result(10) == "ok"
    assert world.calls == ["charged"]


async def never(step: Any) -> None:
    await step.await_event("never")


def test_outcome_unknown_that_the_body_does_not_catch_fails_the_run_with_that_type(world: World) -> None:
    gate = world.gate()

    @action(at_most_once=True)
    def charge() -> None:
        world.calls.append("charged")
        gate.wait(10)

    @world.define
    async def flow(step: Any) -> None:
        await step.run_action(charge)

    run = flow.start()
    until(lambda: world.calls)
    world.crash()
    run = world.again(run)
    assert error_of(run).error.type == "OutcomeUnknown"
    gate.set()
    run.restart()
    assert run.result(10) is None
    assert world.calls == ["charged", "charged"], "a person who restarts it has decided"


def test_a_mutation_and_its_row_are_one_transaction_whatever_crashes(world: World, again: Any) -> None:
    world.wf.db.execute("CREATE TABLE notes (x INTEGER)")
    gate = world.gate()
    entered: list[int] = []

    @mutation
    def write(db: Any, x: int) -> None:
        db.execute("INSERT INTO notes VALUES (?)", [x])
        entered.append(x)
        if entered.count(2) == 1 and x == 2:
            gate.wait(10)

    @world.define
    async def flow(step: Any) -> None:
        await step.run_mutation(write, 1)
        await step.run_mutation(write, 2)

    run = flow.start()
    until(lambda: 2 in entered)
    again_done = []
    world.die()
    gate.set()
    world.open_again()
    again_done.append(again)
    world.again(run).result(10)
    assert world.wf.db.execute("SELECT x FROM notes ORDER BY x").fetchall() == [(1,), (2,)]
    assert entered == [1, 2, 2]


def test_a_timer_that_passed_while_nothing_ran_fires_at_once(world: World, again: Any) -> None:
    @world.define
    async def flow(step: Any) -> str:
        await step.sleep(3600)
        return step.now().isoformat()

    blocker = world.define(never, name="never")
    blocker.start()
    run = flow.start()
    world.wait_for_step(run, "sleep")
    again(after_s=7200)
    assert world.again(run).result(10) >= "2026-01-01T02:00:00"


def test_a_sleep_keeps_its_end_across_a_restart_of_the_process(world: World, again: Any) -> None:
    world.hold_time()

    @world.define
    async def flow(step: Any) -> None:
        await step.sleep(3600)

    run = flow.start()
    world.wait_for_step(run, "sleep")
    again(after_s=3000)
    world.let_time_go()
    run = world.again(run)
    run.result(10)
    step = run.steps()[0]
    assert (step.completed_at - step.scheduled_at).total_seconds() == 3600


def test_an_await_keeps_its_timeout_across_a_restart_of_the_process(world: World, again: Any) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            return await step.await_event("answer", timeout=3600)
        except TimeoutError:
            return "late"

    world.hold_time()
    run = flow.start()
    world.wait_for_step(run, "answer")
    again(after_s=4000)
    assert world.again(run).result(10) == "late"


def test_events_sent_before_the_end_are_received_after_it_first_in_first_out(world: World, again: Any) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        await step.await_event("go")
        return [await step.await_event("item") for _ in range(3)]

    run = flow.start()
    for i in range(3):
        run.send_event("item", i)
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == [0, 1, 2]


def test_events_can_be_sent_to_a_run_whose_definition_is_not_there_yet(world: World, again: Any) -> None:
    async def flow(step: Any) -> list[Any]:
        return [await step.await_event("item"), await step.await_event("item")]

    run = world.define(flow).start()
    world.wait_for_step(run, "item")
    world.forget()
    again()
    run = world.again(run)
    run.send_event("item", "a")
    run.send_event("item", "b")
    assert run.status().type == "in_progress"
    assert "flow" in (run.status().waiting_for or "")
    world.define(flow)
    assert run.result(10) == ["a", "b"]


def test_a_run_resumes_by_itself_once_its_workflow_is_defined(world: World, again: Any) -> None:
    async def flow(step: Any) -> str:
        await step.run_action(world.note, 1)
        await step.await_event("go")
        return "done"

    run = world.define(flow).start()
    world.wait_for_step(run, "go")
    world.forget()
    again()
    run = world.again(run)
    run.send_event("go")
    world.define(flow)
    assert run.result(10) == "done"
    assert world.calls == [1]


def test_a_race_of_an_event_and_a_day_of_sleep_goes_on_at_the_event(world: World, again: Any) -> None:
    world.hold_time()

    @world.define
    async def flow(step: Any) -> str:
        event = asyncio.create_task(step.await_event("go"))
        night = asyncio.create_task(step.sleep(24 * 3600))
        done, pending = await asyncio.wait({event, night}, return_when=asyncio.FIRST_COMPLETED)
        winner = "event" if event in done else "sleep"
        for task in pending:
            task.cancel()
        await step.run_action(world.note, winner)
        return winner

    begun = world.clock.now()
    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == "event"
    assert world.clock.now() == begun, "nobody waited for the sleep"
    assert world.statuses(run) == ["success", "canceled", "success"]


def test_a_step_that_was_given_up_as_the_process_died_ends_canceled(world: World, monkeypatch: Any) -> None:
    @world.define
    async def child(step: Any) -> None:
        await step.await_event("up")

    @world.define
    async def flow(step: Any) -> str:
        tasks = [asyncio.create_task(c) for c in (step.await_event("a"), step.run_workflow(child), step.await_event("go"))]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return await step.await_event("end")

    run = flow.start()
    world.wait_for_step(run, "a")
    world.wait_for_step(run, "child")
    child_id = until(lambda: run.steps()[1].child_run_id)
    engine = world.wf._engine
    submit = engine.submit

    def lose_cancels(rows: Any, **kwargs: Any) -> Any:
        return None if rows and rows[0][3] in (Fact.STEP_CANCELED, Fact.CANCEL_REQUESTED) else submit(rows, **kwargs)

    monkeypatch.setattr(engine, "submit", lose_cancels)
    run.send_event("go")
    world.wait_for_step(run, "end")
    assert world.wf.db.execute("SELECT status FROM wf.steps WHERE name = 'a'").fetchall() == [("running",)]
    world.crash()
    run = world.again(run)
    run.send_event("end", "done")
    assert run.result(10) == "done"
    assert world.statuses(run) == ["canceled", "canceled", "success", "success"]
    until(lambda: world.wf.status(child_id).type == "canceled")


@pytest.mark.blocking_allowed("the body waits on purpose until the mutation has won the race with its cancellation")
@pytest.mark.parametrize("end", ["goes on", "fails"])
def test_a_mutation_that_committed_as_the_body_gave_it_up_is_not_called_canceled(world: World, end: str) -> None:
    world.wf.db.execute("CREATE TABLE notes (x INTEGER)")
    gate, well = world.gate(), []

    def write(db: Any) -> str:
        gate.wait(10)
        db.execute("INSERT INTO notes VALUES (1)")
        return "written"

    def written() -> list[Any]:
        return world.wf._engine.journal.read("SELECT * FROM notes")  # a body may not ask the manager

    @world.define
    async def flow(step: Any) -> str:
        writing = asyncio.create_task(step.run_mutation(write))
        await step.await_event("go")
        if not well:
            gate.set()
            until(written)
        if end == "fails":
            if not well:
                raise ValueError("in between")
            return await writing
        writing.cancel()
        return await step.await_event("end")

    run = flow.start()
    until(lambda: world.running(run) == ["write", "go"] or world.running(run) == ["go", "write"])
    run.send_event("go")
    if end == "fails":
        assert error_of(run).error.message == "in between"
        assert sorted(world.statuses(run)) == ["success", "success"]
        well.append(1)
        run.restart()
        assert run.result(10) == "written"
    else:
        world.wait_for_step(run, "end")
        world.crash()
        run = world.again(run)
        run.send_event("end", "done")
        assert run.result(10) == "done"
        assert world.statuses(run) == ["success", "success", "success"]
        assert world.wf.verify(run) is None
    assert written() == [(1,)], "what a mutation wrote, and what its row says, are one"


def test_a_race_replays_as_it_ran(world: World, again: Any) -> None:
    gates = {name: world.gate() for name in "abc"}

    def slow(name: str) -> str:
        gates[name].wait(10)
        return name

    @world.define
    async def flow(step: Any) -> list[str]:
        order = []
        for next_one in asyncio.as_completed([step.run_action(slow, n) for n in "abc"]):
            order.append(await next_one)
        await step.run_action(world.note, "-".join(order))
        await step.await_event("go")
        return order

    run = flow.start()
    for number, name in [(2, "c"), (0, "a"), (1, "b")]:
        gates[name].set()
        until(lambda number=number: len(run.steps()) > number and run.steps()[number].status == "success")
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == ["c", "a", "b"]
    assert world.calls == ["c-a-b"]


def test_a_retry_that_was_due_later_keeps_its_attempts_and_its_instant(world: World, again: Any) -> None:
    world.hold_time()

    def flaky() -> int:
        world.calls.append(current_step().attempt)
        if len(world.calls) < 3:
            raise OSError("not yet")
        return len(world.calls)

    @world.define
    async def flow(step: Any) -> int:
        policy = RetryPolicy(max_attempts=3, initial_backoff=100, base=1, jitter=0)
        return await step.options(retry=policy).run_action(flaky)

    begun = world.clock.now()
    run = flow.start()
    until(lambda: run.steps()[0].attempts == 1 and run.steps()[0].status == "scheduled")
    world.wait_for_step(run, "flaky", "scheduled")
    again(after_s=40)
    world.let_time_go()
    run = world.again(run)
    assert run.result(10) == 3
    assert world.calls == [1, 2, 3]
    assert (world.clock.now() - begun).total_seconds() == 200


def test_a_failed_step_is_caught_the_same_way_after_a_crash(world: World, again: Any) -> None:
    def bad(x: int) -> None:
        raise ValueError("no good", x)

    @world.define
    async def flow(step: Any) -> list[Any]:
        try:
            await step.run_action(bad, 3)
        except StepFailed as exc:
            seen = [str(exc), type(exc.__cause__).__name__, list(exc.__cause__.args), exc.attempts, exc.error.type]
        await step.await_event("go")
        return seen

    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == ["('no good', 3)", "ValueError", ["no good", 3], 1, "ValueError"]


def test_stop_retrying_is_remembered_after_a_crash(world: World, again: Any) -> None:
    def bad() -> None:
        world.calls.append(1)
        raise StopRetrying("enough")

    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.options(retry=True).run_action(bad)
        except StepFailed as exc:
            text = f"{exc} after {exc.attempts}"
        await step.await_event("go")
        return text

    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == "enough after 1"
    assert world.calls == [1]


def test_time_and_randomness_are_the_same_after_a_crash(world: World, again: Any) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        await step.sleep(5)
        seen = [step.random.random(), str(step.uuid4()), step.now().isoformat()]
        await step.run_action(world.note, list(seen))
        await step.await_event("go")
        return [*seen, step.random.random()]

    run = flow.start()
    world.wait_for_step(run, "go")
    again(after_s=1000)
    run = world.again(run)
    run.send_event("go")
    result = run.result(10)
    assert world.calls == [result[:3]]
    assert result[3] not in result[:3]


def test_a_gather_with_finished_and_pending_steps_goes_on(world: World, again: Any) -> None:
    gate = world.gate()

    def slow(x: int) -> int:
        world.calls.append(x)
        if x == 2 and world.calls.count(2) == 1:
            gate.wait(10)
        return x * 10

    @world.define
    async def flow(step: Any) -> list[int]:
        return await asyncio.gather(*(step.run_action(slow, i) for i in range(4)))

    run = flow.start()
    until(lambda: world.statuses(run) == ["success", "success", "running", "success"])
    world.wait_for_step(run, "slow")
    again()
    assert world.again(run).result(10) == [0, 10, 20, 30]
    assert sorted(world.calls) == [0, 1, 2, 2, 3]


def test_a_task_group_and_a_timeout_block_go_on(world: World, again: Any) -> None:
    world.hold_time()

    @world.define
    async def flow(step: Any) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(step.run_action(world.note, "one"))
            two = group.create_task(step.await_event("two"))
        try:
            async with asyncio.timeout(60):
                await step.await_event("never")
        except TimeoutError:
            pass
        return [one.result(), two.result(), step.now().timestamp()]

    run = flow.start()
    world.wait_for_step(run, "two")
    again()
    run = world.again(run)
    run.send_event("two", 2)
    begun = world.clock.now().timestamp()
    world.wait_for_step(run, "never")
    again(after_s=20)
    world.let_time_go()
    run = world.again(run)
    assert run.result(10) == ["one", 2, begun + 60]
    assert world.calls == ["one"]


def test_values_are_the_same_live_and_after_a_crash(world: World, again: Any) -> None:
    def make() -> Any:
        return {"t": (1, 2), "big": 2**100, "inf": float("-inf"), "zero": -0.0, "nul": "a\0b", "set": {1, 2}, "bytes": b"\0\1"}

    @world.define
    async def flow(step: Any) -> str:
        value = await step.run_action(make)
        before = repr(value)
        await step.await_event("go")
        return before

    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == repr(make())


def test_crashing_again_and_again_changes_nothing(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        numbers = await asyncio.gather(*(step.run_action(world.note, i) for i in range(3)))
        await step.sleep(1)
        await step.await_event("go")
        return numbers

    run = flow.start()
    world.wait_for_step(run, "go")
    rows, steps = world.rows(), world.wf.list_steps(run).items
    for i in range(10):
        (world.crash if i % 2 else world.reopen)()
        run = world.again(run)
        until(lambda run=run: world.running(run) == ["go"])
        assert world.rows() == rows
        assert world.wf.list_steps(run).items == steps
    run.send_event("go")
    assert run.result(10) == [0, 1, 2]
    assert sorted(world.calls) == [0, 1, 2]


def test_a_start_in_the_future_is_kept(world: World, again: Any) -> None:
    world.hold_time()

    @world.define
    async def flow(step: Any) -> float:
        await step.run_action(world.note, "ran")
        return step.now().timestamp()

    begun = world.clock.now().timestamp()
    run = flow.options(run_after=3600).start()
    again()
    world.let_time_go()
    run = world.again(run)
    assert run.result(10) == begun + 3600
    assert world.calls == ["ran"]


def test_a_delayed_step_keeps_its_instant(world: World, again: Any) -> None:
    world.hold_time()

    @world.define
    async def flow(step: Any) -> float:
        await step.options(run_after=3600).run_action(world.note, "ran")
        return step.now().timestamp()

    begun = world.clock.now().timestamp()
    run = flow.start()
    world.wait_for_step(run, "note", "scheduled")
    again(after_s=600)
    world.let_time_go()
    assert world.again(run).result(10) == begun + 3600


def test_an_ended_run_is_the_same_after_a_crash(world: World, again: Any) -> None:
    @world.define
    async def good(step: Any) -> tuple[int, int]:
        return (1, await step.run_action(world.note, 2))

    @world.define
    async def bad(step: Any) -> None:
        raise KeyError("lost")

    runs = good.start(), bad.start()
    runs[0].result(10)
    error_of(runs[1])
    before = [world.wf.list().items, [r.status() for r in runs]]
    again()
    runs = [world.again(r) for r in runs]
    assert [world.wf.list().items, [r.status() for r in runs]] == before
    assert runs[0].result(10) == (1, 2)
    error = error_of(runs[1])
    assert isinstance(error.__cause__, KeyError)
    assert error.__cause__.args == ("lost",)


def test_prints_of_the_body_are_not_repeated_after_a_crash(world: World, again: Any, capsys: Any) -> None:
    @world.define
    async def flow(step: Any) -> None:
        print("begin")
        await step.run_action(world.note, 1)
        print("middle")
        await step.await_event("go")
        print("end")

    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    run.result(10)
    assert capsys.readouterr().out.split() == ["begin", "middle", "end"]


def test_prints_in_a_waiting_body_are_not_repeated_before_its_first_result(world: World, again: Any, capsys: Any) -> None:
    @world.define
    async def flow(step: Any) -> None:
        print("begin")
        await step.await_event("go")
        print("end")

    run = flow.start()
    world.wait_for_step(run, "go")
    again()
    run = world.again(run)
    run.send_event("go")
    run.result(10)
    assert capsys.readouterr().out.split() == ["begin", "end"]


def test_prints_are_heard_once_in_either_replay_mode(world: World, capsys: Any) -> None:
    @world.define
    async def flow(step: Any) -> None:
        print("a")
        await step.run_action(world.note, 1)
        print("b", file=sys.stderr)
        try:
            async with asyncio.timeout(60):
                await step.await_event("never")
        except TimeoutError:
            print("c")
        await asyncio.gather(step.run_action(world.note, 2), step.run_action(world.note, 3))
        print("d")
        try:
            await step.await_event("go")
        finally:
            print("e")
            await step.run_action(world.note, 4)
            print("f")

    run = flow.start()
    until(lambda: world.running(run) == ["go"])
    run.cancel()
    until(lambda: run.status().type == "canceled")
    run.restart()
    until(lambda: world.running(run) == ["go"])
    world.wf.verify(run)
    run.plan()
    run.send_event("go")
    run.result(10)
    heard = capsys.readouterr()
    assert heard.out.split() == ["a", "c", "d", "e", "f", "e", "f"], "the cleanup, and later the end of its own"
    assert heard.err.split() == ["b"]


# -- close --


def test_a_run_unfinished_at_close_stays_in_progress_and_resumes_at_the_next_open(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        return await step.await_event("go")

    run = flow.start()
    world.reopen()
    run = world.again(run)
    assert run.status().type == "in_progress"
    run.send_event("go", "now")
    assert run.result(10) == "now"


def test_a_closed_manager_raises_engine_stopped(world: World) -> None:
    flow = world.define(never, name="flow")
    run = flow.start()
    world.wf.close()
    world.wf.close()
    for call in (
        lambda: flow.start(),
        lambda: run.status(),
        lambda: run.result(1),
        lambda: run.cancel(),
        lambda: run.steps(),
        lambda: run.restart(),
        lambda: run.send_event("x"),
        lambda: world.wf.list(),
        lambda: world.wf.list_steps(run),
        lambda: world.wf.get(run.id),
        lambda: world.wf.cleanup(run),
        lambda: world.wf.create_event("x", run=run),
        lambda: world.wf.db,
        lambda: world.wf.workflow(never),
    ):
        with pytest.raises(EngineStopped):
            call()


def test_who_waits_for_a_result_is_told_of_the_close(world: World) -> None:
    import threading

    flow = world.define(never, name="flow")
    run = flow.start()
    told: list[Any] = []

    def wait() -> None:
        try:
            run.result(10)
        except Exception as exc:
            told.append(type(exc))

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: any(r.waiters for r in world.wf._engine.runs.values()))
    world.wf.close()
    thread.join(10)
    assert told == [EngineStopped]


def test_opening_the_same_path_again_gives_the_same_live_engine(world: World) -> None:
    other = WorkflowManager(world.path)
    assert other._engine is world.wf._engine


def test_start_is_acknowledged_only_once_it_is_on_disk(world: World) -> None:
    flow = world.define(never, name="flow")
    runs = [flow.start() for _ in range(5)]
    world.crash()
    assert {r.run_id for r in world.wf.list().items} == {r.id for r in runs}


def test_the_same_id_after_a_crash_is_the_same_run(world: World, again: Any) -> None:
    @world.define
    async def flow(step: Any, n: int) -> int:
        return await step.run_action(world.note, n)

    run = flow.options(id="job-1").start(1)
    assert run.result(10) == 1
    again()
    flow = world.wf._engine.workflows["flow"]
    assert flow.options(id="job-1").start(1).id == run.id
    assert world.calls == [1]


def test_a_typed_event_that_waited_is_validated_when_it_is_awaited_after_a_crash(world: World, again: Any) -> None:
    answer = define_event("answer", int)

    @world.define
    async def flow(step: Any) -> Any:
        await step.await_event("go")
        return await step.await_event(answer)

    run = flow.start()
    run.send_event("answer", "42")
    again()
    run = world.again(run)
    run.send_event("go")
    assert run.result(10) == 42


def test_two_hundred_and_fifty_runs_resume(tmp_path: Path) -> None:
    with a_world(tmp_path / "j.duckdb", "on_recovery") as world:

        @world.define
        async def flow(step: Any, n: int) -> int:
            await step.run_action(world.note, n)
            await step.await_event("go")
            return n

        runs = [flow.start(i) for i in range(250)]
        until(lambda: len(world.calls) == 250)
        until(lambda: all(world.running(r) == ["go"] for r in runs))
        world.crash()
        for run in runs:
            world.wf.send_event("go", run=run.id)
        assert [world.again(r).result(10) for r in runs] == list(range(250))
        assert len(world.calls) == 250


@pytest.fixture
def one_journal(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "j.duckdb", "on_recovery") as made:
        yield made


def test_a_run_that_cannot_read_its_arguments_waits_and_says_so(one_journal: World) -> None:
    world = one_journal

    class Local:
        pass

    @world.define
    async def flow(step: Any, n: int) -> int:
        await step.await_event("go")
        return n

    run = flow.start(1)
    world.crash()
    assert world.again(run).status().type == "in_progress"


def test_a_crash_while_a_body_cleans_up_ends_canceled(world: World) -> None:
    gate = world.gate()

    def clean() -> None:
        world.calls.append("clean")
        if len(world.calls) == 1:
            gate.wait(10)

    @world.define
    async def flow(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(clean)

    run = flow.start()
    world.wait_for_step(run, "go")
    run.cancel()
    until(lambda: world.calls)
    world.wait_for_step(run, "clean")
    world.crash()
    run = world.again(run)
    until(lambda: run.status().type == "canceled")
    assert world.calls == ["clean", "clean"]
    assert world.statuses(run) == ["canceled", "success"]
