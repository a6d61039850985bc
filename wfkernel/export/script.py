"""What exported scripts run on: a manager that opens its journal at the first use, and a command line.

Importing a script opens nothing: a worker process, or a tool that looks for its workflows, can import it while another process holds
the journal. The journal's path is, in this order: ``--journal``, the environment's ``WFKERNEL_JOURNAL``, what the notebook said.
"""

from __future__ import annotations

import argparse
import asyncio
import builtins
import dis
import inspect
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from wfkernel.engine.what_for import waits_only
from wfkernel.errors import OptionError, RunCanceled, RunFailed, WfkernelError
from wfkernel.export.magicline import keyword_values
from wfkernel.manager import WorkflowManager
from wfkernel.model.place import DEFAULT, VARIABLE
from wfkernel.run import Run
from wfkernel.workflow import Workflow

__all__ = ["ScriptManager", "command_line", "manager", "may_fail", "show"]

T = TypeVar("T")
DONE, FAILED, USAGE, WAITING = 0, 1, 2, 3  # exit codes
_LOOK_AGAIN_S = 0.1


class ScriptManager(WorkflowManager):
    """A manager whose journal is opened when it is first needed; until then it only collects definitions."""

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any):
        self._defined: list[Workflow[Any]] = []
        self._known_runs: list[str] = []
        self._opening = threading.RLock()
        super().__init__(DEFAULT if path is None else path, **options)

    def _open(self, path: Any, max_parallelism: int | None, settings: dict[str, Any]) -> None:
        self._later = (path, max_parallelism, settings)

    def __getattr__(self, name: str) -> Any:
        if name not in ("_engine", "_records"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with self._opening:
            if name not in self.__dict__:
                path, max_parallelism, settings = self._later
                super()._open(os.environ.get(VARIABLE) or path, max_parallelism, settings)
                while self._defined:
                    super()._define(self._defined.pop(0))
        return self.__dict__[name]

    def _define(self, workflow: Workflow[Any]) -> None:
        if "_engine" in self.__dict__:
            super()._define(workflow)
        else:
            self._defined.append(workflow)

    @property
    def is_open(self) -> bool:
        """Whether the journal was opened, and not closed."""
        return "_engine" in self.__dict__ and not self._engine.closing

    def hold(self) -> None:
        """Let no unfinished run go on before ``resume`` says so; to be called before the journal is opened."""
        path, max_parallelism, settings = self._later
        self._later = (path, max_parallelism, {**settings, "auto_resume": False})

    def continue_with(self, run_ids: Iterable[str]) -> None:
        """Let the next start of each of these runs' workflows, if it says no id itself, be this run."""
        self._known_runs = [self.get(run_id).id for run_id in run_ids]

    def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        found: Workflow[Any] = self._engine.recovery.resolve_workflow(workflow)
        if self._known_runs and found.start_options().id is None:
            run_id = next((run_id for run_id in self._known_runs if self.get(run_id).name == found.name), None)
            if run_id is not None:
                self._known_runs.remove(run_id)
                run = super().start(found.options(id=run_id), *args, **kwargs)
                if run.status().type == "in_progress":
                    self.resume(run)
                return run
        return super().start(found, *args, **kwargs)

    def close(self) -> None:
        if "_engine" in self.__dict__:
            super().close()

    def __repr__(self) -> str:
        return super().__repr__() if "_engine" in self.__dict__ else "<WorkflowManager, not open yet>"


# A function that uses `wf` must have the fingerprint that it had in the notebook, and for that the type's name counts.
ScriptManager.__module__, ScriptManager.__qualname__ = WorkflowManager.__module__, WorkflowManager.__qualname__


def manager(path: str | os.PathLike[str] | None = None, **options: Any) -> ScriptManager:
    """What ``%load_ext wfkernel``, ``%wf journal PATH`` and ``WorkflowManager(path, **options)`` become in a script.

    >>> from wfkernel.export import script
    >>> wf = script.manager(":memory:")
    >>> wf
    <WorkflowManager, not open yet>
    """
    _offer_display()
    return ScriptManager(path, **options)


def show(value: T) -> T:
    """Print the value of a cell's last expression, unless it is None; and return it."""
    if value is not None:
        sys.stdout.write(f"{value!r}\n")
        sys.stdout.flush()
    return value


@contextmanager
def may_fail() -> Iterator[None]:
    """A cell with the tag ``raises-exception``: what it raises is told, and the script goes on."""
    try:
        yield
    except Exception as exc:
        _complain(f"{type(exc).__name__}: {exc}")


def _offer_display() -> None:
    # IPython puts `display` among the builtins. As a name of the script it would change the fingerprints of functions that use it.
    if not hasattr(builtins, "display"):
        builtins.display = lambda *values, **_: [show(value) for value in values] and None  # type: ignore[attr-defined]


# -- the command line --


def command_line(wf: ScriptManager | None, main: Callable[[], Any], argv: Sequence[str] | None = None) -> int:
    """Run an exported script.

    Args:
        wf: its manager; None for a notebook without workflows.
        main: what its cells did, as a function; may be async.
        argv: the arguments; those of the process by default.

    Returns:
        The exit code: 0 done, 1 something failed, 2 the arguments are wrong, 3 a run waits for what does not come by itself.
    """
    _offer_display()
    arguments = _parser(main).parse_args(argv)
    if arguments.journal is not None:
        os.environ[VARIABLE] = arguments.journal
    try:
        if wf is None:
            return _main_alone(main, arguments)
        with wf:
            return _commands[arguments.command](wf, main, arguments)
    except OptionError as exc:
        _complain(str(exc))
        return USAGE
    except WfkernelError as exc:
        _complain(f"{type(exc).__name__}: {exc}")
        return FAILED
    except KeyboardInterrupt:
        _complain("stopped waiting; the runs are in the journal, and `resume` goes on with them")
        return 130


def _parser(main: Callable[[], Any]) -> argparse.ArgumentParser:
    doc = (sys.modules.get(main.__module__).__doc__ or "") if main.__module__ in sys.modules else ""  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(
        description=doc.split("\n\n")[0] or None,
        epilog="exit codes: 0 done, 1 failed, 2 wrong arguments, 3 a run waits (for an event, or longer than --timeout)",
        parents=[_common()],
    )
    parser.set_defaults(journal=None, run_id=[], timeout=None, command="main")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.default = "main"
    commands.add_parser("main", parents=[_common()], help="what the notebook's cells do; this is the default")
    commands.add_parser("resume", parents=[_common()], help="go on with all unfinished runs, until they end or wait for an event")
    start = commands.add_parser("start", parents=[_common()], help="start a run, and wait for it")
    start.add_argument("workflow", metavar="WORKFLOW")
    start.add_argument("words", metavar="key=value", nargs="*", help="Python expressions, or plain text")
    return parser


def _common() -> argparse.ArgumentParser:
    """The options that may stand before the command or after it. New ones each time: a shared option would lose what stands before."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--journal", metavar="PATH", help=f"the journal; else ${VARIABLE}, else the notebook's")
    common.add_argument(
        "--run-id",
        metavar="ID",
        action="append",
        help="a run that the notebook, or an earlier call, began: main() goes on with it where it would start another run of that "
        "workflow; resume waits for this one only; start gives it to the new run. May be repeated",
    )
    common.add_argument(
        "--timeout", metavar="S", type=float, help="how many seconds resume and start wait; without, until the end"
    )
    return common


def _main_alone(main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    if arguments.command != "main" or arguments.run_id or arguments.journal is not None:
        raise OptionError("the notebook opened no journal: this script can only run main()")
    _run(main)
    return DONE


def _main(wf: ScriptManager, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    if arguments.run_id:
        wf.hold()  # the run goes on where main() comes to it, with all that main() has made by then
        wf.continue_with(arguments.run_id)
    _run(main)
    for run in _unfinished(wf) if wf.is_open else ():
        _say(f"run {run.id} of {run.name} is unfinished; `resume` goes on with it")
    return DONE


def _run(main: Callable[[], Any]) -> None:
    if inspect.iscoroutinefunction(main):
        asyncio.run(main())
    else:
        main()


def _resume(wf: ScriptManager, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    wf.hold()
    runs = [wf.get(run_id) for run_id in arguments.run_id] or _unfinished(wf)
    _check_globals(wf, main, {run.name for run in runs})
    for run in runs:
        if run.status().type == "in_progress":
            wf.resume(run)
    if not runs:
        _say("no run is unfinished")
    return _settled(wf, runs, arguments.timeout)


def _start(wf: ScriptManager, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    if len(arguments.run_id) > 1:
        raise OptionError("start begins one run: give --run-id once")
    wf.hold()
    namespace: dict[str, Any] = getattr(main, "__globals__", {})
    named = namespace.get(arguments.workflow)
    workflow = named if isinstance(named, Workflow) else wf.workflows.get(arguments.workflow)
    if workflow is None:
        raise OptionError(f"there is no workflow {arguments.workflow!r}; there are: {', '.join(wf.workflows) or 'none'}")
    _check_globals(wf, main, {workflow.name})
    if arguments.run_id:
        workflow = workflow.options(id=arguments.run_id[0])
    run = workflow.start(**keyword_values(arguments.words, namespace))
    _say(f"run {run.id} of {run.name}")
    return _settled(wf, [run], arguments.timeout)


_commands: dict[str, Callable[[ScriptManager, Callable[[], Any], argparse.Namespace], int]] = {
    "main": _main,
    "resume": _resume,
    "start": _start,
}


# -- waiting --


def _unfinished(wf: WorkflowManager) -> list[Run]:
    """The unfinished runs, oldest first, without those that are steps of another."""
    found: list[Run] = []
    cursor = None
    while True:
        page = wf.list(status="in_progress", order="asc", cursor=cursor)
        found += [wf.get(record.run_id) for record in page.items if record.parent_run_id is None]
        if page.is_done:
            return found
        cursor = page.cursor


def _settled(wf: WorkflowManager, runs: Sequence[Run], timeout: float | None) -> int:
    """Wait until each run has ended or waits for an event, and say so; the exit code."""
    until = None if timeout is None else time.monotonic() + timeout
    return max([_settle(wf, run, until) for run in runs], default=DONE)


def _settle(wf: WorkflowManager, run: Run, until: float | None) -> int:
    while True:
        pause = _LOOK_AGAIN_S if until is None else min(_LOOK_AGAIN_S, max(0.0, until - time.monotonic()))
        try:
            result = run.result(timeout=pause)
        except TimeoutError:
            pass  # look at what it waits for
        except (RunFailed, RunCanceled) as exc:
            _say(f"run {run.id} of {run.name} {'failed' if isinstance(exc, RunFailed) else 'was canceled'}: {exc}")
            return FAILED
        else:
            _say(f"run {run.id} of {run.name} completed: {result!r}")
            return DONE
        reason = _waits_for(wf, run)
        if reason is None and until is not None and time.monotonic() >= until:
            reason = "more time than --timeout gave it"
        if reason is not None:
            _say(f"run {run.id} of {run.name} waits for {reason}")
            return WAITING


def _waits_for(wf: WorkflowManager, run: Run) -> str | None:
    """What a run waits for that does not come by itself, as words; None if it goes on, now or at a known time."""
    waits = wf._engine.call(waits_only, wf._engine, run._key)
    if waits is None:
        which = f"its workflow {run.name!r}" if run.name not in wf.workflows else "a workflow that it calls"
        return f"{which}, which this script does not define"
    reasons = [f"event {wait.event}" if wait.child is None else _child_waits_for(wf, wf.get(wait.child)) for wait in waits]
    return " and ".join(r for r in reasons if r) if reasons and all(reasons) else None


def _child_waits_for(wf: WorkflowManager, child: Run) -> str | None:
    reason = _waits_for(wf, child)
    return None if reason is None else f"{reason}, in run {child.id} of {child.name}"


# -- names that only main() gives --


def _check_globals(wf: WorkflowManager, main: Callable[[], Any], names: set[str]) -> None:
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


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
