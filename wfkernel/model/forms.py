"""What a form must ask for, made from a type's JSON schema; and what is wrong with an answer, field by field.

A description is plain JSON: ``{"kind": "object", "fields": [...]}`` and so on. ``widgets/src/form.js`` draws it. A part that no
field fits (a dict, a type that holds itself) is asked for as JSON, so every type has a form. Values in a description are JSON
*text*, for a browser's numbers are not ours: it would make 2**60 + 1 another number, and 1.0 a whole one.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from wfkernel.model.beginning import begun, text_of
from wfkernel.model.formschema import FormSchema
from wfkernel.model.jsontext import dumps

_JSON: dict[str, Any] = {"kind": "json"}
_BY_TYPE = {"boolean": "bool", "integer": "int", "number": "number", "string": "text"}
_BY_FORMAT = {"date": "date", "date-time": "datetime", "time": "time"}
_LONG_TEXT = 200  # characters: a limit above that asks for more than one line
_MOST_DEEP = 6
_NEEDS_NONE = ("object", "list", "const", "union")  # with nothing filled in they are a value, too: None is a choice of its own


def describe(annotation: Any) -> dict[str, Any]:
    """The form for values of a type.

    Returns:
        A dict with ``kind`` ("bool", "int", "number", "decimal", "text", "date", "datetime", "time", "choice", "object", "list",
        "union", "const" or "json") and what that kind needs; ``title``, ``help``, ``required`` and ``nullable`` where known.
        ``default`` is what the type takes for a field that is left out, ``now`` what a field begins with and must send, both as
        JSON text; see ``beginning``.

    >>> describe(bool)
    {'kind': 'bool'}
    >>> describe(int | None)
    {'kind': 'int', 'nullable': True}
    """
    if annotation is None or annotation is Any:
        return dict(_JSON)
    try:
        schema = TypeAdapter(annotation).json_schema(mode="validation", schema_generator=FormSchema)
        form = _Reader(schema.get("$defs", {})).read(schema, ())
    except Exception:  # a type that pydantic has no schema for, or a user's own schema that is unlike any other
        return dict(_JSON)
    form.pop("title", None)  # the type's own name: the form shows it apart
    return form


def type_name(annotation: Any) -> str | None:
    """How a form calls the type: without the modules it comes from, and what is annotated beside it.

    >>> type_name(Annotated[float, "from 0 to 1"]), type_name(dict[str, list[float]])
    ('float', 'dict[str, list[float]]')
    """
    return None if annotation is None else _name(annotation)


def _name(part: Any) -> str:
    origin, args = get_origin(part), get_args(part)
    if origin is Annotated:
        return _name(args[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(_name(a) for a in args)
    if origin is not None and args:
        return f"{_name(origin)}[{', '.join(_name(a) for a in args)}]"
    if isinstance(part, list):  # the parameters of a Callable
        return f"[{', '.join(_name(a) for a in part)}]"
    if part is Ellipsis or part is types.NoneType:
        return "..." if part is Ellipsis else "None"
    return part.__name__ if isinstance(part, type) else str(part).replace("typing.", "")


def validated(annotation: Any, answer: Any) -> Any:
    """The answer of a form as a value of the type; pydantic's ValidationError where it does not fit."""
    if annotation is None or annotation is Any:
        return answer
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except Exception:  # pydantic cannot use the type; the event itself will judge
        return answer
    return adapter.validate_json(dumps(answer))


def errors(exc: ValidationError) -> list[dict[str, Any]]:
    """What is wrong, and where: ``[{"loc": ["guest", "age"], "msg": ...}]``."""
    return [{"loc": list(e["loc"]), "msg": _sentence(e["msg"])} for e in exc.errors(include_url=False, include_context=False)]


def _sentence(text: str) -> str:
    return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")


