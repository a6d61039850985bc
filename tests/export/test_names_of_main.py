"""Names that cells bind are the module's in a notebook. In main() they mean the same, or the export is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_kit import exported, main_of, notebook, run_script

from wfkernel.export import ExportRefused, export_notebook, import_script


@pytest.fixture
def output(tmp_path: Path) -> Any:
    """What the script of these cells prints; its round trip is checked on the way."""

    def run(*cells: Any) -> str:
        script = exported(*cells)
        again = import_script(script)
        assert [c.source for c in again.cells] == list(cells)
        assert export_notebook(again) == script
        (tmp_path / "s.py").write_text(script)
        done = run_script("s.py", folder=tmp_path)
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout

    return run


def refused(*cells: object) -> tuple[int, int | None, str]:
    with pytest.raises(ExportRefused) as caught:
        export_notebook(notebook(*cells))
    ((cell, line, reason),) = [(r.cell, r.line, r.reason) for r in caught.value.refusals]
    return cell, line, reason


def test_a_name_that_is_python_s_own_until_a_cell_takes_it(output: Any) -> None:
    assert output("data = [3, 1]", "max = max(data)", "print(max)") == "3\n"
    assert output("values = [3, 1]", "sum = sum(values)\nprint(sum)") == "4\n"


def test_a_name_of_a_star_import_that_a_cell_takes(output: Any) -> None:
    assert output("from math import *", "e = int(str(floor(e)))", "print(e)") == "2\n"


def test_names_that_are_looked_up_by_their_text(output: Any) -> None:
    assert output("import json", "x = json.loads('4')", "print(globals()['x'])") == "4\n"
    assert output("import json, timeit", "x = json.loads('4')", "timeit.timeit('x + 1', globals=globals(), number=1);") == ""
    assert output("x = int('4')", "print(eval('[x for _ in range(2)]'))") == "[4, 4]\n"
    assert output("exec('y = 3', globals())", "print(y)") == "3\n"


def test_what_binds_or_reads_the_names_of_a_cell_behind_its_back_is_refused() -> None:
    for call in ("exec('y = 3')", "locals()['x']", "vars()", "dir()"):
        cell, line, reason = refused("x = 1", f"print(x)\n{call}")
        assert (cell, line) == (2, 2)
        assert "globals()" in reason
    assert exported("def f():\n    return locals(), vars(f), dir(f)", "dir(f), vars(f)")


def test_a_name_with_a_type_that_functions_use(output: Any) -> None:
    cells = ("import json\n\n\ndef f():\n    return data['a']", "data: dict = json.loads(\n    '{\"a\": 1}'\n)", "print(f())")
    assert output(*cells) == "1\n"
    assert "data = json.loads(" in main_of(exported(*cells))
    assert output("def f():\n    return n", "n: int", "n = int('1')", "print(f())") == "1\n"
    cell, line, reason = refused("def f():\n    return n", "for x in [1]:\n    n: int = x")
    assert (cell, line) == (2, 2)
    assert "without its type" in reason


def test_a_star_import_in_a_block_is_refused() -> None:
    cell, line, reason = refused("import warnings", "with warnings.catch_warnings():\n    from math import *")
    assert (cell, line) == (2, 2)
    assert "module-level" in reason


@pytest.mark.parametrize(
    "source",
    [
        "def f(pair):\n    a, _ = pair\n    return _",
        "def f():\n    for _i in range(2):\n        print(_i)",
        "f = lambda _: -_",
        "x = [_ for _ in range(2)]",
        "def f(In, *Out):\n    return In, Out",
        "def f():\n    _ = 1\n\n    def g():\n        return _\n\n    return g",
        "class A:\n    _ = 1\n    x = _",
    ],
    ids=["unpacked", "loop", "lambda", "comprehension", "arguments", "closure", "class"],
)
def test_a_local_name_is_no_history(source: str) -> None:
    assert exported(source)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f():\n    return _", 2),
        ("def f(x=_):\n    _ = 1\n    return x", 1),
        ("def f():\n    global _\n    return _", 3),
        ("[x for x in _ if _i]", 1),
    ],
    ids=["read", "default", "global", "iterated"],
)
def test_the_history_of_the_session_is_refused_wherever_it_is_read(source: str, line: int) -> None:
    with pytest.raises(ExportRefused) as caught:
        exported(source)
    assert {(r.cell, r.line) for r in caught.value.refusals} == {(1, line)}
    assert "history" in caught.value.refusals[0].reason


def test_a_handle_of_what_is_displayed_prints_anew(output: Any) -> None:
    assert output("h = display('x', display_id='q')", "h.update('y')", "display(1, 2)") == "'x'\n'y'\n1\n2\n"


def test_a_task_needs_a_loop_as_there_is_one_in_a_notebook() -> None:
    assert "async def main()" in exported("import asyncio", "t = asyncio.create_task(bg())")
    assert "async def main()" in exported("import asyncio\n\n\ndef begin():\n    return asyncio.ensure_future(bg())", "begin()")
    assert "\ndef main()" in exported("async def f():\n    return await asyncio.gather()", "print(f)")
