"""Reading by SQL from a journal that another process holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from wfkernel.errors import ControlError


class RemoteCursor:
    """What ``wf.db`` is while another process holds the journal: ``execute`` or ``sql``, and then the rows. It can only read.

    Args:
        ask: ``ask(query, parameters)`` gives the answer as Arrow IPC streams.
        path: the journal's.
    """

    def __init__(self, ask: Callable[[str, Any], list[Any]], path: Any):
        self._ask = ask
        self._path = path
        self._table: pa.Table | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._next = 0

    def execute(self, query: str, parameters: Any = None) -> RemoteCursor:
        """Run a query; its rows are read at once, as they were then. An error of DuckDB's is a ControlError with its text."""
        if not isinstance(query, str):
            raise ControlError(f"while another process holds the journal, a query must be a text, not {type(query).__name__}")
        streams = self._ask(query, parameters if isinstance(parameters, dict) else list(parameters or ()))
        tables = [pa.ipc.open_stream(stream).read_all() for stream in streams]
        table = self._table = pa.concat_tables(tables) if tables else pa.table({})
        self._rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        self._next = 0
        return self

    sql = query = execute

    @property
    def description(self) -> list[tuple[Any, ...]]:
        """As of the DB-API: name and type of each column."""
        return [(f.name, str(f.type), None, None, None, None, None) for f in self._found().schema]

    @property
    def columns(self) -> list[str]:
        return self._found().column_names

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that were not fetched yet."""
        return self.fetchmany(len(self._rows))

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(iter(self.fetchmany(1)), None)

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        self._found()
        begin, self._next = self._next, min(self._next + size, len(self._rows))
        return self._rows[begin : self._next]

    def to_arrow_table(self) -> pa.Table:
        """All rows as a pyarrow Table."""
        return self._found()

    arrow = to_arrow_table

    def df(self) -> Any:
        """All rows as a pandas DataFrame."""
        return self._found().to_pandas()

    def close(self) -> None:
        self._table, self._rows = None, []

    def __enter__(self) -> RemoteCursor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cursor that reads {str(self._path)!r} through the process that holds it>"

    def _found(self) -> pa.Table:
        if self._table is None:
            raise ControlError("nothing was read yet: execute(query) first")
        return self._table
