"""The JSON API: one table of operations, plain JSON in, errors that say what to do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from web_kit import Served, awaits, payment, until

from wfkernel import define_event
from wfkernel.control.operations import OPERATIONS
from wfkernel.web.api import EXPOSED, LEFT_OUT

if TYPE_CHECKING:
    import httpx


def test_every_operation_is_offered_or_left_out_for_a_reason() -> None:
    # Those of the same table that other modules add are what the cards of a notebook say to each other.
    known = {name for name, found in OPERATIONS.items() if found.do.__module__.startswith("wfkernel.control.operations.")}
    assert EXPOSED.keys() | LEFT_OUT.keys() == known
    assert not EXPOSED.keys() & LEFT_OUT.keys()


def test_what_changes_anything_is_asked_for_by_post_and_needs_a_scope_for_it() -> None:
    reads = {name for name, e in EXPOSED.items() if e.scope == "read"}
    assert not {name for name in reads if OPERATIONS[name].changes}
    assert {name for name, e in EXPOSED.items() if "GET" in e.methods} <= reads
    assert {"cancel", "cleanup", "resume", "pool", "restart", "fork", "start"} <= EXPOSED.keys() - reads


def test_a_run_is_started_watched_and_answered(served: Served, client: httpx.Client) -> None:
    @served.wf.workflow
    async def greet(step: Any, name: str, times: int = 1) -> str:
        word = await step.await_event(define_event("word", str))
        return " ".join([f"{word} {name}"] * times)

    started = client.post("/api/start", json={"workflow": "greet", "args": {"name": "Ada", "times": 2}}).json()["result"]
    run = served.wf.get(started["run_id"])
    until(lambda: awaits(run, "word"))
    assert client.get("/api/status", params={"run": run.id}).json()["result"]["type"] == "in_progress"
    waited = client.get("/api/awaited", params={"run": run.id}).json()["result"]
    assert [(w["event"], w["type"], w["form"]) for w in waited] == [("word", "str", {"kind": "text"})]
    sent = client.post("/api/send_event", json={"event": waited[0]["event_id"], "value": "Hello"})
    assert sent.json() == {"result": None}
    assert run.result(10) == "Hello Ada Hello Ada"
    listed = client.get("/api/list", params={"status": "completed", "name": "greet", "limit": 1}).json()["result"]
    assert [(r["run_id"], r["result"]) for r in listed["items"]] == [(run.id, "Hello Ada Hello Ada")]


def test_lists_come_in_pages(served: Served, client: httpx.Client) -> None:
    runs = [payment(served.wf).id for _ in range(3)]
    first = client.get("/api/list?limit=2&order=asc").json()["result"]
    rest = client.post("/api/list", json={"limit": 2, "order": "asc", "cursor": first["cursor"]}).json()["result"]
    assert [r["run_id"] for r in first["items"] + rest["items"]] == runs
    assert (first["is_done"], rest["is_done"]) == (False, True)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/api/status?run=none", 404, "RunNotFound"),
        ("/api/status", 422, "InvalidArguments"),
        ("/api/status?run=a&run=b", 422, "InvalidArguments"),
        ("/api/status?run=a&more=b", 422, "InvalidArguments"),
        ("/api/list?limit=0", 422, "InvalidArguments"),
        ("/api/list?limit=1001", 422, "InvalidArguments"),
        ("/api/list_steps?run=a&limit=1001", 422, "InvalidArguments"),
        ("/api/list?limit=ten", 422, "InvalidArguments"),
        ("/api/list?order=up", 422, "InvalidArguments"),
        ("/api/list?cursor=x", 422, "OptionError"),
        ("/api/plan?run=x", 405, "HTTPError"),
    ],
    ids=str,
)
def test_a_wrong_question_is_answered_with_what_is_wrong(client: httpx.Client, path: str, status: int, kind: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


def test_an_ended_run_takes_no_more(served: Served, client: httpx.Client) -> None:
    run = payment(served.wf)
    assert client.post("/api/cancel", json={"run": run.id}).status_code == 200
    for path, body in (("cancel", {"run": run.id}), ("send_event", {"run": run.id, "event": "approval", "value": True})):
        answer = client.post(f"/api/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "RunNotActive")
    assert client.post("/api/cleanup", json={"run": run.id}).json() == {"result": True}


def test_a_value_of_the_wrong_type_is_refused_and_nothing_is_stored(served: Served, client: httpx.Client) -> None:
    run = payment(served.wf)
    answer = client.post("/api/send_event", json={"run": run.id, "event": "approval", "value": "perhaps"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidEvent")
    assert awaits(run, "approval")


@pytest.mark.parametrize("value", [{"$": "pickle", "v": "gASVAAAA"}, {"$": "bytes", "v": "aGVsbG8="}, [{"$": 1}]], ids=str)
def test_what_is_sent_is_never_read_as_a_stored_value(served: Served, client: httpx.Client, value: Any) -> None:
    @served.wf.workflow
    async def echo(step: Any, given: Any) -> Any:
        return [given, await step.await_event("anything")]

    run_id = client.post("/api/start", json={"workflow": "echo", "args": {"given": value}}).json()["result"]["run_id"]
    client.post("/api/send_event", json={"run": run_id, "event": "anything", "value": value})
    assert served.wf.get(run_id).result(10) == [value, value]


def test_nobody_names_code_over_the_web(served: Served, client: httpx.Client) -> None:
    payment(served.wf)
    for more in ({"on_complete": {"module": "os", "qualname": "system"}}, {"is_defined": True}, {"has_context": True}):
        answer = client.post("/api/start", json={"workflow": "payment", "args": {"amount": 1}, **more})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidArguments")


def test_a_change_with_a_key_is_done_once_for_each_sender(served: Served, client: httpx.Client) -> None:
    payment(served.wf)
    body = {"workflow": "payment", "args": {"amount": 1}}
    first, again = (client.post("/api/start", json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2))
    assert first == again
    other = served.with_scopes("control").post("/api/start", json=body, headers={"Idempotency-Key": "k"}).json()
    assert other["result"]["run_id"] != first["result"]["run_id"]
    assert client.post("/api/start", json=body, headers={"Idempotency-Key": ""}).status_code == 400
    assert client.post("/api/start", json=body, headers={"Idempotency-Key": "k" * 201}).status_code == 400


def test_of_the_same_request_at_the_same_time_one_is_done(served: Served) -> None:
    payment(served.wf)
    barrier, answers = threading.Barrier(6), []

    def start() -> None:
        one = served.client(served.serving.token)
        barrier.wait()
        body = {"workflow": "payment", "args": {"amount": 9}}
        answers.append(one.post("/api/start", json=body, headers={"Idempotency-Key": "same"}).json()["result"]["run_id"])

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1


def test_a_page_that_looks_again_is_told_only_what_is_new(served: Served, client: httpx.Client) -> None:
    run = payment(served.wf)
    first = client.get(f"/now/{run.id}")
    known = {"If-None-Match": first.headers["etag"]}
    again = client.get(f"/now/{run.id}", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    run.send_event("approval", True)
    run.result(10)
    later = client.get(f"/now/{run.id}", headers=known)
    assert (later.status_code, later.json()["run"]["status"]) == (200, "completed")


def test_a_page_shows_little_of_a_large_value(served: Served, client: httpx.Client) -> None:
    @served.wf.workflow
    async def large(step: Any, text: str) -> str:
        return await step.run_action(lambda: text * 2)

    run = large.start("x" * 200_000)
    run.result(10)
    said = client.get(f"/now/{run.id}")
    assert len(said.content) < 5000
    assert said.json()["steps"][0]["result"].endswith("x …")


def test_an_on_complete_that_fails_again_is_told_as_it_failed(served: Served, client: httpx.Client) -> None:
    def note(db: Any, completion: Any) -> None:
        raise ZeroDivisionError("no notes today")

    @served.wf.workflow
    async def short(step: Any) -> int:
        return 1

    run = short.options(on_complete=note).start()
    run.result(10)
    until(lambda: client.get("/api/list_failures").json()["result"], "the failure")
    again = client.post("/api/retry_on_complete", json={"run": run.id})
    assert (again.status_code, again.json()["error"]) == (409, {"type": "ZeroDivisionError", "message": "no notes today"})
