"""Cells that wait: the Stop button, the line in the output, Voila; and plain waits without a kernel."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import ipykernel
import pytest
from frontend import Cell, FrontEnd  # noqa: TC002 - a name of ours, though it is no package

WAYS = {"blocking": "run.result()", "awaiting": "await run", "blocking in an async cell": "await asyncio.sleep(0)\nrun.result()"}
STOP_S = 2.0  # asserted, for busy machines; measured: 0.03 to 0.07 s


def stop(front: FrontEnd, cell: Cell, record_property) -> None:
    """Press Stop. The wait is over when the line says so; IPython takes up to half a second more to draw its first traceback."""
    lines = len(cell.shown)
    pressed = front.interrupt()
    front.until(lambda: len(cell.shown) > lines or cell.is_done, "the end of the wait")
    took = time.perf_counter() - pressed
    cell.wait()
    record_property("stop_s", took)
    print(f"Stop to the end of the wait: {took * 1000:.0f} ms; to idle: {(time.perf_counter() - pressed) * 1000:.0f} ms")
    assert took < STOP_S


@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_stop_ends_the_wait_and_the_run_goes_on(front: FrontEnd, wait: str, record_property) -> None:
    run_id = front.run("run = approval.start(); print(run.id)").printed.strip()
    cell = front.begin(wait)
    front.until(lambda: cell.shown, "the line")
    stop(front, cell, record_property)
    assert cell.error == "KeyboardInterrupt"
    assert cell.shown[-1].startswith(f"stopped waiting for run {run_id} after")
    assert front.run("run.status().type").value == "'in_progress'"
    assert front.run("run.send_event(approve, True); run.result()").value == "True"


def test_stop_ends_waits_in_tasks_of_the_cell(front: FrontEnd, record_property) -> None:
    cell = front.begin("runs = [approval.start() for _ in range(5)]\nawait asyncio.gather(*runs)")
    front.until(lambda: cell.shown and cell.shown[-1].startswith("waiting for 5 runs: "), "the line")
    stop(front, cell, record_property)
    assert (
        cell.error == "CancelledError"
    )  # a KeyboardInterrupt in a task would leave through the kernel's loop and end the kernel
    front.until(lambda: cell.shown[-1].startswith("5 runs: 5 still in progress; the cell waited"), "the line's end")
    assert len(cell.of("display_data")) == 1
    assert front.run("[r.status().type for r in runs] == ['in_progress'] * 5").value == "True"


def test_stop_can_be_pressed_again_and_again(front: FrontEnd) -> None:
    cell = front.begin(
        """
run = approval.start()
for n in range(3):
    try:
        print(n, flush=True)
        await run
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""
    )
    for n in range(3):
        front.until(lambda n=n: f"{n}\n" in cell.printed, f"wait {n}")
        front.until(lambda n=n: len(cell.shown) > 2 * n, f"the line of wait {n}")
        front.interrupt()
    assert cell.succeed().printed.count("stopped") == 3


def test_stop_works_as_before_after_a_wait(front: FrontEnd) -> None:
    front.run("import time; run = approval.start(); run.send_event(approve, True)")
    cell = front.begin("run.result(); print('now', flush=True); time.sleep(60)")
    front.until(lambda: cell.printed, "the sleep")
    front.interrupt()
    assert cell.wait().error == "KeyboardInterrupt"


@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_one_line_says_what_the_run_waits_for_and_how_it_ended(front: FrontEnd, wait: str) -> None:
    front.run(
        """
@action
async def work():
    while not go.is_set():
        await asyncio.sleep(0.01)

@wf.workflow
async def trip(step):
    await asyncio.gather(step.run_action(work), step.run_action(work))
    return await step.await_event(approve)

go = threading.Event()
run = trip.start()
approve_soon = threading.Timer(0.1, lambda: run.send_event(approve, True))
"""
    )
    run_id = front.run("print(run.id)").printed.strip()
    cell = front.begin(f"helper = threading.Timer(1.2, go.set); helper.start()\n{wait}")
    front.until(lambda: cell.shown == [f"waiting for run {run_id}: step 'work' ×2"], "the first line")
    front.until(lambda: cell.shown[1:] == [f"waiting for run {run_id}: event 'approve'"], "the second")
    front.interrupt()
    cell.wait()
    assert len(cell.of("display_data")) == 1
    assert {m["content"]["transient"]["display_id"] for m in cell.of("display_data", "update_display_data")} == {
        cell.of("display_data")[0]["content"]["transient"]["display_id"]
    }
    cell = front.begin(f"threading.Timer(1.2, run.send_event, (approve, True)).start()\n{wait}").succeed()
    assert cell.shown[0] == f"waiting for run {run_id}: event 'approve'"
    assert cell.shown[1].startswith(f"run {run_id} completed; the cell waited 1.")
    assert len(cell.shown) == 2


