"""A run as a picture and a table: what is left of a card where no kernel answers (GitHub, nbviewer, nbconvert, a saved notebook).

Plain HTML, legible with every style and script stripped, as GitHub does.
"""

from __future__ import annotations

import base64
import html
import io
import logging
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from wfkernel.cards.feed import KINDS, STATUSES
from wfkernel.errors import RunNotFound, WfkernelError
from wfkernel.model.cells import has_frames
from wfkernel.model.facts import RUN_STATUS
from wfkernel.model.records import ErrorInfo, RunStatus, StepRecord
from wfkernel.model.shown import shown
from wfkernel.run import Run

logger = logging.getLogger("wfkernel.notebook")

_MOST_ROWS = 60
_WITH_VALUES = 200  # steps of a run whose arguments and results are worth keeping in the notebook
_VALUE = 400  # characters
_SIGN = {"completed": "✓", "failed": "✕", "canceled": "–", "in_progress": "▸"}
_MARK = {"success": "✓", "failed": "✕", "canceled": "–", "running": "▸", "scheduled": "○"}
_TABLE = "border-collapse:collapse;font-size:12px;margin:4px 0"
_CELL = "text-align:left;vertical-align:top;padding:1px 12px 1px 0"
_FAINT = "opacity:.65"
_DELETED = "The run was deleted from the journal."


def is_over(run: Run) -> bool:
    """Whether the run has ended."""
    try:
        return run.status().type != "in_progress"
    except WfkernelError:
        return True


