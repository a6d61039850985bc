"""The words of a magic's line: what ``%%workflow`` says, ``key=value`` arguments, and the ``async def`` that a signature stands for.

Text in, values out: the notebook's magics run what is read here, the exporter writes it down.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wfkernel.errors import InvalidArguments, OptionError

__all__ = [
    "DATE",
    "DEF",
    "OPTIONS",
    "STEP",
    "MagicLine",
    "keyword_values",
    "read_line",
    "split_options",
    "split_words",
    "unquote",
    "with_step",
]

DEF = "async def "
STEP = "step"  # what a body calls its first parameter


@dataclass(frozen=True)
class MagicLine:
    """What the line of ``%%workflow`` says.

    Attributes:
        signature: ``trip(city: str) -> Report``, or "" where the cell holds the definitions.
        name: what the journal shall call the workflow, or None.
        start: the words after ``--start``, or None.
        id: the id of the run to start, or None.
    """

    signature: str = ""
    name: str | None = None
    start: list[str] | None = None
    id: str | None = None


OPTIONS = {
    "--start": "start a run, with key=value ... for its arguments (Python expressions, or plain text)",
    "--id": "the id of the run to start: the same id again is the same run",
    "--name": "what the journal calls the workflow",
}


def read_line(line: str) -> MagicLine:
    """The magic's line, taken apart. OptionError if it says what it cannot mean."""
    line, options_text = split_options(line)
    options = split_words(options_text)
    said = MagicLine(signature=line.strip().removesuffix(":").rstrip())
    while options:
        option, _, given = options.pop(0).partition("=")
        if option not in OPTIONS:
            raise OptionError(f"%%workflow does not know {option}; it takes {', '.join(OPTIONS)}")
        if option == "--start":
            words = [given] if given else []
            while options and not options[0].startswith("--"):
                words.append(options.pop(0))
            said = replace(said, start=words)
            continue
        if not given and (not options or options[0].startswith("--")):
            raise OptionError(f"%%workflow {option} needs a word after it: {OPTIONS[option]}")
        said = replace(said, **{option[2:]: unquote(given or options.pop(0))})
    if said.id is not None and said.start is None:
        raise OptionError("%%workflow --id is the id of the run that --start begins; add --start")
    return said


def split_options(line: str) -> tuple[str, str]:
    """What stands before the options, and the options; a comment is left out."""
    line = line[: next((start for start, word in _words(line) if word.startswith("#")), len(line))]
    at = next((start for start, word in _words(line) if word.startswith("--")), len(line))
    return line[:at], line[at:].rstrip()


def split_words(text: str) -> list[str]:
    """Words between blanks that are in no bracket and no quotes; OptionError where one of these is left open."""
    return [word for _, word in _words(text, is_strict=True)]


def _words(text: str, *, is_strict: bool = False) -> Iterator[tuple[int, str]]:
    start, depth, quote, at = 0, 0, "", 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char.isspace() and depth <= 0:
            if at > start:
                yield start, text[start:at]
            start = at + 1
        at += 1
    if is_strict and (quote or depth > 0):
        raise OptionError(f"a quote or a bracket is not closed in: {text[start:]}")
    if start < len(text):
        yield start, text[start:]


def unquote(word: str) -> str:
    """The word without the quotes around it."""
    if word[:1] in ("'", '"'):
        try:
            value = ast.literal_eval(word)
        except (SyntaxError, ValueError):
            return word
        if isinstance(value, str):
            return value
    return word


DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")  # else 2026-11-20 would be a subtraction


def keyword_values(words: Sequence[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """``["city=Oslo", "days=2 + 1"]`` as keyword arguments: Python expressions in the namespace, else plain text."""
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise OptionError(f"arguments are written key=value, which {word!r} is not; text with blanks needs quotes")
        if key in values:
            raise OptionError(f"{key} is given twice")
        values[key] = _value(key, text, namespace)
    return values


def _value(key: str, text: str, namespace: dict[str, Any]) -> Any:
    if not text or DATE.fullmatch(text):
        return text
    try:
        tree = ast.parse(text, "<argument>", "eval")
    except (SyntaxError, ValueError) as exc:
        if text[0] in "([{'\"":
            raise InvalidArguments(f"{key}={text} is no Python expression: {exc}") from None
        return text
    if isinstance(tree.body, ast.Name):  # not a builtin of that name: `mode=max` is a word
        return namespace.get(text, text)
    try:
        return eval(compile(tree, "<argument>", "eval"), namespace)
    except NameError:
        return text
    except Exception as exc:
        raise InvalidArguments(f"{key}={text}: {type(exc).__name__}: {exc}") from exc


def with_step(signature: str, fn: ast.AsyncFunctionDef) -> str:
    """The signature with ``step`` as its first parameter, which ``fn``, the node of its ``async def``, may have already."""
    first = (*fn.args.posonlyargs, *fn.args.args)[:1]
    if first and first[0].arg == STEP:
        return signature
    brace = signature.index("(", len(fn.name)) + 1
    comma = ", " if signature[brace:].lstrip()[:1] != ")" else ""
    return f"{signature[:brace]}{STEP}{comma}{signature[brace:]}"
