"""How much may be sent, how often, how deep. All of it bounded, whoever sends."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wfkernel.web.refusals import Refused

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second in the long run."""

    burst: int
    per_s: float


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        body_bytes: of one request.
        answer_bytes: of the JSON of one answer.
        depth: of JSON.
        body_s, headers_s: how long a client may take to send them.
        request_s: from the headers to the last byte of the answer.
        connections: at the same time.
        caller, link, address: requests of one token or session; of one link; that showed no authority, of one address, where
            logins, wrong tokens and all else are counted apart.
    """

    body_bytes: int = 1 << 20
    answer_bytes: int = 16 << 20
    depth: int = 50
    body_s: float = 10.0
    headers_s: float = 10.0
    request_s: float = 60.0
    connections: int = 200
    caller: Rate = field(default_factory=lambda: Rate(200, 50.0))
    link: Rate = field(default_factory=lambda: Rate(20, 0.5))
    address: Rate = field(default_factory=lambda: Rate(30, 0.5))


class Meter:
    """Token buckets by key; the buckets used least recently are forgotten beyond ``most``, which is in favour of the forgotten."""

    def __init__(self, rate: Rate, *, most: int = 10_000, now: Callable[[], float] = time.monotonic):
        self._rate, self._most, self._now = rate, most, now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> None:
        """Count one.

        Raises:
            Refused: 429, with the seconds to wait.
        """
        with self._lock:
            now = self._now()
            left = self._left(key, now)
            self._buckets.pop(key, None)
            self._buckets[key] = (left - 1 if left >= 1 else left, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._check(left)

    def check(self, key: str) -> None:
        """As ``take``, but without counting."""
        with self._lock:
            left = self._left(key, self._now())
        self._check(left)

    def _left(self, key: str, now: float) -> float:
        left, at = self._buckets.get(key, (float(self._rate.burst), now))
        return min(self._rate.burst, left + (now - at) * self._rate.per_s)

    def _check(self, left: float) -> None:
        if left < 1:
            wait = math.ceil((1 - left) / self._rate.per_s)
            raise Refused(429, "TooManyRequests", f"too many requests: try again in {wait} s", headers={"Retry-After": str(wait)})


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body of a request, however it is sent.

    Raises:
        Refused: 413 if it is too large, 408 if it takes too long.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limits.body_bytes:
        raise _too_large(limits)
    data = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            async for piece in request.stream():
                data += piece
                if len(data) > limits.body_bytes:
                    raise _too_large(limits)
    except TimeoutError:
        raise Refused(408, "TooSlow", f"the body took longer than {limits.body_s:g} s", headers={"Connection": "close"}) from None
    return bytes(data)


def _too_large(limits: Limits) -> Refused:
    return Refused(413, "TooLarge", f"the body may have {limits.body_bytes:,} bytes at most", headers={"Connection": "close"})


def parsed(data: bytes, limits: Limits) -> Any:
    """The JSON value of a body.

    Raises:
        Refused: 400 if it is no JSON that can be kept exactly, or is too deep.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        if _depth(value, limits.depth) > limits.depth:
            raise RecursionError
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused(400, "TooDeep", f"the JSON may be {limits.depth} levels deep at most") from None
    except UnicodeEncodeError:
        raise Refused(400, "InvalidJSON", "the JSON has half of a surrogate pair in it, which is no character") from None
    except ValueError as exc:
        raise Refused(400, "InvalidJSON", f"the body is not JSON: {exc}") from None
    return value


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _depth(value: Any, most: int) -> int:
    """How deep, counted no further than just beyond ``most``."""
    deep, level = 0, [value]
    while level and deep <= most:
        level = [inner for v in level if isinstance(v, (list, dict)) for inner in (v.values() if isinstance(v, dict) else v)]
        deep += 1
    return deep
