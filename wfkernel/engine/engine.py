"""The engine of one journal: its thread and loop, its turns, its pools, its end. What it does is done by its parts:

    births.py     how runs begin            runs.py      one run in progress     orders.py   writes, and the journal's word
    ends.py       how runs end              steps.py     one pending step        mail.py     sending events
    changes.py    cancel, restart, removal  attempts.py  running user code       recovery.py definitions, and who waits for them

Two sides. Callers' threads use ``call`` and ``post``; everything else runs on the engine's thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar, overload

from wfkernel.engine import queries
from wfkernel.engine.attempts import Attempts
from wfkernel.engine.births import Births
from wfkernel.engine.changes import Changes
from wfkernel.engine.clock import Clock, SystemClock, Timers
from wfkernel.engine.ends import Ends
from wfkernel.engine.listeners import Listener, Listeners
from wfkernel.engine.orders import Orders
from wfkernel.engine.pools import Pool
from wfkernel.engine.recovery import Recovery
from wfkernel.engine.replay import Outcomes
from wfkernel.engine.reports import Reports
from wfkernel.engine.runs import LiveRun
from wfkernel.engine.steps import LiveStep, step_here
from wfkernel.engine.waiting import NotYet
from wfkernel.engine.watch import Watch
from wfkernel.engine.workers import LoopThread
from wfkernel.errors import (
    EngineStopped,
    RunNotFound,
    WfkernelError,
)
from wfkernel.journal import Journal
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.model.jsontext import dumps
from wfkernel.model.values import Codec

T = TypeVar("T")
DEFAULT_POOL = ""
_PATIENCE_S = 5.0  # for a body that holds up the thread, when the engine is to stop
_CLOSED = "the manager is closed; open a new WorkflowManager on the same path to go on"
_ASK_AGAIN_S = 0.001
_GOES_ON = (Fact.CREATED, Fact.RESTARTED)


class Engine:
    """Runs the workflows of one journal.

    Attributes:
        runs: the runs in progress, by key.
        workflows: the definitions of this process, by name.
        replay_always: drop the live coroutine after every step.
        listeners: who is told what happens here, see ``listeners.Listener``.
        reports: what steps logged, printed and displayed, and their progress.
        control: what answers other processes, if anything does.
        before_stop, after_stop: called at its end, while everything still works, and once whoever waited was told.
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
        auto_resume: bool = True,
    ):
        self.journal = journal
        self.clock: Clock = clock or SystemClock()
        self.replay_always = replay_always
        self.codec = Codec(allow_pickle=allow_pickle)
        self.outcomes = Outcomes(self.codec, journal.files.get)
        self.workflows: dict[str, Any] = {}
        self.runs: dict[int, LiveRun] = {}
        self.closing = False
        self.listeners = Listeners(self.logger)
        self.reports = Reports()
        self.ids: dict[str, int] = {}  # public ids of the runs in progress, and of those being started
        self.before_stop: list[Callable[[], None]] = []
        self.after_stop: list[Callable[[], None]] = []
        self.control: Any = None
        self._answers: set[Future[Any]] = set()
        self._stopping = threading.Lock()
        self._is_stopped = False
        self._checking = False
        self.pools = {DEFAULT_POOL: Pool(DEFAULT_POOL, max_parallelism)}
        self._thread = LoopThread("wfkernel-engine")
        self.loop = self._thread.loop
        self.timers = Timers(self.loop, self.clock, self.turn_over)
        self.attempts = Attempts(self)
        self.orders = Orders(self)
        self.submit = self.orders.submit
        self.recovery = Recovery(self, auto_resume=auto_resume)
        self.births = Births(self)
        self.changes = Changes(self)
        self.ends = Ends(self)
        self._watch = Watch(self)
        self.watch, self.unwatch = self._watch.enter, self._watch.leave
        journal.on_batch = self.orders.on_batch
        journal.on_stall = lambda error: self.post(self.orders.on_stall, error)
        try:
            self.clock.attach(self)
            self.call(self.recovery.open)
        except BaseException:
            self._end_threads()
            raise

    # -- from other threads --

    def post(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call ``fn`` on the engine's thread, soon. Nothing happens once the engine has stopped."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._do, fn, args)

    def _do(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        with contextlib.suppress(EngineStopped):  # the journal was closed meanwhile
            fn(*args)
            self.turn_over()

    @overload
    def call(self, fn: Callable[..., Future[T] | None], *args: Any) -> T: ...
    @overload
    def call(self, fn: Callable[..., T], *args: Any) -> T: ...
    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call ``fn`` on the engine's thread and wait for what it returns or raises.

        If it returns a Future, that is waited for, too: until a write has been committed, say.
        """
        answer = self.ask(fn, *args).result()
        return answer.result() if isinstance(answer, Future) else answer

    def ask(self, fn: Callable[..., T], *args: Any) -> Future[T]:
        """As ``call``, without waiting."""
        self.check_caller()
        answer = self.expected(Future())
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

    def is_current_thread(self) -> bool:
        return self._thread.is_current()

    def expected(self, answer: Future[Any]) -> Future[Any]:
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
        step = step_here()
        if step is not None and step.run.engine is self:
            self.post(step.run.lend_slot, step)
        return self.attempts.blocked()

    def loader(self, blobs: Any) -> Callable[[str], Any]:
        """Finds side files, those first that are not on disk yet."""
        return lambda sha: blobs[sha] if sha in blobs else self.journal.files.get(sha)

    # -- after each turn --

    def turn_over(self) -> None:
        """Whatever was decided in this turn of the loop goes out; a virtual clock may look whether all wait."""
        self.attempts.flush()
        if self.clock.is_virtual and not self._checking:
            self._checking = True
            self.loop.call_soon(self._check_idle)

    def _check_idle(self) -> None:
        self._checking = False
        if self.closing or self.attempts.running or self.orders.in_flight or self.recovery.resuming:
            return
        if self.clock.idle(self.timers.next_due(), all(self._lets_time_jump(r) for r in self.runs.values())):
            self.timers.fire()
            self.turn_over()

    @staticmethod
    def _lets_time_jump(run: LiveRun) -> bool:
        """A run that waits for nothing but events does not: somebody may send one any moment."""
        if run.start_timer is not None or run.grace_timer is not None or not run.begun or run.ending:
            return True
        return not run.steps or any(s.timer is not None or s.kind == "workflow" for s in run.steps.values())

    # -- listeners --

    def add_listener(self, listener: Listener) -> None:
        """Tell ``listener`` from now on what happens. Any thread."""
        self.listeners.add(listener)

    def remove_listener(self, listener: Listener) -> None:
        self.listeners.remove(listener)

    def changed(self, run: LiveRun) -> None:
        """Something changed that the journal does not say; any thread."""
        run.version += 1
        if self.listeners.all:
            self.listeners.run(run)

    def step_changed(self, step: LiveStep) -> None:
        """A step logged, printed or reported progress; any thread."""
        step.run.version += 1
        if self.listeners.all:
            self.listeners.step(step)

    # -- definitions --

    # -- recovery --

    # -- starting --

    # -- children --

    # -- ends of runs --

    # -- cancel, restart, cleanup --

    # -- pools --

    def pool(self, name: str | None) -> Pool:
        found = self.pools.get(name or DEFAULT_POOL)
        if found is None:
            known = ", ".join(repr(n) for n in sorted(self.pools) if n) or "none"
            raise WfkernelError(
                f"there is no pool {name!r} (pools: {known}); make it first: wf.pool({name!r}, max_parallelism=...)"
            )
        return found

    def set_pool(self, name: str, limit: int) -> Future[None] | None:
        pool = self.pools.get(name)
        if pool is None:
            pool = self.pools[name] = Pool(name, limit)
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
        return self.ids.get(run_id) or queries.key_of(self.journal, run_id)

    def check_taken_in(self, key: int) -> None:
        """A run may be read from the journal a moment before the engine is told of its commit."""
        if key not in self.runs and (key in self.changes.restarting or queries.last_end(self.journal, key) in _GOES_ON):
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
        self.orders.check_writable()
        future: Future[tuple[int, str]] = self.expected(Future())
        run.waiters = [w for w in run.waiters if not w.done()]
        run.waiters.append(future)
        return future

    # -- the end of the engine --

    def be_controlled(self, serve: Callable[[Engine], Any]) -> None:
        """Let other processes in, by ``control = serve(engine)``: once, and not any more when it stops."""
        with self._stopping:
            if self.control is None and not self._is_stopped:
                self.control = serve(self)

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
            while self.before_stop:
                self.before_stop.pop(0)()
            self._let_bodies_go()
            error = None
            try:
                end_journal()  # whoever is interrupted here by Ctrl-C may call it again
            except Exception as exc:
                error = exc
            self._is_stopped = True
            self._end_threads()
        for answer in list(self._answers):
            if not answer.done():
                answer.set_exception(EngineStopped("the manager was closed; the run goes on when its journal is opened again"))
        for tell in self.after_stop:
            tell()
        if error is not None:
            raise error

    def _let_bodies_go(self) -> None:
        stopped: Future[None] = Future()
        self.loop.call_soon_threadsafe(self._stop_here, stopped)
        try:
            stopped.result(_PATIENCE_S)
        except FutureTimeoutError:
            self.closing = True
            self.logger.warning("%s: a workflow body blocks its thread, and was left behind", self.journal.path)

    def _end_threads(self) -> None:
        self._watch.stop()  # before the loops that it asks
        self.attempts.stop()
        self._thread.stop()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing of it is left: its journal can be opened again."""
        return self._is_stopped

    def wait_for_end(self) -> None:
        """Wait for a ``close`` that is under way in another thread."""
        if not self.is_current_thread() and self._stopping.acquire(timeout=_PATIENCE_S):
            self._stopping.release()

    def forget_in_child(self) -> None:
        """In a fork's child: nobody would answer, for the threads stayed with the parent, and what there is to remove is the parent's."""
        self.closing = self._is_stopped = True
        self._stopping = threading.Lock()
        self.before_stop, self.after_stop = [], []

    def _stop_here(self, stopped: Future[None]) -> None:
        self.closing = True
        for run in self.runs.values():
            for step in run.steps.values():
                if step.timer is not None:
                    step.timer.cancel()
            if run.body is not None:
                run.body.drop()
        stopped.set_result(None)
