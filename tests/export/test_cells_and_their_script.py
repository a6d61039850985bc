"""Notebooks at random, run cell by cell, and as the scripts that they become: the same is printed, or the export was refused."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
from typing import Any

from export_kit import exported
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wfkernel.export import ExportRefused, export_notebook, import_script

BEGIN = ("n = 1", "m = [0]", "def f():\n    return n")
CELLS = [
    *BEGIN,
    *(
        "n = 2",
        "n = n + 1",
        "n += 1",
        "del n",
        "n: int = 3",
        "n = 'text'",
        "n, m = 5, [6]",
        "print(n)",
        "for n in range(2):\n    pass",
    ),
    *(
        "m = n + 1",
        "m = [n]",
        "m = m + [1]",
        "m.append(n)",
        "k = m[0]",
        "print(m)",
        "print(k)",
        "y = [n for _ in range(2)]",
        "print(y)",
    ),
    *("def f():\n    return m", "def f():\n    global n\n    n = 9\n    return n", "f = lambda: n * 10", "print(f())", "f()"),
    *("h = f", "print(h())", "def g(k=n):\n    return k, f()", "print(g())"),
    *(
        "x = max(1, 2)",
        "max = 3",
        "max = min",
        "def max(*a):\n    return 0",
        "import math as max",
        "print(max(3, 4) if callable(max) else 0)",
    ),
    *("from math import *", "e = floor(e)", "print(e)", "(t := 4)", "print(t)", "s = f'{n}'", "print(s)"),
    *("cfg = {'a': 1}", "cfg['a'] = n", "v = cfg['a']", "print(v)", "w = 1 if n else 2", "print(w)"),
    *("class A:\n    k = n\n\n    def h(self):\n        return A.k, n", "print(A().h())", "A.k = 5"),
    *("try:\n    print(q)\nexcept NameError:\n    print('no q')", "q = 1", "print(globals().get('q'))", "print(eval('n'))"),
    *(
        "count = 0",
        "def bump():\n    global count\n    count += 1\n    return count",
        "print(bump())",
        "count = 7",
        "print(count)",
    ),
    *("if n == 1:\n    z = 5\nelse:\n    z = 6", "print(z)", "import asyncio", "await asyncio.sleep(0, n)"),
]


def run(*sources: str) -> str:
    """What the cells print, each after the other in one namespace, their last expressions included."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        for source in sources:
            tree = ast.parse(source)
            last = tree.body[-1]
            if isinstance(last, ast.Expr) and not ast.unparse(last).startswith("print("):
                tree.body[-1] = ast.parse(f"script.show({ast.unparse(last)})").body[0]
                exec("from wfkernel.export import script", namespace)
            made = eval(compile(tree, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
            if inspect.iscoroutine(made):
                asyncio.run(made)
    return output.getvalue()


def runs(*sources: str) -> bool:
    try:
        run(*sources)
    except Exception:
        return False
    return True


def run_script(script: str) -> str:
    namespace: dict[str, Any] = {"__name__": "s"}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(script, "s.py", "exec"), namespace)
        made = namespace["main"]()
        if inspect.iscoroutine(made):
            asyncio.run(made)
    return output.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(CELLS), max_size=10))
@example(["n += 1", "m = n + 1", "print(m)"])
@example(["for n in range(2):\n    pass", "m = [n]", "print(m)"])
@example(["n += 1", "def g(k=n):\n    return k, f()", "print(g())"])
@example(["def f():\n    global n\n    n = 9\n    return n", "f()", "m = n + 1", "print(m)"])
@example(["def f(k=m[0]):\n    return k", "m = [n]", "print(f())", "def f(k=m[0]):\n    return k"])
@example(["h = f", "def f():\n    return m", "print(h())", "h = f"])
@example(["f.x = 3", "y = f.x", "print(y)"])
@example(["cfg = {'a': 1}", "def f():\n    cfg['a'] = 2", "f()", "v = cfg['a']", "print(v)"])
def test_a_script_prints_what_its_cells_print(drawn: list[str]) -> None:
    cells = list(BEGIN)
    for cell in drawn:  # a cell that fails is none that anybody keeps
        cells += [cell] if runs(*cells, cell) else []
    try:
        script = exported(*cells)
    except ExportRefused:
        return
    assert run_script(script) == run(*cells)
    again = import_script(script)
    assert [cell.source for cell in again.cells] == cells
    assert export_notebook(again) == script
