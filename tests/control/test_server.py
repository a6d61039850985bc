"""The server against clients that are malformed, slow, silent, greedy or gone: it answers, drops them, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Holder, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfkernel import WorkflowManager
from wfkernel.control import address, peer, server, wire
from wfkernel.control.address import NobodyListens, dial, directory_of
from wfkernel.control.client import Connection, ConnectionLost, Silent
from wfkernel.control.mux import Mux
from wfkernel.control.operations import OPERATIONS
from wfkernel.control.server import Server
from wfkernel.engine.engine import Engine
from wfkernel.errors import ControlError, EngineStopped, JournalLocked

HELLO = {"id": 1, "op": "hello", "params": {"versions": [1]}}


@pytest.fixture
def served(wf: WorkflowManager) -> WorkflowManager:
    @wf.workflow
    async def quick(step, n: int = 1):
        return n

    @wf.workflow
    async def waiting(step):
        return await step.await_event("go")

    return wf


def raw(path: Path) -> socket.socket:
    sock, _ = dial(path)
    sock.settimeout(10)
    return sock


def greeted(path: Path) -> socket.socket:
    sock = raw(path)
    send(sock, HELLO)
    assert answer(sock)["result"]["pid"] == os.getpid()
    return sock


def send(sock: socket.socket, body: dict[str, Any]) -> None:
    sock.sendall(next(wire.packed(body)))


def answers(sock: socket.socket) -> Iterator[dict[str, Any]]:
    parser = wire.Parser(wire.MAX_REPLY)
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(1 << 16):
            for message in parser.feed(data):
                yield message.body


def answer(sock: socket.socket) -> dict[str, Any]:
    return next(answers(sock))


def said_last(sock: socket.socket) -> str:
    """What it said before it hung up."""
    with sock:
        said = list(answers(sock))
    assert said
    assert said[-1]["id"] is None
    return said[-1]["error"]["message"]


def threads(name: str) -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(name)]


def works(path: Path) -> bool:
    with Connection.open(path) as connection:
        return connection.ask("start", {"workflow": "quick"}).body["result"]["name"] == "quick"


# -- what is no message --


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "no frame"),
        (struct.pack(">IB", 2, ord("J")) + b"{}", "the first message must be"),
        (next(wire.packed({"id": 1, "op": "status", "params": {"run": "r"}})), "the first message must be"),
        (next(wire.packed({"id": 1, "op": "hello", "params": {"versions": [99]}})), "speaks version 1, and was asked for"),
        (next(wire.packed({"id": 1, "op": "hello", "params": {"versions": "1"}})), "speaks version 1"),
        (next(wire.packed({"id": 1, "op": "hello", "params": {"versions": [1], "pad": "x" * 70_000}})), "are taken at most"),
        (b"".join(wire.packed(HELLO, {"a": b"x"})), "attachments of more than 0"),
    ],
)
def test_who_does_not_greet_properly_is_told_so_and_dropped(served: WorkflowManager, path: Path, data: bytes, what: str) -> None:
    sock = raw(path)
    sock.sendall(data)
    assert what in said_last(sock)
    assert works(path)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": 2},
        {"id": "2", "op": "list"},
        {"id": 2, "op": 7},
        {"id": 2, "op": "list", "params": []},
        {"id": True, "op": "list"},
    ],
)
def test_a_message_that_is_no_request_is_answered_and_the_connection_dropped(
    served: WorkflowManager, path: Path, body: dict[str, Any]
) -> None:
    sock = greeted(path)
    send(sock, body)
    assert "a request is" in said_last(sock)
    assert works(path)


def test_a_wrong_request_is_answered_and_the_connection_goes_on(served: WorkflowManager, path: Path) -> None:
    with Connection.open(path) as connection:
        with pytest.raises(ControlError, match="no operation is called 'nope'"):
            connection.ask("nope")
        with pytest.raises(ControlError, match="status: run"):
            connection.ask("status")
        with pytest.raises(ControlError, match="colour"):
            connection.ask("list", {"colour": "red"})
        assert connection.ask("list").body["result"]["items"] == []


def test_two_requests_of_one_number_are_refused(served: WorkflowManager, path: Path) -> None:
    run = served.start("waiting")
    sock = greeted(path)
    for _ in range(2):
        send(sock, {"id": 5, "op": "wait", "params": {"run": run.id}})
    assert "under way already" in said_last(sock)


keys = st.sampled_from(["id", "op", "params", "token", "again", "blobs", "x"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("$"), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*sorted(OPERATIONS), "hello", "ping", "drop", ""])
parameters = st.dictionaries(
    st.sampled_from(
        sorted({name for op in OPERATIONS.values() for name in op.params.model_fields} | {"id"}),
    ),
    plain | st.sampled_from(["quick", "waiting", "asc", "go", "completed", "select 1"]),
    max_size=4,
)
requests = st.fixed_dictionaries(
    {"id": st.integers(2, 9) | plain, "op": names | plain, "params": parameters | plain},
    optional={"token": plain, "again": plain},
)
messages = (
    requests.map(lambda body: b"".join(_packed(body)))
    | st.binary(max_size=40)
    | st.dictionaries(keys, plain).map(lambda body: b"".join(_packed(body)))
)


def _packed(body: dict[str, Any]) -> list[bytes]:
    text = json.dumps(body).encode()
    return [struct.pack(">IB", len(text), ord("J")), text]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(messages, max_size=6), st.booleans())
def test_whatever_is_sent_the_server_survives_and_the_manager_works(
    served: WorkflowManager, path: Path, sent: list[bytes], is_polite: bool
) -> None:
    sock = greeted(path) if is_polite else raw(path)
    with sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for data in sent:
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        for body in answers(sock):
            assert "result" in body or "part" in body or set(body["error"]) == {"type", "message", "facts"}
    served.set_max_parallelism(25)  # the fuzz may have changed it
    assert served.start("quick", 3).result(10) == 3


# -- clients that are slow, greedy, or gone --


def test_who_says_nothing_is_dropped(served: WorkflowManager, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_HELLO_S", 0.1)
    with raw(path) as sock:
        assert sock.recv(1) == b""
    with raw(path) as sock:  # a byte now and then is not saying hello
        with contextlib.suppress(OSError):
            for byte in next(wire.packed(HELLO))[:-1]:
                sock.sendall(bytes([byte]))
                time.sleep(0.01)
        assert list(answers(sock)) == []


def test_a_client_that_sends_and_does_not_read_stops_only_itself(
    served: WorkflowManager, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "_UNREAD_S", 0.2)
    sock = greeted(path)
    sock.settimeout(20)
    with sock, pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - after how many, the buffers say
        for i in range(2, 1_000_000):
            send(sock, {"id": i, "op": "workflows"})
            if i % 1000 == 0:
                assert works(path)
    until(lambda: not served._engine.control._peers)


def test_answers_that_nobody_reads_keep_nobody_else_waiting(served: WorkflowManager, path: Path) -> None:
    endless = {"id": 2, "op": "sql", "params": {"query": "SELECT repeat('x', 1000) FROM range(1000000)"}}
    with contextlib.ExitStack() as stack:
        for _ in range(6):  # more than there are threads for them
            sock = stack.enter_context(greeted(path))
            send(sock, endless)
            send(sock, {"id": 3, "op": "workflows"})
        for _ in range(20):
            assert works(path)
    with Connection.open(path) as connection:
        *_, last = connection.replies("sql", {"query": "SELECT 42"})
    assert "result" in last.body


ENDLESS = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE hash(a.range + b.range) = 7"


def test_a_query_that_nobody_waits_for_any_more_is_stopped(served: WorkflowManager, path: Path) -> None:
    mux = Mux(path, lambda: None)
    for _ in range(3):
        mux.submit("sql", {"query": ENDLESS}).cancel()
    given_up = [Mux(path, lambda: None) for _ in range(3)]
    for each in given_up:
        each.submit("sql", {"query": ENDLESS})
        each.submit("list").result(10)  # the query is on its way
        each.close()
    assert mux.submit("sql", {"query": "SELECT 42"}).result(30).body["result"] == {"rows": 1}
    mux.close()


def test_a_ping_is_answered_and_a_drop_heard_whatever_waits_its_turn(
    served: WorkflowManager, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "_MOST_REQUESTS", 4)
    with greeted(path) as sock:
        for i in range(10, 16):  # the last two are not taken yet
            send(sock, {"id": i, "op": "sql", "params": {"query": ENDLESS}})
        send(sock, {"id": 2, "op": "ping"})
        assert answer(sock) == {"id": 2, "result": None}
        for i in reversed(range(10, 16)):
            send(sock, {"id": 3, "op": "drop", "params": {"id": i}})
        send(sock, {"id": 4, "op": "workflows"})
        assert answer(sock)["id"] == 4


def test_rows_that_were_sent_are_not_sent_again(served: WorkflowManager, path: Path) -> None:
    served.db.execute("CREATE TABLE main.numbers AS SELECT range AS i FROM range(1000000)")
    mux = Mux(path, lambda: None)
    seen: list[int] = []
    cut = threading.Event()

    def part(message: Any) -> None:
        seen.extend(row[0] for row in message.body["part"]["rows"])
        if not cut.is_set():
            cut.set()
            journal = served._engine.journal
            with journal._ledger.lock:
                journal._reattach()

    asked = mux.submit("sql", {"query": "SELECT i FROM main.numbers"}, part=part)
    assert isinstance(asked.exception(30), ControlError)
    assert len(seen) == len(set(seen))
    mux.close()


def test_thousands_of_requests_on_one_connection_are_answered(served: WorkflowManager, path: Path) -> None:
    run = served.start("waiting")
    mux = Mux(path, lambda: None)
    waits = [mux.submit("wait", {"run": run.id}) for _ in range(3000)]
    asked = [mux.submit("get", {"run": run.id}) for _ in range(2000)]
    assert all(f.result(30).body["result"]["run_id"] == run.id for f in asked)
    run.send_event("go", 7)
    assert all(f.result(30).body["result"]["body"]["result"] == 7 for f in waits)
    mux.close()


def test_a_client_that_goes_leaves_nothing_behind(served: WorkflowManager, path: Path) -> None:
    run = served.start("waiting")
    live = until(lambda: served._engine.runs.get(run._key))
    fds = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        mux = Mux(path, lambda: None)
        for _ in range(5):
            mux.submit("wait", {"run": run.id})
        mux.submit("list").result(10)
        mux.close()
    control = served._engine.control
    until(lambda: not control._peers and all(w.cancelled() for w in live.waiters))
    until(lambda: len(os.listdir("/proc/self/fd")) <= fds + 4)
    assert len(asyncio.all_tasks(control._thread.loop)) == 1  # it accepts


def test_a_wait_that_is_given_up_is_dropped(served: WorkflowManager, path: Path) -> None:
    run = served.start("waiting")
    live = until(lambda: served._engine.runs.get(run._key))
    mux = Mux(path, lambda: None)
    asked = mux.submit("wait", {"run": run.id})
    until(lambda: [w for w in live.waiters if not w.done()])
    asked.cancel()
    until(lambda: all(w.cancelled() for w in live.waiters))
    assert mux.submit("list").result(10).body["result"]["items"]
    mux.close()


def test_requests_that_are_given_up_before_they_begin_leave_their_room_to_others(served: WorkflowManager, path: Path) -> None:
    with greeted(path) as sock:
        for first in range(1000, 2000, 100):  # more than may be under way at once
            asked = [{"id": n, "op": "workflows"} for n in range(first, first + 100)]
            dropped = [{"id": 2, "op": "drop", "params": {"id": body["id"]}} for body in asked]
            both = [body for pair in zip(asked, dropped, strict=True) for body in pair]
            sock.sendall(b"".join(frame for body in both for frame in wire.packed(body)))
        send(sock, {"id": 3, "op": "workflows"})
        assert next(said for said in answers(sock) if said["id"] == 3)["result"]


def test_parts_that_nobody_waits_for_are_not_sent(served: WorkflowManager, path: Path) -> None:
    mux = Mux(path, lambda: None)
    parts: list[Any] = []

    def give_up(part: Any) -> None:
        parts.append(part)
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        mux.submit("sql", {"query": "SELECT range AS a, repeat('x', 1000) AS b FROM range(10000)"}, part=give_up).result(20)
    assert len(parts) == 1
    assert mux.submit("list").result(10).body["result"]["is_done"]
    mux.close()


def test_more_connections_than_there_may_be_are_turned_away_and_told(
    served: WorkflowManager, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MOST_PEERS", 3)
    open_ones = [Connection.open(path) for _ in range(3)]
    with pytest.raises(ControlError, match="3 processes talk to the holder"):
        Connection.open(path)
    open_ones.pop().close()
    assert until(lambda: len(served._engine.control._peers) < 3)
    assert works(path)
    for connection in open_ones:
        connection.close()


def test_another_user_s_process_is_turned_away(served: WorkflowManager, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_peer_uid", lambda sock: os.geteuid() + 1)
    with pytest.raises(ControlError, match="another user's"):
        Connection.open(path)
    monkeypatch.undo()
    assert works(path)


# -- by a port and a token --


@pytest.fixture
def by_port(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowManager]:
    def serve(engine: Engine) -> Server:
        return Server(engine, unix=False)

    monkeypatch.setattr(server, "serve", serve)
    with WorkflowManager(path) as manager:
        yield manager


def test_without_unix_sockets_who_shows_the_token_is_answered(by_port: WorkflowManager, path: Path) -> None:
    with Connection.open(path) as connection:
        assert connection.ask("list").body["result"]["items"] == []


@pytest.mark.parametrize("token", [None, "", "wrong", 7, "\ud800"])
def test_without_the_token_nobody_is_answered(by_port: WorkflowManager, path: Path, token: Any) -> None:
    sock = raw(path)
    send(sock, {**HELLO, "params": {"versions": [1], "token": token}})
    assert "the token is wrong" in said_last(sock)


# -- the end of either side --


def test_a_closed_manager_leaves_no_socket_no_thread_and_no_directory(path: Path) -> None:
    before = threads("wfkernel-")
    with WorkflowManager(path):
        with Connection.open(path) as connection:
            connection.ask("list")
        assert os.path.exists(directory_of(path))
    assert not os.path.exists(directory_of(path))
    assert threads("wfkernel-") == before
    with pytest.raises(NobodyListens):
        Connection.open(path)


def test_a_manager_that_nobody_asks_has_no_thread_for_it(wf: WorkflowManager) -> None:
    assert not threads("wfkernel-control")
    assert not threads("wfkernel-operations")


def test_a_journal_in_memory_is_nobody_else_s(path: Path) -> None:
    with WorkflowManager(":memory:") as manager:
        assert manager._engine.control is None


def test_one_engine_listens_once_whoever_opens_it(path: Path) -> None:
    managers: list[WorkflowManager] = []
    openers = [threading.Thread(target=lambda: managers.append(WorkflowManager(path))) for _ in range(8)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert len({id(m._engine.control) for m in managers}) == 1
    assert len(managers[0]._engine.before_stop) == 1
    with Connection.open(path) as connection:
        connection.ask("list")
    managers[0].close()


def test_who_waits_is_told_when_the_manager_closes(served: WorkflowManager, path: Path) -> None:
    run = served.start("waiting")
    mux = Mux(path, lambda: None)
    asked = mux.submit("wait", {"run": run.id})
    mux.submit("list").result(10)
    served.close()
    assert isinstance(asked.exception(10), EngineStopped)
    until(lambda: mux.is_lost)
    with pytest.raises(ConnectionLost):
        mux.submit("list")


def test_a_manager_closes_at_once_while_a_client_reads_nothing_of_its_answer(served: WorkflowManager, path: Path) -> None:
    with greeted(path) as sock:
        send(sock, {"id": 2, "op": "sql", "params": {"query": "SELECT repeat('x', 1000) FROM range(100000)"}})
        sock.recv(1)
        begin = time.monotonic()
        served.close()
        assert time.monotonic() - begin < 10


def test_a_holder_that_cannot_listen_says_so_and_works(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path(directory_of(path)).write_text("in the way")
    with WorkflowManager(path) as manager:
        assert "cannot talk to this one" in caplog.text
        assert manager.list().items == []


def test_a_fork_s_child_keeps_no_socket_open(served: WorkflowManager, path: Path) -> None:
    with greeted(path) as sock:
        ready, done = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:  # lives on for as long as the test likes
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        try:
            assert os.read(ready[0], 1) == b"x"
            served.close()
            assert sock.recv(1) == b""
        finally:
            os.write(done[1], b"x")
            os.waitpid(child, 0)
            for fd in (*ready, *done):
                os.close(fd)


# -- a holder that is stopped --


@pytest.fixture
def stopped(hold: Any) -> Iterator[Holder]:
    holder = hold()
    yield holder
    holder.go_on()


def test_a_holder_that_is_stopped_is_named_at_the_greeting(stopped: Holder, path: Path) -> None:
    stopped.stop()
    with pytest.raises(Silent, match=f"process {stopped.process.pid}, which does not answer"):
        Connection.open(path, timeout=0.3)


def test_a_holder_that_is_stopped_in_the_middle_is_named(stopped: Holder, path: Path) -> None:
    with Connection.open(path, silence_s=0.5) as connection:
        connection.ask("list")
        stopped.stop()
        with pytest.raises(Silent, match="is it stopped"):
            connection.ask("list")


def test_a_holder_that_is_busy_with_something_long_is_waited_for(
    served: WorkflowManager, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = served.start("waiting")
    with Connection.open(path, silence_s=0.5) as connection:
        ping, pings = connection._ping, []

        def counted() -> None:
            pings.append(ping())
            if len(pings) == 2:
                run.send_event("go", 1)

        monkeypatch.setattr(connection, "_ping", counted)
        assert connection.ask("wait", {"run": run.id}).body["result"]["body"]["result"] == 1
    assert len(pings) == 2


def test_a_holder_that_is_stopped_ends_requests_and_waits_go_on(
    stopped: Holder, path: Path, connect: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from wfkernel.control import connected

    results: list[Any] = []
    with monkeypatch.context() as impatient:
        impatient.setattr(connected, "_PATIENCE_S", 0.2)
        impatient.setattr(connected.ConnectedManager, "silence_s", 0.5)
        wf = connect()
        run = wf.start("named")
        waiter = threading.Thread(target=lambda: results.append(run.result()))
        waiter.start()
        stopped.stop()
        with pytest.raises((Silent, JournalLocked)):
            wf.list()
        until(lambda: "waited for on and on" in caplog.text)
    stopped.go_on()
    run.send_event("plain", "at last")
    waiter.join(20)
    assert results == ["at last"]
