"""Step records drawn on a time axis with matplotlib's object interface: never pyplot, so no global state and no display.

Up to ``_MAX_ROWS`` steps get a labelled row each; more are grouped by name, every group packed into as few lanes as the steps
that overlapped need. All bars of one look are one artist, so ten thousand steps cost little more than ten.

Nothing here asks the engine or the clock: what the records do not say is not drawn.
"""

from __future__ import annotations

import heapq
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter
from matplotlib.transforms import blended_transform_factory

from wfkernel.errors import InvalidArguments

__all__ = ["TimelineFigure", "timeline"]

# Okabe and Ito's palette: told apart with every common colour blindness, and in grey print by lightness.
_KINDS = {
    "query": "#56B4E9",
    "mutation": "#009E73",
    "action": "#0072B2",
    "workflow": "#CC79A7",
    "event": "#E69F00",
    "sleep": "#F0E442",
}
_FAILED = "#D55E00"
_CANCELED = "#777777"
_WAITING = "#D9D9D9"
_INK = "#333333"
_FAINT = "#8A8A8A"
_HATCH = {"failed": "xxxx", "canceled": "////", "running": "...."}
_IDLE_KINDS = frozenset({"sleep", "event"})  # they wait for the world: pale and thin, so that work stands out

_MAX_ROWS = 40  # steps that get a row of their own
_MAX_NAMES = 24  # bands of a grouped plot; further names share one
_WIDTH = 10.0  # inches
_ROW = 0.27  # inches, one step
_LANE = 0.1  # inches, one lane of a band, if there is room
_BAND = (0.34, 2.6)  # inches, the least and most that a band takes
_MAX_HEIGHT = 11.0  # inches
_LINE = 0.15  # inches, a line of text: labels closer than that are left out
_INSTANT = 1e-3  # seconds, the axis of steps that took no time at all
_LABEL_LENGTH = 34  # characters


