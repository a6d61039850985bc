"""What is left of a run in a saved notebook: HTML that needs no style and no script, and a picture."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from wfkernel import WorkflowManager, define_event
from wfkernel.model.shown import shown
from wfkernel.notebook import card, frozen
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
        if tag != "img":
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


def test_a_shown_run_is_replaced_by_its_picture_when_it_ends(wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    go = define_event("go")

    @wf.workflow
    async def trip(step):
        await step.await_event(go)
        return 5

    updates: list[dict[str, Any]] = []
    shown_first: list[dict[str, Any]] = []

    class Handle:
        def update(self, data: dict[str, Any], **_: Any) -> None:
            updates.append(data)

    def display(data: dict[str, Any], **_: Any) -> Handle:
        shown_first.append(data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    run = trip.start()
    card.show(run)
    assert WIDGET_VIEW in shown_first[0]
    run.send_event(go, None)
    run.result(10)
    for _ in range(200):
        if updates:
            break
        import time

        time.sleep(0.02)
    (final,) = updates
    assert WIDGET_VIEW not in final
    assert "live card again" in final["text/html"]
    assert "image/png" in final


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
