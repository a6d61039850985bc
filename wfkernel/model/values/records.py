"""What the user defines: enums, dataclasses, named tuples, pydantic models; and functions and classes, by reference.

Classes are looked up by name and must be of the recorded kind. Objects are made without their ``__init__``, ``__post_init__``
or validators: what was stored had passed them, and replay must not run them again.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import operator
import sys
import types
import typing
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any

from wfkernel.errors import TypeNotLoaded
from wfkernel.model.values.names import RecordOutdated, find_class, find_reference, is_remembered, name_of, shown
from wfkernel.model.values.writing import Writer, quoted, refusal, tagged

if TYPE_CHECKING:
    from wfkernel.model.values.reading import Reader, Record
    from wfkernel.model.values.writing import Encoder

_set_attribute = object.__setattr__


# Enums


def _enum(w: Writer, value: Enum) -> str:
    kind = type(value)
    if kind._member_map_.get(value._name_) is value:
        return tagged("enum", t=quoted(name_of(kind)), v=quoted(value._name_))
    return tagged("flag", t=quoted(name_of(kind)), v=str(value._value_))  # members of a Flag, combined


def _read_enum(reader: Reader, record: Record) -> Enum:
    kind = find_class(record["t"], _is_enum)
    member = kind._member_map_.get(record["v"])
    if member is None:
        raise RecordOutdated(shown(record["t"]), f"it has no member {record['v']!r}")
    return member


def _read_flag(reader: Reader, record: Record) -> Flag:
    return find_class(record["t"], lambda kind: Flag in kind.__mro__)(record["v"])


# Named tuples


def _namedtuple(w: Writer, value: Any) -> str:
    kind = type(value)
    return tagged("namedtuple", t=quoted(name_of(kind)), v=w.fields(dict(zip(kind._fields, tuple(value), strict=True))))


def _read_namedtuple(reader: Reader, record: Record) -> Any:
    kind = find_class(record["t"], _is_namedtuple)
    state = {**kind._field_defaults, **record["v"]}
    _refuse_missing(record["t"], [name for name in kind._fields if name not in state])
    return tuple.__new__(kind, [state[name] for name in kind._fields])


# Dataclasses


def _slots(kind: type) -> dict[str, types.MemberDescriptorType]:
    found = {}
    for base in reversed(kind.__mro__):
        found.update({name: item for name, item in vars(base).items() if isinstance(item, types.MemberDescriptorType)})
    return found


def _state(value: object, kind: type) -> dict[str, Any]:
    """All that the instance holds, in slots or in its dictionary, without what cached_property can compute again."""
    state = {}
    for name, slot in _slots(kind).items():
        try:
            state[name] = slot.__get__(value)
        except AttributeError:
            continue  # never set
    state.update(getattr(value, "__dict__", {}))
    return {name: item for name, item in state.items() if not _is_cached_property(kind, name)}


def _is_cached_property(kind: type, name: str) -> bool:
    return isinstance(next((vars(b)[name] for b in kind.__mro__ if name in vars(b)), None), functools.cached_property)


def _dataclass(w: Writer, value: Any) -> str:
    kind = type(value)
    state = _state(value, kind)
    fields = {field.name: state.pop(field.name) for field in dataclasses.fields(value) if field.name in state}
    others = w.fields(state) if state else None
    return tagged("dataclass", t=quoted(name_of(kind)), v=w.fields(fields), others=others)


def _read_dataclass(reader: Reader, record: Record) -> Any:
    kind = find_class(record["t"], _is_storable_dataclass)
    stored, state, missing = record["v"], {}, []
    for field in dataclasses.fields(kind):
        if field.name in stored:
            state[field.name] = stored[field.name]
        elif field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING:
            state[field.name] = _default_of(kind, field)
        elif field.init:
            missing.append(field.name)
    _refuse_missing(record["t"], missing)
    state.update(record.get("others") or {})
    made, slots = object.__new__(kind), _slots(kind)
    for name, item in state.items():
        if name in slots:
            slots[name].__set__(made, item)
        elif hasattr(made, "__dict__"):
            made.__dict__[name] = item  # not setattr: frozen, or a property with a setter
    return made


def _default_of(kind: Any, field: dataclasses.Field[Any]) -> Any:
    """The default that the class has now, for a record of before it had the field."""
    pydantic_field = getattr(kind, "__pydantic_fields__", {}).get(field.name)
    if pydantic_field is not None:
        return pydantic_field.get_default(call_default_factory=True, validated_data={})
    make: Any = field.default_factory
    return make() if field.default is dataclasses.MISSING else field.default


def _refuse_missing(name: str, missing: list[str]) -> None:
    if missing:
        raise RecordOutdated(shown(name), f"it has no {', '.join(missing)}; give the new fields defaults")


# Pydantic models. That one arrives, or is found, means that pydantic is loaded.


def _model(w: Writer, value: Any) -> str:
    kind = type(value)
    fields = {name: item for name, item in value.__dict__.items() if name in kind.__pydantic_fields__}
    names = [name for name in fields if name in value.__pydantic_fields_set__]
    extra, private = value.__pydantic_extra__, value.__pydantic_private__
    return tagged(
        "model",
        **_model_name(kind),
        v=w.fields(fields),
        set=w.items(names) if len(names) != len(fields) else None,
        extra=w.fields(extra) if extra else None,
        private=w.fields(private) if private else None,
    )


def _read_model(reader: Reader, record: Record) -> Any:
    kind = _find_model(record)
    stored, state, missing = record["v"], {}, []
    for name, field in kind.__pydantic_fields__.items():
        if name in stored:
            state[name] = stored[name]
        elif field.is_required():
            missing.append(name)
        else:
            state[name] = field.get_default(call_default_factory=True, validated_data=state)
    _refuse_missing(record["t"], missing)
    order = {name: state[name] for name in [*stored, *state] if name in state}
    extra = dict(record.get("extra") or {}) if kind.model_config.get("extra") == "allow" else None
    made = object.__new__(kind)
    _set_attribute(made, "__dict__", order)
    _set_attribute(made, "__pydantic_fields_set__", {n for n in record.get("set", stored) if n in state} | set(extra or ()))
    _set_attribute(made, "__pydantic_extra__", extra)
    _set_attribute(made, "__pydantic_private__", _private(kind, record.get("private") or {}))
    return made


def _private(kind: Any, stored: dict[str, Any]) -> dict[str, Any] | None:
    if not kind.__private_attributes__:
        return None
    from pydantic_core import PydanticUndefined

    state = {name: attribute.get_default() for name, attribute in kind.__private_attributes__.items() if name not in stored}
    return {**stored, **{name: item for name, item in state.items() if item is not PydanticUndefined}}


def _model_name(kind: Any) -> dict[str, str | None]:
    """A generic model is made when its parameters are named, so after a restart it may exist in parts only: write them."""
    generic = kind.__pydantic_generic_metadata__
    if generic["origin"]:
        of = [_annotation_name(argument) for argument in generic["args"]]
        if None not in of:
            return {"t": quoted(name_of(generic["origin"])), "of": f"[{','.join(map(str, of))}]"}
    return {"t": quoted(name_of(kind)), "of": None}


def _annotation_name(annotation: Any) -> str | None:
    origin = typing.get_origin(annotation)
    if isinstance(annotation, type) and origin is None:
        if getattr(annotation, "__pydantic_generic_metadata__", {}).get("origin"):
            parts = _model_name(annotation)
            return tagged("type", **parts) if parts["of"] else None
        return quoted(name_of(annotation))
    if origin is typing.Union or isinstance(origin, type):
        of = [_annotation_name(argument) for argument in typing.get_args(annotation)]
        name = "typing:Union" if origin is typing.Union else name_of(origin)
        return None if None in of else tagged("type", t=quoted(name), of=f"[{','.join(map(str, of))}]")
    return quoted("typing:Any") if annotation is Any else None


def _find_annotation(name: Any) -> Any:
    if not isinstance(name, str):
        return name  # a record, read already
    return Any if name == "typing:Any" else find_class(name, lambda kind: True)


def _read_type(reader: Reader, record: Record) -> Any:
    of = tuple(_find_annotation(name) for name in record["of"])
    if record["t"] == "typing:Union":
        return typing.Union[of]  # noqa: UP007 (made at run time)
    if record["t"] == "types:UnionType":  # to pydantic, Box[int | None] and Box[Optional[int]] are two classes
        return functools.reduce(operator.or_, of)
    return find_class(record["t"], _is_generic)[of]


def _find_model(record: Record) -> Any:
    kind = find_class(record["t"], _is_model)
    of = record.get("of")
    return kind[tuple(_find_annotation(name) for name in of)] if of else kind


# References, exceptions, pydantic's own types


def _reference(w: Writer, value: Any) -> str:
    name = f"{value.__module__}:{value.__qualname__}"
    if not (is_remembered(value) or _is_found(value, name)):
        raise refusal(value, "a function or class is stored by its name, and this one has none; define it at the top level")
    return tagged("ref", t=quoted(name))


def _is_found(value: Any, name: str) -> bool:
    module = sys.modules.get(value.__module__)
    try:
        found = functools.reduce(getattr, value.__qualname__.split("."), module)
    except AttributeError:
        return False
    if found is not value:
        return False
    name_of(value)
    return True


def _builtin_function(w: Writer, value: Any) -> str:
    if value.__self__ is not None and not isinstance(value.__self__, types.ModuleType):
        raise refusal(value, "it is a method bound to an object; pass the object instead")
    return _reference(w, value)


def _exception(w: Writer, value: BaseException) -> str:
    return tagged("exception", t=quoted(type(value).__name__), v=w.part(list(value.args), ".args"))


def _read_exception(reader: Reader, record: Record) -> BaseException:
    kind = vars(builtins).get(record["t"])
    if kind is None or not _is_builtin_exception(kind):
        raise TypeNotLoaded(str(record["t"]))
    return kind(*record["v"])


def _url(w: Writer, value: Any) -> str:
    return tagged("url", t=quoted(type(value).__name__), v=w.text(str(value)))


def _read_url(reader: Reader, record: Record) -> Any:
    from pydantic import networks

    kind = vars(networks).get(record["t"])
    if not (isinstance(kind, type) and _is_url(kind)):
        raise TypeNotLoaded(f"pydantic.networks.{record['t']}")
    return kind(record["v"])


# Kinds


def _is_enum(kind: type) -> bool:
    return Enum in kind.__mro__


def _is_namedtuple(kind: type) -> bool:
    return tuple in kind.__mro__ and isinstance(getattr(kind, "_fields", None), tuple) and hasattr(kind, "_field_defaults")


def _is_storable_dataclass(kind: type) -> bool:
    if "__dataclass_fields__" not in {name for base in kind.__mro__ for name in vars(base)}:
        return False
    # One that extends a builtin (list, Exception) holds more than its fields, and object.__new__ cannot make it.
    return all(base is object or base.__flags__ & 1 << 9 or base in (typing.Generic, typing.Protocol) for base in kind.__mro__)


def _is_model(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic.main")
    return pydantic is not None and pydantic.BaseModel in kind.__mro__


def _is_generic(kind: type) -> bool:
    return _is_model(kind) or kind.__module__ in ("builtins", "collections", "collections.abc")


def _is_builtin_exception(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__module__ == "builtins" and BaseException in kind.__mro__


def _is_url(kind: type) -> bool:
    return kind.__module__ == "pydantic.networks" and hasattr(kind, "unicode_string")


def _family(is_kind: Any, encoder: Encoder) -> Any:
    return lambda kind: encoder if is_kind(kind) else None


ENCODERS: dict[type, Encoder] = {
    types.FunctionType: _reference,
    types.BuiltinFunctionType: _builtin_function,
    type: _reference,
}

FAMILIES = [_family(_is_enum, _enum), _family(_is_model, _model)]
LATE_FAMILIES = [
    _family(_is_storable_dataclass, _dataclass),
    _family(_is_namedtuple, _namedtuple),
    _family(lambda kind: issubclass(kind, type), _reference),
    _family(_is_builtin_exception, _exception),
    _family(_is_url, _url),
]

DECODERS = {
    "enum": _read_enum,
    "flag": _read_flag,
    "namedtuple": _read_namedtuple,
    "dataclass": _read_dataclass,
    "model": _read_model,
    "type": _read_type,
    "ref": lambda reader, record: find_reference(record["t"]),
    "exception": _read_exception,
    "url": _read_url,
}
