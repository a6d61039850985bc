"""What a second process can ask of the one that holds the journal: one table of operations, for the socket and for the web.

Each has parameters (a pydantic model, closed) and a function from a manager to plain JSON. Values travel as the journal stores
them (see ``model.values``): plain JSON as it is, anything else as an object with the key "$", so that the holder need not know
the classes of a value that it passes on. Instants are ISO 8601 in UTC, durations are seconds.
"""

from __future__ import annotations

from wfkernel.control.operations import changes, reads, rows  # noqa: F401 - each fills the table
from wfkernel.control.operations.table import (
    OPERATIONS,
    Asked,
    OfRun,
    Operation,
    Params,
    Reply,
    error_body,
    is_change,
    operation,
    perform,
)

__all__ = ["OPERATIONS", "Asked", "OfRun", "Operation", "Params", "Reply", "error_body", "is_change", "operation", "perform"]
