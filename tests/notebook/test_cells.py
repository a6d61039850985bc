"""How a cell becomes a workflow: the same function as the decorator would have got, on the lines of the cell."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import sys
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from wfkernel.core.fingerprint import fingerprint
from wfkernel.errors import DefinitionError, InvalidArguments, OptionError
from wfkernel.notebook.cells import InvalidCell, keyword_values, read_cell, read_line, remember_text, split_words, unquote

NAME = "<ipython-input-7-wfkernel-test>"


def read(line: str, cell: str, transform: Any = None) -> Any:
    return read_cell(read_line(line), line, cell, NAME, transform)


def define(line: str, cell: str, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names after the cell; workflows stay plain functions."""
    names = {"__name__": "__main__"} if namespace is None else namespace
    read(line, cell).define(names, lambda node, value: value)
    return names


def refused(line: str, cell: str, transform: Any = None) -> SyntaxError:
    with pytest.raises(InvalidCell) as caught:
        read(line, cell, transform).define({}, lambda node, value: value)
    assert isinstance(caught.value, DefinitionError)
    assert str(caught.value) == f"line {caught.value.syntax.lineno}: {caught.value.syntax.msg}"
    assert caught.value.syntax.filename == NAME
    return caught.value.syntax


def run(coroutine: Any) -> Any:
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


# -- the magic's line --


def test_the_line_is_the_signature_and_then_the_options():
    said = read_line(
        'trip(city: str = "a --start b", *, days: int = 3) -> dict[str, int] --name "my trip" --start city="New York" days=2 --id t-1'
    )
    assert said.signature == 'trip(city: str = "a --start b", *, days: int = 3) -> dict[str, int]'
    assert said.name == "my trip"
    assert said.start == ['city="New York"', "days=2"]
    assert said.id == "t-1"


def test_a_line_may_be_empty_or_hold_options_only():
    assert read_line("") == read_line("   ")
    assert read_line("").start is None
    assert read_line("--start").start == []
    assert read_line("--start").signature == ""


@pytest.mark.parametrize("line", ["--nope", "trip() --name", "trip() --name --start", "trip() --id x", 'trip() --start a="b'])
def test_a_line_that_cannot_be_meant_is_refused(line: str):
    with pytest.raises(OptionError):
        read_line(line)


def test_words_end_at_blanks_that_are_in_no_quotes_and_no_bracket():
    assert split_words("""a=1  b="x y" c=[1, 2] d={'k': "]"} e=f(1, 2)""") == [
        "a=1",
        'b="x y"',
        "c=[1, 2]",
        """d={'k': "]"}""",
        "e=f(1, 2)",
    ]


def test_quotes_around_a_word_are_taken_off():
    assert [unquote(w) for w in ('"a b"', "'c'", "d", '"e', "3")] == ["a b", "c", "d", '"e', "3"]


def test_values_are_expressions_of_the_notebook_or_else_text():
    names = {"city": "Lima", "days": [1, 2]}
    words = (
        "a=1+1 b=city c=days[1] d=Oslo e=New-York f=true g=True h=max i=2026-11-20 j=10:30 k={'x':city} l= m=/tmp/x.csv".split()
    )
    assert keyword_values(words, names) == {
        **{"a": 2, "b": "Lima", "c": 2, "d": "Oslo", "e": "New-York", "f": "true", "g": True, "h": "max", "i": "2026-11-20"},
        **{"j": "10:30", "k": {"x": "Lima"}, "l": "", "m": "/tmp/x.csv"},
    }


@pytest.mark.parametrize("word", ["city", "=3", "2a=3", "a==3 a=4"])
def test_arguments_without_a_key_are_refused(word: str):
    with pytest.raises((OptionError, InvalidArguments)):
        keyword_values([*word.split(), *word.split()], {})


@pytest.mark.parametrize("word", ["a=1/0", "a=[1,", "a=city.nope"])
def test_an_expression_that_fails_is_an_error_and_no_text(word: str):
    with pytest.raises(InvalidArguments, match="a="):
        keyword_values([word], {"city": "Lima"})


# -- the body form --


