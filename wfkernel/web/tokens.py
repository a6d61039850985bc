"""Bearer tokens of the API: each may do what its scopes say. Only a hash is kept; the token itself is shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wfkernel.errors import OptionError
from wfkernel.web.vault import Vault

SCOPES = ("read", "events", "control")
"""Look at runs; send events; everything that changes a run."""
_PREFIX = "wf"


class NewToken(NamedTuple):
    """A token, seen this once.

    Attributes:
        id: what it is called in ``list_tokens``, and what revokes it.
        token: goes into the header ``Authorization: Bearer …``.
        secret: with which its webhooks are signed, in the header ``X-Signature-256``; None where they need not be.
    """

    id: str
    token: str
    secret: str | None

    def __repr__(self) -> str:
        return f"<NewToken {self.id}; .token shows it>"  # the output of a cell is saved with the notebook


class TokenInfo(NamedTuple):
    """What is known of a token."""

    id: str
    name: str
    scopes: tuple[str, ...]
    is_signed: bool
    created_at: datetime


def create_token(manager: Any, *, name: str = "", scopes: Iterable[str] = ("read",), signed: bool = False) -> NewToken:
    """A new bearer token for the journal's API; it counts at once, for every server of this journal, until it is revoked.

    Args:
        manager: a manager, or the path of its journal.
        name: what it is for.
        scopes: of "read", "events" and "control".
        signed: its webhooks must also carry a signature.

    Raises:
        OptionError: there is no such scope.
    """
    if isinstance(scopes, str):
        scopes = (scopes,)
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted or not set(wanted) <= set(SCOPES):
        raise OptionError(f"scopes must be some of {', '.join(SCOPES)}, not {', '.join(map(repr, wanted)) or 'none'}")
    vault = Vault.of(manager)
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    token = f"{_PREFIX}_{token_id}_{secret}"
    with vault.transaction() as db:
        row = [token_id, _hash(token), name, " ".join(wanted), signed, time.time()]
        db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", row)
    return NewToken(token_id, token, signing_secret(vault, token_id) if signed else None)


def list_tokens(manager: Any) -> list[TokenInfo]:
    """The tokens that count, oldest first."""
    return [_info(row) for row in Vault.of(manager).read("SELECT * FROM tokens ORDER BY created_at")]


def revoke_token(manager: Any, token: str) -> bool:
    """Make a token count no more, by its id or by itself: whether there was one."""
    token_id = _id_in(token) or token
    with Vault.of(manager).transaction() as db:
        return db.execute("DELETE FROM tokens WHERE id = ?", [token_id]).rowcount > 0


def find_token(vault: Vault, token: str) -> TokenInfo | None:
    """The token that was shown, if it counts."""
    token_id = _id_in(token)
    rows = vault.read("SELECT * FROM tokens WHERE id = ?", token_id) if token_id else []
    if not rows or not hmac.compare_digest(rows[0][1], _hash(token)):
        return None
    return _info(rows[0])


def signing_secret(vault: Vault, token_id: str) -> str:
    """Made from the vault's key, so that it is not kept anywhere."""
    return hmac.new(vault.key, f"wfkernel webhook {token_id}".encode(), hashlib.sha256).hexdigest()


def is_signed_by(secret: str, body: bytes, signature: str) -> bool:
    """Whether ``X-Signature-256: sha256=<hex>`` is the body's."""
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


def _info(row: Any) -> TokenInfo:
    return TokenInfo(row[0], row[2], tuple(row[3].split()), bool(row[4]), datetime.fromtimestamp(row[5], UTC))


def _id_in(token: str) -> str | None:
    parts = token.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == _PREFIX else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()  # 256 random bits need no slow hash
