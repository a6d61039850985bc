"""A journal of a test's own, and the command line called as a function or as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_kit import Process, Said, environment

from wfkernel.cli import main
from wfkernel.engine import registry


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A path that the commands take by default; there is no journal yet."""
    path = tmp_path / "journal.duckdb"
    monkeypatch.setenv("WFKERNEL_JOURNAL", str(path))
    monkeypatch.chdir(tmp_path)
    yield path
    registry._close_all()


@pytest.fixture
def holder(journal: Path) -> Iterator[Process]:
    """Another process holds the journal."""
    found = Process(journal)
    yield found
    found.close()


@pytest.fixture
def wfkernel(journal: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command line as a function; wrong words give exit code 2 as well."""

    def call(*words: object) -> Said:
        capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture
def shell(journal: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command line as a process."""

    def start(*words: object, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "wfkernel", *map(str, words)]
        env = environment(WFKERNEL_JOURNAL=str(journal), **more)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=journal.parent)

    return start


@pytest.fixture
def holder_of() -> Iterator[Callable[..., Process]]:
    """Makes other processes that hold a journal."""
    made: list[Process] = []

    def make(path: Path, **options: object) -> Process:
        made.append(Process(path, **options))
        return made[-1]

    yield make
    for process in made:
        if process.process.poll() is None:
            process.close()
