"""One run that has not ended: its body, its pending steps, its way to an end. Engine thread only.

The rule that makes live and replay the same: the body is told of a fact only after its commit, in the order of the journal.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from wfkernel.core.body import Body, is_ours
from wfkernel.core.fingerprint import fingerprint
from wfkernel.core.history import History, Recorded, SentEvent
from wfkernel.core.step import Step
from wfkernel.engine import queries
from wfkernel.engine.outcomes import child_canceled, step_error
from wfkernel.engine.output import muted
from wfkernel.engine.replay import replay
from wfkernel.engine.steps import FUNCTION_KINDS, Hint, LiveStep
from wfkernel.engine.waiting import Mailbox, owner_of
from wfkernel.errors import (
    DefinitionError,
    EventAlreadyConsumed,
    EventNotFound,
    JournalError,
    RunNotActive,
    StopRetrying,
    ValueNotStorable,
    WfkernelError,
)
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.ids import text_of_key
from wfkernel.model.jsontext import dumps
from wfkernel.model.policy import NO_RETRY, resolve_retry
from wfkernel.model.records import ErrorInfo, error_info
from wfkernel.model.requests import StepRequest

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

_JOURNAL_RETRY_S = 0.5  # between tries of a mutation while the disk is full


class LiveRun:
    """A run in progress.

    Attributes:
        key, id: its integer key and its public id.
        header: the body of its CREATED fact, parsed.
        workflow: its definition; None while this process has none.
        body: its coroutine; None before it begins, and while it has no definition.
        steps: what it waits for, by step number.
        history: its facts so far; kept only where they will be replayed.
        ending: its end is on the way to the journal.
    """

    __slots__ = (
        "abandoned",
        "begun",
        "body",
        "cancel_t",
        "context",
        "created_t",
        "ending",
        "engine",
        "error",
        "generation",
        "grace_timer",
        "header",
        "history",
        "id",
        "key",
        "lacks",
        "mailbox",
        "name",
        "needs",
        "settled",
        "start_timer",
        "steps",
        "version",
        "waiters",
        "workflow",
    )

    def __init__(self, engine: Engine, key: int, name: str, header: dict[str, Any], created_t: int, context: Context):
        self.engine = engine
        self.key = key
        self.id: str = header["id"]
        self.name = name
        self.needs = name  # the workflow whose definition it waits for, if it does
        self.lacks: str | None = None  # ... or the global name that its body asked for, and that was not there
        self.header = header
        self.created_t = created_t
        self.context = context
        self.generation = 0
        self.workflow: Any = None
        self.body: Body | None = None
        self.steps: dict[int, LiveStep] = {}
        self.history: History | None = None
        self.mailbox: Mailbox | None = None
        self.waiters: list[Future[tuple[int, str]]] = []
        self.settled: list[Callable[[], None]] | None = None
        self.error: BaseException | None = None
        self.cancel_t: int | None = None
        self.start_timer: Any = None
        self.grace_timer: Any = None
        self.begun = False  # whether the body was ever run, here or before a restart
        self.ending = False
        self.abandoned: dict[int, LiveStep] = {}  # the steps that its end cancels
        self.version = 0

    @property
    def key_text(self) -> str:
        return text_of_key(self.key)

    # -- beginning --

    def begin(self) -> None:
        """Run the body as far as its facts go, as soon as it is due and its workflow is defined."""
        due = self.header.get("start_at")
        if due is not None and due > self.engine.clock.time_us() and not (self.history and self.history.steps):
            self.start_timer = self.engine.timers.at(due, self.begin)
            return
        if self.start_timer is not None:
            self.start_timer = None
            self.engine.changed(self)
        self.workflow = self.engine.workflows.get(self.name)
        self.needs = self.name
        if self.workflow is None:
            self.lacks = None
            self.engine.recovery.await_definition(self)
            return
        self.begun = True
        if self.mailbox is None and self.history is not None and self.history.events:
            self.mailbox = Mailbox(self.history.events)
        self._build(last_is_new=False)
        if self.body is not None and self.body.needs is not None:
            self._wait_for(self.body.needs)
            return
        if not self._lacks_a_name():
            self._end_given_up()
            self.settle()

    def _end_given_up(self) -> None:
        """The body had given up these steps, and the process died before the journal was told."""
        if self.history is None or self.body is None:
            return
        rows, blobs = [], {}
        for request, by in self.body.given_up:
            known = self.history.steps.get(request.number)
            if known is not None:
                if not known.is_terminal:
                    rows.append(self._canceled_row(known, by))
            elif request.name != "timeout":  # as in _give_up
                step = LiveStep(self, request, self.engine.clock.time_us())
                rows.append(step.row(Fact.STEP_CANCELED, step.scheduled_us, f'"by":{by}'))
                blobs.update(request.args.blobs)
        if rows:
            self.engine.submit(rows, blobs=blobs)

    def _wait_for(self, needs: str) -> None:
        """The replay asks for a child workflow whose cell has not been executed yet: begin again once it has."""
        self._drop_body()
        self.lacks, self.needs = None, needs
        self.engine.recovery.await_definition(self)

    def _lacks_a_name(self) -> bool:
        """Whether the body failed for want of a name that may still come; it begins again once it has."""
        body = self.body
        missing = self.engine.recovery.missing(self, self.lacks, body.error) if body is not None and body.ended else None
        if missing is None:
            return False
        self._drop_body()
        self.engine.recovery.await_name(self, missing)
        return True

    def _drop_body(self) -> None:
        assert self.body is not None
        self.body.drop()
        self.body = None
        self.begun = False

    def _build(self, *, last_is_new: bool) -> None:
        history = self.history
        start_t = history.start_t if history is not None else max(self.created_t, self.header.get("start_at") or 0)
        if self.body is not None:
            self.body.drop()
        self.body, coro = make_body(self.engine, self.workflow, self.header, start_t, history, self.context)
        if history is None:
            self.engine.watch(self)
            self.body.begin(coro)
            self.engine.unwatch()
            return
        replay(self.body, coro, history, self.engine.outcomes, last_is_new=last_is_new)
        self.body.requests = list(self.body.pending.values())
        self.body.cancels = [n for n in self.steps if n not in self.body.pending]

    # -- after each turn of the body --

    def settle(self) -> None:
        """Carry out what the body asked for; end the run if it has ended."""
        body = self.body
        assert body is not None
        if self.ending or self._lacks_a_name():
            return
        if body.fatal is not None:
            self._finish_failed(body.fatal)
            return
        requests, cancels = body.take()
        for number in cancels:
            self._give_up(number, body.last_seq)
        known = self.history.steps if self.history is not None else {}
        for request in requests:
            if request.number in body.pending and request.number not in self.steps:
                self._start(request, known.get(request.number))
        if not self.engine.replay_always:
            self.history = None
        if not body.ended:
            body.check_stuck()
        if body.ended:
            self._finish()
        elif self.settled is not None:
            self._tell_settled()
        self.version += 1

    def _tell_settled(self) -> None:
        told, self.settled = self.settled or [], None
        for tell in told:
            tell()

    # -- starting steps --

    def _start(self, request: StepRequest, known: Recorded | None) -> None:
        step = LiveStep(self, request, self.engine.clock.time_us())
        if known is not None and not known.is_terminal:
            step.restore(known)
        self.steps[request.number] = step
        kind = request.kind
        if kind in FUNCTION_KINDS:
            self._start_function(step, was_running=known is not None and known.fact == Fact.STEP_RUNNING)
        elif kind == "sleep":
            self._start_sleep(step)
        elif kind == "event":
            self._start_event(step, is_new=known is None)
        else:
            self._start_child(step)
            return
        if not step.done:
            self.engine.journal.submit_later(Hint(step))

    def _start_function(self, step: LiveStep, was_running: bool) -> None:
        request = step.request
        options = request.options
        step.code = fingerprint(step.fn)
        if request.kind == "action":
            step.policy = self._retry_policy(request)
            if was_running and options.at_most_once:
                text = "the process died while this at-most-once action ran; whether it took effect is not known"
                self.fail_step(step, ErrorInfo(type="OutcomeUnknown", message=text, module="wfkernel.errors"), None)
                return
        try:
            step.pool = None if options.inline else self.engine.pool(options.pool)
        except WfkernelError as exc:
            self.fail_step(step, error_info(exc), exc)
            return
        due = step.next_at
        if due is None and not step.attempts:
            due = self._due(step)
        if due is not None and due > self.engine.clock.time_us():
            step.timer = self.engine.timers.at(due, partial(self.admit, step))
        else:
            self.admit(step)

    def _due(self, step: LiveStep) -> int | None:
        """When a delayed step starts: set once, kept in its row."""
        options = step.request.options
        if step.due is None:
            if options.run_at is not None:
                step.due = options.run_at
            elif options.run_after is not None:
                step.due = step.scheduled_us + round(options.run_after * 1e6)
        return step.due

    def _retry_policy(self, request: StepRequest) -> Any:
        if request.options.retry is False:
            return NO_RETRY
        return resolve_retry(
            request.options.retry,
            request.declared_retry,
            self.workflow.retry,
            self.workflow.manager_retry,
            self.workflow.retry_actions_by_default,
        )

    def admit(self, step: LiveStep) -> None:
        """Run it as soon as there is a slot."""
        step.timer = None
        if step.gone:
            return
        step.next_at = None
        if step.pool is None:
            self.run_attempt(step)
        elif step.pool.enter(step):
            step.has_slot = True
            self.run_attempt(step)

    def run_attempt(self, step: LiveStep) -> None:
        """The step has its slot: run the function."""
        step.attempts += 1
        step.attempt = object()
        step.done = False
        step.fact = Fact.STEP_RUNNING
        step.started_us = self.engine.clock.time_us()
        if step.request.options.at_most_once:
            # must be on disk before the function runs: it is how a crash is told from a step that never began
            step.hinted = step.fact
            row = step.row(step.fact, step.started_us)
            self.engine.submit([row], keep=step.is_alive, then=partial(self._start_recorded, step))
            return
        if step.hinted is not None:
            self.engine.journal.submit_later(Hint(step))
        self.engine.attempts.start(step)

    def _start_recorded(self, step: LiveStep, write: Write) -> None:
        if write.error is not None:
            self.attempt_failed(step, step.attempt, write.error)
        elif not write.dropped and not step.gone:
            self.engine.attempts.start(step)

    def _start_sleep(self, step: LiveStep) -> None:
        due = step.due_or(step.scheduled_us, step.request.seconds or 0)
        step.fact = Fact.STEP_RUNNING
        step.timer = self.engine.timers.at(due, partial(self._awake, step))

    def _awake(self, step: LiveStep) -> None:
        step.timer = None
        self._succeed(step, "null", None)

    def _start_event(self, step: LiveStep, is_new: bool) -> None:
        box = self.letterbox()
        step.fact = Fact.STEP_RUNNING
        sent = box.take(step)
        if sent is not None:
            self._receive_late(step, sent)
            return
        wanted = step.request.event_id
        # Looked up once: the answer is journaled as the step's end, or the step itself as waiting.
        never = self._why_never(wanted) if wanted is not None and is_new else None
        if never is not None:
            self.fail_step(step, never, None)
            return
        if step.event_id is None:
            step.event_id = box.reserved(step) or f"e{self.key_text[1:]}-{step.number}.{step.generation}"
        box.waiting.append(step)
        timeout = step.request.options.timeout
        if timeout is not None:
            due = step.due_or(step.scheduled_us, timeout)
            step.timer = self.engine.timers.at(due, partial(self._event_is_late, step, timeout))

    def _why_never(self, event_id: str) -> ErrorInfo | None:
        """Why an await by this id would wait for ever, be it an event of this run or of another; None if it may be sent."""
        key = owner_of(event_id)
        owner = self.engine.runs.get(key) if key is not None else None
        box = owner.mailbox if owner is not None else None
        if self._is_spoken_for(event_id) or (
            box is not None and event_id in box.events and box.events[event_id].used_by is not None
        ):
            return _refusal(EventAlreadyConsumed(event_id), event_id)
        if box is not None and (event_id in box.events or any(s.event_id == event_id for s in box.waiting)):
            return None
        if key is None or not queries.has_event(self.engine.journal, key, event_id):
            text = f"no event has the id {event_id!r}; ids come from wf.create_event(name, run=...), and names are awaited without id="
            return _refusal(EventNotFound(event_id, text), event_id, text)
        if owner is not None:
            return None
        history = queries.histories(self.engine.journal, [key])[key]
        event = history.events.get(event_id)
        if event is not None and event.used_by is not None:
            return _refusal(EventAlreadyConsumed(event_id), event_id)
        if event is not None and event.sent_seq is not None:
            return None
        return _refusal(RunNotActive(history.run_id, history.status), history.run_id, history.status)

    def _is_spoken_for(self, event_id: str) -> bool:
        """Whether an await of this run asks for this very id already."""
        waiting = self.mailbox.waiting if self.mailbox is not None else []
        return any(s.request.event_id == event_id and not s.done and not s.gone for s in waiting)

    def _event_is_late(self, step: LiveStep, timeout: float) -> None:
        step.timer = None
        if step.done:
            return
        text = f"no event {step.name!r} within {timeout:g} s"
        self.fail_step(step, ErrorInfo(type="TimeoutError", message=text), None)

    def letterbox(self) -> Mailbox:
        if self.mailbox is None:
            self.mailbox = Mailbox()
        return self.mailbox

    def _receive_late(self, step: LiveStep, event: SentEvent) -> None:
        """An event that waited for its await."""
        step.event_id = event.event_id
        body = event.body or {}
        if "error" in body:
            self.fail_step(step, ErrorInfo(type="EventError", message=body["error"], module="wfkernel.errors"), None)
            return
        try:
            value = self.engine.outcomes.value(body.get("value"))
            checked = step.request.target.validate(value) if step.request.target is not None else value
            encoded = self.engine.codec.encode(checked)
        except WfkernelError as exc:
            self.fail_at_once(step, exc)
            return
        self._succeed(step, encoded.text, checked, encoded.blobs)

    def take_event(self, step: LiveStep, event: SentEvent) -> None:
        """Give an event that is in the journal to the await that wants it."""
        event.used_by = step.number
        self._receive_late(step, event)

    def fail_at_once(self, step: LiveStep, exc: Exception) -> None:
        self.fail_step(step, error_info(exc, is_ours), exc)

    def _start_child(self, step: LiveStep) -> None:
        step.fact = Fact.STEP_RUNNING
        step.code = fingerprint(step.request.target.fn)
        timeout = step.request.options.timeout
        if timeout is None:
            self.engine.births.start_child(self, step)
            return
        options = step.request.options
        begins = options.run_at or step.scheduled_us + round((options.run_after or 0) * 1e6)
        due = step.due_or(begins, timeout)
        self.engine.births.start_child(self, step)
        step.timer = self.engine.timers.at(due, partial(self._child_is_late, step, timeout))

    def _child_is_late(self, step: LiveStep, timeout: float) -> None:
        step.timer = None
        if step.done or step.gone:
            return
        self.fail_step(step, ErrorInfo(type="TimeoutError", message=f"the child run took longer than {timeout:g} s"), None)
        child, step.child = step.child, None  # whatever its end is, it does not belong to this step any more
        if child is not None:
            self.engine.changes.cancel_child(child)

    # -- ends of steps --

    def _succeed(self, step: LiveStep, result_text: str, value: Any, blobs: Any = None) -> None:
        """Write the successful end of a step that needs no user code."""
        step.done = True
        step.outcome = value
        now = self.engine.clock.time_us()
        row = step.row(Fact.STEP_SUCCESS, now, f'"result":{result_text}')
        self.engine.submit([row], keep=step.is_alive, then=step.landed, blobs=blobs)

    def fail_step(self, step: LiveStep, info: ErrorInfo, exc: BaseException | None) -> None:
        """Write the end of a step that failed for good."""
        step.done = True
        step.error, step.exc = info, exc
        now = self.engine.clock.time_us()
        row = step.row(Fact.STEP_FAILED, now, f'"error":{info.model_dump_json()}')
        self.engine.submit([row], keep=step.is_alive, then=step.landed, blobs=step.request.args.blobs)

    def step_landed(self, step: LiveStep, write: Write) -> None:
        """The end of a step is in the journal (or was dropped): tell the body."""
        self._leave(step)
        if write.error is not None:
            self._end_not_written(step, write.error)
        elif not write.dropped and not step.gone:
            self.resolve(step, write.seq, write.rows[0])

    def _end_not_written(self, step: LiveStep, error: BaseException) -> None:
        if step.gone or self.ending:
            return
        if step.error is not None and step.error.type == "JournalError":  # not even that can be written: leave it pending
            self.engine.logger.error("run %s, step %s: %s", self.id, step.number, error)
            return
        text = f"the end of step {step.number} {step.name!r} could not be written: {error}"
        self.fail_step(step, ErrorInfo(type="JournalError", message=text, module="wfkernel.errors"), error)

    def resolve(self, step: LiveStep, seq: int, row: Any) -> None:
        """Tell the body how a step ended."""
        self.steps.pop(step.number, None)
        if step.kind == "event" and self.mailbox is not None and step in self.mailbox.waiting:
            self.mailbox.waiting.remove(step)
        if step.timer is not None:
            step.timer.cancel()
        if self.ending or self.body is None:
            return
        value, error = step.outcome, None
        if row[3] == Fact.STEP_FAILED:
            assert step.error is not None
            error = step_error(step.kind, step.name, step.error, step.attempts or 1, step.exc)
        elif row[3] == Fact.STEP_CANCELED:
            error = child_canceled(self.id, step.child)
        if self.engine.replay_always:
            assert self.history is not None
            self.history.add((seq, *row))
            self._build(last_is_new=True)
        else:
            self.engine.watch(self)
            self.body.apply(step.number, seq, row[4], value, error)
            self.engine.unwatch()
        self.settle()

    def attempt_failed(self, step: LiveStep, attempt: object, exc: BaseException) -> None:
        """An attempt ended without a result: try again, or fail the step."""
        if not step.wants(attempt) or self.engine.closing:
            return
        step.attempt = None
        step.done = False
        self._leave(step)
        if isinstance(exc, JournalError) and step.kind != "action" and self.engine.journal.stalled:
            self._wait_for_room(step, exc)
            return
        missing = self.engine.recovery.missing(self, step.lacks, exc) if not step.request.options.at_most_once else None
        if missing is not None:
            self._take_back(step)
            self.engine.recovery.step_awaits_name(step, missing)
            return
        if isinstance(exc, ValueNotStorable) or not isinstance(exc, Exception):
            retry = False
        elif isinstance(exc, StopRetrying):
            retry = False
            if not str(exc):  # `raise StopRetrying from exc` says it all by its cause
                exc = exc.__cause__ or exc
        else:
            retry = step.kind == "action" and step.attempts < step.policy.max_attempts
        info = error_info(exc, is_ours)
        if not retry:
            self.fail_step(step, info, exc)
            return
        now = self.engine.clock.time_us()
        step.error = info
        step.fact = step.hinted = Fact.STEP_SCHEDULED
        step.next_at = now + round(step.policy.delay(step.attempts, random.random()) * 1e6)
        step.timer = self.engine.timers.at(step.next_at, partial(self.admit, step))
        row = step.row(step.fact, now, f'"error":{info.model_dump_json()}')
        self.engine.submit([row], keep=lambda: step.attempt is None and not step.gone and not step.done)

    def _wait_for_room(self, step: LiveStep, exc: JournalError) -> None:
        """A transaction that the journal could not take did not happen: run it again when there is room."""
        self._take_back(step)
        self.engine.logger.warning("run %s, step %s: %s; trying again", self.id, step.number, exc)
        self.engine.orders.stalled(exc)
        self.engine.loop.call_later(_JOURNAL_RETRY_S, self.admit, step)

    @staticmethod
    def _take_back(step: LiveStep) -> None:
        """The attempt does not count."""
        step.attempts -= 1
        step.fact = Fact.STEP_SCHEDULED

    def lend_slot(self, step: LiveStep) -> None:
        """The step's function waits for another run, which may need the slot: it runs on without one."""
        if step.has_slot:
            step.has_slot = False
            step.pool.leave()
            self.engine.admit_from(step.pool)

    def _leave(self, step: LiveStep) -> None:
        """The attempt is over: its slot is free."""
        if step.is_running:
            step.is_running = False
            self.engine.attempts.running -= 1
        self.lend_slot(step)

    def _give_up(self, number: int, by: int) -> None:
        """The body does not want this step any more."""
        step = self.steps.pop(number, None)
        if step is None:
            return
        row = self._abandon(step, by)
        if step.name == "timeout" and step.hinted is None:
            return  # a deadline that was met: nobody asked for it as a step
        self.engine.submit([row], keep=lambda: not step.is_written)

    def _abandon(self, step: LiveStep, by: int) -> Any:
        """Stop whatever a step does; the row of its end."""
        step.gone = True
        if step.timer is not None:
            step.timer.cancel()
        if step.kind == "event" and self.mailbox is not None:
            if step in self.mailbox.waiting:
                self.mailbox.waiting.remove(step)
            for event in self.mailbox.events.values():
                if event.used_by == step.number:
                    event.used_by = None  # its delivery is dropped with the step: it waits for the next await
        self.engine.attempts.stop_one(step)
        self._leave(step)
        if step.kind == "workflow" and step.child is not None and not self.engine.closing:
            self.engine.changes.cancel_child(step.child)
        return step.row(Fact.STEP_CANCELED, self.engine.clock.time_us(), f'"by":{by}')

    # -- canceling --

    def canceled(self, seq: int, t: int, grace: float) -> None:
        """The request to cancel is in the journal."""
        self.cancel_t = t
        if self.history is not None and self.engine.replay_always:
            self.history.add((seq, self.key, -1, self.generation, Fact.CANCEL_REQUESTED, t, None, dumps({"grace": grace})))
        if self.start_timer is not None:
            self.start_timer.cancel()
        if self.body is None or not self.begun:
            self._finish_canceled()
            return
        if grace > 0:
            self.grace_timer = self.engine.timers.at(t + round(grace * 1e6), self._grace_is_over)
        self.body.cancel(seq, t)
        if grace > 0:
            self.settle()
        else:
            self._grace_is_over()

    def _grace_is_over(self) -> None:
        self.grace_timer = None
        if not self.ending:
            self._finish_canceled()

    # -- ending --

    def _finish(self) -> None:
        body = self.body
        assert body is not None
        if self.cancel_t is not None:
            self._finish_canceled()
        elif body.error is not None:
            self._finish_failed(body.error)
        else:
            self._finish_completed(body.result)

    def _finish_completed(self, result: Any) -> None:
        try:
            encoded = self.engine.codec.encode(self.workflow.check_result(result))
        except ValueNotStorable as exc:
            self._finish_failed(exc.within(f"the result of run {self.id!r}"))
        except Exception as exc:
            self._finish_failed(exc)
        else:
            self._end(Fact.COMPLETED, f'{{"result":{encoded.text}}}', encoded.blobs)

    def _finish_failed(self, error: BaseException) -> None:
        self.error = error
        try:
            info = error_info(error, is_ours)
        except Exception as exc:
            info = ErrorInfo(type=type(error).__name__, message=f"its text cannot be had: {exc!r}")
        if isinstance(error, asyncio.CancelledError) and not info.message:
            info = info.model_copy(update={"message": "the body raised CancelledError, and nobody canceled the run"})
        self._end(Fact.FAILED, f'{{"error":{info.model_dump_json()}}}', None)

    def _finish_canceled(self) -> None:
        self._end(Fact.CANCELED, "{}", None)

    def _end(self, fact: Fact, body_text: str, blobs: Any) -> None:
        self.ending = True
        if self.grace_timer is not None:
            self.grace_timer.cancel()
        by = self.body.last_seq if self.body is not None else 0
        self.abandoned, self.steps = self.steps, {}
        rows = [self._abandon(step, by) for step in self.abandoned.values()]
        if self.body is None or self.body.fatal is not None:
            rows += self._never_taken_up()
        if self.body is not None:
            self.body.drop()
        rows.append((self.key, -1, self.generation, fact.value, self.engine.clock.time_us(), self.name, body_text))
        self.engine.ends.end_run(self, fact, rows, blobs)

    def _never_taken_up(self) -> list[Any]:
        """The ends of the steps that were pending before a restart, and that no body has asked for since."""
        history = self.history or queries.histories(self.engine.journal, [self.key])[self.key]
        return [self._canceled_row(step, 0) for step in history.steps.values() if not step.is_terminal]

    def _canceled_row(self, step: Recorded, by: int) -> Any:
        if "child" in step.body:
            self.engine.changes.cancel_child(step.body["child"])
        now = self.engine.clock.time_us()
        body = dumps({**step.body, "completed_at": now, "by": by})
        return (self.key, step.number, step.generation, Fact.STEP_CANCELED.value, now, step.name, body)


