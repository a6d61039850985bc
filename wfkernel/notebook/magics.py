"""``%%workflow`` and ``%wf``: they parse their words, ask the manager, and show the answer.

What a cell becomes is decided in cells.py, what is warned of in determinism.py, what Tab offers in completion.py.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import json
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from wfkernel.errors import (
    EngineStopped,
    InvalidArguments,
    JournalError,
    OptionError,
    RunNotFound,
    WfkernelError,
)
from wfkernel.manager import Run, WorkflowManager
from wfkernel.model.events import Event
from wfkernel.model.records import RunRecord, RunStatus, StepRecord
from wfkernel.notebook import determinism
from wfkernel.notebook.cells import InvalidCell, keyword_values, read_cell, read_line, remember_text, split_words, unquote
from wfkernel.notebook.completion import complete
from wfkernel.notebook.tables import Table, ago, short
from wfkernel.workflow import Workflow

__all__ = ["WorkflowMagics", "load_ipython_extension", "unload_ipython_extension"]

_NAME = "wf"  # what the notebook calls the manager
_UNFINISHED_SHOWN = 10
_HERE = str(Path(__file__).parent)


def load_ipython_extension(ip: Any) -> None:
    """``%load_ext wfkernel``: opens the default journal as ``wf``, and offers the magics. Again it changes nothing."""
    magics = ip.magics_manager.registry.get(WorkflowMagics.__name__)
    if magics is None:
        magics = WorkflowMagics(ip)
        ip.register_magics(magics)
        magics.hook()
    with _plain_errors(ip):
        magics.open()


def unload_ipython_extension(ip: Any) -> None:
    """``%unload_ext wfkernel``: closes the journals that the magics opened, and takes the magics away."""
    magics = ip.magics_manager.registry.pop(WorkflowMagics.__name__, None)
    if magics is not None:
        magics.close()


@magics_class
class WorkflowMagics(Magics):
    """The magics of one notebook."""

    shell: Any

    def __init__(self, shell: Any):
        super().__init__(shell)
        self._opened: list[WorkflowManager] = []
        self._watch = _GlobalsWatch(shell)

    # -- journals --

    @property
    def manager(self) -> WorkflowManager:
        """What the notebook calls ``wf``, if that is a manager: a user may have put another there. Else the one we opened."""
        named = self.shell.user_ns.get(_NAME)
        if isinstance(named, WorkflowManager):
            return named
        if not self._opened:
            raise JournalError("no journal is open; open one with `%wf journal PATH`")
        return self._opened[-1]

    def open(self, path: str | None = None) -> None:
        """Open a journal as ``wf``: without a path the default one, unless ``wf`` is one that is open."""
        named = self.shell.user_ns.get(_NAME)
        if path is None and isinstance(named, WorkflowManager) and _is_open(named):
            return
        wf = WorkflowManager() if path is None else WorkflowManager(path)
        if named is not None and not isinstance(named, WorkflowManager):
            _say(f"`{_NAME}` was {short(repr(named))}; it is the WorkflowManager now")
        if not any(wf._engine is other._engine for other in self._opened):
            self._opened.append(wf)
        else:
            self._opened.sort(key=lambda other: other._engine is wf._engine)
        self.shell.user_ns[_NAME] = wf
        _say(f"journal {_shown_path(wf)} is open as `{_NAME}`")
        unfinished = _unfinished(wf)
        if unfinished is not None:
            display(unfinished)

    def hook(self) -> None:
        """Completion, and the watch over globals that later cells rebind."""
        for name in ("%wf", "%%workflow"):
            self.shell.set_hook("complete_command", self._complete, str_key=name)
        self.shell.events.register("post_run_cell", self._watch.after_cell)

    def close(self) -> None:
        self.shell.events.unregister("post_run_cell", self._watch.after_cell)
        completers = self.shell.strdispatchers["complete_command"].strs
        for name in ("%wf", "%%workflow"):
            completers.pop(name, None)
        for kind, names in self.magics.items():
            for name in names:
                self.shell.magics_manager.magics[kind].pop(name, None)
        if any(self.shell.user_ns.get(_NAME) is wf for wf in self._opened):
            del self.shell.user_ns[_NAME]
        while self._opened:
            self._opened.pop().close()

    def _complete(self, shell: Any, event: Any) -> list[str]:
        try:
            wf = self.manager
        except JournalError:
            wf = None
        commands = {name: command.options for name, command in COMMANDS.items()}
        return complete(event.text_until_cursor, event.symbol, wf, self.shell.user_ns, commands)

    # -- %%workflow --

    @no_var_expand
    @cell_magic
    def workflow(self, line: str, cell: str) -> Run | None:
        """Define a durable workflow from this cell.

        %%workflow trip(city: str, days: int = 3) -> Report     the cell is the body; `step` is in scope
        %%workflow                                              the cell holds `async def trip(step, ...)` and its helpers

        --start key=value ...   also start a run; it is bound to `run`
        --id ID                 the run's id: the same id again is the same run
        --name NAME             what the journal calls the workflow
        """
        with _plain_errors(self.shell):
            if line.split()[:1] in (["--help"], ["-h"]):
                _say(inspect.cleandoc(WorkflowMagics.workflow.__doc__ or ""))
                return None
            said = read_line(line)
            wf = self.manager
            made = self._define(wf, said, line, cell)
            if said.start is None:
                return None
            if len(made) != 1:
                raise OptionError(f"--start needs one workflow, and this cell defines {', '.join(w.name for w in made)}")
            chosen = made[0] if said.id is None else made[0].options(id=said.id)
            run = chosen.start(**keyword_values(said.start, self.shell.user_ns))
            self.shell.user_ns["run"] = run
            _say(f"started {run.name}; `run` is run {run.id}")
            return run

    def _define(self, wf: WorkflowManager, said: Any, line: str, cell: str) -> list[Workflow[Any]]:
        filename = self._filename(line, cell)
        remember_text(filename, f"%%workflow {line}\n{cell}")  # what an error shows
        parsed = read_cell(said, line, cell, filename, self.shell.transform_cell)
        if said.name is not None and len(parsed.workflows) > 1:
            raise OptionError(f"--name names one workflow, and this cell defines {', '.join(w.name for w in parsed.workflows)}")

        def make(node: ast.AsyncFunctionDef, value: Any) -> Workflow[Any]:
            for finding in determinism.check(node, self.shell.user_ns, rebound=self._watch.rebound()):
                _warn(f"workflow {node.name}, {finding}")
            self._watch.defined(node)
            if isinstance(value, Workflow):  # decorated in the cell already
                return value
            waiting = [] if not callable(value) else _waiting_for_definition(wf, said.name or value.__name__)
            workflow = wf.workflow(name=said.name)(value)
            if waiting:
                _say(f"{workflow.name}: {', '.join(waiting)} {'goes' if len(waiting) == 1 else 'go'} on")
            return workflow

        return parsed.define(self.shell.user_ns, make, flags=self.shell.compile.flags)

    def _filename(self, line: str, cell: str) -> str:
        """IPython's name for the running cell, whose text we replace by what it means.

        A magic that is called in another way (``run_cell_magic`` in a program, under ``%%time``) gets a name of its own, so that the
        text of the real cell stays.
        """
        known = self.shell.compile._filename_map
        number = self.shell.execution_count  # n or n + 1 inside a cell, depending on IPython's version; the frame knows
        for filename in _files_of_callers():
            if filename in known:
                number = known[filename]
                if linecache.getline(filename, 1).startswith("get_ipython().run_cell_magic('workflow'"):
                    return filename
        return self.shell.compile.cache(f"%%workflow {line}\n{cell}", number)

    # -- %wf --

    @no_var_expand
    @line_magic
    def wf(self, line: str) -> Any:
        """Look at runs and act on them: `%wf --help` lists the commands, `%wf COMMAND --help` explains one."""
        with _plain_errors(self.shell):
            name, _, rest = line.strip().partition(" ")
            if name in ("", "--help", "-h", "help"):
                _say(_overview())
                return None
            command = COMMANDS.get(name)
            if command is None:
                raise OptionError(f"%wf knows no command {name!r}; it knows {', '.join(COMMANDS)}")
            arguments = command.arguments(rest.strip())
            if arguments is None:
                _say(command.parser.format_help().rstrip())
                return None
            return command.function(self, *arguments)

    def run(self, text: str) -> Run:
        """The run that a word means: a run's id, or a variable (or ``runs[0]``) that holds a Run or an id."""
        value = self._variable(text)
        if isinstance(value, Run):
            return value
        try:
            return self.manager.get(text)
        except RunNotFound:
            if isinstance(value, str):
                return self.manager.get(value)
            raise

    def _variable(self, text: str) -> Any:
        try:
            tree = ast.parse(text, "<argument>", "eval")
        except (SyntaxError, ValueError):
            return None
        names = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
        allowed = (ast.Expression, ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.UnaryOp, ast.USub, ast.Load)
        if not names or not all(isinstance(n, allowed) for n in ast.walk(tree)) or not self.shell.user_ns.keys() >= set(names):
            return None
        try:
            return eval(compile(tree, "<argument>", "eval"), self.shell.user_ns)
        except Exception:
            return None


