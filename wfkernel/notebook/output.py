"""What steps print and display, heard for their logs. It lands in its cell as ever: nothing here takes a stream's place.

``install`` is called wherever somebody may look at a log later: when a manager is opened in a kernel, and when a card is made.
"""

from __future__ import annotations

import sys
from typing import Any

from wfkernel.engine.output import overhear
from wfkernel.engine.steps import displayed, overheard
from wfkernel.notebook import kernel as kernels
from wfkernel.notebook.tracebacks import name_cells

_OVERHEARD = "_wfkernel_overheard"
_PLAIN = "text/plain"


def install() -> None:
    """Hear what steps print from now on, and in a kernel what they display. May be called again: streams change.

    And tell which cells they are of, where their errors are looked at.
    """
    name_cells()
    _hear_streams()
    kernel = kernels.current_kernel()
    shell = getattr(kernel, "shell", None)
    if shell is None:
        return
    _hear_displays(shell)
    if _hear_streams not in shell.events.callbacks["pre_run_cell"]:  # %%capture may have been in the way
        shell.events.register("pre_run_cell", _hear_streams)


def _hear_streams(*_: object) -> None:
    _hear("stdout", sys.stdout)
    _hear("stderr", sys.stderr)


def _hear(kind: str, stream: Any) -> None:
    if not (hasattr(stream, "echo") and hasattr(stream, "pub_thread")):
        overhear(stream, kind, overheard)
    elif type(stream.echo) is not _Echo:
        stream.echo = _Echo(kind, stream.echo)


class _Echo:
    """Where a stream of ipykernel writes its text a second time. (Its ``write`` is not ours: IPython sets it anew with each cell.)"""

    def __init__(self, kind: str, before: Any):
        self._kind = kind
        self._before = before

    def write(self, text: str) -> None:
        if self._before is not None:
            self._before.write(text)
        overheard(self._kind, text)

    def flush(self) -> None:
        if self._before is not None:
            self._before.flush()


def _hear_displays(shell: Any) -> None:
    publisher = shell.display_pub
    if getattr(publisher, _OVERHEARD, False):
        return
    publish = publisher.publish  # ipykernel's own hooks are for one thread each, and steps have threads of their own

    def publish_and_tell(data: Any, *args: Any, **kwargs: Any) -> Any:
        published = publish(data, *args, **kwargs)
        displayed(_text(data))
        return published

    publisher.publish = publish_and_tell
    setattr(publisher, _OVERHEARD, True)


def _text(data: Any) -> str:
    """What of a display can be read in a log."""
    plain = data.get(_PLAIN) if isinstance(data, dict) else None
    return str(plain) if plain is not None else f"<{', '.join(data)}>"
