"""The functions that a step runs, and the decorators that say what they are.

A decorator is optional: ``step.run_action(plain_function, ...)`` works. It adds options and a stable name.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from wfkernel.errors import DefinitionError, InvalidArguments
from wfkernel.model.policy import Retry, StepOptions, check_executor, check_retry, seconds
from wfkernel.model.values import remember_types

P = ParamSpec("P")
R = TypeVar("R")

STAR = "*"  # the key under which surplus positional arguments are kept
_TAKES_DB = frozenset(("query", "mutation"))


class StepFunction(Generic[P, R]):
    """A function with its kind and options. Calling it calls the function itself.

    Attributes:
        fn: the function as written.
        kind: "query", "mutation" or "action".
        name: what the journal calls its steps.
        options: the decorator's options.
    """

    def __init__(self, fn: Callable[P, R], kind: str, options: StepOptions):
        self.fn = fn
        self.kind = kind
        self.options = options
        self.name = options.name or name_of(fn)
        functools.update_wrapper(self, fn)
        _remember(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


class Signature:
    """What one function takes, looked at once."""

    __slots__ = ("is_async", "names", "open_keywords", "open_positional", "required", "takes")

    def __init__(self, fn: Any, skip_first: bool):
        self.is_async = is_async(fn)
        try:
            parameters = list(inspect.signature(fn).parameters.values())
        except Exception:  # builtins without a signature, objects that refuse to be looked at: pass everything through
            self.names: tuple[str, ...] = ()
            self.required = self.takes = frozenset()
            self.open_positional = self.open_keywords = True
            return
        if skip_first and parameters and parameters[0].kind in _BY_POSITION:
            parameters = parameters[1:]
        self.names = tuple(p.name for p in parameters if p.kind in _BY_POSITION)
        named = [p for p in parameters if p.kind not in _VARIADIC]
        self.required = frozenset(p.name for p in named if p.default is p.empty)
        self.takes = frozenset(p.name for p in named)
        self.open_positional = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
        self.open_keywords = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)

    def named(self, who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by parameter name, surplus positional ones under ``*``; InvalidArguments if they do not fit."""
        names = self.names
        if not args:
            by_name = kwargs
        else:
            by_name = dict(zip(names, args))  # noqa: B905 - surplus is looked at next
            if len(args) > len(names):
                if not self.open_positional:
                    raise InvalidArguments(f"{who}() takes {len(names)} positional arguments, {len(args)} were given")
                by_name[STAR] = list(args[len(names) :])
            if kwargs:
                twice = by_name.keys() & kwargs.keys()
                if twice:
                    raise InvalidArguments(f"{who}() got {_quoted(twice)} both by position and by name")
                by_name.update(kwargs)
        if not self.required <= by_name.keys():
            raise InvalidArguments(f"{who}() is missing {_quoted(self.required - by_name.keys())}")
        if not self.open_keywords and kwargs and not kwargs.keys() <= self.takes:
            raise InvalidArguments(
                f"{who}() does not take {_quoted(kwargs.keys() - self.takes)}; it takes {_quoted(self.takes) or 'nothing'}"
            )
        return by_name

    def split(self, values: dict[str, Any], positional: int) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments again, as the caller passed them."""
        values = dict(values)
        args = [values.pop(n) for n in self.names[:positional]]
        args.extend(values.pop(STAR, ()))
        return args, values


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_signatures: dict[bool, weakref.WeakKeyDictionary[Any, Signature]] = {
    True: weakref.WeakKeyDictionary(),
    False: weakref.WeakKeyDictionary(),
}


def signature_of(fn: Any, kind: str) -> Signature:
    """The signature of ``fn`` without the ``db`` that queries and mutations are handed."""
    skip = kind in _TAKES_DB
    cache = _signatures[skip]
    try:
        known = cache.get(fn)
        if known is None:
            known = cache[fn] = Signature(fn, skip)
    except Exception:  # not hashable, no weak references, an __eq__ that raises: look each time
        known = Signature(fn, skip)
    return known


def is_async(fn: Any) -> bool:
    """Whether calling ``fn`` gives a coroutine: coroutine functions, partials and methods of them, async ``__call__``."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(type(fn), "__call__", None))  # noqa: B004


