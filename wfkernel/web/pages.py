"""What a browser sees once it was let in: the list of runs, and a run. The pages are empty frames; ``widgets/src/web.js`` fills them."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from wfkernel.web.access import CSRF_HEADER, address_of, caller_of, session_of
from wfkernel.web.html import page, shown
from wfkernel.web.limits import body_of, parsed
from wfkernel.web.refusals import Json, Refused
from wfkernel.web.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request

_STEPS = 1000  # that a timeline shows: the latest
_VALUE = 300  # characters of one
_STATIC = {"web.js": "text/javascript", "web.css": "text/css", "icon.svg": "image/svg+xml"}
_TOP = '<header class="top"><a class="home" href="/">wfkernel</a><button id="leave" type="button">Log out</button></header>'


def routes(site: Site) -> list[Route]:
    async def runs(request: Request) -> Response:
        body = f'{_TOP}<main id="main" aria-label="Runs"><h1>Runs</h1></main>'
        return _framed(request, site, "Runs", body, "runs")

    async def run(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        body = f'{_TOP}<main id="main" aria-label="Run"></main>'
        return _framed(request, site, f"Run {run_id}", body, "run", run=run_id)

    async def run_now(request: Request) -> Response:
        await caller_of(request, site, "read")
        return _unless_known(request, Json(await _run_now(site, request.path_params["run_id"])))

    return [
        Route("/", runs),
        Route("/runs/{run_id:path}", run),
        Route("/now/{run_id:path}", run_now),
        Route("/login", _login_page),
        Route("/login", _logging_in(site), methods=["POST"]),
        Route("/logout", _logging_out(site), methods=["POST"]),
        Route("/static/{name}", _static),
    ]


def _framed(request: Request, site: Site, title: str, body: str, view: str, **data: str) -> Response:
    session = session_of(request, site)
    if session is None:
        return RedirectResponse("/login", 303)
    site.callers.take(f"session {session.csrf}")
    return page(f"{title} · wfkernel", body, view=view, data={"csrf": session.csrf, **data})


def _unless_known(request: Request, answer: Response) -> Response:
    """304 where the browser has it: a page that looks every two seconds moves little."""
    tag = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    answer.headers["ETag"] = tag
    return answer


async def _run_now(site: Site, run_id: str) -> dict[str, Any]:
    """A run as its page shows it; small, whatever its values are."""
    run = await site.ask("run", {"run": run_id})
    steps = await site.ask("list_steps", {"run": run_id, "order": "desc", "limit": _STEPS})
    is_over = run["status"] != "in_progress"
    awaited = [] if is_over else await site.ask("awaited", {"run": run_id})
    status = {} if is_over else await site.ask("status", {"run": run_id})
    return {
        "run": {
            **{k: run[k] for k in ("run_id", "name", "status", "created_at", "completed_at", "generation", "parent_run_id")},
            "args": [[name, shown(value, _VALUE)] for name, value in (run["args"] or {}).items()],
            "result": None if run["result"] is None else shown(run["result"], _VALUE),
            "error": _error(run["error"]),
            "waiting_for": status.get("waiting_for"),
        },
        "steps": [_step(s) for s in reversed(steps["items"])],
        "is_cut": not steps["is_done"],
        "awaited": awaited,
    }


def _step(step: dict[str, Any]) -> dict[str, Any]:
    kept = "step_number name kind status attempts scheduled_at started_at completed_at child_run_id".split()
    return {
        **{k: step[k] for k in kept},
        "args": None if step["args"] is None else shown(step["args"], _VALUE),
        "result": None if step["result"] is None else shown(step["result"], _VALUE),
        "error": _error(step["error"]),
    }


def _error(error: dict[str, Any] | None) -> str | None:
    return None if error is None else f"{error['type']}: {error['message']}"[:_VALUE]


# -- coming and going --


async def _login_page(request: Request) -> HTMLResponse:
    body = """<main id="main" class="narrow"><h1>wfkernel</h1>
<p>Open the link that the server printed, or give its token.</p>
<form id="login"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required>
<button type="submit" class="primary">Log in</button><p class="error" role="alert" hidden></p></form>
<noscript><p>This page needs JavaScript.</p></noscript></main>"""
    return page("Log in · wfkernel", body, view="login")


def _logging_in(site: Site) -> Any:
    async def log_in(request: Request) -> Response:
        """By POST only: what looks at a link in advance does not use it up. The code is in the link's fragment, which is not sent."""
        site.check_origin(request.headers)  # first: what any page can send must not be what keeps the user out
        site.logins.take(address_of(request))
        said = parsed(await body_of(request, site.limits), site.limits)
        if not isinstance(said, dict) or not _is_let_in(site, said):
            raise Refused(401, "Unauthorized", "this does not let you in: the link was used or is old, or the token is wrong")
        answer = Json({"result": None})
        answer.set_cookie(site.cookie, site.new_session(), httponly=True, samesite="strict", secure=site.is_secure)
        return answer

    return log_in


def _is_let_in(site: Site, said: dict[str, Any]) -> bool:
    code, token = said.get("code"), said.get("token")
    if isinstance(code, str):
        return site.use_code(code)
    return isinstance(token, str) and site.is_main(token)


def _logging_out(site: Site) -> Any:
    async def log_out(request: Request) -> Response:
        session = session_of(request, site)
        if session is None or request.headers.get(CSRF_HEADER) != session.csrf:
            raise Refused(403, "CrossSite", "reload the page")
        site.check_origin(request.headers)
        site.end_session(request.cookies[site.cookie])
        answer = Json({"result": None})
        answer.delete_cookie(site.cookie, httponly=True, samesite="strict", secure=site.is_secure)
        return answer

    return log_out


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise Refused(404, "NotFound", "there is no such page")
    content = files("wfkernel").joinpath("static", name).read_bytes()
    return Response(content, media_type=_STATIC[name], headers={"Cache-Control": "no-cache"})
