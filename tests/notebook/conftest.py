"""A notebook in this process: an IPython shell in a folder of its own, with the magics loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from notebook_kit import Notebook


@pytest.fixture
def bare_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Notebook]:
    """Without the magics."""
    monkeypatch.chdir(tmp_path)
    notebook = Notebook(capsys)
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(bare_notebook: Notebook) -> Notebook:
    bare_notebook.run("%load_ext wfkernel")
    bare_notebook.read()
    return bare_notebook
