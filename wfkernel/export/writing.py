"""The script's text: a docstring, the cells that define, main() with the cells that do, and the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from wfkernel.export.exemptions import exempt
from wfkernel.export.layout import INDENT, indent, squeeze
from wfkernel.export.linemagics import SCRIPT
from wfkernel.export.marks import Mark, commented, read_mark
from wfkernel.export.names import needed_at_once
from wfkernel.export.placing import Cell
from wfkernel.export.reading import Piece
from wfkernel.export.refusals import ExportError
from wfkernel.export.shared_names import why_shared

__all__ = ["MAIN", "RAISES", "write"]

MAIN = "main"
RAISES = "raises-exception"
_OWN_DOCSTRING = "The cells that do something, from top to bottom."
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASYNC = (ast.Await, ast.AsyncFor, ast.AsyncWith)
# what needs the running loop that there always is in a notebook
_OF_THE_LOOP = frozenset("create_task ensure_future gather get_running_loop get_event_loop current_task all_tasks".split())


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
    is_async = any(_awaits(node) for node in own) or _needs_loop(own) or _needs_loop(_functions(nodes))
    head = [_docstring(name), ""]
    codes = exempt([p for cell in cells for p in cell.module], [p for cell in cells for p in cell.main])
    head.append(f"# ruff: noqa: {', '.join(codes)}")
    if features:
        head.extend([f"from __future__ import {', '.join(features)}", ""])
    head.append(f"from wfkernel.export import {SCRIPT}")
    body = [f'{INDENT}"""{_OWN_DOCSTRING}"""']
    body += [f"{INDENT}global {', '.join(global_names)}  # {why_shared(global_names, nodes)}"] if global_names else []
    text = [
        "\n".join(head),
        *module,
        f"{'async ' if is_async else ''}def {MAIN}() -> None:\n" + "\n\n".join(["\n".join(body), *main]),
        f'if __name__ == "__main__":\n{INDENT}raise SystemExit({SCRIPT}.command_line({manager}, {MAIN}))\n',
    ]
    script = "\n\n\n".join(text)
    _check(script, cells)
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
            module.append(f"{mark}\n{_text(cell, cell.module, 2)}".rstrip())
        if cell.main:
            main.append(indent(mark) + "\n" + indent(_text(cell, cell.main, 1)))
    return module, main


def _has_code(cell: Cell) -> bool:
    """Whether there is more to it than comments."""
    return any(piece.nodes for piece in [*cell.module, *cell.main])


def _text(cell: Cell, pieces: Sequence[Piece], most: int) -> str:
    """A part of a cell, with at most so many empty lines in a row; what may fail in a block of its own."""
    if not _may_fail(cell, pieces):
        return _joined(pieces, most)
    return f"with {SCRIPT}.may_fail():\n{indent(_joined(pieces, 1))}"


def _may_fail(cell: Cell, pieces: Sequence[Piece]) -> bool:
    """Whether its errors are to be told only. Making a function that needs nothing does not fail."""
    nodes = [node for piece in pieces for node in piece.nodes]
    is_sure = pieces is cell.module and not any(isinstance(n, _IMPORTS) or needed_at_once(n) for n in nodes)
    return RAISES in cell.tags and bool(nodes) and not is_sure


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
    is_after_imports = bool(before.nodes) and isinstance(before.nodes[-1], _IMPORTS)
    is_import = bool(piece.nodes) and isinstance(piece.nodes[0], _IMPORTS)
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


def _awaits(node: ast.AST) -> bool:
    """Whether it awaits outside of functions of its own."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    is_async = isinstance(node, _ASYNC) or (isinstance(node, ast.comprehension) and bool(node.is_async))
    return is_async or any(_awaits(child) for child in ast.iter_child_nodes(node))


def _functions(nodes: Sequence[ast.stmt]) -> list[ast.AST]:
    """The plain functions that main() may call."""
    return [node for top in nodes for node in ast.walk(top) if isinstance(node, ast.FunctionDef)]


def _needs_loop(nodes: Sequence[ast.AST]) -> bool:
    calls = (node.func for top in nodes for node in ast.walk(top) if isinstance(node, ast.Call))
    return any((f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")) in _OF_THE_LOOP for f in calls)


def _check(script: str, cells: Sequence[Cell]) -> None:
    """Never hand out a script that does not compile, or says anything else than the cells."""
    try:
        tree = ast.parse(script)
        compile(script, "script", "exec", dont_inherit=True)
    except SyntaxError as exc:
        raise ExportError(f"the cells do not work as a script: {_place(script, exc.lineno or 1)}: {exc.msg}") from None
    own = [node for node in tree.body[:-2] if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    made = tree.body[-2]
    assert isinstance(made, (ast.FunctionDef, ast.AsyncFunctionDef))
    if [ast.dump(n) for n in own[2:]] != [dumped for cell in cells for dumped in _as_written(cell, cell.module)]:
        raise ExportError("the module's part of the script would not say what the cells say; please report this notebook")
    got = [ast.dump(n) for n in made.body[1:] if not isinstance(n, ast.Global)]
    if got != [dumped for cell in cells for dumped in _as_written(cell, cell.main)]:
        raise ExportError("main() would not say what the cells say; please report this notebook")


def _place(script: str, line: int) -> str:
    """Where a line of the script comes from."""
    lines = script.split("\n")[:line]
    mark = next((found for text in reversed(lines) if (found := read_mark(text.strip())) is not None), None)
    where = f"cell {mark.number}: " if mark is not None else ""
    return f"{where}{lines[-1].strip()}"


def _as_written(cell: Cell, pieces: Sequence[Piece]) -> Iterator[str]:
    nodes = [node for piece in pieces for node in piece.nodes]
    if _may_fail(cell, pieces):
        block = ast.parse(f"with {SCRIPT}.may_fail():\n{INDENT}pass").body[0]
        assert isinstance(block, ast.With)
        block.body = nodes
        nodes = [block]
    yield from map(ast.dump, nodes)
