"""What a body asks for: the requests that leave ``core`` and that the engine carries out."""

from __future__ import annotations

import itertools
from typing import Any

from wfkernel.model.policy import DEFAULT_OPTIONS, StepOptions
from wfkernel.model.values import Encoded

_calls = itertools.count()
EMPTY_ARGS = Encoded("{}", {})


class StepRequest:
    """One step that the body asks for.

    Attributes:
        number: its position in the order of creation, from 0; -1 until the call first runs.
        kind: "query", "mutation", "action", "workflow", "event" or "sleep".
        name: what the journal calls it.
        args: the arguments as they were when passed, encoded.
        options: what ``step.options`` and the decorator said, the call first.
        declared_retry: what the decorator said of retries, apart.
        target: the function, Workflow or Event; None for a sleep.
        positional: how many of the arguments go to the function by position.
        values: the arguments by name where they are all atoms and need no copy, else None.
        seconds: how long a sleep lasts, from the time it starts; None for others.
        due: the instant a ``sleep_until`` ends, Unix microseconds.
        event_id: for an event that is awaited by id.
        event_name: for an event that is awaited by name.
        after: seq of the last fact the body had seen.
        called: its place in the order of the calls in this process, begun or not.
    """

    __slots__ = (
        "after",
        "args",
        "called",
        "declared_retry",
        "due",
        "event_id",
        "event_name",
        "future",
        "kind",
        "name",
        "number",
        "options",
        "positional",
        "seconds",
        "target",
        "values",
    )

    def __init__(
        self,
        kind: str,
        name: str,
        args: Encoded = EMPTY_ARGS,
        options: StepOptions = DEFAULT_OPTIONS,
        *,
        target: Any = None,
        positional: int = 0,
        values: dict[str, Any] | None = None,
        seconds: float | None = None,
        due: int | None = None,
        event_id: str | None = None,
        event_name: str | None = None,
    ):
        self.number = -1
        self.kind = kind
        self.name = name
        self.args = args
        self.options = options
        self.target = target
        self.positional = positional
        self.values = values
        self.seconds = seconds
        self.due = due
        self.event_id = event_id
        self.event_name = event_name
        self.after = 0
        self.called = next(_calls)
        self.future: Any = None
        self.declared_retry: Any = None
