"""Values on their way through steps, runs and events: exact, typed, and untouched by what happens to the object later."""

from __future__ import annotations

import asyncio
import dataclasses
import decimal
import enum
import math
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from wfkernel import RunFailed, StepFailed, WorkflowManager, define_event, mutation, query


class Color(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Booking:
    city: str
    nights: list[int]


class Report(BaseModel):
    city: str
    when: datetime
    scores: tuple[int, ...] = ()


def same(value: Any) -> Any:
    return value


async def same_async(value: Any) -> Any:
    return value


VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "zero": 0,
    "negative zero": -0.0,
    "big int": 10**400,
    "bigger int": 7**9000,
    "negative big int": -(2**2048),
    "2 to the 63": 2**63,
    "2 to the 53 plus 1": 2**53 + 1,
    "float": 0.1 + 0.2,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "empty text": "",
    "nul": "a\x00b",
    "quotes": 'it\'s "odd" \\ \n\r\t\u2028',
    "emoji": "größe 数据 🏖",
    "lone surrogate": "\ud800",
    "dollar": {"$": "tuple", "v": [1]},
    "nested dollar": [{"$": {"$": 1}}],
    "empty": [[], {}, ""],
    "nested": {"a": [1, {"b": [None, True, 1.5]}]},
    "int keys": {1: "a", (1, 2): "b", None: "c"},
    "tuple": (1, (2, "x"), [3]),
    "set": {1, 2, 3},
    "frozenset": frozenset({"a"}),
    "bytes": b"\x00\xff" * 10,
    "large bytes": b"x" * 1_500_000,
    "large text": "y" * 1_500_000,
    "datetime": datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
    "naive datetime": datetime(2030, 1, 1),  # noqa: DTZ001
    "date": date(2030, 1, 1),
    "timedelta": timedelta(days=3, microseconds=1),
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=5),
    "path": Path("/tmp/x"),
    "complex": 1 + 2j,
    "enum": Color.RED,
    "named tuple": Point(1, 2),
    "dataclass": Booking("Rome", [1, 2]),
    "model": Report(city="Rome", when=datetime(2030, 1, 1, tzinfo=UTC), scores=(1, 2)),
    "models in a list": [Report(city="Rome", when=datetime(2030, 1, 1, tzinfo=UTC))],
}


def is_same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b and (isinstance(a, int) or repr(a) == repr(b))


@pytest.mark.parametrize("which", VALUES)
def test_a_value_comes_through_every_door_as_it_went_in(any_wf: WorkflowManager, which: str) -> None:
    value = VALUES[which]
    seen: list[tuple[str, Any]] = []

    @any_wf.workflow
    async def child(step, value):
        seen.append(("argument of a child", value))
        return value

    @any_wf.workflow
    async def trip(step, value):
        seen.append(("argument of a run", value))
        seen.append(("plain action", await step.run_action(same, value)))
        seen.append(("async action", await step.run_action(same_async, value)))
        seen.append(("query", await step.run_query(lambda db, v: v, value)))
        seen.append(("mutation", await step.run_mutation(lambda db, v: v, v=value)))
        seen.append(("event", await step.await_event("go")))
        seen.append(("child", await step.run_workflow(child, value)))
        return value

    run = trip.start(value)
    run.send_event("go", value)
    seen.append(("result", run.result(20)))
    seen.append(("result again", any_wf.result(run.id)))
    assert [where for where, got in seen if not is_same(got, value)] == []
    assert len({where for where, _ in seen}) == 10


@pytest.mark.parametrize("which", ["big int", "negative zero", "nul", "tuple", "infinity", "model"])
def test_a_value_is_the_same_after_a_reopen(make_wf: Callable[..., WorkflowManager], journal_path: Path, which: str) -> None:
    check_reopened(make_wf, journal_path, VALUES[which])


@pytest.mark.blocking_allowed("side files of arguments and results are read where the body is replayed: on the engine's loop")
def test_a_value_in_a_side_file_is_the_same_after_a_reopen(make_wf: Callable[..., WorkflowManager], journal_path: Path) -> None:
    check_reopened(make_wf, journal_path, VALUES["large bytes"])


