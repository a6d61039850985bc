"""Around every request: a time limit, the name it was sent to, the headers of the answer, and no traceback."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from wfkernel.web.refusals import Json, Refused
from wfkernel.web.site import Site

logger = logging.getLogger("wfkernel.web")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",  # the address of an approval link is what lets one in
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def guarded(app: Any, site: Site) -> Any:
    """The app as it may be shown to a network."""

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        has_begun = False

        async def send_dressed(message: Any) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                MutableHeaders(scope=message).update({**HEADERS, **_kept(message)})
            await send(message)

        try:
            async with asyncio.timeout(site.limits.request_s):
                if not site.is_ours(Headers(scope=scope).get("host", "")):
                    wrong = Refused(421, "WrongHost", "this server is not asked for by that name")
                    await Json(wrong.body(), 421)(scope, receive, send_dressed)
                    return
                await app(scope, receive, send_dressed)
        except TimeoutError:
            if not has_begun:
                await Json(Refused(503, "Timeout", "this took too long").body(), 503)(scope, receive, send_dressed)
        except Exception:
            # Without the path, which may be a link: what a log says can be read by others.
            logger.exception("a request of the web page failed")
            if not has_begun:
                await Json(Refused(500, "InternalError", "something went wrong here").body(), 500)(scope, receive, send_dressed)

    return guard


def _kept(message: Any) -> dict[str, str]:
    """What an answer says itself: our own static files may be kept."""
    said = Headers(raw=message["headers"])
    return {"Cache-Control": said["cache-control"]} if "cache-control" in said else {}
