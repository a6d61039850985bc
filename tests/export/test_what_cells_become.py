"""Where each kind of cell and statement goes, and that its text means there what it meant in the cell; and all of it back again."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from export_kit import LOAD, exported, main_of, markdown, notebook, run_script, tagged

from wfkernel.export import export_notebook, import_script

BODY = "%%workflow trip(city: str) -> str\n"


def module_of(script: str) -> str:
    return script.split("\ndef main()")[0].split("\nasync def main()")[0]


def function(script: str, name: str) -> ast.AsyncFunctionDef:
    return next(n for n in ast.parse(script).body if isinstance(n, ast.AsyncFunctionDef) and n.name == name)


def dumped(nodes: list[ast.stmt]) -> list[str]:
    return [ast.dump(node) for node in nodes]


def comes_back(*cells: object) -> list[str]:
    """The sources after a round trip, whose script is the same."""
    script = exported(*cells)
    again = import_script(script)
    nbformat.validate(again)
    assert export_notebook(again) == script
    return [cell.source for cell in again.cells]


# -- %%workflow --


@pytest.mark.parametrize(
    "body",
    [
        'text = """one\n  two\n\n\n\n\tthree\n"""\nreturn text',
        "text = '''a\n# %% 3\n'''\nreturn text",
        'return f"""{city}\n{  city  }\n"""',
        'path = "C:\\\\new\\n" + r"\\d\\n" + "\\\n  continued"\nreturn path',
        "total = 1 + \\\n    2\nreturn total",
        'return "tab\there", "feed\x0chere", """\x0c\n\x0c"""',
        "größe = 1\nπ = 3\nreturn größe + π",
        "if city:\n\treturn 1\nelse:\n\treturn 2",
        "def twice(f):\n    return lambda *a: f(f(*a))\n\n@twice\ndef add(n):\n    return n + 1\nreturn add(1)",
        "return [x async for x in stream() if await x]",
        "  # indented as a whole\n  if city:\n    return 1\n  return 2",
        "\n\nreturn 1  # after two empty lines",
        "class A:\n    '''doc'''\n\n    def f(self): return 1; x = 2\nreturn A()",
        "\x0creturn 1",
        "x = (1,\n2,\n\n     3)\nreturn x",
        "return 1;",
    ],
    ids=[
        *(
            "triple",
            "mark-in-string",
            "fstring",
            "backslash",
            "continuation",
            "feed",
            "names",
            "tabs",
            "decorators",
            "async",
            "indented",
        ),
        *("empty-lines", "class", "leading-feed", "brackets", "semicolon"),
    ],
)
def test_a_body_means_in_the_script_what_it_means_in_the_cell(body: str) -> None:
    script = exported(LOAD, BODY + body)
    plain = body.lstrip("\x0c")
    expected = ast.parse(f"if 1:\n{plain}").body[0].body if plain.startswith(" ") else ast.parse(plain).body  # type: ignore[attr-defined]
    assert dumped(function(script, "trip").body) == dumped(expected)
    comes_back(LOAD, BODY + body)


def test_a_signature_gets_the_step_and_the_decorator() -> None:
    script = exported(LOAD, '%%workflow trip(city: str, days: int = 3) -> str --name "my trip"  # said\nreturn city')
    assert '@wf.workflow(name="my trip")\nasync def trip(step, city: str, days: int = 3) -> str:\n    return city\n' in script
    assert "async def empty(step):" in exported(LOAD, "%%workflow empty()\npass")
    assert "async def named(step, n):" in exported(LOAD, "%%workflow named(step, n)\npass")
    assert comes_back(LOAD, '%%workflow trip(city: str) --name "my trip"\nreturn 1')[1] == (
        "%%workflow trip(city: str) --name 'my trip'\nreturn 1"
    )


def test_definitions_below_the_bare_magic_get_the_decorator() -> None:
    cell = "%%workflow\nimport os\n\n\ndef helper(x):\n    return x\n\n\n# the workflow\nasync def trip(step, n):\n    return n"
    script = exported(LOAD, cell)
    assert "# the workflow\n@wf.workflow\nasync def trip(step, n):" in script
    assert comes_back(LOAD, cell)[1] == cell
    decorated = "%%workflow --name x\n@wf.workflow(name='y')\nasync def trip(step, n):\n    return n"
    assert exported(LOAD, decorated).count("wf.workflow") == 1


def test_the_start_in_the_magic_is_in_main() -> None:
    cell = '%%workflow trip(city, n=1, at="") --start city=Oslo n=limit * 2 at=2026-11-20 --id a-1\nreturn city'.replace(
        " * ", "*"
    )
    script = exported(LOAD, "limit = 2", cell)
    assert 'run = script.show(trip.options(id="a-1").start(city="Oslo", n=limit*2, at="2026-11-20"))' in main_of(script)
    assert comes_back(LOAD, "limit = 2", cell)[2] == cell


def test_an_ordinary_cell_with_the_decorator_stays_as_it_is() -> None:
    cell = "@wf.workflow\nasync def trip(step, n: int) -> int:\n    return n"
    assert f"# %% 2\n{cell}\n" in exported(LOAD, cell)
    assert comes_back(LOAD, cell)[1] == cell


def test_a_name_defined_twice_stays_twice_in_order() -> None:
    script = exported(LOAD, BODY + "return 'one'", BODY + "return 'two'")
    found = [n.body[0] for n in ast.parse(script).body if isinstance(n, ast.AsyncFunctionDef) and n.name == "trip"]
    assert [ast.unparse(n) for n in found] == ["return 'one'", "return 'two'"]
    comes_back(LOAD, BODY + "return 'one'", BODY + "return 'two'")


# -- what stays, and what goes to main() --


def test_definitions_imports_and_constants_stay_at_the_modules_level() -> None:
    cell = (
        "import re\nRATE, *MORE = 2, 3\nLIMITS = {'a': [RATE, -1]}\nPATTERN = re.compile('x')\nclass A: pass\ndef f(): pass\n"
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None"
    )
    script = exported(cell)
    assert main_of(script).strip() == ""
    assert "PATTERN = re.compile" in module_of(script)


def test_what_is_computed_goes_to_main_in_order_and_is_global_where_functions_use_it() -> None:
    script = exported(
        "def f():\n    return client, RATE\nRATE = 1", "client = make()\nother = make()", "RATE = make(RATE)\nRATE = 5"
    )
    assert "    global RATE, client  #" in main_of(script)
    assert (
        main_of(script).index("client = make()") < main_of(script).index("RATE = make(RATE)") < main_of(script).index("RATE = 5")
    )
    assert "    # %% 2\n    client = make()\n    other = make()\n" in main_of(script)


def test_a_deletion_and_an_addition_know_the_modules_names(tmp_path: Path) -> None:
    script = exported("total = 1\ngone = 2", "total += 1\ndel gone", "print(total, 'gone' in globals())")
    (tmp_path / "s.py").write_text(script)
    assert run_script("s.py", folder=tmp_path).stdout == "2 False\n"


def test_a_mixed_cell_is_divided_with_its_comments() -> None:
    cell = "# about f\ndef f():\n    return 1\n\n\n# about the call\nx = f()\n# the end"
    script = exported(cell)
    assert "# %% 1\n# about f\ndef f():\n    return 1\n" in module_of(script)
    assert "    # %% 1\n    # about the call\n    x = f()\n    # the end\n" in script
    assert comes_back(cell) == ["# about f\ndef f():\n    return 1\n\n# about the call\nx = f()\n# the end"]


def test_a_cell_with_the_tag_module_level_stays_there() -> None:
    script = exported(tagged("client = make()", "module-level"), "@client.register\ndef f():\n    pass")
    assert '# %% 1 tags=["module-level"]\nclient = make()\n' in module_of(script)
    comes_back(tagged("client = make()", "module-level"), "@client.register\ndef f():\n    pass")


def test_the_last_expression_is_shown_unless_a_semicolon_follows(tmp_path: Path) -> None:
    cells = [
        "1 + 1",
        "'quiet';",
        "1\n2 # two",
        "(3 +\n 4)",
        "5, 6",
        "print('p')",
        "max(\n    7,\n    8,\n)",
        "None",
        '"""a\n  b"""',
        "x = 9;",
    ]
    script = exported(*cells)
    (tmp_path / "s.py").write_text(script)
    assert run_script("s.py", folder=tmp_path).stdout == "2\n2\n7\n(5, 6)\np\n8\n'a\\n  b'\n"
    restored = comes_back(*cells)
    assert restored[1] == "'quiet';"
    assert restored[2] == "1\n2 # two"
    assert restored[6] == cells[6]
    assert restored[8] == cells[8]


def test_main_is_async_only_if_it_waits(tmp_path: Path) -> None:
    assert "\ndef main() -> None:" in exported("x = print(1)")
    for cell in ("await f()", "async with f() as g: pass", "[x async for x in f()]"):
        assert "\nasync def main() -> None:" in exported(cell)
    assert "\ndef main() -> None:" in exported("async def f():\n    await g()")
    (tmp_path / "s.py").write_text(exported("import asyncio", "await asyncio.sleep(0, 'slept')"))
    assert run_script("s.py", folder=tmp_path).stdout == "'slept'\n"


def test_a_main_guard_runs_with_the_script(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(exported("if __name__ == '__main__':\n    print('guarded')"))
    assert run_script("s.py", folder=tmp_path).stdout == "guarded\n"
    imported = subprocess.run([sys.executable, "-c", "import s"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert imported.stdout == ""


def test_future_imports_go_to_the_top() -> None:
    script = exported("x = 1", "from __future__ import annotations\nimport os")
    assert "\nfrom __future__ import annotations\n\nfrom wfkernel.export import script\n" in script
    assert (
        comes_back("x = 1", "from __future__ import annotations\nimport os")[1] == "from __future__ import annotations\nimport os"
    )


def test_star_imports_stay_at_the_top_level() -> None:
    script = exported("from os.path import *", "here = join('a', 'b')", "def f():\n    return here, basename('x')")
    assert "\nfrom os.path import *\n" in module_of(script)
    comes_back("from os.path import *", "here = join('a', 'b')", "def f():\n    return here, basename('x')")


# -- magics and widgets --


def test_what_only_shows_or_sets_up_stays_as_a_comment() -> None:
    cells = [
        LOAD,
        "%matplotlib inline\n%config InlineBackend.x = 1\n%load_ext autoreload\n%autoreload 2\nx = 1",
        "%wf list\n%wf show x",
    ]
    script = exported(*cells)
    assert "# notebook only: %matplotlib inline\n# notebook only: %config InlineBackend.x = 1\n" in script
    assert "# notebook only: %wf list\n# notebook only: %wf show x\n" in script
    assert comes_back(*cells) == cells


@pytest.mark.parametrize(
    ("magic", "code"),
    [
        ("%wf start trip city=Oslo", 'script.show(trip.start(city="Oslo"))'),
        ("%wf start trip city=name --id t-1", 'script.show(trip.options(id="t-1").start(city=name))'),
        ('%wf start "other one" n=1', 'script.show(wf.start("other one", n=1))'),
        ("%wf cancel r1abc", 'wf.cancel("r1abc")'),
        ("%wf restart run --from 2", "wf.restart(run, from_step=2)"),
        ("%wf restart run --from=changed", 'wf.restart(run, from_step="changed")'),
        ('%wf send run go {"a": [true, null]}', "wf.send_event(\"go\", {'a': [True, None]}, run=run)"),
        ("%wf resume run", "wf.resume(run)"),
        ("%wf resume", "wf.resume()"),
        ("%wf sql CREATE TABLE t (x INT)", 'wf.db.execute("CREATE TABLE t (x INT)")'),
    ],
    ids=["start", "start-id", "start-unknown", "cancel", "restart", "restart-changed", "send", "resume", "resume-all", "sql"],
)
def test_commands_that_do_something_become_calls(magic: str, code: str) -> None:
    cells = [LOAD, BODY + "return city", "name = input()\nrun = trip.start(city=name)", magic]
    script = exported(*cells)
    assert main_of(script).endswith(f"    # in the notebook: {magic}\n    {code}")
    assert comes_back(*cells)[3] == magic


def test_a_magic_in_a_block_keeps_the_block() -> None:
    cell = "for x in range(2):\n    if x:\n        %wf list\n    print(x)"
    assert "            # in the notebook: %wf list\n            pass\n" in exported(cell)
    assert comes_back(cell) == [cell]


def test_what_looks_like_a_magic_in_a_string_or_in_brackets_is_none() -> None:
    cell = 'text = """\n%matplotlib\n!ls\n# %% 7\n# in the notebook: x\n# notebook only: y\n"""\nx = (10\n% 3)\n%matplotlib inline\ny = 1 \\\n% 2'
    script = exported(cell)
    assert dumped(ast.parse(script).body)[2:5] == dumped(ast.parse(cell.replace("%matplotlib inline\n", "")).body)
    assert comes_back(cell) == [cell]


