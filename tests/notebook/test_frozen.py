"""What is left of a run in a saved notebook: HTML that needs no style and no script, and a picture."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from wfkernel import WorkflowManager, define_event
from wfkernel.cards import desk
from wfkernel.cards.feed import awaiting, feed_of
from wfkernel.model.shown import shown
from wfkernel.notebook import card, frozen
from wfkernel.notebook.approval import ApprovalForm
from wfkernel.notebook.card import WIDGET_VIEW

PNG = b"\x89PNG"


class Text(HTMLParser):
    """The words of a page, the tags it uses, and whether each is closed."""

    def __init__(self, page: str):
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def wf() -> Iterator[WorkflowManager]:
    with WorkflowManager(":memory:") as manager:
        yield manager


def test_a_completed_run_freezes_to_a_table_and_a_timeline(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, city: str):
        await step.run_action(str.upper, city)
        return {"to": f"<{city}>"}

    run = trip.start("Rome")
    run.result(10)
    data, _ = frozen.bundle(run)
    assert base64.b64decode(data["image/png"]).startswith(PNG)
    page = Text(data["text/html"])
    text = " ".join(page.words)
    assert page.open == []
    assert not page.tags & {"script", "style", "link", "iframe"}
    assert {"img", "table"} <= page.tags
    assert "http" not in data["text/html"].replace("https://", "http")
    for word in ("trip", run.id, "completed", "{'to': '<Rome>'}", "upper", "success", "'ROME'"):
        assert word in text


def test_a_failed_run_freezes_with_its_error(wf: WorkflowManager) -> None:
    def parse() -> None:
        raise ValueError("no <table>")

    @wf.workflow
    async def trip(step):
        await step.run_action(parse)

    run = trip.start()
    with pytest.raises(Exception, match="no <table>"):
        run.result(10)
    html = frozen.bundle(run)[0]["text/html"]
    assert "no &lt;table&gt;" in html
    assert "Traceback" in html
    assert Text(html).open == []


def test_a_run_in_progress_says_when_it_was_looked_at(wf: WorkflowManager) -> None:
    go = define_event("go")

    @wf.workflow
    async def trip(step):
        await step.await_event(go)

    run = trip.start()
    data, _ = frozen.bundle(run)
    assert "image/png" not in data
    assert "in progress at 20" in data["text/html"]
    assert not frozen.is_over(run)


def test_ten_thousand_steps_freeze_to_something_small(wf: WorkflowManager) -> None:
    @wf.workflow
    async def many(step):
        for n in range(3000):
            await step.run_action(str, n)

    run = many.start()
    run.result(60)
    data, _ = frozen.bundle(run)
    assert len(data["text/html"]) < 500_000
    assert data["text/html"].count("<tr>") == 61
    assert "2,940 more steps" in data["text/html"]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Output:
    """The output of a cell: what was displayed first, and what it was replaced by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.first: dict[str, Any] = {}
        self.updates: list[dict[str, Any]] = []
        monkeypatch.setattr("IPython.display.display", self._display)

    def _display(self, data: dict[str, Any], **_: Any) -> Output:
        self.first = data
        return self

    def update(self, data: dict[str, Any], **_: Any) -> None:
        self.updates.append(data)

    def until(self, count: int) -> dict[str, Any]:
        """The update with this number, from 1."""
        until(lambda: len(self.updates) >= count)
        return self.updates[count - 1]


