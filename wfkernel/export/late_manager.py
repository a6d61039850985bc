"""The manager of an exported script: it opens its journal at the first use, and lets go on what it was told to."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from wfkernel.engine.registry import real_path
from wfkernel.errors import RunNotActive
from wfkernel.manager import WorkflowManager
from wfkernel.model.place import DEFAULT, VARIABLE
from wfkernel.run import Run
from wfkernel.workflow import Workflow

__all__ = ["ScriptManager"]


class ScriptManager(WorkflowManager):
    """A manager whose journal is opened when it is first needed; until then it only collects definitions.

    Attributes:
        begun: the runs that were started here, and those that went on because somebody here wanted their results.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any):
        self._defined: list[Workflow[Any]] = []
        self._known_runs: list[str] = []
        self._is_held = False
        self._opening = threading.RLock()
        self.begun: dict[str, Run] = {}
        super().__init__(DEFAULT if path is None else path, **options)

    def _open(self, path: Any, max_parallelism: int | None, settings: dict[str, Any]) -> None:
        self._later = (path, max_parallelism, settings)

    def __getattr__(self, name: str) -> Any:
        if name not in ("_engine", "_records"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with self._opening:
            if name not in self.__dict__:
                _, max_parallelism, settings = self._later
                super()._open(self._place, max_parallelism, settings)
                while self._defined:
                    super()._define(self._defined.pop(0))
        return self.__dict__[name]

    def _define(self, workflow: Workflow[Any]) -> None:
        if "_engine" in self.__dict__:
            super()._define(workflow)
        else:
            self._defined.append(workflow)

    @property
    def defined(self) -> list[Workflow[Any]]:
        """The workflows, before the journal is open."""
        return list(self._defined)

    @property
    def is_open(self) -> bool:
        """Whether the journal was opened, and not closed."""
        return "_engine" in self.__dict__ and not self._engine.closing

    @property
    def _place(self) -> Any:
        return os.environ.get(VARIABLE) or self._later[0]

    @property
    def missing_file(self) -> str | None:
        """The journal's file, where it is not there; nothing is made."""
        path = real_path(self._place)
        return None if path == ":memory:" or os.path.exists(path) else path

    # -- which runs go on --

    def hold(self) -> None:
        """Let no unfinished run go on before somebody asks for it; to be called before the journal is opened."""
        path, max_parallelism, settings = self._later
        self._later = (path, max_parallelism, {**settings, "auto_resume": False})
        self._is_held = True

    def continue_with(self, run_ids: Iterable[str]) -> list[Run]:
        """Let the next start of each of these runs' workflows, if it says no id itself, be this run."""
        runs = [self.get(run_id) for run_id in run_ids]
        self._known_runs = [run.id for run in runs]
        return runs

    def go_on(self, run: Run) -> None:
        """Somebody here is about this run: it goes on, if it was held."""
        self.begun.setdefault(run.id, run)
        if self._is_held and run.status().type == "in_progress":
            with suppress(RunNotActive):  # it goes on already, and ended this moment
                self.resume(run)

    def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        found: Workflow[Any] = self._engine.recovery.resolve_workflow(workflow)
        known = None
        if found.start_options().id is None:
            known = next((run_id for run_id in self._known_runs if self.get(run_id).name == found.name), None)
        run = super().start(found if known is None else found.options(id=known), *args, **kwargs)
        if known is not None:
            self._known_runs.remove(known)
        self.go_on(run)
        return run

    def result(self, run: Run | str, timeout: float | None = None) -> Any:
        self.go_on(self.get(run) if isinstance(run, str) else run)
        return super().result(run, timeout)

    async def _result_in_loop(self, run: Run) -> Any:
        self.go_on(run)
        return await super()._result_in_loop(run)

    # -- before it is open --

    def __enter__(self) -> ScriptManager:
        return self

    def close(self) -> None:
        if "_engine" in self.__dict__:
            super().close()

    def __repr__(self) -> str:
        return super().__repr__() if "_engine" in self.__dict__ else "<WorkflowManager, not open yet>"


# A function that uses `wf` must have the fingerprint that it had in the notebook, and for that the type's name counts.
ScriptManager.__module__, ScriptManager.__qualname__ = WorkflowManager.__module__, WorkflowManager.__qualname__
