"""Every error of wfkernel, in one tree.

    WfkernelError
    ├── DefinitionError          a workflow or step function cannot be what it is declared as
    ├── InvalidArguments         start() was given what the workflow's signature does not take
    ├── OptionError              options that contradict each other, refused at the call
    ├── BodyError                a workflow body did what would not replay (foreign await, blocking call)
    ├── RunNotFound, RunExists, RunActive, RunNotActive
    ├── RunFailed, RunCanceled   how run.result() ends when the run did not complete
    ├── StepNotFound             restart(from_step=...) names no step
    ├── StepFailed               what a body catches when a step failed
    │   └── OutcomeUnknown       an at-most-once action was in flight at a crash
    ├── StepCanceled             a child run was canceled
    ├── EventError               an event was sent with error="..."
    ├── InvalidEvent, EventNotFound, EventAlreadySent, EventAlreadyConsumed
    ├── NondeterminismError      the body asks for other steps than the journal holds
    ├── ValueNotStorable         a value that no codec can write
    ├── TypeNotLoaded            a stored value's class is not defined in this process
    ├── JournalError             the journal cannot be opened, read or written
    │   ├── JournalLocked
    │   └── JournalTooNew
    ├── ControlError             the process that holds the journal cannot be talked to, or answered nonsense
    └── EngineStopped            the manager was closed

    StopRetrying                 the one exception that an action raises on purpose

Facts are attributes; the message says what happened, then what to do. This module imports nothing of ours.
"""

from __future__ import annotations

from typing import Any


class WfkernelError(Exception):
    """Base of every error that wfkernel raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as it is, whatever ``__init__`` takes: a process pool breaks on an error that it cannot rebuild."""
        facts = {k: v for k, v in self.__dict__.items() if k != "_render_traceback_"}  # how this process's notebook shows it
        return _rebuild, (type(self), self.args, facts)


def _rebuild(kind: type[WfkernelError], args: tuple[Any, ...], facts: dict[str, Any]) -> WfkernelError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class DefinitionError(WfkernelError, TypeError):
    """A decorated object is not what the decorator takes."""


class InvalidArguments(WfkernelError, ValueError):
    """Arguments do not fit the signature; nothing was journaled.

    Attributes:
        fields: where a form gave them: what is wrong, field by field, as ``[{"loc": ["days"], "msg": ...}]``.
    """

    fields: Any = None


class OptionError(WfkernelError, ValueError):
    """Options contradict each other or are out of range; nothing was recorded."""


class BodyError(WfkernelError, RuntimeError):
    """A workflow body awaited or called something that cannot be replayed."""


class RunNotFound(WfkernelError, LookupError):
    """No run has this id."""

    def __init__(self, run_id: str):
        super().__init__(f"no run has the id {run_id!r}; wf.list() shows the runs of this journal")
        self.run_id = run_id


class RunExists(WfkernelError, ValueError):
    """A run with this id exists and was started with other arguments."""

    def __init__(self, run_id: str, detail: str):
        super().__init__(f"run {run_id!r} exists already, {detail}; use another id, or the same arguments to get that run")
        self.run_id = run_id


class RunActive(WfkernelError, RuntimeError):
    """The run has not ended, so it cannot be restarted."""

    def __init__(self, run_id: str):
        super().__init__(f"run {run_id!r} is still in progress; cancel it first, or wait for its end")
        self.run_id = run_id


class RunNotActive(WfkernelError, RuntimeError):
    """The run has ended, or is being canceled, so the request comes too late."""

    def __init__(self, run_id: str, status: str):
        super().__init__(f"run {run_id!r} is not in progress: it is {status}")
        self.run_id = run_id
        self.status = status


class RunFailed(WfkernelError):
    """The run failed; the original exception is ``__cause__`` where it is known.

    Attributes:
        run_id: the run.
        error: an ``ErrorInfo`` (type, message, traceback).
    """

    def __init__(self, run_id: str, error: Any):
        super().__init__(f"run {run_id!r} failed: {error.type}: {error.message}")
        self.run_id = run_id
        self.error = error


class RunCanceled(WfkernelError):
    """The run was canceled."""

    def __init__(self, run_id: str):
        super().__init__(f"run {run_id!r} was canceled")
        self.run_id = run_id


class StepNotFound(WfkernelError, LookupError):
    """restart, fork or plan named a step that the run does not have; the run is untouched."""

    def __init__(self, run_id: str, step: object, known: str = ""):
        super().__init__(f"run {run_id!r} has no step {step!r}" + (f"; it has {known}" if known else "; it has no steps yet"))
        self.run_id = run_id
        self.step = step


class StepFailed(WfkernelError):
    """A step failed for good. ``str()`` is the original message.

    Attributes:
        error: an ``ErrorInfo`` (type, message, traceback).
        attempts: how many times the function was tried.
        step_name: the step's name.
    """

    def __init__(self, error: Any, attempts: int = 1, step_name: str = ""):
        super().__init__(error.message)
        self.error = error
        self.attempts = attempts
        self.step_name = step_name


