"""What the fields of a form begin with, from the type's defaults or from a value: each is told the JSON text of its part."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from wfkernel.model.jsontext import dumps

_FROM_TEXT: dict[str, Any] = {
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
}
_FITS_MUCH = ("text", "json")  # among the variants of a union, these come last


def text_of(value: Any) -> str:
    """JSON text of a value. An infinite number is written as a string, which pydantic reads as a float: it has no JSON.

    >>> text_of([1.0, float("inf")])
    '[1.0,"Infinity"]'
    """
    return dumps(_finite(value))


def begun(form: dict[str, Any], value: Any, word: str = "now") -> dict[str, Any]:
    """The form, which begins with a value.

    Args:
        form: as ``forms.describe`` made it.
        value: as pydantic dumps it for JSON.
        word: "default" if the type itself has this value for what is left out, "now" if it is only known here. What it consists
            of is "now" in either case: who changes a part sends the whole.
    """
    if form.get("secret"):  # what pydantic dumps of it are stars
        return form
    form = {**form, word: text_of(value)}
    kind = form["kind"]
    if kind == "object" and isinstance(value, dict):
        form["fields"] = [begun(f, value[f["name"]]) if f["name"] in value else f for f in form["fields"]]
    elif kind == "list" and isinstance(value, list):
        form["items"] = [begun(form["item"], v) for v in value]
    elif kind == "datetime" and isinstance(value, str) and _fits(form, value):
        form["zone"] = "naive" if datetime.fromisoformat(value).tzinfo is None else "aware"
    elif kind == "union":
        _choose(form, value)
    return form


def _choose(form: dict[str, Any], value: Any) -> None:
    """Which variant it is: the first that fits, where more than one does, and says more than that it is text."""
    fitting = [n for n, v in enumerate(form["variants"]) if _fits(v, value)]
    if fitting:
        form["chosen"] = min(fitting, key=lambda n: form["variants"][n]["kind"] in _FITS_MUCH)
        form["variants"] = [begun(v, value) if n == form["chosen"] else v for n, v in enumerate(form["variants"])]


def _fits(form: dict[str, Any], value: Any) -> bool:
    kind = form["kind"]
    if value is None and form.get("nullable"):
        return True
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "text":
            return isinstance(value, str)
        case "date" | "datetime" | "time" | "decimal":
            return isinstance(value, str) and _reads(_FROM_TEXT[kind], value)
        case "const":
            return form["value"] == text_of(value)
        case "choice":
            return text_of(value) in [option["value"] for option in form["options"]]
        case "list":
            return isinstance(value, list) and all(_fits(form["item"], v) for v in value)
        case "object":
            return isinstance(value, dict) and _are_fields(form["fields"], value)
        case "union":
            return any(_fits(v, value) for v in form["variants"])
        case _:
            return True


def _reads(read: Any, text: str) -> bool:
    try:
        read(text)
    except (ValueError, InvalidOperation):
        return False
    return True


def _are_fields(fields: list[dict[str, Any]], value: dict[str, Any]) -> bool:
    by_name = {f["name"]: f for f in fields}
    must = {name for name, f in by_name.items() if f.get("required")}
    return must <= value.keys() <= by_name.keys() and all(_fits(by_name[name], v) for name, v in value.items())


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
