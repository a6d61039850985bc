"""``approve(run, event)``: one form in a cell, for one event of one run. It works while a cell waits, as the run card does.

Messages (``widgets/src/approval.js`` is the other side)::

    kernel: {k: "approval", run, about, event, type, form, help, over}    {k: "ack", id, ok, msg, errors?}
    form:   {k: "hello", view}  {k: "bye", view}  {k: "cmd", id, cmd: "send", event, value}

The kernel tells the whole state each time it changes: it is small.
"""

from __future__ import annotations

import html
import sys
import time
from datetime import datetime
from typing import Any

import traitlets

from wfkernel.cards.feed import Awaited, read_answer
from wfkernel.control.feeds import awaiting
from wfkernel.errors import EventAlreadySent, EventNotFound, InvalidArguments, OptionError, RunNotActive, RunNotFound
from wfkernel.model import forms
from wfkernel.model.events import Event
from wfkernel.model.shown import shown
from wfkernel.notebook import kernel as kernels
from wfkernel.notebook.card import WIDGET_VIEW, RunCard
from wfkernel.notebook.runs import run_of
from wfkernel.run import Run

__all__ = ["ApprovalForm", "approve"]

_PATIENCE_S = 1.0  # for a run that was just started to come to its await
_LOOK_S = 0.02
_VALUE = 400  # characters
_WAITING = 1  # a row's status up to this: scheduled, running
_SUCCESS = 2


def approve(run: Run | str, event: Event[Any] | str) -> None:
    """Show a form, made from the event's type, whose answer is sent to the run. It works while another cell waits for the run.

    Args:
        run: a Run, or the id of one that an open manager of this notebook has.
        event: an Event, also one that the run will await later; or the name of one that it awaits.

    Raises:
        RunNotActive: the run has ended.
        EventNotFound: it awaits no event of this name; the message lists those that it awaits.

    Example:
        >>> approve(run, define_event("approval", bool))  # doctest: +SKIP
    """
    run = run_of(run)
    if not isinstance(event, Event) and not (isinstance(event, str) and event):
        raise InvalidArguments(f"an event is an Event or its name, not {event!r}")
    name = event.name if isinstance(event, Event) else event
    found = _find(run, name, is_typed=isinstance(event, Event))
    typed = event if isinstance(event, Event) else None
    if found is not None and found.event is not None and (typed is None or typed.type is None):
        typed = found.event
    if kernels.current_kernel() is None:
        sys.stdout.write(f"{_asked(run, name, typed)}; answer it with run.send_event({name!r}, value)\n")
        return
    ApprovalForm(run, name, typed, found).show()


