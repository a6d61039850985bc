"""What means nothing outside a notebook is refused, all of it at once, with its cell and line; and what is no notebook, or no script."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from export_kit import LOAD, exported, markdown, notebook, tagged

from wfkernel.errors import WfkernelError
from wfkernel.export import ExportError, ExportRefused, export_notebook, import_script

ONE = {"cell_type": "code", "metadata": {}, "source": "x = 1", "outputs": [], "execution_count": None}


def refused(*cells: object) -> list[tuple[int, int | None, str]]:
    with pytest.raises(ExportRefused) as caught:
        exported(*cells)
    return [(r.cell, r.line, r.reason) for r in caught.value.refusals]


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("x = 1\n!ls -l", 2, "shell"),
        ("files = !ls", 1, "shell"),
        ("if x:\n    !ls \\\n      -l\ny = 2", 2, "shell"),
        ("%run other.ipynb", 1, "%run"),
        ("%pip install numpy", 1, "%pip"),
        ("x = %time f()", 1, "the answer of %time is taken"),
        ("runs = %wf list", 1, "the answer of %wf is taken"),
        ("%time f()", 1, "%time"),
        ("print?", 1, "looking"),
        ("?print", 1, "looking"),
        ("%%bash\nls", 1, "%%bash"),
        ("\n\n%%time\nx = 1", 3, "%%time"),
        ("def f():\n    return get_ipython()", 2, "get_ipython"),
        ("x = 1\nprint(Out[3])", 2, "history"),
        ("_ + 1", 1, "history"),
        ("def main(): pass", 1, "`main`"),
        ("import script", 1, "`script`"),
        ("return 1", 1, "outside a function"),
        ("x = (", 1, "syntax"),
        ("%wf nonsense", 1, "nonsense"),
        ("%wf send run", 1, "send"),
        ("%%workflow trip(city\npass", 1, "signature"),
        ("%%workflow trip()\n", 1, "no body"),
        ("%%workflow trip()\nx = 1\n!ls", 3, "workflow's body"),
        ("%%workflow trip()\nyield 1", 2, "yield"),
        ("%%workflow trip() --nonsense\npass", 1, "--nonsense"),
        ("%%workflow\ndef f(): pass\n!ls", 3, "shell"),
    ],
    ids=[
        *(
            "shell",
            "captured",
            "in-block",
            "run",
            "pip",
            "assigned",
            "assigned-wf",
            "time",
            "help",
            "help-before",
            "bash",
            "cell-time",
            "get-ipython",
        ),
        *(
            "out",
            "underscore",
            "main",
            "script",
            "return",
            "syntax",
            "wf",
            "wf-words",
            "signature",
            "no-body",
            "body-magic",
            "yield",
        ),
        *("option", "definitions-magic"),
    ],
)
def test_what_has_no_meaning_in_a_script_is_refused_with_its_line(source: str, line: int, reason: str) -> None:
    ((cell, at, told),) = refused(LOAD, source)
    assert (cell, at) == (2, line)
    assert any(part in told for part in reason.split("|"))
    assert "x = 1" in exported(LOAD, tagged(source, "notebook-only"), "x = 1")


def test_all_refusals_are_told_at_once_with_the_way_out() -> None:
    with pytest.raises(ExportRefused) as caught:
        exported(markdown("# one"), "!ls\nx = 1\n%run a.py", "%%bash\nls", "get_ipython()")
    assert [(r.cell, r.line) for r in caught.value.refusals] == [(2, 1), (2, 3), (3, 1), (4, 1)]
    text = str(caught.value)
    assert "4 places" in text
    assert "cell 2, line 3: %run a.py" in text
    assert "notebook-only" in text
    assert isinstance(caught.value, WfkernelError)


def test_a_definition_that_needs_what_main_computes_is_refused() -> None:
    ((cell, line, reason),) = refused("limit = int(input())", "# a default\ndef f(n=limit):\n    return n")
    assert (cell, line) == (2, 2)
    assert "`limit` comes from cell 1" in reason
    assert "module-level" in reason


def test_a_workflow_without_a_journal_is_refused() -> None:
    ((cell, _, reason),) = [r for r in refused("%%workflow trip()\npass") if "journal" in r[2]]
    assert cell == 1
    assert "%load_ext wfkernel" in reason


def test_a_path_cannot_take_the_place_of_one_that_the_notebook_writes_itself() -> None:
    cells = notebook("from wfkernel import WorkflowManager\nwf = WorkflowManager('mine.duckdb')")
    with pytest.raises(ExportRefused, match="--journal"):
        export_notebook(cells, journal="other.duckdb")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"nbformat": 4}',
        b'{"nbformat": "x"}',
        b'{"nbformat": 99, "cells": []}',
        b"\xff\xfe",
        b"x = 1\n",
    ],
    ids=["empty", "open", "list", "no-format", "no-cells", "format-text", "format-future", "bytes", "python"],
)
def test_what_is_no_notebook_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"x\.ipynb is not a notebook"):
        export_notebook(path)


def test_a_missing_file_and_another_language_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="there is no file"):
        export_notebook(tmp_path / "none.ipynb")
    with pytest.raises(ExportError, match="there is no file"):
        import_script(tmp_path / "none.py")
    kernel = {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}
    path = tmp_path / "r.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": kernel, "cells": [ONE]}))
    with pytest.raises(ExportError, match="notebook in R"):
        export_notebook(path)


def test_a_notebook_that_is_given_stays_as_it_is() -> None:
    given = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [dict(ONE)]}
    before = json.dumps(given)
    export_notebook(given)
    assert json.dumps(given) == before


@pytest.mark.parametrize(
    "text", ["x = 1\n", "def main(:\n", '"""Exported from a.ipynb by wfkernel."""\n'], ids=["plain", "broken", "headless"]
)
def test_a_script_of_another_origin_is_refused(text: str) -> None:
    with pytest.raises(ExportError):
        import_script(text)


def test_an_edit_of_the_script_is_in_the_notebook() -> None:
    script = exported(LOAD, "%%workflow trip(city: str) -> str\nreturn city", "run = trip.start('Oslo')")
    edited = script.replace("    return city", "    # louder\n    return city.upper()").replace("'Oslo'", "'Lima'")
    edited = edited.replace("step, city: str", "\n    step,\n    city: str,\n    n: int = 1,\n")
    edited = edited.replace("\n\n\nasync def main", "\n\n\ndef main").replace(
        "def main", "# %%\ndef helper():\n    pass\n\n\ndef main"
    )
    cells = [cell.source for cell in import_script(edited).cells]
    assert cells == [
        LOAD,
        "%%workflow trip(city: str, n: int = 1) -> str\n# louder\nreturn city.upper()",
        "def helper():\n    pass",
        "run = trip.start('Lima')",
    ]


def test_an_edit_that_a_notebook_has_no_place_for_is_refused() -> None:
    script = exported(LOAD, "%wf cancel r1", "x = 1")
    for old, new in [
        ('wf.cancel("r1")', 'wf.cancel("r2")'),
        ("from wfkernel.export import script\n", "from wfkernel.export import script\nimport os\n"),
        ("command_line(wf, main)", "command_line(wf, main, [])"),
    ]:
        assert old in script
        with pytest.raises(ExportError):
            import_script(script.replace(old, new))


def test_what_is_put_below_the_body_of_a_workflow_is_refused_with_the_way_out() -> None:
    script = exported(LOAD, "%%workflow t()\nreturn 1", "x = 1")
    for old, new in [("return 1\n", "return 1\n\n\ndef helper(): return 1\n"), ("async def t(step)", "def t(step)")]:
        with pytest.raises(ExportError, match=r"cell 2 is the body of one `async def`.*below a line `# %%`"):
            import_script(script.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def main() -> None:", "def main() -> None:  # hi"),
        ("import script\n", "import script  # hi\n"),
        ("import script\n", "import script\n# hi\n"),
        ('if __name__ == "__main__":', 'if __name__ == "__main__":  # hi'),
        ("(step, n: int):", "(\n    step,  # hi\n    n: int,\n):"),
        ("(step, n: int):", "(step, n: int):  # hi"),
    ],
    ids=["main", "import", "head", "end", "signature", "colon"],
)
def test_a_comment_that_has_no_place_in_a_notebook_is_refused_rather_than_lost(old: str, new: str) -> None:
    script = exported(LOAD, "%%workflow t(n: int)\nreturn n", "x = input()")
    assert old in script
    with pytest.raises(ExportError, match=r"comment.*move it"):
        import_script(script.replace(old, new))
    kept = import_script(script.replace("x = input()", "x = input()  # hi"))
    assert kept.cells[-1].source == "x = input()  # hi"


def test_half_a_character_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    cells = [dict(ONE), {**ONE, "source": "x = 1\ny = '\ud800'"}, {"cell_type": "markdown", "metadata": {}, "source": "\udfff"}]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}))
    with pytest.raises(ExportRefused) as caught:
        export_notebook(path)
    assert [(r.cell, r.line) for r in caught.value.refusals] == [(2, 2), (3, 1)]
    assert "cell 2, line 2: y = '\\ud800'" in str(caught.value)
    assert str(caught.value).encode()


def test_what_is_no_notebook_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text("[]")
    with pytest.raises(ExportError) as caught:
        export_notebook(tmp_path / "x.ipynb")
    assert str(caught.value).count("is not a notebook") == 1


def test_annotations_of_the_future_cannot_come_late() -> None:
    """They would change the functions above, and with them what the notebook's runs are compared to."""
    future = "# later\nfrom __future__ import annotations\nimport os"
    for cell in (
        "def f(x: int): return x",
        "def f() -> int: return 1",
        "class A:\n    x: int = 1",
        "%%workflow t(n: int)\nreturn n",
    ):
        ((number, line, reason),) = refused(LOAD, cell, future)
        assert (number, line) == (3, 2)
        assert "the functions of cell 2" in reason
        assert "first cell" in reason
        assert exported(future, LOAD, cell)
    assert exported("def f(x): return x", future)


def test_what_does_not_compile_is_told_with_its_cell() -> None:
    with pytest.raises(ExportError, match=r"cell 2: nonlocal x: name .x. is assigned to before"):
        exported("x = 1", tagged("nonlocal x", "module-level"))


def test_without_nbformat_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['nbformat'] = None; from wfkernel.export import export_notebook; export_notebook('x.ipynb')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'wfkernel[export]'" in done.stderr.splitlines()[-1]


def test_exporting_loads_nothing_of_the_notebooks_side(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [ONE]}))
    heavy = {"IPython", "ipykernel", "ipywidgets", "matplotlib", "nbconvert", "duckdb"}
    program = f"""
import sys
from wfkernel.export import export_notebook, import_script
import_script(export_notebook({str(path)!r}))
print(*sorted({heavy!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
