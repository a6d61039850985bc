"""Text -> value. How each tag is read is in the module that writes it."""

from __future__ import annotations

import pickle
from binascii import a2b_base64
from json import JSONDecoder
from typing import TYPE_CHECKING, Any

from wfkernel.errors import JournalError, TypeNotLoaded, WfkernelError
from wfkernel.model.values import arrays, arrow, frames, plain, records
from wfkernel.model.values.names import Unresolved, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfkernel.model.values.names import Buffer

    Record = dict[str, Any]


class PickleRefused(JournalError):
    """The stored value is a pickle, and reading one runs code that its writer chose."""

    def __init__(self, type_name: str):
        super().__init__(
            f"the stored value is a pickle of a {type_name}; reading it runs code chosen by whoever wrote the journal. "
            "If that was you, open the manager with allow_pickle=True"
        )
        self.type_name = type_name


class Reader:
    """Reads one text. Decoders get it, and their record with all parts already read."""

    __slots__ = ("_load", "_parse", "allow_pickle", "is_preview")

    def __init__(self, load: Callable[[str], Buffer], allow_pickle: bool, *, is_preview: bool = False):
        self._load = load
        self._parse = JSONDecoder(object_hook=self._resolved).decode
        self.allow_pickle = allow_pickle
        self.is_preview = is_preview

    def read(self, text: str) -> object:
        try:
            return self._parse(text)
        except RecursionError as error:
            raise JournalError("a stored value is nested too deeply to be read from here, this deep in calls") from error

    def data(self, record: Record) -> Buffer:
        """The binary part of a record."""
        name = record.get("blob")
        if name is None:
            return a2b_base64(record["v"])
        try:
            return self._load(name)
        except WfkernelError:
            raise
        except Exception as error:
            raise JournalError(f"the side file {name} of a stored value cannot be read: {error!r}") from error

    def _resolved(self, record: Record) -> object:
        tag = record.get("$")
        if tag is None:
            return record
        try:
            return DECODERS[tag](self, record)
        except (TypeNotLoaded, PickleRefused) as error:
            if not self.is_preview:
                raise
            return Unresolved(error.type_name, record.get("v") if isinstance(error, TypeNotLoaded) else None)
        except (WfkernelError, RecursionError):
            raise
        except Exception as error:
            raise JournalError(f"a stored value (a {tag!r}) cannot be read; the journal is damaged: {error!r}") from error


def _json(reader: Reader, record: Record) -> object:
    return reader.read(str(reader.data(record), "utf-8"))


def _pickle(reader: Reader, record: Record) -> object:
    if not reader.allow_pickle:
        raise PickleRefused(record["t"])
    try:
        return pickle.loads(reader.data(record))
    except (AttributeError, ImportError) as error:
        raise TypeNotLoaded(shown(record["t"])) from error


DECODERS: dict[str, Callable[[Reader, Record], object]] = {
    "json": _json,
    "pickle": _pickle,
    **plain.DECODERS,
    **records.DECODERS,
    **arrays.DECODERS,
    **frames.DECODERS,
    **arrow.DECODERS,
}
