"""The pages in real Chromium: a phone that approves, a desk that watches. The policy of the page must not be violated anywhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pydantic import BaseModel, Field, NaiveDatetime
from web_kit import Served, awaits, payment, until

from wfkernel import define_event

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(120)]

ARTIFACTS = Path(__file__).parent / "artifacts"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
THUMB = 44  # CSS pixels
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("these tests need Chromium: `make chromium` installs Debian's (as root, with apt-get)", pytrace=False)
    with sync_playwright() as playwright:
        arguments = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Opens pages; fails the test if one of them had an error or violated its policy."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on("console", lambda m: problems.append(f"{page.url}: {m.text}") if m.type in ("error", "warning") else None)

    def new(url: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **options}))
        page = contexts[-1].new_page()
        listen(page)
        page.goto(url)
        return page

    yield new
    for context in contexts:
        context.close()
    # A refused request is no problem of the page's: Chromium writes a line about each.
    assert [p for p in problems if "the server responded with a status of" not in p] == []


def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


class Tier(Enum):
    basic = "basic"
    gold = "gold"


class Decision(BaseModel):
    """Shall the payment go out?"""

    ok: bool = Field(description="Only with a bill")
    tier: Tier = Tier.basic
    limit: int = Field(ge=0, title="Limit in EUR")
    note: str | None = None


class Exact(BaseModel):
    many: int
    part: Decimal
    local: NaiveDatetime
    due: datetime
    most: float = float("inf")


def test_a_phone_approves_by_one_touch_and_a_second_use_is_refused(served: Served, open_page: Callable[..., Page]) -> None:
    run = payment(served.wf, 250)
    url = run.approval_url("approval")
    page = open_page(url, **PHONE)
    expect(page.get_by_role("heading", name="approval")).to_be_visible()
    expect(page.locator("main")).to_contain_text("250")
    expect(page.locator("main")).to_contain_text("EUR")
    for name in ("Approve", "Reject"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= THUMB
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    picture(page, "approve-phone")
    page.get_by_role("button", name="Approve").tap()
    expect(page.get_by_role("status")).to_have_text("Sent")
    assert run.result(10) is True
    page.reload()
    expect(page.locator("main")).to_contain_text("answered already")
    expect(page.get_by_role("button")).to_have_count(0)
    picture(page, "approve-phone-again")


def test_two_pages_of_one_link_give_one_answer(served: Served, open_page: Callable[..., Page]) -> None:
    run = payment(served.wf)
    url = run.approval_url("approval")
    first, second = open_page(url, **PHONE), open_page(url)
    first.get_by_role("button", name="Reject").tap()
    expect(first.get_by_role("status")).to_have_text("Sent")
    second.get_by_role("button", name="Approve").click()
    expect(second.get_by_role("status")).to_contain_text("answered already")
    assert run.result(10) is False


def test_a_form_of_the_event_s_type_is_filled_in_and_mended_by_the_keyboard(
    served: Served, open_page: Callable[..., Page]
) -> None:
    run = payment(served.wf, kind=Decision)
    page = open_page(run.approval_url("approval"), **PHONE, color_scheme="dark")
    limit = page.get_by_label("Limit in EUR")
    page.get_by_role("radio", name="Yes").check()
    limit.fill("-1")
    picture(page, "approve-form-phone-dark")
    limit.press("Enter")
    expect(limit).to_have_attribute("aria-invalid", "true")
    expect(page.locator("form")).to_contain_text("greater than or equal to 0")
    expect(limit).to_be_focused()
    picture(page, "approve-form-phone-wrong")
    limit.fill("30")
    limit.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Sent")
    assert run.result(10) == Decision(ok=True, tier=Tier.basic, limit=30, note=None)


def test_every_field_of_a_form_has_a_name_and_room_for_a_thumb(served: Served, open_page: Callable[..., Page]) -> None:
    run = payment(served.wf, kind=Decision)
    page = open_page(run.approval_url("approval"), **PHONE)
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    small = page.evaluate(
        """least => [...document.querySelectorAll("button, select, textarea, input:not([type=radio])")]
        .filter(e => e.getBoundingClientRect().height < least).map(e => e.outerHTML)""",
        THUMB,
    )
    assert small == []
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")]
        .filter(e => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim())).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("main").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("is_link", [True, False], ids=["approval link", "run page"])
def test_a_page_sends_numbers_with_all_their_digits(served: Served, open_page: Callable[..., Page], is_link: bool) -> None:
    run = payment(served.wf, kind=Exact)
    page = open_page(run.approval_url("approval") if is_link else served.serving.login_url, timezone_id="Asia/Kolkata")
    if not is_link:
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.goto(f"{served.url}/runs/{run.id}")
    page.get_by_label("Many").fill("1152921504606846977")
    page.get_by_label("Part").fill("0.12345678901234567890")
    page.get_by_label("Local").fill("2026-05-01T09:30")
    page.get_by_label("Due").fill("2026-05-01T09:30")
    expect(page.locator("form")).to_contain_text("in your time zone, Asia/")
    page.get_by_role("button", name="Send").click()
    answer = run.result(10)
    local = datetime.fromisoformat("2026-05-01T09:30")
    assert (answer.many, answer.part, answer.local) == (1152921504606846977, Decimal("0.12345678901234567890"), local)
    assert (answer.due, answer.most) == (datetime.fromisoformat("2026-05-01T09:30+05:30"), float("inf"))


def test_the_login_link_opens_the_runs_once(served: Served, open_page: Callable[..., Page]) -> None:
    run = payment(served.wf)
    payment(served.wf).cancel()
    link = served.serving.login_url
    page = open_page(link)
    expect(page.get_by_role("row")).to_have_count(3)
    assert page.url == f"{served.url}/"
    picture(page, "runs")
    page.get_by_label("Status").select_option("in progress")
    expect(page.get_by_role("row")).to_have_count(2)
    assert page.url.endswith("?status=in_progress")
    page.get_by_role("link", name="payment").click()
    expect(page.get_by_role("heading", name=re.compile("payment"))).to_be_visible()
    assert page.url == f"{served.url}/runs/{run.id}"

    other = open_page(link)
    expect(other.get_by_role("alert")).to_contain_text("was used")
    picture(other, "login-used")
    other.get_by_label("Token").fill(served.serving.token)
    other.get_by_role("button", name="Log in").click()
    expect(other.get_by_role("heading", name="Runs")).to_be_visible()
    expect(other.get_by_role("row")).to_have_count(3)  # the page's script has run: a button of before does nothing
    other.get_by_role("button", name="Log out").click()
    expect(other.get_by_label("Token")).to_be_visible()
    other.goto(served.url)
    assert other.url == f"{served.url}/login"


def test_a_run_is_watched_and_answered_on_its_page(served: Served, open_page: Callable[..., Page]) -> None:
    @served.wf.workflow
    async def order(step: Any, item: str) -> str:
        await step.options(name="quote").run_action(lambda: {"total": 12})
        ok = await step.await_event(define_event("approval", bool))
        amount = await step.await_event(define_event("amount", int))
        await step.options(name="ship").run_action(lambda: None)
        return f"{ok} {amount}"

    run = order.start("a <b>lamp</b>")
    until(lambda: awaits(run, "approval"))
    page = open_page(served.serving.login_url)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.goto(f"{served.url}/runs/{run.id}")
    expect(page.locator("main")).to_contain_text("a <b>lamp</b>")
    expect(page.get_by_role("option", name=re.compile("quote, action, success"))).to_be_visible()
    picture(page, "run-waits")
    page.get_by_role("button", name="Approve").click()
    field = page.get_by_role("form", name="Answer amount").get_by_role("spinbutton")
    field.fill("7")
    field.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    assert run.result(10) == "True 7"
    expect(page.get_by_role("option", name=re.compile("ship, action, success"))).to_be_visible()
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("region", name="The chosen step")).to_contain_text('"total": 12')
    picture(page, "run-completed")


def test_what_the_kernel_does_is_seen_without_a_reload(served: Served, open_page: Callable[..., Page]) -> None:
    page = open_page(served.serving.login_url, **PHONE, color_scheme="dark")
    expect(page.get_by_text("No runs", exact=True)).to_be_visible()
    run = payment(served.wf)
    expect(page.get_by_role("link", name="payment")).to_be_visible()
    page.get_by_role("link", name="payment").tap()
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    picture(page, "run-phone-dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    run.send_event("approval", True)
    expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.goto(served.url)
    expect(page.get_by_role("link", name="payment")).to_be_visible()
    picture(page, "runs-phone-dark")


def test_the_policy_of_the_page_stops_what_somebody_put_in(served: Served, browser: Browser) -> None:
    """That the other tests see no violation says something only if one would be seen."""
    page = browser.new_page()
    page.goto(f"{served.url}/login")
    stopped = page.evaluate(
        """() => new Promise(done => {
            document.addEventListener("securitypolicyviolation", e => done(e.violatedDirective));
            const script = document.createElement("script");
            script.textContent = "window.wasRun = true";
            script.addEventListener("error", () => {});
            document.body.append(script);
        })"""
    )
    assert stopped.startswith("script-src")
    assert page.evaluate("window.wasRun") is None
    page.context.close()
