"""Commands that look, and change nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from wfkernel.cli.asking import Holder, says_who_lacks_it
from wfkernel.cli.printing import (
    print_json,
    print_table,
    remark,
    say,
    short,
    shown_error,
    shown_instant,
    shown_value,
    took,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

_MOST = 1000  # runs of one page


def list_runs(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        pages = list(_pages(holder, options))
    items = [item for page in pages for item in page["items"]]
    last = pages[-1]
    if options.json:
        print_json({"items": items, "cursor": last["cursor"], "is_done": last["is_done"]})
        return 0
    if not items:
        remark("no runs")
        return 0
    rows = [
        (r["run_id"], r["name"], r["status"], shown_instant(r["created_at"]), took(r["created_at"], r["completed_at"]))
        for r in items
    ]
    print_table(["run", "workflow", "status", "started", "took"], rows)
    if not last["is_done"]:
        remark(f"there are more: --cursor {last['cursor']}, or --all")
    return 0


def _pages(holder: Holder, options: Namespace) -> Iterator[dict[str, Any]]:
    cursor = options.cursor
    limit = _MOST if options.all else min(options.limit, _MOST)
    while True:
        page = holder.ask("list", status=options.status, name=options.name, limit=limit, cursor=cursor)
        yield page
        cursor = page["cursor"]
        if page["is_done"] or not options.all:
            return


def show(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        run = holder.ask("run", run=options.run)
        status = holder.ask("status", run=options.run)
        steps = holder.ask("steps", run=options.run)
        events = holder.ask("awaited", run=options.run)
    if options.json:
        print_json({"run": run, "waiting_for": status["waiting_for"], "steps": steps, "awaited": events})
        return 0
    _show_run(run, status)
    if steps:
        say()
        print_table(["step", "name", "kind", "status", "attempts", "took", "result"], [_step_row(s) for s in steps])
    for event in events:
        say()
        _show_awaited(event, options)
    return 0


def _show_run(run: dict[str, Any], status: dict[str, Any]) -> None:
    lines = {
        "run": run["run_id"],
        "workflow": run["name"],
        "status": run["status"],
        "waits for": status["waiting_for"],
        "started": shown_instant(run["created_at"]),
        "took" if run["completed_at"] else "for": took(run["created_at"], run["completed_at"]),
        "arguments": shown_value(run["args"]) if run["args"] else None,
        "context": shown_value(run["context"]) if run["context"] is not None else None,
        "result": shown_value(run["result"]) if run["status"] == "completed" else None,
        "error": shown_error(run["error"]) or None,
        "part of": run["parent_run_id"],
        "generation": str(run["generation"]) if run["generation"] else None,
    }
    for name, value in lines.items():
        if value is not None:
            say(f"{name + ':':<11} {value}")


def _step_row(step: dict[str, Any]) -> tuple[str, ...]:
    result = shown_value(step["result"]) if step["status"] == "success" else shown_error(step["error"])
    if not result and step["child_run_id"]:
        result = f"run {step['child_run_id']}"
    number, attempts = str(step["step_number"]), str(step["attempts"])
    duration = took(step["started_at"], step["completed_at"])
    return (number, step["name"], step["kind"], step["status"], attempts, duration, short(result))


def _show_awaited(event: dict[str, Any], options: Namespace) -> None:
    import shlex  # here and not above: `list` is to be fast

    of_type = f" of type {event['type']}" if event["type"] else ""
    say(f"step {event['step']} waits for event {event['event']!r}{of_type}; send it by")
    where = "" if options.is_default_journal else f" --journal {shlex.quote(options.journal)}"
    example = shlex.quote(example_of(event["form"]))
    say(f"  wfkernel send-event {shlex.quote(options.run)} {shlex.quote(event['event'])} {example}{where}")


def example_of(form: dict[str, Any] | None) -> str:
    """JSON that has the shape of a value for this form (see ``model.forms``)."""
    return json.dumps(_example(form or {"kind": "json"}), ensure_ascii=False)


_EXAMPLES = {
    "bool": True,
    "int": 0,
    "number": 0.5,
    "decimal": "0.5",
    "text": "text",
    "date": "2026-01-31",
    "datetime": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
}


def _example(form: dict[str, Any]) -> Any:
    kind = form["kind"]
    if form.get("default", "null") != "null":
        return json.loads(form["default"])
    if kind == "object":
        return {f["name"]: _example(f) for f in form["fields"] if f.get("required")}
    if kind == "list":
        return [_example(form["item"])]
    if kind == "choice":
        return json.loads(form["options"][0]["value"]) if form["options"] else None
    if kind == "union":
        return _example(form["variants"][0])
    if kind == "const":
        return json.loads(form["value"])
    if form.get("zone") == "naive":
        return "2026-01-31T12:00:00"
    found = _EXAMPLES.get(kind)
    least = form.get("min")
    return least if isinstance(least, (int, float)) and isinstance(found, (int, float)) and found < least else found


def plan(options: Namespace) -> int:
    with Holder(options.journal) as holder, says_who_lacks_it(holder):
        items = holder.ask("plan", run=options.run, from_step=step_of(options.from_step, "changed"))
    if options.json:
        print_json({"items": items})
    elif items:
        rows = [(str(i["step_number"]), i["name"], i["action"], i["reason"]) for i in items]
        print_table(["step", "name", "action", "reason"], rows)
    else:
        say("no steps are recorded: everything would run")
    return 0


def step_of(text: str | None, otherwise: str | None = None) -> int | str | None:
    """A step's number, or its name."""
    if text is None:
        return otherwise
    return int(text) if text.removeprefix("-").isdecimal() else text


def workflows(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        found = holder.ask("workflows")
        is_held = holder.is_held_elsewhere
    if options.json:
        print_json({"items": found})
    elif found:
        rows = [(w["name"], w["signature"], short((w["doc"] or "").strip().partition("\n")[0])) for w in found]
        print_table(["workflow", "signature", ""], rows)
    elif is_held:
        remark("the process that holds the journal has defined no workflow")
    else:
        remark("no process holds the journal, so there are no workflows; `wfkernel run FILE` runs the file that defines them")
    return 0


def failures(options: Namespace) -> int:
    with Holder(options.journal) as holder:
        if options.retry is not None:
            holder.ask("retry_on_complete", run=options.retry)
        found = holder.ask("list_failures")
    if options.json:
        print_json({"items": found})
    elif found:
        rows = [(f["run_id"], f["name"], f["on_complete"], shown_instant(f["failed_at"]), shown_error(f["error"])) for f in found]
        print_table(["run", "workflow", "on_complete", "failed", "error"], rows)
    else:
        remark("no on_complete has failed")
    return 0


def sql(options: Namespace) -> int:
    found: dict[str, Any] = {}

    def take(part: dict[str, Any]) -> None:
        if "columns" in part:  # the first one, also where the query began anew
            found.update(columns=part["columns"], types=part["types"], rows=[])
        found["rows"] += part["rows"]

    with Holder(options.journal) as holder:
        holder.ask("sql", part=take, query=options.query)
    if options.json:
        print_json(found)
    elif found["columns"]:
        rows = [["NULL" if v is None else v if isinstance(v, str) else shown_value(v) for v in row] for row in found["rows"]]
        print_table(found["columns"], rows)
        sys.stdout.flush()
        remark(f"{len(rows)} {'row' if len(rows) == 1 else 'rows'}")
    return 0
