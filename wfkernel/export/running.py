"""The command line of an exported script: main(), start and resume."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from wfkernel.errors import EngineStopped, JournalError, OptionError, WfkernelError
from wfkernel.export.late_manager import ScriptManager
from wfkernel.export.magicline import keyword_values
from wfkernel.export.missing_names import check_globals, need_changes
from wfkernel.export.outcomes import DONE, FAILED, USAGE, complain, is_output_gone, say, settled, unfinished
from wfkernel.model.place import VARIABLE
from wfkernel.model.policy import seconds
from wfkernel.workflow import Workflow

__all__ = ["run_command"]

_PIPE_CLOSED, _INTERRUPTED = 141, 130  # 128 + SIGPIPE and SIGINT, as a shell has it
_DRIVEN = "__wfkernel_run__"  # in the module: `wfkernel run` waits for its runs
_PATIENCE_S = 1.0


def run_command(wf: ScriptManager | None, main: Callable[[], Any], argv: Sequence[str] | None) -> int:
    """Do what the words say; the exit code."""
    arguments = _parser(main).parse_args(argv)
    if arguments.journal is not None:
        os.environ[VARIABLE] = arguments.journal
    try:
        code = _do(wf, main, arguments)
        sys.stdout.flush()
    except OSError as exc:
        if not is_output_gone(exc):
            raise
        if isinstance(exc, BrokenPipeError):  # whoever read us has enough, as `| head`
            return _PIPE_CLOSED
        complain(f"the output cannot be written: {exc.strerror}")
        return FAILED
    return code


def _do(wf: ScriptManager | None, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    try:
        if wf is None:
            return _main_alone(main, arguments)
        with wf:
            return _commands[arguments.command](wf, main, arguments)
    except OptionError as exc:
        complain(str(exc))
        return USAGE
    except (EngineStopped, KeyboardInterrupt) as exc:
        if _is_driven(main):
            raise  # `wfkernel run` ended the wait, and says why
        return _interrupted() if isinstance(exc, KeyboardInterrupt) else _failed(exc)
    except WfkernelError as exc:
        return _failed(exc)


def _failed(error: WfkernelError) -> int:
    complain(f"{type(error).__name__}: {error}")
    return FAILED


def _interrupted() -> int:
    complain("stopped waiting; the runs are in the journal, and `resume` goes on with them")
    return _INTERRUPTED


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
        "--timeout", metavar="S", type=_seconds, help="how many seconds to wait for runs; without, until they end or wait"
    )
    return common


def _seconds(text: str) -> float:
    return seconds(float(text), "--timeout")


_seconds.__name__ = "number of seconds"  # argparse names it in its error


def _main_alone(main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    if arguments.command != "main" or arguments.run_id or arguments.journal is not None:
        raise OptionError("the notebook opened no journal: this script can only run main()")
    _run(main)
    return DONE


def _main(wf: ScriptManager, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    known = []
    if arguments.run_id:
        _must_be_there(wf)
        wf.hold()  # the runs go on where main() comes to them, with all that main() has made by then
        known = wf.continue_with(arguments.run_id)
    is_held = not known and need_changes(wf.defined, main)
    if is_held:
        wf.hold()  # until main() comes to them, or is through: what their steps read is as it was in the notebook then
    _run(main, arguments.timeout)
    if is_held and wf.is_open:
        for run in unfinished(wf):
            wf.go_on(run)
    if not wf.is_open or _is_driven(main):
        return DONE
    for run in known:
        wf.go_on(run)  # main() did not come to it
    left = [] if arguments.run_id else unfinished(wf)
    return settled(wf, [*wf.begun.values(), *(run for run in left if run.id not in wf.begun)], arguments.timeout, is_main=True)


def _is_driven(main: Callable[[], Any]) -> bool:
    return bool(getattr(main, "__globals__", {}).get(_DRIVEN))


def _run(main: Callable[[], Any], timeout: float | None = None) -> None:
    if inspect.iscoroutinefunction(main):
        asyncio.run(_with_its_tasks(main, timeout))
    else:
        main()


async def _with_its_tasks(main: Callable[[], Any], timeout: float | None) -> None:
    """main(), and the tasks that it leaves behind: in a notebook they go on after the last cell."""
    await main()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=_PATIENCE_S if timeout is None else min(timeout, _PATIENCE_S))
    if late and (timeout is None or timeout > _PATIENCE_S):
        complain(f"main() is through; what it began as a task is waited for: {', '.join(sorted(t.get_name() for t in late))}")
        await asyncio.wait(late, timeout=None if timeout is None else timeout - _PATIENCE_S)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()  # raises what it raised


def _resume(wf: ScriptManager, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    _must_be_there(wf)
    wf.hold()
    runs = [wf.get(run_id) for run_id in arguments.run_id] or unfinished(wf)
    check_globals(wf, main, {run.name for run in runs})
    for run in runs:
        if run.status().type == "in_progress":
            wf.resume(run)
    if not runs:
        say("no run is unfinished")
    return settled(wf, runs, arguments.timeout)


def _must_be_there(wf: ScriptManager) -> None:
    """A run can be found only in a journal that is there: none is made to say that it is not in it."""
    path = wf.missing_file
    if path is not None:
        raise JournalError(f"there is no journal {path}; --journal names another one")


def _start(wf: ScriptManager, main: Callable[[], Any], arguments: argparse.Namespace) -> int:
    if len(arguments.run_id) > 1:
        raise OptionError("start begins one run: give --run-id once")
    wf.hold()
    namespace: dict[str, Any] = getattr(main, "__globals__", {})
    named = namespace.get(arguments.workflow)
    workflow = named if isinstance(named, Workflow) else wf.workflows.get(arguments.workflow)
    if workflow is None:
        raise OptionError(f"there is no workflow {arguments.workflow!r}; there are: {', '.join(wf.workflows) or 'none'}")
    check_globals(wf, main, {workflow.name})
    if arguments.run_id:
        workflow = workflow.options(id=arguments.run_id[0])
    run = workflow.start(**keyword_values(arguments.words, namespace))
    say(f"run {run.id} of {run.name}")
    return settled(wf, [run], arguments.timeout)


_commands: dict[str, Callable[[ScriptManager, Callable[[], Any], argparse.Namespace], int]] = {
    "main": _main,
    "resume": _resume,
    "start": _start,
}
