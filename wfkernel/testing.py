"""Aids for testing workflows: a clock that jumps, and crashes on purpose."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from wfkernel.engine import registry
from wfkernel.errors import EngineStopped, OptionError
from wfkernel.journal import Journal, Write
from wfkernel.model.policy import instant, microseconds_of, seconds


class VirtualClock:
    """A clock that stands still until every run waits, and then jumps to the next timer.

    A run that waits only for an event does not let time jump: somebody may send one. ``advance`` moves it by hand.

    Args:
        start: the first instant, an aware datetime; now, if not given.
        autojump: whether it jumps by itself.
    """

    is_virtual = True

    def __init__(self, start: datetime | None = None, *, autojump: bool = True):
        self._now = microseconds_of(start or datetime.now(UTC), "start")
        self._autojump = autojump
        self._engine: Any = None
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The virtual time, as aware UTC datetime."""
        return instant(self._now)  # type: ignore[return-value]

    def advance(self, seconds_: Any) -> None:
        """Move time forward by seconds or a timedelta, firing what becomes due, in order."""
        target = self._now + round(seconds(seconds_, "advance") * 1e6)
        if self._engine is None:
            self._now = target
        else:
            self._engine.call(self._move, target)

    def _move(self, target: int) -> None:
        timers = self._engine.timers
        while (due := timers.next_due()) is not None and due <= target:
            self._now = max(self._now, due)
            timers.fire()
        self._now = max(self._now, target)

    # -- for the engine --

    def time_us(self) -> int:
        return self._now

    def attach(self, engine: Any) -> None:
        with self._lock:
            if self._engine is not None and not self._engine.closing:
                raise OptionError("a VirtualClock belongs to one open manager; make another one")
            self._engine = engine

    def idle(self, next_due: int | None, may_jump: bool) -> bool:
        if not self._autojump or not may_jump or next_due is None:
            return False
        self._now = max(self._now, next_due)
        return True


# -- crashes --


def crash_points() -> Iterator[CrashPoint]:
    """Stop before and after the first journal write, before and after the second, and so on until there are no more.

    The scenario is run once for each point, on a journal of its own; the loop ends with the first run that is not stopped.

    >>> for crash in crash_points():
    ...     path = directory / f"{crash}.duckdb"
    ...     with crash:                        # stops dead at this point
    ...         scenario(WorkflowManager(path))
    ...     with WorkflowManager(path) as wf:  # the next kernel
    ...         check(wf)
    """
    index = 0
    while True:
        for side in ("before", "after"):
            point = CrashPoint(index, side)
            yield point
            if not point.was_entered:
                raise RuntimeError("use each crash point: `for crash in crash_points(): with crash: ...`")
            if not point.reached:
                return
        index += 1


class CrashPoint:
    """One place at which managers that are opened inside of ``with`` stop, as if the process had been killed.

    What was committed by then is in the journal; nothing later is. Callers that wait get EngineStopped, which ``with``
    swallows. Managers opened inside are gone when it ends, so that their path can be opened again.

    Attributes:
        index: the number of the journal write, from 0.
        side: "before" or "after" its commit.
        reached: whether the scenario came to this point.
    """

    def __init__(self, index: int, side: Literal["before", "after"]):
        self.index = index
        self.side = side
        self.reached = False
        self.was_entered = False
        self._count = 0
        self._lock = threading.Lock()
        self._engines: list[Any] = []
        self._killers: list[threading.Thread] = []

    def __str__(self) -> str:
        return f"{self.side}-{self.index}"

    def __repr__(self) -> str:
        return f"<crash {self.side} journal write {self.index}>"

    def __enter__(self) -> CrashPoint:
        self.was_entered = True
        self._opened = registry.open_journal
        registry.open_journal = self._open
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> bool:
        registry.open_journal = self._opened
        for killer in self._killers:
            killer.join()
        for engine in self._journals_engines():
            engine.abandon()
        return self.reached and isinstance(exc, EngineStopped)

    def _open(self, path: Any) -> Journal:
        journal = self._opened(path)
        self._engines.append(journal)
        _sabotage(journal, self)
        return journal

    def _journals_engines(self) -> list[Any]:
        return [e for e in list(registry.engines.values()) if any(e.journal is j for j in self._engines)]

    # -- called by the sabotaged journal, under its commit lock --

    def takes(self, writes: int) -> int | None:
        """How many of these writes are committed before the crash; None: all, and no crash."""
        with self._lock:
            if self.reached:
                return 0
            last = self.index if self.side == "before" else self.index + 1
            if self._count + writes < self.index + 1:
                self._count += writes
                return None
            return last - self._count

    def crash(self, journal: Journal) -> None:
        killer = threading.Thread(target=self._kill, args=(journal,), name="wfkernel-crash")
        killer.start()
        self._killers.append(killer)
        self.reached = True
        journal._writer.abandon()  # nothing more is committed from here on
        raise Crashed("the process was killed by a crash point")

    def _kill(self, journal: Journal) -> None:
        for engine in self._journals_engines():
            if engine.journal is journal:
                engine.abandon()
        journal.abandon()


class Crashed(EngineStopped):
    """Unwinds the thread on which a crash point was reached."""


def _sabotage(journal: Journal, point: CrashPoint) -> None:
    """Count the writes of this journal at the two places where they become durable, and stop at the point."""
    ledger = journal._ledger
    insert, insert_last, committed = ledger._insert, ledger.insert_last, ledger.committed

    def insert_some(writes: list[Write]) -> None:
        takes = point.takes(len(writes))
        if takes is None:
            insert(writes)
            return
        if takes:
            insert(writes[:takes])
        point.crash(journal)

    def insert_then(cursor: Any, write: Write) -> int:
        takes = point.takes(1)
        if takes == 0:
            point.crash(journal)
        if takes == 1:
            ledger.committed = crash_after
        return insert_last(cursor, write)

    def crash_after(writes: list[Write], last: int) -> None:
        committed(writes, last)
        point.crash(journal)

    ledger._insert = insert_some
    ledger.insert_last = insert_then
