"""Edits of a function, and what its fingerprint makes of them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import linecache
import math
import os
import pickle
import subprocess
import sys
import textwrap
import timeit
from itertools import count

import pytest

from wfkernel.core.fingerprint import fingerprint

_cells = count()


def run_cell(source: str, namespace: dict | None = None, *, name: str = "__main__") -> dict:
    """Run ``source`` as IPython does: compiled under a made-up file name that linecache knows."""
    source = textwrap.dedent(source)
    filename = f"<ipython-input-{next(_cells)}-abc>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"__name__": name} if namespace is None else namespace
    exec(compile(source, filename, "exec"), namespace)
    return namespace


def of(source: str, **options) -> str:
    """The fingerprint of the function ``f`` of a cell."""
    return fingerprint(run_cell(source, **options)["f"])


PLAIN = """
def f(x, y=1):
    return x + y
"""


def test_it_is_16_hex_characters():
    text = of(PLAIN)
    assert len(text) == 16
    int(text, 16)


@pytest.mark.parametrize(
    "same",
    [
        "# hello\ndef f(x, y=1):\n    # why\n    return x + y  # because\n",
        "\n\n\n\ndef f(\n    x,\n    y = 1,\n):\n\n    return (x\n        + y)\n",
        'def f(x, y=1):\n    """Adds."""\n    return x + y\n',
        "if True:\n    def f(x, y=1):\n        return x + y\n",
        "import functools\nunused = 5\ndef f(x, y=1): return x+y\n",
    ],
    ids=["comment", "formatting", "docstring", "indentation", "neighbours"],
)
def test_a_comment_docstring_or_formatting_does_not_change_the_fingerprint(same):
    assert of(same) == of(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        "def f(x, y=1):\n    return x - y\n",
        "def f(x, y=2):\n    return x + y\n",
        "def f(x, *, y=1):\n    return x + y\n",
        "async def f(x, y=1):\n    return x + y\n",
        "def f(x, y=1):\n    return x + y + 0\n",
        "def f(x, y=True):\n    return x + y\n",
    ],
    ids=["body", "default", "keyword-only", "async", "more", "True is not 1"],
)
def test_an_edit_of_the_function_changes_the_fingerprint(other):
    assert of(other) != of(PLAIN)


def test_a_docstring_as_the_whole_body_counts_as_pass():
    assert of("def f():\n    'later'\n") == of("def f():\n    pass\n")


def test_the_value_of_a_default_counts_and_not_only_its_expression():
    source = "def f(x=LIMIT): return x\n"
    assert of("LIMIT = 1\n" + source) != of("LIMIT = 2\n" + source)


def test_a_keyword_only_default_counts():
    source = "def f(*, x=LIMIT): return x\n"
    assert of("LIMIT = 1\n" + source) != of("LIMIT = 2\n" + source)


HELPERS = """
RATE = 3
def inner(x): return x * RATE
def helper(x): return inner(x) + 1
def f(x): return helper(x)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("+ 1", "+ 2"), ("x * RATE", "x / RATE"), ("RATE = 3", "RATE = 4"), ("RATE = 3", "RATE = 3.0")],
    ids=["helper", "helper of a helper", "its constant", "type of its constant"],
)
def test_an_edit_of_what_the_function_uses_changes_the_fingerprint(old, new):
    assert of(HELPERS.replace(old, new)) != of(HELPERS)


def test_a_comment_in_a_helper_does_not_change_the_fingerprint():
    assert of(HELPERS.replace("+ 1", "+ 1  # one more")) == of(HELPERS)


def test_the_same_function_in_a_cell_a_script_and_a_module_has_one_fingerprint(tmp_path):
    (tmp_path / "a.py").write_text(HELPERS)
    (tmp_path / "b.py").write_text("import os\n\n# moved\n" + HELPERS)
    found = {of(HELPERS), of(HELPERS, name="some.module")}
    for name in ("a", "b"):
        namespace = {"__name__": name}
        exec(compile((tmp_path / f"{name}.py").read_text(), str(tmp_path / f"{name}.py"), "exec"), namespace)
        found.add(fingerprint(namespace["f"]))
    assert len(found) == 1


