"""Whatever people pass: a clear error at the call, nothing half done, and an engine that goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from wfkernel import (
    DefinitionError,
    EngineStopped,
    InvalidArguments,
    JournalError,
    OptionError,
    RunFailed,
    StepFailed,
    WfkernelError,
    WorkflowManager,
    action,
    define_event,
    mutation,
    query,
)

AWKWARD = ["", " ", "a\nb", "größe 数据 🏖", "it's", '"; DROP TABLE wf.runs; --', "a\x00b", "x" * 10_000, "wf.runs", "%s", "{}"]


def double(n: int) -> int:
    return n * 2


def works(wf: WorkflowManager) -> bool:
    """Whether the engine still runs workflows."""

    @wf.workflow(name="still works")
    async def still(step):
        return await step.run_action(double, 21)

    return still.start().result(20) == 42


# -- names of all kinds --


@pytest.mark.parametrize("name", AWKWARD[1:], ids=range(len(AWKWARD) - 1))
def test_any_text_can_name_a_workflow_a_run_a_step_and_an_event(any_wf: WorkflowManager, name: str) -> None:
    @any_wf.workflow(name=name)
    async def trip(step, value: str):
        await step.options(name=name).run_action(str, value)
        return await step.await_event(name)

    run = any_wf.start(name, name) if "\x00" in name else trip.options(id=name).start(name)
    any_wf.send_event(name, name, run=run.id)
    assert run.result(20) == name
    assert any_wf.get(run.id).name == name
    assert [r.run_id for r in any_wf.list_by_name(name).items] == [run.id]
    assert [s.name for s in run.steps()] == [name, name]
    assert any_wf.cleanup(run) is True


@pytest.mark.parametrize("path", [3, None, b"x", ["a"], object()], ids=["int", "none", "bytes", "list", "object"])
def test_a_path_must_be_a_path(path: Any) -> None:
    with pytest.raises((JournalError, OptionError)):
        WorkflowManager(path)


def test_a_file_that_is_no_journal_is_refused_and_left_alone(journal_path: Any) -> None:
    journal_path.write_text("dear diary")
    with pytest.raises(JournalError):
        WorkflowManager(journal_path)
    assert journal_path.read_text() == "dear diary"


def test_a_directory_is_no_journal(tmp_path: Any) -> None:
    with pytest.raises(JournalError):
        WorkflowManager(tmp_path)


# -- runs --


@pytest.mark.parametrize("run", [3, None, object(), ["a"]], ids=["int", "none", "object", "list"])
@pytest.mark.parametrize("method", ["status", "result", "cancel", "restart", "fork", "cleanup", "list_steps", "verify", "plan"])
def test_what_is_no_run_is_refused(wf: WorkflowManager, method: str, run: Any) -> None:
    with pytest.raises(InvalidArguments, match="run"):
        getattr(wf, method)(run)


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), True, timedelta(seconds=-1)], ids=str)
def test_a_timeout_must_be_a_duration(wf: WorkflowManager, timeout: Any) -> None:
    @wf.workflow
    async def trip(step):
        return 1

    run = trip.start()
    run.result(20)
    with pytest.raises(OptionError):
        run.result(timeout)


@pytest.mark.parametrize("grace", [-1, "soon", None], ids=str)
def test_a_grace_must_be_a_duration_and_the_run_is_left_alone(wf: WorkflowManager, grace: Any) -> None:
    @wf.workflow
    async def trip(step):
        return await step.await_event("go")

    run = trip.start()
    with pytest.raises(OptionError):
        run.cancel(grace=grace)
    run.send_event("go", 1)
    assert run.result(20) == 1


def test_a_run_of_another_manager_is_not_taken_for_one_of_this(make_wf: Callable[..., WorkflowManager]) -> None:
    mine, other = make_wf(), make_wf()

    @other.workflow
    async def trip(step):
        return "theirs"

    theirs = trip.start()
    theirs.result(20)
    with pytest.raises(WfkernelError):
        mine.status(theirs)
    with pytest.raises(WfkernelError):
        mine.result(theirs, 20)


# -- decorators --


@pytest.mark.parametrize(
    "options",
    [{"timeout": -1}, {"timeout": "soon"}, {"retry": 3}, {"executor": "moon"}, {"executor": 3}],
    ids=str,
)
def test_wrong_options_of_a_decorator_are_refused_where_they_stand(options: dict[str, Any]) -> None:
    for decorate in (action, query, mutation):
        with pytest.raises(OptionError, match=next(iter(options))):
            decorate(**options)


@pytest.mark.parametrize("wrong", [3, "f", None.__class__, str], ids=str)
def test_a_decorator_takes_a_function(wrong: Any) -> None:
    for decorate in (action, query, mutation):
        with pytest.raises(DefinitionError):
            decorate(wrong)
    with pytest.raises(DefinitionError):
        action(action(double))


def test_queries_and_mutations_must_take_the_database() -> None:
    for decorate in (query, mutation):
        with pytest.raises(DefinitionError, match="db"):
            decorate(lambda: 1)


# -- events --


@pytest.mark.parametrize("name", ["", 3, None], ids=["empty", "int", "none"])
def test_an_event_needs_a_name(wf: WorkflowManager, name: Any) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("never")

    run = trip.start()
    with pytest.raises(DefinitionError):
        define_event(name)
    with pytest.raises(InvalidArguments):
        run.send_event(name)
    with pytest.raises(InvalidArguments):
        wf.create_event(name, run=run)


def test_a_typed_event_needs_a_run(wf: WorkflowManager) -> None:
    with pytest.raises(InvalidArguments, match="run"):
        wf.send_event(define_event("go"), 1)


def test_an_error_that_is_no_text_is_refused(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        return await step.await_event("go")

    run = trip.start()
    with pytest.raises(InvalidArguments):
        run.send_event("go", error=ValueError("x"))  # type: ignore[arg-type]
    run.send_event("go", 1)
    assert run.result(20) == 1


@pytest.mark.parametrize("is_waiting", [True, False])
def test_an_error_with_odd_characters_arrives(any_wf: WorkflowManager, is_waiting: bool) -> None:
    begun, release = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        release.wait(10)

    @any_wf.workflow
    async def trip(step):
        if not is_waiting:
            await step.run_action(hold)
        try:
            await step.await_event("go")
        except WfkernelError as exc:
            return [type(exc).__name__, str(exc)]

    run = trip.start()
    if not is_waiting:
        assert begun.wait(10)
    run.send_event("go", error="größe\x00🏖")
    release.set()
    assert run.result(20) == ["EventError", "größe\x00🏖"]


# -- steps --


def test_bad_calls_leave_no_gap_in_the_numbers(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        refused = 0
        for call in (
            lambda: step.run_action(double),
            lambda: step.run_action(3),
            lambda: step.run_action(double, threading.Lock()),
            lambda: step.options(inline=True).run_action(double, 1),
            lambda: step.run_workflow("nobody"),
            lambda: step.run_workflow(double),
            lambda: step.sleep(-1),
        ):
            try:
                await call()
            except WfkernelError:
                refused += 1
        return [refused, await step.run_action(double, 4)]

    run = trip.start()
    assert run.result(20) == [7, 8]
    assert [(s.step_number, s.name) for s in run.steps()] == [(0, "double")]


def test_a_child_is_given_arguments_that_fit(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def child(step, n: int):
        return n

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_workflow(child, "many")
        except InvalidArguments as exc:
            return str(exc)

    run = trip.start()
    assert "many" in run.result(20) or "integer" in run.result(20)
    assert run.steps() == []


def test_a_query_that_is_no_sql_is_a_failed_step(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        failed = []
        for sql in ("SELEKT 1", "SELECT * FROM nowhere", "SELECT 1/0::INT + 'x'::INT"):
            try:
                await step.run_query(lambda db, sql: db.execute(sql).fetchall(), sql)
            except StepFailed as exc:
                failed.append(bool(str(exc)))
        return failed

    assert trip.start().result(20) == [True, True, True]


def test_a_cursor_cannot_be_kept_beyond_its_step(any_wf: WorkflowManager) -> None:
    kept: list[Any] = []

    @any_wf.workflow
    async def trip(step):
        await step.run_mutation(lambda db: kept.append(db))

    trip.start().result(20)
    with pytest.raises(EngineStopped, match="belonged to a mutation that has ended"):
        kept[0].execute("SELECT 1")


def test_a_swallowed_sql_error_in_a_mutation_commits_nothing(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY)")
    any_wf.db.execute("INSERT INTO notes VALUES (1)")

    def careless(db):
        db.execute("INSERT INTO notes VALUES (2)")
        try:
            db.execute("INSERT INTO notes VALUES (1)")
        except Exception:
            return "fine"

    @any_wf.workflow
    async def trip(step):
        try:
            return await step.run_mutation(careless)
        except StepFailed as exc:
            return exc.attempts

    run = trip.start()
    outcome = run.result(20)
    rows = any_wf.db.execute("SELECT count(*) FROM notes").fetchone()[0]
    assert (outcome, rows) in [(1, 1), ("fine", 2)]  # both or neither: never the journal's row without the writes


# -- the engine goes on --


def test_an_engine_survives_bodies_and_actions_of_all_kinds(any_wf: WorkflowManager) -> None:
    class Rude(BaseException):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def rude() -> None:
        raise Rude

    @any_wf.workflow
    async def by_action(step):
        await step.run_action(rude)

    @any_wf.workflow
    async def by_body(step):
        raise Rude

    @any_wf.workflow
    async def by_result(step):
        return Rude()

    for workflow in (by_action, by_body, by_result):
        with pytest.raises(RunFailed):
            workflow.start().result(20)
    assert works(any_wf)


def test_a_type_that_refuses_to_be_compared_or_shown_does_not_stop_the_engine(any_wf: WorkflowManager) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

        def __repr__(self) -> str:
            raise RuntimeError("no")

        def __call__(self) -> int:
            return 5

    odd = Odd()

    @any_wf.workflow
    async def trip(step):
        try:
            return await step.run_action(odd)
        except StepFailed as exc:
            return str(exc)

    assert trip.start().result(20) == 5
    assert works(any_wf)


def test_an_object_whose_attributes_raise_does_not_stop_the_engine(any_wf: WorkflowManager) -> None:
    class Trap:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"no {name}")

        def __call__(self) -> int:
            return 5

    @any_wf.workflow
    async def trip(step):
        try:
            return await step.run_action(Trap())
        except Exception as exc:
            return type(exc).__name__

    assert trip.start().result(20) is not None
    assert works(any_wf)
