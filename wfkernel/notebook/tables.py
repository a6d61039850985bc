"""What ``%wf`` shows: rows under headings, as text in a terminal and as HTML in a notebook. Shows only; decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from importlib import import_module
from typing import Any

__all__ = ["Table", "ago", "short"]

_SHOWN = 200  # rows; the rest is there, but a page of them says nothing
_WIDTH = 80  # characters of a cell of text


class Table:
    """Rows that show themselves. Iterating gives what the rows are about (``records``), or the rows.

    Args:
        columns: the headings.
        rows: their values, shown by ``str``; None shows as nothing.
        records: the objects behind the rows.
        title: a line or more above the table.
    """

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, records: Sequence[Any] | None = None, title: str = ""
    ):
        self.columns = list(columns)
        self.rows = [tuple(row) for row in rows]
        self.records = list(self.rows if records is None else records)
        self.title = title

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.records)

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def df(self) -> Any:
        """The rows as a pandas DataFrame."""
        pandas = import_module("pandas")  # where a user has it; nothing of ours needs it
        return pandas.DataFrame(self.rows, columns=self.columns)

    def __repr__(self) -> str:
        rows = [[short(value) for value in row] for row in self.rows[:_SHOWN]]
        widths = [max(len(text) for text in column) for column in zip(self.columns, *rows, strict=True)]
        lines = [
            "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.columns, *rows)
        ]
        return "\n".join([*filter(None, [self.title]), *(lines if self.rows else ()), *filter(None, [self._rest()])])

    def _repr_html_(self) -> str:
        title = f"<div style='white-space: pre-wrap'>{escape(self.title)}</div>" if self.title else ""
        if not self.rows:
            return title
        head = "".join(f"<th style='text-align: left'>{escape(column)}</th>" for column in self.columns)
        rows = (
            "".join(f"<td style='text-align: left'>{escape(short(value, 4 * _WIDTH))}</td>" for value in row)
            for row in self.rows[:_SHOWN]
        )
        body = "".join(f"<tr>{cells}</tr>" for cells in rows)
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{escape(self._rest())}"

    def _rest(self) -> str:
        more = len(self.rows) - _SHOWN
        return f"... and {more} more rows" if more > 0 else ""


def short(value: Any, width: int = _WIDTH) -> str:
    """The value on one line of at most ``width`` characters."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if value.tzinfo else f"{value:%Y-%m-%d %H:%M:%S}"
    text = " ".join(str(value).split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def ago(start: datetime | None, end: datetime | None) -> str:
    """How long something took, or has taken until now."""
    if start is None:
        return ""
    took = (end or datetime.now(UTC)) - start
    took = max(took, timedelta())
    seconds = took.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
