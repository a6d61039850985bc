"""Journals whose unfinished runs wait to be asked for, in a notebook."""

import pytest
from notebook_kit import Notebook

from wfkernel import OptionError

WAITING = """\
%%workflow waiting(n: int = 0)
x = await step.run_action(lambda: 2 * n)
await step.await_event("go", timeout=3600)
return x
"""


@pytest.fixture
def run_id(notebook: Notebook) -> str:
    """An unfinished run in the default journal, which is closed."""
    notebook.run(WAITING)
    run = notebook.run("%wf start waiting n=4")
    notebook.run("%unload_ext wfkernel")
    notebook.read()
    return run.id


def finish(notebook: Notebook, run_id: str) -> None:
    notebook.run(f"%wf send {run_id} go")
    assert notebook["wf"].result(run_id, timeout=20) == 8


def test_the_environment_holds_the_runs_of_the_default_journal(
    notebook: Notebook, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WFKERNEL_AUTO_RESUME", "0")
    notebook.run("%load_ext wfkernel")
    assert f"to be resumed: %wf resume {run_id}" in notebook.read()
    notebook.run(WAITING)
    assert notebook.read() == ""
    assert f"to be resumed: %wf resume {run_id}" in str(notebook.run("%wf list"))
    assert notebook.complete("%wf resume ") == [run_id]
    assert notebook.run(f"%wf resume {run_id}").id == run_id
    finish(notebook, run_id)


def test_a_journal_is_opened_without_auto_resume_by_the_option(notebook: Notebook, run_id: str) -> None:
    notebook.run("%load_ext wfkernel\n%wf journal other.duckdb")
    notebook.run(WAITING)
    other = notebook.run("%wf start waiting n=4")
    notebook.run("wf.close()\n%wf journal other.duckdb --no-auto-resume")
    assert f"to be resumed: %wf resume {other.id}" in notebook.read()
    notebook.run(WAITING)
    notebook.run("%wf resume")
    finish(notebook, other.id)


def test_a_run_that_is_resumed_before_its_cell_goes_on_with_it(
    notebook: Notebook, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WFKERNEL_AUTO_RESUME", "0")
    notebook.run("%load_ext wfkernel\n%wf resume")
    notebook.read()
    notebook.run(WAITING)
    assert notebook.read() == f"waiting: run {run_id} goes on\n"
    finish(notebook, run_id)


def test_runs_go_on_by_themselves_where_the_environment_says_so(
    notebook: Notebook, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WFKERNEL_AUTO_RESUME", "1")
    notebook.run("%load_ext wfkernel")
    notebook.run(WAITING)
    finish(notebook, run_id)


def test_another_word_in_the_environment_is_refused(notebook: Notebook, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFKERNEL_AUTO_RESUME", "maybe")
    with pytest.raises(OptionError, match="WFKERNEL_AUTO_RESUME must be 0 or 1, not 'maybe'"):
        notebook.shell.run_line_magic("load_ext", "wfkernel")
    monkeypatch.setenv("WFKERNEL_AUTO_RESUME", "0")
    notebook.run("%load_ext wfkernel")
    assert f"to be resumed: %wf resume {run_id}" in notebook.read()


def test_the_option_without_a_path_says_what_is_missing(notebook: Notebook) -> None:
    assert str(notebook.fail("%wf journal --no-auto-resume")).startswith("say which journal is to be opened")


def test_tab_offers_the_option_and_the_runs(notebook: Notebook) -> None:
    assert "--no-auto-resume" in notebook.complete("%wf journal ")
    assert "--no-auto-resume" in notebook.complete("%wf journal x.duckdb --no")


def test_a_cell_that_is_run_before_its_helpers_says_what_is_missing_and_goes_on_with_it(notebook: Notebook):
    workflow = "%%workflow uses(n: int)\nawait step.await_event('go')\nreturn await step.run_action(helper, n)"
    early = workflow.replace("(n: int)\n", "(n: int)\nhelper\n")
    notebook.run("def helper(n): return n + 1")
    notebook.run(early)
    run = notebook.run("%wf start uses n=1")
    notebook.run("%unload_ext wfkernel\ndel helper")
    notebook.run("%load_ext wfkernel")
    notebook.read()
    notebook.run(early)
    assert (
        notebook.read() == f"uses: run {run.id} waits: 'helper', which workflow 'uses' uses, is not defined here (run its cell)\n"
    )
    notebook.run("def helper(n): return n + 1")
    notebook.run(f"%wf send {run.id} go")
    assert notebook["wf"].result(run.id, timeout=20) == 2
