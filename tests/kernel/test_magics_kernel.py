"""The magics in a real kernel: a restart in the middle of a run, IPython's own names of cells, and a failing cell under nbclient."""

import re
from pathlib import Path

import nbformat
import pytest
from frontend import FrontEnd
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TRIP = '''\
%%workflow trip(city: str) --start city=Oslo --id trip-1
"""Notes what it does."""
def note(text):
    with open("log.txt", "a") as file:
        file.write(text + "\\n")

await step.run_action(note, "booked " + city)
approved = await step.await_event("approve", timeout=3600)
await step.run_action(note, f"""approved:
{approved}""")
return approved
'''


@pytest.fixture
def kernel(bare: FrontEnd, tmp_path: Path) -> FrontEnd:
    bare.run(f"import os\nos.chdir({str(tmp_path)!r})")
    return bare


def test_a_run_goes_on_when_the_cells_are_run_again_in_a_restarted_kernel(kernel: FrontEnd, tmp_path: Path):
    kernel.run("%load_ext wfkernel")
    started = kernel.run(TRIP)
    assert "started trip; `run` is run trip-1" in started.printed
    waiting = kernel.run(
        "import time\nwhile 'approve' not in repr(run.status().running): time.sleep(0.01)\nprint(run.status().running[0].name)"
    )
    assert waiting.printed == "approve\n"

    kernel.restart()
    kernel.run(f"import os\nos.chdir({str(tmp_path)!r})")
    loaded = kernel.run("%load_ext wfkernel")
    assert "1 run is unfinished" in loaded.shown[0]
    assert "workflow 'trip' is not defined here" in loaded.shown[0]
    again = kernel.run(TRIP)
    assert "trip: run trip-1 goes on\n" in again.printed
    kernel.run('%wf send run approve "yes"')
    assert kernel.run("await run").value == "'yes'"
    assert (tmp_path / "log.txt").read_text() == "booked Oslo\napproved:\nyes\n"
    assert "completed" in (kernel.run("%wf list").value or "")


def test_a_body_has_the_name_and_the_lines_of_its_cell(kernel: FrontEnd):
    kernel.run("%load_ext wfkernel")
    cell = '%%workflow bad(n: int)\ntext = """\n"""\nraise ValueError(n)'
    kernel.run(cell)
    name = kernel.run("from ipykernel.compiler import get_file_name\nbad.fn.__code__.co_filename").value
    assert name == kernel.run(f"get_file_name({cell!r})").value  # where JupyterLab's debugger sets its breakpoints
    failed = kernel.execute("bad.start(1).result(20)").wait()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failed.of("error")[0]["content"]["traceback"]))
    assert re.search(r"Cell In\[\d+\], line 4, in bad\(step, n\)", shown)
    assert "----> 4     raise ValueError(n)" in shown
    source = kernel.run("import inspect\nprint(inspect.getsource(bad.fn))").printed
    assert source == 'async def bad(step, n: int):\n    text = """\n"""\n    raise ValueError(n)\n\n'


def test_a_table_is_shown_as_text_and_html(kernel: FrontEnd):
    kernel.run("%load_ext wfkernel")
    kernel.run("%%workflow trip()\nreturn 1")
    kernel.run("trip.start().result(20)")
    data = kernel.run("%wf list").of("execute_result")[0]["content"]["data"]
    assert set(data) == {"text/plain", "text/html"}
    figure = kernel.run("%wf timeline " + kernel.run("print(wf.list().items[0].run_id)").printed)
    assert "image/png" in figure.of("execute_result")[0]["content"]["data"]


@pytest.mark.parametrize(
    ("cell", "name", "text"),
    [
        ("%%workflow trip(city str)\npass", "InvalidCell", "Cell In[2], line 1"),
        ("%%workflow trip()\nx = 1\nyield x", "InvalidCell", "Cell In[2], line 3"),
        ("%wf show nope", "RunNotFound", "no run has the id 'nope'"),
    ],
)
def test_a_cell_that_fails_stops_nbclient(tmp_path: Path, cell: str, name: str, text: str):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in ("%load_ext wfkernel", cell, "never = 1")])
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
    with pytest.raises(CellExecutionError) as caught:
        client.execute()
    assert caught.value.ename == name
    shown = re.sub(r"\x1b\[[0-9;]*m", "", caught.value.traceback)
    assert text in shown
    assert "magics.py" not in shown
    assert notebook.cells[2].execution_count is None
