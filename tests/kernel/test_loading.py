"""``%load_ext``, ``%unload_ext``, ``%reload_ext`` in a real kernel, and what a cell shows there when a wait fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from frontend import Cell, FrontEnd  # noqa: TC002 - a name of ours, though it is no package

WAITING = "%%workflow waiting()\nreturn await step.await_event('go', timeout=3600)"
OURS = ("manager.py", "waiting.py", "attempts.py", "workers.py", "asyncio/", "interactiveshell.py")


@pytest.fixture
def kernel(bare: FrontEnd, tmp_path: Path) -> FrontEnd:
    bare.run(f"import os\nos.chdir({str(tmp_path)!r})")
    bare.run("%load_ext wfkernel")
    return bare


def traceback_of(cell: Cell) -> str:
    (error,) = cell.of("error")
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["content"]["traceback"]))


def test_loading_brings_the_waits_of_cells_in(kernel: FrontEnd) -> None:
    assert kernel.run("import wfkernel.waits\ntype(wfkernel.waits.waits).__name__").value == "'KernelWaits'"


def test_unloading_and_loading_again_leaves_one_of_everything(kernel: FrontEnd) -> None:
    kernel.run(WAITING)
    kernel.run("run = waiting.options(id='w').start()")
    kernel.run("%reload_ext wfkernel")
    kernel.run(WAITING)
    kernel.run("%unload_ext wfkernel")
    assert "not found" in kernel.execute("%wf list").wait().of("stream", "error")[0]["content"].get("text", "")
    assert "1 run is unfinished" in kernel.run("%load_ext wfkernel").shown[0]
    assert "waiting: run w goes on\n" in kernel.run(WAITING).printed
    count = "sum(type(c).__name__ == 'WorkflowMagics' for c in get_ipython().configurables)"
    assert kernel.run(count).value == "1"
    cell = kernel.begin("await wf.get('w')")
    kernel.until(lambda: cell.shown, "the line that says that the cell waits")
    kernel.interrupt()
    assert cell.wait().error == "KeyboardInterrupt"
    kernel.run("wf.send_event('go', 1, run='w')")
    assert kernel.run("wf.result('w')").value == "1"


@pytest.mark.parametrize("wait", ["run.result()", "await run"])
def test_a_wait_for_a_held_run_says_that_it_is_to_be_resumed(kernel: FrontEnd, wait: str) -> None:
    kernel.run(WAITING)
    kernel.run("waiting.options(id='held').start()\n%unload_ext wfkernel\n%env WFKERNEL_AUTO_RESUME=0\n%load_ext wfkernel")
    kernel.run(WAITING + "\n")
    cell = kernel.begin(f"run = wf.get('held')\n{wait}")
    kernel.until(lambda: cell.shown, "the line that says what the cell waits for")
    assert cell.shown == ["waiting for run held: to be resumed (run.resume(), or `%wf resume held`)"]
    kernel.interrupt()
    cell.wait()
    kernel.run("%wf resume held")
    kernel.run("run.send_event('go', 'on')")
    assert kernel.run(wait).value == "'on'"


@pytest.mark.parametrize("wait", ["run.result(20)", "await run"])
def test_a_failed_run_shows_the_cell_and_the_steps_own_line(kernel: FrontEnd, wait: str) -> None:
    kernel.run("def fetch(n):\n    return 1 // n")
    kernel.run("%%workflow failing()\nawait step.run_action(fetch, 0)")
    kernel.run("run = failing.start()")
    cell = kernel.execute(f"1 + 1\n{wait}").wait()
    assert cell.error == "RunFailed"
    shown = traceback_of(cell)
    assert "----> 2     return 1 // n" in shown
    assert f"----> 2 {wait}" in shown
    assert [word for word in OURS if word in shown] == []


@pytest.mark.parametrize("wait", ["run.result()", "await run"])
def test_a_wait_that_was_stopped_shows_the_cell_alone(kernel: FrontEnd, wait: str) -> None:
    kernel.run(WAITING)
    kernel.run("run = waiting.start()")
    cell = kernel.begin(wait)
    kernel.until(lambda: cell.shown, "the line that says that the cell waits")
    kernel.interrupt()
    cell.wait()
    shown = traceback_of(cell)
    assert f"----> 1 {wait}" in shown
    assert [word for word in OURS if word in shown] == []
