"""A body brought to where its facts say it is: at recovery, on restart, and dry, for ``plan`` and ``verify``."""

from __future__ import annotations

from typing import Any

from wfkernel.core.body import Body
from wfkernel.core.history import History, Recorded
from wfkernel.engine.outcomes import child_canceled, step_error
from wfkernel.model.facts import Fact
from wfkernel.model.jsontext import dumps
from wfkernel.model.records import ErrorInfo
from wfkernel.model.values import Codec

_ATOMS = frozenset((type(None), bool, int, float, str))


class Outcomes:
    """Recorded ends of steps, as what the body receives."""

    def __init__(self, codec: Codec, load: Any):
        self._codec = codec
        self._load = load

    def of(self, step: Recorded) -> tuple[Any, BaseException | None]:
        """``(value, error)`` of a finished step."""
        body = step.body
        if step.fact == Fact.STEP_SUCCESS:
            return self.value(body.get("result")), None
        if step.fact == Fact.STEP_CANCELED:
            return None, child_canceled("", body.get("child"))
        info = ErrorInfo(**body["error"])
        return None, step_error(step.kind, step.name, info, body.get("attempts", 1))

    def value(self, tree: Any) -> Any:
        """A stored value, from its parsed JSON."""
        return tree if type(tree) in _ATOMS else self._codec.decode(dumps(tree), self._load)


def replay(body: Body, coro: Any, history: History, outcomes: Outcomes, *, last_is_new: bool = False) -> None:
    """Run the coroutine over everything that happened, in journal order, without being heard.

    Afterwards ``body.pending`` is what the run waits for, unless ``body.fatal`` says why it does not replay, or it ended.

    Args:
        last_is_new: the last fact has not been seen by an earlier body, so what is printed on it is heard.
    """
    facts = history.outcomes()
    body.replaying = bool(history.steps)
    body.begin(coro)
    last = len(facts) - 1
    for i, item in enumerate(facts):
        if body.ended or body.fatal is not None or body.needs is not None:
            break
        if i == last and last_is_new:
            body.replaying = False
        if not isinstance(item, Recorded):
            body.cancel(item[0], item[5])
        elif item.fact != Fact.STEP_CANCELED or item.body.get("raised"):
            value, error = outcomes.of(item)
            body.apply(item.number, item.seq, item.t, value, error)
    body.replaying = False
    if body.needs is None:
        body.check_replayed()
