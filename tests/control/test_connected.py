"""Everything that a WorkflowManager does, from a second process beside the one that holds the journal."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control_kit import Holder, until
from holder_script import APPROVAL, Approval, Place, define, failing_hook
from pydantic import BaseModel

from wfkernel import WorkflowManager
from wfkernel.control.connected import ConnectedManager
from wfkernel.control.cursor import RemoteCursor
from wfkernel.errors import (
    ControlError,
    DefinitionError,
    EngineStopped,
    EventAlreadySent,
    EventNotFound,
    InvalidArguments,
    InvalidEvent,
    JournalLocked,
    OptionError,
    RunActive,
    RunCanceled,
    RunExists,
    RunFailed,
    RunNotActive,
    RunNotFound,
    StepNotFound,
    TypeNotLoaded,
    ValueNotStorable,
    WfkernelError,
)


class Guest(BaseModel):
    name: str
    born: datetime.date


@dataclass
class Room:
    number: int
    beds: tuple[int, ...]


@pytest.fixture
def holder(hold: Any) -> Holder:
    return hold()


@pytest.fixture
def wf(holder: Holder, connect: Any) -> ConnectedManager:
    found = connect()
    assert not found.is_holder
    return found


def test_without_connect_a_held_journal_is_refused(holder: Holder, path: Path) -> None:
    with pytest.raises(JournalLocked):
        WorkflowManager(path)


def test_connect_must_be_a_word_that_it_knows(path: Path) -> None:
    with pytest.raises(OptionError, match="connect must be"):
        WorkflowManager(path, connect="always")
    assert not path.exists()


def test_a_free_journal_is_held(connect: Any, path: Path) -> None:
    wf = connect()
    assert wf.is_holder

    @wf.workflow
    async def add(step, n: int):
        return n + 1

    assert add.start(1).result(10) == 2
    assert wf.db.execute("SELECT status FROM wf.runs").fetchall() == [("completed",)]


def test_a_run_is_started_by_name_and_waited_for(wf: ConnectedManager, holder: Holder) -> None:
    run = wf.start("quick", n=4)
    assert run.result(10) == 5
    assert run == wf.get(run.id)
    assert (run.status().type, run.status().result) == ("completed", 5)
    assert [(s.name, s.result) for s in run.steps()] == [("add_one", 5)]
    assert [r.run_id for r in wf.list().items] == [run.id] == [r.run_id for r in wf.list_by_name("quick").items]
    assert wf.list_steps(run).items == run.steps()
    assert str(holder.process.pid) in repr(wf)


def test_pages_go_on_where_the_last_one_ended(wf: ConnectedManager) -> None:
    ids = [wf.start("quick", n=i).id for i in range(5)]
    first = wf.list(limit=3, order="asc")
    rest = wf.list(limit=3, order="asc", cursor=first.cursor)
    assert [r.run_id for r in [*first, *rest]] == ids
    assert [first.is_done, rest.is_done] == [False, True]


def test_typed_values_come_through_a_holder_that_knows_their_classes(wf: ConnectedManager) -> None:
    define(wf)
    place, when = Place("Oslo", (59, 10)), datetime.date(2026, 11, 21)
    run = wf.workflows["typed"].start(place, when, (1, "a"))
    assert run.result(10) == (place, when, (1, "a"))
    assert wf.list().items[0].args == {"place": place, "when": when, "pair": (1, "a")}


@dataclass
class Town:
    """Place, by the name that it has here."""

    city: str
    at: tuple[int, int]


def test_a_class_that_has_another_name_at_the_holder_is_read_as_the_workflow_says(wf: ConnectedManager) -> None:
    run = wf.start("typed", place=Town("Oslo", (59, 10)), when=datetime.date(2026, 11, 21), pair=(1, "a"))
    assert run.result(10)[0] == Place("Oslo", (59, 10))
    with pytest.raises(TypeNotLoaded, match="Town, which the process that holds the journal does not have") as info:
        wf.start("named").send_event("plain", Town("Oslo", (59, 10)))
    assert info.value.type_name.endswith("Town")


def test_typed_values_wait_at_a_holder_that_does_not_know_their_classes(wf: ConnectedManager, holder: Holder) -> None:
    @wf.workflow
    async def book(step, guest: Guest, room: Room):
        return (guest, room)

    guest, room = Guest(name="Ada", born=datetime.date(1815, 12, 10)), Room(7, (1, 2))
    run = book.start(guest, room)
    assert run.status().waiting_for == f"workflow 'book' is not defined in process {wf.holder}, which holds the journal"
    assert wf.list().items[0].args == {"guest": guest, "room": room}
    holder.kill()
    assert run.result(20) == (guest, room)
    assert wf.is_holder


def test_large_values_go_both_ways(wf: ConnectedManager) -> None:
    text = os.urandom(5_000_000)
    run = wf.start("large", text=text)
    assert run.result(30) == text + text
    assert run.steps()[0].result == text + text


def test_a_parameter_of_a_workflow_may_be_called_self(wf: ConnectedManager) -> None:
    @wf.workflow
    async def selfish(step, self: int):
        return self

    assert wf.start(selfish, self=1).status().type == "in_progress"


def test_options_of_a_start_come_through(wf: ConnectedManager) -> None:
    @wf.workflow
    async def quick(step, n: int = 0):
        return n

    @wf.workflow
    async def typed_context(step):
        return None

    run = quick.options(id="mine", context={"who": Guest(name="Ada", born=datetime.date(1815, 12, 10))}, run_after=3600).start(1)
    assert run.id == "mine"
    assert "its start at" in (run.status().waiting_for or "")
    assert wf.list().items[0].context == {"who": Guest(name="Ada", born=datetime.date(1815, 12, 10))}
    assert quick.options(id="mine").start(1) == run
    with pytest.raises(RunExists) as info:
        quick.options(id="mine").start(2)
    assert info.value.run_id == "mine"


def test_on_complete_runs_at_the_holder_and_its_failure_is_seen_from_here(wf: ConnectedManager, holder: Holder) -> None:
    @wf.workflow
    async def quick(step, n: int = 0):
        return n

    run = quick.options(on_complete=failing_hook).start(1)
    run.result(10)
    failure = until(wf.list_failures)[0]
    assert failure.run_id == run.id
    with pytest.raises(WfkernelError):  # the holder has no table main.hooked
        wf.retry_on_complete(run)
    assert [f.run_id for f in wf.list_failures()] == [run.id]


def test_events_are_sent_typed_untyped_and_by_id(wf: ConnectedManager) -> None:
    typed = wf.start("trip", city="Oslo")
    typed.send_event(APPROVAL, Approval(ok=True, by="Ada"))
    assert typed.result(10) == ("OSLO", Approval(ok=True, by="Ada"), 3)

    untyped = wf.start("trip", city="Rome")
    until(lambda: [s for s in untyped.steps() if s.kind == "event"])
    with pytest.raises(InvalidEvent):
        untyped.send_event("approval", {"ok": "perhaps"})
    untyped.send_event("approval", {"ok": True})
    assert untyped.result(10)[1] == Approval(ok=True)

    by_id = wf.start("patient", event_names=["go", "go"])
    event = wf.create_event("go", run=by_id)
    wf.send_event(event, (1, 2))
    by_id.send_event("go", 2)
    assert by_id.result(10) == [(1, 2), 2]
    with pytest.raises((RunNotActive, WfkernelError)):
        wf.send_event(event, 1)


def test_an_event_that_is_an_error_raises_in_the_body(wf: ConnectedManager) -> None:
    run = wf.start("named")
    run.send_event("plain", error="no")
    with pytest.raises(RunFailed, match="no") as info:
        run.result(10)
    assert (info.value.run_id, info.value.error.type) == (run.id, "EventError")


def test_ends_are_told_as_here(wf: ConnectedManager) -> None:
    failed = wf.start("failing")
    with pytest.raises(RunFailed, match="no such luck") as info:
        failed.result(10)
    assert info.value.error.type == "ValueError"
    assert isinstance(info.value.__cause__, ValueError)
    canceled = wf.start("named")
    canceled.cancel()
    with pytest.raises(RunCanceled):
        canceled.result(10)
    slow = wf.start("named")
    with pytest.raises(TimeoutError, match="has not ended within 0"):
        slow.result(timeout=0.05)


def test_a_run_is_awaited_in_a_loop(wf: ConnectedManager) -> None:
    async def main() -> list[Any]:
        runs = [wf.start("quick", n=i) for i in range(20)]
        waiting = wf.start("named")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_awaited(waiting), 0.05)
        waiting.send_event("plain", "x")
        return await asyncio.gather(*(_awaited(r) for r in [*runs, waiting]))

    assert asyncio.run(main()) == [*range(1, 21), "x"]


async def _awaited(run: Any) -> Any:
    return await run


def test_a_run_is_restarted_forked_planned_verified_and_cleaned_up(wf: ConnectedManager) -> None:
    run = wf.start("quick", n=1)
    run.result(10)
    assert "add_one" in str(run.plan())
    wf.verify(run)
    run.restart(from_step=0)
    assert run.result(10) == 2
    assert until(lambda: run.steps())[0].generation == 1
    run.restart(from_step="add_one")
    assert run.result(10) == 2
    assert run.fork() != run
    with pytest.raises(InvalidArguments, match="from_step=0"):  # the step that would be taken over has the old argument
        run.fork(args={"n": 10})
    fork_all = run.fork(from_step=0, args={"n": 10})
    assert fork_all.result(10) == 11
    assert wf.cleanup(run) is True
    assert wf.cleanup(run) is False
    with pytest.raises(RunNotFound):
        run.status()


def test_errors_are_the_same_with_their_facts(wf: ConnectedManager) -> None:
    run = wf.start("named")
    ended = wf.start("quick")
    ended.result(10)
    with pytest.raises(RunNotFound) as unknown:
        wf.status("nope")
    assert unknown.value.run_id == "nope"
    assert isinstance(unknown.value, LookupError)
    with pytest.raises(RunActive) as active:
        run.restart()
    assert active.value.run_id == run.id
    with pytest.raises(RunNotActive) as over:
        ended.cancel()
    assert (over.value.run_id, over.value.status) == (ended.id, "completed")
    with pytest.raises(StepNotFound) as missing:
        ended.restart(from_step="nope")
    assert missing.value.run_id == ended.id
    with pytest.raises(EventNotFound):
        wf.send_event("e123-4", 1)
    event = wf.create_event("later", run=run)
    wf.send_event(event, 1)
    with pytest.raises(EventAlreadySent) as sent:
        wf.send_event(event, 1)
    assert sent.value.event_id == event
    with pytest.raises(DefinitionError, match="no workflow 'nope'"):
        wf.start("nope")
    with pytest.raises(InvalidArguments):
        wf.start("quick", n="many")
    with pytest.raises(InvalidArguments, match="by name"):
        wf.start("quick", 1)
    with pytest.raises(InvalidArguments, match="no workflow"):
        wf.start(len)
    with pytest.raises(ValueNotStorable, match="argument of workflow 'quick'"):
        wf.start("quick", n=threading.Lock())
    with pytest.raises(OptionError):
        wf.list(order="up")
    with pytest.raises(OptionError):
        wf.list(status="lost")
    with pytest.raises(OptionError):
        wf.list(cursor="nonsense")


def test_pools_are_those_of_the_holder(wf: ConnectedManager) -> None:
    pool = wf.pool("gpu", max_parallelism=2)
    assert wf.pool("gpu").max_parallelism == 2 == pool.max_parallelism
    assert wf.pool("gpu", max_parallelism=5).max_parallelism == 5
    with pytest.raises(WfkernelError, match="no pool 'cpu'"):
        wf.pool("cpu")
    with pytest.raises(OptionError):
        wf.pool("gpu", max_parallelism=-1)
    wf.set_max_parallelism(0)
    paused = wf.start("quick")
    until(lambda: [s for s in paused.steps() if s.status == "scheduled"])
    wf.set_max_parallelism(5)
    assert paused.result(10) == 1


def test_the_journal_is_read_by_sql(wf: ConnectedManager) -> None:
    run = wf.start("quick", n=1)
    run.result(10)
    db = wf.db
    assert isinstance(db, RemoteCursor)
    assert db.execute("SELECT run_id, status FROM wf.runs WHERE status = ?", ["completed"]).fetchall() == [(run.id, "completed")]
    assert db.columns == ["run_id", "status"] == [c[0] for c in db.description]
    assert db.fetchone() is None
    assert db.sql("SELECT range AS n FROM range(30000)").fetchmany(2) == [(0,), (1,)]
    assert len(db.fetchall()) == 29_998
    assert db.to_arrow_table().num_rows == 30_000
    assert list(db.df().columns) == ["n"]
    before = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert db.execute("SELECT count(*) FROM wf.runs WHERE created_at < $when", {"when": before}).fetchone() == (1,)
    assert db.execute("SELECT 1 AS a, 2 AS a").fetchall() == [(1, 2)]
    assert db.execute("SELECT 1 WHERE false").fetchall() == []
    for query in ("CREATE TABLE t (n INT)", "nonsense", "DELETE FROM wf.facts", "SET GLOBAL threads=1"):
        with pytest.raises(ControlError):
            db.execute(query)
    with pytest.raises(InvalidArguments, match="the query is empty"):
        db.execute("")
    with pytest.raises(ControlError, match="execute"):
        wf.db.fetchall()


def test_what_only_the_holder_can_do_says_so(wf: ConnectedManager, holder: Holder) -> None:
    with pytest.raises(ControlError, match=f"process {holder.process.pid} holds the journal"):
        _ = wf._engine


def test_a_workflow_that_the_holder_lacks_waits_until_it_is_defined_there(hold: Any, connect: Any) -> None:
    holder = hold("lacking")
    wf = connect()

    @wf.workflow
    async def quick(step, n: int = 0):
        return await step.run_action(lambda: n + 1)

    run = quick.start(3)
    assert run.status().waiting_for == f"workflow 'quick' is not defined in process {wf.holder}, which holds the journal"
    assert set(wf.workflows) == {"quick"}
    holder.tell("define")
    assert run.result(10) == 4


def test_many_threads_share_one_connection(wf: ConnectedManager) -> None:
    found: list[Any] = []

    def work(i: int) -> None:
        for j in range(5):
            found.append(wf.start("quick", n=i * 5 + j).result(30))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 41))


def test_a_closed_manager_says_so_and_the_holder_goes_on(wf: ConnectedManager, connect: Any) -> None:
    run = wf.start("named")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            run.result()
        except EngineStopped as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    until(lambda: wf._link._waiting)  # type: ignore[union-attr]
    wf.close()
    waiter.join(10)
    assert len(errors) == 1
    wf.close()
    assert "closed" in repr(wf)
    for ask in (wf.list, lambda: wf.start("quick"), lambda: wf.db, run.status):
        with pytest.raises(EngineStopped):
            ask()
    assert connect().status(run.id).type == "in_progress"
    until(lambda: not [t for t in threading.enumerate() if t.name == "wfkernel-take-over"])


def test_who_waits_while_the_manager_closes_is_told_whenever_it_asked(holder: Holder, connect: Any) -> None:
    wf = connect()
    run = wf.start("named")
    ends: list[Any] = []

    def wait() -> None:
        for _ in range(200):
            ends.append(wf._ended(run.id))

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    until(lambda: len(ends) > 50)
    wf.close()
    for waiter in waiters:
        waiter.join(20)
    assert len(ends) == 600
    assert all(isinstance(end.exception(10), EngineStopped) for end in ends)


def test_two_managers_of_one_process_share_the_journal_that_one_of_them_holds(path: Path, connect: Any) -> None:
    with WorkflowManager(path) as first:
        second = connect()
        assert second.is_holder
        assert second._engine is first._engine
    with pytest.raises(EngineStopped):
        second.list()


def test_an_interrupted_wait_leaves_the_run_alone(wf: ConnectedManager) -> None:
    run = wf.start("named")
    old = signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        killer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
        killer.start()
        with pytest.raises(KeyboardInterrupt):
            run.result()
    finally:
        signal.signal(signal.SIGUSR1, old)
    run.send_event("plain", 1)
    assert run.result(10) == 1


def test_a_fork_s_child_has_a_connection_of_its_own(wf: ConnectedManager) -> None:
    run = wf.start("quick", n=1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if wf.result(run, timeout=10) == 2 and wf.start("quick", n=2).result(10) == 3 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run.result(10) == 2
    assert len(wf.list().items) == 2


def test_a_fork_s_child_of_the_holder_ends_without_taking_its_socket_along(path: Path) -> None:
    code = f"""
