"""Every error as a status and a sentence; never a traceback."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import Response

from wfkernel import errors
from wfkernel.control.address import NobodyListens
from wfkernel.control.client import ConnectionLost
from wfkernel.control.operations import error_body

_STATUS: dict[type[Exception], int] = {
    errors.RunNotFound: 404,
    errors.EventNotFound: 404,
    errors.StepNotFound: 404,
    errors.InvalidArguments: 422,
    errors.InvalidEvent: 422,
    errors.OptionError: 422,
    errors.DefinitionError: 422,
    errors.ValueNotStorable: 422,
    errors.JournalError: 503,
    errors.EngineStopped: 503,
    NobodyListens: 503,
    ConnectionLost: 503,
    TimeoutError: 503,
}
"""All other errors of ours say that the run is not in a state for what was asked: 409."""


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status, kind: of HTTP, and a word for programs.
        facts: more for programs.
        headers: of the answer.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, facts: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ):
        super().__init__(message)
        self.status, self.kind = status, kind
        self.facts, self.headers = facts or {}, headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": {"type": self.kind, "message": str(self), **({"facts": self.facts} if self.facts else {})}}


def refused(exc: errors.WfkernelError | TimeoutError) -> Refused:
    """An error of the manager's as one of HTTP's."""
    status = next((_STATUS[kind] for kind in type(exc).__mro__ if kind in _STATUS), 409)
    said = error_body(exc)
    return Refused(status, said["type"], said["message"], facts=said["facts"])


class Json(Response):
    """JSON that any client can read: ASCII, and no number that is none."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        try:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:
            return json.dumps(_finite(content), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
