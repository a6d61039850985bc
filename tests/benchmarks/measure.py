"""What the benchmarks share: results as ratios to a reference of the same run, and the bare DuckDB that is the reference."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from wfkernel import WorkflowManager

COLUMNS = "seq BIGINT, run BIGINT, step INTEGER, generation INTEGER, fact UTINYINT, t BIGINT, name VARCHAR, body VARCHAR"
INSERT = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass
class Result:
    """One figure against its target. ``better`` is "lower" or "higher"."""

    name: str
    value: float
    target: float
    better: str
    unit: str
    detail: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "value": round(self.value, 4), "is_met": self.is_met})


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def timed(fn: Callable[[], Any]) -> float:
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


@contextlib.contextmanager
def bare_journal(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection on a DuckDB file with the settings of the journal and a table of its columns, and nothing of ours."""
    root = duckdb.connect(":memory:", config={"threads": 1, "async_threads": 1})
    try:
        root.execute(f"ATTACH '{path}' AS bare")
        root.execute("SET wal_autocheckpoint = '1TB'")
        root.execute("PRAGMA disable_checkpoint_on_shutdown")
        root.execute("USE bare")
        root.execute(f"CREATE TABLE facts ({COLUMNS})")
        yield root
    finally:
        root.close()


def step_rows(wf: WorkflowManager, run_id: str) -> list[tuple]:
    """The rows that the steps of a run left in the journal, to be written again by the reference."""
    key = wf.get(run_id)._key
    return wf.db.execute("SELECT * FROM wf.facts WHERE run = ? AND step >= 0 ORDER BY seq", [key]).fetchall()
