"""The JSON API: one table of operations, plain JSON in, errors that say what to do."""

from __future__ import annotations

import base64
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from web_kit import Served, awaits, payment, until

from wfkernel import WorkflowManager, define_event
from wfkernel.control import server as control
from wfkernel.control.mux import Mux
from wfkernel.control.operations import OPERATIONS
from wfkernel.web import create_token, remote
from wfkernel.web import serve as serve_web
from wfkernel.web.api import EXPOSED, LEFT_OUT
from wfkernel.web.limits import Limits
from wfkernel.web.vault import Vault


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


@pytest.mark.parametrize("is_allowed", [True, False])
def test_no_pickle_comes_in_over_the_web_even_where_they_are_allowed(
    serve: Callable[..., Served], tmp_path: Path, is_allowed: bool
) -> None:
    served = serve(WorkflowManager(tmp_path / "j.duckdb", allow_pickle=is_allowed))
    client = served.client(served.serving.token)

    @served.wf.workflow
    async def echo(step: Any, given: Any = None) -> Any:
        return given

    run = echo.start(1)
    run.result(10)
    made = tmp_path / "made by the pickle"
    pickled = {"$": "pickle", "v": base64.b64encode(pickle.dumps(_Makes(str(made)))).decode()}
    tagged = [pickled, {"$": "bytes", "v": "aGk="}, {"$": "dict", "v": [["given", pickled]]}, {"given": 1, "$": "pickle"}]
    for args in tagged:
        for path, body in (("start", {"workflow": "echo"}), ("fork", {"run": run.id})):
            answer = client.post(f"/api/{path}", json={**body, "args": args})
            assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidArguments"), args
    for args, context in (({"given": pickled}, None), ({"given": [pickled]}, pickled)):
        body = {"workflow": "echo", "args": args, "context": context}
        started = client.post("/api/start", json=body).json()["result"]["run_id"]
        assert served.wf.get(started).result(10) == args["given"]
    assert not made.exists()


class _Makes:
    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


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


