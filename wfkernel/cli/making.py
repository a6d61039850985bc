"""Commands that make something: a script, a notebook, a picture, a web page."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from wfkernel.cli.asking import Holder
from wfkernel.cli.extras import needed
from wfkernel.cli.printing import print_json, remark, say
from wfkernel.control.address import directory_of
from wfkernel.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace

_INSTANTS = ("scheduled_at", "started_at", "completed_at")


def export(options: Namespace) -> int:
    journal = None if options.is_default_journal else options.journal
    text = import_module("wfkernel.export").export_notebook(options.notebook, journal=journal)
    _write(options.output, text.encode())
    _made(options)
    return 0


def import_script(options: Namespace) -> int:
    notebook = import_module("wfkernel.export").import_script(options.script)
    text = needed("nbformat", "export", "making a notebook").writes(notebook)
    _write(options.output, text.encode() + b"\n")
    _made(options)
    return 0


def serve(options: Namespace) -> int:
    web = needed("wfkernel.web.running", "web", "serving a page")
    with Holder(options.journal, create=True) as holder:
        holder.ask("list", limit=1)  # it is there, and can be read
    vault = import_module("wfkernel.web.vault").Vault(directory_of(options.journal))
    tell = remark if options.json else say
    where = {"host": options.host, "port": options.port, "public_url": options.public_url}
    with web.serve(_asker(options.journal), vault, **where) as serving:
        if options.json:
            print_json({"url": serving.url, "login_url": serving.login_url, "token": serving.token})
        tell(f"the runs are at {serving.login_url}")
        tell("this link lets one browser in, once, within the hour; Ctrl-C stops the page, and leaves the runs alone")
        sys.stdout.flush()
        try:
            while not serving.wait(1.0):
                pass
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the page is gone; the runs go on where they did") from None
    return 0


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
    _write(options.output, picture.getvalue())
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


def _write(path: str, content: bytes) -> None:
    """All of it or nothing: what was there before stays until the rest is on the disk."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def _made(options: Namespace) -> None:
    if options.json:
        print_json({"file": options.output})
    else:
        say(options.output)
