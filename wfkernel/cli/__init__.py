"""The command line, ``wfkernel COMMAND ...``. It must start fast: nothing here imports duckdb, pydantic or asyncio before it has to.

    commands.py     what commands there are: their words, options, help and examples     data
    parsing.py      words of a shell to a command and its options
    asking.py       asks whoever holds the journal: a socket, else the file
    printing.py     tables, values and durations for people; JSON for programs
    looking.py, acting.py, waiting.py, making.py, running.py, completion.py     what the commands do, loaded when one is given
    scripts.py, headless.py     of run: a script, a notebook
    settling.py, progress.py     of run: until when, and what is said meanwhile
    unattended.py, noted.py     of run, beside the code that it runs: waits that nothing will end; what was closed, which goes on
    extras.py       libraries that not everybody has
    reference.py    writes the reference in docs/cli.md

A command's function takes its options and returns the exit code. Errors leave it as exceptions, and become words here.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfkernel.errors import WfkernelError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

DONE, FAILED, USAGE, WAITING = 0, 1, 2, 3
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it
PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words say, and return the exit code.

    Args:
        argv: the words after the program's name; those of the process otherwise.

    Returns:
        0 done, 1 failed, 3 from ``run`` and ``wait`` where a run waits for an event, 130 after Ctrl-C. A wrong word ends in
        ``SystemExit(2)``, as argparse has it.
    """
    from wfkernel.cli.parsing import parse

    if "_ARGCOMPLETE" in os.environ:  # the shell asks what could come next
        import_module("wfkernel.cli.completion").offer()
    if None in (sys.stdout, sys.stderr) and not _fill_closed_streams():
        sys.stderr.write("wfkernel: the output is closed, so nothing was done; >/dev/null throws the answer away\n")
        return FAILED
    options = parse(sys.argv[1:] if argv is None else list(argv))
    try:
        code = _do(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read us has enough, as `| head`
        _forget_stdout()
        return PIPE_CLOSED
    except OSError as error:  # a full disk, say
        _forget_stdout()
        sys.stderr.write(f"wfkernel {options.command}: the answer cannot be written: {error.strerror or error}\n")
        return FAILED
    if argv is None and getattr(options, "is_cut_short", False):
        _leave(code)
    if (
        code == INTERRUPTED and argv is None and options.command != "run"
    ):  # a script's own threads may have to be interrupted, too
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # an impatient second Ctrl-C would find Python at its end, and make it complain
    return code


def _leave(code: int) -> None:
    """End now. Threads of a script that was cut short may go on for ever, and Python would wait for them."""
    import_module("atexit")._run_exitfuncs()  # journals are closed, and what the script wants done is done
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _do(options: Any) -> int:
    try:
        return options.function(options)
    except KeyboardInterrupt as stop:
        return _interrupted(str(stop) or "interrupted", options)
    except BrokenPipeError:
        raise
    except (WfkernelError, TimeoutError, OSError) as error:
        _say_error(error, options)
        return FAILED
    except Exception as error:
        if "KeyboardInterrupt" not in str(error):
            raise
        return _interrupted("interrupted", options)  # in the middle of loading an extension module, which made an error of it


def _interrupted(words: str, options: Any) -> int:
    sys.stderr.write(f"\n{words}\n")
    if options.json:
        _print_error("KeyboardInterrupt", words)
    return INTERRUPTED


def _say_error(error: BaseException, options: Any) -> None:
    printing = import_module("wfkernel.cli.printing")
    printing.remark(f"wfkernel {options.command}: {error}")
    if options.json:
        _print_error(type(error).__name__, str(error))


def _print_error(kind: str, message: str) -> None:
    import_module("wfkernel.cli.printing").print_json({"error": {"type": kind, "message": message}})


def _fill_closed_streams() -> bool:
    """A file that is opened must not get the number of a stream that is closed: what is printed would go into it.

    Returns:
        Whether there is an output.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    streams: Any = sys
    if streams.stderr is None:
        streams.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as long as the process lives
    return streams.stdout is not None


def _forget_stdout() -> None:
    """So that Python does not complain at its end about what it cannot write."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # no file is behind it, as in a test