def test_short_waits_say_nothing_and_one_cell_has_one_line(front: FrontEnd) -> None:
    cell = front.run("for n in range(20):\n    run = approval.start(); run.send_event(approve, True); run.result()")
    assert cell.shown == []
    cell = front.run(
        """
for n in range(2):
    run = approval.start(); threading.Timer(0.8, run.send_event, (approve, True)).start(); run.result()
"""
    )
    assert len(cell.of("display_data")) == 1
    assert len(cell.of("update_display_data")) == 3  # ended, next, ended


def test_a_timeout_says_that_the_run_goes_on(front: FrontEnd) -> None:
    cell = front.begin("run = approval.start(); run.result(0.7)").wait()
    assert cell.error == "TimeoutError"
    assert "it goes on" in cell.message
    assert cell.shown[-1].endswith(": it goes on")
    cell = front.begin("await asyncio.wait_for(run, 0.7)").wait()
    assert cell.error == "TimeoutError"
    assert front.run("run.result(0) if run.status().type != 'in_progress' else 'goes on'").value == "'goes on'"


def test_a_failed_run_raises_in_the_cell(front: FrontEnd) -> None:
    front.run("run = approval.start(); threading.Timer(0.8, run.send_event, (approve,), {'error': 'no'}).start()")
    cell = front.begin("await run").wait()
    assert cell.error == "RunFailed"
    assert " failed; the cell waited 0." in cell.shown[-1] or " failed; the cell waited 1." in cell.shown[-1]


def test_a_manager_that_is_closed_ends_the_wait(front: FrontEnd) -> None:
    cell = front.begin(
        "other = WorkflowManager(':memory:')\n@other.workflow\nasync def forever(step):\n    await step.await_event('x')\n"
        "threading.Timer(0.8, other.close).start(); forever.start().result()"
    ).wait()
    assert cell.error == "EngineStopped"


def test_voila_is_refused_with_the_way_out(front: FrontEnd) -> None:
    front.run("import os; os.environ['SERVER_SOFTWARE'] = 'voila/0.5.13'")
    try:
        for wait in WAYS.values():
            cell = front.begin(f"run = approval.start()\n{wait}").wait()
            assert cell.error == "WfkernelError"
            assert "Voila" in cell.message
            assert "create_task" in cell.message
        cell = front.run("async def show(): print(await run)\ntask = asyncio.create_task(show()); run.send_event(approve, True)")
        front.until(lambda: any("True" in m["content"].get("text", "") for m in front.messages), "what the task printed")
        assert front.run("run.result()").value == "True"  # it has ended: nothing to wait for
    finally:
        front.run("del os.environ['SERVER_SOFTWARE']")


def test_an_action_waits_plainly_and_says_nothing(front: FrontEnd) -> None:
    cell = front.run(
        """
@wf.workflow
async def outer(step):
    return await step.run_action(lambda: inner.result())

inner = approval.start()
run = outer.start()
threading.Timer(0.8, inner.send_event, (approve, True)).start()
while run.status().type == "in_progress":
    pass
print(run.result())
"""
    )
    assert cell.printed == "True\n"
    assert cell.shown == []


@pytest.mark.skipif(ipykernel.version_info[0] < 7, reason="ipykernel 6 has no subshells")
def test_a_cell_of_a_subshell_waits_while_the_main_shell_works(front: FrontEnd) -> None:
    run_id = front.run("run = approval.start(); print(run.id)").printed.strip()
    front.make_subshell()
    code = {"code": "print(run.result())", "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    cell = front.cell(front.send("execute_request", code))
    front.until(lambda: cell.shown, "the line")
    assert cell.shown == [f"waiting for run {run_id}: event 'approve'"]
    front.run("run.send_event(approve, True)")
    assert cell.succeed().printed == "True\n"


def test_a_script_waits_plainly_and_loads_nothing_of_the_notebook(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import asyncio, sys
from wfkernel import WorkflowManager, waits

with WorkflowManager(":memory:") as wf:
    @wf.workflow
    async def nap(step):
        await step.sleep(0.01)
        return 1

    async def main():
        return await nap.start()

    print(nap.start().result(), asyncio.run(main()), type(waits.waits) is waits.Waits)
    print(*sorted({"IPython", "ipykernel", "wfkernel.notebook.waiting"} & sys.modules.keys()))
"""
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["1", "1", "True"]


def test_ipython_in_a_terminal_waits_plainly(tmp_path: Path) -> None:
    script = tmp_path / "session.ipy"
    script.write_text(
        """
from wfkernel import WorkflowManager, waits
wf = WorkflowManager(":memory:")
@wf.workflow
async def nap(step):
    await step.sleep(0.01)
    return 1
print(nap.start().result(), await nap.start(), type(waits.waits).wait is waits.Waits.wait)
wf.close()
"""
    )
    command = [sys.executable, "-m", "IPython", "--quick", "--no-banner", "--colors=nocolor", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout.split()[-3:] == ["1", "1", "True"], done.stdout + done.stderr
