"""A function has one fingerprint, as a cell that IPython compiled and as a part of the script: steps of the notebook are reused."""

from __future__ import annotations

import ast
import linecache
from typing import Any

import pytest
from IPython.core.interactiveshell import _modified_open

from wfkernel.core.fingerprint import fingerprint

CELLS = {
    "import in the same cell": "import time\n\ndef f(n):\n    time.sleep(n)\n    return n",
    "decorated": "import functools, time\n\n@functools.lru_cache\n@functools.lru_cache(3)\ndef f(n):\n    time.sleep(n)\n    return n",
    "lambda": "import time\nf = lambda n: (time.sleep(n), n)",
    "class": "import time\n\nclass A:\n    def f(self, n):\n        time.sleep(n)\nf = A().f",
    "open": "def f(n):\n    with open(n) as file:\n        return file.read()",
}


def in_a_cell(source: str, filename: str) -> Any:
    """Compiled statement by statement, with what IPython puts into a notebook's namespace."""
    space: dict[str, Any] = {"__name__": "__main__", "open": _modified_open}
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    for node in ast.parse(source).body:
        exec(compile(ast.Module([node], []), filename, "exec"), space)
    return space["f"]


def in_a_script(source: str, filename: str) -> Any:
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, filename, "exec"), space)
    return space["f"]


@pytest.mark.parametrize("name", CELLS)
def test_a_function_of_a_cell_has_the_fingerprint_of_the_same_in_a_script(name: str) -> None:
    source = CELLS[name]
    cell = fingerprint(in_a_cell(source, f"<cell {name}>"))
    assert cell == fingerprint(in_a_script(f"\n\n{source}", f"<script {name}>"))
    edited = source.replace("sleep(n)", "sleep(-n)").replace("open(n)", "open(-n)")
    assert cell != fingerprint(in_a_script(edited, f"<edited {name}>"))
