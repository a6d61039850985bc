"""Runs a notebook in a kernel of its own, without a page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfkernel.cli.extras import needed
from wfkernel.cli.printing import has_color
from wfkernel.errors import WfkernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OPEN_JOURNALS = """print(__import__("json").dumps([
    str(e.journal.path)
    for e in getattr(__import__("sys").modules.get("wfkernel.engine.registry"), "engines", {}).values()
    if not e.closing
]))"""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class NotebookFailed(WfkernelError):
    """A cell raised, or the kernel could not be had."""


@contextlib.contextmanager
def executed(path: str, told: Callable[[int, int], None]) -> Iterator[list[str]]:
    """Execute the cells of a notebook; its kernel lives as long as this lasts.

    Args:
        path: the notebook. The kernel works in its folder, as in Jupyter.
        told: is called with the number of a cell and that of all, before the cell runs.

    Returns:
        The paths of the journals that the kernel has open.

    Raises:
        NotebookFailed: a cell raised, or there is no such kernel.
    """
    nbformat = needed("nbformat", "cli", "running a notebook")
    nbclient = needed("nbclient", "cli", "running a notebook")
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise NotebookFailed(f"{path} is no notebook: {error}") from None
    folder = os.path.dirname(os.path.abspath(path))
    client = nbclient.NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}})
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(client.setup_kernel())
        except import_module("jupyter_client.kernelspec").NoSuchKernel as error:
            raise NotebookFailed(f"{error}; install it (python -m ipykernel install), or name another in the notebook") from None
        for number, cell in _code_cells(notebook):
            told(number + 1, len(notebook.cells))
            _execute(client, cell, number)
        yield _open_journals(client, notebook)


def _code_cells(notebook: Any) -> list[tuple[int, Any]]:
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def _execute(client: Any, cell: Any, number: int) -> None:
    exceptions = import_module("nbclient.exceptions")
    try:
        client.execute_cell(cell, number)
    except exceptions.CellExecutionError as error:
        _echo(cell)
        trace = error.traceback if has_color() else _ANSI.sub("", error.traceback)
        raise NotebookFailed(f"cell {number + 1} raised {error.ename}: {error.evalue}\n{trace}") from None
    except exceptions.DeadKernelError:
        raise NotebookFailed(f"the kernel died in cell {number + 1}") from None
    _echo(cell)


def _echo(cell: Any) -> None:
    """What the cell printed."""
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            (sys.stderr if output["name"] == "stderr" else sys.stdout).write(output["text"])
    sys.stdout.flush()


def _open_journals(client: Any, notebook: Any) -> list[str]:
    cell = import_module("nbformat.v4").new_code_cell(_OPEN_JOURNALS)
    notebook.cells.append(cell)  # nbclient wants it to be there; the notebook is not written
    try:
        client.execute_cell(cell, len(notebook.cells) - 1, store_history=False)
    except import_module("nbclient.exceptions").CellExecutionError:
        return []  # a kernel of another language
    return json.loads("".join(o["text"] for o in cell.outputs if o.get("name") == "stdout") or "[]")
