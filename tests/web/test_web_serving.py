"""Listening: only when asked, only where asked, and not any more after the end."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from web_kit import Served, answer, payment, until

from wfkernel import WorkflowManager, define_event
from wfkernel.control import server as control
from wfkernel.control.address import directory_of
from wfkernel.control.mux import Mux
from wfkernel.errors import ControlError, EngineStopped, OptionError
from wfkernel.web import create_token, remote
from wfkernel.web import serve as serve_web
from wfkernel.web.asking import asking, local
from wfkernel.web.running import _hosts
from wfkernel.web.vault import Vault


def is_listening(url: str) -> bool:
    where = urlsplit(url)
    with socket.socket() as sock:
        return sock.connect_ex((where.hostname, where.port)) == 0


def test_nothing_listens_and_nothing_is_loaded_unless_asked() -> None:
    program = """
import sys, wfkernel
import wfkernel.web
wf = wfkernel.WorkflowManager(":memory:")
wf.close()
print(*sorted({"starlette", "uvicorn", "h11", "sqlite3"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"sqlite3"}


def test_it_listens_on_the_loopback_only(served: Served) -> None:
    assert urlsplit(served.url).hostname == "127.0.0.1"
    port = urlsplit(served.url).port
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", port))  # type: ignore[arg-type] - free, as it would not be had we taken all addresses


def test_another_host_is_warned_about(serve: Callable[..., Served]) -> None:
    with pytest.warns(UserWarning, match="other machines can reach"):
        served = serve(host="0.0.0.0")
    port = urlsplit(served.url).port
    client = served.client(served.serving.token)
    for host, status in (
        (f"127.0.0.1:{port}", 200),
        (f"192.0.2.7:{port}", 200),
        (f"evil.example:{port}", 421),
        (f"localhost:{port}", 200),
    ):
        said = client.get(f"http://127.0.0.1:{port}/api/list", headers={"Host": host})
        assert said.status_code == status


def test_a_public_address_is_a_name_of_ours_and_what_links_begin_with(serve: Callable[..., Served]) -> None:
    served = serve(public_url="https://approve.example.org/")
    run = payment(served.wf)
    url = run.approval_url("approval")
    assert url.startswith("https://approve.example.org/approve/")
    where = served.serving._socket.getsockname()
    inside = f"http://127.0.0.1:{where[1]}{urlsplit(url).path}"
    with httpx.Client(trust_env=False) as client:
        assert client.get(inside, headers={"Host": "approve.example.org"}).status_code == 200
        assert client.get(inside, headers={"Host": "approve.example.com"}).status_code == 421


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://a.example:443", {"a.example": 200, "a.example:443": 200, "a.example:80": 421}),
        ("http://a.example:80", {"a.example": 200, "a.example:80": 200, "a.example:443": 421}),
        ("HTTPS://A.example:443", {"a.example": 200}),
        ("https://a.example:8443", {"a.example": 421, "a.example:8443": 200}),
        ("https://[2001:db8::1]:443", {"[2001:db8::1]": 200}),
    ],
    ids=str,
)
def test_a_public_address_counts_with_its_scheme_s_own_port_and_without(
    serve: Callable[..., Served], url: str, hosts: dict[str, int]
) -> None:
    served = serve(public_url=url)
    inside = f"http://127.0.0.1:{served.serving._socket.getsockname()[1]}/login"
    assert {host: served.client().get(inside, headers={"Host": host}).status_code for host in hosts} == hosts


@pytest.mark.parametrize(
    "url",
    [
        "https://[",
        "https://a.example:x",
        "https://a.example:99999",
        "approve.example.org",
        "https://a.example/path",
        "ftp://a.example",
        "https://u@a.example",
        "",
    ],
)
def test_a_public_address_that_is_none_is_refused(served: Served, url: str) -> None:
    with pytest.raises(OptionError, match="public_url"):
        served.wf.serve(port=0, public_url=url)


def test_a_short_token_is_refused(served: Served) -> None:
    with pytest.raises(OptionError, match="16 characters"):
        served.wf.serve(port=0, token="secret")


