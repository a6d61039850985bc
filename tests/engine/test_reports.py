"""What steps tell of themselves is kept, within bounds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wfkernel.engine import reports
from wfkernel.engine.reports import MOST_LINES, MOST_OF_LINE, Reports


def step(number: int = 0, generation: int = 0, run: int = 1) -> Any:
    return SimpleNamespace(run=SimpleNamespace(key=run), number=number, generation=generation)


def texts(kept: Reports, number: int = 0, generation: int = 0, run: int = 1) -> list[str]:
    told = kept.told(run, number, generation)
    return [] if told is None else [line.text for line in told.lines]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a", " ", "b", "\n"], ["a b"]),
        (["a\nb"], ["a", "b"]),
        (["a\n\nb\n"], ["a", "", "b"]),
        (["10%", "\r20%", "\r30%"], ["30%"]),
        (["10%\r", "20%\r", "done\n"], ["done"]),
        (["windows\r\n"], ["windows"]),
        (["\x1b[31mred\x1b[0m\n"], ["red"]),
        ([], []),
    ],
)
def test_pieces_of_a_stream_amount_to_lines_as_a_terminal_shows_them(pieces: list[str], lines: list[str]) -> None:
    kept = Reports()
    for piece in pieces:
        kept.write(step(), 0, "stdout", piece)
    assert texts(kept) == lines


def test_streams_do_not_break_each_others_lines() -> None:
    kept = Reports()
    kept.write(step(), 1, "stdout", "to")
    kept.write(step(), 2, "stderr", "oops\n")
    kept.write(step(), 3, "stdout", "gether\n")
    told = kept.told(1, 0, 0)
    assert told is not None
    assert [tuple(line) for line in told.lines] == [(2, "stderr", "oops"), (1, "stdout", "together")]
    assert told.pieces == 3


def test_the_last_lines_of_a_step_are_kept_and_none_is_too_long() -> None:
    kept = Reports()
    for n in range(MOST_LINES + 10):
        kept.log(step(), n, "log", f"line {n}")
    assert texts(kept)[0] == "line 10"
    assert len(texts(kept)) == MOST_LINES
    kept.log(step(1), 0, "log", "x" * 100_000)
    assert len(texts(kept, 1)[0]) == MOST_OF_LINE + 1
    kept.write(step(2), 0, "stdout", "y" * 100_000)
    assert "".join(texts(kept, 2)) == "y" * 100_000


def test_the_steps_that_were_silent_longest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_OF_ALL", 5_000)
    kept = Reports()
    for number in range(4):
        kept.log(step(number), 0, "log", "x" * 500)
    kept.log(step(0), 0, "log", "again")
    for number in range(4, 7):
        kept.log(step(number), 0, "log", "x" * 500)
    assert texts(kept, 1) == []
    assert texts(kept, 0)[-1] == "again"
    assert texts(kept, 6)


def test_a_step_that_is_run_again_begins_a_new_log_and_late_words_of_the_old_one_do_not_end_it() -> None:
    kept = Reports()
    kept.log(step(generation=0), 0, "log", "old")
    kept.log(step(generation=1), 0, "log", "new")
    kept.log(step(generation=0), 0, "log", "late")
    assert texts(kept, generation=1)[0] == "new"
    assert texts(kept, generation=0) == []


def test_runs_that_are_gone_are_forgotten() -> None:
    kept = Reports()
    for run in (1, 2):
        kept.log(step(run=run), 0, "log", "here")
    kept.forget([1])
    assert texts(kept, run=1) == []
    assert texts(kept, run=2) == ["here"]
