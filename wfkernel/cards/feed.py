"""What the cards of a run are told: a snapshot, then numbered deltas, ten a second at most. No widgets here.

A feed hears each row of its run as it is committed, so that a delta costs what changed and not what there is. Rows are kept as they
travel: see ``widgets/src/reduce.js`` for their form.
"""

from __future__ import annotations

import collections
import itertools
import math
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from wfkernel.cards import forks
from wfkernel.cards.desk import post
from wfkernel.core.history import History, Recorded
from wfkernel.engine.engine import Engine
from wfkernel.engine.listeners import Row
from wfkernel.engine.runs import LiveRun
from wfkernel.engine.steps import LiveStep
from wfkernel.engine.views import Records
from wfkernel.errors import EventNotFound, InvalidEvent, WfkernelError
from wfkernel.model import forms
from wfkernel.model.cells import has_frames, with_cells
from wfkernel.model.events import Event, explain
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.records import ErrorInfo
from wfkernel.model.shown import shown
from wfkernel.run import Run

INTERVAL_S = 0.1  # between deltas
_SNAPSHOT_STEPS = 300  # of the snapshot that is saved with a notebook
KINDS = ("query", "mutation", "action", "workflow", "event", "sleep")
STATUSES = ("scheduled", "running", "success", "failed", "canceled")
_KINDS = {kind: n for n, kind in enumerate(KINDS)}
_STATUS = {
    Fact.STEP_SCHEDULED: 0,
    Fact.STEP_RUNNING: 1,
    Fact.STEP_SUCCESS: 2,
    Fact.STEP_FAILED: 3,
    Fact.STEP_CANCELED: 4,
}
_RUNNING = 1  # a row's status up to this: it has not ended
_GONE = 0  # no fact: the run was cleaned up
_ROW = "seq, run, step, generation, fact, t, name, body"


class Viewer(Protocol):
    """Who is told: a card."""

    def tell(self, message: dict[str, Any]) -> None: ...

    def ended(self) -> None: ...


