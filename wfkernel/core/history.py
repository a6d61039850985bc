"""What the journal holds of one run, folded from its facts.

Recovery, restart, fork, plan, verify and the step lists all read a run through ``History``; nothing else interprets rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wfkernel.model.facts import RUN_STATUS, STEP_STATUS, Fact
from wfkernel.model.jsontext import dumps, loads

Row = Sequence[Any]  # (seq, run, step, generation, fact, t, name, body)
TERMINAL = frozenset((Fact.STEP_SUCCESS, Fact.STEP_FAILED, Fact.STEP_CANCELED))
_ENDS = frozenset((Fact.COMPLETED, Fact.FAILED, Fact.CANCELED))


class Recorded:
    """The last that is known of one step."""

    __slots__ = ("_args_text", "body", "fact", "generation", "name", "number", "row", "seq", "t")

    def __init__(self, row: Row):
        self.seq, _, self.number, self.generation, self.fact, self.t, self.name, text = row
        self.row = row
        self.body: dict[str, Any] = loads(text)
        self._args_text: str | None = None

    @property
    def kind(self) -> str:
        return self.body["kind"]

    @property
    def args_text(self) -> str:
        if self._args_text is None:
            self._args_text = dumps(self.body["args"]) if "args" in self.body else "{}"
        return self._args_text

    @property
    def status(self) -> str:
        return STEP_STATUS[Fact(self.fact)]

    @property
    def is_terminal(self) -> bool:
        return self.fact in TERMINAL

    @property
    def asked_after(self) -> int:
        """The seq of the last fact that the body had seen when it asked for this step."""
        return self.body.get("after", 0)

    @property
    def seen_at(self) -> int:
        """The seq at which the body knew that this step had ended: its own, or that on which the body canceled it."""
        return self.body.get("by") or self.seq


@dataclass(slots=True)
class SentEvent:
    """One event of a run: created, sent, or used."""

    event_id: str
    name: str
    created_t: int
    sent_seq: int | None = None  # None: created, nobody has sent it yet
    body: dict[str, Any] | None = None  # {"value": ...} or {"error": ...}
    used_by: int | None = None  # step number


@dataclass(slots=True)
class History:
    """One run as its facts tell it; ``seq`` orders everything."""

    created: Row | None = None
    header: dict[str, Any] = field(default_factory=dict)
    steps: dict[int, Recorded] = field(default_factory=dict)  # current ones, by number
    generation: int = 0
    end: Row | None = None
    cancel: Row | None = None
    events: dict[str, SentEvent] = field(default_factory=dict)
    hook_failure: Row | None = None
    begun_t: int | None = None  # when a restart let the body begin from nothing
    children: dict[int, str] = field(default_factory=dict)  # of steps that are run again: they go on with their child
    last_seq: int = 0

    @classmethod
    def of(cls, rows: Iterable[Row]) -> History:
        """Fold the rows of one run, in the order of ``seq``."""
        history = cls()
        for row in rows:
            history.add(row)
        return history

    def add(self, row: Row) -> None:
        seq, _, _, generation, fact, t, name, text = row
        self.last_seq = seq
        if fact >= Fact.STEP_SCHEDULED and fact <= Fact.STEP_CANCELED:
            self._add_step(Recorded(row))
        elif fact == Fact.CREATED:
            self.created, self.header = row, loads(text)
        elif fact in _ENDS:
            self.end = row
            self.hook_failure = None
        elif fact == Fact.CANCEL_REQUESTED:
            self.cancel = row
        elif fact == Fact.RESTARTED:
            self._restart(generation, t, loads(text))
        elif fact == Fact.EVENT_CREATED:
            body = loads(text)
            self.events[body["event_id"]] = SentEvent(body["event_id"], name, t)
        elif fact == Fact.EVENT_SENT:
            self._add_sent(seq, t, name, loads(text))
        elif fact == Fact.HOOK_FAILED:
            self.hook_failure = row
        elif fact == Fact.HOOK_DONE:
            self.hook_failure = None

    def _add_step(self, step: Recorded) -> None:
        if step.body.get("after", 0) < 0:
            self._place_copy(step.body)
        self.steps[step.number] = step
        event_id = step.body.get("event_id")
        event = self.events.get(event_id) if event_id is not None else None
        if event is None:
            return
        if step.fact in (Fact.STEP_SUCCESS, Fact.STEP_FAILED) and event.sent_seq is not None:
            event.used_by = step.number
        elif step.fact == Fact.STEP_CANCELED and event.used_by == step.number:
            event.used_by = None  # the body gave the await up before it was told: the event waits for the next one

    def _place_copy(self, body: dict[str, Any]) -> None:
        """A fork's copies name each other by their place behind the CREATED row, as their seqs were not known yet."""
        assert self.created is not None
        for word in ("after", "by"):
            if body.get(word, 0) < 0:
                body[word] = self.created[0] - body[word]

    def _add_sent(self, seq: int, t: int, name: str, body: dict[str, Any]) -> None:
        event = self.events.get(body["event_id"])
        if event is None:
            event = self.events[body["event_id"]] = SentEvent(body["event_id"], name, t)
        event.sent_seq, event.body = seq, body

    def _restart(self, generation: int, t: int, body: dict[str, Any]) -> None:
        dropped = set(body["drop"])
        self.steps = {n: s for n, s in self.steps.items() if n not in dropped}
        # an event that a dropped step used is gone with it
        self.events = {k: e for k, e in self.events.items() if e.used_by not in dropped}
        self.generation = generation
        if not self.steps:
            self.begun_t = t
        self.children = {int(n): child for n, child in body.get("children", {}).items()}
        self.end = self.cancel = self.hook_failure = None

    # -- reading --

    @property
    def start_t(self) -> int:
        """The body's time as it begins: the same however often it is replayed."""
        if self.begun_t is not None:
            return self.begun_t
        assert self.created is not None
        return self.header.get("begun_at") or max(self.created[5], self.header.get("start_at") or 0)

    @property
    def status(self) -> str:
        return "in_progress" if self.end is None else RUN_STATUS[Fact(self.end[4])]

    @property
    def name(self) -> str:
        assert self.created is not None
        return self.created[6]

    @property
    def run_id(self) -> str:
        return self.header["id"]

    def outcomes(self) -> list[Recorded | Row]:
        """What the body must see, in journal order: finished steps, and the request to cancel if there is one."""
        seen: list[tuple[int, Any]] = [(s.seq, s) for s in self.steps.values() if s.is_terminal]
        if self.cancel is not None:
            seen.append((self.cancel[0], self.cancel))
        seen.sort(key=lambda item: item[0])
        return [item for _, item in seen]

    def to_run_again(self) -> list[int]:
        """The failed and canceled steps that no later step followed: what ``restart()`` runs again.

        A step followed an end if the body had already seen it (or what caused it) when it asked for the step. What a
        request to cancel brought about (steps it canceled, steps of the cleanup) goes with the request.
        """
        canceled_at = self.cancel[0] if self.cancel is not None else None
        dropped = set()
        if canceled_at is not None:
            dropped = {n for n, s in self.steps.items() if s.asked_after >= canceled_at or s.seen_at == canceled_at}
        kept = [s for n, s in self.steps.items() if n not in dropped]
        latest_asked = max((s.asked_after for s in kept), default=0)
        for step in kept:
            if step.fact != Fact.STEP_SUCCESS and (not step.is_terminal or step.seen_at > latest_asked):
                dropped.add(step.number)
        return sorted(dropped)

    def from_step(self, number: int) -> list[int]:
        return sorted(n for n in self.steps if n >= number)


def step_label(kind: str, name: str, args_text: str, limit: int = 200) -> str:
    """One line that says which step this is, for errors and plans."""
    shown = args_text if len(args_text) <= limit else args_text[: limit - 1] + "…"
    return f"{kind} {name!r} {shown}"
