"""Ends a wait of a script's or a notebook's own code that nothing will end: no run goes on by itself, and nobody is there to send an event.

It runs in the process that executes that code: in ours for a script, in the kernel for a notebook (``headless``).
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from wfkernel.errors import EngineStopped, WfkernelError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_AGAIN_S = 0.25
_GRACE_S = 2.0  # for a thread of the script itself that is about to send the event
_WHY = "and `wfkernel run` does not wait for that"


def is_ours(message: str) -> bool:
    """Whether an error is what a wait was ended with."""
    return _WHY in message


@contextlib.contextmanager
def watched(*, wait_for_events: bool) -> Iterator[None]:
    """Watch the waits of this process as long as this lasts.

    Args:
        wait_for_events: those for runs that only an event lets go on may last.
    """
    watch = begin(wait_for_events=wait_for_events)
    try:
        yield
    finally:
        watch.over.set()
        watch.join()


def begin(*, wait_for_events: bool) -> Watch:
    """Watch the waits of this process until ``over`` is set."""
    watch = Watch(wait_for_events)
    watch.start()
    return watch


class Watch(threading.Thread):
    """Looks now and then at the runs that somebody waits for."""

    def __init__(self, wait_for_events: bool):
        super().__init__(name="wfkernel-unattended", daemon=True)
        self.over = threading.Event()
        self._wait_for_events = wait_for_events

    def run(self) -> None:
        before: Any = None
        looks = 0
        while not self.over.wait(_LOOK_AGAIN_S):
            found = self._standing_still()
            now = found, [engine.journal.last_seq for engine in _engines()]  # a run may be sent one event after the other
            looks = looks + 1 if found and now == before else 0
            before = now
            if looks * _LOOK_AGAIN_S >= _GRACE_S:
                self._end(found)
                looks = 0

    def _standing_still(self) -> dict[str, str]:
        """The runs that somebody waits for, and where they stand; none as long as any run goes on by itself."""
        from wfkernel.cli.asking import of_engine
        from wfkernel.cli.settling import is_over, pending

        try:
            awaited = {run: "in progress" for engine in _engines() for run in engine.call(_awaited, engine)}
            if not awaited:
                return {}
            found = [p for engine in _engines() for p in pending(of_engine(engine))]
        except WfkernelError:  # a manager is being closed: then its waits end anyway
            return {}
        if not is_over(found, wait_for_events=self._wait_for_events):
            return {}
        return awaited | {p.run_id: p.words for p in found if p.run_id in awaited}

    def _end(self, words: dict[str, str]) -> None:
        for engine in _engines():
            with contextlib.suppress(WfkernelError):  # as above
                engine.call(_tell, engine, words)


def _engines() -> list[Any]:
    registry = sys.modules.get("wfkernel.engine.registry")
    return [] if registry is None else [engine for engine in list(registry.engines.values()) if not engine.closing]


def _awaited(engine: Any) -> list[str]:
    return [run.id for run in engine.runs.values() if any(not waiter.done() for waiter in run.waiters)]


def _tell(engine: Any, words: dict[str, str]) -> None:
    """EngineStopped, because a waiting manager of another process takes that as: look for who holds the journal next."""
    for run in engine.runs.values():
        for waiter in run.waiters:
            if run.id in words and not waiter.done():
                waiter.set_exception(EngineStopped(f"run {run.id!r}: {words[run.id]}, {_WHY}; it would with --wait"))