def make_body(
    engine: Engine, workflow: Any, header: dict[str, Any], start_t: int, history: History | None, context: Context | None
) -> tuple[Body, Any]:
    """A fresh body for a run and the coroutine that it will run."""
    recorded = history.steps if history is not None else {}
    seed = header.get("seed") or header["id"]
    body = Body(header["id"], recorded, start_t, seed=seed, context=context, mute=muted)
    args = engine.outcomes.value(header["args"]) if header["args"] else {}
    positional, keyword = workflow.call_arguments(args)

    def resolve(child: Any) -> Any:
        try:
            return engine.recovery.resolve_workflow(child)
        except DefinitionError:
            if body.replaying and isinstance(child, str) and may_be_recorded(child):
                body.miss(child)
            raise

    def may_be_recorded(child: str) -> bool:
        """Whether this child was begun, rather than refused already when the body first asked for it."""
        return any(
            s.kind == "workflow" and n >= body.next_number and (s.name == child or s.name not in engine.workflows)
            for n, s in recorded.items()
        )

    coro = workflow.fn(Step(body, engine.codec, resolve), *positional, **keyword)
    return body, coro


def _refusal(error: WfkernelError, *args: str) -> ErrorInfo:
    """An error of ours that a body gets, live and on replay made anew from its arguments."""
    return ErrorInfo(type=type(error).__name__, message=str(error), module="wfkernel.errors", args=list(args))
