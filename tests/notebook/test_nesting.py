"""``%wf nest``: what it exchanges in asyncio, and puts back. Each in a process of its own, as asyncio is there for all."""

import ast
import subprocess
import sys
from pathlib import Path

from notebook_kit import Notebook

ROOT = Path(__file__).parents[2]
PRELUDE = """
import asyncio, sys
from wfkernel.errors import OptionError
from wfkernel.notebook import nesting

async def answer():
    await asyncio.sleep(0)
    return 42

def ask():
    asking = answer()
    try:
        return asyncio.run(asking)
    except RuntimeError as error:
        asking.close()
        return str(error)
"""


def said(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PRELUDE + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_asyncio_run_works_inside_a_running_loop_while_it_is_on() -> None:
    program = """
async def cell():
    print(ask())
    nesting.turn_on()
    nesting.turn_on()
    print(nesting.is_on(), ask(), asyncio.get_running_loop().run_until_complete(answer()))
    print(nesting.turn_off(), nesting.is_on())
    print(ask())
asyncio.run(cell())
"""
    refused = "asyncio.run() cannot be called from a running event loop"
    assert said(program) == [refused, "True 42 42", "True False", refused]


def test_off_puts_every_name_back() -> None:
    program = """
def names():
    places = [asyncio, asyncio.events, asyncio.tasks, asyncio.futures, *asyncio.SelectorEventLoop.__mro__]
    if sys.version_info < (3, 14):
        places += type(asyncio.get_event_loop_policy()).__mro__
    return [(place, name, value) for place in places for name, value in vars(place).items()]
async def cell():
    before = names()
    for _ in range(2):
        nesting.turn_on()
        print([item for item in names() if item not in before] != [])
        nesting.turn_off()
        now = names()
        print([(p, n) for p, n, v in now if not any(p is q and n == m and v is w for q, m, w in before)], len(now) == len(before))
asyncio.run(cell())
"""
    assert said(program) == ["True", "[] True", "True", "[] True"]


def test_off_inside_a_nested_run_is_refused() -> None:
    program = """
async def inner():
    try:
        nesting.turn_off()
    except OptionError as error:
        print(error)
    return await answer()
async def cell():
    nesting.turn_on()
    print(asyncio.run(inner()))
    print(nesting.turn_off())
asyncio.run(cell())
"""
    refused = "a nested asyncio.run is under way here: turn nest off in a cell of its own"
    assert said(program) == [refused, "42", "True"]


def test_what_somebody_else_has_patched_stays() -> None:
    program = """
import nest_asyncio2
async def cell():
    nest_asyncio2.apply()
    nesting.turn_on()
    print(nesting.turn_off(), nesting.is_on(), ask())
asyncio.run(cell())
"""
    assert said(program) == ["False True 42"]


def test_a_loop_that_cannot_be_patched_is_refused_and_nothing_is_patched() -> None:
    program = """
class Foreign:
    '''A loop that is no asyncio.BaseEventLoop.'''
before = asyncio.run, asyncio.Task
asyncio.events._set_running_loop(Foreign())
try:
    nesting.turn_on()
except OptionError as error:
    print(error)
print(nesting.is_on(), (asyncio.run, asyncio.Task) == before)
asyncio.events._set_running_loop(None)
"""
    (message, rest) = said(program)
    assert message.startswith("asyncio.run cannot be nested here: Can't patch loop of type")
    assert rest == "False True"


def test_nest_says_what_it_is_and_refuses_other_words(notebook: Notebook) -> None:
    notebook.run("%wf nest")
    assert notebook.read() == "nest is off\n"
    assert "invalid choice" in str(notebook.fail("%wf nest maybe"))
    assert notebook.complete("%wf nest o") == ["on", "off"]


def test_nothing_but_nesting_imports_nest_asyncio2() -> None:
    importers = {
        path.relative_to(ROOT / "wfkernel").as_posix()
        for path in (ROOT / "wfkernel").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name.startswith("nest_asyncio") for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nest_asyncio"))
    }
    assert importers == {"notebook/nesting.py"}
    program = "import sys; from wfkernel.notebook import magics, waiting; print('nest_asyncio2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
