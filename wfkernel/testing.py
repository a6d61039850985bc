"""Aids for testing workflows: a clock that jumps, and crashes on purpose."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

from wfkernel.errors import OptionError
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
        self._now = microseconds_of(start or datetime.now(timezone.utc), "start")
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
