"""uvicorn on a thread of its own. Nothing listens before ``serve`` is called, and nothing after ``close``."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wfkernel.control.connected import ConnectedManager
from wfkernel.errors import ControlError, EngineStopped, OptionError
from wfkernel.manager import WorkflowManager
from wfkernel.web.app import app_for
from wfkernel.web.asking import Ask, asking
from wfkernel.web.limits import Limits
from wfkernel.web.site import Site
from wfkernel.web.vault import Vault

_START_S = 10.0
_CLOSE_S = 5.0
_BACKLOG = 64  # asyncio takes so many connections at once, before we can refuse any: each costs a descriptor
_GRACE_S = 1.0  # beyond the time of a request, for the answer that it took too long
_LEAST_TOKEN = 16  # characters


class Serving:
    """A journal that is being served. A context manager; ``close`` is idempotent.

    Attributes:
        url: where, such as "http://127.0.0.1:8000".
        token: of all scopes, for the API.
    """

    def __init__(self, site: Site, listening: socket.socket, url: str, tls: tuple[str, str] | None):
        self.url, self.token = url, site.token
        self._site, self._socket = site, listening
        self._is_up = threading.Event()
        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            app_for(site),
            http=_http_class(site.limits),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,  # it would print approval links
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            limit_concurrency=2 * site.limits.connections,  # requests: one that is given up may go on for a while
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        try:
            config.load()
        except OSError as error:  # ssl.SSLError is one
            raise OptionError(f"tls={tls!r} cannot be used: {error}; it is (certificate, key), paths of PEM files") from None
        self._server = _Server(config, self._is_up)
        self._thread = threading.Thread(target=self._run, name="wfkernel-web", daemon=True)
        self._thread.start()
        if not self._is_up.wait(_START_S) or not self._thread.is_alive():
            self._server.should_exit = True
            raise ControlError(f"the web server did not start at {url}")
        site.vault.serving(url, time.time())

    @property
    def login_url(self) -> str:
        """A link that lets one browser in, once, within the hour; a new one at each access.

        Raises:
            ControlError: it was closed.
        """
        if self._server.should_exit:
            raise ControlError("the page is closed, so no link leads to it; wf.serve() opens another one")
        return f"{self.url}/login#{self._site.new_code()}"

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._is_up.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it ends, or ``timeout`` seconds: whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Listen no more."""
        if self._server.should_exit:
            return
        self._server.should_exit = True
        self._thread.join(_CLOSE_S)
        self._socket.close()
        self._site.vault.not_serving(self.url)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._server.should_exit else "open .login_url in a browser"
        return f"<Serving {self.url}, {state}>"


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, is_up: threading.Event):
        super().__init__(config)
        self._is_up = is_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_up.set()


def _http_class(limits: Limits) -> type[H11Protocol]:
    class Impatient(H11Protocol):
        """uvicorn takes any number of connections, and waits for ever for the headers of a request, and for a client to read; we
        hang up. Not by ``close``, which waits until what was written has been read."""

        _deadline: asyncio.TimerHandle | None = None
        _under_way: Any = None  # the request that the deadline is of; None: of the headers of the next one

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.access_log = False  # the option alone does not hold where another server of this process has set up logging
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()  # begins the next request, if it is here already
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            super().connection_lost(exc)

        def _watch(self) -> None:
            under_way = None if self.cycle is None or self.cycle.response_complete else self.cycle
            if self._deadline is not None:
                if under_way is self._under_way:
                    return
                self._deadline.cancel()
            self._under_way = under_way
            left = limits.headers_s if under_way is None else limits.request_s + _GRACE_S
            self._deadline = self.loop.call_later(left, self.transport.abort)

    return Impatient