class TimelineFigure(Figure):
    """A matplotlib figure that shows itself as a cell's last line, also where no ``%matplotlib`` backend is active."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144)
        return buffer.getvalue()


def timeline(steps: Any, ax: Axes | None = None, *, title: str | None = None) -> Figure:
    """Draw when each step waited and ran.

    Args:
        steps: step records (``run_id, step_number, name, kind, status, attempts, scheduled_at, started_at, completed_at``),
            or for several runs a dict ``{title: steps}`` or a list of ``(title, steps)``.
        ax: axes to draw in; without, a new figure is made, as high as its rows need.
        title: the heading; by default the run's id.

    Returns:
        The figure (that of ``ax`` where one was given). The x axis is time in seconds since the first step was scheduled,
        labelled in a fitting unit; steps that have not ended reach to the last time that any record knows.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> from types import SimpleNamespace
        >>> start = datetime(2026, 11, 20, tzinfo=UTC)
        >>> step = SimpleNamespace(run_id="r1", step_number=0, name="fetch", kind="action", status="success", attempts=1,
        ...     scheduled_at=start, started_at=start, completed_at=start + timedelta(seconds=2), error=None)
        >>> figure = timeline([step])
        >>> figure.axes[0].get_yticklabels()[0].get_text()
        '0  fetch'
    """
    if ax is not None and not isinstance(ax, Axes):
        raise InvalidArguments(f"ax must be axes of matplotlib, such as figure.add_subplot() gives, not {ax!r}")
    groups = _groups(steps)
    spans, origin, end = _spans(groups)
    # Given axes may be low: a row needs its line of text.
    most_rows = _MAX_ROWS if ax is None else min(_MAX_ROWS, int(_size(ax)[1] / _LINE))
    layout = _rows(groups, spans) if len(spans) + len(groups) - 1 <= most_rows else _bands(groups, spans)
    if ax is None:
        figure: Any = TimelineFigure(figsize=(_WIDTH, _height(layout)), layout="constrained")
        axes: Axes = figure.add_subplot()
        size = (_WIDTH * 0.75, layout.inches)  # the layout comes with drawing: until then, about this much is for the axes
    else:
        axes, size = ax, _size(ax)
    if title is None:
        title = _default_title(groups)
    _dress(axes)
    if not spans:
        _draw_nothing(axes, title)
    else:
        _draw_time_axis(axes, origin, end, size[0])
        _draw_bars(axes, layout)
        _draw_labels(axes, layout, end or _INSTANT, size)
        _draw_legend(axes, layout, title, size[0])
    root: Any = axes.get_figure(root=True)
    return root


# -- records to spans -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Span:
    """One step in seconds since the origin.

    Attributes:
        scheduled: when it was asked for.
        started: when it began to run; its end if it never did.
        end: when it ended, or the last known time.
        look: (kind, status) as drawn; status is one of success, running, failed, canceled, scheduled.
    """

    step: Any
    scheduled: float
    started: float
    end: float
    look: tuple[str, str]
    y: float = 0.0
    height: float = 0.7
    wait_from: float = 0.0  # where its waiting bar begins; later than scheduled if the lane was taken until then

    @property
    def is_idle(self) -> bool:
        return self.look[0] in _IDLE_KINDS

    @property
    def has_run(self) -> bool:
        return self.step.started_at is not None


@dataclass
class _Layout:
    """Where everything goes; y counts rows downwards from 0.

    Attributes:
        spans: all steps, with y and height set.
        labels: (y, text) on the left.
        notes: (y, text, colour) on the right, outside.
        headers: (y, text): titles of runs.
        stripes: (top, bottom) of every second band, shaded.
        size: total height in rows.
        inches: the height that suits it.
        is_grouped: whether rows are bands of many steps.
    """

    spans: list[_Span]
    labels: list[tuple[float, str]] = field(default_factory=list)
    notes: list[tuple[float, str, str]] = field(default_factory=list)
    headers: list[tuple[float, str]] = field(default_factory=list)
    stripes: list[tuple[float, float]] = field(default_factory=list)
    size: float = 0.0
    inches: float = 0.0
    is_grouped: bool = False


_Groups = list[tuple[str, list[Any]]]


def _groups(steps: Any) -> _Groups:
    if isinstance(steps, Mapping):
        return [(str(title), list(of)) for title, of in steps.items()]
    listed = list(steps)
    if listed and all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in listed):
        return [(title, list(of)) for title, of in listed]
    return [("", listed)]


def _size(ax: Axes) -> tuple[float, float]:
    """Width and height of axes in inches."""
    figure: Any = ax.get_figure(root=True)
    box = ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    return box.width, box.height


def _default_title(groups: _Groups) -> str:
    if len(groups) > 1:
        return f"{len(groups)} runs"
    ids = {step.run_id for _, steps in groups for step in steps}
    return groups[0][0] or (f"run {ids.pop()}" if len(ids) == 1 else "") if groups else ""


def _times(step: Any) -> list[datetime]:
    return [at for at in (step.scheduled_at, step.started_at, step.completed_at) if at is not None]


def _spans(groups: _Groups) -> tuple[list[_Span], datetime | None, float]:
    """All steps that have a time, in the groups' order, the instant of 0, and the last known time in seconds."""
    steps = [step for _, group in groups for step in group if _times(step)]
    if not steps:
        return [], None, 0.0
    origin = min(min(_times(step)) for step in steps)
    end = max((max(_times(step)) - origin).total_seconds() for step in steps)
    return [_span(step, origin, end) for step in steps], origin, end


def _span(step: Any, origin: datetime, now: float) -> _Span:
    def seconds(at: datetime | None, default: float) -> float:
        return default if at is None else (at - origin).total_seconds()

    scheduled = seconds(step.scheduled_at, seconds(step.started_at, seconds(step.completed_at, 0.0)))
    end = seconds(step.completed_at, now)
    # A sleep or an event waits from the moment it is asked for: that is all it does.
    started = seconds(step.started_at, scheduled if step.kind in _IDLE_KINDS else end)
    # Clocks get set: a bar may be empty, never negative.
    end = max(end, scheduled)
    started = min(max(started, scheduled), end)
    return _Span(step, scheduled, started, end, (str(step.kind), str(step.status)), wait_from=scheduled)


# -- spans to rows ----------------------------------------------------------------------------------------------------


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LABEL_LENGTH else text[: _LABEL_LENGTH - 1] + "…"


def _by_group(groups: _Groups, spans: list[_Span]) -> Iterable[tuple[str, list[_Span]]]:
    position = iter(spans)
    for title, steps in groups:
        yield title, [next(position) for step in steps if _times(step)]


