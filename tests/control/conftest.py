"""Journals in tmp_path, managers of this process, and holders of other processes; all are ended again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Holder

from wfkernel import WorkflowManager


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.duckdb"


@pytest.fixture
def hold(path: Path) -> Iterator[Callable[..., Holder]]:
    """Starts a process that holds the journal: ``hold("lacking")``."""
    holders: list[Holder] = []

    def make(*words: str) -> Holder:
        holders.append(Holder(path, *words))
        return holders[-1]

    yield make
    for holder in holders:
        holder.kill()


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., Any]]:
    """Opens managers with ``connect="auto"``."""
    opened: list[WorkflowManager] = []

    def make(**options: Any) -> Any:
        opened.append(WorkflowManager(path, connect="auto", **options))
        return opened[-1]

    yield make
    for manager in opened:
        manager.close()


@pytest.fixture
def wf(path: Path) -> Iterator[WorkflowManager]:
    """A manager that holds the journal here."""
    with WorkflowManager(path) as manager:
        yield manager
