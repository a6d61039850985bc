"""The commands of ``%wf``: each says how its words are taken apart, asks the manager, and returns what is to be shown."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfkernel.errors import InvalidArguments, OptionError
from wfkernel.export import export_notebook, write_script
from wfkernel.manager import WorkflowManager
from wfkernel.model.events import Event
from wfkernel.notebook.cells import keyword_values, split_words, unquote
from wfkernel.notebook.listings import shown_path, table_of_runs, table_of_steps
from wfkernel.notebook.tables import Table
from wfkernel.run import Run
from wfkernel.workflow import Workflow

if TYPE_CHECKING:
    from wfkernel.notebook.magics import WorkflowMagics

__all__ = ["COMMANDS", "Command", "overview", "say"]


def say(text: str) -> None:
    """A line in the cell's output."""
    sys.stdout.write(f"{text}\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise OptionError(f"{self.prog}: {message}; {' '.join(self.format_usage().split())}")


class Command:
    """One subcommand: how its words are taken apart, and the function that gets them."""

    def __init__(self, function: Callable[..., Any], parser: _Parser, words: Callable[[str], Sequence[str]], options: list[str]):
        self.function = function
        self.parser = parser
        self.options = options
        self._words = words

    def arguments(self, rest: str) -> list[Any] | None:
        """What the function takes after the magics; None if help is asked for."""
        words = list(self._words(rest))
        if {"--help", "-h"} & set(words if words[:1] != ["--"] else words[1:2]):
            return None
        return list(vars(self.parser.parse_args(words)).values())


COMMANDS: dict[str, Command] = {}


def _plain_words(rest: str) -> list[str]:
    return [unquote(word) for word in split_words(rest)]


def _argument(*names: str, **how: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, how


_RUN = _argument("run", metavar="RUN", help="a run's id, or a variable that holds the run")
_FROM = _argument("--from", metavar="STEP", help='a step\'s number or name, or "changed"')


def _command(
    name: str, *arguments: tuple[tuple[str, ...], dict[str, Any]], words: Callable[[str], Sequence[str]] = _plain_words
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        parser = _Parser(prog=f"%wf {name}", description=function.__doc__, add_help=False, allow_abbrev=False)
        for names, how in arguments:
            parser.add_argument(*names, **how)
        options = [names[0] for names, _ in arguments if names[0].startswith("--")]
        COMMANDS[name] = Command(function, parser, words, options)
        return function

    return register


@_command(
    "list",
    _argument("--status", choices=("in_progress", "completed", "failed", "canceled")),
    _argument("--name", metavar="WORKFLOW", help="only runs of this workflow"),
    _argument("--limit", type=int, default=20, metavar="N", help="how many runs; 20 by default"),
)
def _list(magics: WorkflowMagics, status: str | None, name: str | None, limit: int) -> Table:
    """The runs of this journal, newest first."""
    wf = magics.manager
    found = wf.list(status=status, limit=limit) if name is None else wf.list_by_name(name, status=status, limit=limit)
    return table_of_runs(wf, found.items, "" if found.is_done else f"the newest {len(found)} runs; --limit N shows more")


@_command("show", _RUN)
def _show(magics: WorkflowMagics, run: str) -> Table:
    """A run's status and steps."""
    found = magics.run(run)
    return table_of_steps(found, found.status(), found.steps())


@_command(
    "start",
    _argument("workflow", metavar="NAME", help="a workflow that is defined"),
    _argument("arguments", metavar="key=value", nargs="*", default=[], help="Python expressions, or plain text"),
    _argument("--id", metavar="ID", help="the run's id: the same id again is the same run"),
    words=split_words,
)
def _start(magics: WorkflowMagics, name: str, words: list[str], run_id: str | None) -> Run:
    """Start a run."""
    wf, name = magics.manager, unquote(name)
    workflow: Any = wf.workflows.get(name) or magics.shell.user_ns.get(name)
    if not isinstance(workflow, Workflow) or not workflow.manager._is_same_journal(wf):
        if wf.holder is not None:  # the process that holds the journal knows what is defined there
            run_id = None if run_id is None else unquote(run_id)
            return wf.start_named(name, keyword_values(words, magics.shell.user_ns), id=run_id)
        return wf.start(name)  # says what is defined
    if run_id is not None:
        workflow = workflow.options(id=unquote(run_id))
    return workflow.start(**keyword_values(words, magics.shell.user_ns))


@_command("cancel", _RUN)
def _cancel(magics: WorkflowMagics, run: str) -> None:
    """Cancel a run and its children."""
    found = magics.run(run)
    found.cancel()
    say(f"run {found.id} of {found.name}: {found.status().type.replace('in_progress', 'it cleans up')}")


@_command("resume", _argument("run", metavar="RUN", nargs="?", help="a run's id, or a variable that holds the run; without, all"))
def _resume(magics: WorkflowMagics, run: str | None) -> Run | None:
    """Let a run go on that waits for this, or all of them: those of a journal that was opened with auto_resume=False."""
    if run is not None:
        return magics.run(run).resume()
    magics.manager.resume()
    return None


@_command("restart", _RUN, _FROM)
def _restart(magics: WorkflowMagics, run: str, step: str | None) -> Run:
    """Go on with an ended run from its journal: run again what failed, or a step and all later ones."""
    return magics.run(run).restart(from_step=_step(step))


@_command(
    "send",
    _RUN,
    _argument("event", metavar="EVENT", help="the event's name"),
    _argument("value", metavar="JSON", nargs="?", default="null", help="its value as JSON; null by default"),
    words=lambda rest: _words_and_rest(rest, 2),
)
def _send(magics: WorkflowMagics, run: str, event: str, text: str) -> None:
    """Send a run an event."""
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise InvalidArguments(f'the value must be JSON, which {text} is not ({exc}); text needs double quotes: "yes"') from None
    named = magics.shell.user_ns.get(event)
    found = magics.run(run)
    found.send_event(named if isinstance(named, Event) else unquote(event), value)
    say(f"sent {event} to run {found.id}")


@_command("timeline", _argument("runs", metavar="RUN", nargs="+", help="run ids, or variables that hold runs"))
def _timeline(magics: WorkflowMagics, runs: list[str]) -> Any:
    """Draw when the steps of one run, or of several, waited and ran."""
    found = [magics.run(run) for run in runs]
    if len(found) == 1:
        return found[0].plot()
    plots = import_module("wfkernel.notebook.plots")  # matplotlib only where it is drawn with
    return plots.timeline([(f"{run.name}  {run.id}", run.steps()) for run in found])


@_command("plan", _RUN, _FROM)
def _plan(magics: WorkflowMagics, run: str, step: str | None) -> Table:
    """What `restart --from STEP` (by default "changed") would reuse and what it would run again; nothing is done."""
    found = magics.run(run)
    items = found.plan("changed" if step is None else _step(step))
    title = f"{found.name}  {found.id}: {sum(i.action == 'run' for i in items)} of {len(items)} steps would run again"
    return Table(
        ["step", "name", "action", "reason"],
        [(i.step_number, i.name, i.action, i.reason) for i in items],
        records=items,
        title=title,
    )


@_command(
    "sql", _argument("query", metavar="QUERY", help="SQL, to the end of the line"), words=lambda rest: _words_and_rest(rest, 0)
)
def _sql(magics: WorkflowMagics, query: str) -> Table | None:
    """Run SQL on the journal's database; wf.runs, wf.steps and wf.events are there to select from."""
    cursor = magics.manager.db
    try:
        cursor.execute(query)
        columns = [column[0] for column in cursor.description or ()]
        return Table(columns, cursor.fetchall()) if columns else None
    finally:
        cursor.close()


@_command(
    "export",
    _argument("file", metavar="FILE", help="the script to write, such as pipeline.py"),
    _argument("--notebook", metavar="NOTEBOOK", help="the .ipynb file; by default the one that runs here, where that is known"),
    _argument("--force", action="store_true", help="also over a file that was not exported by wfkernel"),
)
def _export(magics: WorkflowMagics, file: str, notebook: str | None, force: bool) -> None:
    """Write the notebook, as it was last saved, as a script that goes on with its runs. Save the notebook first."""
    path = notebook or magics.shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    if path is None or not os.path.isfile(path):
        told = "it is not known which notebook runs here" if path is None else f"there is no file {path}"
        raise OptionError(f"{told}; name it: %wf export {file} --notebook NOTEBOOK.ipynb")
    write_script(export_notebook(path), file, force=force)
    saved = datetime.fromtimestamp(os.path.getmtime(path)).astimezone()
    say(
        f"{file} is {os.path.basename(path)} as it was saved at {saved:%H:%M:%S}; if you changed it since, save it and export again"
    )


@_command(
    "journal",
    _argument("path", metavar="PATH", nargs="?", help="the journal's file; without, say which one is open"),
    _argument("--no-auto-resume", action="store_true", help="its unfinished runs wait for `%%wf resume`"),
)
def _journal(magics: WorkflowMagics, path: str | None, no_auto_resume: bool) -> None:
    """Open another journal as `wf`. The one before stays open: its runs go on, and workflows that are defined belong to it."""
    if path is None and no_auto_resume:
        raise OptionError("say which journal is to be opened: %wf journal PATH --no-auto-resume")
    if path is None:
        say(f"journal {shown_path(magics.manager)} is open as `wf`")
        return
    before = magics.shell.user_ns.get("wf")
    magics.open(path, auto_resume=False if no_auto_resume else None)
    if isinstance(before, WorkflowManager) and not before._is_same_journal(magics.manager) and before.workflows:
        say(f"workflows defined so far belong to {shown_path(before)}, which stays open; run their cells again to have them here")


@_command("nest", _argument("state", choices=("on", "off"), nargs="?", help="without, say which it is"))
def _nest(magics: WorkflowMagics, state: str | None) -> None:
    """Let your cells call asyncio.run and loop.run_until_complete (nest-asyncio2 patches asyncio), or no longer."""
    nesting = import_module("wfkernel.notebook.nesting")
    if state == "on":
        nesting.turn_on()
        say("asyncio is patched by nest-asyncio2: cells may call asyncio.run. wfkernel does not need it; `await` works without")
    elif state is None:
        say(f"nest is {'on' if nesting.is_on() else 'off'}")
    elif nesting.turn_off():
        say("asyncio is as it was; tasks that were made meanwhile stay as they are")
    else:
        say(
            "asyncio stays patched: not %wf nest has done it, and nest-asyncio has no way back. Restart the kernel to be rid of it"
        )


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {c.parser.description}" for name, c in COMMANDS.items()]
    return "\n".join(["usage: %wf COMMAND ...   (%wf COMMAND --help says more)", "", *lines])


def _words_and_rest(text: str, count: int) -> list[str]:
    """``count`` words, and the rest of the line as it is, after ``--`` so that it is never taken for an option."""
    words: list[str] = []
    while text and len(words) < count:
        word, _, text = text.partition(" ")
        words.append(unquote(word))
        text = text.strip()
    return ["--", *words, *([text] if text else [])]


def _step(text: str | None) -> int | str | None:
    if text is None:
        return None
    return int(text) if text.removeprefix("-").isdigit() else text