def bundle(run: Run, *, hint: str = "", known: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run as ``(data, metadata)``: text/plain and text/html, which ends with ``hint``, and image/png once it has ended.

    Args:
        run: the run.
        hint: the page's last line.
        known: a snapshot of a feed, to fall back on where the journal does not tell any more: the run was deleted, say.
    """
    with_values = True
    try:
        status, steps = run.status(), run.steps()
    except WfkernelError as exc:  # deleted, or the manager is closed
        remembered = _remembered(run, known) if known is not None else None
        hint = _DELETED if isinstance(exc, RunNotFound) else str(exc)
        if remembered is None:
            name, run_id = html.escape(run.name), html.escape(run.id)
            return {"text/plain": repr(run), "text/html": f"<p><b>{name}</b> <code>{run_id}</code>: {html.escape(hint)}</p>"}, {}
        status, steps = remembered
        with_values = False
    data: dict[str, Any] = {"text/plain": repr(run)}
    png = picture(run, steps) if status.type != "in_progress" and steps else None
    data["text/html"] = page(run, status, steps, png, hint, with_values=with_values)
    if png is not None:
        data["image/png"] = png
    return data, {}


class _Text:
    """A value of which only its text is left."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _remembered(run: Run, known: dict[str, Any]) -> tuple[RunStatus, list[StepRecord]] | None:
    """What a feed knows of a run; None if it never read it."""
    header = known["run"]
    if "t0" not in header:
        return None
    error = ErrorInfo(**header["error"]) if header["error"] is not None else None
    is_over = header["status"] in RUN_STATUS.values()
    status = RunStatus(type=header["status"] if is_over else "in_progress", error=error, result=_Text(header["result"] or ""))

    def at(ms: float | None) -> datetime | None:
        return None if ms is None else datetime.fromtimestamp((header["t0"] + ms) / 1000, UTC)

    steps = []
    for number, name, kind, state, attempts, *times in known["rows"]:
        scheduled, started, ended = map(at, (*times, None, None, None)[:3])  # what is null at a row's end is left out
        steps.append(
            StepRecord(
                run_id=run.id,
                step_number=number,
                name=known["names"][name],
                kind=KINDS[kind],
                status=STATUSES[state],
                attempts=attempts,
                scheduled_at=scheduled,
                started_at=started,
                completed_at=ended,
            )
        )
    return status, steps


def picture(run: Run, steps: list[StepRecord]) -> str | None:
    """The timeline as a PNG in base64; None if it cannot be drawn: a picture is no reason to fail a cell."""
    from wfkernel.notebook.plots import timeline

    try:
        buffer = io.BytesIO()
        timeline(steps, title=f"{run.name}  {run.id}").savefig(buffer, format="png", dpi=96)
    except Exception:
        logger.exception("the timeline of run %s could not be drawn", run.id)
        return None
    return base64.b64encode(buffer.getvalue()).decode()


def page(
    run: Run, status: RunStatus, steps: list[StepRecord], png: str | None = None, hint: str = "", *, with_values: bool = True
) -> str:
    """The run as HTML, its timeline in it: front ends show one mimetype of an output only."""
    parts = [f"<div>{_headline(run, status, steps)}"]
    if status.error is not None:
        parts.append(_error(status))
    elif status.type == "completed":
        parts.append(f"<p>result <code>{_text(status.result)}</code></p>")
    if png is not None:
        label = html.escape(f"Timeline of run {run.id}", quote=True)
        parts.append(f'<p><img alt="{label}" style="max-width:100%" src="data:image/png;base64,{png}"></p>')
    parts.append(_table(steps, with_values and len(steps) <= _WITH_VALUES))
    if hint:
        parts.append(f"<p style='{_FAINT}'>{html.escape(hint)}</p>")
    return "".join(parts) + "</div>"


def _headline(run: Run, status: RunStatus, steps: list[StepRecord]) -> str:
    counts = Counter(s.status for s in steps)
    words = ", ".join(f"{n:,} {word}" for word, n in counts.items())
    took = _seconds(_first(steps), _last(steps))
    told = " · ".join(
        p
        for p in (took, f"{len(steps):,} step{'' if len(steps) == 1 else 's'}" + (f" ({words})" if len(counts) > 1 else ""))
        if p
    )
    state = status.type.replace("_", " ")
    if status.type == "in_progress":
        state += f" at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    name, run_id = html.escape(run.name), html.escape(run.id)
    return f"<p>{_SIGN[status.type]} <b>{name}</b> <code>{run_id}</code> <b>{state}</b> <span style='{_FAINT}'>{told}</span></p>"


def _error(status: RunStatus) -> str:
    assert status.error is not None
    line = f"<p><b>{html.escape(status.error.type)}</b>: {_lines(status.error.message)}</p>"
    if not status.error.traceback or not has_frames(status.error.traceback):
        return line
    return f"{line}<details><summary>Traceback</summary><pre>{html.escape(status.error.traceback)}</pre></details>"


def _table(steps: list[StepRecord], with_values: bool) -> str:
    if not steps:
        return ""
    chosen = _worth_showing(steps)
    origin = _first(steps)
    titles = ("", "step", "", "kind", "attempts", "at", "took", "")
    head = "".join(f"<th style='{_CELL}'>{t}</th>" for t in titles)
    rows = "".join(_row(s, origin, with_values) for s in chosen)
    left_out = len(steps) - len(chosen)
    more = f"<p style='{_FAINT}'>{left_out:,} more steps that succeeded or wait</p>" if left_out else ""
    table = f"<table style='{_TABLE}'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"
    if len(steps) <= 12:
        return table
    return f"<details><summary>{len(steps):,} steps</summary>{table}</details>"


def _worth_showing(steps: list[StepRecord]) -> list[StepRecord]:
    if len(steps) <= _MOST_ROWS:
        return steps
    bad = [s for s in steps if s.status == "failed"][: _MOST_ROWS // 2]
    numbers = {s.step_number for s in bad} | {s.step_number for s in steps[: _MOST_ROWS - len(bad)]}
    return [s for s in steps if s.step_number in numbers]


def _row(step: StepRecord, origin: datetime | None, with_values: bool) -> str:
    began = step.started_at or step.scheduled_at
    cells = [
        str(step.step_number),
        html.escape(step.name),
        f"{_MARK[step.status]} {step.status}",
        step.kind,
        str(step.attempts) if step.attempts > 1 else "",
        _seconds(origin, began),
        _seconds(began, step.completed_at),
        _outcome(step) if with_values else "",
    ]
    return "<tr>" + "".join(f"<td style='{_CELL}'>{c}</td>" for c in cells) + "</tr>"


def _outcome(step: StepRecord) -> str:
    if step.error is not None:
        return f"{html.escape(step.error.type)}: {html.escape(step.error.message[:_VALUE])}"
    if step.status == "success" and step.kind != "sleep":
        return f"<code>{_text(step.result)}</code>"
    return ""


def _lines(text: str) -> str:
    """As HTML that keeps its lines, and what they begin with, where no style is left."""
    first, *rest = html.escape(text).split("\n")
    return "<br>".join([first, *("&nbsp;" * (len(line) - len(line.lstrip(" "))) + line.lstrip(" ") for line in rest)])


def _text(value: Any) -> str:
    return html.escape(shown(value, limit=_VALUE))


def _first(steps: list[StepRecord]) -> datetime | None:
    return min((s.scheduled_at for s in steps if s.scheduled_at), default=None)


def _last(steps: list[StepRecord]) -> datetime | None:
    return max((s.completed_at for s in steps if s.completed_at), default=None)


def _seconds(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    seconds = (end - start).total_seconds()
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds >= 0.0005 else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} m" if minutes >= 60 else f"{minutes} m {rest:02} s"
