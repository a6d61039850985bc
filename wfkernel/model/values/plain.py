"""Builtin types and those of the standard library."""

from __future__ import annotations

import ipaddress
import math
import pathlib
import reprlib
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic_core import TzInfo

from wfkernel.model.values.names import shown_type
from wfkernel.model.values.writing import BIG_INT, Writer, is_utf8, quoted, refusal, tagged

if TYPE_CHECKING:
    from wfkernel.model.values.reading import Reader, Record
    from wfkernel.model.values.writing import Encoder

_FACTORIES = {kind.__name__: kind for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)}
_PATHS = {
    kind.__name__: kind for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath)
}
_ADDRESSES = {
    kind.__name__: kind
    for kind in (
        *(ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface),
        *(ipaddress.IPv6Address, ipaddress.IPv6Network, ipaddress.IPv6Interface),
    )
}


# Plain JSON and what it has no words for


def _int(w: Writer, value: int) -> str:
    return str(value) if -BIG_INT < value < BIG_INT else tagged("int", v=f'"{value:x}"')


def _float(w: Writer, value: float) -> str:
    return float.__repr__(value) if math.isfinite(value) else tagged("float", v=f'"{value!r}"')


def _str(w: Writer, value: str) -> str:
    if len(value) > w.limit:
        return w.binary("str", value.encode(errors="surrogatepass"), inline=0)
    if value.isascii() or is_utf8(value):
        return quoted(value)
    return w.binary("str", value.encode(errors="surrogatepass"), inline=4 * w.limit)


def _dict(w: Writer, value: dict[Any, Any]) -> str:
    if (text := w.plain(value)) is not None:
        return text
    if not all([_is_json_key(key) for key in value]):
        return tagged("dict", v=w.pairs(value))
    parts = [f"{quoted(key)}:{w.part(item, '[{}]', key)}" for key, item in value.items()]
    return f"{{{','.join(parts)}}}"


def _is_json_key(key: object) -> bool:
    return type(key) is str and key != "$" and (key.isascii() or is_utf8(key))


def _set(w: Writer, value: set[Any] | frozenset[Any]) -> str:
    # Sorted by text, as the order of a set depends on the process.
    texts = sorted([w.part(item, "<item {}>", item) for item in value])
    return tagged(type(value).__name__, v=f"[{','.join(texts)}]")


def _bytes(w: Writer, value: bytes | bytearray) -> str:
    return w.binary(type(value).__name__, bytes(value), inline=w.limit)


# Dates and times


def _zone(w: Writer, zone: Any, value: object) -> str | None:
    """What ISO text cannot say of a zone; None where it says all."""
    kind = type(zone)
    if kind is ZoneInfo and zone.key:
        return quoted(zone.key)
    if kind is timezone:
        offset, *name = zone.__getinitargs__()
        return w.text([_timedelta_parts(offset), name[0]]) if name and zone is not UTC else None
    if kind is TzInfo:
        return None  # pydantic's own fixed offset, which comes back as datetime.timezone: equal, and an instant as exact
    if zone is not None:
        raise refusal(value, f"its time zone is a {shown_type(kind)}; use zoneinfo.ZoneInfo or datetime.timezone")
    return None


def _with_zone(value: Any, record: Record) -> Any:
    zone = record.get("tz")
    if zone is not None:
        value = value.replace(tzinfo=ZoneInfo(zone) if type(zone) is str else timezone(timedelta(*zone[0]), zone[1]))
    return value.replace(fold=1) if record.get("fold") else value


def _datetime(w: Writer, value: datetime | time) -> str:
    zone = _zone(w, value.tzinfo, value)
    return tagged(type(value).__name__, v=f'"{value.isoformat()}"', tz=zone, fold="1" if value.fold else None)


def _timezone(w: Writer, value: Any) -> str:
    offset, *name = value.__getinitargs__()
    return tagged("timezone", v=w.text([_timedelta_parts(offset), *name]))


def _read_timezone(reader: Reader, record: Record) -> timezone:
    offset, *name = record["v"]
    return timezone(timedelta(*offset), *name)


def _zoneinfo(w: Writer, value: ZoneInfo) -> str:
    if not value.key:
        raise refusal(value, "it has no key to find it by")
    return tagged("zoneinfo", v=quoted(value.key))


