"""Many requests over one connection, from any thread: a thread reads the replies and hands each to who waits for it."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from wfkernel.control.client import SILENCE_S, Connection, ConnectionLost, Silent, error_from
from wfkernel.control.wire import Message
from wfkernel.errors import WfkernelError

Part = Callable[[Message], None]


class _Shared(Connection):
    """Several threads may send."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._sending = threading.Lock()
        super().__init__(*args, **kwargs)

    def send(self, body: dict[str, Any], blobs: dict[str, Any] | None = None) -> None:
        with self._sending:
            super().send(body, blobs)


class Mux:
    """A connection that threads share.

    Args:
        lost: called once when the other side has gone, on the reading thread, after everybody who waited was told.
        silence_s: as of ``Connection``.

    Attributes:
        holder: what the other side said of itself.
        is_lost: whether nothing can be asked any more.
    """

    def __init__(self, journal: str | os.PathLike[str], lost: Callable[[], None], *, silence_s: float = SILENCE_S):
        self._connection = _Shared.open(journal, silence_s=silence_s)
        self.holder = self._connection.holder
        self.is_lost = False
        self._lost = lost
        self._ids = itertools.count(1000)
        self._waiting: dict[int, tuple[Future[Message], Part | None]] = {}
        self._lock = threading.Lock()  # of _waiting
        self._thread = threading.Thread(target=self._read, name="wfkernel-connection", daemon=True)
        self._thread.start()

    def submit(
        self,
        op: str,
        params: dict[str, Any] | None = None,
        *,
        blobs: dict[str, Any] | None = None,
        token: str | None = None,
        again: bool = False,
        part: Part | None = None,
    ) -> Future[Message]:
        """Send a request; the Future gives the last reply, or the error that the holder raised, or ConnectionLost, or Silent.

        Args:
            part: called with each reply before the last, on the reading thread; what it raises is the answer.
        """
        request = next(self._ids)
        answer: Future[Message] = Future()
        with self._lock:
            if self.is_lost:
                raise ConnectionLost("the process that held the journal is gone")
            self._waiting[request] = (answer, part)
        known = {} if token is None else {"token": token, "again": again}
        try:
            self._connection.send({"id": request, "op": op, "params": params or {}, **known}, blobs)
        except BaseException:
            self._taken(request)
            raise
        answer.add_done_callback(lambda f: self._drop(request) if f.cancelled() else None)
        return answer

    def _taken(self, request: int | None) -> tuple[Future[Message], Part | None] | None:
        with self._lock:
            return self._waiting.pop(request, None)  # type: ignore[arg-type] - None is not in it

    def _drop(self, request: int) -> None:
        """Nobody waits for this any more."""
        if self._taken(request) is not None:
            with contextlib.suppress(ConnectionLost):
                self._connection.send({"id": next(self._ids), "op": "drop", "params": {"id": request}})

    def _read(self) -> None:
        error: Exception = ConnectionLost("the process that held the journal is gone")
        try:
            while True:
                self._hand_out(self._connection.receive(lambda: bool(self._waiting)))
        except (ConnectionLost, Silent) as exc:
            error = exc
        except (WfkernelError, TimeoutError) as exc:  # it sent what is no message, or says that we did
            error = ConnectionLost(str(exc))
        finally:
            with self._lock:
                self.is_lost = True
                waiting, self._waiting = self._waiting, {}
            self._connection.close()
            for answer, _ in waiting.values():
                _settle(answer, error)
            self._lost()

    def _hand_out(self, message: Message) -> None:
        if message.id is None:
            raise error_from(message.body.get("error"))  # it will not talk to us any more
        if "part" in message.body:
            self._hand_part(message)
            return
        found = self._taken(message.id)
        if found is None:
            return
        answer, _ = found
        if "error" in message.body:
            _settle(answer, error_from(message.body["error"]))
        elif answer.set_running_or_notify_cancel():
            answer.set_result(message)

    def _hand_part(self, message: Message) -> None:
        answer, part = self._waiting.get(message.id or 0, (None, None))
        if answer is None or part is None:
            return
        try:
            part(message)
        except Exception as exc:  # one asker's trouble is not the others'
            self._taken(message.id)
            _settle(answer, exc)

    def close(self) -> None:
        self._connection.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(1.0)

    def forget(self) -> None:
        """In a fork's child, which has no thread to read with: the connection is the parent's."""
        self.is_lost = True
        self._connection.forget()


def _settle(answer: Future[Any], error: BaseException) -> None:
    if answer.set_running_or_notify_cancel():
        answer.set_exception(error)
