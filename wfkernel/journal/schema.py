"""The schema's version: creating it, recognising it, moving it forward. The DDL itself is in schema.sql and views.sql."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import duckdb

from wfkernel.errors import JournalError, JournalTooNew

from .instance import ALIAS

VERSION = 1

MIGRATIONS: dict[int, str] = {}
"""SQL that turns version n into n + 1. DDL only, never data in the same transaction; a checkpoint follows each."""


def _sql(name: str) -> str:
    return files("wfkernel.journal").joinpath(name).read_text(encoding="utf-8")


def _views_digest() -> str:
    return hashlib.sha256(_sql("views.sql").encode()).hexdigest()[:16]


def prepare(cursor: duckdb.DuckDBPyConnection, path: Any) -> bool:
    """Make the attached database a journal of this version.

    Returns:
        Whether anything was changed, so that the caller checkpoints before data follow.

    Raises:
        JournalTooNew, JournalError: nothing was changed.
    """
    found = _found_version(cursor, path)
    if found is None:
        _in_transaction(cursor, _create)
        return True
    if found > VERSION:
        raise JournalTooNew(path, found, VERSION)
    is_changed = False
    for version in range(found, VERSION):
        _in_transaction(cursor, lambda c, version=version: _migrate(c, version))
        is_changed = True
    if meta(cursor, "views") != _views_digest():
        _in_transaction(cursor, _replace_views)
        is_changed = True
    return is_changed


def _found_version(cursor: duckdb.DuckDBPyConnection, path: Any) -> int | None:
    """The schema version; None where there is no schema wf, or an empty one."""
    tables = cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'wf' "
        "UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = ? AND schema_name = 'wf' AND NOT internal",
        [ALIAS, ALIAS],
    ).fetchall()
    if not tables and not _has_schema(cursor):
        return None
    value = meta(cursor, "schema_version") if ("meta",) in tables and ("facts",) in tables else None
    if value is None or not value.isdigit():
        raise JournalError(
            f"the database {str(path)!r} has a schema 'wf' that is not wfkernel's; rename that schema, or open another path. "
            "Nothing was changed"
        )
    return int(value)


def _has_schema(cursor: duckdb.DuckDBPyConnection) -> bool:
    sql = "SELECT count(*) FROM duckdb_schemas() WHERE database_name = ? AND schema_name = 'wf'"
    return bool(cursor.execute(sql, [ALIAS]).fetchall()[0][0])


def meta(cursor: duckdb.DuckDBPyConnection, key: str) -> str | None:
    """A value of wf.meta."""
    try:
        rows = cursor.execute("SELECT value FROM wf.meta WHERE key = ?", [key]).fetchall()
    except duckdb.BinderException:  # somebody else's table of that name
        return None
    return rows[0][0] if rows else None


def set_meta(cursor: duckdb.DuckDBPyConnection, key: str, value: str) -> None:
    """Set a value of wf.meta, inside the caller's transaction."""
    cursor.execute("DELETE FROM wf.meta WHERE key = ?", [key]).fetchall()
    cursor.execute("INSERT INTO wf.meta VALUES (?, ?)", [key, value]).fetchall()


def _in_transaction(cursor: duckdb.DuckDBPyConnection, work: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
    cursor.begin()
    try:
        work(cursor)
    except BaseException:
        cursor.rollback()
        raise
    cursor.commit()


def _create(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(_sql("schema.sql"))
    cursor.execute(_sql("views.sql"))
    created = {
        "schema_version": str(VERSION),
        "journal_id": str(uuid.uuid4()),
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "created_by": f"wfkernel, DuckDB {duckdb.__version__}",
        "views": _views_digest(),
    }
    values = ", ".join(["(?, ?)"] * len(created))
    cursor.execute(f"INSERT INTO wf.meta VALUES {values}", [text for pair in created.items() for text in pair]).fetchall()


def _migrate(cursor: duckdb.DuckDBPyConnection, version: int) -> None:
    cursor.execute(MIGRATIONS[version])
    set_meta(cursor, "schema_version", str(version + 1))


def _replace_views(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(_sql("views.sql"))
    set_meta(cursor, "views", _views_digest())
