"""The words of a shell as a command and its options."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Any, NoReturn

from wfkernel.cli.commands import COMMANDS, COMMON, Argument, Command

__all__ = ["parse", "parser_of", "whole_parser"]

_WIDTH = 100  # of help, everywhere: docs/cli.md shows it
_SUMMARY = "Look at durable workflows, and act on them: while a notebook or a script holds the journal, and while nobody does."
_MORE = """\
Exit codes: 0 done, 1 failed, 2 wrong words, 3 (of run and wait) a run waits for an event, 130 interrupted.
`wfkernel COMMAND --help` says more about a command, with examples."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """As wide everywhere, and with options as newer Pythons show them: `-o, --output FILE`."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26, width=_WIDTH)
        self._action_max_length = 14  # of the commands: argparse forgets that they are indented

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, action.dest.upper())}"


class _Parser(argparse.ArgumentParser):
    is_json = False  # whether --json was given: what is wrong is then said in a document, too

    def __init__(self, **options: Any):
        super().__init__(formatter_class=_Help, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        if self.is_json:
            import_module("wfkernel.cli.printing").print_json({"error": {"type": "UsageError", "message": message}})
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` says more\n")

    def print_usage(self, file: Any = None) -> None:
        super().print_usage(sys.stderr if file is None else file)


def parse(words: list[str]) -> argparse.Namespace:
    """The command with its options: ``function`` is what does it. Ends with exit code 2 if they are wrong, 0 if help was asked for."""
    before, name, after = _split(words)
    command = COMMANDS.get(name or "")
    _Parser.is_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    if command is None:
        whole_parser().parse_args(words)  # help, or what is wrong
        whole_parser().error("a command is missing")
    parser = parser_of(command)
    rest: list[str] = []
    if command.takes_rest and "--" in after:
        at = after.index("--")
        after, rest = after[:at], after[at + 1 :]
    # Options may stand between the words. argparse reads twice for that, and only words that may be missing need it.
    read = parser.parse_intermixed_args if any("nargs" in a.options for a in command.arguments) else parser.parse_args
    found = read([*before, *after])
    found.command, found.rest, found.error = command.name, rest, parser.error
    if getattr(found, "journal", None) is None:
        found.journal = _default_journal()
        found.is_default_journal = True
    else:
        found.is_default_journal = False
    module, _, function = command.does.partition(":")
    found.function = getattr(import_module(f"wfkernel.cli.{module}"), function)
    return found


def _default_journal() -> str:
    from wfkernel.model.place import default_journal

    return default_journal()


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """What stands before the command, the command, and what stands after it: ``--journal`` and ``--json`` may be anywhere."""
    i = 0
    while i < len(words) and words[i].startswith("-"):
        i += 2 if words[i] == "--journal" else 1
    if i >= len(words) or not all(w.startswith(("--journal", "--json")) for w in words[:i] if w.startswith("-")):
        return words, None, []
    return words[:i], words[i], words[i + 1 :]


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of one command: the others are not made, which would take longer than most commands do."""
    return _filled(_Parser(prog=f"wfkernel {command.name}", **_texts(command)), command)


def whole_parser() -> argparse.ArgumentParser:
    """The parser of all: for the list of the commands, and for shells that complete."""
    parser = _Parser(prog="wfkernel", description=_SUMMARY, epilog=_MORE)
    parser.add_argument("--version", action=_Version)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Parser)
    for command in COMMANDS.values():
        _filled(subparsers.add_parser(command.name, help=command.summary, **_texts(command)), command)
    return parser


class _Version(argparse.Action):
    def __init__(self, option_strings: Any, dest: str):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="show the version, and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import wfkernel

        parser._print_message(f"wfkernel {wfkernel.__version__}\n", sys.stdout)  # `exit` would take the error stream
        parser.exit()


def _texts(command: Command) -> dict[str, Any]:
    examples = "\n".join(f"  {line}" for line in command.examples)
    return {"description": command.description, "epilog": f"examples:\n{examples}"}


def _filled(parser: Any, command: Command) -> Any:
    for argument in (*command.arguments, *COMMON):
        _add(parser, argument)
    return parser


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    added: Any = parser.add_argument(*argument.names, **argument.options)
    if argument.completes is not None:
        added.completer = argument.completes  # a word for completion.py
