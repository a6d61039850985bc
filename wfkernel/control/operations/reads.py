"""What a second process looks at: runs, steps, workflows, what a run waits for, how it ended."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Literal

from pydantic import BaseModel, Field

from wfkernel.control.operations.table import Asked, OfRun, Params, Reply, operation
from wfkernel.engine import mail, queries
from wfkernel.engine.views import Records
from wfkernel.engine.what_for import Wait, run_and_what_for, waits_only
from wfkernel.errors import ControlError, RunNotFound
from wfkernel.manager import WorkflowManager
from wfkernel.model import forms
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.jsontext import loads
from wfkernel.run import Run

_KEPT = "no process has the workflow now: the answer is kept, and read by its type when the run goes on"
_PENDING = ("scheduled", "running")  # steps


class None_(Params):
    pass


class Listing(Params):
    order: Literal["asc", "desc"] = "desc"
    limit: int = Field(100, ge=1, le=100_000)
    cursor: str | None = Field(None, description="of the page before")
    status: Literal["in_progress", "completed", "failed", "canceled"] | None = None
    name: str | None = Field(None, description="of the workflow")


class StepListing(OfRun):
    order: Literal["asc", "desc"] = "asc"
    limit: int = Field(100, ge=1, le=100_000)
    cursor: str | None = None


class File(Params):
    sha: str = Field(pattern="^[0-9a-f]{64}$")


class FromStep(OfRun):
    from_step: int | str | None = None


class Stored(Records):
    """Records whose values are left as they are stored."""

    def _value(self, body: dict[str, Any], key: str) -> Any:
        return body.get(key)

    def live_step(self, step: Any) -> Any:
        return super().live_step(step).model_copy(update={"args": loads(step.request.args.text)})


def _stored(manager: WorkflowManager) -> WorkflowManager:
    """The manager, with records that hold stored values."""
    found = WorkflowManager._of(manager._engine)
    found._records = Stored(manager._engine)
    return found


def _json(record: BaseModel) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _page(page: Any) -> dict[str, Any]:
    return {"items": [_json(i) for i in page.items], "cursor": page.cursor, "is_done": page.is_done}


def of_run(run: Run) -> dict[str, Any]:
    return {"run_id": run.id, "name": run.name, "key": run._key}


@operation(OfRun)
def get(asked: Asked, p: OfRun) -> Any:
    """The run with this id: ``{run_id, name, key}``."""
    return of_run(asked.manager.get(p.run))


@operation(OfRun)
def run(asked: Asked, p: OfRun) -> Any:
    """The record of a run."""
    manager = _stored(asked.manager)
    key = manager._key(p.run)
    return _json(manager._records.run(manager._history(key, p.run)))


@operation(OfRun)
def status(asked: Asked, p: OfRun) -> Any:
    """Where a run stands, with the steps that are pending."""
    return _json(_stored(asked.manager).status(p.run))


@operation(Listing)
def list_(asked: Asked, p: Listing) -> Any:
    """The runs, a page at a time."""
    manager = _stored(asked.manager)
    return _page(manager._list(p.name, p.order, p.limit, p.cursor, p.status))


@operation(StepListing)
def list_steps(asked: Asked, p: StepListing) -> Any:
    """The steps of a run's current generation, a page at a time."""
    return _page(_stored(asked.manager).list_steps(p.run, order=p.order, limit=p.limit, cursor=p.cursor))


@operation(OfRun)
def steps(asked: Asked, p: OfRun) -> Any:
    """All steps of a run's current generation."""
    return [_json(s) for s in _stored(asked.manager).steps(p.run)]


@operation(FromStep)
def plan(asked: Asked, p: FromStep) -> Any:
    """What a restart would reuse and run again, and why."""
    return [_json(i) for i in asked.manager.plan(p.run, from_step=p.from_step)]


@operation(OfRun)
def verify(asked: Asked, p: OfRun) -> Any:
    """Replay a run without running anything; an error if it does not replay."""
    asked.manager.verify(p.run)


@operation(None_)
def workflows(asked: Asked, p: None_) -> Any:
    """The workflows that the holder has: ``[{name, signature, doc}]``."""
    found = asked.manager.workflows
    return [{"name": n, "signature": w.signature.text, "doc": w.__doc__} for n, w in sorted(found.items())]


