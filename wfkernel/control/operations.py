"""What a second process can ask of the one that holds the journal: one table of operations, for the socket and for the web.

Each has parameters (a pydantic model, closed) and a function from a manager to plain JSON. Values travel as the journal stores
them (see ``model.values``): plain JSON as it is, anything else as an object with the key "$", so that the holder need not know
the classes of a value that it passes on. Instants are ISO 8601 in UTC, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wfkernel.engine import mail, queries
from wfkernel.engine.views import Records
from wfkernel.engine.what_for import Wait, run_and_what_for, waits_only
from wfkernel.errors import ControlError, InvalidArguments, InvalidEvent, RunNotFound, TypeNotLoaded, WfkernelError
from wfkernel.manager import WorkflowManager
from wfkernel.model import forms
from wfkernel.model.events import explain
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.starting import StartOptions
from wfkernel.model.types import Validator
from wfkernel.model.values import Encoded, Unresolved
from wfkernel.run import Run

_REPEATED_WITHIN_S = 24 * 3600.0  # a request that is sent again is looked for among the rows of this time
_ROWS = 1000  # of SQL, in one part
_PART_BYTES = 1 << 20
_PENDING = ("scheduled", "running")  # steps


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OfRun(Params):
    run: str = Field(description="run id")


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


class Start(Params):
    workflow: str
    args: dict[str, Any] = Field(default_factory=dict, description="stored values by parameter name")
    is_defined: bool = Field(False, description="the sender has the workflow: where the holder lacks it, the run waits for it")
    id: str | None = Field(None, min_length=1)
    on_complete: dict[str, str] | None = None
    context: Any = None
    has_context: bool = False
    run_after: float | None = Field(None, ge=0)
    run_at: int | None = Field(None, description="Unix microseconds")


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


class FromStep(OfRun):
    from_step: int | str | None = None


class Fork(FromStep):
    args: dict[str, Any] | None = None


class Cleanup(OfRun):
    force: bool = False


class Resume(Params):
    run: str | None = None


class Pool(Params):
    name: str | None = Field(None, description="None: the manager's own slots")
    max_parallelism: int | None = Field(None, ge=0, description="None: only look")


class File(Params):
    sha: str = Field(pattern="^[0-9a-f]{64}$")


class Sql(Params):
    query: str
    params: list[Any] | dict[str, Any] = Field(default_factory=list[Any], description="stored values")
    form: Literal["arrow", "rows"] = "rows"


@dataclass
class Asked:
    """One request, as an operation sees it.

    Attributes:
        manager: the holder's.
        blobs: attachments of the request.
        token: by which the request is known when it is sent again; None if it never is.
        again: it was sent before, with this token, and its sender does not know whether it was done.
        tell: sends a part of the answer ahead, and waits until it has gone out.
        tell_soon: the same without waiting.
    """

    manager: WorkflowManager
    blobs: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    again: bool = False
    tell: Callable[[Any, dict[str, Any] | None], None] | None = None
    tell_soon: Callable[[Any], Future[None]] | None = None

    def load(self, sha: str) -> Any:
        return self.blobs[sha] if sha in self.blobs else self.manager._engine.journal.files.get(sha)

    def value(self, tree: Any) -> Any:
        """A stored value, decoded here."""
        return self.manager.codec.decode(dumps(tree), self.load)

    def preview(self, tree: Any) -> Any:
        """The same, with an ``Unresolved`` for each value whose class is not loaded here."""
        return self.manager.codec.preview(dumps(tree), self.load)


class Reply(NamedTuple):
    """A result with attachments."""

    result: Any
    blobs: dict[str, Any]


class Operation(NamedTuple):
    name: str
    params: type[Params]
    do: Callable[[Asked, Any], Any]
    changes: bool
    doc: str


OPERATIONS: dict[str, Operation] = {}


def operation(params: type[Params], *, changes: bool = False) -> Callable[[Any], Any]:
    def put(fn: Any) -> Any:
        name = fn.__name__.rstrip("_")
        OPERATIONS[name] = Operation(name, params, fn, changes, fn.__doc__ or "")
        return fn

    return put


def perform(asked: Asked, name: str, params: Any) -> Any:
    """Do what is asked: plain JSON, a Reply, or a Future of one of them.

    Raises:
        ControlError: there is no such operation, or its parameters are wrong.
        WfkernelError: as the manager raises it.
    """
    found = OPERATIONS.get(name)
    if found is None:
        raise ControlError(f"no operation is called {name!r}; there are {', '.join(sorted(OPERATIONS))}")
    try:
        checked = found.params.model_validate(params)
    except ValidationError as exc:
        raise ControlError(f"{name}: {explain(exc)}") from None
    if asked.again and found.changes and asked.token is not None:
        done = _done_before(asked)
        if done is not None:
            return done.result
    return found.do(asked, checked)


def is_change(name: str) -> bool:
    return name in OPERATIONS and OPERATIONS[name].changes


class _Done(NamedTuple):
    result: Any


def _done_before(asked: Asked) -> _Done | None:
    assert asked.token is not None
    engine = asked.manager._engine
    since = engine.clock.time_us() - round(_REPEATED_WITHIN_S * 1e6)
    row = queries.requested(engine.journal, asked.token, since)
    if row is None:
        return None
    key, fact, body = row
    if fact == Fact.CREATED:
        created = queries.created(engine.journal, key)
        return _Done({"run_id": loads(body)["id"], "name": created[6] if created else "", "key": key})
    return _Done(loads(body)["event_id"] if fact == Fact.EVENT_CREATED else None)


# -- looking ----------------------------------------------------------------------------------------------------------------


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


@operation(OfRun)
def get(asked: Asked, p: OfRun) -> Any:
    """The run with this id: ``{run_id, name, key}``."""
    return _of_run(asked.manager.get(p.run))


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

    ``is_timed``: the run goes on without it when its time is up.
    """
    engine = asked.manager._engine
    key = asked.manager._key(p.run)

    def there() -> list[tuple[int, str, str | None, Any, bool]]:
        steps = mail.awaited(engine, key)
        return [(s.number, s.request.event_name or s.name, s.event_id, s.request.target, s.timer is not None) for s in steps]

    found = []
    for number, name, event_id, event, is_timed in engine.call(there):
        annotation = event.type if event is not None else None
        form = forms.describe(annotation)
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
    """Of a run that has no body here: as the journal has it."""
    pending = [s for s in manager.steps(run_id) if s.status in _PENDING]
    return [Wait(s.name if s.kind == "event" else None, s.child_run_id) for s in pending]


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


