"""Where users' step functions run: a loop for async actions, daemon threads for plain functions.

User code never runs on the engine's thread (bodies apart), so a blocking function cannot stall timers or other runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

_PATIENCE_S = 0.2  # for threads that are about to end: one that outlives the interpreter's end holds DuckDB objects there


class Threads:
    """Daemon threads that run plain functions; grown on demand, reused, never a reason for the process not to end.

    (concurrent.futures joins its threads at exit: one stuck action would hang the interpreter.)

    Args:
        most: threads; what is submitted beyond waits its turn. None where somebody else sees to it, as the pools do for actions.
    """

    def __init__(self, name: str, most: int | None = None):
        self._name = name
        self._most = most
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = 0  # below zero: so many jobs wait for a thread
        self._size = 0
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                return
            if self._idle > 0 or self._size == self._most:
                self._idle -= 1
            else:
                self._size += 1
                thread = threading.Thread(target=self._work, name=f"{self._name}-{self._size}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()
            del job  # or an idle thread would keep the last run's values alive
            with self._lock:
                if self._closed:
                    return
                self._idle += 1

    def close(self) -> None:
        """Idle threads end now; busy ones after their job, for which nobody waits long."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)
        deadline = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


class LoopThread:
    """An asyncio loop in a daemon thread of its own."""

    def __init__(self, name: str):
        self.loop = asyncio.new_event_loop()
        self.not_begun: dict[Any, None] = {}  # what was handed over and has not begun, in order
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def is_current(self) -> bool:
        return threading.current_thread() is self.thread

    def stop(self, timeout_s: float = 2.0) -> None:
        """Cancel what runs, give it a moment, end the thread."""
        if self.loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):  # it has just been closed
            self.loop.call_soon_threadsafe(self._cancel_all)
        if not self.is_current():
            self.thread.join(timeout_s)

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        waiting = asyncio.gather(*tasks, return_exceptions=True) if tasks else None
        if waiting is None:
            self.loop.stop()
        else:
            waiting.add_done_callback(lambda _: self.loop.stop())


class ActionLoops:
    """The loop of the async actions; a second one takes over while the first is blocked by a ``result()`` of its own.

    An async action may call ``wf.result(other_run)``, which blocks its loop until that run has ended: that run's async
    actions must be able to run meanwhile, those included that were handed to the blocked loop and have not begun.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[LoopThread] = []
        self._all: list[LoopThread] = []
        self.current = self._make()

    def _make(self) -> LoopThread:
        made = LoopThread("wfkernel-actions" + (f"-{len(self._all) + 1}" if self._all else ""))
        self._all.append(made)
        return made

    def hand_over(self, items: list[Any], begin: Callable[[LoopThread, list[Any]], None]) -> None:
        """Call ``begin(loop_thread, items)`` on the current loop."""
        with self._lock:
            target = self.current
            target.not_begun.update(dict.fromkeys(items))
        target.loop.call_soon_threadsafe(begin, target, items)

    def forget(self, item: Any) -> None:
        for loop_thread in self._all:
            loop_thread.not_begun.pop(item, None)

    def blocked(self, begin: Callable[[LoopThread, list[Any]], None]) -> Callable[[], None] | None:
        """If the calling thread is one of these loops, move new actions elsewhere; call what is returned when it is over."""
        with self._lock:
            mine = next((t for t in self._all if t.is_current()), None)
            if mine is None:
                return None
            if mine in self._free:
                self._free.remove(mine)
            if self.current is mine:
                self.current = self._free.pop() if self._free else self._make()
            items = list(mine.not_begun)
            mine.not_begun.clear()

        def over() -> None:
            with self._lock:
                self._free.append(mine)

        if items:
            self.hand_over(items, begin)
        return over

    def stop(self) -> None:
        for loop_thread in self._all:
            loop_thread.stop()
