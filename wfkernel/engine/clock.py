"""What time it is, and who is to be woken when."""

from __future__ import annotations

import heapq
import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Protocol

_LONGEST_WAIT_S = 60.0  # a laptop that slept, or a clock that was set, is noticed within a minute
_logger = logging.getLogger("wfkernel")
_COMPACT_FROM = 1000  # canceled timers tolerated in the heap


class Clock(Protocol):
    """The engine's time. ``wfkernel.testing.VirtualClock`` is the other one."""

    def time_us(self) -> int:
        """Unix microseconds."""
        ...

    def attach(self, engine: Any) -> None:
        """Called once by the engine that will use this clock."""
        ...

    def idle(self, next_due: int | None, may_jump: bool) -> bool:
        """Called when nothing is left to do now; True if the clock moved, so that timers must be looked at again."""
        ...

    is_virtual: bool


class SystemClock:
    """The machine's clock."""

    is_virtual = False

    def time_us(self) -> int:
        return time.time_ns() // 1000

    def attach(self, engine: Any) -> None:
        pass

    def idle(self, next_due: int | None, may_jump: bool) -> bool:
        return False


class Timer:
    """One wake-up; ``cancel()`` before it fires."""

    __slots__ = ("callback", "due", "timers")

    def __init__(self, due: int, callback: Callable[[], None], timers: Timers):
        self.due = due
        self.callback: Callable[[], None] | None = callback
        self.timers = timers

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self.timers.forget()

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Timers:
    """All wake-ups of one engine, in one heap and at most one timer of the event loop. Engine thread only.

    ``fired`` is called after each turn of callbacks, so that what they decided goes out.
    """

    def __init__(self, loop: AbstractEventLoop, clock: Clock, fired: Callable[[], None]):
        self._loop = loop
        self._fired = fired
        self._clock = clock
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0
        self._canceled = 0
        self._armed: Any = None
        self._armed_due = 0

    def at(self, due: int, callback: Callable[[], None]) -> Timer:
        """Call back at ``due`` (Unix microseconds), or at the loop's next turn if that has passed."""
        timer = Timer(due, callback, self)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, timer))
        if self._armed is None or due < self._armed_due:
            self._arm()
        return timer

    def forget(self) -> None:
        self._canceled += 1
        if self._canceled > _COMPACT_FROM and self._canceled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapq.heapify(self._heap)
            self._canceled = 0

    def next_due(self) -> int | None:
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._canceled -= 1
        return heap[0][0] if heap else None

    def fire(self) -> None:
        """Call back whatever is due, earliest first."""
        self._armed = None
        now = self._clock.time_us()
        while True:
            due = self.next_due()
            if due is None or due > now:
                break
            timer = heapq.heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                try:
                    callback()
                except Exception:
                    _logger.exception("a timer's callback failed")  # the others go on
        self._arm()
        self._fired()

    def _arm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        due = self.next_due()
        if due is None:
            return
        wait = (due - self._clock.time_us()) / 1e6
        if wait > 0 and self._clock.is_virtual:
            return  # only a jump of the clock makes it due
        self._armed_due = due
        self._armed = self._loop.call_later(min(max(wait, 0.0), _LONGEST_WAIT_S), self.fire)
