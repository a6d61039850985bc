"""Slots: max_parallelism, fairness between runs, named pools, queued work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wfkernel import OptionError, RunCanceled, RunFailed, StepFailed, WfkernelError, WorkflowManager


class Counter:
    """An action that notes how many of it run at once, and waits until it is let go."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = self.most = self.total = 0
        self.reached = threading.Condition(self.lock)
        self.release = threading.Event()

    def __call__(self, *args: Any) -> None:
        with self.lock:
            self.running += 1
            self.total += 1
            self.most = max(self.most, self.running)
            self.reached.notify_all()
        self.release.wait(20)
        with self.lock:
            self.running -= 1

    def wait_until(self, running: int) -> bool:
        with self.lock:
            return self.reached.wait_for(lambda: self.running >= running, 10)


@pytest.fixture
def held() -> Any:
    counter = Counter()
    yield counter
    counter.release.set()


def note(seen: list[Any], what: Any) -> Callable[[], None]:
    return lambda: seen.append(what)


async def number(n: int) -> int:
    return n


def test_no_more_steps_run_at_once_than_max_parallelism(make_wf: Callable[..., WorkflowManager], held: Counter) -> None:
    wf = make_wf(max_parallelism=3)

    @wf.workflow
    async def wide(step):
        await asyncio.gather(*(step.run_action(held, n) for n in range(10)))

    run = wide.start()
    assert held.wait_until(3)
    statuses = [s.status for s in run.status().running]
    assert (statuses.count("running"), statuses.count("scheduled")) == (3, 7)
    held.release.set()
    run.result(20)
    assert (held.most, held.total) == (3, 10)


def test_the_limit_holds_across_runs_and_kinds(make_wf: Callable[..., WorkflowManager], held: Counter) -> None:
    wf = make_wf(max_parallelism=2)

    @wf.workflow
    async def wide(step):
        await asyncio.gather(step.run_action(held), step.run_query(held))

    runs = [wide.start() for _ in range(3)]
    assert held.wait_until(2)
    held.release.set()
    for run in runs:
        run.result(20)
    assert (held.most, held.total) == (2, 6)


def test_twenty_five_steps_run_at_once_by_default(wf: WorkflowManager, held: Counter) -> None:
    @wf.workflow
    async def wide(step):
        await asyncio.gather(*(step.run_action(held, n) for n in range(30)))

    run = wide.start()
    assert held.wait_until(25)
    held.release.set()
    run.result(20)
    assert held.most == 25


