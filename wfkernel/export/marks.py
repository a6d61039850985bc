"""The comments by which a script remembers its notebook, and the care that no comment of the user's is taken for one.

# %% 7 %%workflow trip tags=["slow"]    a cell begins: its number, its magic, its tags; `[markdown]` and `[raw]` as in jupytext
# notebook only: %wf list               a line of the notebook that the script does without
# in the notebook: %wf cancel run       a line for which the statement below stands
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

from wfkernel.export.layout import comment_lines

__all__ = ["DROPPED", "KEPT", "Mark", "commented", "escaped", "plain_comment", "read_mark", "uncommented", "unescaped", "without"]

DROPPED = "# notebook only: "
KEPT = "# in the notebook: "
_LIKE_OURS = re.compile(r"^(\s*# ?)(\\*)(?=%%|notebook only:|in the notebook:)", re.MULTILINE)
_MARK = re.compile(
    r"# %%(?: (?P<number>\d+))?(?: (?P<magic>%%workflow\b.*?))??(?: \[(?P<kind>markdown|raw)\])?(?: tags=(?P<tags>\[.*\]))?\s*"
)


@dataclass(frozen=True)
class Mark:
    """Where a cell begins.

    Attributes:
        number: the cell's, from 1; None for one that somebody put into the script.
        kind: "code", "markdown" or "raw".
        magic: ``%%workflow trip``, and the like; "" for plain code.
    """

    number: int | None
    kind: str = "code"
    magic: str = ""
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = ["# %%", *([str(self.number)] if self.number is not None else []), *([self.magic] if self.magic else [])]
        words += [f"[{self.kind}]"] if self.kind != "code" else []
        return " ".join([*words, *([f"tags={json.dumps(list(self.tags))}"] if self.tags else [])])


def read_mark(comment: str) -> Mark | None:
    """The mark that a comment is, if it is one."""
    found = _MARK.fullmatch(comment)
    if found is None:
        return None
    try:
        tags = json.loads(found["tags"] or "[]")
    except ValueError:
        return None
    return Mark(int(found["number"]) if found["number"] else None, found["kind"] or "code", found["magic"] or "", tuple(tags))


def commented(text: str, prefix: str = "# ") -> str:
    """Every line as a comment."""
    lines = [f"{prefix}{line}".rstrip(" ") if not line else f"{prefix}{line}" for line in text.split("\n")]
    return "\n".join(_LIKE_OURS.sub(r"\1\2\\", line) if prefix == "# " else line for line in lines)


def uncommented(text: str, prefix: str = "# ") -> str:
    """The inverse."""
    if prefix != "# ":
        return "\n".join(without(line.lstrip(), prefix) for line in text.split("\n"))
    lines = [plain_comment(line) for line in text.split("\n")]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def without(line: str, prefix: str) -> str:
    """A line without its prefix, whose blank at the end is gone where nothing follows it."""
    return "" if line == prefix.rstrip(" ") else line.removeprefix(prefix)


def escaped(text: str, ours: Collection[int] = ()) -> str:
    """Code whose comments, apart from those on ``our`` lines (from 1), look like no mark."""
    if not _LIKE_OURS.search(text):
        return text
    lines = text.split("\n")
    for number in comment_lines(text):
        if number not in ours:
            lines[number - 1] = _LIKE_OURS.sub(r"\1\2\\", lines[number - 1], count=1)
    return "\n".join(lines)


def unescaped(text: str) -> str:
    """The inverse, for text without our own marks."""
    lines = text.split("\n")
    for number in comment_lines(text):
        lines[number - 1] = plain_comment(lines[number - 1])
    return "\n".join(lines)


def plain_comment(line: str) -> str:
    """The line of a comment as it was before it was escaped."""
    found = _LIKE_OURS.match(line)
    return line if found is None else f"{found[1]}{found[2][1:]}{line[found.end() :]}"