def test_a_shown_run_is_replaced_by_its_picture_when_it_ends(wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    go = define_event("go")

    @wf.workflow
    async def trip(step):
        await step.await_event(go)
        return 5

    output = Output(monkeypatch)
    run = trip.start()
    card.show(run)
    assert WIDGET_VIEW in output.first
    run.send_event(go, None)
    run.result(10)
    final = output.until(1)
    assert WIDGET_VIEW not in final
    assert "live card again" in final["text/html"]
    assert "image/png" in final


def test_a_run_that_ends_while_it_is_being_shown_freezes_all_the_same(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("go")
        return 5

    output = Output(monkeypatch)
    run = trip.start()
    bundle = frozen.bundle

    def read_just_before_the_end(*args: Any, **kwargs: Any) -> Any:
        found = bundle(*args, **kwargs)
        monkeypatch.setattr(frozen, "bundle", bundle)
        run.send_event("go")
        run.result(10)
        return found

    monkeypatch.setattr(frozen, "bundle", read_just_before_the_end)
    card.show(run)
    assert "in progress" in output.first["text/html"]
    assert "<b>completed</b>" in output.until(1)["text/html"]


def test_a_frozen_run_that_is_restarted_elsewhere_has_its_card_again_until_it_ends(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("go")
        return 5

    output = Output(monkeypatch)
    run = trip.start()
    card.show(run)
    run.cancel()
    assert WIDGET_VIEW not in output.until(1)
    run.restart()
    assert output.until(2)[WIDGET_VIEW] == output.first[WIDGET_VIEW]
    run.send_event("go")
    final = output.until(3)
    assert WIDGET_VIEW not in final
    assert "<b>completed</b>" in final["text/html"]
    assert len(output.updates) == 3


def test_a_run_that_is_deleted_before_its_card_froze_is_left_as_it_was(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def upper(city: str) -> str:
        return city.upper()

    @wf.workflow
    async def trip(step, city: str):
        await step.await_event("go")
        return await step.run_action(upper, city)

    output = Output(monkeypatch)
    run = trip.start("Rome")
    card.show(run)
    is_deleted = threading.Event()
    desk.post(lambda: is_deleted.wait(10))  # so that the card, which looks on by now, hears of the end and of this at once
    run.send_event("go")
    run.result(10)
    assert wf.cleanup(run)
    is_deleted.set()
    html = output.until(1)["text/html"]
    for word in (run.id, "<b>completed</b>", "ROME", "upper", "deleted from the journal"):
        assert word in html
    assert "live card again" not in html
    assert caplog.records == []


def test_a_run_that_had_ended_when_it_was_shown_is_known_to_its_card_after_it_was_deleted(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @wf.workflow
    async def trip(step):
        return 5

    Output(monkeypatch)
    run = trip.start()
    run.result(10)
    card.show(run)
    assert wf.cleanup(run)
    header = feed_of(run).snapshot()["run"]
    assert (header["status"], header["result"]) == ("completed", "5")


def test_a_run_of_a_closed_manager_can_be_shown(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with WorkflowManager(":memory:") as manager:

        @manager.workflow
        async def trip(step):
            return 5

        run = trip.start()
        run.result(10)
    output = Output(monkeypatch)
    card.show(run)
    assert run.id in output.first["text/html"]
    assert caplog.records == []


def test_a_run_that_is_deleted_while_it_is_in_progress_is_left_with_the_steps_it_had(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def upper(city: str) -> str:
        return city.upper()

    @wf.workflow
    async def trip(step):
        await step.run_action(upper, "Rome")
        await step.await_event("go")

    output = Output(monkeypatch)
    run = trip.start()
    until(lambda: len(run.steps()) == 2)
    card.show(run)
    assert wf.cleanup(run, force=True)
    html = output.until(1)["text/html"]
    for word in (run.id, "<b>in progress at", "upper", "deleted from the journal"):
        assert word in html
    assert caplog.records == []


def test_a_failed_run_whose_journal_entry_is_deleted_loses_its_card(wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("go")
        raise ValueError("recorded  a()\n  requested b()")

    output = Output(monkeypatch)
    run = trip.start()
    card.show(run)
    run.send_event("go")
    assert WIDGET_VIEW in output.until(1)
    assert wf.cleanup(run)
    final = output.until(2)
    assert WIDGET_VIEW not in final
    assert "recorded  a()<br>&nbsp;&nbsp;requested b()" in final["text/html"]
    assert "in trip" in final["text/html"]
    assert "deleted from the journal" in final["text/html"]


@pytest.mark.parametrize("is_shown", [False, True])
def test_a_form_of_a_run_that_was_deleted_says_so(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_shown: bool
) -> None:
    go = define_event("go", bool)

    @wf.workflow
    async def trip(step):
        await step.await_event(go)

    output = Output(monkeypatch)
    run = trip.start()
    until(lambda: bool(awaiting(run)))
    form = ApprovalForm(run, "go", go, awaiting(run)[0])
    if is_shown:
        form.show()
        desk.done(lambda: None, within=10)  # it looks on
    assert wf.cleanup(run, force=True)
    if not is_shown:
        form.show()
    assert "The run was deleted from the journal" in output.until(1)["text/html"]
    assert caplog.records == []


def test_values_are_shown_whole_or_cut_but_never_fail() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown({"a": [1, (2,)]}) == "{'a': [1, (2,)]}"
    assert shown(Broken()) == "<Broken whose repr() raised RuntimeError>"
    assert "… 950 more" in shown(list(range(1000)))
    assert "(5,000 characters)" in shown("x" * 5000)
    assert shown(b"x" * 5000) == "<5,000 bytes>"
    assert len(shown({i: "y" * 900 for i in range(50)})) < 6_100
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    assert len(shown(deep)) < 200
    assert shown({"key": "v" * 80}).startswith("{\n  'key':")
    assert shown([]) == "[]"
    assert shown(set()) == "set()"
