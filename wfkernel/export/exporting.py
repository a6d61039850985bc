"""From a notebook to a script: read every cell, see what belongs where, write it down; or refuse, with all reasons at once."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wfkernel.export.files import RawCell, cells_of, name_of, read_notebook
from wfkernel.export.linemagics import MANAGER, SCRIPT
from wfkernel.export.marks import DROPPED, commented
from wfkernel.export.names import bound, read
from wfkernel.export.placing import Cell, Placing
from wfkernel.export.reading import CodeCell, Notebook, Piece, read_code
from wfkernel.export.refusals import ExportError, ExportRefused, Refusal
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
    target = Path(path)
    try:
        if not force and target.exists() and not _is_ours(target):
            raise ExportError(f"{target} was not exported by wfkernel, and is left alone; choose another name, or remove it")
        part = target.with_name(f"{target.name}.part")
        part.write_text(script, encoding="utf-8", newline="\n")
        part.replace(target)
    except OSError as exc:
        raise ExportError(f"{target} cannot be written: {exc}") from None


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().startswith(b'"""Exported from ')


def script_of(raw: Sequence[RawCell], *, name: str, journal: str | None = None) -> str:
    """The script of these cells."""
    first = _read(raw, Notebook(journal=journal))
    read_cells = _read(raw, _known(first, journal))
    refusals = [refusal for code in read_cells.values() for refusal in code.refusals]
    placing = Placing()
    cells: list[Cell] = []
    for number, (kind, tags, source) in enumerate(raw, 1):
        cell = Cell(number, kind, tags, source)
        code = read_cells.get(number)
        if code is not None:
            cell.magic = code.magic
            placing.place(cell, code.pieces)
        cells.append(cell)
    refusals += placing.refusals
    refusals += _taken(read_cells)
    manager = _manager(cells)
    if manager is None:
        refusals += [
            Refusal(
                n, 1, raw[n - 1][2].split("\n")[0], "no cell before opens a journal: %load_ext wfkernel, in a cell of its own"
            )
            for n, code in read_cells.items()
            if code.magic
        ]
    if refusals:
        raise ExportRefused(refusals)
    return write(cells, name=name, manager=manager, global_names=placing.globals_of_main(cells))


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


def _known(cells: Mapping[int, CodeCell], journal: str | None) -> Notebook:
    nodes = [node for cell in cells.values() for piece in cell.pieces for node in piece.nodes]
    # never empty, so that the second reading knows that it is one
    return Notebook(frozenset({MANAGER}.union(*map(bound, nodes))), frozenset(read(nodes)), journal)


def _taken(cells: Mapping[int, CodeCell]) -> list[Refusal]:
    """Names that the script needs for itself."""
    found = []
    for number, cell in cells.items():
        for piece in cell.pieces:
            for name in sorted(set().union(*map(bound, piece.nodes)) & {MAIN, SCRIPT}):
                reason = f"the script needs the name `{name}` for itself: choose another one here"
                found.append(Refusal(number, piece.line, piece.text.strip().split("\n")[0], reason))
    return found


def _manager(cells: Sequence[Cell]) -> str | None:
    """What the script's manager is called: the last one that it opens at its top level."""
    found = None
    for cell in cells:
        for piece in cell.module:
            for node in piece.nodes:
                if isinstance(node, ast.Assign) and _is_manager(node.value) and isinstance(node.targets[0], ast.Name):
                    found = node.targets[0].id
    return found


def _is_manager(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == f"{SCRIPT}.manager"
