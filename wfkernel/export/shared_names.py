"""Names that main() binds for the whole module, as the cells of a notebook do."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence

from wfkernel.export.marks import DROPPED, KEPT, commented
from wfkernel.export.names import LOOKS_UP, bound, declared_global, read
from wfkernel.export.placing import Cell
from wfkernel.export.reading import Piece, own_nodes, split_above
from wfkernel.export.refusals import Refusal

__all__ = ["WHY_SHARED", "shared_names", "why_shared", "without_types"]

WHY_SHARED = ("the functions above use them", "they are the module's, as in the notebook")
_BUILTINS = frozenset(dir(builtins))


def shared_names(cells: Sequence[Cell]) -> list[str]:
    """The names that main() binds and that must be the module's: other code reads or binds them too, or looks them up by their text,
    or they mean something else until main() binds them."""
    module = [node for cell in cells for piece in cell.module for node in piece.nodes]
    main = [node for cell in cells for piece in cell.main for node in piece.nodes]
    names, used = set().union(*map(bound, main)), read([*module, *main])
    if used & LOOKS_UP:
        return sorted(names)
    is_any = any(isinstance(n, ast.alias) and n.name == "*" for top in module for n in ast.walk(top))
    others = used if is_any else used & _BUILTINS
    return sorted(names & (read(module).union(declared_global([*module, *main]), others, *map(bound, module))))


def why_shared(names: Sequence[str], module: Sequence[ast.stmt]) -> str:
    used = read(module).union(declared_global(module), *map(bound, module))
    return WHY_SHARED[0] if set(names) <= used else WHY_SHARED[1]


def without_types(cells: Sequence[Cell], names: Sequence[str]) -> list[Refusal]:
    """Takes the annotations off these names in main(), where ``global`` admits none; the notebook's line stays as a comment."""
    refusals = []
    for cell in cells:
        for at, piece in enumerate(cell.main):
            typed = [n for n in own_nodes(piece.nodes) if isinstance(n, ast.AnnAssign) and _name(n) in names]
            if typed and piece.nodes == typed:
                cell.main[at] = _without_type(piece)
                continue
            for node in typed:
                reason = f"`{_name(node)}` is also used outside of main(), where it can be bound only without its type"
                refusals.append(Refusal(cell.number, piece.line_of(node), ast.unparse(node).split("\n")[0], reason))
    return refusals


def _name(node: ast.AnnAssign) -> str:
    return node.target.id if isinstance(node.target, ast.Name) else ""


def _without_type(piece: Piece) -> Piece:
    above, text = split_above(piece)
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.AnnAssign)
    if node.value is None:
        return Piece(f"{above}{commented(text, DROPPED)}", [], piece.line)
    lines = text.split("\n")[(node.annotation.end_lineno or 1) - 1 :]
    after = lines[0].encode()[node.annotation.end_col_offset :].decode()
    statement = "\n".join([f"{_name(node)} = {after.partition('=')[2].lstrip()}", *lines[1:]])
    return Piece(f"{above}{commented(text, KEPT)}\n{statement}", ast.parse(statement).body, piece.line, is_made=True)