def test_a_helper_that_is_used_only_in_a_nested_function_counts():
    source = "def helper(): return 1\ndef f():\n    def g(): return [helper() for _ in range(3)]\n    return g\n"
    assert of(source) != of(source.replace("return 1", "return 2"))


def test_helpers_that_call_each_other_are_no_problem():
    source = "def odd(n): return n and f(n - 1)\ndef f(n): return not n or odd(n - 1)\n"
    assert of(source) == of(source)
    assert of(source) != of(source.replace("n and f", "n or f"))


def test_a_chain_of_two_thousand_helpers_is_no_problem():
    chain = "".join(f"def h{i}(): return h{i + 1}()\n" for i in range(2_000))
    source = chain + "def h2000(): return 1\ndef f(): return h0()\n"
    assert of(source) != of(source.replace("return 1", "return 2"))


def test_a_closure_value_counts():
    source = "def make(n):\n    def g(x): return x * n\n    return g\nf = make(2)\n"
    assert of(source) == of(source)
    assert of(source) != of(source.replace("make(2)", "make(3)"))


def test_a_library_function_counts_by_name_only():
    assert of("import math\ndef f(): return math.sin(1)\n") == of("import math\ndef f(): return math.sin(1)\n")
    source = "from textwrap import {} as g\ndef f(): return g('')\n"
    assert of(source.format("dedent")) != of(source.format("indent"))


def test_a_module_counts_by_name():
    assert of("import json as m\ndef f(): return m.dumps(1)\n") != of("import pickle as m\ndef f(): return m.dumps(1)\n")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("[1, 2]", "[1, 3]"),
        ("{'a': {'b': (1, 2)}}", "{'a': {'b': (1, 3)}}"),
        ("{1, 2}", "{1, 3}"),
        ("frozenset('ab')", "frozenset('ac')"),
        ("b'a'", "b'b'"),
        ("bytearray(b'a')", "bytearray(b'b')"),
        ("None", "False"),
        ("10 ** 5000", "10 ** 5000 + 1"),
        ("0.0", "-0.0"),
        ("datetime.timedelta(1)", "datetime.timedelta(2)"),
        ("Color.RED", "Color.BLUE"),
        ("Config(1)", "Config(2)"),
        ("Pair(1, 2)", "Pair(1, 3)"),
        ("{'handler': first}", "{'handler': second}"),
        ("first", "second"),
        ("functools.partial(first, 1)", "functools.partial(first, 2)"),
        ("re.compile('a')", "re.compile('b')"),
    ],
)
def test_a_global_constant_counts_by_value(one, two):
    source = """
import collections, dataclasses, datetime, enum, functools, re
class Color(enum.Enum):
    RED = 1
    BLUE = 2
@dataclasses.dataclass
class Config:
    rate: int
Pair = collections.namedtuple("Pair", "a b")
def first(x=0): return 1
def second(x=0): return 2
CONSTANT = {}
def f(): return CONSTANT
"""
    assert of(source.replace("{}", one, 1)) == of(source.replace("{}", one, 1))
    assert of(source.replace("{}", one, 1)) != of(source.replace("{}", two, 1))


def test_other_objects_count_by_type_only():
    source = "class Client:\n    def __init__(self, n): self.n = n\nclient = Client(1)\ndef f(): return client\n"
    assert of(source) == of(source.replace("Client(1)", "Client(2)"))
    assert of(source) != of(source.replace("self.n = n", "self.n = n + 1"))


def test_a_huge_constant_costs_little_and_counts_by_type():
    source = "BIG = list(range(100_000)); DEEP = []\nfor _ in range(5000): DEEP = [DEEP]\ndef f(): return BIG, DEEP\n"
    assert of(source) == of(source.replace("100_000", "100_001"))


def test_a_container_that_holds_itself_is_no_problem():
    source = "LOOP = [1]\nLOOP.append(LOOP)\ndef f(): return LOOP\n"
    assert of(source) == of(source)
    assert of(source) != of(source.replace("[1]", "[2]"))


