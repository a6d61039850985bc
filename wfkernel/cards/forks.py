"""Forking a run with other arguments: the form for them, with what they are now, and what to make of an answer."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from wfkernel.core.history import History
from wfkernel.engine import queries
from wfkernel.errors import InvalidArguments, RunNotFound
from wfkernel.model import forms
from wfkernel.model.beginning import begun, text_of
from wfkernel.model.shown import shown
from wfkernel.run import Run

_EMPTY = inspect.Parameter.empty
_VALUE = 400  # characters
_MOST = 20_000  # characters of a value that is worth editing in a form


def form(run: Run) -> dict[str, Any]:
    """The form for the arguments of a run, each field with what it is now.

    An argument that has no JSON is shown and kept: ``{"kind": "kept", "text": ...}``.

    Raises:
        DefinitionError: its workflow is not defined here, so it cannot be forked.
    """
    values = _arguments(run)
    fields = []
    for name, parameter in _parameters(run).items():
        if name in values:
            described = _field(parameter, values[name])
        else:  # a parameter that came after the run was started
            described: dict[str, Any] = forms.describe(_annotation(parameter))
            if parameter.default is _EMPTY:
                described["required"] = True
        described.setdefault("title", name)
        fields.append({**described, "name": name})
    return {"kind": "object", "fields": fields}


def fork(run: Run, from_step: int | None, changed: dict[str, Any], unset: Any = (), *, _request: str | None = None) -> Run:
    """Fork ``run`` with the arguments that an answer changes.

    Args:
        run: the run.
        from_step: its steps before this one are taken over; None takes over all.
        changed: JSON values by parameter.
        unset: parameters whose fields were emptied: they get their default.

    Raises:
        InvalidArguments: they do not fit their types; ``fields`` says which.
    """
    if not changed and not unset:
        return run._manager.fork(run, from_step=from_step, _request=_request)
    parameters = _parameters(run)
    args, errors = {}, []
    for name in unset:
        if parameters[name].default is _EMPTY:
            errors.append({"loc": [name], "msg": "Field required"})
        else:
            args[name] = parameters[name].default
    for name, value in changed.items():
        try:
            args[name] = forms.validated(_annotation(parameters[name]), value)
        except ValidationError as exc:
            errors.extend({**e, "loc": [name, *e["loc"]]} for e in forms.errors(exc))
    if errors:
        refused = InvalidArguments("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in errors))
        refused.fields = errors
        raise refused
    return run._manager.fork(run, from_step=from_step, args=args, _request=_request)


def _parameters(run: Run) -> dict[str, inspect.Parameter]:
    """Those that a form can ask for; ``*args`` and ``**kwargs`` stay as they are."""
    workflow = run._manager._engine.recovery.resolve_workflow(run.name)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p for p in workflow.signature.parameters if p.kind not in variadic}


def _arguments(run: Run) -> dict[str, Any]:
    engine = run._manager._engine
    row = queries.created(engine.journal, run._key)
    if row is None:
        raise RunNotFound(run.id)
    args = History.of([row]).header["args"]
    return engine.outcomes.value(args) if args else {}


def _annotation(parameter: inspect.Parameter) -> Any:
    return None if parameter.annotation is _EMPTY else parameter.annotation


def _field(parameter: inspect.Parameter, value: Any) -> dict[str, Any]:
    """The field of one parameter, which begins with its value."""
    annotation = _annotation(parameter)
    try:
        now = _as_json(annotation, value)
        if len(text_of(now)) > _MOST:
            raise ValueError
    except Exception:  # bytes that are no text, an object of the user's: whatever has no JSON
        return {"kind": "kept", "text": shown(value, limit=_VALUE)}
    described = begun(forms.describe(annotation), now)
    if parameter.default is _EMPTY:
        described["required"] = True
    return described


def _as_json(annotation: Any, value: Any) -> Any:
    """JSON that reads back as the value: who changes a part of it sends the rest as it was.

    Raises:
        Exception: it has none; the type's own serializers may raise what they like.
    """
    if annotation is None or annotation is Any:
        return to_jsonable_python(value)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except Exception:  # pydantic cannot use the type
        return to_jsonable_python(value)
    now = adapter.dump_python(value, mode="json", by_alias=True, round_trip=True, warnings="error")
    if adapter.validate_json(text_of(now)) != value:  # a secret is dumped as stars, a tuple in an Any as a list
        raise ValueError
    return now
