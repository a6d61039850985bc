"""``run.approval_url``: the link shows what it approves, is answered once, expires, and can be revoked."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, Field
from web_kit import Served, answer, asked_in, awaits, csrf_in, payment, until

from wfkernel import WorkflowManager, define_event
from wfkernel.control.operations import OPERATIONS
from wfkernel.errors import ControlError, InvalidArguments, OptionError, RunNotFound
from wfkernel.web import links
from wfkernel.web.vault import Vault


class Decision(BaseModel):
    ok: bool
    limit: int = Field(ge=0)


def test_a_link_opens_without_login_and_says_what_it_approves(served: Served) -> None:
    run = payment(served.wf, 250)
    page = served.client().get(run.approval_url("approval"))
    assert page.status_code == 200
    for text in ("payment", run.id, "amount", "250", "approval", "quote", "currency", "EUR"):
        assert text in page.text
    assert asked_in(page.text) == {"event": "approval", "type": "bool", "form": {"kind": "bool"}, "step": 1}
    assert "set-cookie" not in page.headers


def test_an_answer_reaches_the_run(served: Served) -> None:
    run = payment(served.wf)
    assert answer(served.client(), run.approval_url("approval"), True).json() == {"result": None}
    assert run.result(10) is True


def test_looking_at_a_link_changes_nothing(served: Served) -> None:
    run = payment(served.wf)
    url, client = run.approval_url("approval"), served.client()
    for ask in (client.get, client.head, client.options):
        for _ in range(3):
            ask(url)
    assert awaits(run, "approval")
    assert answer(client, url, False).status_code == 200
    assert run.result(10) is False


def test_a_link_counts_once(served: Served) -> None:
    run = payment(served.wf)
    url, client = run.approval_url("approval"), served.client()
    page = client.get(url)
    headers = {"Origin": served.url, "X-CSRF-Token": csrf_in(page.text)}
    assert client.post(url, json={"value": True, "step": 1}, headers=headers).status_code == 200
    again = client.post(url, json={"value": False, "step": 1}, headers=headers)
    assert (again.status_code, again.json()["error"]["type"]) == (410, "Used")
    assert "answered already" in client.get(url).text
    assert run.result(10) is True


def test_of_two_links_for_one_event_the_first_answer_counts(served: Served) -> None:
    run = payment(served.wf)
    first, second = run.approval_url("approval"), run.approval_url("approval")
    assert first != second
    client = served.client()
    assert answer(client, second, False).status_code == 200
    assert run.result(10) is False
    assert "answered already" in client.get(first).text


def test_of_answers_at_the_same_time_one_counts(served: Served) -> None:
    run = payment(served.wf)
    urls = [run.approval_url("approval") for _ in range(4)]
    pages = [served.client().get(url) for url in urls]
    barrier, answers = threading.Barrier(8), []

    def send(i: int) -> None:
        client = served.client()
        barrier.wait()
        headers = {"Origin": served.url, "X-CSRF-Token": csrf_in(pages[i % 4].text)}
        answers.append(client.post(urls[i % 4], json={"value": True, "step": 1}, headers=headers))

    threads = [threading.Thread(target=send, args=[i]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(a.status_code for a in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {409, 410}  # 409: while the first was on its way to the disk
    assert "answered already" in served.client().get(urls[0]).text
    assert run.result(10) is True


def test_a_link_never_answers_the_next_question_of_the_same_name(served: Served) -> None:
    @served.wf.workflow
    async def twice(step: Any) -> list[bool]:
        return [await step.await_event(define_event("approval", bool)), await step.await_event(define_event("approval", bool))]

    run = twice.start()
    until(lambda: awaits(run, "approval"))
    url = run.approval_url("approval")
    page = served.client().get(url)
    run.send_event("approval", True)
    until(lambda: [s.step_number for s in run.status().running] == [1])
    assert "answered already" in served.client().get(url).text
    headers = {"Origin": served.url, "X-CSRF-Token": csrf_in(page.text)}
    late = served.client().post(url, json={"value": False, "step": asked_in(page.text)["step"]}, headers=headers)
    assert late.status_code == 410
    assert awaits(run, "approval")
    assert run.steps()[1].status != "success"


def test_an_answer_is_to_the_question_that_was_shown(served: Served) -> None:
    run = payment(served.wf)
    url, client = run.approval_url("approval"), served.client()
    headers = {"Origin": served.url, "X-CSRF-Token": csrf_in(client.get(url).text)}
    for shown in (0, 2, "1", None):
        refused = client.post(url, json={"value": True, "step": shown}, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (409, "Changed")
    assert awaits(run, "approval")
    assert client.post(url, json={"value": True, "step": 1}, headers=headers).status_code == 200


def test_a_used_link_does_not_come_back_when_the_run_is_restarted(served: Served) -> None:
    run = payment(served.wf)
    url = run.approval_url("approval")
    assert answer(served.client(), url, True).status_code == 200
    run.result(10)
    run.restart(from_step=1)
    until(lambda: awaits(run, "approval"))
    assert served.client().get(url).status_code == 410
    assert awaits(run, "approval")
    assert answer(served.client(), run.approval_url("approval"), False).status_code == 200
    assert run.result(10) is False


def test_a_link_made_before_the_question_answers_it_when_it_comes(served: Served) -> None:
    ready = threading.Event()

    @served.wf.workflow
    async def later(step: Any) -> bool:
        await step.run_action(ready.wait)
        return await step.await_event(define_event("approval", bool))

    run = later.start()
    url = run.approval_url("approval")
    early = served.client().get(url)
    assert early.status_code == 409
    assert "does not ask this now" in early.text
    ready.set()
    until(lambda: awaits(run, "approval"))
    assert answer(served.client(), url, True).status_code == 200
    assert run.result(10) is True
    assert "answered already" in served.client().get(url).text


def test_an_expired_link_says_so(serve: Callable[..., Served]) -> None:
    ahead = [0.0]
    served = serve(now=lambda: time.time() + ahead[0])
    run = payment(served.wf)
    url = run.approval_url("approval", expires=timedelta(minutes=5))
    page = served.client().get(url)
    assert page.status_code == 200
    ahead[0] = 301.0
    late = served.client().get(url)
    assert (late.status_code, "expired" in late.text) == (410, True)
    headers = {"Origin": served.url, "X-CSRF-Token": csrf_in(page.text)}
    sent = served.client().post(url, json={"value": True, "step": 1}, headers=headers)
    assert (sent.status_code, sent.json()["error"]["type"]) == (410, "Expired")
    assert awaits(run, "approval")


def test_a_revoked_link_says_so_also_after_a_restart(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    run = payment(served.wf)
    url, by_id, kept = (run.approval_url("approval") for _ in range(3))
    served.wf.revoke_approval(url)
    served.wf.revoke_approval(links.read(by_id.rpartition("/")[2], Vault.of(served.wf).key).id)
    assert "revoked" in served.client().get(url).text
    port = urlsplit(served.url).port
    served.close()

    again = serve(WorkflowManager(tmp_path / "journal.duckdb"), port=port)
    run = again.wf.get(run.id)

    @again.wf.workflow(name="payment")
    async def workflow(step: Any, amount: int) -> Any:
        await step.options(name="quote").run_action(lambda: None)
        return await step.await_event(define_event("approval", bool))

    until(lambda: awaits(run, "approval"))
    for gone in (url, by_id):
        assert again.client().get(gone).status_code == 410
        assert "revoked" in again.client().get(gone).text
    assert answer(again.client(), kept, True).status_code == 200
    assert run.result(10) is True


@pytest.mark.parametrize("way", ["revoked", "expired"])
def test_a_link_that_is_over_while_an_answer_is_on_its_way_does_not_count(serve: Callable[..., Served], way: str) -> None:
    ahead = [0.0]
    served = serve(now=lambda: time.time() + ahead[0])
    run = payment(served.wf)
    url = run.approval_url("approval", expires=60)
    page = served.client().get(url)
    body = b'{"value": true, "step": 1}'
    where = urlsplit(url)
    head = (
        f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nOrigin: {served.url}\r\n"
        f"X-CSRF-Token: {csrf_in(page.text)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    site = served.serving._site
    with socket.create_connection((where.hostname, where.port), timeout=10) as sock:  # type: ignore[arg-type]
        before = site.links._buckets.copy()
        sock.sendall(head.encode() + body[:3])
        until(lambda: site.links._buckets != before)
        until(lambda: not site._slots.borrowed_tokens)  # type: ignore[union-attr] - it has looked whether the link counts
        if way == "revoked":
            served.wf.revoke_approval(url)
        else:
            ahead[0] = 61.0
        sock.sendall(body[3:])
        assert sock.recv(4096).startswith(b"HTTP/1.1 410")
    assert awaits(run, "approval")


def test_a_revoked_link_does_not_come_back_when_the_clock_does(serve: Callable[..., Served]) -> None:
    ahead = [0.0]
    served = serve(now=lambda: time.time() + ahead[0])
    run, other = payment(served.wf), payment(served.wf)
    revoked = run.approval_url("approval", expires=3600)
    served.wf.revoke_approval(revoked)
    ahead[0] = 20 * 366 * 86400.0
    Vault.of(served.wf).end_link("another", "used", time.time() + ahead[0], time.time() + ahead[0] + 60)
    ahead[0] = 0.0
    assert answer(served.client(), other.approval_url("approval"), True).status_code == 200
    page = served.client().get(revoked)
    assert (page.status_code, "revoked" in page.text) == (410, True)


def test_who_answers_at_another_server_meanwhile_is_told_whether_that_counted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = payment(served.wf)
    second = served.wf.serve(port=0)
    path = urlsplit(run.approval_url("approval")).path
    works, both = OPERATIONS["send_event"], threading.Barrier(2)

    def send(asked: Any, params: Any) -> Any:
        both.wait(10)
        return works.do(asked, params)

    monkeypatch.setitem(OPERATIONS, "send_event", works._replace(do=send))
    told: dict[bool, int] = {}

    def give(base: str, value: bool) -> None:
        told[value] = answer(served.client(), base + path, value).status_code

    threads = [threading.Thread(target=give, args=given) for given in ((served.url, True), (second.url, False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    counted = run.result(10)
    assert told == {counted: 200, not counted: 410}


def test_a_link_that_is_too_long_to_be_opened_is_not_made(served: Served) -> None:
    @served.wf.workflow
    async def wordy(step: Any, name: str) -> Any:
        return await step.await_event(name)

    name = "\u627f" * 400
    run = wordy.start(name)
    until(lambda: awaits(run, name))
    assert served.client().get(run.approval_url(name)).status_code == 200
    longer = "\u627f" * 600
    before = len(served.wf.db.execute("SELECT * FROM wf.facts").fetchall())
    for long in (longer, "x" * 4000):
        with pytest.raises(InvalidArguments, match="too long"):
            run.approval_url(long)
    assert len(served.wf.db.execute("SELECT * FROM wf.facts").fetchall()) == before
    other = wordy.start(longer)
    until(lambda: awaits(other, longer))
    with pytest.raises(InvalidArguments, match="too long"):
        other.approval_url(longer)


def test_a_link_that_was_changed_or_made_elsewhere_is_none(served: Served) -> None:
    url = payment(served.wf).approval_url("approval")
    for broken in (url[:-1], url + "x", url.replace("/approve/", "/approve/x"), f"{served.url}/approve/x"):
        page = served.client().get(broken)
        assert page.status_code == 404
        assert "no approval link" in page.text


def test_an_answer_needs_the_page_it_was_shown_on(served: Served) -> None:
    run = payment(served.wf)
    url, client = run.approval_url("approval"), served.client()
    token = csrf_in(client.get(url).text)
    body = {"value": True, "step": 1}
    refused = [
        client.post(url, json=body),
        client.post(url, json=body, headers={"X-CSRF-Token": token}),
        client.post(url, json=body, headers={"Origin": served.url}),
        client.post(url, json=body, headers={"Origin": served.url, "X-CSRF-Token": token[:-1]}),
        client.post(url, json=body, headers={"Origin": "https://evil.example", "X-CSRF-Token": token}),
        client.post(url, json=body, headers={"Origin": "null", "X-CSRF-Token": token}),
        client.post(url, json=body, headers={"Origin": served.url, "Sec-Fetch-Site": "cross-site", "X-CSRF-Token": token}),
        client.post(url, data={"value": "true"}, headers={"Origin": served.url}),
    ]
    assert [r.status_code for r in refused] == [403] * 8
    assert awaits(run, "approval")


def test_an_answer_of_the_wrong_type_is_refused_field_by_field_and_may_be_mended(served: Served) -> None:
    run = payment(served.wf, kind=Decision)
    url, client = run.approval_url("approval"), served.client()
    assert asked_in(client.get(url).text)["type"] == "Decision"
    wrong = answer(client, url, {"ok": True, "limit": -1})
    assert wrong.status_code == 422
    assert [f["loc"] for f in wrong.json()["error"]["facts"]["fields"]] == [["limit"]]
    assert awaits(run, "approval")
    assert answer(client, url, {"ok": True, "limit": 3}).status_code == 200
    assert run.result(10) == Decision(ok=True, limit=3)


def test_what_is_shown_is_text_and_never_markup(served: Served) -> None:
    @served.wf.workflow
    async def loud(step: Any, note: str) -> bool:
        return await step.await_event(define_event("<b>sure</b>", bool))

    run = loud.start("<script>alert(1)</script>\"'&")
    until(lambda: awaits(run, "<b>sure</b>"))
    text = served.client().get(run.approval_url("<b>sure</b>")).text
    assert "<b>" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert re.findall(r"<script[^>]*>", text) == ['<script type="module" src="/static/web.js">']


def test_a_run_that_was_canceled_asks_no_more(served: Served) -> None:
    run = payment(served.wf)
    url = run.approval_url("approval")
    run.cancel()
    page = served.client().get(url)
    assert page.status_code == 410
    assert "not asked any more" in page.text


def test_a_link_needs_a_server_or_an_address(tmp_path: Path) -> None:
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        run = payment(wf)
        with pytest.raises(ControlError, match=r"wf\.serve\(\)"):
            run.approval_url("approval")
        assert run.approval_url("approval", base="https://approve.example.org/").startswith(
            "https://approve.example.org/approve/"
        )
        for wrong in ("approve.example.org", "ftp://approve.example.org", "", "https://["):
            with pytest.raises(OptionError, match="base"):
                run.approval_url("approval", base=wrong)


def test_bad_requests_for_a_link_say_what_to_do(served: Served) -> None:
    run = payment(served.wf)
    for wrong in (0, -1, 400 * 86400, float("nan"), "soon", timedelta(days=-1)):
        with pytest.raises(OptionError, match="expires"):
            run.approval_url("approval", expires=wrong)
    for event in ("", 7, None):
        with pytest.raises(InvalidArguments, match="event"):
            run.approval_url(event)  # type: ignore[arg-type]
    with pytest.raises(InvalidArguments, match="no approval link"):
        served.wf.revoke_approval(f"{served.url}/approve/a.b")
    for unknown in ("zzz", "x" * 17, f"{served.url}/approve/zzz"):
        with pytest.raises(InvalidArguments, match="give the link's whole URL"):
            served.wf.revoke_approval(unknown)
    gone = payment(served.wf)
    gone.cancel()
    served.wf.cleanup(gone)
    with pytest.raises(RunNotFound):
        gone.approval_url("approval")