@pytest.fixture
def slow_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Starts wait for this, as for a slow disk."""
    may_go_on, works = threading.Event(), OPERATIONS["start"]

    def start(asked: Any, params: Any) -> Any:
        assert may_go_on.wait(20)
        return works.do(asked, params)

    monkeypatch.setitem(OPERATIONS, "start", works._replace(do=start))
    yield may_go_on
    may_go_on.set()


def test_a_change_that_took_too_long_is_not_done_twice_when_it_is_sent_again(
    serve: Callable[..., Served], slow_start: threading.Event
) -> None:
    served = serve(limits=Limits(request_s=0.2))
    payment_of(served)
    client, body, key = (
        served.client(served.serving.token),
        {"workflow": "payment", "args": {"amount": 1}},
        {"Idempotency-Key": "k"},
    )
    assert [client.post("/api/start", json=body, headers=key).status_code for _ in range(3)] == [503] * 3
    slow_start.set()
    done = until(lambda: (found := client.post("/api/start", json=body, headers=key)).status_code == 200 and found)
    assert [r.run_id for r in served.wf.list().items] == [done.json()["result"]["run_id"]]


def test_a_change_that_is_sent_to_two_servers_with_one_key_is_done_once(served: Served, slow_start: threading.Event) -> None:
    payment_of(served)
    token = create_token(served.wf, scopes=["control"]).token
    holder = served.wf._engine.control or control.serve(served.wf._engine)
    assert holder is not None
    mux = Mux(served.wf.path, lambda: None)
    answers: list[Any] = []

    def start(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=20, headers={"Authorization": f"Bearer {token}"}) as one:
            body = {"workflow": "payment", "args": {"amount": 1}}
            answers.append(one.post("/api/start", json=body, headers={"Idempotency-Key": "k"}).json()["result"]["run_id"])

    with serve_web(remote(mux), Vault.of(served.wf), port=0) as second:
        threads = [threading.Thread(target=start, args=[url]) for url in (served.url, second.url)]
        for thread in threads:
            thread.start()
        until(lambda: any(peer._requests for peer in holder._peers), "the request at the second server")
        until(lambda: served.serving._site._slots, "the request at the first")
        slow_start.set()
        for thread in threads:
            thread.join(20)
    mux.close()
    assert answers == [served.wf.list().items[0].run_id] * 2
    assert len(served.wf.list().items) == 1


def payment_of(served: Served) -> None:
    @served.wf.workflow(name="payment")
    async def payment(step: Any, amount: int) -> Any:
        return await step.await_event("approval")


def test_a_key_says_nothing_of_a_first_time_that_never_was(served: Served, client: httpx.Client) -> None:
    for again in range(2):
        said = client.post("/api/cleanup", json={"run": "none"}, headers={"Idempotency-Key": "a"})
        assert said.json() == {"result": False}, again
    run = payment(served.wf)
    run.cancel()
    for again in range(2):
        said = client.post("/api/cleanup", json={"run": run.id}, headers={"Idempotency-Key": "b"})
        assert said.json() == {"result": True}, again
    ended = payment(served.wf)
    ended.cancel()
    for path in ("resume", "retry_on_complete"):
        said = client.post(f"/api/{path}", json={"run": ended.id}, headers={"Idempotency-Key": path})
        assert said.status_code in (409, 422), said.text


def test_a_page_of_runs_with_large_values_is_cut_short_and_goes_on_at_its_cursor(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(answer_bytes=400_000))
    client = served.client(served.serving.token)

    @served.wf.workflow
    async def large(step: Any, text: str) -> int:
        await step.run_action(lambda: text)
        return 1

    runs = [large.start("x" * 1000) for _ in range(250)]
    found: list[str] = []
    pages, cursor = 0, None
    while pages == 0 or cursor is not None:
        answer = client.post("/api/list", json={"limit": 1000, "order": "asc", "cursor": cursor})
        assert len(answer.content) < 400_000
        page = answer.json()["result"]
        found += [r["run_id"] for r in page["items"]]
        pages, cursor = pages + 1, page["cursor"]
        assert page["is_done"] == (cursor is None)
    assert found == [r.id for r in runs]
    assert 1 < pages < 5
    assert len(client.get("/api/list?limit=7").json()["result"]["items"]) == 7
    assert len(client.get("/api/list?limit=130").json()["result"]["items"]) in (100, 130)


def test_an_answer_that_would_be_too_large_is_refused_and_says_how_to_ask_for_less(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(answer_bytes=20_000))
    client = served.client(served.serving.token)

    @served.wf.workflow
    async def large(step: Any) -> None:
        for _ in range(20):
            await step.run_action(lambda: "x" * 2000)

    run = large.start()
    run.result(10)
    refused = client.get("/api/steps", params={"run": run.id})
    assert (refused.status_code, refused.json()["error"]["type"]) == (413, "TooLarge")
    assert "list_steps" in refused.json()["error"]["message"]
    assert client.get("/api/list_steps", params={"run": run.id, "limit": 5}).status_code == 200


@pytest.mark.parametrize("when", [{"run_after": 1e308}, {"run_after": 3.2e9}, {"run_at": 10**30}, {"run_at": -(10**30)}], ids=str)
def test_a_start_that_no_calendar_has_is_refused(served: Served, client: httpx.Client, when: dict[str, Any]) -> None:
    payment_of(served)
    answer = client.post("/api/start", json={"workflow": "payment", "args": {"amount": 1}, **when})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidArguments")
    assert served.wf.list().items == []


@pytest.mark.parametrize("when", [{"run_after": 3.1e9}, {"run_at": 253402300799999999}, {"run_at": -62135596800000000}], ids=str)
def test_a_start_at_the_ends_of_the_calendar_can_be_looked_at(served: Served, client: httpx.Client, when: dict[str, Any]) -> None:
    payment_of(served)
    answer = client.post("/api/start", json={"workflow": "payment", "args": {"amount": 1}, **when})
    run_id = answer.json()["result"]["run_id"]
    assert client.get("/api/status", params={"run": run_id}).status_code == 200
    assert client.get(f"/now/{run_id}").status_code == 200


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
