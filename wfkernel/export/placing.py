"""Which statements stay at the module's level, where a worker finds them, and which belong in main()."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from wfkernel.export.linemagics import SCRIPT
from wfkernel.export.names import bound, needed_at_once, read
from wfkernel.export.ordering import Placed
from wfkernel.export.reading import Piece, own_nodes
from wfkernel.export.refusals import Refusal

__all__ = ["MODULE_LEVEL", "Cell", "Placing"]

MODULE_LEVEL = "module-level"  # the tag of a cell that stays at the module's level as a whole

# Calls that make a value and do nothing else. Anything else might start a run, read a file, or take a minute.
_MAKERS = frozenset(
    """define_event RetryPolicy timedelta datetime date time timezone ZoneInfo Path PurePath Decimal Fraction UUID compile getLogger
    TypeVar ParamSpec NewType namedtuple NamedTuple TypedDict Enum Field TypeAdapter ConfigDict frozenset set dict list tuple range
    str int float bool bytes Lock Event ContextVar manager""".split()
)
_PLAIN = (
    *(
        ast.Constant,
        ast.Tuple,
        ast.List,
        ast.Set,
        ast.Dict,
        ast.Starred,
        ast.UnaryOp,
        ast.BinOp,
        ast.BoolOp,
        ast.Compare,
        ast.IfExp,
    ),
    *(ast.Attribute, ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.Lambda, ast.Name),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context, ast.keyword, ast.arguments, ast.arg),
)
_OF_HERE = {"exec": 1, "locals": 0, "vars": 0, "dir": 0}  # calls with so many arguments are about the names of where they are
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass
class Cell:
    """A cell on its way into the script.

    Attributes:
        source: the text of a Markdown or raw cell.
        magic: of a code cell, for its mark.
        module, main: the pieces of a code cell, by where they go.
    """

    number: int
    kind: str
    tags: tuple[str, ...] = ()
    source: str = ""
    magic: str = ""
    module: list[Piece] = field(default_factory=list)
    main: list[Piece] = field(default_factory=list)


class Placing:
    """Goes through the notebook from top to bottom, and remembers what is where by then."""

    def __init__(self, late: Set[str] = frozenset()) -> None:
        """``late`` are names of constants that are made in main(), in their turn."""
        self.in_module: set[str] = set()
        self.in_main: dict[str, int] = {}
        self.refusals: list[Refusal] = []
        self.sequence: list[Placed] = []
        self._late = late
        self._is_open_world = False  # after a star import, any name may be there

    def place(self, cell: Cell, pieces: Sequence[Piece]) -> None:
        """Divide the pieces of a cell between its ``module`` and its ``main``."""
        is_pinned = MODULE_LEVEL in cell.tags
        waiting: list[Piece] = []  # comments go with the statement below them
        for piece in pieces:
            if not piece.nodes:
                waiting.append(piece)
                continue
            target = cell.module if is_pinned or all(self._is_definition(n) for n in piece.nodes) else cell.main
            target.extend([*waiting, piece])
            waiting = []
            self.sequence.append(Placed(cell.number, piece, target is cell.module, is_pinned))
            for node in piece.nodes:
                self._remember(node, cell, piece, target is cell.module)
        # at the cell's end: an import could not tell comments at the end of `module` from those at the beginning of `main`
        (cell.main or cell.module).extend(waiting)

    def _remember(self, node: ast.stmt, cell: Cell, piece: Piece, is_module: bool) -> None:
        names = bound(node)
        if not is_module:
            self._check_in_main(node, cell, piece)
            for name in names:
                self.in_main.setdefault(name, cell.number)
            return
        for name in sorted(needed_at_once(node) & self.in_main.keys() - self.in_module):
            where = (
                f"`{name}` comes from cell {self.in_main[name]}, which runs in main(), and is needed here when this is defined: "
            )
            reason = where + (
                "use it in a function's body, or give another name to what later cells make anew under this one"
                if name in self._late
                else f"use it in a function's body, make it a constant, or give that cell the tag `{MODULE_LEVEL}`"
            )
            self.refusals.append(Refusal(cell.number, piece.line, ast.unparse(node).split("\n")[0], reason))
        self.in_module |= names
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
            self._is_open_world = True

    def _check_in_main(self, node: ast.stmt, cell: Cell, piece: Piece) -> None:
        """Refuse what cannot be in a function, or means something else there."""
        for part in own_nodes([node]):
            reason = None
            if isinstance(part, ast.ImportFrom) and part.names[0].name == "*":
                reason = f"names can be imported by `*` only at the module's level: give this cell the tag `{MODULE_LEVEL}`"
            elif (
                isinstance(part, ast.Call)
                and isinstance(part.func, ast.Name)
                and len(part.args) == _OF_HERE.get(part.func.id, -1)
            ):
                name = part.func.id
                instead = "exec(..., globals())" if name == "exec" else "globals()"
                reason = f"{name}() is about the names of main() in a script, and not about those of the notebook: use {instead}"
            if reason is not None:
                line = piece.line_of(part)
                self.refusals.append(Refusal(cell.number, line, piece.text_of(part), reason))

    def _is_definition(self, node: ast.stmt) -> bool:
        if isinstance(node, _DEFINITIONS):
            return True
        if bound(node) & self._late:
            return False
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            names = bound(node)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            are_names = all(isinstance(t, (ast.Name, ast.Tuple, ast.List)) for t in targets)
            return are_names and not names & self.in_main.keys() and (node.value is None or self._is_plain(node.value))
        if isinstance(node, ast.If):
            return not _is_main_guard(node) and self._is_plain(node.test) and self._are_definitions([*node.body, *node.orelse])
        if isinstance(node, ast.Try):
            handled = [statement for handler in node.handlers for statement in handler.body]
            return self._are_definitions([*node.body, *handled, *node.orelse, *node.finalbody])
        return type(node).__name__ == "TypeAlias"

    def _are_definitions(self, nodes: Sequence[ast.stmt]) -> bool:
        return all(isinstance(n, ast.Pass) or self._is_definition(n) for n in nodes)

    def _is_plain(self, value: ast.expr) -> bool:
        """Whether making the value does nothing else, and needs nothing that main() makes."""
        if not needed_at_once(value) <= self._known():
            return False
        return all(isinstance(n, _PLAIN) or (isinstance(n, ast.Call) and _makes(n)) for n in _evaluated(value))

    def _known(self) -> Set[str]:
        return _Anything(self.in_main) if self._is_open_world else self.in_module | _BUILTINS


_BUILTINS = frozenset(dir(builtins)) | {"__name__", SCRIPT}


class _Anything(set[str]):
    """All names but these."""

    def __ge__(self, other: Set[object]) -> bool:
        return not self & other


def _evaluated(node: ast.AST) -> list[ast.AST]:
    """The nodes that are evaluated with the value: not a lambda's body."""
    found = [node]
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Lambda) and child is node.body):
            found.extend(_evaluated(child))
    return found


def _makes(call: ast.Call) -> bool:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    return name in _MAKERS


def _is_main_guard(node: ast.If) -> bool:
    return "__name__" in read([node.test])
