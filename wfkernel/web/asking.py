"""How the web reaches a journal: one blocking function, whether the journal is held here or by another process."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

from wfkernel.control.connected import ConnectedManager
from wfkernel.control.mux import Mux
from wfkernel.control.operations import Asked, Reply, perform
from wfkernel.manager import WorkflowManager


class Ask(Protocol):
    """Does an operation of ``control.operations``; plain JSON comes back.

    Args:
        op, params: as ``control.operations.OPERATIONS`` has them.
        token: by which a change is known when it is sent again.
        again: look first whether it was done already, with this token.

    Raises:
        WfkernelError: as the manager raises it.
    """

    def __call__(self, op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any: ...


def asking(manager: WorkflowManager) -> Ask:
    """Ask a manager; one that is connected asks whoever holds the journal, also when that changes meanwhile."""
    return connected(manager) if isinstance(manager, ConnectedManager) else local(manager)


def connected(manager: ConnectedManager) -> Ask:
    def ask(op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any:
        return manager._reply(op, params, token=token, again=again).body["result"]

    return ask


def local(manager: WorkflowManager) -> Ask:
    """Ask the manager of this process, which holds the journal."""

    def ask(op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any:
        result = perform(Asked(manager, token=token, again=again), op, params)
        if isinstance(result, Future):
            result = result.result()
        return result.result if isinstance(result, Reply) else result

    return ask


def remote(mux: Mux) -> Ask:
    """Ask the process that holds the journal, over its socket."""

    def ask(op: str, params: dict[str, Any], *, token: str | None = None, again: bool = False) -> Any:
        return mux.submit(op, params, token=token, again=again).result().body["result"]

    return ask