class OutcomeUnknown(StepFailed):
    """An at-most-once action was running when the process died: nobody knows whether it took effect."""


class StepCanceled(WfkernelError):
    """A child run that this step awaited was canceled."""

    def __init__(self, run_id: str, child_run_id: str):
        super().__init__(f"child run {child_run_id!r} was canceled")
        self.run_id = run_id
        self.child_run_id = child_run_id


class EventError(WfkernelError):
    """The event that was awaited was sent with ``error=``; ``str()`` is that text."""


class InvalidEvent(WfkernelError, ValueError):
    """The value does not fit the event's type; nothing was stored.

    Attributes:
        fields: where a form gave it: what is wrong, field by field, as ``[{"loc": ["age"], "msg": ...}]``.
    """

    fields: Any = None


class EventNotFound(WfkernelError, LookupError):
    """No event has this id, or this name in a run that was asked for it."""

    def __init__(self, event_id: str, message: str | None = None):
        super().__init__(
            message
            or f"no event has the id {event_id!r}; to send by name, say which run: send_event({event_id!r}, value, run=...)"
        )
        self.event_id = event_id


class EventAlreadySent(WfkernelError, RuntimeError):
    """This event was sent before and waits to be used."""

    def __init__(self, event_id: str):
        super().__init__(f"event {event_id!r} was sent already")
        self.event_id = event_id


class EventAlreadyConsumed(WfkernelError, RuntimeError):
    """This event was sent and used before."""

    def __init__(self, event_id: str):
        super().__init__(f"event {event_id!r} was used already")
        self.event_id = event_id


class NondeterminismError(WfkernelError):
    """The body asks for something else than the journal holds at this place.

    Attributes:
        run_id: the run.
        step_number: the position, from 0; -1 where it is the run's end that differs.
        recorded: what the journal holds, as text.
        requested: what the body asked for, as text.
    """

    def __init__(self, run_id: str, step_number: int, recorded: str, requested: str):
        place = f"step {step_number}" if step_number >= 0 else "its end"
        super().__init__(
            f"run {run_id!r} does not replay at {place}:\n"
            f"  recorded:  {recorded}\n"
            f"  requested: {requested}\n"
            "Put the code back and restart() to finish from the journal, or restart(from_step=...) to run this step and "
            "later ones anew."
        )
        self.run_id = run_id
        self.step_number = step_number
        self.recorded = recorded
        self.requested = requested


class ValueNotStorable(WfkernelError, TypeError):
    """No codec can write this value.

    Attributes:
        path: where in the value, as a Python expression relative to it: ``"['model'].weights[3]"``; ``""`` is the value itself.
        type_name: the type that cannot be stored.
        where: what the value was, when known: ``"the result of step 3 'train'"``.
    """

    def __init__(self, path: str, type_name: str, reason: str, where: str = ""):
        of = f"{where or 'the value'}{f' at {path}' if path else ''}"
        super().__init__(f"{of} cannot be stored ({type_name}): {reason}")
        self.path = path
        self.type_name = type_name
        self.reason = reason
        self.where = where

    def within(self, where: str) -> ValueNotStorable:
        """The same error, naming the step that the value belongs to."""
        return type(self)(self.path, self.type_name, self.reason, where)


class TypeNotLoaded(WfkernelError, LookupError):
    """A stored value is of a class that this process does not define (nothing is imported on a journal's word)."""

    def __init__(self, type_name: str):
        super().__init__(
            f"the stored value is a {type_name}, which is not defined here; import it, or run the cell that defines it"
        )
        self.type_name = type_name


class JournalError(WfkernelError):
    """The journal cannot be opened, read or written."""


class JournalLocked(JournalError):
    """Another process holds the journal.

    Attributes:
        path: the journal's path.
        pid: the holder's process id, or None where it is not known.
    """

    def __init__(self, path: Any, pid: int | None):
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the journal {str(path)!r} is held by {holder}; close it there (wf.close(), or stop that kernel), or open another path. "
            'Beside that process work `wfkernel list`, `show`, `send-event` … in a terminal, and WorkflowManager(path, connect="auto")'
        )
        self.path = path
        self.pid = pid


class JournalTooNew(JournalError):
    """The journal was written by a newer wfkernel.

    Attributes:
        found: the file's schema version.
        known: the newest version that this wfkernel reads.
    """

    def __init__(self, path: Any, found: int, known: int):
        super().__init__(
            f"the journal {str(path)!r} has schema version {found}, this wfkernel knows {known}; upgrade wfkernel. Nothing was changed"
        )
        self.path = path
        self.found = found
        self.known = known


class ControlError(WfkernelError, RuntimeError):
    """Two processes at one journal could not talk to each other."""


class EngineStopped(WfkernelError, RuntimeError):
    """The manager was closed (or belongs to the parent of a forked process)."""


class StopRetrying(Exception):
    """Raise this in an action to fail the step at once, whatever retries are left.

    Its text is the step's error. Without a text, the exception that it is raised ``from`` is.
    """
