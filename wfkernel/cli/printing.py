"""What is printed: tables, values and durations for people, JSON for programs. Shows only; asks nobody."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 60  # characters of a value in a table
_COLORS = {"completed": 32, "success": 32, "failed": 31, "canceled": 33, "in_progress": 36, "running": 36}


def say(text: str = "") -> None:
    """A line on the output."""
    _write(sys.stdout, printable(text))


def remark(text: str) -> None:
    """A line for people that is no part of the answer."""
    _write(sys.stderr, printable(text))


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError:  # a terminal, or a pipe, that takes ASCII only
        stream.write(text.encode("ascii", "backslashreplace").decode() + "\n")


def print_json(document: Any) -> None:
    """The one document of a command with --json."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def printable(text: str) -> str:
    """Without what would move a terminal's cursor or cannot be encoded: names and errors are other people's words."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, colored: str = "status") -> None:
    """Rows under headings."""
    rows = [[" ".join(printable(text).split()) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    say("  ".join(f"{name:<{width}}" for name, width in zip(columns, widths, strict=True)).rstrip())
    at = columns.index(colored) if colored in columns and has_color() else None
    for row in rows:
        cells = [f"{text:<{width}}" for text, width in zip(row, widths, strict=True)]
        if at is None:
            say("  ".join(cells).rstrip())
        else:
            cells[at] = in_color(row[at], cells[at])
            _write(sys.stdout, "  ".join(cells).rstrip())


def has_color() -> bool:
    """Whether the output is a terminal whose user wants colors (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def in_color(status: str, text: str) -> str:
    return f"\x1b[{_COLORS[status]}m{text}\x1b[0m" if status in _COLORS else text


# -- times --------------------------------------------------------------------------------------------------------------------


def instant(text: str | None) -> datetime | None:
    """A time of a record."""
    return None if text is None else datetime.fromisoformat(text)


def shown_instant(text: str | None) -> str:
    """In the local time zone, to the second."""
    found = instant(text)
    return "" if found is None else f"{found.astimezone():%Y-%m-%d %H:%M:%S}"


def took(start: str | None, end: str | None) -> str:
    """How long something took, or has taken until now."""
    began, ended = instant(start), instant(end)
    return "" if began is None else shown_seconds(((ended or datetime.now(UTC)) - began).total_seconds())


def shown_seconds(seconds: float) -> str:
    """
    >>> shown_seconds(0.0123), shown_seconds(75), shown_seconds(90_000)
    ('12 ms', '1 min 15 s', '1 d 1 h')
    """
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# -- values -------------------------------------------------------------------------------------------------------------------


def short(text: str, width: int = _WIDTH) -> str:
    """On one line, and not longer."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def shown_value(tree: Any) -> str:
    """A stored value as people read it.

    >>> shown_value({"size": {"$": "tuple", "v": [1, 2]}, "when": {"$": "date", "v": "2026-11-20"}})
    '{"size": [1, 2], "when": date(2026-11-20)}'
    """
    if isinstance(tree, list):
        return f"[{', '.join(map(shown_value, tree))}]"
    if not isinstance(tree, dict):
        return json.dumps(tree, ensure_ascii=False)
    if "$" in tree:
        return _shown_record(tree)
    return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {shown_value(v)}" for k, v in tree.items()) + "}"


def _shown_record(record: dict[str, Any]) -> str:
    """A value that is not plain JSON: see ``model.values``."""
    kind, content = str(record["$"]), record.get("v")
    if kind == "tuple" and isinstance(content, list):
        return shown_value(content)
    if kind == "dict" and isinstance(content, list):
        return "{" + ", ".join(f"{shown_value(k)}: {shown_value(v)}" for k, v in content) + "}"
    if kind in ("int", "float"):
        return str(int(str(content), 16) if kind == "int" else content)
    name = str(record.get("t", kind)).rpartition(":")[2]
    if "blob" in record:
        return f"<{'value' if kind == 'json' else name}, {record.get('size', 0):,} bytes>"
    if content is None:
        return name
    if isinstance(content, dict) and "$" not in content:
        return f"{name}({', '.join(f'{k}={shown_value(v)}' for k, v in content.items())})"
    text = content if isinstance(content, str) else shown_value(content)
    return f"{name}({text})"


def shown_error(error: dict[str, Any] | None) -> str:
    return "" if error is None else f"{error['type']}: {error['message']}"
