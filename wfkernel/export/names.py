"""Which names a statement binds, reads, and needs at once: what decides between the module and main()."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set

__all__ = ["LOOKS_UP", "bound", "declared_global", "free_reads", "needed_at_once", "read"]

LOOKS_UP = frozenset({"globals", "eval", "exec"})  # by the text of a name
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound(node: ast.AST) -> set[str]:
    """Names that running the statement binds, or deletes, in the scope that it is in."""
    found: set[str] = set()
    if isinstance(node, _SCOPES):
        return {node.name}
    if isinstance(node, ast.Lambda):
        return found
    if isinstance(node, _COMPREHENSIONS):
        return {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr) and isinstance(n.target, ast.Name)}
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        found.add(node.id)
    elif isinstance(node, ast.alias) and node.name != "*":
        found.add((node.asname or node.name).split(".")[0])
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        found.add(node.name)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        found.add(node.rest)
    return found.union(*(bound(child) for child in ast.iter_child_nodes(node)))


def read(nodes: Iterable[ast.AST]) -> set[str]:
    """All names that are looked up anywhere in it, functions included."""
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def declared_global(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that functions in it declare global."""
    return {name for node in nodes for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names}


def needed_at_once(node: ast.AST) -> set[str]:
    """Names that are looked up when the statement runs: not what is in the bodies of functions."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = [a for a in ast.walk(node.args) if isinstance(a, ast.arg)]
        parts: list[ast.AST | None] = [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults, node.returns]
        return read(part for part in [*parts, *(a.annotation for a in arguments)] if part is not None)
    if isinstance(node, ast.Lambda):
        return read([*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)])
    if isinstance(node, ast.ClassDef):
        own = {name for child in node.body for name in bound(child)}
        inside = set().union(*(needed_at_once(child) for child in node.body)) - own
        return inside | read([*node.decorator_list, *node.bases, *(k.value for k in node.keywords)])
    found = {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else set()
    return found.union(*(needed_at_once(child) for child in ast.iter_child_nodes(node)))


def free_reads(nodes: Iterable[ast.AST], local: Set[str] = frozenset()) -> Iterator[ast.Name]:
    """The places where a name is looked up that no function around it has as its own."""
    for node in nodes:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id not in local:
                yield node
            continue
        inside, outside = _inside(node)
        yield from free_reads(outside, local)
        yield from free_reads(inside, local | _own(node) if inside else local)


def _inside(node: ast.AST) -> tuple[list[ast.AST], list[ast.AST]]:
    """The children of a node that see the names which it makes, and those that do not."""
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, (*_SCOPES, ast.Lambda)):
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
        return body, [child for child in children if child not in body]
    return (children, []) if isinstance(node, _COMPREHENSIONS) else ([], children)


def _own(node: ast.AST) -> set[str]:
    """The names that a function, a class or a comprehension has for itself."""
    if isinstance(node, _COMPREHENSIONS):
        return set().union(*(bound(generator.target) for generator in node.generators))
    found: set[str] = set()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        found |= {child.arg for child in ast.walk(node.args) if isinstance(child, ast.arg)}
    if isinstance(node, _SCOPES):
        found = found.union(*map(bound, node.body)) - declared_global(node.body)
    return found
