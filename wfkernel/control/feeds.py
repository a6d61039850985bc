"""The feed of a run, wherever the run is: of this process, or of the one that holds the journal."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias

from wfkernel.cards import feed as local
from wfkernel.cards.desk import post
from wfkernel.cards.feed import Awaited, Feed, Viewer
from wfkernel.errors import WfkernelError
from wfkernel.run import Run

if TYPE_CHECKING:
    from wfkernel.control.connected import ConnectedManager

_AGAIN_S = 1.0  # before the holder is looked for again, where none was found


class RemoteFeed:
    """As ``wfkernel.cards.feed.Feed``, for a run that another process holds. It passes on what that process tells its own feed, for
    as long as anybody looks.

    Should this process become the holder, it hears its own feed instead. Used on the feeds' thread; ``details``, the forms and
    ``answer`` wait for the other process, and are for other threads.
    """

    def __init__(self, manager: ConnectedManager, run: Run):
        self.run = run
        self.seq = 0
        self.viewers: list[Viewer] = _Viewers(lambda: post(self._look_around))
        self.rows: dict[int, list[Any]] = {}
        self._manager = manager
        self._names: list[str] = []
        self._live: dict[int, list[Any]] = {}
        self._now = 0.0
        self.header: dict[str, Any] = {
            "id": run.id,
            "name": run.name,
            "status": "in_progress",
            "note": "asks the process that holds it",
        }
        self._heard: Future[Any] | None = None
        self._own: Feed | None = None

    # -- what it hears --

    def snapshot(self) -> dict[str, Any]:
        """Everything that was heard so far; the rest comes soon."""
        self._listen()
        return {
            "k": "snap",
            "seq": self.seq,
            "now": self._now,
            "run": self.header,
            "names": list(self._names),
            "rows": list(self.rows.values()),
            "live": list(self._live.values()),
        }

    def small_snapshot(self) -> dict[str, Any]:
        return local.small(self.snapshot())

    def _look_around(self) -> None:
        """A viewer came or left."""
        if self.viewers:
            self._listen()
        else:
            self._leave()

    def _listen(self) -> None:
        if self._heard is not None or self._own is not None:
            return
        asked: Future[Any] = Future()
        self._heard = asked
        threading.Thread(target=self._ask, args=[asked], name="wfkernel-watch", daemon=True).start()

    def _ask(self, asked: Future[Any]) -> None:
        """Find the holder, which may take a while, and hear it."""
        try:
            heard = self._manager.hear("watch", {"run": self.run.id}, lambda said: post(lambda: self._take(said)))
        except WfkernelError as error:
            said = str(error)
            post(lambda: self._lost(asked, said))
        else:
            if heard is None:
                post(lambda: self._hear_own(asked))
            else:
                post(lambda: self._hear(asked, heard))

    def _hear(self, asked: Future[Any], heard: Future[Any]) -> None:
        if self._heard is not asked:  # everybody left meanwhile
            drop(heard)
            return
        self._heard = heard
        heard.add_done_callback(lambda done: post(lambda: self._lost(heard, _why(done))))

    def _hear_own(self, asked: Future[Any]) -> None:
        """This process holds the journal now."""
        if self._heard is not asked:
            return
        self._heard = None
        self._own = local.feed_of(self.run)
        self._own.viewers.append(self)
        self._take(self._own.snapshot())

    def _leave(self) -> None:
        """Nobody looks: let the holder tell us no more. Not when the run ends: it may be begun again, which its viewers are told."""
        heard, self._heard = self._heard, None
        if heard is not None:
            drop(heard)
        if self._own is not None:
            self._own.viewers.remove(self)
            self._own = None

    def _lost(self, heard: Future[Any], why: str | None) -> None:
        """The holder went away: whoever holds the journal next tells on."""
        if self._heard is not heard:
            return
        self._heard = None
        if not self.viewers or self._manager.is_closed:
            return
        if why is not None:
            self.header = {**self.header, "note": why}
            self._tell({"k": "d", "seq": self._next(), "now": self._now, "run": {"note": why}})
        post(self._listen, after=_AGAIN_S if why is not None else 0.0)

    def _next(self) -> int:
        self.seq += 1
        return self.seq

    def _take(self, said: dict[str, Any]) -> None:
        """A message of the holder's feed: kept, and passed on under a number of our own."""
        self._now = said["now"]
        if said["k"] == "snap":
            self.header, self._names = said["run"], said["names"]
            self.rows = {row[0]: row for row in said["rows"]}
            self._live = {entry[0]: entry for entry in said["live"]}
            self._next()
            self._tell(self.snapshot())
        else:
            self.header = {**self.header, **said.get("run", {})}
            self._names.extend(said.get("names", ()))
            self.rows.update((row[0], row) for row in said.get("rows", ()))
            self._live.update((entry[0], entry) for entry in said.get("live", ()))
            self._tell({**said, "seq": self._next()})
        if local.is_an_end(said.get("run", {})):
            for viewer in list(self.viewers):
                viewer.ended()
        if not self.viewers:
            self._leave()

    def tell(self, message: dict[str, Any]) -> None:
        self._take(message)

    def ended(self) -> None:
        """The message before said so."""

    def _tell(self, message: dict[str, Any]) -> None:
        for viewer in list(self.viewers):
            viewer.tell(message)

    # -- what it asks: not on the feeds' thread --

    def details(self, number: int) -> dict[str, Any]:
        return self._manager.ask("details", {"run": self.run.id, "step": number})

    def event_form(self, number: int) -> dict[str, Any]:
        return self._manager.ask("event_form", {"run": self.run.id, "step": number})

    def fork_form(self, step: int | None) -> dict[str, Any]:
        return self._manager.ask("fork_form", {"run": self.run.id, "step": step})

    def answer(self, number: int, value: Any) -> str:
        return self._manager.ask("answer", {"run": self.run.id, "step": number, "value": value})

    def fork(self, step: int | None, changed: dict[str, Any], unset: Any = ()) -> str:
        params = {"run": self.run.id, "step": step, "changed": changed, "unset": list(unset)}
        return self._manager.ask("fork_by_form", params)["run_id"]


