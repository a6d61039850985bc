"""A run that begins in a notebook's kernel and ends in the exported script: what was done is not done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from export_kit import LOAD, ROOT, is_told_at_once, notebook, run_script
from nbclient import NotebookClient

import wfkernel
from wfkernel.export import export_notebook

JOURNAL = ".wfkernel/journal.duckdb"
PATIENCE_S = 20.0


class Kernel:
    """A notebook that is run cell by cell, and killed."""

    def __init__(self, cells: Any, folder: Path):
        self.notebook = cells
        resources = {"metadata": {"path": str(folder)}}
        self._client = NotebookClient(cells, timeout=30, kernel_name="python3", resources=resources)

    def run_and_kill(self, numbers: Sequence[int], until: str) -> None:
        """Run these cells (from 1); kill the kernel as soon as a file of this name is there."""
        folder = Path(self._client.resources["metadata"]["path"])
        probe = nbformat.v4.new_code_cell("import os; print(os.getpid())")
        self.notebook.cells.append(probe)
        with self._client.setup_kernel():
            for number in [len(self.notebook.cells), *numbers]:
                self._client.execute_cell(self.notebook.cells[number - 1], number - 1)
            deadline = time.monotonic() + PATIENCE_S
            while not (folder / until).exists():
                assert time.monotonic() < deadline, f"{until} did not appear"
                time.sleep(0.01)
            os.kill(int(probe.outputs[0]["text"]), signal.SIGKILL)
        self.notebook.cells.remove(probe)


def steps_done(folder: Path) -> list[tuple[str, Any]]:
    with wfkernel.WorkflowManager(folder / JOURNAL) as wf:
        return [
            (r.run_id, [s.step_number for s in wf.list_steps(r.run_id).items if s.status == "success"]) for r in wf.list().items
        ]


WORK = """\
import time
from pathlib import Path

PREFIX = "did"


def note(text: str) -> None:
    with open("calls.txt", "a") as file:
        file.write(text + "\\n")


def work(n: int) -> str:
    note(f"{PREFIX} {n}")
    if n == 3 and not Path("in_kernel_3").exists():
        Path("in_kernel_3").touch()
        time.sleep(60)
    return f"worked {n}"
"""
LONG = """\
%%workflow long(count: int) -> list[str]
# each in a step of its own
done = []
for n in range(1, count + 1):
    done.append(await step.run_action(work, n))
