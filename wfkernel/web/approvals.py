"""``run.approval_url`` and ``wf.revoke_approval``: links are made and revoked here; the server only reads them."""

from __future__ import annotations

import re
import secrets
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from wfkernel.errors import ControlError, InvalidArguments, OptionError
from wfkernel.manager import WorkflowManager
from wfkernel.model.events import Event
from wfkernel.model.policy import seconds
from wfkernel.web import links
from wfkernel.web.asking import asking
from wfkernel.web.vault import Vault

WEEK = timedelta(days=7)
_LONGEST_S = 366 * 86400.0
_LONGEST_ID = "e" * 64  # of an event, and more than they have
_ID = re.compile(r"[\w-]{16}", re.ASCII)  # as token_urlsafe(12) makes them
PATH = "/approve/"


def approval_url(
    manager: WorkflowManager, run_id: str, event: Event[Any] | str, *, expires: timedelta | float = WEEK, base: str | None = None
) -> str:
    """A link to the form of one event; see ``Run.approval_url``."""
    name = event.name if isinstance(event, Event) else event
    if not isinstance(name, str) or not name:
        raise InvalidArguments(f"an event is an Event, its name or its id, not {event!r}")
    left = seconds(expires, "expires")
    if not 0 < left <= _LONGEST_S:
        raise OptionError(f"expires must be between now and a year from now, in seconds or as a timedelta, not {expires!r}")
    vault = Vault.of(manager)
    base = base if base is not None else vault.server()
    if base is None:
        raise ControlError("nothing serves this journal, so no link leads anywhere: call wf.serve(), or say base='https://…'")
    if not _is_address(base):
        raise OptionError(f"base must be an address such as 'https://approve.example.org', not {base!r}")
    expires_at, link_id = int(time.time() + left), secrets.token_urlsafe(12)
    _signed(links.Link(run_id, name, _LONGEST_ID, expires_at, link_id), vault.key)  # before an event is created
    link = links.Link(run_id, *_event_of(manager, run_id, name), expires_at, link_id)
    return base.rstrip("/") + PATH + _signed(link, vault.key)


def _signed(link: links.Link, key: bytes) -> str:
    text = links.signed(link, key)
    if len(text) > links.LONGEST:
        raise InvalidArguments(f"the name of event {link.event[:40] + ' …'!r} is too long for a link, or the run's id is")
    return text


def _is_address(base: str) -> bool:
    try:
        parts = urlsplit(base)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _event_of(manager: WorkflowManager, run_id: str, name: str) -> tuple[str, str]:
    """Name and id of the event: of the oldest await that is for it now, else of an event that the next such await will take."""
    for waited in asking(manager)("awaited", {"run": run_id}):
        if name in (waited["event"], waited["event_id"]):
            return waited["event"], waited["event_id"]
    return name, manager.create_event(name, run=run_id)


def revoke_approval(manager: WorkflowManager, url_or_id: str) -> None:
    """Make a link count no more; see ``WorkflowManager.revoke_approval``."""
    if not isinstance(url_or_id, str) or not url_or_id:
        raise InvalidArguments(f"a link is its URL or its id, not {url_or_id!r}")
    vault, now = Vault.of(manager), time.time()
    text = urlsplit(url_or_id).path.rpartition("/")[2] if "://" in url_or_id else url_or_id
    if "." not in text:
        if not _ID.fullmatch(text):  # which ids were given is noted nowhere: a link is known by its signature
            raise InvalidArguments(f"no link has the id {text!r}; give the link's whole URL")
        vault.end_link(text, "revoked", now, now + _LONGEST_S)
        return
    try:
        link = links.read(text, vault.key)
    except links.BadLink as exc:
        raise InvalidArguments(f"this is no approval link of this journal: {exc}") from None
    vault.end_link(link.id, "revoked", now, link.expires_at)
