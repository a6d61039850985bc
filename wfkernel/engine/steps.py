"""One step that a run waits for: its attempts, its rows in the journal, its end.

A ``LiveStep`` belongs to the engine's thread. The threads that run user code touch only what ``attempts`` hands them, and
report through ``succeeded`` and ``post(failed)``.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from wfkernel.core.history import Recorded
from wfkernel.errors import WfkernelError
from wfkernel.journal import Write
from wfkernel.model.facts import STEP_STATUS, Fact
from wfkernel.model.functions import Signature, signature_of
from wfkernel.model.jsontext import dumps
from wfkernel.model.policy import NO_RETRY, RetryPolicy, instant
from wfkernel.model.records import ErrorInfo
from wfkernel.model.requests import StepRequest

if TYPE_CHECKING:
    from wfkernel.engine.runs import LiveRun

FUNCTION_KINDS = frozenset(("query", "mutation", "action"))


class LiveStep:
    """A pending step.

    Attributes:
        gone: given up; whatever it still brings is dropped.
        done: its end is on the way to the journal.
        fact: SCHEDULED or RUNNING, as its row would say now.
    """

    __slots__ = (
        "attempt",
        "attempts",
        "child",
        "code",
        "done",
        "due",
        "error",
        "event_id",
        "exc",
        "fact",
        "fn",
        "generation",
        "gone",
        "handle",
        "has_slot",
        "hinted",
        "is_async",
        "is_running",
        "is_written",
        "lacks",
        "next_at",
        "number",
        "outcome",
        "policy",
        "pool",
        "request",
        "run",
        "scheduled_us",
        "signature",
        "started_us",
        "timer",
    )

    def __init__(self, run: LiveRun, request: StepRequest, now: int):
        self.run = run
        self.request = request
        self.number = request.number
        self.generation = run.generation
        self.fact = Fact.STEP_SCHEDULED
        self.hinted: Fact | None = None  # the fact of the last row written of it
        self.scheduled_us = now
        self.started_us: int | None = None
        self.due: int | None = request.due
        self.next_at: int | None = None
        self.attempts = 0
        self.attempt: object = None  # identifies the attempt that runs; late ends of others are dropped
        self.lacks: str | None = None  # a global name that its function asked for, and that was not there
        self.error: ErrorInfo | None = None
        self.exc: BaseException | None = None
        self.outcome: Any = None
        self.event_id = request.event_id
        self.child: str | None = None
        self.code: str | None = None
        self.policy: RetryPolicy = NO_RETRY
        self.pool: Any = None
        self.has_slot = False
        self.is_running = False  # an attempt is under way
        self.is_written = False  # its function's success is in the journal: it cannot be canceled any more
        self.timer: Any = None
        self.handle: Any = None  # what cancels the attempt that runs
        self.gone = False
        self.done = False
        self.fn: Any = None
        self.signature: Signature | None = None
        self.is_async = False
        if request.kind in FUNCTION_KINDS:
            target = request.target
            self.fn = getattr(target, "fn", target)
            self.signature = signature_of(self.fn, request.kind)
            self.is_async = self.signature.is_async

    def restore(self, known: Recorded) -> None:
        """Take over what the journal knows of this step from before a restart."""
        body = known.body
        self.generation = known.generation
        self.fact = Fact(known.fact)
        self.hinted = self.fact
        self.scheduled_us = body.get("scheduled_at", self.scheduled_us)
        self.attempts = body.get("attempts", 0)
        self.due = body.get("due", self.due)
        self.next_at = body.get("next_at")
        self.error = ErrorInfo(**body["error"]) if "error" in body else None
        self.event_id = body.get("event_id", self.event_id)
        self.child = body.get("child")

    @property
    def kind(self) -> str:
        return self.request.kind

    @property
    def name(self) -> str:
        return self.request.name

    # -- rows --

    def row(self, fact: Fact, t: int, *extra: str) -> tuple[int, int, int, int, int, str, str]:
        """The row that says all there is to know of this step now; ``extra`` are further JSON members."""
        request = self.request
        parts = [f'"kind":"{request.kind}","args":{request.args.text},"scheduled_at":{self.scheduled_us},"after":{request.after}']
        if self.attempts:
            parts.append(f'"attempts":{self.attempts},"started_at":{self.started_us or t}')
        if fact >= Fact.STEP_SUCCESS:
            parts.append(f'"completed_at":{t}')
        else:
            if self.due is not None:
                parts.append(f'"due":{self.due}')
            if self.next_at is not None:
                parts.append(f'"next_at":{self.next_at}')
        if self.code is not None:
            parts.append(f'"code":"{self.code}"')
        if self.event_id is not None:
            parts.append(f'"event_id":{dumps(self.event_id)}')
        if self.child is not None:
            parts.append(f'"child":{dumps(self.child)}')
        parts.extend(extra)
        return (self.run.key, self.number, self.generation, fact.value, t, request.name, "{" + ",".join(parts) + "}")

    def is_alive(self) -> bool:
        return not self.gone

    def wants(self, attempt: object) -> bool:
        """Whether the result of this attempt still counts."""
        return self.attempt is attempt and attempt is not None and not self.gone

    def due_or(self, start_us: int, seconds: float) -> int:
        """The instant this step is due: what the journal has of it, else so many seconds after ``start_us``, kept in its row."""
        if self.due is None:
            self.due = start_us + round(seconds * 1e6)
        return self.due

    def landed(self, write: Write) -> None:
        """The writer's word on this step's end."""
        self.run.step_landed(self, write)

    def members(self) -> dict[str, Any]:
        """The fields of its StepRecord, arguments apart."""
        return {
            "run_id": self.run.id,
            "step_number": self.number,
            "name": self.request.name,
            "kind": self.request.kind,
            "status": STEP_STATUS[self.fact],
            "error": self.error,
            "attempts": self.attempts,
            "scheduled_at": instant(self.scheduled_us),
            "started_at": instant(self.started_us),
            "child_run_id": None if self.child in self.run.engine.births.being_born else self.child,
            "event_id": self.event_id,
            "generation": self.generation,
        }


class Hint(Write):
    """The row of a step that is still pending: for readers of the journal, and so that timers keep their instants.

    Written only if the step stays pending for a moment; the common step is done before, and costs one row.
    """

    __slots__ = ("step",)

    def __init__(self, step: LiveStep):
        self.step = step
        self.keep = self._is_news
        self.tag = None
        self.blobs = step.request.args.blobs
        self.delete_runs = ()
        self.seq = -1
        self.dropped = False
        self.error = None

    def _is_news(self) -> bool:
        step = self.step
        return not (step.gone or step.done or step.hinted is step.fact)

    @property
    def rows(self) -> list[Any]:  # type: ignore[override] - made when it is written, so that it is never out of date
        step = self.step
        step.hinted = step.fact
        return [step.row(step.fact, step.started_us or step.scheduled_us)]


_current: ContextVar[StepInfo | None] = ContextVar("wfkernel_current_step", default=None)


class StepInfo:
    """What ``current_step()`` gives inside a running step.

    Attributes:
        run_id, step_number, name: which step this is.
        attempt: from 1.
    """

    __slots__ = ("_step", "_token", "attempt", "name", "run_id", "step_number")

    def __init__(self, step: LiveStep):
        self._step = step
        self._token = step.attempt
        self.run_id = step.run.id
        self.step_number = step.number
        self.name = step.name
        self.attempt = step.attempts

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of this step, different for every other step of every run."""
        step = self._step
        return f"{step.run.key_text}-{step.generation}-{step.number}"

    @property
    def is_canceled(self) -> bool:
        """Whether the result is not wanted any more: a thread should look, and return early."""
        return not self._step.wants(self._token) or self._step.run.engine.closing

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Report progress: ``done`` of ``total`` units."""
        engine = self._step.run.engine
        engine.reports.progress(self._step, (done, total, text))
        engine.step_changed(self._step)

    def log(self, text: str) -> None:
        """Add a line to the step's log. The last 500 lines are kept while the process lives; prints are among them in a notebook."""
        engine = self._step.run.engine
        engine.reports.log(self._step, engine.clock.time_us(), "log", str(text))
        engine.step_changed(self._step)

    def __repr__(self) -> str:
        return f"<step {self.step_number} {self.name!r} of run {self.run_id}, attempt {self.attempt}>"