def _rows(groups: _Groups, spans: list[_Span]) -> _Layout:
    layout = _Layout(spans)
    for title, group in _by_group(groups, spans):
        if len(groups) > 1:
            layout.headers.append((layout.size + 0.5, _short(title)))
            layout.size += 1
        for span in group:
            span.y = layout.size + 0.5
            span.height = 0.34 if span.is_idle else 0.66
            layout.labels.append((span.y, f"{span.step.step_number}  {_short(str(span.step.name))}"))
            layout.size += 1
    layout.inches = layout.size * _ROW
    return layout


def _bands(groups: _Groups, spans: list[_Span]) -> _Layout:
    """One band a name, in the order of first appearance; a unit of y is an inch before the whole is scaled to fit."""
    layout = _Layout(spans, is_grouped=True)
    named = [(title, _by_name(group)) for title, group in _by_group(groups, spans)]
    if len(named) > 1 and sum(len(bands) for _, bands in named) > _MAX_NAMES * 1.5:
        # Too many runs to tell their steps apart: a band a run.
        named = [("", [(title, [span for _, members in bands for span in members]) for title, bands in named if bands])]
    for title, bands in named:
        if len(named) > 1:
            layout.headers.append((layout.size + 0.14, _short(title)))
            layout.size += 0.28
        for index, (name, members) in enumerate(bands):
            _band(layout, name, members, is_shaded=index % 2 == 0)
    layout.inches = min(layout.size, _MAX_HEIGHT)
    return layout


def _by_name(spans: list[_Span]) -> list[tuple[str, list[_Span]]]:
    names = _grouped(spans, lambda name: name)
    if len(names) > _MAX_NAMES:
        # Names made from data ("fetch page 17") would give a band a step.
        names = _grouped(spans, lambda name: re.sub(r"\d+", "#", name))
    if len(names) <= _MAX_NAMES:
        return list(names.items())
    kept = {name for name, _ in sorted(names.items(), key=lambda item: -len(item[1]))[: _MAX_NAMES - 1]}
    rest = [span for name, members in names.items() if name not in kept for span in members]
    bands = [(name, members) for name, members in names.items() if name in kept]
    return [*bands, (f"{len(names) - len(kept):,} other names", rest)]


def _grouped(spans: list[_Span], key: Callable[[str], str]) -> dict[str, list[_Span]]:
    names: dict[str, list[_Span]] = {}
    for span in spans:
        names.setdefault(key(str(span.step.name)), []).append(span)
    return names


def _band(layout: _Layout, name: str, members: list[_Span], *, is_shaded: bool) -> None:
    queued = [span for span in members if not span.has_run and not span.is_idle]
    lanes, count = _packed([span for span in members if span.has_run or span.is_idle])
    if queued:
        # Those that never started waited side by side: thousands of lanes that say one thing. One lane says it.
        lanes += [(span, count) for span in queued]
        count += 1
    height = min(max(count * _LANE + 0.1, _BAND[0]), _BAND[1])
    lane = min((height - 0.1) / count, 0.2)
    top = layout.size + (height - lane * count) / 2
    for span, index in lanes:
        span.y = top + (index + 0.5) * lane
        span.height = lane * (0.55 if span.is_idle and count < 10 else 0.8 if count < 30 else 1.0)
    middle = layout.size + height / 2
    layout.labels.append((middle, f"{_short(name)}  ×{len(members):,}"))
    note, color = _note(members, len(queued))
    if note:
        layout.notes.append((middle, note, color))
    if is_shaded:
        layout.stripes.append((layout.size, layout.size + height))
    layout.size += height


def _packed(spans: list[_Span]) -> tuple[list[tuple[_Span, int]], int]:
    """Greedy interval packing: each span in the lowest lane that is free when it starts. O(n log n)."""
    placed: list[tuple[_Span, int]] = []
    busy: list[tuple[float, int]] = []  # (until, lane)
    free: list[int] = []
    last_end: list[float] = []
    for span in sorted(spans, key=lambda one: (one.started, one.end)):
        while busy and busy[0][0] <= span.started:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
            span.wait_from = max(span.scheduled, last_end[lane])
        else:
            lane = len(last_end)
            last_end.append(0.0)
        last_end[lane] = span.end
        heapq.heappush(busy, (span.end, lane))
        placed.append((span, lane))
    return placed, max(len(last_end), 1)


