"""Bodies: plain asyncio is durable, deterministic, and cannot reach outside."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wfkernel import BodyError, RunFailed, StepFailed, WfkernelError, WorkflowManager, mutation, query
from wfkernel.engine import watch
from wfkernel.testing import VirtualClock


def double(n: int) -> int:
    return n * 2


async def triple(n: int) -> int:
    return n * 3


def line_of(fn: Callable[..., Any], text: str) -> str:
    """``:<number>`` of the first line of ``fn`` that has this text."""
    import inspect

    lines, first = inspect.getsourcelines(fn)
    return f":{first + next(i for i, line in enumerate(lines) if text in line)}"


# -- plain asyncio --


def test_gather_runs_steps_side_by_side_and_keeps_their_order(any_wf: WorkflowManager) -> None:
    both = threading.Barrier(2)

    def meet(n: int) -> int:
        both.wait(10)
        return n

    @any_wf.workflow
    async def trip(step):
        return await asyncio.gather(step.run_action(meet, 1), step.run_action(meet, 2))

    assert trip.start().result(20) == [1, 2]


def test_gather_can_return_the_failures(any_wf: WorkflowManager) -> None:
    def fail() -> None:
        raise ValueError("no seats")

    @any_wf.workflow
    async def trip(step):
        good, bad = await asyncio.gather(step.run_action(double, 2), step.run_action(fail), return_exceptions=True)
        return [good, type(bad).__name__, str(bad)]

    assert trip.start().result(20) == [4, "StepFailed", "no seats"]


def test_a_task_group_runs_steps_and_cancels_the_rest_when_one_fails(quick_wf: WorkflowManager) -> None:
    def fail() -> None:
        raise ValueError("no seats")

    @quick_wf.workflow
    async def trip(step):
        texts = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(step.sleep(3600))
                group.create_task(step.run_action(fail))
        except* StepFailed as failed:
            texts = [str(e) for e in failed.exceptions]
        return texts

    run = trip.start()
    assert run.result(20) == ["no seats"]
    assert [(s.kind, s.status) for s in run.steps()] == [("sleep", "canceled"), ("action", "failed")]


def test_a_task_group_gives_the_results_of_its_tasks(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step.run_action(triple, n)) for n in range(4)]
        return [t.result() for t in tasks]

    assert trip.start().result(20) == [0, 3, 6, 9]


def test_steps_of_a_created_task_are_numbered_when_they_first_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        first = step.options(name="made first").run_action(double, 1)
        task = asyncio.create_task(step.options(name="made second").run_action(double, 2))
        b = await step.options(name="made third").run_action(double, 3)
        return [await first, await task, b]

    run = trip.start()
    assert run.result(20) == [2, 4, 6]
    assert [s.name for s in run.steps()] == ["made third", "made second", "made first"]


def test_wait_first_completed_gives_the_one_that_finished(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def race(step):
        fast = asyncio.create_task(step.sleep(1), name="fast")
        slow = asyncio.create_task(step.sleep(9), name="slow")
        done, pending = await asyncio.wait([slow, fast], return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [[t.get_name() for t in done], [t.get_name() for t in pending]]

    assert race.start().result(20) == [["fast"], ["slow"]]


def test_as_completed_gives_steps_in_the_order_in_which_they_finish(quick_wf: WorkflowManager) -> None:
    async def later(step: Any, delay: float) -> float:
        await step.sleep(delay)
        return delay

    @quick_wf.workflow
    async def race(step):
        return [await next_one for next_one in asyncio.as_completed([later(step, d) for d in (3, 1, 2)])]

    assert race.start().result(20) == [1, 2, 3]


def test_wait_for_gives_up_a_step_that_takes_too_long(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        try:
            await asyncio.wait_for(step.sleep(3600), timeout=5)
        except TimeoutError:
            return "late"

    run = trip.start()
    assert run.result(20) == "late"
    assert ("sleep", "canceled") in [(s.name, s.status) for s in run.steps()]


def test_wait_for_gives_the_result_of_a_step_in_time(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        return await asyncio.wait_for(step.run_action(double, 4), timeout=5)

    assert trip.start().result(20) == 8


def test_a_timeout_block_ends_at_its_deadline_and_cancels_what_runs(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        begun = step.now()
        try:
            async with asyncio.timeout(60):
                await step.await_event("never")
        except TimeoutError:
            return (step.now() - begun).total_seconds()

    run = trip.start()
    # nothing but an event and a deadline is pending: the deadline lets time jump
    assert run.result(20) == 60


def test_a_timeout_block_that_is_met_leaves_no_pending_step(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        async with asyncio.timeout(60):
            await step.run_action(double, 1)
        await asyncio.sleep(3600)
        return "on time"

    run = trip.start()
    assert run.result(20) == "on time"
    assert all(s.status in ("success", "canceled") for s in run.steps())


def test_asyncio_sleep_is_a_journaled_sleep(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def nap(step):
        begun = step.now()
        await asyncio.sleep(90)
        return (step.now() - begun).total_seconds()

    run = nap.start()
    assert run.result(20) == 90
    assert [(s.kind, s.name, s.status) for s in run.steps()] == [("sleep", "sleep", "success")]


def test_asyncio_sleep_zero_only_lets_other_tasks_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def polite(step):
        seen = []

        async def other():
            seen.append("other")

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        seen.append("main")
        await task
        return seen

    run = polite.start()
    assert run.result(20) == ["other", "main"]
    assert run.steps() == []


def test_an_event_passes_between_tasks_of_one_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        ready = asyncio.Event()

        async def wait():
            await ready.wait()
            return await step.run_action(double, 1)

        task = asyncio.create_task(wait())
        await step.run_action(double, 5)
        ready.set()
        return await task

    assert trip.start().result(20) == 2


def test_a_lock_keeps_two_tasks_of_one_run_apart(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        lock, inside, most = asyncio.Lock(), 0, 0

        async def enter(n: int):
            nonlocal inside, most
            async with lock:
                inside += 1
                most = max(most, inside)
                await step.sleep(n)
                inside -= 1

        await asyncio.gather(*(enter(n) for n in (3, 2, 1)))
        return most

    assert trip.start().result(20) == 1


def test_a_semaphore_lets_two_tasks_in_at_once(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        slots, inside, most = asyncio.Semaphore(2), 0, 0

        async def enter(n: int):
            nonlocal inside, most
            async with slots:
                inside += 1
                most = max(most, inside)
                await step.sleep(n)
                inside -= 1

        await asyncio.gather(*(enter(n) for n in (3, 2, 1, 4)))
        return most

    assert trip.start().result(20) == 2


def test_a_queue_passes_values_between_tasks_of_one_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def trip(step):
        queue: asyncio.Queue[int | None] = asyncio.Queue(maxsize=1)

        async def produce():
            for n in range(3):
                await queue.put(await step.run_action(double, n))
            await queue.put(None)

        producer = asyncio.create_task(produce())
        got = []
        while (item := await queue.get()) is not None:
            got.append(item)
        await producer
        return got

    assert trip.start().result(20) == [0, 2, 4]


def test_shield_keeps_a_step_going_after_a_timeout(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        slow = asyncio.create_task(step.sleep(100))
        try:
            await asyncio.wait_for(asyncio.shield(slow), 1)
        except TimeoutError:
            pass
        await slow
        return "kept"

    run = trip.start()
    assert run.result(20) == "kept"
    assert run.steps()[0].status == "success"


def test_a_step_that_is_canceled_raises_cancelled_error_in_its_task(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        task = asyncio.create_task(step.sleep(100))
        await step.run_action(double, 1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "canceled"

    run = trip.start()
    assert run.result(20) == "canceled"
    assert [s.status for s in run.steps()] == ["success", "canceled"] or [s.status for s in run.steps()] == [
        "canceled",
        "success",
    ]


def test_an_async_generator_may_run_steps(any_wf: WorkflowManager) -> None:
    async def pages(step: Any):
        for n in range(3):
            yield await step.run_action(double, n)

    @any_wf.workflow
    async def trip(step):
        return [page async for page in pages(step)]

    assert trip.start().result(20) == [0, 2, 4]


def test_the_cleanup_of_an_abandoned_async_generator_runs_in_the_body(any_wf: WorkflowManager) -> None:
    async def pages(step: Any):
        try:
            for n in range(3):
                yield await step.run_action(double, n)
        finally:
            await step.options(name="close").run_action(double, 0)

    @any_wf.workflow
    async def trip(step):
        async for page in pages(step):  # noqa: B007 - used after it
            break
        await step.options(name="after").run_action(double, 1)
        return page

    run = trip.start()
    assert run.result(20) == 0
    assert {s.name for s in run.steps()} == {"double", "close", "after"}


def test_steps_still_pending_when_the_body_ends_are_canceled(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def hasty(step):
        task = asyncio.create_task(step.sleep(3600))
        await step.run_action(double, 1)
        return task.done()

    run = hasty.start()
    assert run.result(20) is False
    assert sorted((s.kind, s.status) for s in run.steps()) == [("action", "success"), ("sleep", "canceled")]


def test_an_endless_sleep_can_be_raced(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def trip(step):
        forever = asyncio.create_task(asyncio.sleep(float("inf")))
        await step.run_action(double, 1)
        forever.cancel()
        return "raced"

    assert trip.start().result(20) == "raced"


# -- time and chance --


def test_now_is_the_runs_time_aware_and_in_utc(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def clock(step):
        first = step.now()
        await step.sleep(3600)
        return first, step.now()

    first, second = clock.start().result(20)
    assert isinstance(first, datetime)
    assert first.utcoffset() == timedelta(0)
    assert second - first == timedelta(hours=1)


def test_now_does_not_move_between_two_steps(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def clock(step):
        await step.run_action(double, 1)
        first = step.now()
        for _ in range(1000):
            pass
        return first == step.now()

    assert clock.start().result(20) is True


def test_random_numbers_are_the_same_on_every_replay() -> None:
    seen: list[Any] = []
    with WorkflowManager(":memory:", replay="always") as wf:

        @wf.workflow
        async def dice(step):
            first = [step.random.random(), step.random.randint(1, 6), str(step.uuid4())]
            seen.append(first)
            await step.run_action(double, 1)
            await step.run_action(double, 2)
            return [*first, str(step.uuid4())]

        result = dice.start().result(20)
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2] == result[:3]
    assert uuid.UUID(result[2]).version == 4
    assert result[2] != result[3]


def test_every_run_has_random_numbers_of_its_own(wf: WorkflowManager) -> None:
    @wf.workflow
    async def dice(step):
        return str(step.uuid4())

    assert len({dice.start().result(20) for _ in range(20)}) == 20


def test_the_same_run_id_in_another_journal_has_other_random_numbers(make_wf: Callable[..., WorkflowManager]) -> None:
    drawn = set()
    for _ in range(2):
        wf = make_wf()

        @wf.workflow
        async def dice(step):
            return str(step.uuid4())

        drawn.add(dice.options(id="order-17").start().result(20))
    assert len(drawn) == 2


def test_the_body_knows_its_run_id(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def who(step):
        return step.run_id

    run = who.start()
    assert run.result(20) == run.id
    assert who.options(id="mine").start().result(20) == "mine"


def test_a_month_of_onboarding_takes_milliseconds(quick_wf: WorkflowManager) -> None:
    sent: list[tuple[str, int]] = []

    def mail(to: str, day: int) -> None:
        sent.append((to, day))

    @quick_wf.workflow
    async def onboard(step, email: str):
        begun = step.now()
        for day in (0, 1, 3, 7, 14, 30):
            await step.sleep_until(begun + timedelta(days=day))
            await step.run_action(mail, email, day)
        return (step.now() - begun).days

    begun = time.monotonic()
    assert onboard.start("ada@example.org").result(20) == 30
    assert sent == [("ada@example.org", day) for day in (0, 1, 3, 7, 14, 30)]
    assert time.monotonic() - begun < 5


def test_runs_that_sleep_side_by_side_wake_in_the_order_of_their_instants(quick_wf: WorkflowManager) -> None:
    woken: list[int] = []
    all_sleep = threading.Event()

    @quick_wf.workflow
    async def nap(step, days: int):
        await step.sleep(timedelta(days=days))
        await step.run_action(woken.append, days)

    @quick_wf.workflow
    async def hold_the_clock(step):
        await step.run_action(all_sleep.wait, 10)

    hold_the_clock.start()
    runs = [nap.start(d) for d in (5, 1, 3)]
    all_sleep.set()
    for run in runs:
        run.result(20)
    assert woken == [1, 3, 5]


def test_sleep_until_an_instant_that_has_passed_returns_at_once(quick_wf: WorkflowManager) -> None:
    @quick_wf.workflow
    async def late(step):
        begun = step.now()
        await step.sleep_until(datetime(2001, 1, 1, tzinfo=UTC))
        return step.now() == begun

    assert late.start().result(20) is True


def test_a_run_that_waits_only_for_an_event_does_not_let_time_jump(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock()
    wf = make_wf(clock=clock)
    waits = threading.Event()

    @wf.workflow
    async def patient(step):
        await step.run_action(waits.set)
        await step.await_event("go")
        return "went"

    @wf.workflow
    async def sleeper(step):
        await step.sleep(3600)

    run = patient.start()
    assert waits.wait(10)
    while not any(s.kind == "event" for s in run.status().running):
        pass
    before = clock.now()
    nap = sleeper.start()
    assert nap.status().type == "in_progress"
    assert clock.now() == before
    run.send_event("go")
    assert run.result(20) == "went"
    nap.result(20)
    assert clock.now() >= before + timedelta(hours=1)


def test_advance_moves_a_virtual_clock_by_hand(make_wf: Callable[..., WorkflowManager]) -> None:
    clock = VirtualClock(datetime(2030, 1, 1, tzinfo=UTC), autojump=False)
    wf = make_wf(clock=clock)

    @wf.workflow
    async def nap(step):
        await step.sleep(10)
        return step.now()

    run = nap.start()
    clock.advance(9)
    assert run.status().type == "in_progress"
    clock.advance(timedelta(seconds=1))
    assert run.result(20) == datetime(2030, 1, 1, 0, 0, 10, tzinfo=UTC)


# -- prints --


def test_what_a_body_prints_is_heard_once(any_wf: WorkflowManager, capsys: pytest.CaptureFixture[str]) -> None:
    @any_wf.workflow
    async def talk(step):
        print("begin")
        await step.run_action(double, 1)
        print("middle")
        await asyncio.gather(step.run_action(double, 2), step.run_action(double, 3))
        print("end")

    talk.start().result(20)
    assert capsys.readouterr().out == "begin\nmiddle\nend\n"


def test_what_a_body_prints_before_it_fails_is_heard_once(any_wf: WorkflowManager, capsys: pytest.CaptureFixture[str]) -> None:
    @any_wf.workflow
    async def talk(step):
        print("begin")
        try:
            await step.run_action(double, 1)
            raise ValueError("bad")
        finally:
            print("end")

    with pytest.raises(RunFailed):
        talk.start().result(20)
    assert capsys.readouterr().out == "begin\nend\n"


def test_the_finally_of_a_waiting_body_is_not_heard_until_it_runs(
    any_wf: WorkflowManager, capsys: pytest.CaptureFixture[str]
) -> None:
    @any_wf.workflow
    async def talk(step):
        try:
            for n in range(3):
                await step.run_action(double, n)
        finally:
            print("finally")

    talk.start().result(20)
    assert capsys.readouterr().out == "finally\n"


# -- what a body may not do --


def test_a_foreign_await_fails_the_run_and_names_the_line(any_wf: WorkflowManager) -> None:
    loop = asyncio.new_event_loop()
    foreign = loop.create_future()

    async def body(step):
        await foreign

    run = any_wf.workflow(body).start()
    with pytest.raises(RunFailed) as failed:
        run.result(20)
    loop.close()
    assert failed.value.error.type == "BodyError"
    assert __file__ + line_of(body, "await foreign") in str(failed.value)
    assert isinstance(failed.value.__cause__, BodyError)


def test_waiting_for_a_thread_in_a_body_fails_the_run_and_names_the_line(any_wf: WorkflowManager) -> None:
    async def body(step):
        await asyncio.to_thread(double, 1)

    with pytest.raises(RunFailed, match="run_in_executor") as failed:
        any_wf.workflow(body).start().result(20)
    assert __file__ + line_of(body, "await asyncio") in str(failed.value)


def test_a_connection_opened_in_a_body_fails_the_run_and_names_the_line(any_wf: WorkflowManager) -> None:
    async def body(step):
        await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises(RunFailed, match="create_connection") as failed:
        any_wf.workflow(body).start().result(20)
    assert __file__ + line_of(body, "await asyncio") in str(failed.value)


def test_waiting_for_what_nobody_will_set_fails_the_run_and_names_the_line(any_wf: WorkflowManager) -> None:
    async def body(step):
        await step.run_action(double, 1)
        await asyncio.Event().wait()

    with pytest.raises(RunFailed) as failed:
        any_wf.workflow(body).start().result(20)
    assert failed.value.error.type == "BodyError"
    assert __file__ + line_of(body, "await asyncio") in str(failed.value)


def test_asyncio_run_in_a_body_is_refused(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def body(step):
        coro = triple(1)
        try:
            asyncio.run(coro)
        finally:
            coro.close()

    with pytest.raises(RunFailed, match="running event loop"):
        body.start().result(20)


@pytest.mark.blocking_allowed("the body sleeps on purpose")
def test_a_body_that_blocks_is_reported_with_its_line(wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BLOCKED_S", 0.02)
    said: list[str] = []
    reported = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            reported.set()

    async def body(step):
        reported.wait(10)

    logger = logging.getLogger("wfkernel")
    handler = Heard()
    logger.addHandler(handler)
    try:
        wf.workflow(body).start().result(20)
    finally:
        logger.removeHandler(handler)
    assert __file__ + line_of(body, "reported.wait") in said[0]


@pytest.mark.parametrize("what", ["start", "result", "await", "send_event", "status", "cancel", "list", "db", "get"])
def test_a_body_cannot_call_the_manager(any_wf: WorkflowManager, what: str) -> None:
    @any_wf.workflow
    async def other(step):
        return 1

    finished = other.start()
    finished.result(20)

    async def reach_out() -> Any:
        calls: dict[str, Callable[[], Any]] = {
            "start": other.start,
            "result": lambda: any_wf.result(finished),
            "send_event": lambda: any_wf.send_event("go", 1, run=finished.id),
            "status": finished.status,
            "cancel": finished.cancel,
            "list": any_wf.list,
            "db": lambda: any_wf.db,
            "get": lambda: any_wf.get(finished.id),
        }
        return await finished if what == "await" else calls[what]()

    @any_wf.workflow
    async def body(step):
        try:
            await reach_out()
        except WfkernelError as exc:
            return str(exc)

    assert "body" in body.start().result(20)


def test_a_step_used_outside_of_its_body_is_refused(wf: WorkflowManager) -> None:
    kept: list[Any] = []

    @wf.workflow
    async def body(step):
        kept.append(step)

    body.start().result(20)
    with pytest.raises(BodyError):
        asyncio.run(kept[0].run_action(double, 1))


def test_a_parents_step_used_in_a_childs_body_is_refused(any_wf: WorkflowManager) -> None:
    parents: list[Any] = []

    @any_wf.workflow
    async def child(step):
        return await parents[0].run_action(double, 1)

    @any_wf.workflow
    async def parent(step):
        parents[:] = [step]
        try:
            await step.run_workflow(child)
        except StepFailed as exc:
            return exc.error.type

    assert parent.start().result(20) == "BodyError"


def test_a_body_that_spins_is_stopped(any_wf: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfkernel.core.body._MAX_CALLBACKS", 1000)

    @any_wf.workflow
    async def spin(step):
        while True:  # noqa: ASYNC110 - this is the mistake
            await asyncio.sleep(0)

    with pytest.raises(RunFailed, match="spins"):
        spin.start().result(20)


def test_a_body_may_raise_system_exit_without_ending_the_engine(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def leave(step):
        raise SystemExit(3)

    @any_wf.workflow
    async def stay(step):
        return "here"

    with pytest.raises(RunFailed) as failed:
        leave.start().result(20)
    assert failed.value.error.type == "SystemExit"
    assert stay.start().result(20) == "here"


def test_cancelled_error_raised_by_the_body_itself_fails_the_run(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def odd(step):
        raise asyncio.CancelledError

    with pytest.raises(RunFailed) as failed:
        odd.start().result(20)
    assert failed.value.error.type == "CancelledError"


def test_queries_and_mutations_are_steps_too(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE notes (text VARCHAR)")

    @mutation
    def note(db, text):
        db.execute("INSERT INTO notes VALUES (?)", [text])

    @query
    def count(db):
        return db.execute("SELECT count(*) FROM notes").fetchone()[0]

    @any_wf.workflow
    async def keep(step):
        await step.run_mutation(note, "a")
        return await step.run_query(count)

    run = keep.start()
    assert run.result(20) == 1
    assert [(s.kind, s.name, s.status) for s in run.steps()] == [("mutation", "note", "success"), ("query", "count", "success")]
