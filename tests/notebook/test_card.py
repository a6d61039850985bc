"""The run card, as a browser would talk to it: messages in, messages out. No browser; a fold of the messages stands for it."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from wfkernel import RetryPolicy, WorkflowManager, current_step, define_event
from wfkernel.cards import feed
from wfkernel.notebook.card import WIDGET_VIEW, RunCard, mimebundle
from wfkernel.run import Run

RUNNING, SUCCESS, FAILED, CANCELED = 1, 2, 3, 4


class Booking(BaseModel):
    seat: Literal["aisle", "window"]
    price: float


class Browser:
    """One view of a card: keeps what it is told, and folds it as widgets/src/reduce.js does."""

    def __init__(self, run: Run):
        self.told: list[tuple[float, dict[str, Any]]] = []
        self.news = threading.Condition()
        self.card = RunCard(run)
        self.card.send = self._receive  # type: ignore[method-assign]

    def _receive(self, message: dict[str, Any], buffers: Any = None) -> None:
        with self.news:
            self.told.append((time.monotonic(), json.loads(json.dumps(message))))
            self.news.notify_all()

    def say(self, k: str, **members: Any) -> None:
        self.card._handle_custom_msg({"k": k, "view": "v1", **members}, [])

    def hello(self) -> dict[str, Any]:
        count = len(self.of("snap"))
        self.say("hello")
        self.until(lambda: len(self.of("snap")) > count)
        return self.of("snap")[-1]

    def ask(self, k: str, **members: Any) -> dict[str, Any]:
        """Say something, and wait for the answer of the same kind."""
        count = len(self.of(k))
        self.say(k, **members)
        self.until(lambda: len(self.of(k)) > count)
        return self.of(k)[-1]

    def command(self, cmd: str, **members: Any) -> dict[str, Any]:
        name = f"c{len(self.told)}-{time.monotonic_ns()}"
        self.say("cmd", id=name, cmd=cmd, **members)
        self.until(lambda: any(m["id"] == name for m in self.of("ack")))
        return next(m for m in self.of("ack") if m["id"] == name)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [m for _, m in list(self.told) if m["k"] in kinds]

    def until(self, holds: Callable[[], Any]) -> None:
        with self.news:
            assert self.news.wait_for(holds, 10), f"not told within 10 s: {self.told[-3:]}"

    @property
    def state(self) -> dict[str, Any]:
        """What the messages so far amount to."""
        state: dict[str, Any] = {"seq": -1, "rows": {}, "run": {}, "names": []}
        for message in self.of("snap", "d"):
            if message["k"] == "snap":
                rows = {r[0]: r for r in message["rows"]}
                state = {"seq": message["seq"], "rows": rows, "run": message["run"], "names": message["names"]}
            elif message["seq"] > state["seq"]:
                assert message["seq"] == state["seq"] + 1, "a gap"
                state["seq"] = message["seq"]
                state["names"] = state["names"] + message.get("names", [])
                state["run"] = {**state["run"], **message.get("run", {})}
                state["rows"].update({r[0]: r for r in message.get("rows", [])})
        return state

    def status(self, number: int) -> int | None:
        row = self.state["rows"].get(number)
        return row[3] if row else None

    def until_step(self, number: int, status: int) -> None:
        self.until(lambda: self.status(number) == status)

    def until_run(self, status: str) -> None:
        self.until(lambda: self.state["run"].get("status") == status)


@pytest.fixture
def wf() -> Iterator[WorkflowManager]:
    with WorkflowManager(":memory:") as manager:
        yield manager


def test_deltas_are_numbered_and_amount_to_what_a_snapshot_says(wf: WorkflowManager) -> None:
    go = define_event("go", bool)

    @wf.workflow
    async def trip(step, city: str):
        await step.await_event(go)
        parts = await asyncio.gather(*(step.options(name=f"part {n % 3}").run_action(lambda n: n, n) for n in range(60)))
        await step.sleep(0.15)
        return sum(parts)

    browser = Browser(trip.start("Rome"))
    first = browser.hello()
    assert first["run"]["status"] == "in_progress"
    assert first["run"]["name"] == "trip"
    browser.until_step(0, RUNNING)
    browser.card.run.send_event(go, True)
    browser.until_run("completed")
    folded = browser.state
    assert folded["run"]["result"] == "1770"
    assert [r[3] for r in folded["rows"].values()] == [SUCCESS] * 62
    assert {folded["names"][r[1]] for r in folded["rows"].values()} == {"go", "part 0", "part 1", "part 2", "sleep"}
    again = browser.hello()
    assert again["seq"] == folded["seq"]
    assert {r[0]: r for r in again["rows"]} == folded["rows"]
    assert again["run"] == folded["run"]


def test_a_card_that_joins_late_reads_the_same_from_the_journal(wf: WorkflowManager) -> None:
    tries = iter(range(3))

    def flaky() -> str:
        if next(tries) < 2:
            raise ValueError("not yet")
        return "done"

    @wf.workflow
    async def trip(step):
        return await step.options(retry=RetryPolicy(initial_backoff=0.2, base=1, jitter=0)).run_action(flaky)

    run = trip.start()
    early = Browser(run)
    early.hello()
    early.until_run("completed")
    feed._taps.clear()  # as in a kernel that was restarted: nothing was heard
    late = Browser(run)
    snapshot = late.hello()
    (row,) = snapshot["rows"]
    assert row == early.state["rows"][0]
    assert row[4] == 3
    assert len(row[9]) == 2, "both failed attempts have their bars"
    assert snapshot["run"]["status"] == "completed"


def test_at_most_ten_deltas_a_second_however_fast_the_steps(wf: WorkflowManager) -> None:
    @wf.workflow
    async def many(step):
        for n in range(700):
            await step.run_action(str, n)

    browser = Browser(many.start())
    browser.hello()
    browser.until_run("completed")
    at = [t for t, m in browser.told if m["k"] == "d"]
    gaps = [b - a for a, b in itertools.pairwise(at)]
    assert len(at) < 700 / 5
    assert all(gap > 0.09 for gap in gaps), min(gaps)
    assert len(browser.state["rows"]) == 700


def test_a_delta_holds_what_changed_and_no_more(wf: WorkflowManager) -> None:
    go = define_event("go", int)

    @wf.workflow
    async def many(step):
        for n in range(300):
            await step.run_action(str, n)
        for _ in range(3):
            await step.await_event(go)

    browser = Browser(many.start())
    browser.until(lambda: True)
    browser.hello()
    browser.until_step(300, RUNNING)
    before = len(browser.of("d"))
    browser.card.run.send_event(go, 1)
    browser.until_step(301, RUNNING)
    sizes = [len(m.get("rows", [])) for m in browser.of("d")[before:]]
    assert sum(sizes) <= 3, sizes


def test_nobody_is_told_before_hello_nor_after_bye(wf: WorkflowManager) -> None:
    go = define_event("go", bool)

    @wf.workflow
    async def trip(step):
        await step.await_event(go)

    run = trip.start()
    silent, leaving, staying = Browser(run), Browser(run), Browser(run)
    leaving.hello()
    staying.hello()
    leaving.say("bye")
    run.send_event(go, True)
    staying.until_run("completed")
    assert silent.told == []
    assert leaving.state["run"]["status"] == "in_progress"


def test_a_card_that_was_left_is_told_everything_when_it_is_back(wf: WorkflowManager) -> None:
    go = define_event("go", bool)

    @wf.workflow
    async def trip(step):
        for _ in range(3):
            await step.await_event(go)

    browser = Browser(trip.start())
    browser.hello()
    browser.until_step(0, RUNNING)
    browser.say("bye")
    left = threading.Event()
    feed.post(left.set)
    assert left.wait(10)
    assert browser.card._feed.viewers == []
    for _ in range(2):
        browser.card.run.send_event(go, True)
    browser.hello()
    browser.until_step(2, RUNNING)
    browser.card.run.send_event(go, True)
    browser.until_run("completed")


def test_progress_that_is_no_number_of_json_harms_nobody(wf: WorkflowManager) -> None:
    go = threading.Event()

    def load() -> None:
        go.wait(10)  # for the card: who comes later finds no log and no progress
        current_step().progress(float("nan"), float("inf"), "odd")
        current_step().progress(True, Path("x"))  # type: ignore[arg-type]

    @wf.workflow
    async def trip(step):
        await step.run_action(load)

    browser = Browser(trip.start())
    browser.hello()
    go.set()
    browser.until_run("completed")
    assert browser.ask("details", step=0)["progress"] == {"done": 1, "total": None, "text": ""}


def test_two_cards_of_a_run_stay_in_step(wf: WorkflowManager) -> None:
    go = define_event("go", bool)

    @wf.workflow
    async def trip(step):
        await step.await_event(go)
        await step.sleep(0.05)

    run = trip.start()
    one, two = Browser(run), Browser(wf.get(run.id))
    one.hello()
    two.hello()
    one.until_step(0, RUNNING)
    assert one.command("send", step=0, event="go", value=True)["ok"]
    one.until_run("completed")
    two.until_run("completed")
    assert one.state == two.state
    assert two.of("ack") == []


def test_details_tell_arguments_result_log_progress_and_failed_attempts(wf: WorkflowManager) -> None:
    tries = iter(range(2))
    go = threading.Event()

    def load(table: str, limit: int = 5) -> dict:
        go.wait(10)
        current_step().log("reading")
        current_step().progress(3, 4, "rows")
        if next(tries) == 0:
            raise ConnectionError("reset by peer")
        return {"rows": [1, 2]}

    @wf.workflow
    async def trip(step):
        await step.options(retry=RetryPolicy(initial_backoff=0.2, jitter=0)).run_action(load, "stops")

    browser = Browser(trip.start())
    browser.hello()
    go.set()
    browser.until_run("completed")
    details = browser.ask("details", step=0)
    assert details["args"] == [["table", "'stops'"]]
    assert details["result"] == "{'rows': [1, 2]}"
    assert details["tries"] == [[1, "ConnectionError: reset by peer"]]
    assert [text for _, text, _ in details["log"]] == ["reading", "reading"]
    assert details["progress"] == {"done": 3, "total": 4, "text": "rows"}
    assert "problem" in browser.ask("details", step=7)


def test_details_tell_an_error_with_its_traceback(wf: WorkflowManager) -> None:
    def parse() -> None:
        raise ValueError("no table")

    @wf.workflow
    async def trip(step):
        await step.run_action(parse)

    browser = Browser(trip.start())
    browser.hello()
    browser.until_run("failed")
    error = browser.ask("details", step=0)["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no table")
    assert 'raise ValueError("no table")' in error["traceback"]
    told = browser.state["run"]["error"]
    assert (told["type"], told["message"]) == ("ValueError", "no table")
    assert "in trip" in told["traceback"]
    assert "wfkernel/engine" not in told["traceback"] + error["traceback"]


def test_a_traceback_that_only_repeats_the_error_is_not_told(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.run_action(str, 1)
        await step.await_event("go")

    run = trip.start()
    browser = Browser(run)
    browser.hello()
    browser.until_step(1, RUNNING)
    run.cancel()
    browser.until_run("canceled")

    async def changed(step):
        await step.run_action(str, 2)

    wf.workflow(changed, name="trip")
    run.restart()
    browser.until_run("failed")
    error = browser.state["run"]["error"]
    assert "recorded" in error["message"]
    assert error["traceback"] is None


def test_an_error_of_the_body_itself_is_told_with_its_line(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, city: str):
        if not city:
            raise ValueError("no city")

    browser = Browser(trip.start(""))
    browser.hello()
    browser.until_run("failed")
    assert 'raise ValueError("no city")' in browser.state["run"]["error"]["traceback"]


def test_progress_of_a_running_step_is_told(wf: WorkflowManager) -> None:
    go = threading.Event()

    def load() -> None:
        current_step().progress(1, 8)
        go.wait(10)

    @wf.workflow
    async def trip(step):
        await step.run_action(load)

    browser = Browser(trip.start())
    browser.hello()
    browser.until(lambda: [0, 1, 8, ""] in [e[:4] for m in browser.of("d", "snap") for e in m.get("live", [])])
    go.set()
    browser.until_run("completed")


def test_an_event_is_answered_by_its_form_and_each_error_is_at_its_field(wf: WorkflowManager) -> None:
    booking = define_event("booking", Booking)

    @wf.workflow
    async def trip(step):
        return (await step.await_event(booking)).seat

    browser = Browser(trip.start())
    browser.hello()
    browser.until_step(0, RUNNING)
    form = browser.ask("form", step=0)
    assert (form["event"], form["type"]) == ("booking", "Booking")
    assert [f["kind"] for f in form["form"]["fields"]] == ["choice", "number"]
    refused = browser.command("send", step=0, event="booking", value={"seat": "roof"})
    assert refused["ok"] is False
    assert [e["loc"] for e in refused["errors"]] == [["seat"], ["price"]]
    assert browser.card.run.status().type == "in_progress"
    assert browser.command("send", step=0, event="booking", value={"seat": "aisle", "price": 12})["ok"]
    assert browser.card.run.result(10) == "aisle"
    late = browser.command("send", step=0, event="booking", value={"seat": "aisle", "price": 12})
    assert late["ok"] is False
    assert late["msg"]


def test_each_of_two_awaits_of_one_event_has_its_own_form(wf: WorkflowManager) -> None:
    go = define_event("go", str)

    @wf.workflow
    async def trip(step):
        return await asyncio.gather(step.await_event(go), step.await_event(go))

    browser = Browser(trip.start())
    browser.hello()
    browser.until_step(1, RUNNING)
    assert browser.command("send", step=1, event="go", value="second")["ok"]
    assert browser.command("send", step=0, event="go", value="first")["ok"]
    assert browser.card.run.result(10) == ["first", "second"]


def test_an_event_can_be_sent_by_name_before_it_is_awaited(wf: WorkflowManager) -> None:
    go, tick = define_event("go", int), define_event("tick")

    @wf.workflow
    async def trip(step):
        await step.await_event(tick)
        return await step.await_event(go)

    browser = Browser(trip.start())
    browser.hello()
    assert browser.command("send", step=None, event="go", value=4)["ok"]
    assert browser.command("send", step=None, event="tick", value=None)["ok"]
    assert browser.card.run.result(10) == 4


def test_cancel_then_restart_from_a_step_then_fork(wf: WorkflowManager) -> None:
    go = define_event("go", bool)
    ran: list[str] = []

    @wf.workflow
    async def trip(step):
        await step.run_action(ran.append, "one")
        await step.run_action(ran.append, "two")
        await step.await_event(go)

    browser = Browser(trip.start())
    browser.hello()
    browser.until_step(2, RUNNING)
    refused = browser.command("restart", step=1)
    assert refused["ok"] is False
    assert browser.command("cancel")["ok"]
    browser.until_run("canceled")
    assert browser.status(2) == CANCELED
    assert browser.command("cancel")["ok"] is False
    assert browser.command("restart", step=1)["ok"]
    browser.until(lambda: browser.state["run"]["status"] == "in_progress" and browser.status(2) == RUNNING)
    assert ran == ["one", "two", "two"]
    forked = browser.command("fork", step=1)
    assert forked["ok"]
    copy = wf.get(forked["msg"].split()[-1])
    assert copy.id != browser.card.run.id
    browser.card.run.send_event(go, True)
    browser.until_run("completed")
    copy.cancel()


def test_resume_runs_the_failed_step_again(wf: WorkflowManager) -> None:
    broken = [True]

    def load() -> int:
        if broken:
            raise ValueError("broken")
        return 7

    @wf.workflow
    async def trip(step):
        return await step.run_action(load)

    browser = Browser(trip.start())
    browser.hello()
    browser.until_run("failed")
    assert browser.status(0) == FAILED
    broken.clear()
    assert browser.command("resume")["ok"]
    browser.until_run("completed")
    assert browser.state["run"]["result"] == "7"
    assert browser.state["run"]["error"] is None


def test_a_command_that_nobody_knows_is_refused(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.sleep(0)

    browser = Browser(trip.start())
    browser.hello()
    assert browser.command("dance")["ok"] is False


def test_a_run_without_its_definition_says_what_it_waits_for(tmp_path: Path) -> None:
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        go = define_event("go", bool)

        @wf.workflow
        async def trip(step):
            await step.await_event(go)

        run_id = trip.start().id
        browser = Browser(wf.get(run_id))
        browser.hello()
        browser.until_step(0, RUNNING)
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        browser = Browser(wf.get(run_id))
        snapshot = browser.hello()
        assert "'trip'" in snapshot["run"]["note"]
        assert snapshot["rows"][0][3] == RUNNING
        assert browser.ask("form", step=0)["form"]["kind"] == "json"
        wf.workflow(trip.fn)
        browser.until(lambda: browser.state["run"]["note"] is None)
        assert browser.command("send", step=0, event="go", value=True)["ok"]
        browser.until_run("completed")


def test_a_run_that_was_cleaned_up_says_so(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.run_action(str, 1)

    run = trip.start()
    browser = Browser(run)
    browser.hello()
    browser.until_run("completed")
    assert wf.cleanup(run)
    browser.until(lambda: browser.state["run"].get("deleted"))
    assert browser.state["run"]["status"] == "completed"
    assert len(browser.state["rows"]) == 1
    assert "deleted from the journal" in browser.ask("details", step=0)["problem"]
    browser.hello()
    assert (browser.state["run"]["status"], len(browser.state["rows"])) == ("completed", 1)
    assert browser.command("resume")["ok"] is False
    assert "text/html" in mimebundle(run)[0]


def test_a_card_that_comes_after_the_run_was_deleted_says_just_that(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("go")

    run = trip.start()
    browser = Browser(run)
    assert wf.cleanup(run, force=True)
    header = browser.hello()["run"]
    assert (header["id"], header["status"], header["deleted"]) == (run.id, "deleted", True)


def test_a_closed_manager_is_answered_for(wf: WorkflowManager) -> None:
    go = define_event("go", bool)

    @wf.workflow
    async def trip(step):
        await step.await_event(go)

    browser = Browser(trip.start())
    browser.hello()
    browser.until_step(0, RUNNING)
    late = Browser(browser.card.run)
    wf.close()
    assert "closed" in browser.ask("details", step=0)["problem"]
    late.card._feed._last_seq = -1
    assert "closed" in late.hello()["run"]["note"]
    answer = browser.command("cancel")
    assert answer["ok"] is False
    assert "closed" in answer["msg"]


def test_the_snapshot_that_is_saved_stays_small(wf: WorkflowManager) -> None:
    @wf.workflow
    async def many(step):
        for n in range(900):
            await step.run_action(str, n)

    browser = Browser(many.start())
    browser.hello()
    browser.until_run("completed")
    browser.until(lambda: True)
    browser.hello()  # answered after the trait was written
    assert len(browser.card.snapshot["rows"]) == 300
    assert len(json.dumps(browser.card.snapshot)) < 30_000


def test_a_run_as_a_mimebundle_is_a_widget_and_a_picture(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.run_action(str, 1)

    run = trip.start()
    run.result(10)
    data, metadata = mimebundle(run)
    assert set(data) == {"text/plain", "text/html", "image/png", WIDGET_VIEW}
    assert set(metadata) <= set(data)
    assert data[WIDGET_VIEW]["model_id"]
    assert set(mimebundle(run, include={"text/html"})[0]) == {"text/html"}
    assert WIDGET_VIEW not in mimebundle(run, exclude={WIDGET_VIEW})[0]


# -- logs --


def test_a_card_that_comes_when_all_is_over_has_the_logs_all_the_same(wf: WorkflowManager) -> None:
    def load() -> None:
        current_step().log("reading")
        current_step().progress(4, 4, "rows")

    @wf.workflow
    async def trip(step):
        await step.run_action(load)

    run = trip.start()
    run.result(10)
    browser = Browser(run)
    browser.hello()
    details = browser.ask("details", step=0)
    assert [(text, kind) for _, text, kind in details["log"]] == [("reading", "log")]
    assert details["progress"] == {"done": 4, "total": 4, "text": "rows"}


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_what_a_step_prints_is_in_its_log_and_nowhere_missed(wf: WorkflowManager, capsys: Any, kind: str) -> None:
    go = threading.Event()

    def talk(n: int) -> None:
        go.wait(10)  # for the card: without a kernel nobody listens before there is one
        print("one", n)
        print("two", n, file=sys.stderr)
        current_step().log(f"three {n}")
        print("four", end="")

    async def talk_async(n: int) -> None:
        await asyncio.to_thread(talk, n)

    @wf.workflow
    async def trip(step):
        print("the body")
        await asyncio.gather(*(step.run_action(talk if kind == "plain" else talk_async, n) for n in range(2)))

    run = trip.start()
    browser = Browser(run)
    browser.hello()
    go.set()
    browser.until_run("completed")
    for n in range(2):
        said = [(text, source) for _, text, source in browser.ask("details", step=n)["log"]]
        assert said == [(f"one {n}", "stdout"), (f"two {n}", "stderr"), (f"three {n}", "log"), ("four", "stdout")]
    heard = capsys.readouterr()
    assert sorted(heard.err.splitlines()) == ["two 0", "two 1"]
    assert heard.out.count("one") == 2
    assert heard.out.count("the body") == 1


def test_prints_of_a_running_step_are_told_as_they_come(wf: WorkflowManager) -> None:
    go, on = threading.Event(), threading.Event()

    def load() -> None:
        on.wait(10)
        print("half way")
        go.wait(10)

    @wf.workflow
    async def trip(step):
        await step.run_action(load)

    browser = Browser(trip.start())
    browser.hello()
    on.set()
    browser.until(lambda: any(e[4] for m in browser.of("d", "snap") for e in m.get("live", [])))
    browser.until_step(0, RUNNING)
    assert [text for _, text, _ in browser.ask("details", step=0)["log"]] == ["half way"]
    go.set()
    browser.until_run("completed")


# -- other runs in the card --


def nested(wf: WorkflowManager) -> tuple[Browser, str]:
    """A card of a run whose child waits for "go", and the child's id."""
    go = define_event("go", int)

    @wf.workflow
    async def leg(step, n: int) -> int:
        return n + await step.await_event(go)

    @wf.workflow
    async def trip(step) -> int:
        return await step.run_workflow(leg, 1)

    browser = Browser(trip.start())
    browser.hello()
    browser.until(lambda: len(browser.state["rows"].get(0, ())) > 10)
    return browser, browser.state["rows"][0][10]


