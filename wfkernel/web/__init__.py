"""The web page, the JSON API, the approval links and the webhooks of one journal. Nothing listens unless ``serve`` is called.

    asking.py     how the web reaches the journal: one function, local or over the socket
    vault.py      what is kept beside the journal: the signing key, tokens (hashed), links that are over
    tokens.py     bearer tokens with scopes
    links.py      approval links: signed text, and nothing else; pure
    approvals.py  ``run.approval_url`` and ``wf.revoke_approval``
    limits.py     sizes, rates, JSON that is not too deep
    refusals.py   every error, as a status and a sentence
    site.py       what all requests of one server share: hosts, sessions, limits
    access.py     who asks, and what they may do
    guards.py     around every request: headers, host, time
    api.py        the operations of ``control.operations`` as HTTP; openapi.py describes them
    inbox.py      webhooks: POST /events/…
    pages.py      what a browser sees; approving.py the page behind an approval link
    html.py       pages as text, everything escaped
    app.py        puts the routes together
    running.py    uvicorn on a thread of its own

starlette and uvicorn are imported only when something is served: ``pip install wfkernel[web]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfkernel.web.asking import Ask, asking, local, remote
from wfkernel.web.tokens import create_token, list_tokens, revoke_token

if TYPE_CHECKING:
    from wfkernel.web.running import Serving

__all__ = ["Ask", "Serving", "asking", "create_token", "list_tokens", "local", "remote", "revoke_token", "serve"]


def __getattr__(name: str) -> Any:
    if name in ("serve", "Serving"):
        from wfkernel.web import running  # needs the extra

        return getattr(running, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
