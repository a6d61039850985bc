"""WorkflowManager: what users hold in their hands. Thin: it checks arguments and asks the engine."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, overload

from wfkernel.core.history import History
from wfkernel.engine import mail, planning, queries
from wfkernel.engine.engine import DEFAULT_POOL, Engine
from wfkernel.engine.hooks import run_hook_again
from wfkernel.engine.outcomes import run_error
from wfkernel.engine.registry import DEFAULT_PARALLELISM, close_engine, open_engine
from wfkernel.engine.views import Records
from wfkernel.engine.what_for import run_and_what_for
from wfkernel.errors import (
    InvalidArguments,
    OptionError,
    RunActive,
    RunNotFound,
    ValueNotStorable,
)
from wfkernel.journal import Cursor, Journal
from wfkernel.model.events import Event
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.jsontext import loads
from wfkernel.model.place import DEFAULT, default_journal
from wfkernel.model.policy import Retry, RetryPolicy, check_retry, seconds
from wfkernel.model.records import ErrorInfo, Failure, Page, Plan, RunRecord, RunStatus, StepRecord
from wfkernel.model.starting import StartOptions
from wfkernel.model.values import Encoded
from wfkernel.pool import Pool
from wfkernel.run import Run, id_of, web_module
from wfkernel.waits import Ask, has_kernel, how_to_wait
from wfkernel.workflow import Workflow

R = TypeVar("R")
_STATUSES = ("in_progress", "completed", "failed", "canceled")


class WorkflowManager:
    """Opens a journal, runs its workflows in the background, and resumes those that were not finished.

    Opening the same path again in this process gives the same live engine. Every method is synchronous and may be called
    from any thread, also from inside a running event loop, except from a workflow's body.

    Args:
        path: the journal's file, created with its parents; ":memory:" is a new one each time. Where the environment variable
            WFKERNEL_JOURNAL is set, it takes the place of the default.
        max_parallelism: how many steps run at once, 25 unless said otherwise; 0 pauses. Sleeping and waiting steps do not count.
            For a journal that is open here already, what is not said stays as it is.
        retry: how actions are retried that ask for it.
        retry_actions_by_default: retry every action that does not say otherwise.
        clock: another clock, such as ``wfkernel.testing.VirtualClock()``.
        replay: "on_recovery" keeps a run's coroutine alive between steps; "always" drops it after every step and replays
            the journal, which brings nondeterminism to light early.
        allow_pickle: store values of unknown types by pickle, and read them. Only for journals of your own: reading a
            pickle runs code that its writer chose.
        auto_resume: whether the runs that the journal holds unfinished go on by themselves, each as soon as its workflow is
            defined (True, unless said otherwise), or when you ask for it: ``wf.resume()``. New runs begin at once either way. For
            a journal that is open here already, this counts for the runs that have not gone on yet; None leaves it as it is.
        connect: "auto" does not raise JournalLocked where another process holds the journal, but asks that process for everything;
            and takes the journal over when it goes. Runs go on in the process that holds the journal.

    Raises:
        JournalLocked: another process holds the journal.
        JournalTooNew: a newer wfkernel wrote it.
        JournalError: it cannot be opened; nothing was changed.

    >>> wf = WorkflowManager(":memory:")
    >>> @wf.workflow
    ... async def double(step, n: int) -> int:
    ...     return await step.run_action(lambda: n * 2)
    >>> double.start(21).result()
    42
    >>> wf.close()
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = DEFAULT,
        *,
        max_parallelism: int | None = None,
        retry: Retry = RetryPolicy(),  # noqa: B008 - immutable
        retry_actions_by_default: bool = False,
        clock: Any = None,
        replay: str = "on_recovery",
        allow_pickle: bool = False,
        auto_resume: bool | None = None,
        connect: str = "never",
    ):
        if connect not in ("never", "auto"):
            raise OptionError(f'connect must be "never" or "auto", not {connect!r}')
        if replay not in ("on_recovery", "always"):
            raise OptionError(f'replay must be "on_recovery" or "always", not {replay!r}')
        if max_parallelism is not None:
            _check_parallelism(max_parallelism)
        self.retry = check_retry(retry)
        self.retry_actions_by_default = retry_actions_by_default
        if clock is not None and (isinstance(clock, type) or not callable(getattr(clock, "time_us", None))):
            raise OptionError(f"clock must be a clock such as VirtualClock(), not {clock!r}")
        if auto_resume is not None and not isinstance(auto_resume, bool):
            raise OptionError(f"auto_resume must be True or False, not {auto_resume!r}")
        settings = {
            "clock": clock,
            "replay_always": replay == "always",
            "allow_pickle": allow_pickle,
            "auto_resume": auto_resume,
        }
        self._open(default_journal() if path == DEFAULT else path, max_parallelism, settings)
        if has_kernel():
            importlib.import_module("wfkernel.notebook.output").install()  # the one step up: before a step prints

    def __new__(cls, path: Any = "", *args: Any, connect: str = "never", **kwargs: Any) -> Any:
        if connect == "auto" and cls is WorkflowManager and path != ":memory:":
            cls = importlib.import_module("wfkernel.control.connected").ConnectedManager  # up, as for plot
        return object.__new__(cls)

    def _open(self, path: Any, max_parallelism: int | None, settings: dict[str, Any]) -> None:
        self._engine = open_engine(path, max_parallelism, settings)
        self._records = Records(self._engine)
        self._listen(self._engine)

    # -- definitions --

    @overload
    def workflow(self, fn: Callable[..., Any], /) -> Workflow[Any]: ...
    @overload
    def workflow(
        self,
        fn: None = None,
        /,
        *,
        name: str | None = None,
        retry: Retry = None,
        retry_actions_by_default: bool | None = None,
        returns: Any = None,
    ) -> Callable[[Callable[..., Any]], Workflow[Any]]: ...
    def workflow(self, fn: Any = None, /, **options: Any) -> Any:
        """Declare ``async def fn(step, ...)`` a workflow; its unfinished runs resume. A name defined again is replaced.

        Args:
            name: what the journal calls its runs; ``fn.__name__`` otherwise.
            retry: the retry policy of its actions.
            retry_actions_by_default: retry every action of it that does not say otherwise.
            returns: a type that the result is validated against.

        Raises:
            DefinitionError: it is not an ``async def`` that takes the step first.
        """
        unknown = options.keys() - {"name", "retry", "retry_actions_by_default", "returns"}
        if unknown:
            raise OptionError(
                f"wf.workflow does not know {sorted(unknown)}; it takes name, retry, retry_actions_by_default, returns"
            )

        def define(function: Any) -> Workflow[Any]:
            made: Workflow[Any] = Workflow(self, function, **options)
            self._define(made)
            return made

        return define if fn is None else define(fn)

    def _define(self, workflow: Workflow[Any]) -> None:
        self._engine.call(self._engine.recovery.define, workflow)

    @property
    def workflows(self) -> Mapping[str, Workflow[Any]]:
        """The workflows that are defined in this process, by name, as they are now; read-only."""
        return MappingProxyType(dict(self._engine.workflows))

    # -- runs --

    def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        """Begin a run of a workflow (or of the one with this name); it is in the journal when this returns.

        Raises:
            InvalidArguments: they do not fit the signature; nothing was journaled.
            DefinitionError: there is no such workflow.
        """
        found = self._engine.recovery.resolve_workflow(workflow)
        values = found.bind(args, kwargs)
        encoded = self._encode(values, f"an argument of workflow {found.name!r}")
        return self._begin(found, encoded, found.start_options())

    def _begin(self, workflow: Any, encoded: Encoded, options: StartOptions) -> Run:
        """Begin a run of a workflow, or of one that is known by its name only, with arguments that were checked."""
        engine = self._engine
        key, run_id = engine.call(engine.births.start, workflow, encoded, options, copy_context())
        return Run(self, run_id, workflow.name, key)

    def start_named(self, name: str, args: dict[str, Any], *, id: str | None = None) -> Run:
        """Begin a run of the workflow with this name, which need not be defined in this process if another one holds the journal.

        Args:
            name: the workflow's.
            args: its arguments, by name.
            id: the run's public id; see ``Workflow.options``.
        """
        found = self._engine.recovery.resolve_workflow(name)
        return self.start(found if id is None else found.options(id=id), **args)

    @classmethod
    def _of(cls, engine: Engine) -> WorkflowManager:
        """Another handle on an engine that is open; closing it closes the engine."""
        found = object.__new__(WorkflowManager)
        found.retry, found.retry_actions_by_default = RetryPolicy(), False
        found._engine, found._records = engine, Records(engine)
        return found

    def get(self, run_id: str) -> Run:
        """The run with this id, or RunNotFound."""
        key = self._key(run_id)
        live = self._engine.runs.get(key)
        if live is not None:
            return Run(self, run_id, live.name, key)
        row = queries.created(self._engine.journal, key)
        if row is None:
            raise RunNotFound(run_id)
        return Run(self, run_id, row[6], key)

    def status(self, run: Run | str) -> RunStatus:
        """Where the run stands now."""
        key = self._key(run)
        live = self._engine.call(self._live_status, key)
        return live if live is not None else self._records.ended_status(self._history(key, run))

    def _live_status(self, key: int) -> RunStatus | None:
        run = self._engine.runs.get(key)
        return None if run is None else self._records.live_status(run)

    def result(self, run: Run | str, timeout: float | None = None) -> Any:
        """Wait for the end of the run and return its result. Waiting may be interrupted; the run goes on.

        Args:
            timeout: real seconds to wait, or a timedelta.

        Raises:
            RunFailed, RunCanceled: it ended so.
            TimeoutError: it has not ended in time.
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        key = self._key(run)
        waiter = self._engine.call(self._waiting, key)
        if waiter is None:
            return self._outcome(key, id_of(run), queries.end_of(self._live_journal(), key))
        over = self._engine.blocking()
        try:
            end = how_to_wait().wait(waiter.future, limit, self._what_for(key))
        except TimeoutError:
            if not waiter.future.done():
                late = TimeoutError(f"run {id_of(run)!r} has not ended within {limit:g} s; it goes on")
                raise how_to_wait().told(late) from None
            raise
        finally:
            self._leave(waiter)
            if over is not None:
                over()
        return self._outcome(key, id_of(run), end)

    async def _result_in_loop(self, run: Run) -> Any:
        """``result`` for who awaits."""
        waiter = self._engine.call(self._waiting, run._key)
        if waiter is not None:
            try:
                end = await how_to_wait().wait_async(waiter.future, self._what_for(run._key))
            finally:
                self._leave(waiter)
        else:
            end = queries.end_of(self._live_journal(), run._key)
        return self._outcome(run._key, run.id, end)

    def _waiting(self, key: int) -> _Boxed | None:
        future = self._engine.waiter(key)
        return None if future is None else _Boxed(future)

    def _what_for(self, key: int) -> Ask:
        return partial(self._engine.ask, run_and_what_for, self._engine, key)

    def _leave(self, waiter: _Boxed) -> None:
        """Nobody waits any more. Canceled on the engine's thread, which may be about to set it."""
        if not waiter.future.done():
            self._engine.post(waiter.future.cancel)

    def _outcome(self, key: int, run_id: str, end: tuple[int, str] | None) -> Any:
        """The result of a run that ended, or the exception that says how it ended."""
        if end is None:
            raise RunNotFound(run_id)
        fact, body = end[0], loads(end[1])
        if fact == Fact.COMPLETED:
            return self._engine.outcomes.value(body["result"])
        info = ErrorInfo(**body["error"]) if "error" in body else None
        raise how_to_wait().told(run_error(run_id, RUN_STATUS[Fact(fact)], info, self._engine.ends.error_of(key)))

    def cancel(self, run: Run | str, *, grace: float = 30, _request: str | None = None) -> None:
        """Cancel a run and its children. Its body gets one CancelledError and may clean up for ``grace`` seconds.

        Raises:
            RunNotActive: it has ended, or is being canceled.
        """
        limit = seconds(grace, "grace")
        key = self._key(run)
        self._engine.call(self._engine.changes.cancel, key, id_of(run), limit, _request)

    def resume(self, run: Run | str | None = None) -> None:
        """Let a run go on that waits for this, because its journal was opened with ``auto_resume=False``; None: all of them.

        Its children go on with it. If its workflow is not defined yet, it goes on as soon as it is. A run that goes on already
        is left alone.

        Raises:
            RunNotActive: it has ended; ``restart`` is what goes on with such a run.
        """
        if run is None:
            self._engine.call(self._engine.recovery.resume_all)
            return
        key = self._key(run)
        self._engine.call(self._engine.recovery.resume_one, key, id_of(run))

    def restart(self, run: Run | str, *, from_step: Any = None, _request: str | None = None) -> None:
        """Go on with an ended run from its journal.

        Args:
            from_step: None runs again the failed and canceled steps that nothing followed; a number drops that step and
                later ones; a name or function means its last occurrence; "changed" the first step whose function or
                arguments changed.

        Raises:
            RunActive: it has not ended.
            StepNotFound: there is no such step; the run is untouched.
        """
        key = self._key(run)
        history = self._history(key, run)
        if history.end is None:
            raise RunActive(history.run_id)
        drop: list[int] = []
        if from_step is not None or history.status != "completed":
            drop, _ = planning.steps_to_drop(self._engine, history, from_step)
        self._engine.call(self._engine.changes.restart, key, history, drop, from_step is not None, _request)

    def fork(
        self, run: Run | str, *, from_step: Any = None, args: dict[str, Any] | None = None, _request: str | None = None
    ) -> Run:
        """A new run that has the steps of this one before ``from_step`` (None: all); this one is untouched.

        Args:
            args: parameters to change.

        Raises:
            InvalidArguments: they do not fit the signature, or a step that would be taken over was asked for with other ones.
        """
        key = self._key(run)
        live = self._live_names(key)
        history = self._history(key, run)
        found = self._engine.recovery.resolve_workflow(history.name)
        values = self._engine.outcomes.value(history.header["args"])
        if args is not None and not isinstance(args, dict):
            raise InvalidArguments(f"args must be a dict of the parameters to change, not {args!r}")
        positional, keyword = found.call_arguments({**values, **(args or {})})
        bound = found.bind(tuple(positional), keyword)
        encoded = self._encode(bound, f"an argument of workflow {found.name!r}")
        dropped = set(history.to_run_again() if history.status in ("failed", "canceled") else ())
        if from_step is not None:
            dropped |= set(planning.steps_to_drop(self._engine, history, from_step, live)[0])
        copy = planning.Copy(self._engine, key, history, dropped)
        if args:
            copy.check(loads(encoded.text))
        new_key, run_id = self._engine.call(
            self._engine.births.fork, found, encoded, StartOptions(request=_request), copy_context(), copy
        )
        return Run(self, run_id, found.name, new_key)

    def cleanup(self, run: Run | str, *, force: bool = False) -> bool:
        """Delete an ended run: rows, events, children, values that nothing else refers to.

        Returns:
            Whether it is gone now: False for an unknown run, and for one in progress unless ``force``.
        """
        try:
            key = self._key(run)
        except RunNotFound:
            return False
        if queries.created(self._live_journal(), key) is None:
            return False  # the handle of a run that was cleaned up before
        keys = self._family(key)
        answer = self._engine.call(self._remove, keys, force)
        return bool(answer)

    def _remove(self, keys: list[int], force: bool) -> Any:
        answer = self._engine.changes.remove(keys, force)
        if answer is None:
            return False
        done: Future[bool] = Future()
        answer.add_done_callback(lambda f: done.set_exception(f.exception()) if f.exception() else done.set_result(True))
        return done

    def _family(self, key: int) -> list[int]:
        """The run and its children, of all generations, and theirs."""
        family, look = [key], [key]
        while look:
            for row in queries.all_steps(self._engine.journal, look.pop()):
                child = loads(row[7]).get("child")
                child_key = self._engine.key_of(child) if child is not None else None
                if child_key is not None and child_key not in family and self._is_child(child_key, family):
                    family.append(child_key)
                    look.append(child_key)
        return family

    def _is_child(self, key: int, family: Any) -> bool:
        """Whether one of these runs began it: a fork refers to children of the run that it was made from."""
        row = queries.created(self._engine.journal, key)
        parent = loads(row[7]).get("parent") if row is not None else None
        return parent is not None and parent[0] in family

    # -- events --

    def send_event(
        self,
        event: Event[Any] | str,
        value: Any = None,
        *,
        run: Run | str | None = None,
        error: str | None = None,
        _request: str | None = None,
    ) -> None:
        """Send an event to a run, by name; or, without ``run``, by the id that ``create_event`` gave.

        Args:
            event: an Event, its name, or an event id.
            value: a value of the event's type.
            error: makes the await raise EventError with this text instead.

        Raises:
            InvalidEvent: the value does not fit; nothing was stored.
            EventNotFound, EventAlreadySent, EventAlreadyConsumed: about an event id.
            RunNotActive: the run has ended.
        """
        target, value = self._checked_event(event, value, run, error)
        typed = event if isinstance(event, Event) else None
        if error is None:
            self._encode(value, f"the value of event {target!r}")  # here, on the caller's thread: it may be large
        run_id = None if run is None else id_of(run)
        self._engine.call(mail.send, self._engine, target, run_id, value, typed, error, _request)

    @staticmethod
    def _checked_name(name: Any) -> str:
        """The name of an event."""
        label = name.name if isinstance(name, Event) else name
        if not isinstance(label, str) or not label:
            raise InvalidArguments(f"an event's name must be a non-empty string, not {name!r}")
        return label

    @staticmethod
    def _checked_event(event: Any, value: Any, run: Any, error: Any) -> tuple[str, Any]:
        """The name or id of an event, and its value, as its type reads it."""
        target = event.name if isinstance(event, Event) else event
        if not isinstance(target, str) or not target:
            raise InvalidArguments(f"an event is an Event, its name or its id, not {event!r}")
        if error is not None and not isinstance(error, str):
            raise InvalidArguments(f"error must be a text, not {error!r}")
        if error is not None and value is not None:
            raise InvalidArguments(
                f"send {target!r} a value or an error, not both: the await would raise the error, and drop {value!r}"
            )
        if isinstance(event, Event):
            if run is None:
                raise InvalidArguments(f"say which run {event!r} is for: wf.send_event(..., run=...)")
            if error is None:
                value = event.validate(value)
        return target, value

    def create_event(self, name: str | Event[Any], *, run: Run | str, _request: str | None = None) -> str:
        """Give an event of a run an id, by which it can be sent without naming the run."""
        label = self._checked_name(name)
        return self._engine.call(mail.create_event, self._engine, id_of(run), label, _request)

    # -- the web --

    def serve(self, *, host: str = "127.0.0.1", port: int = 8000, token: str | None = None, **options: Any) -> Any:
        """Serve a web page, a JSON API and approval links of this journal until ``close``: a ``Serving`` with ``url`` and
        ``login_url``, which lets one browser in. Needs ``pip install wfkernel[web]``.

        Args:
            host: another one than the loopback's lets other machines in, and warns.
            port: 0 for any that is free.
            token: of the API, 16 characters or more; made anew where None.
            options: ``public_url=`` by which others reach it, ``tls=(certificate, key)``, ``limits=``; see ``wfkernel.web.serve``.

        Raises:
            ControlError: it cannot listen there.
        """
        return web_module("running").serve_manager(self, host=host, port=port, token=token, **options)

    def revoke_approval(self, url_or_id: str) -> None:
        """Make a link of ``run.approval_url`` count no more, at once and for good; also one that was never opened."""
        web_module("approvals").revoke_approval(self, url_or_id)

    # -- looking --

    def list(
        self, *, order: str = "desc", limit: int = 100, cursor: str | None = None, status: str | None = None
    ) -> Page[RunRecord]:
        """The runs of this journal, newest first, a page at a time."""
        return self._list(None, order, limit, cursor, status)

    def list_by_name(
        self,
        name: str | Workflow[Any],
        *,
        order: str = "desc",
        limit: int = 100,
        cursor: str | None = None,
        status: str | None = None,
    ) -> Page[RunRecord]:
        """The runs of one workflow."""
        return self._list(getattr(name, "name", name), order, limit, cursor, status)

    def _list(self, name: Any, order: str, limit: int, cursor: str | None, status: str | None) -> Page[RunRecord]:
        _check_page(order, limit, status)
        journal = self._live_journal()
        keys = queries.page_of_runs(
            journal, name=name, status=status, descending=order == "desc", after=_after(cursor), limit=limit + 1
        )
        going = {k: run for k in keys[:limit] if (run := self._engine.runs.get(k)) is not None and run.begun and not run.ending}
        facts = queries.run_facts(journal, [k for k in keys[:limit] if k not in going])  # the engine knows the rest, for less
        items = [
            self._records.going(going[k]) if k in going else self._records.run(facts[k])
            for k in keys[:limit]
            if k in going or facts[k].created is not None
        ]
        more = len(keys) > limit
        return Page(items=items, cursor=str(keys[limit - 1]) if more else None, is_done=not more)

    def record(self, run: Run | str) -> RunRecord:
        """The record of one run, as ``list`` gives it."""
        key = self._key(run)
        return self._records.run(self._history(key, run))

    def list_steps(self, run: Run | str, *, order: str = "asc", limit: int = 100, cursor: str | None = None) -> Page[StepRecord]:
        """The steps of a run's current generation, in order, a page at a time."""
        _check_page(order, limit)
        records = self.steps(run)
        if order == "desc":
            records.reverse()
        after = _after(cursor)
        if after is not None:
            records = [r for r in records if (r.step_number > after if order == "asc" else r.step_number < after)]
        more = len(records) > limit
        items = records[:limit]
        return Page(items=items, cursor=str(items[-1].step_number) if more else None, is_done=not more)

    def steps(self, run: Run | str) -> list[StepRecord]:  # type: ignore[valid-type] - `list` is the method above
        """All steps of a run's current generation, in order."""
        key = self._key(run)
        live = self._engine.call(self._live_steps, key)
        return self._records.steps(self._history(key, run), live)

    def _live_steps(self, key: int) -> Any:
        run = self._engine.runs.get(key)
        return [] if run is None else [self._records.live_step(s) for s in run.steps.values()]

    def _live_names(self, key: int) -> dict[int, str]:
        """The names of the steps that wait or run now: their first rows may not be in the journal yet. Read the journal after."""
        return self._engine.call(self._names_now, key)

    def _names_now(self, key: int) -> dict[int, str]:
        run = self._engine.runs.get(key)
        return {} if run is None else {s.number: s.name for s in run.steps.values()}

    def plan(self, run: Run | str, *, from_step: Any = "changed") -> Plan:
        """Which steps a restart would reuse and which it would run again, and why; nothing is done."""
        key = self._key(run)
        live = self._live_names(key)
        return planning.plan(self._engine, self._history(key, run), from_step, live)

    def verify(self, run: Run | str) -> None:
        """Replay a run without running or writing anything; NondeterminismError if it does not replay."""
        planning.verify(self._engine, self._history(self._key(run), run))

    def list_failures(self) -> list[Failure]:  # type: ignore[valid-type]
        """The runs whose ``on_complete`` raised and has not been run again."""
        journal = self._live_journal()
        facts = queries.run_facts(journal, queries.hook_failures(journal))
        return [self._records.failure(h) for h in facts.values() if h.hook_failure is not None]

    def retry_on_complete(self, run: Run | str) -> None:
        """Run a failed ``on_complete`` again. Raises what it raises; then it stays listed."""
        key = self._key(run)
        history = self._history(key, run)
        if history.hook_failure is None:
            raise OptionError(f"on_complete of run {history.run_id!r} has not failed; wf.list_failures() shows those that have")
        run_hook_again(self._engine, key, history.run_id, history.name, history.header, history.end)

    # -- the rest --

    @property
    def db(self) -> Cursor:
        """A new DuckDB cursor on the journal's database, for your own SQL; any thread.

        Your tables live in schema ``main``; ``wf.runs``, ``wf.steps`` and ``wf.events`` are there to SELECT from.
        CHECKPOINT and writes to schema ``wf`` are refused.
        """
        return self._live_journal().user_cursor()

    @property
    def codec(self) -> Any:
        return self._engine.codec

    @property
    def path(self) -> Path | str:
        """The journal's file, absolute, or ":memory:"."""
        return self._engine.journal.path

    def pool(self, name: str, *, max_parallelism: int | None = None) -> Pool:
        """A named pool of slots and a durable queue: made, or changed, or only looked up if ``max_parallelism`` is not given."""
        if not isinstance(name, str) or not name:
            raise OptionError(f"a pool's name must be a non-empty string, not {name!r}")
        if max_parallelism is None:
            self._engine.call(self._engine.pool, name)
        else:
            _check_parallelism(max_parallelism)
            self._engine.call(self._engine.set_pool, name, max_parallelism)
        return Pool(self, name)

    def set_max_parallelism(self, limit: int) -> None:
        """How many steps of the manager's own pool run at once; 0 pauses them."""
        _check_parallelism(limit)
        self._engine.call(self._engine.set_pool, DEFAULT_POOL, limit)

    def close(self) -> None:
        """Stop, with everything acknowledged on disk. Unfinished runs stay in progress and resume at the next open."""
        close_engine(self._engine)

    def __enter__(self) -> WorkflowManager:
        """
        Raises:
            EngineStopped: it was closed.
        """
        self._live_journal()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._engine.closing else f"{len(self._engine.runs)} runs in progress"
        return f"<WorkflowManager {str(self.path)!r}, {state}>"

    @property
    def is_closed(self) -> bool:
        return self._engine.closing

    @property
    def holder(self) -> int | None:
        """The process that holds the journal, by its id; None if it is this one."""
        return None

    # -- ours --

    @staticmethod
    def _listen(engine: Engine) -> None:
        """Let other processes ask this one about its journal."""
        if engine.control is None and not engine.journal.is_memory:
            engine.be_controlled(importlib.import_module("wfkernel.control.server").serve)  # up, as for plot

    def _is_same_journal(self, other: WorkflowManager) -> bool:
        return self.path == other.path and (self.path != ":memory:" or self._engine is other._engine)

    def _pool_limit(self, name: str) -> int:
        return self._engine.call(self._engine.pool, name).limit

    def _live_journal(self) -> Journal:
        self._engine.check_caller()
        return self._engine.journal

    def _key(self, run: Run | str) -> int:
        if isinstance(run, Run):
            return run._key
        if not isinstance(run, str):
            raise InvalidArguments(f"a run is a Run or a run id, not {run!r}")
        journal = self._live_journal()
        key = self._engine.ids.get(run) or queries.key_of(journal, run)
        if key is None:
            raise RunNotFound(run)
        return key

    def _history(self, key: int, run: Run | str) -> History:
        history = queries.histories(self._live_journal(), [key])[key]
        if history.created is None:
            raise RunNotFound(id_of(run))
        return history

    def _encode(self, value: Any, what: str) -> Encoded:
        try:
            return self.codec.encode(value)
        except ValueNotStorable as exc:
            raise exc.within(what) from None