def _note(members: list[_Span], queued: int) -> tuple[str, str]:
    """What a band's colours cannot be counted for, and the colour of the worst of it."""
    counts = Counter(span.look[1] for span in members)
    retried = sum(1 for span in members if (span.step.attempts or 0) > 1)
    waiting = min(queued, counts["scheduled"])
    parts = [(counts["failed"], "failed"), (counts["canceled"], "canceled"), (counts["running"], "running")]
    parts += [(waiting, "waiting"), (retried, "retried")]
    text = ", ".join(f"{count:,} {word}" for count, word in parts if count)
    return text, _FAILED if counts["failed"] else _FAINT


def _height(layout: _Layout) -> float:
    return max(layout.inches + 1.45, 2.4)


# -- drawing ----------------------------------------------------------------------------------------------------------


def _pale(color: str, share: float) -> tuple[float, float, float]:
    """``color`` mixed with white; share 1 is white."""
    red, green, blue = (part + (1 - part) * share for part in to_rgb(color))
    return red, green, blue


def _dress(ax: Axes) -> None:
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color("#BBBBBB")
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=_INK, pad=6)
    ax.tick_params(axis="x", length=3, color="#BBBBBB", labelsize=9, labelcolor="#555555")
    ax.grid(visible=True, axis="x", color="#E6E6E6", linewidth=0.8)
    ax.set_axisbelow(True)


def _draw_nothing(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK, parse_math=False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines["bottom"].set_visible(False)
    ax.text(0.5, 0.5, "no steps yet", transform=ax.transAxes, ha="center", va="center", color=_FAINT, fontsize=11)


def _style(look: tuple[str, str]) -> dict[str, Any]:
    """Colour, hatch and outline for a (kind, status): a status never rests on colour alone."""
    kind, status = look
    color = _KINDS.get(kind, _KINDS["action"])
    if status == "failed":
        return {"facecolor": _FAILED, "edgecolor": _pale(_FAILED, 0.65), "hatch": _HATCH["failed"], "outline": _FAILED}
    if status == "canceled":
        return {"facecolor": "#C4C4C4", "edgecolor": _CANCELED, "hatch": _HATCH["canceled"], "outline": _CANCELED}
    if status in ("running", "scheduled"):
        return {"facecolor": _pale(color, 0.7), "edgecolor": color, "hatch": _HATCH["running"], "outline": color}
    if kind in _IDLE_KINDS:
        return {"facecolor": _pale(color, 0.55), "edgecolor": _pale(color, 0.4), "hatch": None, "outline": None}
    return {"facecolor": color, "edgecolor": color, "hatch": None, "outline": None}


def _boxes(spans: Sequence[tuple[float, float, float, float]]) -> Any:
    """Corners of (left, right, y, height), shape (n, 4, 2): PolyCollection has a fast path for arrays."""
    left, right, y, height = np.asarray(spans, dtype=float).T
    top, bottom = y - height / 2, y + height / 2
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)


def _draw_bars(ax: Axes, layout: _Layout) -> None:
    """One collection a look. The thin edge keeps a bar of a millisecond visible on an axis of days."""
    for top, bottom in layout.stripes:
        ax.axhspan(top, bottom, color="#F7F7F7", linewidth=0, zorder=0)
    waits = [(s.wait_from, s.started, s.y, s.height * 0.5) for s in layout.spans if s.started > s.wait_from]
    if waits:
        boxes = _boxes(_merged(waits) if layout.is_grouped else waits)
        ax.add_collection(
            PolyCollection(boxes, facecolor=_WAITING, edgecolor=_WAITING, linewidth=0.4, zorder=2, label="waiting"), autolim=False
        )
    looks: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for span in layout.spans:
        if span.has_run or span.is_idle or span.look[1] in ("failed", "canceled"):
            looks.setdefault(span.look, []).append((span.started, span.end, span.y, span.height))
    for look, bars in looks.items():
        style = _style(look)
        # A hatch is drawn bar by bar: too slow, and too fine to see, for hundreds of lanes. Marks tell there.
        hatch = style["hatch"] if len(bars) <= 500 else None
        edge = style["edgecolor"] if hatch else style["facecolor"]
        ax.add_collection(
            PolyCollection(
                _boxes(bars),
                facecolor=style["facecolor"],
                edgecolor=edge,
                linewidth=0.5,
                hatch=hatch,
                zorder=3,
                label=" ".join(look),
            ),
            autolim=False,
        )
    _draw_marks(ax, layout)


