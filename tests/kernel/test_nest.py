"""``%wf nest``: user code may call ``asyncio.run`` in a cell, and what is ours works with it as without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from frontend import FrontEnd  # noqa: TC002 - a name of ours, though it is no package

RUN = "import asyncio\nasync def answer():\n    await asyncio.sleep(0.01)\n    return 42\n"
WORKFLOW = """
import asyncio, threading, time
wf.db.execute("CREATE OR REPLACE TABLE notes (text VARCHAR)")

async def look(n):
    await asyncio.sleep(0.01)
    return asyncio.get_running_loop() is not None and n + 1

def work(n):
    time.sleep(0.01)
    return asyncio.run(look(n))      # in a thread of its own: never needs nest

def note(db, text):
    db.execute("INSERT INTO notes VALUES (?)", [text])

@wf.workflow
async def mixed(step):
    first = await step.run_action(look, 0)
    both = await asyncio.gather(step.run_action(look, 10), step.run_action(work, 20))
    await step.run_mutation(note, f"{first} {both}")
    async with asyncio.timeout(60):
        approved = await step.await_event(approve)
    await step.sleep(0.01)
    return [first, *both, approved, wf_rows(await step.run_query(rows))]

def rows(db):
    return db.execute("SELECT text FROM notes").fetchall()

def wf_rows(found):
    return len(found)
"""
WAYS = {
    "blocking": "run.result()",
    "awaiting": "await run",
    "awaiting in a task": "await asyncio.create_task(run._wait())",
    "blocking in an async cell": "await asyncio.sleep(0)\nrun.result()",
}


@pytest.fixture(params=["without nest", "with nest"])
def kernel(request: pytest.FixtureRequest, front: FrontEnd) -> Iterator[FrontEnd]:
    front.run("%load_ext wfkernel")
    if request.param == "with nest":
        assert "cells may call asyncio.run" in front.run("%wf nest on").printed
    yield front
    front.run("%wf nest off")


def test_asyncio_run_fails_without_and_works_with_nest(bare: FrontEnd) -> None:
    bare.run("%load_ext wfkernel\n" + RUN)
    bare.run("asking = answer()")
    refused = bare.execute("asyncio.run(asking)").wait()
    assert refused.error == "RuntimeError"
    assert refused.message == "asyncio.run() cannot be called from a running event loop"
    bare.run("asking.close()")
    bare.run("%wf nest on")
    assert bare.run("asyncio.run(answer())").value == "42"
    assert bare.run("asyncio.get_event_loop().run_until_complete(answer())").value == "42"
    assert bare.run("await answer()").value == "42"
    assert bare.run("[asyncio.run(answer()), await answer()]").value == "[42, 42]"
    assert "asyncio is as it was" in bare.run("%wf nest off").printed
    bare.run("asking = answer()")
    assert bare.execute("asyncio.run(asking)").wait().error == "RuntimeError"
    bare.run("asking.close()")
    assert bare.run("await answer()").value == "42"
    bare.run("wf.close()")


@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_steps_of_all_kinds_and_a_click_while_a_cell_waits(kernel: FrontEnd, wait: str) -> None:
    kernel.run(WORKFLOW)
    comm_id = kernel.run("run = mixed.start(); button = Button(run)\nprint(button.comm.comm_id)").printed.strip()
    cell = kernel.begin(wait)
    kernel.until(lambda: cell.shown and "event 'approve'" in cell.shown[-1], "the line that says what the cell waits for")
    kernel.send_comm(comm_id, True)
    assert cell.succeed().value == "[1, 11, 21, True, 1]"
    assert kernel.answers(comm_id) == [{"clicked": True, "thread": "wfkernel-widgets"}]


@pytest.mark.parametrize("wait", ["run.result()", "await run"])
def test_stop_ends_the_wait_and_the_run_goes_on(kernel: FrontEnd, wait: str) -> None:
    kernel.run("run = approval.start()")
    cell = kernel.begin(wait)
    kernel.until(lambda: cell.shown, "the line")
    kernel.interrupt()
    assert cell.wait().error == "KeyboardInterrupt"
    assert kernel.run("run.send_event(approve, True); run.result()").value == "True"


def test_a_run_can_be_waited_for_inside_of_a_nested_asyncio_run(front: FrontEnd) -> None:
    front.run("%load_ext wfkernel\n%wf nest on\n" + WORKFLOW)
    comm_id = front.run("run = mixed.start(); button = Button(run)\nprint(button.comm.comm_id)").printed.strip()
    cell = front.begin("async def main():\n    return await run\nasyncio.run(main())")
    front.until(lambda: cell.shown and "event 'approve'" in cell.shown[-1], "the line that says what the cell waits for")
    front.send_comm(comm_id, False)
    assert cell.succeed().value == "[1, 11, 21, False, 1]"
    front.run("%wf nest off")
