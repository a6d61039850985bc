"""What users query: one row per run, step and event, whatever the bodies hold."""

from __future__ import annotations

import json

import pytest
from journal_kit import commit, row

from wfkernel.journal import Journal
from wfkernel.model.facts import Fact


def body(**fields: object) -> str:
    return json.dumps(fields)


def select(journal: Journal, sql: str) -> list[tuple]:
    return journal.user_cursor().execute(sql).fetchall()


def run_fact(run: int, fact: Fact, t: int = 0, generation: int = 0, name: str | None = None, **fields: object) -> tuple:
    return (run, -1, generation, int(fact), t, name, body(**fields))


def step_fact(run: int, step: int, fact: Fact, generation: int = 0, name: str = "work", **fields: object) -> tuple:
    return (run, step, generation, int(fact), 0, name, body(**fields))


def test_a_runs_status_is_that_of_its_last_fact(journal: Journal) -> None:
    for run in range(1, 6):
        created = run_fact(run, Fact.CREATED, 10**15, name="trip", id=f"run-{run}", args={"n": run}, context={"c": 1})
        commit(journal, created)
    commit(journal, run_fact(2, Fact.COMPLETED, 10**15 + 10**6, result=[1, 2]))
    commit(journal, run_fact(3, Fact.FAILED, error={"type": "E", "message": "m", "traceback": "t"}))
    commit(journal, run_fact(4, Fact.CANCELED))
    commit(journal, run_fact(5, Fact.COMPLETED, result=1))
    commit(journal, run_fact(5, Fact.RESTARTED, generation=1, drop=[0]))
    sql = "SELECT run_id, name, status, args ->> 'n', result::VARCHAR, error ->> 'message', generation FROM wf.runs ORDER BY 1"
    assert select(journal, sql) == [
        ("run-1", "trip", "in_progress", "1", None, None, 0),
        ("run-2", "trip", "completed", "2", "[1,2]", None, 0),
        ("run-3", "trip", "failed", "3", None, "m", 0),
        ("run-4", "trip", "canceled", "4", None, None, 0),
        ("run-5", "trip", "in_progress", "5", None, None, 1),
    ]
    times = "SELECT created_at::VARCHAR, completed_at::VARCHAR FROM wf.runs WHERE run_id = 'run-2'"
    assert select(journal, times) == [("2001-09-09 01:46:40+00", "2001-09-09 01:46:41+00")]
    assert select(journal, "SELECT count(*) FROM wf.runs WHERE completed_at IS NULL") == [(2,)]


def test_a_child_run_names_its_parent(journal: Journal) -> None:
    commit(journal, run_fact(2, Fact.CREATED, id="child", parent=[1, 0, 0, "parent"]))
    assert select(journal, "SELECT parent_run_id FROM wf.runs") == [("parent",)]


def test_a_step_is_its_last_fact_in_each_generation(journal: Journal) -> None:
    commit(journal, run_fact(1, Fact.CREATED, id="r"))
    commit(journal, step_fact(1, 0, Fact.STEP_SCHEDULED, kind="action", args=[1], scheduled_at=1000))
    running = {"kind": "action", "args": [1], "scheduled_at": 1000, "started_at": 2000, "attempts": 1}
    commit(journal, step_fact(1, 0, Fact.STEP_RUNNING, **running))
    commit(journal, step_fact(1, 0, Fact.STEP_SUCCESS, **running, completed_at=3000, result={"a": None}))
    commit(journal, step_fact(1, 0, Fact.STEP_FAILED, generation=1, **running, completed_at=4000, error={"message": "no"}))
    commit(journal, step_fact(1, 1, Fact.STEP_CANCELED, kind="workflow", child="c"))
    commit(journal, (1, -1, 0, int(Fact.FILE), 0, "f" * 64, "{}"))
    sql = (
        "SELECT run_id, step_number, generation, name, kind, status, args::VARCHAR, result::VARCHAR, error ->> 'message', "
        "attempts, "
        "epoch_us(scheduled_at), epoch_us(started_at), epoch_us(completed_at), child_run_id FROM wf.steps ORDER BY 2, 3"
    )
    assert select(journal, sql) == [
        ("r", 0, 0, "work", "action", "success", "[1]", '{"a":null}', None, 1, 1000, 2000, 3000, None),
        ("r", 0, 1, "work", "action", "failed", "[1]", None, "no", 1, 1000, 2000, 4000, None),
        ("r", 1, 0, "work", "workflow", "canceled", None, None, None, 0, None, None, None, "c"),
    ]