def _merged(waits: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """Waits of one lane that overlap, as one: steps that never started share a lane by the thousand."""
    merged: list[tuple[float, float, float, float]] = []
    for left, right, y, height in sorted(waits, key=lambda one: (one[2], one[0])):
        if merged and merged[-1][2] == y and left <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(right, merged[-1][1]), y, height)
        else:
            merged.append((left, right, y, height))
    return merged


def _draw_marks(ax: Axes, layout: _Layout) -> None:
    """A cross where a step failed, a bar where it was canceled: seen also where the bar itself is a hair's breadth."""
    for status, marker, color in (("failed", "X", _FAILED), ("canceled", "s", _CANCELED)):
        ends = [(span.end, span.y) for span in layout.spans if span.look[1] == status]
        if ends:
            size = 6.5 if status == "failed" else 4.5
            if layout.is_grouped:
                size *= 0.75
            xs, ys = zip(*ends, strict=True)
            ax.plot(
                xs,
                ys,
                linestyle="none",
                marker=marker,
                markersize=size,
                color=color,
                markeredgecolor="white",
                markeredgewidth=0.7,
                zorder=4,
                clip_on=False,
                label=f"{status} mark",
            )


def _draw_labels(ax: Axes, layout: _Layout, length: float, size: tuple[float, float]) -> None:
    line = _LINE * layout.size / max(size[1], 0.1)  # a line of text in rows
    ax.set_ylim(layout.size, 0)  # first step on top
    labels = _thinned(layout.labels, line)
    ax.set_yticks([y for y, _ in labels])
    ax.set_yticklabels([text for _, text in labels], parse_math=False)
    beside = blended_transform_factory(ax.transAxes, ax.transData)
    for y, text in layout.headers:
        ax.text(
            0.0,
            y,
            text,
            transform=beside,
            fontsize=9.5,
            fontweight="bold",
            color=_INK,
            va="center",
            parse_math=False,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    for y, text, color in _thinned(layout.notes, line):
        ax.text(1.01, y, text, transform=beside, fontsize=8, color=color, va="center", ha="left")
    if not layout.is_grouped:
        for span in layout.spans:
            _draw_remark(ax, span, length, inches=size[0])


def _thinned(items: list[Any], distance: float) -> list[Any]:
    """The items (y first) that are at least ``distance`` below the one kept before: text that overlaps says nothing."""
    kept: list[Any] = []
    for item in items:
        if not kept or item[0] - kept[-1][0] >= distance:
            kept.append(item)
    return kept


def _draw_remark(ax: Axes, span: _Span, length: float, inches: float) -> None:
    """Duration, attempts and a bad end of one step, beside its bar where there is room."""
    parts = [_duration(span.end - (span.started if span.has_run else span.scheduled))]
    if (span.step.attempts or 0) > 1:
        parts.append(f"{span.step.attempts} attempts")
    if span.look[1] != "success":
        parts.append("waiting" if span.look[1] == "scheduled" else span.look[1])
    text = "  ·  ".join(parts)
    color = _FAILED if span.look[1] == "failed" else "#666666"
    room = (0.08 * len(text) + 0.1) / inches * length  # a character is at most about 0.08 inches wide
    begin = min(span.wait_from, span.started)
    if span.end + room < length * 1.03:
        at, shift, side = span.end, 7, "left"
    elif begin > room:
        at, shift, side = begin, -6, "right"
    else:  # a bar from end to end: inside it
        at, shift, side = span.end, -8, "right"
    # The white behind the text parts it from grid lines, and from the bar where it is inside.
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
    ax.annotate(
        text,
        (at, span.y),
        xytext=(shift, 0),
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=8,
        color=color,
        bbox=box,
        zorder=5,
    )


def _draw_legend(ax: Axes, layout: _Layout, title: str, inches: float) -> None:
    """Between title and data, so that it never covers a bar."""
    looks = {span.look for span in layout.spans}
    handles: list[Any] = []
    for kind, color in _KINDS.items():
        if any(look[0] == kind for look in looks):
            handles.append(Patch(facecolor=_pale(color, 0.55) if kind in _IDLE_KINDS else color, label=kind))
    if any(span.started > span.wait_from for span in layout.spans):
        handles.append(Patch(facecolor=_WAITING, label="waiting"))
    if any(status == "running" or (status == "scheduled" and kind in _IDLE_KINDS) for kind, status in looks):
        handles.append(Patch(facecolor="#EEEEEE", edgecolor="#666666", hatch=_HATCH["running"], linewidth=0.5, label="not ended"))
    for status, marker, color in (("failed", "X", _FAILED), ("canceled", "s", _CANCELED)):
        if any(look[1] == status for look in looks):
            handles.append(_mark_handle(status, marker, color))
    columns = min(max(int(inches / (0.75 if inches > 7 else 1.0)), 2), len(handles))
    lines = math.ceil(len(handles) / columns)
    legend = ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.4,
        borderpad=0.0,
        handlelength=1.3,
        handleheight=0.8,
        handletextpad=0.5,
        columnspacing=1.4,
        labelcolor="#555555",
    )
    legend.set_zorder(5)
    ax.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK, pad=10 + 14 * lines, parse_math=False)


