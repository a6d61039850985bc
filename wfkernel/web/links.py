"""Approval links: what one says, signed. Pure: a key and text in, text and facts out.

The text is ``<payload>.<signature>``, both base64url: the payload is a JSON list of version, run id, event name, event id, expiry
(Unix seconds) and the link's own id (96 random bits); the signature is HMAC-SHA256 over it. An event id belongs to one await of
one generation of a run, so that a link answers the question that it was made for, and no other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import NamedTuple

_VERSION = 1
LONGEST = 4096  # characters that are read
_LINK, _FORM = b"wfkernel approval link\n", b"wfkernel approval form\n"


class BadLink(ValueError):
    """The text is no link that this key signed."""


class Link(NamedTuple):
    """What an approval link says.

    Attributes:
        run_id, event, event_id: what it approves.
        expires_at: Unix seconds.
        id: of the link; ``wf.revoke_approval(id)``.
    """

    run_id: str
    event: str
    event_id: str
    expires_at: int
    id: str


def signed(link: Link, key: bytes) -> str:
    """The link as text.

    >>> read(signed(Link("r1", "approval", "e1-1.0", 1_800_000_000, "ab"), b"key"), b"key").event
    'approval'
    """
    payload = _text(json.dumps([_VERSION, *link], separators=(",", ":")).encode())
    return f"{payload}.{_text(_mac(_LINK, payload, key))}"


def read(text: str, key: bytes) -> Link:
    """
    Raises:
        BadLink: it was not signed with this key, or was changed since.
    """
    payload, _, signature = text.partition(".")
    if len(text) > LONGEST or not text.isascii():
        raise BadLink("no link is as long as this")
    if not hmac.compare_digest(_text(_mac(_LINK, payload, key)).encode(), signature.encode()):
        raise BadLink("the link was not signed here, or was changed")
    try:
        version, *said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if version != _VERSION:
            raise BadLink("the link was made by another version")
        return Link(*said)
    except (ValueError, TypeError, binascii.Error) as exc:
        raise BadLink("the link cannot be read") from exc


def form_token(link: Link, key: bytes) -> str:
    """What the page of a link must send along with the answer: nobody has it who has not read the page."""
    return _text(_mac(_FORM, link.id, key))


def _mac(what: bytes, text: str, key: bytes) -> bytes:
    return hmac.new(key, what + text.encode(), hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