def test_a_child_is_opened_in_the_card_and_is_live(wf: WorkflowManager) -> None:
    browser, child = nested(wf)
    parent = browser.card.run
    assert browser.command("open", run=parent.id, other=child)["ok"]
    browser.until(lambda: browser.state["run"].get("id") == child)
    assert browser.of("snap")[-1]["path"] == [[parent.id, "trip"]]
    browser.until_step(0, RUNNING)
    assert browser.ask("form", step=0)["event"] == "go"
    assert browser.command("send", run=child, step=0, event="go", value=4)["ok"]
    browser.until_run("completed")
    assert browser.state["run"]["id"] == child
    assert browser.ask("details", step=0)["result"] == "4"
    parent.result(10)
    assert browser.command("open", run=child, other=parent.id)["ok"]
    browser.until(lambda: browser.state["run"].get("id") == parent.id)
    assert browser.of("snap")[-1]["path"] == []
    browser.until_run("completed")
    assert browser.state["run"]["result"] == "5"
    assert browser.state["rows"][0][3] == SUCCESS
    assert feed.feed_of(wf.get(child)).viewers == []


def test_while_a_child_is_open_only_its_news_are_told_and_a_reloaded_page_is_shown_it(wf: WorkflowManager) -> None:
    browser, child = nested(wf)
    parent = browser.card.run
    browser.command("open", run=parent.id, other=child)
    browser.until(lambda: browser.state["run"].get("id") == child)
    again = browser.hello()
    assert again["run"]["id"] == child
    assert again["path"] == [[parent.id, "trip"]]
    before = len(browser.of("snap", "d"))
    parent.cancel()
    browser.until_run("canceled")
    assert {m["run"]["id"] for m in browser.of("snap", "d")[before:] if "id" in m.get("run", {})} <= {child}
    browser.until(lambda: browser.card.snapshot.get("run", {}).get("id") == parent.id)


