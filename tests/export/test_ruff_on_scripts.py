"""Ruff finds in a script, with its defaults, what it finds in the cells; nothing comes of what a notebook is, or of the move."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from export_kit import LOAD, exported, tagged

T = "%%workflow t(n: int) -> int\nreturn n"


@pytest.mark.parametrize(
    "cells",
    [
        (LOAD, T, "run = t.start(1)"),
        (LOAD, T + "\nunused = 1"),
        (LOAD, "%%workflow t(n: int) -> int --start n=1\nreturn n"),
        ("1; 2; 3", "x = 1; y = 2"),
        ("x = 1;\ny = 2", "print(3);\nprint(x)"),
        ("def f(x: 'Later') -> 'list[Later]':\n    return x", "class Later: pass"),
        ("def f(x: 'Nowhere'):\n    return x",),
        ("def f():\n    return client", "client = input()", "f()"),
        ("import os\nimport sys", "import os\nprint(os)"),
        ("x = 1", "x;", "'text'\nprint(x)"),
        ("from os.path import *", "print(join('a'))"),
        (tagged("import not_there", "raises-exception"), "print(not_there)"),
        ("try:\n    x = int('a')\nexcept ValueError as error:\n    pass",),
        ("display(1)", "print(__file__)"),
        ("data: dict = str(input())", "def f():\n    return data"),
    ],
    ids="run body start one-line semicolons forward nowhere global imports shown star failing handler display typed".split(),
)
def test_ruff_has_nothing_against_a_notebook_that_became_a_script(tmp_path: Path, cells: tuple[str, ...]) -> None:
    (tmp_path / "s.py").write_text(exported(*cells))
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", str(tmp_path / "s.py")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
