"""What Tab offers after ``%wf`` and ``%%workflow``: run ids, names of workflows, events and steps, arguments, options."""

from __future__ import annotations

import glob
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wfkernel.errors import WfkernelError
from wfkernel.manager import WorkflowManager
from wfkernel.model.events import Event
from wfkernel.notebook.cells import OPTIONS
from wfkernel.run import Run
from wfkernel.workflow import Workflow

__all__ = ["candidates", "complete"]

_STATUSES = ("in_progress", "completed", "failed", "canceled")
_ENDED = ("completed", "failed", "canceled")
_MANY = 100  # run ids offered


def complete(
    line: str, symbol: str, wf: WorkflowManager | None, namespace: Mapping[str, Any], commands: Mapping[str, Sequence[str]]
) -> list[str]:
    """What may stand at the cursor, as IPython wants it.

    Args:
        line: the line up to the cursor.
        symbol: the part before the cursor that IPython is going to replace: it breaks words at more than blanks.
        wf: the manager, or None where no journal is open.
        commands: the subcommands of ``%wf`` with their options.
    """
    words = line.split()[1:]
    word = "" if not words or line[-1:].isspace() else words.pop()
    try:
        found = list(OPTIONS) if line.lstrip().startswith("%%") else candidates(words, wf, namespace, commands)
    except WfkernelError:  # a run that is not there (yet): nothing to offer
        return []
    kept = word[: len(word) - len(symbol)]
    return [text[len(kept) :] for text in found if text.startswith(word)]


def candidates(
    words: Sequence[str], wf: WorkflowManager | None, namespace: Mapping[str, Any], commands: Mapping[str, Sequence[str]]
) -> list[str]:
    """All that may follow these words of ``%wf``."""
    if not words:
        return list(commands)
    command, *said = words
    if command == "nest":
        return [] if said else ["on", "off"]
    if command == "journal":
        paths = [] if said else sorted(glob.glob("*.duckdb") + glob.glob("*/*.duckdb") + glob.glob(".wfkernel/*.duckdb"))
        return paths + [option for option in commands.get(command, ()) if option not in said]
    options = [option for option in commands.get(command, ()) if option not in said]
    offer = _OFFERS.get(command)
    if offer is None or wf is None:
        return options
    return offer(said, wf, namespace) + options


def _start(said: Sequence[str], wf: WorkflowManager, namespace: Mapping[str, Any]) -> list[str]:
    if not said:
        return _workflow_names(wf, namespace)
    workflow = wf.workflows.get(said[0]) or namespace.get(said[0])
    if not isinstance(workflow, Workflow):
        return []
    given = {word.partition("=")[0] for word in said[1:]}
    return [f"{name}=" for name in list(inspect.signature(workflow.fn).parameters)[1:] if name not in given]


def _list(said: Sequence[str], wf: WorkflowManager, namespace: Mapping[str, Any]) -> list[str]:
    if said and said[-1] == "--status":
        return list(_STATUSES)
    return _workflow_names(wf, namespace) if said and said[-1] == "--name" else []


def _runs(*statuses: str | None) -> Callable[..., list[str]]:
    def offer(said: Sequence[str], wf: WorkflowManager, namespace: Mapping[str, Any]) -> list[str]:
        return [] if said else _run_ids(wf, namespace, statuses)

    return offer


def _with_step(said: Sequence[str], wf: WorkflowManager, namespace: Mapping[str, Any]) -> list[str]:
    if said and said[-1] == "--from":
        steps = wf.steps(_run(said[0], wf, namespace))
        return ["changed", *dict.fromkeys(s.name for s in steps), *(str(s.step_number) for s in steps)]
    return [] if said else _run_ids(wf, namespace, _ENDED)


def _send(said: Sequence[str], wf: WorkflowManager, namespace: Mapping[str, Any]) -> list[str]:
    if not said:
        return _run_ids(wf, namespace, ("in_progress",))
    if len(said) > 1:
        return []
    awaited = [s.name for s in wf.status(_run(said[0], wf, namespace)).running if s.kind == "event"]
    known = [value.name for value in list(namespace.values()) if isinstance(value, Event)]
    return list(dict.fromkeys([*awaited, *known]))


_OFFERS: dict[str, Callable[..., list[str]]] = {
    "start": _start,
    "list": _list,
    "show": _runs(None),
    "cancel": _runs("in_progress"),
    "resume": _runs("in_progress"),
    "timeline": _runs(None),
    "restart": _with_step,
    "plan": _with_step,
    "send": _send,
}


def _run(text: str, wf: WorkflowManager, namespace: Mapping[str, Any]) -> Run:
    value = namespace.get(text)
    return value if isinstance(value, Run) else wf.get(text)


def _run_ids(wf: WorkflowManager, namespace: Mapping[str, Any], statuses: Sequence[str | None]) -> list[str]:
    named = [name for name, value in list(namespace.items()) if isinstance(value, Run) and not name.startswith("_")]
    return named + [record.run_id for status in statuses for record in wf.list(status=status, limit=_MANY).items]


def _workflow_names(wf: WorkflowManager, namespace: Mapping[str, Any]) -> list[str]:
    return sorted({*wf.workflows, *(value.name for value in list(namespace.values()) if isinstance(value, Workflow))})