def name_of(fn: Any) -> str:
    """``fn.__name__``, else the name of its type; never a repr, which would hold an address."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def unwrap(fn: Any, kind: str) -> tuple[Any, StepOptions | None, str]:
    """The bare function, its decorator's options, and its name; DefinitionError if it cannot be a step of this kind."""
    if type(fn) is StepFunction:
        if fn.kind != kind:
            raise DefinitionError(f"{fn.name!r} is decorated as {fn.kind}: call it by step.run_{fn.kind}, not step.run_{kind}")
        return fn.fn, fn.options, fn.name
    if callable(getattr(fn, "start_options", None)):
        raise DefinitionError(f"{fn.name!r} is a workflow: call it by step.run_workflow, not step.run_{kind}")
    if not callable(fn):
        raise DefinitionError(f"step.run_{kind} takes a function, not {type(fn).__name__} {fn!r}; pass f, not f(...)")
    if isinstance(fn, type) and getattr(fn, "__module__", "").startswith("wfkernel"):
        raise DefinitionError(f"step.run_{kind} takes a function, not {fn!r}")
    name = getattr(fn, "__name__", None)
    return fn, None, name if isinstance(name, str) else type(fn).__name__


# -- decorators --


def _decorate(kind: str, fn: Any, retry: Any, timeout: Any, name: Any, executor: Any, at_most_once: bool = False) -> Any:
    options = StepOptions(
        name=check_name(name),
        retry=check_retry(retry),
        timeout=None if timeout is None else seconds(timeout, "timeout"),
        executor=check_executor(executor),
        at_most_once=at_most_once,
    )

    def wrap(function: Any) -> Any:
        if isinstance(function, StepFunction):
            raise DefinitionError(f"@{kind}: {function.name!r} is already decorated as {function.kind}")
        if not callable(function) or isinstance(function, type):
            raise DefinitionError(f"@{kind} decorates a function, not {function!r}")
        if kind in _TAKES_DB and not _accepts_db(function):
            raise DefinitionError(f"@{kind}: {name_of(function)}() must take the database as its first parameter: def f(db, ...)")
        return StepFunction(function, kind, options)

    return wrap if fn is None else wrap(fn)


def _accepts_db(fn: Any) -> bool:
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return True
    return bool(parameters) and parameters[0].kind in (*_BY_POSITION, inspect.Parameter.VAR_POSITIONAL)


def check_name(name: Any) -> str | None:
    if name is None or (isinstance(name, str) and name):
        return name
    raise DefinitionError(f"a name must be a non-empty string, not {name!r}")


@overload
def query(fn: Callable[Concatenate[Any, P], R], /) -> StepFunction[Concatenate[Any, P], R]: ...
@overload
def query(
    *, retry: Retry = None, timeout: Any = None, name: str | None = None, executor: Any = None
) -> Callable[[Callable[Concatenate[Any, P], R]], StepFunction[Concatenate[Any, P], R]]: ...
def query(fn: Any = None, /, *, retry: Any = None, timeout: Any = None, name: Any = None, executor: Any = None) -> Any:
    """Declare a function that reads the database: ``(db, ...)``. It cannot write.

    Args:
        retry: accepted for symmetry; only actions are retried on a user's error.
        timeout: seconds or timedelta that one attempt may take.
        name: what the journal calls its steps; ``fn.__name__`` otherwise.
        executor: where it runs; None is wfkernel's own threads.

    >>> @query
    ... def flights_of(db, origin: str) -> int:
    ...     return db.execute("SELECT count(*) FROM flights WHERE origin = ?", [origin]).fetchone()[0]
    """
    return _decorate("query", fn, retry, timeout, name, executor)


