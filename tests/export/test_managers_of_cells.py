"""A notebook may open its journals in many ways and more than once: a script has one manager, and its command line finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_kit import LOAD, exported, main_of, notebook, run_script, tagged

from wfkernel.export import ExportRefused, export_notebook, import_script

A = "%%workflow a(n: int) -> int\nawait step.await_event('go')\nreturn n"
B = "%%workflow b(n: int) -> int\nreturn n"


def refused(*cells: object) -> list[tuple[int, int | None, str]]:
    with pytest.raises(ExportRefused) as caught:
        export_notebook(notebook(*cells))
    return [(r.cell, r.line, r.reason) for r in caught.value.refusals]


def comes_back(*cells: Any) -> str:
    script = exported(*cells)
    again = import_script(script)
    assert [c.source for c in again.cells] == [getattr(c, "source", c) for c in cells]
    assert export_notebook(again) == script
    return script


@pytest.mark.parametrize("again", [LOAD, "%wf journal '.wfkernel/journal.duckdb'"], ids=["load", "journal"])
def test_a_journal_that_is_opened_again_is_one_manager(tmp_path: Path, again: str) -> None:
    first = LOAD if again == LOAD else again
    script = comes_back(first, A, again, B, "a.options(id='a1').start(1)")
    assert script.count("wf = script.manager(") == 1
    assert f"# notebook only: {again}\n" in script
    (tmp_path / "s.py").write_text(script)
    assert run_script("s.py", folder=tmp_path).returncode == 3
    done = run_script("s.py", "resume", folder=tmp_path)
    assert (done.stdout, done.returncode) == ("run a1 of a waits for event go\n", 3)


def test_another_name_of_the_same_journal_is_the_same_manager() -> None:
    script = comes_back(
        LOAD, A, "from wfkernel import WorkflowManager\n\nmine = WorkflowManager()", "@mine.workflow\nasync def c(step): pass"
    )
    assert "\nmine = wf\n" in script
    assert "script.command_line(wf, main)" in script


def test_two_journals_are_refused_where_both_are_used() -> None:
    ((cell, line, reason),) = refused("%load_ext wfkernel\n%wf journal one.db", A, "x = 1\n%wf journal two.db", B)
    assert (cell, line) == (3, 2)
    assert "cell 1 opens another journal" in reason
    two = "from wfkernel import WorkflowManager\none = WorkflowManager('one.db')\ntwo = WorkflowManager('two.db')\none.list()"
    assert [(cell, line) for cell, line, _ in refused(two)] == [(1, 3)]


def test_a_default_journal_beside_another_one_is_a_second_one() -> None:
    cells = ("from wfkernel import WorkflowManager\n\nmine = WorkflowManager('x.db')\nmine.list()", LOAD, A)
    assert [(cell, line) for cell, line, _ in refused(*cells)] == [(2, 1)]


def test_the_last_journal_counts_if_nothing_used_the_one_before() -> None:
    script = comes_back(LOAD, "%wf journal two.db", A)
    assert script.count("script.manager(") == 2
    assert "script.command_line(wf, main)" in script
    after = comes_back("%wf journal two.db", LOAD, A)
    assert after.count("script.manager(") == 1
    assert 'wf = script.manager("two.db")' in after


@pytest.mark.parametrize(
    "cells",
    [
        ("import wfkernel as wk\n\nwf = wk.WorkflowManager('x.db')",),
        ("import wfkernel as wk", "# mine\nwf = wk.WorkflowManager('x.db')"),
        ("from wfkernel import WorkflowManager as WM\n\nwf = WM('x.db')",),
        ("from wfkernel import WorkflowManager\n\nwf: WorkflowManager = WorkflowManager('x.db')",),
    ],
    ids=["module", "apart", "renamed", "annotated"],
)
def test_a_manager_is_recognised_whatever_it_is_called(tmp_path: Path, cells: tuple[str, ...]) -> None:
    script = comes_back(*cells, "@wf.workflow\nasync def t(step):\n    return 1", "t.start();")
    assert "wf = script.manager('x.db')" in script
    (tmp_path / "s.py").write_text(script)
    assert run_script("s.py", "start", "t", "--journal", "y.db", folder=tmp_path).returncode == 0
    assert (tmp_path / "y.db").exists()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import wfkernel as wk; wf = wk.WorkflowManager()", 1),
        ("from wfkernel import WorkflowManager\nwith WorkflowManager() as wf:\n    print(wf)", 2),
        ("from wfkernel import WorkflowManager\nif True:\n    wf = WorkflowManager()", 3),
    ],
    ids=["on-one-line", "with", "in-a-block"],
)
def test_a_manager_that_the_command_line_would_not_find_is_refused(source: str, line: int) -> None:
    flow = "@wf.workflow\nasync def t(step):\n    return 1"
    found = [(cell, at) for cell, at, reason in refused(tagged(source, "module-level"), flow) if "alone on it" in reason]
    assert found == [(1, line)]


def test_a_journal_that_is_only_looked_at_needs_no_manager_of_the_script() -> None:
    cell = "from wfkernel import WorkflowManager\n\nwith WorkflowManager() as wf:\n    print(wf.list())"
    assert "with WorkflowManager() as wf:" in main_of(exported(cell))
