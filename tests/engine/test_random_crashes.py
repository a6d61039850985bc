"""Random little workflows, killed at random moments: the end is that of the run which nothing disturbed."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recovery_fixtures import MODES, World, a_world, until

from wfkernel import RetryPolicy, Run, StepFailed, current_step

EXAMPLES = int(os.environ.get("WFKERNEL_EXAMPLES", "15"))
CALLS: Counter[int] = Counter()
POLICY = RetryPolicy(max_attempts=3, initial_backoff=5, jitter=0)

leaves = st.one_of(
    st.tuples(st.just("act"), st.integers(0, 2)),
    st.tuples(st.just("act_async"), st.integers(0, 1)),
    st.tuples(st.just("fail")),
    st.tuples(st.just("write")),
    st.tuples(st.just("read")),
    st.tuples(st.just("sleep"), st.integers(0, 1000)),
    st.tuples(st.just("event")),
    st.tuples(st.just("timeout"), st.integers(1, 100)),
    st.tuples(st.just("race"), st.integers(1, 50), st.integers(51, 100)),
)
programs = st.recursive(
    st.lists(leaves, min_size=1, max_size=4),
    lambda inner: st.lists(
        st.one_of(
            leaves,
            st.tuples(st.sampled_from(["gather", "group", "as_completed"]), st.lists(inner, min_size=1, max_size=3)),
            st.tuples(st.just("child"), inner),
        ),
        min_size=1,
        max_size=4,
    ),
    max_leaves=10,
)


def numbered(program: Any, numbers: Any) -> Any:
    """The program as JSON, each leaf with a number of its own."""
    made = []
    for word, *rest in program:
        if word in ("gather", "group", "as_completed"):
            made.append([word, [numbered(p, numbers) for p in rest[0]]])
        elif word == "child":
            made.append([word, numbered(rest[0], numbers)])
        else:
            made.append([word, next(numbers), *rest])
    return made


def act(number: int, failures: int) -> int:
    CALLS[number] += 1
    if current_step().attempt <= failures:
        raise OSError("not yet")
    return number * 10


async def act_async(number: int, failures: int) -> int:
    await asyncio.sleep(0)
    return act(number, failures)


def fail(number: int) -> None:
    CALLS[number] += 1
    raise ValueError(number)


def write(db: Any, number: int) -> int:
    db.execute("INSERT INTO written VALUES (?)", [number])
    return number


def read(db: Any, number: int) -> int:
    return db.execute("SELECT ?", [number]).fetchall()[0][0]


async def perform(step: Any, program: Any) -> list[Any]:
    found: list[Any] = []
    for op in program:
        found.append(await one(step, *op))
    return found


async def one(step: Any, word: str, *rest: Any) -> Any:
    match word:
        case "act":
            return await step.options(retry=POLICY).run_action(act, *rest)
        case "act_async":
            return await step.options(retry=POLICY).run_action(act_async, *rest)
        case "fail":
            try:
                await step.run_action(fail, *rest)
            except StepFailed as exc:
                return [str(exc), type(exc.__cause__).__name__]
        case "write":
            return await step.run_mutation(write, *rest)
        case "read":
            return await step.run_query(read, *rest)
        case "sleep":
            return await step.sleep(rest[1])
        case "event":
            return await step.await_event(f"event-{rest[0]}")
        case "timeout":
            try:
                await asyncio.wait_for(step.await_event(f"never-{rest[0]}"), rest[1])
            except TimeoutError:
                return "timeout"
        case "race":
            tasks = [asyncio.create_task(step.sleep(s), name=str(s)) for s in rest[1:]]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            return [task.get_name() for task in done]
        case "gather":
            return await asyncio.gather(*(perform(step, p) for p in rest[0]))
        case "group":
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(perform(step, p)) for p in rest[0]]
            return [t.result() for t in tasks]
        case "as_completed":
            return sorted([await each for each in asyncio.as_completed([perform(step, p) for p in rest[0]])], key=repr)
        case "child":
            return await step.run_workflow("flow", rest[0])
    raise AssertionError(word)


async def flow(step: Any, program: list[Any]) -> list[Any]:
    return await perform(step, program)


def events_of(program: Any) -> list[str]:
    """The events of the program itself; those of its children are sent to the children."""
    found = []
    for word, *rest in program:
        if word == "event":
            found.append(f"event-{rest[0]}")
        elif word in ("gather", "group", "as_completed"):
            found += [e for p in rest[0] for e in events_of(p)]
    return found


def feed(world: World, sent: set[str]) -> None:
    """Send every run the events that it will want, each once."""
    for record in world.wf.list(status="in_progress").items:
        if record.run_id not in sent:
            for name in events_of(record.args["program"]):
                world.wf.send_event(name, name, run=record.run_id)
            sent.add(record.run_id)


def is_over(world: World, run: Run) -> bool:
    return world.wf.status(run.id).type != "in_progress"


def all_steps(world: World) -> Counter[Any]:
    """The steps of all runs, without their numbers: threads decide which of two comes first."""
    rows = world.wf.db.execute("SELECT name, kind, status, args, result FROM wf.steps").fetchall()
    return Counter((name, kind, status, str(args), str(result)) for name, kind, status, args, result in rows)


def journaled(world: World) -> dict[int, int]:
    """How often each action was called whose success or failure is in the journal."""
    sql = "SELECT args ->> '$.number' FROM wf.steps WHERE kind = 'action' AND status IN ('success', 'failed')"
    return {int(n): CALLS[int(n)] for (n,) in world.wf.db.execute(sql).fetchall()}


def uninterrupted(program: Any, replay: str) -> tuple[Any, Counter[Any]]:
    with tempfile.TemporaryDirectory() as directory, a_world(Path(directory) / "j.duckdb", replay) as world:
        world.wf.db.execute("CREATE TABLE written (number INTEGER)")
        run = world.define(flow).start(program)
        sent: set[str] = set()
        until(lambda: (feed(world, sent), is_over(world, run))[1], 20)
        return run.result(10), all_steps(world)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(
    programs, st.lists(st.tuples(st.integers(1, 25), st.sampled_from(["crash", "reopen"])), max_size=3), st.sampled_from(MODES)
)
def test_a_run_that_is_killed_now_and_then_ends_as_if_nothing_had_been(program: Any, deaths: Any, replay: str) -> None:
    program = numbered(program, count())
    result, steps = uninterrupted(program, replay)
    CALLS.clear()
    with tempfile.TemporaryDirectory() as directory, a_world(Path(directory) / "j.duckdb", replay) as world:
        world.wf.db.execute("CREATE TABLE written (number INTEGER)")
        run = world.define(flow).start(program)
        sent: set[str] = set()
        for rows, how in deaths:
            first = len(world.rows())
            until(
                lambda run=run, first=first, rows=rows: (
                    feed(world, sent),
                    is_over(world, run) or len(world.rows()) >= first + rows,
                )[1],
                20,
            )
            world.forget()
            getattr(world, how)()
            before = journaled(world)
            world.define(flow)
            run = world.again(run)
            sent_before_death = set(sent)
            assert sent_before_death <= {r.run_id for r in world.wf.list(limit=1000).items}
            until(lambda run=run: world.running(run.id) or is_over(world, run), 20)
            assert {n: CALLS[n] for n in before} == before, "a step whose end was journaled did not run again"
        until(lambda: (feed(world, sent), is_over(world, run))[1], 20)
        assert run.result(10) == result
        assert all_steps(world) == steps
        written = world.wf.db.execute("SELECT number FROM written ORDER BY number").fetchall()
        wanted = world.wf.db.execute(
            "SELECT (args ->> '$.number')::INTEGER AS n FROM wf.steps WHERE kind = 'mutation' ORDER BY n"
        ).fetchall()
        assert written == wanted, "each mutation wrote once"
        assert world.wf.verify(run) is None
        recorded = world.rows()
        world.crash()
        assert world.again(run).result(10) == result
        assert world.rows() == recorded
