"""How much, how often, how deep, how slow."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from web_kit import Served, payment, until

from wfkernel.control.operations import OPERATIONS
from wfkernel.web.limits import Limits, Meter, Rate, parsed
from wfkernel.web.refusals import Refused
from wfkernel.web.vault import Vault


def test_a_meter_lets_a_burst_through_and_then_so_many_a_second() -> None:
    now = [0.0]
    meter = Meter(Rate(3, 0.5), now=lambda: now[0])
    for _ in range(3):
        meter.take("a")
    with pytest.raises(Refused) as no:
        meter.take("a")
    assert (no.value.status, no.value.headers) == (429, {"Retry-After": "2"})
    meter.take("b")
    now[0] = 2.0
    meter.take("a")
    with pytest.raises(Refused):
        meter.take("a")
    now[0] = 1000.0
    for _ in range(3):
        meter.take("a")
    with pytest.raises(Refused):
        meter.take("a")


def test_a_meter_remembers_no_more_than_it_may() -> None:
    meter = Meter(Rate(1, 1.0), most=10)
    for i in range(1000):
        meter.take(str(i))
    assert len(meter) == 10


@pytest.mark.parametrize("path", ["/api/send_event", "/events/none/x", "/login"])
def test_a_body_that_is_too_large_is_refused_however_it_is_sent(serve: Callable[..., Served], path: str) -> None:
    served = serve(limits=Limits(body_bytes=1000))
    client = served.client(served.serving.token)

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    headers = {"Origin": served.url}
    for body in (b" " * 1001, pieces()):
        refused = client.post(path, content=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (413, "TooLarge")
    assert client.post(path, content=b" " * 900 + b"{}", headers=headers).status_code in (401, 404, 422)


def test_a_million_bytes_are_the_limit_unless_another_is_said(served: Served) -> None:
    client = served.client(served.serving.token)
    assert client.post("/events/none/x", content=b'"' + b"x" * (1 << 20)).status_code == 413
    assert client.post("/events/none/x", content=b'"' + b"x" * (1 << 19) + b'"').status_code == 404


def test_json_may_be_so_deep_and_no_deeper() -> None:
    limits = Limits(depth=5)
    assert parsed(b"[[[[[]]]]]", limits) == [[[[[]]]]]
    assert parsed(b'{"a":{"a":{"a":{"a":1}}}}', limits) == {"a": {"a": {"a": {"a": 1}}}}
    for deep in (b"[[[[[[]]]]]]", b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(Refused) as no:
            parsed(deep, limits)
        assert no.value.status == 400


def test_who_asks_too_often_is_told_when_to_come_back(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(caller=Rate(3, 0.01)))
    client = served.client(served.serving.token)
    answers = [client.get("/api/list") for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 100
    assert served.with_scopes("read").get("/api/list").status_code == 200  # another's token is another's


def test_guessing_is_slow(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(address=Rate(2, 0.01)))
    client = served.client()
    guesses = {
        "token": lambda i: client.get("/api/list", headers={"Authorization": f"Bearer wf_{i}_x"}),
        "login": lambda i: client.post("/login", json={"token": "x"}, headers={"Origin": served.url}),
        "link": lambda i: client.get(f"/approve/{i}"),
    }
    statuses = {what: [guess(i).status_code for i in range(3)] for what, guess in guesses.items()}
    assert statuses == {"token": [401, 401, 429], "login": [401, 401, 429], "link": [404, 404, 429]}
    assert served.client(served.serving.token).get("/api/list").status_code == 200


def test_who_guesses_tokens_is_not_looked_up_and_does_not_keep_out_those_who_have_one(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(limits=Limits(address=Rate(5, 0.01)))
    hook = served.with_scopes("read")
    assert hook.get("/api/list").status_code == 200
    looked, look = [0], Vault.read

    def read(self: Vault, *args: object) -> object:
        looked[0] += 1
        return look(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Vault, "read", read)
    guesser = served.client()
    statuses = [guesser.get("/api/list", headers={"Authorization": f"Bearer wf_{i}_x"}).status_code for i in range(50)]
    assert statuses == [401] * 5 + [429] * 45
    assert looked == [5]
    assert hook.get("/api/list").status_code == 200


def test_no_page_of_somebody_else_keeps_the_user_out(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(address=Rate(3, 0.01)))
    browser = served.client()
    of_a_page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    asked = [browser.post("/login", content=b"x", headers=of_a_page).status_code for _ in range(5)]
    for path in ("/openapi.json", "/login", "/api/list", "/approve/x"):
        asked += [browser.get(path, headers=of_a_page).status_code for _ in range(5)]
    assert set(asked[:15]) == {403, 200}
    assert served.browser()[0].get("/").status_code == 200
    assert served.with_scopes("read").get("/api/list").status_code == 200


def test_a_link_is_looked_at_so_often_and_no_more(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(link=Rate(2, 0.01)))
    run = payment(served.wf)
    url, other = run.approval_url("approval"), run.approval_url("approval")
    answers = [served.client().get(url) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert "retry-after" in answers[2].headers
    assert served.client().get(other).status_code == 200


def test_a_client_that_never_ends_its_headers_is_hung_up_on(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(headers_s=0.2))
    where = urlsplit(served.url)
    for begin in (b"", b"GET / HTTP/1.1\r\nHost: "):
        with socket.create_connection((where.hostname, where.port), timeout=10) as sock:  # type: ignore[arg-type]
            sock.sendall(begin)
            assert sock.recv(100) == b""


def test_the_second_request_of_a_connection_may_not_be_slow_either(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(headers_s=0.2))
    where = urlsplit(served.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as sock:  # type: ignore[arg-type]
        sock.sendall(f"GET /login HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        data = b""
        while b"</html>" not in data:
            data += sock.recv(4096)
        assert data.startswith(b"HTTP/1.1 200")
        sock.sendall(b"GET / HT")  # from here on, uvicorn would wait for ever
        while sock.recv(4096):
            pass


def test_a_body_that_does_not_come_is_not_waited_for(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(body_s=0.2))
    where = urlsplit(served.url)
    head = f"POST /events/r/x HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {served.serving.token}\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=10) as sock:  # type: ignore[arg-type]
        sock.sendall(head.encode() + b"tru")
        assert sock.recv(100).startswith(b"HTTP/1.1 408")


def connections_of(served: Served) -> int:
    return len(served.serving._server.server_state.connections)


def connected_to(served: Served, **options: int) -> socket.socket:
    where = urlsplit(served.url)
    sock = socket.socket()
    for name, value in options.items():
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    sock.settimeout(10)
    sock.connect((where.hostname, where.port))
    return sock


def test_no_more_connections_are_kept_than_are_said(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(connections=5))
    with contextlib.ExitStack() as opened:
        kept = [opened.enter_context(connected_to(served)) for _ in range(5)]
        until(lambda: connections_of(served) == 5)
        for _ in range(20):
            with connected_to(served) as more, contextlib.suppress(ConnectionResetError):
                assert more.recv(1) == b""
        assert connections_of(served) == 5
        kept[0].close()
        until(lambda: connections_of(served) == 4)
        assert served.client().get("/login").status_code == 200


def test_who_asks_much_and_reads_nothing_is_hung_up_on(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(request_s=0.2, headers_s=0.2))
    request = f"GET /static/web.js HTTP/1.1\r\nHost: {urlsplit(served.url).netloc}\r\n\r\n".encode()
    with contextlib.ExitStack() as opened:
        for _ in range(5):
            sock = opened.enter_context(connected_to(served, SO_RCVBUF=4096))
            sock.sendall(request * 400)
        until(lambda: connections_of(served) == 5)
        until(lambda: connections_of(served) == 0)
        until(lambda: not served.serving._server.server_state.tasks)
    assert served.client().get("/login").status_code == 200


def test_a_request_that_takes_its_time_is_answered_on_a_connection_that_goes_on(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(headers_s=0.3))
    entered, may_go_on = threading.Event(), threading.Event()

    @served.wf.workflow
    async def quick(step: object) -> int:
        return 1

    works = OPERATIONS["start"]

    def start(asked: object, params: object) -> object:
        entered.set()
        may_go_on.wait(10)
        return works.do(asked, params)  # type: ignore[arg-type]

    where = urlsplit(served.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    with pytest.MonkeyPatch.context() as patched, contextlib.closing(connection):
        patched.setitem(OPERATIONS, "start", works._replace(do=start))
        connection.request("POST", "/api/start", b'{"workflow": "quick"}', {"Authorization": f"Bearer {served.serving.token}"})
        assert entered.wait(10)
        kept = connection.sock
        began = time.monotonic()
        until(lambda: time.monotonic() > began + 0.5)  # longer than the headers of a request may take
        may_go_on.set()
        with connection.getresponse() as answer:
            assert (answer.status, "run_id" in answer.read().decode()) == (200, True)
        connection.request("GET", "/login")
        with connection.getresponse() as answer:
            assert answer.status == 200
        assert connection.sock is kept
