"""A watch over the globals that workflows read: it warns when a later cell gives one another value."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable
from typing import Any

from wfkernel.manager import WorkflowManager
from wfkernel.model.events import Event
from wfkernel.notebook import determinism
from wfkernel.workflow import Workflow

__all__ = ["GlobalsWatch", "warn"]


def warn(text: str) -> None:
    """A line in the cell's stderr: Python's own warnings would add where in wfkernel they come from."""
    sys.stderr.write(f"{text}\n")


class GlobalsWatch:
    """Warns when a cell gives another value to a global that a workflow's body reads."""

    def __init__(self, shell: Any):
        self._shell = shell
        self._rebindings = determinism.Rebindings()
        self._fresh: dict[str, dict[str, int]] = {}
        self._read: dict[str, dict[str, tuple[int, Any]]] = {}

    def defined(self, node: ast.AsyncFunctionDef) -> None:
        self._read.pop(node.name, None)
        self._fresh[node.name] = determinism.globals_read(node)

    def rebound(self) -> set[str]:
        return self._rebindings.names()

    def after_cell(self, result: Any) -> None:
        info = result.info
        text = info.raw_cell or ""
        tree = _parsed(text, self._shell.transform_cell)
        if tree is not None:
            self._rebindings.ran(tree, getattr(info, "cell_id", None) or text)
        names = self._shell.user_ns
        for workflow, read in self._read.items():
            for name, (line, before) in read.items():
                value = names.get(name, before)
                if value is before:
                    continue
                read[name] = line, value
                if not _is_same(before, value):
                    warn(
                        f"workflow {workflow}, line {line}, reads the global {name}, which this cell has rebound: a replay sees the new "
                        "value; pass it as an argument of the workflow"
                    )
        # Only now, when the cell is over: it may define what the body reads below the body.
        for workflow, lines in self._fresh.items():
            self._read[workflow] = {n: (line, names[n]) for n, line in lines.items() if n in names and _is_plain(names[n])}
        self._fresh.clear()


def _parsed(text: str, transform: Callable[[str], str]) -> ast.Module | None:
    if text.startswith("%%workflow"):
        text = text.partition("\n")[2]
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        pass
    try:
        return ast.parse(transform(text))
    except Exception:  # a cell that did not run either
        return None


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (types.ModuleType, type, Workflow, WorkflowManager, Event)) and not callable(value)


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or hasattr(one, "__array__") or hasattr(one, "__arrow_c_stream__"):
        return False  # tables compare element by element, which may take long and has no one answer
    try:
        return bool(one == other)
    except Exception:
        return False
