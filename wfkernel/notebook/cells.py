"""A cell becomes a workflow: the magic's line and the cell's text are parsed, and compiled as the decorator form would be.

``%%workflow trip(city: str) -> Report`` with the body below: the nodes parsed from the cell move into the function node parsed
from the line. What linecache holds under the cell's name is the same function as text, so that tracebacks, ``inspect`` and
fingerprints see what they would see of ``@wf.workflow``. ``%%workflow`` alone: the cell's definitions as they stand.

Nothing here knows IPython: a cell is text, its file name and a namespace.
"""

from __future__ import annotations
import __future__

import ast
import io
import linecache
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from wfkernel.errors import DefinitionError
from wfkernel.export.layout import lines_in_strings
from wfkernel.export.magicline import DEF, OPTIONS, STEP, MagicLine, keyword_values, read_line, split_words, unquote, with_step

__all__ = [
    "OPTIONS",
    "InvalidCell",
    "MagicLine",
    "WorkflowCell",
    "keyword_values",
    "read_cell",
    "read_line",
    "split_words",
    "unquote",
]

_MAGIC = "%%workflow "
_INDENT = "    "
_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag

_LEADING_BLANK = re.compile(r"(?:[ \t]*\n)*")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class InvalidCell(DefinitionError):
    """The cell cannot be a workflow.

    Attributes:
        syntax: what is wrong and where, as Python would say it; lines and columns are those of the cell.
    """

    def __init__(self, syntax: SyntaxError):
        super().__init__(f"line {syntax.lineno}: {syntax.msg}")
        self.syntax = syntax


# -- the cell --


@dataclass
class WorkflowCell:
    """A cell that was parsed.

    Attributes:
        text: what it means, as Python text whose lines are the cell's: line 1 is the magic's line.
        tree: the module to compile, positioned in ``text``.
        workflows: the functions in it that are workflows.
        filename: IPython's name of the cell, under which the code is compiled and linecache finds the text.
    """

    text: str
    tree: ast.Module
    workflows: list[ast.AsyncFunctionDef]
    filename: str
    _raw: list[str] = field(repr=False)
    _shift: int = field(default=0, repr=False)

    def define(self, namespace: dict[str, Any], make: Callable[[ast.AsyncFunctionDef, Any], Any], *, flags: int = 0) -> list[Any]:
        """Run the definitions in the namespace.

        Args:
            make: gets the node and what it defined, returns the workflow that the name shall be bound to.
            flags: the compiler's; those of ``from __future__`` imports in earlier cells hold here, too.

        Returns:
            What ``make`` returned, in the order of the cell.

        Raises:
            InvalidCell: it does not compile.
        """
        codes = [(node, self._compile(node, flags)) for node in self.tree.body]
        remember_text(self.filename, self.text)
        made: list[Any] = []
        pending: dict[str, tuple[ast.AsyncFunctionDef, Any]] = {}

        def make_pending() -> None:
            while pending:
                name = next(iter(pending))
                workflow = make(*pending.pop(name))
                namespace[name] = workflow
                made.append(workflow)

        # A workflow that resumes at its definition may need the helpers below it, so it is made at the end, or where the cell's
        # own code first mentions it. Until then its name keeps what it had: a definition that is refused changes nothing.
        for node, code in codes:
            if _names_used(node) & pending.keys():
                make_pending()
            if node in self.workflows:
                assert isinstance(node, ast.AsyncFunctionDef)
                mine: dict[str, Any] = {}
                exec(code, namespace, mine)
                pending[node.name] = node, mine[node.name]
            else:
                exec(code, namespace)
        make_pending()
        return made

    def _compile(self, node: ast.stmt, flags: int) -> Any:
        try:
            return compile(
                ast.Module([node], []), self.filename, "exec", flags=(flags | _futures(self.tree)) & _FUTURE, dont_inherit=True
            )
        except SyntaxError as exc:
            raise InvalidCell(_placed(exc, self._raw, self.filename, self._shift)) from None


def remember_text(filename: str, text: str) -> None:
    """Let linecache show ``text`` for this name. Not by ``splitlines``, which also breaks at form feeds within strings."""
    text += "" if text.endswith("\n") else "\n"
    linecache.cache[filename] = (len(text), None, io.StringIO(text).readlines(), filename)


def read_cell(
    line: MagicLine, raw_line: str, cell: str, filename: str, transform: Callable[[str], str] | None = None
) -> WorkflowCell:
    """Parse a ``%%workflow`` cell.

    Args:
        line: the magic's line, taken apart; ``raw_line`` is its text.
        cell: the text below it.
        filename: IPython's name of the cell, for error messages.
        transform: turns IPython's syntax (``!ls``) into Python, to tell it from an error.

    Raises:
        InvalidCell: a syntax error, or what cannot be a workflow, with its line in the cell.
    """
    raw = [f"{_MAGIC}{raw_line}\n", *io.StringIO(cell).readlines()]
    reader = _Reader(raw, cell, filename, transform)
    return reader.body(line.signature, raw_line) if line.signature else reader.definitions()