CLASS = """
class Base:
    limit = 1
    def size(self): return 1
class Order(Base):
    def total(self): return self.size() * 2
    @property
    def name(self): return "n"
    @staticmethod
    def free(): return 0
def f(): return Order().total()
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit = 1", "limit = 2"),
        ("* 2", "* 3"),
        ('"n"', '"m"'),
        ("return 0", "return 1"),
        ("(self): return 1", "(self): return 9"),
    ],
)
def test_an_edit_of_a_class_that_the_function_uses_changes_the_fingerprint(old, new):
    assert of(CLASS) == of("# moved\n\n" + CLASS)
    assert of(CLASS) != of(CLASS.replace(old, new))


def test_a_field_of_a_pydantic_model_or_dataclass_counts():
    model = "import pydantic\nclass M(pydantic.BaseModel):\n    a: int = pydantic.Field(1, gt=0)\ndef f(): return M()\n"
    assert of(model) == of(model) == of(model, name="elsewhere")
    assert of(model) != of(model.replace("gt=0", "gt=1"))
    assert of(model) != of(model.replace("a: int", "a: float"))
    data = """
from dataclasses import dataclass, field
@dataclass
class D:
    a: int = 1
    b: list = field(default_factory=list)
def f(): return D()
"""
    assert of(data) == of(data)
    assert of(data) != of(data.replace("a: int = 1", "a: int = 2"))
    assert of(data) != of(data.replace("@dataclass", "@dataclass(frozen=True)"))


# -- state is not an edit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "LOG.append(1)",
        "LOG[:] = [1]",
        "global COUNT\n    COUNT += 1",
        "CACHE['a'] = 1",
        "CACHE.setdefault('a', []).append(2)",
        "remember()",
    ],
)
def test_what_the_code_itself_writes_to_is_state_and_does_not_count(body):
    source = "LOG = []; COUNT = 0; CACHE = {}\ndef remember(): LOG.append(COUNT)\n"
    source += f"def f():\n    {body}\n    return LOG, COUNT, CACHE\n"
    namespace = run_cell(source)
    before = fingerprint(namespace["f"])
    namespace["f"]()
    assert fingerprint(namespace["f"]) == before
    run_cell(source[source.index("def remember") :], namespace)  # the cell below the state is run again
    assert fingerprint(namespace["f"]) == before


def test_a_closure_variable_that_the_code_assigns_or_fills_is_state():
    source = """
def make():
    n = 0; calls = []
    def g():
        nonlocal n
        n += 1
        calls.append(n)
    return g
