"""Value -> text: the walk over a value, its limits, and the side files. How each type is written is in its own module."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import reprlib
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from wfkernel.errors import ValueNotStorable
from wfkernel.model.jsontext import dumps
from wfkernel.model.values.names import shown_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wfkernel.model.values.names import Buffer

    Encoder = Callable[["Writer", Any], str]

ATOMS = frozenset({type(None), bool, int, float, str})
BIG_INT = 1 << 2048  # 617 digits: below any limit that sys.set_int_max_str_digits takes
MAX_DEPTH = 150  # so that reading fits in the stack wherever it is called from: json's scanner counts against it, too

to_json = dumps

# Filled by the package: this module knows no type.
ENCODERS: dict[type, Encoder] = {}
FAMILIES: list[Callable[[type], Encoder | None]] = []  # for types that are not known one by one; the first that answers
LEAVES: set[Encoder] = set()  # have no parts: neither cycles nor depth to look for
# Only our own records match: the key "$" is never in a plain object, and quotes inside of strings are escaped.
_BLOB = re.compile(r'\{"\$":"[\w.]+","blob":"([0-9a-f]{64})","size":\d+(?:,"uses":\[([0-9a-f",]*)\])?')
_found: WeakKeyDictionary[type, Encoder] = WeakKeyDictionary()


def is_plain(value: Any, depth: int) -> bool:
    """Whether the C encoder of json writes this value as the Writer would (but for lone surrogates)."""
    kind = type(value)
    if kind is dict:
        if "$" in value or depth > MAX_DEPTH:
            return False
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind is list:
        if depth > MAX_DEPTH:
            return False
        items = value
    else:
        items = (value,)
    for item in items:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is int:
            if not -BIG_INT < item < BIG_INT:
                return False
        elif kind is float:
            if item - item != 0.0:  # infinite, or not a number: JSON has no word for it
                return False
        elif (kind is not dict and kind is not list) or not is_plain(item, depth + 1):
            return False
    return True


def blob_names(text: str) -> set[str]:
    """The SHA-256 names of all side files that a stored text needs, also through other side files.

    >>> blob_names('{"a":1}')
    set()
    """
    names: set[str] = set()
    if '"blob":"' in text:
        for name, uses in _BLOB.findall(text):
            names.add(name)
            names.update(uses.replace('"', "").split(",") if uses else ())
    return names


def is_utf8(text: str) -> bool:
    """Whether neither files nor DuckDB's JSON refuse this text: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(text: str) -> str:
    """A str that has no lone surrogates, as JSON."""
    return json.encoder.encode_basestring(text)


def tagged(tag: str, **parts: str | None) -> str:
    """A record. The parts are JSON texts; None is left out."""
    return f'{{"$":"{tag}"' + "".join([f',"{key}":{part}' for key, part in parts.items() if part is not None]) + "}"


def refusal(value: object, reason: str) -> ValueNotStorable:
    return ValueNotStorable("", shown_type(type(value)), reason)


def below(error: ValueNotStorable, step: str) -> ValueNotStorable:
    """The same refusal, seen from one level up."""
    return ValueNotStorable(step + error.path, error.type_name, error.reason, error.where)


class Bare(str):
    """A name that a path shows without quotes."""

    __slots__ = ()


