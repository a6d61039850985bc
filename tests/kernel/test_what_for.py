"""What a run waits for, in words: the text of the line in a waiting cell. No kernel is needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wfkernel import Run, WorkflowManager
from wfkernel.engine.what_for import run_and_what_for


@pytest.fixture
def wf() -> Iterator[WorkflowManager]:
    with WorkflowManager(":memory:") as manager:
        yield manager


def text_of(run: Run) -> str:
    engine = run._manager._engine
    found = engine.call(run_and_what_for, engine, run._key)
    assert found is not None
    assert found[0] == run.id
    return found[1]


def define(wf: WorkflowManager, body: Callable[..., Any]) -> Any:
    return wf.workflow(name="flow")(body)


def started(wf: WorkflowManager, body: Callable[..., Any], steps: int = 1, **options: Any) -> Run:
    run = define(wf, body).options(**options).start()
    while len(run.steps()) < steps:
        pass
    return run


async def child(step: Any) -> None:
    await step.await_event("never")


def test_events_and_sleeps(wf: WorkflowManager) -> None:
    async def body(step: Any) -> None:
        await asyncio.gather(
            step.await_event("approve"), step.sleep(86400 * 400), step.await_event("other"), step.await_event("third")
        )

    year = datetime.now().astimezone().year + 1
    assert text_of(started(wf, body, 4)).startswith(f"event 'approve', sleep until {year}-")
    assert text_of(started(wf, body, 4)).endswith(", event 'other' and 1 more")


def test_a_child(wf: WorkflowManager) -> None:
    made = wf.workflow(child)

    async def body(step: Any) -> None:
        await step.run_workflow(made)

    run = started(wf, body)
    while (child_id := run.steps()[0].child_run_id) is None:
        pass
    assert text_of(run) == f"child run {child_id} of 'child'"


def test_steps_that_run_and_steps_that_queue(wf: WorkflowManager) -> None:
    go = threading.Event()
    narrow = wf.pool("narrow", max_parallelism=1)

    async def body(step: Any) -> None:
        slow = step.options(pool=narrow, name="slow")
        await asyncio.gather(*(slow.run_action(go.wait) for _ in range(3)))

    run = started(wf, body, 3)
    assert text_of(run) == "step 'slow', step 'slow', queued for a slot ×2"
    go.set()
    run.result(10)


def test_a_step_that_is_tried_again(wf: WorkflowManager) -> None:
    async def body(step: Any) -> None:
        await step.options(retry=RetryLater).run_action(lambda: 1 / 0)

    from wfkernel import RetryPolicy

    RetryLater = RetryPolicy(initial_backoff=3600)
    run = started(wf, body)
    while ", attempt 2 at " not in text_of(run):
        pass
    assert text_of(run).startswith("step '<lambda>', attempt 2 at ")


def test_a_start_that_is_not_due_and_a_step_that_is_not(wf: WorkflowManager) -> None:
    async def body(step: Any) -> None:
        await step.options(run_after=3600, name="later").run_action(print)

    assert text_of(started(wf, body)).startswith("step 'later' at ")
    at = datetime.now(UTC) + timedelta(days=400)
    assert text_of(started(wf, body, 0, run_at=at)) == f"its start at {at.astimezone():%Y-%m-%d %H:%M}"


def test_a_cleanup_after_cancel(wf: WorkflowManager) -> None:
    async def body(step: Any) -> None:
        try:
            await step.await_event("never")
        finally:
            await step.await_event("cleaned")

    run = started(wf, body)
    run.cancel(grace=60)
    while len(run.steps()) < 2:
        pass
    assert text_of(run) == "its cleanup after cancel, event 'cleaned'"


def test_nothing_is_said_of_a_run_that_has_ended(wf: WorkflowManager) -> None:
    async def body(step: Any) -> None: ...

    run = define(wf, body).start()
    run.result()
    engine = run._manager._engine
    assert engine.call(run_and_what_for, engine, run._key) is None
