"""`approve` in real kernels: the message of its form is heard while a cell blocks, and ends up in the journal."""

from __future__ import annotations

import pytest
from frontend import Cell, FrontEnd  # noqa: TC002 - a name of ours, though it is no package

VIEW = "application/vnd.jupyter.widget-view+json"
WAYS = {"blocking": "run.result()", "awaiting": "await run"}
TRIP = """
import wfkernel
from pydantic import BaseModel, Field

class Seat(BaseModel):
    row: int = Field(ge=1)
    window: bool = True

choose = define_event("choose", Seat)

@wf.workflow
async def trip(step, city: str):
    seat = await step.await_event(choose)
    return seat.row

def journaled():
    (event,) = wf.db.execute("SELECT name, status, value FROM wf.events").fetchall()
    return event
"""


def form_in(front: FrontEnd, code: str) -> tuple[str, Cell]:
    """Run a cell that shows a form; the comm of the form, and the cell."""
    cell = front.run(code)
    (shown,) = [m["content"]["data"] for m in cell.of("display_data") if VIEW in m["content"]["data"]]
    comm_id = shown[VIEW]["model_id"]
    front.send_comm(comm_id, {"method": "custom", "content": {"k": "hello", "view": "v"}})
    front.until(lambda: told(front, comm_id, "approval"), "the form")
    return comm_id, cell


def updates(front: FrontEnd, cell: Cell) -> list[dict]:
    """The changes of the form's display, by its id: ipykernel 6 says the latest cell is their parent."""
    display_id = cell.of("display_data")[0]["content"]["transient"]["display_id"]
    found = [m["content"] for m in front.messages if m["msg_type"] == "update_display_data"]
    return [content["data"] for content in found if content["transient"]["display_id"] == display_id]


def told(front: FrontEnd, comm_id: str, kind: str) -> list:
    found = [a["content"] for a in front.answers(comm_id) if a.get("method") == "custom"]
    return [content for content in found if content["k"] == kind]


def click(front: FrontEnd, comm_id: str, value: object, name: str, number: str = "c1") -> dict:
    command = {"k": "cmd", "id": number, "cmd": "send", "event": name, "value": value}
    front.send_comm(comm_id, {"method": "custom", "content": command})
    return front.until(lambda: [a for a in told(front, comm_id, "ack") if a["id"] == number], "the acknowledgment")[0]


@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("event", ["choose", "'choose'"], ids=["an Event", "a name"])
def test_an_answer_is_heard_while_a_cell_waits(front: FrontEnd, wait: str, event: str) -> None:
    front.run(TRIP)
    comm_id, cell = form_in(front, f"run = trip.start('Rome'); wfkernel.approve(run, {event})")
    state = told(front, comm_id, "approval")[-1]
    assert state["type"] == "Seat"
    assert [f["title"] for f in state["form"]["fields"]] == ["Row", "Window"]
    assert state["about"] == [["city", "'Rome'"]]
    waiting = front.begin(wait)
    front.until(lambda: waiting.shown, "the line that says that the cell waits")
    refused = click(front, comm_id, {"row": 0}, "choose")
    assert not refused["ok"]
    assert refused["errors"][0]["loc"] == ["row"]
    assert not waiting.is_done
    assert click(front, comm_id, {"row": 7}, "choose", "c2")["ok"]
    assert waiting.succeed().value == "7"
    assert front.run("journaled()[:2]").value == "('choose', 'consumed')"
    assert '{"row":7,"window":true}' in (front.run("journaled()[2]").value or "")
    front.until(lambda: updates(front, cell), "what was sent, in the cell of the form")
    assert "Sent Seat(row=7, window=True) at " in updates(front, cell)[-1]["text/plain"]
    assert VIEW not in updates(front, cell)[-1]
    again = click(front, comm_id, {"row": 8}, "choose", "c3")
    assert not again["ok"]
    assert "sent already" in again["msg"]


def test_a_form_may_come_before_the_await_and_the_id_of_the_run_is_enough(front: FrontEnd) -> None:
    front.run(TRIP)
    front.run(
        """
@wf.workflow
async def slow(step):
    await step.await_event("first")
    return (await step.await_event(choose)).row
run = slow.start()
"""
    )
    comm_id, _ = form_in(front, "wfkernel.approve(run.id, choose)")
    assert click(front, comm_id, {"row": 3}, "choose")["ok"]
    front.run("run.send_event('first')")
    assert front.run("run.result()").value == "3"


def test_a_form_that_was_answered_elsewhere_says_so(front: FrontEnd) -> None:
    front.run(TRIP)
    comm_id, cell = form_in(front, "run = trip.start('Rome'); wfkernel.approve(run, choose)")
    front.run("run.send_event(choose, Seat(row=2)); run.result()")
    front.until(lambda: updates(front, cell), "how it was answered")
    assert "Answered elsewhere: Seat(row=2, window=True)" in updates(front, cell)[-1]["text/plain"]
    assert not click(front, comm_id, {"row": 3}, "choose")["ok"]


def test_a_run_that_is_canceled_closes_its_form(front: FrontEnd) -> None:
    front.run(TRIP)
    _, cell = form_in(front, "run = trip.start('Rome'); wfkernel.approve(run, choose)")
    front.run("run.cancel()")
    front.until(lambda: updates(front, cell), "that it is over")
    assert "canceled" in updates(front, cell)[-1]["text/plain"]


def test_errors_are_clear(front: FrontEnd) -> None:
    front.run(TRIP)
    front.run("run = trip.start('Rome')")
    unknown = front.execute("wfkernel.approve(run, 'chose')").wait()
    assert unknown.error == "EventNotFound"
    assert "awaits no event 'chose' now; it awaits: 'choose'" in unknown.message
    assert front.execute("wfkernel.approve('no such run', 'choose')").wait().error == "RunNotFound"
    assert front.execute("wfkernel.approve(run, 7)").wait().error == "InvalidArguments"
    front.run("run.cancel()")
    late = front.execute("wfkernel.approve(run, choose)").wait()
    assert late.error == "RunNotActive"
    assert "canceled" in late.message