@overload
def mutation(fn: Callable[Concatenate[Any, P], R], /) -> StepFunction[Concatenate[Any, P], R]: ...
@overload
def mutation(
    *, retry: Retry = None, timeout: Any = None, name: str | None = None, executor: Any = None
) -> Callable[[Callable[Concatenate[Any, P], R]], StepFunction[Concatenate[Any, P], R]]: ...
def mutation(fn: Any = None, /, *, retry: Any = None, timeout: Any = None, name: Any = None, executor: Any = None) -> Any:
    """Declare a function that writes the database: ``(db, ...)``.

    Its SQL and its journal row are one DuckDB transaction: exactly once, whatever crashes. It is run again when it
    conflicts with another transaction, so it must do nothing but SQL. Options as for ``query``.

    >>> @mutation
    ... def note(db, text: str) -> None:
    ...     db.execute("INSERT INTO notes VALUES (?)", [text])
    """
    return _decorate("mutation", fn, retry, timeout, name, executor)


@overload
def action(fn: Callable[P, R], /) -> StepFunction[P, R]: ...
@overload
def action(
    *,
    retry: Retry = None,
    timeout: Any = None,
    name: str | None = None,
    executor: Any = None,
    at_most_once: bool = False,
) -> Callable[[Callable[P, R]], StepFunction[P, R]]: ...
def action(
    fn: Any = None,
    /,
    *,
    retry: Any = None,
    timeout: Any = None,
    name: Any = None,
    executor: Any = None,
    at_most_once: bool = False,
) -> Any:
    """Declare a function that does anything else: async, or plain (plain ones run in threads).

    Args:
        retry: True, False or a RetryPolicy.
        timeout: seconds or timedelta that one attempt may take; then the attempt fails with TimeoutError.
        name: what the journal calls its steps; ``fn.__name__`` otherwise.
        executor: a ``concurrent.futures.Executor`` for plain functions, or "process"; None is wfkernel's own threads.
        at_most_once: after a crash while it ran, do not run it again: the step fails with OutcomeUnknown.

    >>> @action(retry=RetryPolicy(max_attempts=3), timeout=30)
    ... async def geocode(address: str) -> tuple[float, float]: ...
    """
    return _decorate("action", fn, retry, timeout, name, executor, at_most_once)


# -- finding a function again after a restart: by registered name, or by module and qualified name --

_by_name: dict[str, Any] = {}
_by_place: dict[tuple[str, str], Any] = {}


def _remember(fn: StepFunction[..., Any]) -> None:
    remember_types(fn.fn)
    _by_name[fn.name] = fn
    remember_place(fn.fn)


def remember_place(fn: Any) -> None:
    """So that a function local to another can be found again in this process."""
    module, qualname = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualname, str):
        _by_place[module, qualname] = fn


def reference_to(fn: Any) -> dict[str, str]:
    """What the journal keeps of a function to find it again: its registered name, module and qualified name."""
    bare = fn.fn if isinstance(fn, StepFunction) else fn
    remember_place(bare)
    reference = {"module": getattr(bare, "__module__", None) or "", "qualname": getattr(bare, "__qualname__", name_of(bare))}
    if isinstance(fn, StepFunction):
        reference["name"] = fn.name
    return reference


def find_function(reference: dict[str, str]) -> Any | None:
    """The function that ``reference`` names, if this process has it. Nothing is imported for it."""
    import sys

    named = _by_name.get(reference.get("name", ""))
    if named is not None:
        return named
    found: Any = sys.modules.get(reference["module"])
    for part in reference["qualname"].split("."):
        found = getattr(found, part, None)
    if callable(found):
        return found
    return _by_place.get((reference["module"], reference["qualname"]))


def _quoted(names: Any) -> str:
    return ", ".join(repr(n) for n in sorted(names))
