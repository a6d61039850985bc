"""Runs a notebook in a kernel of its own, without a page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from wfkernel.cli.extras import needed
from wfkernel.cli.printing import has_color, remark
from wfkernel.cli.unattended import is_ours
from wfkernel.errors import EngineStopped, WfkernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Cells of ours, which leave no name behind. In a kernel that has no wfkernel, or another one, they do nothing.
_BEGIN = """try:
    __import__("wfkernel.cli.noted").cli.noted.begin()
    __import__("wfkernel.cli.unattended").cli.unattended.begin(wait_for_events={})
except ImportError:
    pass"""
_END = """try:
    __import__("wfkernel.cli.noted").cli.noted.open_again()
except ImportError:
    pass
print(__import__("json").dumps([
    [
        str(e.journal.path)
        for e in getattr(__import__("sys").modules.get("wfkernel.engine.registry"), "engines", {}).values()
        if not e.closing
    ],
    getattr(__import__("sys").modules.get("wfkernel.cli.noted"), "met", list)(),
]))"""
_CLEAN_UP_S = 5.0  # that a cell may take for its end after Ctrl-C
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class NotebookFailed(WfkernelError):
    """A cell raised, or the kernel could not be had."""


class Executed(NamedTuple):
    """What a notebook left behind.

    Attributes:
        journals: the paths of those that the kernel has open.
        met: the ids of runs that were started, and were there already.
    """

    journals: list[str]
    met: list[str]


@contextlib.contextmanager
def executed(path: str, told: Callable[[int, int], None], *, wait_for_events: bool) -> Iterator[Executed]:
    """Execute the cells of a notebook; its kernel lives as long as this lasts. A cell that waits for a run, and nothing will come of it,
    is the last one.

    Args:
        path: the notebook. The kernel works in its folder, as in Jupyter.
        told: is called with the number of a cell and that of all, before the cell runs.
        wait_for_events: a cell may wait for a run that only an event lets go on.

    Raises:
        NotebookFailed: a cell raised, or there is no such kernel.
    """
    nbformat = needed("nbformat", "cli", "running a notebook")
    nbclient = needed("nbclient", "cli", "running a notebook")
    try:
        notebook = nbformat.read(path, as_version=4)
        cells = _code_cells(notebook)
    except (ValueError, nbformat.ValidationError) as error:
        raise NotebookFailed(f"{path} is no notebook: {error}") from None
    except (AttributeError, KeyError, TypeError):  # as nbformat trips over what it reads
        raise NotebookFailed(f"{path} is no notebook: it is JSON of another form") from None
    folder = os.path.dirname(os.path.abspath(path))
    client = nbclient.NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}})
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(client.setup_kernel())
        except import_module("jupyter_client.kernelspec").NoSuchKernel as error:
            raise NotebookFailed(f"{error}; install it (python -m ipykernel install), or name another in the notebook") from None
        _ask(client, notebook, _BEGIN.format(wait_for_events))
        for number, cell in cells:
            told(number + 1, len(notebook.cells))
            if not _execute(client, cell, number):
                break
        yield Executed(*json.loads(_ask(client, notebook, _END) or "[[], []]"))


def _code_cells(notebook: Any) -> list[tuple[int, Any]]:
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def _execute(client: Any, cell: Any, number: int) -> bool:
    """Whether the next cell may follow."""
    exceptions = import_module("nbclient.exceptions")
    try:
        _run(client, cell, number)
    except exceptions.CellExecutionError as error:
        _echo(cell)
        if error.ename == EngineStopped.__name__ and is_ours(error.evalue):
            remark(f"cell {number + 1} waits for {error.evalue}")
            return False
        trace = error.traceback if has_color() else _ANSI.sub("", error.traceback)
        raise NotebookFailed(f"cell {number + 1} raised {error.ename}: {error.evalue}\n{trace}") from None
    except exceptions.DeadKernelError:
        raise NotebookFailed(f"the kernel died in cell {number + 1}") from None
    _echo(cell)
    return True


def _run(client: Any, cell: Any, number: int) -> None:
    loop = import_module("jupyter_core.utils").ensure_event_loop()  # the client's own
    loop.run_until_complete(_done(client, cell, number))


async def _done(client: Any, cell: Any, number: int) -> None:
    """Ctrl-C interrupts the cell, and waits for it: a kernel that is shut down in the middle of a cell complains at length."""
    running = asyncio.ensure_future(client.async_execute_cell(cell, number))
    pressed = asyncio.Event()
    heard = asyncio.ensure_future(pressed.wait())
    with _ctrl_c(pressed.set):
        await asyncio.wait({running, heard}, return_when=asyncio.FIRST_COMPLETED)
        if not pressed.is_set():
            heard.cancel()
            return await running
        await client.km.interrupt_kernel()
        await asyncio.wait({running}, timeout=_CLEAN_UP_S)
    if not running.done():
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.exception()  # the cell was interrupted, which is no news
    raise KeyboardInterrupt


@contextlib.contextmanager
def _ctrl_c(call: Callable[[], None]) -> Iterator[None]:
    """Call this instead of raising KeyboardInterrupt, where a loop can do so."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, say
        yield
        return
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, call)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _echo(cell: Any) -> None:
    """What the cell printed."""
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            (sys.stderr if output["name"] == "stderr" else sys.stdout).write(output["text"])
    sys.stdout.flush()


def _ask(client: Any, notebook: Any, source: str) -> str:
    """What a cell of ours prints; nothing in a kernel of another language."""
    cell = import_module("nbformat.v4").new_code_cell(source)
    notebook.cells.append(cell)  # nbclient wants it to be there; the notebook is not written
    try:
        client.execute_cell(cell, len(notebook.cells) - 1, store_history=False)
    except import_module("nbclient.exceptions").CellExecutionError:
        return ""
    finally:
        notebook.cells.pop()
    return "".join(o["text"] for o in cell.outputs if o.get("name") == "stdout")