@dataclass
class _Reader:
    raw: list[str]
    cell: str
    filename: str
    transform: Callable[[str], str] | None

    # the signature is in the magic's line, the cell is the body

    def body(self, signature: str, raw_line: str) -> WorkflowCell:
        head, fn = self._head(signature, raw_line)
        is_indented = _is_indented(self.cell)
        nodes = self._parse(f"{DEF}_():\n" if is_indented else "\n", is_body=True)
        if is_indented:
            first, *rest = nodes
            assert isinstance(first, ast.AsyncFunctionDef)
            if rest:
                self._refuse(rest[0], "the body is indented above, and not here")
            nodes = first.body
        if not nodes:
            last = SyntaxError(
                "the cell has no body; write `pass` for a workflow that does nothing", (self.filename, 1, 1, self.raw[0])
            )
            raise InvalidCell(last)
        fn.body = nodes
        self._check_body(nodes, fn.name)
        text = self.cell
        if not is_indented:
            lines = _indented_lines(self.cell)
            text = "".join(_INDENT + t if n in lines else t for n, t in enumerate(io.StringIO(self.cell), 2))
            _shift(nodes, lines)
        fn.end_lineno, fn.end_col_offset = nodes[-1].end_lineno, nodes[-1].end_col_offset
        return WorkflowCell(
            f"{head}\n{text}", ast.Module([fn], []), [fn], self.filename, self.raw, 0 if is_indented else len(_INDENT)
        )

    def _head(self, signature: str, raw_line: str) -> tuple[str, ast.AsyncFunctionDef]:
        """Line 1 as the ``async def`` that it stands for, with ``step`` first, and its node."""
        moved = len(_MAGIC) + raw_line.index(signature) - len(DEF)
        try:
            tree = ast.parse(f"{DEF}{signature}: pass", self.filename)
        except SyntaxError as exc:
            if re.match(r"(async\s+)?def\s", signature):
                exc.msg = "the signature alone, without `def`: %%workflow trip(city: str)"
            elif signature.isidentifier():
                exc.msg = f"a signature has parentheses: %%workflow {signature}()"
            elif exc.offset is not None and exc.offset > len(DEF) + len(signature):
                exc.msg = f"invalid signature; write it as in %%workflow trip(city: str, days: int = 3) -> Report ({exc.msg})"
            raise InvalidCell(_placed(exc, self.raw, self.filename, -moved)) from None
        fn = tree.body[0]
        assert isinstance(fn, ast.AsyncFunctionDef)
        if fn.body[0].col_offset < len(f"{DEF}{signature}".encode()):  # `trip(): pass #`
            self._refuse(fn, "the line of %%workflow is a signature, as in trip(city: str, days: int = 3) -> Report")
        signature = with_step(signature, fn)
        head = f"{DEF}{signature}:"
        try:
            fn = ast.parse(f"{head} pass", self.filename).body[0]
        except SyntaxError as exc:  # `/` first, or a second `step`: shown where the signature is
            exc.offset = exc.end_offset = len(DEF) + 1
            raise InvalidCell(_placed(exc, self.raw, self.filename, -moved)) from None
        assert isinstance(fn, ast.AsyncFunctionDef)
        names = [a.arg for a in ast.walk(fn.args) if isinstance(a, ast.arg)]
        if names.count(STEP) > 1:
            self._refuse(fn, f"`{STEP}` is the first parameter of every workflow and cannot be another one")
        return head, fn

    # the cell holds the definitions

    def definitions(self) -> WorkflowCell:
        nodes = self._parse("\n", is_body=False)
        tree = ast.Module(nodes, [])
        for node in _own_nodes(nodes):
            if isinstance(node, (ast.Return, ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)):
                what = type(node).__name__.lower().removeprefix("async")
                self._refuse(
                    node,
                    f"`{what}` outside a function. If this cell is the body of a workflow, its signature belongs in the magic's line: "
                    "%%workflow trip(city: str); to wait for a run, use the next cell",
                )
        workflows = [n for n in nodes if isinstance(n, ast.AsyncFunctionDef) and _first_parameter(n) == STEP]
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and _first_parameter(node) == STEP:
                self._refuse(node, f"a workflow is an `async def`: write async def {node.name}({STEP}, ...)")
        if not workflows:
            message = (
                "the cell defines no workflow: it needs an `async def` whose first parameter is `step`, "
                "or a signature in the magic's line, as in %%workflow trip(city: str)"
            )
            raise InvalidCell(SyntaxError(message, (self.filename, 1, 1, self.raw[0])))
        for node in workflows:
            self._check_body(node.body, node.name)
        text = self.cell if self._python is None else self._python
        return WorkflowCell(f"# {self.raw[0].rstrip()}\n{text}", tree, workflows, self.filename, self.raw)

    # both

    _python: str | None = field(default=None, init=False)  # the cell in plain Python, where it was not

    def _parse(self, before: str, *, is_body: bool) -> list[ast.stmt]:
        """The statements of the cell. ``return`` and ``await`` outside functions parse; it is the compiler that refuses them."""
        try:
            return ast.parse(before + self.cell, self.filename).body
        except SyntaxError as exc:
            nodes = self._parse_transformed(is_body)
            if nodes is None:
                raise InvalidCell(_placed(exc, self.raw, self.filename)) from None
            return nodes

    def _parse_transformed(self, is_body: bool) -> list[ast.stmt] | None:
        """The statements of a cell with IPython's own syntax, which is refused in bodies; None if that is not what is wrong."""
        if self.transform is None:
            return None
        blank = _LEADING_BLANK.match(self.cell).end()  # type: ignore[union-attr] - IPython drops leading blank lines
        try:
            python = self.cell[:blank] + self.transform(self.cell[blank:])
            nodes = ast.parse("\n" + python, self.filename).body
        except SyntaxError:
            return None
        calls = _shell_calls(nodes)
        if is_body:
            if calls:
                self._refuse(calls[0], _NO_SHELL)
            return None
        if python.count("\n") != self.cell.count("\n") + (not self.cell.endswith("\n")):
            self._refuse(calls[0] if calls else None, "`!` and `%` over several lines belong in a cell of their own")
        self._python = python
        return nodes

    def _check_body(self, nodes: list[ast.stmt], name: str) -> None:
        for node in _own_nodes(nodes):
            if isinstance(node, (ast.Yield, ast.YieldFrom)):
                self._refuse(node, f"a workflow cannot `yield`: {name} ends with `return`, and tells what it does by steps")
        calls = _shell_calls(nodes)
        if calls:
            self._refuse(calls[0], _NO_SHELL)

    def _refuse(self, node: Any, message: str) -> None:
        line = getattr(node, "lineno", 1)
        text = self.raw[line - 1] if line <= len(self.raw) else ""
        column = getattr(node, "col_offset", 0) + 1 if line > 1 else 1
        raise InvalidCell(SyntaxError(message, (self.filename, line, min(column, len(text) or 1), text)))


