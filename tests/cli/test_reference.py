"""docs/cli.md says what --help says, and the examples there are words that the commands take."""

from __future__ import annotations

import shlex
from itertools import takewhile

import pytest
from cli_kit import ROOT

from wfkernel.cli.commands import COMMANDS
from wfkernel.cli.parsing import parse, parser_of
from wfkernel.cli.reference import with_reference

PAGE = (ROOT / "docs" / "cli.md").read_text()
OF_INTERFACE = "list show start send-event cancel restart cleanup run export plot"

LIST_HELP = """\
usage: wfkernel list [-h] [--status {in_progress,completed,failed,canceled}] [--name WORKFLOW]
                     [--limit N] [--cursor CURSOR] [--all] [--journal PATH] [--json]

The runs of the journal, newest first.

options:
  -h, --help              show this help message and exit
  --status {in_progress,completed,failed,canceled}
                          only runs of this status
  --name WORKFLOW         only runs of this workflow
  --limit N               how many; 20 by default, 1000 at most
  --cursor CURSOR         go on where a page ended
  --all                   all pages
  --journal PATH          the journal; else $WFKERNEL_JOURNAL, else .wfkernel/journal.duckdb
  --json                  print one JSON document

examples:
  wfkernel list
  wfkernel list --status failed --name trip
  wfkernel list --all --json | jq '.items[].run_id'
"""


def test_the_page_is_what_help_says() -> None:
    assert with_reference(PAGE) == PAGE, "run: python -m wfkernel.cli.reference docs/cli.md"


def test_a_page_without_a_place_for_the_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no line"):
        with_reference("# Something else\n")


def test_every_command_of_the_interface_is_there() -> None:
    assert set(OF_INTERFACE.split()) <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_all_its_options(name: str, wfkernel) -> None:
    said = wfkernel(name, "--help")
    assert said.code == 0
    assert f"## wfkernel {name}\n\n```text\n{said.out}```\n" in PAGE
    for action in parser_of(COMMANDS[name])._actions:
        assert action.help
        assert all(word in said.out for word in action.option_strings)
    assert {"--journal", "--json"} <= {word for action in parser_of(COMMANDS[name])._actions for word in action.option_strings}


def test_the_help_of_list_is_this(wfkernel) -> None:
    assert wfkernel("list", "--help").out == LIST_HELP


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_help_are_words_that_the_command_takes(name: str) -> None:
    assert COMMANDS[name].examples
    for example in COMMANDS[name].examples:
        command = example.removeprefix('eval "$(').removesuffix(')"')
        words = list(takewhile(lambda word: word not in ("|", "&&", ">"), shlex.split(command)))
        assert words[0] == "wfkernel"
        assert parse(words[1:]).command == name
