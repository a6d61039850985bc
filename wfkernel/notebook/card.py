"""The run card: one anywidget for each view of a run. It relays: the feed says what there is, the manager does what is asked.

Messages only (``widgets/src/card.js`` is the other side)::

    kernel: snap, d (see reduce.js)    form, fork, details    {k: "ack", id, ok, msg, errors?, made?}
    card:   {k: "hello", view}  {k: "bye", view}  {k: "details", step}  {k: "form", step}  {k: "fork", step}
            {k: "cmd", id, run, cmd: "send" | "cancel" | "resume" | "restart" | "fork" | "open", step?, event?, value?, ...}

A card begins with one run, and "open" turns all its views to another: a child, a fork, or back to where it came from. A snapshot
says whose it is, and by which runs one came there (``path``).

A command carries all that it needs, the run too, so that a click counts whatever else was lost or turned meanwhile. The widget is
touched on the widgets' thread alone (see ``kernel``); what may wait is done on another. Each runs in the context of the cell that
showed the card: ipykernel keeps there which cell a message belongs to.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import traitlets

from wfkernel.cards import desk
from wfkernel.control.feeds import AnyFeed, RemoteFeed, feed_of
from wfkernel.errors import OptionError, WfkernelError
from wfkernel.model.jsontext import loads
from wfkernel.notebook import frozen, output
from wfkernel.notebook.widgets import LiveWidget
from wfkernel.run import Run

logger = logging.getLogger("wfkernel.notebook")

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_STATIC = Path(__file__).parent.parent / "static"
_LIVE_AGAIN = "For its steps in full, to fork or to resume it: the run as the last value of a cell is a live card again."
_READ_S = 1.0  # for the first look at a run
_commands = desk.Desk("wfkernel-commands")


class RunCard(LiveWidget):
    """A live view of one run.

    Attributes:
        run: the run.
        snapshot: what a saved notebook shows where it keeps widgets; written when the run has ended.
    """

    _esm = _STATIC / "run_card.js"
    snapshot = traitlets.Dict().tag(sync=True)

    def __init__(self, run: Run, **kwargs: Any):
        self.run = run
        output.install()
        self._feed: AnyFeed = feed_of(run)
        self._path: list[Run] = [run]  # the last is the one that is shown
        self._peek: _Peek | None = None  # at another run than our own
        self._views: set[str] = set()
        self._when_ended: list[Callable[[], None]] = []
        self._when_begun_again: list[Callable[[], None]] = []
        super().__init__(**kwargs)  # last: the page may answer at once

    # -- from the browser --

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Any thread."""
        if isinstance(message, dict):
            self._post(lambda: self._answer_or_say_why(message))

    def _answer_or_say_why(self, message: dict[str, Any]) -> None:
        try:
            self._answer(message)
        except WfkernelError as exc:  # the manager was closed, say
            if message.get("k") == "hello":
                run = {"id": self.run.id, "name": self.run.name, "status": "in_progress", "note": str(exc)}
                self._tell_shown({"k": "snap", "seq": self._feed.seq, "now": 0, "run": run, "names": [], "rows": []})

    def _answer(self, message: dict[str, Any]) -> None:
        match message.get("k"):
            case "hello":
                self._views.add(str(message.get("view")))
                self._join()
                self._tell_shown(self._shown.snapshot())
            case "bye":
                self._views.discard(str(message.get("view")))
                if not self._views:
                    self._stop_peeking()
                    if not self._when_ended:
                        self._leave()
            case "details":
                self._tell_of(lambda feed: feed.details(int(message["step"])), message)
            case "fork":
                self._tell_of(lambda feed: feed.fork_form(message.get("step")), message)
            case "form":
                self._tell_of(lambda feed: feed.event_form(int(message["step"])), message)
            case "cmd":
                _commands.post(lambda: self._context.copy().run(self._command, message))

    # -- which run is shown --

    @property
    def _shown(self) -> AnyFeed:
        return self._feed if self._peek is None else self._peek.feed

    def _turn_to(self, path: list[Run]) -> None:
        """Show the last of these runs in all views."""
        self._stop_peeking()
        self._path = path
        if len(path) > 1:
            self._peek = _Peek(self, feed_of(path[-1]))
        self._tell_shown(self._shown.snapshot())

    def _stop_peeking(self) -> None:
        if self._peek is not None:
            self._peek.leave()
        self._peek, self._path = None, [self.run]

    def _path_to(self, run_id: str) -> list[Run]:
        """Back to a run that one came by, or on to another one."""
        ids = [run.id for run in self._path]
        if run_id in ids:
            return self._path[: ids.index(run_id) + 1]
        return [*self._path, self.run._manager.get(run_id)]

    def _tell_shown(self, message: dict[str, Any]) -> None:
        """What there is of the run that is shown."""
        if message["k"] == "snap":
            message["path"] = [[run.id, run.name] for run in self._path[:-1]]
        self._tell_page(message)

    def _join(self) -> None:
        if self not in self._feed.viewers:
            self._feed.viewers.append(self)

    def _leave(self) -> None:
        if self in self._feed.viewers:
            self._feed.viewers.remove(self)

    # -- to the browser: the widgets' thread --

    def tell(self, message: dict[str, Any]) -> None:
        """A message for the page: of the feed of our own run, which counts only while that is shown, or of ours."""
        if message["k"] not in ("snap", "d"):
            self._tell_page(message)
            return
        if self._when_begun_again and message.get("run", {}).get("status") == "in_progress":
            told, self._when_begun_again = self._when_begun_again, []
            for tell in told:
                self._post(tell)
        if self._peek is None:
            self._tell_shown(message)

    def _tell_page(self, message: dict[str, Any]) -> None:
        if self._views and self.comm is not None:
            self._context.copy().run(self.send, message)

    def ended(self) -> None:
        self._post(self._ended)

    def _ended(self) -> None:
        self.snapshot = self._feed.small_snapshot()
        told, self._when_ended = self._when_ended, []
        for tell in told:
            tell()

    def read(self) -> None:
        """Take in what the journal says of the card's own run, before somebody deletes it. On the widgets' thread."""
        with contextlib.suppress(WfkernelError):  # its manager is closed: a page that says hello is told so
            self._feed.snapshot()

    def known(self) -> dict[str, Any]:
        """A snapshot of the card's own run, whatever the journal knows of it by now. On the widgets' thread."""
        return self._feed.snapshot()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` on the widgets' thread, in the card's context, once the run has ended."""

        def there() -> None:
            self._when_ended.append(tell)
            self._join()
            if self._feed.snapshot()["run"]["status"] != "in_progress":
                self._ended()

        self._post(there)

    def when_ended_again(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` at the next end: a run that has ended may be restarted from its card."""
        self._post(lambda: self._when_ended.append(tell))

    def when_begun_again(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once the run, which has ended, is in progress again."""
        self._post(lambda: self._when_begun_again.append(tell))

    def _tell_of(self, ask: Callable[[AnyFeed], dict[str, Any]], message: dict[str, Any]) -> None:
        """Tell what the feed answers; or why it does not."""
        feed = self._shown

        def answer() -> None:
            try:
                found = ask(feed)
            except (WfkernelError, TimeoutError) as exc:
                found = {"k": message["k"], "step": message.get("step"), "problem": str(exc)}
            self._post(lambda: self.tell(found))

        if isinstance(feed, RemoteFeed):  # it asks another process, and may wait for it
            _commands.post(answer)
        else:
            answer()

    # -- commands: their own thread, for they wait for the journal --

    def _command(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"k": "ack", "id": message.get("id"), "ok": False}
        try:
            done = self._do({**message, **loads(message.get("json", "{}"))})  # what a form gives, with all its digits
            answer["msg"], answer["ok"] = str(done), True
            if isinstance(done, Made):
                answer["made"] = done.run_id
        except WfkernelError as exc:
            answer["msg"] = str(exc)
            fields = getattr(exc, "fields", None)
            if fields:
                answer["errors"] = fields
                answer["msg"] = fields[0]["msg"] if len(fields) == 1 else f"{len(fields)} fields need another answer"
        except Exception as exc:
            logger.exception("the command %r of a run card failed", message.get("cmd"))
            answer["msg"] = f"{type(exc).__name__}: {exc}"
        self._post(lambda: self.tell(answer))

    def _do(self, message: dict[str, Any]) -> str | Made:
        """Do what a message asks; what to tell the user."""
        run, step = self._run_meant(message.get("run")), message.get("step")
        match message.get("cmd"):
            case "send":
                return self._send_event(run, step, message.get("event"), message.get("value"))
            case "cancel":
                run.cancel()
                return "Canceled"
            case "resume":
                if run.status().type == "in_progress":  # it waits to be asked, see auto_resume
                    run.resume()
                else:
                    run.restart()
                return "Goes on"
            case "restart":
                run.restart(from_step=step)
                return f"Goes on from step {step}"
            case "fork":
                return Made(feed_of(run).fork(step, message.get("args") or {}, list(message.get("unset") or ())))
            case "open":
                path = self._path_to(str(message.get("other")))
                self._post(lambda: self._turn_to(path))
                return ""
            case other:
                raise OptionError(f"a run card does not know how to {other!r}")

    def _run_meant(self, run_id: str | None) -> Run:
        """The run that a view showed when it was clicked; another view may have turned us meanwhile."""
        if run_id is None or run_id == self._path[-1].id:
            return self._path[-1]
        return self.run if run_id == self.run.id else self.run._manager.get(run_id)

    def _send_event(self, run: Run, step: int | None, name: Any, value: Any) -> str:
        if step is None:
            run.send_event(str(name), value)
            return f"Sent {name}"
        return f"Sent {feed_of(run).answer(step, value)}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return mimebundle(self.run, card=self)


