"""Run: a handle on one run. Thin: it asks its manager."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wfkernel.errors import InvalidArguments, WfkernelError
from wfkernel.model.events import Event
from wfkernel.model.records import Plan, RunStatus, StepRecord
from wfkernel.waits import has_kernel

if TYPE_CHECKING:
    from wfkernel.manager import WorkflowManager


class Run:
    """A handle on one run. Cheap; make as many as you like.

    Attributes:
        id: its public id.
        name: its workflow's name.
    """

    __slots__ = ("_key", "_manager", "id", "name")

    def __init__(self, manager: WorkflowManager, run_id: str, name: str, key: int):
        self._manager = manager
        self._key = key
        self.id = run_id
        self.name = name

    def status(self) -> RunStatus:
        """Where it stands now."""
        return self._manager.status(self)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end and return its result; see ``WorkflowManager.result``."""
        return self._manager.result(self, timeout)

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        return await self._manager._result_in_loop(self)

    def cancel(self, *, grace: float = 30) -> None:
        """Cancel it; see ``WorkflowManager.cancel``."""
        self._manager.cancel(self, grace=grace)

    def resume(self) -> Run:
        """Let it go on, if it waits for this; see ``WorkflowManager.resume``. Returns the run itself."""
        self._manager.resume(self)
        return self

    def restart(self, from_step: Any = None) -> Run:
        """Go on from its journal; see ``WorkflowManager.restart``. Returns the run itself."""
        self._manager.restart(self, from_step=from_step)
        return self

    def fork(self, from_step: Any = None, args: dict[str, Any] | None = None) -> Run:
        """A new run with this one's steps; see ``WorkflowManager.fork``."""
        return self._manager.fork(self, from_step=from_step, args=args)

    def plan(self, from_step: Any = "changed") -> Plan:
        """What a restart would do; see ``WorkflowManager.plan``."""
        return self._manager.plan(self, from_step=from_step)

    def steps(self) -> list[StepRecord]:
        """All steps of its current generation, in order."""
        return self._manager.steps(self)

    def send_event(self, event: Event[Any] | str, value: Any = None, *, error: str | None = None) -> None:
        """Send it an event; see ``WorkflowManager.send_event``."""
        self._manager.send_event(event, value, run=self, error=error)

    def approval_url(self, event: Event[Any] | str, *, expires: Any = 7 * 86400, base: str | None = None) -> str:
        """A link to a page that asks for this event and sends the answer; whoever has the link may answer, once, without logging in.

        Args:
            event: an Event, its name or its id.
            expires: seconds or a timedelta from now, a year at most.
            base: what the link begins with; None for the address at which the journal is being served.

        Raises:
            ControlError: nothing serves this journal, and ``base`` was not given.
            RunNotActive: the run has ended.
        """
        return web_module("approvals").approval_url(self._manager, self.id, event, expires=expires, base=base)

    def plot(self, ax: Any = None) -> Any:
        """A matplotlib timeline of its steps: the Figure."""
        plots = importlib.import_module("wfkernel.notebook.plots")  # the one step up: matplotlib stays out of this layer
        return plots.timeline(self.steps(), ax, title=f"{self.name}  {self.id}")

    def _ipython_display_(self) -> None:
        """As the last line of a cell: a live card in a Jupyter kernel, a line of text elsewhere."""
        if has_kernel():
            importlib.import_module("wfkernel.notebook.card").show(self)
        else:
            print(repr(self))  # noqa: T201 - what IPython would do in a terminal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self._key == other._key and self._manager._is_same_journal(other._manager)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        try:
            state = self.status().type
        except WfkernelError as exc:
            state = type(exc).__name__
        return f"<Run {self.id} of {self.name}, {state}>"


def id_of(run: Run | str) -> str:
    if isinstance(run, Run):
        return run.id
    if isinstance(run, str):
        return run
    raise InvalidArguments(f"a run is a Run or a run id, not {run!r}")


def web_module(module: str) -> Any:
    """A module of the web's, loaded when it is asked for; a clear error without its libraries."""
    try:
        return importlib.import_module(f"wfkernel.web.{module}")  # the one step up, as for plot
    except ModuleNotFoundError as exc:
        if exc.name is not None and exc.name.startswith("wfkernel"):
            raise
        raise ModuleNotFoundError(f"serving needs {exc.name}: pip install 'wfkernel[web]'", name=exc.name) from None
