"""Opening the file, whatever the last process left behind: error by error, and anything unknown stops and changes nothing.

torn checkpoint    ``.undo`` is whole and the header did not switch -> put the saved blocks back
corrupt block      ... and DuckDB says so -> put them back with the old header
torn WAL tail      the commit that was in flight, acknowledged to nobody -> keep a copy, cut it off
stale WAL          older than the file: its checkpoint completed -> set it aside
lost tail          fewer rows than were acknowledged -> stop, and put back what was cut
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb

from wfkernel.errors import JournalError, JournalLocked

from . import faults
from .guard import Guard
from .instance import Instance
from .lock import LockFile, sync_directory

logger = logging.getLogger("wfkernel.journal")

_ATTEMPTS = 5


class Recovery:
    """One opening of one file. ``undo_cuts`` takes back what it did to the WAL."""

    def __init__(self, path: Path, guard: Guard):
        self._path = path
        self._guard = guard
        self._set_aside: list[tuple[Path, Path]] = []
        self._forced = False

    def attach(self, instance: Instance) -> None:
        """Attach the file, curing what is known to be curable.

        Raises:
            JournalLocked, JournalError: nothing was changed on disk.
        """
        if self._guard.restore():
            logger.warning("%s: a checkpoint was interrupted; its blocks were restored", self._path)
        for _ in range(_ATTEMPTS):
            try:
                instance.attach()
                return
            except duckdb.Error as error:
                with contextlib.suppress(duckdb.Error):
                    instance.detach()
                try:
                    self._cure(error)
                except BaseException:
                    self.undo_cuts()
                    raise
        self.undo_cuts()
        raise JournalError(f"the journal {str(self._path)!r} cannot be recovered: one damage after another. Nothing was changed")

    def _cure(self, error: duckdb.Error) -> None:
        text = str(error)
        if faults.is_locked(error):
            raise JournalLocked(self._path, faults.holder(error)) from error
        if found := faults.TORN_WAL.search(text):
            self._cut(self._own_wal(found["wal"], error), int(found["at"]))
        elif (found := faults.STALE_WAL.search(text)) and int(found["wal"]) < int(found["file"]):
            self._put_aside(self._path.with_name(self._path.name + ".wal"))
        elif faults.is_corrupt_file(error) and not self._forced and self._guard.restore(even_if_switched=True):
            self._forced = True
            logger.warning("%s: a torn checkpoint was undone", self._path)
        else:
            raise self._refusal(error) from error

    def _refusal(self, error: duckdb.Error) -> JournalError:
        name = repr(str(self._path))
        if faults.is_open_here(error):
            return JournalError(f"the journal {name} is open in this process with duckdb.connect(); close that connection first")
        if "not a valid DuckDB database file" in str(error):
            return JournalError(f"{name} is not a DuckDB file; open another path. Nothing was changed")
        return JournalError(f"the journal {name} cannot be opened: {faults.first_line(error)}. Nothing was changed")

    def _own_wal(self, named: str, error: duckdb.Error) -> Path:
        """The WAL that DuckDB complains of, if it is one of this journal's."""
        wal = Path(named)
        if wal.parent != self._path.parent or not wal.name.startswith(self._path.name + "."):
            raise self._refusal(error) from error
        return wal

    def _cut(self, wal: Path, at: int) -> None:
        copy = _unused(wal.with_name(wal.name + ".torn"))
        shutil.copy2(wal, copy)
        self._set_aside.append((wal, copy))
        logger.warning("%s: cut an unfinished commit off at byte %d; the whole is kept in %s", wal, at, copy)
        fd = os.open(wal, os.O_RDWR)
        try:
            os.ftruncate(fd, at)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _put_aside(self, wal: Path) -> None:
        aside = _unused(wal.with_name(wal.name + ".stale"))
        os.rename(wal, aside)
        sync_directory(wal)
        self._set_aside.append((wal, aside))
        logger.warning("%s is older than the file, and was set aside as %s", wal, aside)

    def undo_cuts(self) -> None:
        """Put every WAL back as it was found. DuckDB must have let go of the file."""
        for wal, copy in reversed(self._set_aside):
            os.replace(copy, wal)
        self._set_aside.clear()


def _unused(path: Path) -> Path:
    """The path, or one with a number: an older copy is evidence too."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}{number}")
    return candidate


def check_mark(path: Path, lock_file: LockFile, journal_id: str, last_seq: int) -> None:
    """Compare the file's last row with the last acknowledged one, noted in the lock file.

    The mark is written after the commit and never synced, so it may be behind, but ahead of the file it is only when rows
    were lost (a damaged WAL makes DuckDB drop the rest of it without a word) or when an older copy of the same journal was put in
    place. Both are for the user to decide, as going on would give the lost seqs to other rows.

    Raises:
        JournalError: nothing was changed.
    """
    if lock_file.mark is None:
        return
    mark, mark_id = lock_file.mark
    if mark_id == journal_id and mark > last_seq:
        raise JournalError(
            f"the journal {str(path)!r} ends at row {last_seq}, but rows up to {mark} were acknowledged: the end of its WAL is "
            f"damaged, or this is an older copy. Nothing was changed. To go on without those rows, delete {str(lock_file.path)!r}"
        )


def create(path: Path, prepare: Callable[[Path], None]) -> None:
    """Make a new database complete under another name, then give it its own: a kill leaves a whole journal or none."""
    unfinished = path.with_name(path.name + ".new")
    _remove(unfinished)
    wal = path.with_name(path.name + ".wal")
    if wal.exists():  # of a file that somebody removed; it must not be replayed into this one
        os.rename(wal, _unused(wal.with_name(wal.name + ".stale")))
    path.with_name(path.name + ".undo").unlink(missing_ok=True)
    try:
        prepare(unfinished)
        fd = os.open(unfinished, os.O_RDWR)
        os.fsync(fd)
        os.close(fd)
        os.replace(unfinished, path)
    except BaseException:
        _remove(unfinished)
        raise
    sync_directory(path)


def _remove(database: Path) -> None:
    for suffix in ("", ".wal", ".wal.checkpoint"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