def _mark_handle(status: str, marker: str, color: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, markersize=7, color=color, markeredgecolor="white", label=status)


# -- time ---------------------------------------------------------------------------------------------------------------

_SECOND, _MINUTE, _HOUR, _DAY = 1.0, 60.0, 3600.0, 86400.0
# Distances between ticks that people read easily, in seconds.
_STEPS = [
    *(scale * step for scale in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1) for step in (1, 2, 5)),
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * step for step in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * step for step in (1, 2, 3, 6, 12)),
    *(_DAY * step for step in (1, 2, 5, 10, 30, 60, 182.5, 365)),
]


def _draw_time_axis(ax: Axes, origin: datetime | None, end: float, inches: float) -> None:
    """Ticks in the unit that suits the length: milliseconds to hours since the start; dates from two days on."""
    assert origin is not None
    length = end or _INSTANT
    ax.set_xlim(-0.012 * length, 1.03 * length)
    most = min(max(int(inches / 0.75), 2), 9)
    step = next((step for step in _STEPS if length / step <= most), _DAY * 365 * math.ceil(length / _DAY / 365 / most))
    start = f"{origin:%Y-%m-%d %H:%M:%S} {origin.tzname() or ''}".strip()
    if length >= 2 * _DAY:
        first = (origin.replace(hour=0, minute=0, second=0, microsecond=0) - origin).total_seconds()
        ticks = [first + step * n for n in range(int((length - first) / step) + 1)]
        form = "%d %b %H:%M" if step < _DAY else "%d %b" if length < 300 * _DAY else "%d %b %Y"
        labels = FuncFormatter(lambda x, _: f"{origin + timedelta(seconds=round(x)):{form}}")
        ax.set_xlabel(f"{origin.tzname() or 'date'}, from {start}", fontsize=9, color="#555555")
    else:
        ticks = [step * n for n in range(int(length / step) + 1)]
        unit, name = next(((u, n) for u, n in _UNITS if length <= 120 * u), _UNITS[-1])
        if unit >= _MINUTE and step < unit:  # 1:30, not 1.5
            name += ":seconds" if unit == _MINUTE else ":minutes"
            labels = FuncFormatter(lambda x, _: f"{round(x * 60 / unit) // 60}:{round(x * 60 / unit) % 60:02}")
        else:
            labels = FuncFormatter(lambda x, _: f"{x / unit:.6g}")
        ax.set_xlabel(f"{name} since {start}", fontsize=9, color="#555555")
    ax.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if -0.01 * length <= tick <= 1.03 * length]))
    ax.xaxis.set_major_formatter(labels)


_UNITS = [(1e-6, "microseconds"), (1e-3, "milliseconds"), (_SECOND, "seconds"), (_MINUTE, "minutes"), (_HOUR, "hours")]


def _duration(seconds: float) -> str:
    """``0.0042`` as ``4.2 ms``, ``4000`` as ``1 h 6 min``: two figures that matter."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs" if seconds else "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    total = round(seconds)
    for big, small, big_name, small_name in (
        (_MINUTE, _SECOND, "min", "s"),
        (_HOUR, _MINUTE, "h", "min"),
        (_DAY, _HOUR, "d", "h"),
    ):
        if total < big * {"min": 60, "h": 24}.get(big_name, math.inf):
            whole, rest = divmod(total, big)
            return f"{whole:.0f} {big_name}" + (f" {rest // small:.0f} {small_name}" if rest // small else "")
    return f"{seconds:.0f} s"