def test_a_port_that_is_taken_says_so(served: Served) -> None:
    with pytest.raises(ControlError, match="port=0 takes any"):
        served.wf.serve(port=urlsplit(served.url).port)
    with pytest.raises(ControlError, match="cannot listen"):
        served.wf.serve(port=70_000)


def test_the_names_of_an_address() -> None:
    assert set(_hosts("127.0.0.1", 80, "http")) >= {"127.0.0.1", "localhost:80", "localhost"}
    assert "localhost" not in _hosts("127.0.0.1", 8000, "http")
    assert _hosts("192.0.2.7", 8000, "http") == ["192.0.2.7:8000"]
    assert "*" in _hosts("::", 8000, "http")


def test_it_ends_when_told_and_with_its_manager(tmp_path: Path) -> None:
    wf = WorkflowManager(tmp_path / "j.duckdb")
    first, second = wf.serve(port=0), wf.serve(port=0)
    assert is_listening(first.url)
    first.close()
    first.close()
    assert not is_listening(first.url)
    assert is_listening(second.url)
    assert "closed" in repr(first)
    wf.close()
    assert not is_listening(second.url)
    assert second.wait(10)
    assert Vault(str(tmp_path / "j.duckdb.control")).server() is None
    assert not [t.name for t in threading.enumerate() if t.name == "wfkernel-web"]


def test_a_page_that_is_closed_lets_nobody_in(tmp_path: Path) -> None:
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        serving = wf.serve(port=0)
        serving.close()
        with pytest.raises(ControlError, match="the page is closed"):
            _ = serving.login_url


@pytest.mark.parametrize("connect", ["never", "auto"])
def test_a_manager_that_is_closed_serves_nothing(tmp_path: Path, connect: str) -> None:
    wf = WorkflowManager(tmp_path / "j.duckdb", connect=connect)
    wf.close()
    with pytest.raises(EngineStopped, match="nothing to serve"):
        wf.serve(port=0)
    assert not [t.name for t in threading.enumerate() if t.name == "wfkernel-web"]


