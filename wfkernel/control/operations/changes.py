"""What a second process changes: runs begun, sent events, canceled, restarted, forked, cleaned up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from wfkernel.control.operations.reads import FromStep, of_run
from wfkernel.control.operations.table import Asked, OfRun, Params, operation
from wfkernel.engine import mail
from wfkernel.errors import InvalidArguments, InvalidEvent, RunNotActive, TypeNotLoaded
from wfkernel.model import forms
from wfkernel.model.events import explain
from wfkernel.model.jsontext import dumps
from wfkernel.model.policy import microseconds_of
from wfkernel.model.starting import StartOptions
from wfkernel.model.types import Validator
from wfkernel.model.values import Encoded, Unresolved

_FIRST_US = microseconds_of(datetime.min.replace(tzinfo=UTC), "run_at")
_LAST_US = microseconds_of(datetime.max.replace(tzinfo=UTC), "run_at")


class Start(Params):
    workflow: str
    args: dict[str, Any] = Field(default_factory=dict, description="stored values by parameter name")
    is_defined: bool = Field(False, description="the sender has the workflow: where the holder lacks it, the run waits for it")
    id: str | None = Field(None, min_length=1)
    on_complete: dict[str, str] | None = None
    context: Any = None
    has_context: bool = False
    run_after: float | None = Field(None, ge=0, le=100 * 365 * 86400.0, description="seconds")
    run_at: int | None = Field(None, ge=_FIRST_US, le=_LAST_US, description="Unix microseconds")


class SendEvent(Params):
    event: str = Field(min_length=1, description="name, or id where no run is given")
    run: str | None = None
    value: Any = None
    error: str | None = None
    form: bool = Field(False, description="the value is JSON as a person gives it; the event's type reads it")


class CreateEvent(OfRun):
    name: str = Field(min_length=1)


class Cancel(OfRun):
    grace: float = Field(30, ge=0)


class Fork(FromStep):
    args: dict[str, Any] | None = None


class Cleanup(OfRun):
    force: bool = False


class Resume(Params):
    run: str | None = None


class Pool(Params):
    name: str | None = Field(None, description="None: the manager's own slots")
    max_parallelism: int | None = Field(None, ge=0, description="None: only look")


class Undefined(NamedTuple):
    """A workflow of which only the name is known here."""

    name: str


@operation(Start, changes=True)
def start(asked: Asked, p: Start) -> Any:
    """Begin a run: ``{run_id, name, key}``."""
    manager = asked.manager
    options = StartOptions(
        id=p.id,
        on_complete=p.on_complete,
        context_text=dumps(p.context) if p.has_context else None,
        context_blobs=asked.blobs if p.has_context else {},
        run_after=p.run_after,
        run_at=p.run_at,
        request=asked.token,
    )
    found: Any = manager.workflows.get(p.workflow)
    if found is None:
        if not p.is_defined:
            manager._engine.recovery.resolve_workflow(p.workflow)  # says what there is
        return of_run(manager._begin(Undefined(p.workflow), Encoded(dumps(p.args), asked.blobs), options))
    positional, keyword = found.call_arguments(_arguments(asked, p, found))
    encoded = manager._encode(found.bind(tuple(positional), keyword), f"an argument of workflow {found.name!r}")
    return of_run(manager._begin(found, encoded, options))


def _arguments(asked: Asked, p: Start, workflow: Any) -> dict[str, Any]:
    """The arguments; of a class that is not loaded here, what they are made of, where the workflow says what to make of it.

    So a workflow of the script that holds the journal can be started by who imports that script: its classes have other names there.
    """
    try:
        return asked.value(p.args)
    except TypeNotLoaded as error:
        found = asked.preview(p.args)
        typed = {q.name for q in workflow.signature.parameters if q.annotation not in (q.empty, Any)}
        if any(isinstance(value, Unresolved) and name not in typed for name, value in found.items()):
            raise _not_loaded_there(error) from None
        return {name: value.value if isinstance(value, Unresolved) else value for name, value in found.items()}


def _not_loaded_there(error: TypeNotLoaded) -> TypeNotLoaded:
    told = TypeNotLoaded(error.type_name)
    told.args = (f"the value is a {error.type_name}, which the process that holds the journal does not have; import it there",)
    return told


@operation(SendEvent, changes=True)
def send_event(asked: Asked, p: SendEvent) -> Any:
    """Send an event, by name to a run or by its id."""
    value = None
    if p.error is None:
        value = _answered(asked, p) if p.form else _event_value(asked, p)
    asked.manager.send_event(p.event, value, run=p.run, error=p.error, _request=asked.token)


def _event_value(asked: Asked, p: SendEvent) -> Any:
    """The value; of a class that is not loaded here, what it is made of, if the event's type can read that."""
    try:
        return asked.value(p.value)
    except TypeNotLoaded as error:
        event = _awaited_event(asked, p)
        if event is None or event.type is None:
            raise _not_loaded_there(error) from None
        found = asked.preview(p.value)
        return found.value if isinstance(found, Unresolved) else found


