"""Classes and functions by module and qualified name. Nothing of a journal's choice is imported, and no code of theirs is run."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
import typing
from typing import Any
from weakref import WeakValueDictionary

from wfkernel.errors import TypeNotLoaded

if typing.TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterator

    Buffer = bytes | bytearray | memoryview | mmap.mmap

# Classes local to a function are in no module's namespace: those that were seen are found here, as long as they live.
_remembered: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()

# A stored reference may name any function of the user's, but of the standard library only what cannot do harm when a
# workflow calls it: a crafted journal must not hand os.system to a body that expects a callback.
_HARMLESS_MODULES = {"math", "cmath", "statistics", "decimal", "fractions", "datetime", "collections", "uuid"}
_HARMLESS_BUILTINS = {
    *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, object),
    *(abs, all, any, len, max, min, pow, repr, round, sorted, sum),
}


class Unresolved:
    """Stands in a preview for a value whose class is not defined in this process.

    Attributes:
        type_name: the class, as ``module.qualname``.
        value: what is known of it: its fields, or its name.

    >>> Unresolved("__main__.Report", {"title": "Q3"})
    <__main__.Report, not loaded: {'title': 'Q3'}>
    """

    __slots__ = ("type_name", "value")

    def __init__(self, type_name: str, value: object):
        self.type_name = type_name
        self.value = value

    def __repr__(self) -> str:
        return f"<{self.type_name}, not loaded: {self.value!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unresolved) and (self.type_name, self.value) == (other.type_name, other.value)

    def __hash__(self) -> int:
        return hash(self.type_name)


class RecordOutdated(TypeNotLoaded):
    """The class of a stored value has changed, and the record no longer fits it."""

    def __init__(self, type_name: str, reason: str = ""):
        super().__init__(type_name)
        self.args = (f"the stored value is a {type_name} of an earlier definition: {reason}",)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.type_name, self.reason)


def name_of(obj: Any) -> str:
    """How a class or function is written: ``module:qualname``. It is remembered, too."""
    with contextlib.suppress(TypeError):  # not everything with a name can be referred to weakly
        _remembered[obj.__module__, obj.__qualname__] = obj
    return f"{obj.__module__}:{obj.__qualname__}"


def shown(name: str) -> str:
    """A stored name as people write it: ``module.qualname``, without the module for builtins."""
    return name.replace(":", ".").removeprefix("builtins.")


def shown_type(kind: type) -> str:
    return shown(f"{kind.__module__}:{kind.__qualname__}")


def is_remembered(obj: Any) -> bool:
    return _remembered.get((obj.__module__, obj.__qualname__)) is obj


def find_class(name: str, is_kind: Callable[[type], bool]) -> Any:
    """The class of this name, if it is loaded and of the right kind. What a module holds now wins over what was seen."""
    module, _, qualname = name.partition(":")
    for found in (_in_module(module, qualname), _remembered.get((module, qualname))):
        if isinstance(found, type) and is_kind(found):
            return found
    raise TypeNotLoaded(shown(name))


def find_reference(name: str) -> Any:
    """The function or class of this name, if it is loaded and may be handed out."""
    module, _, qualname = name.partition(":")
    found, seen = _in_module(module, qualname), _remembered.get((module, qualname))
    if isinstance(found, type | types.FunctionType | types.BuiltinFunctionType) and (found is seen or _may_refer(found, name)):
        return found
    if seen is None or found is not None:
        raise TypeNotLoaded(shown(name))
    return seen


def library(name: str, type_name: str) -> Any:
    """A library that stored values may need: one of ours, never a name from a journal."""
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    raise TypeNotLoaded(f"{type_name} (pip install {name})")


def _may_refer(found: Any, name: str) -> bool:
    """By its own name only; and of the standard library, the harmless or what the notebook itself has named."""
    if f"{found.__module__}:{found.__qualname__}" != name:
        return False
    top = found.__module__.partition(".")[0]
    if top == "__main__" or top not in sys.stdlib_module_names or top in _HARMLESS_MODULES:
        return True
    if top == "builtins" and (found in _HARMLESS_BUILTINS or (isinstance(found, type) and issubclass(found, BaseException))):
        return True
    return any(value is found for value in list(vars(sys.modules["__main__"]).values()))


def _in_module(module: str, qualname: str) -> Any:
    """An attribute of a loaded module, read from its dictionary: getattr would run module and metaclass hooks."""
    found: Any = sys.modules.get(module)
    if not isinstance(found, types.ModuleType):
        return None
    space = object.__getattribute__(found, "__dict__")
    for part in qualname.split("."):
        found = space.get(part)
        if not isinstance(found, type):
            space = {}  # a function may end the path; nothing is looked up inside of it
            continue
        space = type.__getattribute__(found, "__dict__")
    return found.__func__ if isinstance(found, staticmethod) else found


def remember_types(obj: object) -> None:
    """Makes the classes of an annotation, of a function's annotations, or of a class and its fields known to ``decode``.

    Only classes that are in no module's namespace need it: those made inside of a function. Never raises.

    Example:
        >>> def make():
        ...     class Local: ...
        ...     return Local
        >>> remember_types(list[make()])
    """
    seen: set[int] = set()
    pending = [obj]
    while pending:
        item = pending.pop()
        if id(item) in seen or isinstance(item, str | int | None):
            continue
        seen.add(id(item))
        with contextlib.suppress(Exception):  # annotations may be any object at all
            is_class = isinstance(item, type) and item.__module__ != "builtins" and typing.get_origin(item) is None
            if is_class or (item is obj and isinstance(item, types.FunctionType)):
                name_of(item)
        pending.extend(_inside(item))


def _inside(item: Any) -> Iterator[Any]:
    """What an annotation refers to; whatever fails to answer is left out."""
    if isinstance(item, list | tuple):
        yield from item
    for ask in (typing.get_args, _hints, _closure):
        with contextlib.suppress(Exception):
            yield from ask(item)
    for attribute in ("__origin__", "__supertype__", "__value__", "__bound__", "__constraints__", "__wrapped__"):
        with contextlib.suppress(Exception):
            yield getattr(item, attribute)


def _hints(item: Any) -> list[Any]:
    if not isinstance(item, type | types.FunctionType):
        return []
    if isinstance(item, type) and item.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return []
    try:
        return list(typing.get_type_hints(item).values())
    except Exception:  # one name that cannot be resolved spoils all of them: take them one by one
        found = list(getattr(item, "__annotations__", {}).values())
        return [_evaluated(hint, item) if isinstance(hint, str) else hint for hint in found]


def _evaluated(hint: str, owner: Any) -> Any:
    space = dict(vars(sys.modules.get(owner.__module__, typing)))
    if isinstance(owner, types.FunctionType):
        space = {**owner.__globals__, **_cells(owner)}
    try:
        return eval(hint, space)  # the user's own annotation, as typing.get_type_hints would
    except Exception:
        return None


def _cells(function: types.FunctionType) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not filled yet
            cells[name] = cell.cell_contents
    return cells


def _closure(item: Any) -> list[Any]:
    """Local classes that a function uses without annotating them."""
    return [cell for cell in _cells(item).values() if isinstance(cell, type)] if isinstance(item, types.FunctionType) else []
