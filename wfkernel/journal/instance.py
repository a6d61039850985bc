"""The DuckDB instance: an in-memory root to which the journal's file is attached as ``wfkernel``.

Attached and not opened directly, because a failed checkpoint (a full disk) invalidates a database until every connection
to it is gone: for an attached one DETACH and ATTACH do that without taking the user's other connections along. The fixed
alias also lets the file have any name; ``main.duckdb`` opened directly would clash with the schema ``main``.

May live here: settings, attaching, cursors. What an error at ATTACH means is recovery.py's business.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

ALIAS = "wfkernel"
_BUSY_S = 5.0
# Per connection, as these two have no global form. The progress bar would be written to the process's stdout after two
# seconds: into `wfkernel list --json`, and nowhere that a notebook shows.
_HOME = f"SET enable_progress_bar = false; USE {ALIAS}"
_SETTINGS = (
    # A checkpoint that is killed half-way can make the file unreadable, so only ours, which is guarded, may run.
    # GLOBAL, or the other cursors would not have them.
    "SET GLOBAL wal_autocheckpoint = '1TB'",
    "PRAGMA disable_checkpoint_on_shutdown",
    "SET GLOBAL checkpoint_on_detach = 'DISABLED'",
    # `INSERT INTO t SELECT * FROM df` through our Cursor: the variable is one Python frame further away.
    "SET GLOBAL python_scan_all_frames = true",
    "SET GLOBAL TimeZone = 'UTC'",
)


def memory_limit() -> str:
    """Half of the machine's memory, at most 4 GB: user queries run in this instance and spill to disk beyond it."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return f"{min(half, 4 << 30) >> 20}MB"


def quoted(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


class Instance:
    """One root connection and, once attached, the journal's database."""

    def __init__(self, path: Path | None):
        self._path = path
        spill = f"{path}.tmp" if path else os.path.join(tempfile.gettempdir(), f"wfkernel-{os.getpid()}.tmp")
        self.root = duckdb.connect(
            ":memory:",
            # threads=1: a commit is 75 µs faster without a task scheduler, and user queries cannot take all cores.
            config={"threads": 1, "async_threads": 1, "memory_limit": memory_limit(), "temp_directory": spill},
        )
        self.root.execute("SET enable_progress_bar = false")
        for setting in _SETTINGS:
            self.root.execute(setting)

    def attach(self, path: Path | None = None) -> None:
        target = path or self._path
        self.root.execute(f"ATTACH {quoted(str(target) if target else ':memory:')} AS {ALIAS}")

    def detach(self) -> None:
        _when_free(lambda: self.root.execute(f"DETACH DATABASE IF EXISTS {ALIAS}"))

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own; one per thread, since two threads on one connection get wrong answers."""
        cursor = self.root.cursor()
        cursor.execute(_HOME)
        return cursor

    def close(self) -> None:
        _when_free(self.root.close)


def _when_free(call: Callable[[], object]) -> None:
    """Another thread may be in ``root.cursor()`` just now: DuckDB's client refuses a second call rather than wait for it."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            call()
            return
        except duckdb.ResourceInUseException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