def test_the_cell_is_the_body_and_step_comes_first():
    trip = define("trip(city: str, days: int = 3) -> str", "return f'{city} {days} {step}'\n")["trip"]
    assert inspect.iscoroutinefunction(trip)
    assert str(inspect.signature(trip)) == "(step, city: str, days: int = 3) -> str"
    assert run(trip("s", "Oslo")) == "Oslo 3 s"


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("trip()", "(step)"),
        ("trip( )", "(step)"),
        ("trip(step)", "(step)"),
        ("trip(step, a)", "(step, a)"),
        ("trip(a, /, b)", "(step, a, /, b)"),
        ("trip(*, a)", "(step, *, a)"),
        ("trip(*a, **b)", "(step, *a, **b)"),
        ("trip  (a=')')", "(step, a=')')"),
        ("trip(a):", "(step, a)"),
        ("trip(a='#')  # why (not) --start", "(step, a='#')"),
    ],
)
def test_every_kind_of_signature_gets_the_step(signature: str, expected: str):
    assert str(inspect.signature(define(signature, "pass\n")["trip"])) == expected


TRICKY = '''\
"""Docs
of trip."""
import json

text = """
  kept
as it is
"""
    # an odd comment
def helper(x):
    return f"""{
        x
    }
end"""
other = "a\\
b"
many = [
  1,
2,
]
if many: pass
else:
\tmany = 3

return text, helper(1), other
'''


def test_strings_over_several_lines_are_kept_to_the_letter():
    trip = define("trip()", TRICKY)["trip"]
    assert run(trip("s")) == ("\n  kept\nas it is\n", "1\nend", "ab")
    assert trip.__doc__ == "Docs\nof trip." or sys.version_info >= (3, 13)


def test_positions_are_those_of_the_text_that_linecache_has():
    parsed = read("trip(a, b=2)", TRICKY)
    again = ast.parse(parsed.text)
    assert ast.dump(parsed.tree) == ast.dump(again)
    found = [
        (type(n), n.lineno, n.col_offset, n.end_lineno, n.end_col_offset)
        for n in ast.walk(parsed.tree)
        if isinstance(n, ast.stmt)
    ]
    assert found == [
        (type(n), n.lineno, n.col_offset, n.end_lineno, n.end_col_offset) for n in ast.walk(again) if isinstance(n, ast.stmt)
    ]
    without_fstrings = read("trip(a, b=2)", "\n".join(line for line in TRICKY.splitlines() if "f'" not in line))
    assert len(parsed.text.splitlines()) == len(TRICKY.splitlines()) + 1
    assert without_fstrings.text


PIECES = [
    *("x = 1", "", "# note", 'y = """a', '  b"""', "if x:", "    z = [1,", "2]", "    pass", "w = '''", "'''", "return y"),
    *("é = 'ü' + \\", "  'ö'", 'f"""{x', '}"""'),
]


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_any_body_means_in_the_function_what_it_says_in_the_cell(lines: list[str]):
    cell = "\n".join(lines) + "\n"
    try:
        alone = ast.parse(cell)
    except SyntaxError:
        return
    if not alone.body:
        return
    parsed = read("trip()", cell)
    assert [ast.dump(n) for n in parsed.tree.body[0].body] == [ast.dump(n) for n in alone.body]
    again = ast.parse(parsed.text)
    assert ast.dump(again) == ast.dump(parsed.tree)
    if 'f"' not in cell or sys.version_info >= (3, 12):  # 3.11 places what is inside of f-strings roughly
        assert ast.dump(again, include_attributes=True) == ast.dump(parsed.tree, include_attributes=True)


def test_a_body_may_be_indented_already():
    trip = define("trip()", '# a note\n    text = """\nx"""\n    return text\n')["trip"]
    assert run(trip("s")) == "\nx"


def test_an_indentation_that_fits_nowhere_is_placed_whoever_finds_it():
    cells = {"trip()": "if True:\n    return 1\n  return 2\n", "": "async def trip(step):\n    x = 1\n  return x\n"}
    for line, cell in cells.items():
        syntax = refused(line, cell, TransformerManager().transform_cell)
        assert isinstance(syntax, IndentationError)


def test_getsource_gives_the_cell():
    trip = define("trip(a)", '# why\nx = """\ny"""\n\nreturn a  # it\n')["trip"]
    assert inspect.getsource(trip) == 'async def trip(step, a):\n    # why\n    x = """\ny"""\n\n    return a  # it\n'


def test_errors_in_the_body_are_on_the_line_of_the_cell():
    trip = define("trip(a)", "x = '''\n\n'''\n\nreturn a / 0\n")["trip"]
    with pytest.raises(ZeroDivisionError) as caught:
        trip("s", 1).send(None)
    assert [(e.path, e.lineno + 1) for e in caught.traceback][-1] == (NAME, 6) or caught.tb.tb_next.tb_lineno == 6
    assert linecache.getline(NAME, 6) == "    return a / 0\n"


