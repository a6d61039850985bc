"""Which SQL a user's cursor refuses, decided from the statement's type and its words. No connection is used here.

A guard rail against accidents, not a security boundary: the owner of the kernel can always open the file himself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from duckdb import StatementType as T

from .instance import ALIAS

_TOKEN = re.compile(
    r"""
    --[^\n]*(?:\n|\Z) | /\*.*?\*/                      # comments
  | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*'  # strings
  | (?P<quoted>"(?:[^"]|"")*") | (?P<word>[^\W\d][\w$]*) | (?P<mark>[.(),;=])
    """,
    re.VERBOSE | re.DOTALL,
)
_STRING = "''"
_SETTINGS = re.compile(r"(wal_autocheckpoint|checkpoint_threshold|.*checkpoint.*|schema|search_path|python_scan_all_frames)\Z")
_CHECKPOINTS = {"checkpoint", "force_checkpoint"}
CHECKPOINT_REFUSAL = "CHECKPOINT is left to wfkernel: one that is killed half-way can make the file unreadable, unless guarded"
UNKNOWN_REFUSAL = (
    "statements of this kind, such as UPDATE EXTENSIONS, are not known here: run them with DuckDB's own command line"
)
_READ_ONLY = {T.SELECT, T.EXPLAIN}

# What a transaction that DuckDB calls READ ONLY lets through all the same: it looks after tables, not after settings and files.
_READING_WORDS = {"select", "from", "with", "values", "table", "pivot", "unpivot", "describe", "desc", "show", "summarize", "("}
_READING_PRAGMAS = frozenset(
    "collations database_list database_size extension_versions functions metadata_info platform show show_databases show_tables"
    " show_tables_expanded storage_info table_info user_agent version".split()
)
CHANGING_FUNCTIONS = frozenset(
    "checkpoint force_checkpoint enable_logging disable_logging truncate_duckdb_logs write_log enable_profiling"
    " disable_profiling create_external_resource destroy_external_resource register_external_resource"
    " deregister_external_resource register_external_resource_type"
    " query json_execute_serialized_sql".split()  # these two run SQL that nobody has judged
)
_READING = "SELECT, FROM, WITH, VALUES, PIVOT, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a text of SQL: why it is refused, everywhere or where one may only read, whether it begins or ends
    transactions, what it leaves behind."""

    refusal: str | None = None
    no_reading: str | None = None
    has_transaction: bool = False
    writes: bool = False
    is_sticky: bool = False  # changes the connection, so the connection must not be used for somebody else


def judge(statements: Sequence[Any]) -> Verdict:
    """The verdict on parsed statements (``extract_statements``)."""
    refusal, no_reading, has_transaction, writes, is_sticky = None, None, False, False, False
    for statement in statements:
        refusal = refusal or refusal_of(statement.type, statement.query)
        no_reading = no_reading or no_reading_of(statement.type, statement.query)
        has_transaction |= _is_transaction(statement.type, statement.query)
        writes |= statement.type not in _READ_ONLY
        is_sticky |= statement.type in _STICKY
    return Verdict(refusal, no_reading, has_transaction, writes, is_sticky)


_STICKY = {T.SET, T.ATTACH, T.DETACH, T.PREPARE, T.PRAGMA, T.CREATE, T.LOAD}


def _is_transaction(kind: Any, text: str) -> bool:
    if kind == T.TRANSACTION:
        return True
    if kind not in (T.EXPLAIN, T.PREPARE):
        return False
    return any(word in ("begin", "commit", "rollback", "abort") for word in words(text)[1:4])


def words(text: str) -> list[str]:
    """The statement's words and marks, lower-case and unquoted, without comments; a string is a pair of quotes.

    >>> words('INSERT INTO "WF".facts -- why')
    ['insert', 'into', 'wf', '.', 'facts']
    """
    found = []
    for match in _TOKEN.finditer(text):
        if match["quoted"]:
            found.append(match["quoted"][1:-1].replace('""', '"').lower())
        elif match["word"] or match["mark"]:
            found.append(match[0].lower())
        elif "'" in match[0][:2] or match[0].startswith("$"):
            found.append(_STRING)
    return found


def refusal_of(kind: Any, text: str) -> str | None:
    """Why this statement is refused, or None."""
    tokens = words(text)
    if _checkpoints(kind, tokens):
        return CHECKPOINT_REFUSAL
    if kind in (T.SET, T.PRAGMA, T.ATTACH, T.DETACH) and (reason := _leaves_home(kind, tokens)):
        return reason
    if kind == T.ATTACH and _attached_as(tokens, text) == "wf":
        return "a database called wf would hide the journal's schema of that name: ATTACH it under another one, AS other"
    if any(_is_journal(name) for name in _targets(kind, tokens)):
        return "the schema wf is the journal: it can be read, but only wfkernel writes it; put your tables into schema main"
    return None


def no_reading_of(kind: Any, text: str) -> str | None:
    """Why this statement is refused where one may only read, or None: by what it may be, not by what it may not."""
    tokens = words(text)
    for token, after in pairwise(tokens):
        if token in CHANGING_FUNCTIONS and after == "(":
            return only_reading(f"the function {token}()")
    if _copies(tokens) or not _is_reading(kind, tokens):
        return only_reading("COPY" if _copies(tokens) else _name_of(tokens))
    return None


def only_reading(what: str) -> str:
    """The refusal of something that may not be done in a query."""
    return f"{what} is refused inside a query, which can only read: {_READING}"