@operation(None_)
def list_failures(asked: Asked, p: None_) -> Any:
    """The runs whose ``on_complete`` failed."""
    return [_json(f) for f in asked.manager.list_failures()]


@operation(OfRun)
def awaited(asked: Asked, p: OfRun) -> Any:
    """The events that a run waits for, each with its type and form: ``[{step, event, event_id, type, form, is_timed}]``.

    ``is_timed``: the run goes on without it when its time is up. Where nobody has its workflow, the journal says what it waits for,
    and the types are not known.
    """
    engine = asked.manager._engine
    key = asked.manager._key(p.run)

    def there() -> list[tuple[int, str, str | None, Any, bool, bool]]:
        steps = mail.awaited(engine, key)
        live = [
            (s.number, s.request.event_name or s.name, s.event_id, s.request.target, s.timer is not None, True) for s in steps
        ]
        return live or [(w.number, w.event, w.event_id, None, w.is_timed, False) for w in mail.recorded_awaits(engine, key)]

    found = []
    for number, name, event_id, event, is_timed, is_here in engine.call(there):
        annotation = event.type if event is not None else None
        form = forms.describe(annotation) if is_here else {**forms.describe(None), "help": _KEPT}
        kind = forms.type_name(annotation)
        found.append({"step": number, "event": name, "event_id": event_id, "type": kind, "form": form, "is_timed": is_timed})
    return found


@operation(OfRun)
def needed_events(asked: Asked, p: OfRun) -> Any:
    """The names of the events without which a run and its children cannot go on; empty if it goes on by itself, or has ended."""
    return _needed(_stored(asked.manager), p.run)


def _needed(manager: WorkflowManager, run_id: str) -> list[str]:
    # A run after the other: one that stands still goes on only by an event, so what was found stays true meanwhile.
    waits = manager._engine.call(waits_only, manager._engine, manager._key(run_id))
    found: list[str] = []
    for wait in _recorded_waits(manager, run_id) if waits is None else waits:
        events = [wait.event] if wait.event is not None else _needed(manager, wait.child) if wait.child is not None else []
        if not events:
            return []
        found += events
    return found


def _recorded_waits(manager: WorkflowManager, run_id: str) -> list[Wait]:
    """Of a run that has no body here: as the journal has it. An await for which an event is kept is none for which it needs one."""
    engine = manager._engine
    needed = {w.number: w.event for w in engine.call(mail.recorded_awaits, engine, manager._key(run_id))}
    pending = [s for s in manager.steps(run_id) if s.status in _PENDING]
    return [Wait(needed.get(s.step_number), s.child_run_id) for s in pending]


@operation(OfRun)
def what_for(asked: Asked, p: OfRun) -> Any:
    """What a run waits for, in words; None if it is not in progress."""
    engine = asked.manager._engine
    found = engine.call(run_and_what_for, engine, asked.manager._key(p.run))
    return None if found is None else found[1]


@operation(OfRun)
def wait(asked: Asked, p: OfRun) -> Any:
    """How a run ended, once it has: ``{status, body}``. Everything else is answered meanwhile."""
    manager = asked.manager
    key = manager._key(p.run)
    waiter = manager._engine.call(manager._waiting, key)
    if waiter is None:
        end = queries.end_of(manager._live_journal(), key)
        if end is None:
            raise RunNotFound(p.run)
        return _ending(end)
    ended: Future[Any] = Future()

    def tell(future: Future[tuple[int, str]]) -> None:
        if future.cancelled() or not ended.set_running_or_notify_cancel():
            return
        if future.exception() is not None:
            ended.set_exception(future.exception())
        else:
            ended.set_result(_ending(future.result()))

    waiter.future.add_done_callback(tell)
    ended.add_done_callback(lambda f: manager._leave(waiter) if f.cancelled() else None)
    return ended


def _ending(end: tuple[int, str]) -> dict[str, Any]:
    return {"status": RUN_STATUS[Fact(end[0])], "fact": int(end[0]), "body": loads(end[1])}


@operation(File)
def file(asked: Asked, p: File) -> Any:
    """The content of a side file, attached."""
    try:
        return Reply(None, {p.sha: asked.manager._engine.journal.files.get(p.sha)})
    except KeyError:
        raise ControlError(f"the journal has no file {p.sha}") from None
