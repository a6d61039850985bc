"""A run of before goes on while the rest of the notebook or the script is still to be executed: a missing name is no failure."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recovery_fixtures import World, until, world  # noqa: F401

from wfkernel import DefinitionError, RunFailed
from wfkernel.errors import StepFailed


def executed(world: World, source: str, **names: Any) -> dict[str, Any]:
    """What a notebook holds once this cell was executed: ``note`` and ``wf`` are there."""
    namespace = {"__name__": "__main__", "note": world.note, "wf": world.wf, **names}
    exec(source, namespace)
    return namespace


BODY_USES = """
@wf.workflow
async def flow(step):
    first = await step.run_action(note, "first")
    word = await step.await_event("go")
    await step.run_action(note, helper(word))
    return word
"""


def helper(word: str) -> str:
    return f"helped {word}"


def begun(world: World, source: str, **names: Any) -> str:
    """A run that waits for its event when the process dies; nothing is defined in the next one."""
    run = executed(world, source, helper=helper, **names)["wf"].start("flow")
    until(lambda: [s.kind for s in run.status().running] == ["event"])
    world.crash()
    return run.id


def test_a_body_waits_for_a_name_that_comes_later(world: World) -> None:
    run_id = begun(world, BODY_USES.replace("first = ", "helper; first = "))
    cell = executed(world, BODY_USES.replace("first = ", "helper; first = "))
    run = world.again(run_id)
    until(lambda: run.status().waiting_for)
    assert run.status().waiting_for == "'helper', which workflow 'flow' uses, is not defined here"
    assert run.status().type == "in_progress"
    run.send_event("go", "x")
    cell["helper"] = helper
    assert run.result(10) == "x"
    assert world.calls == ["first", "helped x"]


def test_a_body_that_comes_upon_the_missing_name_late_goes_back_and_waits(world: World) -> None:
    run_id = begun(world, BODY_USES)
    cell = executed(world, BODY_USES)
    run = world.again(run_id)
    run.send_event("go", "x")
    until(lambda: run.status().waiting_for)
    assert run.status().type == "in_progress"
    cell["helper"] = helper
    assert run.result(10) == "x"
    assert world.calls == ["first", "helped x"]


def test_the_workflow_defined_anew_sets_the_run_going(world: World) -> None:
    run_id = begun(world, BODY_USES)
    executed(world, BODY_USES)
    run = world.again(run_id)
    run.send_event("go", "x")
    until(lambda: run.status().waiting_for)
    executed(world, BODY_USES, helper=helper)
    assert run.result(10) == "x"


STEP_USES = """
def load():
    note("load begins")
    return client

@wf.workflow
async def flow(step):
    await step.await_event("go")
    return await step.run_action(load)
"""


def test_an_action_waits_for_a_name_and_its_attempt_does_not_count(world: World) -> None:
    run_id = begun(world, STEP_USES)
    cell = executed(world, STEP_USES)
    run = world.again(run_id)
    run.send_event("go")
    until(lambda: world.calls == ["load begins"])
    waits = until(
        lambda: world.wf._engine.call(lambda: [s.lacks for s in world.wf._engine.runs[run._key].steps.values() if s.lacks])
    )
    assert waits == ["client"]
    cell["client"] = "client"
    assert run.result(10) == "client"
    assert run.steps()[-1].attempts == 1


def test_steps_beside_the_failure_go_on_and_are_not_lost(world: World) -> None:
    source = """
@wf.workflow
async def flow(step):
    await step.await_event("begin")
    async with asyncio.TaskGroup() as group:
        other = group.create_task(step.await_event("other"))
        group.create_task(uses(step))
    return other.result()

async def uses(step):
    await step.run_action(note, "before")
    await step.run_action(note, helper("it"))
"""
    run_id = begun(world, source, asyncio=asyncio)
    cell = executed(world, source, asyncio=asyncio)
    run = world.again(run_id)
    run.send_event("begin")
    until(lambda: run.status().waiting_for)
    run.send_event("other", 42)
    cell["helper"] = helper
    assert run.result(10) == 42
    assert world.calls == ["before", "helped it"]
    assert [s.status for s in run.steps()] == ["success"] * 4


def test_a_run_that_waits_for_a_name_can_be_canceled(world: World) -> None:
    run_id = begun(world, BODY_USES)
    executed(world, BODY_USES)
    run = world.again(run_id)
    run.send_event("go", "x")
    until(lambda: run.status().waiting_for)
    run.cancel()
    until(lambda: run.status().type == "canceled")


def test_a_plan_says_what_is_missing(world: World) -> None:
    run_id = begun(world, BODY_USES.replace("first = ", "helper; first = "))
    executed(world, BODY_USES.replace("first = ", "helper; first = "))
    with pytest.raises(DefinitionError, match="'helper', which workflow 'flow' uses, is not defined here"):
        world.again(run_id).plan()


def test_in_a_run_that_begins_here_a_missing_name_is_an_error(world: World) -> None:
    executed(world, BODY_USES)
    run = world.wf.start("flow")
    run.send_event("go", "x")
    with pytest.raises(RunFailed, match="name 'helper' is not defined"):
        run.result(10)
    executed(world, STEP_USES)
    run = world.wf.start("flow")
    run.send_event("go")
    with pytest.raises(RunFailed) as failed:
        run.result(10)
    assert isinstance(failed.value.__cause__, (StepFailed, NameError))


def test_the_lack_of_a_local_variable_is_an_error(world: World) -> None:
    source = BODY_USES.replace("helper(word)", "late") + "    late = 1\n"
    source = source.replace("    return word\n    late = 1\n", "    late = 1\n    return word\n")
    run_id = begun(world, source)
    executed(world, source)
    run = world.again(run_id)
    run.send_event("go", "x")
    with pytest.raises(RunFailed, match="late"):
        run.result(10)


def test_a_name_that_is_there_and_still_missing_is_waited_for_once(world: World) -> None:
    source = BODY_USES.replace("helper(word)", "raiser()")
    source += """
def raiser():
    note
    raise NameError("never", name="note")
"""
    run_id = begun(world, source)
    executed(world, source)
    run = world.again(run_id)
    run.send_event("go", "x")
    with pytest.raises(RunFailed, match="never"):
        run.result(10)
