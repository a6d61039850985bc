"""The script's text: a docstring, the cells that define, main() with the cells that do, and the command line."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence

from wfkernel.export.layout import INDENT, indent, squeeze
from wfkernel.export.linemagics import MANAGER, SCRIPT
from wfkernel.export.marks import Mark, commented
from wfkernel.export.names import bound, read
from wfkernel.export.placing import Cell
from wfkernel.export.reading import Piece
from wfkernel.export.refusals import ExportError

__all__ = ["MAIN", "RAISES", "write"]

MAIN = "main"
RAISES = "raises-exception"
_OWN_DOCSTRING = "The cells that do something, from top to bottom."
_SHADOWED = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_ASYNC = (ast.Await, ast.AsyncFor, ast.AsyncWith)


def write(cells: Sequence[Cell], *, name: str, manager: str | None, global_names: Sequence[str]) -> str:
    """The whole script.

    Args:
        name: the notebook's file name, for the docstring.
        manager: what the script calls its manager; None if it has none.
        global_names: what main() binds for the whole module.
    """
    features = sorted({f for cell in cells for piece in [*cell.module, *cell.main] for f in piece.features})
    module, main = _parts(cells)
    nodes = [node for cell in cells for piece in cell.module for node in piece.nodes]
    own = [node for cell in cells for piece in cell.main for node in piece.nodes]
    is_async = any(_awaits(node) for node in own)
    head = [_docstring(name), ""]
    exempt = _exempt(nodes, own)
    head.append(f"# ruff: noqa: {', '.join(exempt)}")
    if features:
        head.extend([f"from __future__ import {', '.join(features)}", ""])
    head.append(f"from wfkernel.export import {SCRIPT}")
    body = [f'{INDENT}"""{_OWN_DOCSTRING}"""']
    body += [f"{INDENT}global {', '.join(global_names)}  # the functions above use them"] if global_names else []
    text = [
        "\n".join(head),
        *module,
        f"{'async ' if is_async else ''}def {MAIN}() -> None:\n" + "\n\n".join(["\n".join(body), *main]),
        f'if __name__ == "__main__":\n{INDENT}raise SystemExit({SCRIPT}.command_line({manager}, {MAIN}))\n',
    ]
    script = "\n\n\n".join(text)
    _check(script, nodes, cells)
    return script


# -- the cells --


def _parts(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """The sections at module level, and those in main(). What is no code stays with the code below it."""
    module: list[str] = []
    main: list[str] = []
    for cell, is_main in zip(cells, _sides(cells), strict=True):
        mark = str(Mark(cell.number, cell.kind, cell.magic, cell.tags))
        if not _has_code(cell):
            source = commented(cell.source) if cell.kind != "code" else _joined([*cell.module, *cell.main], 1)
            text = "\n".join([mark, *([source] if source else [])])
            (main if is_main else module).append(indent(text) if is_main else text)
            continue
        if cell.module:
            module.append(f"{mark}\n{_joined(cell.module, 2)}".rstrip())
        if cell.main:
            main.append(indent(mark) + "\n" + indent(_risky(cell)))
    return module, main


def _has_code(cell: Cell) -> bool:
    """Whether there is more to it than comments."""
    return any(piece.nodes for piece in [*cell.module, *cell.main])


def _risky(cell: Cell) -> str:
    text = _joined(cell.main, 1)
    if RAISES not in cell.tags:
        return text
    return f"with {SCRIPT}.may_fail():\n{indent(text)}"


def _sides(cells: Sequence[Cell]) -> list[bool]:
    """For each cell whether it begins in main(); one without code begins where the next with code does, or else the one before."""
    sides: list[bool | None] = [not cell.module if _has_code(cell) else None for cell in cells]
    following: bool | None = None
    for at in reversed(range(len(sides))):
        following = sides[at] = sides[at] if sides[at] is not None else following
    before = False
    known: list[bool] = []
    for side in sides:
        before = before if side is None else side
        known.append(before)
    return known


def _joined(pieces: Sequence[Piece], most: int) -> str:
    """The pieces of a cell, with as many empty lines between them as the formatter wants."""
    text = ""
    before: Piece | None = None
    for piece in pieces:
        lines = piece.text.split("\n")
        empty = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
        if before is not None:
            text += "\n" * (1 + _gap(before, piece, min(empty, most), most))
        text += "\n".join(lines[empty:])
        before = piece
    return squeeze(text, most)


def _gap(before: Piece, piece: Piece, empty: int, most: int) -> int:
    if any(isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for p in (before, piece) for n in p.nodes):
        return most
    is_after_imports = bool(before.nodes) and isinstance(before.nodes[-1], (ast.Import, ast.ImportFrom))
    is_import = bool(piece.nodes) and isinstance(piece.nodes[0], (ast.Import, ast.ImportFrom))
    return max(empty, 1) if is_after_imports and not is_import else empty


# -- the rest --


def _docstring(name: str) -> str:
    shown = "".join(c if c.isprintable() and c not in '\\"' else "?" for c in name)
    script = f"{shown.removesuffix('.ipynb')}.py"
    if " " in script:
        script = f"'{script}'"
    return f'''"""Exported from {shown} by wfkernel: the runs that the notebook began go on here, on the same journal.

