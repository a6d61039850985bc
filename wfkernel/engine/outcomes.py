"""Ends of steps and runs as the exceptions that people catch, live and rebuilt from the journal."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

from wfkernel.errors import (
    EventAlreadyConsumed,
    EventError,
    EventNotFound,
    InvalidEvent,
    OutcomeUnknown,
    RunCanceled,
    RunFailed,
    RunNotActive,
    StepCanceled,
    StepFailed,
)
from wfkernel.model.records import ErrorInfo

_RAISED_AS_IS: dict[str, type[Exception]] = {
    "EventError": EventError,
    "TimeoutError": TimeoutError,
    "InvalidEvent": InvalidEvent,
}
_REFUSED_AWAITS: dict[str, type[Exception]] = {
    "EventAlreadyConsumed": EventAlreadyConsumed,
    "EventNotFound": EventNotFound,
    "RunNotActive": RunNotActive,
}


def step_error(kind: str, name: str, info: ErrorInfo, attempts: int, cause: BaseException | None = None) -> BaseException:
    """What the body catches when a step has failed.

    Args:
        cause: the exception itself where it is at hand; else it is built again if its class is a builtin.
    """
    if kind == "event" and info.type in _REFUSED_AWAITS:
        return _REFUSED_AWAITS[info.type](*(info.args or [name, info.message]))
    if kind == "event":
        return _RAISED_AS_IS.get(info.type, EventError)(info.message)
    cls = OutcomeUnknown if info.type == "OutcomeUnknown" and kind == "action" else StepFailed
    failed = cls(info, attempts, name)
    failed.__cause__ = cause if cause is not None else rebuilt(info)
    return failed


def child_canceled(run_id: str, child_run_id: str | None) -> StepCanceled:
    return StepCanceled(run_id, child_run_id or "?")


def rebuilt(info: ErrorInfo) -> BaseException | None:
    """The exception that ``info`` describes, if its class is one of Python's own; nothing is imported for it."""
    cls = _builtin(info)
    if cls is None:
        return None
    try:
        exc = cls(*(info.args if info.args is not None else [info.message]))
    except Exception:
        return None  # an exception with a constructor of its own kind (UnicodeDecodeError): known by its text only
    return exc if str(exc) == info.message else cls(info.message)


def _builtin(info: ErrorInfo) -> type[BaseException] | None:
    if info.module == "asyncio.exceptions" and info.type == "CancelledError":
        return asyncio.CancelledError
    found: Any = getattr(builtins, info.type, None) if info.module == "builtins" else None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def run_error(run_id: str, status: str, info: ErrorInfo | None, exc: BaseException | None) -> Exception:
    """What ``run.result()`` raises for a run that did not complete."""
    if status == "canceled":
        return RunCanceled(run_id)
    assert info is not None
    failed = RunFailed(run_id, info)
    failed.__cause__ = original(exc) if exc is not None else rebuilt(info)
    return failed


def original(exc: BaseException) -> BaseException:
    """The user's own exception under a StepFailed that the body let through."""
    while isinstance(exc, StepFailed) and exc.__cause__ is not None:
        exc = exc.__cause__
    return exc
