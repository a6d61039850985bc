"""What people read: frozen records of runs, steps and their ends."""

from __future__ import annotations

import traceback as _traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from wfkernel.errors import StepFailed

T = TypeVar("T")

RunState = Literal["in_progress", "completed", "failed", "canceled"]
StepState = Literal["scheduled", "running", "success", "failed", "canceled"]
StepKind = Literal["query", "mutation", "action", "workflow", "event", "sleep"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)


class ErrorInfo(Record):
    """An exception, as the journal keeps it.

    Attributes:
        type: the name of its class.
        message: ``str(exception)``.
        traceback: the formatted traceback, or None where there was none.
        module: the module of its class.
        args: its arguments, where they are all plain values, to build it again.
    """

    type: str
    message: str
    traceback: str | None = None
    module: str = "builtins"
    args: list[Any] | None = None

    @field_validator("type", "message", "traceback", "module")
    @classmethod
    def _without_surrogates(cls, text: str | None) -> str | None:
        return text if text is None or text.isascii() else _storable(text)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class StepRecord(Record):
    """One step of one run. Instants are aware UTC datetimes; ``step_number`` counts from 0."""

    run_id: str
    step_number: int
    name: str
    kind: StepKind
    status: StepState
    args: Any = None
    result: Any = None
    error: ErrorInfo | None = None
    attempts: int = 0
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    child_run_id: str | None = None
    event_id: str | None = None
    generation: int = 0


class RunRecord(Record):
    """One run. ``status`` is "in_progress", "completed", "failed" or "canceled"."""

    run_id: str
    name: str
    status: RunState
    args: Any = None
    context: Any = None
    result: Any = None
    error: ErrorInfo | None = None
    created_at: datetime
    completed_at: datetime | None = None
    generation: int = 0
    parent_run_id: str | None = None


class RunStatus(Record):
    """Where a run stands: ``type``, the steps that are pending, and its end."""

    type: RunState
    running: list[StepRecord] = []
    result: Any = None
    error: ErrorInfo | None = None
    waiting_for: str | None = None
    """What keeps a run from going on at all, in words: its workflow is not defined here, say."""


class RunResult(Record):
    """How a run ended, as ``on_complete`` sees it."""

    kind: Literal["success", "failed", "canceled"]
    value: Any = None
    error: ErrorInfo | None = None


class Completion(Record):
    """The second argument of ``on_complete``."""

    run_id: str
    name: str
    result: RunResult
    context: Any = None


class Failure(Record):
    """An ``on_complete`` that raised; its writes were undone. ``wf.retry_on_complete(run_id)`` runs it again."""

    run_id: str
    name: str
    error: ErrorInfo
    failed_at: datetime
    on_complete: str


class PlanItem(Record):
    """What restart would do with one step, and why."""

    step_number: int
    name: str
    action: Literal["reuse", "run"]
    reason: str


class Page(BaseModel, Generic[T]):
    """One page of a list.

    Attributes:
        items: the records of this page.
        cursor: pass it on as ``cursor=`` for the next page; None on the last.
        is_done: whether this is the last page.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    items: list[T]
    cursor: str | None = None
    is_done: bool = True

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:  # type: ignore[override] - pydantic's iterates over the fields, which helps nobody here
        return iter(self.items)


class Plan(list[PlanItem]):
    """The items of a plan, in the order of the steps; ``str()`` shows them as a table."""

    @property
    def items(self) -> list[PlanItem]:
        """The same, as a Page names them."""
        return list(self)

    def __str__(self) -> str:
        if not self:
            return "no steps are recorded: everything would run"
        width = max(len(i.name) for i in self)
        return "\n".join(f"{i.step_number:>4}  {i.name:<{width}}  {i.action:<5}  {i.reason}" for i in self)

    __repr__ = __str__


_ATOMS = (type(None), bool, int, float, str)


def error_info(exc: BaseException, skip: Callable[[str], bool] | None = None) -> ErrorInfo:
    """``exc`` as a record. A StepFailed reports the error of its step, under its own traceback.

    Args:
        exc: the exception.
        skip: tells of a file name whether its frames are ours and say nothing to the user.
    """
    trace = _storable("".join(_format(exc, skip)))
    if isinstance(exc, StepFailed):
        return exc.error.model_copy(update={"traceback": trace})
    args = [_storable(a) if type(a) is str else a for a in exc.args] if all(map(_is_short_atom, exc.args)) else None
    return ErrorInfo(type=type(exc).__name__, message=_message(exc), traceback=trace, module=type(exc).__module__, args=args)


def _storable(text: str) -> str:
    """Without lone surrogates (a file name that is no UTF-8 brings them in): the error must be recorded all the same."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_short_atom(value: object) -> bool:
    return type(value) in _ATOMS and (type(value) is not int or value.bit_length() < 2048)  # type: ignore[attr-defined]


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # a user's __str__ may raise; the error must be recorded all the same
        return f"<{type(exc).__name__} whose str() raised {type(broken).__name__}>"


def _format(exc: BaseException, skip: Callable[[str], bool] | None) -> list[str]:
    try:
        shown = _traceback.TracebackException.from_exception(exc)
        if skip is not None:
            _leave_out(shown, skip)
        return list(shown.format())
    except Exception:  # same reason: formatting calls the user's __str__
        return [f"{type(exc).__name__}: {_message(exc)}"]


def _leave_out(shown: _traceback.TracebackException, skip: Callable[[str], bool]) -> None:
    """Of an exception and of those behind it, where that leaves any frame."""
    for behind in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if behind is not None:
            _leave_out(behind, skip)
    stack = [f for f in shown.stack if not skip(f.filename)]
    shown.stack = _traceback.StackSummary.from_list(stack) if stack else shown.stack
