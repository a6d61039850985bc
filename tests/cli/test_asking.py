"""Whoever holds the journal: requests that are sent again are done once; and libraries that are not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_kit import eventually

from wfkernel import WorkflowManager
from wfkernel.cli.asking import Holder
from wfkernel.cli.extras import needed
from wfkernel.cli.progress import Progress, progress
from wfkernel.errors import JournalError, OptionError, RunNotFound


def test_a_request_that_is_sent_again_is_done_once_whoever_holds_the_journal_then(holder_of, journal: Path) -> None:
    holder = holder_of(journal)
    params = {"workflow": "trip", "args": {"city": "Rome"}}
    with Holder(str(journal)) as asked:
        first = asked.request("start", params, token="t-1")
        assert asked.request("start", params, token="t-1", again=True) == first
        holder.close()  # the file is free now: the same Holder opens it
        assert asked.request("start", params, token="t-1", again=True) == first
        assert not asked.is_held_elsewhere
        assert [r["run_id"] for r in asked.ask("list")["items"]] == [first["run_id"]]


def test_a_holder_that_died_is_found_out_at_the_next_request(holder_of, journal: Path) -> None:
    first = holder_of(journal)
    run = first.start("trip.start('Paris')")
    with Holder(str(journal)) as asked:
        assert asked.ask("get", run=run)["name"] == "trip"
        first.kill()
        second = holder_of(journal)
        eventually(lambda: second(f"wf.status({run!r}).running"))
        assert asked.ask("awaited", run=run)[0]["type"] == "Approval"
        assert asked.is_held_elsewhere


def test_an_answer_in_parts_comes_whole(holder, journal: Path) -> None:
    rows: list = []
    with Holder(str(journal)) as asked:
        asked.ask("sql", part=lambda part: rows.extend(part["rows"]), query="SELECT range, repeat('x', 100) FROM range(30000)")
    assert [row[0] for row in rows] == list(range(30000))


def test_errors_are_the_same_from_the_file_and_from_its_holder(holder_of, journal: Path) -> None:
    def said() -> list[str]:
        found = []
        for op, params in [("get", {"run": "nobody"}), ("sql", {"query": "SELEC 1"}), ("list", {"limit": 0})]:
            with Holder(str(journal)) as asked, pytest.raises(Exception) as error:  # noqa: PT011 - what it is, is what is compared
                asked.ask(op, **params)
            found.append(f"{error.type.__name__}: {error.value}")
        return found

    holder = holder_of(journal)
    remote = said()
    holder.close()
    assert said() == remote
    assert remote[0] == f"RunNotFound: {RunNotFound('nobody')}"


def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with Holder(str(tmp_path / "none.duckdb")) as asked, pytest.raises(JournalError, match="there is no journal at"):
        asked.ask("list")
    assert list(tmp_path.iterdir()) == []


def test_a_manager_that_names_no_journal_takes_that_of_the_environment(journal: Path, tmp_path: Path) -> None:
    with WorkflowManager() as wf:
        assert wf.path == journal
    with WorkflowManager(tmp_path / "other.duckdb") as wf:
        assert wf.path == tmp_path / "other.duckdb"


def test_a_library_that_is_missing_is_named_with_how_to_get_it() -> None:
    with pytest.raises(OptionError, match=r"completion needs nothing_of_the_kind.*pip install 'wfkernel\[cli\]'"):
        needed("nothing_of_the_kind", "cli", "completion")


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert type(progress()) is not Progress
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(progress()) is Progress
