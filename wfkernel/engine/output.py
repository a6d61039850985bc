"""Prints: the body's are heard live and not heard again on replay; those of steps are overheard, for their logs."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger("wfkernel")


class _Gate:
    """Stands in for sys.stdout or sys.stderr: drops what one thread writes, passes on everybody else's."""

    def __init__(self, stream: Any, thread: int):
        self._stream = stream
        self._thread = thread
        self._is_shut = True

    def open(self) -> None:
        self._is_shut = False

    def write(self, text: str) -> int:
        if self._is_shut and threading.get_ident() == self._thread:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def muted() -> Iterator[None]:
    """Nothing that this thread prints inside is heard.

    sys.stdout belongs to the whole process, so the gate lets other threads through, and is taken away only if it is still
    in place: whoever replaced it meanwhile keeps what they put there.
    """
    me = threading.get_ident()
    out, err = sys.stdout, sys.stderr
    gates = _Gate(out, me), _Gate(err, me)
    sys.stdout, sys.stderr = gates  # type: ignore[assignment]
    try:
        yield
    finally:
        for gate in gates:
            gate.open()  # somebody may have kept it, as contextlib.redirect_stdout does
        if sys.stdout is gates[0]:
            sys.stdout = out
        if sys.stderr is gates[1]:
            sys.stderr = err


# -- what steps print --


def overhear(stream: Any, kind: str, tell: Callable[[str, str], None]) -> None:
    """Call ``tell(kind, text)`` with what is written to ``stream``, after it was. A stream is overheard once.

    The stream stays the object that it is: others hold it (logging's handlers do), or put another in its place for a while.
    """
    if getattr(stream, _OVERHEARD, False) or stream is None:
        return
    write = stream.write

    def write_and_tell(text: str) -> Any:
        written = write(text)
        tell(kind, text)
        return written

    try:
        stream.write = write_and_tell
        setattr(stream, _OVERHEARD, True)
    except AttributeError:  # a stream that takes no attributes: then its text is in the cell only
        logger.debug("what is printed to %r is not in the log of steps", stream)


_OVERHEARD = "_wfkernel_overheard"