# -- the commands of %wf --


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise OptionError(f"{self.prog}: {message}; {self.format_usage().strip()}")


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
    return _table_of_runs(wf, found.items, "" if found.is_done else f"the newest {len(found)} runs; --limit N shows more")


@_command("show", _RUN)
def _show(magics: WorkflowMagics, run: str) -> Table:
    """A run's status and steps."""
    found = magics.run(run)
    return _table_of_steps(found, found.status(), found.steps())


@_command(
    "start",
    _argument("workflow", metavar="NAME", help="a workflow that is defined"),
    _argument("arguments", metavar="key=value", nargs="*", help="Python expressions, or plain text"),
    _argument("--id", metavar="ID", help="the run's id: the same id again is the same run"),
    words=split_words,
)
def _start(magics: WorkflowMagics, name: str, words: list[str], run_id: str | None) -> Run:
    """Start a run."""
    wf, name = magics.manager, unquote(name)
    workflow: Any = wf._engine.workflows.get(name) or magics.shell.user_ns.get(name)
    if not isinstance(workflow, Workflow):
        return wf.start(name)  # says what is defined
    if run_id is not None:
        workflow = workflow.options(id=unquote(run_id))
    return workflow.start(**keyword_values(words, magics.shell.user_ns))


@_command("cancel", _RUN)
def _cancel(magics: WorkflowMagics, run: str) -> None:
    """Cancel a run and its children."""
    found = magics.run(run)
    found.cancel()
    _say(f"run {found.id} of {found.name}: {found.status().type.replace('in_progress', 'it cleans up')}")


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
    _say(f"sent {event} to run {found.id}")


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


