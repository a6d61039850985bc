"""What the check of a body finds, on which line, what it says to write instead, and what it leaves alone."""

from __future__ import annotations

import ast
import random
import sys
from typing import Any

import pytest

from wfkernel.notebook.determinism import Finding, Rebindings, check, globals_read

IMPORTS = """
import asyncio, datetime, os, pathlib, random, secrets, socket, subprocess, time, urllib.request, uuid
import datetime as dt, random as rnd, time as t
import numpy as np
from asyncio import to_thread
from datetime import date, datetime as DT
from os import urandom
from pathlib import Path
from random import Random, choice, randint
from time import perf_counter, sleep, time as now
from urllib.request import urlopen
from uuid import uuid4 as new_id
from wfkernel.notebook.tables import short
log, table, seen, mine = [], {}, set(), Random(3)
path = Path("x")
CITIES = ("Oslo", "Lima")
"""


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(IMPORTS, found)
    return found


def body(text: str) -> ast.AsyncFunctionDef:
    """The lines of ``text`` are numbered from 2."""
    tree = ast.parse("async def trip(step, city=None):\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    assert isinstance(tree.body[0], ast.AsyncFunctionDef)
    return tree.body[0]


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        ("time.time()", "step.now().timestamp()"),
        ("t.monotonic()", "step.now()"),
        ("now()", "step.now().timestamp()"),
        ("perf_counter()", "step.now()"),
        ("time.localtime()", "step.now()"),
        ("time.strftime('%H')", "step.now()"),
        ("datetime.datetime.now()", "step.now()"),
        ("dt.datetime.utcnow()", "step.now()"),
        ("DT.now(dt.UTC)", "step.now()"),
        ("DT.today()", "step.now()"),
        ("date.today()", "step.now().date()"),
        ("random.random()", "step.random"),
        ("rnd.shuffle(x)", "step.random"),
        ("choice(CITIES)", "step.random"),
        ("randint(1, 2)", "step.random"),
        ("Random()", "step.random"),
        ("mine.random()", "step.random"),
        ("np.random.rand(3)", "numpy.random.default_rng(step.random"),
        ("np.random.default_rng()", "numpy.random.default_rng(step.random"),
        ("uuid.uuid4()", "step.uuid4()"),
        ("uuid.uuid1()", "step.uuid4()"),
        ("new_id()", "step.uuid4()"),
        ("os.urandom(8)", "step.random.randbytes"),
        ("urandom(8)", "step.random.randbytes"),
        ("secrets.token_hex()", "await step.run_action(secrets.token_hex"),
        ("open('x')", "await step.run_action"),
        ("path.read_text()", "await step.run_action"),
        ("Path('x').write_text('y')", "await step.run_action"),
        ("input('name')", "await step.await_event"),
        ("time.sleep(1)", "await step.sleep(seconds)"),
        ("sleep(1)", "await step.sleep(seconds)"),
        ("urllib.request.urlopen('x')", "await step.run_action"),
        ("urlopen('x')", "await step.run_action"),
        ("socket.socket()", "await step.run_action"),
        ("subprocess.run(['ls'])", "await step.run_action(subprocess.run"),
        ("os.system('ls')", "await step.run_action(subprocess.run"),
        ("await to_thread(print)", "await step.run_action"),
        ("await asyncio.create_subprocess_exec('ls')", "await step.run_action"),
        ("hash('x')", "hashlib"),
    ],
)
def test_what_differs_at_a_replay_is_found_under_any_name(names: dict[str, Any], call: str, instead: str):
    found = check(body(f"a = 1\nb = [{call}]"), names)
    assert [f.line for f in found] == [3]
    assert call.removeprefix("await ").partition("(")[0] in found[0].what
    assert instead in found[0].instead


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_requests_are_found_also_where_the_body_imports_the_library(library: str):
    found = check(
        body(f"import {library} as net\nfrom {library} import post\nnet.get(city).json()\npost(city)\nnet.Client().get(city)"), {}
    )
    assert [f.line for f in found] == [4, 5, 6, 6]
    assert all("step.run_action" in f.instead for f in found)


