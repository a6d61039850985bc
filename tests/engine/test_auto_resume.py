"""A journal opened with ``auto_resume=False``: its unfinished runs wait until somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recovery_fixtures import until

from wfkernel import OptionError, RunNotActive, RunNotFound, WorkflowManager

Make = Callable[..., WorkflowManager]


class Notes(list[str]):
    """What actions noted, over all lives of the journal."""

    def define(self, wf: WorkflowManager) -> Any:
        @wf.workflow
        async def noted(step, word: str) -> str:
            await step.run_action(self.append, f"{word} begins")
            answer = await step.await_event("go")
            await step.run_action(self.append, f"{word} goes on")
            return f"{word} {answer}"

        return noted


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def journal(make_wf: Make, journal_path: Path, notes: Notes) -> Path:
    """A journal with two unfinished runs, "a" and "b", each of which waits for the event "go"."""
    wf = make_wf(journal_path)
    noted = notes.define(wf)
    runs = [noted.options(id=word).start(word) for word in "ab"]
    until(lambda: all([s.kind for s in run.status().running] == ["event"] for run in runs))
    wf.close()
    assert sorted(notes) == ["a begins", "b begins"]
    notes.clear()
    return journal_path


def test_a_run_of_before_waits_until_it_is_asked_to_go_on(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    notes.define(wf)
    run = wf.get("a")
    run.send_event("go", 2)
    with pytest.raises(TimeoutError):
        run.result(timeout=0.05)
    status = run.status()
    assert status.type == "in_progress"
    assert status.waiting_for == "run.resume(): the journal was opened with auto_resume=False"
    assert notes == []
    assert run.resume() is run
    assert run.result() == "a 2"
    assert notes == ["a goes on"]
    assert wf.status("b").waiting_for is not None


def test_all_runs_go_on_at_once_when_no_run_is_named(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    notes.define(wf)
    wf.resume()
    for name in "ab":
        wf.send_event("go", 3, run=name)
        assert wf.result(name) == f"{name} 3"


def test_a_run_resumed_before_its_definition_goes_on_as_soon_as_that_is_there(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    wf.resume("a")
    assert wf.status("a").waiting_for == "workflow 'noted' is not defined here"
    notes.define(wf)
    wf.send_event("go", 4, run="a")
    assert wf.result("a") == "a 4"
    assert wf.status("b").waiting_for == "run.resume(): the journal was opened with auto_resume=False"


def test_new_starts_run_as_usual(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    run = notes.define(wf).start("c")
    run.send_event("go", 5)
    assert run.result() == "c 5"


def test_resuming_a_run_that_goes_on_already_changes_nothing(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    notes.define(wf)
    wf.resume("a")
    wf.resume("a")
    wf.resume()
    wf.send_event("go", 6, run="a")
    assert wf.result("a") == "a 6"
    assert notes == ["a goes on"]


def test_resuming_an_ended_or_unknown_run_says_so(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    wf.cancel("a")
    with pytest.raises(RunNotActive, match="canceled"):
        wf.resume("a")
    with pytest.raises(RunNotFound):
        wf.resume("nobody")


def test_a_held_run_can_be_canceled_and_cleaned_up(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    notes.define(wf)
    wf.cancel("a")
    assert wf.status("a").type == "canceled"
    assert wf.cleanup("b", force=True)
    wf.resume()
    assert wf.list(status="in_progress").items == []
    assert notes == []


def test_a_canceled_run_of_before_can_be_restarted(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    notes.define(wf)
    wf.cancel("a")
    wf.get("a").restart()
    wf.send_event("go", 7, run="a")
    assert wf.result("a") == "a 7"


def test_children_go_on_with_their_parent(make_wf: Make, journal_path: Path) -> None:
    def define(wf: WorkflowManager) -> Any:
        @wf.workflow
        async def child(step) -> str:
            return await step.await_event("go")

        @wf.workflow
        async def parent(step) -> str:
            return await step.run_workflow("child")

        return parent

    first = make_wf(journal_path)
    run = define(first).start()
    child_id = until(lambda: [s.child_run_id for s in run.steps() if s.child_run_id is not None])[0]
    first.close()
    wf = make_wf(journal_path, auto_resume=False)
    define(wf)
    wf.resume(run.id)
    wf.send_event("go", "done", run=child_id)
    assert wf.result(run.id) == "done"


def test_opening_the_live_journal_again_without_a_word_leaves_it_as_it_is(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    again = make_wf(journal)
    notes.define(again)
    assert (
        again.status("a").waiting_for
        == wf.status("a").waiting_for
        == "run.resume(): the journal was opened with auto_resume=False"
    )


def test_opening_the_live_journal_again_with_auto_resume_lets_its_runs_go_on(make_wf: Make, journal: Path, notes: Notes) -> None:
    wf = make_wf(journal, auto_resume=False)
    notes.define(wf)
    again = make_wf(journal, auto_resume=True)
    again.send_event("go", 8, run="a")
    assert again.result("a") == "a 8"


def test_opening_the_live_journal_again_without_auto_resume_holds_what_has_not_gone_on(
    make_wf: Make, journal: Path, notes: Notes
) -> None:
    wf = make_wf(journal)

    @wf.workflow
    async def other(step) -> str:
        return await step.await_event("go")

    goes_on = other.start()
    make_wf(journal, auto_resume=False)
    notes.define(wf)
    assert wf.status("a").waiting_for == "run.resume(): the journal was opened with auto_resume=False"
    goes_on.send_event("go", "yes")
    assert goes_on.result() == "yes"
    wf.resume("a")
    wf.send_event("go", 9, run="a")
    assert wf.result("a") == "a 9"


def test_auto_resume_must_be_true_or_false(make_wf: Make, journal_path: Path) -> None:
    with pytest.raises(OptionError, match="auto_resume must be True or False, not 'no'"):
        make_wf(journal_path, auto_resume="no")
    assert not journal_path.exists()


def test_the_defined_workflows_can_be_looked_up_by_name_and_not_changed(make_wf: Make, notes: Notes) -> None:
    wf = make_wf()
    assert dict(wf.workflows) == {}
    noted = notes.define(wf)
    assert dict(wf.workflows) == {"noted": noted}
    with pytest.raises(TypeError):
        wf.workflows["other"] = noted  # type: ignore[index] - what is tested
