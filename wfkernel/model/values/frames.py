"""pandas: each column as an Arrow column, with what it takes to give it its dtype back.

pyarrow's own from_pandas is not exact (object columns change type, labels become text), so the columns are packed one by
one. A column that Arrow has no type for is written item by item.

A spec is a list: the kind, then its parameters. ``PACK`` and ``UNPACK`` have one row for each kind of dtype.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from wfkernel.errors import ValueNotStorable
from wfkernel.model.values import arrays, arrow
from wfkernel.model.values.names import library
from wfkernel.model.values.writing import Writer, quoted, refusal, tagged

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfkernel.model.values.reading import Reader, Record
    from wfkernel.model.values.writing import Encoder

_FEW = 100  # shorter columns of text stay readable: column labels, above all


def encoder_of(kind: type) -> Encoder | None:
    pd = sys.modules.get("pandas")
    if pd is None or kind.__module__.partition(".")[0] != "pandas":
        return None
    if kind in (type(pd.NaT), type(pd.NA)):
        return lambda w, value: tagged("pd.NaT" if value is pd.NaT else "pd.NA")
    known: dict[type, Encoder] = {pd.DataFrame: _frame, pd.Series: _series, pd.Timestamp: _timestamp, pd.Timedelta: _timedelta}
    known |= {pd.Interval: _interval, pd.Period: _period, pd.RangeIndex: _range, pd.MultiIndex: _multi}
    indexes = (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.CategoricalIndex, pd.IntervalIndex)
    return (known | dict.fromkeys(indexes, _index)).get(kind)


def _pandas() -> Any:
    return library("pandas", "pandas.DataFrame")


class Columns:
    """The columns of one record, gathered into one Arrow table."""

    def __init__(self, w: Writer, value: object):
        try:
            import pyarrow
        except ImportError:
            raise refusal(value, "pandas values are stored with pyarrow, which is missing; pip install pyarrow") from None
        self.pa, self.w, self.value = pyarrow, w, value
        self._arrays: list[Any] = []

    def pack(self, values: Any) -> str:
        """The spec of a Series or Index."""
        kind = type(values.dtype).__name__
        pack = PACK.get(kind) or (PACK["numpy"] if type(values.dtype).__module__.startswith("numpy") else None)
        if pack is None:
            raise refusal(values, f"its dtype is {values.dtype}, which has no stored form; convert it, for example to object")
        return pack(self, values)

    def add(self, values: Any, kind: Any = None) -> None:
        array = self.pa.array(values, kind)
        self._arrays.append(array.combine_chunks() if isinstance(array, self.pa.ChunkedArray) else array)

    def record(self, tag: str, **parts: str | None) -> str:
        if not self._arrays:
            return tagged(tag, **parts)
        batch = self.pa.record_batch(self._arrays, names=[str(i) for i in range(len(self._arrays))])
        return self.w.binary(tag, arrow.to_bytes(self.pa, batch.schema, [batch]), inline=None, **parts)


class Unpacker:
    """The other way: hands out the columns in the order they were packed."""

    def __init__(self, reader: Reader, record: Record):
        has_data = "v" in record or "blob" in record
        self._columns = iter(arrow.from_bytes(reader.data(record)).columns if has_data else ())
        self.pd = _pandas()

    def column(self) -> Any:
        return next(self._columns).combine_chunks()

    def numpy(self) -> Any:
        # A copy, as pandas writes into arrays that it is given, and the buffer may be a read-only file.
        return self.column().to_numpy(zero_copy_only=False).copy()

    def unpack(self, spec: list[Any]) -> Any:
        return UNPACK[spec[0]](self, *spec[1:])


def _spec(kind: str, *parts: str) -> str:
    return f"[{','.join([quoted(kind), *parts])}]"


# Columns


def _pack_numpy(columns: Columns, values: Any) -> str:
    array = values.to_numpy()
    if array.dtype.kind in "biumM" or array.dtype.str in ("<f2", "<f4", "<f8"):
        columns.add(array)
        return _spec("np", quoted(array.dtype.str))
    if array.dtype != object:
        return _spec("array", columns.w.text(array))
    items = array.tolist()
    types = set(map(type, items))
    if len(items) > _FEW and (found := _text_column(types, items)):
        try:
            columns.add([None if type(item) is float else item for item in items], getattr(columns.pa, found)())
            return _spec("text", '"nan"' if float in types else '"none"')
        except (columns.pa.ArrowException, UnicodeError):
            pass  # lone surrogates
    return _spec("items", columns.w.part(items, ""))


def _text_column(types: set[type], items: list[Any]) -> str | None:
    """Whether a column of objects is all text, or all bytes, with one kind of gaps."""
    kinds = {str: "large_string", bytes: "large_binary"}
    rest = types - {type(None)}
    if len(types) <= 2 and len(rest) == 1 and (kind := next(iter(rest))) in kinds:
        return kinds[kind]
    if types == {str, float} and all([type(item) is str or math.isnan(item) for item in items]):
        return "large_string"
    return None


def _unpack_numpy(columns: Unpacker, dtype: str) -> Any:
    return columns.numpy().astype(dtype, copy=False)


def _unpack_text(columns: Unpacker, gap: str) -> Any:
    array = columns.numpy()
    if gap == "nan":
        array[[item is None for item in array.tolist()]] = math.nan
    return _objects(columns.pd, array)


def _unpack_items(columns: Unpacker, items: list[Any]) -> Any:
    return _objects(columns.pd, arrays.of_objects(items))


def _objects(pd: Any, array: Any) -> Any:
    """Without this, pandas guesses a dtype from what the objects are."""
    return pd.Index(array, dtype=object)


def _pack_string(columns: Columns, values: Any) -> str:
    dtype, missing = values.dtype, values.isna()
    na = '"nan"' if isinstance(dtype.na_value, float) else '"NA"'
    items = [None if gap else item for item, gap in zip(values.tolist(), missing.tolist(), strict=True)]
    if len(items) > _FEW:
        columns.add(items, columns.pa.large_string())
        return _spec("string", quoted(dtype.storage), na)
    return _spec("string", quoted(dtype.storage), na, columns.w.text(items))


def _unpack_string(columns: Unpacker, storage: str, na: str, items: list[Any] | None = None) -> Any:
    pd = columns.pd
    dtype = pd.StringDtype(storage) if na == "NA" else pd.StringDtype(storage, na_value=math.nan)
    return pd.array(columns.column().to_pylist() if items is None else items, dtype=dtype)


def _pack_masked(columns: Columns, values: Any) -> str:
    columns.add(values.array)
    return _spec("masked", quoted(values.dtype.name))


def _unpack_masked(columns: Unpacker, name: str) -> Any:
    return columns.pd.api.types.pandas_dtype(name).__from_arrow__(columns.column()).copy()


def _pack_arrow(columns: Columns, values: Any) -> str:
    columns.add(values.array)
    return _spec("arrow")


def _unpack_arrow(columns: Unpacker) -> Any:
    pa = arrow.pyarrow()
    return columns.pd.arrays.ArrowExtensionArray(pa.chunked_array([columns.column()]))


def _pack_zoned(columns: Columns, values: Any) -> str:
    import pandas as pd

    zone = columns.w.text(values.dtype.tz)
    columns.add(pd.DatetimeIndex(values).tz_convert("UTC").tz_localize(None).to_numpy())
    return _spec("zoned", zone)


def _unpack_zoned(columns: Unpacker, zone: Any) -> Any:
    return columns.pd.DatetimeIndex(columns.numpy()).tz_localize("UTC").tz_convert(zone).array


def _pack_period(columns: Columns, values: Any) -> str:
    import pandas as pd

    columns.add(pd.PeriodIndex(values).asi8)
    return _spec("period", quoted(values.dtype.name.removeprefix("period[")[:-1]))


def _unpack_period(columns: Unpacker, freq: str) -> Any:
    return columns.pd.PeriodIndex.from_ordinals(columns.numpy(), freq=freq).array


def _pack_interval(columns: Columns, values: Any) -> str:
    import pandas as pd

    index = pd.IntervalIndex(values)
    return _spec("interval", quoted(index.closed), columns.w.text(index.left), columns.w.text(index.right))


def _unpack_interval(columns: Unpacker, closed: str, left: Any, right: Any) -> Any:
    return columns.pd.arrays.IntervalArray.from_arrays(left, right, closed)


def _pack_categories(columns: Columns, values: Any) -> str:
    array = values.array if hasattr(values, "array") else values
    columns.add(array.codes)
    return _spec("categories", columns.w.text(array.categories), "true" if array.ordered else "false")


def _unpack_categories(columns: Unpacker, categories: Any, ordered: bool) -> Any:
    return columns.pd.Categorical.from_codes(columns.numpy(), categories=categories, ordered=ordered)


PACK: dict[str, Callable[[Columns, Any], str]] = {
    "numpy": _pack_numpy,
    "StringDtype": _pack_string,
    "ArrowDtype": _pack_arrow,
    "DatetimeTZDtype": _pack_zoned,
    "PeriodDtype": _pack_period,
    "IntervalDtype": _pack_interval,
    "CategoricalDtype": _pack_categories,
    **{f"{sign}Int{bits}Dtype": _pack_masked for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("Float32Dtype", "Float64Dtype", "BooleanDtype"), _pack_masked),
}
UNPACK: dict[str, Callable[..., Any]] = {
    "np": _unpack_numpy,
    "array": lambda columns, array: array,
    "text": _unpack_text,
    "items": _unpack_items,
    "string": _unpack_string,
    "masked": _unpack_masked,
    "arrow": _unpack_arrow,
    "zoned": _unpack_zoned,
    "period": _unpack_period,
    "interval": _unpack_interval,
    "categories": _unpack_categories,
}


# Frames, series, indexes


def _frame(w: Writer, value: Any) -> str:
    columns, specs = Columns(w, value), []
    for i, label in enumerate(value.columns):
        try:
            specs.append(columns.pack(value.iloc[:, i]))
        except ValueNotStorable as error:
            raise ValueNotStorable(f"[{label!r}]{error.path}", error.type_name, error.reason) from None
    parts = {"index": w.part(value.index, ".index"), "columns": w.part(value.columns, ".columns")}
    return columns.record("pd.frame", specs=f"[{','.join(specs)}]", **parts, attrs=_attrs(w, value))


def _read_frame(reader: Reader, record: Record) -> Any:
    columns, index = Unpacker(reader, record), record["index"]
    pd = columns.pd
    data = {}
    for i, spec in enumerate(record["specs"]):
        array = columns.unpack(spec)
        data[i] = pd.Series(array, index=index, copy=False)
    frame = pd.DataFrame(data, index=index)
    frame.columns = record["columns"]
    frame.attrs.update(record.get("attrs") or {})
    return frame


def _series(w: Writer, value: Any) -> str:
    columns = Columns(w, value)
    spec = columns.pack(value)
    parts = {"index": w.part(value.index, ".index"), "name": w.part(value.name, ".name")}
    return columns.record("pd.series", spec=spec, **parts, attrs=_attrs(w, value))


def _read_series(reader: Reader, record: Record) -> Any:
    columns = Unpacker(reader, record)
    series = columns.pd.Series(columns.unpack(record["spec"]), index=record["index"], name=record["name"], copy=False)
    series.attrs.update(record.get("attrs") or {})
    return series


def _attrs(w: Writer, value: Any) -> str | None:
    return w.part(value.attrs, ".attrs") if value.attrs else None


def _index(w: Writer, value: Any) -> str:
    columns = Columns(w, value)
    spec = columns.pack(value)
    # A period's frequency is its dtype; a date index has one besides its values.
    freq = getattr(value, "freqstr", None) if value.dtype.kind in "mM" else None
    return columns.record("pd.index", spec=spec, name=w.part(value.name, ".name"), freq=freq and quoted(freq))


def _read_index(reader: Reader, record: Record) -> Any:
    columns = Unpacker(reader, record)
    array = columns.unpack(record["spec"])
    index = columns.pd.Index(array, dtype=array.dtype, name=record["name"])
    if record.get("freq"):
        index.freq = record["freq"]
    return index


def _range(w: Writer, value: Any) -> str:
    return tagged("pd.range", v=w.items([value.start, value.stop, value.step]), name=w.part(value.name, ".name"))


def _multi(w: Writer, value: Any) -> str:
    codes = w.items([code.tolist() for code in value.codes])
    return tagged("pd.multi", levels=w.items(value.levels), codes=codes, names=w.items(value.names))


def _read_multi(reader: Reader, record: Record) -> Any:
    return _pandas().MultiIndex(levels=record["levels"], codes=record["codes"], names=record["names"])


# Scalars


def _timestamp(w: Writer, value: Any) -> str:
    zone = None if value.tz is None else w.part(value.tz, ".tz")
    return tagged("pd.Timestamp", v=f'"{value.asm8}"', unit=quoted(value.unit), tz=zone)


def _read_timestamp(reader: Reader, record: Record) -> Any:
    stamp = _pandas().Timestamp(record["v"]).as_unit(record["unit"])
    return stamp if record.get("tz") is None else stamp.tz_localize("UTC").tz_convert(record["tz"])


def _timedelta(w: Writer, value: Any) -> str:
    return tagged("pd.Timedelta", v=str(value.asm8.view("i8")), unit=quoted(value.unit))


def _read_timedelta(reader: Reader, record: Record) -> Any:
    return _pandas().Timedelta(record["v"], record["unit"]).as_unit(record["unit"])


def _interval(w: Writer, value: Any) -> str:
    return tagged("pd.Interval", v=w.items([value.left, value.right]), closed=quoted(value.closed))


def _period(w: Writer, value: Any) -> str:
    return tagged("pd.Period", v=str(value.ordinal), freq=quoted(value.freqstr))


DECODERS = {
    "pd.frame": _read_frame,
    "pd.series": _read_series,
    "pd.index": _read_index,
    "pd.range": lambda reader, record: _pandas().RangeIndex(*record["v"], name=record["name"]),
    "pd.multi": _read_multi,
    "pd.Timestamp": _read_timestamp,
    "pd.Timedelta": _read_timedelta,
    "pd.Interval": lambda reader, record: _pandas().Interval(*record["v"], closed=record["closed"]),
    "pd.Period": lambda reader, record: _pandas().Period(ordinal=record["v"], freq=record["freq"]),
    "pd.NaT": lambda reader, record: _pandas().NaT,
    "pd.NA": lambda reader, record: _pandas().NA,
}
