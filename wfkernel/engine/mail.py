"""Sending events: who gets them, and what is written. Engine thread only."""

from __future__ import annotations

import secrets
from collections import Counter
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from wfkernel.core.history import SentEvent
from wfkernel.engine import queries
from wfkernel.engine.runs import LiveRun
from wfkernel.engine.steps import LiveStep
from wfkernel.engine.waiting import Mailbox, check_unsent, owner_of
from wfkernel.errors import EventNotFound, RunNotActive, RunNotFound
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.records import ErrorInfo
from wfkernel.model.values import Encoded

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

_SENDING = 1 << 62  # the seq of an event whose commit is still out: after all that are committed


def create_event(engine: Engine, run_id: str, name: str, request: str | None = None) -> Future[str]:
    """Give an event an id before anybody sends it."""
    run = _active(engine, run_id)
    event_id = _new_id(run)
    now = engine.clock.time_us()
    answer: Future[str] = Future()
    confirm: Future[Any] = Future()
    confirm.add_done_callback(lambda f: answer.set_exception(f.exception()) if f.exception() else answer.set_result(event_id))
    body = dumps({"event_id": event_id, **_tagged(request)})
    row = (run.key, -1, run.generation, Fact.EVENT_CREATED.value, now, name, body)

    def landed(write: Write) -> None:
        if write.error is None and not write.dropped:
            _box(engine, run).events[event_id] = SentEvent(event_id, name, now)

    engine.submit([row], then=landed, answer=confirm)
    return answer


def send(
    engine: Engine, target: str, run_id: str | None, value: Any, validate: Any, error: str | None, request: str | None = None
) -> Future[None]:
    """Send an event by name to a run, or by its id.

    Args:
        target: the event's name, or its id.
        run_id: the run to send to; None if ``target`` is an id.
        value: the value; validated here against the type that the run waits for, if ``validate`` is None.
        validate: the Event that was given, whose type the value has been validated by; else None.
        error: makes the await raise EventError with this text instead.
        request: the token of the request that asked for it; kept in the row.
    """
    engine.orders.check_writable()
    if run_id is None:
        run = _owner(engine, target)
        return _send_by_id(engine, run, target, value, error, request)
    run = _active(engine, run_id)
    box = _box(engine, run)
    if validate is None and (target in box.events or any(target == s.event_id for s in box.waiting)):
        return _send_by_id(engine, run, target, value, error, request)
    step = box.waiter_by_name(target)
    event_id = None
    if step is not None:
        event_id = step.event_id
        known = box.events.get(event_id or "")
        if known is not None and known.sent_seq is not None:
            event_id = None
    else:
        created = box.unsent(target)
        event_id = created.event_id if created is not None else None
    return _send(engine, run, event_id or _new_id(run), target, step, value, error, request, sent=validate)


def _send_by_id(engine: Engine, run: LiveRun, event_id: str, value: Any, error: str | None, request: str | None) -> Future[None]:
    box = _box(engine, run)
    event = box.events.get(event_id)
    if event is not None:
        check_unsent(event)
    name = event.name if event is not None else None
    step = box.waiter_for(event_id, name)
    if step is None:
        step = _waiter_elsewhere(engine, event_id)
    if event is None and step is None:
        name = _recorded_name(engine, run, event_id)
    if name is None:
        assert step is not None
        name = step.request.event_name or step.name
    return _send(engine, run, event_id, name, step, value, error, request, sent=None)


def _recorded_name(engine: Engine, run: LiveRun, event_id: str) -> str:
    """The name of the event that a run without its body waits for under this id.

    It will be kept by its name, so the answer to a question is refused before that to an earlier one of the same name.
    """
    waits = recorded_awaits(engine, run.key)
    name = next((w.event for w in waits if w.event_id == event_id), None)
    if name is None:
        raise EventNotFound(event_id)
    if next(w.event_id for w in waits if w.event == name) != event_id:
        told = f"run {run.id!r} waits for {name!r} more than once, and no process has its workflow: answer the earlier one first"
        raise EventNotFound(event_id, told)
    return name


