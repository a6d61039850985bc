"""The examples of README.md and docs/*.md, run as a notebook would run them, and compared with the output that they show.

One process per file, in an empty folder: a ```python block is a cell (top-level await, the last expression is shown), and a
```text block right after it is its output, in which `...` stands for anything. Before a block,

    <!-- restart -->          kills the process (SIGKILL) and goes on in a new one, in the same folder
    <!-- restart, again -->   ... which first runs the python block before this one once more

This file is also the program of that process, so that nothing of pytest is in it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import linecache
import re
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PATIENCE_S = 15.0
"""How long output may take to appear: what steps print comes from their threads."""


@dataclass
class Cell:
    code: str
    where: str
    expected: str | None = None
    is_restart: bool = False
    is_again: bool = False


def cells_of(path: Path) -> list[Cell]:
    """The python blocks of a Markdown file, each with the output that it shows, if it shows one."""
    found: list[Cell] = []
    restart = again = False
    opened: tuple[str, int, list[str]] | None = None
    last = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if opened is None and line.startswith("```"):
            opened = (line[3:].strip(), number + 1, [])
        elif opened is not None and line == "```":
            language, begin, lines = opened
            opened = None
            text = "\n".join(lines) + "\n"
            if language == "python":
                found.append(Cell(text, f"{path.name}:{begin}", is_restart=restart, is_again=again))
                restart = again = False
            elif language == "text" and last == "python":
                found[-1].expected = text
            last = language
        elif opened is not None:
            opened[2].append(line)
        elif mark := re.fullmatch(r"<!-- restart(, again)? -->", line):
            restart, again = True, mark[1] is not None
    return found


def test_every_example_runs_and_shows_what_it_says(tmp_path: Path, document: Path) -> None:
    kernel = Kernel(tmp_path)
    try:
        cells = cells_of(document)
        assert cells or document.name not in ("README.md", "guide.md"), "no examples found"
        for before, cell in zip([None, *cells], cells, strict=False):
            if cell.is_restart:
                kernel.kill()
                kernel = Kernel(tmp_path)
                if cell.is_again:
                    assert before is not None
                    kernel.run(Cell(before.code, before.where))
            kernel.run(cell)
    finally:
        kernel.kill()


def pytest_generate_tests(metafunc) -> None:
    if "document" in metafunc.fixturenames:
        metafunc.parametrize("document", FILES, ids=[path.name for path in FILES])


def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


class Kernel:
    """A process that runs cells, one at a time."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-W", "error", __file__]
        self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, cell: Cell) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([cell.code, cell.where, cell.expected]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{cell.where}: the process died"
        error, output = json.loads(answer)
        assert error is None, f"{cell.where}: {error}"
        if cell.expected is not None:
            assert is_as_shown(output, cell.expected), f"{cell.where} shows\n{output}\nand not\n{cell.expected}"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def is_as_shown(output: str, expected: str) -> bool:
    """Equal up to spaces at line ends; `...` stands for anything."""
    plain = ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (output, expected)]
    pattern = ".*".join(re.escape(part) for part in plain[1].split("..."))
    return re.fullmatch(pattern, plain[0], re.DOTALL) is not None


# -- in the other process ---------------------------------------------------------------------------------------------------


async def serve() -> None:
    answers, shown = sys.stdout, io.StringIO()
    space = sys.modules["__main__"] = ModuleType("__main__")
    sys.stdout = shown
    while line := await asyncio.to_thread(sys.stdin.readline):
        code, where, expected = json.loads(line)
        shown.seek(0)
        shown.truncate()
        error = await run_cell(code, where, vars(space))
        until = time.monotonic() + PATIENCE_S
        while error is None and expected is not None and not is_as_shown(shown.getvalue(), expected):
            await asyncio.sleep(0.01)
            if time.monotonic() > until:
                break
        answers.write(json.dumps([error, shown.getvalue()]) + "\n")
        answers.flush()


async def run_cell(code: str, where: str, space: dict) -> str | None:
    """Run it as IPython does; returns the traceback, if there is one."""
    linecache.cache[where] = (len(code), None, code.splitlines(keepends=True), where)  # for inspect.getsource
    try:
        tree = ast.parse(code, where)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        await evaluated(compile(tree, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)
        if last is not None:
            value = await evaluated(compile(ast.Expression(last.value), where, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)
            if value is not None:
                print(repr(value))
    except BaseException:
        return traceback.format_exc()
    return None


async def evaluated(code, space: dict):
    value = eval(code, space)
    return await value if asyncio.iscoroutine(value) else value


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
