"""Whether commits currently fail for lack of space, told to the engine once when it begins and once when it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wfkernel.errors import JournalError

from . import faults

logger = logging.getLogger("wfkernel.journal")


class Stall:
    """Shared by the writer and the transactions.

    Attributes:
        error: the JournalError of the stall under way, or None.
        on_stall: called with the error when a stall begins, with None when commits work again.
    """

    def __init__(self, path: object):
        self.error: JournalError | None = None
        self.on_stall: Callable[[JournalError | None], None] = lambda error: None
        self._path = path
        self._lock = threading.Lock()

    def met(self, cause: BaseException) -> None:
        """A commit failed for lack of space."""
        with self._lock:
            if self.error is not None:
                return
            self.error = JournalError(
                f"the journal {str(self._path)!r} cannot be written: {faults.first_line(cause)}; runs wait, nothing is lost. "
                "Free some space and they go on"
            )
            self.error.__cause__ = cause
        self._tell(self.error)

    def over(self) -> None:
        """A commit succeeded."""
        if self.error is None:
            return
        with self._lock:
            if self.error is None:
                return
            self.error = None
        self._tell(None)

    def _tell(self, error: JournalError | None) -> None:
        logger.warning("%s", error or "the journal can be written again")
        try:
            self.on_stall(error)
        except Exception:
            logger.exception("on_stall failed")