class _Viewers(list["Viewer"]):
    """Viewers; ``changed`` is called when one came or left."""

    def __init__(self, changed: Callable[[], None]):
        super().__init__()
        self._changed = changed

    def append(self, viewer: Viewer) -> None:
        super().append(viewer)
        self._changed()

    def remove(self, viewer: Viewer) -> None:
        super().remove(viewer)
        self._changed()


AnyFeed: TypeAlias = Feed | RemoteFeed
_feeds: weakref.WeakValueDictionary[tuple[int, int], RemoteFeed] = weakref.WeakValueDictionary()  # for as long as a card has it
_lock = threading.Lock()


def _why(done: Future[Any]) -> str | None:
    """Why a watch is over, if a user should know; None if it is only to be asked for anew."""
    if done.cancelled() or done.exception() is None:
        return None
    error = done.exception()
    return None if type(error).__name__ in ("ConnectionLost", "EngineStopped") else str(error)


def drop(heard: Future[Any]) -> None:
    """Elsewhere: to say so to the holder, it may have to be waited for."""
    threading.Thread(target=heard.cancel, name="wfkernel-watch", daemon=True).start()


def as_connected(manager: Any) -> ConnectedManager | None:
    """The manager, if another process may hold its journal."""
    connected: Any = sys.modules.get("wfkernel.control.connected")  # where nobody asked for it there is none
    return manager if connected is not None and isinstance(manager, connected.ConnectedManager) else None


def feed_of(run: Run) -> AnyFeed:
    """The feed of a run: one, however many cards show it."""
    manager = as_connected(run._manager)
    if manager is None or manager.is_holder:
        return local.feed_of(run)
    with _lock:
        found = _feeds.get((id(manager), run._key))
        if found is None or found._manager is not manager:
            found = _feeds[id(manager), run._key] = RemoteFeed(manager, run)
        return found


def awaiting(run: Run) -> list[Awaited]:
    """The events that a run waits for now, in the order of their steps."""
    feed = feed_of(run)
    if not isinstance(feed, RemoteFeed):
        return local.awaiting(run)
    said = feed._manager.ask("awaited", {"run": run.id})
    return [Awaited(a["step"], a["event"], None, a["event_id"], a["form"], a["type"]) for a in said]
