"""Run keys and run ids: the same number, as an integer in the journal and as text for people."""

from __future__ import annotations

from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_DIGITS = {c: i for i, c in enumerate(_ALPHABET)}
_WIDTH = 13  # 13 * 5 = 65 bits hold any BIGINT key
_COUNTER_BITS = 20


def text_of_key(key: int) -> str:
    """The public id of an integer run key.

    >>> text_of_key(1)
    'r0000000000001'
    """
    digits = []
    for _ in range(_WIDTH):
        key, low = divmod(key, 32)
        digits.append(_ALPHABET[low])
    return "r" + "".join(reversed(digits))


def key_of_text(run_id: str) -> int | None:
    """The key that a generated id stands for, or None for any other text.

    >>> key_of_text("r0000000000001"), key_of_text("order-17")
    (1, None)
    """
    if len(run_id) != _WIDTH + 1 or run_id[0] != "r":
        return None
    key = 0
    for c in run_id[1:]:
        digit = _DIGITS.get(c)
        if digit is None:
            return None
        key = key * 32 + digit
    return key if key < 1 << 63 else None


class KeySequence:
    """Time-ordered keys: Unix milliseconds, then 20 bits that start anywhere, so that journals rarely share a key.

    Args:
        last: the largest key in use; no key is ever smaller or the same.
        draw: gives a number from 0 to 2**19 - 1 for each new millisecond.
    """

    def __init__(self, last: int, draw: Callable[[], int]):
        self._last = last
        self._draw = draw

    def next(self, now_us: int) -> int:
        start = (now_us // 1000) << _COUNTER_BITS
        self._last = start | self._draw() if start > self._last else self._last + 1
        return self._last
