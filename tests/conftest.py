"""Shared setup: a quiet Jupyter and matplotlib, Hypothesis profiles, and a watch over the engine's loop."""

import asyncio
import contextlib
import functools
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from blockbuster import BlockBuster
from blockbuster.blockbuster import BlockBusterFunction

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

# No deadline: two busy cores make any wall-clock limit a coin toss; pytest-timeout catches what hangs.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

ENGINE_THREAD = "wfkernel-engine"
"""How the name of the thread begins whose loop schedules every run. Actions have their own thread and may block."""

TESTS = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the developer's own IPython and Jupyter settings out of the tests."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[variable] = str(tmp_path_factory.mktemp(variable.lower()))


class EngineLoopWatch:
    """Notes each call that blocks the engine's loop. It only notes: an error raised there would end in the engine's own hands.

    Bodies run on the engine's thread too, under a loop of their own that is no asyncio.BaseEventLoop; they and every other thread
    are let through. DuckDB is not watched: a wrapper would hide the caller's frame from `SELECT ... FROM local_variable`.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._busters = BlockBuster()
        self._busters.functions["os.fsync"] = BlockBusterFunction(None, "os.fsync")
        self._busters.functions["os.fdatasync"] = BlockBusterFunction(None, "os.fdatasync")
        for function in self._busters.functions.values():
            function.can_block_predicate = self._noting(function)

    def _noting(self, function: BlockBusterFunction):
        is_harmless, may_block_in = function.can_block_predicate, function.can_block_functions

        def may_block(*args, **kwargs) -> bool:
            if not threading.current_thread().name.startswith(ENGINE_THREAD):
                return True
            if not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop) or is_harmless(*args, **kwargs):
                return True
            stack = traceback.extract_stack(sys._getframe(2))
            known = any(frame.filename.endswith(file) and frame.name in names for frame in stack for file, names in may_block_in)
            # Garbage of another test, collected here because we happened to allocate: a TemporaryDirectory is removed by its finalizer.
            known = known or any(frame.filename == weakref.__file__ and frame.name == "__call__" for frame in stack)
            if not known:
                self.calls.append(f"{function.full_name}\n{''.join(traceback.format_list(stack))}")
            return True

        return may_block

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        self.calls.clear()
        self._busters.activate()
        # What a test hands to a step must keep its name: step.run_action(time.sleep, 1) is the step "sleep".
        for function in self._busters.functions.values():
            if function.activated and not isinstance(function.module, type):
                functools.update_wrapper(getattr(function.module, function.func_name), function.original_func)
        try:
            yield
        finally:
            self._busters.deactivate()


@pytest.fixture(scope="session")
def engine_loop_watch() -> EngineLoopWatch:
    return EngineLoopWatch()


def _may_start_an_engine(path: Path) -> bool:
    return path.parent in (TESTS, TESTS / "engine")


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of the engine (tests/engine, tests/test_*.py) whose engine loop slept, read, wrote or waited for a lock.

    Opt out with `@pytest.mark.blocking_allowed("why")`.
    """
    if not _may_start_an_engine(request.path) or request.node.get_closest_marker("blocking_allowed"):
        yield
        return
    watch = request.getfixturevalue("engine_loop_watch")
    with watch.watching():
        yield
    if watch.calls:
        pytest.fail(f"the engine's loop was blocked {len(watch.calls)} times, first by {watch.calls[0]}", pytrace=False)
