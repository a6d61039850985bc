"""What may be journaled: values to JSON text and back, exactly.

A stored value is one JSON text. None, bool, int, float, str, list and dict are written as plain JSON, so that SQL reads
them; every other type is an object whose key ``"$"`` names it:

    {"$":"tuple","v":[1,2]}                              a type, and its parts
    {"$":"dataclass","t":"module:qualname","v":{...}}    a record, and the class it is looked up by
    {"$":"bytes","v":"aGVsbG8="}                         small binary, base64
    {"$":"bytes","blob":"<sha256>","size":2000000}       large binary, in a side file named by its content
    {"$":"json","blob":...,"size":...,"uses":[...]}      any value whose text is large; ``uses``: side files that it names

A dict that has the key ``"$"`` itself, or keys other than str, is ``{"$":"dict","v":[[key, value], ...]}``. Large means
longer than ``inline_limit``, at any depth: so a list has the same side file as a result, as an argument, or inside of one.
Values are trees: an object that is reached twice is written twice.

Reading runs no code of whoever wrote the text: classes are only looked up, never imported, and made without their
``__init__``; pickles are refused unless asked for.

    plain.py     builtin and standard library types       records.py   enums, dataclasses, pydantic models, references
    arrays.py    NumPy      frames.py  pandas             arrow.py     pyarrow
    writing.py   value -> text      reading.py  text -> value          names.py   classes by module and qualified name

Here: the public face and the fast path. A type belongs to the module of its library: one row in ENCODERS or FAMILIES, and
one in DECODERS.
"""

from __future__ import annotations

from json import JSONDecoder
from typing import TYPE_CHECKING, NamedTuple

from wfkernel.model.values import arrays, arrow, frames, plain, records
from wfkernel.model.values.names import RecordOutdated, Unresolved, remember_types
from wfkernel.model.values.reading import PickleRefused, Reader
from wfkernel.model.values.writing import ATOMS, ENCODERS, FAMILIES, LEAVES, Writer, blob_names, is_plain, is_utf8, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfkernel.model.values.names import Buffer

__all__ = ["Codec", "Encoded", "PickleRefused", "RecordOutdated", "Unresolved", "blob_names", "is_atom", "remember_types"]

ENCODERS.update(plain.ENCODERS | records.ENCODERS)
LEAVES.update(plain.LEAVES)
# In this order: an enum or a model may be a dataclass or a tuple as well.
FAMILIES[:] = [*records.FAMILIES, arrays.encoder_of, frames.encoder_of, arrow.encoder_of, *records.LATE_FAMILIES]

_from_json = JSONDecoder().decode


class Encoded(NamedTuple):
    """A value as it is stored.

    Attributes:
        text: strictly valid JSON, encodable as UTF-8.
        blobs: SHA-256 (hex) to content, for each side file that the text needs. The contents are never changed afterwards.
    """

    text: str
    blobs: dict[str, Buffer]


class Codec:
    """Writes values as text and reads them back, of the same types and equal.

    Args:
        allow_pickle: write types that are not known with pickle, and read such records. Reading a pickle runs code that its
            writer chose: only for journals of your own.
        inline_limit: longer texts and binaries become side files; characters or bytes.

    Example:
        >>> codec = Codec()
        >>> text, blobs = codec.encode({"point": (1, 2.5), "tags": {"b", "a"}})
        >>> text
        '{"point":{"$":"tuple","v":[1,2.5]},"tags":{"$":"set","v":["a","b"]}}'
        >>> codec.decode(text, blobs.__getitem__)["point"]
        (1, 2.5)
    """

    __slots__ = ("allow_pickle", "inline_limit")

    def __init__(self, *, allow_pickle: bool = False, inline_limit: int = 1_000_000):
        self.allow_pickle = allow_pickle
        self.inline_limit = inline_limit

    def encode(self, value: object) -> Encoded:
        """The value as text; the same value gives the same text in any process.

        Raises:
            ValueNotStorable: with the ``path`` of the part that cannot be written.
        """
        if is_plain(value, 0):
            text = to_json(value)
            if len(text) <= self.inline_limit and (text.isascii() or is_utf8(text)):
                return Encoded(text, {})
        writer = Writer(self.inline_limit, self.allow_pickle)
        return Encoded(writer.write(value), writer.blobs)

    def decode(self, text: str, load: Callable[[str], Buffer]) -> object:
        """The value that was encoded. ``load(sha256)`` gives the content of a side file.

        Raises:
            TypeNotLoaded: a class is not defined in this process, or has changed too much.
            PickleRefused: it is a pickle, and ``allow_pickle`` is off.
            JournalError: the text, or a side file, is damaged.
        """
        if '"$"' not in text:
            return _from_json(text)
        return Reader(load, self.allow_pickle).read(text)

    def preview(self, text: str, load: Callable[[str], Buffer]) -> object:
        """Like ``decode``, with an ``Unresolved`` in place of each value whose class is not loaded."""
        if '"$"' not in text:
            return _from_json(text)
        return Reader(load, self.allow_pickle, is_preview=True).read(text)


def is_atom(value: object) -> bool:
    """Whether the value is exactly a None, bool, int, float or str: immutable, so that it needs no copy.

    >>> is_atom(1.5), is_atom([])
    (True, False)
    """
    return type(value) in ATOMS
