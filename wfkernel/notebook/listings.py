"""Runs and steps as the tables that ``%wf`` shows, in words of people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wfkernel.engine.views import TO_BE_RESUMED
from wfkernel.manager import WorkflowManager
from wfkernel.model.records import RunRecord, RunStatus, StepRecord
from wfkernel.notebook.tables import Table, ago, short
from wfkernel.run import Run

__all__ = ["shown_path", "table_of_runs", "table_of_steps", "unfinished", "waiting_for_definition", "what_became"]

_UNFINISHED_SHOWN = 10
_UNDEFINED = "is not defined here"  # how RunStatus.waiting_for ends then


def table_of_runs(wf: WorkflowManager, records: Sequence[RunRecord], title: str = "") -> Table:
    rows = []
    for record in records:
        what: Any = record.error if record.error is not None else record.result
        if record.status == "in_progress":
            what = _doing(wf.status(record.run_id), record.run_id)
        rows.append(
            (record.run_id, record.name, record.status, record.created_at, ago(record.created_at, record.completed_at), what)
        )
    return Table(["run", "workflow", "status", "started", "took", ""], rows, records=records, title=title if rows else "no runs")


def unfinished(wf: WorkflowManager) -> Table | None:
    page = wf.list(status="in_progress", limit=_UNFINISHED_SHOWN)
    if not page.items:
        return None
    title = f"{len(page)} {'run is' if len(page) == 1 else 'runs are'} unfinished:"
    if not page.is_done:
        title = f"the newest {len(page)} of the unfinished runs (%wf list --status in_progress --limit 1000 shows more):"
    rows = [(r.run_id, r.name, r.created_at, _doing(wf.status(r.run_id), r.run_id)) for r in page.items]
    return Table(["run", "workflow", "started", "needs"], rows, records=page.items, title=title)


def _doing(status: RunStatus, run_id: str) -> str:
    """What an unfinished run is about, in words."""
    if status.waiting_for == TO_BE_RESUMED:
        return f"to be resumed: %wf resume {run_id}"
    if status.waiting_for is not None:
        return status.waiting_for + (" (run its cell)" if status.waiting_for.endswith(_UNDEFINED) else "")
    words = {"event": "waits for event {}", "sleep": "sleeps", "workflow": "waits for workflow {}"}
    steps = [words.get(s.kind, "runs {}" if s.status == "running" else "is to run {}").format(s.name) for s in status.running[:3]]
    return ", ".join(steps) + (f", and {len(status.running) - 3} more" if len(status.running) > 3 else "")


def table_of_steps(run: Run, status: RunStatus, steps: Sequence[StepRecord]) -> Table:
    title = f"{run.name}  {run.id}  {status.type}"
    if status.type == "in_progress":
        title += f": {_doing(status, run.id)}"
    elif status.error is not None:
        title += f": {status.error}"
    elif status.type == "completed":
        title += f": {short(repr(status.result))}"
    rows = [
        (
            *(s.step_number, s.name, s.kind, s.status, s.attempts, s.started_at or s.scheduled_at),
            "" if s.status == "scheduled" else ago(s.started_at, s.completed_at),
            s.error if s.error is not None else None if s.status != "success" else repr(s.result),
        )
        for s in steps
    ]
    return Table(["step", "name", "kind", "status", "attempts", "started", "took", "result"], rows, records=steps, title=title)


def shown_path(wf: WorkflowManager) -> str:
    path = str(wf.path)
    if path == ":memory:":
        return path
    try:
        return str(Path(path).relative_to(Path.cwd().resolve()))
    except ValueError:
        return path


def waiting_for_definition(wf: WorkflowManager, name: str) -> list[str]:
    """The ids of the unfinished runs that wait for this workflow to be defined."""
    records = wf.list_by_name(name, status="in_progress", limit=_UNFINISHED_SHOWN).items
    needed = f"workflow {name!r} {_UNDEFINED}"
    return [r.run_id for r in records if wf.status(r.run_id).waiting_for == needed]


def what_became(wf: WorkflowManager, name: str, waited: list[str]) -> Iterator[str]:
    """What the runs do that waited for a workflow, now that it is defined; a line for all that go on, and one for each that does not."""
    kept = {run_id: why for run_id in waited if (why := wf.status(run_id).waiting_for) is not None}
    going = [f"run {run_id}" for run_id in waited if run_id not in kept]
    if going:
        yield f"{name}: {', '.join(going)} {'goes' if len(going) == 1 else 'go'} on"
    for run_id, why in kept.items():
        yield f"{name}: run {run_id} waits: {why}" + (" (run its cell)" if why.endswith(_UNDEFINED) else "")
