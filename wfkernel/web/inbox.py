"""Webhooks: ``POST /events/{run_id}/{event}`` and ``POST /events/{event_id}``; the body is the event's value, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from wfkernel.web.access import Caller, caller_of
from wfkernel.web.api import done
from wfkernel.web.limits import body_of, parsed
from wfkernel.web.refusals import Json, Refused
from wfkernel.web.site import Site
from wfkernel.web.tokens import is_signed_by, signing_secret

if TYPE_CHECKING:
    from starlette.requests import Request

SIGNATURE_HEADER = "x-signature-256"


def routes(site: Site) -> list[Route]:
    async def by_name(request: Request) -> Json:
        return await _take(site, request, {"run": request.path_params["run_id"], "event": request.path_params["event"]})

    async def by_id(request: Request) -> Json:
        return await _take(site, request, {"event": request.path_params["event_id"]})

    return [
        Route("/events/{run_id}/{event}", by_name, methods=["POST"]),
        Route("/events/{event_id}", by_id, methods=["POST"]),
    ]


async def _take(site: Site, request: Request, target: dict[str, Any]) -> Json:
    caller = await caller_of(request, site, "events")
    data = await body_of(request, site.limits)
    _check_signature(site, caller, request, data)
    value = parsed(data, site.limits)
    await done(site, caller, request, "send_event", {**target, "value": value, "form": True})
    return Json({"result": None})


def _check_signature(site: Site, caller: Caller, request: Request, data: bytes) -> None:
    if caller.token is None or not caller.token.is_signed:
        return
    secret = signing_secret(site.vault, caller.token.id)
    if not is_signed_by(secret, data, request.headers.get(SIGNATURE_HEADER, "")):
        raise Refused(401, "BadSignature", "this token's requests must be signed: X-Signature-256: sha256=<HMAC of the body>")