BODY = 'total = 0\nfor n in range(3):\n    total += n\n"""x\ny"""\nreturn total, LIMIT\n'


def test_the_fingerprint_is_that_of_the_decorator_form():
    magic = define("trip(a: int = 1) -> int", BODY, {"__name__": "__main__", "LIMIT": 3})["trip"]
    names: dict[str, Any] = {"__name__": "__main__", "LIMIT": 3}
    body = BODY.replace('"""x\ny"""', '"x\\ny"')
    text = f"async def trip(step, a: int = 1) -> int:\n{textwrap.indent(body, '        ')}"
    remember_text("<ipython-input-8-other>", text)
    exec(compile(text, "<ipython-input-8-other>", "exec"), names)
    assert fingerprint(magic) == fingerprint(names["trip"])


def test_comments_and_blank_lines_do_not_change_the_fingerprint():
    def of(line: str, cell: str) -> str:
        return fingerprint(define(line, cell, {"__name__": "__main__", "LIMIT": 3})["trip"])

    before = of("trip(a)", BODY)
    assert before == of("trip(a)", "# why\n\n" + BODY.replace("total = 0", "total = 0    # none\n"))
    assert before == of("trip( a )", textwrap.indent(BODY.replace('"""x\ny"""', '"x\\ny"'), "  "))
    assert before != of("trip(a)", BODY.replace("range(3)", "range(4)"))


@pytest.mark.parametrize(
    ("line", "cell", "number", "message"),
    [
        ("trip(city: str", "pass\n", 1, "invalid signature|was never closed"),
        ("trip(city str)", "pass\n", 1, "invalid syntax|comma"),
        ("trip", "pass\n", 1, r"parentheses: %%workflow trip\(\)"),
        ("trip(a, a)", "pass\n", 1, "duplicate argument"),
        ("trip(a, step)", "pass\n", 1, "`step` is the first parameter"),
        ("trip(a=1, b)", "pass\n", 1, "default"),
        ("trip(): pass", "pass\n", 1, ""),
        ("trip(): 'x'[0:", "pass\n", 1, ""),
        ("async def trip(step):", "pass\n", 1, "without `def`"),
        ("2trip()", "pass\n", 1, ""),
        ("trip()", "", 1, "no body"),
        ("trip()", "# only this\n", 1, "no body"),
        ("trip()", "x = 1\nif x\n    pass\n", 3, "expected ':'"),
        ("trip()", "x = 1\n  y = 2\n", 3, "unexpected indent"),
        ("trip()", "  x = 1\ny = 2\n", 3, "indented above"),
        ("trip()", "x = 1\n\nyield x\n", 4, "cannot `yield`"),
        ("trip()", "for x in []:\n    y = yield from x\n", 3, "cannot `yield`"),
        ("trip()", "x = 1\nbreak\n", 3, "outside loop"),
        ("trip()", "def f():\n    await x\n", 3, "outside async"),
        ("trip()", "x = 1\nnonlocal x\n", 3, "nonlocal"),
        ("trip()", "x = '''\n", 2, "unterminated"),
        ("trip()", "\n\nfrom __future__ import annotations\n", 4, "beginning of the file"),
    ],
)
def test_what_cannot_be_a_workflow_is_refused_with_its_line(line: str, cell: str, number: int, message: str):
    error = refused(line, cell)
    assert error.lineno == number
    assert re.search(message, error.msg), error.msg
    assert error.text is not None
    assert error.text.rstrip("\n") == [f"%%workflow {line}", *cell.splitlines()][number - 1]


def test_columns_of_errors_are_those_of_the_cell():
    error = refused("trip()", "x = 1\nbreak\n")
    assert error.offset == 1
    error = refused("trip(a, b c)", "pass\n")
    assert error.text is not None
    assert "b c" in error.text[error.offset - 1 :] or error.text[error.offset - 1 :].startswith("c")


def test_inner_generators_and_lambdas_are_no_matter():
    trip = define("trip()", "def g():\n    yield 1\nh = lambda: (yield)\nreturn sum(g())\n")["trip"]
    assert run(trip("s")) == 1


def shell_syntax(cell: str) -> str:
    return TransformerManager().transform_cell(cell)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("\n\nx = 1\n!ls\n", 5),
        ("x = !ls\n", 2),
        ("x = 1\n%time x\n", 3),
        ("    x = 1\n    !ls -l \\\n        -a\n", 3),
        ("if x:\n    !ls\n", 3),
    ],
)
def test_shell_commands_and_magics_in_a_body_are_refused_with_their_line(cell: str, number: int):
    error = refused("trip()", cell, shell_syntax)
    assert error.lineno == number
    assert "cannot be used in a workflow's body" in error.msg