def test_another_journal_is_the_scripts_journal() -> None:
    assert 'wf = script.manager("data/trips.duckdb")' in exported(f"{LOAD}\n%wf journal data/trips.duckdb")
    assert 'wf = script.manager("a b.duckdb", max_parallelism=2)'.replace('"', "'") in exported(
        "from wfkernel import WorkflowManager\nwf = WorkflowManager('a b.duckdb', max_parallelism=2)"
    )
    assert 'wf = script.manager("a.duckdb", auto_resume=False)' in exported(f"{LOAD}\n%wf journal a.duckdb --no-auto-resume")
    script = export_notebook(notebook(LOAD, BODY + "return 1"), journal="x.duckdb")
    assert 'wf = script.manager("x.duckdb")' in script
    assert export_notebook(import_script(script)) == script
    cells = [
        "from wfkernel import WorkflowManager\n\nmine = WorkflowManager('x.duckdb')",
        "@mine.workflow\nasync def trip(step):\n    pass",
    ]
    assert "script.command_line(mine, main)" in exported(*cells)
    assert comes_back(*cells) == cells


def test_widgets_are_left_out_and_their_import_with_them() -> None:
    cells = [LOAD, "from wfkernel import InvalidEvent, approve, dashboard\n\ndashboard()\napprove(wf, 'go')\nprint(InvalidEvent)"]
    script = exported(*cells)
    assert "\nfrom wfkernel import InvalidEvent\n" in script
    assert "    # notebook only: dashboard()\n    # notebook only: approve(wf, 'go')\n    print(InvalidEvent)" in script
    assert (
        "approve" in exported("from wfkernel import approve\n\n\ndef ask(run):\n    return approve(run, 'go')").split("# %% 1")[1]
    )
    comes_back(*cells)


