"""The journal: what happened, durably. The only place that says duckdb."""

from .cursors import Cursor
from .files import FileStore
from .store import Journal
from .write import Write

__all__ = ["Cursor", "FileStore", "Journal", "Write"]
