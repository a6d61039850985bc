"""What the web keeps beside a journal: the key that signs, bearer tokens (hashed), links that are over, who serves.

It is kept in the directory ``<journal>.control`` (mode 0700) and not in the journal: a server that is not the journal's holder
must be able to write it, at once and without asking, and a journal that is copied or given away must take no authority with it.
Two files, mode 0600: ``web.key``, and ``web.sqlite``, because a revocation must be whole, on the disk, and seen by every process
that serves, when the call returns. Without the key all links are void.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

from wfkernel.control.address import _make_private, directory_of
from wfkernel.errors import OptionError

_KEY_BYTES = 32
_BUSY_S = 10.0
_KEPT_S = 366 * 86400.0  # beyond its expiry, what became of a link
_KEPT = 10_000  # links, and of so many anyway
_TABLES = """
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL, is_signed INTEGER NOT NULL,
    created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS over (link TEXT PRIMARY KEY, why TEXT NOT NULL, at REAL NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS servers (url TEXT PRIMARY KEY, pid INTEGER NOT NULL, began_at REAL NOT NULL);
"""
_of_memory: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


class Vault:
    """The two files of one journal. Any thread, any process of the journal's owner.

    Attributes:
        key: 32 random bytes, made once.
    """

    def __init__(self, directory: str):
        _make_private(directory)
        self._file = os.path.join(directory, "web.sqlite")
        self.key = _key_in(directory)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite would make it 0644
        with self.transaction() as db:
            for statement in _TABLES.split(";"):
                db.execute(statement)

    @classmethod
    def of(cls, source: Any) -> Vault:
        """The vault of a manager's journal, or of the journal at this path. That of ":memory:" ends with its engine."""
        path = source if isinstance(source, (str, os.PathLike)) else source.path
        if str(path) != ":memory:":
            return cls(directory_of(path))
        engine: Any = getattr(source, "_engine", None)
        if engine is None:
            raise OptionError("a journal in memory is reached by its manager only: say that, and not ':memory:'")
        if engine not in _of_memory:
            directory = tempfile.mkdtemp(prefix="wfkernel-")
            weakref.finalize(engine, shutil.rmtree, directory, ignore_errors=True)
            _of_memory[engine] = directory
        return cls(_of_memory[engine])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on the disk at the end."""
        db = sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # rolls back what was not committed

    def read(self, sql: str, *params: Any) -> list[Any]:
        db = sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None)
        try:
            return db.execute(sql, params).fetchall()
        finally:
            db.close()

    # -- links that are over --

    def end_link(self, link: str, why: str, now: float, expires_at: float) -> None:
        """Note that a link was "used" or "revoked". What was noted first stays; what expired long ago is forgotten.

        Not what has just expired, nor all of it: a clock may be far ahead for a moment, and a link that is over must stay over.
        """
        with self.transaction() as db:
            old = "rowid <= (SELECT max(rowid) FROM over) - ?"
            db.execute(f"DELETE FROM over WHERE expires_at < ? AND {old}", [now - _KEPT_S, _KEPT])
            db.execute("INSERT OR IGNORE INTO over VALUES (?, ?, ?, ?)", [link, why, now, expires_at])

    def why_over(self, link: str) -> str | None:
        """ "used", "revoked", or None for a link that is not over."""
        rows = self.read("SELECT why FROM over WHERE link = ?", link)
        return rows[0][0] if rows else None

    # -- who serves --

    def serving(self, url: str, now: float) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO servers VALUES (?, ?, ?)", [url, os.getpid(), now])

    def not_serving(self, url: str) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM servers WHERE url = ? AND pid = ?", [url, os.getpid()])

    def server(self) -> str | None:
        """Where the journal is served: the newest that is alive."""
        rows = self.read("SELECT url, pid FROM servers ORDER BY began_at DESC")
        return next((url for url, pid in rows if _is_alive(pid)), None)


def _key_in(directory: str) -> bytes:
    path = os.path.join(directory, "web.key")
    if not os.path.exists(path):
        part = f"{path}.{secrets.token_hex(8)}"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)  # whole, and the first of two processes wins
        os.unlink(part)
    with open(path, "rb") as file:
        key = file.read()
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path!r} is damaged: remove it, which voids the approval links made so far")
    return key


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True
