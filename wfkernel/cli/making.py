"""Commands that make something: a script, a notebook, a picture, a web page."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import warnings
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from wfkernel import export as exporting
from wfkernel.cli import INTERRUPTED
from wfkernel.cli.asking import Holder
from wfkernel.cli.extras import needed
from wfkernel.cli.printing import print_json, remark, say
from wfkernel.control.address import directory_of
from wfkernel.errors import OptionError
from wfkernel.export.targets import put

if TYPE_CHECKING:
    from argparse import Namespace

_STDOUT = "-"
_INSTANTS = ("scheduled_at", "started_at", "completed_at")


def export(options: Namespace) -> int:
    """The script of a notebook. One that was exported before is replaced; anything else stays, unless --force says otherwise."""
    _check_output(options, options.notebook)
    journal = None if options.is_default_journal else options.journal
    text = exporting.export_notebook(options.notebook, journal=journal)
    if options.output == _STDOUT:
        return _print(text)
    exporting.write_script(text, options.output, force=options.force)
    _made(options)
    return 0


def import_script(options: Namespace) -> int:
    """The notebook of a script. No notebook is replaced without --force: its outputs are in no script."""
    _check_output(options, options.script)
    notebook = exporting.import_script(options.script)
    text = needed("nbformat", "export", "making a notebook").writes(notebook) + "\n"
    if options.output == _STDOUT:
        return _print(text)
    try:
        put(options.output, text.encode(), lambda _: options.force)
    except FileExistsError:
        raise OptionError(
            f"{options.output} is there already, and is left alone; choose another name, remove it, or give --force"
        ) from None
    _made(options)
    return 0


def _check_output(options: Namespace, source: str) -> None:
    if options.output == _STDOUT:
        if options.json:
            options.error(f"-o {_STDOUT} and --json would both be on the output")
    elif os.path.exists(options.output) and os.path.exists(source) and os.path.samefile(options.output, source):
        raise OptionError(f"{options.output} is what is read here: choose another name for what is made of it")


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def serve(options: Namespace) -> int:
    web = needed("wfkernel.web.running", "web", "serving a page")
    with Holder(options.journal, create=True) as holder:
        holder.ask("list", limit=1)  # it is there, and can be read
    vault = import_module("wfkernel.web.vault").Vault(directory_of(options.journal))
    tell = remark if options.json else say
    pressed = _ctrl_c()
    where = {"host": options.host, "port": options.port, "public_url": options.public_url}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        page = web.serve(_asker(options.journal), vault, **where)
    with page as serving:
        for warning in warned:
            remark(f"wfkernel serve: {warning.message}")
        if options.json:
            print_json({"url": serving.url, "login_url": serving.login_url, "token": serving.token})
        tell(f"the runs are at {serving.login_url}")
        tell("this link lets one browser in, once, within the hour; Ctrl-C stops the page, and leaves the runs alone")
        sys.stdout.flush()
        while not pressed.wait(0.2):
            if serving.wait(0):
                return 0
    remark("\nthe page is gone; the runs go on where they did")
    return INTERRUPTED


def _ctrl_c() -> threading.Event:
    """Is set by Ctrl-C, which raises nothing any more: a second one in the middle of closing would leave things half closed."""
    pressed = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: pressed.set())
    return pressed


def _asker(journal: str) -> Any:
    """Asks whoever holds the journal at the time of each request: in between it is free for a notebook."""

    def ask(op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any:
        with Holder(journal) as holder:
            return holder.request(op, params, token=token, again=again)

    return ask


def plot(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        run = holder.ask("get", run=options.run)
        steps = [_drawable(step) for step in holder.ask("steps", run=options.run)]
    figure = import_module("wfkernel.notebook.plots").timeline(steps, title=f"{run['name']}  {run['run_id']}")
    picture = io.BytesIO()  # drawn before the file is touched
    figure.savefig(picture, format=_format(options.output, figure))
    put(options.output, picture.getvalue(), lambda _: True)
    _made(options)
    return 0


def _format(path: str, figure: Any) -> str:
    known = sorted(figure.canvas.get_supported_filetypes())
    found = os.path.splitext(path)[1].removeprefix(".").lower()
    if found not in known:
        raise OptionError(f"a picture cannot be written as {path!r}: its name must end in .{', .'.join(known)}")
    return found


def _drawable(step: dict[str, Any]) -> Any:
    times = {k: None if step[k] is None else datetime.fromisoformat(step[k]) for k in _INSTANTS}
    error = None if step["error"] is None else SimpleNamespace(**step["error"])
    return SimpleNamespace(**{**step, **times, "error": error})


def _made(options: Namespace) -> None:
    if options.json:
        print_json({"file": options.output})
    else:
        say(options.output)
