"""The journal as the engine sees it: opening, the calls, closing. It ties the other files together and decides nothing itself."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from wfkernel.errors import EngineStopped, JournalError

from . import cursors, faults, recovery, schema
from .checkpoints import Checkpoints
from .cursors import Cursor
from .files import FileStore
from .guard import Guard
from .instance import Instance
from .ledger import Ledger
from .lock import LockFile, sync_directory
from .stall import Stall
from .transactions import Transactions
from .write import Write
from .writer import Writer

logger = logging.getLogger("wfkernel.journal")

T = TypeVar("T")
_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """One open journal. Made by ``Journal.open``; every method may be called from any thread.

    Attributes:
        path: the file, absolute, or ":memory:".
        is_memory: whether it is gone when closed.
        files: the side files.
        last_run_key: the largest run key at the time of opening; 0 if there was none.
        checkpoints: the thresholds of checkpoints, None in memory.
    """

    def __init__(self, path: Path | None, instance: Instance, lock_file: LockFile | None, guard: Guard | None):
        self.path: Path | str = path or ":memory:"
        self.is_memory = path is None
        self._instance = instance
        self._lock_file = lock_file
        self._guard = guard
        self._closing = threading.Lock()
        self._ended: str | None = None
        self._local = threading.local()
        self._epoch = 0
        self._readers: list[weakref.ref] = []
        self._user_cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._lent: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()  # a relation outlives its cursor
        with contextlib.closing(instance.cursor()) as cursor:
            last_seq, self.last_run_key = _last_of(cursor)
        self.files = FileStore(path.with_name(path.name + ".files") if path else None)
        self._ledger = Ledger(instance, self.files, lock_file, last_seq)
        self._ledger.collect_files()
        self._stall = Stall(self.path)
        self.checkpoints = Checkpoints(path, guard) if path and guard else None
        self._transactions = Transactions(instance, self._ledger, self._stall, self._check_open, self._reattach)
        self._writer = Writer(self._ledger, self._stall, self.checkpoints, self._checkpoint, self._reattach)
        # The hot path, without a call in between.
        self.submit = self._writer.submit
        self.submit_later = self._writer.submit_later
        self._writer.thread.start()
        _open_journals.add(self)

    # -- opening ---------------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, accept_loss: bool = False) -> Journal:
        """Open the journal, creating it and its parent directories where they are missing.

        Args:
            path: the file, or ":memory:" for one that lives until it is closed.
            accept_loss: open also a file that ends before the last acknowledged row (an older copy put in its place).

        Raises:
            JournalLocked: another process, or this one, has it open.
            JournalTooNew: a newer wfkernel wrote it.
            JournalError: it cannot be opened; nothing was changed on disk.
        """
        if os.fspath(path) == ":memory:":
            return _open_memory(cls)
        return _open_file(cls, Path(os.path.realpath(os.path.expanduser(os.fspath(path)))), accept_loss)

    # -- attributes that the engine sets ---------------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """The seq of the last durable row."""
        return self._ledger.last_seq

    @property
    def on_batch(self) -> Callable[[list[Write]], None]:
        """Called after each commit, in commit order, with every Write of the batch: committed, dropped or failed. On the
        thread that committed, holding the commit lock: it must not wait for another commit."""
        return self._ledger.on_batch

    @on_batch.setter
    def on_batch(self, call: Callable[[list[Write]], None]) -> None:
        self._ledger.on_batch = call

    @property
    def on_stall(self) -> Callable[[JournalError | None], None]:
        """Called with an error when commits begin to fail for lack of space, with None when they work again."""
        return self._stall.on_stall

    @on_stall.setter
    def on_stall(self, call: Callable[[JournalError | None], None]) -> None:
        self._stall.on_stall = call

    @property
    def stalled(self) -> JournalError | None:
        """Why commits wait just now, or None."""
        return self._stall.error

    @property
    def hint_delay(self) -> float:
        """Seconds that a hint waits before it is written."""
        return self._writer.hint_delay

    @hint_delay.setter
    def hint_delay(self, seconds: float) -> None:
        self._writer.hint_delay = seconds

    # -- writing ---------------------------------------------------------------------------------------------------------

    def submit(self, write: Write) -> None:
        """Queue a write for the next commit and return at once; ``on_batch`` tells what became of it.

        Raises:
            EngineStopped: the journal is closed.
        """
        raise NotImplementedError  # replaced in __init__ by the writer's own

    def submit_later(self, write: Write) -> None:
        """Queue a hint: it joins the first commit after ``hint_delay``, if its ``keep()`` still says so then. One that does
        not is forgotten: ``on_batch`` never sees it."""
        raise NotImplementedError  # replaced in __init__ by the writer's own

    def drop_queued(self, wanted: Callable[[Write], bool]) -> list[Write]:
        """Take writes back that are queued and not committed, while a full disk stalls the journal.

        Returns:
            The writes that ``wanted`` chose, marked as dropped; ``on_batch`` will not see them.
        """
        return self._writer.drop_queued(wanted)

    def transact(self, work: Callable[[Cursor], Write | None]) -> Write | None:
        """Run user SQL and commit it together with the rows that ``work`` returns; on the calling thread.

        ``work`` may run more than once: a transaction that lost a conflict is rolled back and run again. If it returns None,
        everything is rolled back.

        Raises:
            Exception: whatever ``work`` raised; everything was rolled back.
            JournalError: the transaction could not be committed.
        """
        write = self._transactions.transact(work)
        self._writer.nudge()
        return write

    # -- reading ---------------------------------------------------------------------------------------------------------

    def query(self, work: Callable[[Cursor], T]) -> T:
        """Run user SQL that cannot write, and return what ``work`` does."""
        return self._transactions.query(work)

    def read(self, sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[tuple]:
        """The engine's own reads: all rows; every acknowledged write is seen."""
        try:
            return self._reader().execute(sql, params).fetchall()
        except duckdb.Error as error:
            self._check_open()
            raise faults.translated(error, "the journal cannot be read") from error

    def _reader(self) -> duckdb.DuckDBPyConnection:
        local = self._local
        if self._ended is None and getattr(local, "epoch", None) == self._epoch:
            return local.cursor
        self._check_open()
        local.cursor = cursor = self._instance.cursor()
        local.epoch = self._epoch
        self._readers = [ref for ref in self._readers if ref() is not None]
        self._readers.append(weakref.ref(cursor))
        return cursor

    def user_cursor(self) -> Cursor:
        """A new cursor for the user's own SQL (``wf.db``)."""
        self._check_open()
        raw = self._instance.cursor()
        self._lent.add(raw)
        cursor = Cursor(raw, another=self.user_cursor, on_write=self._writer.nudge)
        self._user_cursors.add(cursor)
        return cursor

    def delete_files(self, shas: Iterable[str]) -> None:
        """Delete those of these side files that no row refers to."""
        self._check_open()
        self._ledger.collect_files(list(shas))

    # -- checkpoints and repair, on the writer thread --------------------------------------------------------------------

    def _checkpoint(self) -> bool:
        checkpoints = self.checkpoints
        assert checkpoints is not None  # a journal in memory has none, and nobody asks for one
        with self._transactions.paused(), self._ledger.lock:
            if self._ended:
                return False
            try:
                with contextlib.closing(self._instance.cursor()) as cursor:
                    is_done = checkpoints.run(cursor)
            except duckdb.Error as error:
                # A checkpoint that failed half-way (disk full) invalidates the database until it is attached anew.
                logger.warning("%s: checkpoint failed: %s", self.path, faults.first_line(error))
                checkpoints.put_off()
                self._reattach()
                return False
            if is_done:
                self._ledger.commits = 0
            return is_done

    def _reattach(self) -> None:
        """DETACH, restore, ATTACH. The caller holds the commit lock."""
        self._ledger.disconnect()
        self._let_go()
        guard = self._guard
        if guard is None:
            raise JournalError("a journal in memory was lost: DuckDB invalidated it")
        recovery.Recovery(guard.path, guard).attach(self._instance)
        guard.watch()
        self._ledger.connect()

    def _let_go(self) -> None:
        """Close or roll back everything that keeps the file open, then DETACH."""
        self._transactions.close()
        self._epoch += 1
        for ref in self._readers:
            if (reader := ref()) is not None:
                _close(reader)
        for cursor in list(self._user_cursors):
            cursor._release()
        with contextlib.suppress(duckdb.CatalogException):
            self._instance.detach()

    # -- the end ---------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._ended:
            raise EngineStopped(self._ended)

    def close(self) -> None:
        """Commit everything submitted, checkpoint, and give the file back. Further calls do nothing."""
        if self._ended:  # also in a fork's child, where no lock can be waited for
            return
        with self._closing:
            if threading.current_thread() is self._writer.thread:
                raise RuntimeError("close() waits for the journal's own thread, so on_batch cannot call it")
            self._writer.drain()
            if self.checkpoints is not None and self.checkpoints.wal_bytes():
                self._checkpoint()
            with self._ledger.lock:
                self._end("the journal is closed")

    def abandon(self) -> None:
        """Let go as if the process had died: what is queued is never committed. The path can be opened again at once."""
        if self._ended:
            return
        self._writer.abandon()
        with self._ledger.lock:
            self._end("the journal was abandoned")
        if threading.current_thread() is not self._writer.thread:
            self._writer.thread.join()

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = reason
        self._transactions.end()
        _open_journals.discard(self)
        try:
            for cursor in list(self._user_cursors):
                cursor._end(reason)
            for raw in list(self._lent):
                cursors.close(raw)
            self._ledger.disconnect()
            with contextlib.suppress(duckdb.Error):
                self._let_go()
            self._instance.close()
        finally:  # whatever a statement of the user's does that cannot be stopped: the next one may open the file
            if self._guard is not None:
                self._guard.unwatch()
            if self._lock_file is not None:
                self._lock_file.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {str(self.path)!r}, {self._ended or f'{self.last_seq} rows'}>"

    def _forked(self) -> None:
        """In a fork's child. DuckDB would let it write into the parent's file; and no lock of the parent's can be trusted."""
        self._ended = reason = "this journal belongs to the parent process; open one in the child"
        self._writer._is_refusing = self._writer._is_gone = True
        for cursor in list(self._user_cursors):
            cursor._is_ended = reason
        _kept_from_destruction.append((self._instance, self._ledger, self._transactions, self._local))
        if self._lock_file is not None:
            self._lock_file.forget_in_child()


