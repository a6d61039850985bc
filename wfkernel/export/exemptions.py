"""Which of ruff's default rules are broken by what a notebook is and by its move into a script; what the cells break themselves, stays.

Where a rule cannot be told exactly from the tree, it is exempt rather once too often: RUF100, which would complain, is exempt, too.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence

from wfkernel.export.names import bound, read
from wfkernel.export.reading import Piece, own_nodes

__all__ = ["exempt"]

_BUILTINS = frozenset(dir(builtins))
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINES = (*_IMPORTS, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ENDS_WITH_SEMICOLON = re.compile(r";[ \t]*(#.*)?$", re.MULTILINE)


def exempt(module: Sequence[Piece], main: Sequence[Piece]) -> list[str]:
    """The codes, sorted."""
    nodes = [node for piece in module for node in piece.nodes]
    own = [node for piece in main for node in piece.nodes]
    codes = {"I001", "RUF100"}  # imports stand in the cells that they stood in; what is exempt here depends on ruff's version
    codes |= _of_imports(nodes, own) | _of_names(nodes, own)
    codes |= (
        {"B018"} if any(isinstance(node, ast.Expr) and _only_shows(node.value) for node in own_nodes([*nodes, *own])) else set()
    )
    codes |= {"E702"} if any(len(piece.nodes) > 1 for piece in [*module, *main]) else set()
    codes |= {"E703"} if any(_ENDS_WITH_SEMICOLON.search(piece.text) for piece in [*module, *main]) else set()
    return sorted(codes)


def _of_imports(module: Sequence[ast.stmt], main: Sequence[ast.stmt]) -> set[str]:
    codes: set[str] = set()
    imported: set[str] = set()
    defined: set[str] = set()
    has_code = False
    for node in module:
        is_import = isinstance(node, _IMPORTS)
        if is_import:
            imported |= bound(node)
            codes |= {"E402"} if has_code else set()
            codes |= {"F403", "F405"} if any(a.name == "*" for a in node.names) else set()
        has_code = has_code or not is_import
        if isinstance(node, _DEFINES):
            codes |= {"F811"} if bound(node) & defined else set()
            defined |= bound(node)
    used = read([*module, *main])
    codes |= {"F401"} if imported - used else set()
    return codes | ({"F821"} if "display" in used and "display" not in imported | defined else set())


def _of_names(module: Sequence[ast.stmt], main: Sequence[ast.stmt]) -> set[str]:
    handlers = {n.name for top in [*module, *main] for n in ast.walk(top) if isinstance(n, ast.ExceptHandler) and n.name}
    functions = [n for top in module for n in ast.walk(top) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    unread = handlers.union(*map(bound, main)) - read([*module, *main])
    is_unused = bool(unread) or any(set().union(*map(bound, f.body)) - read(f.body) for f in functions)
    known = set().union(_BUILTINS, *map(bound, module))
    return {*({"F841"} if is_unused else ()), *({"F821"} if set(_named_in_strings([*module, *main])) - known else ())}


def _named_in_strings(nodes: Sequence[ast.stmt]) -> Iterator[str]:
    """Names in annotations that are written as strings."""
    for part in (part for node in nodes for part in ast.walk(node)):
        for annotation in (getattr(part, "annotation", None), getattr(part, "returns", None)):
            for text in _strings(annotation) if isinstance(annotation, ast.expr) else ():
                yield from re.findall(r"[^\W\d]\w*", text)


def _strings(node: ast.AST) -> Iterator[str]:
    """Strings in an annotation that stand for types."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    is_text = isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in ("Literal", "Annotated")
    for child in () if is_text else ast.iter_child_nodes(node):
        yield from _strings(child)


def _only_shows(value: ast.expr) -> bool:
    """Whether a value that is not shown is of no use: the second of three in a cell, or one that a semicolon follows."""
    return not isinstance(value, (ast.Call, ast.Await, ast.Yield, ast.YieldFrom))
