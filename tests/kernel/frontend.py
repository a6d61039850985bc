"""Plays JupyterLab over ZMQ: runs cells, clicks, presses Stop, and keeps every message that comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import ipykernel
from jupyter_client.manager import KernelManager

PATIENCE_S = 20.0
# ipykernel 7.0 to 7.3 overlook one request in some hundreds, and all after it, until they look at their socket again
# (ipykernel#1554). What is tested here is ours, so they are made to look.
OVERLOOKS = (7, 0) <= ipykernel.version_info[:2] < (7, 4)
LOOK_AGAIN = """
def _look_again(kernel=get_ipython().kernel):
    import threading, time, zmq
    def look():
        while True:
            time.sleep(0.2)
            kernel.shell_channel_thread.io_loop.add_callback(lambda: kernel.shell_stream.flush(zmq.POLLIN))
    threading.Thread(target=look, daemon=True).start()
_look_again()
"""
Message = dict[str, Any]


class Cell:
    """A cell that was sent to the kernel, and what came back so far."""

    def __init__(self, front: FrontEnd, request: str):
        self._front = front
        self.request = request
        self.messages: list[Message] = []

    def of(self, *kinds: str) -> list[Message]:
        return [m for m in self.messages if m["msg_type"] in kinds]

    @property
    def is_done(self) -> bool:
        return any(m["content"]["execution_state"] == "idle" for m in self.of("status"))

    @property
    def printed(self) -> str:
        return "".join(m["content"]["text"] for m in self.of("stream") if m["content"]["name"] == "stdout")

    @property
    def shown(self) -> list[str]:
        """The text of each display and of each change of one."""
        return [m["content"]["data"]["text/plain"] for m in self.of("display_data", "update_display_data")]

    @property
    def value(self) -> str | None:
        found = self.of("execute_result")
        return found[0]["content"]["data"]["text/plain"] if found else None

    @property
    def error(self) -> str | None:
        found = self.of("error")
        return found[0]["content"]["ename"] if found else None

    @property
    def message(self) -> str:
        return self.of("error")[0]["content"]["evalue"]

    def wait(self) -> Cell:
        """Until it has ended."""
        self._front.until(lambda: self.is_done, f"the end of the cell; so far: {self.messages}")
        return self

    def succeed(self) -> Cell:
        self.wait()
        assert self.error is None, "\n".join(self.of("error")[0]["content"]["traceback"])
        return self


class FrontEnd:
    """One kernel, and the page in front of it."""

    def __init__(self) -> None:
        self.manager = KernelManager()  # its kernel is this Python: the native one goes before all others
        self.manager.start_kernel()
        self.subshell: str | None = None
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.cells: dict[str, Cell] = {}
        self.messages: list[Message] = []
        if OVERLOOKS:
            self.run(LOOK_AGAIN)

    # -- what a user does --

    def execute(self, code: str) -> Cell:
        """Send a cell; it runs now, or once the one before it has ended."""
        return self.cell(self.client.execute(code))

    def cell(self, request: str) -> Cell:
        """What comes back for a request that was sent."""
        cell = self.cells[request] = Cell(self, request)
        return cell

    def run(self, code: str) -> Cell:
        """Run a cell that must succeed."""
        return self.begin(code).succeed()

    def begin(self, code: str) -> Cell:
        """Run a cell until it is under way."""
        cell = self.execute(code)
        self.until(lambda: cell.of("execute_input"), "the cell to begin")
        return cell

    def interrupt(self) -> float:
        """Press Stop. Returns when."""
        pressed = time.perf_counter()
        self.manager.interrupt_kernel()
        return pressed

    def restart(self) -> None:
        """Restart the kernel, as the button does: without notice to what runs in it."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()

    def send_comm(self, comm_id: str, data: Any) -> str:
        """Send a comm message: a click, say. Returns the message's id."""
        return self.send("comm_msg", {"comm_id": comm_id, "data": data})

    def send(self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> str:
        """Send any message, on the page's subshell if it has made one. Returns the message's id."""
        message = self.client.session.msg(kind, content, metadata=metadata)
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def make_subshell(self) -> None:
        """As JupyterLab does for comm messages, where the kernel can: ipykernel 7."""
        self.client.control_channel.send(self.client.session.msg("create_subshell_request"))
        self.subshell = self.client.get_control_msg(timeout=PATIENCE_S)["content"]["subshell_id"]

    def drop_subshell(self) -> None:
        if self.subshell is not None:
            self.client.control_channel.send(self.client.session.msg("delete_subshell_request", {"subshell_id": self.subshell}))
            self.client.get_control_msg(timeout=PATIENCE_S)
            self.subshell = None

    # -- what a user sees --

    def until(self, is_so: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        """Take in messages until ``is_so``; whatever true thing that returned."""
        deadline = time.monotonic() + patience_s
        while not (found := is_so()):
            left = deadline - time.monotonic()
            assert left > 0, f"waited {patience_s:g} s for {what}"
            try:
                self._take_in(self.client.get_iopub_msg(timeout=min(left, 1.0)))
            except Empty:
                assert self.manager.is_alive(), f"the kernel died before {what}"
        return found

    def _take_in(self, message: Message) -> None:
        self.messages.append(message)
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if cell is not None:
            cell.messages.append(message)

    def answers(self, comm_id: str) -> list[Any]:
        """What the kernel has sent over this comm."""
        return [m["content"]["data"] for m in self.messages if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == comm_id]

    def is_handled(self, request: str) -> bool:
        """Whether the kernel has said "idle" about this message."""
        return any(
            m["msg_type"] == "status"
            and m["content"]["execution_state"] == "idle"
            and m["parent_header"].get("msg_id") == request
            for m in self.messages
        )

    # -- the rest --

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
