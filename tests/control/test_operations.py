"""Every operation, asked of a manager of this process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from control_kit import until
from holder_script import Approval, define, failing_hook

from wfkernel import Run, WorkflowManager
from wfkernel.control import cards  # noqa: F401 - puts its operations in the table
from wfkernel.control.operations import OPERATIONS, Asked, Reply, error_body, perform, table
from wfkernel.control.wire import Parser, packed
from wfkernel.engine import queries
from wfkernel.engine.what_for import waits_only
from wfkernel.errors import (
    ControlError,
    DefinitionError,
    EventAlreadyConsumed,
    InvalidArguments,
    InvalidEvent,
    RunActive,
    RunNotActive,
    RunNotFound,
    StepNotFound,
    WfkernelError,
)
from wfkernel.model.jsontext import loads

HERE_ONLY = {
    "holder": "said by hello",
    "is_closed": "of this process",
    "start_named": "start",
    "close": "each process closes its own",
    "codec": "of this process",
    "path": "said by hello",
    "record": "run",
    "result": "wait, and the value is read where it is wanted",
    "list_by_name": "list with a name",
    "workflow": "a definition stays in its process",
    "set_max_parallelism": "pool without a name",
    "db": "sql",
    "approval_url": "of wfkernel.web, by files beside the journal",
    "revoke_approval": "of wfkernel.web, by files beside the journal",
    "serve": "of wfkernel.web, in the process that asks for it",
}
"""Public names of a manager that are no operation, and why, or which one does it."""


@pytest.fixture
def wf(path: Path) -> Any:
    with WorkflowManager(path) as manager:
        define(manager)
        yield manager


def ask(wf: WorkflowManager, op: str, /, *, token: str | None = None, again: bool = False, **params: Any) -> Any:
    result = perform(Asked(wf, token=token, again=again), op, params)
    if isinstance(result, Future):
        result = result.result(10)
    _check_it_travels(result)
    return result


def _check_it_travels(result: Any) -> None:
    value, blobs = result if isinstance(result, Reply) else (result, {})
    assert [m.body for m in Parser().feed(b"".join(packed({"result": value}, blobs)))] == [{"result": value}]


def sql(wf: WorkflowManager, query: str, params: Any = (), form: str = "rows") -> list[tuple[Any, dict[str, Any] | None]]:
    parts: list[tuple[Any, dict[str, Any] | None]] = []
    asked = Asked(wf, tell=lambda part, blobs: parts.append((part, blobs)))
    perform(asked, "sql", {"query": query, "params": list(params), "form": form})
    return parts


def test_every_public_name_of_a_manager_is_an_operation_or_has_a_reason_not_to_be() -> None:
    public = {n for n in dir(WorkflowManager) if not n.startswith("_")}
    assert public - HERE_ONLY.keys() <= OPERATIONS.keys(), "a second process may want these, too"


def test_every_operation_says_what_it_gives_and_takes_nothing_that_it_does_not_know() -> None:
    for operation in OPERATIONS.values():
        assert operation.doc.strip()
        assert operation.params.model_config.get("extra") == "forbid"
        assert operation.params.model_config.get("strict") is True


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_unknown_parameters_are_refused_and_named(wf: WorkflowManager, name: str) -> None:
    with pytest.raises(ControlError, match="colour"):
        ask(wf, name, colour="red")


def test_every_operation_takes_the_parameters_of_its_method() -> None:
    for name, operation in OPERATIONS.items():
        method = getattr(WorkflowManager, name, None)
        if method is None or isinstance(method, property) or name in ("start", "send_event"):
            continue
        taken = {p for p in inspect.signature(method).parameters if p != "self" and not p.startswith("_")}
        known = set(operation.params.model_fields) | {"run_id"}
        assert taken <= known, name


def test_a_run_is_started_looked_at_and_waited_for(wf: WorkflowManager) -> None:
    said = ask(wf, "start", workflow="quick", args={"n": 4}, id="mine")
    assert said == {"run_id": "mine", "name": "quick", "key": wf.get("mine")._key}
    ended = ask(wf, "wait", run="mine")
    assert (ended["status"], ended["body"]["result"]) == ("completed", 5)
    assert ask(wf, "wait", run="mine") == ended
    assert ask(wf, "get", run="mine") == said
    assert ask(wf, "run", run="mine")["args"] == {"n": 4}
    assert ask(wf, "status", run="mine")["result"] == 5
    assert [s["name"] for s in ask(wf, "steps", run="mine")] == ["add_one"]
    assert ask(wf, "list_steps", run="mine", limit=1)["is_done"]
    assert [r["run_id"] for r in ask(wf, "list", name="quick", status="completed")["items"]] == ["mine"]
    assert ask(wf, "verify", run="mine") is None
    assert ask(wf, "plan", run="mine")[0]["action"] == "reuse"
    assert ask(wf, "list_failures") == []
    assert {w["name"] for w in ask(wf, "workflows")} == set(wf.workflows)


def test_a_run_of_a_workflow_that_nobody_has_is_refused_unless_its_sender_has_it(wf: WorkflowManager) -> None:
    with pytest.raises(DefinitionError, match="no workflow 'later'"):
        ask(wf, "start", workflow="later")
    run = wf.get(ask(wf, "start", workflow="later", args={"n": 1}, is_defined=True)["run_id"])
    assert "'later' is not defined here" in (run.status().waiting_for or "")

    @wf.workflow
    async def later(step, n: int):
        return n

    assert run.result(10) == 1


def test_arguments_are_checked_by_the_workflow(wf: WorkflowManager) -> None:
    with pytest.raises(InvalidArguments):
        ask(wf, "start", workflow="quick", args={"n": "many"})
    assert wf.list().items == []


def test_events_are_created_awaited_and_sent(wf: WorkflowManager) -> None:
    run = wf.start("trip", "Oslo")
    awaited = until(lambda: ask(wf, "awaited", run=run.id))[0]
    assert (awaited["event"], awaited["type"]) == ("approval", "Approval")
    assert awaited["form"]
    with pytest.raises(InvalidEvent, match="approval"):
        ask(wf, "send_event", run=run.id, event="approval", value={"ok": "perhaps"}, form=True)
    ask(wf, "send_event", run=run.id, event="approval", value={"ok": True}, form=True)
    assert run.result(10)[1].ok is True

    other = wf.start("named")
    event = ask(wf, "create_event", run=other.id, name="plain")
    ask(wf, "send_event", event=event, value=3)
    assert other.result(10) == 3
    with pytest.raises((EventAlreadyConsumed, RunNotActive)):
        ask(wf, "send_event", event=event, value=3)


def test_the_events_that_a_run_needs_are_told_while_nothing_else_moves_it(wf: WorkflowManager) -> None:
    @wf.workflow
    async def family(step):
        await asyncio.gather(step.run_workflow("named"), step.await_event("mine"))
        await asyncio.gather(step.await_event("later"), step.sleep(3600))

    run = family.start()
    assert ask(wf, "needed_events", run=run.id) in ([], ["mine", "plain"], ["plain", "mine"])  # the child is being born
    until(lambda: sorted(ask(wf, "needed_events", run=run.id)) == ["mine", "plain"])
    run.send_event("mine")
    until(lambda: ask(wf, "needed_events", run=run.id) == ["plain"])
    wf.get(next(s.child_run_id for s in run.steps() if s.child_run_id)).send_event("plain")
    until(lambda: [s.name for s in run.status().running] == ["later", "sleep"])
    assert ask(wf, "needed_events", run=run.id) == []
    run.cancel()
    assert ask(wf, "needed_events", run=run.id) == []


def test_an_await_whose_time_is_up_needs_no_event_though_the_journal_does_not_have_it_yet(wf: WorkflowManager) -> None:
    @wf.workflow
    async def brief(step):
        with contextlib.suppress(TimeoutError):
            await step.await_event("answer", timeout=3600)
        await step.await_event("other")

    run = brief.start()
    key = wf._key(run.id)
    engine = wf._engine
    until(lambda: ask(wf, "awaited", run=run.id))

    def its_time_is_up() -> Any:
        live = engine.runs[key]
        assert waits_only(engine, key) == []
        (step,) = live.steps.values()
        live._event_is_late(step, 3600)
        return [s.name for s in live.steps.values()], waits_only(engine, key)

    assert engine.call(its_time_is_up) == (["answer"], [])
    assert until(lambda: ask(wf, "needed_events", run=run.id)) == ["other"]


def test_a_run_without_a_definition_needs_the_events_of_the_journal(path: Path) -> None:
    with WorkflowManager(path) as wf:
        define(wf)
        run = wf.start("named")
        until(lambda: ask(wf, "needed_events", run=run.id))
    with WorkflowManager(path) as wf:
        assert ask(wf, "needed_events", run=run.id) == ["plain"]


def test_an_event_of_a_class_that_is_not_loaded_here_is_read_by_the_event_s_type(wf: WorkflowManager) -> None:
    run = wf.start("trip", "Oslo")
    until(lambda: ask(wf, "awaited", run=run.id))
    stored = loads(wf.codec.encode(Approval(ok=True, by="Ada")).text)
    stored["t"] = "elsewhere:Approval"
    ask(wf, "send_event", run=run.id, event="approval", value=stored)
    assert run.result(10)[1].by == "Ada"


def test_runs_are_canceled_restarted_forked_and_cleaned_up(wf: WorkflowManager) -> None:
    run = wf.start("named")
    with pytest.raises(RunActive):
        ask(wf, "restart", run=run.id)
    assert ask(wf, "cleanup", run=run.id) is False
    ask(wf, "cancel", run=run.id, grace=1.0)
    assert run.status().type == "canceled"
    with pytest.raises(RunNotActive):
        ask(wf, "cancel", run=run.id)
    ask(wf, "restart", run=run.id)
    run.send_event("plain", 1)
    assert run.result(10) == 1
    with pytest.raises(StepNotFound):
        ask(wf, "restart", run=run.id, from_step=99)
    fork = ask(wf, "fork", run=run.id)
    assert fork["run_id"] != run.id
    assert wf.get(fork["run_id"]).result(10) == 1
    assert ask(wf, "cleanup", run=run.id) is True
    assert ask(wf, "cleanup", run=run.id) is False
    with pytest.raises(RunNotFound):
        ask(wf, "status", run=run.id)


def test_an_on_complete_that_failed_is_listed_and_run_again(wf: WorkflowManager) -> None:
    wf.db.execute("CREATE TABLE main.hooked (n INTEGER)")
    run = wf.workflows["quick"].options(on_complete=failing_hook).start()
    run.result(10)
    assert until(lambda: ask(wf, "list_failures"))[0]["run_id"] == run.id
    with pytest.raises(RuntimeError, match="not yet"):
        ask(wf, "retry_on_complete", run=run.id)
    wf.db.execute("INSERT INTO main.hooked VALUES (1)")
    ask(wf, "retry_on_complete", run=run.id)
    assert ask(wf, "list_failures") == []
    ask(wf, "retry_on_complete", run=run.id, token="t", again=True)  # its sender did not hear of the first time


def test_pools_are_made_and_looked_at(wf: WorkflowManager) -> None:
    assert ask(wf, "pool", name="gpu", max_parallelism=2) == 2
    assert ask(wf, "pool", name="gpu") == 2
    assert ask(wf, "pool", max_parallelism=3) == 3
    assert ask(wf, "pool") == 3


def test_a_run_that_waits_to_be_asked_goes_on(path: Path) -> None:
    with WorkflowManager(path) as first:
        define(first)
        run = first.start("named")
    with WorkflowManager(path, auto_resume=False) as second:
        define(second)
        ask(second, "send_event", run=run.id, event="plain", value=2)
        ask(second, "resume", run=run.id)
        assert second.result(run.id, 10) == 2
        with pytest.raises(RunNotActive):
            ask(second, "resume", run=run.id)
        ask(second, "resume")


def test_a_side_file_is_attached(wf: WorkflowManager) -> None:
    run = wf.start("large", b"x" * 2_000_000)
    run.result(20)
    shas = queries.files(wf._engine.journal, run._key)
    assert {len(ask(wf, "file", sha=sha).blobs[sha]) for sha in shas} == {2_000_000, 4_000_000}
    with pytest.raises(ControlError, match="no file"):
        ask(wf, "file", sha="0" * 64)


def test_sql_tells_rows_in_parts(wf: WorkflowManager) -> None:
    parts = sql(wf, "SELECT range AS n, repeat('x', 1000) AS t FROM range(5000) WHERE range < ?", [4000])
    assert len(parts) > 1
    assert parts[0][0]["columns"] == ["n", "t"]
    assert [row[0] for part, _ in parts for row in part["rows"]] == list(range(4000))


def test_sql_tells_arrow_in_parts(wf: WorkflowManager) -> None:
    parts = sql(wf, "SELECT range AS n, repeat('x', 1000) AS t FROM range(50000)", form="arrow")
    assert len(parts) > 1
    tables = [pa.ipc.open_stream(blobs["arrow"]).read_all() for _, blobs in parts if blobs]
    assert pa.concat_tables(tables)["n"].to_pylist() == list(range(50_000))


@pytest.mark.parametrize(
    "query",
    ["CREATE TABLE main.t (n INT)", "DELETE FROM wf.facts", "COMMIT; CREATE TABLE main.t (n INT)", "CHECKPOINT", "nonsense"],
)
@pytest.mark.parametrize("form", ["rows", "arrow"])
def test_sql_cannot_write(wf: WorkflowManager, query: str, form: str) -> None:
    with pytest.raises(Exception, match=r"."):
        sql(wf, query, form=form)
    assert wf.db.execute("SELECT count(*) FROM information_schema.tables WHERE table_name = 't'").fetchone() == (0,)
    assert wf.start("quick").result(10) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SET GLOBAL lock_configuration = true",
        "SET GLOBAL disabled_filesystems = 'LocalFileSystem'",
        "set threads=3",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "SELECT 1; SET GLOBAL memory_limit = '30MB'",
    ],
)
@pytest.mark.parametrize("form", ["rows", "arrow"])
def test_sql_changes_neither_the_holder_nor_files(
    wf: WorkflowManager, tmp_path: Any, monkeypatch: Any, query: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = wf.db.execute("SELECT name, value FROM duckdb_settings() ORDER BY name").fetchall()
    with pytest.raises(Exception, match="inside a query, which can only read: SELECT"):
        sql(wf, query, form=form)
    assert wf.db.execute("SELECT name, value FROM duckdb_settings() ORDER BY name").fetchall() == before
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "other.duckdb").exists()


@pytest.mark.parametrize("query", ["", "  ", "-- nothing", ";"])
@pytest.mark.parametrize("form", ["rows", "arrow"])
def test_sql_without_a_statement_is_refused(wf: WorkflowManager, query: str, form: str) -> None:
    with pytest.raises(InvalidArguments, match="the query is empty; say what to read"):
        sql(wf, query, form=form)


def test_sql_values_that_json_has_not_are_told_as_text(wf: WorkflowManager) -> None:
    query = "SELECT DATE '2026-01-02', 'nan'::DOUBLE, 'ab'::BLOB, [1, 2], {'a': 1}, NULL, 170141183460469231731687303715884105727"
    [(part, _)] = sql(wf, query)
    assert part["rows"] == [["2026-01-02", "nan", "6162", [1, 2], {"a": 1}, None, 2**127 - 1]]
    _check_it_travels(part)


def let_the_next_hold(wf: WorkflowManager) -> None:
    """Make it forget what another process that holds the journal next would not know."""
    table._changes.pop(wf._engine, None)


@pytest.mark.parametrize("who", ["the same holder", "the next holder"])
@pytest.mark.parametrize(
    "op", ["start", "send_event", "create_event", "cancel", "restart", "fork", "cleanup", "answer", "fork_by_form"]
)
def test_a_change_that_is_asked_again_with_its_token_is_done_once(wf: WorkflowManager, op: str, who: str) -> None:
    run = wf.start("patient", ["a", "b"])
    until(run.steps)
    if op in ("restart", "cleanup", "fork", "fork_by_form"):
        run.cancel()
    params: dict[str, Any] = {
        "start": {"workflow": "named"},
        "send_event": {"run": run.id, "event": "a", "value": 1},
        "create_event": {"run": run.id, "name": "a"},
        "answer": {"run": run.id, "step": 0, "value": 1},
    }.get(op, {"run": run.id})
    first = ask(wf, op, token="token-1", **params)
    if who == "the next holder":
        let_the_next_hold(wf)
    again = ask(wf, op, token="token-1", again=True, **params)
    if op == "fork_by_form":
        assert again["run_id"] == first["run_id"]
    else:
        assert again == first
    if op == "answer":
        assert again == "a"
    [(count,)] = wf.db.execute('SELECT count(*) FROM wf.facts WHERE contains(body, \'"request":"token-1"\')').fetchall()
    assert count == (op != "cleanup")
    assert len(wf.list().items) == {"start": 2, "fork": 2, "fork_by_form": 2, "cleanup": 0}.get(op, 1)


def test_a_change_is_done_once_by_whichever_way_it_is_asked_for_meanwhile(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on, slow = threading.Event(), threading.Event(), OPERATIONS["start"]

    def start(asked: Any, params: Any) -> Any:
        begun.set()
        assert may_go_on.wait(10)
        return slow.do(asked, params)

    monkeypatch.setitem(OPERATIONS, "start", slow._replace(do=start))
    told: list[Any] = []
    first = threading.Thread(target=lambda: told.append(ask(wf, "start", token="t", workflow="named")))
    first.start()
    assert begun.wait(10)
    same = perform(Asked(wf, token="t"), "start", {"workflow": "named"})
    again = perform(Asked(wf, token="t", again=True), "start", {"workflow": "named"})
    assert not same.cancel()  # who asked may go
    may_go_on.set()
    first.join(10)
    assert same.result(10) == again.result(10) == told[0]
    assert len(wf.list().items) == 1


@pytest.mark.parametrize("problem", [WfkernelError, KeyboardInterrupt])
def test_a_change_that_failed_may_be_asked_for_again_and_who_waited_for_it_is_told(
    wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    works, waiting = OPERATIONS["start"], []

    def start(asked: Any, params: Any) -> Any:
        waiting.append(perform(Asked(wf, token="t"), "start", {"workflow": "named"}))
        raise problem("as it happens")

    monkeypatch.setitem(OPERATIONS, "start", works._replace(do=start))
    with pytest.raises(problem):
        ask(wf, "start", token="t", workflow="named")
    with pytest.raises(WfkernelError):
        waiting[0].result(10)
    monkeypatch.setitem(OPERATIONS, "start", works)
    assert ask(wf, "start", token="t", workflow="named")["name"] == "named"


def test_changes_are_remembered_for_a_day_and_so_many() -> None:
    changes, day_us = table._Changes(), 86_400_000_000
    made = changes.do("a", 0, lambda: "first")
    assert changes.do("a", day_us - 1, lambda: "second") is made
    assert changes.do("a", day_us, lambda: "third").result() == "third"
    for i in range(2 * table._MOST_CHANGES):
        changes.do(str(i), day_us + i, lambda: None)
    assert len(changes._done) == table._MOST_CHANGES
    assert changes._under_way == {}


def test_a_run_that_ended_since_it_was_told_to_go_on_was_told_so(wf: WorkflowManager) -> None:
    run = wf.start("quick")
    run.result(10)
    with pytest.raises(RunNotActive):
        ask(wf, "resume", run=run.id, token="t")
    assert ask(wf, "resume", run=run.id, token="t", again=True) is None


def test_errors_travel_with_their_facts(wf: WorkflowManager) -> None:
    assert error_body(RunNotActive("r1", "completed"))["facts"] == {"run_id": "r1", "status": "completed"}
    assert error_body(TimeoutError("late")) == {"type": "TimeoutError", "message": "late", "facts": {}}
    assert error_body(KeyError("x"))["type"] == "KeyError"


def test_runs_are_the_same_by_handle_and_by_word(wf: WorkflowManager) -> None:
    run = wf.start("quick")
    assert isinstance(run, Run)
    assert ask(wf, "get", run=run.id)["key"] == run._key


def test_a_value_that_reads_like_a_request_s_token_is_none(wf: WorkflowManager) -> None:
    waiting = wf.start("named")
    ask(wf, "send_event", run=waiting.id, event="other", value={"request": "t-1"})
    assert queries.requested(wf._engine.journal, "t-1", 0) is None
    begun = ask(wf, "start", token="t-1", again=True, workflow="named")
    assert begun["run_id"] != waiting.id
    assert ask(wf, "start", token="t-1", again=True, workflow="named") == begun
