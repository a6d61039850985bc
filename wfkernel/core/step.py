"""``step``: what a workflow function is handed. Every method checks at the call and returns a coroutine."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from wfkernel.core.body import Body
from wfkernel.errors import OptionError, ValueNotStorable
from wfkernel.model.events import Event
from wfkernel.model.functions import signature_of, unwrap
from wfkernel.model.jsontext import dumps
from wfkernel.model.policy import DEFAULT_OPTIONS, StepOptions, check_executor, check_retry, instant, microseconds_of
from wfkernel.model.policy import seconds as in_seconds
from wfkernel.model.requests import EMPTY_ARGS, StepRequest
from wfkernel.model.values import Codec, Encoded, is_atom

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_UNSET: Any = object()


class Step:
    """The deterministic world of one run: steps, sleeps, events, time and randomness."""

    __slots__ = ("_body", "_codec", "_options", "_resolve")

    def __init__(self, body: Body, codec: Codec, resolve: Callable[[Any], Any], options: StepOptions = DEFAULT_OPTIONS):
        self._body = body
        self._codec = codec
        self._resolve = resolve
        self._options = options

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._body.run_id

    # -- deterministic time and randomness --

    @property
    def random(self) -> random.Random:
        """A random generator that gives the same numbers on every replay."""
        return self._body.random()

    def now(self) -> datetime:
        """The run's time: that of the last thing that happened to it, as aware UTC datetime."""
        return instant(self._body.now_us)  # type: ignore[return-value]

    def uuid4(self) -> uuid.UUID:
        """A random UUID, the same on every replay."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    # -- options --

    def options(
        self,
        *,
        name: str | None = None,
        retry: Any = _UNSET,
        run_after: Any = None,
        run_at: datetime | None = None,
        timeout: Any = None,
        inline: bool | None = None,
        unstable_args: bool | None = None,
        pool: Any = None,
        executor: Any = None,
    ) -> Step:
        """A derived step whose calls carry these options; chainable, the later word wins.

        Args:
            name: what the journal calls the step.
            retry: True, False or a RetryPolicy; reaches actions only.
            run_after: seconds or timedelta to wait before the first attempt.
            run_at: an aware datetime to wait for instead.
            timeout: seconds or timedelta that one attempt may take.
            inline: run a query or mutation at once, without waiting for a slot of the pool.
            unstable_args: do not compare the arguments on replay.
            pool: a pool, or its name.
            executor: a ``concurrent.futures.Executor`` for plain functions, or "process".

        Raises:
            OptionError: options that contradict each other; nothing is recorded.
        """
        said: dict[str, Any] = {}
        if name is not None:
            if not isinstance(name, str) or not name:
                raise OptionError(f"name must be a non-empty string, not {name!r}")
            said["name"] = name
        if retry is not _UNSET:
            said["retry"] = check_retry(retry)
        if run_after is not None:
            said["run_after"] = in_seconds(run_after, "run_after")
        if run_at is not None:
            said["run_at"] = microseconds_of(run_at, "run_at")
        if timeout is not None:
            said["timeout"] = in_seconds(timeout, "timeout")
        if inline is not None:
            said["inline"] = bool(inline)
        if unstable_args is not None:
            said["unstable_args"] = bool(unstable_args)
        if pool is not None:
            said["pool"] = _pool_name(pool)
        if executor is not None:
            said["executor"] = check_executor(executor)
        return self._derived(replace(self._options, **said))

    def _derived(self, options: StepOptions) -> Step:
        if options.run_after is not None and options.run_at is not None:
            raise OptionError("run_after and run_at exclude each other: give one of them")
        if options.inline and (options.run_after is not None or options.run_at is not None):
            raise OptionError("an inline step runs at once: inline cannot be combined with run_after or run_at")
        return Step(self._body, self._codec, self._resolve, options)

    # -- functions --

    def run_query(self, fn: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run ``fn(db, *args, **kwargs)``, which reads the database and cannot write."""
        return self._asked(self._function("query", fn, args, kwargs))

    def run_mutation(self, fn: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run ``fn(db, *args, **kwargs)``, whose writes commit together with the step: exactly once."""
        return self._asked(self._function("mutation", fn, args, kwargs))

    @overload
    def run_action(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def run_action(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    def run_action(self, fn: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run ``fn(*args, **kwargs)``, async or plain, which may do anything.

        The coroutine gives what the function returned. A function that fails, after its retries, raises StepFailed.
        """
        return self._asked(self._function("action", fn, args, kwargs))

    def _function(self, kind: str, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StepRequest:
        bare, declared, name = unwrap(fn, kind)
        options = self._options if declared is None else _merge(declared, self._options)
        if options.inline and kind == "action":
            raise OptionError("an action cannot run inline; only queries and mutations can")
        signature = signature_of(bare, kind)
        if signature.is_async and kind == "action" and options.executor not in (None, "thread"):
            raise OptionError(f"{name!r} is async, and an executor runs plain functions; async actions have a loop of their own")
        values = signature.named(name, args, kwargs)
        name = self._options.name or name
        encoded = self._encode(values, name)
        atoms = values if _all_atoms(values) else None
        request = StepRequest(kind, name, encoded, options, target=fn, positional=len(args), values=atoms)
        if declared is not None:
            request.declared_retry = declared.retry
        return request

    def run_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run another workflow as one step. Its failure raises StepFailed, its cancellation StepCanceled."""
        if self._options.inline:
            raise OptionError("a child workflow cannot run inline; only queries and mutations can")
        child = self._resolve(workflow)
        values = child.bind(args, kwargs)
        name = self._options.name or child.name
        return self._asked(StepRequest("workflow", name, self._encode(values, name), self._options, target=child))

    def _asked(self, request: StepRequest) -> Coroutine[Any, Any, Any]:
        coro = self._body.call(request)
        frame: Any = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename == __file__:  # sleep calls _sleep
            frame = frame.f_back
        if frame is not None:  # what Python names in its warning, should nobody await it
            coro.__qualname__ = f"step {request.name} (line {frame.f_lineno} of {frame.f_code.co_name})"
        return coro

    def _encode(self, values: dict[str, Any], name: str) -> Encoded:
        if not values:
            return EMPTY_ARGS
        try:
            return self._codec.encode(values)
        except ValueNotStorable as exc:
            raise exc.within(f"an argument of step {name!r}") from None

    # -- waiting --

    def await_event(self, event_or_name: Any = None, *, id: str | None = None, timeout: Any = None) -> Coroutine[Any, Any, Any]:
        """Wait for an event sent to this run, by name or by the id that ``create_event`` gave.

        Args:
            event_or_name: an Event, or the name of one.
            id: the id of one particular event.
            timeout: seconds or timedelta; then TimeoutError.

        Raises:
            EventError: the event was sent with ``error=``.
        """
        typed = event_or_name if isinstance(event_or_name, Event) else None
        name: Any = typed.name if typed is not None else event_or_name
        if name is None and id is None:
            raise OptionError("await_event needs an event: an Event, its name, or id=")
        for value, what in ((name, "event"), (id, "id")):
            if value is not None and (not isinstance(value, str) or not value):
                raise OptionError(f"{what} must be an Event or a non-empty string, not {value!r}")
        options = self._options
        if timeout is not None:
            options = replace(options, timeout=in_seconds(timeout, "timeout"))
        if options.inline:
            raise OptionError("an event cannot be awaited inline; only queries and mutations can run inline")
        known = {k: v for k, v in (("event", name), ("id", id)) if v is not None}
        label = options.name or name or id or ""
        args = Encoded(dumps(known), {})
        return self._asked(StepRequest("event", label, args, options, target=typed, event_id=id, event_name=name))

    def sleep(self, seconds: Any, *, name: str | None = None) -> Coroutine[Any, Any, None]:
        """Sleep for seconds or a timedelta, across restarts of the kernel. A sleeper holds no slot."""
        duration = in_seconds(seconds, "a sleep")
        args = Encoded(dumps({"seconds": duration}), {})
        return self._sleep(StepRequest("sleep", name or self._options.name or "sleep", args, self._options, seconds=duration))

    def sleep_until(self, when: datetime, *, name: str | None = None) -> Coroutine[Any, Any, None]:
        """Sleep until an aware datetime; one that has passed returns at the next turn."""
        due = microseconds_of(when, "when")
        args = Encoded(dumps({"until": instant(due).isoformat()}), {})  # type: ignore[union-attr]
        return self._sleep(StepRequest("sleep", name or self._options.name or "sleep", args, self._options, due=due))

    def _sleep(self, request: StepRequest) -> Coroutine[Any, Any, None]:
        if self._options.inline:
            raise OptionError("a sleep cannot run inline; only queries and mutations can")
        return self._asked(request)

    def __repr__(self) -> str:
        return f"<step of run {self.run_id}>"


def _all_atoms(values: dict[str, Any]) -> bool:
    for value in values.values():  # noqa: SIM110 - a generator costs more than the loop, once a step
        if not is_atom(value):
            return False
    return True


def _merge(declared: StepOptions, said: StepOptions) -> StepOptions:
    """The decorator's options under those of the call."""
    if said is DEFAULT_OPTIONS:
        return declared
    return replace(
        said,
        timeout=said.timeout if said.timeout is not None else declared.timeout,
        executor=said.executor if said.executor is not None else declared.executor,
        at_most_once=declared.at_most_once,
    )


def _pool_name(pool: Any) -> str:
    name = getattr(pool, "name", pool)
    if not isinstance(name, str) or not name:
        raise OptionError(f"pool must be a pool or its name, not {pool!r}")
    return name
