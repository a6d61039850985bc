"""Names that workflows of an exported script need, and that only its main() makes, or changes."""

from __future__ import annotations

import ast
import dis
import linecache
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from wfkernel.errors import OptionError
from wfkernel.export.ordering import Order, Placed
from wfkernel.export.reading import Piece
from wfkernel.manager import WorkflowManager
from wfkernel.workflow import Workflow

__all__ = ["check_globals", "need_changes"]


def check_globals(wf: WorkflowManager, main: Callable[[], Any], names: set[str]) -> None:
    """Refuse to go on with runs whose code needs what only main() makes, before a step fails for it."""
    functions = [w.fn for name, w in wf.workflows.items() if name in names]
    made, changed = _made_by(main), _changed_by(main)
    missing = sorted({name for fn in functions for name in _reached(fn, main, made | changed)})
    if missing:
        told = ", ".join(missing)
        does = "makes" if made.issuperset(missing) else "changes" if changed.issuperset(missing) else "makes or changes"
        raise OptionError(
            f"the workflows need {told}, which only main() {does}: run the script without a command, or make it at the module's level "
            "(in the notebook, give the cell that makes it the tag `module-level`, and export it again)"
        )


def need_changes(workflows: Iterable[Workflow[Any]], main: Callable[[], Any]) -> bool:
    """Whether these workflows read values of the script that are others once main() has been there."""
    changed = _changed_by(main)
    return any(_reached(workflow.fn, main, changed) for workflow in workflows)


def _made_by(main: Callable[[], Any]) -> set[str]:
    """Names that main() would bind, and that are not bound."""
    code = getattr(main, "__code__", None)
    return _stored_globals(code) - _globals(main).keys() if code is not None else set()


def _changed_by(main: Callable[[], Any]) -> set[str]:
    """Names of the script's level that main() binds anew, or whose values it changes, as far as its text tells."""
    code = getattr(main, "__code__", None)
    lines = [] if code is None else linecache.getlines(code.co_filename, _globals(main))
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:  # the file is another one by now
        return set()
    body: list[ast.stmt] = []
    sequence: list[Placed] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == main.__name__:
            body = node.body
        else:
            sequence.append(Placed(0, Piece("", [node], node.lineno), is_module=True, is_pinned=False))
    return Order(sequence).changed_by(body)


def _reached(root: Any, main: Callable[[], Any], wanted: set[str]) -> set[str]:
    """Which of these names a function reaches through functions of the script."""
    namespace = _globals(main)
    found: set[str] = set()
    todo, seen = [root] if wanted else [], set()
    while todo:
        fn = todo.pop()
        fn = getattr(fn, "fn", fn)  # what our decorators hold
        if id(fn) in seen or not isinstance(fn, types.FunctionType) or fn.__globals__ is not namespace:
            continue
        seen.add(id(fn))
        names = {name for part in _codes(fn.__code__) for name in part.co_names}
        found |= names & wanted
        todo += [namespace[name] for name in names if name in namespace]
    return found


def _globals(main: Callable[[], Any]) -> dict[str, Any]:
    return getattr(main, "__globals__", {})


def _stored_globals(code: types.CodeType) -> set[str]:
    return {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_GLOBAL"}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)