def check_reopened(make_wf: Callable[..., WorkflowManager], journal_path: Path, value: Any) -> None:
    async def trip(step, value):
        got = await step.run_action(same, value)
        await step.await_event("go")
        return [is_same(got, value), got]

    wf = make_wf(journal_path)
    run = wf.workflow(trip).start(value)
    while not any(s.kind == "event" for s in run.status().running):
        pass
    wf.close()
    again = make_wf(journal_path)
    again.workflow(trip)
    again.send_event("go", run=run.id)
    held, got = again.result(run.id, 20)
    assert held is True
    assert is_same(got, value)


def test_not_a_number_stays_not_a_number(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        value = await step.run_action(same, float("nan"))
        return [math.isnan(value), value]

    held, value = trip.start().result(20)
    assert held is True
    assert math.isnan(value)


def test_a_tuple_annotated_as_a_tuple_stays_one_live_and_on_replay(any_wf: WorkflowManager) -> None:
    def corners() -> tuple[int, int]:
        return (1, 2)

    @any_wf.workflow
    async def trip(step):
        first = await step.run_action(corners)
        await step.run_action(same, 1)
        return [type(first).__name__, first]

    assert trip.start().result(20) == ["tuple", (1, 2)]


# -- later changes --


def test_changing_an_argument_after_the_call_changes_nothing(any_wf: WorkflowManager) -> None:
    seen: list[Any] = []

    def look(cities: list[str], booking: Booking) -> None:
        seen.append((list(cities), list(booking.nights)))

    @any_wf.workflow
    async def trip(step):
        cities, booking = ["Rome"], Booking("Rome", [1])
        call = step.run_action(look, cities, booking)
        cities.append("Oslo")
        booking.nights.append(2)
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        cities.append("Bern")
        await task

    run = trip.start()
    run.result(20)
    assert seen == [(["Rome"], [1])]
    assert run.steps()[0].args["cities"] == ["Rome"]


def test_an_action_that_changes_its_argument_does_not_reach_the_body(any_wf: WorkflowManager) -> None:
    def spoil(cities: list[str]) -> int:
        cities.append("Oslo")
        return len(cities)

    @any_wf.workflow
    async def trip(step):
        cities = ["Rome"]
        return [await step.run_action(spoil, cities), cities]

    assert trip.start().result(20) == [2, ["Rome"]]


def test_a_result_changed_after_it_was_returned_is_the_bodys_as_it_was(any_wf: WorkflowManager) -> None:
    kept: list[list[str]] = []

    def give() -> list[str]:
        kept.append(["Rome"])
        return kept[0]

    def spoil() -> None:
        kept[0].append("Oslo")

    @any_wf.workflow
    async def trip(step):
        cities = await step.run_action(give)
        await step.run_action(spoil)
        return cities

    run = trip.start()
    assert run.result(20) == ["Rome"]
    assert run.steps()[0].result == ["Rome"]


def test_a_result_changed_by_the_body_is_journaled_as_it_was(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        cities = await step.run_action(same, ["Rome"])
        cities.append("Oslo")
        return [cities, await step.run_action(len, cities)]

    run = trip.start()
    assert run.result(20) == [["Rome", "Oslo"], 2]
    assert run.steps()[0].result == ["Rome"]


def test_a_result_of_a_run_belongs_to_who_asked_for_it(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return ["Rome"]

    run = trip.start()
    run.result(20).append("Oslo")
    assert run.result(20) == ["Rome"]


def test_a_childs_result_belongs_to_its_parent(any_wf: WorkflowManager) -> None:
    kept: list[list[str]] = []

    @any_wf.workflow
    async def child(step):
        kept.append(["Rome"])
        return kept[-1]

    @any_wf.workflow
    async def parent(step):
        cities = await step.run_workflow(child)
        cities.append("Oslo")
        return cities

    run = parent.start()
    assert run.result(20) == ["Rome", "Oslo"]
    assert kept[0] == ["Rome"]
    assert any_wf.get(run.steps()[0].child_run_id).result(20) == ["Rome"]


def test_an_event_changed_after_it_was_sent_is_received_as_it_was(any_wf: WorkflowManager) -> None:
    go = define_event("go", list[str])

    @any_wf.workflow
    async def trip(step):
        return [await step.await_event(go), await step.await_event("later")]

    run = trip.start()
    cities = ["Rome"]
    run.send_event(go, cities)
    run.send_event("later", cities)
    cities.append("Oslo")
    assert run.result(20) == [["Rome"], ["Rome"]]


def test_the_context_is_kept_as_it_was(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        return 1

    context = ["Rome"]
    derived = trip.options(context=context)
    context.append("Oslo")
    derived.start().result(20)
    assert any_wf.list().items[0].context == ["Rome"]


# -- what cannot be stored --


def not_storable() -> Any:
    return {"lock": [threading.Lock()]}


@pytest.mark.parametrize("kind", ["action", "async action", "query", "mutation"])
def test_a_result_that_cannot_be_stored_fails_the_step_naming_it(any_wf: WorkflowManager, kind: str) -> None:
    any_wf.db.execute("CREATE TABLE notes (text VARCHAR)")

    async def coroutine() -> Any:
        return not_storable()

    @query
    def look(db):
        return not_storable()

    @mutation
    def write(db):
        db.execute("INSERT INTO notes VALUES ('x')")
        return not_storable()

    @any_wf.workflow
    async def trip(step):
        named = step.options(name="lock up", retry=True)
        calls = {
            "action": lambda: named.run_action(not_storable),
            "async action": lambda: named.run_action(coroutine),
            "query": lambda: named.run_query(look),
            "mutation": lambda: named.run_mutation(write),
        }
        try:
            await calls[kind]()
        except StepFailed as exc:
            return [str(exc), exc.attempts, exc.error.type]

    text, attempts, name = trip.start().result(20)
    assert "lock up" in text
    assert "['lock'][0]" in text
    assert (attempts, name) == (1, "ValueNotStorable")
    assert any_wf.db.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_a_run_whose_result_cannot_be_stored_fails(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        await step.run_action(same, 1)
        return not_storable()

    run = trip.start()
    with pytest.raises(RunFailed, match="cannot be stored") as failed:
        run.result(20)
    assert failed.value.error.type == "ValueNotStorable"
    assert run.status().type == "failed"


def test_a_result_whose_reading_fails_is_a_failed_step(any_wf: WorkflowManager) -> None:
    class Moody(BaseModel):
        x: int

        def __getattribute__(self, name: str) -> Any:
            if name in ("x", "__dict__"):
                raise RuntimeError("not now")
            return super().__getattribute__(name)

    def make() -> Any:
        return Moody.model_construct()

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(make)
        except StepFailed as exc:
            return exc.attempts

    assert trip.start().result(20) == 1


def test_a_list_that_contains_itself_is_refused(any_wf: WorkflowManager) -> None:
    def loop() -> list[Any]:
        found: list[Any] = []
        found.append(found)
        return found

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(loop)
        except StepFailed as exc:
            return exc.error.type

    assert trip.start().result(20) == "ValueNotStorable"


def test_a_thousand_levels_are_refused_and_not_a_crash(any_wf: WorkflowManager) -> None:
    def deep() -> Any:
        value: Any = 1
        for _ in range(100_000):
            value = [value]
        return value

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(deep)
        except StepFailed as exc:
            return exc.error.type

    assert trip.start().result(20) == "ValueNotStorable"


def test_an_error_whose_text_cannot_be_written_is_a_failed_step(any_wf: WorkflowManager) -> None:
    def fail() -> None:
        raise ValueError("lone \ud800 surrogate \x00 and nul")

    @any_wf.workflow
    async def trip(step):
        try:
            await step.run_action(fail)
        except StepFailed as exc:
            return [exc.error.type, exc.attempts]

    assert trip.start().result(20) == ["ValueError", 1]


def test_a_run_whose_errors_text_cannot_be_written_fails(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        raise ValueError("lone \ud800 surrogate \x00 and nul")

    run = trip.start()
    with pytest.raises(RunFailed):
        run.result(20)
    assert run.status().error.type == "ValueError"


def test_values_are_plain_json_for_sql(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step, city: str):
        return {"city": city, "days": [1, 2]}

    trip.start("Rome").result(20)
    found = any_wf.db.execute(
        "SELECT args->>'city', result->>'city', CAST(result->'days'->>1 AS INTEGER) FROM wf.runs"
    ).fetchone()
    assert found == ("Rome", "Rome", 2)
