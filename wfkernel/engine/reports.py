"""What steps say of themselves: log lines, what they print and display, progress. Kept, within bounds, while the process lives."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wfkernel.engine.steps import LiveStep

MOST_LINES = 500  # of one step; the last ones are kept
MOST_OF_LINE = 4_000  # characters
MOST_OF_ALL = 16_000_000  # characters, of all steps of an engine; the steps that have been silent longest go first
_COST = 200  # characters that a report or a line counts for besides its text

Progress = tuple[float, float | None, str]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours, and what moves a terminal's cursor


class Line(NamedTuple):
    """One line.

    Attributes:
        t: µs since the epoch.
        kind: "log", "stdout", "stderr" or "display".
    """

    t: int
    kind: str
    text: str


class Told(NamedTuple):
    """What a step has told so far.

    Attributes:
        pieces: how many pieces it came in: grows with whatever it tells.
    """

    lines: list[Line]
    progress: Progress | None
    pieces: int


class _Report:
    __slots__ = ("count", "generation", "lines", "open", "progress", "size")

    def __init__(self, generation: int):
        self.generation = generation
        self.lines: deque[Line] = deque()
        self.open: dict[str, Line] = {}  # by kind: a line whose end has not been printed yet
        self.progress: Progress | None = None
        self.count = 0
        self.size = _COST

    def add(self, line: Line) -> None:
        text = _ESCAPES.sub("", line.text)
        cut = text if len(text) <= MOST_OF_LINE else text[:MOST_OF_LINE] + "…"
        self.lines.append(line._replace(text=cut))
        self.size += len(cut) + _COST
        if len(self.lines) > MOST_LINES:
            self.size -= len(self.lines.popleft().text) + _COST

    def write(self, t: int, kind: str, text: str) -> None:
        known = self.open.pop(kind, None)
        if known is not None:
            t, text = known.t, known.text + text
        *whole, rest = text.split("\n")
        for part in whole:
            self.add(Line(t, kind, _overwritten(part)))
        while len(rest) > MOST_OF_LINE:
            self.add(Line(t, kind, _overwritten(rest[:MOST_OF_LINE])))
            rest = rest[MOST_OF_LINE:]
        if rest:
            back = "\r" if rest.endswith("\r") else ""
            self.open[kind] = Line(t, kind, _overwritten(rest) + back)

    def told(self) -> Told:
        begun = [Line(line.t, line.kind, _ESCAPES.sub("", line.text.rstrip("\r"))) for line in self.open.values()]
        return Told([*self.lines, *begun], self.progress, self.count)


def _overwritten(text: str) -> str:
    """What a terminal shows of a line that went back to its beginning, as progress bars do."""
    return text.rstrip("\r").rsplit("\r", 1)[-1]


class Reports:
    """Any thread."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], _Report] = {}  # by run and step; who spoke last is last
        self._size = 0
        self._lock = threading.Lock()

    def log(self, step: LiveStep, t: int, kind: str, text: str) -> None:
        """Add a text of its own: a log line, or several; something displayed."""
        with self._lock:
            report = self._report(step)
            for part in text.split("\n"):
                report.add(Line(t, kind, part))
            self._settle(report)

    def write(self, step: LiveStep, t: int, kind: str, text: str) -> None:
        """Add a piece of a stream: its lines may come in several pieces."""
        with self._lock:
            report = self._report(step)
            report.write(t, kind, text)
            self._settle(report)

    def progress(self, step: LiveStep, progress: Progress) -> None:
        with self._lock:
            report = self._report(step)
            report.progress = progress
            self._settle(report)

    def told(self, run: int, step: int, generation: int) -> Told | None:
        """What a step of this generation has told; None if nothing is known."""
        with self._lock:
            report = self._kept.get((run, step))
            return None if report is None or report.generation != generation else report.told()

    def brief(self, run: int, step: int) -> tuple[Progress | None, int] | None:
        """Its progress, and the count of what it told."""
        with self._lock:
            report = self._kept.get((run, step))
            return None if report is None else (report.progress, report.count)

    def forget(self, runs: Iterable[int]) -> None:
        gone = set(runs)
        with self._lock:
            for key in [k for k in self._kept if k[0] in gone]:
                self._size -= self._kept.pop(key).size

    def _report(self, step: LiveStep) -> _Report:
        key = (step.run.key, step.number)
        known = self._kept.pop(key, None)
        if known is not None:
            self._size -= known.size
        if known is None or known.generation < step.generation:  # else a late word of a step that was restarted meanwhile
            known = _Report(step.generation)
        self._kept[key] = known
        return known

    def _settle(self, report: _Report) -> None:
        report.count += 1
        self._size += report.size
        while self._size > MOST_OF_ALL and len(self._kept) > 1:
            self._size -= self._kept.pop(next(iter(self._kept))).size
