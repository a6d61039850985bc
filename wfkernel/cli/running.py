"""``wfkernel run``: a script or a notebook, until its runs have ended or wait."""

from __future__ import annotations

import _thread
import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfkernel.cli.asking import Holder, of_engine
from wfkernel.cli.printing import print_json, remark
from wfkernel.cli.progress import Progress, progress
from wfkernel.cli.scripts import as_main, execute
from wfkernel.cli.settling import Outcome, settled
from wfkernel.cli.unattended import watched
from wfkernel.errors import OptionError, WfkernelError
from wfkernel.model.place import VARIABLE

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator


def run(options: Namespace) -> int:
    if not os.path.isfile(options.file):
        raise OptionError(f"there is no file {options.file!r}")
    is_notebook = options.file.endswith(".ipynb")
    if is_notebook and options.rest:
        options.error("a notebook takes no arguments")
    work = _Work(options)
    with contextlib.ExitStack() as stack:
        if options.json:  # the document is all there is on the output
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        stack.enter_context(_journal_named(options))
        try:
            code = work.notebook() if is_notebook else work.script()
        except KeyboardInterrupt:
            options.is_cut_short = True
            if not work.is_late:
                raise KeyboardInterrupt(_how_to_go_on(options)) from None
            remark(f"stopped after {options.timeout:g} s; {_how_to_go_on(options)}")
            code = 1
    if not is_notebook:
        code = work.end_of_threads(code)
    if options.json:
        print_json({"file": options.file, "exit_code": code, **work.document()})
    return code


def _how_to_go_on(options: Namespace) -> str:
    where = "" if options.is_default_journal else f" --journal {shlex.quote(options.journal)}"
    command = f"wfkernel run {shlex.quote(options.file)}{where}"
    if options.rest:
        command += f" -- {shlex.join(options.rest)}"
    return f"what has not ended is in the journal; `{command}` goes on with it"


@contextlib.contextmanager
def _journal_named(options: Namespace) -> Iterator[None]:
    """What is run finds the journal in its environment, if one was named."""
    before = os.environ.get(VARIABLE)
    if before is not None or not options.is_default_journal:
        os.environ[VARIABLE] = _absolute(options.journal)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def _absolute(journal: str) -> str:
    return journal if journal == ":memory:" else os.path.abspath(os.path.expanduser(journal))


class _Work:
    """One file that is run, and what comes of it."""

    def __init__(self, options: Namespace):
        self._options = options
        self._since = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._until = None if options.timeout is None else time.monotonic() + options.timeout
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        self.is_late = False

    def script(self) -> int:
        from wfkernel.cli import noted

        with as_main(self._options.file, self._options.rest) as module, contextlib.ExitStack() as stack:
            noted.begin()
            stack.callback(noted.end)
            try:
                with self._alarm(), watched(wait_for_events=self._options.wait):
                    ending = execute(module)
            except KeyboardInterrupt:
                self._look(self._holders_here(noted.closed()), noted.met)
                raise
            if ending.code:
                self._error = ending.error
                self._look(self._holders_here(noted.closed()), noted.met)
                return ending.code
            sys.stdout.flush()
            noted.open_again()
            with progress() as shown:
                return self._settle(self._holders_here([]), noted.met, shown)

    def end_of_threads(self, code: int) -> int:
        """Python waits for the threads that a script leaves, and so do we, until the time is up."""
        if self._until is None or getattr(self._options, "is_cut_short", False):
            return code
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread():
                thread.join(max(0.0, self._until - time.monotonic()))
                if thread.is_alive():
                    self._options.is_cut_short = True
                    remark(f"stopped after {self._options.timeout:g} s; a thread of the script went on: {thread.name}")
                    return code or 1
        return code

    def notebook(self) -> int:
        from wfkernel.cli.headless import executed

        lines = Progress()
        with contextlib.ExitStack() as stack:
            try:
                with self._alarm():
                    found = stack.enter_context(executed(self._options.file, lines.cell, wait_for_events=self._options.wait))
            except KeyboardInterrupt:
                self._look(self._holders([self._notebooks_journal()]), list)
                raise
            if ":memory:" in found.journals:
                remark("a journal in memory is not waited for")
            shown = stack.enter_context(progress())
            return self._settle(self._holders(found.journals or [self._notebooks_journal()]), lambda: found.met, shown)

    def _notebooks_journal(self) -> str:
        """Where a notebook finds its journal that names none."""
        return os.environ.get(VARIABLE) or os.path.join(
            os.path.dirname(os.path.abspath(self._options.file)), self._options.journal
        )

    def document(self) -> dict[str, Any]:
        found = self._outcome or Outcome([], [])
        ended = [{"run_id": e.run_id, "name": e.name, "status": e.status, "waits_for": []} for e in found.ended]
        pending = [
            {"run_id": p.run_id, "name": p.name, "status": "in_progress", "waits_for": p.events, "stuck": p.stuck}
            for p in found.pending
        ]
        error = self._error
        said = {} if error is None else {"error": {"type": type(error).__name__, "message": str(error)}}
        return {"runs": [*ended, *pending], **said}

    def _holders_here(self, closed: list[str]) -> list[Holder]:
        """The journals that are open in this process, and those that were closed; where none is, the one that the script was given."""
        registry = import_module("wfkernel.engine.registry")
        engines = [e for e in registry.engines.values() if not e.closing]
        found = [of_engine(engine) for engine in engines]
        found += self._holders([path for path in closed if path not in {str(e.journal.path) for e in engines}])
        return found or self._holders([self._options.journal])

    def _holders(self, journals: list[str]) -> list[Holder]:
        return [Holder(path) for path in journals if os.path.isfile(path)]

    def _look(self, holders: list[Holder], met: Callable[[], list[str]]) -> None:
        """Where the runs stand now, for the document: whoever only wants the exit code need not wait for it."""
        if self._options.json and (self.is_late or self._error is not None):
            self._until = time.monotonic()
            with contextlib.suppress(WfkernelError):  # the error that is told is the one that brought us here
                self._ask(holders, met, Progress())

    def _ask(self, holders: list[Holder], met: Callable[[], list[str]], shown: Progress) -> Outcome:
        with contextlib.ExitStack() as stack:
            for holder in holders:
                stack.enter_context(holder)
            wait = self._options.wait
            self._outcome = settled(holders, self._since, met, wait_for_events=wait, until=self._until, progress=shown)
        return self._outcome

    def _settle(self, holders: list[Holder], met: Callable[[], list[str]], shown: Progress) -> int:
        outcome = self._ask(holders, met, shown)
        code = outcome.exit_code
        if any(p.is_moving for p in outcome.pending):
            self._options.is_cut_short = True
            remark(f"stopped after {self._options.timeout:g} s; {_how_to_go_on(self._options)}")
        return code

    @contextlib.contextmanager
    def _alarm(self) -> Iterator[None]:
        """Interrupts what runs in the main thread when the time is up, as Ctrl-C would: it may block anywhere."""
        if self._options.timeout is None:
            yield
            return

        def ring() -> None:
            self.is_late = True
            ident = threading.main_thread().ident
            if ident is not None and hasattr(signal, "pthread_kill"):
                signal.pthread_kill(ident, signal.SIGINT)  # also out of a lock
            else:
                _thread.interrupt_main()

        timer = threading.Timer(self._options.timeout, ring)
        timer.daemon = True
        timer.start()
        try:
            with self._heard():
                yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """A shell lets the commands that it starts by ``&`` ignore Ctrl-C: the alarm is not to be ignored."""

        def late(*_: object) -> None:
            if self.is_late:
                raise KeyboardInterrupt

        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, late)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
