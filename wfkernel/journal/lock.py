"""The journal's own lock file: who holds the journal, and up to which seq its rows were acknowledged.

DuckDB's lock is a POSIX record lock: it is gone as soon as *any* descriptor of the file is closed in the process (a backup
copy made in the kernel is enough). An flock on a file of our own has no such hole.

Two lines of fixed width, so that each can be overwritten in place::

    pid           4711
    seq                   90210 6f1d...   <- the high-water mark and the id of the journal that it belongs to
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from wfkernel.errors import JournalError, JournalLocked

_PID_LINE = b"pid %15d\n"
_MARK_AT = len(_PID_LINE % 0)
_MARK_LINE = b"seq %24d %-36s\n"


class LockFile:
    """An flock on ``<journal>.lock``, held from construction to ``release()``."""

    def __init__(self, journal: Path):
        self.path = journal.with_name(journal.name + ".lock")
        self._journal = journal
        self._id = b""
        self.is_new = not self.path.exists()
        self._fd: int | None
        self._fd = fd = self._acquire()
        self.mark = _read_mark(fd)
        os.pwrite(fd, _PID_LINE % os.getpid(), 0)

    def _acquire(self) -> int:
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The holder may have unlinked the file between our open and our flock; then we hold a lock on nothing.
                if self._still_named(fd):
                    return fd
                os.close(fd)
            except OSError as error:
                pid = _pid_of(fd)
                os.close(fd)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise JournalLocked(self._journal, pid) from None
                raise JournalError(f"the journal {str(self._journal)!r} cannot be locked: {error}") from error

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(
                f"the journal {str(self._journal)!r} cannot be opened: {error.strerror} ({str(self.path)!r}); "
                "it needs a directory that can be written"
            ) from error

    def _still_named(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except FileNotFoundError:
            return False

    def belongs_to(self, journal_id: str) -> None:
        """From now on the mark is that of this journal."""
        self._id = journal_id.encode("ascii")

    def note(self, seq: int) -> None:
        """Remember the last acknowledged seq. No fsync: this is to survive a killed process, not a power cut."""
        fd = self._fd
        if fd is None:
            raise TypeError("the lock was released, and a mark can no longer be noted")
        with contextlib.suppress(OSError):  # a full disk: the mark is a second opinion, never a reason to fail
            os.pwrite(fd, _MARK_LINE % (seq, self._id), _MARK_AT)

    def release(self, *, remove: bool = False) -> None:
        """Give the lock up. ``remove`` unlinks the file first: for an open() that failed and must leave nothing behind."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            if remove:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
            os.close(fd)

    def forget_in_child(self) -> None:
        """After a fork: drop the child's copy of the descriptor, or it would hold the lock beyond its parent's life."""
        self.release()


def _read_mark(fd: int) -> tuple[int, str] | None:
    """The seq that was acknowledged last and the journal's id, or None where nothing readable is noted."""
    line = os.pread(fd, 200, _MARK_AT).split()
    if len(line) == 3 and line[0] == b"seq" and line[1].isdigit():
        return int(line[1]), line[2].decode("ascii", "replace")
    return None


def _pid_of(fd: int) -> int | None:
    line = os.pread(fd, _MARK_AT, 0).split()
    return int(line[1]) if len(line) == 2 and line[0] == b"pid" and line[1].isdigit() else None


def sync_directory(path: Path) -> None:
    """Make creations, renames and deletions beside ``path`` durable (DuckDB does not do it)."""
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
