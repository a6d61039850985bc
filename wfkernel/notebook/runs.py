"""What the functions for notebooks take as a run or a manager: a Run, an id that one of the notebook's managers knows, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfkernel.engine.registry import engines
from wfkernel.errors import InvalidArguments, RunNotFound
from wfkernel.manager import WorkflowManager
from wfkernel.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["manager_of", "run_of", "timeline"]


def run_of(run: Run | str) -> Run:
    """The run itself; an id is looked up in the open managers: those that the notebook (or script) has variables for, or else all.

    Raises:
        RunNotFound: none of them has it.
        InvalidArguments: it is no run, no manager is open, or several have a run with this id.
    """
    if isinstance(run, Run):
        return run
    if not isinstance(run, str):
        raise InvalidArguments(f"a run is a Run or a run id, not {run!r}")
    managers = _open_managers()
    if not managers:
        raise InvalidArguments(f"no WorkflowManager is open here, so pass the Run itself instead of {run!r}")
    found = []
    for manager in managers:
        try:
            found.append(manager.get(run))
        except RunNotFound:
            pass
    if not found:
        raise RunNotFound(run)
    if len(found) > 1:
        raise InvalidArguments(f"{len(found)} open journals have a run {run!r}; say which: wf.get({run!r})")
    return found[0]


def manager_of(wf: WorkflowManager | None) -> WorkflowManager:
    """The manager itself; for None the open one, of those that the notebook (or script) has variables for, or else of all.

    Raises:
        InvalidArguments: it is no manager, none is open, or several are.
    """
    if wf is not None:
        if not isinstance(wf, WorkflowManager):
            raise InvalidArguments(f"a dashboard is of a WorkflowManager, not {wf!r}")
        return wf
    managers = _open_managers()
    if not managers:
        raise InvalidArguments("no WorkflowManager is open here; open one, or pass one: dashboard(wf)")
    if len(managers) > 1:
        paths = ", ".join(repr(str(manager.path)) for manager in managers)
        raise InvalidArguments(f"{len(managers)} journals are open ({paths}); say which: dashboard(wf)")
    return managers[0]


def _open_managers() -> list[WorkflowManager]:
    """Those that have a name in the notebook, one for each journal; where none has, all of this process."""
    named = [value for value in list(vars(sys.modules["__main__"]).values()) if isinstance(value, WorkflowManager)]
    found: list[WorkflowManager] = []
    for wf in named:
        if not wf.is_closed and not any(wf._is_same_journal(other) for other in found):
            found.append(wf)
    return found or [WorkflowManager._of(engine) for engine in list(engines.values()) if not engine.closing]


def timeline(run_or_runs: Run | str | Iterable[Run | str], ax: Axes | None = None) -> Figure:
    """Draw when the steps of one run, or of several, waited and ran.

    Args:
        run_or_runs: a Run or a run id, or a list of them.
        ax: axes to draw in; a new figure otherwise.

    Returns:
        The matplotlib Figure; ``savefig`` writes PNG, SVG, PDF.
    """
    if isinstance(run_or_runs, (Run, str)):
        return run_of(run_or_runs).plot(ax)
    if not isinstance(run_or_runs, Iterable):
        raise InvalidArguments(f"timeline takes a Run, a run id, or a list of them, not {run_or_runs!r}")
    runs = [run_of(run) for run in run_or_runs]
    if len(runs) == 1:
        return runs[0].plot(ax)
    plots: Any = import_module("wfkernel.notebook.plots")  # matplotlib only where it is drawn with
    return plots.timeline([(f"{run.name}  {run.id}", run.steps()) for run in runs], ax)