def test_get_ipython_in_a_body_is_refused_too():
    assert refused("trip()", "x = 1\nget_ipython().system('ls')\n").lineno == 3


# -- definitions as they stand --

DEFINITIONS = '''\
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Report:
    city: str = """a
b"""

async def trip(step, city: Report | None = None) -> Report:
    return later(city)

def later(city):
    return city, LIMIT

LIMIT = 4
async def other(db, x): pass
async def child(step): return 1
'''


def test_definitions_stay_as_they_are_and_those_with_a_step_are_workflows():
    parsed = read("", DEFINITIONS)
    assert [n.name for n in parsed.workflows] == ["trip", "child"]
    names: dict[str, Any] = {"__name__": "__main__"}
    made = parsed.define(names, lambda node, value: ("workflow", value))
    assert [m[1].__name__ for m in made] == ["trip", "child"]
    assert names["trip"][0] == "workflow"
    assert not isinstance(names["other"], tuple)
    assert run(names["trip"][1]("s", 3)) == (3, 4)
    assert names["trip"][1].__annotations__["city"] == "Report | None"
    assert names["trip"][1].__code__.co_firstlineno == 10


def test_getsource_of_definitions_is_right_under_decorators():
    names = define("", "def same(f):\n    return f\n\n@same\nasync def trip(step):\n    return 1\n")
    assert inspect.getsource(names["trip"]) == "@same\nasync def trip(step):\n    return 1\n"
    assert inspect.getsource(names["same"]) == "def same(f):\n    return f\n"


def test_helpers_below_are_there_before_a_workflow_is_made():
    seen = []
    read("", "async def trip(step): return helper()\ndef helper(): pass\n").define(
        names := {}, lambda n, v: seen.append("helper" in names)
    )
    assert seen == [True]


def test_a_workflow_that_the_cell_goes_on_to_use_is_made_by_then():
    names: dict[str, Any] = {}
    read("", "async def trip(step): pass\nused = trip\ndef later(): return trip\n").define(names, lambda n, v: "made")
    assert names["used"] == "made"


def test_a_definition_that_is_refused_changes_nothing():
    def refuse(node: Any, value: Any) -> Any:
        raise DefinitionError("no")

    names: dict[str, Any] = {"trip": "before"}
    with pytest.raises(DefinitionError):
        read("", "async def trip(step): pass\n").define(names, refuse)
    assert names["trip"] == "before"


@pytest.mark.parametrize(
    ("cell", "number", "message"),
    [
        ("x = 1\n", 1, "defines no workflow"),
        ("async def trip(db): pass\n", 1, "defines no workflow"),
        ("x = 1\nreturn x\n", 3, "`return` outside a function.*%%workflow trip"),
        ("async def trip(step): pass\nawait trip\n", 3, "`await` outside a function"),
        ("if 1:\n    async with x: pass\n", 3, "`with` outside"),
        ("\ndef trip(step): pass\n", 3, "async def trip"),
        ("async def trip(step):\n    yield 1\n", 3, "cannot `yield`"),
        ("async def trip(step):\n    return )\n", 3, "unmatched"),
        ("async def trip(step):\n    break\n", 3, "outside loop"),
    ],
)
def test_definitions_that_are_no_workflow_are_refused_with_their_line(cell: str, number: int, message: str):
    error = refused("", cell)
    assert (error.lineno, bool(re.search(message, error.msg))) == (number, True), error.msg


def test_shell_commands_beside_the_definitions_run_once():
    parsed = read("", "\n!pip list\nasync def trip(step):\n    return 1\n", shell_syntax)
    assert "get_ipython().system" in parsed.text
    assert parsed.workflows[0].lineno == 4


def test_shell_commands_in_a_workflow_of_the_cell_are_refused():
    assert refused("", "x = 1\nasync def trip(step):\n    !ls\n", shell_syntax).lineno == 4


def test_future_imports_of_earlier_cells_hold():
    import __future__

    names: dict[str, Any] = {"__name__": "__main__"}
    read("trip(a: Nowhere)", "pass\n").define(names, lambda n, v: v, flags=__future__.annotations.compiler_flag)
    assert names["trip"].__annotations__ == {"a": "Nowhere"}
