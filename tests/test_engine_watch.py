"""The watch over the engine's loop (the no_blocking fixture in conftest.py) sees what it should, and nothing else."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def run_in_loop_of(thread_name: str, function: Callable[[], object]) -> None:
    async def main() -> None:
        function()

    thread = threading.Thread(target=asyncio.run, args=(main(),), name=thread_name)
    thread.start()
    thread.join()


def sleep() -> None:
    time.sleep(0.001)


def read_a_file() -> None:
    Path(__file__).read_text()


def wait_for_an_event() -> None:
    threading.Event().wait(0.001)


@pytest.mark.parametrize("blocking", [sleep, read_a_file, wait_for_an_event])
def test_a_blocking_call_on_the_engines_loop_is_noted(engine_loop_watch: Any, blocking: Callable[[], None]) -> None:
    run_in_loop_of("wfkernel-engine", blocking)
    calls = list(engine_loop_watch.calls)
    engine_loop_watch.calls.clear()
    assert calls
    assert blocking.__name__ in calls[0]


def test_actions_may_block(engine_loop_watch: Any) -> None:
    run_in_loop_of("wfkernel-actions", sleep)
    assert engine_loop_watch.calls == []


def test_a_body_on_the_engines_thread_is_let_through(engine_loop_watch: Any) -> None:
    class BodyLoop(asyncio.AbstractEventLoop):
        pass

    def body() -> None:
        engines_loop = asyncio.get_running_loop()
        asyncio._set_running_loop(BodyLoop())
        try:
            sleep()
        finally:
            asyncio._set_running_loop(engines_loop)

    run_in_loop_of("wfkernel-engine", body)
    assert engine_loop_watch.calls == []


def test_a_short_handover_between_threads_is_not_blocking(engine_loop_watch: Any) -> None:
    def hand_over() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: None)
        threading.Thread(target=lambda: None).start()
        with threading.Lock():
            pass

    run_in_loop_of("wfkernel-engine", hand_over)
    assert engine_loop_watch.calls == []


def test_a_watched_function_keeps_its_name() -> None:
    assert time.sleep.__name__ == "sleep"


@pytest.mark.blocking_allowed("this test is about the marker")
def test_the_marker_switches_the_watch_off(engine_loop_watch: Any) -> None:
    before = len(engine_loop_watch.calls)
    run_in_loop_of("wfkernel-engine", sleep)
    assert len(engine_loop_watch.calls) == before
