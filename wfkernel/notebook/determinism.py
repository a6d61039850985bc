"""What in a workflow's body would not be the same at a replay, found by reading it.

Pure: a tree and the names around it in, findings out. It reads only the body itself; what a body hands to a step may do as it likes.
"""

from __future__ import annotations

import ast
import builtins
import random
import types
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Finding", "Rebindings", "check", "globals_read"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_MISSING = object()


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to write otherwise.

    Attributes:
        line: where, counted as the tree counts.
        what: what is there and why it does harm.
        instead: what to write.
    """

    line: int
    what: str
    instead: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}; {self.instead}"


# -- the rules: a dotted name, or a module with a dot behind it for all of it --

_TIME = "gives another time at each replay"
_VALUE = "gives another value at each replay"
_AGAIN = "happens again at each replay"
_BLOCKS = "stops every run while it blocks, and happens again at each replay"
_NOW = "write step.now()"
_ACTION = "put it in a function and write await step.run_action(function, ...)"
_CHILD = "write await step.run_action(subprocess.run, [...])"
_RULES: dict[str, tuple[str, str]] = {
    "time.time": (_TIME, "write step.now().timestamp()"),
    "time.time_ns": (_TIME, "write step.now().timestamp()"),
    **dict.fromkeys(
        (
            *("time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns", "time.process_time"),
            *(
                "time.process_time_ns",
                "time.thread_time",
                "time.thread_time_ns",
                "datetime.datetime.now",
                "datetime.datetime.today",
            ),
            *("datetime.datetime.utcnow", "pandas.Timestamp.now", "pandas.Timestamp.today", "pandas.Timestamp.utcnow"),
        ),
        (_TIME, _NOW),
    ),
    **dict.fromkeys(("time.localtime", "time.gmtime", "time.ctime", "time.strftime"), (_TIME, _NOW)),
    "datetime.date.today": (_TIME, "write step.now().date()"),
    "time.sleep": (_BLOCKS, "write await step.sleep(seconds)"),
    "random.": (_VALUE, "write step.random, which has the same methods"),
    "numpy.random.": (_VALUE, "write numpy.random.default_rng(step.random.getrandbits(64))"),
    **dict.fromkeys(("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7"), (_VALUE, "write step.uuid4()")),
    "os.urandom": (_VALUE, "write step.random.randbytes(n), or for a secret await step.run_action(os.urandom, n)"),
    "secrets.": (_VALUE, "write await step.run_action(secrets.token_hex), and so on"),
    "builtins.id": (_VALUE, "use a name or a number of your own"),
    "builtins.hash": ("of a text gives another value in each process", "use hashlib"),
    "builtins.open": (_AGAIN, _ACTION),
    "io.open": (_AGAIN, _ACTION),
    "builtins.input": (_BLOCKS, 'write await step.await_event("name") and send the event'),
    **dict.fromkeys(
        ("requests.", "httpx.", "urllib.request.", "urllib3.", "http.client.", "aiohttp.", "socket."), (_AGAIN, _ACTION)
    ),
    **dict.fromkeys(("subprocess.", "os.system", "os.popen"), (_BLOCKS, _CHILD)),
    **dict.fromkeys(("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"), (_AGAIN, _CHILD)),
    "asyncio.to_thread": (_AGAIN, "write await step.run_action(function, ...), which runs plain functions in threads"),
    **{f"pathlib.Path.{name}": (_AGAIN, _ACTION) for name in "open read_text read_bytes write_text write_bytes unlink".split()},
}
# With a seed, or a time, given to them these are the same each time.
_FINE_WITH_ARGUMENTS = {
    **dict.fromkeys(("random.Random", "numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.SeedSequence"), 1),
    **dict.fromkeys(("time.localtime", "time.gmtime", "time.ctime"), 1),
    "time.strftime": 2,
}
_FINE = frozenset({"numpy.random.Generator", "subprocess.CalledProcessError", "subprocess.TimeoutExpired"})
_STEP_CALLS = frozenset({"run_query", "run_mutation", "run_action", "run_workflow", "await_event", "sleep", "sleep_until"})
_MUTATORS = frozenset(
    {
        *("append", "appendleft", "extend", "insert", "pop", "popleft", "popitem", "remove", "discard", "clear"),
        *("add", "update", "setdefault", "sort", "reverse"),
    }
)


def check(tree: ast.AST, namespace: Mapping[str, Any], *, rebound: Collection[str] = ()) -> list[Finding]:
    """What in a workflow's body would differ at a replay, in the order of the lines.

    Args:
        tree: the workflow's function, or a module: then each ``async def`` at its top whose first parameter is ``step``.
        namespace: the body's globals, to see through ``import time as t`` and ``from datetime import datetime``.
        rebound: globals that are known to be assigned in more than one place.

    Example:
        >>> import time as t
        >>> tree = ast.parse("async def trip(step):\\n    begin = t.time()\\n")
        >>> print(check(tree, {"t": t})[0])
        line 2: t.time() gives another time at each replay; write step.now().timestamp()
    """
    if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        functions: list[_Function] = [tree]
    else:
        top = getattr(tree, "body", [])
        functions = [n for n in top if isinstance(n, ast.AsyncFunctionDef) and _parameters(n)[:1] == ["step"]]
    found = {finding for fn in functions for finding in _Body(fn, namespace, rebound).findings()}
    return sorted(found)


def globals_read(fn: _Function) -> dict[str, int]:
    """The globals that a function reads, each with the first line that does; also those that its inner functions read."""
    known = _bound_names(fn) - _declared(fn, ast.Global)
    read: dict[str, int] = {}
    for node in _walk(fn.body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
            read.setdefault(node.id, node.lineno)
    return read


class _Body:
    def __init__(self, fn: _Function, namespace: Mapping[str, Any], rebound: Collection[str]):
        self.fn = fn
        self.namespace = namespace
        self.rebound = rebound
        self.imports = dict(_imports(fn))
        self.locals = _bound_names(fn) - self.imports.keys() - _declared(fn, ast.Global)
        self.steps = self._names_of_steps()
        self.running = list(self._running())

    def findings(self) -> Iterator[Finding]:
        for node in self.running:
            if isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Global):
                for name in node.names:
                    yield Finding(node.lineno, f"assigning the global {name} {_AGAIN}", "keep it in the body, and return it")
            elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)) and self._is_set(node.iter):
                what = f"the order of the set {_text(node.iter)} differs from process to process"
                yield Finding(node.iter.lineno, what, "write sorted(...)")
            elif isinstance(node, (ast.Assign, ast.AugAssign, ast.Delete)):
                yield from self._written(node)
        yield from self._never_awaited()
        for name, line in globals_read(self.fn).items():
            if name in self.rebound and not isinstance(self.namespace.get(name), (types.ModuleType, types.FunctionType, type)):
                what = f"the global {name} is assigned in several cells: a replay sees what it is then"
                yield Finding(line, what, "pass it as an argument of the workflow")

    # -- calls --

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        name = self._dotted(node.func)
        rule = None if name is None else _rule(name)
        if name is not None and rule is not None and not _is_fine(name, node):
            why, instead = rule
            yield Finding(node.lineno, f"{_text(node.func)}() {why}", instead)
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr in _MUTATORS and self._is_global_container(func.value):
            yield Finding(node.lineno, f"{_text(func)}() changes a global, and {_AGAIN}", "keep it in the body, and return it")

    def _dotted(self, node: ast.AST) -> str | None:
        """The full name of what an expression refers to: ``dt.now`` is ``datetime.datetime.now``."""
        if isinstance(node, ast.Attribute):
            owner = self._dotted(node.value)
            return None if owner is None else _seen_through(f"{owner}.{node.attr}")
        if isinstance(node, ast.Call):  # httpx.Client().get: an instance is named by its class
            name = self._dotted(node.func)
            return name if name is not None and name.rpartition(".")[2][:1].isupper() and not _is_fine(name, node) else None
        if not isinstance(node, ast.Name) or node.id in self.locals:
            return None
        if node.id in self.imports:
            return _seen_through(self.imports[node.id])
        value = self.namespace.get(node.id, _MISSING)
        if value is _MISSING:
            return f"builtins.{node.id}" if hasattr(builtins, node.id) else None
        return _full_name(value)

    # -- what is written into --

    def _written(self, node: ast.Assign | ast.AugAssign | ast.Delete) -> Iterator[Finding]:
        targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
        for target in targets:
            if isinstance(target, ast.Subscript) and self._is_global_container(target.value):
                what = f"writing into the global {_text(target.value)} {_AGAIN}"
                yield Finding(node.lineno, what, "keep it in the body, and return it")

    def _is_global_container(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Name) or node.id in self.locals or node.id in self.imports:
            return False
        return isinstance(self.namespace.get(node.id), (list, dict, set, bytearray))

    def _is_set(self, node: ast.AST) -> bool:
        if isinstance(node, (ast.Set, ast.SetComp)):
            return True
        return isinstance(node, ast.Call) and self._dotted(node.func) in ("builtins.set", "builtins.frozenset")

    # -- steps --

    def _names_of_steps(self) -> set[str]:
        """The step, and names that ``step.options(...)`` was bound to."""
        names = set(_parameters(self.fn)[:1])
        for node in _walk(self.fn.body):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_options(node.value, names):
                names.update(t.id for t in node.targets if isinstance(t, ast.Name))
        return names

    def _never_awaited(self) -> Iterator[Finding]:
        used = {n.id for n in _walk(self.fn.body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        for node in self.running:
            if isinstance(node, ast.Expr):
                lost = True
            elif isinstance(node, ast.Assign):
                lost = all(isinstance(t, ast.Name) and t.id not in used for t in node.targets)
            else:
                continue
            call = node.value
            if lost and isinstance(call, ast.Call) and self._is_step_call(call):
                text = _text(call.func)
                yield Finding(node.lineno, f"{text}(...) does nothing until it is awaited", f"write await {text}(...)")

    def _is_step_call(self, call: ast.Call) -> bool:
        func = call.func
        if not isinstance(func, ast.Attribute) or func.attr not in _STEP_CALLS:
            return False
        owner = func.value
        return (isinstance(owner, ast.Name) and owner.id in self.steps) or (
            isinstance(owner, ast.Call) and _is_options(owner, self.steps)
        )

    # -- which nodes run with the body --

    def _running(self) -> Iterator[ast.AST]:
        """The body's nodes, with those of inner functions that it calls itself: others are for steps to run."""
        called = {n.func.id for n in _walk(self.fn.body) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}

        def visit(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
            for node in nodes:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield from visit([*node.decorator_list, *node.args.defaults])
                    if node.name in called:
                        yield from visit(node.body)
                    continue
                yield node
                children = list(ast.iter_child_nodes(node))
                if isinstance(node, ast.Call) and self._is_step_call(node):
                    children = [c for c in children if not isinstance(c, ast.Lambda)]
                yield from visit(children)

        return visit(self.fn.body)


# -- globals that several cells assign --


class Rebindings:
    """Which cells assign which globals. Only plain assignments: to run an import or a ``def`` again is no change of value."""

    def __init__(self) -> None:
        self._cells: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, set[str]] = {}

    def ran(self, tree: ast.Module, cell: str) -> None:
        """A cell was run; ``cell`` tells it from others, and from itself after an edit it does not."""
        for name in self._names.get(cell, ()):
            self._cells[name].discard(cell)
        self._names[cell] = names = set()
        for node in tree.body:
            for name in _assigned(node):
                names.add(name)
                self._cells[name].add(cell)

    def names(self) -> set[str]:
        """The globals that more than one cell assigns."""
        return {name for name, cells in self._cells.items() if len(cells) > 1}


