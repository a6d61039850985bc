"""Clicks reach us while a cell waits, and nobody else's messages are touched."""

from __future__ import annotations

import time

import ipykernel
import pytest
from frontend import Cell, FrontEnd  # noqa: TC002 - a name of ours, though it is no package

WAYS = {"blocking": "run.result()", "awaiting": "await run"}
HAS_SUBSHELLS = ipykernel.version_info[0] >= 7


@pytest.fixture(params=["main shell", "subshell"])
def shell(request: pytest.FixtureRequest, front: FrontEnd) -> None:
    """Whether the page sends comm messages to a subshell, as JupyterLab's default is."""
    if request.param == "subshell":
        if not HAS_SUBSHELLS:
            pytest.skip("ipykernel 6 has no subshells")
        front.make_subshell()


def begin_waiting(front: FrontEnd, code: str, prepare: str = "run = approval.start(); button = Button(run)") -> tuple[str, Cell]:
    """Begin a cell that waits; the id of the button's comm, and the cell."""
    comm_id = front.run(f"{prepare}\nprint(button.comm.comm_id)").printed.strip()
    cell = front.begin(code)
    front.until(lambda: cell.shown, "the line that says that the cell waits")
    return comm_id, cell


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_a_click_is_handled_while_a_cell_waits(front: FrontEnd, wait: str, record_property) -> None:
    comm_id, cell = begin_waiting(front, wait)
    clicked = time.perf_counter()
    request = front.send_comm(comm_id, True)
    front.until(lambda: front.answers(comm_id), "the answer to the click")
    took = time.perf_counter() - clicked
    record_property("click_s", took)
    print(f"click to answer: {took * 1000:.0f} ms")
    assert front.answers(comm_id) == [{"clicked": True, "thread": "wfkernel-widgets"}]
    assert cell.succeed().value == "True"
    front.until(lambda: front.is_handled(request), "idle, for which front ends hold back the next change")


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_many_clicks_are_handled_in_their_order(front: FrontEnd, wait: str) -> None:
    echo = "tap().register(button.comm.comm_id, lambda m: button.comm.send(m['content']['data']))"
    prepare = f"from wfkernel.notebook.kernel import tap; run = approval.start(); button = Button(run); {echo}"
    comm_id, cell = begin_waiting(front, wait, prepare)
    for number in range(100):
        front.send_comm(comm_id, number)
    front.until(lambda: len(front.answers(comm_id)) == 100, "the answers")
    assert front.answers(comm_id) == list(range(100))
    assert not cell.is_done
    front.interrupt()
    cell.wait()


def test_a_click_is_handled_while_no_cell_runs(front: FrontEnd) -> None:
    comm_id = front.run("run = approval.start(); button = Button(run); print(button.comm.comm_id)").printed.strip()
    front.send_comm(comm_id, False)
    front.until(lambda: front.answers(comm_id), "the answer to the click")
    assert front.run("run.result()").value == "False"


def test_what_a_handler_raises_is_logged_and_harms_nobody(front: FrontEnd) -> None:
    comm_id, cell = begin_waiting(front, "run.result()")
    front.send_comm(comm_id, "no bool")  # InvalidEvent
    front.send_comm(comm_id, True)
    assert cell.succeed().value == "True"


@pytest.mark.usefixtures("shell")
def test_other_peoples_comms_pass_untouched(front: FrontEnd) -> None:
    front.run("mine = Button(approval.start())")  # so that the tap is in place and looks at messages
    other = front.run(
        """
theirs = create_comm(target_name="somebody.else")
theirs.on_msg(lambda m: theirs.send([m["content"]["data"], m["metadata"], threading.current_thread().name]))
print(theirs.comm_id)
"""
    ).printed.strip()
    request = front.send("comm_msg", {"comm_id": other, "data": {"n": 1}}, metadata={"who": "them"})
    front.until(lambda: front.answers(other), "their handler's answer")
    (answer,) = front.answers(other)
    assert answer[:2] == [{"n": 1}, {"who": "them"}]
    assert "wfkernel" not in answer[2]
    front.until(lambda: front.is_handled(request), "ipykernel's own idle")


def test_other_peoples_messages_wait_for_the_cell_and_then_arrive(front: FrontEnd) -> None:
    other = front.run(
        "theirs = create_comm(target_name='somebody.else'); theirs.on_msg(lambda m: theirs.send(m['content']['data']))\n"
        "print(theirs.comm_id)"
    ).printed.strip()
    comm_id, cell = begin_waiting(front, "run.result()")
    front.send_comm(other, "first")
    next_cell = front.execute("'the next cell'")
    front.send_comm(comm_id, True)
    assert cell.succeed().value == "True"
    assert next_cell.succeed().value == "'the next cell'"
    front.until(lambda: front.answers(other) == ["first"], "their message")


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_a_page_reloaded_while_a_cell_waits_is_told_the_comms(front: FrontEnd, wait: str) -> None:
    comm_id, cell = begin_waiting(front, wait)
    request = front.send("comm_info_request", {})
    reply = front.client.get_shell_msg(timeout=10)
    while reply["parent_header"]["msg_id"] != request:  # replies to cells
        reply = front.client.get_shell_msg(timeout=10)
    assert reply["msg_type"] == "comm_info_reply"
    assert reply["content"]["comms"][comm_id] == {"target_name": "wfkernel.test"}
    assert not cell.is_done
    front.send_comm(comm_id, True)
    assert cell.succeed().value == "True"


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("wait", WAYS.values(), ids=WAYS)
def test_a_page_reloaded_while_a_cell_waits_gets_the_state_of_all_widgets(front: FrontEnd, wait: str) -> None:
    front.run("import ipywidgets; slider = ipywidgets.IntSlider(7)")
    comm_id, cell = begin_waiting(front, wait)
    control = {"comm_id": "the-control-comm", "target_name": "jupyter.widget.control", "data": {}}
    front.send("comm_open", control, metadata={"version": "1.0.0"})
    front.send_comm("the-control-comm", {"method": "request_states"})
    (answer,) = front.until(lambda: front.answers("the-control-comm"), "the state of all widgets")
    assert any(state["state"].get("value") == 7 for state in answer["states"].values())
    assert not cell.is_done
    front.send_comm(comm_id, True)
    assert cell.succeed().value == "True"


def test_a_closed_comm_is_forgotten(front: FrontEnd) -> None:
    comm_id = front.run("button = Button(approval.start()); print(button.comm.comm_id)").printed.strip()
    request = front.send("comm_close", {"comm_id": comm_id, "data": {}})
    front.until(lambda: front.is_handled(request), "the close to be handled")
    assert front.run("from wfkernel.notebook.kernel import tap; button.comm.comm_id in tap()._handlers").value == "False"
