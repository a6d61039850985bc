"""Values as text that people read: whole where they are small, cut where they are large, never an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ITEMS = 50
_DEPTH = 6
_WIDTH = 72
_TEXT = 1_000


def shown(value: Any, limit: int = 6_000) -> str:
    """``value`` as its ``repr`` would be, over several lines where it is long, and at most ``limit`` characters.

    >>> shown({"a": [1, 2]})
    "{'a': [1, 2]}"
    """
    try:
        text = _tree(value, 0)
    except Exception as exc:  # a user's __repr__ may raise
        text = f"<{type(value).__name__} whose repr() raised {type(exc).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _tree(value: Any, depth: int) -> str:
    if isinstance(value, str) and len(value) > _TEXT:
        return f"{value[:_TEXT]!r}… ({len(value):,} characters)"
    if isinstance(value, (bytes, bytearray)) and len(value) > _TEXT:
        return f"<{len(value):,} bytes>"
    kind = type(value)
    if kind is dict:
        return _block("{", "}", [f"{k!r}: {_tree(v, depth + 1)}" for k, v in _some(value)], len(value), depth)
    if kind in (list, tuple, set, frozenset):
        opening, closing = {list: "[]", tuple: "()"}.get(kind, "{}")
        if not value:
            return repr(value)
        parts = [_tree(v, depth + 1) for v in _some(value)]
        if kind is tuple and len(parts) == 1:
            return f"({parts[0]},)"
        return _block(opening, closing, parts, len(value), depth)
    return repr(value)


def _some(value: Any) -> list[Any]:
    items = value.items() if isinstance(value, Mapping) else value
    return [item for item, _ in zip(items, range(_ITEMS), strict=False)]


def _block(opening: str, closing: str, parts: list[str], length: int, depth: int) -> str:
    if length > len(parts):
        parts.append(f"… {length - len(parts):,} more")
    if depth > _DEPTH:
        return f"{opening}…{closing}"
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    inner = ",\n".join(parts).replace("\n", "\n  ")
    return f"{opening}\n  {inner},\n{closing}"
