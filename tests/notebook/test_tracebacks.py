"""What a cell shows when a wait fails: its own lines, and the step's, and none of ours."""

import pickle

import pytest
from notebook_kit import Notebook

from wfkernel import RunCanceled, RunFailed

STEPS = """\
import asyncio
def fetch(n):
    return 1 // n
async def afetch(n):
    await asyncio.sleep(0)
    return fetch(n)
def store(db, n):
    db.execute("SELECT 1")
    return fetch(n)
"""
FAILING = """\
%%workflow failing(n: int = 0, how: str = "thread")
if how == "thread":
    await step.run_action(fetch, n)
elif how == "async":
    await step.run_action(afetch, n)
elif how == "mutation":
    await step.run_mutation(store, n)
return fetch(n)
"""
OURS = (
    "manager.py",
    "waiting.py",
    "attempts.py",
    "workers.py",
    "steps.py",
    "asyncio/",
    "concurrent/futures",
    "interactiveshell.py",
)


def shown(notebook: Notebook) -> str:
    text = notebook.read()
    assert [word for word in OURS if word in text] == []
    return text


@pytest.mark.parametrize("how", ["thread", "async", "mutation", "body"])
@pytest.mark.parametrize("wait", ["run.result(20)", "await run"])
def test_a_failed_run_shows_the_cell_and_the_steps_own_lines(notebook: Notebook, how: str, wait: str) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    notebook.run(f"run = failing.start(how={how!r})")
    notebook.read()
    error = notebook.fail(f"def look():\n    return 5\nlook()\n{wait}")
    assert isinstance(error, RunFailed)
    text = shown(notebook)
    assert "----> 3     return 1 // n" in text
    assert "ZeroDivisionError" in text
    assert f"----> 4 {wait}" in text
    assert "The above exception was the direct cause" in text
    assert text.rstrip().endswith(f"RunFailed: {error}")
    assert error.__traceback__ is not None
    assert any("manager.py" in name for name in files(error)), "a debugger sees all frames"


def files(error: BaseException) -> list[str]:
    found, frames = [], error.__traceback__
    while frames is not None:
        found.append(frames.tb_frame.f_code.co_filename)
        frames = frames.tb_next
    return found


def test_a_wait_in_a_function_of_the_user_shows_that_function(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    notebook.read()
    notebook.fail("def wait_for(run):\n    return run.result(20)\nwait_for(failing.start())")
    text = shown(notebook)
    assert "----> 2     return run.result(20)" in text
    assert "----> 3 wait_for(failing.start())" in text


def test_a_failed_run_of_before_shows_what_is_known(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    run_id = notebook.run("run = failing.start(); run").id
    notebook.fail("run.result(20)")
    notebook.run("%reload_ext wfkernel")
    notebook.read()
    notebook.fail(f"wf.result({run_id!r})")
    text = shown(notebook)
    assert f"----> 1 wf.result({run_id!r})" in text
    assert "ZeroDivisionError: integer division or modulo by zero" in text


def test_a_canceled_run_and_a_late_one_show_the_cell_alone(notebook: Notebook) -> None:
    notebook.run("%%workflow waiting()\nawait step.await_event('go')")
    notebook.run("run = waiting.start()")
    notebook.read()
    assert isinstance(notebook.fail("run.result(0.01)"), TimeoutError)
    late = shown(notebook)
    assert "----> 1 run.result(0.01)" in late
    assert "has not ended within 0.01 s; it goes on" in late
    notebook.run("run.cancel()")
    assert isinstance(notebook.fail("await run"), RunCanceled)
    canceled = shown(notebook)
    assert "----> 1 await run" in canceled


def test_a_shown_error_can_be_pickled(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    failed = notebook.fail("failing.start().result(20)")
    again = pickle.loads(pickle.dumps(failed))
    assert (type(again), str(again), again.error) == (RunFailed, str(failed), failed.error)
    assert not hasattr(again, "_render_traceback_")


def test_an_exception_that_is_raised_again_shows_where(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    notebook.read()
    cell = "try:\n    failing.start().result(20)\nexcept Exception as error:\n    raise ValueError('mine') from error"
    notebook.fail(cell)
    text = notebook.read()
    assert "ValueError: mine" in text
    assert "----> 3     return 1 // n" in text