def test_a_command_is_for_the_run_that_was_clicked_whatever_is_shown_by_now(wf: WorkflowManager) -> None:
    browser, child = nested(wf)
    parent = browser.card.run
    browser.command("open", run=parent.id, other=child)
    browser.until(lambda: browser.state["run"].get("id") == child)
    assert browser.command("cancel", run=parent.id)["ok"]
    assert parent.status().type == "canceled"


def test_a_run_that_is_not_there_is_not_opened(wf: WorkflowManager) -> None:
    browser, _ = nested(wf)
    refused = browser.command("open", run=browser.card.run.id, other="r0nowhere")
    assert refused["ok"] is False
    assert "r0nowhere" in refused["msg"]
    assert browser.hello()["run"]["id"] == browser.card.run.id
    browser.card.run.cancel()


# -- forks --


class Guest(BaseModel):
    name: str
    age: int = 30


def test_a_fork_is_offered_the_arguments_as_they_are_and_takes_those_that_change(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, city: str, on: date, guests: list[Guest], *, days: int = 3, blob: bytes = b""):
        return [city, on, guests, days, blob]

    run = trip.start("Rome", date(2026, 5, 1), [Guest(name="Ada")], blob=b"\xff\x00")
    run.result(10)
    browser = Browser(run)
    browser.hello()
    form = browser.ask("fork", step=None)
    assert form["run"] == run.id
    fields = {f["name"]: f for f in form["form"]["fields"]}
    assert {n: (f["kind"], f.get("now")) for n, f in fields.items()} == {
        "city": ("text", '"Rome"'),
        "on": ("date", '"2026-05-01"'),
        "guests": ("list", '[{"name":"Ada","age":30}]'),
        "days": ("int", "3"),
        "blob": ("kept", None),
    }
    assert [n for n, f in fields.items() if f.get("required")] == ["city", "on", "guests"]
    wrong = {"on": "soon", "guests": [{"name": "Ada", "age": "old"}]}
    refused = browser.command("fork", run=run.id, step=None, args=wrong, unset=["city"])
    assert refused["ok"] is False
    assert [e["loc"] for e in refused["errors"]] == [["city"], ["on"], ["guests", 0, "age"]]
    assert len(list(wf.list())) == 1
    done = browser.command("fork", run=run.id, step=None, args={"city": "Oslo", "on": "2026-06-01"}, unset=["days"])
    assert done["ok"]
    made = wf.get(done["made"])
    assert made.result(10) == ["Oslo", date(2026, 6, 1), [Guest(name="Ada")], 3, b"\xff\x00"]
    assert browser.command("open", run=run.id, other=made.id)["ok"]
    browser.until(lambda: browser.state["run"].get("id") == made.id)


def test_a_fork_without_its_definition_says_so(tmp_path: Path) -> None:
    with WorkflowManager(tmp_path / "j.duckdb") as wf:

        @wf.workflow
        async def trip(step, n: int):
            return n

        run_id = trip.start(1).id
        wf.get(run_id).result(10)
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        browser = Browser(wf.get(run_id))
        browser.hello()
        assert "'trip'" in browser.ask("fork", step=None)["problem"]


def test_an_argument_without_annotation_is_edited_as_json(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, where, either: int | str = 1):
        return [where, either]

    run = trip.start({"city": "Rome"})
    browser = Browser(run)
    browser.hello()
    where, either = browser.ask("fork", step=None)["form"]["fields"]
    assert (where["kind"], where["now"]) == ("json", '{"city":"Rome"}')
    assert (either["kind"], either["now"], either["variants"][either["chosen"]]["kind"]) == ("union", "1", "int")
    done = browser.command("fork", run=run.id, step=None, args={"where": ["Oslo"], "either": "x"})
    assert wf.get(done["made"]).result(10) == [["Oslo"], "x"]
