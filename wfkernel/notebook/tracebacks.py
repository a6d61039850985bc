"""What IPython shows of an exception: the user's own lines, without those of wfkernel and asyncio.

IPython asks an exception for ``_render_traceback_``, if it has one. The traceback itself stays whole: a debugger sees every frame.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from IPython import get_ipython

from wfkernel.core.body import is_ours
from wfkernel.errors import WfkernelError
from wfkernel.model import cells
from wfkernel.notebook.cells import InvalidCell

__all__ = ["ends_at_the_cell", "name_cells", "plain_errors", "show_users_lines"]

E = TypeVar("E", bound=BaseException)
_HERE = str(Path(__file__).parent)
# Between a cell, or a step's function, and us.
_MACHINERY = ("/IPython/core/interactiveshell.py", "/IPython/core/async_helpers.py", "/concurrent/futures/", "/nest_asyncio2.py")


def name_cells() -> None:
    """Have recorded tracebacks name the cells of this shell as its own tracebacks do. May be called again."""
    cells.namer = _cell_named


def _cell_named(file: str) -> str | None:
    shell: Any = get_ipython()
    words = shell.compile.format_code_name(file) if shell is not None else None
    return " ".join(words) if words is not None else None


def show_users_lines() -> None:
    """Have every error of ours shown without our own lines, wherever in a cell it was raised. May be called again."""
    WfkernelError._render_traceback_ = _render_users_lines  # type: ignore[attr-defined] - IPython asks for it


def ends_at_the_cell(exc: E) -> E:
    """Have a new exception of ours shown from the cell down to the line that called us; below it, its cause likewise."""
    exc._render_traceback_ = functools.partial(_render_users_lines, exc)  # type: ignore[attr-defined] - IPython asks for it
    return exc


@contextmanager
def plain_errors(shell: Any) -> Iterator[None]:
    """In a magic, errors of ours end the cell with a short message; errors of the user's code show that code's lines and not ours."""
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


def _render_users_lines(exc: BaseException) -> list[str]:
    shell: Any = get_ipython()
    with _only(exc, _is_users):
        if exc.__traceback__ is None and exc.__cause__ is None:
            return shell.InteractiveTB.get_exception_only(type(exc), exc)
        return shell.InteractiveTB.structured_traceback(type(exc), exc, exc.__traceback__, tb_offset=0)


def _is_users(filename: str) -> bool:
    return not is_ours(filename) and not any(part in filename.replace("\\", "/") for part in _MACHINERY)


@contextmanager
def _only(exc: BaseException, wanted: Callable[[str], bool]) -> Iterator[None]:
    """An exception, and those behind it, with those frames alone whose file is wanted. (IPython walks the causes by itself.)"""
    whole: list[tuple[BaseException, types.TracebackType | None]] = []
    look: BaseException | None = exc
    while look is not None and all(look is not seen for seen, _ in whole):
        whole.append((look, look.__traceback__))
        look = look.__cause__ if look.__cause__ is not None or look.__suppress_context__ else look.__context__
    try:
        for each, frames in whole:
            each.__traceback__ = _picked(frames, wanted)
        yield
    finally:
        for each, frames in whole:
            each.__traceback__ = frames


def _picked(frames: types.TracebackType | None, wanted: Callable[[str], bool]) -> types.TracebackType | None:
    kept = []
    while frames is not None:
        if wanted(frames.tb_frame.f_code.co_filename):
            kept.append(frames)
        frames = frames.tb_next
    for each in reversed(kept):
        frames = types.TracebackType(frames, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return frames


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
