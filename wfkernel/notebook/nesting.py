"""``%wf nest on``: lets the user's own cells call ``asyncio.run`` and ``loop.run_until_complete``, through nest-asyncio2.

The only place that says nest_asyncio2. It exchanges functions and classes of asyncio for the whole process, so it comes in when the
user asks for it; nothing of ours needs it. It has no way back of its own: ``turn_off`` puts back what ``turn_on`` saw exchanged.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from wfkernel.errors import OptionError

__all__ = ["is_on", "turn_off", "turn_on"]

_MISSING = object()
_exchanged: list[tuple[Any, str, Any, Any]] = []  # where, which name, what it was, what took its place


def is_on() -> bool:
    """Whether a cell may call ``asyncio.run`` now; somebody else (ipykernel 6, say) may have seen to it."""
    return hasattr(asyncio, "_nest_patched")


def turn_on() -> None:
    """Patch asyncio, and the loop of this thread.

    Raises:
        OptionError: the loop is not one of asyncio's own (uvloop, say); nothing is patched then.
    """
    if is_on():
        return
    import nest_asyncio2

    before = [(place, dict(vars(place))) for place in _places()]
    problem: ValueError | None = None
    try:
        nest_asyncio2.apply()
    except ValueError as exc:
        problem = exc
    for place, names in before:
        for name, made in vars(place).items():
            if names.get(name, _MISSING) is not made:
                _exchanged.append((place, name, names.get(name, _MISSING), made))
    if problem is not None:
        turn_off()
        raise OptionError(f"asyncio.run cannot be nested here: {problem}; only asyncio's own loops can be patched") from None


def turn_off() -> bool:
    """Put back what ``turn_on`` exchanged. Returns whether nesting is off now: what others have patched stays.

    Tasks and futures that were made meanwhile stay what they are, and go on working.

    Raises:
        OptionError: called inside of a nested run, which would never end then.
    """
    if _exchanged and _is_nested_here():
        raise OptionError("a nested asyncio.run is under way here: turn nest off in a cell of its own")
    while _exchanged:
        place, name, was, made = _exchanged.pop()
        if vars(place).get(name, _MISSING) is not made:
            continue  # somebody has patched it since
        if was is _MISSING:
            delattr(place, name)
        else:
            setattr(place, name, was)
    return not is_on()


def _places() -> list[Any]:
    """The modules and classes in which nest_asyncio2 exchanges something."""
    places: list[Any] = [asyncio, asyncio.events, asyncio.tasks, asyncio.futures, _class_of_loop()]
    if sys.version_info < (3, 14):  # where it leaves the policies alone
        places.append(type(asyncio.get_event_loop_policy()))
    if "tornado.concurrent" in sys.modules:
        places.append(sys.modules["tornado.concurrent"])
    return places


def _is_nested_here() -> bool:
    try:
        return getattr(asyncio.get_running_loop(), "_num_runs_pending", 0) > 1
    except RuntimeError:
        return False


def _class_of_loop() -> type:
    try:
        return type(asyncio.get_running_loop())
    except RuntimeError:  # a terminal, between cells
        return asyncio.SelectorEventLoop
