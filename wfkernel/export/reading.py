"""A code cell as plain Python, in pieces: statements with the comments above them, each in its text and as nodes."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from wfkernel.errors import WfkernelError
from wfkernel.export.layout import dedent, indent, is_open, squeeze, tidy
from wfkernel.export.linemagics import MANAGER, SCRIPT, is_magic, quoted, start_line, translate
from wfkernel.export.magicline import DEF, STEP, MagicLine, read_line, split_options, with_step
from wfkernel.export.marks import DROPPED, KEPT, commented, escaped
from wfkernel.export.names import free_reads
from wfkernel.export.refusals import Refusal, Refused

__all__ = ["CodeCell", "Notebook", "Piece", "own_nodes", "read_code", "shows_nothing", "split_above"]

_WIDGETS = frozenset({"approve", "dashboard", "timeline"})
_MANAGERS = frozenset({"WorkflowManager"})
_QUIET = frozenset({"print", "display"})  # their own value is None
_HISTORY = re.compile(r"In|Out|_{1,3}|_i{1,3}|_i?\d+")
_OUTSIDE = (ast.Return, ast.Yield, ast.YieldFrom)
_NOT_IN_BODIES = "`!`, `%` and `?` cannot be used in a workflow's body; run the program in an action"


@dataclass
class Piece:
    """One statement, or several that share a line; or comments alone.

    Attributes:
        text: with the comments and empty lines above.
        nodes: what it says.
        line: its first line in the cell.
        is_made: it stands for a magic, which is in the comment above it.
        features: what it imported from __future__, which only the top of a script can.
    """

    text: str
    nodes: list[ast.stmt]
    line: int
    is_made: bool = False
    features: list[str] = field(default_factory=list)

    def line_of(self, node: ast.AST) -> int:
        """The line in the cell of a node of the statement."""
        top = self.nodes[0]
        begin = min([top.lineno, *(d.lineno for d in getattr(top, "decorator_list", []))])
        return self.line + max(getattr(node, "lineno", begin) - begin, 0)

    def text_of(self, node: ast.AST) -> str:
        """The first line of what such a node says."""
        return ast.unparse(node).split("\n")[0]


@dataclass(frozen=True)
class Notebook:
    """What has to be known of all cells to read one.

    Attributes:
        names: all that they bind.
        used: all that they read.
        journal: the path that the script shall open, instead of the notebook's own.
        called: what it calls wfkernel and what it imports from it, and what that is.
    """

    names: Set[str] = frozenset()
    used: Set[str] = frozenset()
    journal: str | None = None
    called: Mapping[str, str] = field(default_factory=dict)


@dataclass
class CodeCell:
    """A cell in pieces, and what was wrong with it.

    Attributes:
        magic: the head of its magic for the cell's mark: "", "%%workflow" or "%%workflow trip".
    """

    pieces: list[Piece] = field(default_factory=list)
    magic: str = ""
    refusals: list[Refusal] = field(default_factory=list)


def read_code(source: str, number: int, notebook: Notebook) -> CodeCell:
    """The pieces of a cell."""
    reader = _Reader(source, number, notebook)
    try:
        reader.read()
    except Refused as exc:
        reader.refuse(exc.line, exc.reason)
    return reader.cell


def own_nodes(nodes: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes that run as part of these statements: nothing inside functions, lambdas and classes defined there."""
    todo: list[ast.AST] = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(node))


