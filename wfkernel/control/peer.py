"""One process at the other end of a connection: what it asks for, and what it is told. On the control thread's loop.

Callbacks, no coroutines: a request costs the loop two turns, where it took six, and the runs pay for each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import itertools
import os
import socket
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import wfkernel
from wfkernel.control import wire
from wfkernel.errors import ControlError, EngineStopped

if TYPE_CHECKING:
    from wfkernel.control.operations import Asked
    from wfkernel.control.server import Server

_MOST_REQUESTS = 200  # of one peer, begun and not answered: no more are taken meanwhile
_MOST_UNTAKEN = 200  # ... and so many wait their turn before it is read no further
_MOST_WAITING = 100_000  # ... those included that wait for the end of a run
_HELLO_S = 10.0
_FAREWELL_S = 1.0
_UNREAD_S = 60.0  # a peer that reads nothing for so long is dropped


_AT_ONCE = ("ping", "drop")  # whatever else waits its turn


class Peer(asyncio.Protocol):
    """Asks, and is answered in the order in which answers are ready.

    Who reads slowly is not read from, either; who asks for too much at once waits for some answers before the rest is taken.

    Attributes:
        is_dismissed: it was told why it is not answered any further.
        lost: done when the connection is closed, and nothing is left of it.
    """

    def __init__(self, server: Server, sock: socket.socket):
        self._server = server
        self.socket = sock
        self._loop = asyncio.get_running_loop()
        self._parser = wire.Parser(wire.MAX_STRANGER, max_blob_bytes=0)
        self._is_known = False  # it has said hello
        self.is_dismissed = False
        self._is_ending = False
        self._untaken: deque[wire.Message] = deque()  # beyond _MOST_REQUESTS
        self._requests: dict[int, Future[Any]] = {}  # those not answered, and what each waits for
        self._in_room: dict[int, Asked] = {}  # of them, those that are being done, and count among _MOST_REQUESTS
        self.lost: asyncio.Future[None] = self._loop.create_future()

    # -- what asyncio calls --

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._outbox = _Outbox(self._loop, transport)
        self._deadline = self._loop.call_later(_HELLO_S, transport.abort)
        refusal = self._server.join(self)
        if refusal is not None:
            self._dismiss(refusal)

    def data_received(self, data: bytes) -> None:
        if self.is_dismissed:
            return
        try:
            for message in self._parser.feed(data):
                self._hear(message)
        except wire.WireError as error:
            self._dismiss(error)
        self._go_on()

    def pause_writing(self) -> None:
        self._outbox.pause()
        self._read_or_not()

    def resume_writing(self) -> None:
        self._outbox.resume()
        self._read_or_not()
        self._close_when_answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._outbox.fail()
        self._server.left(self)
        self.lost.set_result(None)
        self._forget_requests()

    # -- what it says --

    def _hear(self, message: wire.Message) -> None:
        if not self._is_known:
            self._greet(message)
        elif (self._untaken or self._is_full()) and message.body.get("op") not in _AT_ONCE:
            self._untaken.append(message)
        else:
            self._take(message)

    def _is_full(self) -> bool:
        return len(self._in_room) >= _MOST_REQUESTS

    def _read_or_not(self) -> None:
        if (len(self._untaken) >= _MOST_UNTAKEN or self._outbox.is_paused) and not self.is_dismissed:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _greet(self, message: wire.Message) -> None:
        """Find out whether we talk to this one."""
        self._check_hello(message)
        self._deadline.cancel()
        self._is_known = True
        self._parser.max_text, self._parser.max_blob_bytes = wire.MAX_TEXT, wire.MAX_BLOB_BYTES
        path = str(self._server.manager.path)
        hello = {"pid": os.getpid(), "version": wfkernel.__version__, "path": path, "protocol": wire.VERSIONS[-1]}
        self._outbox.put({"id": message.id, "result": hello})

    def _check_hello(self, message: wire.Message) -> None:
        """
        Raises:
            WireError: we do not talk to this one.
        """
        params = message.body.get("params")
        if message.body.get("op") != "hello" or not isinstance(params, dict):
            raise wire.WireError('the first message must be {"id": 1, "op": "hello", "params": {"versions": [...]}}')
        token = self._server.token
        if token is not None and not hmac.compare_digest(str(params.get("token")).encode(errors="replace"), token.encode()):
            raise wire.WireError("the token is wrong: read it anew from the file beside the journal")
        versions = params.get("versions")
        if not isinstance(versions, list) or not set(map(str, versions)) & set(map(str, wire.VERSIONS)):
            raise wire.WireError(
                f"the holder of the journal speaks version {wire.VERSIONS[-1]}, and was asked for {versions}: use the same wfkernel in both"
            )

    def _take(self, message: wire.Message) -> None:
        body, number = message.body, message.id
        op, params = body.get("op"), body.get("params", {})
        if number is None or not isinstance(op, str) or not isinstance(params, dict):
            raise wire.WireError('a request is {"id": number, "op": name, "params": {...}}')
        if op == "drop":
            self._drop(params.get("id"))
        elif op == "ping":
            self._outbox.put({"id": number, "result": None})
        elif number in self._requests:
            raise wire.WireError(f"request {number} is under way already")
        elif len(self._requests) >= _MOST_WAITING:
            raise wire.WireError(f"more than {_MOST_WAITING:,} requests wait for their answers")
        else:
            self._begin(number, op, params, message)

    def _begin(self, number: int, op: str, params: dict[str, Any], message: wire.Message) -> None:
        token = message.body.get("token")
        asked = self._server.operations.Asked(
            self._server.manager,
            blobs=message.blobs,
            token=token if isinstance(token, str) else None,
            again=message.body.get("again") is True,
            tell=functools.partial(self._tell, number),
            tell_soon=functools.partial(self._tell_soon, number),
        )
        self._in_room[number] = asked
        self._await(number, self._server.perform(asked, op, params))

    def _await(self, number: int, future: Future[Any]) -> None:
        self._requests[number] = future
        future.add_done_callback(functools.partial(self._done, number))

    def _drop(self, number: Any) -> None:
        """Nobody waits for this answer any more."""
        found = self._requests.pop(number, None) if isinstance(number, int) else None
        if found is None:  # it has not been taken yet, or it is answered
            self._untaken = deque(message for message in self._untaken if message.id != number)
            return
        asked = self._in_room.pop(number, None)
        if asked is not None:
            asked.drop()
        if not found.cancel():
            found.add_done_callback(_give_up)

    def _forget_requests(self) -> None:
        self._untaken.clear()
        for number in list(self._requests):
            self._drop(number)

    def _go_on(self) -> None:
        """There may be room again."""
        try:
            while self._untaken and not self._is_full():
                self._take(self._untaken.popleft())
        except wire.WireError as error:
            self._dismiss(error)
        self._read_or_not()

    # -- what it is told --

    def _done(self, number: int, future: Future[Any]) -> None:
        """On any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the connection with it
            self._loop.call_soon_threadsafe(self._answer, number, future)

    def _answer(self, number: int, future: Future[Any]) -> None:
        if self._requests.get(number) is not future:
            return  # it was dropped
        result, error = _outcome(future)
        if isinstance(result, Future):  # it takes no room while it waits
            self._await(number, result)
        else:
            del self._requests[number]
            self._reply(number, result, error)
        self._in_room.pop(number, None)
        self._go_on()
        self._close_when_answered()

    def _reply(self, number: int, result: Any, error: BaseException | None) -> None:
        blobs = None
        if isinstance(result, self._server.operations.Reply):
            result, blobs = result
        try:
            if error is not None:
                self._outbox.put({"id": number, "error": self._error_body(error)})
            else:
                self._outbox.put({"id": number, "result": result}, blobs)
        except wire.WireError as unsendable:  # too large, or no JSON
            self._outbox.put({"id": number, "error": self._error_body(unsendable)})

    def _error_body(self, error: BaseException) -> Any:
        try:
            return self._server.operations.error_body(error)
        except Exception:  # a user's __str__ may raise; who asked must be answered all the same
            return {"type": type(error).__name__, "message": type(error).__name__}

    def _tell(self, number: int, part: Any, blobs: dict[str, Any] | None) -> None:
        """Send a part of an answer; on the thread of the operation, which goes no further than the peer reads."""
        gone: Future[None] = Future()
        try:
            self._loop.call_soon_threadsafe(self._put_part, number, part, blobs, gone)
        except RuntimeError:  # the loop has ended
            raise EngineStopped("the manager was closed") from None
        try:
            gone.result(2 * _UNREAD_S)
        except OSError:
            raise ControlError("the client does not read what it asked for") from None

    def _tell_soon(self, number: int, part: Any) -> Future[None]:
        """The same without waiting."""
        gone: Future[None] = Future()
        try:
            self._loop.call_soon_threadsafe(self._put_part, number, part, None, gone)
        except RuntimeError:
            gone.set_exception(EngineStopped("the manager was closed"))
        return gone

    def _put_part(self, number: int, part: Any, blobs: dict[str, Any] | None, gone: Future[None]) -> None:
        try:
            if number not in self._requests:
                raise ConnectionAbortedError("nobody waits for it")
            self._outbox.put({"id": number, "part": part}, blobs, gone)
        except (OSError, wire.WireError) as error:
            gone.set_exception(error)

    # -- the end --

    def _dismiss(self, why: ControlError) -> None:
        """Say why, and hang up. The other is heard out for a moment: who cannot send on never reads what he was told."""
        if self.is_dismissed:
            return
        self.is_dismissed = True
        self._deadline.cancel()
        self._deadline = self._loop.call_later(_FAREWELL_S, self._transport.abort)
        self._forget_requests()
        said: Future[None] = Future()
        said.add_done_callback(lambda _: self._transport.write_eof())
        self._outbox.put({"id": None, "error": self._error_body(why)}, gone=said)

    def end(self) -> None:
        """Hang up when what was asked for is answered."""
        self._is_ending = True
        self._close_when_answered()

    def _close_when_answered(self) -> None:
        if self._is_ending and not self._requests and self._outbox.is_empty:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def forget(self) -> None:
        """In a fork's child: the connection is the parent's, who goes on with it."""
        self.socket.close()


