"""What the tests of the web share."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from wfkernel import WorkflowManager, define_event
from wfkernel.run import Run
from wfkernel.web import create_token
from wfkernel.web.running import Serving

PATIENCE_S = 10.0


def until(is_so: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait for a condition; what it gives."""
    end = time.monotonic() + PATIENCE_S
    while not (found := is_so()):
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.005)
    return found


@dataclass
class Served:
    """A manager that is served, and the clients that talk to it."""

    wf: WorkflowManager
    serving: Serving
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.serving.url

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        made = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=PATIENCE_S, **options)
        self.clients.append(made)
        return made

    def with_scopes(self, *scopes: str) -> httpx.Client:
        return self.client(create_token(self.wf, scopes=scopes).token)

    def browser(self) -> tuple[httpx.Client, str]:
        """A client that logged in as the page does, and its CSRF token."""
        made = self.client()
        code = self.serving.login_url.partition("#")[2]
        assert made.post("/login", json={"code": code}, headers={"Origin": self.url}).status_code == 200
        return made, csrf_in(made.get("/").text)

    def close(self) -> None:
        for made in self.clients:
            made.close()
        self.serving.close()
        self.wf.close()


def csrf_in(page: str) -> str:
    found = re.search(r'data-csrf="([^"]+)"', page)
    assert found, page
    return html.unescape(found[1])


def asked_in(page: str) -> dict[str, Any]:
    found = re.search(r'data-asked="([^"]+)"', page)
    assert found, page
    return json.loads(html.unescape(found[1]))


def payment(wf: WorkflowManager, amount: int = 5, kind: Any = bool, name: str = "approval") -> Run:
    """A run that waits for an event of this type."""
    event = define_event(name, kind)

    @wf.workflow(name="payment")
    async def payment(step: Any, amount: int) -> Any:
        await step.options(name="quote").run_action(lambda: {"total": amount, "currency": "EUR"})
        return await step.await_event(event)

    run = payment.start(amount)
    until(lambda: awaits(run, name), f"the await of {name}")
    return run


def awaits(run: Run, name: str) -> bool:
    return any(s.kind == "event" and s.name == name for s in run.status().running)


def answer(client: httpx.Client, url: str, value: Any, **headers: str) -> httpx.Response:
    """What the page behind an approval link does: look, then send."""
    page = client.get(url)
    assert page.status_code == 200, page.text
    origin = url.partition("/approve/")[0]
    said = {"value": value, "step": asked_in(page.text)["step"]}
    return client.post(url, json=said, headers={"Origin": origin, "X-CSRF-Token": csrf_in(page.text), **headers})
