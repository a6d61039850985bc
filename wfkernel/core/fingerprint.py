"""What a function is made of: its normalised AST, its helpers and its captured constants, as 16 hex characters.

A step's fingerprint is journaled beside its result; ``restart(from_step="changed")`` and ``plan()`` compare it with the
fingerprint of the function as it is now. It follows *edits*: comments, formatting, docstrings, line positions and wfkernel's
own decorators do not change it, a changed helper three calls away does.

Pure like all of ``core``: no clock, randomness or threads. The one I/O is reading source text through ``linecache``, because
only source tells an edit from a reformatting: bytecode differs between Python versions and after harmless rewrites.

What counts, and what stands for it:

=====================================  =================================================================
the function, its methods and helpers  normalised AST (bytecode without source), defaults, closure, globals used
functions and classes of libraries     module and qualified name
plain values, dataclasses, models      their content, up to ``_MAX_NODES`` members
variables that the code itself writes  only that they exist: they are state, not constants
modules                                their name
anything else                          its type
=====================================  =================================================================

"Helper" means: defined in ``__main__`` or in the module of the function that was asked about.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime
import decimal
import dis
import enum
import fractions
import functools
import hashlib
import linecache
import operator
import pathlib
import re
import types
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

__all__ = ["fingerprint"]

_ATTRIBUTE = "__wfkernel_fingerprint__"
_LENGTH = 16  # hex characters: 64 bits, plenty for "is this the same function as before?"
_MAX_NODES = 2_000  # members of all containers together, so that a table loaded into a global costs nothing
_MAX_TEXT = 100_000  # characters or bytes of one string
_MISSING = object()  # stands for a name that a namespace does not hold (a builtin, or not defined yet)

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes, type(Ellipsis)})
_MUTABLE = frozenset({list, dict, set, bytearray})
_BY_REPR = (
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
    *(decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath, re.Pattern, range, slice),
)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# Methods that write to their object: a global list that a function appends to is its log, not a constant of it.
_MUTATORS = frozenset(
    {
        *("append", "appendleft", "extend", "insert", "pop", "popleft", "popitem", "remove", "discard", "clear"),
        *("add", "update", "setdefault", "sort", "reverse"),
    }
)


def fingerprint(fn: Callable[..., Any]) -> str:
    """A short text that changes when an edit may have changed what ``fn`` does.

    Never raises; what cannot be looked into is described more coarsely. The first call for a function costs about a
    millisecond, later ones about a microsecond: the answer is kept on the function together with what it depends on, and
    holds as long as every helper and constant is the identical object.

    Args:
        fn: any callable; objects of wfkernel's decorators and ``functools.wraps`` wrappers are looked through.

    Returns:
        16 hexadecimal characters, the same in every process with the same source and Python version.

    Example:
        >>> rate = 2
        >>> def price(amount): return amount * rate
        >>> before = fingerprint(price)
        >>> price.__globals__["rate"] = 3
        >>> before == fingerprint(price)
        False
    """
    try:
        if type(fn) is not types.FunctionType:
            fn = _unwrap(fn)
        anchor, owner = _anchor(fn)
        if anchor is not None:
            known = anchor.__dict__.get(_ATTRIBUTE)
            if known is not None and known.owner is owner and known.holds(anchor):
                return known.text
        walk = _Walk(fn)
        text = walk.run()
        if anchor is not None:
            anchor.__dict__[_ATTRIBUTE] = _Known(text, anchor, owner, walk)
        return text
    except Exception:
        return _coarse(fn)


class _Known:
    """A fingerprint and everything whose identity it rests on.

    Kept as an attribute of the function rather than in a WeakKeyDictionary: it refers to the function's globals, hence to the
    function itself, and such an entry would keep its own weak key alive forever. On the function it is an ordinary cycle.
    """

    __slots__ = ("anchor", "anchor_code", "cells", "functions", "names", "owner", "snapshots", "text")

    def __init__(self, text: str, anchor: types.FunctionType, owner: type | None, walk: _Walk):
        self.text = text
        self.owner = owner
        # functools.wraps copies __dict__, this entry included: it says whose it is.
        self.anchor = anchor
        self.anchor_code = anchor.__code__
        self.functions = tuple((f, f.__code__, f.__defaults__, f.__kwdefaults__, f.__closure__) for f in walk.functions)
        self.names = tuple((ns, name, value) for ns, name, value in walk.names if (id(ns), name) not in walk.stored)
        self.cells = tuple((cell, value) for cell, value in walk.cells if id(cell) not in walk.stored)
        self.snapshots = tuple((value, snap) for value, snap in walk.snapshots if id(value) not in walk.mutated)

    def holds(self, anchor: types.FunctionType) -> bool:
        """Whether nothing was rebound since: no helper redefined, no constant changed, no code swapped by %autoreload."""
        if anchor is not self.anchor or anchor.__code__ is not self.anchor_code:
            return False
        for f, code, defaults, kwdefaults, closure in self.functions:
            if f.__code__ is not code or f.__defaults__ is not defaults:
                return False
            if f.__kwdefaults__ is not kwdefaults or f.__closure__ is not closure:
                return False
        for namespace, name, value in self.names:
            if namespace.get(name, _MISSING) is not value:
                return False
        for cell, value in self.cells:
            if _content(cell) is not value:
                return False
        return all(_is_unchanged(value, snapshot) for value, snapshot in self.snapshots) if self.snapshots else True

    def __reduce__(self):
        # cloudpickle ships a function with its __dict__; a cache of this process means nothing elsewhere.
        return type(None), ()


def _coarse(fn: object) -> str:
    """The last resort: the code if there is one, else the type's name."""
    try:
        code = getattr(fn, "__code__", None)
        if isinstance(code, types.CodeType):
            return _hash(_code_text(code))
    except Exception:
        pass
    return _hash(f"{type(fn).__module__}.{type(fn).__qualname__}")


