"""What a run in progress waits for, in words. Engine thread only."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from wfkernel.model.policy import instant

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine
    from wfkernel.engine.runs import LiveRun
    from wfkernel.engine.steps import LiveStep

_NAMED = 3  # steps
_COUNTED = 1000  # steps that are looked at


def run_and_what_for(engine: Engine, key: int) -> tuple[str, str] | None:
    """The id of a run and what it waits for; None if it is not in progress."""
    run = engine.runs.get(key)
    return None if run is None else (run.id, what_for(run))


def what_for(run: LiveRun) -> str:
    """What a run in progress waits for, in words: "event 'approve'", "step 'fetch' ×12, sleep until 14:05:00"."""
    if run.engine.recovery.is_undefined(run):
        return f"the definition of {run.engine.recovery.wanted(run).rstrip(',')} (run its cell)"
    if run.engine.recovery.is_held(run):
        return f"to be resumed (run.resume(), or `%wf resume {run.id}`)"
    if run.start_timer is not None:
        return f"its start at {_clock_time(run.start_timer.due)}"
    counted = Counter(_step(step) for step in itertools.islice(run.steps.values(), _COUNTED))
    named = [text if n == 1 else f"{text} ×{n}" for text, n in itertools.islice(counted.items(), _NAMED)]
    more = len(run.steps) - sum(n for _, n in itertools.islice(counted.items(), _NAMED))
    if run.cancel_t is not None:
        named.insert(0, "its cleanup after cancel")
    return ", ".join(named) + (f" and {more} more" if more else "")


class Wait(NamedTuple):
    """One step that keeps a run where it is, until somebody sends an event.

    Attributes:
        event: its name; None for a child run.
        child: the id of the child run; None for an event.
    """

    event: str | None
    child: str | None


def waits_only(engine: Engine, key: int) -> list[Wait] | None:
    """The events and child runs without which a run cannot go on; empty if it goes on by itself, or is not in progress.

    All of it at one instant, so that a run is never said to wait while it moves. None if it has no body here, and so no steps: its
    workflow is not defined, or it is held.
    """
    run = engine.runs.get(key)
    if run is None or run.ending or run.start_timer is not None or run.cancel_t is not None:
        return []
    if engine.recovery.is_undefined(run) or engine.recovery.is_held(run):
        return None
    waits = [_wait(step) for step in run.steps.values()]
    return [w for w in waits if w is not None] if all(waits) else []


def _wait(step: LiveStep) -> Wait | None:
    """None for a step that ends by itself, or has ended and is on its way to the journal."""
    if step.done or step.request.options.timeout is not None:
        return None
    if step.kind == "event":
        return Wait(step.request.event_name or step.name, None)
    is_born = step.child is not None and step.child not in step.run.engine.births.being_born
    return Wait(None, step.child) if step.kind == "workflow" and is_born else None


def _step(step: LiveStep) -> str:
    request = step.request
    if step.kind == "event":
        return f"event {(request.event_name or request.event_id or step.name)!r}"
    if step.kind == "sleep":
        return f"sleep until {_clock_time(step.due)}" if step.due is not None else "sleep"
    if step.kind == "workflow":
        return f"child run {step.child or ''} of {step.name!r}".replace("  ", " ")
    if step.next_at is not None:
        return f"step {step.name!r}, attempt {step.attempts + 1} at {_clock_time(step.next_at)}"
    if step.timer is not None and not step.attempts and step.due is not None:
        return f"step {step.name!r} at {_clock_time(step.due)}"
    if step.attempt is None and step.lacks is not None:
        return f"the definition of {step.lacks!r}, which step {step.name!r} uses (run its cell)"
    if step.attempt is None and not step.done:
        return f"step {step.name!r}, queued for a slot"
    return f"step {step.name!r}"


def _clock_time(due_us: int) -> str:
    """In the kernel's time zone; with the date, if that is not today."""
    when = instant(due_us).astimezone()  # type: ignore[union-attr]
    today = time.strftime("%Y-%m-%d")
    return when.strftime("%H:%M:%S" if when.strftime("%Y-%m-%d") == today else "%Y-%m-%d %H:%M")