def test_an_events_status_follows_what_was_sent_and_awaited(journal: Journal) -> None:
    def event(run: int, fact: Fact, event_id: str, t: int, **fields: object) -> tuple:
        return (run, -1, 0, int(fact), t, "approval", body(event_id=event_id, **fields))

    def awaited(step: int, fact: Fact, event_id: str, **fields: object) -> tuple:
        return step_fact(1, step, fact, name="approval", kind="event", event_id=event_id, scheduled_at=5, **fields)

    commit(journal, run_fact(1, Fact.CREATED, id="r"))
    commit(journal, event(1, Fact.EVENT_CREATED, "created", 1))
    commit(journal, event(1, Fact.EVENT_SENT, "sent", 2, value={"ok": True}))
    commit(journal, awaited(0, Fact.STEP_SCHEDULED, "waiting"))
    commit(journal, event(1, Fact.EVENT_CREATED, "used", 1))
    commit(journal, event(1, Fact.EVENT_SENT, "used", 2, value=7))
    commit(journal, awaited(1, Fact.STEP_RUNNING, "used"), awaited(1, Fact.STEP_SUCCESS, "used", completed_at=9, result=7))
    commit(journal, event(1, Fact.EVENT_SENT, "refused", 3, error="no"))
    commit(journal, awaited(2, Fact.STEP_CANCELED, "never"))
    sql = (
        "SELECT event_id, run_id, name, status, value::VARCHAR, error, epoch_us(created_at), epoch_us(sent_at), "
        "epoch_us(consumed_at) FROM wf.events ORDER BY 1"
    )
    assert select(journal, sql) == [
        ("created", "r", "approval", "created", None, None, 1, None, None),
        ("refused", "r", "approval", "sent", None, "no", 3, 3, None),
        ("sent", "r", "approval", "sent", '{"ok":true}', None, 2, 2, None),
        ("used", "r", "approval", "consumed", "7", None, 1, 2, 9),
        ("waiting", "r", "approval", "waiting", None, None, 5, None, None),
    ]


WEIRD = [None, "", "not json", "[]", "3", "null", '{"id": 5, "args": "x"}', '{"scheduled_at": "soon", "attempts": "many"}']
WEIRD += [
    '{"scheduled_at": 1e300, "completed_at": 9223372036854775807, "kind": 5}',
    '{"parent": 3, "event_id": {"a": 1}, "kind": "event"}',
]


def test_weird_bodies_give_nulls_and_never_an_error(journal: Journal) -> None:
    for number, text in enumerate(WEIRD, 1):
        commit(journal, *(row(number, step, fact, text) for fact in (1, 2, 3, 6, 7, 8, 20, 22, 23, 99) for step in (-1, 0)))
    for view in ("runs", "steps", "events"):
        columns = ", ".join(f"{name}::VARCHAR" for name, *_ in select(journal, f"DESCRIBE wf.{view}"))
        assert isinstance(select(journal, f"SELECT {columns} FROM wf.{view}"), list)


def test_instants_come_back_aware_and_in_utc(journal: Journal) -> None:
    pytest.importorskip("pytz", reason="DuckDB's Python client needs pytz to return a TIMESTAMPTZ")
    commit(journal, run_fact(1, Fact.CREATED, 10**15, id="r"))
    (created_at,) = select(journal, "SELECT created_at FROM wf.runs")[0]
    assert created_at.utcoffset().total_seconds() == 0
    assert created_at.timestamp() == 10**9


def test_every_table_view_and_column_is_documented(journal: Journal) -> None:
    sql = "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'wf' AND comment IS NULL"
    assert select(journal, sql) == []
    for kind in ("table", "view"):
        sql = f"SELECT {kind}_name FROM duckdb_{kind}s() WHERE schema_name = 'wf' AND comment IS NULL"
        assert select(journal, sql) == []
