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
from typing import TYPE_CHECKING, Any

from wfkernel.cli.asking import Holder, of_engine
from wfkernel.cli.printing import print_json, remark
from wfkernel.cli.progress import Progress, progress
from wfkernel.cli.scripts import as_main, execute
from wfkernel.cli.settling import Outcome, settled
from wfkernel.errors import JournalLocked, OptionError
from wfkernel.model.place import VARIABLE

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from types import ModuleType


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
            if not work.is_late:
                raise KeyboardInterrupt(_how_to_go_on(options)) from None
            remark(f"stopped after {options.timeout:g} s; {_how_to_go_on(options)}")
            code = 1
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
        self.is_late = False

    def script(self) -> int:
        with as_main(self._options.file, self._options.rest) as module:
            with self._alarm():
                code = execute(module)
            if code:
                return code
            sys.stdout.flush()
            with progress() as shown:
                return self._settle(self._holders_here(module), shown)

    def notebook(self) -> int:
        from wfkernel.cli.headless import executed

        lines = Progress()
        with contextlib.ExitStack() as stack:
            with self._alarm():
                journals = stack.enter_context(executed(self._options.file, lines.cell))
            if not journals:
                journals = [self._options.journal]
            holders = [Holder(path) for path in journals if os.path.isfile(path)]
            if ":memory:" in journals:
                remark("a journal in memory is not waited for")
            shown = stack.enter_context(progress())
            return self._settle(holders, shown)

    def document(self) -> dict[str, Any]:
        found = self._outcome or Outcome([], [])
        ended = [{"run_id": e.run_id, "name": e.name, "status": e.status, "waits_for": []} for e in found.ended]
        pending = [
            {"run_id": p.run_id, "name": p.name, "status": "in_progress", "waits_for": p.events, "stuck": p.stuck}
            for p in found.pending
        ]
        return {"runs": [*ended, *pending]}

    def _holders_here(self, module: ModuleType) -> list[Holder]:
        """The journals that the script has open, or closed at its end; where it has none, the one that it was given."""
        registry = sys.modules.get("wfkernel.engine.registry")
        if registry is not None:
            _open_again(module)
            engines = [e for e in registry.engines.values() if not e.closing]
            if engines:
                return [of_engine(engine) for engine in engines]
        return [Holder(self._options.journal)] if os.path.isfile(self._options.journal) else []

    def _settle(self, holders: list[Holder], shown: Progress) -> int:
        with contextlib.ExitStack() as stack:
            for holder in holders:
                stack.enter_context(holder)
            wait = self._options.wait
            self._outcome = settled(holders, self._since, wait_for_events=wait, until=self._until, progress=shown)
        code = self._outcome.exit_code
        if any(p.is_moving for p in self._outcome.pending):
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
            yield
        finally:
            timer.cancel()


def _open_again(module: ModuleType) -> None:
    """The script closed a manager, such as at the end of a ``with``: its runs go on all the same, with the definitions that it had."""
    from wfkernel.manager import WorkflowManager

    for value in list(vars(module).values()):
        engine = vars(value).get("_engine") if isinstance(value, WorkflowManager) else None
        if engine is None or not engine.closing or engine.journal.is_memory:
            continue
        try:
            manager = WorkflowManager(engine.journal.path)
        except JournalLocked:  # somebody else goes on with them
            continue
        for workflow in engine.workflows.values():
            manager._define(workflow)
