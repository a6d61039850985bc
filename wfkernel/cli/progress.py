"""What ``run`` says while runs are on their way: a table that changes on a terminal, lines anywhere else. On the error stream."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from wfkernel.cli.printing import remark, took

if TYPE_CHECKING:
    from wfkernel.cli.settling import Ended, Pending

_SHOWN = 20


class Progress:
    """Lines: one when a run ends or begins to wait. Use it as a context manager."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def cell(self, number: int, count: int) -> None:
        """A notebook's cell begins."""
        remark(f"cell {number} of {count}")

    def show(self, pending: list[Pending], ended: list[Ended]) -> None:
        for run in pending:
            if not run.is_moving:
                self._say(run.run_id, run.name, run.words)
            elif run.run_id in self._said:
                self._say(run.run_id, run.name, "goes on")
        for end in ended:
            self._say(end.run_id, end.name, end.status)

    def _say(self, run_id: str, name: str, words: str) -> None:
        if self._said.get(run_id) != words:
            self._said[run_id] = words
            remark(f"run {run_id} of {name}: {words}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class LiveTable(Progress):
    """A table of the runs, by rich."""

    def __init__(self, console: Any, live: Any, table: Any) -> None:
        super().__init__()
        self._live = live(console=console, refresh_per_second=4, transient=True)
        self._table = table

    def show(self, pending: list[Pending], ended: list[Ended]) -> None:
        count = f"{len(ended)} ended, {len(pending)} in progress"
        table = self._table("run", "workflow", "for", "", box=None, caption=count, caption_justify="left")
        for run in pending[:_SHOWN]:
            table.add_row(run.run_id, run.name, took(run.created_at, None), run.words)
        self._live.update(table)
        self._last = pending, ended

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()
        if hasattr(self, "_last"):
            super().show(*self._last)  # how it ended stays on the screen


def progress() -> Progress:
    """For this error stream: lines, unless it is a terminal and rich is installed."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return Progress()
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.table import Table
    except ModuleNotFoundError:
        return Progress()
    return LiveTable(Console(stderr=True), Live, Table)
