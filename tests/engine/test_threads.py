"""Threads that run plain functions: as many as are needed, or as many as there may be."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from wfkernel.engine.workers import Threads

WAIT_S = 10.0


class Job:
    """Begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(WAIT_S)
        self.done.set()


@pytest.fixture
def two() -> Iterator[Threads]:
    threads = Threads("two", most=2)
    yield threads
    threads.close()


def test_jobs_beyond_the_most_begin_in_their_order_as_threads_become_free(two: Threads) -> None:
    jobs = [Job() for _ in range(5)]
    for job in jobs:
        two.submit(job)
    assert all(job.begun.wait(WAIT_S) for job in jobs[:2])
    for i, job in enumerate(jobs):
        assert job.begun.wait(WAIT_S)
        assert [j.begun.is_set() for j in jobs[i + 2 :]] == [False] * len(jobs[i + 2 :])
        job.go.set()
        assert job.done.wait(WAIT_S)
    assert len({job.thread for job in jobs}) == 2


def test_an_idle_thread_is_used_before_another_is_made(two: Threads) -> None:
    used = set()
    for _ in range(20):
        job = Job()
        job.go.set()
        two.submit(job)
        assert job.done.wait(WAIT_S)
        used.add(job.thread)
    assert len(used) <= 2


def test_without_a_limit_everything_begins_at_once() -> None:
    threads, jobs = Threads("many"), [Job() for _ in range(30)]
    for job in jobs:
        threads.submit(job)
    assert all(job.begun.wait(WAIT_S) for job in jobs)
    for job in jobs:
        job.go.set()
    threads.close()
