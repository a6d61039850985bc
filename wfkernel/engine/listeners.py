"""Who is told what happens in an engine, as it happens: a run card, a dashboard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from wfkernel.engine.steps import Hint

if TYPE_CHECKING:
    from wfkernel.engine.runs import LiveRun
    from wfkernel.engine.steps import LiveStep
    from wfkernel.journal import Write

Row = tuple[int, int, int, int, int, Any, Any]  # run, step, generation, fact, t, name, body: as in wf.facts, without seq


class Listener(Protocol):
    """Told on the threads where it happens, the journal's writer among them: be quick, and ask the engine nothing."""

    def committed(self, rows: Sequence[Row], seq: int) -> None:
        """These rows are in the journal, the first as ``seq``."""

    def noted(self, step: LiveStep, seq: int) -> None:
        """The row of a step that is still pending is in the journal as ``seq``."""

    def removed(self, runs: Sequence[int], seq: int) -> None:
        """These runs, by their keys, are no longer in the journal."""

    def step_changed(self, step: LiveStep) -> None:
        """A step logged, printed, displayed, or reported progress: ask ``engine.reports``."""

    def run_changed(self, run: LiveRun) -> None:
        """Something of a run changed that the journal does not say: whether its workflow is defined here, say."""


class Listeners:
    """All listeners of an engine.

    Attributes:
        all: them; empty as long as nobody looks, so that the engine pays one ``if``.
    """

    def __init__(self, logger: logging.Logger):
        self.all: tuple[Listener, ...] = ()
        self._logger = logger

    def add(self, listener: Listener) -> None:
        if listener not in self.all:
            self.all = (*self.all, listener)

    def remove(self, listener: Listener) -> None:
        self.all = tuple(each for each in self.all if each is not listener)

    # -- what there is to tell --

    def batch(self, writes: Sequence[Write]) -> None:
        """On the writer's thread, in the order of the journal."""
        for write in writes:
            if write.dropped or write.error is not None:
                continue
            if type(write) is Hint:  # not its rows: to make them is to say that they are written
                self._tell(lambda each, w=write: each.noted(w.step, w.seq))
                continue
            if write.rows:
                self._tell(lambda each, w=write: each.committed(w.rows, w.seq))
            if write.delete_runs:
                self._tell(lambda each, w=write: each.removed(w.delete_runs, w.seq))

    def step(self, step: LiveStep) -> None:
        self._tell(lambda each: each.step_changed(step))

    def run(self, run: LiveRun) -> None:
        self._tell(lambda each: each.run_changed(run))

    def _tell(self, tell: Callable[[Listener], None]) -> None:
        for each in self.all:
            try:
                tell(each)
            except Exception:  # its trouble is not the engine's
                self._logger.exception("a listener of the engine failed: %r", each)
