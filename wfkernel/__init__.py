"""Durable workflows that live in a Jupyter kernel.

A workflow is an ordinary ``async def``. Every step's result is in the journal, a DuckDB file, before the next begins; after
a crash, a restart or an edit, the run goes on from where it was.
"""

from __future__ import annotations

from importlib.metadata import version as _version

from wfkernel.engine.steps import current_step
from wfkernel.errors import (
    BodyError,
    DefinitionError,
    EngineStopped,
    EventAlreadyConsumed,
    EventAlreadySent,
    EventError,
    EventNotFound,
    InvalidArguments,
    InvalidEvent,
    JournalError,
    JournalLocked,
    JournalTooNew,
    NondeterminismError,
    OptionError,
    OutcomeUnknown,
    RunActive,
    RunCanceled,
    RunExists,
    RunFailed,
    RunNotActive,
    RunNotFound,
    StepCanceled,
    StepFailed,
    StepNotFound,
    StopRetrying,
    TypeNotLoaded,
    ValueNotStorable,
    WfkernelError,
)
from wfkernel.manager import Pool, Run, WorkflowManager
from wfkernel.model.events import Event, define_event
from wfkernel.model.functions import action, mutation, query
from wfkernel.model.policy import RetryPolicy
from wfkernel.model.records import ErrorInfo, Page, Plan, RunRecord, RunResult, RunStatus, StepRecord
from wfkernel.workflow import Workflow

__version__ = _version("wfkernel")

__all__ = [
    "BodyError",
    "DefinitionError",
    "EngineStopped",
    "ErrorInfo",
    "Event",
    "EventAlreadyConsumed",
    "EventAlreadySent",
    "EventError",
    "EventNotFound",
    "InvalidArguments",
    "InvalidEvent",
    "JournalError",
    "JournalLocked",
    "JournalTooNew",
    "NondeterminismError",
    "OptionError",
    "OutcomeUnknown",
    "Page",
    "Plan",
    "Pool",
    "RetryPolicy",
    "Run",
    "RunActive",
    "RunCanceled",
    "RunExists",
    "RunFailed",
    "RunNotActive",
    "RunNotFound",
    "RunRecord",
    "RunResult",
    "RunStatus",
    "StepCanceled",
    "StepFailed",
    "StepNotFound",
    "StepRecord",
    "StopRetrying",
    "TypeNotLoaded",
    "ValueNotStorable",
    "WfkernelError",
    "Workflow",
    "WorkflowManager",
    "action",
    "current_step",
    "define_event",
    "mutation",
    "query",
]