def _is_reading(kind: Any, tokens: list[str]) -> bool:
    if kind == T.EXPLAIN:  # with ANALYZE it does what it explains
        return _explained(tokens) in _READING_WORDS
    if kind == T.MULTI:  # PIVOT, which makes a type for a moment
        return tokens[0] in _READING_WORDS and "pivot" in tokens
    if kind == T.PRAGMA:
        return tokens[1] in _READING_PRAGMAS
    if kind == T.SET:  # of this connection alone, which nobody else gets afterwards
        return tokens[1] == "variable"
    if kind == T.CREATE:
        return bool({"temp", "temporary"}.intersection(tokens[1:4])) and bool({"table", "view"}.intersection(tokens[2:5]))
    return kind == T.SELECT


def _copies(tokens: list[str]) -> bool:
    """``WITH a AS (COPY ... TO 'file') SELECT ...``, which counts as a SELECT."""
    triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
    return any(before in ("as", "materialized") and mark == "(" and word == "copy" for before, mark, word in triples)


def _explained(tokens: list[str]) -> str | None:
    """The first word of what EXPLAIN explains."""
    rest = tokens[1:]
    if rest[:1] == ["("] and ")" in rest and not _READING_WORDS.intersection(rest[1:2]):  # its options
        rest = rest[rest.index(")") + 1 :]
    return next((word for word in rest if word not in ("analyze", "verbose")), None)


def _name_of(tokens: list[str]) -> str:
    """A statement as one speaks of it: its first word, and that of the setting."""
    return " ".join(tokens[: 2 if tokens[:1] in (["pragma"], ["explain"]) else 1]).upper() or "this"


def refusal_of_table(name: str) -> str | None:
    """Why rows cannot be appended to this table, or None."""
    return refusal_of(T.INSERT, f"INSERT INTO {name}")


def is_checkpoint_function(name: str) -> bool:
    return name.lower() in _CHECKPOINTS


def is_changing_function(name: str) -> bool:
    return name.lower() in CHANGING_FUNCTIONS


def _checkpoints(kind: Any, tokens: list[str]) -> bool:
    if kind in (T.CALL, T.PRAGMA, T.EXPLAIN) and _CHECKPOINTS.intersection(tokens):
        return True
    calls = zip(["from", *tokens], tokens, tokens[1:], strict=False)  # as a table function; a table may well have that name
    return any(token in _CHECKPOINTS and after == "(" and before in ("from", "join", ",") for before, token, after in calls)


def _leaves_home(kind: Any, tokens: list[str]) -> str | None:
    if kind in (T.ATTACH, T.DETACH):
        return f"{tokens[0].upper()} of {ALIAS} is refused: it is the journal's own database" if ALIAS in tokens else None
    if tokens[:1] == ["use"]:
        home = "".join(tokens[1:]).rstrip(";")
        if home in (ALIAS, f"{ALIAS}.main", "main"):
            return None
        return f"USE {home} is refused: unqualified names mean {ALIAS}.main here; qualify the names of the other database"
    for token in tokens[1:4]:
        if _SETTINGS.match(token):
            return f"the setting {token} is wfkernel's own"
    if tokens[:3] == ["copy", "from", "database"] and ALIAS in tokens[tokens.index("to") + 1 :]:
        return "COPY FROM DATABASE into the journal is refused"
    return None


def _attached_as(tokens: list[str], text: str) -> str:
    """The name that ATTACH gives a database: the one that is said, or that of its file up to the first dot."""
    if "as" in tokens[:-1]:
        return tokens[tokens.index("as") + 1]
    path = re.search(r"'((?:[^']|'')*)'", text)
    return re.split(r"[/\\]", path[1])[-1].partition(".")[0].lower() if path is not None else ""


def _is_journal(name: list[str]) -> bool:
    return "wf" in (name[:-1] or name) if len(name) > 1 else False


def _targets(kind: Any, tokens: list[str]) -> Iterator[list[str]]:
    """The qualified names that the statement writes."""
    if kind in (T.DROP, T.ALTER):
        yield from _names(tokens)
        yield from _schemas(tokens)
    elif kind == T.CREATE:
        header = tokens[: next((i for i, token in enumerate(tokens) if token in ("as", "(", "select")), len(tokens))]
        yield from _names(header)
        yield from _schemas(header)
    elif kind == T.COPY and tokens[1:2] != ["("]:
        name, end = _name_at(tokens, 1)
        if end < len(tokens) and "from" in tokens[end:]:
            yield name
    for index, token in enumerate(tokens):
        if token in ("into", "update", "truncate") or (token == "from" and tokens[index - 1] == "delete"):
            skip = 2 if tokens[index + 1 : index + 2] == ["table"] else 1
            yield _name_at(tokens, index + skip)[0]


def _schemas(tokens: list[str]) -> Iterator[list[str]]:
    """``DROP SCHEMA wf``, ``CREATE SCHEMA IF NOT EXISTS wfkernel.wf``: the schema itself, as a name inside it."""
    if "schema" in tokens[:4] and "wf" in tokens:
        yield ["wf", "*"]


def _names(tokens: list[str]) -> Iterator[list[str]]:
    index = 0
    while index < len(tokens):
        name, end = _name_at(tokens, index)
        yield name
        index = max(end, index + 1)


def _name_at(tokens: list[str], index: int) -> tuple[list[str], int]:
    """The dotted name that starts here, and the index behind it."""
    name = tokens[index : index + 1]
    index += 1
    while tokens[index : index + 1] == ["."] and index + 1 < len(tokens):
        name.append(tokens[index + 1])
        index += 2
    return name, index
