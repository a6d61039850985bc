"""What Binder would make of this repository: repo2docker reads it, and its steps work in a clean venv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "artifacts"
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What a clone holds."""
    return shutil.copytree(ROOT, tmp_path / "repository", ignore=NOT_COPIED)


def test_repo2docker_takes_the_folder_binder_and_its_python(repository: Path):
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."], cwd=repository, capture_output=True, text=True
    )
    dockerfile = done.stdout + done.stderr
    assert done.returncode == 0, dockerfile[-2000:]
    assert 'pip install --no-cache-dir -r "binder/requirements.txt"' in dockerfile
    assert "Building conda environment for python=3.11" in dockerfile
    assert "RUN ./binder/postBuild" in dockerfile


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_the_same_steps_in_a_clean_venv_give_a_lab_that_runs_the_first_notebook(repository: Path, tmp_path: Path):
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER", "VIRTUAL_ENV"))}
    env |= {
        "PATH": f"{place / 'bin'}{os.pathsep}{env['PATH']}",
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "HOME": str(tmp_path),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
    }

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=repository, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    python = str(place / "bin" / "python")
    run(python, "-m", "pip", "install", "-q", "-r", "binder/requirements.txt")
    run("bash", "binder/postBuild")
    run("jupyter", "execute", "notebooks/01-quickstart.ipynb")
