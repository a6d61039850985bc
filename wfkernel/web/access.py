"""Who asks, and what they may do."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

from wfkernel.web.refusals import Refused
from wfkernel.web.site import Session, Site
from wfkernel.web.tokens import SCOPES, TokenInfo

if TYPE_CHECKING:
    from starlette.requests import Request

CSRF_HEADER = "x-csrf-token"
_SAFE = ("GET", "HEAD")


class Caller(NamedTuple):
    """Attributes:
    id: of the token or the session.
    scopes: what it may do.
    token: where it is one of the vault's.
    """

    id: str
    scopes: frozenset[str]
    token: TokenInfo | None = None


async def caller_of(request: Request, site: Site, scope: str) -> Caller:
    """
    Raises:
        Refused: 401 nobody we know, 403 may not do this, 429 too often.
    """
    header = request.headers.get("authorization")
    found = await _by_token(header, request, site) if header is not None else by_cookie(request, site)
    if found is None:
        if header is None:
            site.addresses.take(address_of(request))
        raise Refused(401, "Unauthorized", "show a token: Authorization: Bearer …", headers={"WWW-Authenticate": "Bearer"})
    site.callers.take(found.id)
    if scope not in found.scopes:
        raise Refused(403, "Forbidden", f"this needs a token of scope {scope!r}")
    return found


async def _by_token(header: str, request: Request, site: Site) -> Caller | None:
    kind, _, token = header.partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        return None
    if site.is_main(token):
        return Caller("main", frozenset(SCOPES))
    info = await site.in_thread(lambda: site.find_token(token, address_of(request)))
    return None if info is None else Caller(info.id, frozenset(info.scopes), info)


def by_cookie(request: Request, site: Site) -> Caller | None:
    """A browser's session. A cookie alone changes nothing: whatever could must also show what only our page has read."""
    session = session_of(request, site)
    if session is None:
        return None
    if request.method not in _SAFE:
        site.check_origin(request.headers)
        if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), session.csrf.encode()):
            raise Refused(403, "CrossSite", f"the header {CSRF_HEADER} is missing or wrong: reload the page")
    return Caller(f"session {session.csrf}", frozenset(SCOPES))


def session_of(request: Request, site: Site) -> Session | None:
    value = request.cookies.get(site.cookie)
    return site.session(value) if value else None


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""
