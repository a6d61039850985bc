"""What a cell shows when a wait fails: its own lines, and the step's, and none of ours."""

import pickle

import pytest
from notebook_kit import Notebook

from wfkernel import RunCanceled, RunFailed
from wfkernel.model.cells import with_cells

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


def test_an_error_of_ours_shows_the_cell_and_none_of_our_lines(notebook: Notebook) -> None:
    notebook.run("%%workflow waiting(n: int)\nawait step.await_event('go')")
    for line in ("wf.get('nope')", "waiting.start('x')", "wf.send_event('go', 1)", "wf.list(limit=0)"):
        notebook.read()
        notebook.fail(line)
        text = shown(notebook)
        assert f"----> 1 {line}" in text
        assert "manager.py" not in text
        assert "concurrent" not in text


def test_a_shown_error_can_be_pickled(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    failed = notebook.fail("failing.start().result(20)")
    again = pickle.loads(pickle.dumps(failed))
    assert (type(again), str(again), again.error) == (RunFailed, str(failed), failed.error)
    assert "_render_traceback_" not in vars(again)


def test_an_exception_that_is_raised_again_shows_where(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    notebook.read()
    cell = "try:\n    failing.start().result(20)\nexcept Exception as error:\n    raise ValueError('mine') from error"
    notebook.fail(cell)
    text = notebook.read()
    assert "ValueError: mine" in text
    assert "----> 3     return 1 // n" in text


def test_what_is_recorded_of_an_error_names_cells_as_the_shell_does_and_holds_no_line_of_ours(notebook: Notebook) -> None:
    notebook.run(STEPS)
    notebook.run(FAILING)
    workflow_cell = notebook.shell.execution_count - 1
    notebook.run("run = failing.start()")
    notebook.fail("run.result(20)")
    notebook.read()
    trace = notebook["run"].status().error.traceback
    assert f"Cell In[{workflow_cell - 1}], line 3, in fetch\n    return 1 // n" in trace
    assert f"Cell In[{workflow_cell}], line 3, in failing\n    await step.run_action(fetch, n)" in trace
    assert [word for word in (*OURS, "ipykernel_", "ipython-input", "File ") if word in trace] == []
    step_trace = notebook.run("run.steps()[0].error.traceback")
    assert f"Cell In[{workflow_cell - 1}], line 3, in fetch" in step_trace


@pytest.mark.parametrize("file", ["/tmp/ipykernel_12/345.py", r"C:\Temp\ipykernel_12\345.py", "<ipython-input-3-0a1b2c>"])
def test_a_cell_of_another_kernels_life_is_just_a_cell(file: str) -> None:
    line = f'  File "{file}", line 2, in fetch\n    return 1 // n\n'
    assert with_cells(line) == "  cell, line 2, in fetch\n    return 1 // n\n"


@pytest.mark.parametrize("file", ["/home/ada/trips.py", "/tmp/ipykernel_12/trips.py", "<string>"])
def test_other_files_keep_their_names(file: str) -> None:
    line = f'  File "{file}", line 2, in fetch\n'
    assert with_cells(line) == line
