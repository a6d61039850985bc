"""``dashboard()``: all runs of a journal, a page at a time, with buttons for several of them. It relays; the page decides what to see.

Messages (``widgets/src/dashboard.js`` is the other side; ``view`` says whose it is, ``n`` which question is answered)::

    page:   {k: "look", view, n, look: {names, statuses, text, sort, desc, page}}    {k: "steps", view, n, name}    {k: "bye", view}
            {k: "open", view, run, below?}    {k: "cmd", id, cmd: "cancel" | "restart" | "cleanup", runs: [id, ...]}
    kernel: {k: "page", view, n, now, path, page, size, total, rows, counts, names} or {..., problem}
            {k: "news", view}: something changed since that page    {k: "opened", view, run, card} or {..., problem}
            {k: "steps", view, n, name, start, width, left_out, times}
            {k: "progress", id, done, total}    {k: "ack", id, ok, msg, results: [[run, ok, text], ...]}

A row is [id, name, status, created, ended, note], instants in Unix milliseconds. A view is told of news once, and then not again before
it has looked: one that is not on the screen, or gone with its page, costs nothing.

The widget is touched on the widgets' thread alone (see ``kernel``); reads of the journal and what may wait are done on others.
"""

from __future__ import annotations

import html
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from wfkernel.cards.desk import Desk
from wfkernel.control.overviews import overview_of
from wfkernel.errors import OptionError, RunActive, RunNotActive, RunNotFound, WfkernelError
from wfkernel.manager import WorkflowManager
from wfkernel.notebook import kernel as kernels
from wfkernel.notebook.card import WIDGET_VIEW, RunCard, show
from wfkernel.notebook.listings import shown_path, table_of_runs
from wfkernel.notebook.runs import manager_of
from wfkernel.notebook.widgets import LiveWidget

__all__ = ["Dashboard", "dashboard"]

logger = logging.getLogger("wfkernel.notebook")

INTERVAL_S = 1.0  # between pages that a view is told to look at
_SHARE = 10  # a view looks again after ten times what the last look cost: reading takes a tenth of a core at most
_PROGRESS_S = 0.5  # between messages of how far a command is
_AT_ONCE = 16  # runs that a command works on; each may take its time to clean up
_STATIC_ROWS = 20
_STATIC = Path(__file__).parent.parent / "static"
_reads = Desk("wfkernel-overview")
_commands = Desk("wfkernel-bulk")


def dashboard(wf: WorkflowManager | None = None) -> Dashboard:
    """All runs of a journal: filter, search, sort, open, cancel, restart, clean up. Leave it as the last value of a cell.

    Args:
        wf: the manager; by default the open one that the notebook has a variable for.

    Raises:
        InvalidArguments: there is no such manager, or there are several.

    Example:
        >>> dashboard(wf)  # doctest: +SKIP
    """
    return Dashboard(manager_of(wf))


class _View:
    """What is known of one view of the dashboard.

    Attributes:
        asked: numbers of the latest questions, by their kind.
        seen: the number of the latest change when its page was read; None until it was.
        next_at: when it may be told of news, by the monotonic clock.
        is_told: whether it was told of news, and has not looked again.
    """

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.seen: int | None = None
        self.next_at = 0.0
        self.is_told = False