def _assigned(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, (ast.Store, ast.Del)):
            yield part.id


# -- names --


def _rule(name: str) -> tuple[str, str] | None:
    found = _RULES.get(name)
    while found is None and "." in name:
        name = name.rpartition(".")[0]
        found = _RULES.get(f"{name}.")
    return found


def _is_fine(name: str, call: ast.Call) -> bool:
    return name in _FINE or len(call.args) + len(call.keywords) >= _FINE_WITH_ARGUMENTS.get(name, 1_000)


_ALIASES = {
    "posix.": "os.",
    "_io.": "io.",
    "pathlib._local.": "pathlib.",
    "pandas._libs.tslibs.timestamps.": "pandas.",
}


def _seen_through(name: str) -> str:
    """The name under which the rules know it: modules offer what is at home elsewhere."""
    for alias, real in _ALIASES.items():
        name = real + name.removeprefix(alias) if name.startswith(alias) else name
    return name.replace("pathlib.PosixPath", "pathlib.Path").replace("pathlib.WindowsPath", "pathlib.Path")


def _full_name(value: Any) -> str | None:
    if isinstance(value, types.ModuleType):
        return _seen_through(value.__name__)
    if isinstance(value, type):
        return _seen_through(f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.FunctionType):
        if value.__name__ == "_modified_open":  # IPython puts its own `open` into the notebook's names
            return "builtins.open"
        module = "asyncio" if value.__module__.startswith("asyncio.") else value.__module__
        return _seen_through(f"{module}.{value.__qualname__}")
    if isinstance(value, (types.BuiltinFunctionType, types.MethodType)):  # time.time, datetime.now, random.random
        base = _full_name(value.__self__)
        return None if base is None else _seen_through(f"{base}.{value.__name__}")
    if isinstance(value, random.Random):
        return "random"
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    if module in ("requests", "httpx", "aiohttp", "socket", "urllib3", "pathlib", "numpy") and not isinstance(value, Exception):
        if module == "numpy" and kind.__name__ not in ("Generator", "RandomState"):
            return None
        return _seen_through(f"{'numpy.random' if module == 'numpy' else kind.__module__}.{kind.__qualname__}")
    return None