@pytest.mark.parametrize(
    "wrong",
    [{"port": "a"}, {"port": 8000.0}, {"port": True}, {"host": 3}, {"token": 3}, {"tls": 3}, {"public_url": 3}],
    ids=str,
)
def test_an_option_of_the_wrong_kind_is_refused_by_its_name(served: Served, wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        served.wf.serve(**{"port": 0, **wrong})


def test_a_certificate_that_is_none_is_refused_at_once(served: Served, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    for tls in ((str(tmp_path / "none.pem"),) * 2, (str(tmp_path / "x.pem"),) * 2):
        with pytest.raises(OptionError, match="PEM"):
            served.wf.serve(port=0, tls=tls)
    assert [t.name for t in threading.enumerate()].count("wfkernel-web") == 1


def test_a_second_process_serves_as_well_as_the_holder(tmp_path: Path) -> None:
    """Over the socket, as ``wfkernel serve`` does beside a notebook; here in one process, with all that lies between."""
    with WorkflowManager(tmp_path / "j.duckdb") as wf:
        holder = wf._engine.control or control.serve(wf._engine)
        assert holder is not None
        mux = Mux(tmp_path / "j.duckdb", lambda: None)
        with (
            serve_web(remote(mux), Vault.of(wf), port=0) as serving,
            httpx.Client(base_url=serving.url, trust_env=False) as client,
        ):
            run = payment(wf)
            assert run.approval_url("approval").startswith(serving.url)
            read = {"Authorization": f"Bearer {create_token(wf, scopes=['read']).token}"}
            assert [r["run_id"] for r in client.get("/api/list", headers=read).json()["result"]["items"]] == [run.id]
            assert client.get("/api/status?run=none", headers=read).status_code == 404
            wrong = answer(client, run.approval_url("approval"), "perhaps")
            assert (wrong.status_code, wrong.json()["error"]["facts"]["fields"][0]["loc"]) == (422, [])
            assert answer(client, run.approval_url("approval"), True).status_code == 200
            assert run.result(10) is True
        mux.close()


def test_a_server_beside_a_notebook_goes_on_when_the_notebook_ends(tmp_path: Path) -> None:
    path = tmp_path / "j.duckdb"
    program = f"""
import sys
from wfkernel import WorkflowManager, define_event
wf = WorkflowManager({str(path)!r})
@wf.workflow
async def payment(step, amount: int):
    return await step.await_event(define_event("approval", bool))
print(payment.start(5).id, flush=True)
sys.stdin.readline()
wf.close()
"""
    notebook = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert notebook.stdout is not None
    run_id = notebook.stdout.readline().strip()
    with WorkflowManager(path, connect="auto") as beside:
        serving = beside.serve(port=0)
        run = beside.get(run_id)
        with httpx.Client(base_url=serving.url, trust_env=False, headers={"Authorization": f"Bearer {serving.token}"}) as client:
            until(lambda: client.get("/api/awaited", params={"run": run_id}).json()["result"])
            url = run.approval_url("approval")
            assert client.get(url).status_code == 200
            notebook.communicate("end\n")
            assert client.get("/api/status", params={"run": run_id}).json()["result"]["type"] == "in_progress"
            assert "no process has the workflow now" in client.get(url).text

            @beside.workflow
            async def payment(step, amount: int) -> bool:
                return await step.await_event(define_event("approval", bool))

            until(lambda: client.get(url).status_code == 200)
            assert answer(client, url, True).status_code == 200
            assert run.result(10) is True
        assert is_listening(serving.url)
    assert not is_listening(serving.url)


def test_a_link_takes_the_answer_also_while_nobody_holds_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "j.duckdb"
    with WorkflowManager(path) as wf:
        run = payment(wf)
        url, other = (run.approval_url("approval", base="http://here") for _ in range(2))
    with serve_web(_whoever_holds(path), Vault(directory_of(path)), port=0) as serving:
        link, other = (text.replace("http://here", serving.url) for text in (url, other))
        with httpx.Client(base_url=serving.url, trust_env=False) as client:
            assert answer(client, link, True).status_code == 200
            assert client.get(link).status_code == 410
            assert client.get(other).status_code == 410
    with WorkflowManager(path) as wf:
        assert _payment_again(wf, run.id).result(10) is True


def test_while_nobody_holds_the_journal_questions_of_one_name_are_answered_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "j.duckdb"
    with WorkflowManager(path) as wf:
        run = _both(wf).options(id="both").start()
        waits = until(lambda: [w for w in [asking(wf)("awaited", {"run": "both"})] if len(w) == 2])[0]
        links = [run.approval_url(w["event_id"], base="http://here") for w in waits]
    with (
        serve_web(_whoever_holds(path), Vault(directory_of(path)), port=0) as serving,
        httpx.Client(base_url=serving.url, trust_env=False) as client,
    ):
        first, second = (link.replace("http://here", serving.url) for link in links)
        early = answer(client, second, "second")
        assert (early.status_code, "answer the earlier one first" in early.text) == (404, True)
        assert answer(client, first, "first").status_code == 200
        assert answer(client, second, "second").status_code == 200
    with WorkflowManager(path) as wf:
        _both(wf)
        assert wf.get("both").result(10) == ["first", "second"]


def _both(wf: WorkflowManager) -> Any:
    @wf.workflow
    async def both(step: Any) -> list[str]:
        return list(await asyncio.gather(step.await_event("approval"), step.await_event("approval")))

    return both


def _payment_again(wf: WorkflowManager, run_id: str) -> Any:
    @wf.workflow
    async def payment(step: Any, amount: int) -> Any:
        await step.options(name="quote").run_action(lambda: {"total": amount, "currency": "EUR"})
        return await step.await_event(define_event("approval", bool))

    return wf.get(run_id)


def _whoever_holds(path: Path) -> Any:
    """As ``wfkernel serve`` asks: the file is open as long as one request takes."""

    def ask(op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any:
        with WorkflowManager(path) as wf:
            return local(wf)(op, params, token=token, again=again)

    return ask
