"""pyarrow tables and arrays, as Arrow's own stream format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from wfkernel.model.values.names import library
from wfkernel.model.values.writing import Writer

if TYPE_CHECKING:
    from wfkernel.model.values.names import Buffer
    from wfkernel.model.values.reading import Reader, Record
    from wfkernel.model.values.writing import Encoder


def encoder_of(kind: type) -> Encoder | None:
    pa = sys.modules.get("pyarrow")
    if pa is None or kind.__module__.partition(".")[0] != "pyarrow":
        return None
    bases = {pa.Table: _table, pa.RecordBatch: _batch, pa.Schema: _schema}
    bases |= {pa.ChunkedArray: _chunked, pa.Array: _array, pa.Scalar: _scalar}
    return next((encoder for base, encoder in bases.items() if issubclass(kind, base)), None)


def pyarrow() -> Any:
    return library("pyarrow", "pyarrow.Table")


def to_bytes(pa: Any, schema: Any, batches: list[Any]) -> Buffer:
    sink = pa.BufferOutputStream()
    # The version of the format is written out, so that the same table has the same bytes whatever pyarrow's default is.
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V5)) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return memoryview(sink.getvalue())


def from_bytes(data: Buffer) -> Any:
    """The table, over the buffer itself: Arrow data is immutable, so nothing is copied."""
    pa = pyarrow()
    if int(pa.__version__.partition(".")[0]) < 15:  # CVE-2023-47248: reading could unpickle
        raise RuntimeError("pyarrow 15 or later is needed")
    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    table.validate(full=True)  # Arrow trusts offsets inside of its buffers, and these may come from a stranger's journal
    return table


def _one_column(pa: Any, chunks: list[Any], kind: Any) -> Buffer:
    schema = pa.schema([pa.field("", kind)])
    return to_bytes(pa, schema, [pa.record_batch([chunk], schema=schema) for chunk in chunks])


def _table(w: Writer, value: Any) -> str:
    return w.binary("arrow.table", to_bytes(pyarrow(), value.schema, value.to_batches()))


def _batch(w: Writer, value: Any) -> str:
    return w.binary("arrow.batch", to_bytes(pyarrow(), value.schema, [value]))


def _chunked(w: Writer, value: Any) -> str:
    return w.binary("arrow.chunked", _one_column(pyarrow(), value.chunks, value.type))


def _array(w: Writer, value: Any) -> str:
    return w.binary("arrow.array", _one_column(pyarrow(), [value], value.type))


def _scalar(w: Writer, value: Any) -> str:
    pa = pyarrow()
    return w.binary("arrow.scalar", _one_column(pa, [pa.array([value], value.type)], value.type))


def _schema(w: Writer, value: Any) -> str:
    return w.binary("arrow.schema", to_bytes(pyarrow(), value, []))


def _read_array(reader: Reader, record: Record) -> Any:
    return from_bytes(reader.data(record)).column(0).chunk(0)


def _read_batch(reader: Reader, record: Record) -> Any:
    data = reader.data(record)
    from_bytes(data)  # validates
    return pyarrow().ipc.open_stream(pyarrow().py_buffer(data)).read_next_batch()


DECODERS = {
    "arrow.table": lambda reader, record: from_bytes(reader.data(record)),
    "arrow.batch": _read_batch,
    "arrow.chunked": lambda reader, record: from_bytes(reader.data(record)).column(0),
    "arrow.array": _read_array,
    "arrow.scalar": lambda reader, record: _read_array(reader, record)[0],
    "arrow.schema": lambda reader, record: from_bytes(reader.data(record)).schema,
}
