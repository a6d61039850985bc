"""From a notebook to a script: read every cell, see what belongs where, write it down; or refuse, with all reasons at once."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from typing import Any

from wfkernel.export.files import RawCell, cells_of, name_of, read_notebook
from wfkernel.export.linemagics import MANAGER, SCRIPT
from wfkernel.export.managers import one_manager
from wfkernel.export.marks import DROPPED, commented
from wfkernel.export.names import bound, read
from wfkernel.export.ordering import Order
from wfkernel.export.placing import Cell, Placing
from wfkernel.export.reading import CodeCell, Notebook, Piece, read_code
from wfkernel.export.refusals import ExportError, ExportRefused, Refusal
from wfkernel.export.shared_names import shared_names, without_types
from wfkernel.export.targets import put
from wfkernel.export.writing import MAIN, write

__all__ = ["NOTEBOOK_ONLY", "export_notebook", "script_of", "write_script"]

NOTEBOOK_ONLY = "notebook-only"  # the tag of a cell that stays behind, as a comment


def export_notebook(
    source: str | os.PathLike[str] | Mapping[str, Any], *, journal: str | os.PathLike[str] | None = None, name: str | None = None
) -> str:
    """The notebook as a Python script that goes on with the notebook's runs.

    Args:
        source: the path of an ``.ipynb`` file, or a notebook as nbformat reads it.
        journal: the journal that the script opens unless it is told another; by default the one that the notebook opens.
        name: what the script calls the notebook that it came from; by default its file name.

    Returns:
        The script's text.

    Raises:
        ExportError: ``source`` is no notebook, or in another language than Python.
        ExportRefused: some cells mean nothing outside a notebook; ``refusals`` names all of them.

    >>> from wfkernel.export import export_notebook
    >>> cell = {"cell_type": "code", "metadata": {}, "source": "print(1 + 1)", "outputs": [], "execution_count": None}
    >>> script = export_notebook({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]})
    >>> "    print(1 + 1)" in script.splitlines()
    True
    """
    notebook = read_notebook(source)
    raw = cells_of(notebook)
    path = None if journal is None else os.fspath(journal)
    return script_of(raw, name=name if name is not None else name_of(source, notebook), journal=path)


def write_script(script: str, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a script, all of it or nothing.

    Args:
        force: also over a file that wfkernel did not export.

    Raises:
        ExportError: there is another file of this name; or it cannot be written.
    """
    shown = os.fspath(path)
    try:
        put(shown, script.encode(), lambda begin: force or begin.startswith(b'"""Exported from '))
    except FileExistsError:
        raise ExportError(
            f"{shown} was not exported by wfkernel, and is left alone; choose another name, remove it, or give --force"
        ) from None
    except OSError as exc:
        raise ExportError(f"{shown} cannot be written: {exc.strerror}") from None


def script_of(raw: Sequence[RawCell], *, name: str, journal: str | None = None) -> str:
    """The script of these cells."""
    unwritable = _unwritable(raw)
    if unwritable:
        raise ExportRefused(unwritable)
    called = _called(_read(raw, Notebook(journal=journal)))
    first = _read(raw, Notebook(journal=journal, called=called))
    read_cells = _read(raw, _known(first, journal, called))
    refusals = [refusal for code in read_cells.values() for refusal in code.refusals]
    manager, of_managers = one_manager(read_cells, called)
    refusals += of_managers
    refusals += _late_features(read_cells)
    cells, placing, order = _placed(raw, read_cells)
    refusals += order.refusals
    refusals += placing.refusals
    refusals += _taken(read_cells)
    if manager is None:
        refusals += [
            Refusal(
                n, 1, raw[n - 1][2].split("\n")[0], "no cell before opens a journal: %load_ext wfkernel, in a cell of its own"
            )
            for n, code in read_cells.items()
            if code.magic
        ]
    names = shared_names(cells)
    refusals += without_types(cells, names)
    if refusals:
        raise ExportRefused(refusals)
    return write(cells, name=name, manager=manager, global_names=names)


