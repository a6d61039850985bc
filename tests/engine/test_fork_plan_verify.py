"""fork copies, plan says, verify checks; none of them touches the run itself."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import InvalidArguments, NondeterminismError, Run, RunNotFound, StepFailed, StepNotFound

CALLS: list[Any] = []
FLAGS: dict[str, bool] = {}


@pytest.fixture(autouse=True)
def fresh() -> None:
    CALLS.clear()
    FLAGS.clear()


def ok(x: Any = None) -> Any:
    CALLS.append(x)
    return x


def shaky(x: Any = None) -> Any:
    CALLS.append(x)
    if not FLAGS.get("well"):
        raise ValueError("bad")
    return x


def three(world: World) -> Any:
    async def flow(step: Any, last: int = 3) -> list[Any]:
        return [await step.run_action(ok, 1), await step.run_action(ok, 2), await step.run_action(ok, last)]

    return world.define(flow)


# -- fork --


def test_a_fork_of_all_steps_runs_nothing_and_has_the_same_result(world: World) -> None:
    run = three(world).start()
    run.result(10)
    fork = run.fork()
    assert isinstance(fork, Run)
    assert fork.id != run.id
    assert fork.result(10) == [1, 2, 3]
    assert CALLS == [1, 2, 3]
    assert [s.result for s in fork.steps()] == [1, 2, 3]
    assert {s.run_id for s in fork.steps()} == {fork.id}


def test_a_fork_from_a_number_copies_the_steps_before_it(world: World) -> None:
    run = three(world).start()
    run.result(10)
    fork = run.fork(from_step=1)
    assert fork.result(10) == [1, 2, 3]
    assert CALLS == [1, 2, 3, 2, 3]


def test_a_fork_takes_a_name_or_a_function_as_restart_does(world: World) -> None:
    run = three(world).start()
    run.result(10)
    assert world.wf.fork(run, from_step="ok").result(10) == [1, 2, 3]
    assert run.fork(from_step=ok).result(10) == [1, 2, 3]
    assert CALLS == [1, 2, 3, 3, 3]


def test_a_fork_changes_the_arguments_that_are_given(world: World) -> None:
    run = three(world).start(last=3)
    run.result(10)
    fork = run.fork(from_step=2, args={"last": 30})
    assert fork.result(10) == [1, 2, 30]
    assert CALLS == [1, 2, 3, 30]
    by_id = {r.run_id: r.args for r in world.wf.list().items}
    assert by_id[run.id] == {"last": 3}
    assert by_id[fork.id] == {"last": 30}


@pytest.mark.parametrize("args", [{"last": "x"}, {"nope": 1}, 5])
def test_a_fork_with_bad_arguments_is_refused(world: World, args: Any) -> None:
    @world.define
    async def flow(step: Any, last: int) -> int:
        return await step.run_action(ok, last)

    run = flow.start(1)
    run.result(10)
    before = world.rows()
    with pytest.raises(InvalidArguments):
        run.fork(args=args)
    assert world.rows() == before


def test_the_original_is_untouched(world: World) -> None:
    run = three(world).start()
    run.result(10)
    before, steps, status = world.rows(), run.steps(), run.status()
    run.fork(from_step=1, args={"last": 4}).result(10)
    assert world.rows()[: len(before)] == before
    assert run.steps() == steps
    assert run.status() == status


def test_a_fork_from_an_unknown_step_is_refused(world: World) -> None:
    run = three(world).start()
    run.result(10)
    before = world.rows()
    for unknown in (-1, 99, "nope"):
        with pytest.raises(StepNotFound):
            run.fork(from_step=unknown)
    with pytest.raises(RunNotFound):
        world.wf.fork("nobody")
    assert world.rows() == before


def test_a_fork_of_a_failed_run_tries_the_failed_step_again(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, 1), await step.run_action(shaky, 2)]

    run = flow.start()
    error_of(run)
    FLAGS["well"] = True
    fork = run.fork(from_step=1)
    assert fork.result(10) == [1, 2]
    assert run.status().type == "failed"


def test_a_run_in_progress_can_be_forked(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, 1), await step.await_event("go")]

    run = flow.start()
    world.wait_for_step(run, "go")
    fork = run.fork()
    until(lambda: world.running(fork) == ["go"])
    fork.send_event("go", "fork")
    assert fork.result(10) == [1, "fork"]
    assert run.status().type == "in_progress"
    run.send_event("go", "original")
    assert run.result(10) == [1, "original"]
    assert CALLS == [1]


def test_a_fork_keeps_the_time_and_the_chances_of_its_copied_steps(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        began = step.now().isoformat()
        first = await step.run_action(ok, [began, str(step.uuid4())])
        return [first, await step.await_event("go")]

    run = flow.start()
    world.wait_for_step(run, "go")
    world.crash(after_s=1000)
    run = world.again(run)
    run.send_event("go", 1)
    run.result(10)
    world.clock.advance(1000)
    fork = run.fork()
    assert fork.result(10) == run.result(10)
    again = run.fork(from_step=1)
    world.wait_for_step(again, "go")
    world.crash()
    again = world.again(again)
    again.send_event("go", 2)
    assert again.result(10)[1] == 2
    assert len(CALLS) == 1


def test_a_fork_survives_a_crash(world: World) -> None:
    @world.define
    async def flow(step: Any, n: int) -> list[Any]:
        return [await step.run_action(ok, 1), await step.await_event("go"), await step.run_action(ok, n)]

    run = flow.start(5)
    run.send_event("go", "x")
    run.result(10)
    fork = run.fork(from_step=1, args={"n": 6})
    world.wait_for_step(fork, "go")
    world.crash()
    fork = world.again(fork)
    fork.send_event("go", "y")
    assert fork.result(10) == [1, "y", 6]
    assert CALLS == [1, 5, 6]


def test_a_fork_has_its_own_idempotency_keys(world: World) -> None:
    from wfkernel import current_step

    def key() -> str:
        return current_step().idempotency_key

    @world.define
    async def flow(step: Any) -> list[str]:
        return [await step.run_action(key), await step.run_action(key)]

    run = flow.start()
    first = run.result(10)
    forked = run.fork(from_step=1).result(10)
    assert forked[0] == first[0]
    assert forked[1] not in first


def test_a_restarted_fork_keeps_a_failure_that_a_later_step_followed(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.run_action(shaky, "first")
        except StepFailed:
            await step.run_action(ok, "repair")
        if not FLAGS.get("well"):
            raise RuntimeError("the body")
        return "done"

    run = flow.start()
    error_of(run)
    fork = run.fork()
    error_of(fork)
    FLAGS["well"] = True
    fork.restart()
    assert fork.result(10) == "done"
    assert CALLS == ["first", "repair"]
    assert fork.fork().result(10) == "done"
    assert CALLS == ["first", "repair"]


def test_cleaning_a_fork_up_leaves_the_children_of_the_original(world: World) -> None:
    @world.define
    async def child(step: Any) -> Any:
        return await step.run_action(ok, "child")

    @world.define
    async def parent(step: Any) -> Any:
        return await step.run_workflow(child)

    run = parent.start()
    run.result(10)
    fork = run.fork()
    assert fork.result(10) == "child"
    assert world.wf.cleanup(fork) is True
    assert world.wf.status(run.steps()[0].child_run_id).type == "completed"


@pytest.mark.blocking_allowed("a replay reads side files where the body runs")
def test_cleaning_the_original_up_leaves_the_large_results_of_its_fork(world: World) -> None:
    def large() -> str:
        return "x" * 3_000_000

    @world.define
    async def flow(step: Any) -> int:
        text = await step.run_action(large)
        await step.await_event("go")
        return len(text)

    run = flow.start()
    run.send_event("go")
    run.result(10)
    fork = run.fork(from_step=1)
    assert world.wf.cleanup(run) is True
    world.crash()
    fork = world.again(fork)
    fork.send_event("go")
    assert fork.result(10) == 3_000_000


def test_a_fork_leaves_the_originals_events_where_they_are(world: World) -> None:
    @world.define
    async def flow(step: Any) -> Any:
        return await step.await_event("go")

    run = flow.start()
    run.send_event("go", 1)
    run.result(10)
    sql = "SELECT name, status, value FROM wf.events WHERE run_id = ?"
    before = world.wf.db.execute(sql, [run.id]).fetchall()
    assert before == [("go", "consumed", "1")]
    run.fork().result(10)
    assert world.wf.db.execute(sql, [run.id]).fetchall() == before


# -- plan --


def test_a_plan_says_what_would_be_reused_and_why_and_does_nothing(world: World) -> None:
    run = three(world).start()
    run.result(10)
    before = world.rows()
    plan = run.plan()
    assert [(i.step_number, i.name, i.action) for i in plan] == [(0, "ok", "reuse"), (1, "ok", "reuse"), (2, "ok", "reuse")]
    assert all(i.reason for i in plan)
    assert world.rows() == before
    assert CALLS == [1, 2, 3]


def test_a_plan_from_a_step_runs_it_and_later_ones(world: World) -> None:
    run = three(world).start()
    run.result(10)
    assert [i.action for i in run.plan(from_step=1)] == ["reuse", "run", "run"]
    assert [i.action for i in run.plan(from_step="ok")] == ["reuse", "reuse", "run"]
    assert [i.action for i in run.plan(from_step=ok)] == ["reuse", "reuse", "run"]
    assert [i.action for i in run.plan(from_step=None)] == ["reuse", "reuse", "reuse"]


def test_a_plan_of_a_failed_run_runs_the_failed_step(world: World) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, 1), await step.run_action(shaky, 2)]

    run = flow.start()
    error_of(run)
    assert [i.action for i in run.plan()] == ["reuse", "run"]
    assert [i.action for i in run.plan(from_step=None)] == ["reuse", "run"]


def test_the_plan_of_a_completed_run_without_from_step_reuses_even_its_failures(world: World) -> None:
    @world.define
    async def flow(step: Any) -> str:
        try:
            await step.run_action(shaky, 1)
        except StepFailed:
            return "caught"
        return "fine"

    run = flow.start()
    run.result(10)
    assert [i.action for i in run.plan(from_step=None)] == ["reuse"]


def test_a_plan_finds_the_changed_function_and_the_restart_does_as_planned(world: World) -> None:
    def first_version() -> Any:
        def helper(x: int) -> int:
            return x + 1

        return helper

    def second_version() -> Any:
        def helper(x: int) -> int:
            return x + 1000

        return helper

    helper = first_version()

    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, 1), await step.run_action(helper, 2), await step.run_action(ok, 3)]

    run = flow.start()
    assert run.result(10) == [1, 3, 3]
    helper = second_version()
    plan = run.plan()
    assert [i.action for i in plan] == ["reuse", "run", "run"]
    assert "function" in plan[1].reason
    CALLS.clear()
    run.restart(from_step="changed")
    assert run.result(10) == [1, 1002, 3]
    assert CALLS == [3]


def test_a_plan_finds_the_changed_arguments(world: World) -> None:
    factor = [1]

    @world.define
    async def flow(step: Any) -> list[Any]:
        return [await step.run_action(ok, 1), await step.run_action(ok, 2 * factor[0])]

    run = flow.start()
    run.result(10)
    factor[0] = 2
    plan = run.plan()
    assert [i.action for i in plan] == ["reuse", "run"]
    assert "argument" in plan[1].reason


def test_the_text_of_a_plan_shows_every_step_its_action_and_its_reason(world: World) -> None:
    run = three(world).start()
    run.result(10)
    text = str(run.plan(from_step=1))
    lines = text.splitlines()
    assert len(lines) == 3
    for number, (line, action) in enumerate(zip(lines, ["reuse", "run", "run"], strict=True)):
        assert str(number) in line
        assert "ok" in line
        assert action in line


def test_a_plan_names_an_unknown_step(world: World) -> None:
    run = three(world).start()
    run.result(10)
    for unknown in ("nope", -1, 3):
        with pytest.raises(StepNotFound):
            run.plan(from_step=unknown)


def test_a_plan_from_inside_a_running_loop_works(world: World) -> None:
    run = three(world).start()
    run.result(10)

    async def cell() -> Any:
        return [i.action for i in run.plan()], world.wf.verify(run)

    assert asyncio.run(cell()) == (["reuse"] * 3, None)


# -- verify --


def test_verify_of_a_run_that_replays_is_none_and_changes_nothing(world: World, capsys: Any) -> None:
    @world.define
    async def flow(step: Any) -> list[Any]:
        print("heard once")
        first = await asyncio.gather(*(step.run_action(ok, i) for i in range(3)))
        await step.sleep(5)
        return [first, step.random.random(), step.now().isoformat()]

    run = flow.start()
    run.result(10)
    before = world.rows()
    capsys.readouterr()
    for _ in range(10):
        assert world.wf.verify(run) is None
    assert world.rows() == before
    assert sorted(CALLS) == [0, 1, 2]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["argument", "result", "raises", "shorter", "longer"])
def test_verify_of_a_run_that_does_not_replay_raises_and_changes_nothing(world: World, kind: str) -> None:
    edited: list[bool] = []

    @world.define
    async def flow(step: Any) -> list[Any]:
        new = kind if edited else ""
        first = await step.run_action(ok, 9 if new == "argument" else 1)
        if new == "raises":
            raise ValueError("new")
        second = None if new == "shorter" else await step.run_action(ok, 2)
        if new == "longer":
            await step.run_action(ok, 3)
        return [first, second, new == "result"]

    run = flow.start()
    run.result(10)
    before = world.rows()
    edited.append(True)
    with pytest.raises(NondeterminismError) as caught:
        world.wf.verify(run)
    assert caught.value.run_id == run.id
    assert world.rows() == before
    assert run.status().type == "completed"
    assert CALLS == [1, 2]


def test_verify_of_failed_canceled_and_running_runs_that_replay_is_none(world: World) -> None:
    @world.define
    async def failing(step: Any) -> None:
        await step.run_action(ok, 1)
        await step.run_action(shaky, 1)

    @world.define
    async def waiting(step: Any) -> None:
        try:
            await step.await_event("go")
        finally:
            await step.run_action(ok, "cleanup")

    failed, canceled, running = failing.start(), waiting.start(), waiting.start()
    error_of(failed)
    world.wait_for_step(canceled, "go")
    canceled.cancel()
    until(lambda: canceled.status().type == "canceled")
    world.wait_for_step(running, "go")
    for run in (failed, canceled, running):
        assert world.wf.verify(run) is None


def test_verify_of_an_unknown_run_says_so(world: World) -> None:
    with pytest.raises(RunNotFound):
        world.wf.verify("nobody")
