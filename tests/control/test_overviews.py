"""What a dashboard shows of a journal that another process holds: pages of its runs, and news for as long as anybody wants them."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import until

from wfkernel import WorkflowManager
from wfkernel.cards.desk import post
from wfkernel.cards.pages import Overview
from wfkernel.control.connected import ConnectedManager
from wfkernel.control.operations import OPERATIONS
from wfkernel.control.overviews import RemoteOverview, overview_of

LOOK = {"names": [], "statuses": [], "text": "", "sort": "created", "desc": True, "page": 0}


class Reader:
    """Counts the news."""

    def __init__(self, wf: ConnectedManager):
        self.wf = wf
        self.news = 0
        found = overview_of(wf, self._changed)
        assert isinstance(found, RemoteOverview)
        self.overview = found

    def _changed(self) -> None:
        self.news += 1

    def listen(self) -> None:
        on_the_widgets_thread(self.overview.listen)

    def rest(self) -> None:
        on_the_widgets_thread(self.overview.rest)

    def page(self, **change: Any) -> dict[str, Any]:
        return self.overview.page({**LOOK, **change})

    @property
    def requests(self) -> int:
        """Those of ours that the holder has not answered."""
        return len(self.wf._link._waiting)  # type: ignore[union-attr]


def on_the_widgets_thread(job: Any) -> None:
    done = threading.Event()
    post(lambda: (job(), done.set()))
    assert done.wait(10)


@pytest.fixture
def reader(hold: Any, connect: Any) -> Iterator[Reader]:
    hold()
    found = Reader(connect())
    yield found
    found.rest()


def test_pages_are_those_of_the_holder(reader: Reader) -> None:
    reader.listen()
    ended, going = reader.wf.start("quick", n=1), reader.wf.start("named")
    assert ended.result(timeout=20) == 2
    page = until(lambda: next((p for p in [reader.page()] if p["rows"][0][5]), None))
    assert [row[:3] for row in page["rows"]] == [[going.id, "named", "in_progress"], [ended.id, "quick", "completed"]]
    assert page["rows"][0][5] == "waits for event plain"
    assert (page["total"], page["names"]) == (2, [["named", 1], ["quick", 1]])
    assert [row[0] for row in reader.page(statuses=["completed"])["rows"]] == [ended.id]
    assert [row[0] for row in reader.page(text=going.id)["rows"]] == [going.id]
    assert reader.overview.total() == 2
    times = reader.overview.steps("quick")["times"]
    assert [(name, bucket, count, failed) for name, bucket, count, failed, *_ in times] == [
        ("add_one", None, 1, 0),
        ("add_one", 0, 1, 0),
    ]


def test_what_changes_behind_a_page_is_news(reader: Reader) -> None:
    reader.listen()
    assert reader.page()["total"] == 0
    assert reader.news == 0
    run = reader.wf.start("named")
    until(lambda: reader.news)
    assert reader.page()["total"] == 1
    before = reader.news
    run.cancel()
    until(lambda: reader.news > before)


def test_news_are_told_seldom_however_much_happens(reader: Reader) -> None:
    reader.listen()
    reader.page()
    runs = [reader.wf.start("quick", n=n) for n in range(100)]
    for run in runs:
        run.result(timeout=20)
    until(lambda: reader.news)
    assert reader.news < 100  # 600 rows


def test_nothing_is_asked_for_by_who_rests(reader: Reader) -> None:
    reader.listen()
    reader.page()
    assert reader.requests == 1
    reader.rest()
    until(lambda: reader.requests == 0)
    reader.listen()
    reader.rest()  # before the holder has said that it listens
    until(lambda: reader.requests == 0)
    reader.listen()
    assert reader.page()["total"] == 0
    assert reader.requests == 1


def test_it_goes_on_where_the_holder_goes_and_this_process_takes_its_place(
    hold: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold()
    reader = Reader(connect())
    run = reader.wf.start("named")
    reader.listen()
    assert reader.page()["total"] == 1
    forget_that_a_client_came(monkeypatch)
    holder.kill()
    until(lambda: reader.overview._own)
    assert reader.news, "whoever looks is to look again"
    assert reader.page()["rows"][0][5] == "workflow 'named' is not defined here"
    before = reader.news
    run.cancel()
    until(lambda: reader.news > before)
    reader.rest()
    assert not reader.wf._engine.listeners.all


def forget_that_a_client_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operations of cards and dashboards are loaded when it does."""
    cards = importlib.import_module("wfkernel.control.cards")
    for name, found in list(OPERATIONS.items()):
        if found.do.__module__ == cards.__name__:
            monkeypatch.delitem(OPERATIONS, name)
    monkeypatch.delitem(sys.modules, cards.__name__)


def test_of_a_manager_that_holds_its_journal_there_is_no_other_overview(wf: WorkflowManager) -> None:
    assert type(overview_of(wf, lambda: None)) is Overview