def _waiter_elsewhere(engine: Engine, event_id: str) -> LiveStep | None:
    """A run may await an event of another run by its id."""
    for run in engine.runs.values():
        if run.mailbox is not None:
            step = run.mailbox.waiter_for(event_id, None)
            if step is not None:
                return step
    return None


def _send(
    engine: Engine,
    run: LiveRun,
    event_id: str,
    name: str,
    step: LiveStep | None,
    value: Any,
    error: str | None,
    request: str | None,
    *,
    sent: Any,
) -> Future[None]:
    """``sent`` is the Event whose type the value has been validated by, if any."""
    if step is not None and step.request.target is not None and error is None:
        wanted = step.request.target
        value = wanted.validate(value) if sent is None else wanted.fitted(value, sent)
    encoded = Encoded("null", {}) if error is not None else engine.codec.encode(value)
    now = engine.clock.time_us()
    box = _box(engine, run)
    body = {"event_id": event_id, **_tagged(request)}
    text = dumps({**body, "error": error}) if error is not None else f'{dumps(body)[:-1]},"value":{encoded.text}}}'
    event = box.events.get(event_id)
    if event is None:
        event = box.events[event_id] = SentEvent(event_id, name, now)
    event.sent_seq = _SENDING + engine.orders.next_order()
    rows = [(run.key, -1, run.generation, Fact.EVENT_SENT.value, now, name, text)]
    if step is not None:
        rows.append(_received(engine, step, event, encoded, error, now))
    answer: Future[None] = engine.expected(Future())  # `landed` resolves it, which nobody calls once the engine stops
    keep = None if step is None else step.is_alive
    blobs = encoded.blobs if step is None else {**step.request.args.blobs, **encoded.blobs}
    landed = partial(_sent, engine, run, event, rows, step, encoded, error, answer)
    confirm: Future[Any] = Future()
    confirm.add_done_callback(partial(_confirm, answer))
    engine.submit(rows, keep=keep, then=landed, blobs=blobs, answer=confirm)
    return answer


def _confirm(answer: Future[None], confirm: Future[Any]) -> None:
    error = confirm.exception()
    if error is not None and not answer.done():
        answer.set_exception(error)


def _received(engine: Engine, step: LiveStep, event: SentEvent, encoded: Encoded, error: str | None, now: int) -> Any:
    """The end of the await, in the same commit as the event."""
    event.used_by = step.number
    step.event_id = event.event_id
    step.done = True
    if error is not None:
        step.error = ErrorInfo(type="EventError", message=error, module="wfkernel.errors")
        return step.row(Fact.STEP_FAILED, now, f'"error":{step.error.model_dump_json()}')
    step.outcome = engine.codec.decode(encoded.text, engine.loader(encoded.blobs))
    return step.row(Fact.STEP_SUCCESS, now, f'"result":{encoded.text}')


def _sent(
    engine: Engine,
    run: LiveRun,
    event: SentEvent,
    rows: list[Any],
    step: LiveStep | None,
    encoded: Encoded,
    error: str | None,
    answer: Future[None],
    write: Write,
) -> None:
    if write.error is not None:
        event.sent_seq = event.used_by = None
        if step is not None:
            step.done = False
        return
    if write.dropped:  # the body gave up the await meanwhile: the event waits for the next one
        event.used_by = None
        retry: Future[Any] = Future()
        retry.add_done_callback(lambda f: answer.set_exception(f.exception()) if f.exception() else answer.set_result(None))
        engine.submit(rows[:1], then=partial(_kept, engine, run, event, encoded, error), blobs=encoded.blobs, answer=retry)
        return
    if step is None:
        _kept(engine, run, event, encoded, error, write)
    else:
        event.sent_seq, event.used_by = write.seq, step.number
        step.run.resolve(step, write.seq + 1, rows[1])
    if not answer.done():
        answer.set_result(None)