_NO_SHELL = (
    "`!`, `%` and `?` cannot be used in a workflow's body, which runs again at each replay; "
    "put it in a cell of its own, or run the program in an action: await step.run_action(subprocess.run, ...)"
)


def _placed(exc: SyntaxError, raw: list[str], filename: str, shift: int = 0) -> SyntaxError:
    """The same error with the cell's own text, and columns moved back by ``shift``."""
    line = min(exc.lineno or 1, len(raw))
    text = raw[line - 1]
    start, end = exc.offset, exc.end_offset
    if start is not None and shift:
        start = max(1, start - shift)
        end = max(start, end - shift) if end else end
    end_line = min(exc.end_lineno, len(raw)) if exc.end_lineno else None
    return type(exc)(exc.msg, (filename, line, start, text, end_line, end))


def _is_indented(cell: str) -> bool:
    code = (t for t in cell.splitlines() if t.strip() and not t.lstrip().startswith("#"))
    return next(code, "")[:1] in (" ", "\t")


def _indented_lines(cell: str) -> set[int]:
    """The lines, counted from 2, that get an indent: those that are not empty and begin in no string."""
    inside = lines_in_strings(cell)
    return {n + 1 for n, text in enumerate(io.StringIO(cell), 1) if text.strip() and n not in inside}


def _shift(nodes: list[ast.stmt], lines: set[int]) -> None:
    for top in nodes:
        for node in ast.walk(top):
            position: Any = node
            if getattr(node, "lineno", None) in lines:
                position.col_offset += len(_INDENT)
            if getattr(node, "end_lineno", None) in lines:
                position.end_col_offset += len(_INDENT)


def _own_nodes(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that run as part of these statements: nothing inside functions, lambdas and classes defined there."""
    for node in nodes:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _own_nodes(list(ast.iter_child_nodes(node)))


def _shell_calls(nodes: list[ast.stmt]) -> list[ast.Call]:
    """Calls ``get_ipython().system(...)`` and the like, in order: what IPython's syntax becomes."""
    calls = [
        node
        for node in ast.walk(ast.Module(nodes, []))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Call)
        and isinstance(node.func.value.func, ast.Name)
        and node.func.value.func.id == "get_ipython"
    ]
    return sorted(calls, key=lambda call: call.lineno)


def _first_parameter(fn: Function) -> str | None:
    return next((a.arg for a in (*fn.args.posonlyargs, *fn.args.args)), None)


def _names_used(node: ast.stmt) -> set[str]:
    """Names that running this statement looks up; what a function's body uses is looked up at its call."""
    parts: list[ast.AST] = [node]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        parts = [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
    return {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}


def _futures(tree: ast.Module) -> int:
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(getattr(__future__, alias.name, None), "compiler_flag", 0)
    return flags
