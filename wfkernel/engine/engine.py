"""The engine of one journal: its thread and loop, the runs in progress, and what callers may ask of them.

Two sides. Callers' threads use ``call`` and ``post``; everything else here runs on the engine's thread.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from wfkernel.core.history import History
from wfkernel.engine import queries
from wfkernel.engine.attempts import Attempts
from wfkernel.engine.clock import Clock, SystemClock, Timers
from wfkernel.engine.hooks import run_hook
from wfkernel.engine.pools import Pool
from wfkernel.engine.replay import Outcomes
from wfkernel.engine.runs import LiveRun
from wfkernel.engine.steps import LiveStep
from wfkernel.engine.waiting import NotYet
from wfkernel.engine.watch import Watch
from wfkernel.engine.workers import LoopThread
from wfkernel.errors import (
    DefinitionError,
    EngineStopped,
    JournalError,
    RunActive,
    RunExists,
    RunNotActive,
    RunNotFound,
    WfkernelError,
)
from wfkernel.journal import Journal, Write
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.ids import KeySequence, text_of_key
from wfkernel.model.jsontext import dumps
from wfkernel.model.values import Codec, Encoded

T = TypeVar("T")
DEFAULT_POOL = ""
_CLOSED = "the manager is closed; open a new WorkflowManager on the same path to go on"
_RECENT_ERRORS = 256  # ended runs whose exception is kept, to be the cause of RunFailed
_ASK_AGAIN_S = 0.001
_RESUME_AT_ONCE = 200  # runs read and replayed in one turn of the loop


_GOES_ON = (Fact.CREATED, Fact.RESTARTED)


class _Order(Write):
    """A write of the engine's own, and what to do once it is decided. ``answer`` is the caller who waits for it."""

    __slots__ = ("answer", "then")

    def __init__(self, rows: Any, keep: Any, then: Any, blobs: Any, answer: Future[Any] | None, delete_runs: Any = ()):
        super().__init__(rows, keep=keep, blobs=blobs, delete_runs=delete_runs)
        self.then = then
        self.answer = answer