Usage:
    python {script} resume                       go on with all unfinished runs, until they end or wait for an event
    python {script} start WORKFLOW key=value     start a run
    python {script}                              run main(): what the notebook's cells do
    python {script} --help                       --journal, --run-id, and the rest
"""'''


def _exempt(module: Sequence[ast.stmt], main: Sequence[ast.stmt]) -> list[str]:
    """The rules that a notebook's order of things breaks: the code stays as it was written."""
    codes = {"I001", "RUF100"}  # imports stand in the cells that they stood in; what is exempt here depends on ruff's version
    imported: set[str] = set()
    defined: set[str] = set()
    has_code = False
    for node in module:
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        if is_import:
            imported |= bound(node)
            codes |= {"E402"} if has_code else set()
            codes |= {"F403", "F405"} if any(a.name == "*" for a in node.names) else set()
        has_code = has_code or not is_import
        if is_import or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            codes |= {"F811"} if bound(node) & defined else set()
            defined |= bound(node)
    used = read([*module, *main])
    codes |= {"F401"} if imported - used else set()
    codes |= {"F821"} if "display" in used and "display" not in imported | defined else set()
    return sorted(codes)


def _awaits(node: ast.AST) -> bool:
    """Whether it awaits outside of functions of its own."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    is_async = isinstance(node, _ASYNC) or (isinstance(node, ast.comprehension) and bool(node.is_async))
    return is_async or any(_awaits(child) for child in ast.iter_child_nodes(node))


def _check(script: str, module: Sequence[ast.stmt], cells: Sequence[Cell]) -> None:
    """Never hand out a script that does not compile, or says anything else than the cells."""
    try:
        tree = ast.parse(script)
        compile(script, "script", "exec", dont_inherit=True)
    except SyntaxError as exc:
        line = script.split("\n")[(exc.lineno or 1) - 1].strip()
        raise ExportError(f"the cells do not work as a script: {exc.msg}: {line}") from None
    own = [node for node in tree.body[:-2] if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    made = tree.body[-2]
    assert isinstance(made, (ast.FunctionDef, ast.AsyncFunctionDef))
    if [ast.dump(n) for n in own[2:]] != [ast.dump(n) for n in module]:
        raise ExportError("the module's part of the script would not say what the cells say; please report this notebook")
    expected = list(_as_in_main(cells))
    got = [ast.dump(n) for n in made.body[1:] if not isinstance(n, ast.Global)]
    if got != expected:
        raise ExportError("main() would not say what the cells say; please report this notebook")


def _as_in_main(cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        nodes = [node for piece in cell.main for node in piece.nodes]
        if nodes and RAISES in cell.tags:
            block = ast.parse(f"with {SCRIPT}.may_fail():\n{INDENT}pass").body[0]
            assert isinstance(block, ast.With)
            block.body = nodes
            yield ast.dump(block)
        else:
            yield from (ast.dump(node) for node in nodes)


def reserved(names: Sequence[str]) -> list[str]:
    """Those of the names that the script needs for itself."""
    return sorted({MAIN, SCRIPT, MANAGER} & set(names))
