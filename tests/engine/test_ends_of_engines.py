"""An engine ends whatever is under way, once and for all, and leaves nothing behind: no thread, no lock, nobody who waits."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from wfkernel import EngineStopped, JournalError, OptionError, StepFailed, WorkflowManager
from wfkernel.engine import engine as module
from wfkernel.testing import VirtualClock


def waiting(wf: WorkflowManager) -> Any:
    @wf.workflow
    async def patient(step):
        return await step.await_event("go")

    return patient.start(), patient


def test_who_waits_is_told_though_the_journal_fails_to_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wf = WorkflowManager(tmp_path / "j.duckdb")
    run, _ = waiting(wf)
    close = wf._engine.journal.close

    def failing() -> None:
        close()
        raise JournalError("the disk is full")

    monkeypatch.setattr(wf._engine.journal, "close", failing)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(wf._engine.call, wf._engine.waiter, run._key)
        while not wf._engine.runs[run._key].waiters:
            threading.Event().wait(0.001)
        with pytest.raises(JournalError, match="full"):
            wf.close()
        assert isinstance(asked.exception(10), EngineStopped)
    wf.close()
    assert not wf._engine._thread.thread.is_alive()


def test_a_close_that_is_interrupted_goes_on_when_it_is_called_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wf = WorkflowManager(tmp_path / "j.duckdb")
    run, _ = waiting(wf)
    close = wf._engine.journal.close

    def interrupted() -> None:
        monkeypatch.setattr(wf._engine.journal, "close", close)
        raise KeyboardInterrupt

    monkeypatch.setattr(wf._engine.journal, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wf.close()
    wf.close()
    with WorkflowManager(tmp_path / "j.duckdb") as again:
        assert again.status(run).type == "in_progress"


def test_a_body_that_blocks_its_thread_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    begun, gate = threading.Event(), threading.Event()

    def define(wf: WorkflowManager) -> Any:
        @wf.workflow
        async def rude(step):
            begun.set()
            gate.wait(20)
            return 1

        return rude

    wf = WorkflowManager(tmp_path / "j.duckdb")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(define(wf).options(id="r").start)  # answered by the thread that the body blocks
        assert begun.wait(10)
        with caplog.at_level(logging.WARNING):
            wf.close()
        assert "was left behind" in caplog.text
        assert isinstance(asked.exception(10), EngineStopped)
    gate.set()
    with WorkflowManager(tmp_path / "j.duckdb") as again:
        define(again)
        assert again.result("r", timeout=20) == 1


def test_an_engine_that_cannot_begin_leaves_no_thread(tmp_path: Path) -> None:
    clock = VirtualClock()
    with WorkflowManager(tmp_path / "one.duckdb", clock=clock):
        before = threading.active_count()
        for _ in range(3):
            with pytest.raises(OptionError):
                WorkflowManager(tmp_path / "two.duckdb", clock=clock)
        assert threading.active_count() <= before
    WorkflowManager(tmp_path / "two.duckdb").close()


@pytest.mark.parametrize("kind", ["action", "query", "mutation"])
def test_a_thread_that_comes_after_its_steps_time_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    held: list[Any] = []
    called: list[Any] = []
    with WorkflowManager(tmp_path / "j.duckdb") as wf:

        def work(*db: Any) -> None:
            called.append(db)

        @wf.workflow
        async def late(step):
            await getattr(step.options(timeout=0.01), f"run_{kind}")(work)

        monkeypatch.setattr(wf._engine.attempts.threads, "submit", held.append)
        run = late.start()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is, is looked at
            run.result(timeout=20)
        assert isinstance(caught.value.__cause__, (StepFailed, TimeoutError)), caught.value
        for job in held:
            job()
        wf.verify(run)
        assert [s.status for s in wf.steps(run)] == ["failed"]
    assert called == []
    assert held


@pytest.mark.blocking_allowed("the first step in another process loads multiprocessing and starts it")
def test_a_step_in_another_process_does_not_keep_this_one_from_ending(tmp_path: Path) -> None:
    with WorkflowManager(tmp_path / "j.duckdb") as wf:

        @wf.workflow
        async def elsewhere(step):
            await step.options(executor="process").run_action(time.sleep, 3600)

        elsewhere.start()
        while not (pool := wf._engine.attempts.processes) or not pool._processes:
            threading.Event().wait(0.001)
        workers = list(pool._processes.values())
    for worker in workers:
        worker.join(10)
        assert worker.exitcode is not None


def test_a_journal_is_opened_while_another_thread_closes_it(tmp_path: Path) -> None:
    stop = threading.Event()
    wrong: list[BaseException] = []

    def reopen() -> None:
        while not stop.is_set():
            try:
                WorkflowManager(tmp_path / "j.duckdb").close()
            except EngineStopped:
                pass  # another one closed it just then
            except BaseException as exc:
                wrong.append(exc)
                return

    with ThreadPoolExecutor(1) as pool:
        pool.submit(reopen)
        try:
            for _ in range(20):
                with contextlib.suppress(EngineStopped):
                    WorkflowManager(tmp_path / "j.duckdb").close()
        finally:
            stop.set()
    assert not wrong