def _imports(fn: _Function) -> Iterator[tuple[str, str]]:
    for node in _walk(fn.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _bound_names(fn: _Function) -> set[str]:
    """Names that are no globals somewhere in the function. Of inner functions, too: rather miss one than warn of a namesake."""
    names = set(_all_parameters(fn))
    for node in _walk(fn.body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.update([node.name, *_all_parameters(node)])
        elif isinstance(node, ast.Lambda):
            names.update(_all_parameters(node))
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names


def _declared(fn: _Function, kind: type[ast.Global]) -> set[str]:
    return {name for node in _walk(fn.body) if isinstance(node, kind) for name in node.names}


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)


def _parameters(fn: _Function) -> list[str]:
    return [a.arg for a in (*fn.args.posonlyargs, *fn.args.args)]


def _all_parameters(fn: _Function | ast.Lambda) -> list[str]:
    return [a.arg for a in ast.walk(fn.args) if isinstance(a, ast.arg)]


def _is_options(call: ast.Call, steps: set[str]) -> bool:
    """Whether the call is ``step.options(...)``, or ``step.options(...).options(...)``."""
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr != "options":
        return False
    owner = func.value
    return (isinstance(owner, ast.Name) and owner.id in steps) or (isinstance(owner, ast.Call) and _is_options(owner, steps))


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:59]}…"
