"""What all requests of one server share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync

from wfkernel.errors import WfkernelError
from wfkernel.web.asking import Ask
from wfkernel.web.limits import Limits, Meter
from wfkernel.web.refusals import Refused, refused
from wfkernel.web.tokens import TokenInfo, find_token
from wfkernel.web.vault import Vault

_RUNS_USERS_CODE = ("retry_on_complete",)  # on the caller's thread: what it raises is no failure of the server
_AT_ONCE = 8  # operations, each on a thread
_MOST_SESSIONS = 100
_MOST_TOKENS = 1000
_SESSION_S = 12 * 3600.0  # without a request
_CODE_S = 3600.0


class Session(NamedTuple):
    """A browser that was let in."""

    csrf: str
    until: float


class Site:
    """One journal as it is served at one address.

    Args:
        ask: does the operations.
        vault: of the journal.
        token: of all scopes; made anew where None.
        hosts: the names by which it is asked for, as ``Host`` has them; with "*" every IP address counts too.
        now: Unix seconds.
    """

    def __init__(
        self,
        ask: Ask,
        vault: Vault,
        *,
        hosts: frozenset[str],
        token: str | None = None,
        limits: Limits | None = None,
        is_secure: bool = False,
        cookie: str = "wfkernel",
        now: Callable[[], float] = time.time,
    ):
        self.vault, self.now = vault, now
        self.token = token or secrets.token_urlsafe(32)
        self.limits = limits or Limits()
        self.cookie, self.is_secure = cookie, is_secure
        self._ask, self._hosts = ask, hosts
        self.callers, self.links = Meter(self.limits.caller), Meter(self.limits.link)
        # Apart: any page can make a browser ask for things here, but not with a token, and not as a page of ours logs in.
        self.addresses, self.logins, self.guesses = (Meter(self.limits.address) for _ in range(3))
        self._slots: anyio.CapacityLimiter | None = None
        self._turns: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._codes: OrderedDict[str, float] = OrderedDict()
        self._tokens: OrderedDict[str, None] = OrderedDict()  # hashes of those that counted when they were last shown

    # -- the journal --

    async def ask(self, op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any:
        """
        Raises:
            Refused: what the manager raised, as HTTP has it.
        """
        try:
            return await self.in_thread(lambda: self._ask(op, params, token=token, again=again))
        except (WfkernelError, TimeoutError) as exc:
            raise refused(exc) from exc
        except Exception as exc:
            if op not in _RUNS_USERS_CODE:
                raise
            raise Refused(409, type(exc).__name__, str(exc)) from exc

    async def in_thread(self, fn: Callable[[], Any]) -> Any:
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(_AT_ONCE)
        return await run_sync(fn, limiter=self._slots)

    @contextlib.asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """One at a time for each key: of two requests that are one, the second must find what the first did."""
        entry = self._turns.setdefault(key, [asyncio.Lock(), 0])
        entry[1] += 1
        try:
            async with entry[0]:
                yield
        finally:
            entry[1] -= 1
            if not entry[1]:
                self._turns.pop(key, None)

    def token_of(self, *parts: str) -> str:
        """The token of a request that may come again: its sender's, so that no two senders have the same."""
        return "web-" + hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]

    # -- names --

    def is_ours(self, host: str) -> bool:
        """Whether a request's Host is a name of ours; another page's name that resolves to us is not (DNS rebinding)."""
        host = host.lower()
        if host in self._hosts:
            return True
        return "*" in self._hosts and _is_address(host)  # a page that was loaded from an address cannot be another's

    def check_origin(self, headers: Any) -> None:
        """Refuse what a page of somebody else sends. What sends neither header is no browser, and has no cookie of ours."""
        origin, fetch_site = headers.get("origin"), headers.get("sec-fetch-site")
        named = origin.lower().partition("://")[2] if origin else ""  # no more is in it
        is_same = named == headers.get("host", "").lower() if origin else fetch_site == "same-origin"
        if not is_same or fetch_site not in (None, "same-origin"):
            raise Refused(403, "CrossSite", "this was sent by a page of another site, or by one that does not say who it is")

    # -- tokens and sessions --

    def find_token(self, token: str, address: str) -> TokenInfo | None:
        """A token of the vault, if it counts. Who guesses tokens costs the vault little, and does not keep out those who have one.

        Raises:
            Refused: 429, too many from this address did not count.
        """
        shown = _hash(token)
        with self._lock:
            is_known = shown in self._tokens
        if not is_known:
            self.guesses.check(address)
        found = find_token(self.vault, token)
        with self._lock:
            self._tokens.pop(shown, None)
            if found is not None:
                self._tokens[shown] = None
                while len(self._tokens) > _MOST_TOKENS:
                    self._tokens.popitem(last=False)
        if found is None:
            self.guesses.take(address)
        return found

    def is_main(self, token: str) -> bool:
        return hmac.compare_digest(_hash(token), _hash(self.token))

    def new_code(self) -> str:
        """A code that lets one browser in, once, within the hour."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[_hash(code)] = self.now() + _CODE_S
            while len(self._codes) > _MOST_SESSIONS:
                self._codes.popitem(last=False)
        return code

    def use_code(self, code: str) -> bool:
        with self._lock:
            until = self._codes.pop(_hash(code), 0.0)
        return until > self.now()

    def new_session(self) -> str:
        """The value of a cookie."""
        value = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_hash(value)] = Session(secrets.token_urlsafe(24), self.now() + _SESSION_S)
            while len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return value

    def session(self, value: str) -> Session | None:
        """The session of a cookie; it lasts on."""
        with self._lock:
            found = self._sessions.pop(_hash(value), None)
            if found is None or found.until <= self.now():
                return None
            self._sessions[_hash(value)] = found._replace(until=self.now() + _SESSION_S)
            return found

    def end_session(self, value: str) -> None:
        with self._lock:
            self._sessions.pop(_hash(value), None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
