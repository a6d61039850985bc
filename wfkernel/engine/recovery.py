"""Definitions, and the runs that wait for theirs, or to be asked for: those found at the opening of a journal go on from here."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from wfkernel.core.history import History
from wfkernel.engine import queries
from wfkernel.engine.names import Missing, Names, missing_name
from wfkernel.engine.pools import Pool
from wfkernel.engine.runs import LiveRun
from wfkernel.errors import DefinitionError, RunNotActive
from wfkernel.model.jsontext import loads

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine
    from wfkernel.engine.steps import LiveStep

_RESUME_AT_ONCE = 200  # runs read and replayed in one turn of the loop


class Recovery:
    """Engine thread only.

    Attributes:
        undefined: the runs that wait for a definition, by the name of the workflow whose cell it is.
        children: (parent, step) -> child, for parents that are not yet replayed.
        resuming: how many batches of runs are still to be replayed.
        held: the runs found at the opening that wait until somebody asks for them, by key.
    """

    def __init__(self, engine: Engine, *, auto_resume: bool):
        self._engine = engine
        self._auto_resume = auto_resume
        self.undefined: dict[str, list[LiveRun]] = {}
        self.held: dict[int, LiveRun] = {}
        self._found: set[int] = set()  # at the opening, and unfinished
        self.children: dict[tuple[int, int], str] = {}
        self.resuming = 0
        self._names = Names(engine)

    def define(self, workflow: Any) -> None:
        self._engine.workflows[workflow.name] = workflow
        waiting = self.undefined.pop(workflow.name, [])
        if waiting:
            context = copy_context()
            for run in waiting:
                run.context = context
            self._resume(waiting)

    def await_definition(self, run: LiveRun) -> None:
        self.undefined.setdefault(run.needs, []).append(run)
        self._engine.changed(run)

    def is_undefined(self, run: LiveRun) -> bool:
        return run in self.undefined.get(run.needs, ())

    def missing(self, run: LiveRun, last: str | None, error: BaseException | None) -> Missing | None:
        """The global name for whose lack code of this run failed, if that is no failure: the rest of its code may be on its way.

        Only of runs that were found at the opening; in one that began here the name is misspelled, or was never there.

        Args:
            last: the name that this code waited for before; it is not waited for again where it is there.
        """
        found = missing_name(error) if run.key in self._found and run.cancel_t is None else None
        return None if found is None or (found.name == last and found.is_there) else found

    def await_name(self, run: LiveRun, missing: Missing) -> None:
        """Its body cannot go on without this name: it begins again once it is there, or once its workflow is defined anew."""
        self._engine.logger.info("run %s (%s) waits for %r to be defined", run.id, run.name, missing.name)
        run.lacks, run.needs = missing.name, run.name
        self.await_definition(run)
        self._names.wait(missing, lambda: self._name_is_there(run, missing))

    def _name_is_there(self, run: LiveRun, missing: Missing) -> None:
        if run.body is not None or not self.is_undefined(run):
            return  # it has ended, or was defined anew
        if any(step.done for step in run.steps.values()):  # its end is on its way to the journal, where the body will find it
            self._names.wait(missing, lambda: self._name_is_there(run, missing))
            return
        self.undefined[run.needs].remove(run)
        self._resume([run])

    def step_awaits_name(self, step: LiveStep, missing: Missing) -> None:
        """Its function cannot go on without this name: it runs again once it is there. The attempt did not count."""
        self._engine.logger.info("step %s of run %s waits for %r to be defined", step.number, step.run.id, missing.name)
        step.lacks = missing.name
        self._engine.changed(step.run)
        self._names.wait(missing, lambda: step.run.admit(step))

    def wanted(self, run: LiveRun) -> str:
        """What an undefined run waits for, in words."""
        return f"workflow {run.needs!r}" if run.lacks is None else f"{run.lacks!r}, which workflow {run.name!r} uses,"

    def is_held(self, run: LiveRun) -> bool:
        return run.key in self.held

    def resume_all(self) -> None:
        """Let all runs that are held go on."""
        going, self.held = list(self.held.values()), {}
        self._release(going)

    def resume_one(self, key: int, run_id: str) -> None:
        """Let a run go on, and its children with it; one that is not held is left alone."""
        if key not in self._engine.runs:
            self._engine.check_taken_in(key)
            raise RunNotActive(run_id, self._engine.status_of(key, run_id))
        self._release([self.held.pop(k) for k in self._with_children(key) if k in self.held])

    def _release(self, going: list[LiveRun]) -> None:
        """They go on now, or once their workflow is defined."""
        defined = [run for run in going if run.name in self._engine.workflows]
        context = copy_context()
        for run in going:
            run.context = context
            if run not in defined:
                self.await_definition(run)
        if defined:
            self._resume(defined)

    def _with_children(self, key: int) -> Iterator[int]:
        yield key
        for (parent, _), child in list(self.children.items()):
            if parent == key and child in self._engine.ids:
                yield from self._with_children(self._engine.ids[child])

    def set_auto_resume(self, auto_resume: bool) -> None:
        """The journal is opened again with another word. What has gone on already goes on; it counts for the rest."""
        self._auto_resume = auto_resume
        if auto_resume:
            self.resume_all()
            return
        for runs in self.undefined.values():
            for run in [r for r in runs if r.key in self._found and r.body is None]:
                runs.remove(run)
                self.held[run.key] = run

    def resolve_workflow(self, workflow: Any) -> Any:
        """A Workflow from itself or its name; DefinitionError if there is none."""
        if isinstance(workflow, str):
            found = self._engine.workflows.get(workflow)
            if found is None:
                known = ", ".join(sorted(self._engine.workflows)) or "none"
                raise DefinitionError(
                    f"no workflow {workflow!r} is defined here (defined: {known}); run the cell that defines it"
                )
            return found
        if callable(getattr(workflow, "bind", None)):
            return workflow
        raise DefinitionError(f"this is no workflow: {workflow!r}; decorate the function with @wf.workflow")

    def open(self) -> None:
        for name, body in queries.pools(self._engine.journal):
            self._engine.pools[name] = Pool(name, body["max_parallelism"])
        for row in queries.unfinished(self._engine.journal):
            history = History.of([row])
            run = self.adopt(row, history.header)
            parent = history.header.get("parent")
            if parent is not None:
                self.children[parent[0], parent[1]] = run.id
            if self._auto_resume:
                self.await_definition(run)
            else:
                self.held[run.key] = run
            self._found.add(run.key)

    def forget(self, run: LiveRun) -> None:
        """It has ended, or was removed."""
        self.held.pop(run.key, None)
        self._found.discard(run.key)
        waiting = self.undefined.get(run.needs)
        if waiting is not None and run in waiting:
            waiting.remove(run)

    def adopt_child(self, run: LiveRun, parent: int) -> None:
        """A child is as old as its parent in what it can expect to be there."""
        if parent in self._found:
            self._found.add(run.key)

    def adopt(self, row: Any, header: dict[str, Any]) -> LiveRun:
        _, key, _, _, _, t, name, _ = row
        run = LiveRun(self._engine, key, name, header, t, copy_context())
        self._engine.runs[key] = run
        self._engine.ids[run.id] = key
        return run

    def _resume(self, runs: list[LiveRun]) -> None:
        """Read and replay, some at a time, so that other runs go on meanwhile."""
        self.resuming += 1
        now, later = runs[:_RESUME_AT_ONCE], runs[_RESUME_AT_ONCE:]
        histories = queries.histories(self._engine.journal, [r.key for r in now])
        for run in now:
            if run.key in self._engine.runs and not run.ending:
                self.begin_recorded(run, histories[run.key])
                self._engine.changed(run)
        self.resuming -= 1
        if later:
            self.resuming += 1
            self._engine.loop.call_soon(self._resume_rest, later)

    def _resume_rest(self, runs: list[LiveRun]) -> None:
        self.resuming -= 1
        self._resume(runs)
        self._engine.turn_over()

    def begin_recorded(self, run: LiveRun, history: History) -> None:
        run.history = history
        run.generation = history.generation
        if history.cancel is not None:
            run.cancel_t = history.cancel[5]
        try:
            run.begin()
        except Exception as exc:
            self.cannot_begin(run, exc)
            return
        if run.cancel_t is not None and not run.ending:
            grace = History.of([history.cancel]).cancel if history.cancel else None
            run.grace_timer = self._engine.timers.at(run.cancel_t + _grace_us(grace), run._grace_is_over)

    def cannot_begin(self, run: LiveRun, exc: Exception) -> None:
        """Its arguments cannot be read here, say: it waits, as for a definition, and says why."""
        self._engine.logger.error("run %s (%s) cannot be resumed: %s", run.id, run.name, exc)
        run.begun = False
        run.error = exc
        self.await_definition(run)


def _grace_us(cancel: Any) -> int:
    return round(loads(cancel[7])["grace"] * 1e6) if cancel is not None else 0
