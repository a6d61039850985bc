"""Annotations as validators: pydantic's, for anything that can stand in a signature."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError


class Validator:
    """Validates values of one annotation.

    A class that pydantic does not know (a DataFrame, say) is checked by ``isinstance``; an annotation that pydantic cannot
    use at all accepts everything, because a signature is not the place to fail for it.
    """

    __slots__ = ("_adapter", "annotation")

    def __init__(self, annotation: Any):
        self.annotation = annotation
        self._adapter = _adapter(annotation)

    def __call__(self, value: Any) -> Any:
        """The value as its type; raises pydantic's ValidationError."""
        return value if self._adapter is None else self._adapter.validate_python(value)

    def __str__(self) -> str:
        return getattr(self.annotation, "__name__", None) or str(self.annotation)


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    if annotation is Any:
        return None
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):
        pass
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
