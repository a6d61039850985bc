"""A workflow's definition: its function, its signature, its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pydantic import ValidationError

from wfkernel.errors import DefinitionError, InvalidArguments, OptionError, ValueNotStorable, WfkernelError
from wfkernel.model.events import explain
from wfkernel.model.functions import StepFunction, check_name, name_of, reference_to
from wfkernel.model.policy import Retry, check_retry, microseconds_of, seconds
from wfkernel.model.starting import StartOptions
from wfkernel.model.types import Validator
from wfkernel.model.values import Codec, remember_types

if TYPE_CHECKING:
    from wfkernel.manager import WorkflowManager
    from wfkernel.run import Run

R = TypeVar("R")
_VAR = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ResultInvalid(WfkernelError, ValueError):
    """The body returned something that its ``returns=`` does not allow."""


class Workflow(Generic[R]):
    """A durable function. Made by ``wf.workflow``; start it by ``workflow.start(...)`` or ``wf.start(workflow, ...)``.

    Attributes:
        name: what the journal calls its runs.
        fn: the ``async def`` as written.
    """

    def __init__(
        self,
        manager: WorkflowManager,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        retry: Retry = None,
        retry_actions_by_default: bool | None = None,
        returns: Any = None,
    ):
        self.manager = manager
        self.fn = _check(fn)
        self.name: str = check_name(name) or name_of(fn)
        self.retry = check_retry(retry)
        self.manager_retry: Retry = manager.retry
        by_default = retry_actions_by_default
        self.retry_actions_by_default = by_default if by_default is not None else (manager.retry_actions_by_default or None)
        self.returns = returns
        self.signature = Arguments(self.name, fn)
        self._options = StartOptions()
        self._check_returns = None if returns is None else Validator(returns)
        self.__name__ = self.name
        self.__qualname__ = getattr(fn, "__qualname__", self.name)
        self.__module__ = getattr(fn, "__module__", None) or __name__
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn
        remember_types(fn)
        remember_types(returns)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        raise DefinitionError(
            f"{self.name} is a workflow: start it by {self.name}.start(...), or from a body by step.run_workflow({self.name}, ...)"
        )

    def start(self, /, *args: Any, **kwargs: Any) -> Run:
        """Begin a run; it is in the journal when this returns.

        Raises:
            InvalidArguments: they do not fit the signature; nothing was journaled.
            RunExists: the ``id`` was used with other arguments.
        """
        return self.manager.start(self, *args, **kwargs)

    def options(
        self,
        *,
        id: str | None = None,
        on_complete: Any = None,
        context: Any = None,
        run_after: Any = None,
        run_at: Any = None,
    ) -> Workflow[R]:
        """A derived workflow whose starts carry these options.

        Args:
            id: the run's public id, an idempotency key: the same id again returns the run that exists.
            on_complete: a mutation ``(db, completion)`` that runs once in the transaction that ends the run.
            context: any storable value, handed to ``on_complete``.
            run_after: seconds or timedelta before the body begins.
            run_at: an aware datetime at which it begins.
        """
        said: dict[str, Any] = {}
        if id is not None:
            if not isinstance(id, str) or not id:
                raise OptionError(f"id must be a non-empty string, not {id!r}")
            said["id"] = id
        if on_complete is not None:
            _check_hook(on_complete)
            said["on_complete"] = reference_to(on_complete)
        if context is not None:
            said["context_text"], said["context_blobs"] = _encoded(self.manager.codec, context, "the context")
        if run_after is not None:
            said["run_after"] = seconds(run_after, "run_after")
        if run_at is not None:
            said["run_at"] = microseconds_of(run_at, "run_at")
        options = replace(self._options, **said)
        if options.run_after is not None and options.run_at is not None:
            raise OptionError("run_after and run_at exclude each other: give one of them")
        derived = object.__new__(type(self))
        derived.__dict__.update(self.__dict__)
        derived._options = options
        return derived

    def start_options(self) -> StartOptions:
        return self._options

    # -- what the engine uses --

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Validated arguments by parameter name, defaults filled in; InvalidArguments if they do not fit."""
        return self.signature.bind(args, kwargs)

    def call_arguments(self, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        return self.signature.split(values)

    def check_result(self, value: Any) -> Any:
        if self._check_returns is None:
            return value
        try:
            return self._check_returns(value)
        except ValidationError as exc:
            raise ResultInvalid(
                f"invalid return value of {self.name}, which returns {self._check_returns}: {explain(exc)}"
            ) from exc

    def __repr__(self) -> str:
        return f"<workflow {self.name}{self.signature.text}>"


class Arguments:
    """The parameters of a workflow after ``step``, with a validator for each."""

    def __init__(self, name: str, fn: Callable[..., Any]):
        step, *parameters = inspect.signature(fn).parameters.values()
        self._name = name
        self._taken = "" if step.kind is inspect.Parameter.POSITIONAL_ONLY else step.name  # also where `**others` would take it
        self._signature = inspect.Signature(parameters)
        self._hints = _hints(fn)
        self._validators: dict[str, Validator] | None = None  # built at the first start: pydantic's schemas are not free
        self.text = str(self._signature)

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """One by one, with annotations as objects; without, where an annotation names what is not defined."""
        found = self._signature.parameters.values()
        return [p.replace(annotation=self._hints.get(p.name, inspect.Parameter.empty)) for p in found]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self._taken in kwargs:
            raise InvalidArguments(f"{self._name}{self.text}: {self._taken!r} is the step itself, and no argument of a run")
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise InvalidArguments(f"{self._name}{self.text}: {exc}") from None
        given = frozenset(bound.arguments)  # a default is the author's word, as in `days: int = None`
        bound.apply_defaults()
        validators = self._get_validators()
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for parameter, value in bound.arguments.items():
            validator = validators.get(parameter) if parameter in given else None
            try:
                values[parameter] = value if validator is None else self._validated(parameter, validator, value)
            except ValidationError as exc:
                wrong.append(f"{parameter}: {explain(exc)}")
        if wrong:
            raise InvalidArguments(f"{self._name}{self.text}: " + "; ".join(wrong))
        return values

    def _validated(self, parameter: str, validator: Validator, value: Any) -> Any:
        kind = self._signature.parameters[parameter].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            return [validator(v) for v in value]
        if kind is inspect.Parameter.VAR_KEYWORD:
            return {k: validator(v) for k, v in value.items()}
        return validator(value)

    def _get_validators(self) -> dict[str, Validator]:
        if self._validators is None:
            named = self._signature.parameters
            self._validators = {n: Validator(hint) for n, hint in self._hints.items() if n in named}
        return self._validators

    def split(self, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the call; what the function does not take (any more) is an error of the call."""
        values = dict(values)
        positional: list[Any] = []
        keyword: dict[str, Any] = {}
        gap = False
        for name, parameter in self._signature.parameters.items():
            if name not in values:
                gap = gap or parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
                continue
            value = values.pop(name)
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                keyword.update(value)
            elif parameter.kind is parameter.KEYWORD_ONLY or (gap and parameter.kind is not parameter.POSITIONAL_ONLY):
                keyword[name] = value
            else:
                positional.append(value)
        keyword.update(values)
        return positional, keyword


def _check(fn: Any) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(fn):
        what = f"{fn.__name__}()" if inspect.isfunction(fn) else repr(fn)
        raise DefinitionError(f"a workflow is an `async def fn(step, ...)`, which {what} is not")
    parameters = list(inspect.signature(fn).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise DefinitionError(
            f"workflow {name_of(fn)}() must take the step as its first parameter: async def {name_of(fn)}(step, ...)"
        )
    return fn


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """Annotations as objects; those that name what is not defined (yet, or only locally) are left out."""
    try:
        return get_type_hints(fn, include_extras=True)
    except Exception:
        known = dict(inspect.getclosurevars(fn).nonlocals) if inspect.isfunction(fn) else {}
    hints = {}
    for name, annotation in getattr(fn, "__annotations__", {}).items():
        if not isinstance(annotation, str):
            hints[name] = annotation
            continue
        try:
            hints[name] = eval(annotation, getattr(fn, "__globals__", {}), known)
        except Exception:
            continue
    return hints


def _encoded(codec: Codec, value: Any, what: str) -> tuple[str, dict[str, Any]]:
    try:
        encoded = codec.encode(value)
    except ValueNotStorable as exc:
        raise exc.within(what) from None
    return encoded.text, dict(encoded.blobs)


def _check_hook(hook: Any) -> None:
    """
    Raises:
        OptionError: it cannot be an ``on_complete``.
    """
    if not callable(hook):
        raise OptionError(f"on_complete must be a function (db, completion), not {hook!r}")
    if isinstance(hook, StepFunction) and hook.kind != "mutation":
        raise OptionError(f"on_complete must be a mutation (db, completion), and {hook.name!r} is declared as {hook.kind}")
    fn = hook.fn if isinstance(hook, StepFunction) else hook
    if not isinstance(getattr(hook, "__qualname__", None), str):
        raise OptionError(f"on_complete must have a name, to be found again after a restart, which {hook!r} has not")
    try:
        inspect.signature(fn).bind(None, None)
    except TypeError as error:
        raise OptionError(f"on_complete is called with (db, completion), which {fn!r} does not take: {error}") from None
    except ValueError:
        pass  # written in C, without a signature