import os
from wfkernel import WorkflowManager
wf = WorkflowManager({str(path)!r}, connect="auto")

@wf.workflow
async def one(step):
    return 1

one.start().result(10)
child = os.fork()
if child == 0:
    wf.close()
    raise SystemExit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), one.start().result(10), flush=True)
input()
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "7 1\n"
        with WorkflowManager(path, connect="auto") as wf:
            assert wf.holder == holder.pid
            assert wf.start("one").result(10) == 1
    finally:
        holder.communicate("\n", timeout=20)


def test_a_manager_whose_engine_was_found_by_another_thread_keeps_it(
    path: Path, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wf = connect()

    def stopped() -> None:
        raise EngineStopped("it is about to be closed")

    monkeypatch.setattr(wf, "_linked", stopped)
    wf._link_in_time()
    monkeypatch.undo()
    wf.close()
    assert not [t for t in threading.enumerate() if t.name == "wfkernel-engine" and t.is_alive()]


def test_a_process_ends_with_its_connection_open(holder: Holder, path: Path) -> None:
    code = f"""
import contextlib, threading
from wfkernel import WorkflowManager
from wfkernel.errors import EngineStopped
wf = WorkflowManager({str(path)!r}, connect="auto")
run = wf.start("named")

def wait():
    with contextlib.suppress(EngineStopped):
        run.result()

threading.Thread(target=wait, daemon=True).start()
print(run.status().type)
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "in_progress\n")
    assert done.stderr == ""