class _Boxed(NamedTuple):
    """Carries a Future out of ``Engine.call``, which would wait for a bare one."""

    future: Future[tuple[int, str]]


# -- checks --


def _check_parallelism(limit: Any) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise OptionError(f"max_parallelism must be a whole number from 0 on, not {limit!r}")


def _check_page(order: str, limit: int, status: str | None = None) -> None:
    if order not in ("asc", "desc"):
        raise OptionError(f'order must be "asc" or "desc", not {order!r}')
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise OptionError(f"limit must be a whole number from 1 on, not {limit!r}")
    if status is not None and status not in _STATUSES:
        raise OptionError(f"status must be one of {', '.join(_STATUSES)}, not {status!r}")


def _after(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return int(cursor)
    except (TypeError, ValueError):
        raise OptionError(f"cursor must be one that a Page gave, not {cursor!r}") from None


def _shown_signature() -> inspect.Signature:
    """What ``help`` shows: that of ``__init__``, and the default that a new engine has."""
    _, *shown = inspect.signature(WorkflowManager.__init__).parameters.values()
    return inspect.Signature([p.replace(default=DEFAULT_PARALLELISM) if p.name == "max_parallelism" else p for p in shown])


WorkflowManager.__signature__ = _shown_signature()  # type: ignore[attr-defined]
