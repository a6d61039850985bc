"""The cursors that user code gets: DuckDB's connection behind a proxy that refuses what would harm the journal.

What is refused is decided in statements.py; this file only stands between.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import duckdb

from wfkernel.errors import EngineStopped, JournalError

from . import faults, statements

_CACHE_LIMIT = 1000
_CACHED_LENGTH = 10_000
logger = logging.getLogger("wfkernel")
_BETWEEN_INTERRUPTS_S = 0.002
_PATIENCE_S = 5.0  # for a statement that cannot be interrupted, such as a Python function that SQL calls
_verdicts: dict[str, statements.Verdict] = {}

_TEXT_METHODS = frozenset({"from_query", "query_appender", "_submit", "_prepare_script"})
_CHAINED = frozenset({"execute", "executemany", "begin", "commit", "rollback", "register", "unregister", "append"})
_TRANSACTION_METHODS = frozenset({"begin", "commit", "rollback"})
_CONNECTION_METHODS = frozenset({"cursor", "duplicate", "close"})
_STICKY_METHODS = frozenset({"register", "register_filesystem", "create_function", "load_extension", "enable_profiling"})


class Cursor:
    """A DuckDB cursor on the journal's database: everything of ``duckdb.DuckDBPyConnection``, minus what would harm.

    Args:
        raw: DuckDB's connection, of this cursor alone.
        inside: what encloses this cursor's statements ("mutation", "query"), or None for ``wf.db``. Inside, the transaction
            belongs to wfkernel.
        another: makes a further cursor, for ``cursor()``.
        on_write: called after a statement that may have written, outside.
    """

    __slots__ = (
        "__weakref__",
        "_another",
        "_ending",
        "_inside",
        "_is_ended",
        "_is_stopped",
        "_on_write",
        "_raw",
        "_running",
        "conflict",
        "is_sticky",
        "last_error",
    )

    def __init__(
        self,
        raw: duckdb.DuckDBPyConnection,
        *,
        inside: str | None = None,
        another: Callable[[], Cursor] | None = None,
        on_write: Callable[[], None] | None = None,
    ):
        self._raw = raw
        self._inside = inside
        self._another = another
        self._on_write = on_write
        self._ending = threading.Lock()
        self._is_ended: str | None = None
        self._running: int | None = None  # the thread that is in a call of DuckDB's
        self._is_stopped = False
        self.is_sticky = False
        self.conflict: duckdb.Error | None = None
        self.last_error: duckdb.Error | None = None

    # -- the ordinary calls, spelled out because they are the hot ones ---------------------------------------------------

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Cursor:
        """DuckDB's ``execute``; returns this cursor."""
        self._run(self._raw.execute, query, args, kwargs)
        return self

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Cursor:
        """DuckDB's ``executemany``; returns this cursor."""
        self._run(self._raw.executemany, query, args, kwargs)
        return self

    def sql(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """DuckDB's ``sql``: a relation, or None where there is no result."""
        return self._run(self._raw.sql, query, args, kwargs)

    query = sql

    def fetchall(self) -> list[Any]:
        """All remaining rows of the last ``execute``."""
        return self._call(self._raw.fetchall, (), {})

    def run(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of a relation of this cursor, so that ``stop`` stops what it begins."""
        return self._call(method, args, {})

    def _run(self, method: Callable[..., Any], query: Any, args: tuple, kwargs: dict) -> Any:
        verdict = self._verdict(query)
        result = self._call(method, (query, *args), kwargs)
        if verdict.writes:
            self.is_sticky |= verdict.is_sticky
            if self._on_write is not None:
                self._on_write()
        return result

    def _call(self, method: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        self._running = threading.get_ident()  # before the check: who stops this cursor looks the other way round
        try:
            self._check()
            return method(*args, **kwargs)
        except duckdb.Error as error:
            self.last_error = error  # user code may swallow it; the transaction may be lost all the same
            if faults.is_conflict(error):
                self.conflict = error
            raise
        finally:
            self._running = None
            if self._is_ended and self._inside is None:  # meanwhile, and could not be closed
                close(self._raw)

    def _check(self) -> None:
        if self._is_ended:
            raise EngineStopped(self._is_ended)
        if self._is_stopped:
            raise duckdb.InterruptException("the connection was stopped from another thread")

    # -- what is refused -------------------------------------------------------------------------------------------------

    def _verdict(self, query: Any) -> statements.Verdict:
        self._check()
        if isinstance(query, str):
            verdict = _verdicts.get(query) or self._judged(query)
        else:  # a Statement of extract_statements, or a list of them
            verdict = statements.judge(query if isinstance(query, (list, tuple)) else [query])
        if verdict.refusal is not None:
            raise _refused(verdict.refusal)
        if verdict.no_reading is not None and self._inside == "query":
            raise _refused(verdict.no_reading)
        if verdict.has_transaction and self._inside:
            raise self._no_transactions("this statement")
        return verdict

    def _judged(self, query: str) -> statements.Verdict:
        try:
            verdict = statements.judge(self._raw.extract_statements(query))
        except duckdb.Error:
            return statements.Verdict()  # DuckDB will say what is wrong with it when it runs
        except ValueError:  # from StatementType, which does not have every kind
            return statements.Verdict(statements.UNKNOWN_REFUSAL)
        if len(query) <= _CACHED_LENGTH:
            if len(_verdicts) >= _CACHE_LIMIT:
                _verdicts.clear()
            _verdicts[query] = verdict
        return verdict

    def _no_transactions(self, what: str) -> Exception:
        if self._inside == "query":
            return _refused(statements.only_reading(what))
        return _refused(
            f"{what} is refused inside a {self._inside}: wfkernel begins and ends its transaction, so that the writes and the "
            "journal row commit together"
        )

    # -- everything else -------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._check()
        attribute = getattr(self._raw, name)
        return self._wrapped(name, attribute) if callable(attribute) else attribute

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._check_call(name, args, kwargs)
            result = self._call(method, args, kwargs)
            if self._on_write is not None and name in ("append", "commit", "appender", "query_appender"):
                self._on_write()
            return self if result is self._raw or name in _CHAINED else result

        call.__name__, call.__doc__ = name, method.__doc__
        return call

    def _check_call(self, name: str, args: tuple, kwargs: dict) -> None:
        if name == "checkpoint":
            raise _refused(statements.CHECKPOINT_REFUSAL)
        if self._inside and name in _TRANSACTION_METHODS | _CONNECTION_METHODS:
            raise self._no_transactions(f"{name}()")
        if name in _TEXT_METHODS:
            self._verdict(args[0] if args else kwargs.get("query", ""))
        elif name in ("append", "appender"):
            table = args[0] if args else kwargs.get("table", kwargs.get("table_name", ""))
            if refusal := statements.refusal_of_table(str(table)):
                raise _refused(refusal)
        elif name in ("table_function", "tf") and args:
            if statements.is_checkpoint_function(str(args[0])):
                raise _refused(statements.CHECKPOINT_REFUSAL)
            if self._inside == "query" and statements.is_changing_function(str(args[0])):
                raise _refused(statements.only_reading(f"the function {args[0]}()"))
        self.is_sticky |= name in _STICKY_METHODS

    def cursor(self) -> Cursor:
        """A further cursor on the same database."""
        if self._inside or self._another is None:
            raise self._no_transactions("cursor()")
        self._check()
        return self._another()

    duplicate = cursor

    def close(self) -> None:
        """Close this cursor; an open transaction is rolled back."""
        if self._inside:
            raise self._no_transactions("close()")
        self._end("this cursor was closed")

    def _end(self, reason: str) -> None:
        """No further use; ``wf.db`` and the journal call it."""
        if self._is_ended:
            return
        if self._inside is None:
            self.stop()
        with self._ending:
            self._is_ended = reason
        if self._inside is None:
            close(self._raw)

    def _retire(self) -> None:
        """What encloses this cursor's statements has ended."""
        self._end(f"this cursor belonged to a {self._inside} that has ended; use wf.db")

    # -- from another thread ---------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Stop the statement that runs, on whatever thread; nothing happens where none does, or where the cursor is closed."""
        with self._ending, contextlib.suppress(duckdb.Error):
            if not self._is_ended:  # the connection may be somebody else's by now
                self._raw.interrupt()

    def stop(self) -> None:
        """Refuse further statements, and interrupt the one that runs until it has ended.

        Again and again: DuckDB forgets an interrupt that comes before the statement has really begun.
        """
        self._is_stopped = True
        self.interrupt()  # a result that is read while it is made
        until = time.monotonic() + _PATIENCE_S
        while self._running not in (None, threading.get_ident()) and time.monotonic() < until:
            self.interrupt()
            time.sleep(_BETWEEN_INTERRUPTS_S)

    def _release(self) -> None:
        """Roll back whatever is open: the database is about to be detached, and a transaction would keep its file open."""
        self.stop()
        with contextlib.suppress(duckdb.Error):
            self._raw.rollback()
        self._is_stopped = False

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._inside is None:
            self.close()

    def __repr__(self) -> str:
        return f"<wfkernel cursor{f' of a {self._inside}' if self._inside else ''}{', closed' if self._is_ended else ''}>"


def close(raw: duckdb.DuckDBPyConnection) -> None:
    """Close a connection on which a relation may run in another thread: that is no statement of its cursor's, and DuckDB refuses then."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            raw.close()
        except duckdb.ResourceInUseException:
            if time.monotonic() > until:
                logger.warning("a statement cannot be stopped: until it has ended, the journal's file is in use")
                return
            with contextlib.suppress(duckdb.Error):
                raw.interrupt()
            time.sleep(_BETWEEN_INTERRUPTS_S)
        except duckdb.Error:
            return  # it is closed
        else:
            return


def _refused(reason: str) -> duckdb.PermissionException:
    return duckdb.PermissionException(f"wfkernel: {reason}")


def aborted(conflict: BaseException | None) -> JournalError:
    """User code swallowed an error that had aborted its transaction."""
    hint = f" ({faults.first_line(conflict)})" if conflict else ""
    return JournalError(
        f"the transaction was aborted by an earlier SQL error that the function did not let pass{hint}; nothing was committed. "
        "Let the error propagate, or check before you write (ON CONFLICT, IF NOT EXISTS)"
    )
