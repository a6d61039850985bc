"""Asks whoever holds the journal: the process that listens, else the file itself. The same operations, the same answers."""

from __future__ import annotations

import contextlib
import os
import re
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfkernel.control.address import NobodyListens
from wfkernel.control.client import Connection, ConnectionLost, error_from, new_token, told_there
from wfkernel.errors import DefinitionError, EngineStopped, JournalError, JournalLocked, WfkernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wfkernel.engine.engine import Engine

_PATIENCE_S = 15.0  # for a holder that is being opened or closed just now
_LOOK_AGAIN_S = 0.05
_INTERRUPTED = "Query interrupted"  # what DuckDB makes of Ctrl-C: a RuntimeError


class Holder:
    """The journal, whoever holds it. Use it as a context manager.

    Args:
        path: the journal's file, which must be there.
        create: make the file if it is missing.
    """

    def __init__(self, path: str, *, create: bool = False):
        self.path = path
        self._create = create
        self._link: _Remote | _Local | None = None

    def ask(self, op: str, part: Callable[[dict[str, Any]], None] | None = None, **params: Any) -> Any:
        """The result of an operation (see ``control.operations``), which is done once, also if the holder changes meanwhile.

        Args:
            part: is given the parts of the answer that come before its end; anew from the first one if the holder changes.

        Raises:
            WfkernelError: as the holder raised it.
            JournalError: there is no such journal.
        """
        return self.request(op, params, token=new_token() if op in _CHANGING else None, part=part)

    def request(
        self,
        op: str,
        params: dict[str, Any],
        *,
        token: str | None = None,
        again: bool = False,
        part: Callable[[dict[str, Any]], None] | None = None,
    ) -> Any:
        """As ``ask``, for who has a token of their own.

        Args:
            token: by which the request is known when it is sent again.
            again: it was sent before.
        """
        while True:
            link = self._linked()
            try:
                return link.perform(op, params, token, again, part)
            except (ConnectionLost, EngineStopped):
                self.close()
                again = True

    @property
    def is_held_elsewhere(self) -> bool:
        """Whether another process holds the journal now."""
        return isinstance(self._linked(), _Remote)

    def is_there(self) -> bool:
        """Whether somebody holds the journal, by asking nobody: it is not opened."""
        try:
            Connection.open(self.path).close()
        except (NobodyListens, ConnectionLost):
            return False
        return True

    def close(self) -> None:
        """Let go of the journal, or of the one who holds it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _linked(self) -> _Remote | _Local:
        if self._link is None:
            self._link = self._find()
        return self._link

    def _find(self) -> _Remote | _Local:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return _Remote(Connection.open(self.path))
            except (NobodyListens, ConnectionLost):
                pass  # nobody holds it; or somebody is about to listen, or to let go
            if not self._create:
                check_there(self.path)
            try:
                return _Local.opened(self.path)
            except JournalLocked:
                if time.monotonic() > until:
                    raise
            time.sleep(_LOOK_AGAIN_S)


_CHANGING = frozenset({"start", "send_event", "cancel", "restart", "fork", "cleanup"})  # asked with a token


def check_there(path: str) -> None:
    """
    Raises:
        JournalError: there is no such file.
    """
    if not os.path.isfile(os.path.expanduser(path)):
        raise JournalError(
            f"there is no journal at {path!r}; say where it is: --journal PATH, or WFKERNEL_JOURNAL in the environment"
        )


@contextlib.contextmanager
def says_who_lacks_it(holder: Holder) -> Iterator[None]:
    """Where a workflow is not defined: in the process that holds the journal; or no process holds it, and so none has it."""
    try:
        yield
    except DefinitionError as error:
        if isinstance(holder._link, _Remote):
            raise DefinitionError(told_there(str(error), holder._link.holder)) from None
        what = re.split("[(;]", str(error))[0].strip()
        raise DefinitionError(
            f"{what}: no process holds the journal; run the file that defines it, such as by `wfkernel run FILE`"
        ) from None


def of_engine(engine: Engine) -> Holder:
    """The journal that this process has open; closing the Holder leaves it open."""
    found = Holder(str(engine.journal.path))
    found._link = _Local(engine)
    return found


class _Remote:
    """A process that holds the journal."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self.holder = connection.holder

    def perform(self, op: str, params: dict[str, Any], token: str | None, again: bool, part: Any) -> Any:
        for reply in self._connection.replies(op, params, token=token, again=again):
            if "part" not in reply.body:
                return self._shown(op, reply.body.get("result"))
            if part is not None:
                part(reply.body["part"])
        raise ConnectionLost("the process that holds the journal did not answer")

    def _shown(self, op: str, result: Any) -> Any:
        if op == "status" and result["waiting_for"] is not None:
            result["waiting_for"] = told_there(result["waiting_for"], self.holder)
        return result

    def close(self) -> None:
        self._connection.close()


class _Local:
    """The journal, open in this process."""

    def __init__(self, engine: Engine, manager: Any = None):
        self._engine = engine
        self._manager = manager

    @classmethod
    def opened(cls, path: str) -> _Local:
        manager = import_module("wfkernel.manager").WorkflowManager(path)
        return cls(manager._engine, manager)

    def perform(self, op: str, params: dict[str, Any], token: str | None, again: bool, part: Any) -> Any:
        operations = import_module("wfkernel.control.operations")
        manager = import_module("wfkernel.manager").WorkflowManager._of(self._engine)

        def tell(found: Any, blobs: Any) -> None:
            if part is not None:
                part(found)

        try:
            done = operations.perform(operations.Asked(manager, token=token, again=again, tell=tell), op, params)
            result = done.result() if hasattr(done, "add_done_callback") else done
        except Exception as error:
            if _INTERRUPTED in str(error):
                raise KeyboardInterrupt from error
            if isinstance(error, (WfkernelError, TimeoutError, OSError)):
                raise
            # DuckDB's, of a query: the same words as over the socket
            raise error_from(operations.error_body(error)) from error
        return result.result if isinstance(result, operations.Reply) else result

    def close(self) -> None:
        if self._manager is not None:
            self._manager.close()
