"""From an exported script back to a notebook: by its marks, and only if exporting that notebook gives the same script."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wfkernel.errors import WfkernelError
from wfkernel.export.exporting import NOTEBOOK_ONLY, script_of
from wfkernel.export.files import RawCell, make_notebook
from wfkernel.export.layout import INDENT, comment_lines, dedent, strip_blank
from wfkernel.export.linemagics import MANAGER, SCRIPT
from wfkernel.export.magicline import DEF, STEP
from wfkernel.export.marks import DROPPED, KEPT, Mark, plain_comment, read_mark, uncommented, unescaped, without
from wfkernel.export.reading import shows_nothing
from wfkernel.export.refusals import ExportError
from wfkernel.export.shared_names import WHY_SHARED
from wfkernel.export.writing import MAIN, RAISES

__all__ = ["import_script"]

_FROM = re.compile(r"Exported from (.+) by wfkernel[.:]")
_MADE_ANEW = ("# ruff: noqa", *(f"# {why}" for why in WHY_SHARED))  # comments that an export writes
_STEP_FIRST = re.compile(rf"(\w+\s*\(\s*){STEP}\s*,?\s*")


def import_script(source: str | os.PathLike[str]) -> Any:
    """The notebook that an exported script came from, as a NotebookNode without outputs; what was changed in the script is in it.

    Args:
        source: the path of the script, or its text.

    Raises:
        ExportError: it was not exported by wfkernel, or something was added to it that has no place in a notebook.

    >>> from wfkernel.export import export_notebook, import_script
    >>> cell = {"cell_type": "code", "metadata": {}, "source": "1 + 1", "outputs": [], "execution_count": None}
    >>> script = export_notebook({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]})
    >>> import_script(script).cells[0].source
    '1 + 1'
    >>> export_notebook(import_script(script)) == script
    True
    """
    text = _text(source)
    tree = _parse(text)
    found = _FROM.match(ast.get_docstring(tree) or "")
    if found is None or not _is_exported(tree):
        raise ExportError("this is not a script that wfkernel exported: its docstring or its last lines are not there")
    sections = _sections(text, tree)
    cells = [section.cell() for section in sections]
    _check(text, cells, found[1])
    return make_notebook(cells, found[1])


def _text(source: str | os.PathLike[str]) -> str:
    if isinstance(source, str) and "\n" in source:
        text = source
    else:
        try:
            text = Path(source).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise ExportError(f"there is no file {os.fspath(source)}") from None
        except (UnicodeDecodeError, OSError) as exc:
            raise ExportError(f"{os.fspath(source)} cannot be read as a script: {exc}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as exc:
        raise ExportError(f"this is no Python script: {exc}") from None


def _is_exported(tree: ast.Module) -> bool:
    return (
        len(tree.body) >= 3
        and isinstance(tree.body[-2], (ast.FunctionDef, ast.AsyncFunctionDef))
        and tree.body[-2].name == MAIN
        and isinstance(tree.body[-1], ast.If)
        and f"{SCRIPT}.command_line(" in ast.unparse(tree.body[-1])
    )


def _check(text: str, cells: Sequence[RawCell], name: str) -> None:
    """Nothing may be lost: the notebook must say what the script says."""
    try:
        again = script_of(cells, name=name)
    except WfkernelError as exc:
        raise ExportError(f"the script was changed so that it cannot be a notebook: {exc}") from None
    for mine, theirs in zip(_statements(again), _statements(text), strict=False):
        if ast.dump(mine) != ast.dump(theirs):
            line, what = getattr(theirs, "lineno", 1), text.split("\n")[getattr(theirs, "lineno", 1) - 1]
            raise ExportError(
                f"line {line} would be lost in a notebook, or is not what the comment above it says: {what.strip()}"
            )
    if len(_statements(again)) != len(_statements(text)):
        raise ExportError("the script has statements that belong to none of its cells (# %%): put them into one")
    left = Counter(_comments(again).values())
    for line, comment in _comments(text).items():
        if not left[comment] and read_mark(comment) is None and not comment.startswith(_MADE_ANEW):
            raise ExportError(f"line {line} has a comment that would be lost in a notebook: {comment}; move it into a cell")
        left[comment] -= 1


def _comments(text: str) -> dict[int, str]:
    """The comments by line, from 1."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _statements(text: str) -> list[ast.stmt]:
    """The script's statements, those of main() one by one, without docstrings."""
    tree = ast.parse(text)
    made = tree.body[-2]
    assert isinstance(made, (ast.FunctionDef, ast.AsyncFunctionDef))
    return [*tree.body[1:-2], *made.body[1:], tree.body[-1]]