def test_a_session_that_another_cell_made_is_found():
    Session = type("Session", (), {"__module__": "requests.sessions", "get": None})
    assert [f.line for f in check(body("session.get(city)"), {"session": Session()})] == [2]


def test_ipythons_own_open_is_found():
    def _modified_open() -> None: ...

    assert [f.line for f in check(body("open(city)"), {"open": _modified_open})] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "await step.sleep(1)\nawait asyncio.sleep(1)",
        "x = step.now(), step.random.random(), step.uuid4()",
        "x = Random(3).random() if city else 0\ny = np.random.default_rng(7)",
        "r = Random(3)\nr.random()",
        "x = dt.datetime(2026, 1, 1), dt.timedelta(1), time.gmtime(0), time.strftime('%H', time.gmtime(0))",
        "x = uuid.uuid5(uuid.NAMESPACE_DNS, 'x'), uuid.UUID(int=3)",
        "time = city\ntime.time()",
        "def time(): return 1\nx = city.time()",
        "for random in [1]: random.random()",
        "x = [time.time() for time in city]",
        "x = path.name, path / 'x', Path('x').suffix, os.path.join('a', 'b')",
        "print('x')\nshort('x')\nlen(city)",
        "x = city.open(), city.now(), unknown.time()",
        "try: pass\nexcept subprocess.CalledProcessError: pass",
        "await step.run_action(time.time)\nawait step.run_action(lambda: time.time())",
        "def fetch(): return urlopen(city)\nawait step.run_action(fetch)\nawait step.run_mutation(fetch)",
        "class A:\n    pass",
        "x = sorted({1, 2})\nfor y in sorted(set(city)): pass\nfor y in [1]: pass\nif y in {1}: pass",
        "log2 = []\nlog2.append(1)\nx = {}\nx['a'] = 1\nx = log.index(1), table.get('x')",
    ],
)
def test_what_replays_is_left_alone(names: dict[str, Any], text: str):
    assert check(body(text), names) == []


def test_inner_functions_that_the_body_calls_itself_are_read(names: dict[str, Any]):
    text = "async def one(c):\n    x = time.time()\n    return await step.run_action(c)\nawait asyncio.gather(*(one(c) for c in city))"
    assert [f.line for f in check(body(text), names)] == [3]


def test_a_lambda_that_is_no_step_is_read(names: dict[str, Any]):
    assert [f.line for f in check(body("x = sorted(city, key=lambda c: random.random())"), names)] == [2]


@pytest.mark.parametrize(
    "call",
    [
        *("step.run_action(f)", "step.run_query(f)", "step.run_mutation(f)", "step.run_workflow(w)", "step.await_event('e')"),
        *(
            "step.sleep(3)",
            "step.sleep_until(x)",
            "step.options(name='a').options(retry=True).run_action(f)",
            "x = step.run_action(f)",
        ),
    ],
)
def test_steps_that_nobody_awaits_are_found(call: str):
    found = check(body(f"{call}\nreturn 1"), {})
    assert [f.line for f in found] == [2]
    assert "nothing until it is awaited" in found[0].what
    assert f"await {call.removeprefix('x = ').rpartition('(')[0]}(...)" in found[0].instead


def test_a_derived_step_is_known_by_its_name():
    found = check(
        body("fast = step.options(retry=True)\nslow = fast.options(name='x')\nslow.run_action(f)\nawait fast.run_action(f)"), {}
    )
    assert [f.line for f in found] == [4]


