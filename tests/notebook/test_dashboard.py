"""The dashboard, as a browser would talk to it: messages in, messages out, on a real manager. No browser."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import wfkernel
from wfkernel import InvalidArguments, Run, RunFailed, WorkflowManager, define_event
from wfkernel.cards.pages import PAGE
from wfkernel.notebook import dashboard as module
from wfkernel.notebook.dashboard import Dashboard
from wfkernel.testing import VirtualClock

LOOK = {"names": [], "statuses": [], "text": "", "sort": "created", "desc": True, "page": 0}
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
go = define_event("go", bool)


class Page:
    """One view of a dashboard: keeps what it is told, as widgets/src/dashboard.js does."""

    def __init__(self, wf: WorkflowManager, view: str = "v1", board: Dashboard | None = None):
        self.told: list[dict[str, Any]] = []
        self.threads: set[str] = set()
        self.news = threading.Condition()
        self.view = view
        self.n = 0
        self.board = Dashboard(wf) if board is None else board
        self.board.send = self._receive  # type: ignore[method-assign]

    def _receive(self, message: dict[str, Any], buffers: Any = None) -> None:
        with self.news:
            self.threads.add(threading.current_thread().name)
            self.told.append(json.loads(json.dumps(message)))
            self.news.notify_all()

    def say(self, k: str, **members: Any) -> None:
        self.board._handle_custom_msg({"k": k, "view": self.view, **members}, [])

    def look(self, **change: Any) -> dict[str, Any]:
        self.n += 1
        number = self.n
        self.say("look", n=number, look={**LOOK, **change})
        self.until(lambda: any(m["n"] == number and m["view"] == self.view for m in self.of("page")))
        return next(m for m in self.of("page") if m["n"] == number and m["view"] == self.view)

    def command(self, cmd: str, *runs: str) -> dict[str, Any]:
        name = f"c{time.monotonic_ns()}"
        self.say("cmd", id=name, cmd=cmd, runs=list(runs))
        self.until(lambda: any(m["id"] == name for m in self.of("ack")))
        return next(m for m in self.of("ack") if m["id"] == name)

    def ask(self, k: str, answer: str, **members: Any) -> dict[str, Any]:
        count = len(self.of(answer))
        self.say(k, **members)
        self.until(lambda: len(self.of(answer)) > count)
        return self.of(answer)[-1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in list(self.told) if m["k"] == kind]

    def until(self, holds: Callable[[], Any]) -> None:
        with self.news:
            assert self.news.wait_for(holds, 10), f"not told within 10 s: {self.told[-3:]}"


@pytest.fixture
def wf() -> Iterator[WorkflowManager]:
    with WorkflowManager(":memory:") as manager:
        yield manager


@pytest.fixture
def define(wf: WorkflowManager) -> Any:
    """A workflow that waits for the event ``go``, and fails where that says no."""

    @wf.workflow
    async def order(step, n: int = 0):
        if not await step.await_event(go):
            raise ValueError(f"no table of rates for {n}")
        return n

    return order


def ended(run: Run, *, well: bool = True) -> Run:
    run.send_event(go, well)
    with contextlib.suppress(RunFailed):
        run.result(timeout=10)
    return run


def ids(page: dict[str, Any]) -> list[str]:
    return [row[0] for row in page["rows"]]


def eventually(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "not within 10 s"
        time.sleep(0.005)


# -- pages --


def test_a_page_has_rows_and_counts(wf: WorkflowManager, define: Any) -> None:
    @wf.workflow
    async def report(step):
        return 1

    good, bad, going = ended(define.start(1)), ended(define.start(2), well=False), define.start(3)
    other = report.start()
    other.result(timeout=10)
    page = Page(wf).look()
    assert ids(page) == [other.id, going.id, bad.id, good.id]
    assert page["counts"] == {"in_progress": 1, "failed": 1, "canceled": 0, "completed": 2}
    assert page["names"] == [["order", 3], ["report", 1]]
    assert (page["total"], page["page"], page["size"], page["path"]) == (4, 0, PAGE, ":memory:")
    by_id = {row[0]: row for row in page["rows"]}
    assert by_id[bad.id][1:3] == ["order", "failed"]
    assert by_id[bad.id][5] == "ValueError: no table of rates for 2"
    assert by_id[bad.id][4] >= by_id[bad.id][3], "it ended after it began"
    assert by_id[going.id][4:] == [None, "waits for event go"]
    assert by_id[good.id][5] is None


def test_filters_narrow_the_rows_and_the_counts_say_what_else_there_is(wf: WorkflowManager, define: Any) -> None:
    good, bad, going = ended(define.start(1)), ended(define.start(2), well=False), define.start(3)
    page = Page(wf)
    failed = page.look(statuses=["failed"])
    assert (ids(failed), failed["total"]) == ([bad.id], 1)
    assert failed["counts"] == {"in_progress": 1, "failed": 1, "canceled": 0, "completed": 1}, (
        "a filter of statuses counts them all"
    )
    both = page.look(statuses=["failed", "completed"], desc=False)
    assert ids(both) == [good.id, bad.id]
    found = page.look(text=" RATES for 2 ")
    assert (ids(found), found["counts"]["completed"]) == ([bad.id], 0)
    assert ids(page.look(text=going.id)) == [going.id]
    assert ids(page.look(names=["another"])) == []


def test_pages_of_many_runs_and_a_page_behind_the_last_is_the_last(wf: WorkflowManager) -> None:
    @wf.workflow
    async def quick(step):
        return 1

    runs = [quick.start() for _ in range(PAGE + 3)]
    for run in runs:
        run.result(timeout=10)
    page = Page(wf)
    first, second, beyond = page.look(), page.look(page=1), page.look(page=99)
    assert ids(first) + ids(second) == [run.id for run in reversed(runs)]
    assert (beyond["page"], ids(beyond)) == (1, ids(second))
    assert page.look(page=-5)["page"] == 0


def test_a_question_that_makes_no_sense_is_answered(wf: WorkflowManager) -> None:
    page = Page(wf)
    assert "created, duration, status, name" in page.look(sort="colour")["problem"]
    assert "problem" in page.look(page="x")
    wf.close()
    assert "closed" in page.look()["problem"]


def test_the_widget_is_touched_on_its_own_thread_only(wf: WorkflowManager, define: Any) -> None:
    page = Page(wf)
    page.look()
    page.command("cancel", define.start().id)
    page.ask("steps", "steps", n=1, name="order")
    assert page.threads == {"wfkernel-widgets"}


def test_a_body_that_blocks_the_engine_does_not_hold_up_the_page(wf: WorkflowManager) -> None:
    release, blocks = threading.Event(), threading.Event()

    @wf.workflow
    async def rude(step):
        blocks.set()
        release.wait(20)

    starting = threading.Thread(target=rude.start)  # it waits for the engine, too
    starting.start()
    try:
        assert blocks.wait(10)
        (row,) = Page(wf).look()["rows"]
        assert row[1:3] == ["rude", "in_progress"]
    finally:
        release.set()
        starting.join()


# -- news --


def test_news_are_told_once_until_somebody_looks(wf: WorkflowManager, define: Any) -> None:
    page = Page(wf)
    page.look()
    run = define.start()
    page.until(lambda: page.of("news"))
    ended(run)
    assert ids(page.look()) == [run.id]
    assert len(page.of("news")) == 1, "a view that has not looked again is not told twice"


def test_nothing_is_told_where_nothing_happens_and_nobody_listens_without_a_view(wf: WorkflowManager, define: Any) -> None:
    engine = wf._engine
    page = Page(wf)
    assert not engine.listeners.all
    page.look()
    assert page.board._overview._ear in engine.listeners.all
    assert not page.board._is_due, "no timer runs while nothing changes"
    assert page.of("news") == []
    define.start()
    page.until(lambda: page.of("news"))
    eventually(lambda: page.board._overview._ear not in engine.listeners.all)
    page.look()
    page.say("bye")
    eventually(lambda: not page.board._views)
    eventually(lambda: page.board._overview._ear not in engine.listeners.all)


def test_news_come_at_most_once_a_second(wf: WorkflowManager, define: Any) -> None:
    page = Page(wf)
    page.look()
    at = []
    for _ in range(3):
        define.start()
        count = len(at)
        page.until(lambda count=count: len(page.of("news")) > count)
        page.look()
        at.append(time.monotonic())
    assert at[2] - at[0] >= 1.9


def test_a_definition_that_was_missing_is_news(tmp_path: Any) -> None:
    def define(manager: WorkflowManager) -> Any:
        @manager.workflow
        async def order(step):
            return await step.await_event(go)

        return order

    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        define(wf).start()
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        page = Page(wf)
        assert page.look()["rows"][0][5] == "workflow 'order' is not defined here"
        define(wf)
        page.until(lambda: page.of("news"))
        assert page.look()["rows"][0][5] == "waits for event go"


def test_each_view_has_its_own_page(wf: WorkflowManager, define: Any) -> None:
    run = define.start()
    one = Page(wf)
    two = Page(wf, "v2", one.board)
    one.board.send = lambda message, buffers=None: (Page._receive(one, message), Page._receive(two, message))  # type: ignore[method-assign]
    assert ids(one.look(statuses=["failed"])) == []
    assert ids(two.look()) == [run.id]
    one.say("bye")
    ended(run)
    two.until(lambda: two.of("news"))
    assert {m["view"] for m in two.of("news")} == {"v2"}


# -- commands --


def test_cancel_says_what_happened_to_each_run(wf: WorkflowManager, define: Any) -> None:
    going, over = [define.start(n) for n in range(3)], ended(define.start(9))
    page = Page(wf)
    answer = page.command("cancel", *(run.id for run in going), over.id, "no such run")
    assert answer["msg"] == "3 canceled, 1 had ended already, 1 gone already"
    assert not answer["ok"]
    assert answer["results"] == [
        *([run.id, True, "canceled"] for run in going),
        [over.id, False, "had ended already"],
        ["no such run", False, "gone already"],
    ]
    assert {run.status().type for run in going} == {"canceled"}
    assert over.status().type == "completed"
    assert page.look()["counts"]["canceled"] == 3


def test_runs_that_clean_up_slowly_are_canceled_at_the_same_time(wf: WorkflowManager) -> None:
    @wf.workflow
    async def slow(step):
        try:
            await step.await_event(go)
        finally:
            await step.await_event("cleaned")

    runs = [slow.start() for _ in range(3)]
    page = Page(wf)
    page.say("cmd", id="c", cmd="cancel", runs=[run.id for run in runs])
    page.say("look", n=1, look=LOOK)
    page.until(lambda: page.of("page"))
    eventually(lambda: all(any(s.name == "cleaned" for s in run.steps()) for run in runs))
    for run in runs:
        run.send_event("cleaned")
    page.until(lambda: page.of("ack"))
    assert page.of("ack")[0]["msg"] == "3 canceled"


def test_restart_goes_on_with_failed_and_canceled_runs(wf: WorkflowManager, define: Any) -> None:
    bad, going = ended(define.start(1), well=False), define.start(2)
    canceled = define.start(3)
    canceled.cancel()
    page = Page(wf)
    answer = page.command("restart", bad.id, going.id, canceled.id)
    assert answer["msg"] == "2 restarted, 1 still in progress"
    assert [ok for _, ok, _ in answer["results"]] == [True, False, True]
    assert canceled.status().type == "in_progress"


def test_clean_up_deletes_ended_runs_only_and_every_view_hears_of_it(wf: WorkflowManager, define: Any) -> None:
    over, going = ended(define.start(1)), define.start(2)
    page = Page(wf)
    page.look()
    answer = page.command("cleanup", over.id, going.id, over.id)
    assert answer["msg"] == "1 cleaned up, 1 still in progress"
    page.until(lambda: page.of("news"))
    assert ids(page.look()) == [going.id]
    assert page.command("cleanup", over.id)["msg"] == "1 gone already"


def test_a_cleanup_elsewhere_is_news_though_it_writes_no_row(wf: WorkflowManager, define: Any) -> None:
    over = ended(define.start(1))
    page = Page(wf)
    page.look()
    over._manager.cleanup(over)
    page.until(lambda: page.of("news"))
    assert page.look()["total"] == 0


def test_a_long_command_tells_how_far_it_is(wf: WorkflowManager, define: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROGRESS_S", 0.0)
    runs = [ended(define.start(n)).id for n in range(5)]
    page = Page(wf)
    page.command("cleanup", *runs)
    assert [(m["done"], m["total"]) for m in page.of("progress")] == [(n, 5) for n in range(1, 6)]


def test_commands_that_make_no_sense_are_refused(wf: WorkflowManager) -> None:
    page = Page(wf)
    assert "does not know how to 'explode'" in page.command("explode", "x")["msg"]
    assert page.command("cancel")["msg"] == "no run is selected"
    wf.close()
    assert not page.command("cancel", "x")["ok"]


# -- cards and steps --


def test_a_card_is_made_once_for_each_run(wf: WorkflowManager, define: Any) -> None:
    run = define.start()
    page = Page(wf)
    first = page.ask("open", "opened", run=run.id)
    assert first["run"] == run.id
    assert page.ask("open", "opened", run=run.id)["card"] == first["card"]
    assert page.board._cards[run.id].run == run
    assert "no such run" in page.ask("open", "opened", run="no such run")["problem"]


def test_durations_of_steps_are_told_in_milliseconds() -> None:
    clock = VirtualClock(START)
    with WorkflowManager(":memory:", clock=clock) as wf:

        async def fetch(took_s: float) -> None:
            clock.advance(took_s)

        @wf.workflow
        async def order(step, took_s: float):
            await step.run_action(fetch, took_s)

        for took_s in (1, 2, 3):
            order.start(took_s).result(timeout=10)
        page = Page(wf)
        told = page.ask("steps", "steps", n=1, name="order")
        assert (told["start"], told["width"], told["left_out"]) == (START.timestamp() * 1000 + 1000, 1000, 0)
        assert told["times"][0] == ["fetch", None, 3, 0, 2000.0, 2900.0]
        assert told["times"][1:] == [
            ["fetch", 0, 1, 0, *[1000.0] * 2],
            ["fetch", 2, 1, 0, *[2000.0] * 2],
            ["fetch", 5, 1, 0, *[3000.0] * 2],
        ]
        assert [row[4] - row[3] for row in page.look(sort="duration")["rows"]] == [3000, 2000, 1000]


# -- what it is to Python --


def test_without_a_kernel_it_is_a_table_of_the_newest_runs(wf: WorkflowManager, define: Any) -> None:
    run = ended(define.start(7), well=False)
    board = wfkernel.dashboard(wf)
    data = board._repr_mimebundle_()
    assert "1 run in :memory:" in repr(board)
    assert run.id in data["text/plain"]
    assert f"<td style='text-align: left'>{run.id}</td>" in data["text/html"]
    assert "no table of rates for 7" in data["text/html"]
    wf.close()
    assert "closed" in board._repr_mimebundle_()["text/html"]


def test_the_static_table_has_the_newest_twenty(wf: WorkflowManager, define: Any) -> None:
    runs = [define.start(n) for n in range(22)]
    text = Dashboard(wf)._repr_mimebundle_(include={"text/plain"})["text/plain"]
    assert "22 runs in :memory:; the newest 20:" in text
    assert runs[21].id in text
    assert runs[1].id not in text


def test_which_manager_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    import __main__

    here: dict[int, Any] = {}  # the engines of this process, without those that other tests left open
    monkeypatch.setattr("wfkernel.notebook.runs.engines", here)
    with pytest.raises(InvalidArguments, match="no WorkflowManager is open"):
        wfkernel.dashboard()
    with WorkflowManager(":memory:") as only:  # it has no name but in this function
        here[1] = only._engine
        assert wfkernel.dashboard().wf._is_same_journal(only)
    here.clear()
    with pytest.raises(InvalidArguments, match="not 7"):
        wfkernel.dashboard(7)  # type: ignore[arg-type]
    with WorkflowManager(":memory:") as one, WorkflowManager(":memory:") as two:
        monkeypatch.setattr(__main__, "wf_one", one, raising=False)
        assert wfkernel.dashboard().wf is one
        monkeypatch.setattr(__main__, "wf_two", two, raising=False)
        with pytest.raises(InvalidArguments, match=r"2 journals are open .* say which"):
            wfkernel.dashboard()
