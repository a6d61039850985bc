"""A journal that is opened, crashed and opened again; tests import ``world`` and ``until`` from here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from wfkernel import Run, RunFailed, Workflow, WorkflowManager
from wfkernel.testing import VirtualClock

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MODES = ("on_recovery", "always")


def until(condition: Callable[[], Any], timeout_s: float = 10) -> Any:
    """Wait for a condition; what it gave."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "the condition that the test waits for never came true"
        time.sleep(0.001)
    return found


class World:
    """One journal, and the process that dies and comes back.

    Attributes:
        wf: the manager that is open now.
        calls: what actions and mutations noted, in order, over all lives.
    """

    def __init__(self, path: Path, replay: str, **settings: Any):
        self.path = path
        self.replay = replay
        self.settings = settings
        self.calls: list[Any] = []
        self.autojump = True
        self.clock = VirtualClock(BEGIN)
        self.workflows: dict[str, tuple[Any, dict[str, Any]]] = {}
        self.gates: list[threading.Event] = []
        self.wf = self._open()

    def _open(self) -> WorkflowManager:
        return WorkflowManager(self.path, clock=self.clock, replay=self.replay, **self.settings)

    def define(self, fn: Any = None, **options: Any) -> Any:
        """A workflow of this manager and of every later one."""
        if fn is None:
            return lambda function: self.define(function, **options)
        made: Workflow[Any] = self.wf.workflow(**options)(fn)
        self.workflows[made.name] = (fn, options)
        return made

    def forget(self) -> None:
        """The next manager defines nothing by itself."""
        self.workflows.clear()

    def note(self, what: Any) -> Any:
        """The plain action of these tests: notes that it ran, and gives back what it got."""
        self.calls.append(what)
        return what

    def hold_time(self) -> None:
        """Time stands still, in later lives too, until ``let_time_go``."""
        self.autojump = self.clock._autojump = False

    def let_time_go(self) -> None:
        self.autojump = self.clock._autojump = True
        self.wf._engine.post(lambda: None)

    # -- ends and beginnings --

    def crash(self, after_s: float = 0) -> WorkflowManager:
        """As if the process had died, and had been started ``after_s`` virtual seconds later."""
        self.die()
        return self.open_again(after_s)

    def die(self) -> None:
        self.wf._engine.abandon()

    def reopen(self, after_s: float = 0) -> WorkflowManager:
        """Close properly, and open again."""
        self.wf.close()
        return self.open_again(after_s)

    def open_again(self, after_s: float = 0) -> WorkflowManager:
        now = self.clock.now() + timedelta(seconds=after_s)
        self.clock = VirtualClock(now, autojump=self.autojump)
        self.wf = self._open()
        for fn, options in list(self.workflows.values()):
            self.wf.workflow(**options)(fn)
        return self.wf

    def again(self, run: Run | str) -> Run:
        """The same run, in the manager that is open now."""
        return self.wf.get(run if isinstance(run, str) else run.id)

    # -- looking --

    def steps(self, run: Run | str) -> list[tuple[str, str, str]]:
        return [(s.name, s.kind, s.status) for s in self.wf.list_steps(run, limit=1000).items]

    def statuses(self, run: Run | str) -> list[str]:
        return [s.status for s in self.wf.list_steps(run, limit=1000).items]

    def rows(self) -> list[Any]:
        """Everything the journal holds."""
        return self.wf._engine.journal.read("SELECT * FROM wf.facts ORDER BY seq")

    def running(self, run: Run | str) -> list[str]:
        return [s.name for s in self.wf.status(run).running]

    def wait_for_step(self, run: Run, name: str, status: str = "running") -> None:
        """Until the *journal* says that this step has this status, so that a crash will find it."""

        def is_there() -> bool:
            sql = "SELECT count(*) FROM wf.steps WHERE run_id = ? AND name = ? AND status = ?"
            return self.wf.db.execute(sql, [run.id, name, status]).fetchall()[0][0] > 0

        until(is_there)

    def gate(self) -> threading.Event:
        """An Event that plain actions wait on; set at the end of the test at the latest."""
        gate = threading.Event()
        self.gates.append(gate)
        return gate

    def end(self) -> None:
        for gate in self.gates:
            gate.set()
        self.wf.close()


def error_of(run: Run) -> BaseException:
    """What ``result()`` raises."""
    with pytest.raises(RunFailed) as caught:
        run.result(10)
    return caught.value


@contextmanager
def a_world(path: Path, replay: str, **settings: Any) -> Iterator[World]:
    made = World(path, replay, **settings)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(params=MODES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A journal on disk with a virtual clock, in both replay modes."""
    with a_world(tmp_path / "journal.duckdb", request.param) as made:
        yield made
