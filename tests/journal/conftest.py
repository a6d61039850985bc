"""Journals in tmp_path, and what became of the writes that were given to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from journal_kit import Told

from wfkernel.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.duckdb"


@pytest.fixture
def open_journal(path: Path) -> Iterator[Callable[..., Journal]]:
    """Opens journals (by default at ``path``) and lets go of those that the test left open."""
    opened: list[Journal] = []

    def open_(at: object = path, **options: object) -> Journal:
        opened.append(Journal.open(at, **options))
        return opened[-1]

    yield open_
    for journal in opened:
        journal.abandon()


@pytest.fixture
def journal(open_journal: Callable[..., Journal]) -> Journal:
    return open_journal()


@pytest.fixture
def told(journal: Journal) -> Told:
    journal.on_batch = told = Told()
    return told