f = make()
"""
    f = run_cell(source)["f"]
    before = fingerprint(f)
    f()
    assert fingerprint(f) == before
    del f.__dict__["__wfkernel_fingerprint__"]
    assert fingerprint(f) == before


def test_a_function_attribute_that_is_written_does_not_hide_the_function():
    source = "def helper(): return 1\ndef f():\n    helper.calls = 1\n    return helper()\n"
    assert of(source) != of(source.replace("return 1", "return 2"))


# -- the cache --------------------------------------------------------------------------------------------------------


def test_redefining_a_helper_in_another_cell_changes_the_fingerprint():
    namespace = run_cell(HELPERS)
    before = fingerprint(namespace["f"])
    run_cell("def inner(x): return x * RATE * 2\n", namespace)
    after = fingerprint(namespace["f"])
    assert before != after
    run_cell("def inner(x): return x * RATE  # as it was\n", namespace)
    assert fingerprint(namespace["f"]) == before


def test_changing_a_constant_in_another_cell_changes_the_fingerprint():
    namespace = run_cell("OPTIONS = {'a': [1]}; RATE = 1\ndef f(): return OPTIONS, RATE\n")
    f = namespace["f"]
    seen = [fingerprint(f)]
    for edit in ("RATE = 2", "RATE = True", "OPTIONS['a'].append(2)", "OPTIONS['b'] = 1", "OPTIONS = {}", "del RATE"):
        run_cell(edit, namespace)
        seen.append(fingerprint(f))
    assert len(set(seen)) == len(seen)


def test_shadowing_a_builtin_changes_the_fingerprint():
    namespace = run_cell("def f(): return len([])\n")
    before = fingerprint(namespace["f"])
    run_cell("def len(x): return 7\n", namespace)
    assert fingerprint(namespace["f"]) != before


@pytest.mark.parametrize("attribute", ["__code__", "__defaults__", "__kwdefaults__"])
@pytest.mark.parametrize("name", ["f", "helper"])
def test_autoreload_swapping_parts_of_a_function_in_place_changes_the_fingerprint(name, attribute):
    namespace = run_cell("def helper(x=1, *, y=1): return x\ndef f(x=1, *, y=1): return helper()\n")
    other = run_cell("def helper(x=2, *, y=2): return x + 1\ndef f(x=2, *, y=2): return helper() + 1\n")
    before = fingerprint(namespace["f"])
    setattr(namespace[name], attribute, getattr(other[name], attribute))
    assert fingerprint(namespace["f"]) != before


def test_a_wrapper_does_not_answer_with_the_fingerprint_it_copied_from_the_wrapped_function():
    namespace = run_cell("def inner(): return 1\n")
    before = fingerprint(namespace["inner"])
    run_cell("import functools\n@functools.wraps(inner)\ndef f(): return inner() + 1\n", namespace)
    assert fingerprint(namespace["f"]) != before


def test_a_decorator_applied_twice_does_not_answer_with_the_fingerprint_of_once():
    namespace = run_cell(WRAPPED)
    once = fingerprint(namespace["f"])
    twice = namespace["twice"](2)(namespace["f"])
    assert fingerprint(twice) != once


def test_the_cache_does_not_travel_with_the_function():
    namespace = run_cell(HELPERS)
    fingerprint(namespace["f"])
    assert pickle.loads(pickle.dumps(vars(namespace["f"]))) == {"__wfkernel_fingerprint__": None}


def test_the_second_call_takes_microseconds():
    f = run_cell(HELPERS)["f"]
    fingerprint(f)
    assert min(timeit.repeat(lambda: fingerprint(f), number=1_000, repeat=5)) / 1_000 < 10e-6  # 1 µs on an idle machine


# -- callables of all kinds -------------------------------------------------------------------------------------------


class Service:
    def __init__(self, n=1):
        self.n = n

    def call(self, x):
        return x + self.n

    def other(self, x):
        return x - self.n

    def __call__(self, x):
        return x


class Caller:
    def __call__(self, x):
        return x + 1


def test_builtins_partials_methods_and_instances_have_stable_different_fingerprints():
    things = [
        *(len, abs, math.sin, [].append, "a".join, str.join, int, dict, print, Service, Caller),
        *(functools.partial(int, base=2), functools.partial(int, base=3), functools.partial(max, 1)),
        *(Service().call, Service().other, Service(), Caller(), lambda: 1, lambda: 2),
        *(functools.lru_cache(textwrap.dedent), functools.lru_cache(textwrap.indent)),
    ]
    first = [fingerprint(thing) for thing in things]
    assert first == [fingerprint(thing) for thing in things]
    assert len(set(first)) == len(first)


def test_a_method_of_two_instances_has_one_fingerprint():
    assert fingerprint(Service(1).call) == fingerprint(Service(2).call)


def test_lambdas_that_share_a_line_differ():
    pair = run_cell("pair = (lambda x: x + 1, lambda x: x + 2)\n")["pair"]
    assert fingerprint(pair[0]) != fingerprint(pair[1])


def test_a_lambda_on_its_own_line_does_not_depend_on_its_formatting():
    assert of("f = lambda x: x + 1\n") == of("\n\nf = (lambda  x : (x + 1))  # more\n")
    assert of("f = lambda x: x + 1\n") != of("f = lambda x: x + 2\n")


def test_functions_without_source_are_told_apart():
    def without_source(source):
        namespace = {"__name__": "__main__"}
        exec(source, namespace)
        return fingerprint(namespace["f"])

    assert without_source("def f(): return 1") == without_source("\n\ndef f():\n  # no\n  return 1")
    assert without_source("def f(): return 1") == without_source("def f():\n  'doc'\n  return 1")
    assert without_source("def f(): return 1") != without_source("def f(): return 2")
    assert without_source("def f(): return lambda: 1") != without_source("def f(): return lambda: 2")
    assert without_source("def g(): return 1\ndef f(): return g()") != without_source("def g(): return 2\ndef f(): return g()")


def test_source_that_was_edited_since_it_was_compiled_is_not_used(tmp_path):
    path = tmp_path / "edited.py"
    path.write_text("def f(): return 1\n")
    namespace = {"__name__": "edited"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    path.write_text("def f(): return 22222\n")
    assert fingerprint(namespace["f"]) != of("def f(): return 22222\n")


def test_source_that_only_moved_since_it_was_compiled_is_found(tmp_path):
    path = tmp_path / "moved.py"
    path.write_text("def f(): return 1\n")
    namespace = {"__name__": "moved"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    path.write_text("import os\n\n\ndef f(): return 1\n")
    assert fingerprint(namespace["f"]) == of("def f(): return 1\n")


class _Decorated:
    """What wfkernel's decorators return, as far as a fingerprint cares."""

    def __init__(self, fn, **options):
        self.fn = fn
        self.options = options


