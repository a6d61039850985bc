"""How ``run.result()`` and ``await run`` wait in a notebook's kernel.

Three things are different from a plain wait: the Stop button ends it soon (and only it: the run goes on), clicks in widgets of ours are
handled meanwhile (see ``kernel``), and a line in the cell's output says what the run waits for.

``install`` puts this in place of ``waits.waits``. Without a kernel waits stay plain; in an IPython shell only
their errors are shown without our own lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from wfkernel import waits
from wfkernel.errors import WfkernelError
from wfkernel.model.facts import RUN_STATUS, Fact
from wfkernel.notebook import kernel as kernels
from wfkernel.notebook.tracebacks import ends_at_the_cell, name_cells, show_users_lines

if TYPE_CHECKING:
    from wfkernel.waits import Ask

E = TypeVar("E", bound=BaseException)
_TICK_S = 0.05  # how often a wait wakes up: for the Stop button
_PUMP_TICK_S = 0.02  # ... and on ipykernel 6 for clicks, while a cell blocks
_SILENT_S = 0.5  # a wait shorter than this says nothing
_NEWS_S = 0.5  # how often the line may change
_NAMED = 3  # runs that the line names
_GOES_ON = "still in progress"
_CELLS = 32  # whose line is remembered, to be used again by the cell's next wait

_log = logging.getLogger("wfkernel")


def install() -> bool:
    """Let waits in this process's cells be the kernel's from now on. Returns whether there is a kernel. May be called again."""
    name_cells()
    show_users_lines()
    tap = kernels.tap()
    known = waits.waits
    if kernels.current_kernel() is None:
        if type(known) is waits.Waits and "IPython" in sys.modules:
            waits.waits = ShellWaits()
        return False
    if not isinstance(known, KernelWaits) or known.tap is not tap:
        waits.waits = KernelWaits(tap)
    return True


class ShellWaits(waits.Waits):
    """Plain waits, whose errors are shown as IPython should show them."""

    def told(self, error: E) -> E:
        return ends_at_the_cell(error)


class KernelWaits(ShellWaits):
    """Waits of cells; those of other threads (actions, say) stay plain."""

    def __init__(self, tap: kernels.CommTap | None):
        self.tap = tap
        self._lines: dict[str, WaitingLine] = {}

    def wait(self, future: Future[tuple[int, str]], timeout: float | None, ask: Ask) -> tuple[int, str]:
        if not _is_thread_of_cells():
            return super().wait(future, timeout, ask)
        _refuse_voila()
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        until = None if timeout is None else time.monotonic() + timeout
        tick = _PUMP_TICK_S if self.tap is not None and self.tap.needs_pump else _TICK_S
        with self._waiting(future, ask) as (stop, wait):
            while not done.wait(tick if until is None else max(0.0, min(tick, until - time.monotonic()))):
                stop.check()
                if until is not None and time.monotonic() >= until:
                    raise TimeoutError
                self._pump()
                wait.look()
            stop.check()
        return future.result(0)

    async def wait_async(self, future: Future[tuple[int, str]], ask: Ask) -> tuple[int, str]:
        if not _is_thread_of_cells():
            return await super().wait_async(future, ask)
        if _is_in_cell():
            _refuse_voila()
        ended = self.told_in_loop(future)
        with self._waiting(future, ask) as (stop, wait):
            # Ticks: ipykernel cancels an awaiting cell from a SIGINT handler by call_soon, which does not wake up the loop
            # (jupyterlab#12194). A plain `await ended` would hear of the Stop button when the run ends.
            while not ended.done():
                await asyncio.wait({ended}, timeout=_TICK_S)
                stop.check()
                self._pump()
                wait.look()
            stop.check()
        return future.result()

    @contextlib.contextmanager
    def _waiting(self, future: Future[tuple[int, str]], ask: Ask) -> Iterator[tuple[_StopButton, _Wait]]:
        wait = _Wait(self._line(), ask)
        with self.tap.waiting() if self.tap is not None else contextlib.nullcontext(), _StopButton(_is_in_cell()) as stop:
            try:
                yield stop, wait
            finally:
                wait.over(_end(future))

    def _pump(self) -> None:
        if self.tap is not None:
            self.tap.pump()

    def _line(self) -> WaitingLine:
        """The line of the cell that runs: one a cell, however many runs it waits for."""
        try:
            cell = kernels.current_kernel().get_parent("shell")["header"]["msg_id"]
        except (AttributeError, LookupError, TypeError):
            return WaitingLine()
        line = self._lines.setdefault(cell, WaitingLine())
        while len(self._lines) > _CELLS:
            del self._lines[next(iter(self._lines))]
        return line


# -- who waits, and may it be stopped --


def _is_thread_of_cells() -> bool:
    """The main thread, or that of a subshell (ipykernel 7)."""
    thread = threading.current_thread()
    return thread is threading.main_thread() or type(thread).__module__.startswith("ipykernel.")


def _is_in_cell() -> bool:
    """Whether what is raised here ends up in the cell, and not in a task or callback beside it.

    A KeyboardInterrupt that leaves an asyncio Task goes through the loop, and would end the kernel; IPython catches it in
    ``run_code``. So: is that on our stack, with no Task in between (gather and wait_for make them)?
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no running loop
        task = None
    of_task = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    frame: Any = sys._getframe(1)
    while frame is not None and frame is not of_task:
        code = frame.f_code
        if code.co_name == "run_code" and code.co_filename.endswith("interactiveshell.py"):
            return True
        frame = frame.f_back
    return False