def test_display_prints(tmp_path: Path) -> None:
    script = exported("def f():\n    display(1, 'a')", "f()\ndisplay(2)")
    (tmp_path / "s.py").write_text(script)
    assert run_script("s.py", folder=tmp_path).stdout == "1\n'a'\n2\n"


def test_a_cell_that_may_raise_does_not_end_the_script(tmp_path: Path) -> None:
    cells = [tagged("1 / 0", "raises-exception"), "print('on')"]
    (tmp_path / "s.py").write_text(exported(*cells))
    done = run_script("s.py", folder=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("on\n", "ZeroDivisionError: division by zero\n", 0)
    assert import_script(tmp_path / "s.py").cells[0].metadata.tags == ["raises-exception"]
    assert comes_back(*cells) == ["1 / 0", "print('on')"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("class A(Undefined): pass", "NameError: name 'Undefined' is not defined"),
        ("# why\ndef f(x=Undefined):\n    return x\n\nprint('after')", "NameError: name 'Undefined' is not defined"),
        ("@wf.workflow\ndef t(): pass", "DefinitionError: "),
    ],
    ids=["import", "class", "function", "workflow"],
)
def test_a_definition_that_may_fail_does_not_end_the_script_either(tmp_path: Path, source: str, error: str) -> None:
    cells = [LOAD, tagged(source, "raises-exception"), "print('on')"]
    (tmp_path / "s.py").write_text(exported(*cells))
    done = run_script("s.py", folder=tmp_path)
    assert done.stdout.splitlines()[-1] == "on"
    assert done.stderr.startswith(error)
    assert done.returncode == 0
    assert comes_back(*cells)[1] == source