return done
"""


@pytest.fixture
def handed_over(tmp_path: Path) -> Any:
    """The folder of a notebook whose kernel was killed in the third of five steps, and its script."""
    cells = notebook(LOAD, WORK, LONG, "run = long.start(5)\nrun", "run.result()")
    Kernel(cells, tmp_path).run_and_kill([1, 2, 3, 4], until="in_kernel_3")
    (tmp_path / "s.py").write_text(export_notebook(cells))
    return tmp_path


def test_resume_finishes_the_run_and_repeats_nothing_that_was_journaled(handed_over: Path) -> None:
    ((run_id, before),) = steps_done(handed_over)
    assert before == [0, 1]
    done = run_script("s.py", "resume", folder=handed_over)
    assert done.stderr == ""
    result = [f"worked {n}" for n in range(1, 6)]
    assert (done.stdout, done.returncode) == (f"run {run_id} of long completed: {result!r}\n", 0)
    calls = (handed_over / "calls.txt").read_text().split("\n")[:-1]
    assert calls == ["did 1", "did 2", "did 3", "did 3", "did 4", "did 5"], "only what was in flight ran again"
    assert run_script("s.py", "resume", folder=handed_over).stdout == "no run is unfinished\n"


def test_main_with_the_runs_id_finishes_it_too(handed_over: Path) -> None:
    ((run_id, _),) = steps_done(handed_over)
    done = run_script("s.py", "--run-id", run_id, folder=handed_over)
    assert done.stdout.splitlines()[-1] == repr([f"worked {n}" for n in range(1, 6)])
    assert [run for run, _ in steps_done(handed_over)] == [run_id]
    assert (handed_over / "calls.txt").read_text().split("\n")[:2] == ["did 1", "did 2"]
    assert (handed_over / "calls.txt").read_text().count("did 1") == 1


@pytest.mark.parametrize("name", ["__main__", "pipeline"])
def test_to_the_script_nothing_has_changed_since_the_notebook(handed_over: Path, name: str) -> None:
    assert run_script("s.py", "resume", folder=handed_over).returncode == 0
    ((run_id, _),) = steps_done(handed_over)
    program = (handed_over / "s.py").read_text().split("\n\n\nif __name__ ==")[0]
    program += f"\n\nwith wf:\n    print(*(item.action for item in wf.plan({run_id!r}, from_step='changed')))\n"
    (handed_over / "pipeline.py").write_text(program)
    command = [sys.executable, "pipeline.py"] if name == "__main__" else [sys.executable, "-c", "import pipeline"]
    done = subprocess.run(command, cwd=handed_over, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("reuse reuse reuse reuse reuse\n", "")
    edited = program.replace('PREFIX = "did"', 'PREFIX = "has done"')
    (handed_over / "pipeline.py").write_text(edited)
    changed = subprocess.run(command, cwd=handed_over, capture_output=True, text=True)
    assert changed.stdout == "run run run run run\n", "the comparison does see an edit"


# -- the notebooks for newcomers --


def cells_until(name: str, last: str) -> tuple[Any, list[int]]:
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    numbers = [n for n, cell in enumerate(cells.cells, 1) if cell.cell_type == "code"]
    return cells, [n for n in numbers if n <= [cell["id"] for cell in cells.cells].index(last) + 1]


def golden(name: str) -> Path:
    return Path(__file__).parent / "golden" / name


def test_the_quickstart_is_finished_by_its_script(tmp_path: Path) -> None:
    cells, numbers = cells_until("01-quickstart.ipynb", "start")
    watch = nbformat.v4.new_code_cell(
        "import time, pathlib\nwhile not any(s.status == 'success' for s in run.steps()):\n    time.sleep(0.02)\npathlib.Path('one').touch()"
    )
    cells.cells.append(watch)
    Kernel(cells, tmp_path).run_and_kill([*numbers, len(cells.cells)], until="one")
    ((run_id, before),) = steps_done(tmp_path)
    assert before
    assert len(before) < 3
    done = run_script(golden("01-quickstart.py"), "resume", folder=tmp_path)
    assert done.stdout.splitlines()[-1] == f"run {run_id} of trip completed: 'a room in Valparaíso'"
    cities = ["Oslo", "Lima", "Valparaíso"]
    assert done.stdout.splitlines()[:-1] == [f"asking for the weather in {city}" for city in cities[len(before) :]]
    whole = run_script(golden("01-quickstart.py"), "--run-id", run_id, folder=tmp_path)
    assert whole.returncode == 0
    first = [f"<Run {run_id} of trip, completed>", *["'a room in Valparaíso'"] * 2]
    last = "'water the plants: 24 degrees'"
    assert whole.stdout.splitlines()[:3] == first
    assert whole.stdout.splitlines()[-1] == last
    meanwhile = ["asking for the weather in Oslo", "<Run reminder-1 of reminder, in_progress>"]
    assert is_told_at_once(whole.stdout, *first, *meanwhile, last)


def test_an_approval_that_the_notebook_waited_for_is_finished_by_its_script(tmp_path: Path) -> None:
    cells, numbers = cells_until("02-approval.ipynb", "publish")
    cells.cells.append(nbformat.v4.new_code_cell("import pathlib\npathlib.Path('begun').touch()"))
    Kernel(cells, tmp_path).run_and_kill([*numbers, len(cells.cells)], until="begun")
    first = run_script(golden("02-approval.py"), "resume", folder=tmp_path)
    ((run_id, _),) = steps_done(tmp_path)
    assert (first.stdout, first.returncode) == (f"run {run_id} of publish waits for event go\n", 3)
    with wfkernel.WorkflowManager(tmp_path / JOURNAL) as wf:
        wf.send_event("go", True, run=run_id)
    last = run_script(golden("02-approval.py"), "resume", folder=tmp_path)
    assert (last.stdout, last.returncode) == (f"run {run_id} of publish completed: 'published: Ten minutes with wfkernel'\n", 0)