class Writer:
    """Writes one value. Encoders call it for their parts."""

    __slots__ = ("_open", "allow_pickle", "blobs", "limit")

    def __init__(self, limit: int, allow_pickle: bool):
        self.limit = limit
        self.allow_pickle = allow_pickle
        self.blobs: dict[str, Buffer] = {}
        self._open: set[int] = set()

    def write(self, value: object) -> str:
        try:
            return self.text(value)
        except RecursionError:
            raise refusal(value, "it is nested too deeply") from None

    def text(self, value: object) -> str:
        """Any value as JSON, in a side file if it is large."""
        kind = type(value)
        encoder = ENCODERS.get(kind) or _encoder_of(kind)
        if encoder in LEAVES:
            return encoder(self, value)
        key = id(value)
        if key in self._open:
            raise refusal(value, "it contains itself")
        if len(self._open) > MAX_DEPTH:
            raise refusal(value, f"it is nested too deeply: more than {MAX_DEPTH} levels")
        self._open.add(key)
        try:
            text = encoder(self, value)
        finally:
            self._open.discard(key)
        return text if len(text) <= self.limit else self._aside(text)

    def plain(self, value: list[Any] | dict[Any, Any]) -> str | None:
        """The text by json's C encoder, where that is right; None leaves it to the walk."""
        if not is_plain(value, len(self._open) - 1):
            return None
        text = to_json(value)
        if len(text) <= self.limit:
            return text if text.isascii() or is_utf8(text) else None
        # It will be a side file. Parts that are as large get their own, so that they are found again wherever they occur.
        parts = value.values() if isinstance(value, dict) else value
        return text if text.isascii() and not {str, list, dict} & set(map(type, parts)) else None

    def part(self, value: object, step: str, key: object = None) -> str:
        """A part as JSON. ``step`` leads to it, for the error: ``".weights"``; ``{}`` in it stands for the key."""
        try:
            return self.text(value)
        except ValueNotStorable as error:
            raise below(error, step.replace("{}", _shown_key(key))) from None

    def items(self, values: Iterable[object]) -> str:
        """An array."""
        texts: list[str] = []
        try:
            for value in values:
                texts.append(self.text(value))  # its length is the index of the failure
        except ValueNotStorable as error:
            raise below(error, f"[{len(texts)}]") from None
        return f"[{','.join(texts)}]"

    def fields(self, state: Mapping[str, object]) -> str:
        """An object whose keys are attribute names."""
        parts = [f"{self.text(name)}:{self.part(value, '.{}', Bare(name))}" for name, value in state.items()]
        return f"{{{','.join(parts)}}}"

    def pairs(self, mapping: Mapping[Any, object]) -> str:
        """An array of [key, value], for keys of any type."""
        parts = [f"[{self.part(key, '<key {}>', key)},{self.part(value, '[{}]', key)}]" for key, value in mapping.items()]
        return f"[{','.join(parts)}]"

    def binary(self, tag: str, data: Buffer, *, inline: int | None = None, **parts: str | None) -> str:
        """A record with a binary part. The data must not change afterwards.

        Args:
            inline: up to this many bytes go into the text. By default, as many as make a text of ``inline_limit`` in base64.
        """
        size = len(data)
        if size > (self.limit * 3 // 4 if inline is None else inline):
            return tagged(tag, blob=f'"{self.blob(data)}"', size=str(size), **parts)
        return tagged(tag, v=f'"{b2a_base64(data, newline=False).decode()}"', **parts)

    def blob(self, data: Buffer) -> str:
        name = hashlib.sha256(data).hexdigest()
        self.blobs[name] = data
        return name

    def pickle(self, value: object) -> str:
        """The last resort, where it is allowed."""
        kind = type(value)
        if not self.allow_pickle:
            raise refusal(value, _why_not(kind))
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception as error:
            raise refusal(value, f"pickle cannot write it either: {error}") from error
        return self.binary("pickle", data, t=quoted(shown_type(kind)))

    def _aside(self, text: str) -> str:
        uses = sorted(blob_names(text))
        data = text.encode()
        name = self.blob(data)
        return tagged("json", blob=f'"{name}"', size=str(len(data)), uses=to_json(uses) if uses else None)


def _shown_key(key: object) -> str:
    if type(key) is Bare:
        return str(key)
    try:
        return repr(key) if type(key) is str and len(key) <= 100 else reprlib.repr(key)
    except Exception:  # repr may be the user's own; and Python refuses to show huge integers
        return f"<{type(key).__name__}>"


def _encoder_of(kind: type) -> Encoder:
    encoder = _found.get(kind)
    if encoder is None:
        encoder = next((found for family in FAMILIES if (found := family(kind))), Writer.pickle)
        _found[kind] = encoder
    return encoder


def _why_not(kind: type) -> str:
    for base in (str, int, float, bytes, list, tuple, set, frozenset, dict):
        if issubclass(kind, base):
            name = base.__name__
            return f"it is a subclass of {name} and would come back as another type; convert it with {name}(...)"
    if kind.__name__ in ("generator", "coroutine", "async_generator"):
        return "it can be used only once; pass what it gives, for example list(...)"
    return "use plain values, a dataclass or a pydantic model, or open the manager with allow_pickle=True"
