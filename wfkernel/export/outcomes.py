"""How the runs of an exported script end, or what they wait for; told line by line, and as an exit code."""

from __future__ import annotations

import builtins
import errno
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wfkernel.engine.what_for import waits_only
from wfkernel.errors import RunCanceled, RunFailed, RunNotFound
from wfkernel.manager import WorkflowManager
from wfkernel.run import Run

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

__all__ = ["DONE", "FAILED", "USAGE", "WAITING", "complain", "is_output_gone", "say", "settled", "unfinished"]

DONE, FAILED, USAGE, WAITING = 0, 1, 2, 3  # exit codes
_LOOK_AGAIN_S = 0.1


def unfinished(wf: WorkflowManager) -> list[Run]:
    """The unfinished runs, oldest first, without those that are steps of another."""
    found: list[Run] = []
    cursor = None
    while True:
        page = wf.list(status="in_progress", order="asc", cursor=cursor)
        found += [wf.get(record.run_id) for record in page.items if record.parent_run_id is None]
        if page.is_done:
            return found
        cursor = page.cursor


def settled(wf: WorkflowManager, runs: Sequence[Run], timeout: float | None, *, is_main: bool = False) -> int:
    """Wait until each run has ended or waits for an event, and say so; the exit code.

    Args:
        is_main: main() was about these runs: it needs not be told of those that it saw complete.
    """
    until = None if timeout is None else time.monotonic() + timeout
    told = [run for run in runs if not (is_main and _is_settled(run))]
    return max([_settle(wf, run, until) for run in told], default=DONE)


def _is_settled(run: Run) -> bool:
    """Whether there is nothing to say of it: it completed, or was cleaned up."""
    try:
        return run.status().type == "completed"
    except RunNotFound:
        return True


def _settle(wf: WorkflowManager, run: Run, until: float | None) -> int:
    while True:
        pause = _LOOK_AGAIN_S if until is None else min(_LOOK_AGAIN_S, max(0.0, until - time.monotonic()))
        try:
            result = run.result(timeout=pause)
        except TimeoutError:
            pass  # look at what it waits for
        except (RunFailed, RunCanceled) as exc:
            say(f"run {run.id} of {run.name} {'failed' if isinstance(exc, RunFailed) else 'was canceled'}: {exc}")
            return FAILED
        else:
            say(f"run {run.id} of {run.name} completed: {result!r}")
            return DONE
        reason = _waits_for(wf, run)
        if reason is None and until is not None and time.monotonic() >= until:
            reason = "more time than --timeout gave it"
        if reason is not None:
            say(f"run {run.id} of {run.name} waits for {reason}")
            return WAITING


def _waits_for(wf: WorkflowManager, run: Run) -> str | None:
    """What a run waits for that does not come by itself, as words; None if it goes on, now or at a known time."""
    name = wf._engine.call(_lacks, wf._engine, run._key)
    if name is not None:
        return None if _is_there(wf, run, name) else f"the name {name!r}, which this script has not made"
    waits = wf._engine.call(waits_only, wf._engine, run._key)
    if waits is None:
        which = f"its workflow {run.name!r}" if run.name not in wf.workflows else "a workflow that it calls"
        return f"{which}, which this script does not define"
    reasons = [f"event {wait.event}" if wait.child is None else _child_waits_for(wf, wf.get(wait.child)) for wait in waits]
    return " and ".join(r for r in reasons if r) if reasons and all(reasons) else None


def _lacks(engine: Engine, key: int) -> str | None:
    """The global name without which the body of a run, or every one of its steps, cannot go on. Engine thread only."""
    run = engine.runs.get(key)
    if run is None or run.lacks is not None:
        return None if run is None else run.lacks
    names = [step.lacks for step in run.steps.values() if step.attempt is None and not step.done]
    return names[0] if names and len(names) == len(run.steps) and all(names) else None


def _is_there(wf: WorkflowManager, run: Run, name: str) -> bool:
    workflow = wf.workflows.get(run.name)
    return hasattr(builtins, name) or (workflow is not None and name in workflow.fn.__globals__)


def _child_waits_for(wf: WorkflowManager, child: Run) -> str | None:
    reason = _waits_for(wf, child)
    return None if reason is None else f"{reason}, in run {child.id} of {child.name}"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def is_output_gone(error: OSError) -> bool:
    """Whether the error is that nothing can be written to the standard output; nobody tries again then."""
    if error.errno not in (errno.EPIPE, errno.ENOSPC):
        return False
    try:
        os.write(sys.stdout.fileno(), b"\n")  # the error may be about another file; what failed is no longer in the buffer
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return True
    return False
