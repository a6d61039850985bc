"""Where the journal is, unless somebody says. Light: the command line starts with it."""

from __future__ import annotations

import os

DEFAULT = ".wfkernel/journal.duckdb"
VARIABLE = "WFKERNEL_JOURNAL"  # in the environment: another default, for scripts, notebooks and the command line


def default_journal() -> str:
    """The journal's path where none is given: what the environment variable WFKERNEL_JOURNAL says, else .wfkernel/journal.duckdb."""
    return os.environ.get(VARIABLE) or DEFAULT
