"""The engine's own writes: handed to the journal with what to do once they are decided, and who waits for that."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from wfkernel.errors import EngineStopped, JournalError
from wfkernel.journal import Write

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine


class _Order(Write):
    """A write of the engine's own, and what to do once it is decided. ``answer`` is the caller who waits for it."""

    __slots__ = ("answer", "then")

    def __init__(self, rows: Any, keep: Any, then: Any, blobs: Any, answer: Future[Any] | None, delete_runs: Any = ()):
        super().__init__(rows, keep=keep, blobs=blobs, delete_runs=delete_runs)
        self.then = then
        self.answer = answer


class Orders:
    """What the engine asks of the journal, and what the journal says to it.

    Attributes:
        in_flight: orders whose word from the writer is still out.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self.in_flight = 0
        self._orders = itertools.count(1)
        self._stall: JournalError | None = None

    def on_batch(self, batch: list[Write]) -> None:
        """On the writer's thread, in the order of the journal."""
        news = [w for w in batch if type(w) is _Order or w.tag is not None]
        for write in news:
            if type(write) is not _Order and not write.dropped and write.error is None:
                write.tag.__self__.is_written = True
        if news:
            with contextlib.suppress(RuntimeError):
                self._engine.loop.call_soon_threadsafe(self._committed, news)
        if self._engine.listeners.all:
            self._engine.listeners.batch(batch)

    def _committed(self, batch: list[Any]) -> None:
        if self._engine.closing:
            self._answer_all(batch)
            return
        for write in batch:
            try:
                if type(write) is _Order:
                    self.in_flight -= 1
                    if write.then is not None:
                        write.then(write)
                    self._reply(write)
                else:
                    write.tag(write)
            except EngineStopped:
                return  # the journal was given up under our hands: nothing of this process counts any more
            except Exception:
                self._engine.logger.exception("the engine failed to take in %r", write)
        self._engine.turn_over()

    @staticmethod
    def _reply(write: _Order) -> None:
        answer = write.answer
        if answer is not None and not answer.done():
            if write.error is not None:
                answer.set_exception(as_journal_error(write.error))
            else:
                answer.set_result(None)

    def _answer_all(self, batch: list[Any]) -> None:
        for write in batch:
            if type(write) is _Order:
                self._reply(write)

    def submit(
        self,
        rows: list[Any],
        *,
        keep: Callable[[], bool] | None = None,
        then: Callable[[Any], None] | None = None,
        blobs: Any = None,
        answer: Future[Any] | None = None,
        delete_runs: Any = (),
    ) -> Future[Any] | None:
        """Write rows; call ``then(write)`` here when they are committed or dropped, and then resolve ``answer``."""
        self.in_flight += 1
        if answer is not None:
            self._engine.expected(answer)
        order = _Order(rows, keep, then, blobs or None, answer, delete_runs)
        try:
            self._engine.journal.submit(order)
        except EngineStopped:
            self.in_flight -= 1
            if answer is not None:
                raise
        return answer

    def on_stall(self, error: JournalError | None) -> None:
        if error is None:
            self._stall = None
            self._engine.logger.warning("the journal can be written again: runs go on")
        else:
            self.stalled(error)

    def stalled(self, error: JournalError) -> None:
        """The journal takes no writes: callers are told at once; runs stand still until it does."""
        self._stall = error if self._engine.journal.stalled else None
        for write in self._engine.journal.drop_queued(lambda w: type(w) is _Order and w.answer is not None):
            assert isinstance(write, _Order)
            self.in_flight -= 1
            write.error = error
            if write.then is not None:
                write.then(write)
            self._reply(write)
        for run in self._engine.runs.values():
            waiters, run.waiters = run.waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(as_journal_error(error))

    def check_writable(self) -> None:
        if self._stall is not None:
            raise as_journal_error(self._stall)

    def next_order(self) -> int:
        return next(self._orders)


def as_journal_error(error: BaseException) -> JournalError:
    return error if isinstance(error, JournalError) else JournalError(f"the journal could not take this: {error}")
