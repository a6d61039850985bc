"""Names that workflows of an exported script need, and that only its main() makes."""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Iterator
from typing import Any

from wfkernel.errors import OptionError
from wfkernel.manager import WorkflowManager

__all__ = ["check_globals"]


def check_globals(wf: WorkflowManager, main: Callable[[], Any], names: set[str]) -> None:
    """Refuse to go on with runs whose code needs what only main() makes, before a step fails for it."""
    functions = [w.fn for name, w in wf.workflows.items() if name in names]
    missing = sorted({name for fn in functions for name in _missing(fn, main)})
    if missing:
        told = ", ".join(missing)
        raise OptionError(
            f"the workflows need {told}, which only main() makes: run the script without a command, or make it at the module's level "
            "(in the notebook, give the cell that makes it the tag `module-level`, and export it again)"
        )


def _missing(root: Any, main: Callable[[], Any]) -> set[str]:
    """Names that main() would bind, that are not bound, and that the function reaches through functions of the script."""
    code = getattr(main, "__code__", None)
    namespace: dict[str, Any] = getattr(main, "__globals__", {})
    made = _stored_globals(code) - namespace.keys() if code is not None else set()
    missing: set[str] = set()
    todo, seen = [root] if made else [], set()
    while todo:
        fn = todo.pop()
        fn = getattr(fn, "fn", fn)  # what our decorators hold
        if id(fn) in seen or not isinstance(fn, types.FunctionType) or fn.__globals__ is not namespace:
            continue
        seen.add(id(fn))
        names = {name for part in _codes(fn.__code__) for name in part.co_names}
        missing |= names & made
        todo += [namespace[name] for name in names if name in namespace]
    return missing


def _stored_globals(code: types.CodeType) -> set[str]:
    return {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_GLOBAL"}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)
