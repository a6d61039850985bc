"""The page behind an approval link: it says what is asked, and takes one answer. Looking at it changes nothing."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from wfkernel.model.jsontext import dumps
from wfkernel.web import links
from wfkernel.web.access import CSRF_HEADER, address_of
from wfkernel.web.html import page, shown, values
from wfkernel.web.limits import body_of, parsed
from wfkernel.web.links import Link
from wfkernel.web.refusals import Json, Refused
from wfkernel.web.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response

_LOOK_BACK = 50  # steps, for the one that gave something before
_USED = "was answered already"
_DONE = ("EventAlreadySent", "EventAlreadyConsumed")


def routes(site: Site) -> list[Route]:
    async def look(request: Request) -> HTMLResponse:
        try:
            link = await _link(request, site)
            return await _form(site, link)
        except Refused as no:
            return _over(no)

    async def answer(request: Request) -> Response:
        site.check_origin(request.headers)
        link = await _link(request, site)
        token = links.form_token(link, site.vault.key)
        if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), token.encode()):
            raise Refused(403, "CrossSite", "reload the page")
        said = parsed(await body_of(request, site.limits), site.limits)
        if not isinstance(said, dict) or "value" not in said:
            raise Refused(422, "InvalidArguments", 'the answer must be {"value": …}')
        await _answer(site, link, said["value"], said.get("step"))
        return Json({"result": None})

    return [Route("/approve/{link}", look), Route("/approve/{link}", answer, methods=["POST"])]


async def _link(request: Request, site: Site) -> Link:
    """
    Raises:
        Refused: 404 no link of ours, 410 it is over.
    """
    try:
        link = links.read(request.path_params["link"], site.vault.key)
    except links.BadLink:
        site.addresses.take(address_of(request))
        raise Refused(404, "NotFound", "This is no approval link, or a part of it is missing.") from None
    site.links.take(link.id)
    await _check_counts(site, link)
    return link


async def _check_counts(site: Site, link: Link) -> None:
    """
    Raises:
        Refused: 410, the link is over.
    """
    if link.expires_at <= site.now():
        at = datetime.fromtimestamp(link.expires_at, UTC)
        raise Refused(410, "Expired", f"This link expired on {at:%Y-%m-%d at %H:%M} UTC. Ask for a new one.")
    why = await site.in_thread(lambda: site.vault.why_over(link.id) or site.vault.why_over(link.event_id))
    if why is not None:
        raise Refused(410, why.capitalize(), "This link was revoked." if why == "revoked" else f"This {_USED}.")


async def _awaited(site: Site, link: Link) -> dict[str, Any]:
    """The await that the link is for.

    Raises:
        Refused: 409 or 410, with what has become of it.
    """
    run = await site.ask("run", {"run": link.run_id})
    if run["status"] == "in_progress":
        for waited in await site.ask("awaited", {"run": link.run_id}):
            if waited["event_id"] == link.event_id:
                return waited
    steps = await site.ask("list_steps", {"run": link.run_id, "order": "desc", "limit": 10_000})
    step = next((s for s in steps["items"] if s["event_id"] == link.event_id), None)
    if step is not None and step["status"] == "success":
        raise Refused(410, "Used", f"This {_USED}.")
    if step is not None and step["status"] in ("failed", "canceled"):
        raise Refused(410, "Over", "This is not asked any more: the run did not wait longer, or was canceled.")
    if run["status"] != "in_progress":
        raise Refused(410, "Over", f"This is not asked any more: the run is {run['status']}.")
    raise Refused(
        409, "NotYet", "The run does not ask this now, or has an answer that it takes when it goes on: look again later."
    )


async def _answer(site: Site, link: Link, value: Any, step: Any) -> None:
    async with site.turn(link.id):
        waited = await _awaited(site, link)
        if waited["step"] != step:
            raise Refused(409, "Changed", "The run has gone on since you opened this page: reload it, and look again.")
        await _check_counts(site, link)  # again: the body may have been long on its way
        # The value is in the token: the same answer may come twice, another one is refused, wherever it is given.
        token = site.token_of("link", link.id, dumps(value))
        try:
            await site.ask("send_event", {"event": link.event_id, "value": value, "form": True}, token=token)
        except Refused as no:
            if no.kind not in _DONE:
                raise
            raise Refused(410, "Used", f"This {_USED}.") from None
        for over in (link.id, link.event_id):  # of the event, because other links for it may be looked at before the run goes on
            await site.in_thread(partial(site.vault.end_link, over, "used", site.now(), link.expires_at))


async def _form(site: Site, link: Link) -> HTMLResponse:
    waited = await _awaited(site, link)
    run = await site.ask("run", {"run": link.run_id})
    before = await _step_before(site, link, waited["step"])
    arguments = [(name, shown(value)) for name, value in (run["args"] or {}).items()]
    at = datetime.fromtimestamp(link.expires_at, UTC)
    body = f"""<main id="main" class="narrow wf-card wf-approval">
<h1>{escape(waited["event"])}</h1>
<p>The workflow <strong>{escape(run["name"])}</strong> waits for your answer.</p>
<section aria-label="The run"><h2>Run</h2>
<dl>{values([("Id", run["run_id"]), ("Started", _moment(run["created_at"])), *arguments])}</dl></section>
{before}
<section id="answer" aria-label="Your answer"><h2>Your answer</h2></section>
<p id="said" role="status" aria-live="polite"></p>
<p class="faint">One answer counts. The link works until {at:%Y-%m-%d %H:%M} UTC.</p>
<noscript><p>Answering needs JavaScript.</p></noscript></main>"""
    asked = {k: waited[k] for k in ("event", "type", "form", "step")}
    data = {"asked": dumps(asked), "csrf": links.form_token(link, site.vault.key)}
    return page(f"{waited['event']} · {run['name']}", body, view="approve", data=data)


async def _step_before(site: Site, link: Link, number: int) -> str:
    """What the last finished step before the question gave."""
    params = {"run": link.run_id, "order": "desc", "limit": _LOOK_BACK, "cursor": str(number)}
    steps = await site.ask("list_steps", params)
    found = next((s for s in steps["items"] if s["status"] == "success"), None)
    if found is None:
        return ""
    said = values([(found["name"], shown(found["result"]))])
    return f'<section aria-label="The step before"><h2>The step before gave</h2><dl>{said}</dl></section>'


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _over(no: Refused) -> HTMLResponse:
    body = f'<main id="main" class="narrow"><h1>Nothing to answer</h1><p>{escape(str(no))}</p></main>'
    answer = page("Nothing to answer", body, view="message", status=no.status)
    answer.headers.update(no.headers)
    return answer