class Feed:
    """One run, as its cards are told of it. Used on the widgets' thread, but for ``hear``, ``stir`` and ``look_again``."""

    def __init__(self, engine: Engine, run: Run):
        self.run = run
        self.seq = 0
        self.header: dict[str, Any] = {}
        self.rows: dict[int, list[Any]] = {}
        self.viewers: list[Viewer] = []
        self._engine = engine
        self._key = run._key
        self._records = Records(engine)
        self._names: dict[str, int] = {}
        self._live: dict[int, list[Any]] = {}
        self._t0 = 0
        self._last_seq = -1
        self._heard: collections.deque[tuple[int, Any]] = collections.deque()
        self._stirred: set[int] = set()  # the steps that reported something
        self._is_noted = False  # something changed of what keeps the run from going on
        self._lock = threading.Lock()
        self._is_due = False
        self._told_at = 0.0

    # -- any thread --

    def hear(self, seq: int, news: Any) -> None:
        """A row of the run was committed (or its hint, as the step). The writer's thread: be quick."""
        if not self.viewers:  # nobody looks: whoever comes next is told what the journal says then
            self._last_seq = -1
            return
        self._heard.append((seq, news))
        self._wake()

    def stir(self, number: int) -> None:
        """A step logged, printed or reported progress."""
        with self._lock:
            self._stirred.add(number)
        self._wake()

    def look_again(self) -> None:
        """The run began, or its workflow was defined, say."""
        self._is_noted = True
        self._wake()

    def _wake(self) -> None:
        if self._is_due or not self.viewers:
            return
        with self._lock:
            if self._is_due:
                return
            self._is_due = True
        post(self._tick, after=max(self._told_at + INTERVAL_S - time.monotonic(), 0.0))

    # -- the widgets' thread --

    def snapshot(self) -> dict[str, Any]:
        """Everything, as of the last delta."""
        if self._last_seq < 0:
            self._load()
        return {
            "k": "snap",
            "seq": self.seq,
            "now": self._now(),
            "run": self.header,
            "names": list(self._names),
            "rows": list(self.rows.values()),
            "live": list(self._live.values()),
        }

    def small_snapshot(self) -> dict[str, Any]:
        """For a saved notebook: the first steps and those that did not succeed, as many as are worth keeping."""
        return small(self.snapshot())

    def _load(self) -> None:
        """Read it all from the journal; what was heard before that is in it."""
        journal = self._engine.journal
        sql = f"SELECT {_ROW} FROM wf.facts WHERE run = {self._key:d} AND fact < {Fact.FILE:d} ORDER BY seq"
        read = journal.read(sql)
        history = History.of(read)
        if history.created is None:
            self._forget()
            self._last_seq = 0
            return
        self._t0 = history.created[5]
        self.rows = {}
        for row in read:
            number, generation, fact = row[2:5]
            known = history.steps.get(number)
            if known is not None and Fact.STEP_SCHEDULED <= fact <= Fact.STEP_CANCELED and generation >= known.generation:
                self._take(number, fact, row[5], row[6], loads(row[7]))
        self.rows = {n: self.rows[n] for n in sorted(self.rows)}
        self._last_seq = history.last_seq
        self.header = {
            "id": history.run_id,
            "name": history.name,
            "status": "in_progress",
            "t0": self._t0 / 1000,
            "generation": history.generation,
            "canceling": history.cancel is not None,
            "ended": None,
            "error": None,
            "result": None,
        }
        if history.end is not None:
            self._end(history.end[4], history.end[5], history.end[7])
        self._note()
        running = [n for n, row in self.rows.items() if row[3] <= _RUNNING]
        self._live = {entry[0]: entry for entry in self._reported(running)}

    def _forget(self) -> None:
        """It was deleted from the journal: what is known of it stays, as far as that is an end."""
        known = self.header or {"id": self.run.id, "name": self.run.name, "status": "deleted"}
        status = known["status"] if known["status"] in RUN_STATUS.values() else "deleted"
        self.header = {**known, "status": status, "note": None, "deleted": True}

    def _tick(self) -> None:
        try:
            self._tell_news()
        finally:
            self._told_at = time.monotonic()
            with self._lock:
                self._is_due = False
            if self._heard or self._stirred or self._is_noted:  # meanwhile
                self._wake()

    def _tell_news(self) -> None:
        if self._last_seq < 0:
            self._begin_again()
            return
        heard = [self._heard.popleft() for _ in range(len(self._heard))]
        changed: dict[int, list[Any]] = {}
        names, header = len(self._names), dict(self.header)
        for seq, news in heard:
            if seq <= self._last_seq:
                continue
            if isinstance(news, LiveStep):
                changed[news.number] = self._take_hint(news)
                continue
            _, number, _, fact, t, name, body = news
            if fact == Fact.RESTARTED:
                self._begin_again()
                return
            if fact == _GONE:
                self._forget()
            elif Fact.STEP_SCHEDULED <= fact <= Fact.STEP_CANCELED:
                changed[number] = self._take(number, fact, t, name, loads(body))
            elif fact in RUN_STATUS:
                self._end(fact, t, body)
            elif fact == Fact.CANCEL_REQUESTED:
                self.header = {**self.header, "canceling": True}
        if heard:
            self._last_seq = max(self._last_seq, max(seq for seq, _ in heard))
        if self._is_noted:
            self._note()
        with self._lock:
            stirred, self._stirred = self._stirred, set()
        live = [
            entry for entry in self._reported(stirred | (changed.keys() - self._live.keys())) if self._live.get(entry[0]) != entry
        ]
        self._live.update((entry[0], entry) for entry in live)
        self._tell(changed, names, header, live)

    def _tell(self, changed: dict[int, list[Any]], names: int, header: dict[str, Any], live: list[Any]) -> None:
        message: dict[str, Any] = {}
        if changed:
            message["rows"] = list(changed.values())
        if len(self._names) > names:
            message["names"] = list(itertools.islice(self._names, names, None))
        if live:
            message["live"] = live
        news = {k: v for k, v in self.header.items() if header.get(k) != v or k not in header}
        if news:
            message["run"] = news
        if not message:
            return
        self.seq += 1
        self._send({"k": "d", "seq": self.seq, "now": self._now(), **message})
        if is_an_end(news):
            self._tell_end()

    def _begin_again(self) -> None:
        if not self.viewers:
            return
        self._last_seq = -1
        self._heard.clear()  # the journal tells it, too
        self._stirred.clear()
        self.seq += 1
        self._send(self.snapshot())
        if self.header["status"] != "in_progress":  # it was restarted, and has ended since
            self._tell_end()

    def _tell_end(self) -> None:
        for viewer in list(self.viewers):
            viewer.ended()

    def _send(self, message: dict[str, Any]) -> None:
        for viewer in list(self.viewers):
            viewer.tell(message)

    def _now(self) -> float:
        return round((self._engine.clock.time_us() - self._t0) / 1000, 1)

    # -- rows --

    def _take(self, number: int, fact: int, t: int, name: str, body: dict[str, Any]) -> list[Any]:
        known = self.rows.get(number)
        tries = (known[9] if len(known) > 9 else None) if known is not None else None
        started = body.get("started_at")
        if fact == Fact.STEP_SCHEDULED and "error" in body and started is not None:
            tries = [*(tries or ()), [self._ms(started), self._ms(t)]]
        elif not body.get("attempts") or body["attempts"] == 1:
            tries = None
        return self._keep(
            number,
            name,
            body["kind"],
            fact,
            body.get("attempts", 0),
            body.get("scheduled_at"),
            started,
            body.get("completed_at"),
            body.get("next_at") or body.get("due"),
            tries,
            body.get("child"),
            body.get("event_id"),
        )

    def _take_hint(self, step: LiveStep) -> list[Any]:
        known = self.rows.get(step.number)
        tries = (known[9] if len(known) > 9 else None) if known is not None else None
        return self._keep(
            step.number,
            step.name,
            step.kind,
            step.fact,
            step.attempts,
            step.scheduled_us,
            step.started_us,
            None,
            step.next_at or step.due,
            tries,
            step.child,
            step.event_id,
        )

    def _keep(
        self,
        number: int,
        name: str,
        kind: str,
        fact: int,
        attempts: int,
        scheduled: int | None,
        started: int | None,
        ended: int | None,
        due: int | None,
        tries: Any,
        child: str | None,
        event: str | None,
    ) -> list[Any]:
        if kind in ("workflow", "event", "sleep") and fact != Fact.STEP_SCHEDULED:
            started = started or scheduled
        elif fact == Fact.STEP_SCHEDULED:
            started = None
        times = [self._ms(scheduled), self._ms(started), self._ms(ended)]
        row = [number, self._names.setdefault(name, len(self._names)), _KINDS[kind], _STATUS[Fact(fact)], attempts, *times]
        row += [self._ms(due) if ended is None else None, tries, child, event]
        while row[-1] is None:
            row.pop()
        self.rows[number] = row
        return row

    def _ms(self, us: int | None) -> float | None:
        return None if us is None else round((us - self._t0) / 1000, 1)

    def _end(self, fact: int, t: int, text: str | None) -> None:
        body = loads(text) if text else {}
        self.header = {**self.header, "status": RUN_STATUS[Fact(fact)], "ended": self._ms(t), "note": None, "canceling": False}
        if "error" in body:
            self.header["error"] = _error(ErrorInfo(**body["error"]))
        if "result" in body:
            self.header["result"] = shown(self._value(body["result"]), limit=2_000)

    def _value(self, encoded: Any) -> Any:
        return self._engine.codec.preview(dumps(encoded), self._engine.journal.files.get)

    # -- what the journal does not say --

    def _reported(self, numbers: Iterable[int]) -> list[list[Any]]:
        """How far these steps have come, and how much they have told."""
        found = []
        for number in sorted(numbers):
            known = self._engine.reports.brief(self._key, number)
            if known is not None:
                done, total, text = known[0] or (None, None, "")
                found.append([number, _number(done), _number(total), str(text), known[1]])
        return found

    def _note(self) -> None:
        """See what keeps the run from going on."""
        self._is_noted = False
        if self.header.get("status") != "in_progress":
            return
        try:
            note = self._engine.call(self._note_there)
        except WfkernelError:
            note = "its manager is closed; it goes on when the journal is opened again"
        self.header = {**self.header, "note": note}

    def _note_there(self) -> str | None:
        """On the engine's thread."""
        run = self._engine.runs.get(self._key)
        if run is None:
            return None
        note = None
        if self._engine.recovery.is_undefined(run):
            note = f"waits for {self._engine.recovery.wanted(run)} to be defined: run its cell"
            if run.error is not None:
                note = f"cannot be resumed: {run.error}"
        elif self._engine.recovery.is_held(run):
            note = "waits to be resumed: run.resume()"
        elif run.start_timer is not None:
            note = "waits for its start"
        return note

    # -- one step --

    def details(self, number: int) -> dict[str, Any]:
        """All there is to know of one step."""
        answer: dict[str, Any] = {"k": "details", "step": number}
        if self.header.get("deleted"):
            return {**answer, "problem": "The run was deleted from the journal, and this with it"}
        if number not in self.rows:
            return {**answer, "problem": "The step is not part of the run any more"}
        sql = f"""SELECT {_ROW} FROM wf.facts WHERE run = {self._key:d} AND step = {number:d}
            AND fact BETWEEN {Fact.STEP_SCHEDULED:d} AND {Fact.STEP_CANCELED:d} ORDER BY seq"""
        rows = self._engine.journal.read(sql)
        if not rows:
            return {**answer, "problem": "The step has not reached the journal yet"}
        last = Recorded(rows[-1])
        try:
            record = self._records.recorded_step(self.run.id, last)
        except WfkernelError as exc:
            return {**answer, "problem": f"Its values cannot be read here: {exc}"}
        if record.args:
            answer["args"] = [[str(k), shown(v)] for k, v in record.args.items()]
        if record.status == "success":
            answer["result"] = shown(record.result)
        if record.error is not None:
            answer["error"] = _error(record.error)
        answer["child"], answer["event_id"] = record.child_run_id, record.event_id
        answer["tries"] = [
            [body["attempts"], f"{body['error']['type']}: {body['error']['message']}"]
            for body in (loads(r[7]) for r in rows if r[3] == last.generation and r[4] == Fact.STEP_SCHEDULED)
            if "error" in body
        ]
        instants = [("scheduled", record.scheduled_at), ("started", record.started_at), ("ended", record.completed_at)]
        answer["times"] = [[label, at.timestamp() * 1000] for label, at in instants if at]
        told = self._engine.reports.told(self._key, number, last.generation)
        if told is not None:
            if told.lines:
                answer["log"] = [[line.t / 1000, line.text, line.kind] for line in told.lines]
            if told.progress is not None:
                done, total, text = told.progress
                answer["progress"] = {"done": _number(done), "total": _number(total), "text": str(text)}
        return answer

    def awaited(self, number: int) -> tuple[str, Event[Any] | None, str | None]:
        """The name of the event that a step waits for, the Event if its type is known here, and the id to answer it by."""

        def there() -> tuple[Event[Any] | None, str | None, str]:
            run = self._engine.runs.get(self._key)
            step = run.steps.get(number) if run is not None else None
            if step is None or step.kind != "event":
                return None, None, ""
            return step.request.target, step.event_id, step.request.event_name or step.name

        event, event_id, label = self._engine.call(there)
        row = self.rows.get(number)  # nobody looks, perhaps: then the name is in the request only
        name = event.name if event is not None else list(self._names)[row[1]] if row is not None else label
        return name, event, event_id

    def event_form(self, number: int) -> dict[str, Any]:
        """The form for the event that a step waits for. Any thread."""
        name, event, event_id = self.awaited(number)
        annotation = event.type if event is not None else None
        form = forms.describe(annotation)
        help_text = form.pop("help", None)
        return {
            "k": "form",
            "step": number,
            "event": name,
            "event_id": event_id,
            "type": forms.type_name(annotation),
            "form": form,
            "help": help_text,
        }

    def fork_form(self, step: int | None) -> dict[str, Any]:
        """The form for a fork of the run from a step. Any thread."""
        return {"k": "fork", "step": step, "run": self.run.id, "form": forks.form(self.run)}

    def answer(self, number: int, value: Any, *, _request: str | None = None) -> str:
        """Send the event that a step waits for, as its form gives it; the event's name. Any thread.

        Raises:
            InvalidEvent: it does not fit; ``fields`` says where.
        """
        name, event, event_id = self.awaited(number)
        manager = self.run._manager
        if event is not None:
            value = read_answer(name, event, value)
        if event_id is not None:  # exactly this await; a second click finds it answered
            manager.send_event(event_id, value, _request=_request)
        elif name:
            manager.send_event(event if event is not None else name, value, run=self.run, _request=_request)
        else:
            raise EventNotFound(name, f"step {number} of run {self.run.id!r} waits for no event")
        return name

    def fork(self, step: int | None, changed: dict[str, Any], unset: Any = (), *, _request: str | None = None) -> str:
        """Fork the run, with arguments as a form gives them; the new run's id. Any thread."""
        return forks.fork(self.run, step, changed, unset, _request=_request).id


