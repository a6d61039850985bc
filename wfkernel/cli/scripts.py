"""Runs a script in this process as ``python FILE`` would."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import types
from typing import TYPE_CHECKING, NamedTuple

from wfkernel.cli.printing import remark
from wfkernel.cli.unattended import is_ours
from wfkernel.errors import EngineStopped

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def as_main(path: str, args: list[str]) -> Iterator[types.ModuleType]:
    """A module ``__main__`` for the script, in its place as long as this lasts: steps that run later look up its classes there."""
    path = os.path.abspath(path)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __cached__=None, __builtins__=__builtins__, __wfkernel_run__=True)
    before = sys.modules["__main__"], sys.argv, sys.path
    sys.modules["__main__"], sys.argv, sys.path = module, [path, *args], [os.path.dirname(path), *sys.path]
    try:
        yield module
    finally:
        sys.modules["__main__"], sys.argv, sys.path = before


class Ending(NamedTuple):
    """How a script ended.

    Attributes:
        code: its exit code.
        error: what it did not catch.
    """

    code: int
    error: BaseException | None = None


def execute(module: types.ModuleType) -> Ending:
    """Run it until its end, or until a wait that was ended because nothing will come of it. An error that it does not catch is shown as
    Python shows it.

    Raises:
        KeyboardInterrupt: as it is.
    """
    path = str(module.__file__)
    try:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except SystemExit as end:
        code = _exit_code(end)
        return Ending(code, end if code else None)
    except Exception as error:
        if isinstance(error, EngineStopped) and is_ours(str(error)):
            remark(f"{os.path.basename(path)} waits for {error}")
            return Ending(0)
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != path:
            trace = trace.tb_next  # what is above the script is ours
        traceback.print_exception(type(error), error, trace)
        return Ending(1, error)
    return Ending(0)


def _exit_code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1
