"""The routes of one server, put together."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from wfkernel.web import api, approving, inbox, pages
from wfkernel.web.guards import guarded
from wfkernel.web.html import page
from wfkernel.web.openapi import document
from wfkernel.web.refusals import Json, Refused
from wfkernel.web.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request

_WORDS = {404: "there is no such page", 405: "this cannot be asked for in this way"}


def app_for(site: Site) -> Any:
    """The ASGI app of a site."""

    async def described(request: Request) -> Response:
        return Response(_description(), media_type=Json.media_type)  # made once, and so not counted

    routes = [
        *api.routes(site),
        *inbox.routes(site),
        *approving.routes(site),
        *pages.routes(site),
        Route("/openapi.json", described),
    ]
    # Starlette's types want handlers of Exception; it calls each with its own kind.
    handlers: Any = {Refused: _refused, HTTPException: _http, Exception: _broken}
    return guarded(Starlette(routes=routes, exception_handlers=handlers), site)


@cache
def _description() -> bytes:
    return bytes(Json(document()).body)


async def _refused(request: Request, no: Refused) -> Response:
    if _is_for_a_person(request):
        body = f'<main id="main" class="narrow"><h1>{no.status}</h1><p>{escape(str(no))}</p></main>'
        answer: Response = page("wfkernel", body, view="message", status=no.status)
    else:
        answer = Json(no.body(), no.status)
    answer.headers.update(no.headers)
    return answer


async def _http(request: Request, exc: HTTPException) -> Response:
    message = _WORDS.get(exc.status_code, exc.detail)
    return await _refused(request, Refused(exc.status_code, "HTTPError", message, headers=dict(exc.headers or {})))


async def _broken(request: Request, exc: Exception) -> Response:
    """Starlette raises it again after this, for the guard to log."""
    return await _refused(request, Refused(500, "InternalError", "something went wrong here; the server's log says what"))


def _is_for_a_person(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