def current_step() -> StepInfo:
    """The step that this code runs in.

    Raises:
        WfkernelError: called outside a running step.

    >>> @action
    ... async def charge(amount: int) -> None:
    ...     await client.charge(amount, idempotency_key=current_step().idempotency_key)
    """
    info = _current.get()
    if info is None:
        raise WfkernelError("current_step() works inside a running action, query or mutation only")
    return info


def step_here() -> LiveStep | None:
    """The step whose function this code runs in, if any."""
    info = _current.get()
    return None if info is None else info._step


_telling = threading.local()


def overheard(kind: str, text: str) -> None:
    """This code printed a piece of text to a stream (``kind``: "stdout" or "stderr"): it belongs to the step that it runs in, if any."""
    step = _speaking()
    if step is None or getattr(_telling, "is_so", False):  # what a listener prints is not the step's
        return
    _telling.is_so = True
    try:
        engine = step.run.engine
        engine.reports.write(step, engine.clock.time_us(), kind, text)
        engine.step_changed(step)
    finally:
        _telling.is_so = False


def displayed(text: str) -> None:
    """This code displayed something that reads as ``text``: as for ``overheard``."""
    step = _speaking()
    if step is not None:
        engine = step.run.engine
        engine.reports.log(step, engine.clock.time_us(), "display", text)
        engine.step_changed(step)


def _speaking() -> LiveStep | None:
    step = step_here()
    # The body of a run that a step started has that step in its context, too; no step runs on the engine's thread.
    return None if step is None or step.run.engine.is_current_thread() else step


def enter_context(step: LiveStep) -> contextvars.Context:
    """The context that an attempt runs in: that of the cell which started the run, and the step itself."""
    context = step.run.context.copy()
    context.run(_current.set, StepInfo(step))
    return context


def finished(value: Any) -> Any:
    """The value; a coroutine that a function on a worker's thread handed back is run to its end here."""
    return asyncio.run(value) if inspect.iscoroutine(value) else value
