"""Listeners of an engine are told what happens, and can do it no harm."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wfkernel import WorkflowManager, current_step
from wfkernel.model.facts import Fact


class Notes:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.facts: list[tuple[int, int, int]] = []  # run, step, fact
        self.seqs: list[int] = []
        self.gone: list[int] = []
        self.steps: list[int] = []
        self.runs: list[int] = []
        self.news = threading.Condition()

    def _add(self, to: list[Any], *what: Any) -> None:
        with self.news:
            to.extend(what)
            self.news.notify_all()

    def committed(self, rows: Any, seq: int) -> None:
        self._add(self.facts, *((r[0], r[1], r[3]) for r in rows))
        self._add(self.seqs, *range(seq, seq + len(rows)))

    def noted(self, step: Any, seq: int) -> None:
        self._add(self.facts, (step.run.key, step.number, step.fact))
        self._add(self.seqs, seq)

    def removed(self, runs: Any, seq: int) -> None:
        self._add(self.gone, *runs)

    def step_changed(self, step: Any) -> None:
        self._add(self.steps, step.number)

    def run_changed(self, run: Any) -> None:
        self._add(self.runs, run.key)

    def until(self, holds: Callable[[], Any]) -> None:
        with self.news:
            assert self.news.wait_for(holds, 10)


@pytest.fixture
def wf() -> Any:
    with WorkflowManager(":memory:") as manager:
        yield manager


def test_a_listener_hears_each_row_in_the_order_of_the_journal(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.run_action(lambda: current_step().log("here"))

    notes = Notes()
    wf._engine.add_listener(notes)
    run = trip.start()
    run.result(10)
    key = run._key
    notes.until(lambda: (key, -1, Fact.COMPLETED) in notes.facts)
    told = [f for f in notes.facts if f[2] in (Fact.CREATED, Fact.STEP_SUCCESS, Fact.COMPLETED)]
    assert told == [(key, -1, Fact.CREATED), (key, 0, Fact.STEP_SUCCESS), (key, -1, Fact.COMPLETED)]
    assert notes.seqs == sorted(notes.seqs)
    assert notes.steps == [0]
    assert wf.cleanup(run)
    notes.until(lambda: notes.gone == [key])
    wf._engine.remove_listener(notes)
    count = len(notes.facts)
    trip.start().result(10)
    assert len(notes.facts) == count


def test_a_definition_that_comes_is_told(tmp_path: Any) -> None:
    with WorkflowManager(tmp_path / "j.duckdb") as wf:

        @wf.workflow
        async def trip(step):
            await step.sleep(3600)

        key = trip.start()._key
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        notes = Notes()
        wf._engine.add_listener(notes)
        wf.workflow(trip.fn)
        notes.until(lambda: key in notes.runs)


def test_a_listener_that_fails_stops_neither_the_engine_nor_the_others(
    wf: WorkflowManager, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Notes):
        def committed(self, rows: Any, seq: int) -> None:
            raise ValueError("broken")

    @wf.workflow
    async def trip(step):
        return await step.run_action(lambda: 1)

    notes = Notes()
    wf._engine.add_listener(Broken())
    wf._engine.add_listener(notes)
    with caplog.at_level(logging.ERROR, "wfkernel"):
        assert trip.start().result(10) == 1
        notes.until(lambda: any(f[2] == Fact.COMPLETED for f in notes.facts))
    assert "a listener of the engine failed" in caplog.text
