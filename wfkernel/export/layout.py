"""Text of Python moved about without a change of what it means: what stands inside strings stays where it is."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Callable

__all__ = [
    "INDENT",
    "comment_lines",
    "dedent",
    "indent",
    "is_open",
    "lines_in_strings",
    "squeeze",
    "strip_blank",
    "tidy",
]

INDENT = "    "
_FEEDS = re.compile(r"[ \t\f]*\f")  # a form feed begins the count of columns anew
_UNFINISHED = ("EOF in multi-line", "unterminated triple-quoted", "was never closed")


def lines_in_strings(text: str) -> set[int]:
    """The lines, counted from 1, that begin inside a string."""
    inside: set[int] = set()
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "STRING":
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
        elif kind.endswith("STRING_START"):  # f"..." is several tokens from Python 3.12 on
            opened.append(token.start[0])
        elif kind.endswith("STRING_END"):
            inside.update(range(opened.pop() + 1, token.end[0] + 1))
    return inside


def comment_lines(text: str) -> dict[int, int]:
    """The lines, counted from 1, that hold nothing but a comment, and the column at which it begins."""
    return {
        token.start[0]: token.start[1]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }


def is_open(text: str) -> bool:
    """Whether what comes after the text still belongs to its last statement: a string, a bracket or a backslash is left open."""
    try:
        for _ in tokenize.generate_tokens(io.StringIO(text).readline):
            pass
    except (tokenize.TokenError, SyntaxError) as exc:
        return any(sign in str(exc) for sign in _UNFINISHED)
    return text.removesuffix("\n").endswith("\\")


def indent(text: str, by: str = INDENT) -> str:
    """Every line that holds something, and does not begin inside a string, moved to the right."""
    return _moved(text, lambda line: by + line)


def dedent(text: str, by: str = INDENT) -> str:
    """The inverse of ``indent``; lines that are not indented so far are left alone."""
    return _moved(text, lambda line: line.removeprefix(by))


def _moved(text: str, move: Callable[[str], str]) -> str:
    inside = _inside(text)
    moved = []
    for number, line in enumerate(text.split("\n"), 1):
        if number in inside:
            moved.append(line)
        else:
            feeds = _FEEDS.match(line)
            line = line[feeds.end() :] if feeds else line
            moved.append(move(line) if line.strip() else "")
    return "\n".join(moved)


def tidy(text: str) -> str:
    """Without blanks at the ends of lines, as far as these are not part of a string."""
    inside = _inside(text)
    return "\n".join(line if number + 1 in inside else line.rstrip() for number, line in enumerate(text.split("\n"), 1))


def squeeze(text: str, most: int) -> str:
    """With at most so many empty lines in a row, and none at either end."""
    inside = _inside(text)
    kept: list[str] = []
    empty = 0
    for number, line in enumerate(text.split("\n"), 1):
        empty = empty + 1 if not line.strip() and number not in inside else 0
        if empty <= most:
            kept.append(line)
    return strip_blank("\n".join(kept))


def strip_blank(text: str) -> str:
    """Without empty lines at either end."""
    lines = text.split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    while lines and not lines[-1].strip():
        del lines[-1]
    return "\n".join(lines)


def _inside(text: str) -> set[int]:
    """As lines_in_strings, for text that may be indented as a whole."""
    is_indented = next((line for line in text.split("\n") if line.strip()), "")[:1] in (" ", "\t", "\f")
    return {n - 1 for n in lines_in_strings(f"if 1:\n{text}")} if is_indented else lines_in_strings(text)
