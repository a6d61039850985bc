"""Answers other processes, in the process that holds the journal. One thread with a loop for the connections; operations run on others.

Whoever is not this user is not answered. Input that is no message of ours is answered with an error, and the connection dropped;
a request that is wrong is answered, and the connection goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import weakref
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

from wfkernel.control.address import Listening, is_ours, listen
from wfkernel.control.peer import Peer
from wfkernel.engine.engine import Engine
from wfkernel.engine.workers import LoopThread, Threads
from wfkernel.errors import ControlError
from wfkernel.manager import WorkflowManager

if TYPE_CHECKING:
    from wfkernel.control.operations import Asked

logger = logging.getLogger("wfkernel.control")

_MOST_PEERS = 100
_MOST_AT_ONCE = 4  # operations of all peers
_MOST_STREAMS = 4  # ... besides those that a client reads as slowly as it likes
_PATIENCE_S = 2.0
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class Server:
    """Listens for one journal until its engine stops."""

    def __init__(self, engine: Engine, *, unix: bool | None = None):
        self.manager = WorkflowManager._of(engine)
        self._listening: Listening = listen(engine.journal.path, unix=unix)
        self._peers: set[Peer] = set()
        self._stopped = False
        self._thread: LoopThread | None = None
        self._workers = Threads("wfkernel-operations", most=_MOST_AT_ONCE)
        self._streamers = Threads("wfkernel-streams", most=_MOST_STREAMS)
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
            asyncio.run_coroutine_threadsafe(self._accept(), self._thread.loop)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listening.socket)
                await loop.connect_accepted_socket(functools.partial(Peer, self, sock), sock)
            except OSError as error:
                if self._stopped:
                    return
                logger.warning("no further process can connect for a moment: %s", error)
                await asyncio.sleep(1)  # too many open files, say

    def join(self, peer: Peer) -> ControlError | None:
        """One more; why it is not answered, if so."""
        others = sum(not other.is_dismissed for other in self._peers)
        self._peers.add(peer)
        if self.token is None and not is_ours(peer.socket):
            logger.warning("a process of another user was turned away")
            return ControlError("this journal is another user's")
        if others >= _MOST_PEERS:
            logger.warning("more than %d processes are connected: one was turned away", _MOST_PEERS)
            return ControlError(f"{_MOST_PEERS} processes talk to the holder of this journal already; close one of them")
        return None

    def left(self, peer: Peer) -> None:
        self._peers.discard(peer)

    @property
    def operations(self) -> Any:
        return _operations()

    def perform(self, asked: Asked, op: str, params: Any) -> Future[Any]:
        """Do an operation on a thread of its own."""
        done: Future[Any] = Future()
        if asked.token is not None and _operations().is_change(op):
            done.set_running_or_notify_cancel()  # it cannot be canceled: who asked may go, and another may ask again
        workers = self._streamers if op == "sql" else self._workers  # it goes no faster than its reader
        workers.submit(lambda: _into(done, asked, op, params))
        return done

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
        self._streamers.close()

    async def _hang_up(self) -> None:
        peers = list(self._peers)
        for peer in peers:
            peer.end()
        if peers:
            await asyncio.wait([peer.lost for peer in peers], timeout=_PATIENCE_S / 2)
        for peer in list(self._peers):
            peer.abort()

    def forget(self) -> None:
        """In a fork's child, which must not keep the sockets open beyond its parent."""
        self._listening.socket.close()
        for peer in self._peers:
            peer.forget()


@functools.cache
def _operations() -> Any:
    """Loaded when the first client comes: most kernels never have one."""
    importlib.import_module("wfkernel.control.cards")  # puts its operations in the table
    return importlib.import_module("wfkernel.control.operations")


def _into(done: Future[Any], asked: Asked, op: str, params: Any) -> None:
    if not done.running() and not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(_operations().perform(asked, op, params))
    except BaseException as exc:
        done.set_exception(exc)


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