_kept_from_destruction: list[Any] = []
"""Of a fork's child: DuckDB objects whose destructors would wait for threads that do not exist there."""


def _forget_in_child() -> None:
    for journal in list(_open_journals):
        journal._forked()
    _open_journals.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _close(raw: duckdb.DuckDBPyConnection) -> None:
    with contextlib.suppress(duckdb.Error):
        raw.interrupt()
    cursors.close(raw)


# -- opening, step by step -----------------------------------------------------------------------------------------------


def _open_memory(cls: type[Journal]) -> Journal:
    instance = Instance(None)
    instance.attach()
    with contextlib.closing(instance.cursor()) as cursor:
        schema.prepare(cursor, ":memory:")
    return cls(None, instance, None, None)


def _open_file(cls: type[Journal], path: Path, accept_loss: bool) -> Journal:
    _check_place(path)
    lock_file = LockFile(path)
    instance = guard = None
    try:
        instance = Instance(path)
        if not path.exists():
            recovery.create(path, functools.partial(_create, instance))
        guard = Guard(path)
        recovered = recovery.Recovery(path, guard)
        recovered.attach(instance)
        try:
            _prepare(instance, guard, lock_file, recovered, accept_loss)
        except BaseException:
            instance.detach()
            recovered.undo_cuts()
            raise
        return cls(path, instance, lock_file, guard)
    except BaseException as error:
        if instance is not None:
            with contextlib.suppress(duckdb.Error):
                instance.detach()
            instance.close()
        if guard is not None:
            guard.unwatch()
        lock_file.release(remove=lock_file.is_new)
        if isinstance(error, (duckdb.Error, OSError)):
            raise faults.translated(error, f"the journal {str(path)!r} cannot be opened") from error
        raise