@_command("journal", _argument("path", metavar="PATH", nargs="?", help="the journal's file; without, say which one is open"))
def _journal(magics: WorkflowMagics, path: str | None) -> None:
    """Open another journal as `wf`. The one before stays open: its runs go on, and workflows that are defined belong to it."""
    if path is None:
        _say(f"journal {_shown_path(magics.manager)} is open as `{_NAME}`")
        return
    before = magics.shell.user_ns.get(_NAME)
    magics.open(path)
    if isinstance(before, WorkflowManager) and before._engine is not magics.manager._engine and before._engine.workflows:
        _say(
            f"workflows defined so far belong to {_shown_path(before)}, which stays open; run their cells again to have them here"
        )


def _overview() -> str:
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


# -- what is shown --


def _table_of_runs(wf: WorkflowManager, records: Sequence[RunRecord], title: str = "") -> Table:
    rows = []
    for record in records:
        what: Any = record.error if record.error is not None else record.result
        if record.status == "in_progress":
            what = _doing(wf.status(record.run_id))
        rows.append(
            (record.run_id, record.name, record.status, record.created_at, ago(record.created_at, record.completed_at), what)
        )
    return Table(["run", "workflow", "status", "started", "took", ""], rows, records=records, title=title if rows else "no runs")


def _unfinished(wf: WorkflowManager) -> Table | None:
    page = wf.list(status="in_progress", limit=_UNFINISHED_SHOWN)
    if not page.items:
        return None
    title = f"{len(page)} {'run is' if len(page) == 1 else 'runs are'} unfinished:"
    if not page.is_done:
        title = f"the newest {len(page)} of the unfinished runs (%wf list --status in_progress --limit 1000 shows more):"
    rows = [(r.run_id, r.name, r.created_at, _doing(wf.status(r.run_id))) for r in page.items]
    return Table(["run", "workflow", "started", "needs"], rows, records=page.items, title=title)