def _answered(asked: Asked, p: SendEvent) -> Any:
    """What a person gave, read by the type of the event that is awaited."""
    event = _awaited_event(asked, p)
    if event is None or event.type is None:
        return p.value
    try:
        return forms.validated(event.type, p.value)
    except ValidationError as exc:
        refused = InvalidEvent(f"event {event.name!r} takes {Validator(event.type)}: {explain(exc)}")
        refused.fields = forms.errors(exc)  # type: ignore[attr-defined] - for a form, which marks them
        raise refused from exc


def _awaited_event(asked: Asked, p: SendEvent) -> Any:
    """The Event that a run waits for, and that this would be; None where it waits for a name only, or for nothing."""
    engine = asked.manager._engine
    key = asked.manager._key(p.run) if p.run is not None else None

    def there() -> Any:
        keys = list(engine.runs) if key is None else [key]
        steps = [s for k in keys for s in mail.awaited(engine, k)]
        return next((s.request.target for s in steps if p.event in (s.event_id, s.request.event_name, s.name)), None)

    return engine.call(there)


@operation(CreateEvent, changes=True)
def create_event(asked: Asked, p: CreateEvent) -> Any:
    """Give an event of a run an id: the id."""
    return asked.manager.create_event(p.name, run=p.run, _request=asked.token)


@operation(Cancel, changes=True)
def cancel(asked: Asked, p: Cancel) -> Any:
    """Cancel a run and its children."""
    asked.manager.cancel(p.run, grace=p.grace, _request=asked.token)


@operation(FromStep, changes=True)
def restart(asked: Asked, p: FromStep) -> Any:
    """Go on with an ended run from its journal."""
    asked.manager.restart(p.run, from_step=p.from_step, _request=asked.token)


@operation(Fork, changes=True)
def fork(asked: Asked, p: Fork) -> Any:
    """A new run with the steps of another: ``{run_id, name, key}``."""
    args = None if p.args is None else asked.value(p.args)
    if args is not None and not isinstance(args, dict):
        raise InvalidArguments("args must be an object of the parameters to change")
    return of_run(asked.manager.fork(p.run, from_step=p.from_step, args=args, _request=asked.token))


@operation(Cleanup, changes=True)
def cleanup(asked: Asked, p: Cleanup) -> Any:
    """Delete an ended run: whether it is gone."""
    if asked.manager.cleanup(p.run, force=p.force):
        return True
    return asked.again and asked.manager._engine.key_of(p.run) is None  # the first time did it


@operation(Resume, changes=True)
def resume(asked: Asked, p: Resume) -> Any:
    """Let a run go on that waits to be asked; without a run, all."""
    try:
        asked.manager.resume(p.run)
    except RunNotActive:
        if not asked.again:
            raise  # else the first time did it, and the run has ended since


@operation(OfRun, changes=True)
def retry_on_complete(asked: Asked, p: OfRun) -> Any:
    """Run a failed ``on_complete`` again."""
    manager = asked.manager
    if asked.again and manager._history(manager._key(p.run), p.run).hook_failure is None:
        return  # the first time did it
    manager.retry_on_complete(p.run)


@operation(Pool, changes=True)
def pool(asked: Asked, p: Pool) -> Any:
    """The slots of a pool, made or changed if a number is given: the number."""
    manager = asked.manager
    if p.max_parallelism is not None:
        if p.name is None:
            manager.set_max_parallelism(p.max_parallelism)
        else:
            manager.pool(p.name, max_parallelism=p.max_parallelism)
    return manager._engine.call(manager._engine.pool, p.name).limit
