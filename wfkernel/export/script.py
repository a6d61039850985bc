"""What exported scripts run on: a manager that opens its journal at the first use, what shows and may fail, and a command line.

Importing a script opens nothing: a worker process, or a tool that looks for its workflows, can import it while another process holds
the journal. The journal's path is, in this order: ``--journal``, the environment's ``WFKERNEL_JOURNAL``, what the notebook said.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from wfkernel.export.late_manager import ScriptManager
from wfkernel.export.outcomes import complain
from wfkernel.export.running import run_command

__all__ = ["command_line", "manager", "may_fail", "show"]

T = TypeVar("T")


def manager(path: str | os.PathLike[str] | None = None, **options: Any) -> ScriptManager:
    """What ``%load_ext wfkernel``, ``%wf journal PATH`` and ``WorkflowManager(path, **options)`` become in a script.

    >>> from wfkernel.export import script
    >>> wf = script.manager(":memory:")
    >>> wf
    <WorkflowManager, not open yet>
    """
    _offer_display()
    return ScriptManager(path, **options)


def show(value: T) -> T:
    """Print the value of a cell's last expression, unless it is None; and return it."""
    if value is not None:
        sys.stdout.write(f"{value!r}\n")
        sys.stdout.flush()
    return value


@contextmanager
def may_fail() -> Iterator[None]:
    """A cell with the tag ``raises-exception``: what it raises is told, and the script goes on."""
    try:
        yield
    except Exception as exc:
        complain(f"{type(exc).__name__}: {exc}")


def command_line(wf: ScriptManager | None, main: Callable[[], Any], argv: Sequence[str] | None = None) -> int:
    """Run an exported script.

    Args:
        wf: its manager; None for a notebook without workflows.
        main: what its cells did, as a function; may be async.
        argv: the arguments; those of the process by default.

    Returns:
        The exit code: 0 done, 1 something failed, 2 the arguments are wrong, 3 a run waits for what does not come by itself.
    """
    _offer_display()
    return run_command(wf, main, argv)


class _Displayed:
    """What ``display(..., display_id=...)`` returns: there is no place to change, so what is new is printed below."""

    def __init__(self, display_id: Any):
        self.display_id = display_id

    def display(self, value: Any, **_: Any) -> None:
        show(value)

    update = display


def _display(*values: Any, display_id: Any = None, **_: Any) -> _Displayed | None:
    for value in values:
        show(value)
    return _Displayed(display_id) if display_id else None


def _offer_display() -> None:
    # IPython puts `display` among the builtins. As a name of the script it would change the fingerprints of functions that use it.
    if not hasattr(builtins, "display"):
        builtins.display = _display  # type: ignore[attr-defined]
