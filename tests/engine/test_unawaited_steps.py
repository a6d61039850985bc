"""Python's warning about a step that nobody awaited names the step, not what it is made of."""

from __future__ import annotations

from typing import Any

import pytest

from wfkernel import WorkflowManager


def look() -> None:
    pass


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda step: step.run_action(look), "look"),
        (lambda step: step.options(name="later").run_query(look), "later"),
        (lambda step: step.run_workflow("forgetful"), "forgetful"),
        (lambda step: step.await_event("go"), "go"),
        (lambda step: step.sleep(1), "sleep"),
    ],
    ids=["action", "query", "workflow", "event", "sleep"],
)
def test_a_step_that_nobody_awaits_is_named_with_its_line(wf: WorkflowManager, ask: Any, name: str) -> None:
    @wf.workflow
    async def forgetful(step) -> None:
        ask(step)

    line = ask.__code__.co_firstlineno
    with pytest.warns(RuntimeWarning, match="never awaited") as caught:
        forgetful.start().result()
    (warning,) = caught
    assert str(warning.message) == f"coroutine 'step {name} (line {line} of <lambda>)' was never awaited"
