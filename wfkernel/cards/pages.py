"""What a dashboard shows of a journal that this process holds: a page of its runs, how long steps took, and when to look again."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from wfkernel.core.history import History
from wfkernel.engine import overview, queries
from wfkernel.engine.overview import Look
from wfkernel.errors import EngineStopped, OptionError
from wfkernel.manager import WorkflowManager
from wfkernel.model.jsontext import loads

PAGE = 50  # runs
_PATIENCE_S = 0.2  # for the engine's thread to say what runs do: a body may block it
_NOTE = 300  # characters
_STEPS_SHOWN = 3  # that a run is at


class Ear:
    """An engine's listener for whom whatever happens is a change, and more need not be known."""

    def __init__(self, changed: Callable[[], None]):
        self._changed = changed

    def committed(self, rows: Any, seq: int) -> None:
        self._changed()

    def noted(self, step: Any, seq: int) -> None:
        self._changed()

    def removed(self, runs: Any, seq: int) -> None:
        self._changed()

    def run_changed(self, run: Any) -> None:
        self._changed()

    def step_changed(self, step: Any) -> None:
        """A log line: no page shows it."""


class Overview:
    """All runs of a manager's journal.

    Args:
        changed: called, on any thread, the journal's writer among them, when something changed while this listens.
    """

    def __init__(self, wf: WorkflowManager, changed: Callable[[], None]):
        self._wf = wf
        self._ear = Ear(changed)

    def page(self, asked: dict[str, Any]) -> dict[str, Any]:
        return read_page(self._wf, asked)

    def steps(self, workflow: str) -> dict[str, Any]:
        return read_steps(self._wf, workflow)

    def total(self) -> int:
        return count(self._wf)

    def listen(self) -> None:
        self._wf._engine.add_listener(self._ear)

    def rest(self) -> None:
        self._wf._engine.remove_listener(self._ear)


def read_steps(wf: WorkflowManager, workflow: str) -> dict[str, Any]:
    """How long the steps of a workflow took over time, in milliseconds: ``{start, width, left_out, times}``."""
    table = overview.step_times(wf._live_journal(), workflow)
    times = [[t.name, t.bucket, t.ended, t.failed, round(t.p50_s * 1000, 3), round(t.p95_s * 1000, 3)] for t in table.times]
    return {"start": table.start_us / 1000, "width": table.width_s * 1000, "left_out": table.left_out, "times": times}


def count(wf: WorkflowManager) -> int:
    """How many runs there are."""
    return sum(found.runs for found in overview.counts(wf._live_journal(), Look()))


def read_page(wf: WorkflowManager, asked: dict[str, Any]) -> dict[str, Any]:
    """What is shown to who asked for this: the rows of one page, and the counts of all. A page behind the last one is the last.

    Raises:
        OptionError: there is no such order.
    """
    if asked["sort"] not in overview.SORTS:
        raise OptionError(f"runs are sorted by {', '.join(overview.SORTS)}, not {asked['sort']!r}")
    journal, engine = wf._live_journal(), wf._engine
    names, statuses = tuple(map(str, asked["names"])), tuple(map(str, asked["statuses"]))
    look = Look(names, statuses, str(asked["text"]).strip(), asked["sort"], bool(asked["desc"]), limit=PAGE)
    counts = overview.counts(journal, look)
    by_status: Counter[str] = Counter(dict.fromkeys(overview.STATUSES, 0))
    by_name: Counter[str] = Counter()
    for count in counts:
        by_name[count.name] += count.runs
        if not names or count.name in names:
            by_status[count.status] += count.fitting
    total = sum(n for status, n in by_status.items() if not statuses or status in statuses)
    number = min(max(0, int(asked["page"])), max(0, total - 1) // PAGE)
    now = engine.clock.time_us()
    keys = overview.page(journal, _at(look, number * PAGE), now)
    histories = queries.run_facts(journal, keys)
    doing = _doing(wf, [key for key in keys if histories[key].status == "in_progress"])
    return {
        "now": now / 1000,
        "page": number,
        "size": PAGE,
        "total": total,
        "rows": [_row(histories[key], doing.get(key)) for key in keys if histories[key].created is not None],
        "counts": dict(by_status),
        "names": sorted(by_name.items()),
    }


def _at(look: Look, offset: int) -> Look:
    return Look(look.names, look.statuses, look.text, look.sort, look.is_descending, offset, look.limit)


def _row(history: History, doing: str | None) -> list[Any]:
    assert history.created is not None
    end = history.end
    note = doing
    if history.status == "failed" and end is not None:
        error = loads(end[7]).get("error") or {}
        note = f"{error.get('type')}: {error.get('message')}"[:_NOTE]
    ended = None if end is None else end[5] / 1000
    return [history.run_id, history.name, history.status, history.created[5] / 1000, ended, note]


def _doing(wf: WorkflowManager, keys: list[int]) -> dict[int, str]:
    """What runs in progress are at, in words; nothing where the engine has no time to say."""
    engine = wf._engine

    def there() -> dict[int, str]:
        return {key: _words(engine, engine.runs[key]) for key in keys if key in engine.runs}

    if not keys:
        return {}
    try:
        return engine.ask(there).result(_PATIENCE_S)
    except (FutureTimeoutError, EngineStopped):
        return {}


def _words(engine: Any, run: Any) -> str:
    if engine.recovery.is_undefined(run):
        return f"{engine.recovery.wanted(run)} is not defined here"
    if run.start_timer is not None:
        return "waits for its start"
    words = {"event": "waits for event {}", "sleep": "sleeps", "workflow": "waits for workflow {}"}
    steps = [words.get(s.kind, "at {}").format(s.name) for s in itertools.islice(run.steps.values(), _STEPS_SHOWN) if not s.done]
    more = len(run.steps) - _STEPS_SHOWN
    return ", ".join(steps) + (f" and {more} more" if more > 0 else "")
