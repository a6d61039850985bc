"""A WorkflowManager for a journal that another process may hold: it uses the file when it is free, and the holder's socket when not.

Which of the two may change at any moment. A request that was under way when the holder went is sent again, to whoever holds the
journal then, with the token of the first time: what was done is found in the journal, and not done again.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from wfkernel.control.address import NobodyListens, NotOurs
from wfkernel.control.client import SILENCE_S, ConnectionLost, Silent, new_token, told_there
from wfkernel.control.cursor import RemoteCursor
from wfkernel.control.mux import Mux
from wfkernel.control.operations import Asked, Reply, perform
from wfkernel.control.wire import Message
from wfkernel.engine.engine import Engine
from wfkernel.engine.outcomes import run_error
from wfkernel.engine.registry import close_engine, open_engine, real_path
from wfkernel.engine.replay import Outcomes
from wfkernel.engine.views import Records
from wfkernel.errors import (
    ControlError,
    EngineStopped,
    InvalidArguments,
    JournalLocked,
    OptionError,
    WfkernelError,
)
from wfkernel.manager import WorkflowManager, _check_page, _check_parallelism
from wfkernel.model.events import Event
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.functions import name_of
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.policy import seconds
from wfkernel.model.records import ErrorInfo, Failure, Page, Plan, PlanItem, RunRecord, RunStatus, StepRecord
from wfkernel.model.starting import StartOptions
from wfkernel.model.values import Codec, Encoded
from wfkernel.pool import Pool
from wfkernel.run import Run, id_of
from wfkernel.waits import how_to_wait
from wfkernel.workflow import Workflow

logger = logging.getLogger("wfkernel.control")

F = TypeVar("F", bound=Callable[..., Any])
_PATIENCE_S = 15.0  # for a holder that is being opened or closed just now
_LOOK_AGAIN_S = 0.05
_managers: weakref.WeakSet[ConnectedManager] = weakref.WeakSet()


def asks_the_holder(there: F) -> F:
    """Of a method: what to do while another process holds the journal. While this one does, it is the method of WorkflowManager."""
    here = getattr(WorkflowManager, there.__name__)

    @wraps(here)
    def method(self: ConnectedManager, /, *args: Any, **kwargs: Any) -> Any:
        how = here if isinstance(self._linked(), Engine) else there
        return how(self, *args, **kwargs)

    return cast("F", method)


def waits_for_the_holder(there: F) -> F:
    """The same, of a method that waits: it does not look for another holder itself, which would take it beyond its time."""
    here = getattr(WorkflowManager, there.__name__)

    @wraps(here)
    def method(self: ConnectedManager, /, *args: Any, **kwargs: Any) -> Any:
        self._check_open()
        how = here if self.is_holder else there
        return how(self, *args, **kwargs)

    return cast("F", method)


class ConnectedManager(WorkflowManager):
    """What ``WorkflowManager(path, connect="auto")`` gives. See ``WorkflowManager``; there is no other difference to a user, but:

    - a run goes on in the process that holds the journal: a workflow must be defined there, or the run waits until it is;
    - ``db`` can only read while another process holds the journal.

    Attributes:
        silence_s: seconds after which a holder that does not answer is asked whether it is there; after as many more, requests end
            with an error. Waiting for the end of a run goes on, with a warning.
    """

    silence_s = SILENCE_S

    def _open(self, path: Any, max_parallelism: int | None, settings: dict[str, Any]) -> None:
        self._path = Path(real_path(path))
        self._open_engine = partial(open_engine, path, max_parallelism, settings)
        self._codec = Codec(allow_pickle=settings["allow_pickle"])
        self._outcomes = Outcomes(self._codec, self._load)
        self._definitions: dict[str, Workflow[Any]] = {}
        self._link: Engine | Mux | None = None
        self._own: Engine | None = None  # it may be about to become the link
        self._is_closed = False
        self.before_close: list[Callable[[], None]] = []
        self._changing = threading.RLock()  # of _link, while another one is looked for
        self._asking = threading.Lock()  # of what follows
        self._waits: list[_Wait] = []  # for the ends of runs, to be asked anew
        self._is_going_on = False
        self._linked()
        _managers.add(self)

    # -- who holds the journal --

    @property
    def is_holder(self) -> bool:
        """Whether this process holds the journal now."""
        return isinstance(self._link, Engine)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def holder(self) -> int | None:
        link = self._linked()
        return None if isinstance(link, Engine) else link.holder.get("pid")

    @property
    def _engine(self) -> Engine:  # type: ignore[override] - an attribute of the base
        link = self._linked()
        if isinstance(link, Engine):
            return link
        pid = link.holder.get("pid")
        raise ControlError(f"process {pid} holds the journal {str(self._path)!r}, and this can only be done there")

    def _linked(self) -> Engine | Mux:
        """The engine, or a connection to the process that has it; found anew if the last one is gone."""
        link = self._link
        self._check_open()
        if link is not None and not (isinstance(link, Mux) and link.is_lost):
            return link
        if self._own is not None and self._own.is_current_thread():
            return self._own  # a body, which is told that it cannot call us: who holds `_changing` waits for it
        with self._changing:
            if self._link is not link:
                return self._linked()
            self._check_open()  # whoever closes us takes what is found here, and has not done so yet
            self._link = self._find()
            return self._link

    def _check_open(self) -> None:
        if self._is_closed or (isinstance(self._link, Engine) and self._link.closing):
            raise EngineStopped("the manager is closed; open a new WorkflowManager on the same path to go on")

    def _find(self) -> Engine | Mux:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._hold()
            except JournalLocked as error:
                why: WfkernelError = error
            try:
                return Mux(self._path, self._go_on, silence_s=self.silence_s)
            except (Silent, NotOurs) as error:
                why = error
            except (NobodyListens, ConnectionLost):
                pass  # it is about to listen, or to let go of the file
            if time.monotonic() > until:
                raise why
            self._check_open()
            time.sleep(_LOOK_AGAIN_S)

    def _hold(self) -> Engine:
        self._own = engine = self._open_engine()
        self._records = Records(engine)
        for workflow in list(self._definitions.values()):  # first, or who asks at once would hear that there are none
            engine.call(engine.recovery.define, workflow)
        self._listen(engine)
        return engine

    def _go_on(self) -> None:
        """The holder went away. Somebody must go on with its runs, and we may be the one who can; others wait for their ends."""
        with self._asking:
            if self._is_closed or self._is_going_on:
                return
            self._is_going_on = True
        threading.Thread(target=self._take_over, name="wfkernel-take-over", daemon=True).start()

    def _take_over(self) -> None:
        while True:
            self._link_in_time()
            with self._asking:
                waits, self._waits = self._waits, []
                link = self._link
                if not waits and (self._is_closed or not (isinstance(link, Mux) and link.is_lost)):
                    self._is_going_on = False
                    return
            for wait in waits:
                self._wait(wait)

    def _link_in_time(self) -> None:
        """Wait until somebody can be asked: us, or the next holder; or until that is hopeless, which whoever asks will hear."""
        while not self._is_closed:
            try:
                self._linked()
                return
            except (JournalLocked, Silent) as error:
                logger.info("waiting for who holds %s: %s", self._path, error)
                time.sleep(_LOOK_AGAIN_S)
            except WfkernelError as error:
                if not self._is_closed:
                    logger.warning("%s cannot be taken over: %s", self._path, error)
                with self._changing:  # somebody else may have found one meanwhile
                    if isinstance(self._link, Mux) and self._link.is_lost:
                        self._link = None
                return

    def _ask(self, op: str, params: dict[str, Any], blobs: dict[str, Any] | None = None) -> Any:
        """The result of an operation, done once, whoever holds the journal."""
        return self._reply(op, params, blobs).body["result"]

    def _reply(
        self,
        op: str,
        params: dict[str, Any],
        blobs: dict[str, Any] | None = None,
        parts: list[Message] | None = None,
        *,
        token: str | None = None,
        again: bool = False,
    ) -> Message:
        """The last reply to a request. Those before it are put into ``parts``. ``token``: of a request that may come again."""
        token = token or new_token()
        while True:
            link = self._linked()
            parts = [] if parts is None else parts
            parts.clear()
            try:
                if isinstance(link, Mux):
                    return _waited(link.submit(op, params, blobs=blobs, token=token, again=again, part=parts.append))
                return _performed(link, op, params, blobs or {}, token, again, parts)
            except (ConnectionLost, EngineStopped):
                if isinstance(link, Engine):
                    raise
                again = True
                link.close()

    def ask(self, op: str, params: dict[str, Any]) -> Any:
        """The result of an operation (see ``wfkernel.control.operations`` and ``.cards``), done once, whoever holds the journal."""
        importlib.import_module("wfkernel.control.cards")  # should we be the holder by now, to whom no client has come yet
        return self._ask(op, params)

    def hear(self, op: str, params: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> Future[Any] | None:
        """Hear the parts in which the holder answers, until the Future is done; None if this process is the holder."""
        link = self._linked()
        if isinstance(link, Engine):
            return None
        return link.submit(op, params, part=lambda said: tell(said.body["part"]))

    def _what_for_there(self, run_id: str) -> Future[tuple[str, str] | None]:
        """What a run waits for, without waiting for the answer."""
        told: Future[tuple[str, str] | None] = Future()
        link = self._link
        if not isinstance(link, Mux) or link.is_lost:
            told.set_result((run_id, "a process that holds its journal"))
            return told

        def take(asked: Future[Message]) -> None:
            failed = asked.cancelled() or asked.exception() is not None
            said = None if failed else asked.result().body["result"]
            told.set_result(None if said is None else (run_id, told_there(said, link.holder)))

        link.submit("what_for", {"run": run_id}).add_done_callback(take)
        return told

    def _load(self, sha: str) -> bytes:
        """A side file."""
        link = self._linked()
        if isinstance(link, Engine):
            return link.journal.files.get(sha)
        return self._reply("file", {"sha": sha}).blobs[sha]

    # -- definitions --

    def _define(self, workflow: Workflow[Any]) -> None:
        link = self._linked()
        self._definitions[workflow.name] = workflow
        if isinstance(link, Engine):
            link.call(link.recovery.define, workflow)

    @property
    def workflows(self) -> Mapping[str, Workflow[Any]]:
        return super().workflows if isinstance(self._linked(), Engine) else MappingProxyType(dict(self._definitions))

    def lacks(self, name: str) -> bool:
        """Whether another process holds the journal, and has no such workflow."""
        return self.holder is not None and all(w["name"] != name for w in self._ask("workflows", {}))

    # -- runs --

    @asks_the_holder
    def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        found = self._definitions.get(workflow, workflow) if isinstance(workflow, str) else workflow
        if isinstance(found, str):
            if args:
                raise InvalidArguments(f"workflow {found!r} is not defined here: give its arguments by name")
            return self._start_there(found, kwargs, StartOptions())
        if not callable(getattr(found, "bind", None)):
            raise InvalidArguments(f"this is no workflow: {workflow!r}; decorate the function with @wf.workflow")
        return self._start_there(found.name, found.bind(args, kwargs), found.start_options(), is_defined=True)

    def start_named(self, name: str, args: dict[str, Any], *, id: str | None = None) -> Run:
        if isinstance(self._linked(), Engine) or name in self._definitions:
            found = self._definitions.get(name, name)
            if isinstance(found, Workflow):
                return self.start(found if id is None else found.options(id=id), **args)
            return super().start_named(name, args, id=id)
        return self._start_there(name, args, StartOptions(id=id))

    def _start_there(self, name: str, args: dict[str, Any], options: StartOptions, *, is_defined: bool = False) -> Run:
        encoded = self._encode(args, f"an argument of workflow {name!r}")
        params = {"workflow": name, "is_defined": is_defined, "args": loads(encoded.text), **_start_params(options)}
        return self._run(self._ask("start", params, {**encoded.blobs, **options.context_blobs}))

    def _run(self, said: dict[str, Any]) -> Run:
        return Run(self, said["run_id"], said["name"], said["key"])

    @asks_the_holder
    def get(self, run_id: str) -> Run:
        if not isinstance(run_id, str):
            raise InvalidArguments(f"a run is a Run or a run id, not {run_id!r}")
        return self._run(self._ask("get", {"run": run_id}))

    @asks_the_holder
    def status(self, run: Run | str) -> RunStatus:
        said = self._ask("status", {"run": id_of(run)})
        running = [self._step(s) for s in said.pop("running")]
        link = self._link
        if said["waiting_for"] is not None and isinstance(link, Mux):
            said["waiting_for"] = told_there(said["waiting_for"], link.holder)
        return RunStatus(**{**said, "running": running, "result": self._preview(said["result"])})

    @waits_for_the_holder
    def result(self, run: Run | str, timeout: float | None = None) -> Any:
        limit = None if timeout is None else seconds(timeout, "timeout")
        ended = self._ended(id_of(run))
        try:
            end = how_to_wait().wait(ended, limit, partial(self._what_for_there, id_of(run)))
        except TimeoutError:
            if not ended.done():
                late = TimeoutError(f"run {id_of(run)!r} has not ended within {limit:g} s; it goes on")
                raise how_to_wait().told(late) from None
            raise
        finally:
            ended.cancel()
        return self._end(id_of(run), end)

    @waits_for_the_holder
    async def _result_in_loop(self, run: Run) -> Any:
        ended = self._ended(run.id)
        try:
            end = await how_to_wait().wait_async(ended, partial(self._what_for_there, run.id))
        finally:
            ended.cancel()
        return self._end(run.id, end)

    def _ended(self, run_id: str) -> Future[tuple[int, str]]:
        """The end of a run, whoever holds the journal then."""
        wait = _Wait(run_id, Future())
        link = self._link
        if isinstance(link, Mux) and link.is_lost:
            self._wait_later(wait)
        else:
            self._wait(wait)
        return wait.ended

    def _wait(self, wait: _Wait) -> None:
        """Ask for the end of a run. Never blocks for long on a thread that reads replies."""
        try:
            link = self._linked()
            if isinstance(link, Mux):
                asked: Future[Any] = link.submit("wait", {"run": wait.run_id})
            else:
                asked = _as_future(perform(Asked(WorkflowManager._of(link)), "wait", {"run": wait.run_id}))
        except ConnectionLost:
            self._wait_later(wait)
        except BaseException as exc:
            _settle(wait.ended, exc)
        else:
            wait.ended.add_done_callback(lambda f: asked.cancel() if f.cancelled() else None)
            asked.add_done_callback(partial(self._told, wait, link))

    def _told(self, wait: _Wait, link: Engine | Mux, asked: Future[Any]) -> None:
        if asked.cancelled():
            return
        error = asked.exception()
        if isinstance(link, Mux) and isinstance(error, (ConnectionLost, Silent, EngineStopped)):
            link.close()
            if isinstance(error, Silent):
                logger.warning("%s Its runs are waited for on and on.", error)
            self._wait_later(wait)
        elif error is not None:
            _settle(wait.ended, error)
        elif wait.ended.set_running_or_notify_cancel():
            said = asked.result() if isinstance(link, Engine) else asked.result().body["result"]
            wait.ended.set_result((said["fact"], dumps(said["body"])))

    def _wait_later(self, wait: _Wait) -> None:
        """Ask again, once somebody is there to be asked."""
        with self._asking:
            if not self._is_closed:
                self._waits.append(wait)
        if self._is_closed:
            self._wait(wait)  # is told so
        else:
            self._go_on()

    def _end(self, run_id: str, end: tuple[int, str]) -> Any:
        fact, body = Fact(end[0]), loads(end[1])
        if fact == Fact.COMPLETED:
            return self._outcomes.value(body["result"])
        info = ErrorInfo(**body["error"]) if "error" in body else None
        raise how_to_wait().told(run_error(run_id, RUN_STATUS[fact], info, None))

    @asks_the_holder
    def cancel(self, run: Run | str, *, grace: float = 30, _request: str | None = None) -> None:
        self._ask("cancel", {"run": id_of(run), "grace": seconds(grace, "grace")})

    @asks_the_holder
    def resume(self, run: Run | str | None = None) -> None:
        self._ask("resume", {"run": None if run is None else id_of(run)})

    @asks_the_holder
    def restart(self, run: Run | str, *, from_step: Any = None, _request: str | None = None) -> None:
        self._ask("restart", {"run": id_of(run), "from_step": _step_word(from_step)})

    @asks_the_holder
    def fork(
        self, run: Run | str, *, from_step: Any = None, args: dict[str, Any] | None = None, _request: str | None = None
    ) -> Run:
        if args is not None and not isinstance(args, dict):
            raise InvalidArguments(f"args must be a dict of the parameters to change, not {args!r}")
        encoded = Encoded("null", {}) if args is None else self._encode(args, "an argument")
        params = {"run": id_of(run), "from_step": _step_word(from_step), "args": loads(encoded.text)}
        return self._run(self._ask("fork", params, encoded.blobs))

    @asks_the_holder
    def cleanup(self, run: Run | str, *, force: bool = False) -> bool:
        return self._ask("cleanup", {"run": id_of(run), "force": bool(force)})

    # -- events --

    @asks_the_holder
    def send_event(
        self,
        event: Event[Any] | str,
        value: Any = None,
        *,
        run: Run | str | None = None,
        error: str | None = None,
        _request: str | None = None,
    ) -> None:
        target, value = self._checked_event(event, value, run, error)
        encoded = Encoded("null", {}) if error is not None else self._encode(value, f"the value of event {target!r}")
        params = {"event": target, "run": None if run is None else id_of(run), "value": loads(encoded.text), "error": error}
        self._ask("send_event", params, encoded.blobs)

    @asks_the_holder
    def create_event(self, name: str | Event[Any], *, run: Run | str, _request: str | None = None) -> str:
        return self._ask("create_event", {"name": self._checked_name(name), "run": id_of(run)})

    # -- looking --

    @asks_the_holder
    def _list(self, name: Any, order: str, limit: int, cursor: str | None, status: str | None) -> Page[RunRecord]:
        _check_page(order, limit, status)
        params = {"name": name, "order": order, "limit": limit, "cursor": cursor, "status": status}
        said = self._ask("list", params)
        return Page(items=[self._record(r) for r in said["items"]], cursor=said["cursor"], is_done=said["is_done"])

    @asks_the_holder
    def record(self, run: Run | str) -> RunRecord:
        return self._record(self._ask("run", {"run": id_of(run)}))

    @asks_the_holder
    def steps(self, run: Run | str) -> list[StepRecord]:  # type: ignore[valid-type] - `list` is a method
        return [self._step(s) for s in self._ask("steps", {"run": id_of(run)})]

    def _record(self, said: dict[str, Any]) -> RunRecord:
        values = {k: self._preview(said[k]) for k in ("args", "context", "result")}
        return RunRecord(**{**said, **values})

    def _step(self, said: dict[str, Any]) -> StepRecord:
        return StepRecord(**{**said, "args": self._preview(said["args"]), "result": self._preview(said["result"])})

    def _preview(self, tree: Any) -> Any:
        return self._codec.preview(dumps(tree), self._load)

    @asks_the_holder
    def plan(self, run: Run | str, *, from_step: Any = "changed") -> Plan:
        said = self._ask("plan", {"run": id_of(run), "from_step": _step_word(from_step)})
        return Plan(PlanItem(**item) for item in said)

    @asks_the_holder
    def verify(self, run: Run | str) -> None:
        self._ask("verify", {"run": id_of(run)})

    @asks_the_holder
    def list_failures(self) -> list[Failure]:  # type: ignore[valid-type]
        return [Failure(**f) for f in self._ask("list_failures", {})]

    @asks_the_holder
    def retry_on_complete(self, run: Run | str) -> None:
        self._ask("retry_on_complete", {"run": id_of(run)})

    # -- the rest --

    @property
    def db(self) -> Any:
        return super().db if isinstance(self._linked(), Engine) else RemoteCursor(self._rows, self.path)

    def _rows(self, query: str, parameters: Any) -> list[Any]:
        encoded = self._encode(parameters, "a parameter of a query")
        parts: list[Message] = []
        self._reply("sql", {"query": query, "params": loads(encoded.text), "form": "arrow"}, encoded.blobs, parts)
        return [part.blobs["arrow"] for part in parts]

    @property
    def codec(self) -> Codec:
        return self._codec

    @property
    def path(self) -> Path | str:
        return self._path

    @asks_the_holder
    def pool(self, name: str, *, max_parallelism: int | None = None) -> Pool:
        if not isinstance(name, str) or not name:
            raise OptionError(f"a pool's name must be a non-empty string, not {name!r}")
        if max_parallelism is not None:
            _check_parallelism(max_parallelism)
        self._ask("pool", {"name": name, "max_parallelism": max_parallelism})
        return Pool(self, name)

    def _pool_limit(self, name: str) -> int:
        return self._ask("pool", {"name": name})

    def set_max_parallelism(self, limit: int) -> None:
        _check_parallelism(limit)
        self._ask("pool", {"max_parallelism": limit})

    def __enter__(self) -> ConnectedManager:
        self._check_open()
        return self

    def close(self) -> None:
        """Let go of the journal, or of the connection: its holder goes on."""
        for tell in self.before_close:
            tell()
        self._is_closed = True
        with self._changing:
            link = self._link
        if isinstance(link, Engine):
            close_engine(link)
        elif link is not None:
            link.close()
        with self._asking:
            waits, self._waits = self._waits, []
        for wait in waits:
            self._wait(wait)  # is told that we are closed

    def _is_same_journal(self, other: WorkflowManager) -> bool:
        return self.path == other.path

    def __repr__(self) -> str:
        link = self._link
        state = "closed"
        if isinstance(link, Mux) and not self._is_closed:
            state = f"held by process {link.holder.get('pid')}"
        elif isinstance(link, Engine) and not link.closing:
            state = f"{len(link.runs)} runs in progress"
        return f"<WorkflowManager {str(self.path)!r}, {state}>"


@dataclass(frozen=True)
class _Wait:
    """For the end of a run: ``(fact, body)``."""

    run_id: str
    ended: Future[tuple[int, str]]


def _waited(asked: Future[Message]) -> Message:
    try:
        return asked.result()
    except BaseException:
        asked.cancel()  # interrupted, say: the answer is for nobody
        raise


def _performed(
    engine: Engine, op: str, params: dict[str, Any], blobs: dict[str, Any], token: str, again: bool, parts: list[Message]
) -> Message:
    """As the server does it, here: the journal came to us while we were about to ask."""

    def tell(part: Any, blobs: dict[str, Any] | None) -> None:
        parts.append(Message({"part": part}, blobs or {}))

    result = perform(Asked(WorkflowManager._of(engine), blobs, token, again, tell), op, params)
    if isinstance(result, Future):
        result = result.result()
    found = result if isinstance(result, Reply) else Reply(result, {})
    return Message({"result": found.result}, found.blobs)


def _as_future(result: Any) -> Future[Any]:
    if isinstance(result, Future):
        return result
    done: Future[Any] = Future()
    done.set_result(result)
    return done


def _settle(future: Future[Any], error: BaseException) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)


def _start_params(options: Any) -> dict[str, Any]:
    params = {"id": options.id, "on_complete": options.on_complete, "run_after": options.run_after, "run_at": options.run_at}
    if options.context_text is not None:
        params |= {"context": loads(options.context_text), "has_context": True}
    return params


def _step_word(from_step: Any) -> int | str | None:
    """A step as it can be told to another process: a function by its name."""
    if from_step is None or (isinstance(from_step, (int, str)) and not isinstance(from_step, bool)):
        return from_step
    return getattr(from_step, "name", None) or name_of(from_step)


def _close_all() -> None:
    """At the interpreter's end: nobody takes a journal over any more."""
    for manager in list(_managers):
        manager.close()


def _forget_in_child() -> None:
    """A fork's child has none of the threads; a connection of its own it may have."""
    for manager in _managers:
        manager._changing, manager._asking = threading.RLock(), threading.Lock()
        manager._waits, manager._is_going_on = [], False
        manager.before_close = []
        if isinstance(manager._link, Mux):
            manager._link.forget()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_in_child)
