"""The OpenAPI 3.1 document, from the same pydantic models that check the requests."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from wfkernel.model.records import Failure, Page, PlanItem, RunRecord, RunStatus, StepRecord
from wfkernel.web.api import EXPOSED, Exposed

if TYPE_CHECKING:
    from pydantic import BaseModel

_REF = "#/components/schemas/{model}"
_RECORDS: dict[str, tuple[type[BaseModel], bool]] = {  # by operation: the model of its result, and whether it is a list of them
    "run": (RunRecord, False),
    "status": (RunStatus, False),
    "list": (Page[RunRecord], False),
    "list_steps": (Page[StepRecord], False),
    "steps": (StepRecord, True),
    "plan": (PlanItem, True),
    "list_failures": (Failure, True),
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}, "facts": {"type": "object"}},
        }
    },
}
_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "a request whose key came within a day, of the same token, is not done again; unless its run was cleaned up since",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}
_SIGNATURE: dict[str, Any] = {
    "name": "X-Signature-256",
    "in": "header",
    "description": "sha256= and the HMAC-SHA256 of the body in hexadecimal, for tokens that were made with signed=True",
    "schema": {"type": "string"},
}


@cache
def document() -> dict[str, Any]:
    """The description of all that ``/api`` and ``/events`` take and give."""
    asked: list[Any] = [(e.params, "validation") for e in EXPOSED.values()]
    given: list[Any] = [(model, "serialization") for model, _ in _RECORDS.values()]
    refs, schemas = models_json_schema(list(dict.fromkeys(asked + given)), ref_template=_REF)
    paths: dict[str, Any] = {}
    for name, exposed in EXPOSED.items():
        params = refs[(exposed.params, "validation")]
        paths[f"/api/{name}"] = {
            method.lower(): _operation(exposed, method, params, schemas["$defs"], _result(name, refs))
            for method in exposed.methods
        }
    paths["/events/{run_id}/{event}"] = {
        "post": _webhook("Send an event, by name to a run.", "webhook_by_name", "run_id", "event")
    }
    paths["/events/{event_id}"] = {"post": _webhook("Send an event by its id.", "webhook_by_id", "event_id")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "wfkernel", "version": version("wfkernel"), "description": "The runs of one journal."},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _result(name: str, refs: Any) -> dict[str, Any]:
    found = _RECORDS.get(name)
    if found is None:
        return {}
    ref = refs[(found[0], "serialization")]
    return {"type": "array", "items": ref} if found[1] else ref


def _operation(exposed: Exposed, method: str, params: Any, schemas: Any, result: Any) -> dict[str, Any]:
    doc = exposed.operation.doc.strip()
    said: dict[str, Any] = {
        "operationId": exposed.operation.name if method == "POST" else f"get_{exposed.operation.name}",
        "summary": doc.splitlines()[0] if doc else exposed.operation.name,
        "description": f"Scope: {exposed.scope}.",
        "tags": [exposed.scope],
        "responses": _responses({"type": "object", "required": ["result"], "properties": {"result": result}}),
    }
    if method == "POST":
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": params}}}
        if exposed.scope != "read":
            said["parameters"] = [_KEY]
    else:
        said["parameters"] = _in_query(schemas[params["$ref"].rpartition("/")[2]])
    return said


def _in_query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(part)}
        for name, part in schema.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query cannot say null: it leaves the parameter out."""
    variants = [v for v in schema.get("anyOf", []) if v.get("type") != "null"]
    rest = {k: v for k, v in schema.items() if k not in ("anyOf", "default") or (k == "default" and v is not None)}
    return {**rest, **variants[0]} if len(variants) == 1 else schema


def _webhook(summary: str, name: str, *in_path: str) -> dict[str, Any]:
    path = [{"name": n, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for n in in_path]
    return {
        "operationId": name,
        "summary": summary,
        "description": "Scope: events. The body is the event's value.",
        "tags": ["events"],
        "parameters": [*path, _KEY, _SIGNATURE],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": _responses({"type": "object", "required": ["result"], "properties": {"result": {"type": "null"}}}),
    }


def _responses(schema: dict[str, Any]) -> dict[str, Any]:
    error = {
        "description": "It was not done; the error says why.",
        "content": {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}},
    }
    return {"200": {"description": "Done.", "content": {"application/json": {"schema": schema}}}, "default": error}
