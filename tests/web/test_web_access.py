"""Who may do what: names, tokens, sessions, other people's pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from web_kit import Served, answer, payment, until

from wfkernel.web import create_token, revoke_token

ALL_PAGES = ["/", "/login", "/api/list", "/openapi.json", "/static/web.js", "/nothing", "/approve/x", "/runs/r1", "/now/r1"]


def test_nothing_is_told_to_who_shows_nothing(served: Served) -> None:
    run = payment(served.wf)
    client = served.client()
    for path in ("/api/list", f"/api/status?run={run.id}", f"/now/{run.id}"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert run.id not in refused.text
    for path in ("/", f"/runs/{run.id}"):
        sent_away = client.get(path)
        assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/login")
    assert client.post("/api/cancel", json={"run": run.id}).status_code == 401
    assert client.post(f"/events/{run.id}/approval", json=True).status_code == 401
    assert run.status().type == "in_progress"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic x", "Bearer x", "Bearer wf_x_y", "bearer é"], ids=repr)
def test_a_wrong_token_is_no_token(served: Served, header: str) -> None:
    refused = served.client().get("/api/list", headers={"Authorization": header.encode()})
    assert refused.status_code == 401


def test_a_wrong_token_counts_for_nothing_beside_a_good_cookie(served: Served) -> None:
    client, _ = served.browser()
    assert client.get("/api/list").status_code == 200
    assert client.get("/api/list", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_token_does_what_its_scopes_say(served: Served) -> None:
    run = payment(served.wf)
    may = {
        scopes: [
            client.get("/api/list").status_code,
            client.post("/api/send_event", json={"run": run.id, "event": "other", "value": 1}).status_code,
            client.post(f"/events/{run.id}/other", json=1).status_code,
            client.post("/api/cancel", json={"run": "none"}).status_code,
        ]
        for scopes in ("read", "events", "control")
        for client in [served.with_scopes(scopes)]
    }
    assert may == {"read": [200, 403, 403, 403], "events": [403, 200, 200, 403], "control": [403, 403, 403, 404]}


def test_a_revoked_token_ends_at_once(served: Served) -> None:
    made = create_token(served.wf)
    client = served.client(made.token)
    assert client.get("/api/list").status_code == 200
    revoke_token(served.wf, made.id)
    assert client.get("/api/list").status_code == 401


# -- browsers --


def test_the_login_link_lets_one_browser_in_once(served: Served) -> None:
    link = served.serving.login_url
    path, _, code = link.partition("#")
    assert path == f"{served.url}/login"
    client = served.client()
    for _ in range(3):
        assert client.get(link).status_code == 200  # what looks at links in advance does not use it up
    headers = {"Origin": served.url}
    entered = client.post("/login", json={"code": code}, headers=headers)
    assert entered.status_code == 200
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert f"wfkernel-{urlsplit(served.url).port}=" in cookie
    assert served.client().post("/login", json={"code": code}, headers=headers).status_code == 401
    assert client.get("/").status_code == 200


def test_a_login_link_is_void_after_an_hour(serve: Callable[..., Served]) -> None:
    now = [1000.0]
    served = serve(now=lambda: now[0])
    code = served.serving.login_url.partition("#")[2]
    now[0] += 3601
    assert served.client().post("/login", json={"code": code}, headers={"Origin": served.url}).status_code == 401


def test_a_session_ends_when_it_is_not_used_and_when_one_leaves(serve: Callable[..., Served]) -> None:
    now = [1000.0]
    served = serve(now=lambda: now[0])
    client, _ = served.browser()
    now[0] += 12 * 3600 - 1
    assert client.get("/api/list").status_code == 200
    now[0] += 12 * 3600 + 1
    assert client.get("/api/list").status_code == 401

    client, csrf = served.browser()
    assert client.post("/logout", json={}, headers={"Origin": served.url}).status_code == 403
    assert client.post("/logout", json={}, headers={"Origin": served.url, "X-CSRF-Token": csrf}).status_code == 200
    assert client.get("/api/list").status_code == 401


def test_the_main_token_logs_in_and_no_other(served: Served) -> None:
    headers = {"Origin": served.url}
    for wrong in ({"token": create_token(served.wf).token}, {"token": ""}, {"code": None}, {}, [], "x"):
        assert served.client().post("/login", json=wrong, headers=headers).status_code == 401
    assert served.client().post("/login", json={"token": served.serving.token}, headers=headers).status_code == 200
    assert served.client().post("/login", json={"token": served.serving.token}).status_code == 403


def test_a_cookie_alone_changes_nothing(served: Served) -> None:
    run = payment(served.wf)
    client, csrf = served.browser()
    _other, other_csrf = served.browser()
    assert csrf != other_csrf
    good = {"Origin": served.url, "X-CSRF-Token": csrf}
    wrong = [
        {},
        {"Origin": served.url},
        {"X-CSRF-Token": csrf},
        {"Origin": served.url, "X-CSRF-Token": other_csrf},
        {"Origin": "https://evil.example", "X-CSRF-Token": csrf},
        {"Origin": served.url.replace("127.0.0.1", "localhost"), "X-CSRF-Token": csrf},
        {**good, "Sec-Fetch-Site": "cross-site"},
        {**good, "Sec-Fetch-Site": "same-site"},
    ]
    body = {"run": run.id, "event": "approval", "value": True}
    for headers in wrong:
        for path, said in (("/api/send_event", body), ("/api/cancel", {"run": run.id})):
            assert client.post(path, json=said, headers=headers).status_code == 403, headers
        assert client.post(f"/events/{run.id}/approval", json=True, headers=headers).status_code == 403
    assert run.status().type == "in_progress"
    assert client.post("/api/send_event", json=body, headers={**good, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert run.result(10) is True


@pytest.mark.parametrize("origin", ["http://[", "null", "", "http://", "x", "http://[::1"])
def test_an_origin_that_is_none_is_another_s(served: Served, origin: str) -> None:
    client, csrf = served.browser()
    headers = {"Origin": origin, "X-CSRF-Token": csrf}
    assert client.post("/api/list", json={}, headers=headers).status_code == 403
    assert client.post("/login", json={"token": served.serving.token}, headers=headers).status_code == 403


def test_reading_by_post_with_a_cookie_needs_the_token_of_the_page_too(served: Served) -> None:
    client, csrf = served.browser()
    assert client.post("/api/list", json={}).status_code == 403
    assert client.post("/api/list", json={}, headers={"Origin": served.url, "X-CSRF-Token": csrf}).status_code == 200


# -- names and headers --


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{port}", "localhost:1", "", "0.0.0.0:{port}", "10.0.0.1:{port}"],
    ids=str,
)
def test_a_request_for_another_name_is_turned_away(served: Served, host: str) -> None:
    named = host.format(port=urlsplit(served.url).port)
    answer = served.client(served.serving.token).get("/api/list", headers={"Host": named})
    assert answer.status_code in (400, 421)
    assert "items" not in answer.text


def test_the_names_it_listens_on_are_its_own(served: Served) -> None:
    port = urlsplit(served.url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert served.client(served.serving.token).get("/api/list", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ALL_PAGES)
def test_every_answer_has_the_headers_that_keep_it_in(served: Served, path: str) -> None:
    for client in (served.client(), served.client(served.serving.token)):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static/web") else "no-store")
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_errors_are_json_for_programs_and_a_page_for_people_and_never_a_traceback(served: Served) -> None:
    client = served.client(served.serving.token)
    for path, status in (("/api/nothing", 404), ("/api/status?run=none", 404), ("/api/cancel", 405), ("/api/list?limit=x", 422)):
        said = client.get(path)
        assert said.status_code == status
        assert set(said.json()) == {"error"}
        assert said.json()["error"]["message"]
        shown = client.get(path, headers={"Accept": "text/html"})
        assert shown.headers["content-type"].startswith("text/html")
        assert "Traceback" not in said.text + shown.text


def test_an_error_that_nobody_foresaw_is_told_without_its_inside(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("the secret of the inside")

    monkeypatch.setattr(served.wf, "_list", broken)
    monkeypatch.setattr("wfkernel.control.operations.reads._stored", lambda manager: served.wf)
    said = served.client(served.serving.token).get("/api/list")
    assert (said.status_code, said.json()["error"]["type"]) == (500, "InternalError")
    assert "secret" not in said.text
    logged = until(lambda: [r.message for r in caplog.records if r.levelno >= logging.ERROR], "the line in the log")
    assert logged == ["a request of the web page failed"]


def test_no_log_holds_a_secret(served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO, logger="wfkernel")
    caplog.set_level(logging.INFO, logger="uvicorn")
    run = payment(served.wf)
    url = run.approval_url("approval")
    made = create_token(served.wf)
    served.client(made.token).get("/api/list")
    login = served.serving.login_url
    served.client().post("/login", json={"code": login.partition("#")[2]}, headers={"Origin": served.url})
    answer(served.client(), url, True)
    served.client().get(url)
    captured = capfd.readouterr()
    lines = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]  # httpx's own log is the client's
    said = "\n".join([*lines, captured.out, captured.err, repr(served.serving), repr(made)])
    for secret in (url.rpartition("/")[2], made.token, served.serving.token, login.partition("#")[2], "/approve/"):
        assert secret not in said
