"""What a script or a notebook did that ``run`` must know of: journals that it closed, and runs that it started but that were there already.

What it closed, such as at the end of a ``with``, is opened again: the runs go on all the same, with the definitions that it had. Like
unattended.py, this runs in the process that executes that code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfkernel.engine import births, registry
from wfkernel.errors import JournalLocked
from wfkernel.manager import WorkflowManager

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

_closed: list[Engine] = []
_met: dict[str, None] = {}  # ids, each once


def begin() -> None:
    """Note what this process does from now on."""
    registry.on_close = _closed.append
    births.on_met = lambda run_id: _met.update({run_id: None})


def end() -> None:
    """Note nothing any more, and forget it all."""
    registry.on_close, births.on_met = registry.forget, births.forget
    _closed.clear()
    _met.clear()


def met() -> list[str]:
    """The ids of the runs that were started, and were there already."""
    return list(_met)


def closed() -> list[str]:
    """The journals that were closed."""
    return list({str(engine.journal.path): None for engine in _closed if not engine.journal.is_memory})


def open_again() -> None:
    """Open the journals that were closed, and define again what was defined there."""
    while _closed:
        engine = _closed.pop(0)  # of two on the same journal, the later one's definitions count
        if not engine.journal.is_memory:
            _open_again(engine)


def _open_again(engine: Engine) -> None:
    replay = "always" if engine.replay_always else "on_recovery"
    try:
        manager = WorkflowManager(engine.journal.path, clock=engine.clock, replay=replay, allow_pickle=engine.codec.allow_pickle)
    except JournalLocked:  # somebody else goes on with them
        return
    for workflow in engine.workflows.values():
        manager._define(workflow)