def _timedelta_parts(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


# Containers


def _defaultdict(w: Writer, value: defaultdict[Any, Any]) -> str:
    factory = value.default_factory
    name = getattr(factory, "__name__", "")
    if factory is not None and _FACTORIES.get(name) is not factory:
        raise refusal(value, f"its default_factory is {reprlib.repr(factory)}, and only a builtin type can be stored")
    return tagged("defaultdict", factory=quoted(name) if name else None, v=w.pairs(value))


def _deque(w: Writer, value: deque[Any]) -> str:
    return tagged("deque", maxlen=None if value.maxlen is None else str(value.maxlen), v=w.items(value))


def _read_counter(reader: Reader, record: Record) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    dict.update(counter, record["v"])  # Counter.update would add, and so needs numbers
    return counter


def _path(w: Writer, value: pathlib.PurePath) -> str:
    text = str(value)
    # Of //a/ (a server without a share), pathlib makes another path each time it reads its own text.
    if isinstance(value, pathlib.PureWindowsPath) and (type(value)(text) != value or str(type(value)(text)) != text):
        raise refusal(value, f"{text!r} is not read back as the same path; pass it as a str")
    return tagged("path", t=quoted(type(value).__name__), v=w.text(text))


def _read_path(reader: Reader, record: Record) -> pathlib.PurePath:
    kind = _PATHS[record["t"]]
    if issubclass(kind, pathlib.Path) and not issubclass(kind, type(pathlib.Path())):
        kind = pathlib.PurePosixPath if kind is pathlib.PosixPath else pathlib.PureWindowsPath  # of another system
    return kind(record["v"])


def _parts(tag: str, *names: str) -> Encoder:
    """A type that its attributes make up."""
    return lambda w, value: tagged(tag, v=w.items(getattr(value, name) for name in names))


def _as_text(tag: str) -> Encoder:
    return lambda w, value: tagged(tag, v=w.text(str(value)))


def _as_typed_text(tag: str) -> Encoder:
    return lambda w, value: tagged(tag, t=quoted(type(value).__name__), v=w.text(str(value)))


ENCODERS: dict[type, Encoder] = {
    type(None): lambda w, value: "null",
    bool: lambda w, value: "true" if value else "false",
    int: _int,
    float: _float,
    str: _str,
    list: lambda w, value: w.plain(value) or w.items(value),
    dict: _dict,
    tuple: lambda w, value: tagged("tuple", v=w.items(value)),
    set: _set,
    frozenset: _set,
    bytes: _bytes,
    bytearray: _bytes,
    complex: _parts("complex", "real", "imag"),
    range: _parts("range", "start", "stop", "step"),
    slice: _parts("slice", "start", "stop", "step"),
    type(...): lambda w, value: tagged("ellipsis"),
    datetime: _datetime,
    time: _datetime,
    date: lambda w, value: tagged("date", v=f'"{value.isoformat()}"'),
    timedelta: lambda w, value: tagged("timedelta", v=w.items(_timedelta_parts(value))),
    timezone: _timezone,
    ZoneInfo: _zoneinfo,
    Decimal: _as_text("decimal"),
    Fraction: _parts("fraction", "numerator", "denominator"),
    UUID: _as_text("uuid"),
    OrderedDict: lambda w, value: tagged("OrderedDict", v=w.pairs(value)),
    Counter: lambda w, value: tagged("Counter", v=w.pairs(value)),
    defaultdict: _defaultdict,
    deque: _deque,
    **dict.fromkeys(_PATHS.values(), _path),
    **dict.fromkeys(_ADDRESSES.values(), _as_typed_text("ip")),
}

LEAVES = {ENCODERS[kind] for kind in (type(None), bool, int, float, str, bytes, date)}

DECODERS = {
    "int": lambda reader, record: int(record["v"], 16),
    "float": lambda reader, record: float(record["v"]),
    "str": lambda reader, record: str(reader.data(record), "utf-8", "surrogatepass"),
    "dict": lambda reader, record: dict(record["v"]),
    "tuple": lambda reader, record: tuple(record["v"]),
    "set": lambda reader, record: set(record["v"]),
    "frozenset": lambda reader, record: frozenset(record["v"]),
    "bytes": lambda reader, record: bytes(reader.data(record)),
    "bytearray": lambda reader, record: bytearray(reader.data(record)),
    "complex": lambda reader, record: complex(*record["v"]),
    "range": lambda reader, record: range(*record["v"]),
    "slice": lambda reader, record: slice(*record["v"]),
    "ellipsis": lambda reader, record: ...,
    "datetime": lambda reader, record: _with_zone(datetime.fromisoformat(record["v"]), record),
    "time": lambda reader, record: _with_zone(time.fromisoformat(record["v"]), record),
    "date": lambda reader, record: date.fromisoformat(record["v"]),
    "timedelta": lambda reader, record: timedelta(*record["v"]),
    "timezone": _read_timezone,
    "zoneinfo": lambda reader, record: ZoneInfo(record["v"]),
    "decimal": lambda reader, record: Decimal(record["v"]),
    "fraction": lambda reader, record: Fraction(*record["v"]),
    "uuid": lambda reader, record: UUID(record["v"]),
    "OrderedDict": lambda reader, record: OrderedDict(record["v"]),
    "Counter": _read_counter,
    "defaultdict": lambda reader, record: defaultdict(_FACTORIES.get(record.get("factory")), record["v"]),
    "deque": lambda reader, record: deque(record["v"], record.get("maxlen")),
    "path": _read_path,
    "ip": lambda reader, record: _ADDRESSES[record["t"]](record["v"]),
}