@operation(Sql)
def sql(asked: Asked, p: Sql) -> Any:
    """Read by SQL, in parts: Arrow IPC streams attached, or ``{columns, types, rows}`` and then ``{rows}``. Nothing can be written."""
    return asked.manager._engine.journal.query(lambda db: _tell_rows(asked, p, db))


def _tell_rows(asked: Asked, p: Sql, db: Any) -> Any:
    assert asked.tell is not None
    params = asked.value(p.params) or None
    if p.form == "arrow":
        relation = db.sql(p.query, params=params)
        return {"rows": 0} if relation is None else _tell_arrow(asked, relation)
    db.execute(p.query, params)
    count = size = 0
    part: list[Any] = []
    columns = db.description or []
    head: dict[str, Any] = {"columns": [c[0] for c in columns], "types": [str(c[1]) for c in columns]}
    while rows := db.fetchmany(_ROWS):
        for row in rows:
            part.append([_shown(v) for v in row])
            size += sum(len(v) if isinstance(v, str) else 8 for v in part[-1])
            if size > _PART_BYTES:
                asked.tell({**head, "rows": part}, None)
                head, part, size = {}, [], 0
        count += len(rows)
    asked.tell({**head, "rows": part}, None)
    return {"rows": count}


def _tell_arrow(asked: Asked, relation: Any) -> Any:
    import pyarrow as pa

    assert asked.tell is not None
    reader = relation.to_arrow_reader(10_000)
    part: list[Any] = []
    count = size = 0
    for batch in reader:
        part.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if size > _PART_BYTES:
            asked.tell(None, {"arrow": _arrow_stream(pa, reader.schema, part)})
            part, size = [], 0
    asked.tell(None, {"arrow": _arrow_stream(pa, reader.schema, part)})
    return {"rows": count}


def _arrow_stream(pa: Any, schema: Any, batches: list[Any]) -> Any:
    """A whole stream, so that each part can be read apart."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as out:
        for batch in batches:
            out.write_batch(batch)
    return sink.getvalue()


def _shown(value: Any) -> Any:
    """A value of DuckDB's as JSON has it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, (list, tuple)):
        return [_shown(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _shown(v) for k, v in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


# -- changing ---------------------------------------------------------------------------------------------------------------


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
        return _of_run(manager._begin(Undefined(p.workflow), Encoded(dumps(p.args), asked.blobs), options))
    positional, keyword = found.call_arguments(_arguments(asked, p, found))
    encoded = manager._encode(found.bind(tuple(positional), keyword), f"an argument of workflow {found.name!r}")
    return _of_run(manager._begin(found, encoded, options))


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


def _of_run(run: Run) -> dict[str, Any]:
    return {"run_id": run.id, "name": run.name, "key": run._key}


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
    return _of_run(asked.manager.fork(p.run, from_step=p.from_step, args=args, _request=asked.token))


@operation(Cleanup, changes=True)
def cleanup(asked: Asked, p: Cleanup) -> Any:
    """Delete an ended run: whether it is gone."""
    if asked.manager.cleanup(p.run, force=p.force):
        return True
    return asked.again and asked.manager._engine.key_of(p.run) is None  # the first time did it


@operation(Resume, changes=True)
def resume(asked: Asked, p: Resume) -> Any:
    """Let a run go on that waits to be asked; without a run, all."""
    asked.manager.resume(p.run)


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


def error_body(exc: BaseException) -> dict[str, Any]:
    """An error as it travels."""
    facts = {k: _fact(v) for k, v in vars(exc).items() if not k.startswith("_")} if isinstance(exc, WfkernelError) else {}
    name = "TimeoutError" if isinstance(exc, TimeoutError) else type(exc).__name__
    return {"type": name, "message": str(exc), "facts": facts}


def _fact(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_fact(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _fact(v) for k, v in value.items()}
    return _json(value) if isinstance(value, BaseModel) else str(value)
