"""Commands that change something."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from wfkernel.cli.asking import Holder, says_who_lacks_it
from wfkernel.cli.looking import step_of
from wfkernel.cli.printing import print_json, remark, say
from wfkernel.control.client import as_stored, parse_json
from wfkernel.errors import InvalidArguments, OptionError

if TYPE_CHECKING:
    from argparse import Namespace

_NOBODY = "no process holds the journal: it goes on once one does that defines its workflow, such as `wfkernel run FILE`"


def start(options: Namespace) -> int:
    args = _values(options)
    with Holder(options.journal) as holder, says_who_lacks_it(holder):
        run = holder.ask("start", workflow=options.workflow, args=args, id=options.id, run_after=options.after)
    _say_run(run, options)
    return 0


def fork(options: Namespace) -> int:
    args = _values(options)
    with Holder(options.journal) as holder, says_who_lacks_it(holder):
        run = holder.ask("fork", run=options.run, from_step=step_of(options.from_step), args=args or None)
    _say_run(run, options)
    return 0


def _say_run(run: dict[str, Any], options: Namespace) -> None:
    if options.json:
        print_json({"run_id": run["run_id"], "name": run["name"]})
    else:
        say(run["run_id"])


def _values(options: Namespace) -> dict[str, Any]:
    """``key=value`` words: JSON if it parses, else text."""
    found: dict[str, Any] = {}
    for pair in options.pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            options.error(f"{pair!r} is not key=value")
        if key in found:
            options.error(f"{key!r} is given twice")
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return as_stored(parse_json(text))
    except (ValueError, RecursionError):
        return text


def send_event(options: Namespace) -> int:
    if options.error_text is not None and options.value != "null":
        options.error("send a value or an --error, not both")
    value = None if options.error_text is not None else _json_of(options.value)
    with Holder(options.journal) as holder:
        holder.ask("send_event", run=options.run, event=options.event, value=value, error=options.error_text, form=True)
    _done(options, f"sent {options.event} to run {options.run}", {"event": options.event})
    return 0


def _json_of(text: str) -> Any:
    if text == "-":
        text = sys.stdin.read()
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidArguments(f"the value must be JSON, which {text} is not ({exc}); text needs quotes: '\"yes\"'") from None


def _done(options: Namespace, text: str, facts: dict[str, Any]) -> None:
    if options.json:
        print_json({"run_id": options.run, **facts})
    else:
        say(text)


def cancel(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        holder.ask("cancel", run=options.run, grace=options.grace)
        status = holder.ask("status", run=options.run)["type"]
    words = "its body cleans up" if status == "in_progress" else status
    _done(options, f"run {options.run}: {words}", {"status": status})
    return 0


def restart(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        holder.ask("restart", run=options.run, from_step=step_of(options.from_step))
        status = holder.ask("status", run=options.run)["type"]
        is_held = holder.is_held_elsewhere
    _done(options, f"run {options.run}: {status}", {"status": status})
    if not is_held:
        remark(_NOBODY)
    return 0


def resume(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        holder.ask("resume", run=options.run)
        is_held = holder.is_held_elsewhere
    if options.json:
        print_json({"run_id": options.run, "is_held": is_held})
    elif is_held:
        say(f"run {options.run} goes on" if options.run else "all runs go on")
    if not is_held:
        remark(_NOBODY)
    return 0


def cleanup(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        if not holder.ask("cleanup", run=options.run, force=options.force):
            holder.ask("get", run=options.run)  # there is none: it says so
            raise OptionError(f"run {options.run!r} is in progress: cancel it, or use --force")
    _done(options, f"run {options.run} is gone", {"is_gone": True})
    return 0