@dataclass
class _Reader:
    source: str
    number: int
    notebook: Notebook
    cell: CodeCell = field(default_factory=CodeCell)

    def __post_init__(self) -> None:
        self._lines = self.source.split("\n")
        self._python: list[str] = []
        self._origin: list[int] = []  # of each line of _python, its line in the cell
        self._made: set[int] = set()  # lines of _python (from 1) that we wrote

    def refuse(self, line: int | None, reason: str) -> None:
        text = self._lines[line - 1] if line is not None and line <= len(self._lines) else ""
        self.cell.refusals.append(Refusal(self.number, line, text, reason))

    def read(self) -> None:
        first = next((n for n, line in enumerate(self._lines) if line.strip()), len(self._lines))
        head = self._lines[first] if first < len(self._lines) else ""
        if not head.startswith("%%"):
            self._plain(first, None)
            return
        name, _, rest = head[2:].partition(" ")
        if name != "workflow":
            raise Refused(
                f"the cell magic %%{name.split()[0] if name.split() else ''} means nothing outside a notebook", first + 1
            )
        try:
            said = read_line(rest)
        except WfkernelError as exc:
            raise Refused(str(exc), first + 1) from None
        if said.signature:
            self._body(first, rest, said)
        else:
            self.cell.magic = "%%workflow" + (f" --name {quoted(said.name)}" if said.name is not None else "")
            self._plain(first + 1, said)
        if said.start is not None:
            self._start(first, rest, said)

    # -- %%workflow --

    def _body(self, first: int, rest: str, said: MagicLine) -> None:
        try:
            fn = ast.parse(f"{DEF}{said.signature}: pass").body[0]
            assert isinstance(fn, ast.AsyncFunctionDef)
            head = f"{DEF}{with_step(said.signature, fn)}:"
            ast.parse(f"{head} pass")
        except SyntaxError as exc:
            raise Refused(f"{exc.msg}; a signature is written as in %%workflow trip(city: str) -> Report", first + 1) from None
        body = "\n".join(self._lines[first + 1 :])
        nodes = self._parsed_body(body, first + 2)
        if not nodes:
            raise Refused("the cell has no body", first + 1)
        self._check(nodes, lambda line: line + first + 1, _OUTSIDE[1:])
        lead = next(line for line in body.split("\n") if line.strip() and not line.lstrip().startswith("#"))
        margin = lead[: len(lead) - len(lead.lstrip())]
        body = escaped(squeeze(tidy(dedent(body, margin) if margin else body), 1))
        text = f"{_decorator(said.name)}\n{head}\n{indent(body)}"
        made = ast.parse(text).body[0]
        assert isinstance(made, ast.AsyncFunctionDef)
        if [ast.dump(n) for n in made.body] != [ast.dump(n) for n in nodes]:
            raise Refused("the body would change its meaning where it is indented", first + 1)
        self.cell.magic = f"%%workflow {fn.name}"
        self.cell.pieces.append(Piece(text, [made], first + 1))

    def _parsed_body(self, body: str, line: int) -> list[ast.stmt]:
        try:
            return _statements(body)
        except SyntaxError as exc:
            at = min(exc.lineno or 1, body.count("\n") + 1)
            has_magic = is_magic(body.split("\n")[at - 1])
            raise Refused(_NOT_IN_BODIES if has_magic else f"invalid syntax: {exc.msg}", at + line - 1) from None

    def _start(self, first: int, rest: str, said: MagicLine) -> None:
        workflows = [
            n
            for p in self.cell.pieces
            for n in p.nodes
            if isinstance(n, ast.AsyncFunctionDef) and (said.signature or _is_workflow(n))
        ]
        if len(workflows) != 1:
            raise Refused("--start is for one workflow", first + 1)
        options = split_options(rest)[1]
        statement = start_line(workflows[0].name, said.start or [], said.id, self.notebook.names)
        text = f"{KEPT}%%workflow {options}\n{statement}"
        self.cell.pieces.append(Piece(text, ast.parse(statement).body, first + 1, is_made=True))

    # -- any other cell --

    def _plain(self, first: int, said: MagicLine | None) -> None:
        self._to_python(first)
        text = "\n".join(self._python)
        try:
            tree = ast.parse(text)
        except SyntaxError as exc:
            at = self._origin_of(exc.lineno or 1)
            if not self.cell.refusals:  # else it may come from what was refused
                raise Refused(f"invalid syntax: {exc.msg}", at) from None
            return
        self._check(tree.body, self._origin_of, _OUTSIDE)
        self._python = escaped(tidy(text), self._made).split("\n")
        for piece in self._slices(tree.body):
            self._add(piece, piece.nodes[-1:] == tree.body[-1:], said)

    def _to_python(self, first: int) -> None:
        try:
            ast.parse("\n".join(self._lines[first:]))
            is_python = True
        except SyntaxError:
            is_python = False
        at = first
        while at < len(self._lines):
            line = self._lines[at]
            if is_python or not is_magic(line) or is_open("\n".join(self._python) + "\n" if self._python else ""):
                self._say(at, line)
                at += 1
                continue
            end = at
            while self._lines[end].endswith("\\") and end + 1 < len(self._lines):
                end += 1
            at = self._magic(at, end)

    def _say(self, at: int, *lines: str, is_made: bool = False) -> None:
        for line in lines:
            self._python.append(line)
            self._origin.append(at + 1)
            if is_made:
                self._made.add(len(self._python))

    def _magic(self, at: int, end: int) -> int:
        """Write down what the magic on these lines becomes; the line at which to go on."""
        lines = self._lines[at : end + 1]
        margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
        try:
            statement = translate("\n".join(lines), self.notebook.names)
        except Refused as exc:
            self.refuse(at + 1, exc.reason)
            self._say(at, f"{margin}pass", is_made=True)
            return end + 1
        if statement is not None and statement == f"{MANAGER} = {SCRIPT}.manager()":
            lines, statement, end = self._journal(lines, statement, end)
        elif (
            statement is not None and statement.startswith(f"{MANAGER} = {SCRIPT}.manager(") and self.notebook.journal is not None
        ):
            lines, statement = self._other_journal(margin)
        if statement is None and margin:
            statement = "pass"  # the block may hold nothing else
        prefix = DROPPED if statement is None else KEPT
        self._say(at, *(f"{margin}{prefix}{line.removeprefix(margin)}" for line in lines), is_made=True)
        if statement is not None:
            self._say(at, f"{margin}{statement}", is_made=True)
        return end + 1

    def _journal(self, lines: list[str], statement: str, end: int) -> tuple[list[str], str, int]:
        """``%load_ext wfkernel``, and the ``%wf journal PATH`` that may follow: one manager."""
        following = self._lines[end + 1] if end + 1 < len(self._lines) else ""
        if re.match(r"%wf\s+journal\s+\S", following):
            opened = translate(following, self.notebook.names)
            if opened is not None:
                lines, statement, end = [*lines, following], opened, end + 1
        if self.notebook.journal is not None:
            other, statement = self._other_journal("")
            lines = [*lines[:1], *other]
        return lines, statement, end

    def _other_journal(self, margin: str) -> tuple[list[str], str]:
        path = quoted(self.notebook.journal or "")
        return [f"{margin}%wf journal {path}"], f"{MANAGER} = {SCRIPT}.manager({path})"

    def _origin_of(self, line: int) -> int:
        return self._origin[min(line, len(self._origin)) - 1] if self._origin else 1

    def _check(self, nodes: list[ast.stmt], origin: Callable[[int], int], outside: tuple[type[ast.AST], ...]) -> None:
        for node in own_nodes(nodes):
            if isinstance(node, outside):
                what = type(node).__name__.lower().removesuffix("from")
                self.refuse(origin(getattr(node, "lineno", 1)), f"`{what}` outside a function")
        for name in free_reads(nodes):
            if name.id == "get_ipython":
                self.refuse(origin(name.lineno), "get_ipython() is None outside a notebook")
            elif _HISTORY.fullmatch(name.id) and self.notebook.names and name.id not in self.notebook.names:
                self.refuse(origin(name.lineno), f"`{name.id}`, the history of a session, is not there in a script")

    def _slices(self, nodes: list[ast.stmt]) -> list[Piece]:
        """The cell cut between its statements; what stands above a statement goes with it."""
        found: list[Piece] = []
        done = 0
        for node in nodes:
            begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            end = node.end_lineno or node.lineno
            if found and begin <= done:
                found[-1].nodes.append(node)
                found[-1].text = "\n".join([found[-1].text, *self._python[done:end]])
            else:
                text = "\n".join(self._python[done:end])
                found.append(Piece(text, [node], self._origin_of(begin), begin in self._made))
            done = max(done, end)
        rest = "\n".join(self._python[done:])
        if rest.strip():
            found.append(Piece(rest.rstrip(), [], self._origin_of(done + 1)))
        return found

    def _add(self, piece: Piece, is_last: bool, said: MagicLine | None) -> None:
        if piece.nodes and not piece.is_made:
            piece = (
                self._dropped(piece)
                or self._opened(piece)
                or self._import(piece)
                or (_decorated(piece, said) if said is not None else None)
                or (_shown(piece) if is_last else None)
                or piece
            )
        self.cell.pieces.append(piece)

    def _dropped(self, piece: Piece) -> Piece | None:
        """A widget: there is nobody to look at it."""
        (node, *more) = piece.nodes
        if more or not isinstance(node, ast.Expr) or self._called(node.value) not in _WIDGETS:
            return None
        above, text = split_above(piece)
        return Piece(f"{above}{commented(text, DROPPED)}", [], piece.line)

    def _opened(self, piece: Piece) -> Piece | None:
        """``wf = WorkflowManager(...)``: opened at its first use, and --journal counts."""
        (node, *more) = piece.nodes
        if more or not isinstance(node, (ast.Assign, ast.AnnAssign)) or self._called(node.value) not in _MANAGERS:
            return None
        assert isinstance(node.value, ast.Call)
        target, *others = node.targets if isinstance(node, ast.Assign) else [node.target]
        if others or not isinstance(target, ast.Name):
            return None
        if self.notebook.journal is not None:
            raise Refused(
                "the notebook opens its journal here: change the path here, or run the script with --journal", piece.line
            )
        above, text = split_above(piece)
        arguments = [ast.unparse(a) for a in node.value.args]
        arguments += [f"{k.arg}={ast.unparse(k.value)}" if k.arg else f"**{ast.unparse(k.value)}" for k in node.value.keywords]
        statement = f"{target.id} = {SCRIPT}.manager({', '.join(arguments)})"
        return self._replaced(above, text, statement, piece.line)

    def _import(self, piece: Piece) -> Piece | None:
        """``from wfkernel import approve``, where what used it was dropped; and ``from __future__``, which goes to the top."""
        (node, *more) = piece.nodes
        if more or not isinstance(node, ast.ImportFrom) or node.level:
            return None
        above, text = split_above(piece)
        if node.module == "__future__":
            return Piece(f"{above}{commented(text, DROPPED)}", [], piece.line, features=[a.name for a in node.names])
        unused = {a.name for a in node.names if a.name in _WIDGETS and (a.asname or a.name) not in self.notebook.used}
        if node.module != "wfkernel" or not unused:
            return None
        rest = [a for a in node.names if a.name not in unused]
        if not rest:
            return Piece(f"{above}{commented(text, DROPPED)}", [], piece.line)
        statement = ast.unparse(ast.ImportFrom("wfkernel", rest, 0))
        return self._replaced(above, text, statement, piece.line)

    def _called(self, node: ast.expr | None) -> str:
        """``approve`` for a call of approve(...), of wfkernel.approve(...), or of what the notebook calls these."""
        if not isinstance(node, ast.Call):
            return ""
        function, called = node.func, self.notebook.called
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            return function.attr if called.get(function.value.id) == "wfkernel" else ""
        return called.get(function.id, function.id) if isinstance(function, ast.Name) else ""

    def _replaced(self, above: str, text: str, statement: str, line: int) -> Piece:
        return Piece(f"{above}{commented(text, KEPT)}\n{statement}", ast.parse(statement).body, line, is_made=True)


