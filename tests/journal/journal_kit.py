"""What the journal's tests share: rows, a listener, waiting, other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from wfkernel.journal import Journal, Write

ROOT = Path(__file__).parents[2]


def row(run: int = 1, step: int = 0, fact: int = 22, body: str | None = "{}", name: str | None = "name", generation: int = 0):
    return (run, step, generation, fact, 1_700_000_000_000_000, name, body)


class Told:
    """An ``on_batch`` that remembers, and lets a test wait for what it expects."""

    def __init__(self) -> None:
        self.batches: list[list[Write]] = []
        self._changed = threading.Condition()

    def __call__(self, batch: list[Write]) -> None:
        with self._changed:
            self.batches.append(list(batch))
            self._changed.notify_all()

    @property
    def writes(self) -> list[Write]:
        return [write for batch in self.batches for write in batch]

    def wait(self, count: int, timeout: float = 10) -> list[Write]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.writes) >= count, timeout), f"{len(self.writes)} of {count} writes"
            return self.writes


def eventually(claim: Callable[[], object], timeout: float = 10) -> None:
    """Wait for a condition that no callback tells of."""
    end = time.monotonic() + timeout
    while not claim():
        assert time.monotonic() < end, "it never came true"
        threading.Event().wait(0.002)


def commit(journal: Journal, *rows: tuple, **options: object) -> Write:
    """Submit one write and wait until it is decided."""
    decided = threading.Event()
    before, write = journal.on_batch, Write(list(rows), **options)

    def on_batch(batch: list[Write]) -> None:
        before(batch)
        if write in batch:
            decided.set()

    journal.on_batch = on_batch
    journal.submit(write)
    assert decided.wait(10)
    journal.on_batch = before
    return write


def python(code: str, *args: object, **options: object) -> subprocess.Popen[str]:
    """Another process that runs this code; it can import wfkernel."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], env=environment, **pipes | options)