def _find(run: Run, name: str, *, is_typed: bool) -> Awaited | None:
    """The await that the form is for. A run that was just started may need a moment to get there."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        waits = awaiting(run)
        found = next((a for a in waits if a.name == name), None)
        if found is not None:
            return found
        status = run.status().type
        if status != "in_progress":
            raise RunNotActive(run.id, status)
        if is_typed:  # what its answers are like is known; the run may come to it in a month
            return None
        if time.monotonic() >= until:
            names = ", ".join(repr(n) for n in dict.fromkeys(a.name for a in waits)) or "none"
            raise EventNotFound(
                name,
                f"run {run.id!r} of {run.name} awaits no event {name!r} now; it awaits: {names}. "
                "(The Event itself, approve(run, event), has a form before it is awaited.)",
            )
        time.sleep(_LOOK_S)


def _asked(run: Run, name: str, event: Event[Any] | None) -> str:
    kind = forms.type_name(event.type) if event is not None else None
    return f"event {name!r}{f' ({kind})' if kind else ''} of run {run.id} of {run.name}"


class ApprovalForm(RunCard):
    """The form for one event of a run. It is answered once.

    Attributes:
        kind: tells the front end to draw a form, and no card.
    """

    kind = traitlets.Unicode("approval").tag(sync=True)

    def __init__(self, run: Run, name: str, event: Event[Any] | None, found: Awaited | None, **kwargs: Any):
        super().__init__(run, **kwargs)
        self._name = name
        self._event = event
        self._found = found
        self._step = None if found is None else found.number  # None: the run has not come to the await yet
        self._sent: str | None = None
        self._is_sending = False
        self._over: dict[str, str] | None = None
        self._about: list[list[str]] | None = None
        self._told: dict[str, Any] | None = None
        self._display: Any = None

    def show(self) -> None:
        from IPython.display import display

        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        text = _asked(self.run, self._name, self._event)
        data = {"text/plain": text, "text/html": f"<p>◇ {html.escape(text)}</p>", WIDGET_VIEW: view}
        self._display = display(data, metadata={WIDGET_VIEW: {}}, raw=True, display_id=True)
        self._post(self._watch)

    # -- the widgets' thread --

    def _watch(self) -> None:
        self._join()
        self._look()

    def _answer(self, message: dict[str, Any]) -> None:
        match message.get("k"):
            case "hello":
                self._views.add(str(message.get("view")))
                super().tell(self._look())
            case "bye":
                self._views.discard(str(message.get("view")))
            case "cmd":
                super()._answer(message)

    def tell(self, message: dict[str, Any]) -> None:
        """What the feed tells of the run is a reason to look; other messages are for the page."""
        if message["k"] not in ("snap", "d"):
            super().tell(message)
        elif self._over is None:
            self._look()

    def _ended(self) -> None:
        self._look()

    def _look(self) -> dict[str, Any]:
        """See where the run stands, and tell the page if that is news."""
        if self._over is None:
            self._feed.snapshot()  # loads it, where nobody did
            if self._step is None:
                self._found = next((a for a in awaiting(self.run) if a.name == self._name), None)
                self._step = None if self._found is None else self._found.number
            self._over = self._end()
        if self._about is None or (self._over is None and self._told is not None and self._told["step"] != self._step):
            self._about = self._what_for()
        form, type_name = self._form()
        state = {
            "k": "approval",
            "run": {"id": self.run.id, "name": self.run.name},
            "step": self._step,
            "about": self._about,
            "event": self._name,
            "type": type_name,
            "help": form.get("help"),
            "form": {k: v for k, v in form.items() if k != "help"},
            "over": self._over,
        }
        if state != self._told:
            self._told = state
            super().tell(state)
            if self._over is not None:
                text = self._over["text"]
                self._post(lambda: self._settle(state, text))  # in the context of our cell; a feed calls us in another
        return state

    def _form(self) -> tuple[dict[str, Any], str | None]:
        """What to ask for, and of which type it is."""
        if self._event is None and self._found is not None and self._found.form is not None:
            return self._found.form, self._found.type_name
        annotation = self._event.type if self._event is not None else None
        return forms.describe(annotation), forms.type_name(annotation)

    def _end(self) -> dict[str, str] | None:
        """How it ended, as the form says it; None while it can be answered."""
        if self._sent is not None:
            return {"tone": "good", "text": self._sent}
        if self._is_sending:  # what the journal tells meanwhile may be our own answer
            return None
        row = self._feed.rows.get(self._step) if self._step is not None else None
        if row is not None and row[3] == _SUCCESS:
            return {"tone": "good", "text": f"Answered elsewhere: {self._feed.details(row[0]).get('result')}"}
        if self._feed.header.get("deleted"):
            return {"tone": "bad", "text": "The run was deleted from the journal"}
        status = self._feed.header.get("status")
        if status != "in_progress":
            return {"tone": "bad", "text": f"The run is {status}: it takes no events"}
        if row is not None and row[3] > _WAITING:
            return {"tone": "bad", "text": "The run does not wait for it any more"}
        return None

    def _what_for(self) -> list[list[str]]:
        """What is approved: the run's arguments, and what the step before gave."""
        try:
            record = self.run._manager.record(self.run)
        except RunNotFound:  # deleted by now
            return []
        about = [[name, shown(value, limit=_VALUE)] for name, value in (record.args or {}).items()]
        done = [n for n, row in self._feed.rows.items() if row[3] == _SUCCESS and (self._step is None or n < self._step)]
        if done:
            before = self._feed.details(max(done))
            if "result" in before:
                name = list(self._feed._names)[self._feed.rows[max(done)][1]]
                about.append([f"{name} →", before["result"][:_VALUE]])
        return about

    def _settle(self, state: dict[str, Any], text: str) -> None:
        """It is over: what is saved from now on needs neither kernel nor JavaScript."""
        self._leave()
        self.snapshot = {k: v for k, v in state.items() if k != "k"}
        if self._display is not None:
            plain = f"{_asked(self.run, self._name, self._event)}: {text}"
            run = f"{html.escape(self.run.name)} <code>{html.escape(self.run.id)}</code>"
            page = f"<p>◆ <b>{html.escape(self._name)}</b> of {run}: {html.escape(text)}</p>"
            self._display.update({"text/plain": plain, "text/html": page}, raw=True)

    # -- the commands' thread --

    def _command(self, message: dict[str, Any]) -> None:
        self._is_sending = True
        try:
            super()._command(message)
        finally:
            self._is_sending = False
            self._post(self._look)

    def _do(self, message: dict[str, Any]) -> str:
        if message.get("cmd") != "send":
            raise OptionError(f"a form does not know how to {message.get('cmd')!r}")
        if self._sent is not None:  # two views of it, or a second click
            raise EventAlreadySent(self._name)
        value = message.get("value")
        if self._event is not None:
            value = read_answer(self._name, self._event, value)
        found = [a for a in awaiting(self.run) if a.name == self._name and self._step in (None, a.number)]
        if self._step is not None and not found:
            status = self.run.status().type
            if status != "in_progress":
                raise RunNotActive(self.run.id, status)
            raise EventAlreadySent(self._name)
        if found and found[0].event_id is not None:  # exactly this await
            self.run._manager.send_event(found[0].event_id, value)
        else:
            self.run.send_event(self._event if self._event is not None else self._name, value)
        self._sent = f"Sent {shown(value, limit=_VALUE)} at {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"
        return f"Sent {self._name}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return {"text/plain": _asked(self.run, self._name, self._event)}
