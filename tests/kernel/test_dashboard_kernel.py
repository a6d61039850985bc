"""The dashboard in real kernels: its clicks are heard while a cell blocks, and a page that was reloaded gets it back."""

from __future__ import annotations

from typing import Any

import pytest
from frontend import FrontEnd  # noqa: TC002 - a name of ours, though it is no package

VIEW = "application/vnd.jupyter.widget-view+json"
WAYS = {"blocking": "run.result()", "awaiting": "await run"}
LOOK = {"names": [], "statuses": [], "text": "", "sort": "created", "desc": True, "page": 0}


class Page:
    """A view of the dashboard that a cell shows."""

    def __init__(self, front: FrontEnd):
        self.front = front
        (shown,) = [m["content"]["data"] for m in front.run("import wfkernel; wfkernel.dashboard()").of("execute_result")]
        self.static = shown["text/html"]
        self.comm_id = shown[VIEW]["model_id"]
        self.n = 0

    def say(self, **content: Any) -> None:
        self.front.send_comm(self.comm_id, {"method": "custom", "content": {"view": "v", **content}})

    def told(self, kind: str) -> list[Any]:
        found = [a["content"] for a in self.front.answers(self.comm_id) if a.get("method") == "custom"]
        return [content for content in found if content["k"] == kind]

    def look(self) -> Any:
        self.n += 1
        self.say(k="look", n=self.n, look=LOOK)
        return self.front.until(lambda: [p for p in self.told("page") if p["n"] == self.n], "a page")[0]

    def command(self, cmd: str, *runs: str) -> Any:
        self.say(k="cmd", id=cmd, cmd=cmd, runs=list(runs))
        return self.front.until(lambda: [a for a in self.told("ack") if a["id"] == cmd], "the acknowledgment")[0]


@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_cancel_is_heard_while_a_cell_waits(front: FrontEnd, wait: str) -> None:
    front.run("run, other = approval.start(), approval.start()")
    page = Page(front)
    ids = [row[0] for row in page.look()["rows"]]
    assert "2 runs in :memory:" in page.static
    waiting = front.begin(wait)
    front.until(lambda: waiting.shown, "the line that says that the cell waits")
    assert page.look()["counts"]["in_progress"] == 2
    assert page.command("cancel", ids[0])["msg"] == "1 canceled"
    assert not waiting.is_done
    front.until(lambda: page.told("news"), "the news that a run was canceled")
    assert page.look()["counts"] == {"in_progress": 1, "failed": 0, "canceled": 1, "completed": 0}
    assert page.command("cleanup", ids[0])["msg"] == "1 cleaned up"
    front.send_comm(page.comm_id, {"method": "custom", "content": {"k": "cmd", "id": "both", "cmd": "cancel", "runs": ids}})
    assert waiting.wait().error == "RunCanceled"
    both = front.until(lambda: [a for a in page.told("ack") if a["id"] == "both"], "the acknowledgment")[0]
    assert both["msg"] == "1 canceled, 1 gone already"


def test_a_run_that_is_waited_for_can_be_canceled_and_opened_meanwhile(front: FrontEnd) -> None:
    front.run("run = approval.start()")
    page = Page(front)
    waiting = front.begin("run.result()")
    front.until(lambda: waiting.shown, "the line that says that the cell waits")
    run_id = page.look()["rows"][0][0]
    page.say(k="open", run=run_id)
    card = front.until(lambda: page.told("opened"), "the card")[0]["card"]
    assert not waiting.is_done
    opened = [m["content"] for m in front.messages if m["msg_type"] == "comm_open"]
    assert card in [content["comm_id"] for content in opened], "the page can make a view of it"
    front.send_comm(card, {"method": "custom", "content": {"k": "hello", "view": "c", "seq": -1}})
    front.until(lambda: any(a["content"]["k"] == "snap" for a in front.answers(card) if a.get("method") == "custom"), "the run")
    shown = len([m for m in front.messages if m["msg_type"] == "display_data"])
    page.say(k="open", run=run_id, below=True)
    front.until(lambda: len([m for m in front.messages if m["msg_type"] == "display_data"]) > shown, "the card below the cell")
    assert page.command("cancel", run_id)["ok"]
    assert waiting.wait().error == "RunCanceled"


def test_a_reloaded_page_gets_it_back_while_a_cell_blocks(front: FrontEnd) -> None:
    front.run("run = approval.start()")
    page = Page(front)
    page.look()
    waiting = front.begin("run.result()")
    front.until(lambda: waiting.shown, "the line that says that the cell waits")
    front.send("comm_open", {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}}, {"version": "1.0.0"})
    front.send_comm("control", {"method": "request_states"})
    states = front.until(lambda: [a for a in front.answers("control") if a.get("method") == "update_states"], "the widgets")[0]
    assert page.comm_id in states["states"]
    assert page.look()["total"] == 1
    assert not waiting.is_done
    page.command("cancel", page.told("page")[-1]["rows"][0][0])
    assert waiting.wait().error == "RunCanceled"
