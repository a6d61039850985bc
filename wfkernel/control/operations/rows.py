"""SQL for a second process: read-only, and told in parts."""

from __future__ import annotations

import threading
from typing import Any, Literal

from pydantic import Field

from wfkernel.control.operations.table import Asked, Params, operation
from wfkernel.errors import ControlError, InvalidArguments

_ROWS = 1000  # of SQL, in one part
_PART_BYTES = 1 << 20


class Sql(Params):
    query: str
    params: list[Any] | dict[str, Any] = Field(default_factory=list[Any], description="stored values")
    form: Literal["arrow", "rows"] = "rows"


@operation(Sql)
def sql(asked: Asked, p: Sql) -> Any:
    """Read by SQL, in parts: Arrow IPC streams attached, or ``{columns, types, rows}`` and then ``{rows}``. Nothing can be written."""

    def read(db: Any) -> Any:
        if asked.has_sent:  # the journal reads again what was cut off
            raise ControlError("the journal was attached anew while this was read, and some of the rows were sent: ask again")
        # on a thread of its own: it may have to insist
        asked.on_drop(lambda: threading.Thread(target=db.stop, name="wfkernel-stop", daemon=True).start())
        return _tell_rows(asked, p, db)

    return asked.manager._engine.journal.query(read)


def _tell_rows(asked: Asked, p: Sql, db: Any) -> Any:
    if not db.extract_statements(p.query):
        raise InvalidArguments("the query is empty; say what to read, such as SELECT * FROM wf.runs")
    params = asked.value(p.params) or None
    if p.form == "arrow":
        relation = db.sql(p.query, params=params)
        return {"rows": 0} if relation is None else _tell_arrow(asked, db.run(relation.to_arrow_reader, 10_000))
    db.execute(p.query, params)
    count = size = 0
    part: list[Any] = []
    columns = db.description or []
    head: dict[str, Any] = {"columns": [c[0] for c in columns], "types": [str(c[1]) for c in columns]}
    while rows := db.fetchmany(_ROWS):
        for row in rows:
            part.append([_shown(v) for v in row])
            size += sum(len(v) if isinstance(v, str) else 8 for v in part[-1])
            if size > _PART_BYTES:
                asked.send({**head, "rows": part})
                head, part, size = {}, [], 0
        count += len(rows)
    asked.send({**head, "rows": part})
    return {"rows": count}


def _tell_arrow(asked: Asked, reader: Any) -> Any:
    import pyarrow as pa

    part: list[Any] = []
    count = size = 0
    for batch in reader:
        part.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if size > _PART_BYTES:
            asked.send(None, {"arrow": _arrow_stream(pa, reader.schema, part)})
            part, size = [], 0
    asked.send(None, {"arrow": _arrow_stream(pa, reader.schema, part)})
    return {"rows": count}


def _arrow_stream(pa: Any, schema: Any, batches: list[Any]) -> Any:
    """A whole stream, so that each part can be read apart."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as out:
        for batch in batches:
            out.write_batch(batch)
    return sink.getvalue()


def _shown(value: Any) -> Any:
    """A value of DuckDB's as JSON has it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, (list, tuple)):
        return [_shown(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _shown(v) for k, v in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
