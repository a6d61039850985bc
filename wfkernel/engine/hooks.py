"""``on_complete``: a mutation in the same transaction as the end of its run. Runs on a worker's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wfkernel.core.body import is_ours
from wfkernel.engine.steps import finished
from wfkernel.errors import DefinitionError, JournalError
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.functions import find_function
from wfkernel.model.jsontext import dumps, loads
from wfkernel.model.records import Completion, ErrorInfo, RunResult, error_info

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine

_KINDS = {Fact.COMPLETED: "success", Fact.FAILED: "failed", Fact.CANCELED: "canceled"}


def run_hook(
    engine: Engine,
    key: int,
    run_id: str,
    name: str,
    header: dict[str, Any],
    fact: Fact,
    rows_now: Callable[[], tuple[list[Any], Any]],
    blobs: Any,
) -> Write:
    """End a run with its hook. If the hook raises, its writes are undone, the end stands, and the failure is recorded."""
    rows, keep = rows_now()
    end = next(r for r in rows if r[0] == key and r[3] == fact)
    try:
        hook = _find(header["on_complete"])
        completion = completion_of(engine, run_id, name, header, fact, end[6])

        def work(db: Any) -> Write:
            finished(hook(db, completion))
            now_rows, now_keep = rows_now()
            return Write(now_rows, keep=now_keep, blobs=blobs)

        write = engine.journal.transact(work)
        assert write is not None
        return write
    except JournalError:
        raise
    except BaseException as exc:
        rows, keep = rows_now()
        write = Write([*rows, failure_row(key, end, header["on_complete"], exc)], keep=keep, blobs=blobs)
        engine.journal.transact(lambda db: write)
        return write


def run_hook_again(engine: Engine, key: int, run_id: str, name: str, header: dict[str, Any], end: Any) -> None:
    """Run a failed hook again, now with a transaction of its own. Raises what it raises."""
    _, _, _, generation, fact, _, _, body = end
    hook = _find(header["on_complete"])
    completion = completion_of(engine, run_id, name, header, Fact(fact), body)

    def work(db: Any) -> Write:
        finished(hook(db, completion))
        return Write([(key, -1, generation, Fact.HOOK_DONE.value, engine.clock.time_us(), name, "{}")])

    engine.journal.transact(work)


def completion_of(engine: Engine, run_id: str, name: str, header: dict[str, Any], fact: Fact, end_text: str) -> Completion:
    body = loads(end_text)
    error = ErrorInfo(**body["error"]) if "error" in body else None
    result = RunResult(kind=_KINDS[fact], value=engine.outcomes.value(body.get("result")), error=error)  # type: ignore[arg-type]
    return Completion(run_id=run_id, name=name, result=result, context=engine.outcomes.value(header.get("context")))


def _find(reference: dict[str, str]) -> Any:
    found = find_function(reference)
    if found is None:
        where = reference.get("name") or f"{reference['module']}.{reference['qualname']}"
        raise DefinitionError(
            f"on_complete {where!r} is not defined here; run the cell that defines it, then wf.retry_on_complete(run)"
        )
    return found


def failure_row(key: int, end: Any, reference: dict[str, str], exc: BaseException) -> Any:
    body = {"error": error_info(exc, is_ours).model_dump(), "on_complete": reference}
    return (key, -1, end[2], Fact.HOOK_FAILED.value, end[4], end[5], dumps(body))
