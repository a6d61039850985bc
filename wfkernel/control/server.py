"""Answers other processes, in the process that holds the journal. One thread with a loop for the connections; operations run on others.

Whoever is not this user is not answered. Input that is no message of ours is answered with an error, and the connection dropped;
a request that is wrong is answered, and the connection goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import importlib
import logging
import os
import socket
import weakref
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

import wfkernel
from wfkernel.control import wire
from wfkernel.control.address import Listening, is_ours, listen
from wfkernel.engine.engine import Engine
from wfkernel.engine.workers import LoopThread, Threads
from wfkernel.errors import ControlError, EngineStopped
from wfkernel.manager import WorkflowManager

if TYPE_CHECKING:
    from wfkernel.control.operations import Asked

logger = logging.getLogger("wfkernel.control")

_CHUNK = 1 << 16
_MOST_CONNECTIONS = 100
_MOST_REQUESTS = 200  # of one connection, begun and not answered: no more are read meanwhile
_MOST_WAITING = 100_000  # ... those included that wait for the end of a run
_MOST_AT_ONCE = 8  # operations of all connections
_MOST_STREAMS = 4  # ... besides those that a client reads as slowly as it likes
_MOST_CHANGES = 10_000  # remembered by their tokens
_HELLO_S = 10.0
_FAREWELL_S = 1.0
_PATIENCE_S = 2.0
_UNREAD_S = 60.0  # a client that reads nothing for so long is dropped
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class Server:
    """Listens for one journal until its engine stops."""

    def __init__(self, engine: Engine, *, unix: bool | None = None):
        self.manager = WorkflowManager._of(engine)
        self._listening: Listening = listen(engine.journal.path, unix=unix)
        self._connections: set[_Connection] = set()
        self._stopped = False
        self._thread: LoopThread | None = None
        self._workers = Threads("wfkernel-operations")
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
        self._streams = asyncio.Semaphore(_MOST_STREAMS)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changes: dict[str, asyncio.Task[Any]] = {}  # by token, the oldest first
        self._engine = engine
        engine.before_stop.append(self.stop)
        engine.after_stop.append(self.finish)
        engine.call(engine.loop.add_reader, self._listening.socket, self._somebody_comes)
        _servers.add(self)

    @property
    def token(self) -> str | None:
        return self._listening.token

    def _somebody_comes(self) -> None:
        """The first client: until then we cost no thread. On the engine's loop, which goes no further than this."""
        self._engine.loop.remove_reader(self._listening.socket)
        if not self._stopped:
            self._thread = LoopThread("wfkernel-control")
            self._thread.loop.call_soon_threadsafe(lambda: self._keep(self._accept()))

    def _keep(self, coro: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listening.socket)
            except OSError as error:
                if self._stopped:
                    return
                logger.warning("no further process can connect for a moment: %s", error)
                await asyncio.sleep(1)  # too many open files, say
                continue
            sock.setblocking(False)
            refusal = self._refusal(sock)
            if refusal is not None:
                self._keep(_farewell(sock, refusal))
                continue
            connection = _Connection(self, sock)
            self._connections.add(connection)
            self._keep(connection.serve())

    def _refusal(self, sock: socket.socket) -> ControlError | None:
        if self.token is None and not is_ours(sock):
            logger.warning("a process of another user was turned away")
            return ControlError("this journal is another user's")
        if len(self._connections) >= _MOST_CONNECTIONS:
            logger.warning("more than %d processes are connected: one was turned away", _MOST_CONNECTIONS)
            return ControlError(f"{_MOST_CONNECTIONS} processes talk to the holder of this journal already; close one of them")
        return None

    def left(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    async def run(self, asked: Asked, op: str, params: Any) -> Any:
        """Do an operation on a thread of its own; a change once, however often it is asked for with the same token."""
        if asked.token is None or not _operations().is_change(op):
            return await self._perform(asked, op, params)
        known = self._changes.get(asked.token)
        if known is None:
            known = self._changes[asked.token] = self._keep(self._perform(asked, op, params))
            known.add_done_callback(lambda task: self._forget_failure(asked.token, task))
            if len(self._changes) > _MOST_CHANGES:
                del self._changes[next(iter(self._changes))]
        return await asyncio.shield(known)  # who asked may go; another may ask again

    def _forget_failure(self, token: Any, task: asyncio.Task[Any]) -> None:
        """What was not done may be asked for again."""
        if task.cancelled() or task.exception() is not None:
            self._changes.pop(token, None)

    async def _perform(self, asked: Asked, op: str, params: Any) -> Any:
        async with self._streams if op == "sql" else self._slots:  # one goes no faster than its reader
            done: Future[Any] = Future()
            self._workers.submit(lambda: _into(done, asked, op, params))
            try:
                return await asyncio.wrap_future(done)
            except asyncio.CancelledError:
                done.add_done_callback(_nobody_waits)
                raise

    # -- the end --

    def stop(self) -> None:
        """What is asked from now on is for the next holder."""
        self._stopped = True
        self._listening.remove()  # nobody new comes; the file is gone before the lock is

    def finish(self) -> None:
        """The engine has stopped, and whoever waited was told: answer them, and hang up."""
        if self._thread is not None:
            with contextlib.suppress(FutureTimeout, CancelledError):
                asyncio.run_coroutine_threadsafe(self._hang_up(), self._thread.loop).result(_PATIENCE_S)
            self._thread.stop()
        self._listening.socket.close()
        self._workers.close()

    async def _hang_up(self) -> None:
        answering = [t for c in self._connections for t in c.requests.values()]
        if answering:
            await asyncio.wait(answering, timeout=_PATIENCE_S / 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def forget(self) -> None:
        """In a fork's child, which must not keep the sockets open beyond its parent."""
        self._listening.socket.close()
        for connection in self._connections:
            connection.forget()


async def _farewell(sock: socket.socket, why: ControlError) -> None:
    """Say why, and hang up. The other is heard out for a moment: who cannot send on never reads what he was told."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_FAREWELL_S):
            await loop.sock_sendall(sock, next(wire.packed({"id": None, "error": _error_body(why)})))
            sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(sock, _CHUNK):
                pass
    sock.close()


def _nobody_waits(done: Future[Any]) -> None:
    """What is done for nobody any more, and would wait for something."""
    if not done.cancelled() and done.exception() is None and isinstance(done.result(), Future):
        done.result().cancel()


@functools.cache
def _operations() -> Any:
    """Loaded when the first client comes: most kernels never have one."""
    importlib.import_module("wfkernel.control.cards")  # puts its operations in the table
    return importlib.import_module("wfkernel.control.operations")


def _into(done: Future[Any], asked: Asked, op: str, params: Any) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(_operations().perform(asked, op, params))
    except BaseException as exc:
        done.set_exception(exc)


class _Connection:
    """One client. On the server's loop."""

    def __init__(self, server: Server, sock: socket.socket):
        self._server = server
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._parser = wire.Parser(wire.MAX_STRANGER, max_blob_bytes=0)
        self._writing = asyncio.Lock()
        self._room = asyncio.Semaphore(_MOST_REQUESTS)
        self._in_room: set[int] = set()  # the requests that take some of it
        self.requests: dict[int, asyncio.Task[None]] = {}
        self._answering: set[int] = set()  # of them, those whose answer is being sent

    async def serve(self) -> None:
        try:
            async with asyncio.timeout(_HELLO_S):
                early = await self._greet()
            for message in early:
                await self._take(message)
            while messages := await self._receive():
                for message in messages:
                    await self._take(message)
        except wire.WireError as error:
            async with self._writing:
                await _farewell(self._socket, error)
        except (OSError, TimeoutError):
            pass  # it went away, or never said who it is
        finally:
            for task in list(self.requests.values()):
                task.cancel()
            self._server.left(self)
            self._socket.close()

    async def _receive(self) -> list[wire.Message]:
        """The next messages; none when it has gone."""
        messages: list[wire.Message] = []
        while not messages:
            data = await self._loop.sock_recv(self._socket, _CHUNK)
            if not data:
                break
            messages.extend(self._parser.feed(data))
        return messages

    async def _greet(self) -> list[wire.Message]:
        """Find out whether we talk to this one; what it said after its first message."""
        first, more = None, iter(())
        while first is None:
            data = await self._loop.sock_recv(self._socket, _CHUNK)
            if not data:
                return []
            more = self._parser.feed(data)
            first = next(more, None)
        self._check_hello(first)
        self._parser.max_text, self._parser.max_blob_bytes = wire.MAX_TEXT, wire.MAX_BLOB_BYTES
        path = str(self._server.manager.path)
        hello = {"pid": os.getpid(), "version": wfkernel.__version__, "path": path, "protocol": wire.VERSIONS[-1]}
        await self.send({"id": first.id, "result": hello})
        return list(more)

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

    async def _take(self, message: wire.Message) -> None:
        body, request = message.body, message.id
        op, params = body.get("op"), body.get("params", {})
        if request is None or not isinstance(op, str) or not isinstance(params, dict):
            raise wire.WireError('a request is {"id": number, "op": name, "params": {...}}')
        if op == "drop":
            self._drop(params.get("id"))
            return
        if op == "ping":
            await self.send({"id": request, "result": None})
            return
        if request in self.requests:
            raise wire.WireError(f"request {request} is under way already")
        if len(self.requests) >= _MOST_WAITING:
            raise wire.WireError(f"more than {_MOST_WAITING:,} requests wait for their answers")
        await self._room.acquire()  # or it is not read any further: it must wait for some answers first
        asked = _operations().Asked(
            self._server.manager,
            blobs=message.blobs,
            token=body["token"] if isinstance(body.get("token"), str) else None,
            again=body.get("again") is True,
            tell=lambda part, blobs: self._tell(request, part, blobs),
            tell_soon=lambda part: asyncio.run_coroutine_threadsafe(self._send_part(request, part, None), self._loop),
        )
        self._in_room.add(request)
        task = self._loop.create_task(self._do(request, asked, op, params))
        self.requests[request] = task
        task.add_done_callback(lambda _: self._done(request))

    def _done(self, request: int) -> None:
        self._leave_room(request)  # where it was dropped before it began
        del self.requests[request]
        self._answering.discard(request)

    def _drop(self, request: Any) -> None:
        task = self.requests.get(request) if isinstance(request, int) else None
        if task is not None and request not in self._answering:  # else half of the answer may be out
            task.cancel()

    async def _do(self, request: int, asked: Asked, op: str, params: Any) -> None:
        blobs = None
        try:
            result = await self._begun(request, asked, op, params)
            if isinstance(result, Future):  # it takes no room while it waits
                result = await asyncio.wrap_future(result)
            if isinstance(result, _operations().Reply):
                result, blobs = result
            answer = {"id": request, "result": result}
        except Exception as exc:
            answer = {"id": request, "error": _error_body(exc)}
        self._answering.add(request)
        with contextlib.suppress(OSError):  # it went away
            try:
                await self.send(answer, blobs)
            except wire.WireError as error:  # too large, or no JSON
                await self.send({"id": request, "error": _error_body(error)})

    async def _begun(self, request: int, asked: Asked, op: str, params: Any) -> Any:
        try:
            return await self._server.run(asked, op, params)
        finally:
            self._leave_room(request)

    def _leave_room(self, request: int) -> None:
        if request in self._in_room:
            self._in_room.discard(request)
            self._room.release()

    def _tell(self, request: int, part: Any, blobs: dict[str, Any] | None) -> None:
        """Send a part of an answer; on the thread of the operation, which goes no further than the client reads."""
        part_of = self._send_part(request, part, blobs)
        try:
            asyncio.run_coroutine_threadsafe(part_of, self._loop).result(2 * _UNREAD_S)
        except (OSError, CancelledError):
            raise ControlError("the client does not read what it asked for") from None
        except RuntimeError:  # the loop has ended
            part_of.close()
            raise EngineStopped("the manager was closed") from None

    async def _send_part(self, request: int, part: Any, blobs: dict[str, Any] | None) -> None:
        if request not in self.requests:
            raise ConnectionAbortedError("nobody waits for it")
        await self.send({"id": request, "part": part}, blobs)

    async def send(self, body: dict[str, Any], blobs: dict[str, Any] | None = None) -> None:
        """
        Raises:
            WireError: nothing was sent.
            OSError: the client has gone; or reads so slowly that it was dropped.
        """
        frames = wire.packed(body, blobs, max_text=wire.MAX_REPLY)
        frame = next(frames)
        try:
            async with self._writing:
                await self._send_frame(frame)
                for frame in frames:
                    await self._send_frame(frame)
        except (TimeoutError, asyncio.CancelledError):  # half a message may be out
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            raise

    async def _send_frame(self, frame: bytes) -> None:
        try:
            sent = self._socket.send(frame)  # nearly always all of it
        except BlockingIOError:
            sent = 0
        if sent < len(frame):
            async with asyncio.timeout(_UNREAD_S):
                await self._loop.sock_sendall(self._socket, memoryview(frame)[sent:])

    def forget(self) -> None:
        self._socket.close()


def _error_body(exc: BaseException) -> Any:
    try:
        return _operations().error_body(exc)
    except Exception:  # a user's __str__ may raise; who asked must be answered all the same
        return {"type": type(exc).__name__, "message": type(exc).__name__}


def serve(engine: Engine, *, unix: bool | None = None) -> Server | None:
    """Listen for the journal of an engine, if it is a file and nobody does already; a warning where that cannot be."""
    if engine.journal.is_memory:
        return None
    try:
        return Server(engine, unix=unix)
    except (OSError, ControlError) as error:
        logger.warning("other processes cannot talk to this one about %s: %s", engine.journal.path, error)
        return None


def _forget_in_child() -> None:
    """A fork's child must not keep the socket alive beyond its parent, and has no thread to answer with."""
    for server in _servers:
        server.forget()
    _servers.clear()


os.register_at_fork(after_in_child=_forget_in_child)
