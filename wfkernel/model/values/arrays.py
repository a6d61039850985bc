"""NumPy arrays and scalars: the dtype as NumPy's file format writes it, and the bytes."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from wfkernel.model.values.names import library
from wfkernel.model.values.writing import Writer, quoted, refusal, tagged

if TYPE_CHECKING:
    from wfkernel.model.values.reading import Reader, Record
    from wfkernel.model.values.writing import Encoder


def encoder_of(kind: type) -> Encoder | None:
    np = sys.modules.get("numpy")
    if np is None or kind.__module__.partition(".")[0] != "numpy":
        return None
    if kind is np.ndarray:
        return _array
    if issubclass(kind, np.dtype):
        return lambda w, value: tagged("dtype", v=_dtype(value, value))
    return _scalar if issubclass(kind, np.generic) else None


def _numpy() -> Any:
    return library("numpy", "numpy.ndarray")


def _dtype(dtype: Any, value: object) -> str:
    import numpy as np

    if dtype.hasobject and not _is_objects(dtype):
        raise refusal(value, f"its dtype is {dtype}: object fields cannot be stored")
    if dtype.kind == "T" or (dtype.names is None and dtype.subdtype is None and np.dtype(dtype.str) != dtype):
        raise refusal(value, f"its dtype is {dtype!r}, which NumPy's file format does not hold")
    return json.dumps(np.lib.format.dtype_to_descr(dtype), separators=(",", ":"))


def _is_objects(dtype: Any) -> bool:
    return dtype.kind == "O" and dtype.subdtype is None


def _read_dtype(np: Any, described: Any) -> Any:
    """The dtype of raw bytes: never of objects, whose bytes are addresses that a crafted journal would choose."""
    dtype = np.lib.format.descr_to_dtype(_tuples(described))
    if dtype.hasobject:
        raise ValueError(f"{dtype} has objects")
    return dtype


def _tuples(described: Any) -> Any:
    """Back from JSON: a structure is a list of tuples, whose shapes and titled names are tuples as well."""
    if isinstance(described, str):
        return described
    if described and isinstance(described[0], list):
        return [_field(field) for field in described]
    return (_tuples(described[0]), tuple(described[1]))  # a subarray


def _field(field: list[Any]) -> tuple[Any, ...]:
    name, described, *shape = field
    return (tuple(name) if isinstance(name, list) else name, _tuples(described), *(tuple(s) for s in shape))


def _array(w: Writer, value: Any) -> str:
    dtype = _dtype(value.dtype, value)
    shape = json.dumps(value.shape, separators=(",", ":"))
    if _is_objects(value.dtype):
        return tagged("objects", shape=shape, v=w.items(value.ravel().tolist() if value.ndim else [value.item()]))
    is_fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    return w.binary(
        "ndarray",
        value.tobytes("F" if is_fortran else "C"),  # a copy: the caller may go on writing to the array
        dtype=dtype,
        shape=shape,
        order='"F"' if is_fortran else None,
        readonly=None if value.flags.writeable else "true",
    )


def _read_array(reader: Reader, record: Record) -> Any:
    np = _numpy()
    dtype, shape = _read_dtype(np, record["dtype"]), tuple(record["shape"])
    if dtype.itemsize == 0:  # no data: whatever the shape says, there is nothing to walk through
        return np.zeros(shape, dtype)
    data = reader.data(record)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes do not fill the shape {shape}")
    array = np.ndarray(shape, dtype, data, order=record.get("order", "C"))
    if record.get("readonly"):
        array.flags.writeable = False
        return array
    return array.copy("K")


def of_objects(items: list[Any]) -> Any:
    array = _numpy().empty(len(items), object)
    for i, item in enumerate(items):  # one by one: NumPy would take lists apart
        array[i] = item
    return array


def _scalar(w: Writer, value: Any) -> str:
    dtype = _dtype(value.dtype, value)
    if _is_objects(value.dtype):
        raise refusal(value, "it holds objects")
    kind = value.dtype.kind
    if kind in "US":
        return tagged(f"np.{kind}", v=w.text(value.item()))
    if kind in "biu" or (kind == "f" and value.dtype.itemsize <= 8):
        return tagged("np", dtype=dtype, v=w.text(value.item()))
    return w.binary("np.raw", value.tobytes(), dtype=dtype, name=quoted(type(value).__name__))


def _read_scalar(reader: Reader, record: Record) -> Any:
    np = _numpy()
    return np.array(record["v"], _read_dtype(np, record["dtype"]))[()]


def _read_raw(reader: Reader, record: Record) -> Any:
    np = _numpy()
    return np.ndarray((), _read_dtype(np, record["dtype"]), reader.data(record)).copy()[()]


DECODERS = {
    "ndarray": _read_array,
    "objects": lambda reader, record: of_objects(record["v"]).reshape(record["shape"]),
    "dtype": lambda reader, record: _numpy().lib.format.descr_to_dtype(_tuples(record["v"])),
    "np": _read_scalar,
    "np.raw": _read_raw,
    "np.U": lambda reader, record: _numpy().str_(record["v"]),
    "np.S": lambda reader, record: _numpy().bytes_(record["v"]),
}
