"""A kernel beside the process that holds the journal: it starts and watches runs there, and takes the journal over when it goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from frontend import FrontEnd  # noqa: TC002 - a name of ours, though it is no package

VIEW = "application/vnd.jupyter.widget-view+json"
TRIP = """
ok = define_event("ok", bool)

@wf.workflow
async def trip(step, city: str):
    name = await step.run_action(city.upper)
    return name, await step.await_event(ok)
"""
HOLDER = f"""
import sys
from wfkernel import WorkflowManager, define_event
wf = WorkflowManager(sys.argv[1])
{TRIP}
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "shared.duckdb")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


def told(front: FrontEnd, comm_id: str) -> list[dict]:
    return [a["content"] for a in front.answers(comm_id) if a.get("method") == "custom"]


def card_of_a_new_run(front: FrontEnd, holder: subprocess.Popen[str], tmp_path: Path) -> str:
    """Start a run by name in a kernel that has no such workflow; the comm of its card."""
    front.run("%load_ext wfkernel")
    opened = front.run(f"%wf journal {tmp_path / 'shared.duckdb'}").printed
    assert f"process {holder.pid} holds it" in opened
    cell = front.run("run = %wf start trip city=Oslo\nrun")
    (shown,) = [m["content"]["data"] for m in cell.of("display_data") if VIEW in m["content"]["data"]]
    comm_id = shown[VIEW]["model_id"]
    front.send_comm(comm_id, {"method": "custom", "content": {"k": "hello", "view": "v"}})
    return comm_id


def awaits(front: FrontEnd, comm_id: str) -> bool:
    """Whether the card shows the step that waits for the event."""
    return any(row[0] == 1 and row[3] == 1 for message in told(front, comm_id) for row in message.get("rows", ()))


def test_a_second_kernel_starts_watches_and_answers_a_run(front: FrontEnd, holder: subprocess.Popen[str], tmp_path: Path) -> None:
    comm_id = card_of_a_new_run(front, holder, tmp_path)
    front.until(lambda: awaits(front, comm_id), "the step that waits for the event")
    for question in ({"k": "details", "step": 0}, {"k": "form", "step": 1}):
        front.send_comm(comm_id, {"method": "custom", "content": question})
    details = front.until(lambda: [m for m in told(front, comm_id) if m["k"] == "details"], "the details")[0]
    assert details["result"] == "'OSLO'"
    form = front.until(lambda: [m for m in told(front, comm_id) if m["k"] == "form"], "the form")[0]
    assert (form["event"], form["type"], form["form"]) == ("ok", "bool", {"kind": "bool"})
    waiting = front.begin("run.result()")
    front.until(lambda: any("event 'ok'" in line for line in waiting.shown), "the line that says what the cell waits for")
    click = {"k": "cmd", "id": "c1", "cmd": "send", "step": 1, "event": "ok", "value": True}
    front.send_comm(comm_id, {"method": "custom", "content": click})
    assert waiting.succeed().value == "('OSLO', True)"
    front.until(lambda: any(m.get("run", {}).get("status") == "completed" for m in told(front, comm_id)), "the end on the card")


def test_the_kernel_takes_over_when_the_holder_dies_and_goes_on_once_the_workflow_is_defined(
    front: FrontEnd, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    comm_id = card_of_a_new_run(front, holder, tmp_path)
    front.until(lambda: awaits(front, comm_id), "the step that waits for the event")
    before = len(told(front, comm_id))
    holder.kill()
    holder.wait()
    note = "waits for workflow 'trip' to be defined: run its cell"
    front.until(
        lambda: any((m.get("run") or {}).get("note") == note for m in told(front, comm_id)[before:]),
        "what the run needs, on the card",
    )
    front.run("from wfkernel import define_event\n" + TRIP)
    front.run("run.send_event(ok, False)")
    assert front.run("run.result(20)").value == "('OSLO', False)"
    assert front.run("wf.holder is None, [s.attempts for s in run.steps()]").value == "(True, [1, 0])"
    front.until(lambda: any(m.get("run", {}).get("status") == "completed" for m in told(front, comm_id)), "the end on the card")


def test_a_cell_that_defines_a_workflow_says_that_another_process_runs_it(
    front: FrontEnd, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    front.run("%load_ext wfkernel")
    front.run(f"%wf journal {tmp_path / 'shared.duckdb'}")
    printed = front.run("%%workflow onlyhere(n: int) -> int\nreturn n").printed
    assert f"process {holder.pid} holds the journal and runs the steps, and has no such workflow" in printed
    assert "%wf journal PATH" in printed
    known = front.run("%%workflow trip(city: str)\nreturn city").printed
    assert f"process {holder.pid} holds the journal, and runs it as it is defined there" in known
    waiting = front.begin("run = onlyhere.start(1)\nrun.result(timeout=2)")
    needs = f"the definition of workflow 'onlyhere' in process {holder.pid}, which holds the journal"
    front.until(lambda: any(needs in line for line in waiting.shown), "the line that says what the run needs")
    waiting.wait()
    (error,) = (m["content"] for m in waiting.of("error"))
    assert error["ename"] == "TimeoutError"
    assert "connected.py" not in "".join(error["traceback"])
    status = front.run("run.status().waiting_for").value
    assert status == repr(f"workflow 'onlyhere' is not defined in process {holder.pid}, which holds the journal")


LOOK = {"names": [], "statuses": [], "text": "", "sort": "created", "desc": True, "page": 0}


def test_the_dashboard_of_a_second_kernel_shows_the_holders_runs(
    front: FrontEnd, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    front.run(
        f"%load_ext wfkernel\n%wf journal {tmp_path / 'shared.duckdb'}\nruns = [wf.start('trip', city=c) for c in ('Oslo', 'Rome')]"
    )
    (shown,) = [m["content"]["data"] for m in front.run("import wfkernel; wfkernel.dashboard()").of("execute_result")]
    assert "2 runs in " in shown["text/html"]
    board = shown[VIEW]["model_id"]

    def say(**content: object) -> None:
        front.send_comm(board, {"method": "custom", "content": {"view": "v", **content}})

    def look(n: int) -> dict:
        say(k="look", n=n, look=LOOK)
        return front.until(lambda: [m for m in told(front, board) if m["k"] == "page" and m["n"] == n], "a page")[0]

    first = look(1)
    assert [row[1:3] for row in first["rows"]] == [["trip", "in_progress"]] * 2
    run_id = first["rows"][0][0]
    say(k="open", run=run_id)
    card = front.until(lambda: [m for m in told(front, board) if m["k"] == "opened"], "the card")[0]["card"]
    front.send_comm(card, {"method": "custom", "content": {"k": "hello", "view": "c"}})
    front.until(lambda: awaits(front, card), "the step that waits for the event")
    waiting = front.begin("runs[0].result()")
    front.until(lambda: any("event 'ok'" in line for line in waiting.shown), "the line that says what the cell waits for")
    say(k="cmd", id="c1", cmd="cancel", runs=[run_id])
    ack = front.until(lambda: [m for m in told(front, board) if m["k"] == "ack"], "the acknowledgment")[0]
    assert ack["msg"] == "1 canceled"
    front.until(lambda: [m for m in told(front, board) if m["k"] == "news"], "the news that a run was canceled")
    assert look(2)["counts"] == {"in_progress": 1, "failed": 0, "canceled": 1, "completed": 0}
    say(k="cmd", id="c2", cmd="cancel", runs=[row[0] for row in first["rows"]])
    assert waiting.wait().error == "RunCanceled"
