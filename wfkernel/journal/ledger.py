"""How a batch of writes becomes durable: seq, rows, side files, acknowledgement, all under the one commit lock.

May live here: what happens inside a commit. When commits happen is writer.py's business, who else writes in the same
transaction is transactions.py's.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence

import duckdb

from wfkernel.model.facts import Fact

from . import schema
from .files import FileStore
from .instance import Instance
from .lock import LockFile
from .write import Write

logger = logging.getLogger("wfkernel.journal")

INSERT = "INSERT INTO wf.facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_TABLE = "wf.facts"
_FEW_ROWS = 32  # of at most 1 MB each, what an appender surely buffers
_FILE = int(Fact.FILE)


class Ledger:
    """The journal's only source of seq.

    Attributes:
        lock: the commit lock, held from the assignment of seq to the end of ``on_batch``. Reentrant, so that ``on_batch`` may
            abandon the journal.
        last_seq: of the last row that is durable.
        commits: since the last checkpoint.
    """

    def __init__(self, instance: Instance, files: FileStore, lock_file: LockFile | None, last_seq: int):
        self.lock = threading.RLock()
        self.last_seq = last_seq
        self.commits = 0
        self.on_batch: Callable[[list[Write]], None] = lambda batch: None
        self._instance = instance
        self._files = files
        self._lock_file = lock_file
        self._noted = last_seq
        self._file_rows: set[tuple[int, str]] = set()
        self.connect()

    def connect(self) -> None:
        """A cursor, a prepared statement for one row, an appender for more: made once, and again after a reattach."""
        self._cursor = self._instance.cursor()
        self._one = self._cursor.extract_statements(INSERT)[0]
        self._appender = self._cursor.appender(_TABLE)

    def disconnect(self) -> None:
        self._appender = None
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    # -- a batch ---------------------------------------------------------------------------------------------------------

    def commit(self, batch: list[Write]) -> None:
        """Commit the writes that still want it, and acknowledge. The caller holds the lock.

        Raises:
            Exception: nothing was committed and nobody was told.
        """
        kept = batch if _is_plain(batch) else [write for write in batch if self.wants(write)]
        if kept:
            if self._cursor is None:
                raise duckdb.FatalException("the journal is detached")  # a reattach failed; try that again first
            self._insert(kept)
        self.acknowledge(batch)

    @staticmethod
    def wants(write: Write) -> bool:
        """Ask the write whether it is still to be written. A question that fails is that write's own failure."""
        if write.keep is None:
            return True
        try:
            write.dropped = not write.keep()
        except Exception as error:
            logger.exception("keep() of a write failed; the write is dropped")
            write.error = error
            return False
        return not write.dropped

    def _insert(self, writes: list[Write]) -> None:
        cursor = self._cursor
        assert cursor is not None  # commit() asked
        seq = self.last_seq + 1
        rows: list[tuple] = []
        deletes: list[int] = []
        for write in writes:
            write.seq = seq
            for row in write.rows:
                rows.append((seq, *row))
                seq += 1
            if write.blobs:
                seq = self._store_files(write, rows, seq)
            if write.delete_runs:
                deletes.extend(write.delete_runs)
        if deletes:
            self._delete_and_append(cursor, deletes, rows, seq - 1)
        elif len(rows) == 1:
            cursor.execute(self._one, rows[0]).fetchall()
        elif rows:
            self._append(cursor, rows)
        self.committed(writes, seq - 1)
        if deletes:
            self._forget_files(deletes)

    def _append(self, cursor: duckdb.DuckDBPyConnection, rows: list[tuple]) -> None:
        """A large batch in a transaction: an appender flushes by itself when much is buffered, and each flush is a commit.
        A small one without: BEGIN and COMMIT cost 0.2 ms."""
        # Never in a local: an error's traceback would keep the appender, and with it the file, beyond disconnect().
        assert self._appender is not None  # it is there when the cursor is
        if len(rows) <= _FEW_ROWS:
            try:
                self._appender.append_rows(rows)
                self._appender.flush()
            except BaseException:
                self._undo(cursor)
                raise
            return
        try:
            cursor.begin()
            self._appender.append_rows(rows)
            self._appender.flush()
            cursor.commit()
        except BaseException:
            self._undo(cursor)
            raise

    def _delete_and_append(
        self, cursor: duckdb.DuckDBPyConnection, runs: Sequence[int], rows: list[tuple], last_seq: int
    ) -> None:
        assert self._appender is not None  # as in _append
        try:
            cursor.begin()
            cursor.execute("DELETE FROM wf.facts WHERE run IN (SELECT unnest(?::BIGINT[]))", [list(runs)]).fetchall()
            # The newest rows may be among the deleted, and a seq must never be given twice.
            schema.set_meta(cursor, "last_seq", str(last_seq))
            if rows:
                self._appender.append_rows(rows)
                self._appender.flush()
            cursor.commit()
        except BaseException:
            self._undo(cursor)
            raise

    def _undo(self, cursor: duckdb.DuckDBPyConnection) -> None:
        assert self._appender is not None  # as in _append
        for undo in (self._appender.clear, cursor.rollback):
            with contextlib.suppress(duckdb.Error):  # no transaction is active: the failed commit ended it
                undo()

    def committed(self, writes: list[Write], last: int) -> None:
        """These writes are durable; ``last`` is the seq of their last row."""
        self.last_seq = last
        self.commits += 1
        for write in writes:
            if write.blobs:
                run = write.rows[0][0]
                self._file_rows.update((run, sha) for sha in write.blobs)

    def acknowledge(self, batch: list[Write]) -> None:
        """Tell the engine. Its mistakes must not stop the journal."""
        try:
            self.on_batch(batch)
        except Exception:
            logger.exception("on_batch failed")
        if self._lock_file is not None and self.last_seq > self._noted:  # 15 µs, so after the acknowledgement
            self._noted = self.last_seq
            self._lock_file.note(self._noted)

    def has_landed(self, batch: list[Write]) -> bool:
        """After a failure that says nothing about it: did the batch reach the disk? Then it counts as committed."""
        writes = [write for write in batch if not write.dropped and write.error is None and write.seq > self.last_seq]
        assert self._cursor is not None  # it was attached anew before anybody asks
        (last,) = self._cursor.execute("SELECT max(seq) FROM wf.facts WHERE seq > ?", [self.last_seq]).fetchall()[0]
        if last is None:
            return False
        self.committed(writes, last)
        return True

    # -- a transaction that also holds user SQL --------------------------------------------------------------------------

    def insert_last(self, cursor: duckdb.DuckDBPyConnection, write: Write) -> int:
        """Insert the write's rows on this cursor, inside its transaction. The caller holds the lock.

        Returns:
            The seq of the last row.
        """
        write.seq = seq = self.last_seq + 1
        rows = [(seq + index, *row) for index, row in enumerate(write.rows)]
        seq += len(rows)
        if write.blobs:
            seq = self._store_files(write, rows, seq)
        for row in rows:
            cursor.execute(INSERT, row).fetchall()
        return seq - 1

    # -- side files ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stored_files(self, write: Write) -> Iterator[None]:
        """Store a transaction's side files before the lock is taken (an fsync is slow), and keep them until it has ended."""
        if not write.blobs:
            yield
            return
        with self._files.held(write.blobs):
            for sha, buffer in write.blobs.items():
                self._files.put(sha, buffer)
            yield

    def _store_files(self, write: Write, rows: list[tuple], seq: int) -> int:
        """Make the side files durable before the rows that refer to them, and say so in a row each."""
        assert write.blobs is not None  # asked before
        run, _, generation, _, t, _, _ = write.rows[0]
        for sha, buffer in write.blobs.items():
            self._files.put(sha, buffer)
            if (run, sha) not in self._file_rows:
                rows.append((seq, run, -1, generation, _FILE, t, sha, f'{{"size":{memoryview(buffer).nbytes}}}'))
                seq += 1
        return seq

    def _forget_files(self, runs: Sequence[int]) -> None:
        gone = set(runs)
        self._file_rows = {pair for pair in self._file_rows if pair[0] not in gone}
        if self._files:
            self.collect_files()

    def collect_files(self, candidates: Sequence[str] | None = None) -> None:
        """Delete the side files (of these, or all) that no row refers to."""
        candidates = list(self._files) if candidates is None else candidates
        if not candidates:
            return
        with self.lock:
            if self._cursor is None:
                raise duckdb.FatalException("the journal is detached")
            sql = "SELECT DISTINCT name FROM wf.facts WHERE fact = ?"
            wanted = {name for (name,) in self._cursor.execute(sql, [_FILE]).fetchall()}
            self._files.delete(sha for sha in candidates if sha not in wanted)


def _is_plain(batch: list[Write]) -> bool:
    return len(batch) == 1 and batch[0].keep is None
