"""User SQL in one transaction with journal rows, and read-only transactions for queries."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import duckdb

from wfkernel.errors import JournalError

from . import cursors, faults
from .cursors import Cursor
from .instance import Instance
from .ledger import Ledger
from .stall import Stall
from .write import Write

T = TypeVar("T")
_ATTEMPTS = 100  # of a query
_GIVEN_UP_S = 60.0  # for a transaction that loses against others
_LONGEST_TURN_S = 0.1  # between two tries of it
_POOLED = 8
_LONGEST_PAUSE_S = 2.0
_PAUSE_S = 0.25  # a mutation takes 1 or 2 ms; a longer one is not waited for


class _Again(Exception):
    """The transaction was rolled back and is to be run again."""


class Transactions:
    """Runs the caller's work on the calling thread, on a pooled connection that nobody else uses meanwhile."""

    def __init__(
        self,
        instance: Instance,
        ledger: Ledger,
        stall: Stall,
        check_open: Callable[[], None],
        reattach: Callable[[], None],
    ):
        self._instance = instance
        self._ledger = ledger
        self._stall = stall
        self._check_open = check_open
        self._reattach = reattach
        self._generation = 0  # of the attachment; grows when it is renewed
        self._ended = threading.Event()
        self._losers = threading.Lock()
        self._traffic = threading.Condition()
        self._active = 0
        self._is_paused = False
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._busy: set[Cursor] = set()

    # -- mutations -------------------------------------------------------------------------------------------------------

    def transact(self, work: Callable[[Cursor], Write | None]) -> Write | None:
        """See ``Journal.transact``."""
        lost = stalls = 0
        give_up = 0.0
        while True:
            # A transaction that lost once waits for the other losers: each round then has one winner at least.
            with self._losers if lost else contextlib.nullcontext():
                try:
                    return self._attempt(work)
                except _Again as again:
                    cause = again.__cause__
            assert cause is not None  # every _Again is raised from one
            if faults.is_space(cause):
                stalls += 1
                self._ended.wait(min(0.2 * 2**stalls, _LONGEST_PAUSE_S))
                continue
            lost += 1
            give_up = give_up or time.monotonic() + _GIVEN_UP_S
            if time.monotonic() > give_up:
                text = f"a transaction lost against others {lost} times in {_GIVEN_UP_S:g} s: {faults.first_line(cause)}"
                raise JournalError(text) from cause
            if lost > 1:  # against one that takes its time
                self._ended.wait(min(0.001 * 2 ** min(lost, 10), _LONGEST_TURN_S))

    def _attempt(self, work: Callable[[Cursor], Write | None]) -> Write | None:
        self._check_open()
        with self._under_way(), self._connection("mutation") as db:
            raw = db._raw
            generation = self._generation
            raw.begin()
            try:
                write = work(db)
                db._retire()  # before the commit: who kept the cursor shall not slip something in
            except BaseException as error:
                _roll_back(raw)
                if db.conflict is not None or faults.is_conflict(error) or self._was_cut_off(generation, error):
                    raise _Again from error
                raise
            return self._finish(db, raw, write)

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        with self._traffic:
            self._traffic.wait_for(lambda: not self._is_paused)
            self._active += 1
        try:
            yield
        finally:
            with self._traffic:
                self._active -= 1
                self._traffic.notify_all()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let no further transaction begin, and wait a moment for those under way to end.

        CHECKPOINT refuses to run beside a transaction that has updated something; where one mutation follows the other it would
        never get its turn, and the WAL would grow for ever. Not to be called with the commit lock held: they need it to end.
        """
        with self._traffic:
            self._is_paused = True
            self._traffic.wait_for(lambda: not self._active, _PAUSE_S)
        try:
            yield
        finally:
            with self._traffic:
                self._is_paused = False
                self._traffic.notify_all()

    def _finish(self, db: Cursor, raw: duckdb.DuckDBPyConnection, write: Write | None) -> Write | None:
        if write is None:
            _roll_back(raw)
            return None
        with self._stored_files(write), self._ledger.lock:
            try:
                self._check_open()
                if self._ledger.wants(write):
                    last = self._ledger.insert_last(raw, write)
                    raw.commit()
                    self._stall.over()
                    self._ledger.committed([write], last)
                else:
                    _roll_back(raw)
            except BaseException as error:
                _roll_back(raw)
                self._failed(db, write, error)
            self._ledger.acknowledge([write])
        return write

    @contextlib.contextmanager
    def _stored_files(self, write: Write) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._ledger.stored_files(write))
            except OSError as error:
                if faults.is_space(error):
                    self._stall.met(error)
                    raise _Again from error
                raise faults.translated(error, "a side file could not be stored") from error
            yield

    def _failed(self, db: Cursor, write: Write, error: BaseException) -> None:
        """The journal row or the commit failed. Returns if the commit had landed all the same."""
        if db.conflict is not None or faults.is_conflict(error):
            raise _Again from (db.conflict or error)
        if faults.is_aborted(error):
            raise cursors.aborted(db.last_error) from error
        if faults.is_invalidated(error):
            self._reattach()
            if self._ledger.has_landed([write]):
                return
            raise _Again from error
        if faults.is_space(error):
            self._stall.met(error)
            raise _Again from error
        raise faults.translated(error, "the transaction could not be committed")

    def _was_cut_off(self, generation: int, error: BaseException) -> bool:
        """The connection was closed under the work's hands, because the database had to be attached anew."""
        return isinstance(error, duckdb.Error) and generation != self._generation and not self._ended.is_set()

    # -- queries ---------------------------------------------------------------------------------------------------------

    def query(self, work: Callable[[Cursor], T]) -> T:
        """See ``Journal.query``."""
        self._check_open()
        for _ in range(_ATTEMPTS):
            generation = self._generation
            with self._connection("query") as db:
                try:
                    db._raw.execute("BEGIN TRANSACTION READ ONLY")
                    return work(db)
                except duckdb.Error as error:
                    if not self._was_cut_off(generation, error):
                        raise
                finally:
                    _roll_back(db._raw)
        raise JournalError("the query could not run: the journal was attached anew again and again")

    # -- connections -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _connection(self, inside: str) -> Iterator[Cursor]:
        db, generation = self._taken(inside)
        raw = db._raw
        try:
            yield db
        finally:
            db._retire()
            self._busy.discard(db)
            is_clean = _roll_back(raw)
            # Tables, settings and registered objects that the work left on the connection are not for the next one to see.
            if not is_clean or db.is_sticky or len(self._idle) >= _POOLED or generation != self._generation:
                cursors.close(raw)
            else:
                self._idle.append(raw)

    def _taken(self, inside: str) -> tuple[Cursor, int]:
        """A connection that ``close`` will find if it comes from now on, and the generation that it is of."""
        while True:
            generation = self._generation
            self._check_open()
            try:
                raw = self._idle.pop()
            except IndexError:
                raw = self._instance.cursor()
            db = Cursor(raw, inside=inside)
            self._busy.add(db)
            if generation == self._generation:
                return db, generation
            self._busy.discard(db)  # close() may have looked before it was there
            cursors.close(raw)

    def close(self) -> None:
        """Interrupt and close every connection; the transactions under way run again, unless the journal ends."""
        self._generation += 1
        busy = list(self._busy)
        for db in busy:
            db.stop()
        for raw in [*self._idle, *(db._raw for db in busy)]:
            cursors.close(raw)
        self._idle.clear()

    def end(self) -> None:
        """The journal ends: nobody shall wait for a better time."""
        self._ended.set()


def _roll_back(raw: Any) -> bool:
    """Whether no transaction is open any more: a result that is read while it is made keeps one."""
    try:
        raw.rollback()
    except duckdb.TransactionException:
        return True  # the failed commit has ended it already
    except duckdb.Error:
        return False
    return True
