"""Whether a script, in which definitions come first and main() after them, says what the cells said one after the other."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from wfkernel.export.names import LOOKS_UP, bound, declared_global, needed_at_once, read
from wfkernel.export.reading import Piece
from wfkernel.export.refusals import Refusal

__all__ = ["Order", "Placed"]

_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, *_IMPORTS)
_CHANGEABLE = (ast.List, ast.Dict, ast.Set, ast.Lambda)
_CHANGEABLE_MADE = frozenset({"list", "dict", "set", "Lock", "Event", "ContextVar", "manager"})
_CHANGES = frozenset("add append clear discard extend insert pop popitem remove reverse setdefault sort update".split())


@dataclass
class Placed:
    """A piece and where it went.

    Attributes:
        is_pinned: its cell says where it belongs.
    """

    cell: int
    piece: Piece
    is_module: bool
    is_pinned: bool


@dataclass
class Order:
    """What does not keep its meaning where definitions come first.

    Workflows, and what only they use, may be written anew: runs go on with the code as it was mended, in a notebook and in a script.

    Attributes:
        late: names of constants that must be made in main(), each in its turn.
        refusals: definitions for which there is no such way.
    """

    sequence: Sequence[Placed]
    late: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bindings: dict[str, list[tuple[int, ast.stmt]]] = {}
        self._uses: dict[str, set[str]] = {}  # what a name of the module leads to
        self._changes: dict[str, set[str]] = {}  # what it changes when it is called
        for at, placed in enumerate(self.sequence):
            for node in placed.piece.nodes if placed.is_module else ():
                for name in bound(node):
                    self._bindings.setdefault(name, []).append((at, node))
                    self._uses.setdefault(name, set()).update(() if _is_workflow(node) else read([node]))
                    if isinstance(node, _DEFINES) and not _is_workflow(node):
                        self._changes.setdefault(name, set()).update(_changed(node), declared_global([node]))
        told: set[str] = set()
        for at, placed in enumerate(self.sequence):
            if not placed.is_module:
                for name in sorted(self._reached(placed.piece.nodes) & self._bindings.keys() - told):
                    if self._is_another(name, at):
                        told.add(name)
                        self._mend(name, at)
        self._find_changed()

    def _reached(self, nodes: Sequence[ast.AST]) -> set[str]:
        """The names that these statements read or bind, themselves or through what the module defines."""
        found = self._met(nodes)
        todo = list(found)
        while todo:
            more = self._uses.get(todo.pop(), set()) - found
            found |= more
            todo += more
        return found

    def _met(self, nodes: Sequence[ast.AST]) -> set[str]:
        """The names that these statements read or bind themselves."""
        found = read(nodes).union(*map(bound, nodes))
        return found | set(filter(self._is_constant, self._bindings)) if found & LOOKS_UP else found

    def _is_another(self, name: str, at: int) -> bool:
        """Whether the name would mean something else there, where the last definition has been made already."""
        bindings = self._bindings[name]
        before = [binding for binding in bindings if binding[0] < at]
        if not before:
            nodes = self.sequence[at].piece.nodes
            is_bound = name in set().union(*map(bound, nodes))
            is_looked_for = self._is_constant(name) and name in self._met(nodes)  # whether it is there, say
            return hasattr(builtins, name) or is_bound or is_looked_for
        (position, node), (last_position, last) = before[-1], bindings[-1]
        if node is last:
            return False
        made_of = read([last]) if self._is_constant(name) else set[str]() if _is_workflow(last) else needed_at_once(last)
        return not _are_same(node, last) or self._may_differ(made_of, position, last_position)

    def _may_differ(self, made_of: set[str], first: int, second: int) -> bool:
        """Whether what stands in both places may be two values: made of constants, or of what is defined anew in between."""
        names = made_of & self._bindings.keys()
        return any(self._is_constant(n) or any(first < position < second for position, _ in self._bindings[n]) for n in names)

    def _mend(self, name: str, at: int) -> None:
        bindings = self._bindings[name]
        if not any(isinstance(node, _DEFINES) or self.sequence[p].is_pinned for p, node in bindings):
            self.late.add(name)
            return
        position, node = bindings[-1]
        first = next((self.sequence[p].cell for p, _ in reversed(bindings) if p < at), None)
        user, it = self.sequence[at].cell, self.sequence[position]
        other = f"another `{name}` is made in cell {first}" if first is not None else f"`{name}` has another meaning before"
        reason = (
            f"{other}, and cell {user} works with that one; in a script the definitions come first, and of two the last one "
            "counts: choose another name here"
        )
        self.refusals.append(Refusal(it.cell, it.piece.line, ast.unparse(node).split("\n")[0], reason))

    def _is_constant(self, name: str) -> bool:
        return not any(isinstance(node, _DEFINES) for _, node in self._bindings.get(name, []))

    def _find_changed(self) -> None:
        """Constants that are made of what main() has changed by then."""
        changed: dict[str, int] = {}
        for placed in self.sequence:
            if not placed.is_module:
                changed.update(dict.fromkeys(self.changed_by(placed.piece.nodes), placed.cell))
                continue
            for node in placed.piece.nodes:
                for name in sorted(needed_at_once(node) & changed.keys()):
                    if isinstance(node, (ast.Assign, ast.AnnAssign)) and not placed.is_pinned:
                        self.late |= bound(node)
                    elif not isinstance(node, _IMPORTS) and self._is_constant(name):
                        reason = f"`{name}`, which is needed here when this is defined, was changed in cell {changed[name]} by what main() does"
                        text = ast.unparse(node).split("\n")[0]
                        self.refusals.append(Refusal(placed.cell, placed.piece.line, text, reason))

    def changed_by(self, nodes: Sequence[ast.stmt]) -> set[str]:
        """What of the module these statements bind anew or change in place, themselves or through what it defines."""
        found = set[str]().union(*map(_changed, nodes), *map(bound, nodes))
        found = found.union(*(self._changes.get(name, ()) for name in self._reached(nodes)))
        return {
            name for name in found & self._bindings.keys() if not any(isinstance(n, _IMPORTS) for _, n in self._bindings[name])
        }


def _are_same(one: ast.stmt, other: ast.stmt) -> bool:
    """Whether it makes no difference which of the two was the last."""
    if _is_workflow(one) and _is_workflow(other):
        return True
    if isinstance(one, ast.Import) and isinstance(other, ast.Import):
        one, other = _packages(one), _packages(other)
    if ast.dump(one) != ast.dump(other):
        return False
    return isinstance(one, _DEFINES) or not any(_is_changeable(node) for node in ast.walk(one))


def _is_workflow(node: ast.stmt) -> bool:
    names = [d.func if isinstance(d, ast.Call) else d for d in getattr(node, "decorator_list", [])]
    return isinstance(node, ast.AsyncFunctionDef) and any(isinstance(d, ast.Attribute) and d.attr == "workflow" for d in names)


def _packages(node: ast.Import) -> ast.Import:
    """``import os.path`` binds os, as ``import os`` does."""
    return ast.Import([a if a.asname else ast.alias(a.name.split(".")[0]) for a in node.names])


def _is_changeable(node: ast.AST) -> bool:
    made = node.func if isinstance(node, ast.Call) else None
    name = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
    return isinstance(node, _CHANGEABLE) or name in _CHANGEABLE_MADE


def _changed(node: ast.AST) -> Iterator[str]:
    """Names of the values that the statement changes in place, as far as that can be seen."""
    for part in ast.walk(node):
        inner: ast.AST | None = None
        if isinstance(part, (ast.Subscript, ast.Attribute)) and not isinstance(part.ctx, ast.Load):
            inner = part.value
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in _CHANGES:
            inner = part.func.value
        while isinstance(inner, (ast.Subscript, ast.Attribute)):
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield inner.id
