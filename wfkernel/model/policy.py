"""How often, how soon again, and with what options a step is run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from wfkernel.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=False)
class RetryPolicy:
    """When a failed action is tried again.

    The wait before attempt k+1 is ``initial_backoff * base**(k-1) * U[1-jitter, 1+jitter)`` seconds, at most ``max_backoff``.

    Args:
        max_attempts: how many times the action runs at most, the first included; >= 1.
        initial_backoff: seconds (or a timedelta) before the second attempt; >= 0.
        base: the factor from one wait to the next; >= 1.
        max_backoff: the longest wait in seconds (or a timedelta), or None.
        jitter: half the relative width of the random spread, from 0 to 1.

    Raises:
        OptionError: a number is out of range.

    >>> RetryPolicy(max_attempts=3, jitter=0).delay(2, draw=0.0)
    1.0
    """

    max_attempts: int = 5
    initial_backoff: float | timedelta = 0.5  # read as float seconds, and so is max_backoff
    base: float = 2.0
    max_backoff: float | timedelta | None = None
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            raise OptionError(f"max_attempts must be a whole number from 1 on, not {self.max_attempts!r}")
        for name in ("initial_backoff", "max_backoff"):  # durations: seconds, or a timedelta
            value = getattr(self, name)
            if isinstance(value, timedelta):
                object.__setattr__(self, name, value.total_seconds())
        _require("initial_backoff", self.initial_backoff, 0, math.inf)
        _require("base", self.base, 1, math.inf)
        _require("jitter", self.jitter, 0, 1)
        if self.max_backoff is not None:
            _require("max_backoff", self.max_backoff, 0, math.inf)

    def delay(self, attempt: int, draw: float) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1) failed; ``draw`` is uniform in [0, 1)."""
        try:
            first = float(cast("float", self.initial_backoff))
            wait = first and first * float(self.base) ** (attempt - 1)
        except OverflowError:
            wait = math.inf
        wait *= 1 - self.jitter + 2 * self.jitter * draw
        cap = cast("float", self.max_backoff) if self.max_backoff is not None else _LONGEST_S
        return wait if wait < cap else cap  # not min(): the wait may be no number


_LONGEST_S = 100 * 365 * 86400.0  # a wait must stay a finite instant
Retry = RetryPolicy | bool | None


def _require(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        bounds = f"from {low} to {high}" if high != math.inf else f"from {low} on"
        raise OptionError(f"{name} must be a number {bounds}, not {value!r}")


NO_RETRY = RetryPolicy(max_attempts=1)


def check_retry(retry: Any) -> Retry:
    """``retry`` itself if it is True, False, None or a RetryPolicy; else OptionError."""
    if retry is None or isinstance(retry, (bool, RetryPolicy)):
        return retry
    raise OptionError(f"retry must be True, False or a RetryPolicy, not {retry!r}")


def check_executor(executor: Any) -> Any:
    """``executor`` itself if it is None, "thread", "process" or has a submit method; else OptionError."""
    if executor is None or callable(getattr(executor, "submit", None)) or executor in ("thread", "process"):
        return executor
    raise OptionError(f"executor must be 'thread', 'process' or have a submit method, not {executor!r}")


def resolve_retry(call: Retry, decorator: Retry, workflow: Retry, manager: Retry, by_default: bool | None) -> RetryPolicy:
    """The policy of one action step: the nearest level that says something decides.

    ``True`` means the nearest policy that is configured, else ``RetryPolicy()``. The manager's policy only says *how*;
    ``by_default`` says *whether* an action that asked for nothing is retried at all. ``by_default=False`` said by the
    workflow makes its policy, too, say only how; None means that nobody said either.
    """
    levels = (call, decorator, workflow, manager)
    asks = [call, decorator]
    if by_default is not False:
        asks.append(workflow)
    for level in asks:
        if level is not None:
            return _policy(level, levels)
    if by_default and manager is not False:
        return _policy(True, levels)
    return NO_RETRY


def _policy(level: RetryPolicy | bool, levels: tuple[Retry, ...]) -> RetryPolicy:
    if isinstance(level, RetryPolicy):
        return level
    return next((p for p in levels if isinstance(p, RetryPolicy)), RetryPolicy()) if level else NO_RETRY


def seconds(value: Any, what: str) -> float:
    """A duration given as seconds or timedelta, as float seconds >= 0; else OptionError."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise OptionError(f"{what} must be a number of seconds or a timedelta, not {value!r}")
    if value < 0:
        raise OptionError(f"{what} must not be negative, not {value!r}")
    if value > _LONGEST_S:
        raise OptionError(f"{what} must be at most 100 years, not {value!r} seconds")
    return float(value)


def microseconds_of(when: Any, what: str) -> int:
    """An aware datetime as Unix microseconds; else OptionError."""
    if not isinstance(when, datetime):
        raise OptionError(f"{what} must be an aware datetime, not {when!r}")
    if when.tzinfo is None:
        raise OptionError(f"{what} must be an aware datetime: {when!r} has no time zone; use datetime.now(timezone.utc)")
    delta = when - _EPOCH
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def instant(us: int | None) -> datetime | None:
    """Unix microseconds as an aware UTC datetime.

    >>> instant(0)
    datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return None if us is None else _EPOCH + timedelta(microseconds=us)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StepOptions:
    """What ``step.options(...)`` and the step decorators carry; None means: not said here."""

    name: str | None = None
    retry: Retry = None
    run_after: float | None = None  # seconds
    run_at: int | None = None  # Unix microseconds
    timeout: float | None = None  # seconds an attempt may take
    inline: bool = False
    unstable_args: bool = False
    pool: str | None = None
    executor: Any = None
    at_most_once: bool = False


DEFAULT_OPTIONS = StepOptions()
