"""A named pool of slots, which is a durable work queue, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wfkernel.errors import DefinitionError
from wfkernel.model.functions import find_function, reference_to, signature_of, unwrap
from wfkernel.model.policy import Retry, RetryPolicy, check_retry
from wfkernel.model.records import RunStatus
from wfkernel.model.starting import StartOptions
from wfkernel.workflow import Workflow

if TYPE_CHECKING:
    from wfkernel.manager import WorkflowManager


class Pool:
    """Slots of their own for some steps, and a durable work queue.

    Steps use it by ``step.options(pool=pool)``. ``enqueue_*`` puts a single function call into the journal, which runs when
    a slot is free, across restarts; the id it returns is a run id.
    """

    def __init__(self, manager: WorkflowManager, name: str, retry: Retry = None, start: StartOptions | None = None):
        self._manager = manager
        self.name = name
        self._retry = retry
        self._start = start or StartOptions()

    def options(self, *, retry: Retry = None, **options: Any) -> Pool:
        """A derived pool whose work carries ``retry``, ``id``, ``on_complete``, ``context``, ``run_after``, ``run_at``."""
        base = replace_options(self._work("action"), self._start).options(**options)
        return Pool(self._manager, self.name, check_retry(retry) if retry is not None else self._retry, base.start_options())

    def enqueue_action(self, fn: Any, /, *args: Any, **kwargs: Any) -> str:
        """Queue ``fn(*args, **kwargs)``; returns the id of the work."""
        return self._enqueue("action", fn, args, kwargs)

    def enqueue_mutation(self, fn: Any, /, *args: Any, **kwargs: Any) -> str:
        """Queue ``fn(db, *args, **kwargs)`` in one transaction; returns the id of the work."""
        return self._enqueue("mutation", fn, args, kwargs)

    def enqueue_query(self, fn: Any, /, *args: Any, **kwargs: Any) -> str:
        """Queue ``fn(db, *args, **kwargs)``, read-only; returns the id of the work."""
        return self._enqueue("query", fn, args, kwargs)

    def status(self, work_id: str) -> RunStatus:
        """Where the work stands."""
        return self._manager.status(work_id)

    def result(self, work_id: str, timeout: float | None = None) -> Any:
        """Wait for the work and return what its function returned."""
        return self._manager.result(work_id, timeout)

    def cancel(self, work_id: str) -> None:
        """Cancel the work."""
        self._manager.cancel(work_id)

    @property
    def max_parallelism(self) -> int:
        return self._manager._pool_limit(self.name)

    def _work(self, kind: str) -> Workflow[Any]:
        name = f"{self.name}.{kind}"
        found = self._manager.workflows.get(name)
        if found is None:
            found = _define_work(self._manager, self.name, kind)
        return found

    def _enqueue(self, kind: str, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bare, _, name = unwrap(fn, kind)
        signature_of(bare, kind).named(name, args, kwargs)
        work = replace_options(self._work(kind), self._start)
        retry = self._retry
        how = retry if not isinstance(retry, RetryPolicy) else {s: getattr(retry, s) for s in RetryPolicy.__slots__}
        return work.start(reference_to(fn), list(args), kwargs, how).id

    def __repr__(self) -> str:
        return f"<pool {self.name!r}>"


def replace_options(workflow: Workflow[Any], options: StartOptions) -> Workflow[Any]:
    derived = workflow.options()
    derived._options = replace(derived._options, **{k: getattr(options, k) for k in StartOptions.__slots__})
    return derived


def _define_work(manager: WorkflowManager, pool: str, kind: str) -> Workflow[Any]:
    """The workflow behind ``enqueue_<kind>``: one step in the pool."""

    async def work(step: Any, function: dict, args: list, kwargs: dict, retry: Any) -> Any:
        fn = find_function(function)
        if fn is None:
            where = function.get("name") or f"{function['module']}.{function['qualname']}"
            raise DefinitionError(f"the queued function {where!r} is not defined here; define it, then restart this run")
        how = RetryPolicy(**retry) if isinstance(retry, dict) else retry
        run = getattr(step.options(pool=pool, retry=how), f"run_{kind}")
        return await run(fn, *args, **kwargs)

    return manager.workflow(name=f"{pool}.{kind}")(work)
