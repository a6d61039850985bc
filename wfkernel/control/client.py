"""One conversation with the process that holds a journal, blocking. Light on purpose: the command line starts with it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from wfkernel import errors
from wfkernel.control import wire
from wfkernel.control.address import dial, peer_pid
from wfkernel.errors import ControlError
from wfkernel.model.jsontext import exact_float

_CHUNK = 1 << 16
SILENCE_S = 10.0  # without a word; then we ask whether the holder is there, and give it as long again


class ConnectionLost(ControlError):
    """The holder of the journal is gone, or went away before it answered: ask who holds it now, and ask again with the same token."""


class Silent(ControlError):
    """The holder of the journal is there and does not answer: it is stopped, or much too busy. What was asked, it may still do."""


class Connection:
    """A connection to the holder. One request after another; not for several threads (see ``mux``).

    Args:
        silence_s: seconds; the holder answers within them, or answers a ping within as many again, or is Silent.

    Attributes:
        holder: what the other side said of itself: ``pid``, ``version``, ``path``.
    """

    def __init__(self, sock: socket.socket, token: str | None = None, *, hello_s: float = 5.0, silence_s: float = SILENCE_S):
        self._socket = sock
        self._parser = wire.Parser(wire.MAX_REPLY)
        self._waiting: list[wire.Message] = []
        self._last_id = 0
        self._was_pinged = True  # hello is as good
        self.holder: dict[str, Any] = {"pid": peer_pid(sock)}
        try:
            sock.settimeout(hello_s)
            self.holder = self.ask("hello", {"versions": list(wire.VERSIONS), "token": token}).body["result"]
            sock.settimeout(silence_s)
        except BaseException:
            sock.close()
            raise

    @classmethod
    def open(cls, journal: str | os.PathLike[str], timeout: float = 5.0, *, silence_s: float = SILENCE_S) -> Connection:
        """
        Raises:
            NobodyListens: no process holds the journal, or it does not listen.
            Silent: it does not answer within ``timeout`` seconds.
            ControlError: it will not talk to us.
        """
        sock, token = dial(journal, timeout)
        return cls(sock, token, hello_s=timeout, silence_s=silence_s)

    def ask(
        self,
        op: str,
        params: dict[str, Any] | None = None,
        blobs: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        again: bool = False,
    ) -> wire.Message:
        """The last reply to a request.

        Args:
            token: from ``new_token``, for a request that changes something: asked ``again`` with it, it is not done twice.

        Raises:
            WfkernelError: the holder's answer, as the error that it raised there.
            ConnectionLost, Silent: it is not known whether the request was done.
        """
        *_, last = self.replies(op, params, blobs, token=token, again=again)
        return last

    def replies(
        self,
        op: str,
        params: dict[str, Any] | None = None,
        blobs: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        again: bool = False,
    ) -> Iterator[wire.Message]:
        """All replies to a request, as they come; arguments and errors as ``ask``."""
        self._last_id += 1
        request = self._last_id
        known = {} if token is None else {"token": token, "again": again}
        self.send({"id": request, "op": op, "params": params or {}, **known}, blobs)
        while True:
            reply = self.receive()
            if reply.id is not None and reply.id != request:
                continue  # of a request that nobody waits for any more
            if "error" in reply.body:
                raise error_from(reply.body["error"])
            yield reply
            if "part" not in reply.body:
                return

    def send(self, body: dict[str, Any], blobs: dict[str, Any] | None = None) -> None:
        frames = wire.packed(body, blobs)
        first = next(frames)
        try:
            self._socket.sendall(first)
            for frame in frames:
                self._socket.sendall(frame)
        except BaseException as error:  # an interrupt, too: half a message is out, and nothing can follow it
            self.close()
            if not isinstance(error, OSError):
                raise
            raise ConnectionLost(f"the process that holds the journal is gone: {error.strerror or error}") from None

    def receive(self, is_expected: Callable[[], bool] = lambda: True) -> wire.Message:
        """The next message.

        Args:
            is_expected: whether anybody waits for one; without, the holder may be silent for as long as it likes.
        """
        while not self._waiting:
            try:
                data = self._socket.recv(_CHUNK)
            except TimeoutError:
                if is_expected():
                    self._ping()
                continue
            except OSError as error:
                raise ConnectionLost(f"the process that holds the journal is gone: {error.strerror or error}") from None
            if not data:
                raise ConnectionLost("the process that holds the journal went away")
            self._was_pinged = False
            self._waiting.extend(self._parser.feed(data))
        return self._waiting.pop(0)

    def _ping(self) -> None:
        if self._was_pinged:
            pid = self.holder.get("pid") or "that holds it"
            raise Silent(f"the journal is held by process {pid}, which does not answer; is it stopped? (kill -CONT {pid})")
        self._was_pinged = True
        self.send({"id": 0, "op": "ping"})

    def close(self) -> None:
        """Also wakes up whoever waits in ``receive``."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already
        self._socket.close()

    def forget(self) -> None:
        """In a fork's child: the connection is the parent's, who goes on with it."""
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def error_from(said: Any) -> errors.WfkernelError | TimeoutError:
    """The error that the holder raised, as the same class here; a ControlError for what is not ours."""
    if not isinstance(said, dict):
        return ControlError(f"the process that holds the journal answered what is no answer: {said!r}")
    name, message = str(said.get("type")), str(said.get("message"))
    if name == "TimeoutError":
        return TimeoutError(message)
    found = getattr(errors, name, None)
    if not (isinstance(found, type) and issubclass(found, errors.WfkernelError)):
        return ControlError(message if name in ("WireError", "ConnectionLost") else f"{name}: {message}")
    facts = said.get("facts")
    return errors._rebuild(found, (message,), facts if isinstance(facts, dict) else {})


def told_there(text: str, holder: dict[str, Any]) -> str:
    """What the holder says of what it lacks, for who is not the holder.

    >>> told_there("workflow 'trip' is not defined here", {"pid": 12})
    "workflow 'trip' is not defined in process 12, which holds the journal"
    >>> told_there("the definition of workflow 'trip' (run its cell)", {"pid": 12})
    "the definition of workflow 'trip' in process 12, which holds the journal"
    """
    there = f"in process {holder.get('pid')}, which holds the journal"
    return text.replace("defined here", f"defined {there}").replace("(run its cell)", there)


def new_token() -> str:
    """For a request that must not be done twice: sent again with the same token, it finds that it was done."""
    return os.urandom(12).hex()  # `secrets` would take longer to load than all of the rest


def as_stored(value: Any) -> Any:
    """A plain JSON value in the form of stored values, where an object with the key "$" means something.

    >>> as_stored({"$": 1})
    {'$': 'dict', 'v': [['$', 1]]}
    """
    if isinstance(value, list):
        return [as_stored(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$" in value:
        return {"$": "dict", "v": [[k, as_stored(v)] for k, v in value.items()]}
    return {k: as_stored(v) for k, v in value.items()}


def parse_json(text: str) -> Any:
    """JSON without NaN and Infinity, which are not JSON, and with no number that loses digits."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse, parse_float=exact_float)
