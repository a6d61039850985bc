"""The manager: defining, starting, finding, listing; one engine a path; any thread and any loop; the end of it."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from wfkernel import (
    DefinitionError,
    EngineStopped,
    InvalidArguments,
    OptionError,
    Page,
    Run,
    RunCanceled,
    RunExists,
    RunFailed,
    RunNotFound,
    RunRecord,
    StepFailed,
    ValueNotStorable,
    Workflow,
    WorkflowManager,
    action,
)
from wfkernel.testing import VirtualClock


def double(n: int) -> int:
    return n * 2


class Report(BaseModel):
    city: str
    days: int = 1


# -- wf.workflow --


def test_a_workflow_is_declared_with_and_without_options(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def plain(step):
        return 1

    @any_wf.workflow()
    async def called(step):
        return 2

    @any_wf.workflow(name="renamed", retry=True, retry_actions_by_default=True, returns=int)
    async def with_options(step):
        return 3

    assert all(isinstance(w, Workflow) for w in (plain, called, with_options))
    assert [w.name for w in (plain, called, with_options)] == ["plain", "called", "renamed"]
    assert [w.start().result(20) for w in (plain, called, with_options)] == [1, 2, 3]
    assert any_wf.start("renamed").result(20) == 3


def sync(step: Any) -> None: ...
async def no_step() -> None: ...
async def only_keywords(*, step: Any) -> None: ...
async def only_stars(*args: Any) -> None: ...
async def generator(step: Any) -> Any:
    yield 1


@pytest.mark.parametrize("wrong", [sync, no_step, only_keywords, only_stars, generator, Report, 3, "trip", lambda step: 1, print])
def test_a_workflow_must_be_an_async_def_that_takes_the_step(wf: WorkflowManager, wrong: Any) -> None:
    with pytest.raises(DefinitionError):
        wf.workflow(wrong)
    with pytest.raises(DefinitionError):
        wf.workflow(name="other")(wrong)
    assert wf.list().items == []


def test_a_workflow_is_no_function_to_call(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        return 1

    with pytest.raises(DefinitionError, match="start"):
        trip()
    with pytest.raises(DefinitionError):
        wf.workflow(trip)


def test_unknown_options_of_the_decorator_are_refused(wf: WorkflowManager) -> None:
    with pytest.raises((OptionError, TypeError), match="colour"):
        wf.workflow(colour="red")


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_must_be_a_text(wf: WorkflowManager, name: Any) -> None:
    async def trip(step): ...

    with pytest.raises(DefinitionError):
        wf.workflow(name=name)(trip)


def test_redefining_a_name_replaces_it(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return "old"

    @any_wf.workflow(name="trip")
    async def newer(step):
        return "new"

    assert any_wf.start("trip").result(20) == "new"


def test_a_run_that_waits_goes_on_with_the_definition_it_began_with(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("go")
        return "old"

    run = trip.start()

    @wf.workflow(name="trip")
    async def newer(step):
        await step.await_event("go")
        return "new"

    run.send_event("go")
    assert run.result(20) == "old"


def test_a_partial_and_a_wrapped_function_can_be_workflows(any_wf: WorkflowManager) -> None:
    async def trip(step, city, days=1):
        return [city, days]

    def logged(fn):
        @functools.wraps(fn)
        async def wrapper(*args, **kwargs):
            return await fn(*args, **kwargs)

        return wrapper

    assert any_wf.workflow(name="partial")(functools.partial(trip, days=3)).start("Rome").result(20) == ["Rome", 3]
    assert any_wf.workflow(name="wrapped")(logged(trip)).start("Rome", days=2).result(20) == ["Rome", 2]


def test_returns_validates_the_result(any_wf: WorkflowManager) -> None:
    @any_wf.workflow(returns=Report)
    async def good(step):
        return {"city": "Rome"}

    @any_wf.workflow(returns=int)
    async def bad(step):
        return "no number"

    assert good.start().result(20) == Report(city="Rome")
    with pytest.raises(RunFailed, match=r"no number|int"):
        bad.start().result(20)


# -- start --


def test_start_gives_a_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, city):
        return city

    run = trip.start("Rome")
    assert isinstance(run, Run)
    assert isinstance(run.id, str)
    assert run.name == "trip"
    assert run.result(20) == "Rome"
    assert any_wf.start(trip, "Oslo").result(20) == "Oslo"
    assert any_wf.start("trip", city="Bern").result(20) == "Bern"


def test_a_started_run_is_in_the_journal_when_start_returns(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        await step.await_event("never")

    run = trip.start()
    assert wf.db.execute("SELECT run_id FROM wf.runs").fetchall() == [(run.id,)]


def test_arguments_are_validated_and_converted_by_the_signature(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, city: str, days: int, report: Report, *more: int, when: date | None = None, **rest: float):
        return [type(days).__name__, type(report).__name__, list(more), when and when.year, rest]

    run = trip.start("Rome", "3", {"city": "Oslo"}, "4", "5", when="2030-01-01", x="1.5")
    assert run.result(20) == ["int", "Report", [4, 5], 2030, {"x": 1.5}]


def test_an_instant_given_as_text_is_an_aware_datetime(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, when: datetime):
        return when

    assert trip.start("2030-01-01T00:00:00Z").result(20) == datetime(2030, 1, 1, tzinfo=UTC)
    assert trip.start("2030-01-01T02:00:00+02:00").result(20) == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("Rome",), {}),
        (("Rome", "many"), {}),
        (("Rome", 1, 2), {}),
        (("Rome", 1), {"colour": "red"}),
        (("Rome",), {"city": "Oslo", "days": 1}),
        (("Rome", -1), {}),
        ((None, 1), {}),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_refused_and_nothing_is_journaled(wf: WorkflowManager, args: Any, kwargs: Any) -> None:
    @wf.workflow
    async def trip(step, city: str, days: Annotated[int, Field(ge=0)]):
        return 1

    for start in (trip.start, functools.partial(wf.start, trip), functools.partial(wf.start, "trip"), trip.options(id="a").start):
        with pytest.raises(InvalidArguments):
            start(*args, **kwargs)
    assert wf.list().items == []
    assert wf.db.execute("SELECT count(*) FROM wf.runs").fetchone() == (0,)


def test_no_argument_is_called_like_the_step(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, **others: int):
        return others

    @wf.workflow
    async def free(step, /, **others: int):
        return others

    with pytest.raises(InvalidArguments, match="'step' is the step itself"):
        trip.start(step=1)
    assert wf.list().items == []
    assert free.start(step=1).result(20) == {"step": 1}


def test_a_default_need_not_fit_its_annotation(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, city: str = None, days: int = "three"):  # type: ignore[assignment]  # noqa: RUF013 - what people write
        return [city, days]

    assert trip.start().result(20) == [None, "three"]
    with pytest.raises(InvalidArguments):
        trip.start(3.5)


def test_an_argument_that_cannot_be_stored_is_refused_and_nothing_is_journaled(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, thing):
        return 1

    with pytest.raises(ValueNotStorable, match="trip"):
        trip.start(threading.Lock())
    assert wf.list().items == []


def test_a_name_that_nobody_defined_is_refused(wf: WorkflowManager) -> None:
    with pytest.raises(DefinitionError, match="nobody"):
        wf.start("nobody")
    with pytest.raises(DefinitionError):
        wf.start(double, 3)


def test_a_later_change_of_an_argument_does_not_reach_the_run(any_wf: WorkflowManager) -> None:
    begun, changed = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        changed.wait(10)

    @any_wf.workflow
    async def trip(step, cities: list):
        await step.run_action(wait)
        return cities

    cities = ["Rome"]
    run = trip.start(cities)
    assert begun.wait(10)
    cities.append("Oslo")
    changed.set()
    assert run.result(20) == ["Rome"]


# -- options of a start --


def test_the_same_id_again_gives_the_run_that_exists(any_wf: WorkflowManager) -> None:
    calls: list[int] = []

    def act(n: int) -> int:
        calls.append(n)
        return n

    @any_wf.workflow
    async def trip(step, n: int):
        return await step.run_action(act, n)

    once = trip.options(id="order-17")
    run = once.start(4)
    assert run.id == "order-17"
    assert once.start("4") == run
    assert run.result(20) == 4
    assert once.start(n=4).result(20) == 4
    assert calls == [4]
    assert len(any_wf.list().items) == 1


def test_the_same_id_with_other_arguments_is_refused(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, n: int):
        return n

    @any_wf.workflow
    async def other(step, n: int):
        return n

    run = trip.options(id="order-17").start(4)
    for _ in range(2):  # while it is in progress, and when it has ended
        with pytest.raises(RunExists, match="order-17"):
            trip.options(id="order-17").start(5)
        with pytest.raises(RunExists, match="order-17"):
            other.options(id="order-17").start(4)
        run.result(20)
    assert len(any_wf.list().items) == 1


def test_a_hundred_threads_with_one_id_start_one_run(wf: WorkflowManager) -> None:
    calls: list[int] = []

    @wf.workflow
    async def trip(step, n: int):
        return await step.run_action(lambda: calls.append(1))

    with ThreadPoolExecutor(20) as pool:
        runs = list(pool.map(lambda _: trip.options(id="one").start(1), range(100)))
    for run in runs:
        run.result(20)
    assert {r.id for r in runs} == {"one"}
    assert len(calls) == 1


def test_options_give_a_derived_workflow_and_leave_the_original(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return step.run_id

    derived = trip.options(id="mine")
    assert isinstance(derived, Workflow)
    assert derived is not trip
    assert trip.start().result(20) != "mine"
    assert derived.options(context=1).start().result(20) == "mine"


def test_run_after_and_run_at_delay_the_body(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(clock=VirtualClock(datetime(2030, 1, 1, tzinfo=UTC)))

    @wf.workflow
    async def trip(step):
        return step.now()

    assert trip.options(run_after=timedelta(days=1)).start().result(20) == datetime(2030, 1, 2, tzinfo=UTC)
    assert trip.options(run_at=datetime(2031, 1, 1, tzinfo=UTC)).start().result(20) == datetime(2031, 1, 1, tzinfo=UTC)
    assert trip.options(run_at=datetime(2001, 1, 1, tzinfo=UTC)).start().result(20) >= datetime(2030, 1, 1, tzinfo=UTC)


def test_a_delayed_run_is_in_progress_and_can_be_canceled(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(clock=VirtualClock(autojump=False))
    began = threading.Event()

    @wf.workflow
    async def trip(step):
        began.set()

    run = trip.options(run_after=60).start()
    assert run.status().type == "in_progress"
    run.cancel()
    assert run.status().type == "canceled"
    with pytest.raises(RunCanceled):
        run.result(20)
    assert not began.is_set()


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": 3},
        {"run_after": -1},
        {"run_after": "soon"},
        {"run_at": datetime(2030, 1, 1)},  # noqa: DTZ001
        {"run_at": 17},
        {"run_after": 1, "run_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"on_complete": 3},
    ],
    ids=str,
)
def test_wrong_options_of_a_start_are_refused_at_the_call(wf: WorkflowManager, wrong: dict[str, Any]) -> None:
    @wf.workflow
    async def trip(step):
        return 1

    with pytest.raises(OptionError):
        trip.options(**wrong)


def test_the_context_is_in_the_runs_record(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, city: str):
        return city

    run = trip.options(context={"user": 7}).start("Rome")
    run.result(20)
    (record,) = any_wf.list().items
    assert isinstance(record, RunRecord)
    assert (record.run_id, record.name, record.status) == (run.id, "trip", "completed")
    assert (record.args, record.context, record.result, record.error) == ({"city": "Rome"}, {"user": 7}, "Rome", None)
    assert (record.generation, record.parent_run_id) == (0, None)
    assert record.created_at <= record.completed_at
    assert record.created_at.utcoffset() == timedelta(0)


# -- get, result, await --


def test_get_finds_a_run_by_its_id(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return 1

    run = trip.start()
    found = any_wf.get(run.id)
    assert found == run
    assert found.name == "trip"
    assert found.result(20) == 1
    assert any_wf.result(run.id, timeout=20) == any_wf.result(run) == 1
    assert any_wf.status(run.id).type == "completed"


ASKS: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda wf, run: wf.get(run),
    "status": lambda wf, run: wf.status(run),
    "result": lambda wf, run: wf.result(run),
    "cancel": lambda wf, run: wf.cancel(run),
    "restart": lambda wf, run: wf.restart(run),
    "fork": lambda wf, run: wf.fork(run),
    "list_steps": lambda wf, run: wf.list_steps(run),
    "verify": lambda wf, run: wf.verify(run),
    "send_event": lambda wf, run: wf.send_event("go", 1, run=run),
    "create_event": lambda wf, run: wf.create_event("go", run=run),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("run_id", ["nobody", "", "r0000000000000", "e'; DROP TABLE wf.runs; --", "ü\x00"])
def test_an_unknown_run_is_not_found(wf: WorkflowManager, ask: str, run_id: str) -> None:
    with pytest.raises(RunNotFound):
        ASKS[ask](wf, run_id)


def test_cleanup_of_an_unknown_run_is_false(wf: WorkflowManager) -> None:
    assert wf.cleanup("nobody") is False


def test_result_gives_up_after_its_timeout_and_the_run_goes_on(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        return await step.await_event("go")

    run = trip.start()
    for timeout in (0, 0.01, timedelta(milliseconds=1)):
        with pytest.raises(TimeoutError):
            run.result(timeout)
    run.send_event("go", 7)
    assert run.result(20) == 7
    assert run.result(0) == 7


def test_result_raises_what_the_body_raised_as_the_cause(any_wf: WorkflowManager) -> None:
    class Sold(Exception):
        pass

    @any_wf.workflow
    async def trip(step):
        raise Sold("out")

    run = trip.start()
    for _ in range(2):
        with pytest.raises(RunFailed, match="out") as failed:
            run.result(20)
        assert isinstance(failed.value.__cause__, Sold)
        assert failed.value.run_id == run.id
        assert failed.value.error.type == "Sold"


async def test_a_run_can_be_awaited(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, n: int):
        return await step.run_action(double, n)

    @any_wf.workflow
    async def bad(step):
        raise ValueError("no seats")

    assert await trip.start(1) == 2
    assert await asyncio.gather(*(trip.start(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert await asyncio.wait_for(trip.start(3), 20) == 6
    run = trip.start(5)
    assert [await run, await run] == [10, 10]
    with pytest.raises(RunFailed):
        await bad.start()


async def test_giving_up_an_await_leaves_the_run_alone(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step):
        return await step.await_event("go")

    run = trip.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run, 0.01)
    assert run.status().type == "in_progress"
    run.send_event("go", 1)
    assert await run == 1


async def test_every_method_works_inside_a_running_loop(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return await step.await_event("go")

    run = any_wf.start(trip)
    assert any_wf.get(run.id).status().type == "in_progress"
    any_wf.send_event("go", 5, run=run)
    assert any_wf.result(run, 20) == 5
    assert any_wf.list_steps(run).items[0].status == "success"
    other = trip.start()
    other.cancel()
    assert other.status().type == "canceled"
    assert any_wf.cleanup(other) is True
    assert any_wf.db.execute("SELECT count(*) FROM wf.runs").fetchone() == (1,)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_an_action_may_call_the_manager(any_wf: WorkflowManager, is_async: bool) -> None:
    @any_wf.workflow
    async def inner(step, n: int):
        plus = await step.await_event("plus")
        return await step.run_action(double, n) + await step.run_action(add_async, plus)

    async def add_async(n: int) -> int:
        return n

    def call() -> list[Any]:
        run = any_wf.start(inner, 4)
        any_wf.send_event("plus", 1, run=run)
        return [any_wf.result(run, 20), any_wf.status(run).type, any_wf.get(run.id).id == run.id, len(any_wf.list().items)]

    async def call_async() -> list[Any]:
        return call()

    @any_wf.workflow
    async def outer(step):
        return await step.run_action(call_async if is_async else call)

    assert outer.start().result(30) == [9, "completed", True, 2]


def test_an_async_action_may_await_a_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def inner(step, n: int):
        return await step.run_action(double, n)

    async def call() -> list[int]:
        return await asyncio.gather(inner.start(1), inner.start(2))

    @any_wf.workflow
    async def outer(step):
        return await step.run_action(call)

    assert outer.start().result(20) == [2, 4]


def test_async_actions_that_wait_for_runs_do_not_stop_each_other(any_wf: WorkflowManager) -> None:
    async def deeper(n: int) -> int:
        return outer.start(n - 1).result(20) + 1 if n else 0

    @any_wf.workflow
    async def outer(step, n: int):
        return await step.run_action(deeper, n)

    assert outer.start(5).result(30) == 5


def test_many_threads_may_start_and_wait(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, n: int):
        return await step.run_action(double, n)

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: trip.start(n).result(20), range(100)))
    assert results == [2 * n for n in range(100)]
    assert len(wf.list(limit=1000).items) == 100


# -- lists --


def test_list_gives_pages_newest_first(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, n: int):
        return n

    runs = [trip.start(n) for n in range(5)]
    for run in runs:
        run.result(20)
    newest = [r.id for r in reversed(runs)]
    first = any_wf.list(limit=2)
    second = any_wf.list(limit=2, cursor=first.cursor)
    third = any_wf.list(limit=2, cursor=second.cursor)
    assert isinstance(first, Page)
    assert [r.run_id for page in (first, second, third) for r in page.items] == newest
    assert [(page.is_done, page.cursor is None) for page in (first, second, third)] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    assert [r.run_id for r in any_wf.list(order="asc").items] == newest[::-1]
    assert any_wf.list(limit=5).is_done


def test_a_cursor_is_not_moved_by_runs_that_start_meanwhile(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, n: int):
        return n

    old = [trip.start(n) for n in range(3)]
    first = any_wf.list(limit=1)
    trip.start(9)
    rest = any_wf.list(cursor=first.cursor)
    assert [r.run_id for r in rest.items] == [old[1].id, old[0].id]


def test_list_selects_by_status_and_by_name(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def good(step):
        return 1

    @any_wf.workflow
    async def bad(step):
        raise ValueError

    @any_wf.workflow
    async def waits(step):
        await step.await_event("never")

    runs = {"completed": good.start(), "failed": bad.start(), "in_progress": waits.start(), "canceled": waits.start()}
    runs["canceled"].cancel()
    for status in ("completed", "failed"):
        with pytest.raises(RunFailed) if status == "failed" else threading.Lock():
            runs[status].result(20)
    for status, run in runs.items():
        assert [r.run_id for r in any_wf.list(status=status).items] == [run.id]
    assert [r.run_id for r in any_wf.list_by_name("waits").items] == [runs["canceled"].id, runs["in_progress"].id]
    assert [r.run_id for r in any_wf.list_by_name(waits, status="canceled", order="asc", limit=1).items] == [runs["canceled"].id]
    assert any_wf.list_by_name("nobody").items == []


@pytest.mark.parametrize(
    "wrong",
    [{"order": "up"}, {"limit": 0}, {"limit": -1}, {"limit": "3"}, {"status": "done"}, {"cursor": "x"}, {"cursor": "1; --"}],
    ids=str,
)
def test_wrong_pages_are_refused(wf: WorkflowManager, wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        wf.list(**wrong)
    with pytest.raises(OptionError):
        wf.list_by_name("trip", **wrong)


# -- paths, one engine a path --


@pytest.mark.parametrize(
    "name",
    [
        *("wf.duckdb", "main.duckdb", "temp.duckdb", "system.duckdb", "wfkernel.duckdb", "a b.duckdb"),
        *('it\'s "odd".duckdb', "größe-数据.db", "no_suffix", ";--.x"),
    ],
)
def test_any_file_name_works(make_wf: Callable[..., WorkflowManager], tmp_path: Path, name: str) -> None:
    path = tmp_path / "deep" / "er" / name
    wf = make_wf(path)

    @wf.workflow
    async def trip(step):
        return await step.run_mutation(lambda db: db.execute("SELECT 7").fetchone()[0])

    run = trip.start()
    assert run.result(20) == 7
    wf.db.execute("CREATE TABLE mine AS SELECT 1 AS x")
    wf.close()
    again = make_wf(str(path))
    assert again.get(run.id).result(20) == 7
    assert again.db.execute("SELECT x FROM mine").fetchone() == (1,)
    assert path.exists()


def test_the_same_path_gives_the_same_engine(
    make_wf: Callable[..., WorkflowManager], journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_wf(journal_path)

    @first.workflow
    async def trip(step):
        return await step.await_event("go")

    run = trip.start()
    monkeypatch.chdir(journal_path.parent)
    for path in (journal_path, str(journal_path), journal_path.name, f"./{journal_path.name}"):
        second = make_wf(path)
        assert second.get(run.id) == run
        assert second.start("trip").status().type == "in_progress"
    second.send_event("go", 1, run=run.id)
    assert run.result(20) == 1


def test_each_journal_in_memory_is_a_new_one(make_wf: Callable[..., WorkflowManager]) -> None:
    first, second = make_wf(), make_wf()

    @first.workflow
    async def trip(step):
        return 1

    trip.start().result(20)
    assert len(first.list().items) == 1
    assert second.list().items == []
    with pytest.raises(DefinitionError):
        second.start("trip")


def test_the_default_path_is_in_the_working_directory(
    make_wf: Callable[..., WorkflowManager], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with WorkflowManager():
        assert (tmp_path / ".wfkernel" / "journal.duckdb").exists()


@pytest.mark.parametrize("wrong", [{"replay": "never"}, {"max_parallelism": -1}, {"retry": 3}], ids=str)
def test_wrong_options_of_the_manager_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        WorkflowManager(":memory:", **wrong)


def test_a_virtual_clock_belongs_to_one_open_manager(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock()
    first = make_wf(clock=clock)
    with pytest.raises(OptionError):
        make_wf(clock=clock)
    first.close()
    make_wf(clock=clock)


# -- close --


def test_close_is_idempotent_and_a_context_manager_closes(journal_path: Path) -> None:
    with WorkflowManager(journal_path) as wf:

        @wf.workflow
        async def trip(step):
            return 1

        run = trip.start()
        run.result(20)
    wf.close()
    wf.close()
    with WorkflowManager(journal_path) as again:
        assert again.get(run.id).result(20) == 1


def test_closing_from_many_threads_at_once_is_fine(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: wf.close(), range(8)))
    with pytest.raises(EngineStopped):
        wf.list()


def test_every_method_of_a_closed_manager_says_that_it_is_closed(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf()

    @wf.workflow
    async def trip(step):
        return 1

    async def other(step): ...

    run = trip.start()
    run.result(20)
    cursor = wf.db
    wf.close()
    calls: list[Callable[[], Any]] = [
        trip.start,
        lambda: wf.start("trip"),
        lambda: trip.options(id="x").start(),
        lambda: wf.get(run.id),
        lambda: wf.list(),
        lambda: wf.list_by_name("trip"),
        lambda: wf.list_failures(),
        lambda: wf.workflow(other),
        lambda: wf.pool("p"),
        lambda: wf.pool("p", max_parallelism=1),
        lambda: wf.set_max_parallelism(1),
        lambda: wf.db,
        lambda: cursor.execute("SELECT 1"),
        lambda: asyncio.run(await_it(run)),
    ]
    for each in (run, run.id):
        calls += [
            functools.partial(wf.status, each),
            functools.partial(wf.result, each),
            functools.partial(wf.cancel, each),
            functools.partial(wf.restart, each),
            functools.partial(wf.fork, each),
            functools.partial(wf.cleanup, each),
            functools.partial(wf.send_event, "go", 1, run=each),
            functools.partial(wf.create_event, "go", run=each),
            functools.partial(wf.verify, each),
            functools.partial(wf.plan, each),
            functools.partial(wf.list_steps, each),
            functools.partial(wf.retry_on_complete, each),
        ]
    for call in calls:
        with pytest.raises(EngineStopped):
            call()
    assert "closed" in repr(wf)
    assert run.id in repr(run)


async def await_it(run: Run) -> Any:
    return await run


def test_who_waits_for_a_run_is_told_when_the_manager_closes(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf()

    @wf.workflow
    async def trip(step):
        await step.await_event("never")

    run = trip.start()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.result)
        while not any(r.waiters for r in wf._engine.runs.values()):
            pass
        wf.close()
        with pytest.raises(EngineStopped):
            waiting.result(20)


def test_a_run_unfinished_at_close_goes_on_at_the_next_open(make_wf: Callable[..., WorkflowManager], journal_path: Path) -> None:
    calls: list[int] = []

    async def body(step, n: int):
        first = await step.run_action(lambda: calls.append(1))
        return [first, await step.await_event("go"), n]

    wf = make_wf(journal_path)
    run = wf.workflow(name="trip")(body).start(7)
    while not any(s.kind == "event" for s in run.status().running):
        pass
    wf.close()
    again = make_wf(journal_path)
    found = again.get(run.id)
    assert found.status().type == "in_progress"
    found.send_event("go", 1)
    again.workflow(name="trip")(body)
    assert found.result(20) == [None, 1, 7]
    assert calls == [1]


# -- wf.db --


def test_the_database_is_the_users_own(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE cities (name VARCHAR)")
    any_wf.db.executemany("INSERT INTO cities VALUES (?)", [["Rome"], ["Oslo"]])
    assert any_wf.db.execute("SELECT count(*) FROM main.cities").fetchone() == (2,)
    assert any_wf.db is not any_wf.db


def test_a_cursor_works_in_any_thread(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE cities (name VARCHAR)")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: any_wf.db.execute("INSERT INTO cities VALUES (?)", [str(n)]), range(40)))
    assert any_wf.db.execute("SELECT count(DISTINCT name) FROM cities").fetchone() == (40,)


@pytest.mark.parametrize(
    "sql",
    [
        *("CHECKPOINT", "FORCE CHECKPOINT", "DELETE FROM wf.facts", "DROP VIEW wf.runs", "CREATE TABLE wf.mine (x INT)"),
        "INSERT INTO wf.facts SELECT * FROM wf.facts",
    ],
)
def test_the_journal_cannot_be_written_through_the_users_cursor(any_wf: WorkflowManager, sql: str) -> None:
    @any_wf.workflow
    async def trip(step):
        return 1

    run = trip.start()
    run.result(20)
    with pytest.raises(Exception, match="wfkernel"):
        any_wf.db.execute(sql)
    assert run.result(20) == 1
    assert len(any_wf.list().items) == 1


def test_an_open_transaction_of_the_user_does_not_stop_runs(any_wf: WorkflowManager) -> None:
    db = any_wf.db
    db.execute("CREATE TABLE cities (name VARCHAR)")
    db.execute("BEGIN")
    db.execute("INSERT INTO cities VALUES ('Rome')")

    @any_wf.workflow
    async def trip(step):
        return await step.run_query(lambda db: db.execute("SELECT count(*) FROM cities").fetchone()[0])

    assert trip.start().result(20) == 0
    db.execute("COMMIT")
    assert trip.start().result(20) == 1


# -- reprs --


def test_reprs_say_what_they_are(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, city: str):
        return 1

    @action
    def book() -> None: ...

    run = trip.start("Rome")
    run.result(20)
    assert "trip" in repr(trip)
    assert run.id in repr(run)
    assert "completed" in repr(run)
    assert "book" in repr(book)
    assert ":memory:" in repr(any_wf)


def test_a_caught_step_failure_can_be_looked_at_and_the_run_goes_on(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(lambda: 1 / 0)
        except StepFailed:
            return await step.run_action(double, 4)

    assert trip.start().result(20) == 8
