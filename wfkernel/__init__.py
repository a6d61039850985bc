"""Durable workflows that live in a Jupyter kernel.

A workflow is an ordinary ``async def``. Every step's result is in the journal, a DuckDB file, before the next begins; after
a crash, a restart or an edit, the run goes on from where it was.

Names are loaded at their first use (PEP 562): importing the package brings in neither DuckDB nor pydantic nor asyncio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from wfkernel.manager import WorkflowManager
    from wfkernel.model.events import Event, define_event
    from wfkernel.model.functions import action, mutation, query
    from wfkernel.model.policy import RetryPolicy
    from wfkernel.model.records import ErrorInfo, Page, Plan, RunRecord, RunResult, RunStatus, StepRecord
    from wfkernel.notebook.approval import approve
    from wfkernel.notebook.dashboard import dashboard
    from wfkernel.notebook.runs import timeline
    from wfkernel.pool import Pool
    from wfkernel.run import Run
    from wfkernel.testing import VirtualClock
    from wfkernel.workflow import Workflow

    __version__: str

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
    "VirtualClock",
    "WfkernelError",
    "Workflow",
    "WorkflowManager",
    "action",
    "approve",
    "current_step",
    "dashboard",
    "define_event",
    "mutation",
    "query",
    "timeline",
]

_PLACES = {
    "engine.steps": ["current_step"],
    "manager": ["WorkflowManager"],
    "model.events": ["Event", "define_event"],
    "model.functions": ["action", "mutation", "query"],
    "model.policy": ["RetryPolicy"],
    "model.records": ["ErrorInfo", "Page", "Plan", "RunRecord", "RunResult", "RunStatus", "StepRecord"],
    "notebook.approval": ["approve"],
    "notebook.dashboard": ["dashboard"],
    "notebook.magics": ["load_ipython_extension", "unload_ipython_extension"],
    "notebook.runs": ["timeline"],
    "pool": ["Pool"],
    "run": ["Run"],
    "testing": ["VirtualClock"],
    "workflow": ["Workflow"],
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("wfkernel")
    elif name in ("errors", "testing"):  # so that `import wfkernel` is enough for wfkernel.testing.VirtualClock
        value = import_module(f"wfkernel.{name}")
    elif name in __all__ or name in _MODULE_OF:
        value = getattr(import_module(f"wfkernel.{_MODULE_OF.get(name, 'errors')}"), name)
    else:
        raise AttributeError(f"module 'wfkernel' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
