"""Waits for the end of a run; and tells what a run that has not ended is about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wfkernel.cli.asking import Holder
from wfkernel.cli.printing import print_json, say, shown_error, shown_value

if TYPE_CHECKING:
    from argparse import Namespace

LOOK_AGAIN_S = (0.02, 0.5)  # the first time and at most: short runs are told of at once, long ones cost nothing


def wait(options: Namespace) -> int:
    until = None if options.timeout is None else time.monotonic() + options.timeout
    try:
        end, events = _end(options, until)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the run goes on; `wfkernel wait {options.run}` waits for it again") from None
    with Holder(options.journal) as holder:
        run = holder.ask("run", run=options.run)
    if options.json:
        print_json({"run": run, "awaited": events})
    else:
        say(_in_words(run, events))
    if end == "completed":
        return 0
    return 3 if end == "in_progress" and events else 1


def _end(options: Namespace, until: float | None) -> tuple[str, list[str]]:
    """How the run ended, or that it has not; and the events it waits for."""
    pause = LOOK_AGAIN_S[0]
    holder = Holder(options.journal)
    while True:
        with holder:
            status = holder.ask("status", run=options.run)["type"]
            events: list[str] = [] if status != "in_progress" else holder.ask("needed_events", run=options.run)
        if status != "in_progress" or (events and options.until_event):
            return status, events
        left = LOOK_AGAIN_S[1] if until is None else until - time.monotonic()
        if left <= 0:
            return status, events
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LOOK_AGAIN_S[1])
        _await_holder(holder, until)


def _await_holder(holder: Holder, until: float | None) -> None:
    """Nothing changes while nobody holds the journal; and whoever wants to must find it free: it is not opened for looking."""
    while not holder.is_there() and (until is None or time.monotonic() < until):
        time.sleep(0.2 if until is None else max(0.0, min(0.2, until - time.monotonic())))


def _in_words(run: dict[str, Any], events: list[str]) -> str:
    text = f"run {run['run_id']} of {run['name']}: {run['status']}"
    if run["status"] == "completed":
        return f"{text}: {shown_value(run['result'])}"
    if run["status"] == "failed":
        return f"{text}: {shown_error(run['error'])}"
    return f"{text}, waits for event {', '.join(events)}" if events else text
