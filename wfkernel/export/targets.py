"""Where what was made is written to: all of it or nothing, and over no file that is not meant."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable

__all__ = ["put"]


def put(path: str | os.PathLike[str], content: bytes, may_replace: Callable[[bytes], bool]) -> None:
    """Write a file. A link is followed, a file keeps its mode; a pipe or a device is written to, and nothing takes its place.

    Args:
        may_replace: whether a file that begins with these bytes may be replaced. An empty one always may.

    Raises:
        FileExistsError: there is a file that may not be replaced.
        OSError: it cannot be written; what was there is still there.
    """
    shown = os.fspath(path)
    try:
        mode = os.stat(shown).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and stat.S_ISREG(mode):
        _check(shown, may_replace)
    try:
        if mode is None or stat.S_ISREG(mode):
            _replace(os.path.realpath(shown), content)
        else:
            with open(shown, "wb") as file:
                file.write(content)
    except OSError as exc:
        raise type(exc)(exc.errno, exc.strerror, shown) from None  # and not the name that it had while it was written


def _check(shown: str, may_replace: Callable[[bytes], bool]) -> None:
    with open(shown, "rb") as file:
        begin = file.read(100)
    if begin and not may_replace(begin):
        raise FileExistsError(errno.EEXIST, "it is left alone", shown)


def _replace(target: str, content: bytes) -> None:
    part = f"{target}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(target, part)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(part)
        raise
