"""Events: what users send to a run, with a type."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from wfkernel.errors import DefinitionError, InvalidEvent
from wfkernel.model.types import Validator
from wfkernel.model.values import remember_types

T = TypeVar("T")
_VALUES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)  # what is given for a type by mistake


class Event(Generic[T]):
    """A named event whose values are of one type. Made by ``define_event``."""

    __slots__ = ("_validator", "name", "type")

    def __init__(self, name: str, type: Any = None):
        self.name = name
        self.type = type
        self._validator: Validator | None = None
        remember_types(type)

    def fitted(self, value: Any, sent: Event[Any]) -> Any:
        """A value that was validated as another event of this name. It may be of a class that was defined anew since."""
        if sent is self or sent.type == self.type:
            return value
        try:
            return self.validate(value)
        except InvalidEvent:
            return self.validate(to_jsonable_python(value, fallback=lambda v: v))

    def validate(self, value: Any) -> Any:
        """``value`` as the event's type; InvalidEvent if it does not fit."""
        if self.type is None:
            return value
        if self._validator is None:
            self._validator = Validator(self.type)
        try:
            return self._validator(value)
        except ValidationError as exc:
            raise InvalidEvent(f"event {self.name!r} takes {self._validator}: {explain(exc)}") from exc

    def __repr__(self) -> str:
        return f"define_event({self.name!r}{'' if self.type is None else f', {self.type!r}'})"


def define_event(name: str, type: Any = None) -> Event[Any]:
    """An event that ``step.await_event`` waits for and ``send_event`` sends.

    Args:
        name: how the journal and the command line call it.
        type: anything that pydantic validates; None takes any storable value.

    Raises:
        DefinitionError: the name is not a non-empty string, or the type is no type.

    >>> approval = define_event("approval", bool)
    >>> approval.validate("yes")
    True
    """
    if not isinstance(name, str) or not name:
        raise DefinitionError(f"an event's name must be a non-empty string, not {name!r}")
    if isinstance(type, _VALUES):
        raise DefinitionError(f"an event's type is a type, such as bool or a pydantic model, not {type!r}")
    return Event(name, type)


def explain(exc: ValidationError) -> str:
    """pydantic's findings on one line, each with its place."""
    found = []
    for error in exc.errors(include_url=False, include_context=False):
        place = ".".join(str(p) for p in error["loc"])
        found.append(f"{place}: {error['msg']}" if place else error["msg"])
    return "; ".join(found)
