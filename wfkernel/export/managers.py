"""The one manager that a script has, of all that its cells open."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wfkernel.export.linemagics import SCRIPT
from wfkernel.export.marks import DROPPED, KEPT
from wfkernel.export.names import bound, needed_at_once, read
from wfkernel.export.reading import CodeCell, Piece, own_nodes
from wfkernel.export.refusals import Refusal

__all__ = ["one_manager"]

_LOADS = re.compile(rf"^{re.escape(KEPT)}%load_ext\b(?!.*\n{re.escape(KEPT)})", re.MULTILINE)  # and names no journal below


@dataclass(frozen=True)
class _Opening:
    cell: int
    name: str
    call: str


def one_manager(cells: Mapping[int, CodeCell], called: Mapping[str, str]) -> tuple[str | None, list[Refusal]]:
    """What the script calls its manager, if it has one; a journal that is opened again is not opened twice.

    Args:
        called: what the notebook calls WorkflowManager and its module.
    """
    first: _Opening | None = None
    refusals: list[Refusal] = []
    needed: set[str] = set()
    used = read(node for _, piece in _pieces(cells) for node in piece.nodes)
    for cell, piece in _pieces(cells):
        opening = _opening(cell, piece)
        if opening is None:
            needed = needed.union(*map(needed_at_once, piece.nodes))
        elif first is not None and (opening.call == first.call or (opening.name == first.name and _LOADS.search(piece.text))):
            _open_no_more(piece, opening.name, first.name)
        elif first is not None and first.name in (needed if opening.name == first.name else used):
            reason = (
                f"cell {first.cell} opens another journal, and a script has one: open it in one place, or make a notebook of its own "
                "of the cells that are about the other one"
            )
            refusals.append(Refusal(cell, piece.line, piece.text_of(piece.nodes[0]), reason))
        else:
            first = opening
    return (None, _unopened(cells, called)) if first is None else (first.name, refusals)


def _pieces(cells: Mapping[int, CodeCell]) -> Iterator[tuple[int, Piece]]:
    return ((number, piece) for number, cell in cells.items() for piece in cell.pieces)


def _opening(cell: int, piece: Piece) -> _Opening | None:
    node = piece.nodes[0] if len(piece.nodes) == 1 else None
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call) or not isinstance(node.targets[0], ast.Name):
        return None
    is_one = ast.unparse(node.value.func) == f"{SCRIPT}.manager"
    return _Opening(cell, node.targets[0].id, ast.dump(node.value)) if is_one else None


def _open_no_more(piece: Piece, name: str, first: str) -> None:
    lines = piece.text.split("\n")
    if name == first:
        piece.text = "\n".join(DROPPED + line.removeprefix(KEPT) if line.startswith(KEPT) else line for line in lines[:-1])
        piece.nodes = []
    else:
        piece.text = "\n".join([*lines[:-1], f"{name} = {first}"])
        piece.nodes = ast.parse(f"{name} = {first}").body


def _unopened(cells: Mapping[int, CodeCell], called: Mapping[str, str]) -> list[Refusal]:
    """Workflows on a manager that the command line of a script would not find."""
    nodes = [node for _, piece in _pieces(cells) for node in piece.nodes]
    imported = set().union(*(bound(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))))
    if not {name for top in nodes for name in _decorating(top)} - imported:
        return []
    reason = "a script opens its journal by `wf = WorkflowManager(...)`, at the beginning of a line and alone on it: write it so"
    return [
        Refusal(cell, piece.line_of(node), piece.text_of(node), reason)
        for cell, piece in _pieces(cells)
        for node in own_nodes(piece.nodes)
        if isinstance(node, ast.Call) and called.get(ast.unparse(node.func).rpartition(".")[2]) == "WorkflowManager"
    ]


def _decorating(top: ast.stmt) -> Iterator[str]:
    """The names of the managers on which it defines workflows."""
    for node in ast.walk(top):
        for decorator in getattr(node, "decorator_list", []):
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(function, ast.Attribute) and function.attr == "workflow" and isinstance(function.value, ast.Name):
                yield function.value.id
