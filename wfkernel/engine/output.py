"""The body's prints: heard live, not heard again on replay."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
