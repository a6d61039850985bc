"""Random programs, random orders of completion: any prefix of a journal, replayed and continued, equals the whole."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wfkernel.core.body import Body
from wfkernel.core.history import History
from wfkernel.core.step import Step
from wfkernel.engine.replay import Outcomes, replay
from wfkernel.errors import NondeterminismError, StepFailed
from wfkernel.model.facts import Fact
from wfkernel.model.jsontext import dumps
from wfkernel.model.values import Codec

CODEC = Codec()
OUTCOMES = Outcomes(CODEC, {}.__getitem__)
CREATED = (1, 7, -1, 0, Fact.CREATED.value, 1_000, "program", '{"id":"r","args":{}}')


def call(n: int) -> int:
    return n


# -- programs: nested lists that a body interprets --

programs = st.recursive(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 5)),
        st.tuples(st.just("sleep"), st.integers(0, 5)),
        st.tuples(st.just("asyncio.sleep"), st.integers(0, 5)),
        st.tuples(st.just("event"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("random")),
        st.tuples(st.just("now")),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("sequence"), st.lists(inner, max_size=3)),
        st.tuples(st.just("gather"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("group"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("first"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("each"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("in_time"), inner),
        st.tuples(st.just("caught"), inner),
    ),
    max_leaves=10,
)


async def interpret(step: Step, program: Any, trace: list[Any]) -> Any:
    kind, *rest = program
    if kind == "call":
        value: Any = await step.run_action(call, rest[0])
    elif kind == "sleep":
        value = await step.sleep(rest[0])
    elif kind == "asyncio.sleep":
        value = await asyncio.sleep(rest[0])
    elif kind == "event":
        value = await step.await_event(rest[0])
    elif kind == "random":
        value = step.random.random()
    elif kind == "now":
        value = step.now().isoformat()
    elif kind == "sequence":
        value = [await interpret(step, p, trace) for p in rest[0]]
    elif kind == "gather":
        value = await asyncio.gather(*(interpret(step, p, trace) for p in rest[0]))
    elif kind == "group":
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(interpret(step, p, trace)) for p in rest[0]]
        value = [t.result() for t in tasks]
    elif kind == "first":
        tasks = [asyncio.create_task(interpret(step, p, trace)) for p in rest[0]]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        value = sorted(str(t.exception() or t.result()) for t in done)
    elif kind == "each":
        tasks = [asyncio.create_task(interpret(step, p, trace)) for p in rest[0]]
        value = [await t for t in asyncio.as_completed(tasks)]
    elif kind == "in_time":
        value = await asyncio.wait_for(interpret(step, rest[0], trace), 3)
    else:
        value = await caught(step, rest[0], trace)
    trace.append((kind, str(value)))
    return value


async def caught(step: Step, program: Any, trace: list[Any]) -> Any:
    try:
        return await interpret(step, program, trace)
    except (StepFailed, TimeoutError, ExceptionGroup) as exc:
        return type(exc).__name__


class Run:
    """A body and the journal of its facts, driven by hand: the engine's part, without time and threads."""

    def __init__(self, program: Any, rows: list[Any] = [CREATED]):  # noqa: B006 - only read
        self.rows = list(rows)
        self.trace: list[Any] = []
        history = History.of(rows)
        self.body = Body("r", history.steps, 1_000)
        step = Step(self.body, CODEC, lambda workflow: workflow)
        replay(self.body, interpret(step, program, self.trace), history, OUTCOMES)

    def finish_one(self, choice: int, fails: bool) -> None:
        """End one of the pending steps, and tell the body."""
        number = sorted(self.body.pending)[choice % len(self.body.pending)]
        request = self.body.pending[number]
        t = self.rows[-1][5] + 500_000
        members = f'{{"kind":"{request.kind}","args":{request.args.text},"after":{request.after}'
        if fails and request.kind == "action":
            fact, end = Fact.STEP_FAILED, ',"attempts":1,"error":{"type":"ValueError","message":"no"}}'
        else:
            value = number if request.kind in ("action", "event") else None
            fact, end = Fact.STEP_SUCCESS, f',"result":{dumps(value)}}}'
        self.rows.append((self.rows[-1][0] + 1, 7, number, 0, fact.value, t, request.name, members + end))
        self.tell(self.rows[-1])

    def tell(self, row: Any) -> None:
        step = History.of([row]).steps[row[2]]
        value, error = OUTCOMES.of(step)
        self.body.apply(step.number, step.seq, step.t, value, error)

    @property
    def end(self) -> Any:
        return (self.body.ended, str(self.body.result), repr(self.body.error), sorted(self.body.pending), self.body.next_number)


def drop(*runs: Run) -> None:
    """Else asyncio complains of the tasks that are left pending."""
    for run in runs:
        run.body.drop()


choices = st.lists(st.tuples(st.integers(0, 10), st.booleans()), max_size=30)


def lived(program: Any, order: list[tuple[int, bool]]) -> Run:
    run = Run(program)
    for choice, fails in order:
        if run.body.ended or not run.body.pending:
            break
        run.finish_one(choice, fails)
    return run


@settings(max_examples=300)
@given(programs, choices, st.integers(0, 1000))
def test_any_prefix_of_a_journal_replayed_and_continued_equals_the_whole(program, order, place):
    whole = lived(program, order)
    cut = 1 + place % len(whole.rows)  # no draw here: one that Hypothesis gives up would leave a body behind
    resumed = Run(program, whole.rows[:cut])
    assert resumed.body.fatal is None
    for row in whole.rows[cut:]:
        resumed.tell(row)
    assert resumed.end == whole.end
    assert resumed.trace == whole.trace
    drop(whole, resumed)


@settings(max_examples=100)
@given(programs, choices)
def test_replaying_twice_changes_nothing(program, order):
    whole = lived(program, order)
    once, twice = Run(program, whole.rows), Run(program, whole.rows)
    assert once.end == twice.end == whole.end
    assert once.trace == twice.trace == whole.trace
    assert [r.args.text for r in once.body.pending.values()] == [r.args.text for r in whole.body.pending.values()]
    drop(whole, once, twice)


@settings(max_examples=100)
@given(programs, choices, st.integers(0, 5))
def test_another_argument_of_a_recorded_step_is_found(program, order, n):
    whole = lived(("sequence", [("call", n), program]), [(0, False), *order])
    changed = Run(("sequence", [("call", n + 1), program]), whole.rows)
    assert isinstance(changed.body.fatal, NondeterminismError)
    assert changed.body.fatal.step_number == 0
    drop(whole, changed)
