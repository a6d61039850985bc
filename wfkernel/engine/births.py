"""How runs begin: started, forked, or as the child of a step."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from wfkernel.core.history import History
from wfkernel.engine import queries
from wfkernel.engine.runs import LiveRun
from wfkernel.engine.steps import Hint, LiveStep
from wfkernel.errors import RunExists
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.ids import KeySequence, text_of_key
from wfkernel.model.jsontext import dumps
from wfkernel.model.values import Encoded

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine


def forget(run_id: str) -> None:
    """Nobody wants to know which runs were there already."""


on_met: Callable[[str], None] = forget  # `wfkernel run` puts one in its place: also a run that was there already has an end


class Births:
    """Engine thread only.

    Attributes:
        being_born: the ids of children whose first row is on its way to the journal.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._starting: dict[str, Future[tuple[int, str]]] = {}
        self.being_born: set[str] = set()
        self._keys = KeySequence(engine.journal.last_run_key, lambda: random.getrandbits(19))

    def start(self, workflow: Any, args: Encoded, options: Any, context: Context) -> Future[tuple[int, str]]:
        """Begin a run; the Future gives its key and id once it is in the journal."""
        self._engine.orders.check_writable()
        if options.id is not None:
            known = self._same_run(workflow, args, options.id)
            if known is not None:
                on_met(options.id)
                return known
        answer: Future[tuple[int, str]] = Future()
        self._create(workflow, args, options, context, parent=None, answer=answer)
        return answer

    def fork(self, workflow: Any, args: Encoded, options: Any, context: Context, copy: Any) -> Future[Any]:
        """Begin a run that has the steps of another; ``copy`` is a ``planning.Copy``."""
        self._engine.orders.check_writable()
        answer: Future[tuple[int, str]] = Future()
        self._create(
            workflow,
            args,
            options,
            context,
            parent=None,
            answer=answer,
            more_rows=copy.rows,
            seed=copy.seed,
            begun_at=copy.begun_at,
            more_blobs=copy.blobs,
        )
        return answer

    def _same_run(self, workflow: Any, args: Encoded, run_id: str) -> Future[tuple[int, str]] | None:
        starting = self._starting.get(run_id)
        if starting is not None:
            if starting.started_with != (workflow.name, args.text):  # type: ignore[attr-defined]
                raise RunExists(run_id, "started with other arguments")
            return starting
        key = self._engine.ids.get(run_id) or queries.key_of(self._engine.journal, run_id)
        if key is None:
            return None
        row = queries.created(self._engine.journal, key)
        if row is None:
            return None
        header = History.of([row]).header
        if row[6] != workflow.name:
            raise RunExists(run_id, f"of workflow {row[6]!r}")
        if dumps(header["args"]) != args.text:
            raise RunExists(run_id, "started with other arguments")
        done: Future[tuple[int, str]] = Future()
        done.set_result((key, run_id))
        return done

    def _create(
        self,
        workflow: Any,
        args: Encoded,
        options: Any,
        context: Context,
        *,
        parent: tuple[LiveRun, LiveStep] | None,
        answer: Future[tuple[int, str]] | None,
        more_rows: Callable[[int, str], list[Any]] | None = None,
        seed: str | None = None,
        begun_at: int | None = None,
        more_blobs: Any = None,
    ) -> str:
        now = self._engine.clock.time_us()
        key = self._keys.next(now)
        run_id = options.id or text_of_key(key)
        members = [f'"id":{dumps(run_id)},"args":{args.text}']
        if options.context_text is not None:
            members.append(f'"context":{options.context_text}')
        if options.on_complete is not None:
            members.append(f'"on_complete":{dumps(options.on_complete)}')
        if options.request is not None:
            members.append(f'"request":{dumps(options.request)}')
        if parent is not None:
            run, step = parent
            step.child = run_id
            step.hinted = step.fact
            self.being_born.add(run_id)
            members.append(f'"parent":{dumps([run.key, step.number, step.generation, run.id])}')
        start_at = options.start_at(now)
        if start_at is not None:
            members.append(f'"start_at":{start_at}')
        if seed is None and options.id is not None:
            seed = text_of_key(key)  # an id may be used again, in another journal or after cleanup: its uuid4 must not
        if seed is not None:
            members.append(f'"seed":{dumps(seed)}')
        if begun_at is not None:
            members.append(f'"begun_at":{begun_at}')
        created = (key, -1, 0, Fact.CREATED.value, now, workflow.name, "{" + ",".join(members) + "}")
        rows: list[Any] = [created]
        if options.id is not None:
            rows.append((key, -1, 0, Fact.NAMED.value, now, options.id, "{}"))
        if parent is not None:  # in one commit: the child may end before the parent's body is here again to wait for it
            rows.append(parent[1].row(parent[1].fact, now))
        if more_rows is not None:
            rows.extend(more_rows(key, run_id))
        if answer is not None and options.id is not None:
            answer.started_with = (workflow.name, args.text)  # type: ignore[attr-defined]
            self._starting[run_id] = answer
        blobs = {**args.blobs, **options.context_blobs, **(more_blobs or {})}
        confirm: Future[Any] = Future()
        if answer is not None:
            confirm.add_done_callback(partial(_confirm, answer, key, run_id))
        landed = partial(self._created, rows, context, more_rows is not None)
        self._engine.orders.submit(
            rows, then=landed, blobs=blobs, answer=confirm, keep=None if parent is None else parent[1].is_alive
        )
        return run_id

    def _created(self, rows: list[Any], context: Context, has_history: bool, write: Write) -> None:
        key = rows[0][0]
        numbered = [(write.seq + i, *row) for i, row in enumerate(rows)]
        history = History.of(r for r in numbered if r[1] == key)
        self._starting.pop(history.run_id, None)
        self.being_born.discard(history.run_id)
        if write.error is not None or write.dropped:
            return
        run = self._engine.recovery.adopt(numbered[0], history.header)
        run.context = context
        if "parent" in history.header:
            self._engine.recovery.adopt_child(run, history.header["parent"][0])
        if self._engine.replay_always or has_history:
            run.history = history
        try:
            run.begin()
        except Exception as exc:
            self._engine.recovery.cannot_begin(run, exc)
        self._engine.changed(run)

    def start_child(self, run: LiveRun, step: LiveStep) -> None:
        """Begin a child run, or find the one that this step began before a restart."""
        known = step.child or self._engine.recovery.children.pop((run.key, step.number), None)
        if known is not None and known in self._engine.ids:
            step.child = known
            self._engine.journal.submit(Hint(step))
            return
        again = run.history.children.get(step.number) if run.history is not None else None
        if again is not None and self._restart_child(run, step, again):
            return
        child = step.request.target
        options = child.start_options().delayed(step.request.options)
        if options.id is not None and (
            options.id in self._engine.ids or queries.key_of(self._engine.journal, options.id) is not None
        ):
            run.fail_at_once(step, RunExists(options.id, "so it cannot be started as a child"))
            return
        self._create(child, step.request.args, options, run.context, parent=(run, step), answer=None)

    def _restart_child(self, run: LiveRun, step: LiveStep, child_id: str) -> bool:
        """The child of a step that is run again goes on from its own journal, rather than from scratch."""
        key = self._engine.key_of(child_id)
        if key is None:
            return False
        history = queries.histories(self._engine.journal, [key])[key]
        if history.created is None or history.end is None or history.status == "completed":
            return False
        if history.name != step.request.target.name or dumps(history.header["args"]) != step.request.args.text:
            return False
        step.child = child_id
        self._engine.journal.submit(Hint(step))
        self._engine.changes.restart(key, history, history.to_run_again(), False)
        return True


def _confirm(answer: Future[tuple[int, str]], key: int, run_id: str, confirm: Future[Any]) -> None:
    error = confirm.exception()
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result((key, run_id))