def serve(
    ask: Ask,
    vault: Vault,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    public_url: str | None = None,
    tls: tuple[str, str] | None = None,
    limits: Limits | None = None,
    now: Callable[[], float] = time.time,
) -> Serving:
    """Serve a journal over HTTP until ``close``; returns once it listens.

    Args:
        ask: does the operations: ``asking.local(manager)`` or ``asking.remote(mux)``.
        vault: of the journal.
        host: the address to listen at. Another one than the loopback's lets other machines in, and warns.
        port: 0 for any that is free.
        token: of all scopes, 16 characters or more; made anew where None.
        public_url: how others reach it, through a reverse proxy say: approval links begin with it.
        tls: paths of a certificate and its key, both PEM.
        limits: of sizes and rates.

    Raises:
        ControlError: the port is taken, or the host is not this machine's.
        OptionError: an option cannot be meant.
    """
    _check(host, port, token, tls)
    outside = _checked_url(public_url)
    if not _is_loopback(host):
        how = "" if tls else ", and what it sends can be read on the way (say tls=, or put a proxy with TLS before it)"
        warnings.warn(f"host={host!r}: other machines can reach this server{how}", stacklevel=3)
    listening = _bound(host, port)
    port = listening.getsockname()[1]
    scheme = "https" if tls else "http"
    hosts = set(_hosts(host, port, scheme))
    if outside is not None:
        hosts |= _names_in(outside)
    site = Site(
        ask,
        vault,
        hosts=frozenset(hosts),
        token=token,
        limits=limits,
        is_secure=(outside or scheme).startswith("https"),
        cookie=f"wfkernel-{port}",  # a browser does not keep the cookies of two ports apart
        now=now,
    )
    try:
        return Serving(site, listening, outside or f"{scheme}://{_shown(host)}:{port}", tls)
    except BaseException:
        listening.close()
        raise


def serve_manager(manager: WorkflowManager, **options: Any) -> Serving:
    """``wf.serve``: serve the journal of a manager of this process; it ends with the manager."""
    if manager.is_closed:
        raise EngineStopped("the manager is closed, so there is nothing to serve; open a new WorkflowManager on the same path")
    serving = serve(asking(manager), Vault.of(manager), **options)
    ends = manager.before_close if isinstance(manager, ConnectedManager) else manager._engine.before_stop
    ends.append(serving.close)
    return serving


def _check(host: Any, port: Any, token: Any, tls: Any) -> None:
    if not isinstance(host, str):
        raise OptionError(f"host must be an address to listen at, such as '127.0.0.1', not {host!r}")
    if isinstance(port, bool) or not isinstance(port, int):
        raise OptionError(f"port must be a whole number, or 0 for any that is free, not {port!r}")
    if token is not None and (not isinstance(token, str) or len(token) < _LEAST_TOKEN):
        raise OptionError(f"a token is a text of {_LEAST_TOKEN} characters or more: anyone who guesses it controls the journal")
    if tls is not None and not (
        isinstance(tls, (tuple, list)) and len(tls) == 2 and all(isinstance(p, (str, os.PathLike)) for p in tls)
    ):
        raise OptionError(f"tls must be (certificate, key), paths of PEM files, not {tls!r}")


def _checked_url(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except (ValueError, AttributeError):  # half of an IPv6 address, or a port that is none; not a text
        parts, has_port = urlsplit(""), False
    is_address = parts.scheme in ("http", "https") and parts.hostname and has_port
    if not is_address or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise OptionError(f"public_url must be an address such as 'https://approve.example.org', without a path, not {url!r}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _names_in(url: str) -> set[str]:
    """What the Host of a request for this address may be: a browser leaves the scheme's own port out, whether the address has it
    or not."""
    name = urlsplit(url).netloc
    own = ":443" if url.startswith("https") else ":80"
    return {name, name.removesuffix(own)}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
        listening.setblocking(False)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ControlError(f"cannot listen at {host}:{port}: {reason}; port=0 takes any that is free") from None
    return listening


def _shown(host: str) -> str:
    if _is_everywhere(host):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _hosts(host: str, port: int, scheme: str) -> list[str]:
    """What a request's Host may be: the names that we listen on, with the port where it is not the scheme's own."""
    names = [_shown(host)]
    if _is_loopback(host) or _is_everywhere(host):
        names += ["127.0.0.1", "localhost", "[::1]"]
    found = [f"{name}:{port}".lower() for name in names]
    if port == (443 if scheme == "https" else 80):
        found += [name.lower() for name in names]
    return [*found, "*"] if _is_everywhere(host) else found
