"""``%%workflow`` and ``%wf``: they parse their words, ask the manager, and show the answer.

What a cell becomes is decided in cells.py, what is warned of in determinism.py and watching.py, what Tab offers in completion.py;
the commands of ``%wf`` are in commands.py.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from wfkernel.errors import EngineStopped, JournalError, JournalLocked, OptionError, RunNotFound
from wfkernel.manager import WorkflowManager
from wfkernel.notebook import determinism, waiting
from wfkernel.notebook.cells import keyword_values, read_cell, read_line, remember_text
from wfkernel.notebook.commands import COMMANDS, overview, say
from wfkernel.notebook.completion import complete
from wfkernel.notebook.listings import shown_path, unfinished, waiting_for_definition, what_became
from wfkernel.notebook.tables import short
from wfkernel.notebook.tracebacks import plain_errors
from wfkernel.notebook.watching import GlobalsWatch, warn
from wfkernel.run import Run
from wfkernel.workflow import Workflow

if TYPE_CHECKING:  # loading it takes longer than all the rest of `%load_ext wfkernel`
    from wfkernel.control.connected import ConnectedManager

__all__ = ["WorkflowMagics", "load_ipython_extension", "unload_ipython_extension"]

_NAME = "wf"  # what the notebook calls the manager
_AUTO_RESUME = "WFKERNEL_AUTO_RESUME"  # in the environment: 0 or 1, for journals that are opened without saying


def load_ipython_extension(ip: Any) -> None:
    """``%load_ext wfkernel``: opens the default journal as ``wf``, and offers the magics. Again it changes nothing."""
    magics = ip.magics_manager.registry.get(WorkflowMagics.__name__)
    if magics is None:
        magics = WorkflowMagics(ip)
        ip.register_magics(magics)
        magics.hook()
    waiting.install()
    with plain_errors(ip):
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
        self._watch = GlobalsWatch(shell)

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

    def open(self, path: str | None = None, *, auto_resume: bool | None = None) -> None:
        """Open a journal as ``wf``: without a path the default one, unless ``wf`` is one that is open.

        Args:
            auto_resume: as for ``WorkflowManager``; None: what the environment variable WFKERNEL_AUTO_RESUME says, if it is set.
        """
        named = self.shell.user_ns.get(_NAME)
        if path is None and isinstance(named, WorkflowManager) and _is_open(named):
            return
        if auto_resume is None:
            auto_resume = _auto_resume_of_environment()
        wf = _opened(path, auto_resume)
        if named is not None and not isinstance(named, WorkflowManager):
            say(f"`{_NAME}` was {short(repr(named))}; it is the WorkflowManager now")
        if not any(wf._is_same_journal(other) for other in self._opened):
            self._opened.append(wf)
        else:
            self._opened.sort(key=wf._is_same_journal)
        self.shell.user_ns[_NAME] = wf
        held = "" if wf.holder is None else f"; process {wf.holder} holds it, runs the steps, and is asked for everything"
        say(f"journal {shown_path(wf)} is open as `{_NAME}`{held}")
        table = unfinished(wf)
        if table is not None:
            display(table)

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
        if self in self.shell.configurables:  # where IPython puts all magics
            self.shell.configurables.remove(self)
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
        with plain_errors(self.shell):
            if line.split()[:1] in (["--help"], ["-h"]):
                say(inspect.cleandoc(WorkflowMagics.workflow.__doc__ or ""))
                return None
            said = read_line(line)
            wf = self.manager
            made = self._define(wf, said, line, cell)
            if said.start is None:
                return None
            chosen = made[0] if said.id is None else made[0].options(id=said.id)
            run = chosen.start(**keyword_values(said.start, self.shell.user_ns))
            self.shell.user_ns["run"] = run
            say(f"started {run.name}; `run` is run {run.id}")
            return run

    def _define(self, wf: WorkflowManager, said: Any, line: str, cell: str) -> list[Workflow[Any]]:
        filename = self._filename(line, cell)
        remember_text(filename, f"%%workflow {line}\n{cell}")  # what an error shows
        parsed = read_cell(said, line, cell, filename, self.shell.transform_cell)
        if len(parsed.workflows) > 1 and (said.name is not None or said.start is not None):
            names = ", ".join(node.name for node in parsed.workflows)
            raise OptionError(f"--start and --name are for one workflow, and this cell defines {names}")

        def make(node: ast.AsyncFunctionDef, value: Any) -> Workflow[Any]:
            for finding in determinism.check(node, self.shell.user_ns, rebound=self._watch.rebound()):
                warn(f"workflow {node.name}, {finding}")
            self._watch.defined(node)
            if isinstance(value, Workflow):  # decorated in the cell already
                return value
            waiting = [] if not callable(value) else waiting_for_definition(wf, said.name or value.__name__)
            workflow = wf.workflow(name=said.name)(value)
            for line in what_became(wf, workflow.name, waiting):
                say(line)
            if wf.holder is not None:
                say(_where_it_runs(cast("ConnectedManager", wf), workflow.name))
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
        with plain_errors(self.shell):
            name, _, rest = line.strip().partition(" ")
            if name in ("", "--help", "-h", "help"):
                say(overview())
                return None
            command = COMMANDS.get(name)
            if command is None:
                raise OptionError(f"%wf knows no command {name!r}; it knows {', '.join(COMMANDS)}")
            arguments = command.arguments(rest.strip())
            if arguments is None:
                say(command.parser.format_help().rstrip())
                return None
            return command.function(self, *arguments)

    def run(self, text: str) -> Run:
        """The run that a word means: a run's id, or a variable (or ``runs[0]``, ``{run}``, ``$run``) that holds a Run or an id."""
        marked = re.fullmatch(r"\{(.+)\}|\$(.+)", text)  # IPython's marks; it does not expand them here: JSON has braces, too
        value = self._variable(text if marked is None else marked[1] or marked[2])
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


def _auto_resume_of_environment() -> bool | None:
    said = os.environ.get(_AUTO_RESUME)
    if said is None:
        return None
    if said not in ("0", "1"):
        raise OptionError(f"the environment variable {_AUTO_RESUME} must be 0 or 1, not {said!r}")
    return said == "1"


def _opened(path: str | None, auto_resume: bool | None) -> WorkflowManager:
    """A manager; where another process holds the journal, one that asks that process."""
    where = () if path is None else (path,)
    try:
        return WorkflowManager(*where, auto_resume=auto_resume)
    except JournalLocked as error:
        say(f"{error.path} is held by process {error.pid}: it is asked to answer for its journal")
        return WorkflowManager(*where, auto_resume=auto_resume, connect="auto")


def _where_it_runs(wf: ConnectedManager, name: str) -> str:
    if not wf.lacks(name):
        return f"{name}: process {wf.holder} holds the journal, and runs it as it is defined there"
    return (
        f"{name}: process {wf.holder} holds the journal and runs the steps, and has no such workflow: its runs wait until this cell is run"
        f" there, too. To run them here, open a journal of your own (`%wf journal PATH`, and run this cell again), or close that process"
    )


def _is_open(wf: WorkflowManager) -> bool:
    try:
        wf.list(limit=1)
    except EngineStopped:
        return False
    return True


def _files_of_callers() -> Iterator[str]:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back
