"""nbconvert finds the exporter by its entry point, and gives what ``export_notebook`` gives."""

import subprocess
import sys
from pathlib import Path

import nbformat
from export_kit import GOLDEN, NOTEBOOKS, notebook
from nbconvert.exporters import get_exporter


def convert(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbconvert", "--to", "workflow-script", "--output-dir", str(folder), str(path)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50)


def test_the_command_writes_the_same_script(tmp_path: Path) -> None:
    done = convert(NOTEBOOKS[0], tmp_path)
    assert done.returncode == 0, done.stderr
    name = f"{NOTEBOOKS[0].stem}.py"
    assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


def test_the_command_says_what_it_refuses_and_writes_nothing(tmp_path: Path) -> None:
    nbformat.write(notebook("x = 1", "!ls"), tmp_path / "n.ipynb")
    done = convert(tmp_path / "n.ipynb", tmp_path)
    assert done.returncode != 0
    assert "cell 2, line 1: !ls" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["n.ipynb"]


def test_the_exporter_is_in_the_menu_of_jupyterlab() -> None:
    exporter = get_exporter("workflow-script")()
    assert exporter.export_from_notebook
    assert exporter.file_extension == ".py"
    assert exporter.output_mimetype == "text/x-python"
