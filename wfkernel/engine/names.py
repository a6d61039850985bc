"""Names that user code asks for before they are there.

After a restart a run goes on as soon as its workflow is defined, and the rest of the notebook or the script may not have been
executed yet. A global name that is missing then is no failure of the run: whoever needs it waits until it is there.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

_LOOK_S = 0.1


class Missing(NamedTuple):
    """A global name that was not bound when code asked for it."""

    name: str
    namespace: dict[str, Any]

    @property
    def is_there(self) -> bool:
        return self.name in self.namespace or hasattr(builtins, self.name)


def missing_name(error: BaseException | None) -> Missing | None:
    """The name for whose lack user code failed; None for any other error, such as the lack of a local variable."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := missing_name(inner)) is not None), None)
    if type(error) is not NameError or error.name is None or error.__traceback__ is None:
        return None
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    return Missing(error.name, frame.f_globals) if error.name in frame.f_code.co_names else None


class Names:
    """Whoever waits for a name. Engine thread only."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._waiting: dict[tuple[str, int], tuple[Missing, list[Callable[[], None]]]] = {}
        self._timer: Any = None

    def wait(self, missing: Missing, then: Callable[[], None]) -> None:
        """Call ``then`` once the name is there."""
        self._waiting.setdefault((missing.name, id(missing.namespace)), (missing, []))[1].append(then)
        self._look_later()

    def _look_later(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._engine.loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        there = [key for key, (missing, _) in self._waiting.items() if missing.is_there]
        for then in [then for key in there for then in self._waiting.pop(key)[1]]:
            then()
        self._look_later()
        self._engine.turn_over()