class _Outbox:
    """Messages on their way out, one after the other, made into frames no faster than the other side reads them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport):
        self._loop = loop
        self._transport = transport
        self._messages: deque[tuple[Iterator[bytes], Future[None] | None]] = deque()
        self._impatience: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        return not self._messages

    @property
    def is_paused(self) -> bool:
        return self._impatience is not None

    def put(self, body: dict[str, Any], blobs: dict[str, Any] | None = None, gone: Future[None] | None = None) -> None:
        """Send a message; ``gone`` is done when it is out.

        Raises:
            WireError: it cannot be sent, and nothing was.
        """
        frames = wire.packed(body, blobs, max_text=wire.MAX_REPLY)
        first = next(frames)
        self._messages.append((itertools.chain((first,), frames), gone))
        self._send()

    def _send(self) -> None:
        while self._messages and not self.is_paused and not self._transport.is_closing():
            frames, gone = self._messages[0]
            frame = next(frames, None)
            if frame is not None:
                self._transport.write(frame)
                continue
            self._messages.popleft()
            if gone is not None:
                gone.set_result(None)

    def pause(self) -> None:
        self._impatience = self._loop.call_later(_UNREAD_S, self._transport.abort)

    def resume(self) -> None:
        self._calm()
        self._send()

    def _calm(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def fail(self) -> None:
        """The other side has gone."""
        self._calm()
        messages, self._messages = self._messages, deque()
        for _, gone in messages:
            if gone is not None:
                gone.set_exception(ConnectionAbortedError("the client has gone"))


def _outcome(future: Future[Any]) -> tuple[Any, BaseException | None]:
    try:
        return future.result(), None
    except BaseException as error:
        return None, error


def _give_up(done: Future[Any]) -> None:
    """What was done for nobody, and would now wait for something."""
    result, _ = _outcome(done)
    if isinstance(result, Future):
        result.cancel()