def test_what_cannot_fail_stays_as_it_is() -> None:
    assert "may_fail" not in exported(tagged("def f():\n    return 1\n\n\nLIMIT = 3", "raises-exception"), "print(f)")


# -- what is no code --


def test_an_empty_notebook_is_a_script_that_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(exported())
    done = run_script("s.py", folder=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert comes_back() == []


def test_markdown_raw_and_empty_cells_come_back_as_they_were() -> None:
    cells = [
        markdown("# Title\n\n```python\n# %% 7\n```\n%% not a mark\n\\%% nor this"),
        nbformat.v4.new_raw_cell("raw\n\n  text"),
        "",
        "# only a comment\n#\n# %% 12 [markdown]\n# notebook only: mine\n# \\%% x",
        "print(1)\n# %% 3\n# in the notebook: no",
        markdown(""),
        tagged("# %% 5\nx = 1", "a b", 'quo"te', "ü"),
    ]
    assert comes_back(*cells) == [cell if isinstance(cell, str) else cell.source for cell in cells]


def test_windows_line_ends_make_no_difference() -> None:
    cells = [LOAD, BODY + 'text = """a\nb"""\nreturn text', "print(1)\nprint(2)"]
    assert exported(*(cell.replace("\n", "\r\n") for cell in cells)) == exported(*cells)


def test_a_cell_with_the_tag_notebook_only_stays_as_a_comment() -> None:
    cells = [tagged("!ls\n\n%%time is odd", "notebook-only"), "x = 1"]
    assert '# %% 1 tags=["notebook-only"]\n# notebook only: !ls\n' in exported(*cells)
    assert comes_back(*cells) == ["!ls\n\n%%time is odd", "x = 1"]


def test_an_old_notebook_is_brought_up_to_date_first() -> None:
    cell = {"cell_type": "code", "input": ["print(1)"], "language": "python", "outputs": [], "collapsed": False, "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [cell], "metadata": {}}]}
    assert "    print(1)\n" in export_notebook(old)