def _hash(text: str) -> str:
    # surrogates occur in real source ("\ud800"), and plain utf-8 refuses them
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]


def _unwrap(fn: Any) -> Any:
    """What wfkernel's decorators hold: options of a step are not what its function does."""
    for _ in range(20):  # a bound, in case an object is its own .fn
        module = type(fn).__module__
        if not (module == "wfkernel" or module.startswith("wfkernel.")):
            return fn
        inner = getattr(fn, "fn", None)
        if inner is None:
            return fn
        fn = inner
    return fn


def _anchor(fn: Any) -> tuple[types.FunctionType | None, type | None]:
    """The plain function on which the answer can be kept, and for a method the class that it belongs to."""
    kind = type(fn)
    if kind is types.FunctionType:
        return fn, None
    if kind is types.MethodType and type(fn.__func__) is types.FunctionType:
        return fn.__func__, fn.__self__ if isinstance(fn.__self__, type) else type(fn.__self__)
    return None, None


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a closure variable that is not assigned yet
        return _MISSING


def _is_of_ipython(value: object) -> bool:
    """Whether it is IPython's stand-in for a builtin (``open``, ``quit``): in a script that name is the builtin."""
    return isinstance(value, types.FunctionType) and str(value.__globals__.get("__name__")).startswith("IPython.core.")


def _members(value: Any) -> Iterable[object]:
    return chain(value, value.values()) if type(value) is dict else value


def _is_unchanged(value: Any, snapshot: tuple[object, ...]) -> bool:
    """Whether a mutable value still has the identical members (bytes of a bytearray are small ints, hence identical)."""
    size = 2 * len(value) if type(value) is dict else len(value)
    try:
        return size == len(snapshot) and all(map(operator.is_, _members(value), snapshot))
    except RuntimeError:  # another thread changes it right now
        return False


class _TooLarge(Exception):
    """A value has more members than it is worth looking at."""


