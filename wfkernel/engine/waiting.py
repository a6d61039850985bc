"""The events of one run: what was created and sent, and which await takes which."""

from __future__ import annotations

from wfkernel.core.history import SentEvent
from wfkernel.engine.steps import LiveStep
from wfkernel.errors import EventAlreadyConsumed, EventAlreadySent
from wfkernel.model.ids import key_of_text


class NotYet(Exception):
    """The journal says that the run is in progress, but the writer's word has not reached the engine: ask again."""


class Mailbox:
    """First in, first out, by name; one event per await. Engine thread only."""

    __slots__ = ("events", "waiting")

    def __init__(self, events: dict[str, SentEvent] | None = None):
        self.events: dict[str, SentEvent] = events or {}
        self.waiting: list[LiveStep] = []

    def take(self, step: LiveStep) -> SentEvent | None:
        """The oldest event that was sent and that this await wants, marked as used; None if there is none yet."""
        wanted = step.request.event_id
        name = step.request.event_name
        best: SentEvent | None = None
        for event in self.events.values():
            if event.body is None or event.used_by is not None:
                continue  # not sent, its commit is still out, or used
            if (event.event_id == wanted if wanted is not None else event.name == name) and (
                best is None or event.sent_seq < best.sent_seq  # type: ignore[operator]
            ):
                best = event
        if best is not None:
            best.used_by = step.number
        return best

    def reserved(self, step: LiveStep) -> str | None:
        """The id under which a named await can be answered: that of the oldest event created, not sent, not spoken for."""
        spoken_for = {s.event_id for s in self.waiting}
        for event in self.events.values():
            if event.sent_seq is None and event.name == step.request.event_name and event.event_id not in spoken_for:
                return event.event_id
        return None

    def waiter_for(self, event_id: str | None, name: str | None) -> LiveStep | None:
        """The oldest await that an event with this id, or else this name, would answer."""
        for step in self.waiting:
            if step.done or step.gone:
                continue
            if event_id is not None and event_id in (step.event_id, step.request.event_id):
                return step
        for step in self.waiting:
            if step.done or step.gone or step.request.event_id is not None:
                continue
            if name is not None and step.request.event_name == name:
                return step
        return None

    def waiter_by_name(self, name: str) -> LiveStep | None:
        """As ``waiter_for``, for a send by name: an await by id is met by the name of its event, too."""
        for step in self.waiting:
            if step.done or step.gone:
                continue
            event = self.events.get(step.request.event_id or "")
            if step.request.event_name == name or (event is not None and event.name == name):
                return step
        return None

    def unsent(self, name: str) -> SentEvent | None:
        """The oldest event that was created under this name and not sent."""
        return next((e for e in self.events.values() if e.name == name and e.sent_seq is None), None)


def owner_of(event_id: str) -> int | None:
    """The key of the run that an event id belongs to: ids begin with it. None if this is no event id."""
    return key_of_text("r" + event_id[1:].partition("-")[0]) if event_id[:1] == "e" else None


def check_unsent(event: SentEvent) -> None:
    """Refuse an event that was sent or used before."""
    if event.used_by is not None:
        raise EventAlreadyConsumed(event.event_id)
    if event.sent_seq is not None:
        raise EventAlreadySent(event.event_id)
