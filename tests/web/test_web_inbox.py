"""Webhooks: events from outside, by name or by id, signed where the token says so, once where a key says so."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest
from web_kit import Served, awaits, payment

from wfkernel.web import create_token

if TYPE_CHECKING:
    import httpx


@pytest.fixture
def sender(served: Served) -> httpx.Client:
    return served.with_scopes("events")


def test_an_event_is_sent_by_name(served: Served, sender: httpx.Client) -> None:
    run = payment(served.wf)
    assert sender.post(f"/events/{run.id}/approval", json=True).json() == {"result": None}
    assert run.result(10) is True


def test_an_event_is_sent_by_its_id_and_once(served: Served, sender: httpx.Client) -> None:
    run = payment(served.wf)
    event_id = served.wf.create_event("approval", run=run)
    assert sender.post(f"/events/{event_id}", content=b"false").status_code == 200
    again = sender.post(f"/events/{event_id}", content=b"true")
    assert (again.status_code, again.json()["error"]["type"]) in ((409, "EventAlreadyConsumed"), (409, "RunNotActive"))
    assert run.result(10) is False


@pytest.mark.parametrize(("target", "status"), [("none/approval", 404), ("e1-1.0", 404), ("none", 404), ("a/b/c", 404)], ids=str)
def test_an_event_for_nobody_is_refused(sender: httpx.Client, target: str, status: int) -> None:
    assert sender.post(f"/events/{target}", json=True).status_code == status


def test_a_value_is_read_by_the_type_of_the_event(served: Served, sender: httpx.Client) -> None:
    run = payment(served.wf, kind=int)
    refused = sender.post(f"/events/{run.id}/approval", json="many")
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "InvalidEvent")
    assert awaits(run, "approval")
    assert sender.post(f"/events/{run.id}/approval", json=3).status_code == 200
    assert run.result(10) == 3


def test_an_event_with_a_key_is_sent_once(served: Served, sender: httpx.Client) -> None:
    @served.wf.workflow
    async def collect(step) -> list[int]:
        return [await step.await_event("item") for _ in range(3)]

    run = collect.start()
    for value, key in ((1, "a"), (1, "a"), (2, "b"), (1, "a"), (2, "b"), (3, "c")):
        sent = sender.post(f"/events/{run.id}/item", json=value, headers={"Idempotency-Key": key})
        assert sent.status_code == 200
    assert run.result(10) == [1, 2, 3]


def test_a_repeat_is_recognised_after_the_run_has_ended(served: Served, sender: httpx.Client) -> None:
    run = payment(served.wf)
    sent = [sender.post(f"/events/{run.id}/approval", json=True, headers={"Idempotency-Key": "x"}) for _ in range(1)]
    run.result(10)
    sent.append(sender.post(f"/events/{run.id}/approval", json=True, headers={"Idempotency-Key": "x"}))
    assert [s.status_code for s in sent] == [200, 200]
    assert sender.post(f"/events/{run.id}/approval", json=True, headers={"Idempotency-Key": "y"}).status_code == 409


def test_a_token_that_signs_must_sign(served: Served) -> None:
    run = payment(served.wf)
    made = create_token(served.wf, scopes=["events"], signed=True)
    assert made.secret is not None
    sender, body = served.client(made.token), b'{"anything": [1, 2]}'

    def signature(secret: str, text: bytes) -> dict[str, str]:
        return {"X-Signature-256": "sha256=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}

    for headers in ({}, {"X-Signature-256": "sha256="}, signature("other", body), signature(made.secret, body + b" ")):
        refused = sender.post(f"/events/{run.id}/note", content=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "BadSignature")
    assert sender.post(f"/events/{run.id}/note", content=body, headers=signature(made.secret, body)).status_code == 200
    events = served.wf.db.sql("SELECT name FROM wf.events WHERE sent_at IS NOT NULL").fetchall()
    assert events == [("note",)]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b"[Infinity]", b"1e999", b'"\\ud800"', b"\xff", b"9" * 5000, b"[" * 5000, b"{} {}"],
    ids=lambda b: repr(b[:12]),
)
def test_what_is_no_json_is_refused(served: Served, sender: httpx.Client, body: bytes) -> None:
    run = payment(served.wf)
    refused = sender.post(f"/events/{run.id}/note", content=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] in ("InvalidJSON", "TooDeep")
