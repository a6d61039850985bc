"""One JupyterLab for all tests here; Debian's Chromium; a fresh notebook, kernel and workspace for each test.

The browser is started once a module and not once a session: while Playwright's blocking interface is in use, asyncio takes the
thread's loop for running, and asyncio tests of other modules could not run in the same process.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from lab_kit import ARTIFACTS, PATIENCE_S, Lab, NewNotebook, NotebookPage

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage")
_TAIL = 4000  # characters of what the server and the browser's console said
_SAY_REJECTIONS = """
addEventListener("unhandledrejection", ({reason}) => console.error("not caught:", String(reason?.stack ?? reason), JSON.stringify(reason)));
"""
_ended = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(tryfirst=True)  # before xdist asks which group an item is of
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one worker (one server, one browser at a time), and more time: each test opens JupyterLab and starts a kernel."""
    for item in items:
        if item.path.parent == ARTIFACTS.parent:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.timeout(150))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_ended] = report
    return report


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("these tests need Chromium: `make chromium` installs Debian's (as root, with apt-get)", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def new_notebook(lab: Lab, browser: Browser, request: pytest.FixtureRequest) -> Iterator[NewNotebook]:
    """Opens a notebook, one a test, with the given cells. It fails the test if a widget of ours had an exception that nothing caught."""
    opened: list[NotebookPage] = []
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_S * 1000)
    context.add_init_script(_SAY_REJECTIONS)

    def new(*cells: str) -> NotebookPage:
        name = re.sub(r"[\W_]+", "-", request.node.name.removeprefix("test_")).strip("-")
        opened.append(NotebookPage(lab, context, name, cells))
        return opened[-1]

    yield new
    problems = [problem for notebook in opened for problem in notebook.problems]
    report = request.node.stash.get(_ended, None)
    if report is None or report.failed or problems:
        for notebook in opened:
            notebook.picture("failed")
            request.node.add_report_section("teardown", "browser console", "\n".join(notebook.console)[-_TAIL:])
        request.node.add_report_section("teardown", "JupyterLab", lab.output.read_text()[-_TAIL:])
    context.close()
    lab.end_sessions()
    assert problems == []
