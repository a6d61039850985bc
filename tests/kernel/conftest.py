"""Real kernels, of the ipykernel that is installed here; `make test-kernels` runs this folder against several."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from frontend import FrontEnd

SETUP = """
import asyncio, threading
from comm import create_comm
from wfkernel import WorkflowManager, action, define_event

wf = WorkflowManager(":memory:")
approve = define_event("approve", bool)

@wf.workflow
async def approval(step):
    return await step.await_event(approve)

class Button:
    '''A comm of ours: a click sends the event, from the handler's thread, and answers.'''
    def __init__(self, run):
        from wfkernel.notebook.kernel import tap
        self.run, self.comm = run, create_comm(target_name="wfkernel.test")
        tap().register(self.comm.comm_id, self.clicked)
    def clicked(self, message):
        self.comm.send({"clicked": message["content"]["data"], "thread": threading.current_thread().name})
        self.run.send_event(approve, message["content"]["data"])
"""


@pytest.fixture
def bare() -> Iterator[FrontEnd]:
    """A fresh kernel."""
    front = FrontEnd()
    yield front
    front.close()


@pytest.fixture(scope="session")
def _kept() -> Iterator[list[FrontEnd]]:
    kept: list[FrontEnd] = []
    yield kept
    for front in kept:
        front.close()


@pytest.fixture
def front(_kept: list[FrontEnd]) -> Iterator[FrontEnd]:
    """A kernel with a manager ``wf``, a workflow ``approval`` and a class ``Button``; it may have served another test before."""
    front = _kept.pop() if _kept else FrontEnd()
    front.cells.clear()
    front.messages.clear()
    try:
        front.run(SETUP)
        yield front
        assert all(cell.is_done for cell in front.cells.values()), "the test left a cell running"
        front.drop_subshell()
        front.run("wf.close()")
    except BaseException:
        front.close()
        raise
    _kept.append(front)
