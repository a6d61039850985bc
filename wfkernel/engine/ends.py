"""How runs end: the rows of the end, its hook, the step of its parent, and whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from wfkernel.engine import queries
from wfkernel.engine.hooks import run_hook
from wfkernel.engine.outcomes import original
from wfkernel.engine.runs import LiveRun
from wfkernel.engine.steps import LiveStep
from wfkernel.errors import EngineStopped
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.jsontext import dumps, loads

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

_RECENT_ERRORS = 256  # ended runs whose exception is kept, to be the cause of RunFailed


class Ends:
    """Engine thread only, but for what says otherwise."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self.errors: dict[int, BaseException] = {}

    def end_run(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> None:
        """Write the end of a run, together with what hangs on it: its hook, and the step of its parent."""
        if run.header.get("on_complete") is not None:
            self._engine.attempts.running += 1
            self._engine.attempts.threads.submit(partial(self._end_with_hook, run, fact, rows, blobs))
            return
        rows, step = self._with_parent(run, fact, rows, blobs)
        keep = self._keep_end(run, rows, step)
        self._engine.orders.submit(rows, keep=keep, then=partial(self._ended, run, fact, rows, step, blobs), blobs=blobs)

    @staticmethod
    def _keep_end(run: LiveRun, rows: list[Any], step: LiveStep | None) -> Callable[[], bool] | None:
        """Asked in commit order. A step that succeeded while the end was on its way is not canceled."""
        if not run.abandoned:
            return None if step is None else step.is_alive

        def keep() -> bool:
            done = {n for n, s in run.abandoned.items() if s.is_written}
            if done:
                rows[:] = [r for r in rows if r[0] != run.key or r[3] != Fact.STEP_CANCELED or r[1] not in done]
            return step is None or step.is_alive()

        return keep

    def _end_with_hook(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> None:
        """On a worker's thread."""
        parent: list[Any] = []

        def rows_now() -> tuple[list[Any], Any]:
            all_rows, step = self._with_parent(run, fact, rows, blobs)
            parent[:] = [step]
            all_rows = list(all_rows)
            return all_rows, self._keep_end(run, all_rows, step)

        try:
            write = run_hook(self._engine, run.key, run.id, run.name, run.header, fact, rows_now, blobs)
        except BaseException as exc:
            self._engine.post(self._hook_over)
            if not self._engine.closing and not isinstance(exc, EngineStopped):
                self._engine.logger.error("run %s: its end could not be written: %s", run.id, exc)
                self._engine.loop.call_soon_threadsafe(
                    lambda: self._engine.loop.call_later(0.5, self.end_run, run, fact, rows, blobs)
                )
            return
        self._engine.post(self._hooked, run, fact, write, parent[0], blobs, rows)

    def _hook_over(self) -> None:
        self._engine.attempts.running -= 1

    def _hooked(self, run: LiveRun, fact: Fact, write: Write, step: LiveStep | None, blobs: Any, rows: list[Any]) -> None:
        self._hook_over()
        self._ended(run, fact, rows, step, blobs, write)

    def _with_parent(self, run: LiveRun, fact: Fact, rows: list[Any], blobs: Any) -> tuple[list[Any], LiveStep | None]:
        """The rows of an end, and that of the parent's step which waits for it."""
        parent = run.header.get("parent")
        if parent is None:
            return rows, None
        above = self._engine.runs.get(parent[0])
        step = above.steps.get(parent[1]) if above is not None else None
        if step is None or step.gone or step.child != run.id:
            return (
                rows + self._row_of_unloaded_parent(above, parent, run, fact, rows[-1], blobs)
            ) if above is not None else rows, None
        end = rows[-1]
        step.done = True
        if fact == Fact.COMPLETED:
            text = end[6][len('{"result":') : -1]
            row = step.row(Fact.STEP_SUCCESS, end[4], f'"result":{text}')
        elif fact == Fact.FAILED:
            row = step.row(Fact.STEP_FAILED, end[4], end[6][1:-1])
        else:
            row = step.row(Fact.STEP_CANCELED, end[4], '"raised":true')
        # the parent refers to the values, too: they must not go when the child is cleaned up
        files = [
            (step.run.key, -1, step.generation, Fact.FILE.value, end[4], sha, "{}")
            for sha in {*(blobs or ()), *step.request.args.blobs}
        ]
        return [*rows, row, *files], step

    def _row_of_unloaded_parent(
        self, above: LiveRun, parent: list[Any], run: LiveRun, fact: Fact, end: Any, blobs: Any
    ) -> list[Any]:
        """The parent has no body here yet (it is not defined): its journal must have the child's end all the same."""
        if above.body is not None or above.ending:
            return []
        known = queries.histories(self._engine.journal, [above.key])[above.key].steps.get(parent[1])
        if known is None or known.is_terminal or known.body.get("child") != run.id:
            return []
        code = {Fact.COMPLETED: Fact.STEP_SUCCESS, Fact.FAILED: Fact.STEP_FAILED}.get(fact, Fact.STEP_CANCELED)
        body = {**known.body, **loads(end[6]), "completed_at": end[4]}
        if code == Fact.STEP_CANCELED:
            body["raised"] = True
        files = [(above.key, -1, known.generation, Fact.FILE.value, end[4], sha, "{}") for sha in blobs or ()]
        return [(above.key, known.number, known.generation, code.value, end[4], known.name, dumps(body)), *files]

    def _ended(self, run: LiveRun, fact: Fact, rows: list[Any], step: LiveStep | None, blobs: Any, write: Write) -> None:
        if write.dropped:  # the parent gave up meanwhile: the end stands without it
            own = [r for r in rows if r[0] == run.key]
            self._engine.orders.submit(own, then=partial(self._ended, run, fact, own, None, blobs), blobs=blobs)
            return
        if write.error is not None:
            self._end_failed(run, rows, write.error)
            return
        self.forget(run)
        if run.error is not None and fact == Fact.FAILED:
            self.errors[run.key] = run.error
            if len(self.errors) > _RECENT_ERRORS:
                del self.errors[next(iter(self.errors))]
        waiters, run.waiters = run.waiters, []
        end = next(r for r in rows if r[0] == run.key and r[3] == fact)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result((fact.value, end[6]))
        run._tell_settled()
        if step is None:
            step = self._parent_back_meanwhile(run, write)
        if step is not None:
            self._child_ended(step, fact, write, run)
        self._engine.changed(run)

    def _parent_back_meanwhile(self, run: LiveRun, write: Write) -> LiveStep | None:
        """The parent was not defined when this end was written, and began to wait for it before the commit."""
        parent = run.header.get("parent")
        if parent is None or not any(row[0] == parent[0] for row in write.rows):
            return None
        above = self._engine.runs.get(parent[0])
        return above.steps.get(parent[1]) if above is not None and above.body is not None else None

    def _child_ended(self, step: LiveStep, fact: Fact, write: Write, child: LiveRun) -> None:
        index = next(i for i, r in enumerate(write.rows) if r[0] == step.run.key)
        row = write.rows[index]
        if step.gone:
            return
        body = loads(row[6] or "{}")
        if fact == Fact.COMPLETED:
            step.outcome = self._engine.outcomes.value(body.get("result"))
        elif fact == Fact.FAILED:
            from wfkernel.model.records import ErrorInfo

            step.error = ErrorInfo(**body["error"])
            step.exc = original(child.error) if child.error is not None else None
        step.run.resolve(step, write.seq + index, row)

    def _end_failed(self, run: LiveRun, rows: list[Any], error: BaseException) -> None:
        """The end itself cannot be written (its error's text is no UTF-8, say): write one that can."""
        self._engine.logger.error("run %s: its end could not be written: %s", run.id, error)
        end = rows[-1]
        text = dumps({"error": {"type": type(error).__name__, "message": f"the end of the run could not be written: {error!r}"}})
        plain = (run.key, -1, end[2], Fact.FAILED.value, end[4], run.name, text)
        self._engine.orders.submit([plain], then=partial(self._ended, run, Fact.FAILED, [plain], None, None))

    def forget(self, run: LiveRun) -> None:
        self._engine.runs.pop(run.key, None)
        self._engine.ids.pop(run.id, None)
        self._engine.recovery.forget(run)

    def error_of(self, key: int) -> BaseException | None:
        """The exception of a run that ended a while ago, if it is still at hand."""
        return self.errors.get(key)