class _Reader:
    """Goes through a JSON schema; ``seen`` are the references on the way, so that a type that holds itself comes to an end."""

    def __init__(self, definitions: dict[str, Any]):
        self._definitions = definitions

    def read(self, schema: Any, seen: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return dict(_JSON)
        schema, seen = self._resolved(schema, seen)
        if schema is None or len(seen) > _MOST_DEEP:
            return dict(_JSON)
        form = self._shape(schema, seen)
        for word, key in (("title", "title"), ("description", "help")):
            if word in schema:
                form[key] = schema[word]
        if schema.get("examples"):
            form["example"] = str(schema["examples"][0])
        return begun(form, schema["default"], "default") if "default" in schema else form

    def _resolved(self, schema: dict[str, Any], seen: tuple[str, ...]) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        """The schema behind a reference; what stands beside the reference (a default, a title) counts more."""
        while "$ref" in schema or len(schema.get("allOf", ())) == 1:
            beside = {k: v for k, v in schema.items() if k not in ("$ref", "allOf")}
            if "$ref" in schema:
                name = schema["$ref"].rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
                if name in seen:
                    return None, seen
                seen = (*seen, name)
                schema = {**self._definitions[name], **beside}
            else:
                schema = {**schema["allOf"][0], **beside}
        return schema, seen

    def _shape(self, schema: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
        if "const" in schema:
            return {"kind": "const", "value": text_of(schema["const"])}
        if "enum" in schema:
            return {"kind": "choice", "options": _options(schema)}
        variants = schema.get("anyOf") or schema.get("oneOf")
        if variants:
            return self._union(variants, seen)
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, seen)
        if kind == "array":
            return self._list(schema, seen)
        if kind == "null":
            return {"kind": "const", "value": "null"}
        if kind not in _BY_TYPE:
            return dict(_JSON)
        return _plain(schema, kind)

    def _union(self, variants: list[Any], seen: tuple[str, ...]) -> dict[str, Any]:
        others = [v for v in variants if v.get("type") != "null"]
        nullable = {"nullable": True} if len(others) < len(variants) else {}
        forms = [self.read(v, seen) for v in others]
        if len(forms) == 1 and not (nullable and forms[0]["kind"] in _NEEDS_NONE):
            return {**forms[0], **nullable}
        if {f["kind"] for f in forms} == {"int", "number"}:
            return {"kind": "number", **nullable}
        if all(f["kind"] == "choice" for f in forms):
            return {"kind": "choice", "options": [o for f in forms for o in f["options"]], **nullable}
        if len(forms) == 1 and forms[0]["kind"] == "union":
            forms = forms[0]["variants"]
        for form in forms:
            form.setdefault("title", form["kind"])
        if nullable:
            forms.append({"kind": "const", "value": "null", "title": "none"})
        return {"kind": "union", "variants": forms, **nullable}

    def _object(self, schema: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        if not properties or schema.get("additionalProperties") not in (None, False):
            return dict(_JSON)
        required = set(schema.get("required", ()))
        fields = []
        for name, part in properties.items():
            form = self.read(part, seen)
            form.setdefault("title", name.replace("_", " ").capitalize())
            must = name in required or form["kind"] == "const"  # a const tells the variants of a union apart: it is always sent
            fields.append({"name": name, **form, **({"required": True} if must else {})})
        return {"kind": "object", "fields": fields}

    def _list(self, schema: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
        if "prefixItems" in schema or not isinstance(schema.get("items"), dict):
            return dict(_JSON)
        form: dict[str, Any] = {"kind": "list", "item": self.read(schema["items"], seen)}
        if "minItems" in schema:
            form["min"] = schema["minItems"]
        return form


def _plain(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    form: dict[str, Any] = {"kind": _BY_TYPE[kind]}
    if kind == "string":
        form["kind"] = _BY_FORMAT.get(schema.get("format", ""), "text")
        if schema.get("format") == "password":
            form["secret"] = True
        if schema.get("maxLength", 0) > _LONG_TEXT:
            form["multiline"] = True
    if schema.get("format") == "decimal":
        form["kind"] = "decimal"
    if schema.get("zone"):
        form["zone"] = schema["zone"]
    for word, key in (("minimum", "min"), ("maximum", "max"), ("multipleOf", "step")):
        if word in schema and math.isfinite(schema[word]):
            form[key] = schema[word]
    return form


def _options(schema: Mapping[str, Any]) -> list[dict[str, str]]:
    """What there is to choose from; members of an enum are called by their names."""
    values = schema["enum"]
    names = schema.get("names") or [None] * len(values)
    return [{"label": name or _label(v), "value": text_of(v)} for name, v in zip(names, values, strict=True)]


def _label(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else text_of(value)
