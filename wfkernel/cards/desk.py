"""The threads of those who look: one where feeds and widgets live, which is never held up, and desks for jobs that may wait."""

from __future__ import annotations

import asyncio
import atexit
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from wfkernel.engine.workers import LoopThread

logger = logging.getLogger("wfkernel.cards")

_PATIENCE_S = 0.3  # for the threads at the interpreter's end


class Desk:
    """A daemon thread that does jobs, each at its time, one after another."""

    def __init__(self, name: str):
        self._name = name
        self._jobs: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def post(self, job: Callable[[], object], *, after: float = 0.0) -> None:
        """Do ``job`` on the desk's thread, ``after`` seconds from now. Any thread; never waits for a job."""
        with self._news:
            heapq.heappush(self._jobs, (time.monotonic() + after, next(self._order), job))
            if self._thread is None or not self._thread.is_alive():  # the first, or we are a fork's child
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self._stop)
            self._news.notify()

    def _stop(self) -> None:
        """At the interpreter's end: a thread that outlives it holds DuckDB objects there."""
        self.post(self._leave)
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _leave(self) -> None:
        self._is_over = True

    def _work(self) -> None:
        while not self._is_over:
            job = self._next()
            try:
                job()
            except Exception:  # one card's trouble is not the others'
                logger.exception("a job of the run cards failed")

    def _next(self) -> Callable[[], object]:
        with self._news:
            while True:
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._jobs)[2]
                self._news.wait(wait)


def post(job: Callable[[], object], *, after: float = 0.0) -> None:
    """Do ``job`` on the thread of the widgets, ``after`` seconds from now."""
    there = loop()
    if after > 0:
        there.call_soon_threadsafe(there.call_later, after, job)
    else:
        there.call_soon_threadsafe(job)


_looks: LoopThread | None = None
_making = threading.Lock()


def loop() -> asyncio.AbstractEventLoop:
    """The asyncio loop of the thread where feeds live, and all widgets of ours are changed, kernel or not."""
    global _looks
    with _making:
        if _looks is None:
            _looks = LoopThread("wfkernel-widgets")
        return _looks.loop


def done(job: Callable[[], object], *, within: float) -> None:
    """Do ``job`` on the thread of the widgets, and wait for it; but no longer than ``within`` seconds."""
    try:
        is_there = asyncio.get_running_loop() is loop()
    except RuntimeError:
        is_there = False
    if is_there:
        job()
        return
    is_done = threading.Event()

    def there() -> None:
        try:
            job()
        finally:
            is_done.set()

    post(there)
    is_done.wait(within)


@atexit.register
def _stop() -> None:
    if _looks is not None:  # it has read the journal: see Desk
        _looks.stop(_PATIENCE_S)
