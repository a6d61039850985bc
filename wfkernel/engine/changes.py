"""What is done to runs from outside: cancel, restart, removal."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from wfkernel.core.history import History
from wfkernel.engine.runs import LiveRun
from wfkernel.errors import RunActive, RunNotActive, RunNotFound
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.jsontext import dumps

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine


class Changes:
    """Engine thread only.

    Attributes:
        restarting: the keys of runs whose restart is on its way to the journal.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self.restarting: set[int] = set()

    def cancel(self, key: int, run_id: str, grace: float, request: str | None = None) -> Future[None]:
        self._engine.orders.check_writable()
        run = self._engine.runs.get(key)
        if run is None:
            self._engine.check_taken_in(key)
            raise RunNotActive(run_id, self._engine.status_of(key, run_id))
        if run.cancel_t is not None:
            raise RunNotActive(run_id, "being canceled")
        if run.ending:
            raise RunNotActive(run_id, "ending")
        return self._cancel_tree(run, grace, request)

    def cancel_child(self, child_id: str) -> None:
        key = self._engine.ids.get(child_id)
        run = self._engine.runs.get(key) if key is not None else None
        if run is not None and run.cancel_t is None and not run.ending:
            self._cancel_tree(run, grace=30.0)

    def _cancel_tree(self, run: LiveRun, grace: float, request: str | None = None) -> Future[None]:
        tree = list(self._descendants(run))
        now = self._engine.clock.time_us()
        rows: list[Any] = []
        body = dumps({"grace": grace, **_tagged(request)})
        for each in tree:
            each.cancel_t = now
            rows.append((each.key, -1, each.generation, Fact.CANCEL_REQUESTED.value, now, each.name, body))
        settled: Future[None] = self._engine.expected(Future())
        confirm: Future[Any] = Future()
        confirm.add_done_callback(lambda f: f.exception() and not settled.done() and settled.set_exception(f.exception()))
        self._engine.orders.submit(rows, then=partial(self._cancel_landed, tree, now, grace, settled), answer=confirm)
        return settled

    def _cancel_landed(self, tree: list[LiveRun], now: int, grace: float, settled: Future[None], write: Write) -> None:
        if write.error is not None or write.dropped:
            for run in tree:
                run.cancel_t = None
            return
        left = len(tree)

        def one_settled() -> None:
            nonlocal left
            left -= 1
            if left == 0 and not settled.done():
                settled.set_result(None)

        for i, run in enumerate(tree):
            run.settled = [*(run.settled or []), one_settled]
            if run.ending:
                if run.key not in self._engine.runs:
                    run._tell_settled()
                continue
            run.canceled(write.seq + i, now, grace)

    def _descendants(self, run: LiveRun) -> Iterable[LiveRun]:
        yield run
        children = [step.child for step in run.steps.values() if step.kind == "workflow"]
        if run.body is None:
            children += [child for (parent, _), child in self._engine.recovery.children.items() if parent == run.key]
        for child_id in children:
            child = self._engine.runs.get(self._engine.ids.get(child_id or "", -1))
            if child is not None and child.cancel_t is None and not child.ending:
                yield from self._descendants(child)

    def restart(
        self, key: int, history: History, drop: list[int], new_generation: bool, request: str | None = None
    ) -> Future[None]:
        """Set steps aside and go on; the Future is resolved once that is in the journal."""
        self._engine.orders.check_writable()
        if key in self._engine.runs or key in self.restarting:
            raise RunActive(history.run_id)
        self.restarting.add(key)
        now = self._engine.clock.time_us()
        generation = history.generation + bool(new_generation)
        children = {n: s.body["child"] for n, s in history.steps.items() if n in drop and "child" in s.body}
        body: dict[str, Any] = {"drop": drop, **_tagged(request)}
        if children and not new_generation:
            body["children"] = {str(n): c for n, c in children.items()}
        row = (key, -1, generation, Fact.RESTARTED.value, now, history.name, dumps(body))
        answer: Future[None] = Future()
        self._engine.orders.submit([row], then=partial(self._restarted, key, row, history, copy_context()), answer=answer)
        answer.add_done_callback(lambda f: f.exception() and self.restarting.discard(key))
        return answer

    def _restarted(self, key: int, row: Any, history: History, context: Context, write: Write) -> None:
        self.restarting.discard(key)
        if write.error is not None or write.dropped:
            return
        history.add((write.seq, *row))
        assert history.created is not None
        self._engine.ends.errors.pop(key, None)
        run = self._engine.recovery.adopt(history.created, history.header)
        run.context = context
        self._engine.recovery.begin_recorded(run, history)
        self._engine.changed(run)

    def remove(self, keys: list[int], force: bool) -> Future[None] | None:
        """Delete ended runs from the journal; None if one is in progress and ``force`` is not given."""
        self._engine.orders.check_writable()
        for key in keys:
            self._engine.check_taken_in(key)
        live = [self._engine.runs[k] for k in keys if k in self._engine.runs]
        if live and not force:
            return None
        for run in live:
            run.ending = True
            for step in list(run.steps.values()):
                run._abandon(step, 0)
            run.steps.clear()
            if run.body is not None:
                run.body.drop()
            for timer in (run.start_timer, run.grace_timer):
                if timer is not None:
                    timer.cancel()
            self._engine.ends.forget(run)
            self._tell_parent(run)
            for waiter in run.waiters:
                if not waiter.done():
                    waiter.set_exception(RunNotFound(run.id))
        for key in keys:
            self._engine.ends.errors.pop(key, None)
        self._engine.reports.forget(keys)
        answer: Future[None] = Future()
        self._engine.orders.submit([], delete_runs=keys, answer=answer)
        return answer

    def _tell_parent(self, run: LiveRun) -> None:
        """Its step ends as that of a child that was canceled; else it would wait for ever."""
        parent = run.header.get("parent")
        above = self._engine.runs.get(parent[0]) if parent is not None else None
        step = above.steps.get(parent[1]) if above is not None and not above.ending else None  # type: ignore[index]
        if step is None or step.done or step.child != run.id:
            return
        step.done = True
        row = step.row(Fact.STEP_CANCELED, self._engine.clock.time_us(), '"raised":true')
        self._engine.orders.submit([row], keep=step.is_alive, then=step.landed)


def _tagged(request: str | None) -> dict[str, str]:
    return {} if request is None else {"request": request}
