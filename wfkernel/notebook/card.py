"""The run card: one anywidget for each view of a run. It relays: the feed says what there is, the manager does what is asked.

Messages only (``widgets/src/card.js`` is the other side)::

    kernel: snap, d (see reduce.js)    form, details    {k: "ack", id, ok, msg, errors?}
    card:   {k: "hello", view}  {k: "bye", view}  {k: "details", step}  {k: "form", step}
            {k: "cmd", id, cmd: "send" | "cancel" | "resume" | "restart" | "fork", step?, event?, value?}

A command carries all that it needs, so that a click counts whatever else was lost. The widget is touched on the widgets' thread
alone (see ``kernel``); what may wait is done on another. Each runs in the context of the cell that showed the card: ipykernel keeps
there which cell a message belongs to.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from pydantic import ValidationError

from wfkernel.errors import InvalidEvent, OptionError, WfkernelError
from wfkernel.manager import Run
from wfkernel.notebook import forms, frozen
from wfkernel.notebook import kernel as kernels
from wfkernel.notebook.feed import Desk, Feed, feed_of, post

logger = logging.getLogger("wfkernel.notebook")

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_STATIC = Path(__file__).parent.parent / "static"
_commands = Desk("wfkernel-commands")


class RunCard(anywidget.AnyWidget):
    """A live view of one run.

    Attributes:
        run: the run.
        snapshot: what a saved notebook shows where it keeps widgets; written when the run has ended.
    """

    _esm = _STATIC / "run_card.js"
    snapshot = traitlets.Dict().tag(sync=True)

    def __init__(self, run: Run, **kwargs: Any):
        super().__init__(**kwargs)
        self.run = run
        self._feed: Feed = feed_of(run)
        self._views: set[str] = set()
        self._context = contextvars.copy_context()
        self._when_ended: list[Callable[[], None]] = []
        self.on_msg(self._received)
        tap = kernels.tap()
        if tap is not None and self.comm is not None:
            tap.register(self.comm.comm_id, self._handle_msg)

    # -- from the browser --

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Any thread."""
        if isinstance(message, dict):
            self._post(lambda: self._answer_or_say_why(message))

    def _answer_or_say_why(self, message: dict[str, Any]) -> None:
        try:
            self._answer(message)
        except WfkernelError as exc:  # the manager was closed, say
            if message.get("k") == "details":
                self.tell({"k": "details", "step": message["step"], "problem": str(exc)})
            elif message.get("k") == "hello":
                run = {"id": self.run.id, "name": self.run.name, "status": "in_progress", "note": str(exc)}
                self.tell({"k": "snap", "seq": self._feed.seq, "now": 0, "run": run, "names": [], "rows": []})

    def _post(self, job: Callable[[], object]) -> None:
        """Do ``job`` on the widgets' thread, in the card's context: a copy, as one context cannot be entered twice."""
        context = self._context.copy()
        post(lambda: context.run(job))

    def _answer(self, message: dict[str, Any]) -> None:
        match message.get("k"):
            case "hello":
                self._views.add(str(message.get("view")))
                self._join()
                self.tell(self._feed.snapshot())
            case "bye":
                self._views.discard(str(message.get("view")))
                if not self._views and not self._when_ended:
                    self._leave()
            case "details":
                self.tell(self._feed.details(int(message["step"])))
            case "form":
                self._tell_form(int(message["step"]))
            case "cmd":
                _commands.post(lambda: self._context.copy().run(self._command, message))

    def _join(self) -> None:
        if self not in self._feed.viewers:
            self._feed.viewers.append(self)

    def _leave(self) -> None:
        if self in self._feed.viewers:
            self._feed.viewers.remove(self)

    # -- to the browser: the widgets' thread --

    def tell(self, message: dict[str, Any]) -> None:
        if self._views and self.comm is not None:
            self._context.copy().run(self.send, message)

    def ended(self) -> None:
        self._post(self._ended)

    def _ended(self) -> None:
        self.snapshot = self._feed.small_snapshot()
        told, self._when_ended = self._when_ended, []
        for tell in told:
            tell()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` on the widgets' thread, in the card's context, once the run has ended."""

        def there() -> None:
            self._when_ended.append(tell)
            self._join()
            if self._feed.snapshot()["run"]["status"] != "in_progress":
                self._ended()

        self._post(there)

    def _tell_form(self, number: int) -> None:
        name, event, _ = self._feed.awaited(number)
        annotation = event.type if event is not None else None
        form = forms.describe(annotation)
        self.tell(
            {
                "k": "form",
                "step": number,
                "event": name,
                "type": forms.type_name(annotation),
                "form": form,
                "help": form.pop("help", None),
            }
        )

    # -- commands: their own thread, for they wait for the journal --

    def _command(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"k": "ack", "id": message.get("id"), "ok": False}
        try:
            answer["msg"] = self._do(message)
            answer["ok"] = True
        except ValidationError as exc:
            found = forms.errors(exc)
            answer["errors"] = found
            answer["msg"] = found[0]["msg"] if len(found) == 1 else f"{len(found)} fields need another answer"
        except InvalidEvent as exc:
            cause = exc.__cause__
            answer["msg"] = str(exc)
            if isinstance(cause, ValidationError):
                answer["errors"] = forms.errors(cause)
        except WfkernelError as exc:
            answer["msg"] = str(exc)
        except Exception as exc:
            logger.exception("the command %r of a run card failed", message.get("cmd"))
            answer["msg"] = f"{type(exc).__name__}: {exc}"
        self._post(lambda: self.tell(answer))

    def _do(self, message: dict[str, Any]) -> str:
        """Do what a message asks; what to tell the user."""
        run, step = self.run, message.get("step")
        match message.get("cmd"):
            case "send":
                return self._send_event(step, message.get("event"), message.get("value"))
            case "cancel":
                run.cancel()
                return "Canceled"
            case "resume":
                run.restart()
                return "Goes on"
            case "restart":
                run.restart(from_step=step)
                return f"Goes on from step {step}"
            case "fork":
                made = run.fork(from_step=step)
                return f"Forked as {made.id}"
            case other:
                raise OptionError(f"a run card does not know how to {other!r}")

    def _send_event(self, step: int | None, name: Any, value: Any) -> str:
        if step is None:
            self.run.send_event(str(name), value)
            return f"Sent {name}"
        name, event, event_id = self._feed.awaited(step)
        if event is not None:
            value = forms.validated(event.type, value)
        if event_id is not None:  # exactly this await; a second click finds it answered
            self.run._manager.send_event(event_id, value)
        else:
            self.run.send_event(event if event is not None else name, value)
        return f"Sent {name}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return mimebundle(self.run, card=self)


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

    A failed run keeps its card beside the picture, for the buttons that restart it.
    """
    from IPython.display import display

    card = RunCard(run)
    data, metadata = mimebundle(run, card=card)
    handle: Any = display(data, metadata=metadata, raw=True, display_id=True)
    if handle is None or frozen.is_over(run):
        return

    def freeze() -> None:
        final, about = frozen.bundle(run)
        if run.status().type == "failed":
            final[WIDGET_VIEW], about[WIDGET_VIEW] = data[WIDGET_VIEW], {}
        handle.update(final, metadata=about, raw=True)

    card.when_ended(freeze)
