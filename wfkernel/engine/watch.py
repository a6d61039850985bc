"""A watchdog: says which body, or which async action, blocks a loop. Asleep while nothing runs."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from typing import TYPE_CHECKING, Any

from wfkernel.core.body import is_ours

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine
    from wfkernel.engine.runs import LiveRun

BLOCKED_S = 1.0  # how long a turn may take before it is worth a word


class Watch:
    """Looks at the engine's thread while a body runs on it, and at the actions' loop while actions run.

    The thread wakes once a second while there is something to watch, and not at all otherwise.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._busy = threading.Event()
        self._stopped = threading.Event()
        self._run: LiveRun | None = None
        self._since = 0.0
        self._told: Any = None
        self._heard = time.monotonic()
        self._asked = False
        self._told_actions = False
        self._thread: threading.Thread | None = None

    # -- on the engine's thread: the hot path --

    def enter(self, run: LiveRun) -> None:
        self._since = time.monotonic()
        self._run = run
        if not self._busy.is_set():
            self._wake()

    def leave(self) -> None:
        self._run = None

    def _wake(self) -> None:
        self._busy.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="wfkernel-watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._busy.set()
        if self._thread is not None:
            self._thread.join()

    # -- on its own thread --

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self._busy.wait()
            if self._stopped.wait(BLOCKED_S):
                return
            self._look_at_body()
            self._look_at_actions()
            self._busy.clear()  # before the look: whoever begins after it wakes this thread again
            if self._run is not None or self._engine.attempts.running:
                self._busy.set()

    def _look_at_body(self) -> None:
        run, since = self._run, self._since
        if run is None or time.monotonic() - since < BLOCKED_S or self._told == (run, since):
            return
        self._told = (run, since)
        where = _where(self._engine._thread.thread.ident)
        self._engine.logger.warning(
            "run %s (%s): the body has been blocking the engine for %.0f s at %s; no run can go on meanwhile. "
            "Do blocking work in an action: await step.run_action(...)",
            run.id,
            run.name,
            time.monotonic() - since,
            where,
        )

    def _look_at_actions(self) -> None:
        if not self._engine.attempts.running:
            self._asked = False
            self._heard = time.monotonic()
            return
        current = self._engine.attempts.loops.current
        if not self._asked:
            self._asked = True
            self._heard = time.monotonic()
            current.loop.call_soon_threadsafe(self._answer)
        elif time.monotonic() - self._heard >= BLOCKED_S and not self._told_actions:
            self._told_actions = True
            self._engine.logger.warning(
                "an async action has been blocking the other async actions for %.0f s at %s; make it a plain function "
                "(it then runs in a thread of its own), or await",
                time.monotonic() - self._heard,
                _where(current.thread.ident),
            )

    def _answer(self) -> None:
        self._asked = self._told_actions = False


def _where(ident: int | None) -> str:
    """The user's line: the innermost one outside of libraries, else the innermost."""
    frame = sys._current_frames().get(ident or 0)
    innermost = "an unknown line"
    while frame is not None:
        name = frame.f_code.co_filename
        if not is_ours(name):
            where = f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
            if not name.startswith(_LIBRARIES):
                return where
            if innermost == "an unknown line":
                innermost = where
        frame = frame.f_back
    return innermost


_LIBRARIES = tuple(sysconfig.get_paths()[kind] + os.sep for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