class _StopButton:
    """Hears SIGINT instead of ipykernel while the cell itself waits.

    ipykernel's own handler raises anywhere in a plain cell, and in a cell that has an ``await`` it only cancels the cell's task: a
    blocking ``result()`` in such a cell would not end, and ``await run`` would raise CancelledError, as if somebody had canceled it.
    Beside the cell (in a task of gather, in a widget's callback) ipykernel's handler stays: its CancelledError ends the task.
    """

    def __init__(self, in_cell: bool):
        self._is_ours = in_cell and threading.current_thread() is threading.main_thread()  # where signals are handled
        self._is_pressed = False
        self._before: Any = None

    def __enter__(self) -> _StopButton:
        if self._is_ours:
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def _heard(self, *_: object) -> None:
        self._is_pressed = True  # only a note: raised by check, where nothing is half done

    def check(self) -> None:
        if self._is_pressed:
            raise ends_at_the_cell(KeyboardInterrupt())

    def __exit__(self, *exc_info: object) -> None:
        if self._is_ours and signal.getsignal(signal.SIGINT) == self._heard:
            signal.signal(signal.SIGINT, self._before if self._before is not None else signal.SIG_DFL)


def _refuse_voila() -> None:
    """Voila shows a page when all cells have run: one that waits for a click on that page waits for ever."""
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
        raise WfkernelError(
            "a cell cannot wait for a run in Voila: the page appears once all cells have run, so nobody could click in it. Let the run "
            "be the last value of a cell (its card shows the result), or await it in a task of its own: "
            "`async def then(): print(await run)`, and `asyncio.create_task(then())`"
        )


# -- the line --


class _Wait:
    """One wait, as its cell's line shows it. Used on the cell's thread only."""

    def __init__(self, line: WaitingLine, ask: Ask):
        self._line = line
        self._ask = ask
        self._began = time.monotonic()
        self._next = self._began + _SILENT_S
        self._asked: Future[tuple[str, str] | None] | None = None
        self.run_id = ""
        self.what_for = ""

    def look(self) -> None:
        """Ask now and then what the run waits for, and show what it answered; never waits for it, and never fails."""
        try:
            if self._asked is not None:
                if self._asked.done():
                    found, self._asked = self._asked.result(), None
                    if found is not None:
                        self.run_id, self.what_for = found
                        self._line.show(self)
            elif time.monotonic() >= self._next:
                self._next = time.monotonic() + _NEWS_S
                self._asked = self._ask()
        except Exception:  # the manager is being closed, say: the wait itself will hear of it
            self._asked = None
            _log.debug("no line about a wait", exc_info=True)

    def over(self, end: str) -> None:
        try:
            self._line.drop(self, end, time.monotonic() - self._began)
        except Exception:
            _log.debug("no line about the end of a wait", exc_info=True)


class WaitingLine:
    """One display in a cell's output, changed as its waits go on."""

    def __init__(self) -> None:
        self._waits: list[_Wait] = []
        self._ends: list[str] = []  # of those that the line showed since it last said how all ended
        self._display_id: str | None = None
        self._text = ""

    def show(self, wait: _Wait) -> None:
        if wait not in self._waits:
            self._waits.append(wait)
        if len(self._waits) == 1:
            self._publish(f"waiting for run {_said(self._waits[0], ': ')}")
        else:
            named = ", ".join(_said(w, " (", ")") for w in self._waits[:_NAMED])
            more = f" and {len(self._waits) - _NAMED} more" if len(self._waits) > _NAMED else ""
            self._publish(f"waiting for {len(self._waits)} runs: {named}{more}")

    def drop(self, wait: _Wait, end: str, after_s: float) -> None:
        """A wait is over: ``end`` is how its run ended, or that it goes on."""
        if wait not in self._waits:
            return
        self._waits.remove(wait)
        self._ends.append(end)
        if self._waits:
            return
        ends, self._ends = self._ends, []
        waited = _duration(after_s)  # by the cell: the run may be much older
        if len(ends) > 1:
            counted = ", ".join(f"{n} {what}" for what, n in Counter(ends).items())
            text = f"{len(ends)} runs: {counted}; the cell waited {waited}"
        elif end == _GOES_ON:
            text = f"stopped waiting for run {wait.run_id} after {waited}: it goes on"
        else:
            text = f"run {wait.run_id} {end}; the cell waited {waited}"
        self._publish(text)

    def _publish(self, text: str) -> None:
        if text == self._text:
            return
        from IPython import display

        self._text = text
        shown = f'<span role="status" style="opacity: 0.7; font-style: italic">{html.escape(text)}</span>'
        data = {"text/plain": text, "text/html": shown}
        if self._display_id is None:
            self._display_id = f"wfkernel-{os.urandom(8).hex()}"
            display.display(data, raw=True, display_id=self._display_id)
        else:
            display.update_display(data, raw=True, display_id=self._display_id)


def _said(wait: _Wait, before: str, after: str = "") -> str:
    return f"{wait.run_id}{before}{wait.what_for}{after}" if wait.what_for else wait.run_id


def _end(future: Future[tuple[int, str]]) -> str:
    if not future.done() or future.cancelled() or future.exception() is not None:  # an exception: the manager was closed
        return _GOES_ON
    return RUN_STATUS[Fact(future.result()[0])]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{seconds:.1f} s" if seconds < 60 else f"{minutes} min {rest} s" if not hours else f"{hours} h {minutes} min"
