"""Managers on journals in memory or in tmp_path; each is closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wfkernel import WorkflowManager
from wfkernel.testing import VirtualClock

REPLAYS = ["on_recovery", "always"]


@pytest.fixture
def make_wf() -> Iterator[Callable[..., WorkflowManager]]:
    """Opens managers, by default in memory; ``make_wf(path, **options)``."""
    opened: list[WorkflowManager] = []

    def make(path: Any = ":memory:", **options: Any) -> WorkflowManager:
        opened.append(WorkflowManager(path, **options))
        return opened[-1]

    yield make
    for manager in opened:
        manager.close()


@pytest.fixture
def wf(make_wf: Callable[..., WorkflowManager]) -> WorkflowManager:
    """A manager in memory."""
    return make_wf()


@pytest.fixture(params=REPLAYS)
def any_wf(request: pytest.FixtureRequest, make_wf: Callable[..., WorkflowManager]) -> WorkflowManager:
    """A manager in memory, once for each way to replay."""
    return make_wf(replay=request.param)


@pytest.fixture(params=REPLAYS)
def quick_wf(request: pytest.FixtureRequest, make_wf: Callable[..., WorkflowManager]) -> WorkflowManager:
    """As ``any_wf``, with a clock that jumps: sleeps and backoffs cost no time."""
    return make_wf(replay=request.param, clock=VirtualClock())


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    return tmp_path / "journal.duckdb"
