"""The notebooks that newcomers run, as scripts: byte by byte as in golden/ (export_kit.py writes it), tidy, and back again."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from export_kit import GOLDEN, NOTEBOOKS

from wfkernel.export import export_notebook, import_script

NAMES = [path.stem for path in NOTEBOOKS]
RUFF = [sys.executable, "-m", "ruff"]


@pytest.fixture(params=NOTEBOOKS, ids=NAMES)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def golden(path: Path) -> str:
    return (GOLDEN / f"{path.stem}.py").read_text()


def test_every_notebook_has_its_golden_script() -> None:
    assert sorted(p.stem for p in GOLDEN.glob("*.py")) == NAMES, "python tests/export/export_kit.py writes them"


def test_the_script_of_a_notebook_is_as_agreed(path: Path) -> None:
    assert export_notebook(path) == golden(path), "python tests/export/export_kit.py writes it anew; read the difference"


def test_an_import_gives_a_notebook_with_the_same_script(path: Path) -> None:
    again = import_script(GOLDEN / f"{path.stem}.py")
    nbformat.validate(again)
    assert export_notebook(again) == golden(path)


def test_an_import_restores_the_cells(path: Path) -> None:
    before, after = nbformat.read(path, as_version=4), import_script(golden(path))
    assert [c.cell_type for c in after.cells] == [c.cell_type for c in before.cells]
    assert [c.source for c in after.cells] == [c.source.rstrip() for c in before.cells]
    assert [c.metadata.get("tags", []) for c in after.cells] == [c.metadata.get("tags", []) for c in before.cells]


def test_a_script_passes_ruff_with_its_defaults(path: Path) -> None:
    script = str(GOLDEN / f"{path.stem}.py")
    checked = subprocess.run([*RUFF, "check", "--isolated", "--no-cache", script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    command = [*RUFF, "format", "--isolated", "--no-cache", "--line-length=130", "--diff", script]
    formatted = subprocess.run(command, capture_output=True, text=True)
    assert formatted.returncode == 0, formatted.stdout


def test_a_script_says_where_it_came_from_and_nothing_of_the_machine(path: Path) -> None:
    script = golden(path)
    assert script.startswith(f'"""Exported from {path.name} by wfkernel')
    assert str(path.parent) not in script
