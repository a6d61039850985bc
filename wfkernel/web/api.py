"""The operations of ``control.operations`` as HTTP: ``/api/<operation>``, reads by GET or POST, changes by POST.

Values are plain JSON in and as stored out (``model.values``): what a client sends is never read as a stored value, which could
name a class or, where pickles are allowed, be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError, create_model
from starlette.routing import Route

from wfkernel.control.client import as_stored
from wfkernel.control.operations import OPERATIONS, Operation, Params
from wfkernel.model.events import explain
from wfkernel.model.jsontext import dumps
from wfkernel.web.access import Caller, caller_of
from wfkernel.web.limits import Limits, body_of, parsed
from wfkernel.web.refusals import Json, Refused
from wfkernel.web.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request

LEFT_OUT = {
    "wait": "would hold a connection for as long as a run lasts: look at `status`",
    "sql": "answers in parts, and reads the user's own tables",
    "file": "has no JSON",
    "what_for": "for a second wfkernel",
}
# By name: an operation that is new elsewhere is not on the web before somebody has thought about it.
_READS = frozenset("get run status list list_steps steps workflows list_failures awaited needed_events plan verify".split())
_EVENTS = frozenset(["send_event"])
_CONTROL = frozenset("start create_event cancel restart fork cleanup resume retry_on_complete pool".split())
_ONLY_POST = frozenset(["plan", "verify"])  # they work, and from_step is a number or a name
_HIDDEN = {  # what only another wfkernel may say
    "start": frozenset(["on_complete", "is_defined", "has_context"]),
    "send_event": frozenset(["form"]),
}
_UNTRACED = frozenset("cleanup resume retry_on_complete pool".split())  # the journal does not say that they were done
_STORED = ("args", "context")
_LONGEST_PAGE = 1000
_AT_A_TIME = 100  # runs


class Exposed(NamedTuple):
    """An operation as the web has it."""

    operation: Operation
    params: type[BaseModel]
    scope: Literal["read", "events", "control"]
    methods: tuple[str, ...]


def _exposed(found: Operation) -> Exposed:
    scope = "read" if found.name in _READS else "events" if found.name in _EVENTS else "control"
    methods = ("GET", "POST") if scope == "read" and found.name not in _ONLY_POST else ("POST",)
    return Exposed(found, _public(found), scope, methods)


def _public(found: Operation) -> type[BaseModel]:
    hidden = _HIDDEN.get(found.name, frozenset())
    fields: dict[str, Any] = {n: (f.annotation, f) for n, f in found.params.model_fields.items() if n not in hidden}
    if "limit" in fields:
        fields["limit"] = (int, Field(100, ge=1, le=_LONGEST_PAGE))
    elif not hidden:
        return found.params
    return create_model(found.params.__name__, __base__=Params, __doc__=found.params.__doc__, **fields)


EXPOSED = {name: _exposed(OPERATIONS[name]) for name in sorted(_READS | _EVENTS | _CONTROL)}


def routes(site: Site) -> list[Route]:
    return [Route(f"/api/{e.operation.name}", _endpoint(site, e), methods=list(e.methods)) for e in EXPOSED.values()]


def _endpoint(site: Site, exposed: Exposed) -> Any:
    async def endpoint(request: Request) -> Json:
        caller = await caller_of(request, site, exposed.scope)
        params = await _params(request, site, exposed)
        if exposed.operation.name == "list":
            return Json({"result": await _runs(site, params)})
        return _bounded(Json({"result": await done(site, caller, request, exposed.operation.name, params)}), site.limits)

    return endpoint


async def _runs(site: Site, params: dict[str, Any]) -> dict[str, Any]:
    """A page of runs: read a few at a time, and cut short where their values are so large that it would be too much."""
    left, size = params.get("limit", 100), 0
    items: list[Any] = []
    while True:
        page = await site.ask("list", {**params, "limit": min(left, _AT_A_TIME)})
        items += page["items"]
        left -= _AT_A_TIME
        size += len(dumps(page["items"]))
        if page["is_done"] or left <= 0 or size > site.limits.answer_bytes / 4:
            return {**page, "items": items}
        params["cursor"] = page["cursor"]


def _bounded(answer: Json, limits: Limits) -> Json:
    if len(answer.body) > limits.answer_bytes:
        much = f"the answer would have {len(answer.body):,} bytes, and may have {limits.answer_bytes:,}"
        raise Refused(413, "TooLarge", f"{much}: ask for less; list_steps gives the steps of a run a page at a time (limit=…)")
    return answer


async def done(site: Site, caller: Caller, request: Request, op: str, params: dict[str, Any]) -> Any:
    """The result of an operation; one with an ``Idempotency-Key`` that was seen before is not done again."""
    key = request.headers.get("idempotency-key")
    if key is None or op in _READS:
        return await site.ask(op, params)
    if not 0 < len(key) <= 200:
        raise Refused(400, "InvalidKey", "an Idempotency-Key has 1 to 200 characters")
    token = site.token_of(caller.id, request.url.path, key)
    async with site.turn(token):
        return await site.ask(op, params, token=token, again=op not in _UNTRACED)


async def _params(request: Request, site: Site, exposed: Exposed) -> dict[str, Any]:
    try:
        if request.method == "POST":
            data = await body_of(request, site.limits)
            body = parsed(data, site.limits) if data.strip() else {}
            if not isinstance(body, dict):
                raise Refused(422, "InvalidArguments", "the body must be a JSON object of parameters")
            checked = exposed.params.model_validate(body)
        else:
            checked = exposed.params.model_validate_strings(_query(request), strict=False)
    except ValidationError as exc:
        raise Refused(422, "InvalidArguments", f"{exposed.operation.name}: {explain(exc)}") from None
    return _as_asked(exposed.operation.name, checked.model_dump(exclude_unset=True))


def _query(request: Request) -> dict[str, Any]:
    items = request.query_params.multi_items()
    if len(dict(items)) < len(items):
        raise Refused(422, "InvalidArguments", "a parameter is given twice")
    return dict(items)


def _as_asked(op: str, params: dict[str, Any]) -> dict[str, Any]:
    for name in _STORED:
        if params.get(name) is not None:
            params[name] = as_stored(params[name])  # args as a whole: else with a "$" among their names, they were a stored value
    if op == "start" and "context" in params:
        params["has_context"] = True
    if op == "send_event":
        params["form"] = True
    return params