def is_an_end(news: dict[str, Any]) -> bool:
    """Whether what a feed tells of its run's header is that nothing more will happen: it ended, or was deleted."""
    return news.get("status") in RUN_STATUS.values() or "deleted" in news


def small(whole: dict[str, Any]) -> dict[str, Any]:
    """A snapshot as small as is worth keeping: see ``Feed.small_snapshot``."""
    rows = whole["rows"]
    if len(rows) > _SNAPSHOT_STEPS:
        bad = [r for r in rows if r[3] != 2][: _SNAPSHOT_STEPS // 2]
        first = rows[: _SNAPSHOT_STEPS - len(bad)]
        kept = [*first, *(r for r in bad if r[0] >= len(first))]
        whole = {**whole, "rows": kept, "run": {**whole["run"], "note": f"{len(kept)} of {len(rows)} steps"}}
    return {**whole, "live": []}


def read_answer(name: str, event: Event[Any], value: Any) -> Any:
    """What a form gave for an event, as its type reads it; InvalidEvent, whose ``fields`` say where it does not fit."""
    try:
        return forms.validated(event.type, value)
    except ValidationError as exc:
        refused = InvalidEvent(f"the answer does not fit event {name!r}: {explain(exc)}")
        refused.fields = forms.errors(exc)
        raise refused from exc


class Awaited(NamedTuple):
    """An event that a run waits for: its step, its name, the Event if its type is known here, and the id to answer it by.

    Where another process holds the run, that says what its form and its type are.
    """

    number: int
    name: str
    event: Event[Any] | None
    event_id: str | None
    form: dict[str, Any] | None = None
    type_name: str | None = None


def awaiting(run: Run) -> list[Awaited]:
    """The events that a run waits for now, in the order of their steps. Any thread."""
    engine = run._manager._engine

    def there() -> list[Awaited]:
        live = engine.runs.get(run._key)
        steps = [s for s in live.steps.values() if s.kind == "event" and not s.done] if live is not None else []
        return [
            Awaited(s.number, e.name if e is not None else s.request.event_name or s.name, e, s.event_id)
            for s, e in ((s, s.request.target) for s in sorted(steps, key=lambda s: s.number))
        ]

    return engine.call(there)


def _number(value: Any) -> float | int | None:
    """What a user gave as a number, as JSON has it."""
    if isinstance(value, int):
        return int(value)
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _error(error: ErrorInfo) -> dict[str, Any]:
    trace = with_cells(error.traceback) if error.traceback and has_frames(error.traceback) else None
    return {"type": error.type, "message": error.message, "traceback": trace}


class Taps:
    """Listens to one engine, and tells the feeds of its runs. A run has one feed, however many cards show it."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._feeds: dict[int, Feed] = {}
        self._lock = threading.Lock()
        engine.add_listener(self)

    def feed(self, run: Run) -> Feed:
        """The feed of a run."""
        with self._lock:
            found = self._feeds.get(run._key)
            if found is None:
                found = self._feeds[run._key] = Feed(self._engine, run)
            return found

    # -- any thread: see wfkernel.engine.listeners --

    def committed(self, rows: Sequence[Row], seq: int) -> None:
        for i, row in enumerate(rows):
            feed = self._feeds.get(row[0])
            if feed is not None:
                feed.hear(seq + i, row)

    def noted(self, step: LiveStep, seq: int) -> None:
        feed = self._feeds.get(step.run.key)
        if feed is not None:
            feed.hear(seq, step)

    def removed(self, runs: Sequence[int], seq: int) -> None:
        for key in runs:
            if key in self._feeds:
                self._feeds[key].hear(seq, (key, -1, 0, _GONE, 0, "", None))

    def step_changed(self, step: LiveStep) -> None:
        feed = self._feeds.get(step.run.key)
        if feed is not None:
            feed.stir(step.number)

    def run_changed(self, run: LiveRun) -> None:
        feed = self._feeds.get(run.key)
        if feed is not None:
            feed.look_again()


_taps: dict[int, Taps] = {}
_taps_lock = threading.Lock()


def feed_of(run: Run) -> Feed:
    """The feed of a run."""
    engine = run._manager._engine
    with _taps_lock:
        taps = _taps.get(id(engine))
        if taps is None or taps._engine is not engine:
            for key in [k for k, t in _taps.items() if t._engine.closing]:
                del _taps[key]
            taps = _taps[id(engine)] = Taps(engine)
    return taps.feed(run)