def _doing(status: RunStatus) -> str:
    """What an unfinished run is about, in words."""
    if status.waiting_for is not None:
        return status.waiting_for + (
            "; run the cell that defines it" if status.waiting_for.endswith("is not defined here") else ""
        )
    words = {"event": "waits for event {}", "sleep": "sleeps", "workflow": "waits for workflow {}"}
    steps = [words.get(s.kind, "runs {}" if s.status == "running" else "is to run {}").format(s.name) for s in status.running[:3]]
    return ", ".join(steps) + (f", and {len(status.running) - 3} more" if len(status.running) > 3 else "")


def _table_of_steps(run: Run, status: RunStatus, steps: Sequence[StepRecord]) -> Table:
    title = f"{run.name}  {run.id}  {status.type}"
    if status.type == "in_progress":
        title += f": {_doing(status)}"
    elif status.error is not None:
        title += f": {status.error}"
    elif status.type == "completed":
        title += f": {short(repr(status.result))}"
    rows = [
        (
            *(s.step_number, s.name, s.kind, s.status, s.attempts, s.started_at or s.scheduled_at),
            "" if s.status == "scheduled" else ago(s.started_at, s.completed_at),
            s.error if s.error is not None else None if s.status != "success" else repr(s.result),
        )
        for s in steps
    ]
    return Table(["step", "name", "kind", "status", "attempts", "started", "took", "result"], rows, records=steps, title=title)


def _shown_path(wf: WorkflowManager) -> str:
    path = str(wf.path)
    if path == ":memory:":
        return path
    try:
        return str(Path(path).relative_to(Path.cwd().resolve()))
    except ValueError:
        return path


def _waiting_for_definition(wf: WorkflowManager, name: str) -> list[str]:
    """The unfinished runs that this definition sets going, in words."""
    records = wf.list_by_name(name, status="in_progress", limit=_UNFINISHED_SHOWN).items
    return [f"run {r.run_id}" for r in records if wf.status(r.run_id).waiting_for is not None]


def _is_open(wf: WorkflowManager) -> bool:
    try:
        wf.list(limit=1)
    except EngineStopped:
        return False
    return True


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")


# -- globals that later cells rebind --


class _GlobalsWatch:
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
                    _warn(
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
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # tables compare by element
        return False


# -- errors --


@contextmanager
def _plain_errors(shell: Any) -> Iterator[None]:
    """Errors of ours end the cell with a short message; errors of the user's code show that code's lines and not ours."""
    try:
        yield
    except Exception as exc:
        theirs = _frames_below_ours(exc, shell.compile._filename_map)
        is_short = isinstance(exc, WfkernelError) or type(exc).__module__.lstrip("_").startswith("duckdb")
        if theirs is not None or is_short:
            exc._render_traceback_ = functools.partial(_render, shell, exc, theirs)  # type: ignore[attr-defined] - IPython asks for it
        raise


def _render(shell: Any, exc: BaseException, frames: types.TracebackType | None) -> list[str]:
    if isinstance(exc, InvalidCell):
        return shell.SyntaxTB.structured_traceback(type(exc.syntax), exc.syntax, [])
    if frames is not None:
        return shell.InteractiveTB.structured_traceback(type(exc), exc, frames, tb_offset=0)
    return shell.InteractiveTB.get_exception_only(type(exc), exc)


def _frames_below_ours(exc: BaseException, cells: dict[str, int]) -> types.TracebackType | None:
    """The traceback from the user's first line on that our code called."""
    frame, is_below = exc.__traceback__, False
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        is_below = is_below or filename.startswith(_HERE)
        if is_below and filename in cells:
            return frame
        frame = frame.tb_next
    return None


def _files_of_callers() -> Iterator[str]:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back