class _Walk:
    """Describes one function and, breadth first, every helper that it reaches; notes what the description depends on.

    Breadth first over a queue, with helpers numbered at first sight: cycles and long chains of helpers need no care.

    Attributes:
        functions: plain functions that were looked into.
        names: (namespace, name, object) for each global looked up.
        cells: (cell, content) for each closure variable.
        snapshots: (mutable value, its members) for each mutable value described by content.
        stored: (id(namespace), name) and id(cell) of variables that some function assigns: state.
        mutated: id of values that some function writes into: state as well.
    """

    def __init__(self, root: Any):
        self.root = root
        self.home = _home(root)
        self.functions: list[types.FunctionType] = []
        self.names: list[tuple[dict[str, Any], str, object]] = []
        self.cells: list[tuple[types.CellType, object]] = []
        self.snapshots: list[tuple[Any, tuple[object, ...]]] = []
        self.stored: set[object] = set()
        self.mutated: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._queue: deque[Any] = deque()
        self._alive: list[Any] = []  # ids are only unique among the living
        self._seen_names: set[tuple[int, str]] = set()
        # Parts are text, or (key, value): a variable whose text depends on what later helpers write to.
        self._parts: list[str | tuple[object, object]] = []
        self._budget = _MAX_NODES
        self._open: set[int] = set()  # containers being described, to notice one that holds itself

    def run(self) -> str:
        """Describe everything and return the fingerprint."""
        self._say(self._value(self.root, is_root=True))
        self._visit_queued()
        # Variables only now, when it is known which ones the code writes to. By index, because describing a value (a table of
        # handlers) can bring more helpers, whose parts come at the end.
        texts: list[str] = []
        index = 0
        while index < len(self._parts):
            part = self._parts[index]
            texts.append(part if isinstance(part, str) else self._variable(*part))
            self._visit_queued()
            index += 1
        return _hash("".join(texts))

    def _visit_queued(self) -> None:
        while self._queue:
            thing = self._queue.popleft()
            self._say(f"\n#{self._numbers[id(thing)]} ")
            if isinstance(thing, type):
                self._class(thing)
            else:
                self._function(thing)

    def _say(self, *parts: str | tuple[object, object]) -> None:
        self._parts.extend(parts)

    def _refer(self, thing: Any) -> str:
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self._numbers)
            self._queue.append(thing)
            self._alive.append(thing)
        return f"#{number}"

    def _is_ours(self, module: object) -> bool:
        return module == "__main__" or module == self.home

    # -- functions and classes --------------------------------------------------------------------------------------

    def _function(self, fn: types.FunctionType) -> None:
        self.functions.append(fn)
        shape = _shape(fn.__code__)
        self._say("def ", shape.text, " defaults ", self._value(fn.__defaults__), self._value(fn.__kwdefaults__))
        namespace = fn.__globals__
        self.stored.update((id(namespace), name) for name in shape.stored)
        for name in shape.names:
            value = namespace.get(name, _MISSING)
            if (id(namespace), name) not in self._seen_names:
                self._seen_names.add((id(namespace), name))
                self.names.append((namespace, name, value))
            if _is_of_ipython(value):
                value = _MISSING
            self._use(name, (id(namespace), name), value, shape)
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
            value = _content(cell)
            self.cells.append((cell, value))
            if name in shape.stored:
                self.stored.add(id(cell))
            self._use(name, id(cell), value, shape)
        wrapped = fn.__dict__.get("__wrapped__")
        if wrapped is not None:
            self._say("\n wraps ", self._value(wrapped))

    def _use(self, name: str, key: object, value: Any, shape: _Shape) -> None:
        """A function uses a variable: its text comes later, but helpers are looked into now, for what they write to."""
        if isinstance(value, types.ModuleType) or callable(value):
            self._value(value)
        elif shape.mutates(name):
            self.mutated.add(id(value))
        self._say(f"\n {name}=", (key, value))

    def _class(self, cls: type) -> None:
        """A class by its members: inspect cannot find the source of a class that was defined in a cell."""
        self._say("class ", cls.__name__, *(f"({self._value(base)})" for base in cls.__bases__))
        if dataclasses.is_dataclass(cls):
            self._say(repr(getattr(cls, "__dataclass_params__", "")))
        self._say(*(f"\n {name}: {self._annotation(of)}" for name, of in _own_annotations(cls).items()))
        for name, value in sorted(vars(cls).items()):
            if name in ("__pydantic_fields__", "__dataclass_fields__") and isinstance(value, dict):
                self._say(*(f"\n field {key}={self._tidy(field)}" for key, field in value.items()))
            elif not _is_machinery(name, value):
                self._say(f"\n {name}=", *(self._value(part) for part in _attribute_parts(value)))

    def _annotation(self, annotation: Any) -> str:
        if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
            return self._any(annotation)
        inner = getattr(annotation, "__args__", None)
        more = "".join(self._annotation(arg) for arg in inner) if isinstance(inner, tuple) else ""
        return self._tidy(annotation) + more

    def _tidy(self, thing: object) -> str:
        """A repr without what differs between processes (addresses) or between a cell and a script (the module's name)."""
        text = _ADDRESS.sub("", repr(thing))
        for module in {"__main__", self.home}:
            text = text.replace(f"{module}.", "")
        return text

    # -- values -----------------------------------------------------------------------------------------------------

    def _variable(self, key: object, value: object) -> str:
        """What a name or a closure variable stands for."""
        if value is _MISSING:
            return "unbound"
        if key in self.stored or id(value) in self.mutated:
            return "state"
        return self._value(value)

    def _value(self, value: Any, *, is_root: bool = False) -> str:
        """A value as text, or its type alone where it is too large."""
        self._budget = _MAX_NODES
        self._open.clear()
        try:
            return self._any(value, is_root=is_root)
        except (_TooLarge, RecursionError):
            return f"large {type(value).__qualname__}"

    def _any(self, value: Any, *, is_root: bool = False) -> str:
        kind = type(value)
        if kind in _SCALARS:
            return _scalar_text(value)
        if kind in _MUTABLE or kind is tuple or kind is frozenset:
            return self._container(value)
        if kind is types.ModuleType:
            return f"module {value.__name__}"
        if kind is types.FunctionType:
            return self._any_function(value, is_root)
        if isinstance(value, type):
            return self._refer(value) if self._is_ours(value.__module__) else f"{value.__module__}.{value.__qualname__}"
        if kind is types.MethodType:
            return f"method {self._any(value.__func__, is_root=is_root)} of {self._owner(value.__self__)}"
        if isinstance(value, functools.partial):
            return f"partial {self._any(value.func, is_root=is_root)} {self._any(value.args)} {self._any(dict(value.keywords))}"
        inner = _unwrap(value)
        if inner is not value:
            return self._any(inner, is_root=is_root)
        return self._object(value, kind)

    def _any_function(self, fn: types.FunctionType, is_root: bool) -> str:
        module = fn.__globals__.get("__name__")  # __module__ is copied by functools.wraps: it names the wrapped one's
        wrapped = fn.__dict__.get("__wrapped__")
        if self._is_ours(module) or (is_root and wrapped is None):
            return self._refer(fn)
        # The code's own qualified name: functools.wraps replaces the function's.
        return f"{module}.{fn.__code__.co_qualname}" + (f" wraps {self._any(wrapped)}" if wrapped is not None else "")

    def _owner(self, owner: Any) -> str:
        return self._any(owner if isinstance(owner, (type, types.ModuleType)) else type(owner))

    def _container(self, value: Any) -> str:
        self._budget -= len(value)
        if self._budget < 0:
            raise _TooLarge
        kind = type(value)
        if id(value) in self._open:
            return "itself"
        if kind in _MUTABLE:
            self.snapshots.append((value, tuple(_members(value))))
        if kind is bytearray:
            return f"bytearray:{bytes(value)!r}"
        self._open.add(id(value))
        if kind is dict:
            items = [f"{self._any(key)}:{self._any(item)}" for key, item in tuple(value.items())]
        else:
            items = [self._any(item) for item in tuple(value)]
        self._open.discard(id(value))
        if kind in (set, frozenset):
            items.sort()  # their own order follows PYTHONHASHSEED
        return f"{kind.__name__}({','.join(items)})"

    def _object(self, value: Any, kind: type) -> str:
        if isinstance(value, enum.Enum):
            return f"{self._any(kind)}.{value.name}={self._any(value.value)}"
        if isinstance(value, _BY_REPR):
            return f"{kind.__name__}:{_ADDRESS.sub('', repr(value))}"
        if isinstance(value, (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType)):
            owner = getattr(value, "__self__", None)
            return f"builtin {value.__qualname__}" + (f" of {self._owner(owner)}" if owner is not None else "")
        fields = getattr(value, "__dict__", None)
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return f"{self._any(kind)}{self._container(tuple(value))}"
        if (dataclasses.is_dataclass(kind) or hasattr(kind, "__pydantic_fields__")) and type(fields) is dict:
            return f"{self._any(kind)}{self._container(fields)}"
        wrapped = fields.get("__wrapped__") if type(fields) is dict else None  # functools.lru_cache
        return f"a {self._any(kind)}" + (f" wraps {self._any(wrapped, is_root=True)}" if wrapped is not None else "")


