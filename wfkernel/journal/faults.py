"""What a DuckDB error means for the journal. The only file that looks inside the text of DuckDB's messages.

Errors of user SQL pass through untouched (they belong to the user's code); errors of our own statements become
JournalError here, with DuckDB's as ``__cause__``.
"""

from __future__ import annotations

import re

import duckdb

from wfkernel.errors import JournalError

_NO_SPACE = ("No space left", "File too large", "Disk quota exceeded", "Input/output error", "Could not write", "Could not sync")
# The last: another transaction inserted the same key first. Run again, the statement itself will say so.
_CONFLICT = re.compile(r"conflict|Failed to commit: .*constraint violation", re.IGNORECASE)
_ABORTED = ("Current transaction is aborted", "transaction has been aborted")
_INVALIDATED = ("database has been invalidated", "must be restarted")

TORN_WAL = re.compile(r'replaying WAL file "(?P<wal>[^"]+)".*?entry at byte position (?P<at>\d+)', re.DOTALL)
STALE_WAL = re.compile(
    r"checkpoint iteration does not match.*?File checkpoint iteration: (?P<file>\d+), WAL checkpoint iteration: (?P<wal>\d+)",
    re.DOTALL,
)
_LOCKED = re.compile(r"Could not set lock on file|Conflicting lock is held")
_PID = re.compile(r"\(PID (\d+)\)")


def is_space(error: BaseException) -> bool:
    """The disk refused the bytes: the same commit may well succeed later."""
    return isinstance(error, (duckdb.Error, OSError)) and any(text in str(error) for text in _NO_SPACE)


def is_invalidated(error: BaseException) -> bool:
    """DuckDB gave the attached database up; only DETACH and ATTACH bring it back."""
    return isinstance(error, duckdb.FatalException) or any(text in str(error) for text in _INVALIDATED)


def is_aborted(error: BaseException) -> bool:
    """An earlier error of the same transaction aborted it."""
    return isinstance(error, duckdb.TransactionException) and any(text in str(error) for text in _ABORTED)


def is_conflict(error: BaseException) -> bool:
    """Another transaction wrote the same rows first: roll back and run again."""
    return isinstance(error, duckdb.TransactionException) and bool(_CONFLICT.search(str(error)))


def is_memory(error: BaseException) -> bool:
    """The instance's memory_limit is used up, perhaps by somebody's large query."""
    return isinstance(error, (duckdb.OutOfMemoryException, MemoryError))


def is_locked(error: BaseException) -> bool:
    """Another process has the database file open with DuckDB itself."""
    return isinstance(error, duckdb.IOException) and bool(_LOCKED.search(str(error)))


def holder(error: BaseException) -> int | None:
    """The process that DuckDB names as the holder of its lock."""
    found = _PID.search(str(error))
    return int(found.group(1)) if found else None


def is_open_here(error: BaseException) -> bool:
    """Another DuckDB instance of this very process has the file."""
    return "already attached by database" in str(error)


def is_corrupt_file(error: BaseException) -> bool:
    """A block's checksum is wrong: what a checkpoint that was killed leaves behind."""
    return "Corrupt database file" in str(error)


def first_line(error: BaseException) -> str:
    """DuckDB's message without its advice and the C++ stack trace."""
    return str(error).strip().split("\n", 1)[0]


def translated(error: BaseException, doing: str) -> BaseException:
    """The same failure in wfkernel's words; what is no fault of the database comes back as it is.

    >>> str(translated(duckdb.IOException("IO Error: no such thing"), "the journal cannot be read"))
    'the journal cannot be read: IO Error: no such thing'
    """
    if isinstance(error, JournalError) or not isinstance(error, (duckdb.Error, OSError)):
        return error
    found = JournalError(f"{doing}: {first_line(error)}")
    found.__cause__ = error
    return found