class Dashboard(LiveWidget):
    """A live view of all runs of one journal.

    Attributes:
        wf: the manager.
    """

    _esm = _STATIC / "dashboard.js"

    def __init__(self, wf: WorkflowManager, **kwargs: Any):
        self.wf = wf
        self._views: dict[str, _View] = {}
        self._cards: dict[str, RunCard] = {}
        self._overview = overview_of(wf, self._stir)
        self._numbers = itertools.count(1)
        self._change = 0
        self._is_due = False
        super().__init__(**kwargs)  # last: the page may answer at once

    # -- from the browser --

    def _answer(self, message: dict[str, Any]) -> None:
        name = str(message.get("view"))
        match message.get("k"):
            case "look" | "steps" as kind:
                view = self._views.setdefault(name, _View())
                view.asked[kind] = message["n"]
                if kind == "look":
                    view.seen, view.is_told = None, False
                    self._listen()
                job = self._look if kind == "look" else self._steps
                _reads.post(lambda: job(view, message))
            case "bye":
                self._views.pop(name, None)
                self._listen()
            case "open":
                _reads.post(lambda: self._open(message))
            case "cmd":
                _commands.post(lambda: self._context.copy().run(self._command, message))

    # -- to the browser: the widgets' thread --

    def _tell(self, message: dict[str, Any]) -> None:
        if self.comm is not None:
            self._context.copy().run(self.send, message)

    def _tell_page(self, view: _View, seen: int, cost_s: float, message: dict[str, Any]) -> None:
        if view.asked.get("look") != message["n"]:
            return
        view.seen = seen
        view.next_at = time.monotonic() + max(INTERVAL_S, _SHARE * cost_s)
        self._tell(message)
        self._tell_news()

    # -- news --

    def _listen(self) -> None:
        """As long as there is a view that has not been told of news."""
        if all(view.is_told for view in self._views.values()):
            self._overview.rest()
        else:
            self._overview.listen()

    def _stir(self) -> None:
        """Something changed. Any thread, the journal's writer among them."""
        self._change = next(self._numbers)
        if not self._is_due:
            self._is_due = True
            self._post(self._tell_due)

    def _tell_due(self) -> None:
        self._is_due = False
        self._tell_news()

    def _tell_news(self, *, is_urgent: bool = False) -> None:
        at = time.monotonic()
        waiting = [(name, v) for name, v in self._views.items() if not v.is_told and v.seen not in (None, self._change)]
        for name, view in waiting:
            if is_urgent or at >= view.next_at:
                view.is_told = True
                self._tell({"k": "news", "view": name})
        left = [view.next_at - at for _, view in waiting if not view.is_told]
        if left and not self._is_due:
            self._is_due = True
            self._post(self._tell_due, after=max(min(left), 0.01))
        self._listen()

    # -- reads: their own thread --

    def _look(self, view: _View, message: dict[str, Any]) -> None:
        n = message["n"]
        if view.asked.get("look") != n:  # somebody types: only the latest counts
            return
        began = time.perf_counter()
        seen = self._change
        answer: dict[str, Any] = {"k": "page", "view": message["view"], "n": n}
        try:
            answer |= self._overview.page(message["look"]) | {"path": shown_path(self.wf)}
        except (WfkernelError, KeyError, TypeError, ValueError) as exc:
            answer["problem"] = str(exc) if isinstance(exc, WfkernelError) else f"{type(exc).__name__}: {exc}"
        cost_s = time.perf_counter() - began
        self._post(lambda: self._tell_page(view, seen, cost_s, answer))

    def _steps(self, view: _View, message: dict[str, Any]) -> None:
        n, name = message["n"], str(message.get("name"))
        if view.asked.get("steps") != n:
            return
        answer: dict[str, Any] = {"k": "steps", "view": message["view"], "n": n, "name": name}
        try:
            answer |= self._overview.steps(name)
        except WfkernelError as exc:
            answer["problem"] = str(exc)
        self._post(lambda: self._tell(answer))

    def _open(self, message: dict[str, Any]) -> None:
        """Make the card of a run; the page puts it in place by its model's id, or has it shown below the cell."""
        answer: dict[str, Any] = {"k": "opened", "view": message.get("view"), "run": message.get("run")}
        try:
            run = self.wf.get(str(message.get("run")))
        except WfkernelError as exc:
            problem = str(exc)
            self._post(lambda: self._tell({**answer, "problem": problem}))
            return

        def there() -> None:
            if message.get("below"):
                show(run)
                return
            card = self._cards.get(run.id)
            if card is None or card.run != run:
                card = self._cards[run.id] = RunCard(run)
            self._tell({**answer, "card": card.model_id})

        self._post(there)

    # -- commands: their own threads, for they wait --

    def _command(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"k": "ack", "id": message.get("id"), "ok": False, "results": []}
        try:
            results = self._do_all(message)
            answer["results"] = [[run, ok, text] for run, ok, text in results]
            answer["ok"] = all(ok for _, ok, _ in results)
            answer["msg"] = _summary(results)
        except WfkernelError as exc:
            answer["msg"] = str(exc)
        except Exception as exc:
            logger.exception("the command %r of a dashboard failed", message.get("cmd"))
            answer["msg"] = f"{type(exc).__name__}: {exc}"

        def there() -> None:
            self._tell(answer)
            self._tell_news(is_urgent=True)

        self._post(there)

    def _do_all(self, message: dict[str, Any]) -> list[tuple[str, bool, str]]:
        act = _ACTS.get(str(message.get("cmd")))
        if act is None:
            raise OptionError(f"a dashboard does not know how to {message.get('cmd')!r}")
        runs = list(dict.fromkeys(map(str, message.get("runs") or ())))
        if not runs:
            raise OptionError("no run is selected")
        results: dict[str, tuple[bool, str]] = {}
        next_at = time.monotonic() + _PROGRESS_S
        with ThreadPoolExecutor(min(_AT_ONCE, len(runs)), thread_name_prefix="wfkernel-bulk") as pool:
            todo = {pool.submit(self._context.copy().run, _one, act, self.wf, run): run for run in runs}
            for future in as_completed(todo):
                results[todo[future]] = future.result()
                if time.monotonic() >= next_at:
                    next_at = time.monotonic() + _PROGRESS_S
                    progress = {"k": "progress", "id": message.get("id"), "done": len(results), "total": len(runs)}
                    self._post(lambda progress=progress: self._tell(progress))
        return [(run, *results[run]) for run in runs]

    # -- without a kernel --

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **kwargs: Any) -> Any:
        text, page = self._static()
        data: dict[str, Any] = {"text/plain": text, "text/html": page}
        if kernels.current_kernel() is not None:
            data[WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {k: v for k, v in data.items() if (include is None or k in include) and k not in (exclude or ())}

    def __repr__(self) -> str:
        return self._static()[0]

    def _static(self) -> tuple[str, str]:
        """The newest runs as text and as HTML."""
        try:
            records = self.wf.list(limit=_STATIC_ROWS)
            total = self._overview.total()
            title = f"{total:,} {'run' if total == 1 else 'runs'} in {shown_path(self.wf)}"
            if total > len(records.items):
                title += f"; the newest {len(records.items)}:"
            table = table_of_runs(self.wf, records.items, title)
        except WfkernelError as exc:
            return f"<dashboard: {exc}>", f"<p>{html.escape(str(exc))}</p>"
        return repr(table), table._repr_html_()


# -- what is done with runs --


def _one(act: Callable[[WorkflowManager, str], tuple[bool, str]], wf: WorkflowManager, run: str) -> tuple[bool, str]:
    """Do it with one run: whether it was done, and what to tell of it."""
    try:
        return act(wf, run)
    except RunNotFound:
        return False, "gone already"
    except RunNotActive as exc:
        return False, "being canceled already" if exc.status == "being canceled" else "had ended already"
    except RunActive:
        return False, "still in progress"
    except WfkernelError as exc:
        return False, str(exc)
    except Exception as exc:
        logger.exception("run %s: a command of a dashboard failed", run)
        return False, f"{type(exc).__name__}: {exc}"


def _cancel(wf: WorkflowManager, run: str) -> tuple[bool, str]:
    wf.cancel(run)
    return True, "canceled"


def _restart(wf: WorkflowManager, run: str) -> tuple[bool, str]:
    wf.restart(run)
    return True, "restarted"


def _clean_up(wf: WorkflowManager, run: str) -> tuple[bool, str]:
    if wf.cleanup(run):
        return True, "cleaned up"
    wf.get(run)  # RunNotFound, if that is why
    return False, "still in progress"


_ACTS = {"cancel": _cancel, "restart": _restart, "cleanup": _clean_up}


def _summary(results: Iterable[tuple[str, bool, str]]) -> str:
    """What happened to how many: "3 canceled, 1 had ended already"."""
    counts = Counter(text for _, _, text in sorted(results, key=lambda result: not result[1]))
    return ", ".join(f"{n:,} {text}" for text, n in counts.items())
