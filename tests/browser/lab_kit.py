"""A real JupyterLab, and a page in it: notebooks are written, opened, run cell by cell and clicked as a user would.

Nothing here waits a fixed time: each method returns when what it names can be seen, or fails after ``PATIENCE_S``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
from playwright.sync_api import BrowserContext, Error, Locator, Page, expect

PATIENCE_S = 20.0
ARTIFACTS = Path(__file__).parent / "artifacts"
_START_S = 45.0
_IDLE = '#jp-main-statusbar :text("| Idle")'
_TRACKER = "@jupyterlab/notebook-extension/tracker"
_NEWS = "@jupyterlab/apputils-extension/notification"
_THEMES = "@jupyterlab/apputils-extension/themes"

NewNotebook = Callable[..., "NotebookPage"]
"""The fixture ``new_notebook``: opens a notebook with the cells that it is given."""

expect.set_options(timeout=PATIENCE_S * 1000)


class Lab:
    """A JupyterLab server with its defaults, and no settings of the user's. ``root`` is where its notebooks are."""

    def __init__(self, home: Path):
        self.root = home / "notebooks"
        self.output = home / "server.log"
        self._runtime = home / "runtime"
        self._settings = home / "settings"
        self._token = secrets.token_hex(16)
        self.root.mkdir(parents=True)
        self.set(_NEWS, {"fetchNews": "false", "checkForUpdates": False})
        self.set(_TRACKER, {"windowingMode": "none"})  # each cell is in the page, seen or not
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--notebook-dir={self.root}"]
        command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--IdentityProvider.token={self._token}"]
        places = {
            "JUPYTER_CONFIG_DIR": home / "config",
            "JUPYTER_DATA_DIR": home / "data",
            "JUPYTER_RUNTIME_DIR": self._runtime,
            "JUPYTERLAB_SETTINGS_DIR": self._settings,
            "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
            "IPYTHONDIR": home / "ipython",
        }
        environment = os.environ | {name: str(place) for name, place in places.items()}
        with self.output.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.root, env=environment)
        self.url = self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> str:
        """The server chose its port itself, and says it in a file of its own."""
        info = self._runtime / f"jpserver-{self._process.pid}.json"
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):  # not written yet, not listening yet
                url = json.loads(info.read_text())["url"].rstrip("/")
                with urllib.request.urlopen(f"{url}/api/status?token={self._token}", timeout=5):
                    return url
            time.sleep(0.05)
        self.close()
        raise AssertionError(f"JupyterLab did not start:\n{self.output.read_text()}")

    def close(self) -> None:
        """Stop the server and the kernels that it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(self._process.pid).children(recursive=True)
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for process in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def set(self, plugin: str, settings: dict[str, Any]) -> None:
        """What the user would choose in the settings; a page that is opened from now on has it."""
        path = self._settings / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))

    @contextlib.contextmanager
    def dark(self) -> Iterator[None]:
        """The dark theme, for pages that are opened meanwhile."""
        self.set(_THEMES, {"theme": "JupyterLab Dark"})
        try:
            yield
        finally:
            self.set(_THEMES, {"theme": "JupyterLab Light"})

    def ask(self, method: str, path: str) -> Any:
        """The answer of the server's REST API."""
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers={"Authorization": f"token {self._token}"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def end_sessions(self) -> None:
        """Stop every kernel."""
        for session in self.ask("GET", "/api/sessions"):
            self.ask("DELETE", f"/api/sessions/{session['id']}")

    def link(self, notebook: str) -> str:
        """Opens the notebook alone: a workspace that was used before would bring back its tabs."""
        return f"{self.url}/lab/workspaces/{secrets.token_hex(6)}/tree/{notebook}?token={self._token}"


class NotebookPage:
    """A notebook that is open in JupyterLab. Cells are numbered from 0."""

    def __init__(self, lab: Lab, context: BrowserContext, name: str, cells: tuple[str, ...]):
        self.lab = lab
        self.name = name
        self.folder = lab.root / name
        self.folder.mkdir()
        self.path = self.folder / f"{name}.ipynb"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        nbformat.write(notebook, self.path)
        self.console: list[str] = []
        self.problems: list[str] = []  # exceptions of our widgets that nothing caught
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", self._note)
        self.page.goto(lab.link(f"{name}/{name}.ipynb"))
        self._wait_for_kernel()

    def _note(self, error: Error) -> None:
        """Only what went through our code, which anywidget loads from a blob: JupyterLab has promises of its own that nobody awaits."""
        text = f"{error.name}: {error.message}\n{error.stack}"
        self.console.append(f"not caught: {text}")
        if "blob:" in (error.stack or ""):
            self.problems.append(text)

    # -- JupyterLab --

    def _wait_for_kernel(self) -> None:
        """By the status bar: the indicator in the notebook's toolbar says "idle" before there is a kernel, too."""
        self._cells().first.wait_for(timeout=_START_S * 1000)
        self.page.wait_for_selector(_IDLE, timeout=_START_S * 1000)

    def _cells(self) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def cell(self, number: int) -> Locator:
        return self._cells().nth(number)

    def output(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-Cell-outputArea")

    def start(self, number: int) -> None:
        """Send a cell to the kernel, by the button of the toolbar: keys are heard only some time after the notebook is seen."""
        self._select(number)
        # What JupyterLab writes there next may be what stood there before: [2] again after a restart of the kernel.
        self._prompt(number).evaluate("prompt => { prompt.textContent = 'to run'; }")
        self.page.click('[data-command="notebook:run-cell-and-select-next"]')
        expect(self._prompt(number)).not_to_have_text("to run")

    def _select(self, number: int) -> None:
        self._prompt(number).click()
        expect(self.cell(number)).to_contain_class("jp-mod-active")

    def run(self, *numbers: int) -> None:
        """Run cells, each to its end."""
        for number in numbers:
            self.start(number)
            self.wait_for(number)

    def wait_for(self, number: int) -> None:
        """Until a cell that was started has ended."""
        expect(self._prompt(number)).to_have_text(re.compile(r"\[\d+\]:"))

    def expect_busy(self, number: int) -> None:
        expect(self._prompt(number)).to_have_text("[*]:")

    def _prompt(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-InputPrompt")

    def reload(self) -> None:
        """Load the page again, as a user does; the kernel does not notice."""
        self.page.reload()
        self._cells().first.wait_for(timeout=_START_S * 1000)

    def restart_kernel(self) -> None:
        """By the button, and a yes to the question that it asks."""
        self.page.click('[data-command="notebook:restart-kernel"], [data-command="kernelmenu:restart"]')
        self.page.click(".jp-Dialog .jp-mod-accept")
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.page.wait_for_selector(_IDLE)

    def save(self) -> nbformat.NotebookNode:
        """Save by the button; the notebook as it is on disk then."""
        before = self.path.stat().st_mtime_ns
        self.page.click('[data-command="docmanager:save"]')
        until = time.monotonic() + PATIENCE_S
        while self.path.stat().st_mtime_ns == before:
            assert time.monotonic() < until, "JupyterLab did not save the notebook"
            self.page.wait_for_timeout(20)
        expect(self.page.locator(".jp-mod-dirty")).to_have_count(0)
        return nbformat.read(self.path, as_version=4)

    # -- the run's card --

    def card(self, number: int) -> Card:
        return Card(self.output(number).locator("article.wf-card"))

    # -- what is left of it --

    def picture(self, stage: str, card: Card | None = None) -> None:
        """Keep a screenshot among the artifacts, with the card in sight."""
        if card is not None:
            card.place.scroll_into_view_if_needed()
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{self.name}-{stage}.png")

    def close(self) -> None:
        self.page.close()
        self.lab.end_sessions()


class Card:
    """A run's card, found anew at each use: the notebook may draw it again."""

    def __init__(self, place: Locator):
        self.place = place

    def expect_status(self, status: str) -> None:
        expect(self.place).to_have_attribute("data-status", status)

    def expect_frozen(self) -> None:
        """The run has ended, and plain HTML is in the card's place."""
        expect(self.place).to_have_count(0)

    def button(self, name: str) -> Locator:
        return self.place.get_by_role("button", name=name, exact=True)

    def form(self, event: str) -> Locator:
        return self.place.locator(f'form[data-event="{event}"]')

    def expect_step(self, number: int, status: str) -> None:
        expect(self.step(number)).to_have_attribute("data-status", status)

    def step(self, number: int) -> Locator:
        return self.place.locator(f'.wf-option[data-step="{number}"]')

    @property
    def details(self) -> Locator:
        return self.place.locator("section.wf-details")

    @property
    def said(self) -> Locator:
        """The line where the card tells what became of a click."""
        return self.place.locator(".wf-live")
