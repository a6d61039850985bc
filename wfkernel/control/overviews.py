"""What a dashboard shows, wherever the runs are: of this process, or of the one that holds the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias

from wfkernel.cards.desk import post
from wfkernel.cards.pages import Overview
from wfkernel.control.feeds import as_connected, drop
from wfkernel.errors import WfkernelError
from wfkernel.manager import WorkflowManager

if TYPE_CHECKING:
    from wfkernel.control.connected import ConnectedManager

_AGAIN_S = 1.0  # before the holder is looked for again, where none was found
_PATIENCE_S = 2.0  # for the holder to say that it tells what changes


class RemoteOverview:
    """As ``wfkernel.cards.pages.Overview``, for a journal that another process holds, or this one by now.

    ``listen`` and ``rest`` are called on the widgets' thread; the others wait for the other process, and are for other threads.
    """

    def __init__(self, manager: ConnectedManager, changed: Callable[[], None]):
        self._manager = manager
        self._changed = changed
        self._heard: Future[Any] | None = None
        self._own: Overview | None = None
        self._is_told = threading.Event()  # of changes, from now on

    # -- what it asks --

    def page(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._is_told.wait(_PATIENCE_S)  # or what changes behind this page is missed
        return self._manager.ask("overview", asked)

    def steps(self, workflow: str) -> dict[str, Any]:
        return self._manager.ask("step_times", {"workflow": workflow})

    def total(self) -> int:
        return self._manager.ask("count", {})

    # -- what it hears --

    def listen(self) -> None:
        if self._heard is not None or self._own is not None:
            return
        asked: Future[Any] = Future()
        self._heard = asked
        threading.Thread(target=self._ask, args=[asked], name="wfkernel-news", daemon=True).start()

    def rest(self) -> None:
        heard, self._heard = self._heard, None
        self._is_told.clear()
        if heard is not None:
            drop(heard)
        if self._own is not None:
            self._own.rest()
            self._own = None

    def _ask(self, asked: Future[Any]) -> None:
        """Find the holder, which may take a while, and hear it."""
        try:
            heard = self._manager.hear("news", {}, lambda _: self._hear(asked))
        except WfkernelError:  # whoever asks for a page is told what is wrong
            post(lambda: self._lost(asked, again=_AGAIN_S))
            return
        if heard is None:
            post(lambda: self._listen_here(asked))
            return
        asked.add_done_callback(lambda _: drop(heard))
        heard.add_done_callback(lambda _: post(lambda: self._lost(asked)))

    def _hear(self, asked: Future[Any]) -> None:
        """The first time the holder says that it tells from now on; then, that something changed."""
        if self._heard is not asked:
            return
        if self._is_told.is_set():
            self._changed()
        self._is_told.set()

    def _listen_here(self, asked: Future[Any]) -> None:
        """This process holds the journal now."""
        if self._heard is not asked:
            return
        self._heard = None
        self._own = Overview(self._manager, self._changed)
        self._own.listen()
        self._is_told.set()

    def _lost(self, asked: Future[Any], *, again: float = 0.0) -> None:
        """The holder went away: whoever holds the journal next tells on."""
        if self._heard is not asked:
            return
        self._heard = None
        self._is_told.clear()
        if not self._manager.is_closed:
            self._changed()
            post(self.listen, after=again)


AnyOverview: TypeAlias = Overview | RemoteOverview


def overview_of(wf: WorkflowManager, changed: Callable[[], None]) -> AnyOverview:
    """The overview of a manager's journal."""
    manager = as_connected(wf)
    return Overview(wf, changed) if manager is None else RemoteOverview(manager, changed)
