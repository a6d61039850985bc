"""Runs a workflow function on a deterministic event loop of its own: facts in, requests out.

The loop has no selector, no thread and no wall clock: a deque of ready callbacks, and a time that is the time of the last
fact. ``begin`` and ``apply`` resolve one future each and run until nothing is ready, so that live and on replay the body
sees the same things in the same order. Plain asyncio is durable here because ``call_at`` becomes a request for a sleep.

Nothing here waits, writes or asks the time; the engine carries out ``requests`` and ``cancels``.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from asyncio import events as _events
from bisect import insort
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from operator import itemgetter
from types import CellType, CoroutineType
from typing import Any

from wfkernel.core.history import Recorded, step_label
from wfkernel.errors import BodyError, NondeterminismError
from wfkernel.model.jsontext import dumps
from wfkernel.model.requests import StepRequest
from wfkernel.model.values import Encoded

_MAX_CALLBACKS = 1_000_000  # callbacks without a step in between: the body spins on sleep(0)
_FIRE_SLEEP = asyncio.futures._set_result_unless_cancelled  # type: ignore[attr-defined] - what asyncio.sleep schedules


class BodyDropped(BaseException):
    """Raised into what a discarded body still tries to do while it is torn down. Users never see it."""


class _Timer(asyncio.TimerHandle):
    __slots__ = ("request",)
    request: StepRequest


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """A task of a body. Sets of tasks (``asyncio.wait``, ``TaskGroup``) are walked in an order that replays."""

    def __init__(self, order: int, coro: Any, **kwargs: Any):
        self.order = order  # first: asyncio puts the task into a set at once, and equal hashes would make that set a list
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return self.order


class Body(asyncio.AbstractEventLoop):
    """One run's coroutine and the loop that it lives on.

    Attributes:
        requests: steps asked for since the engine last took them.
        cancels: numbers of steps that the body gave up since then.
        pending: what the body still waits for, by step number.
        result, error: the end, once ``ended``.
        given_up: the steps that the body gave up in a replay, and the seq of the fact on which it did.
        fatal: why the replay cannot go on; the body must not see it.
        needs: a workflow by whose name the replay asks for a child, and that is not defined here.
    """

    def __init__(
        self,
        run_id: str,
        recorded: Mapping[int, Recorded],
        now_us: int,
        *,
        seed: str = "",
        context: Context | None = None,
        mute: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ):
        self.run_id = run_id
        self.recorded = recorded
        self.now_us = now_us
        self.requests: list[StepRequest] = []
        self.cancels: list[int] = []
        self.pending: dict[int, StepRequest] = {}
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = False
        self.fatal: NondeterminismError | None = None
        self.needs: str | None = None
        self.given_up: list[tuple[StepRequest, int]] = []
        self.last_seq = 0  # of the last fact applied
        self.next_number = 0
        self.dropped = self._dropping = False
        self.replaying = False
        self._ready: deque[asyncio.Handle] = deque()
        self._context = context
        self._mute = mute
        self._main: asyncio.Task[Any] | None = None
        self._others: set[asyncio.Task[Any]] | None = None
        self._running = False
        self._made = 0  # tasks
        self._batch: tuple[Any, list[Any]] | None = None
        self._seed = seed or run_id
        self._random: random.Random | None = None

    # -- what the engine calls --

    def begin(self, coro: Any) -> None:
        """Run the coroutine up to its first waits."""
        self._main = asyncio.Task(coro, loop=self, context=self._context)
        self._drain()

    def apply(self, number: int, seq: int, t: int, value: Any, error: BaseException | None) -> None:
        """Tell the body that a step finished, and run it until it waits again.

        A step that the body gave up changes nothing; one that it never asked for is a step left over.
        """
        request = self.pending.pop(number, None)
        if request is None:
            if number >= self.next_number:
                self.fatal = NondeterminismError(self.run_id, number, self.label_recorded(self.recorded[number]), self._doing())
            return
        self._advance(seq, t)
        if type(request.future) is _Timer:
            self._ready.append(request.future)
        elif error is not None:
            request.future.set_exception(error)
        else:
            request.future.set_result(value)
        self._drain()

    def cancel(self, seq: int, t: int) -> None:
        """Raise CancelledError once at the body's current await, and give up every step that was pending."""
        self._advance(seq, t)
        before = list(self.pending.values())
        if self._main is not None and not self._main.done():
            self._main.cancel()
        self._drain()
        for request in before:
            if self.pending.get(request.number) is request:
                request.future.cancel()  # a task of the body that nobody awaits
        self._drain()

    def drop(self) -> None:
        """Throw the coroutine away without its knowing: nothing it does from here on counts."""
        if self.dropped:
            return
        self.dropped = self._dropping = True
        tasks = [self._main] if self._main is not None else []
        tasks += list(self._others or ())
        with self._mute():
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined] - else asyncio reports each as a bug
                coro = task.get_coro()
                if task.done() or coro is None:
                    continue
                _close_unstarted(coro)
                try:
                    coro.close()
                except BaseException:
                    pass
        self._dropping = False
        self._ready.clear()
        self._main = self._others = None
        self.pending, self.requests, self.cancels = {}, [], []

    def take(self) -> tuple[list[StepRequest], list[int]]:
        """The requests and cancels since the last call."""
        requests, cancels = self.requests, self.cancels
        if requests:
            self.requests = []
        if cancels:
            self.cancels = []
        return requests, cancels

    def check_replayed(self) -> None:
        """After the last recorded fact: every recorded step must have been asked for."""
        if self.fatal is not None:
            return
        for number, step in self.recorded.items():
            if number >= self.next_number:
                self.fatal = NondeterminismError(self.run_id, number, self.label_recorded(step), self._doing())
                return

    def check_stuck(self) -> None:
        """A body that waits for nothing we know will wait forever: fail it, naming the line."""
        if self.ended or self.pending or self.fatal is not None or self._main is None:
            return
        where = self._where_waiting()
        self.error = BodyError(
            f"{where}: the body waits for something that no step, event or timer will resolve (a future of another loop or "
            "thread, or an asyncio.Event that nobody sets). Do the waiting in an action: await step.run_action(...)"
        )
        self.ended = True

    def label_recorded(self, step: Recorded) -> str:
        return step_label(step.kind, step.name, step.args_text)

    def _advance(self, seq: int, t: int) -> None:
        self.last_seq = seq
        if t > self.now_us:
            self.now_us = t

    def _doing(self) -> str:
        if self.ended:
            return "nothing: the body has ended " + ("with an error: " + repr(self.error) if self.error else "before this step")
        waiting = [step_label(r.kind, r.name, r.args.text, 80) for r in list(self.pending.values())[:3]]
        return "nothing here: the body waits for " + (", ".join(waiting) or "nothing we know")

    # -- what the step object calls --

    def random(self) -> random.Random:
        """Made at its first use: a generator's state is 2.5 KB, and most runs draw nothing."""
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random

    def ask(self, request: StepRequest) -> StepRequest:
        """Number a request, hold it against the journal, and hand it to the engine."""
        if self._dropping:
            raise BodyDropped
        if not self._running:
            raise BodyError("a step can only be run by its own workflow's body, while it runs")
        number = request.number = self.next_number
        self.next_number = number + 1
        request.after = self.last_seq
        known = self.recorded.get(number)
        if known is not None and not matches(request, known):
            self.fatal = NondeterminismError(
                self.run_id, number, self.label_recorded(known), step_label(request.kind, request.name, request.args.text)
            )
        self.pending[number] = request
        self.requests.append(request)
        return request

    async def call(self, request: StepRequest) -> Any:
        """The coroutine behind ``await step.run_...``: numbered when it first runs."""
        future = request.future = asyncio.Future(loop=self)
        self.ask(request)
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(request)
            raise

    def _give_up(self, request: StepRequest) -> None:
        if self.pending.get(request.number) is request:
            del self.pending[request.number]
            self.cancels.append(request.number)
            if self.replaying and request.after != self.last_seq:  # one that is asked for and given up in a turn never starts
                self.given_up.append((request, self.last_seq))

    def miss(self, workflow: str) -> None:
        """The replay cannot go on without this definition."""
        self.needs = self.needs or workflow
        self._ready.clear()

    # -- the loop --

    def _drain(self) -> None:
        ready = self._ready
        previous = _events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        _events._set_running_loop(self)
        sys.set_asyncgen_hooks(None, self._close_generator)
        self._running = True
        left = _MAX_CALLBACKS
        try:
            if self.replaying:
                with self._mute():
                    while ready and self.fatal is None and left:
                        left -= 1
                        self._run_one(ready.popleft())
            else:
                while ready and self.fatal is None and left:
                    left -= 1
                    self._run_one(ready.popleft())
        finally:
            self._running = False
            self._batch = None
            sys.set_asyncgen_hooks(*hooks)
            _events._set_running_loop(previous)
        if self._main is not None and not self.ended:
            if self._main.done():
                self._end(self._main)
            elif not left:
                self.error = BodyError(f"{self._where_waiting()}: the body spins without waiting for any step")
                self.ended = True

    @staticmethod
    def _run_one(handle: asyncio.Handle) -> None:
        if not handle._cancelled:
            try:
                handle._run()
            except BaseException:
                pass

    def _close_generator(self, generator: Any) -> None:
        """An async generator was left before its end: its `finally` is part of the body, as it is in asyncio."""
        if self._running and not self._dropping:
            self.create_task(generator.aclose())
            return
        with self._mute():
            try:
                generator.aclose().send(None)
            except BaseException:
                pass

    def _end(self, main: asyncio.Task[Any]) -> None:
        self.ended = True
        if main.cancelled():
            self.error = asyncio.CancelledError()
        else:
            self.error = main.exception()
        if self.error is None:
            self.result = main.result()
        elif isinstance(self.error, RuntimeError) and "attached to a different loop" in str(self.error):
            self.error = self._foreign(self.error)

    def _foreign(self, error: RuntimeError) -> BodyError:
        where = _last_user_line(error.__traceback__)
        clear = BodyError(
            f"{where}: a body can await steps and its own tasks only, and this awaits a future of another event loop. "
            "Do it in an action: await step.run_action(...)"
        )
        clear.__traceback__ = error.__traceback__
        clear.__cause__ = error.__cause__
        return clear

    def _where_waiting(self) -> str:
        coro: Any = self._main.get_coro() if self._main is not None else None
        where = "the body"
        while coro is not None:
            frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
            if frame is not None and not is_ours(frame.f_code.co_filename):
                where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
            coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
        return where

    def time(self) -> float:
        return self.now_us / 1e6

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        return self.call_at(self.now_us / 1e6 + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        delay = max(0.0, round(when - self.now_us / 1e6, 6))
        name = "sleep" if callback is _FIRE_SLEEP else "timeout"
        timer.request = StepRequest("sleep", name, Encoded(dumps({"seconds": delay}), {}), seconds=delay)
        timer.request.future = timer
        self.ask(timer.request)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if not self.dropped:
            self._give_up(handle.request)  # type: ignore[attr-defined]

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None, **kwargs: Any) -> Any:
        if self.dropped:
            coro.close()
            raise BodyDropped
        self._made += 1
        task = _Task(self._made, coro, loop=self, name=name, context=context, **kwargs)
        batch = _as_completed_frame()
        if batch is not None:
            self._put_in_order(batch, coro)
        if self._others is None:
            self._others = set()
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

    def _put_in_order(self, frame: Any, coro: Any) -> None:
        """``asyncio.as_completed`` makes its tasks in the order of a set: let them begin in the order that was written."""
        if self._batch is None or self._batch[0] is not frame:
            self._batch = (frame, [])
        begun = self._batch[1]
        handle = self._ready.pop()
        for _ in begun:
            self._ready.pop()
        insort(begun, (*_place_of(coro, frame), handle), key=itemgetter(0, 1))
        self._ready.extend(handle for _, _, handle in begun)

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dropped and not self.replaying:
            self.default_exception_handler(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        from logging import getLogger

        exc = context.get("exception")
        getLogger("wfkernel").warning("run %s: %s", self.run_id, context.get("message"), exc_info=exc)


def _close_unstarted(coro: Any) -> None:
    """Close the coroutines that a suspended body has made and not awaited yet, so that Python does not warn of each."""
    looked: set[int] = set()
    look: list[tuple[Any, int]] = [(coro, 0)]
    while look:
        holder, depth = look.pop()
        for item in gc.get_referents(holder):
            kind = type(item)
            if kind is CoroutineType and not item.cr_running:
                if item.cr_frame is not None and not item.cr_suspended:
                    item.close()
                elif id(item) not in looked:
                    looked.add(id(item))
                    look.append((item, 0))
            elif kind in _HOLDERS and depth < 2:
                look.append((item, depth + 1))


def _as_completed_frame() -> Any:
    """The frame of the ``asyncio.as_completed`` that makes a task, if it is that which makes it."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename == _TASKS_FILE:
        if frame.f_code.co_name == "as_completed" or frame.f_code.co_qualname.startswith("_AsCompleted"):
            return frame
        frame = frame.f_back
    return None


def _place_of(coro: Any, frame: Any) -> tuple[int, Any]:
    """Where a coroutine belongs among those handed to ``as_completed``: by its place in the list, else by when its step was
    called, else by its arguments."""
    given = frame.f_locals.get("fs", frame.f_locals.get("aws"))
    if isinstance(given, (list, tuple)):
        for place, each in enumerate(given):
            if each is coro:
                return 0, place
    inside = getattr(coro, "cr_frame", None)
    request = inside.f_locals.get("request") if inside is not None else None
    if isinstance(request, StepRequest):
        return 1, request.called
    return 2, (getattr(coro, "__qualname__", ""), repr(inside.f_locals) if inside is not None else "")


def _refuse(name: str) -> Callable[..., Any]:
    def refused(self: Body, *args: Any, **kwargs: Any) -> Any:
        raise BodyError(
            f"{_calling_line()}: {name}() does I/O or uses threads, which a body cannot replay. "
            "Do it in an action: await step.run_action(...)"
        )

    refused.__name__ = name
    return refused


_FOREIGN = [
    *("run_in_executor", "call_soon_threadsafe", "run_forever", "run_until_complete", "create_connection", "create_server"),
    *("create_unix_connection", "create_unix_server", "create_datagram_endpoint", "getaddrinfo", "getnameinfo"),
    *("connect_accepted_socket", "subprocess_exec", "subprocess_shell", "connect_read_pipe", "connect_write_pipe"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect"),
    *("sock_accept", "sock_sendfile", "sendfile", "start_tls", "add_reader", "remove_reader", "add_writer", "remove_writer"),
    *("add_signal_handler", "remove_signal_handler"),
]
for _name in _FOREIGN:
    setattr(Body, _name, _refuse(_name))


def matches(request: StepRequest, known: Recorded) -> bool:
    """Whether the body asks for the step that the journal holds: kind, name and, unless unstable, arguments."""
    if request.kind != known.kind or request.name != known.name:
        return False
    return request.options.unstable_args or request.args.text == known.args_text


_OUR_FILES = __file__.rpartition("core")[0]
_ASYNCIO_FILES = asyncio.__file__.rpartition("__init__")[0]
_HOLDERS = (list, tuple, dict, CellType)
_TASKS_FILE = asyncio.ensure_future.__code__.co_filename


def is_ours(filename: str) -> bool:
    """Whether a frame of this file is wfkernel's or asyncio's, and so says nothing to the author of a body."""
    return filename.startswith((_OUR_FILES, _ASYNCIO_FILES))


def _calling_line() -> str:
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not is_ours(name):
            return f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return "the body"


def _last_user_line(tb: Any) -> str:
    where = "the body"
    while tb is not None:
        code = tb.tb_frame.f_code
        if not is_ours(code.co_filename):
            where = f"{code.co_filename}:{tb.tb_lineno} in {code.co_name}"
        tb = tb.tb_next
    return where