def _home(root: Any) -> str:
    """The module whose functions count as helpers: that of the innermost function, past partials, methods and wrappers."""
    for _ in range(50):
        inner = getattr(root, "func", None) if isinstance(root, functools.partial) else getattr(root, "__wrapped__", None)
        inner = inner if inner is not None else _unwrap(root)
        if inner is root:
            break
        root = inner
    if isinstance(root, types.MethodType):
        root = root.__func__
    if isinstance(root, types.FunctionType):
        return str(root.__globals__.get("__name__"))
    return str(getattr(root, "__module__", None) or type(root).__module__)


def _scalar_text(value: Any) -> str:
    kind = type(value)
    if kind is int:
        return f"int:{value:x}"  # decimal is quadratic, and refused above 4300 digits
    if kind in (str, bytes) and len(value) > _MAX_TEXT:
        raise _TooLarge
    return f"{kind.__name__}:{value!r}"


def _own_annotations(cls: type) -> dict[str, Any]:
    """The annotations of the class itself; evaluated only where Python 3.14 has left them lazy, and none if that fails."""
    found = vars(cls).get("__annotations__")
    if found is None and "__annotate_func__" in vars(cls):
        try:
            found = cls.__annotations__
        except Exception:
            return {}
    return found if isinstance(found, dict) else {}


