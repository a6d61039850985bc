"""What ``workflow.options(...)`` says about a start."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from wfkernel.model.policy import StepOptions


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Options of one start, ready for the journal; None means: not said.

    Attributes:
        id: the public id that the starter wants.
        on_complete: a reference to the function, as ``functions.reference_to`` gives it.
        context_text, context_blobs: the encoded context.
        run_after: seconds; run_at: Unix microseconds.
        request: the token of the request that asked for it, by which a repeated request is known.
    """

    id: str | None = None
    on_complete: dict[str, str] | None = None
    context_text: str | None = None
    context_blobs: dict[str, Any] = field(default_factory=dict)
    run_after: float | None = None
    run_at: int | None = None
    request: str | None = None

    def start_at(self, now: int) -> int | None:
        """When the body begins, Unix microseconds; None is at once."""
        if self.run_at is not None:
            return self.run_at
        return None if self.run_after is None else now + round(self.run_after * 1e6)

    def delayed(self, step: StepOptions) -> StartOptions:
        """As the start of a child: the delay that its step asks for goes before its own."""
        if step.run_at is not None:
            return replace(self, run_at=step.run_at, run_after=None)
        if step.run_after is not None:
            return replace(self, run_after=step.run_after, run_at=None)
        return self
