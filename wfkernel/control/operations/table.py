"""The table of operations: how one is put into it, found and done, and what it sees of a request."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wfkernel.engine import queries
from wfkernel.engine.engine import Engine
from wfkernel.errors import ControlError, WfkernelError
from wfkernel.manager import WorkflowManager
from wfkernel.model.events import explain
from wfkernel.model.facts import Fact
from wfkernel.model.jsontext import dumps, loads

_REPEATED_WITHIN_S = 24 * 3600.0  # a request that is sent again is looked for among what was done in this time
_MOST_CHANGES = 10_000  # remembered by their tokens, of one engine


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OfRun(Params):
    run: str = Field(description="run id")


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
        has_sent: a part of the answer is out.
        is_dropped: nobody waits for the answer any more.
    """

    manager: WorkflowManager
    blobs: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    again: bool = False
    tell: Callable[[Any, dict[str, Any] | None], None] | None = None
    tell_soon: Callable[[Any], Future[None]] | None = None
    has_sent: bool = False
    is_dropped: bool = False
    _stop: Callable[[], None] | None = None

    def send(self, part: Any, blobs: dict[str, Any] | None = None) -> None:
        """Send a part of the answer ahead."""
        assert self.tell is not None
        self.has_sent = True
        self.tell(part, blobs)

    def on_drop(self, stop: Callable[[], None]) -> None:
        """Call ``stop``, on any thread, once nobody waits for the answer."""
        self._stop = stop
        if self.is_dropped:
            stop()

    def drop(self) -> None:
        """Nobody waits any more: what can be stopped is."""
        self.is_dropped = True
        if self._stop is not None:
            self._stop()

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
    retold: Callable[[Asked, Any], Any] | None


OPERATIONS: dict[str, Operation] = {}


def operation(
    params: type[Params], *, changes: bool = False, retold: Callable[[Asked, Any], Any] | None = None
) -> Callable[[Any], Any]:
    """Put a function into the table.

    Args:
        retold: what it gave when it was done, where the row in the journal that it was done by does not say it.
    """

    def put(fn: Any) -> Any:
        name = fn.__name__.rstrip("_")
        OPERATIONS[name] = Operation(name, params, fn, changes, fn.__doc__ or "", retold)
        return fn

    return put


def perform(asked: Asked, name: str, params: Any) -> Any:
    """Do what is asked: plain JSON, a Reply, or a Future of one of them. A change is done once, however often, and by whichever
    way, it is asked for with the same token.

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
    if asked.token is None or not found.changes:
        return found.do(asked, checked)
    engine = asked.manager._engine
    change = _changes_of(engine).do(asked.token, engine.clock.time_us(), lambda: _change(asked, found, checked))
    return change.result() if change.done() else change


def _change(asked: Asked, found: Operation, checked: Any) -> Any:
    done = _done_before(asked, found, checked) if asked.again else None
    return found.do(asked, checked) if done is None else done.result


class _Changes:
    """The changes that one engine was asked for, by their tokens: those under way, and the last ones that were done."""

    def __init__(self) -> None:
        self._under_way: dict[str, Future[Any]] = {}
        self._done: dict[str, tuple[int, Future[Any]]] = {}  # and when; the oldest first
        self._lock = threading.Lock()

    def do(self, token: str, now_us: int, change: Callable[[], Any]) -> Future[Any]:
        """Do a change, unless one with this token is known. What failed may be asked for again."""
        with self._lock:
            self._forget_old(now_us)
            known = self._under_way.get(token) or self._done.get(token, (0, None))[1]
            if known is not None:
                return known
            made: Future[Any] = Future()
            made.set_running_or_notify_cancel()  # it cannot be canceled: who asked may go, and another may ask again
            self._under_way[token] = made
        try:
            result = change()
        except Exception as exc:
            self._over(token)
            made.set_exception(exc)
        except BaseException:  # is this thread's; who else waits for it is told what to do
            self._over(token)
            made.set_exception(ControlError("this was interrupted, and may be done or not: ask again"))
            raise
        else:
            self._over(token, (now_us, made))
            made.set_result(result)
        return made

    def _over(self, token: str, done: tuple[int, Future[Any]] | None = None) -> None:
        with self._lock:
            del self._under_way[token]
            if done is not None:
                self._done[token] = done

    def _forget_old(self, now_us: int) -> None:
        since = now_us - round(_REPEATED_WITHIN_S * 1e6)
        while self._done:
            token, (at, _) = next(iter(self._done.items()))
            if at > since and len(self._done) < _MOST_CHANGES:
                return
            del self._done[token]


_changes: weakref.WeakKeyDictionary[Engine, _Changes] = weakref.WeakKeyDictionary()
_changes_lock = threading.Lock()


def _changes_of(engine: Engine) -> _Changes:
    with _changes_lock:
        found = _changes.get(engine)
        if found is None:
            found = _changes[engine] = _Changes()
        return found


def is_change(name: str) -> bool:
    return name in OPERATIONS and OPERATIONS[name].changes


class _Done(NamedTuple):
    result: Any


def _done_before(asked: Asked, found: Operation, checked: Any) -> _Done | None:
    assert asked.token is not None
    engine = asked.manager._engine
    since = engine.clock.time_us() - round(_REPEATED_WITHIN_S * 1e6)
    row = queries.requested(engine.journal, asked.token, since)
    if row is None:
        return None
    if found.retold is not None:
        return _Done(found.retold(asked, checked))
    key, fact, body = row
    if fact == Fact.CREATED:
        created = queries.created(engine.journal, key)
        return _Done({"run_id": loads(body)["id"], "name": created[6] if created else "", "key": key})
    return _Done(loads(body)["event_id"] if fact == Fact.EVENT_CREATED else None)


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
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
