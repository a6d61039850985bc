"""How a caller waits for the end of a run: by a Future, unless a notebook's kernel has put another way in place."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias, TypeVar

E = TypeVar("E", bound=BaseException)
Ask: TypeAlias = Callable[[], "Future[tuple[str, str] | None]"]


class Waits:
    """How a caller waits for the end of a run: by a Future. A notebook's kernel puts another one in ``waits``.

    ``ask`` asks what the run waits for, without waiting: a Future of its id and of that in words, or of None.
    """

    def wait(self, future: Future[tuple[int, str]], timeout: float | None, ask: Ask) -> tuple[int, str]:
        """Block until it is done; TimeoutError after ``timeout`` seconds."""
        return future.result(timeout)

    async def wait_async(self, future: Future[tuple[int, str]], ask: Ask) -> tuple[int, str]:
        await self.told_in_loop(future)
        return future.result()

    def told(self, error: E) -> E:
        """What the waiting caller is told by raising it; a notebook's shell shows it in its own way."""
        return error

    @staticmethod
    def told_in_loop(future: Future[tuple[int, str]]) -> asyncio.Future[None]:
        """A Future of the running loop that is done when ``future`` is. (``wrap_future`` would also cancel ``future``, on this thread.)"""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(lambda: None if told.done() else told.set_result(None))

        future.add_done_callback(tell)
        return told


waits = Waits()


def how_to_wait() -> Waits:
    """``waits``, after a look whether there is a Jupyter kernel by now: a script never loads the notebook's part."""
    if type(waits) is Waits and "IPython" in sys.modules:
        importlib.import_module("wfkernel.notebook.waiting").install()  # the one step up, as for plot
    return waits


def has_kernel() -> bool:
    """Whether this is a Jupyter kernel, looked up without importing IPython."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