def _statements(text: str) -> list[ast.stmt]:
    """Those of a body, which may be indented as a whole."""
    code = next((line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")), "")
    if code[:1] not in (" ", "\t"):
        return ast.parse(text).body
    try:
        (block,) = ast.parse(f"if 1:\n{text}").body
    except SyntaxError as exc:
        exc.lineno = (exc.lineno or 2) - 1
        raise
    except ValueError:
        raise SyntaxError("the body is indented at its beginning, and not to its end") from None
    assert isinstance(block, ast.If)
    return block.body


def split_above(piece: Piece) -> tuple[str, str]:
    """The lines above the statement, and the lines from it on."""
    above = ast.parse(piece.text).body[0].lineno - 1
    lines = piece.text.split("\n")
    return "".join(f"{line}\n" for line in lines[:above]), "\n".join(lines[above:])


def _decorator(name: str | None) -> str:
    return f"@{MANAGER}.workflow" + (f"(name={quoted(name)})" if name is not None else "")


def _is_workflow(node: ast.stmt) -> bool:
    if not isinstance(node, ast.AsyncFunctionDef):
        return False
    first = next(iter((*node.args.posonlyargs, *node.args.args)), None)
    return first is not None and first.arg == STEP


def _decorated(piece: Piece, said: MagicLine) -> Piece | None:
    """An ``async def`` with a step, in a cell of definitions: the magic does what the decorator does."""
    (node, *more) = piece.nodes
    if more or not isinstance(node, ast.AsyncFunctionDef) or not _is_workflow(node):
        return None
    names = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    if any(isinstance(d, ast.Attribute) and d.attr == "workflow" for d in names):
        return None
    made = ast.parse(piece.text).body[0]
    assert isinstance(made, ast.AsyncFunctionDef)
    begin = min([made.lineno, *(d.lineno for d in made.decorator_list)])
    lines = piece.text.split("\n")
    lines.insert(begin - 1, _decorator(said.name))
    text = "\n".join(lines)
    return Piece(text, ast.parse(text).body, piece.line)


def _shown(piece: Piece) -> Piece | None:
    """The cell's last expression, which the notebook shows."""
    lines = piece.text.split("\n")
    node = ast.parse(piece.text).body[-1]
    end = (node.end_lineno or node.lineno) - 1
    to = _characters(lines[end], node.end_col_offset or 0)
    after = lines[end][to:]
    is_closed = re.match(r"[\s)]*;", after)
    if is_closed:
        lines[end] = lines[end][:to] + after.replace(";", "", 1).rstrip()
    elif isinstance(node, ast.Expr) and not shows_nothing(node.value):
        begin = node.lineno - 1
        at = _characters(lines[begin], node.col_offset)
        whole = lines[begin : end + 1]
        whole[-1] = whole[-1][:to]
        whole[0] = whole[0][at:]
        expression = "\n".join(whole)
        if isinstance(node.value, ast.Tuple) and not expression.startswith("("):
            expression = f"({expression})"
        if end > begin and not lines[begin][:at]:
            expression = f"\n{indent(expression)}\n"
        shown = f"{lines[begin][:at]}{SCRIPT}.show({expression}){after}"
        lines[begin : end + 1] = shown.split("\n")
    text = tidy("\n".join(lines))
    return Piece(text, ast.parse(text).body, piece.line)


def shows_nothing(node: ast.expr) -> bool:
    """Whether the value is None in any case, so that a notebook would show nothing of it."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _QUIET


def _characters(line: str, offset: int) -> int:
    """The position that a node's offset, in bytes, means."""
    return len(line.encode()[:offset].decode())