def _is_machinery(name: str, value: object) -> bool:
    """Class members that Python, dataclasses, abc or pydantic make, and that say nothing that the others do not say."""
    if name in _CLASS_MACHINERY or name.startswith("__pydantic_"):
        return True
    # dataclasses and namedtuple write their methods with exec(); their fields are described already.
    return isinstance(value, types.FunctionType) and value.__code__.co_filename.startswith("<string>")


_CLASS_MACHINERY = frozenset(
    {
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"),
        *("__annotations__", "__annotations_cache__", "__annotate__", "__annotate_func__"),
        *("__dataclass_params__", "__dataclass_fields__", "__abstractmethods__", "_abc_impl", "__private_attributes__"),
        *("__class_vars__", "__signature__", "__parameters__", "__orig_bases__"),
        *("_member_map_", "_value2member_map_", "_unhashable_values_", "_hashable_values_", "_new_member_"),
        "_generate_next_value_",
    }
)


def _attribute_parts(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (staticmethod, classmethod)):
        return (type(value), value.__func__)
    if isinstance(value, property):
        return (property, value.fget, value.fset, value.fdel)
    if isinstance(value, functools.cached_property):
        return (functools.cached_property, value.func)
    return (value,)


# -- the shape of one code object: what an edit of its source changes -----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What is known of a code object from itself and its source; nothing of values.

    Attributes:
        text: normalised AST, or bytecode where there is no source.
        names: global names it reads, sorted.
        stored: global and closure names that it assigns.
        written: names into whose objects it writes; None: not known, but it does write into something.
    """

    text: str
    names: tuple[str, ...]
    stored: frozenset[str]
    written: frozenset[str] | None

    def mutates(self, name: str) -> bool:
        return self.written is None or name in self.written


def _shape(code: types.CodeType) -> _Shape:
    names: set[str] = set()
    stored: set[str] = set()
    does_write = False
    for part in _with_nested(code):
        for instruction in dis.get_instructions(part):
            operation = instruction.opname
            if operation in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
                names.add(instruction.argval)
            elif operation in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                stored.add(instruction.argval)
            elif operation in ("STORE_DEREF", "DELETE_DEREF"):
                # A cell variable is the code's own; only variables from outside are state.
                if instruction.argval in code.co_freevars:
                    stored.add(instruction.argval)
            elif operation in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE", "STORE_ATTR"):
                does_write = True
        does_write = does_write or not _MUTATORS.isdisjoint(part.co_names)
    names.discard("__class__")
    node = _node_of(code)
    if node is None:
        return _Shape(_code_text(code), tuple(sorted(names)), frozenset(stored), None if does_write else frozenset())
    return _Shape(_tree_text(_without_own_decorators(node)), tuple(sorted(names)), frozenset(stored), _written_names(node))


def _with_nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _with_nested(const)


def _code_text(code: types.CodeType) -> str:
    """Bytecode and constants, without positions, in an order that does not depend on PYTHONHASHSEED."""
    consts = list(code.co_consts)
    if consts and isinstance(consts[0], str) and _has_docstring(code):
        consts[0] = None
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _CALL_FLAGS)
    variables = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    body = (code.co_code.hex(), code.co_exceptiontable.hex())
    return f"code {code.co_name} {counts} {variables} {body} [{','.join(_const_text(const) for const in consts)}]"


# *args, **kwargs, generator, coroutine, async generator. Not the __future__ flags: a cell inherits those of earlier cells.
_CALL_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
_HAS_DOCSTRING = 0x4000000  # inspect.CO_HAS_DOCSTRING, from Python 3.13 on


def _has_docstring(code: types.CodeType) -> bool:
    # Until 3.12 the first constant of a def is its docstring or None; a lambda or comprehension has no such place.
    return bool(code.co_flags & _HAS_DOCSTRING) if _FLAGS_DOCSTRINGS else not code.co_name.startswith("<")


_FLAGS_DOCSTRINGS = _HAS_DOCSTRING in dis.COMPILER_FLAG_NAMES


def _const_text(const: object) -> str:
    if isinstance(const, types.CodeType):
        return _code_text(const)
    if isinstance(const, tuple):
        return f"({','.join(_const_text(item) for item in const)})"
    if isinstance(const, frozenset):
        return f"{{{','.join(sorted(_const_text(item) for item in const))}}}"
    if type(const) is int:
        return f"int:{const:x}"
    return f"{type(const).__name__}:{const!r}"


# -- source -----------------------------------------------------------------------------------------------------------

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclasses.dataclass(frozen=True)
class _File:
    """A parsed file or cell.

    Attributes:
        lines: the text as linecache gave it; its identity tells whether the file was read again.
        nodes: function nodes by (name, first line).
        codes: what compiling the text gives, by name.
        tree: the text, for what is compiled in another way.
    """

    lines: list[str]
    nodes: dict[tuple[str, int], list[_Function]]
    codes: dict[str, list[types.CodeType]]
    tree: ast.Module


_files: dict[str, _File] = {}
_MAX_FILES = 64  # parsed files kept; a cell is a file


def _node_of(code: types.CodeType) -> _Function | None:
    """The function's AST, or None where its source is not to be had, or is no longer what the code was compiled from.

    The text on disk may have been edited since the import, so the text is compiled and must give this very code; a function
    that only moved is found by its name.
    """
    try:
        file = _parsed(code.co_filename)
        if file is None:
            return None
        wanted = _code_text(code)
        for candidate in chain(file.codes.get(code.co_name, ()), _statement_codes(file, code)):
            if candidate.co_qualname == code.co_qualname and _code_text(candidate) == wanted:
                nodes = file.nodes.get((code.co_name, candidate.co_firstlineno), [])
                # Several lambdas on one line cannot be told apart by position alone: bytecode can.
                return nodes[0] if len(nodes) == 1 else None
    except Exception:
        pass
    return None


def _parsed(filename: str) -> _File | None:
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    if not lines:
        return None
    file = _files.get(filename)
    if file is not None and file.lines is lines:
        return file
    tree = ast.parse("".join(lines), filename)
    # Cells may await at top level; the flag changes nothing for other files.
    module = compile(tree, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    file = _File(lines, {}, {}, tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            file.nodes.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            file.nodes.setdefault(("<lambda>", node.lineno), []).append(node)
    for code in _with_nested(module):
        file.codes.setdefault(code.co_name, []).append(code)
    # Fingerprints are asked for from several threads: list() is one step, iterating the live dict is not.
    for oldest in list(_files)[: 1 - _MAX_FILES]:
        _files.pop(oldest, None)
    _files[filename] = file
    return file


def _statement_codes(file: _File, code: types.CodeType) -> Iterator[types.CodeType]:
    """What a cell gives: IPython compiles it statement by statement, and Python calls ``time.sleep`` by other bytecode where the
    import of ``time`` is compiled together with it."""
    for statement in file.tree.body:
        begin = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
        if begin <= code.co_firstlineno <= (statement.end_lineno or begin):
            part = ast.Module([statement], [])
            alone = compile(part, code.co_filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            yield from (c for c in _with_nested(alone) if c.co_name == code.co_name)


def _without_own_decorators(node: _Function) -> _Function:
    """The function without its decorators: what they did to it shows in the object (closures, __wrapped__)."""
    if isinstance(node, ast.Lambda):
        return node
    fields = {**dict(ast.iter_fields(node)), "decorator_list": []}
    return type(node)(**fields)


_IRRELEVANT_FIELDS = frozenset({"type_comment", "kind", "ctx", "type_ignores"})


def _tree_text(node: object) -> str:
    """Like ast.dump, without docstrings, and the same in all Python versions (empty fields are left out)."""
    if isinstance(node, list):
        return f"[{','.join(map(_tree_text, node))}]"
    if not isinstance(node, ast.AST):
        return _const_text(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            value = _without_docstring(value)
        if value is None and isinstance(node, ast.Constant):
            parts.append("None")
        elif value is not None and value != [] and name not in _IRRELEVANT_FIELDS:
            parts.append(f"{name}={_tree_text(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:] or [ast.Pass()]
    return body


def _written_names(node: ast.AST) -> frozenset[str]:
    """Names whose objects the code writes into: ``log.append(x)``, ``cache[key] = x``, ``state.count += 1``."""
    names: set[str | None] = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.Subscript, ast.Attribute)) and isinstance(part.ctx, (ast.Store, ast.Del)):
            names.add(_root_name(part))
        elif isinstance(part, ast.AugAssign):
            names.add(_root_name(part.target))
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in _MUTATORS:
            names.add(_root_name(part.func.value))
    return frozenset(name for name in names if name is not None)


def _root_name(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