class _Peek:
    """A card's look at another run than its own: hears that run's feed."""

    def __init__(self, card: RunCard, feed: AnyFeed):
        self._card = card
        self.feed = feed
        feed.viewers.append(self)

    def tell(self, message: dict[str, Any]) -> None:
        self._card._tell_shown(message)

    def ended(self) -> None:
        """The card's own run is what is saved."""

    def leave(self) -> None:
        self.feed.viewers.remove(self)


class Made(NamedTuple):
    """What a command did: made a run."""

    run_id: str

    def __str__(self) -> str:
        return f"Forked as {self.run_id}"


def mimebundle(
    run: Run, include: Any = None, exclude: Any = None, *, card: RunCard | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run is as the last value of a cell: a live card, and a picture of it for readers without a kernel.

    Args:
        run: the run.
        include, exclude: mimetypes, as IPython passes them on.
        card: the card to show; a new one otherwise.
    """
    data, metadata = frozen.bundle(run)
    if (include is None or WIDGET_VIEW in include) and WIDGET_VIEW not in (exclude or ()):
        if card is None:
            card = RunCard(run)
        data[WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": card.model_id}
        metadata[WIDGET_VIEW] = {}
    data = {k: v for k, v in data.items() if (include is None or k in include) and k not in (exclude or ())}
    return data, {k: v for k, v in metadata.items() if k in data}


def show(run: Run) -> None:
    """Display a live card that freezes when the run ends: what is saved then needs neither kernel nor JavaScript.

    A failed run keeps its card beside the picture, for the buttons that restart it; the others say how to have a card again. Where
    such a run is restarted elsewhere, its card comes back.
    """
    from IPython.display import display

    is_over = frozen.is_over(run)  # before it is read: should it end meanwhile, it is frozen once more
    card = RunCard(run)
    data, metadata = mimebundle(run, card=card)
    handle: Any = display(data, metadata=metadata, raw=True, display_id=True)
    if handle is None:
        return

    def freeze() -> None:
        known = card.known()
        is_deleted = "deleted" in known["run"]
        is_failed = known["run"]["status"] == "failed" and not is_deleted
        final, about = frozen.bundle(run, hint="" if is_failed else _LIVE_AGAIN, known=known)
        if is_failed:
            final[WIDGET_VIEW], about[WIDGET_VIEW] = data[WIDGET_VIEW], {}
        elif not is_deleted:
            card.when_begun_again(thaw)
        if not is_deleted:
            card.when_ended_again(freeze)
        handle.update(final, metadata=about, raw=True)

    def thaw() -> None:
        live, about = mimebundle(run, card=card)
        handle.update(live, metadata=about, raw=True)

    if is_over:
        card.when_ended_again(freeze)
    else:
        card.when_ended(freeze)
    desk.done(card.read, within=_READ_S)
