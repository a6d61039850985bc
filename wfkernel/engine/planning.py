"""Dry replays: what a restart would run again, and whether a run replays at all. On the caller's thread; nothing is written."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from wfkernel.core.body import Body, matches
from wfkernel.core.fingerprint import fingerprint
from wfkernel.core.history import History, Recorded, step_label
from wfkernel.engine import queries
from wfkernel.engine.names import missing_name
from wfkernel.engine.replay import replay
from wfkernel.engine.runs import make_body
from wfkernel.engine.steps import FUNCTION_KINDS
from wfkernel.errors import DefinitionError, InvalidArguments, NondeterminismError, StepNotFound
from wfkernel.model.functions import StepFunction, name_of
from wfkernel.model.ids import text_of_key
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.records import Plan, PlanItem
from wfkernel.model.requests import StepRequest

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

T = TypeVar("T")
_NONE: dict[int, str] = {}


def steps_to_drop(
    engine: Engine, history: History, from_step: Any, live: dict[int, str] = _NONE
) -> tuple[list[int], dict[int, str]]:
    """The steps that ``restart(from_step)`` sets aside, and why each.

    Args:
        live: the names of the run's steps that have not ended, by number; some may not be in the journal yet.

    Raises:
        StepNotFound: ``from_step`` names none.
    """
    if from_step is None:
        again = _again(history)
        return again, {n: _why_again(history.steps[n]) for n in again}
    names = {**live, **{n: s.name for n, s in history.steps.items()}}
    if isinstance(from_step, str) and from_step == "changed" and "changed" not in names.values():
        return _changed(engine, history)
    number = _number_of(history.run_id, names, from_step)
    dropped = history.from_step(number)
    return dropped, {n: "from_step" if n == number else f"after step {number}" for n in dropped}


def _again(history: History) -> list[int]:
    return [] if history.status == "completed" else history.to_run_again()


def _why_again(step: Recorded) -> str:
    return "it failed" if step.status == "failed" else f"it was {step.status}"


def _number_of(run_id: str, names: dict[int, str], from_step: Any) -> int:
    """A number, or the last step of a name or a function."""
    known = ", ".join(f"{n}: {name}" for n, name in sorted(names.items())[:20])
    if isinstance(from_step, int) and not isinstance(from_step, bool):
        if from_step < 0 or not names or from_step > max(names):
            raise StepNotFound(run_id, from_step, known)
        return from_step
    if isinstance(from_step, str):
        name = from_step
    elif isinstance(from_step, StepFunction) or callable(from_step) or hasattr(from_step, "name"):
        name = getattr(from_step, "name", None) or name_of(from_step)
    else:
        raise StepNotFound(run_id, from_step, known)
    numbers = [n for n, known_name in names.items() if known_name == name]
    if not numbers:
        raise StepNotFound(run_id, name, known)
    return max(numbers)


def _changed(engine: Engine, history: History) -> tuple[list[int], dict[int, str]]:
    """The first step whose function or arguments changed since it ran, and all after it."""
    body, requests = dry_run(engine, history)
    first: tuple[int, str] | None = None
    for request in requests:
        known = history.steps.get(request.number)
        if known is None:
            continue
        reason = _difference(request, known)
        if reason is not None:
            first = (request.number, reason)
            break
    left_over = [n for n in history.steps if n >= body.next_number]
    if first is None and left_over:
        first = (min(left_over), "the body does not ask for it any more")
    again = _again(history)
    reasons = {n: _why_again(history.steps[n]) for n in again}
    if first is not None:
        for n in history.from_step(first[0]):
            reasons[n] = first[1] if n == first[0] else f"after step {first[0]}"
    return sorted(reasons), reasons


def _difference(request: StepRequest, known: Recorded) -> str | None:
    if request.kind != known.kind or request.name != known.name:
        return f"the body asks for {request.kind} {request.name!r} here"
    if not matches(request, known):
        return "its arguments changed"
    code = known.body.get("code")
    if code is not None and code != _code_of(request):
        return "its function changed"
    return None


def _code_of(request: StepRequest) -> str | None:
    target = request.target
    if request.kind in FUNCTION_KINDS:
        return fingerprint(getattr(target, "fn", target))
    return fingerprint(target.fn) if request.kind == "workflow" else None


def plan(engine: Engine, history: History, from_step: Any, live: dict[int, str] = _NONE) -> Plan:
    """What ``restart(from_step)`` would reuse and run again."""
    _, reasons = steps_to_drop(engine, history, from_step, live)
    items = [
        PlanItem(
            step_number=n,
            name=step.name,
            action="run" if n in reasons or not step.is_terminal else "reuse",
            reason=reasons.get(n, "its result is journaled" if step.is_terminal else "it has not ended"),
        )
        for n, step in sorted(history.steps.items())
    ]
    items += [
        PlanItem(step_number=n, name=name, action="run", reason="it has not ended")
        for n, name in live.items()
        if n not in history.steps
    ]
    return Plan(sorted(items, key=lambda item: item.step_number))


class Copy:
    """The steps that a fork takes over from a run.

    Attributes:
        seed: of its randomness, and ``begun_at`` its time at the beginning: both as they were when the steps were asked for.
        blobs: the side files that the steps refer to, which must outlive the run that they come from.
    """

    def __init__(self, engine: Engine, key: int, history: History, dropped: set[int]):
        kept = [s for n, s in history.steps.items() if s.is_terminal and n not in dropped]
        self._kept = sorted(kept, key=lambda s: s.seq)
        self._seqs = [s.seq for s in self._kept]
        self.seed: str = history.header.get("seed") or history.header["id"]
        self.begun_at = history.start_t if self._kept else None
        self._engine, self._history = engine, history
        named = queries.files(engine.journal, key)
        self.blobs = {sha: engine.journal.files.get(sha) for sha in named if any(sha in s.row[7] for s in self._kept)}

    def check(self, args: Any) -> None:
        """Whether the steps fit arguments that were changed.

        Raises:
            InvalidArguments: one was asked for with what has changed; nothing was done.
        """
        header = {**self._history.header, "args": args, "seed": self.seed, "begun_at": self.begun_at}
        steps = {s.number: s for s in self._kept}
        body, _ = dry_run(self._engine, replace(self._history, header=header, steps=steps, end=None, cancel=None))
        if body.fatal is not None:
            n = body.fatal.step_number
            raise InvalidArguments(
                f"with these arguments step {n} would be another one: fork from there (from_step={n}), or from a step before\n"
                f"  taken over: {body.fatal.recorded}\n"
                f"  requested:  {body.fatal.requested}"
            ) from None

    def rows(self, key: int, _: str) -> list[Any]:
        """Their rows under another key."""
        return [self._row(key, step) for step in self._kept]

    def _row(self, key: int, step: Recorded) -> Any:
        body = {**step.body, "after": -bisect_right(self._seqs, step.asked_after)}
        if "by" in body:
            body["by"] = -bisect_right(self._seqs, body["by"])
        if "event_id" in body:  # the event stays where it is
            body["event_id"] = f"e{text_of_key(key)[1:]}-{step.number}.0"
        return (key, step.number, 0, step.fact, step.t, step.name, dumps(body))


def verify(engine: Engine, history: History) -> None:
    """Replay a run without running a step; NondeterminismError if it asks for something else than the journal holds."""
    body, _ = dry_run(engine, history)
    if body.fatal is not None:
        raise body.fatal
    if history.status != "completed":
        return
    recorded = dumps(loads(history.end[7])["result"])  # type: ignore[index]
    asked = [step_label(r.kind, r.name, r.args.text) for r in body.pending.values() if r.number not in history.steps]
    if not body.ended:
        now = asked[0] if asked else "the body has not ended"
        raise NondeterminismError(history.run_id, -1, f"completed with {recorded[:200]}", now)
    if body.error is not None:
        raise NondeterminismError(history.run_id, -1, f"completed with {recorded[:200]}", f"raises {body.error!r}")
    result = engine.codec.encode(engine.workflows[history.name].check_result(body.result)).text
    if result != recorded:
        raise NondeterminismError(history.run_id, -1, f"completed with {recorded[:200]}", f"completes with {result[:200]}")


def dry_run(engine: Engine, history: History) -> tuple[Body, list[StepRequest]]:
    """The body after the replay, and every step that it asked for."""
    workflow = engine.workflows.get(history.name)
    if workflow is None:
        raise DefinitionError(f"workflow {history.name!r} is not defined here; run the cell that defines it")
    return _on_a_thread(lambda: _dry_run(engine, workflow, history))


def _dry_run(engine: Engine, workflow: Any, history: History) -> tuple[Body, list[StepRequest]]:
    body, coro = make_body(engine, workflow, history.header, history.start_t, history, None)
    replay(body, coro, history, engine.outcomes)
    if body.needs is not None:
        body.drop()
        raise DefinitionError(f"workflow {body.needs!r} is not defined here; run the cell that defines it")
    missing = missing_name(body.error)
    if missing is not None:
        body.drop()
        raise DefinitionError(f"{missing.name!r}, which workflow {history.name!r} uses, is not defined here; run its cell")
    requests, fatal = body.requests, body.fatal
    pending = dict(body.pending)
    body.drop()
    body.pending, body.fatal = pending, fatal
    return body, requests


def _on_a_thread(fn: Callable[[], T]) -> T:
    """In a thread of its own: the caller may be inside a running task of its own loop, and a body is a loop, too."""
    done: list[Any] = [None, None]

    def work() -> None:
        try:
            done[0] = fn()
        except BaseException as exc:
            done[1] = exc

    thread = threading.Thread(target=work, name="wfkernel-replay", daemon=True)
    thread.start()
    thread.join()
    if done[1] is not None:
        raise done[1]
    return done[0]
