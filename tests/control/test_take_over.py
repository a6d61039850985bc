"""The holder goes, in the middle of whatever was asked: nothing is lost, nothing is done twice, and somebody goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Holder, until
from holder_script import define

from wfkernel import WorkflowManager
from wfkernel.control import operations
from wfkernel.control.client import ConnectionLost
from wfkernel.control.connected import ConnectedManager
from wfkernel.control.mux import Mux
from wfkernel.control.wire import Message
from wfkernel.errors import ControlError, RunFailed
from wfkernel.model.facts import Fact

ENDS = ["kill", "close"]


@pytest.mark.parametrize("end", ENDS)
def test_a_second_process_takes_over_and_finishes_the_runs(hold: Any, connect: Any, end: str) -> None:
    holder = hold()
    wf = connect()
    define(wf)
    run = wf.start("trip", city="Oslo")
    until(lambda: [s for s in run.steps() if s.kind == "event"])
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(run.result(30)))
    waiter.start()
    getattr(holder, end)()
    until(lambda: wf.is_holder)  # without being asked for anything
    run.send_event("approval", {"ok": True})
    waiter.join(30)
    assert results[0][0] == "OSLO"
    assert run.steps()[0].attempts == 1


def test_many_waits_outlive_the_holder(hold: Any, connect: Any) -> None:
    holder = hold()
    wf = connect()
    define(wf)
    runs = [wf.start("named") for _ in range(30)]
    ends = [wf._ended(run.id) for run in runs for _ in range(20)]
    before = threading.active_count()
    holder.kill()
    until(lambda: wf.is_holder)
    assert threading.active_count() < before + 20
    for run in runs:
        run.send_event("plain", 1)
    assert all(end.result(20) for end in ends)


@pytest.mark.parametrize("end", ENDS)
def test_who_stays_connected_finds_the_next_holder(hold: Any, connect: Any, end: str) -> None:
    first = hold()
    wf = connect()
    run = wf.start("named")
    second: list[Holder] = []
    opener = threading.Thread(target=lambda: second.append(hold("auto")))
    opener.start()
    opener.join()
    getattr(first, end)()
    run.send_event("plain", 5)
    assert (wf.is_holder, second[0].process.poll()) in [(True, None), (False, None)]
    if wf.is_holder:
        define(wf)
    assert run.result(30) == 5


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Mux]:
    mux = Mux(path, lambda: None)
    try:
        yield mux
    finally:
        mux.close()


CHANGES = {
    "start": {"workflow": "named", "args": {}},
    "send_event": {"run": "", "event": "a", "value": 1},
    "create_event": {"run": "", "name": "a"},
    "cancel": {"run": ""},
    "restart": {"run": ""},
    "fork": {"run": ""},
    "cleanup": {"run": ""},
}


class _Cut(ConnectedManager):
    """Loses its connection right after the answer to a change was sent, as if the holder had died just then."""

    def _reply(self, *args: Any, **kwargs: Any) -> Message:
        link = self._linked()
        assert isinstance(link, Mux)
        submit, cut = link.submit, self.cut  # type: ignore[attr-defined]

        def submit_and_lose(*args: Any, **kwargs: Any) -> Any:
            answer = submit(*args, **kwargs)
            answer.exception(20)
            cut()
            lost = type(answer)()
            lost.set_exception(ConnectionLost("gone before it answered"))
            return lost

        link.submit = submit_and_lose  # type: ignore[method-assign]
        return super()._reply(*args, **kwargs)


@pytest.mark.parametrize("op", sorted(CHANGES))
@pytest.mark.parametrize("way", ["holder dies", "connection dies"])
def test_a_change_whose_answer_was_lost_is_not_done_twice(hold: Any, path: Path, op: str, way: str) -> None:
    holder = hold()
    wf = _Cut(path, connect="auto")
    try:
        with opened(path) as mux:
            run = (
                mux.submit("start", {"workflow": "patient", "args": {"event_names": ["a", "b"]}})
                .result(10)
                .body["result"]["run_id"]
            )
            until(lambda: mux.submit("steps", {"run": run}).result(10).body["result"])
            if op in ("restart", "fork", "cleanup"):
                mux.submit("cancel", {"run": run}).result(10)
            cut = holder.kill if way == "holder dies" else (lambda: None)
            wf.cut = cut  # type: ignore[attr-defined]
            params = {**CHANGES[op], **({"run": run} if "run" in CHANGES[op] else {})}
            result = wf._ask(op, params)
    finally:
        facts = _facts(wf, path)
        wf.close()
    assert facts.count("CREATED") == {"start": 2, "fork": 2, "cleanup": 0}.get(op, 1)
    assert facts.count("EVENT_SENT") == (op == "send_event")
    assert facts.count("EVENT_CREATED") == (op == "create_event")
    assert facts.count("CANCEL_REQUESTED") == (1 if op in ("cancel", "restart", "fork") else 0)
    assert facts.count("RESTARTED") == (op == "restart")
    if op in ("start", "fork"):
        assert result["run_id"] != run
    if op == "cleanup":
        assert result is True


def _facts(wf: ConnectedManager, path: Path) -> list[str]:
    wf.__class__ = ConnectedManager
    until(lambda: wf._linked())
    with opened(path) as mux:
        rows = mux.submit("sql", {"query": "SELECT fact FROM wf.facts"}, part=(parts := []).append).result(10)
        assert rows
    return [Fact(row[0]).name for part in parts for row in part.body["part"]["rows"]]


def test_a_request_that_was_slow_and_is_asked_again_meanwhile_is_done_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun = threading.Event(), threading.Event()
    slow = operations.OPERATIONS["start"]

    def waiting(asked: Any, params: Any) -> Any:
        begun.set()
        gate.wait(10)
        return slow.do(asked, params)

    monkeypatch.setitem(operations.OPERATIONS, "start", slow._replace(do=waiting))
    with WorkflowManager(path) as wf:
        define(wf)
        first = Mux(path, lambda: None)
        lost = first.submit("start", {"workflow": "quick"}, token="t1")
        assert begun.wait(10)
        first.close()
        assert lost.exception(10) is not None
        with opened(path) as second:
            again = second.submit("start", {"workflow": "quick"}, token="t1", again=True)
            until(lambda: wf._engine.control._peers)
            gate.set()
            assert again.result(10).body["result"]["name"] == "quick"
        assert len(wf.list().items) == 1


def test_a_change_that_failed_may_be_asked_for_again(path: Path) -> None:
    with WorkflowManager(path) as wf, opened(path) as mux:
        assert mux.submit("start", {"workflow": "quick"}, token="t").exception(10) is not None
        define(wf)
        assert mux.submit("start", {"workflow": "quick"}, token="t", again=True).result(10)


def test_an_event_sent_while_nobody_holds_the_journal_is_written_by_its_sender(hold: Any, connect: Any, path: Path) -> None:
    holder = hold()
    wf = connect()
    run = wf.start("named")
    wf.close()
    holder.close()
    sender = connect()
    assert sender.is_holder
    sender.send_event("plain", 9, run=run.id)
    sender.close()
    last = connect()
    define(last)
    assert last.result(run.id, 10) == 9


def test_processes_that_compete_for_a_journal_leave_one_holder(hold: Any, path: Path) -> None:
    first = hold()
    others = [hold("auto") for _ in range(3)]
    first.kill()

    def holder_pid() -> Any:
        with opened(path) as mux:
            return mux.holder["pid"]

    pids = {h.process.pid for h in others}
    seen: set[int] = set()
    while others:
        pid = until(lambda: _quietly(holder_pid))
        assert pid in pids - seen
        seen.add(pid)
        [holder] = [h for h in others if h.process.pid == pid]
        with opened(path) as mux:
            started = mux.submit("start", {"workflow": "quick"}).result(10).body["result"]
            assert mux.submit("wait", {"run": started["run_id"]}).result(10).body["result"]["status"] == "completed"
        others.remove(holder)
        holder.kill()
    assert seen == pids


def _quietly(ask: Any) -> Any:
    try:
        return ask()
    except ControlError:
        time.sleep(0.05)
        return None


def test_a_manager_that_is_closed_does_not_take_over(hold: Any, connect: Any, path: Path) -> None:
    holder = hold()
    wf = connect()
    wf.list()
    wf.close()
    holder.kill()
    until(lambda: not [t for t in threading.enumerate() if t.name in ("wfkernel-take-over", "wfkernel-connection")])
    with WorkflowManager(path) as free:
        assert free.list().items == []


def test_a_manager_that_is_closed_while_it_is_about_to_take_over_does_not_hold_the_journal(
    hold: Any, connect: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold()
    wf = connect()
    is_about_to, may_go_on, check = threading.Event(), threading.Event(), ConnectedManager._check_open

    def check_and_be_slow(self: ConnectedManager) -> None:
        check(self)
        if threading.current_thread().name == "wfkernel-take-over" and not is_about_to.is_set():
            is_about_to.set()
            may_go_on.wait(10)

    monkeypatch.setattr(ConnectedManager, "_check_open", check_and_be_slow)
    holder.kill()
    assert is_about_to.wait(10)
    wf.close()
    may_go_on.set()
    until(lambda: not [t for t in threading.enumerate() if t.name == "wfkernel-take-over"])
    assert not wf.is_holder
    with WorkflowManager(path) as free:
        assert free.list().items == []


def test_sql_that_was_cut_off_gives_each_row_once(hold: Any, connect: Any) -> None:
    holder = hold()
    wf = connect()
    counts: list[int] = []

    def read() -> None:
        for _ in range(10):
            counts.append(len(wf.db.execute("SELECT repeat('x', 500) FROM range(20000)").fetchall()))

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: counts)
    holder.kill()
    reader.join(30)
    assert counts == [20_000] * 10


def test_a_body_that_calls_its_manager_is_told_so_by_who_takes_over(hold: Any, connect: Any) -> None:
    holder = hold()
    wf = connect()

    @wf.workflow
    async def rude(step):
        return len(wf.list().items)

    run = rude.start()  # the holder has no such workflow
    holder.kill()
    with pytest.raises(RunFailed, match="a workflow body cannot call the manager"):
        run.result(timeout=20)
    assert wf.is_holder


def test_who_waits_does_not_look_for_the_next_holder_itself(hold: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that is stopped is looked for as long as it may take, which is beyond the time of a wait; and may be an event loop's time."""
    hold()
    wf = connect()
    run = wf.start("named")
    find, gate = wf._find, threading.Event()

    def held() -> Any:
        gate.wait(5)
        return find()

    async def main() -> None:
        await asyncio.wait_for(_awaited(run), 0.05)

    monkeypatch.setattr(wf, "_find", held)
    for wait in (lambda: run.result(timeout=0.05), lambda: asyncio.run(main())):
        link = wf._link
        assert isinstance(link, Mux)
        gate.clear()
        link.close()
        until(lambda link=link: link.is_lost)
        with pytest.raises(TimeoutError):
            wait()
        assert wf._link is link  # nobody has been found yet
        gate.set()
        until(lambda link=link: wf._link is not link)
    run.send_event("plain", 3)
    assert run.result(timeout=20) == 3


async def _awaited(run: Any) -> Any:
    return await run
