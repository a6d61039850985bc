"""A script makes its definitions first. What the cells said one after the other is still so, or the export is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_kit import LOAD, exported, main_of, notebook, run_script, tagged

from wfkernel.export import ExportRefused, export_notebook, import_script


@pytest.fixture
def output(tmp_path: Path) -> Any:
    """What the script of these cells prints; its round trip is checked on the way."""

    def run(*cells: Any) -> str:
        script = exported(*cells)
        assert export_notebook(import_script(script)) == script
        (tmp_path / "s.py").write_text(script)
        done = run_script("s.py", folder=tmp_path)
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout

    return run


def refused(*cells: object) -> list[tuple[int, int | None, str]]:
    with pytest.raises(ExportRefused) as caught:
        export_notebook(notebook(*cells))
    return [(r.cell, r.line, r.reason) for r in caught.value.refusals]


def test_a_constant_that_is_made_twice_has_its_value_of_then(output: Any) -> None:
    assert output("n = 1", "print(n)", "n = 2", "print(n)") == "1\n2\n"
    assert output("log = []", "log.append(1)", "log = []", "log.append(2)\nprint(log)") == "[2]\n"
    assert output("n = 1", "def f():\n    return n", "print(f())", "n = 2", "print(f())") == "1\n2\n"
    assert output("n = 1", "def f():\n    return n", "n = n + 1", "print(f())", "n = n + 1") == "2\n"
    assert output("n = 1", "m = n + 1", "print(m)", "n = 5\nm = n + 1", "print(n, m)") == "2\n5 6\n"


def test_a_run_has_the_value_that_its_cell_saw(output: Any) -> None:
    cells = [
        LOAD,
        "%%workflow t(n: int) -> int\nreturn n",
        "n = 1",
        "a = t.start(n)\nawait a",
        "n = 2",
        "b = t.start(n)\nawait b",
    ]
    assert output(*cells) == "1\n2\n"


def test_a_constant_that_nothing_uses_in_between_stays_at_the_modules_level() -> None:
    script = exported("n = 1", "x = input()", "n = 2", "print(n)")
    assert script.index("n = 1") < script.index("n = 2") < script.index("def main")
    again = exported("n = 1", "print(n)", "n = 1", "print(n)")
    assert "n = 1" not in main_of(again)


def test_a_definition_that_is_used_before_it_is_made_again_is_refused() -> None:
    for first, second in [
        ("def f():\n    return 'old'", "# f\ndef f():\n    return 'new'"),
        ("class f: x = 1", "\nclass f: x = 2"),
        ("from math import sin as f", "\nfrom math import cos as f"),
        ("f = int", "\ndef f(): pass"),
    ]:
        ((cell, line, reason),) = refused(first, "print(f())", second, "print(f())")
        assert (cell, line) == (3, 2)
        assert "another `f` is made in cell 1, and cell 2 works with that one" in reason
        assert "choose another name here" in reason


def test_of_a_workflow_and_of_its_steps_the_last_one_counts(output: Any) -> None:
    """Runs go on with the code as it was mended."""
    one, two = "%%workflow t()\nreturn 1", "%%workflow t()\nreturn 2"
    assert output(LOAD, one, "await t.start()", two, "await t.start()") == "2\n2\n"
    step = "def f(): return {}"
    body = "%%workflow t()\nreturn await step.run_action(f)"
    assert output(LOAD, step.format(1), body, "await t.start()", step.format(2), "await t.start()") == "2\n2\n"
    ((cell, _, reason),) = refused(LOAD, step.format(1), body, "f()", step.format(2))
    assert cell == 5
    assert "cell 4 works with that one" in reason
    assert "return 2" in exported(LOAD, tagged(step.format(1), "notebook-only"), body, "f()", step.format(2))


def test_the_same_definition_again_makes_no_difference() -> None:
    for cell in ("import os", "def f():\n    return 1", "from math import sin", "LIMIT = (1, 'a')"):
        assert exported(cell, "print(os, f, sin, LIMIT)", cell, "print(os, f, sin, LIMIT)")
    assert exported("import os", "print(os)", "import os.path")


def test_what_main_binds_is_not_defined_before(output: Any) -> None:
    ((cell, line, reason),) = refused("f = input()", "print(f)", "def f(): pass")
    assert (cell, line) == (3, 1)
    assert "`f` has another meaning before, and cell 1 works with that one" in reason


def test_python_s_own_names_are_there_until_a_cell_takes_them(output: Any) -> None:
    assert output("print(max([1, 2]))", "max = 3", "print(max)") == "2\n3\n"
    assert output("data = [3, 1]", "max = max(data)", "print(max)") == "3\n"
    assert output("data = [3, 1]\nsum = sum(data)\nprint(sum)") == "4\n"
    ((cell, _, reason),) = refused("print(max([1, 2]))", "def max(x): pass")
    assert cell == 2
    assert "another meaning before" in reason


def test_a_constant_is_made_of_what_main_has_changed_by_then(output: Any) -> None:
    assert output("cfg = {}", "cfg['a'] = 1", "a = cfg['a']", "print(a)") == "1\n"
    assert output("log = []", "log.append(1)", "first = log[0]\nprint(first)") == "1\n"
    ((cell, line, reason),) = refused("cfg = {}", "cfg['a'] = 1", "def f(x=cfg['a']): pass")
    assert (cell, line) == (3, 1)
    assert "was changed in cell 2" in reason


def test_a_setting_of_a_library_holds_no_definition_back() -> None:
    script = exported("import torch", "torch.backends.cudnn.benchmark = True", "class Model(torch.nn.Module): pass")
    assert "class Model" not in main_of(script)


def test_a_definition_that_needs_a_constant_of_main_at_once_is_refused_with_the_way_out() -> None:
    ((cell, line, reason),) = refused("n = 1", "print(n)", "def f(x=n): pass", "n = 2")
    assert (cell, line) == (3, 1)
    assert "give another name to what later cells make anew" in reason