def _kept(engine: Engine, run: LiveRun, event: SentEvent, encoded: Encoded, error: str | None, write: Write) -> None:
    """The event is in the journal and nobody took it: it waits, or goes to who began to wait meanwhile."""
    if write.error is not None or write.dropped:
        event.sent_seq = None
        return
    event.sent_seq = write.seq
    event.body = {"error": error} if error is not None else {"value": loads(encoded.text)}
    box = _box(engine, run)
    step = box.waiter_for(event.event_id, event.name) or _waiter_elsewhere(engine, event.event_id)
    if step is not None and event.used_by is None:
        step.run.take_event(step, event)


def awaited(engine: Engine, key: int) -> list[LiveStep]:
    """The steps of a run that wait for an event now, in their order; none if it is not in progress."""
    run = engine.runs.get(key)
    return [] if run is None else [s for _, s in sorted(run.steps.items()) if s.kind == "event" and not s.done]


class RecordedAwait(NamedTuple):
    """An await in the journal, of a run whose body is not here."""

    number: int
    event: str
    event_id: str | None
    is_timed: bool


def recorded_awaits(engine: Engine, key: int) -> list[RecordedAwait]:
    """The awaits of a run that nobody goes on with now, as the journal has them; without those for which an event is kept."""
    run = engine.runs.get(key)
    if run is None or run.ending or run.body is not None or run.begun:
        return []
    kept = [e for e in _box(engine, run).events.values() if e.sent_seq is not None and e.used_by is None]
    ids, names = {e.event_id for e in kept}, Counter(e.name for e in kept)
    found: list[RecordedAwait] = []
    for number, step in sorted(queries.histories(engine.journal, [key])[key].steps.items()):
        if step.kind != "event" or step.fact not in (Fact.STEP_SCHEDULED, Fact.STEP_RUNNING):
            continue
        wanted = step.body["args"]
        name = wanted.get("event", step.name)
        if "id" in wanted:
            is_answered = wanted["id"] in ids
        else:
            is_answered = names[name] > 0
            names[name] -= 1
        if not is_answered:
            found.append(RecordedAwait(number, name, step.body.get("event_id"), "due" in step.body))
    return found


def _active(engine: Engine, run_id: str) -> LiveRun:
    key = engine.key_of(run_id)
    if key is None:
        raise RunNotFound(run_id)
    run = engine.runs.get(key)
    if run is None:
        engine.check_taken_in(key)
    if run is None or run.ending:
        status = engine.status_of(key, run_id) if run is None else "ending"
        raise RunNotActive(run_id, status)
    return run


def _owner(engine: Engine, event_id: str) -> LiveRun:
    """The run that an event id belongs to."""
    key = owner_of(event_id)
    if key is None:
        raise EventNotFound(event_id)
    run = engine.runs.get(key)
    if run is not None and not run.ending:
        return run
    if run is None:
        engine.check_taken_in(key)
    history = queries.histories(engine.journal, [key])[key]
    event = history.events.get(event_id)
    if event is not None and (event.used_by is not None or event.sent_seq is not None):
        check_unsent(event)
    used = any(s.body.get("event_id") == event_id for s in history.steps.values())
    if event is None and not used:
        raise EventNotFound(event_id)
    raise RunNotActive(history.run_id, history.status)


def _box(engine: Engine, run: LiveRun) -> Any:
    """The run's mailbox; read from the journal if its body is not loaded yet."""
    if run.mailbox is None and run.body is None and not run.begun:
        history = queries.histories(engine.journal, [run.key])[run.key]
        run.mailbox = Mailbox(history.events)
        return run.mailbox
    return run.letterbox()


def _tagged(request: str | None) -> dict[str, str]:
    return {} if request is None else {"request": request}


def _new_id(run: LiveRun) -> str:
    return f"e{run.key_text[1:]}-{secrets.token_hex(4)}"
