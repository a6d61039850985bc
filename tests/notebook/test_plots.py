"""Timelines: what is drawn, and how much of it; what it looks like was looked at."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from wfkernel.errors import InvalidArguments
from wfkernel.notebook.plots import _duration, _packed, _span, timeline

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)


def step(number=0, kind="action", status="success", scheduled=0.0, started=1.0, completed=2.0, *, attempts=1, name="fetch"):
    return SimpleNamespace(
        run_id="r1",
        step_number=number,
        name=name,
        kind=kind,
        status=status,
        attempts=attempts,
        error=None,
        scheduled_at=at(scheduled),
        started_at=at(started),
        completed_at=at(completed),
    )


MIXED = [
    step(0, "query", "success", 0, 0, 1, name="load"),
    step(1, "mutation", "success", 1, 1.5, 2, name="store"),
    step(2, "action", "failed", 2, 2, 4, attempts=3),
    step(3, "action", "canceled", 2, 2, 4),
    step(4, "sleep", "success", 4, 4, 8, name="sleep"),
    step(5, "event", "scheduled", 8, None, None, name="approved"),
    step(6, "action", "running", 8, 9, None),
    step(7, "action", "scheduled", 8, None, None, name="queued"),
    step(8, "workflow", "success", 4, 4, 10, name="child"),
]


def many(count: int) -> list[SimpleNamespace]:
    kinds = ["query", "mutation", "action", "workflow", "event", "sleep"]
    return [
        step(
            n,
            kinds[n % 6],
            "failed" if n % 101 == 0 else "canceled" if n % 103 == 0 else "success",
            n / 10,
            n / 10 + 0.5,
            n / 10 + 3,
            attempts=1 + n % 2,
            name=f"{kinds[n % 6]}_{n % 12 // 6}",
        )
        for n in range(count)
    ]


def bars(figure: Figure) -> dict[str, np.ndarray]:
    """Extents (left, right, top, bottom) of the drawn bars, by the label of their look."""
    found = {}
    for collection in figure.axes[0].collections:
        assert isinstance(collection, PolyCollection)
        corners = np.array([path.vertices[:4] for path in collection.get_paths()])
        extents = [corners[:, :, 0].min(1), corners[:, :, 0].max(1), corners[:, :, 1].min(1), corners[:, :, 1].max(1)]
        found[collection.get_label()] = np.stack(extents, axis=1)
    return found


def labels(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def image(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form)
    return buffer.getvalue()


def test_each_step_has_a_bar_where_it_ran():
    drawn = bars(timeline(MIXED))
    waits = drawn.pop("waiting")
    assert sum(map(len, drawn.values())) == len(MIXED) - 1  # one step only waits
    assert drawn["mutation success"][0][:2].tolist() == [1.5, 2]
    assert [1, 1.5] in waits[:, :2].tolist()


def test_steps_that_have_not_ended_reach_to_the_last_known_time():
    drawn = bars(timeline(MIXED))
    assert drawn["action running"][0][:2].tolist() == [9, 10]
    assert drawn["event scheduled"][0][:2].tolist() == [8, 10]
    assert [8, 10] in drawn["waiting"][:, :2].tolist()


def test_rows_are_labelled_in_order_from_the_top():
    figure = timeline(MIXED)
    assert labels(figure)[:3] == ["0  load", "1  store", "2  fetch"]
    low, high = figure.axes[0].get_ylim()
    assert low > high


def test_statuses_differ_in_more_than_colour():
    figure = timeline(MIXED)
    by_label = {collection.get_label(): collection for collection in figure.axes[0].collections}
    hatches = [by_label[f"action {status}"].get_hatch() for status in ("failed", "canceled", "running")]
    assert len({*hatches, by_label["query success"].get_hatch()}) == 4
    assert {line.get_label(): line.get_marker() for line in figure.axes[0].lines} == {"failed mark": "X", "canceled mark": "s"}


def test_kinds_differ_in_colour():
    figure = timeline([step(n, kind) for n, kind in enumerate(("query", "mutation", "action", "workflow", "event", "sleep"))])
    colors = {tuple(c.get_facecolor()[0]) for c in figure.axes[0].collections if c.get_label() != "waiting"}
    assert len(colors) == 6


def test_attempts_and_a_bad_end_are_written_beside_the_bar():
    assert "2 s  ·  3 attempts  ·  failed" in texts(timeline(MIXED))


def test_a_legend_names_what_is_there_and_nothing_else():
    legend = timeline(MIXED[:3]).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["query", "mutation", "action", "waiting", "failed"]


@pytest.mark.parametrize("count", [0, 1, 5, 40, 41, 300])
def test_png_and_svg_are_valid(count):
    figure = timeline(many(count))
    assert image(figure, "png").startswith(b"\x89PNG")
    assert ElementTree.fromstring(image(figure, "svg")).tag.endswith("svg")


def test_no_steps_make_axes_that_say_so():
    assert texts(timeline([])) == ["no steps yet"]
    assert texts(timeline({})) == ["no steps yet"]
    assert texts(timeline([step(scheduled=None, started=None, completed=None)])) == ["no steps yet"]


def test_many_steps_are_grouped_by_name_with_counts():
    found = labels(timeline(many(300)))
    assert "query_0  ×25" in found
    assert len(found) == 12


def test_five_thousand_steps_make_few_artists():
    figure = timeline(many(5_000))
    assert len(figure.axes[0].collections) < 25
    assert len(figure.axes[0].get_children()) < 80
    drawn = bars(figure)
    drawn.pop("waiting", None)
    assert sum(map(len, drawn.values())) == 5_000


def test_ten_thousand_steps_are_drawn_fast():
    steps = many(10_000)
    begin = time.perf_counter()
    image(timeline(steps), "png")
    assert time.perf_counter() - begin < 5  # about 0.6 s on an idle machine


def test_packed_bars_do_not_overlap():
    for look, extents in bars(timeline([s for s in many(600) if s.kind == "action"] + many(1))).items():
        for y in set(extents[:, 2]):
            lane = extents[extents[:, 2] == y]
            lane = lane[lane[:, 0].argsort()]
            assert (lane[1:, 0] >= lane[:-1, 1] - 1e-9).all(), look


def test_packing_needs_as_many_lanes_as_steps_that_overlap():
    spans = [_span(step(n, started=n, completed=n + 2.5), START, 10) for n in range(6)]
    placed, count = _packed(spans)
    assert count == 3
    assert [lane for _, lane in placed] == [0, 1, 2, 0, 1, 2]


def test_thousands_that_never_started_share_one_lane():
    queued = [step(n, status="scheduled", started=None, completed=None) for n in range(3_000)]
    figure = timeline([*queued, step(3_000)])
    assert len(bars(figure)["waiting"]) <= 2
    assert any("3,000 waiting" in text for text in texts(figure))


def test_names_made_from_data_share_a_band():
    assert labels(timeline([step(n, name=f"page {n}") for n in range(100)])) == ["page #  ×100"]
    letters = [step(n, name=chr(0x4E00 + n)) for n in range(100)]
    assert "77 other names  ×77" in labels(timeline(letters))


def test_several_runs_are_drawn_under_their_titles():
    for runs in ({"one": MIXED, "two": MIXED[:2]}, [("one", MIXED), ("two", MIXED[:2])]):
        figure = timeline(runs)
        assert [text for text in texts(figure) if text in ("one", "two")] == ["one", "two"]
        assert figure.axes[0].get_title(loc="left") == "2 runs"
    assert len(labels(timeline({f"run {n}": many(60) for n in range(30)}))) == 30


def test_given_axes_are_drawn_in():
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert timeline(MIXED, ax=left, title="mine") is figure
    assert left.get_title(loc="left") == "mine"
    assert left.collections
    assert not right.collections


def test_low_axes_leave_labels_out_rather_than_overlap_them():
    figure = Figure(figsize=(8, 1.5))
    timeline(many(200), ax=figure.subplots())
    ticks = figure.axes[0].get_yticks()
    rows = figure.axes[0].get_ylim()[0]
    inches = figure.axes[0].get_window_extent().height / figure.dpi
    assert min(np.diff(ticks)) / rows * inches >= 0.149


@pytest.mark.parametrize(
    ("seconds", "label", "ticks"),
    [
        (0, "milliseconds since", ["0"]),
        (0.008, "milliseconds since", ["0", "1", "2"]),
        (9, "seconds since", ["0", "1", "2"]),
        (150, "minutes:seconds since", ["0:00", "0:30", "1:00"]),
        (3_600, "minutes since", ["0", "10", "20"]),
        (36_000, "hours since", ["0", "2", "4"]),
        (86_400 * 8, "UTC, from 2026-11-20 09:00:00 UTC", ["21 Nov", "22 Nov", "23 Nov"]),
        (86_400 * 900, "UTC, from", []),
    ],
)
def test_the_time_axis_has_a_sensible_unit(seconds, label, ticks):
    axes = timeline([step(0, "event", scheduled=0, started=0, completed=seconds)]).axes[0]
    assert axes.get_xlabel().startswith(label)
    axes.figure.canvas.draw()
    found = [tick.get_text() for tick in axes.get_xticklabels()]
    assert found[: len(ticks)] == ticks
    assert 1 <= len(found) <= 11


def test_signs_of_mathtext_and_line_breaks_in_names_are_drawn_as_they_are():
    figure = timeline([step(0, name="$\\frac$ \n {x}")], title="$\\bad$")
    assert labels(figure) == ["0  $\\frac$ {x}"]
    assert image(figure, "png")


def test_a_clock_that_was_set_back_gives_empty_bars_and_no_negative_ones():
    drawn = bars(timeline([step(0, scheduled=5, started=4, completed=3), step(1)]))
    assert all((extents[:, 1] >= extents[:, 0]).all() for extents in drawn.values())


def test_the_figure_shows_itself_as_png():
    assert timeline(MIXED)._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 s"), (2e-5, "20 µs"), (0.0042, "4.2 ms"), (0.9999, "1 s"), (3.14159, "3.14 s"), (59.99, "1 min")],
        *[(200, "3 min 20 s"), (3599.9, "1 h"), (7_500, "2 h 5 min"), (86_400 * 3 + 3_600 * 4, "3 d 4 h")],
    ],
)
def test_durations_are_short(seconds, text):
    assert _duration(seconds) == text


def test_pyplot_is_never_imported():
    script = "import sys, wfkernel.notebook.plots as p; p.timeline([])._repr_png_(); print('matplotlib.pyplot' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_no_axes_is_refused():
    with pytest.raises(InvalidArguments, match="ax must be axes of matplotlib"):
        timeline([step()], ax=3)  # type: ignore[arg-type]
