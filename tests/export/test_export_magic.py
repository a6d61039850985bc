"""``%wf export``: which notebook it takes, what it says, and what it leaves alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from export_kit import LOAD, notebook
from nbclient import NotebookClient

from wfkernel.export import ExportError, export_notebook, write_script

CELLS = (LOAD, "%%workflow trip()\nreturn 1", "%wf export pipeline.py")


def executed(folder: Path, *cells: str, **variables: str) -> Any:
    made = notebook(*cells)
    env = [f"import os; os.environ.pop('JPY_SESSION_NAME', None); os.environ.update({variables!r})"]
    made.cells.insert(0, nbformat.v4.new_code_cell(env[0]))
    client = NotebookClient(
        made, timeout=30, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    last = made.cells[-1].outputs
    return "".join(o.get("text") or f"{o.get('ename')}: {o.get('evalue')}" for o in last)


def test_the_running_notebook_is_exported_as_it_was_saved(tmp_path: Path) -> None:
    nbformat.write(notebook(*CELLS), tmp_path / "trips.ipynb")
    said = executed(tmp_path, *CELLS, JPY_SESSION_NAME=str(tmp_path / "trips.ipynb"))
    assert said.startswith("pipeline.py is trips.ipynb as it was saved at ")
    assert "save it" in said
    script = (tmp_path / "pipeline.py").read_text()
    assert script == export_notebook(tmp_path / "trips.ipynb")
    assert "# notebook only: %wf export pipeline.py\n" in script


def test_a_notebook_can_be_named(tmp_path: Path) -> None:
    nbformat.write(notebook(*CELLS), tmp_path / "other.ipynb")
    said = executed(tmp_path, LOAD, "%wf export pipeline.py --notebook other.ipynb")
    assert said.startswith("pipeline.py is other.ipynb")
    assert (tmp_path / "pipeline.py").exists()


def test_an_unknown_notebook_must_be_named(tmp_path: Path) -> None:
    assert "name it: %wf export p.py --notebook NOTEBOOK.ipynb" in executed(tmp_path, LOAD, "%wf export p.py")
    assert not (tmp_path / "p.py").exists()


def test_a_file_of_another_origin_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine = 1\n")
    script = export_notebook(notebook("x = 1"))
    with pytest.raises(ExportError, match="left alone"):
        write_script(script, path)
    assert path.read_text() == "mine = 1\n"
    write_script(script, tmp_path / "new.py")
    write_script(script, tmp_path / "new.py")
    write_script(script, path, force=True)
    assert path.read_text() == script
    with pytest.raises(ExportError, match="cannot be written"):
        write_script(script, tmp_path / "none" / "x.py")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.py", "new.py"]


def test_the_exporter_is_loaded_without_the_notebooks_side() -> None:
    program = "import sys, wfkernel.export; print('IPython' in sys.modules, 'nbformat' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
