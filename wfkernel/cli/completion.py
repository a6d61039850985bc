"""Completion in a shell, by argcomplete: of commands and options, and of the ids and names that the journal's holder knows."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from wfkernel.cli.extras import needed
from wfkernel.cli.printing import print_json, say
from wfkernel.errors import WfkernelError
from wfkernel.model.place import default_journal

if TYPE_CHECKING:
    from argparse import Namespace

    from wfkernel.control.client import Connection

_SHOWN = 100  # runs


def script(options: Namespace) -> int:
    argcomplete = needed("argcomplete", "cli", "completion")
    text = argcomplete.shellcode(["wfkernel"], shell=options.shell)
    if options.json:
        print_json({"shell": options.shell, "script": text})
    else:
        say(text)
    return 0


def offer() -> None:
    """Tell the shell what could come next, and exit; called where the shell asks. Without argcomplete, nothing could."""
    from wfkernel.cli.parsing import whole_parser

    try:
        import argcomplete
    except ModuleNotFoundError:
        os._exit(1)
    parser = whole_parser()
    _attach(parser)
    argcomplete.autocomplete(parser, always_complete_options=False)


def _attach(parser: argparse.ArgumentParser) -> None:
    """Put functions in the place of the words that ``commands`` gave."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _attach(command)
        found: Any = getattr(action, "completer", None)
        if isinstance(found, str):
            action.completer = _OFFERS[found]  # type: ignore[attr-defined]


def _asked(journal: str | None, op: str, **params: Any) -> Any:
    """What the holder says; nothing if there is none: opening the file would take too long for a press of Tab."""
    from wfkernel.control.client import Connection

    try:
        connection: Connection
        with Connection.open(journal or default_journal(), timeout=1.0) as connection:
            return connection.ask(op, params).body["result"]
    except (WfkernelError, OSError):
        return None


def _runs(parsed_args: Namespace, **_: Any) -> dict[str, str]:
    page = _asked(parsed_args.journal, "list", limit=_SHOWN)
    return {r["run_id"]: f"{r['name']}, {r['status']}" for r in page["items"]} if page else {}


def _workflows(parsed_args: Namespace, **_: Any) -> list[str]:
    return [w["name"] for w in _asked(parsed_args.journal, "workflows") or ()]


def _events(parsed_args: Namespace, **_: Any) -> list[str]:
    run = getattr(parsed_args, "run", None)
    return [e["event"] for e in _asked(parsed_args.journal, "awaited", run=run) or ()] if run else []


_OFFERS = {"run": _runs, "workflow": _workflows, "event": _events}
