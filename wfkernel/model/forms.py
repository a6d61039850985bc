"""What a form must ask for, made from a type's JSON schema; and what is wrong with an answer, field by field.

A description is plain JSON: ``{"kind": "object", "fields": [...]}`` and so on. ``widgets/src/form.js`` draws it. A part that no
field fits (a dict, a type that holds itself) is asked for as JSON, so every type has a form.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from wfkernel.model.jsontext import dumps

_JSON: dict[str, Any] = {"kind": "json"}
_BY_TYPE = {"boolean": "bool", "integer": "int", "number": "number", "string": "text"}
_BY_FORMAT = {"date": "date", "date-time": "datetime", "time": "time"}
_LONG_TEXT = 200  # characters: a limit above that asks for more than one line
_MOST_DEEP = 6


def describe(annotation: Any) -> dict[str, Any]:
    """The form for values of a type.

    Returns:
        A dict with ``kind`` ("bool", "int", "number", "text", "date", "datetime", "time", "choice", "object", "list", "union",
        "const" or "json") and what that kind needs; ``title``, ``help``, ``default``, ``required`` and ``nullable`` where known.

    >>> describe(bool)
    {'kind': 'bool'}
    >>> describe(int | None)
    {'kind': 'int', 'nullable': True}
    """
    if annotation is None or annotation is Any:
        return dict(_JSON)
    try:
        schema = TypeAdapter(annotation).json_schema(mode="validation")
        form = _Reader(schema.get("$defs", {})).read(schema, ())
    except Exception:  # a type that pydantic has no schema for, or a user's own schema that is unlike any other
        return dict(_JSON)
    form.pop("title", None)  # the type's own name: the form shows it apart
    return form


def type_name(annotation: Any) -> str | None:
    """How a form calls the type."""
    if annotation is None:
        return None
    is_plain = isinstance(annotation, type) and not getattr(annotation, "__args__", None)
    return annotation.__name__ if is_plain else str(annotation).replace("typing.", "")


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
        for word, key in (("title", "title"), ("description", "help"), ("default", "default")):
            if word in schema:
                form[key] = schema[word]
        if schema.get("examples"):
            form["example"] = str(schema["examples"][0])
        return form

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
            return {"kind": "const", "value": schema["const"]}
        if "enum" in schema:
            return {"kind": "choice", "options": [{"label": _label(v), "value": v} for v in schema["enum"]]}
        variants = schema.get("anyOf") or schema.get("oneOf")
        if variants:
            return self._union(variants, seen)
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, seen)
        if kind == "array":
            return self._list(schema, seen)
        if kind == "null":
            return {"kind": "const", "value": None}
        if kind not in _BY_TYPE:
            return dict(_JSON)
        return _plain(schema, kind)

    def _union(self, variants: list[Any], seen: tuple[str, ...]) -> dict[str, Any]:
        others = [v for v in variants if v.get("type") != "null"]
        nullable = {"nullable": True} if len(others) < len(variants) else {}
        forms = [self.read(v, seen) for v in others]
        if len(forms) == 1:
            return {**forms[0], **nullable}
        kinds = {f["kind"] for f in forms}
        if kinds == {"int", "number"} or kinds == {"number"}:
            return {"kind": "number", **nullable}
        if "number" in kinds and kinds <= {"int", "number", "text"}:  # Decimal: a number, or a text that is one
            return {"kind": "number", **nullable}
        if all(f["kind"] == "choice" for f in forms):
            return {"kind": "choice", "options": [o for f in forms for o in f["options"]], **nullable}
        for form in forms:
            form.setdefault("title", form["kind"])
        if nullable:
            forms.append({"kind": "const", "value": None, "title": "none"})
        return {"kind": "union", "variants": forms}

    def _object(self, schema: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        if not properties or schema.get("additionalProperties") not in (None, False):
            return dict(_JSON)
        required = set(schema.get("required", ()))
        fields = []
        for name, part in properties.items():
            form = self.read(part, seen)
            form.setdefault("title", name.replace("_", " ").capitalize())
            fields.append({"name": name, **form, **({"required": True} if name in required else {})})
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
    for word, key in (("minimum", "min"), ("maximum", "max"), ("multipleOf", "step")):
        if word in schema:
            form[key] = schema[word]
    return form


def _label(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)
