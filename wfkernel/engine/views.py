"""Histories and live steps as the records that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfkernel.core.history import History, Recorded
from wfkernel.model.cells import with_cells
from wfkernel.model.facts import STEP_STATUS, Fact
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.policy import instant
from wfkernel.model.records import ErrorInfo, Failure, RunRecord, RunStatus, StepRecord

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine
    from wfkernel.engine.runs import LiveRun
    from wfkernel.engine.steps import LiveStep

TO_BE_RESUMED = "run.resume(): the journal was opened with auto_resume=False"


class Records:
    """Builds records; values whose class is not loaded here are shown as what they are made of."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def _value(self, body: dict[str, Any], key: str) -> Any:
        if key not in body:
            return None
        return self._engine.codec.preview(dumps(body[key]), self._engine.journal.files.get)

    def recorded_step(self, run_id: str, step: Recorded) -> StepRecord:
        body = step.body
        return StepRecord(
            run_id=run_id,
            step_number=step.number,
            name=step.name,
            kind=body["kind"],
            status=STEP_STATUS[Fact(step.fact)],  # type: ignore[arg-type]
            args=self._value(body, "args"),
            result=self._value(body, "result"),
            error=_error(body),
            attempts=body.get("attempts", 0),
            scheduled_at=instant(body.get("scheduled_at")),
            started_at=instant(body.get("started_at")),
            completed_at=instant(body.get("completed_at")),
            child_run_id=body.get("child"),
            event_id=body.get("event_id"),
            generation=step.generation,
        )

    def live_step(self, step: LiveStep) -> StepRecord:
        blobs = step.request.args.blobs
        args = self._engine.codec.preview(step.request.args.text, self._engine.loader(blobs))
        members = step.members()
        return StepRecord(args=args, **{**members, "error": _shown(members["error"])})

    def steps(self, history: History, live: list[StepRecord]) -> list[StepRecord]:
        """The current steps of a run, in order; the live ones know better than the journal."""
        by_number = {n: self.recorded_step(history.run_id, s) for n, s in history.steps.items()}
        for record in live:
            known = by_number.get(record.step_number)
            if known is None or known.status in ("scheduled", "running"):
                by_number[record.step_number] = record
        return [by_number[n] for n in sorted(by_number)]

    def run(self, history: History) -> RunRecord:
        assert history.created is not None
        header, end = history.header, history.end
        ended = self._end_body(end)
        parent = header.get("parent")
        return RunRecord(
            run_id=history.run_id,
            name=history.name,
            status=history.status,  # type: ignore[arg-type]
            args=self._value(header, "args"),
            context=self._value(header, "context"),
            result=self._value(ended, "result"),
            error=_error(ended),
            created_at=instant(history.created[5]),  # type: ignore[arg-type]
            completed_at=instant(end[5]) if end is not None else None,
            generation=history.generation,
            parent_run_id=parent[3] if parent else None,
        )

    def going(self, run: LiveRun) -> RunRecord:
        """A run that goes on, without a look into the journal."""
        parent = run.header.get("parent")
        return RunRecord(
            run_id=run.id,
            name=run.name,
            status="in_progress",
            args=self._value(run.header, "args"),
            context=self._value(run.header, "context"),
            created_at=instant(run.created_t),  # type: ignore[arg-type]
            generation=run.generation,
            parent_run_id=parent[3] if parent else None,
        )

    def ended_status(self, history: History) -> RunStatus:
        ended = self._end_body(history.end)
        return RunStatus(type=history.status, result=self._value(ended, "result"), error=_error(ended))  # type: ignore[arg-type]

    def live_status(self, run: LiveRun) -> RunStatus:
        waiting_for = None
        if self._engine.recovery.is_undefined(run):
            waiting_for = f"{self._engine.recovery.wanted(run)} is not defined here"
            if run.error is not None:
                waiting_for = f"it cannot be resumed: {run.error}"
        elif self._engine.recovery.is_held(run):
            waiting_for = TO_BE_RESUMED
        elif run.start_timer is not None:
            waiting_for = f"its start at {instant(run.start_timer.due)}"
        running = [self.live_step(run.steps[n]) for n in sorted(run.steps)]
        return RunStatus(type="in_progress", running=running, waiting_for=waiting_for)

    def failure(self, history: History) -> Failure:
        row = history.hook_failure
        assert row is not None
        body = loads(row[7])
        reference = body["on_complete"]
        return Failure(
            run_id=history.run_id,
            name=history.name,
            error=_shown(ErrorInfo(**body["error"])),  # type: ignore[arg-type]
            failed_at=instant(row[5]),  # type: ignore[arg-type]
            on_complete=reference.get("name") or f"{reference['module']}.{reference['qualname']}",
        )

    @staticmethod
    def _end_body(end: Any) -> dict[str, Any]:
        return loads(end[7]) if end is not None else {}


def _error(body: dict[str, Any]) -> ErrorInfo | None:
    return _shown(ErrorInfo(**body["error"])) if "error" in body else None


def _shown(error: ErrorInfo | None) -> ErrorInfo | None:
    if error is None or error.traceback is None:
        return error
    return error.model_copy(update={"traceback": with_cells(error.traceback)})
