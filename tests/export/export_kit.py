"""Notebooks made of texts, scripts run as processes; and, run as a program, the writer of tests/export/golden/.

python tests/export/export_kit.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from wfkernel.export import export_notebook

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GOLDEN = Path(__file__).parent / "golden"
LOAD = "%load_ext wfkernel"


def markdown(text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text)


def tagged(source: str, *tags: str) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def notebook(*cells: Any) -> Any:
    """A notebook of these cells; texts are code."""
    made = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return nbformat.v4.new_notebook(cells=made)


def exported(*cells: Any) -> str:
    return export_notebook(notebook(*cells))


def main_of(script: str) -> str:
    """What stands in main(), without its docstring."""
    body = script.split("def main() -> None:\n")[1].split('\n\n\nif __name__ == "__main__"')[0]
    return "\n".join(body.split("\n")[1:])


def run_script(script: Path | str, *arguments: str, folder: Path, variables: dict[str, str] | None = None) -> Any:
    """The finished process; its text output as `.stdout`, errors as `.stderr`, `.returncode`."""
    environment = {k: v for k, v in os.environ.items() if k != "WFKERNEL_JOURNAL"} | (variables or {})
    command = [sys.executable, "-W", "error", str(script), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50)


def is_told_at_once(text: str, *lines: str) -> bool:
    """Whether the text is these lines, written by several threads: a print comes in pieces, and another's may stand between."""
    return sorted(text) == sorted("".join(f"{line}\n" for line in lines))


def write_golden() -> None:
    for path in NOTEBOOKS:
        (GOLDEN / f"{path.stem}.py").write_text(export_notebook(path))


if __name__ == "__main__":
    write_golden()
