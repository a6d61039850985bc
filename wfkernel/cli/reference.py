"""Writes the reference of the commands into docs/cli.md, after the line that says so: ``python -m wfkernel.cli.reference docs/cli.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from wfkernel.cli.commands import COMMANDS
from wfkernel.cli.parsing import parser_of, whole_parser

MARK = "<!-- From here on written by `python -m wfkernel.cli.reference docs/cli.md`: change wfkernel/cli/commands.py. -->"


def reference() -> str:
    """What ``--help`` says, of everything, as Markdown."""
    parts = [f"## wfkernel\n\n```text\n{whole_parser().format_help()}```\n"]
    for command in COMMANDS.values():
        parts.append(f"## wfkernel {command.name}\n\n```text\n{parser_of(command).format_help()}```\n")
    return "\n".join(parts)


def with_reference(text: str) -> str:
    """The page with the reference as it is now.

    Raises:
        ValueError: it has no place for it.
    """
    before, mark, _ = text.partition(MARK)
    if not mark:
        raise ValueError(f"there is no line {MARK!r}")
    return f"{before}{MARK}\n\n{reference()}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_reference(page.read_text()))