def test_sleeping_and_waiting_runs_hold_no_slot(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(max_parallelism=1)

    @wf.workflow
    async def waits(step):
        await asyncio.gather(step.sleep(3600), step.await_event("never"), step.run_workflow(quick))

    @wf.workflow
    async def quick(step):
        return await step.run_action(number, 1)

    waits.start()
    assert quick.start().result(20) == 1


def test_nothing_runs_while_the_manager_is_paused(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(max_parallelism=0)

    @wf.workflow
    async def trip(step):
        return await step.run_action(number, 1)

    run = trip.start()
    assert [s.status for s in run.status().running] == ["scheduled"]
    wf.set_max_parallelism(1)
    assert run.result(20) == 1


def test_ten_thousand_steps_of_one_run_do_not_starve_another(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(max_parallelism=4)
    gate, done = threading.Event(), threading.Event()
    after: list[int] = []

    async def one(n: int) -> int:
        if n < 4:
            await asyncio.to_thread(gate.wait, 20)
        elif done.is_set():
            after.append(n)
        return n

    @wf.workflow
    async def huge(step):
        return len(await asyncio.gather(*(step.run_action(one, n) for n in range(10_000))))

    @wf.workflow
    async def small(step):
        return [await step.run_action(number, n) for n in range(10)]

    big = huge.start()
    little = small.start()
    gate.set()
    assert little.result(20) == list(range(10))
    done.set()
    assert big.status().type == "in_progress"
    big.cancel()
    assert len([s for s in big.steps() if s.status == "canceled"]) > 1000


def test_runs_take_turns(make_wf: Callable[..., WorkflowManager]) -> None:
    wf = make_wf(max_parallelism=1)
    gate = threading.Event()
    order: list[str] = []

    @wf.workflow
    async def first(step):
        await step.run_action(gate.wait, 20)

    @wf.workflow
    async def many(step, who: str):
        await asyncio.gather(*(step.run_action(note(order, who)) for _ in range(3)))

    holder = first.start()
    runs = [many.start(who) for who in "abc"]
    gate.set()
    for run in [holder, *runs]:
        run.result(20)
    assert order == list("abcabcabc")


def test_a_step_given_up_while_queued_never_runs(make_wf: Callable[..., WorkflowManager], held: Counter) -> None:
    wf = make_wf(max_parallelism=1)
    ran = threading.Event()

    @wf.workflow
    async def holder(step):
        await step.run_action(held)

    @wf.workflow
    async def trip(step):
        await step.run_action(ran.set)

    hold = holder.start()
    assert held.wait_until(1)
    run = trip.start()
    run.cancel()
    held.release.set()
    hold.result(20)
    with pytest.raises(RunCanceled):
        run.result(20)
    assert not ran.is_set()


# -- named pools --


def test_a_named_pool_has_slots_of_its_own(make_wf: Callable[..., WorkflowManager], held: Counter) -> None:
    wf = make_wf(max_parallelism=1)
    wf.pool("gpu", max_parallelism=2)

    @wf.workflow
    async def train(step):
        await asyncio.gather(*(step.options(pool="gpu").run_action(held, n) for n in range(4)))

    @wf.workflow
    async def quick(step):
        return await step.run_action(number, 1)

    run = train.start()
    assert held.wait_until(2)
    assert quick.start().result(20) == 1
    held.release.set()
    run.result(20)
    assert (held.most, held.total) == (2, 4)


def test_a_pool_can_be_passed_itself_and_changed_later(wf: WorkflowManager, held: Counter) -> None:
    gpu = wf.pool("gpu", max_parallelism=1)

    @wf.workflow
    async def train(step):
        await asyncio.gather(*(step.options(pool=gpu).run_action(held, n) for n in range(3)))

    run = train.start()
    assert held.wait_until(1)
    wf.pool("gpu", max_parallelism=3)
    assert held.wait_until(3)
    assert wf.pool("gpu").max_parallelism == 3
    held.release.set()
    run.result(20)


def test_a_step_for_a_pool_that_does_not_exist_fails_and_says_so(any_wf: WorkflowManager) -> None:
    @any_wf.workflow
    async def train(step):
        try:
            await step.options(pool="gpu").run_action(number, 1)
        except (StepFailed, WfkernelError) as exc:
            return str(exc)

    assert "gpu" in train.start().result(20)
    with pytest.raises(WfkernelError, match="gpu"):
        any_wf.pool("gpu")


@pytest.mark.parametrize("limit", [-1, 1.5, True, "3"])
def test_a_limit_that_is_no_count_is_refused(wf: WorkflowManager, limit: Any) -> None:
    with pytest.raises(OptionError):
        wf.pool("gpu", max_parallelism=limit)
    with pytest.raises(OptionError):
        wf.set_max_parallelism(limit)
    with pytest.raises(OptionError):
        WorkflowManager(":memory:", max_parallelism=limit)


def test_a_pool_is_remembered_by_the_journal(make_wf: Callable[..., WorkflowManager], journal_path: Any) -> None:
    make_wf(journal_path).pool("gpu", max_parallelism=7)
    make_wf(journal_path).close()
    assert make_wf(journal_path).pool("gpu").max_parallelism == 7


def module_level(n: int) -> int:
    return n * 2


def module_fails() -> None:
    raise ValueError("broken")


def module_writes(db: Any, text: str) -> None:
    db.execute("INSERT INTO notes VALUES (?)", [text])


def module_reads(db: Any) -> int:
    return db.execute("SELECT count(*) FROM notes").fetchone()[0]


def test_a_pool_takes_single_calls_as_work(any_wf: WorkflowManager) -> None:
    any_wf.db.execute("CREATE TABLE notes (text VARCHAR)")
    pool = any_wf.pool("mail", max_parallelism=2)
    assert pool.result(pool.enqueue_action(module_level, 4), 20) == 8
    assert pool.result(pool.enqueue_action(module_level, n=5), 20) == 10
    assert pool.result(pool.enqueue_mutation(module_writes, "x"), 20) is None
    assert pool.result(pool.enqueue_query(module_reads), 20) == 1
    work = pool.enqueue_action(module_fails)
    with pytest.raises(RunFailed, match="broken"):
        pool.result(work, 20)
    assert pool.status(work).type == "failed"


def test_an_action_that_waits_for_another_run_lends_its_slot(make_wf):
    wf = make_wf(max_parallelism=1)

    @wf.workflow
    async def inner(step):
        return await step.run_action(lambda: "inner")

    def waits() -> str:
        return inner.start().result(20)

    @wf.workflow
    async def outer(step):
        return await step.run_action(waits)

    assert outer.start().result(20) == "inner"