_Decorated.__module__ = "wfkernel.manager"


def decorated(source: str):
    return run_cell(source, {"__name__": "__main__", "action": lambda **options: lambda fn: _Decorated(fn, **options)})


def test_options_of_a_wfkernel_decorator_do_not_change_the_fingerprint():
    one = decorated("@action(retry=True)\ndef f(): return 1\n")["f"]
    two = decorated("@action(retry=False, timeout=3)\ndef f(): return 1\n")["f"]
    assert fingerprint(one) == fingerprint(two) == of("def f(): return 1\n")


def test_a_helper_behind_a_wfkernel_decorator_counts():
    source = "@action(timeout=1)\ndef helper(): return 1\ndef f(): return helper\n"
    one, two = decorated(source)["f"], decorated(source.replace("return 1", "return 2"))["f"]
    three = decorated(source.replace("timeout=1", "timeout=2"))["f"]
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(one) == fingerprint(three)


WRAPPED = """
import functools
def twice(times):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args):
            return [fn(*args) for _ in range(times)]
        return wrapper
    return decorate
@twice(2)
def f(x): return x + 1
"""


@pytest.mark.parametrize(("old", "new"), [("x + 1", "x + 2"), ("twice(2)", "twice(3)"), ("range(times)", "range(times + 1)")])
def test_both_sides_of_a_wrapping_decorator_count(old, new):
    assert of(WRAPPED) == of(WRAPPED.replace("x + 1", "x + 1  # same"))
    assert of(WRAPPED) != of(WRAPPED.replace(old, new))


def test_a_cached_helper_counts():
    source = "import functools\n@functools.lru_cache\ndef helper(): return 1\ndef f(): return helper()\n"
    assert of(source) != of(source.replace("return 1", "return 2"))


class _Hostile:
    def __getattr__(self, name):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")

    def __hash__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    def __call__(self):
        pass


def test_it_never_raises():
    hostile = _Hostile()
    namespace = run_cell("def f(x=None): return hostile\n")
    namespace["hostile"] = hostile
    namespace["f"].__defaults__ = (hostile,)
    for thing in (hostile, namespace["f"], functools.partial(hostile, hostile), None, 3, type("T", (), {"fn": None})()):
        assert len(fingerprint(thing)) == 16


def test_a_fingerprint_does_not_depend_on_the_hash_seed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import dataclasses, datetime
            from wfkernel.core.fingerprint import fingerprint
            WORDS = {"a", "b", "c", "d", "e"}
            FROZEN = frozenset(["x", "y", "z", ("p", "q")])
            @dataclasses.dataclass
            class Row:
                words: set = dataclasses.field(default_factory=lambda: {"u", "v"})
            class Machine:
                tags = {"m", "n", "o"}
                def go(self, w): return w in {"k", "l", "m"}
            def helper(w): return w in {"one", "two", "three"} or w in WORDS
            def f(w): return helper(w), FROZEN, Row(), Machine().go(w), datetime.date.today()
            exec('def bare(w): return w in {"one", "two", "three", ("a", "b")} or [lambda: w in {"h", "i", "j"}]')
            print(fingerprint(f), fingerprint(bare), fingerprint(Machine().go), fingerprint(len), fingerprint(Row))
            """
        )
    )
    outputs = {
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2", "77")
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 5


@dataclasses.dataclass(frozen=True)
class Settings:
    rate: float
    since: datetime.date


SETTINGS = Settings(0.5, datetime.date(2026, 1, 1))


def test_an_ordinary_function_of_a_test_module_works():
    def f():
        return SETTINGS.rate

    assert fingerprint(f) == fingerprint(f)