def _check_place(path: Path) -> None:
    """What can be said before anything is touched."""
    name = repr(str(path))
    if path.is_dir():
        raise JournalError(f"the journal {name} is a directory; give the path of a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            raise JournalError(f"the journal {name} cannot be opened: the file is not readable and writable for this user")
    except OSError as error:
        raise JournalError(f"the journal {name} cannot be created: {error.strerror} ({error.filename!r})") from error


def _create(instance: Instance, path: Path) -> None:
    """A new, empty journal, complete in its file: no WAL is left."""
    try:
        instance.attach(path)
        with contextlib.closing(instance.cursor()) as cursor:
            schema.prepare(cursor, path)
            cursor.execute("CHECKPOINT").fetchall()
    finally:
        instance.detach()


def _prepare(instance: Instance, guard: Guard, lock_file: LockFile, recovered: recovery.Recovery, accept_loss: bool) -> None:
    """Schema, identity and high-water mark of the attached file."""
    with contextlib.closing(instance.cursor()) as cursor:
        is_changed = schema.prepare(cursor, guard.path)
        journal_id = schema.meta(cursor, "journal_id") or "-"
        last_seq, _ = _last_of(cursor)
        if not accept_loss:
            recovery.check_mark(guard.path, lock_file, journal_id, last_seq)
        lock_file.belongs_to(journal_id)
        lock_file.note(last_seq)
        guard.watch()
        sync_directory(guard.path)
        if is_changed:
            guard.checkpoint(cursor)


def _last_of(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """The last seq ever given, and the largest run key."""
    seq, run = cursor.execute("SELECT coalesce(max(seq), 0), coalesce(max(run), 0) FROM wf.facts").fetchall()[0]
    return max(seq, int(schema.meta(cursor, "last_seq") or 0)), run