@pytest.mark.parametrize(
    "text",
    [
        "await step.run_action(f)\nx = await step.run_action(f)",
        "x = step.run_action(f)\ny = step.run_action(f)\nawait asyncio.gather(x, y)",
        "t = asyncio.create_task(step.run_action(f))\nawait t",
        "return [step.run_action(f) for f in city]",
        "city.sleep(3)\ncity.run_action(f)",
        "step.now()",
    ],
)
def test_steps_that_are_awaited_or_passed_on_are_left_alone(text: str):
    assert check(body(text), {}) == []


def test_the_step_may_have_another_name():
    tree = ast.parse("async def trip(s):\n    s.sleep(1)\n")
    assert [f.line for f in check(tree.body[0], {})] == [2]


def test_the_order_of_a_set_is_found(names: dict[str, Any]):
    found = check(body("for c in {'a', 'b'}: pass\nx = [c for c in set(city)]\nfor c in frozenset(x): pass"), names)
    assert [f.line for f in found] == [2, 3, 4]
    assert "sorted" in found[0].instead


def test_changes_of_globals_are_found(names: dict[str, Any]):
    text = "global total\ntotal = 1\nlog.append(1)\ntable['x'] = 1\ntable['x'] += 1\ndel table['x']\nseen.add(3)"
    assert [f.line for f in check(body(text), names)] == [2, 4, 5, 6, 7, 8]


def test_globals_that_several_cells_assign_are_found_where_they_are_first_read(names: dict[str, Any]):
    text = "x = city\nfor c in CITIES: x = c\nreturn x, CITIES, asyncio"
    found = check(body(text), names, rebound={"CITIES", "x", "city", "asyncio"})
    assert [f.line for f in found] == [3]
    assert "CITIES is assigned in several cells" in found[0].what
    assert "argument" in found[0].instead


def test_a_module_is_read_by_its_workflows_only(names: dict[str, Any]):
    tree = ast.parse(
        "import time\nx = time.time()\ndef helper(): time.time()\n"
        "async def trip(step):\n    time.time()\nasync def act(db): time.time()\n"
    )
    assert [f.line for f in check(tree, names)] == [5]


def test_findings_come_once_and_in_the_order_of_the_lines(names: dict[str, Any]):
    found = check(body("x = time.time() - time.time()\nopen('x')\na = 1\nrandom.random()"), names)
    assert [f.line for f in found] == [2, 3, 5]
    assert str(found[0]) == "line 2: time.time() gives another time at each replay; write step.now().timestamp()"


def test_findings_are_plain_values():
    assert Finding(1, "a", "b") < Finding(2, "a", "b")
    assert str(Finding(1, "a", "b")) == "line 1: a; b"


def test_globals_read_are_those_that_are_no_locals():
    fn = body("x = LIMIT\ndef f(y): return y + RATE\nimport os\nreturn f(x), os, city, LIMIT, step")
    assert globals_read(fn) == {"LIMIT": 2, "RATE": 3}


def test_the_names_of_the_notebook_are_not_asked_for_what_they_compute(names: dict[str, Any]):
    class Loud:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert check(body("loud.time()"), {"loud": Loud()}) == []


def test_rebindings_are_names_that_several_cells_assign():
    seen = Rebindings()
    seen.ran(ast.parse("a = b = 1\nfor c in []: pass\nimport d\ndef e(): pass"), "cell 1")
    assert seen.names() == set()
    seen.ran(ast.parse("a += 2\nwith x as f: pass\nimport d\ndef e(): g = 1"), "cell 2")
    assert seen.names() == {"a"}
    seen.ran(ast.parse("c = 1"), "cell 2")
    assert seen.names() == {"c"}


def test_running_a_cell_again_after_an_edit_is_no_rebinding():
    seen = Rebindings()
    for text in ("a = 1", "a = 2", "a = 2"):
        seen.ran(ast.parse(text), "cell 1")
    assert seen.names() == set()


def test_random_instances_are_known_by_their_type():
    assert isinstance(random.random.__self__, random.Random)  # what the check rests on
    assert sys.modules["random"].Random is random.Random