# -- sections --


@dataclass
class _Section:
    """What the script holds of one cell: the part at module level, and the one in main()."""

    mark: Mark
    parts: list[str] = field(default_factory=list)
    in_main: list[bool] = field(default_factory=list)

    def cell(self) -> RawCell:
        if self.mark.kind != "code":
            return self.mark.kind, self.mark.tags, uncommented("\n".join(p for p in self.parts if p))
        if NOTEBOOK_ONLY in self.mark.tags:
            return "code", self.mark.tags, "\n".join(uncommented(p, DROPPED) for p in self.parts if p)
        parts = [_Part(p, is_main, self.mark) for p, is_main in zip(self.parts, self.in_main, strict=True) if p]
        sources = [part.source() for part in parts]
        head = " ".join([*(p.head for p in parts if p.head), *(p.options for p in parts if p.options)])
        magic = self.mark.magic
        if magic and not any(p.head for p in parts):
            head = " ".join([magic, *(p.options.removeprefix("--name ") for p in parts if p.options)])
        return (
            "code",
            self.mark.tags,
            "\n\n".join(s for s in sources if s) if not magic else "\n".join([head, *sources]).rstrip("\n"),
        )


def _sections(text: str, tree: ast.Module) -> list[_Section]:
    """The sections by cell, in the notebook's order; one that somebody put in between follows the one above it."""
    lines = text.split("\n")
    made, guard = tree.body[-2:]
    marks: list[tuple[int, int, Mark]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            line, column = token.start
            mark = read_mark(token.string.rstrip())
            if mark is not None and column == (len(INDENT) if made.lineno < line < guard.lineno else 0):
                marks.append((line, column, mark))
    sections: dict[tuple[int, int], _Section] = {}
    number = extra = 0
    for at, (line, column, mark) in enumerate(marks):
        borders = [m[0] for m in marks[at + 1 :]] + [made.lineno if not column else guard.lineno]
        end = min(border for border in borders if border > line)
        part = strip_blank("\n".join(lines[line : min(end, made.lineno) - 1 if not column else end - 1]))
        if mark.number is not None:
            number, extra = mark.number, 0
        else:
            extra += 1
        section = sections.setdefault((number, extra), _Section(mark))
        section.parts.append(dedent(part) if column else part)
        section.in_main.append(bool(column))
    return [sections[key] for key in sorted(sections)]


@dataclass
class _Part:
    """One part of a code cell on its way back.

    Attributes:
        head: ``%%workflow trip(city: str)`` where the part was the body of one.
        options: ``--start ...`` where the part started it.
    """

    text: str
    is_main: bool
    mark: Mark
    head: str = ""
    options: str = ""

    def source(self) -> str:
        text = self.text
        self._parsed(text)
        if RAISES in self.mark.tags and text.startswith(f"with {SCRIPT}.may_fail():\n"):
            text = dedent(text.split("\n", 1)[1])
        if not self.is_main and re.match(r"%%workflow \w+$", self.mark.magic):
            return self._body(text)
        if not self.is_main and self.mark.magic:
            text = _undecorated(text, self.mark.magic)
        if self.is_main:
            text = _unshown(text)
        return self._lines(text)

    def _parsed(self, text: str) -> ast.Module:
        try:
            return ast.parse(text)
        except SyntaxError as exc:
            raise ExportError(f"cell {self.mark.number}: {exc.msg}") from None

    def _body(self, text: str) -> str:
        """The cell below ``%%workflow trip(...)``, from the function that it became."""
        fn, *more = self._parsed(text).body or [None]
        if more or not isinstance(fn, ast.AsyncFunctionDef):
            raise ExportError(
                f"cell {self.mark.number} is the body of one `async def`, as its comment `{self.mark}` says: put what else is there "
                "into a cell of its own, below a line `# %%`"
            )
        lines = text.split("\n")
        begin = _end_of_head(text, fn)
        if any(fn.lineno <= line <= begin for line in _comments(text)):
            raise ExportError(
                f"cell {self.mark.number}: a comment in the signature of {fn.name} has no place in a notebook: move it"
            )
        signature = _on_one_line(lines[fn.lineno - 1 : begin])
        signature = _STEP_FIRST.sub(r"\1", signature.removeprefix(DEF).rstrip().removesuffix(":"), count=1)
        name = next((k.value for d in fn.decorator_list if isinstance(d, ast.Call) for k in d.keywords if k.arg == "name"), None)
        self.head = f"%%workflow {signature}"
        if name is not None:
            self.options = f"--name {ast.unparse(name)}"
        return unescaped(dedent("\n".join(lines[begin:])))

    def _lines(self, text: str) -> str:
        """Our comments back to what they stand for, without the statements below them."""
        tree = self._parsed(text)
        ends = {n.lineno: n.end_lineno or n.lineno for n in ast.walk(tree) if isinstance(n, ast.stmt)}
        lines = text.split("\n")
        comments = comment_lines(text)
        done: list[str] = []
        at = 0
        while at < len(lines):
            line = lines[at]
            margin = line[: len(line) - len(line.lstrip())]
            if at + 1 not in comments:
                done.append(line)
                at += 1
            elif f"{line.lstrip()} ".startswith(KEPT):
                while at < len(lines) and f"{lines[at]} ".startswith(f"{margin}{KEPT}"):
                    kept = without(lines[at].removeprefix(margin), KEPT)
                    done.append(margin + kept if kept else "")
                    at += 1
                at = ends.get(at + 1, at)
            elif f"{line.lstrip()} ".startswith(DROPPED):  # an empty line has lost the blank
                kept = without(line.lstrip(), DROPPED)
                done.append(margin + kept if kept else "")
                at += 1
            else:
                done.append(plain_comment(line))
                at += 1
        if done and self.is_main and done[-1].startswith("%%workflow "):
            self.options = done.pop().removeprefix("%%workflow ")
        return "\n".join(done).strip("\n")


def _on_one_line(lines: Sequence[str]) -> str:
    """A signature that a formatter broke up."""
    joined = ""
    for line in (line.strip() for line in lines):
        if line[:1] in (")", "]", "}"):
            joined = joined.rstrip(", ")
        elif joined and joined[-1] not in "([{":
            joined += " "
        joined += line
    return joined


def _end_of_head(text: str, fn: ast.AsyncFunctionDef) -> int:
    """The line, from 1, on which the colon of the ``def`` stands."""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.start[0] < fn.lineno:
            continue
        depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
        if token.string == ":" and depth == 0 and token.type == tokenize.OP:
            return token.start[0]
    raise ExportError(f"{fn.name} has no body")


def _undecorated(text: str, magic: str) -> str:
    """Without the decorators that ``%%workflow`` put there."""
    lines = text.split("\n")
    options = magic.removeprefix("%%workflow").strip()
    ours = f"@{MANAGER}.workflow" + (f"(name={options.removeprefix('--name ')})" if options else "")
    gone = {
        decorator.lineno - 1
        for node in ast.parse(text).body
        if isinstance(node, ast.AsyncFunctionDef)
        for decorator in node.decorator_list[:1]
        if lines[decorator.lineno - 1] == ours
    }
    return "\n".join(line for number, line in enumerate(lines) if number not in gone)


def _unshown(text: str) -> str:
    """The last expression as the cell had it: shown, or closed by a semicolon."""
    lines = text.split("\n")
    body = ast.parse(text).body
    if not body or not isinstance(body[-1], ast.Expr):
        return text
    node = body[-1].value
    begin, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    if begin and lines[begin - 1].startswith(KEPT):
        return text
    at, to = len(lines[begin].encode()[: node.col_offset].decode()), len(lines[end].encode()[: node.end_col_offset].decode())
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == f"{SCRIPT}.show"):
        if not shows_nothing(node):
            after = lines[end][to:]
            closed = to + len(re.match(r"(?:\s*\))*", after)[0])  # type: ignore[index] - it matches nothing, too
            lines[end] = f"{lines[end][:closed]};{lines[end][closed:]}"
        return "\n".join(lines)
    after = lines[end][to:]
    whole = lines[begin : end + 1]
    whole[-1] = whole[-1][: to - 1]
    whole[0] = whole[0][at + len(f"{SCRIPT}.show(") :]
    expression = "\n".join(whole)
    if expression.startswith("\n"):
        expression = strip_blank(dedent(expression.strip("\n")))
    lines[begin : end + 1] = f"{lines[begin][:at]}{expression}{after}".split("\n")
    return "\n".join(lines)
