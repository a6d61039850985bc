"""A page for the benchmarks of the notebook: a real kernel and the front end of tests/kernel, with a run's card in it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kernel"))

from frontend import FrontEnd

if TYPE_CHECKING:
    from frontend import Message

_SETUP = """
import asyncio, threading, time
from wfkernel import WorkflowManager
from wfkernel.notebook.card import RunCard
wf = WorkflowManager({path!r})
"""


class Page:
    """The view of one run's card."""

    def __init__(self, front: FrontEnd, comm_id: str, run_id: str):
        self.front = front
        self.run_id = run_id
        self._comm_id = comm_id
        self._read = 0

    def tell(self, content: dict[str, Any]) -> None:
        """What the card's JavaScript sends."""
        self.front.send_comm(self._comm_id, {"method": "custom", "content": content})

    def news(self) -> list[dict[str, Any]]:
        """What the card has been told since the last time."""
        messages, self._read = self.front.messages[self._read :], len(self.front.messages)
        return [m["content"]["data"]["content"] for m in messages if self._is_for_us(m)]

    def await_news(self, kind: str) -> dict[str, Any]:
        """The next message of this kind; those before it are passed over."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            found.extend(m for m in self.news() if m["k"] == kind)
            return bool(found)

        self.front.until(came, f"a message {kind!r} to the card", patience_s=120)
        return found[0]

    def _is_for_us(self, message: Message) -> bool:
        content = message["content"]
        is_comm = message["msg_type"] == "comm_msg" and content["comm_id"] == self._comm_id
        return is_comm and content["data"].get("method") == "custom"


@contextlib.contextmanager
def opened(journal: Path, cell: str) -> Iterator[Page]:
    """A kernel that has run ``cell``, which starts ``run`` in the manager ``wf``, and the run's card."""
    front = FrontEnd()
    try:
        front.run(_SETUP.format(path=str(journal)) + cell)
        comm_id, run_id = front.run("card = RunCard(run); print(card.model_id, run.id)").printed.split()
        page = Page(front, comm_id, run_id)
        page.tell({"k": "hello", "view": "bench"})
        page.await_news("snap")
        yield page
        front.run("wf.close()")
    finally:
        front.close()