def _unwritable(raw: Sequence[RawCell]) -> list[Refusal]:
    """Lines with half a character (a lone surrogate), which JSON can hold and no file of text can."""
    found = []
    for number, (_, _, source) in enumerate(raw, 1):
        for at, line in enumerate(source.split("\n"), 1):
            shown = line.encode("utf-8", "backslashreplace").decode()
            if any("\ud800" <= c <= "\udfff" for c in line):
                reason = "half a character, which no file can hold, is in this line: write it as an escape, as it is shown here"
                found.append(Refusal(number, at, shown, reason))
    return found


def _late_features(cells: Mapping[int, CodeCell]) -> list[Refusal]:
    """``from __future__ import annotations`` below functions with annotations, which it would change: they are compared to those that
    the notebook's runs knew."""
    annotated = 0
    for number, cell in cells.items():
        for piece in cell.pieces:
            if annotated and "annotations" in piece.features:
                reason = (
                    f"in a script this counts from the first line on, and would change the functions of cell {annotated}: move it to "
                    "the notebook's first cell, run that again from there, and export it then"
                )
                return [Refusal(number, piece.line, "from __future__ import annotations", reason)]
            if not annotated and any(_is_annotated(node) for top in piece.nodes for node in ast.walk(top)):
                annotated = number
    return []


def _is_annotated(node: ast.AST) -> bool:
    return getattr(node, "annotation", None) is not None or getattr(node, "returns", None) is not None


def _placed(raw: Sequence[RawCell], read_cells: Mapping[int, CodeCell]) -> tuple[list[Cell], Placing, Order]:
    """The cells, divided between the module and main() so that what each of them says is still so."""
    late: set[str] = set()
    while True:
        placing = Placing(late)
        cells: list[Cell] = []
        for number, (kind, tags, source) in enumerate(raw, 1):
            cell = Cell(number, kind, tags, source)
            code = read_cells.get(number)
            if code is not None:
                cell.magic = code.magic
                placing.place(cell, code.pieces)
            cells.append(cell)
        order = Order(placing.sequence)
        if order.late <= late:
            return cells, placing, order
        late |= order.late


def _read(raw: Sequence[RawCell], notebook: Notebook) -> dict[int, CodeCell]:
    """The code cells by number."""
    found: dict[int, CodeCell] = {}
    for number, (kind, tags, source) in enumerate(raw, 1):
        if kind != "code":
            continue
        if NOTEBOOK_ONLY in tags:
            found[number] = CodeCell([Piece(commented(source, DROPPED), [], 1)] if source.strip() else [])
        else:
            found[number] = read_code(source, number, notebook)
    return found


def _called(cells: Mapping[int, CodeCell]) -> dict[str, str]:
    """What the notebook calls wfkernel and what it imports from it: ``{"wk": "wfkernel", "WM": "WorkflowManager"}``."""
    found = {name: name for name in ("wfkernel", "WorkflowManager")}
    for node in (n for cell in cells.values() for piece in cell.pieces for top in piece.nodes for n in ast.walk(top)):
        if isinstance(node, ast.Import):
            found.update({a.asname: a.name for a in node.names if a.asname and a.name == "wfkernel"})
        elif isinstance(node, ast.ImportFrom) and node.module == "wfkernel":
            found.update({a.asname: a.name for a in node.names if a.asname})
    return found


def _known(cells: Mapping[int, CodeCell], journal: str | None, called: Mapping[str, str]) -> Notebook:
    nodes = [node for cell in cells.values() for piece in cell.pieces for node in piece.nodes]
    # never empty, so that the second reading knows that it is one
    return Notebook(frozenset({MANAGER}.union(*map(bound, nodes))), frozenset(read(nodes)), journal, called)


def _taken(cells: Mapping[int, CodeCell]) -> list[Refusal]:
    """Names that the script needs for itself."""
    found = []
    for number, cell in cells.items():
        for piece in cell.pieces:
            for name in sorted(set().union(*map(bound, piece.nodes)) & {MAIN, SCRIPT}):
                reason = f"the script needs the name `{name}` for itself: choose another one here"
                found.append(Refusal(number, piece.line, piece.text.strip().split("\n")[0], reason))
    return found
