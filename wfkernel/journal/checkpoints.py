"""When to run a guarded checkpoint, and what to do when one fails."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import duckdb

from .guard import Guard

logger = logging.getLogger("wfkernel.journal")


class Checkpoints:
    """The thresholds; attributes, so that tests can lower them.

    Attributes:
        idle_s: how long nothing must have been committed before a checkpoint that is not urgent.
        idle_bytes: the WAL from which an idle journal is worth a checkpoint (about 4 ms of work per MB).
        forced_bytes, forced_commits: from here on it does not wait for idleness: reopening costs 5 ms per MB of WAL or 35 µs
            per commit.
    """

    def __init__(self, path: Path, guard: Guard):
        self.idle_s = 1.0
        self.idle_bytes = 4 << 20
        self.forced_bytes = 64 << 20
        self.forced_commits = 20_000
        self.retry_s = 0.5
        self.retry_limit_s = 60.0
        self.guard = guard
        self._wal = f"{path}.wal"
        self.not_before = 0.0
        self._failures = 0

    def wal_bytes(self) -> int:
        try:
            return os.stat(self._wal).st_size
        except OSError:
            return 0

    def is_forced(self, commits: int) -> bool:
        """After a commit: must it be now?"""
        if commits < self.forced_commits and self.wal_bytes() < self.forced_bytes:
            return False
        return time.monotonic() >= self.not_before

    def is_worth_idle_time(self) -> bool:
        return self.wal_bytes() >= self.idle_bytes

    def run(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Checkpoint now. False: another write transaction is open, try later.

        Raises:
            duckdb.Error: it failed and the database is invalidated; reattach.
        """
        try:
            self.guard.checkpoint(cursor)
        except (duckdb.TransactionException, OSError) as error:  # OSError: no room for the saved blocks; nothing was begun
            logger.debug("checkpoint put off: %s", error)
            self.put_off()
            return False
        self._failures = 0
        return True

    def put_off(self) -> None:
        """Not now. Later and later, as a transaction may stay open for days, and a disk full."""
        self.not_before = time.monotonic() + min(self.retry_s * 2**self._failures, self.retry_limit_s)
        self._failures = min(self._failures + 1, 30)
