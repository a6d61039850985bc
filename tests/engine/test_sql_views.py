"""wf.runs, wf.steps and wf.events as a running engine fills them: what a user SELECTs."""

# ruff: noqa: F811 - `world` is a fixture
from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from recovery_fixtures import World, error_of, until, world  # noqa: F401

from wfkernel import RunRecord, StepRecord

EVENT_COLUMNS = ["event_id", "run_id", "name", "status", "value", "error", "created_at", "sent_at", "consumed_at"]


def select(world: World, what: str, *parameters: Any) -> list[dict[str, Any]]:
    cursor = world.wf.db.execute(what, list(parameters))
    names = [d[0] for d in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.parametrize(
    ("view", "columns"),
    [("runs", list(RunRecord.model_fields)), ("steps", list(StepRecord.model_fields)), ("events", EVENT_COLUMNS)],
)
def test_the_columns_are_the_fields_of_the_records(world: World, view: str, columns: list[str]) -> None:
    cursor = world.wf.db.execute(f"SELECT * FROM wf.{view}")
    assert sorted(d[0] for d in cursor.description) == sorted(columns)


def full(world: World) -> Any:
    def bad(x: int) -> None:
        raise ValueError("bad", x)

    def count(db: Any) -> int:
        return db.execute("SELECT 41 + 1").fetchall()[0][0]

    @world.define
    async def child(step: Any) -> str:
        return "from the child"

    @world.define
    async def flow(step: Any, n: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        found["action"] = await step.run_action(world.note, n)
        found["query"] = await step.run_query(count)
        try:
            await step.run_action(bad, 1)
        except Exception as exc:
            found["error"] = str(exc)
        await step.sleep(60)
        found["child"] = await step.run_workflow(child)
        found["event"] = await step.await_event("go")
        return found

    return flow


def test_a_row_says_what_the_record_says(world: World) -> None:
    run = full(world).options(context=[1]).start(5)
    run.send_event("go", {"x": 1})
    result = run.result(10)
    records = {r.run_id: r for r in world.wf.list().items}
    for row in select(world, "SELECT * FROM wf.runs"):
        record = records[row["run_id"]]
        for name in ("name", "status", "created_at", "completed_at", "generation", "parent_run_id"):
            assert row[name] == getattr(record, name)
        for name in ("args", "context", "result"):
            assert (json.loads(row[name]) if row[name] else None) == getattr(record, name)
    assert json.loads(select(world, "SELECT result FROM wf.runs WHERE run_id = ?", run.id)[0]["result"]) == result
    steps = {s.step_number: s for s in run.steps()}
    rows = select(world, "SELECT * FROM wf.steps WHERE run_id = ? ORDER BY step_number", run.id)
    assert [r["step_number"] for r in rows] == sorted(steps)
    for row in rows:
        step = steps[row["step_number"]]
        for name in ("name", "kind", "status", "scheduled_at", "completed_at", "child_run_id", "event_id", "generation"):
            assert row[name] == getattr(step, name), name
        assert (row["attempts"] or 0) == step.attempts
        assert json.loads(row["args"]) == step.args
        assert (json.loads(row["result"]) if row["result"] else None) == step.result
        assert (json.loads(row["error"])["type"] if row["error"] else None) == (step.error.type if step.error else None)
        assert isinstance(row["scheduled_at"], datetime)
        assert row["scheduled_at"].utcoffset() is not None


def test_the_rows_are_there_while_the_run_goes_on(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        await step.run_action(world.note, 1)
        await step.await_event("go")

    run = flow.start()
    world.wait_for_step(run, "go")
    assert select(world, "SELECT status, result, error, completed_at FROM wf.runs") == [
        {"status": "in_progress", "result": None, "error": None, "completed_at": None}
    ]
    assert select(world, "SELECT name, kind, status FROM wf.steps ORDER BY step_number") == [
        {"name": "note", "kind": "action", "status": "success"},
        {"name": "go", "kind": "event", "status": "running"},
    ]
    (waiting,) = select(world, "SELECT name, status, value, sent_at, consumed_at FROM wf.events")
    assert waiting == {"name": "go", "status": "waiting", "value": None, "sent_at": None, "consumed_at": None}


def test_ends_are_told_apart(world: World) -> None:
    @world.define
    async def good(step: Any) -> int:
        return 1

    @world.define
    async def bad(step: Any) -> None:
        raise KeyError("k")

    @world.define
    async def stopped(step: Any) -> None:
        await step.await_event("go")

    good.start().result(10)
    error_of(bad.start())
    stopped.start().cancel()
    rows = select(world, "SELECT name, status, error ->> '$.type' AS error FROM wf.runs ORDER BY name")
    assert [tuple(r.values()) for r in rows] == [
        ("bad", "failed", "KeyError"),
        ("good", "completed", None),
        ("stopped", "canceled", None),
    ]


def test_steps_hold_all_generations_and_list_steps_the_current_one(world: World) -> None:
    @world.define
    async def flow(step: Any) -> None:
        for i in range(3):
            await step.run_action(world.note, i)

    run = flow.start()
    run.result(10)
    run.restart(from_step=1)
    run.result(10)
    rows = select(world, "SELECT step_number, generation FROM wf.steps ORDER BY ALL")
    assert [tuple(r.values()) for r in rows] == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert [(s.step_number, s.generation) for s in world.wf.list_steps(run).items] == [(0, 0), (1, 1), (2, 1)]
    assert isinstance(run.steps(), list)


def test_a_join_of_the_users_own_table_with_the_views_works(world: World) -> None:
    @world.define
    async def flow(step: Any, city: str) -> None:
        await step.run_action(world.note, city)

    world.wf.db.execute("CREATE TABLE cities (name VARCHAR, country VARCHAR)")
    world.wf.db.execute("INSERT INTO cities VALUES ('Oslo', 'Norway'), ('Bergen', 'Norway')")
    run = flow.start("Oslo")
    run.result(10)
    sql = "SELECT c.country, r.status FROM wf.runs r JOIN cities c ON c.name = r.args ->> '$.city'"
    assert world.wf.db.execute(sql).fetchall() == [("Norway", "completed")]


def test_the_views_are_the_same_after_a_crash(world: World) -> None:
    run = full(world).start(5)
    run.send_event("go", {"x": 1})
    run.result(10)
    views = ("runs", "steps", "events")
    before = [select(world, f"SELECT * FROM wf.{v} ORDER BY ALL") for v in views]
    world.crash()
    assert [select(world, f"SELECT * FROM wf.{v} ORDER BY ALL") for v in views] == before


def test_user_sql_cannot_write_the_journals_schema(world: World) -> None:
    world.wf.start(world.define(waits)).cancel()
    before = world.rows()
    for statement in ("DELETE FROM wf.facts", "DROP VIEW wf.runs", "CREATE TABLE wf.mine (x INTEGER)", "CHECKPOINT"):
        with pytest.raises(Exception, match=r".+"):
            world.wf.db.execute(statement)
    assert world.rows() == before


async def waits(step: Any) -> None:
    await step.await_event("go")


def test_lists_come_in_pages(world: World) -> None:
    flow = world.define(waits)
    ids = [flow.start().id for _ in range(5)]
    first = world.wf.list(order="asc", limit=2)
    second = world.wf.list(order="asc", limit=2, cursor=first.cursor)
    third = world.wf.list(order="asc", limit=2, cursor=second.cursor)
    assert [r.run_id for page in (first, second, third) for r in page.items] == ids
    assert [p.is_done for p in (first, second, third)] == [False, False, True]
    assert [r.run_id for r in world.wf.list().items] == ids[::-1]
    assert len(world.wf.list_by_name("waits", status="in_progress").items) == 5
    assert world.wf.list(status="failed").items == []
    until(lambda: all(world.running(i) for i in ids))
