"""How much, how often, how deep, how slow."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from web_kit import Served, payment

from wfkernel.web.limits import Limits, Meter, Rate, parsed
from wfkernel.web.refusals import Refused


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
    served = serve(limits=Limits(address=Rate(4, 0.01)))
    client = served.client()
    statuses = [client.get("/api/list", headers={"Authorization": "Bearer x"}).status_code for _ in range(2)]
    statuses += [client.post("/login", json={"token": "x"}, headers={"Origin": served.url}).status_code for _ in range(1)]
    statuses += [client.get(f"/approve/{i}").status_code for i in range(3)]
    assert statuses == [401, 401, 401, 404, 429, 429]
    assert served.client(served.serving.token).get("/api/list").status_code == 200


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