class Engine:
    """Runs the workflows of one journal.

    Attributes:
        runs: the runs in progress, by key.
        workflows: the definitions of this process, by name.
        replay_always: drop the live coroutine after every step.
    """

    logger = logging.getLogger("wfkernel")

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock | None = None,
        max_parallelism: int = 25,
        replay_always: bool = False,
        allow_pickle: bool = False,
    ):
        self.journal = journal
        self.clock: Clock = clock or SystemClock()
        self.replay_always = replay_always
        self.codec = Codec(allow_pickle=allow_pickle)
        self.outcomes = Outcomes(self.codec, journal.files.get)
        self.workflows: dict[str, Any] = {}
        self.runs: dict[int, LiveRun] = {}
        self.closing = False
        self.on_change: Callable[[LiveRun], None] | None = None
        self._ids: dict[str, int] = {}  # public ids of the runs in progress, and of those being started
        self._starting: dict[str, Future[tuple[int, str]]] = {}
        self.being_born: set[str] = set()  # children whose first row is on its way to the journal
        self._restarting: set[int] = set()
        self._undefined: dict[str, list[LiveRun]] = {}
        self._undelivered: dict[int, LiveRun] = {}
        self._children: dict[tuple[int, int], str] = {}  # (parent, step) -> child, for parents that are not yet replayed
        self._errors: dict[int, BaseException] = {}
        self._in_flight = 0  # orders whose word from the writer is still out
        self._orders = itertools.count(1)
        self._answers: set[Future[Any]] = set()
        self._stopping = threading.Lock()
        self._is_stopped = False
        self._checking = False
        self._resuming = 0
        self._stall: JournalError | None = None
        self._pools = {DEFAULT_POOL: Pool(DEFAULT_POOL, max_parallelism)}
        self._keys = KeySequence(journal.last_run_key, lambda: random.getrandbits(19))
        self._thread = LoopThread("wfkernel-engine")
        self.loop = self._thread.loop
        self.timers = Timers(self.loop, self.clock, self.turn_over)
        self.attempts = Attempts(self)
        self._watch = Watch(self)
        self.watch, self.unwatch = self._watch.enter, self._watch.leave
        journal.on_batch = self._on_batch
        journal.on_stall = lambda error: self.post(self._on_stall, error)
        self.clock.attach(self)
        self.call(self._recover)

    # -- from other threads --

    def post(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call ``fn`` on the engine's thread, soon. Nothing happens once the engine has stopped."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._do, fn, args)

    def _do(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        fn(*args)
        self.turn_over()

    def call(self, fn: Callable[..., T], *args: Any) -> T:
        """Call ``fn`` on the engine's thread and wait for what it returns or raises.

        If it returns a Future, that is waited for, too: until a write has been committed, say.
        """
        answer = self.ask(fn, *args).result()
        return answer.result() if isinstance(answer, Future) else answer

    def ask(self, fn: Callable[..., T], *args: Any) -> Future[T]:
        """As ``call``, without waiting."""
        self.check_caller()
        answer = self._expected(Future())
        try:
            self.loop.call_soon_threadsafe(self._answer, answer, fn, args)
        except RuntimeError:
            raise EngineStopped(_CLOSED) from None
        return answer

    def check_caller(self) -> None:
        """Refuse bodies, and everybody once the engine has stopped."""
        if self._thread.is_current():
            raise WfkernelError(
                "a workflow body cannot call the manager: it would not replay. Use the step (step.run_workflow, "
                "step.await_event, ...), or do it in an action"
            )
        if self.closing:
            raise EngineStopped(_CLOSED)

    def _expected(self, answer: Future[Any]) -> Future[Any]:
        """Somebody waits for this: should the engine stop first, it is told so."""
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        return answer

    def _answer(self, answer: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if answer.done():  # the engine was stopped meanwhile
            return
        if self.closing:
            answer.set_exception(EngineStopped(_CLOSED))
            return
        try:
            value = fn(*args)
        except NotYet:
            self.loop.call_later(_ASK_AGAIN_S, self._answer, answer, fn, args)
        except BaseException as exc:
            answer.set_exception(exc)
        else:
            answer.set_result(value)
        self.turn_over()

    def blocking(self) -> Callable[[], None] | None:
        """To be told by a caller that is about to wait for a run: see ``ActionLoops.blocked``."""
        if self._thread.is_current():
            raise WfkernelError("a workflow body cannot wait for a run by result(): await step.run_workflow(...) instead")
        return self.attempts.blocked()

    # -- the journal's word --

    def _on_batch(self, batch: list[Write]) -> None:
        """On the writer's thread, in the order of the journal."""
        news = [w for w in batch if type(w) is _Order or w.tag is not None]
        for write in news:
            if type(write) is not _Order and not write.dropped and write.error is None:
                write.tag.__self__.is_written = True
        if news:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._committed, news)

    def _committed(self, batch: list[Any]) -> None:
        if self.closing:
            self._answer_all(batch)
            return
        for write in batch:
            try:
                if type(write) is _Order:
                    self._in_flight -= 1
                    if write.then is not None:
                        write.then(write)
                    self._reply(write)
                else:
                    write.tag(write)
            except Exception:
                self.logger.exception("the engine failed to take in %r", write)
        self.turn_over()

    @staticmethod
    def _reply(write: _Order) -> None:
        answer = write.answer
        if answer is not None and not answer.done():
            if write.error is not None:
                answer.set_exception(_journal_error(write.error))
            else:
                answer.set_result(None)

    def _answer_all(self, batch: list[Any]) -> None:
        for write in batch:
            if type(write) is _Order:
                self._reply(write)

    def submit(
        self,
        rows: list[Any],
        *,
        keep: Callable[[], bool] | None = None,
        then: Callable[[Any], None] | None = None,
        blobs: Any = None,
        answer: Future[Any] | None = None,
        delete_runs: Any = (),
    ) -> Future[Any] | None:
        """Write rows; call ``then(write)`` here when they are committed or dropped, and then resolve ``answer``."""
        self._in_flight += 1
        if answer is not None:
            self._expected(answer)
        order = _Order(rows, keep, then, blobs or None, answer, delete_runs)
        try:
            self.journal.submit(order)
        except EngineStopped:
            self._in_flight -= 1
            if answer is not None:
                raise
        return answer

    def _on_stall(self, error: JournalError | None) -> None:
        if error is None:
            self._stall = None
            self.logger.warning("the journal can be written again: runs go on")
        else:
            self.stalled(error)

    def stalled(self, error: JournalError) -> None:
        """The journal takes no writes: callers are told at once; runs stand still until it does."""
        self._stall = error if self.journal.stalled else None
        for write in self.journal.drop_queued(lambda w: type(w) is _Order and w.answer is not None):
            assert isinstance(write, _Order)
            self._in_flight -= 1
            write.error = error
            if write.then is not None:
                write.then(write)
            self._reply(write)
        for run in self.runs.values():
            waiters, run.waiters = run.waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(_journal_error(error))

    def loader(self, blobs: Any) -> Callable[[str], Any]:
        """Finds side files, those first that are not on disk yet."""
        return lambda sha: blobs[sha] if sha in blobs else self.journal.files.get(sha)

    def next_order(self) -> int:
        return next(self._orders)

    def check_writable(self) -> None:
        if self._stall is not None:
            raise _journal_error(self._stall)

    # -- after each turn --

    def turn_over(self) -> None:
        """Whatever was decided in this turn of the loop goes out; a virtual clock may look whether all wait."""
        self.attempts.flush()
        if self.clock.is_virtual and not self._checking:
            self._checking = True
            self.loop.call_soon(self._check_idle)

    def _check_idle(self) -> None:
        self._checking = False
        if self.closing or self.attempts.running or self._in_flight or self._resuming:
            return
        if self.clock.idle(self.timers.next_due(), all(self._lets_time_jump(r) for r in self.runs.values())):
            self.timers.fire()
            self.turn_over()

    @staticmethod
    def _lets_time_jump(run: LiveRun) -> bool:
        """A run that waits for nothing but events does not: somebody may send one any moment."""
        if run.start_timer is not None or not run.begun or run.ending:
            return True
        return not run.steps or any(s.timer is not None or s.kind == "workflow" for s in run.steps.values())

    def changed(self, run: LiveRun) -> None:
        """A step reported progress or logged; any thread."""
        run.version += 1
        if self.on_change is not None:
            self.on_change(run)

    # -- definitions --

    def define(self, workflow: Any) -> None:
        self.workflows[workflow.name] = workflow
        waiting = self._undefined.pop(workflow.name, [])
        if waiting:
            context = copy_context()
            for run in waiting:
                run.context = context
            self._resume(waiting)

    def await_definition(self, run: LiveRun) -> None:
        self._undefined.setdefault(run.needs, []).append(run)

    def is_undefined(self, run: LiveRun) -> bool:
        return run in self._undefined.get(run.needs, ())

    def resolve_workflow(self, workflow: Any) -> Any:
        """A Workflow from itself or its name; DefinitionError if there is none."""
        if isinstance(workflow, str):
            found = self.workflows.get(workflow)
            if found is None:
                known = ", ".join(sorted(self.workflows)) or "none"
                raise DefinitionError(f"no workflow {workflow!r} is defined here (defined: {known}); run the cell that defines it")
            return found
        if callable(getattr(workflow, "bind", None)):
            return workflow
        raise DefinitionError(f"this is no workflow: {workflow!r}; decorate the function with @wf.workflow")

    # -- recovery --

    def _recover(self) -> None:
        for name, body in queries.pools(self.journal):
            self._pools[name] = Pool(name, body["max_parallelism"])
        for row in queries.unfinished(self.journal):
            history = History.of([row])
            run = self._adopt(row, history.header)
            parent = history.header.get("parent")
            if parent is not None:
                self._children[parent[0], parent[1]] = run.id
            self.await_definition(run)

    def _adopt(self, row: Any, header: dict[str, Any]) -> LiveRun:
        _, key, _, _, _, t, name, _ = row
        run = LiveRun(self, key, name, header, t, copy_context())
        self.runs[key] = run
        self._ids[run.id] = key
        return run

    def _resume(self, runs: list[LiveRun]) -> None:
        """Read and replay, some at a time, so that other runs go on meanwhile."""
        self._resuming += 1
        now, later = runs[:_RESUME_AT_ONCE], runs[_RESUME_AT_ONCE:]
        histories = queries.histories(self.journal, [r.key for r in now])
        for run in now:
            if run.key in self.runs and not run.ending:
                self._begin_recorded(run, histories[run.key])
        self._resuming -= 1
        if later:
            self._resuming += 1
            self.loop.call_soon(self._resume_rest, later)

    def _resume_rest(self, runs: list[LiveRun]) -> None:
        self._resuming -= 1
        self._resume(runs)
        self.turn_over()

    def _begin_recorded(self, run: LiveRun, history: History) -> None:
        run.history = history
        run.generation = history.generation
        if history.cancel is not None:
            run.cancel_t = history.cancel[5]
        try:
            run.begin()
        except Exception as exc:
            self._cannot_begin(run, exc)
            return
        if run.cancel_t is not None and not run.ending:
            grace = History.of([history.cancel]).cancel if history.cancel else None
            run.grace_timer = self.timers.at(run.cancel_t + _grace_us(grace), run._grace_is_over)

    def _cannot_begin(self, run: LiveRun, exc: Exception) -> None:
        """Its arguments cannot be read here, say: it waits, as for a definition, and says why."""
        self.logger.error("run %s (%s) cannot be resumed: %s", run.id, run.name, exc)
        run.begun = False
        run.error = exc
        self.await_definition(run)

    # -- starting --

    def start(self, workflow: Any, values: dict[str, Any], args: Encoded, options: Any, context: Context) -> Future[tuple[int, str]]:
        """Begin a run; the Future gives its key and id once it is in the journal."""
        self.check_writable()
        if options.id is not None:
            known = self._same_run(workflow, args, options.id)
            if known is not None:
                return known
        answer: Future[tuple[int, str]] = Future()
        self._create(workflow, args, options, context, parent=None, answer=answer)
        return answer

    def _same_run(self, workflow: Any, args: Encoded, run_id: str) -> Future[tuple[int, str]] | None:
        starting = self._starting.get(run_id)
        if starting is not None:
            if starting.started_with != (workflow.name, args.text):  # type: ignore[attr-defined]
                raise RunExists(run_id, "started with other arguments")
            return starting
        key = self._ids.get(run_id) or queries.key_of(self.journal, run_id)
        if key is None:
            return None
        row = queries.created(self.journal, key)
        if row is None:
            return None
        header = History.of([row]).header
        if row[6] != workflow.name:
            raise RunExists(run_id, f"of workflow {row[6]!r}")
        if dumps(header["args"]) != args.text:
            raise RunExists(run_id, "started with other arguments")
        done: Future[tuple[int, str]] = Future()
        done.set_result((key, run_id))
        return done

    def _create(
        self,
        workflow: Any,
        args: Encoded,
        options: Any,
        context: Context,
        *,
        parent: tuple[LiveRun, LiveStep] | None,
        answer: Future[tuple[int, str]] | None,
        more_rows: Callable[[int, str], list[Any]] | None = None,
        seed: str | None = None,
        begun_at: int | None = None,
        more_blobs: Any = None,
        then: Callable[[LiveRun], None] | None = None,
    ) -> str:
        now = self.clock.time_us()
        key = self._keys.next(now)
        run_id = options.id or text_of_key(key)
        members = [f'"id":{dumps(run_id)},"args":{args.text}']
        if options.context_text is not None:
            members.append(f'"context":{options.context_text}')
        if options.on_complete is not None:
            members.append(f'"on_complete":{dumps(options.on_complete)}')
        if parent is not None:
            run, step = parent
            step.child = run_id
            step.hinted = step.fact
            self.being_born.add(run_id)
            members.append(f'"parent":{dumps([run.key, step.number, step.generation, run.id])}')
        start_at = options.start_at(now)
        if start_at is not None:
            members.append(f'"start_at":{start_at}')
        if seed is None and options.id is not None:
            seed = text_of_key(key)  # an id may be used again, in another journal or after cleanup: its uuid4 must not
        if seed is not None:
            members.append(f'"seed":{dumps(seed)}')
        if begun_at is not None:
            members.append(f'"begun_at":{begun_at}')
        created = (key, -1, 0, Fact.CREATED.value, now, workflow.name, "{" + ",".join(members) + "}")
        rows: list[Any] = [created]
        if options.id is not None:
            rows.append((key, -1, 0, Fact.NAMED.value, now, options.id, "{}"))
        if parent is not None:  # in one commit: the child may end before the parent's body is here again to wait for it
            rows.append(parent[1].row(parent[1].fact, now))
        if more_rows is not None:
            rows.extend(more_rows(key, run_id))
        if answer is not None and options.id is not None:
            answer.started_with = (workflow.name, args.text)  # type: ignore[attr-defined]
            self._starting[run_id] = answer
        blobs = {**args.blobs, **options.context_blobs, **(more_blobs or {})}
        confirm: Future[Any] = Future()
        if answer is not None:
            confirm.add_done_callback(partial(_confirm, answer, key, run_id))
        landed = partial(self._created, rows, context, None if parent is None else parent[1], more_rows is not None, then)
        self.submit(rows, then=landed, blobs=blobs, answer=confirm, keep=None if parent is None else parent[1].is_alive)
        return run_id

    def _created(
        self, rows: list[Any], context: Context, step: LiveStep | None, has_history: bool, then: Any, write: Write
    ) -> None:
        key, _, _, _, _, _, _ = rows[0]
        numbered = [(write.seq + i, *row) for i, row in enumerate(rows)]
        history = History.of(r for r in numbered if r[1] == key)
        self._starting.pop(history.run_id, None)
        self.being_born.discard(history.run_id)
        if write.error is not None or write.dropped:
            return
        run = self._adopt(numbered[0], history.header)
        run.context = context
        if self.replay_always or has_history:
            run.history = history
        try:
            run.begin()
        except Exception as exc:
            self._cannot_begin(run, exc)
        if then is not None:
            then(run)
        self.changed(run)

    # -- children --

    def start_child(self, run: LiveRun, step: LiveStep) -> None:
        """Begin a child run, or find the one that this step began before a restart."""
        known = step.child or self._children.pop((run.key, step.number), None)
        if known is not None and known in self._ids:
            step.child = known
            self.journal_hint(step)
            return
        again = run.history.children.get(step.number) if run.history is not None else None
        if again is not None and self._restart_child(run, step, again):
            return
        child = step.request.target
        options = child.start_options().delayed(step.request.options)
        if options.id is not None and (options.id in self._ids or queries.key_of(self.journal, options.id) is not None):
            run.fail_at_once(step, RunExists(options.id, "so it cannot be started as a child"))
            return
        self._create(child, step.request.args, options, run.context, parent=(run, step), answer=None)

    def journal_hint(self, step: LiveStep) -> None:
        from wfkernel.engine.steps import Hint

        self.journal.submit(Hint(step))

    def _restart_child(self, run: LiveRun, step: LiveStep, child_id: str) -> bool:
        """The child of a step that is run again goes on from its own journal, rather than from scratch."""
        key = self.key_of(child_id)
        if key is None:
            return False
        history = queries.histories(self.journal, [key])[key]
        if history.created is None or history.end is None or history.status == "completed":
            return False
        if history.name != step.request.target.name or dumps(history.header["args"]) != step.request.args.text:
            return False
        step.child = child_id
        self.journal_hint(step)
        self.restart(key, history, history.to_run_again(), False)
        return True

    def cancel_child(self, child_id: str) -> None:
        key = self._ids.get(child_id)
        run = self.runs.get(key) if key is not None else None
        if run is not None and run.cancel_t is None and not run.ending:
            self._cancel_tree(run, grace=30.0)

    # -- ends of runs --

    def end_run(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> None:
        """Write the end of a run, together with what hangs on it: its hook, and the step of its parent."""
        if run.header.get("on_complete") is not None:
            self.attempts.running += 1
            self.attempts.threads.submit(partial(self._end_with_hook, run, fact, rows, blobs))
            return
        rows, step = self._with_parent(run, fact, rows, blobs)
        keep = self._keep_end(run, rows, step)
        self.submit(rows, keep=keep, then=partial(self._ended, run, fact, rows, step, blobs), blobs=blobs)

    @staticmethod
    def _keep_end(run: LiveRun, rows: list[Any], step: LiveStep | None) -> Callable[[], bool] | None:
        """Asked in commit order. A step that succeeded while the end was on its way is not canceled."""
        if not run.abandoned:
            return None if step is None else step.is_alive

        def keep() -> bool:
            done = {n for n, s in run.abandoned.items() if s.is_written}
            if done:
                rows[:] = [r for r in rows if r[0] != run.key or r[3] != Fact.STEP_CANCELED or r[1] not in done]
            return step is None or step.is_alive()

        return keep

    def _end_with_hook(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> None:
        """On a worker's thread."""
        parent: list[Any] = []

        def rows_now() -> tuple[list[Any], Any]:
            all_rows, step = self._with_parent(run, fact, rows, blobs)
            parent[:] = [step]
            all_rows = list(all_rows)
            return all_rows, self._keep_end(run, all_rows, step)

        try:
            write = run_hook(self, run.key, run.id, run.name, run.header, fact, rows_now, blobs)
        except BaseException as exc:
            self.post(self._hook_over)
            if not self.closing and not isinstance(exc, EngineStopped):
                self.logger.error("run %s: its end could not be written: %s", run.id, exc)
                self.loop.call_soon_threadsafe(lambda: self.loop.call_later(0.5, self._try_end_again, run, fact, rows, blobs))
            return
        self.post(self._hooked, run, fact, write, parent[0], blobs, rows)

    def _try_end_again(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> None:
        self.end_run(run, fact, rows, blobs)

    def _hook_over(self) -> None:
        self.attempts.running -= 1

    def _hooked(self, run: LiveRun, fact: Fact, write: Write, step: LiveStep | None, blobs: Any, rows: list[Any]) -> None:
        self._hook_over()
        self._ended(run, fact, rows, step, blobs, write)

    def _with_parent(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> tuple[list[Any], LiveStep | None]:
        """The rows of an end, and that of the parent's step which waits for it."""
        parent = run.header.get("parent")
        if parent is None:
            return rows, None
        above = self.runs.get(parent[0])
        step = above.steps.get(parent[1]) if above is not None else None
        if step is None or step.gone or step.child != run.id:
            return (rows + self._row_of_unloaded_parent(above, parent, run, fact, rows[-1], blobs)) if above is not None else rows, None
        end = rows[-1]
        step.done = True
        step.completed_us = end[4]
        if fact == Fact.COMPLETED:
            text = end[6][len('{"result":') : -1]
            row = step.row(Fact.STEP_SUCCESS, end[4], f'"result":{text}')
        elif fact == Fact.FAILED:
            row = step.row(Fact.STEP_FAILED, end[4], end[6][1:-1])
        else:
            row = step.row(Fact.STEP_CANCELED, end[4], '"raised":true')
        # the parent refers to the values, too: they must not go when the child is cleaned up
        files = [
            (step.run.key, -1, step.generation, Fact.FILE.value, end[4], sha, "{}") for sha in {*(blobs or ()), *step.request.args.blobs}
        ]
        return [*rows, row, *files], step

    def _row_of_unloaded_parent(
        self, above: LiveRun, parent: list[Any], run: LiveRun, fact: Fact, end: Any, blobs: Any
    ) -> list[Any]:
        """The parent has no body here yet (it is not defined): its journal must have the child's end all the same."""
        if above.body is not None or above.ending:
            return []
        known = queries.histories(self.journal, [above.key])[above.key].steps.get(parent[1])
        if known is None or known.is_terminal or known.body.get("child") != run.id:
            return []
        code = {Fact.COMPLETED: Fact.STEP_SUCCESS, Fact.FAILED: Fact.STEP_FAILED}.get(fact, Fact.STEP_CANCELED)
        from wfkernel.model.jsontext import loads

        body = {**known.body, **loads(end[6]), "completed_at": end[4]}
        if code == Fact.STEP_CANCELED:
            body["raised"] = True
        files = [(above.key, -1, known.generation, Fact.FILE.value, end[4], sha, "{}") for sha in blobs or ()]
        return [(above.key, known.number, known.generation, code.value, end[4], known.name, dumps(body)), *files]

    def _ended(self, run: LiveRun, fact: Fact, rows: list[Any], step: LiveStep | None, blobs: Any, write: Write) -> None:
        if write.dropped:  # the parent gave up meanwhile: the end stands without it
            own = [r for r in rows if r[0] == run.key]
            self.submit(own, then=partial(self._ended, run, fact, own, None, blobs), blobs=blobs)
            return
        if write.error is not None:
            self._end_failed(run, rows, write.error)
            return
        self._forget(run)
        if run.error is not None and fact == Fact.FAILED:
            self._errors[run.key] = run.error
            if len(self._errors) > _RECENT_ERRORS:
                del self._errors[next(iter(self._errors))]
        waiters, run.waiters = run.waiters, []
        end = next(r for r in rows if r[0] == run.key and r[3] == fact)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result((fact.value, end[6]))
        run._tell_settled()
        if step is None:
            step = self._parent_back_meanwhile(run, write)
        if step is not None:
            self._child_ended(step, fact, write, run)
        self.changed(run)

    def _parent_back_meanwhile(self, run: LiveRun, write: Write) -> LiveStep | None:
        """The parent was not defined when this end was written, and began to wait for it before the commit."""
        parent = run.header.get("parent")
        if parent is None or not any(row[0] == parent[0] for row in write.rows):
            return None
        above = self.runs.get(parent[0])
        return above.steps.get(parent[1]) if above is not None and above.body is not None else None

    def _child_ended(self, step: LiveStep, fact: Fact, write: Write, child: LiveRun) -> None:
        index = next(i for i, r in enumerate(write.rows) if r[0] == step.run.key)
        row = write.rows[index]
        if step.gone:
            return
        from wfkernel.model.jsontext import loads

        body = loads(row[6])
        if fact == Fact.COMPLETED:
            step.outcome = self.outcomes.value(body.get("result"))
        elif fact == Fact.FAILED:
            from wfkernel.engine.outcomes import original
            from wfkernel.model.records import ErrorInfo

            step.error = ErrorInfo(**body["error"])
            step.exc = original(child.error) if child.error is not None else None
        step.run.resolve(step, write.seq + index, row)

    def _end_failed(self, run: LiveRun, rows: list[Any], error: BaseException) -> None:
        """The end itself cannot be written (its error's text is no UTF-8, say): write one that can."""
        self.logger.error("run %s: its end could not be written: %s", run.id, error)
        end = rows[-1]
        text = dumps({"error": {"type": type(error).__name__, "message": f"the end of the run could not be written: {error!r}"}})
        plain = (run.key, -1, end[2], Fact.FAILED.value, end[4], run.name, text)
        self.submit([plain], then=partial(self._ended, run, Fact.FAILED, [plain], None, None))

    def _forget(self, run: LiveRun) -> None:
        self.runs.pop(run.key, None)
        self._ids.pop(run.id, None)
        waiting = self._undefined.get(run.needs)
        if waiting is not None and run in waiting:
            waiting.remove(run)

    def error_of(self, key: int) -> BaseException | None:
        """The exception of a run that ended a while ago, if it is still at hand."""
        return self._errors.get(key)

    # -- cancel, restart, cleanup --

    def cancel(self, key: int, run_id: str, grace: float) -> Future[None]:
        self.check_writable()
        run = self.runs.get(key)
        if run is None:
            self.check_taken_in(key)
            raise RunNotActive(run_id, self.status_of(key, run_id))
        if run.cancel_t is not None:
            raise RunNotActive(run_id, "being canceled")
        if run.ending:
            raise RunNotActive(run_id, "ending")
        return self._cancel_tree(run, grace)

    def _cancel_tree(self, run: LiveRun, grace: float) -> Future[None]:
        tree = list(self._descendants(run))
        now = self.clock.time_us()
        rows: list[Any] = []
        for each in tree:
            each.cancel_t = now
            rows.append((each.key, -1, each.generation, Fact.CANCEL_REQUESTED.value, now, each.name, dumps({"grace": grace})))
        settled: Future[None] = Future()
        confirm: Future[Any] = Future()
        confirm.add_done_callback(lambda f: f.exception() and not settled.done() and settled.set_exception(f.exception()))
        self.submit(rows, then=partial(self._cancel_landed, tree, now, grace, settled), answer=confirm)
        return settled

    def _cancel_landed(self, tree: list[LiveRun], now: int, grace: float, settled: Future[None], write: Write) -> None:
        if write.error is not None or write.dropped:
            for run in tree:
                run.cancel_t = None
            return
        left = len(tree)

        def one_settled() -> None:
            nonlocal left
            left -= 1
            if left == 0 and not settled.done():
                settled.set_result(None)

        for i, run in enumerate(tree):
            run.settled = [*(run.settled or []), one_settled]
            if run.ending:
                if run.key not in self.runs:
                    run._tell_settled()
                continue
            run.canceled(write.seq + i, now, grace)

    def _descendants(self, run: LiveRun) -> Iterable[LiveRun]:
        yield run
        children = [step.child for step in run.steps.values() if step.kind == "workflow"]
        if run.body is None:
            children += [child for (parent, _), child in self._children.items() if parent == run.key]
        for child_id in children:
            child = self.runs.get(self._ids.get(child_id or "", -1))
            if child is not None and child.cancel_t is None and not child.ending:
                yield from self._descendants(child)

    def restart(self, key: int, history: History, drop: list[int], new_generation: bool) -> Future[None]:
        """Set steps aside and go on; the Future is resolved once that is in the journal."""
        self.check_writable()
        if key in self.runs or key in self._restarting:
            raise RunActive(history.run_id)
        self._restarting.add(key)
        now = self.clock.time_us()
        generation = history.generation + bool(new_generation)
        children = {n: s.body["child"] for n, s in history.steps.items() if n in drop and "child" in s.body}
        body: dict[str, Any] = {"drop": drop}
        if children and not new_generation:
            body["children"] = {str(n): c for n, c in children.items()}
        row = (key, -1, generation, Fact.RESTARTED.value, now, history.name, dumps(body))
        answer: Future[None] = Future()
        self.submit([row], then=partial(self._restarted, key, row, history, copy_context()), answer=answer)
        answer.add_done_callback(lambda f: f.exception() and self._restarting.discard(key))
        return answer

    def _restarted(self, key: int, row: Any, history: History, context: Context, write: Write) -> None:
        self._restarting.discard(key)
        if write.error is not None or write.dropped:
            return
        history.add((write.seq, *row))
        assert history.created is not None
        self._errors.pop(key, None)
        run = self._adopt(history.created, history.header)
        run.context = context
        self._begin_recorded(run, history)
        self.changed(run)

    def fork(self, workflow: Any, args: Encoded, options: Any, context: Context, copy: Any) -> Future[Any]:
        """Begin a run that has the steps of another; ``copy`` is a ``planning.Copy``."""
        self.check_writable()
        answer: Future[tuple[int, str]] = Future()
        self._create(
            workflow,
            args,
            options,
            context,
            parent=None,
            answer=answer,
            more_rows=copy.rows,
            seed=copy.seed,
            begun_at=copy.begun_at,
            more_blobs=copy.blobs,
        )
        return answer

    def remove(self, keys: list[int], force: bool) -> Future[None] | None:
        """Delete ended runs from the journal; None if one is in progress and ``force`` is not given."""
        self.check_writable()
        for key in keys:
            self.check_taken_in(key)
        live = [self.runs[k] for k in keys if k in self.runs]
        if live and not force:
            return None
        for run in live:
            run.ending = True
            for step in list(run.steps.values()):
                run._abandon(step, 0)
            run.steps.clear()
            if run.body is not None:
                run.body.drop()
            for timer in (run.start_timer, run.grace_timer):
                if timer is not None:
                    timer.cancel()
            self._forget(run)
            for waiter in run.waiters:
                if not waiter.done():
                    waiter.set_exception(RunNotFound(run.id))
        for key in keys:
            self._errors.pop(key, None)
        answer: Future[None] = Future()
        self.submit([], delete_runs=keys, answer=answer)
        return answer

    # -- pools --

    def pool(self, name: str | None) -> Pool:
        found = self._pools.get(name or DEFAULT_POOL)
        if found is None:
            known = ", ".join(repr(n) for n in sorted(self._pools) if n) or "none"
            raise WfkernelError(f"there is no pool {name!r} (pools: {known}); make it first: wf.pool({name!r}, max_parallelism=...)")
        return found

    def set_pool(self, name: str, limit: int) -> Future[None] | None:
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = Pool(name, limit)
        elif pool.limit == limit:
            return None
        pool.limit = limit
        self.admit_from(pool)
        if not name:
            return None
        answer: Future[None] = Future()
        row = (0, -1, 0, Fact.POOL.value, self.clock.time_us(), name, dumps({"max_parallelism": limit}))
        return self.submit([row], answer=answer)

    def admit_from(self, pool: Pool) -> None:
        """A slot is free: whoever's turn it is runs."""
        while True:
            step = pool.admit()
            if step is None:
                return
            step.has_slot = True
            step.run.run_attempt(step)

    # -- looking --

    def key_of(self, run_id: str) -> int | None:
        return self._ids.get(run_id) or queries.key_of(self.journal, run_id)

    def check_taken_in(self, key: int) -> None:
        """A run may be read from the journal a moment before the engine is told of its commit."""
        if key not in self.runs and (key in self._restarting or queries.last_end(self.journal, key) in _GOES_ON):
            raise NotYet

    def status_of(self, key: int, run_id: str) -> str:
        end = queries.last_end(self.journal, key)
        if end is None:
            raise RunNotFound(run_id)
        return RUN_STATUS.get(Fact(end), "in progress")

    def waiter(self, key: int) -> Future[tuple[int, str]] | None:
        """A Future for the end of a run in progress, as ``(fact, body)``; None if it is not in progress."""
        run = self.runs.get(key)
        if run is None:
            self.check_taken_in(key)
            return None
        self.check_writable()
        future: Future[tuple[int, str]] = self._expected(Future())
        run.waiters = [w for w in run.waiters if not w.done()]
        run.waiters.append(future)
        return future

    # -- the end of the engine --

    def close(self) -> None:
        """Stop: bodies are dropped, in-flight actions count as crashed, everything acknowledged is on disk."""
        if self._thread.is_current():
            raise WfkernelError("a workflow body cannot close the manager")
        self._stop(self.journal.close)

    def abandon(self) -> None:
        """Stop as if the process had died: for crash tests, and for the child of a fork."""
        self._stop(self.journal.abandon)

    def _stop(self, end_journal: Callable[[], None]) -> None:
        with self._stopping:
            if self._is_stopped:
                return
            self._is_stopped = True
            stopped: Future[None] = Future()
            self.loop.call_soon_threadsafe(self._stop_here, stopped)
            stopped.result()
            end_journal()
            self.attempts.stop()
            self._thread.stop()
            self._watch.stop()
        for answer in list(self._answers):
            if not answer.done():
                answer.set_exception(EngineStopped("the manager was closed; the run goes on when its journal is opened again"))

    def _stop_here(self, stopped: Future[None]) -> None:
        self.closing = True
        for run in self.runs.values():
            for step in run.steps.values():
                if step.timer is not None:
                    step.timer.cancel()
            if run.body is not None:
                run.body.drop()
        stopped.set_result(None)


def _confirm(answer: Future[tuple[int, str]], key: int, run_id: str, confirm: Future[Any]) -> None:
    error = confirm.exception()
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result((key, run_id))


def _grace_us(cancel: Any) -> int:
    from wfkernel.model.jsontext import loads

    return round(loads(cancel[7])["grace"] * 1e6) if cancel is not None else 0


def _journal_error(error: BaseException) -> JournalError:
    return error if isinstance(error, JournalError) else JournalError(f"the journal could not take this: {error}")


__all__ = ["Engine"]
