"""`wfkernel.timeline`, and how a run id finds its manager."""

from __future__ import annotations

import sys

import pytest

import wfkernel
from wfkernel import InvalidArguments, RunNotFound, WorkflowManager
from wfkernel.notebook.runs import run_of


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    with WorkflowManager(":memory:") as wf:

        @wf.workflow
        async def trip(step):
            return await step.run_action(lambda: 1)

        monkeypatch.setattr(sys.modules["__main__"], "_wf_of_a_test", wf, raising=False)
        run = trip.options(id="a").start()
        run.result()
        yield run


def test_a_timeline_of_one_run_and_of_several(run) -> None:
    from matplotlib.figure import Figure

    one = wfkernel.timeline(run)
    assert isinstance(one, Figure)
    assert "trip  a" in str([t.get_text() for t in one.findobj() if hasattr(t, "get_text")])
    axes = Figure().add_subplot()
    assert wfkernel.timeline("a", ax=axes) is axes.figure
    other = run.fork()
    other.result()
    texts = str([t.get_text() for t in wfkernel.timeline([run, other.id]).findobj() if hasattr(t, "get_text")])
    assert "trip a" in texts
    assert other.id in texts
    with pytest.raises(InvalidArguments, match="a Run, a run id, or a list"):
        wfkernel.timeline(7)  # type: ignore[arg-type]


def test_an_id_finds_the_manager_that_has_the_run(run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_of("a") == run
    with pytest.raises(RunNotFound):
        run_of("b")
    with WorkflowManager(":memory:") as second:
        monkeypatch.setattr(sys.modules["__main__"], "_second_of_a_test", second, raising=False)
        assert run_of("a") == run
        second.workflow(run._manager._engine.workflows["trip"].fn).options(id="a").start()
        with pytest.raises(InvalidArguments, match="2 open journals"):
            run_of("a")


def test_without_an_open_manager_an_id_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfkernel.notebook.runs.engines", {})  # whatever other tests left open
    with pytest.raises(InvalidArguments, match="pass the Run itself"):
        run_of("a")


def test_approve_without_a_kernel_says_how_to_answer(run, capsys: pytest.CaptureFixture[str]) -> None:
    go = wfkernel.define_event("go", bool)

    @run._manager.workflow
    async def asks(step):
        return await step.await_event(go)

    waiting = asks.start()
    wfkernel.approve(waiting, "go")
    assert (
        capsys.readouterr().out == f"event 'go' (bool) of run {waiting.id} of asks; answer it with run.send_event('go', value)\n"
    )
    waiting.send_event(go, True)
    assert waiting.result() is True
