"""What the tests of the command line share: another process that holds the journal, what a command answered, waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]

HOLDER = """
import sys
from dataclasses import dataclass
from wfkernel import WorkflowManager, define_event, mutation

@dataclass
class Approval:
    approved: bool
    note: str = ""

wf = WorkflowManager(sys.argv[1], **eval(sys.argv[2]))
approval = define_event("approval", Approval)

@wf.workflow
async def trip(step, city: str, days: int = 3):
    "Plans a trip."
    plan = await step.options(name="plan").run_action(lambda: (city, days))
    answer = await step.await_event(approval)
    return {"plan": plan, "note": answer.note}

@wf.workflow
async def double(step, n: int) -> int:
    return await step.options(name="double").run_action(lambda: n * 2)

@wf.workflow
async def broken(step):
    raise ValueError("it broke")

@wf.workflow
async def parent(step):
    return await step.run_workflow(trip, "Oslo")

@mutation
def notify(db, completion):
    raise RuntimeError("nobody to tell")

@wf.workflow
async def told(step):
    return 1

for line in sys.stdin:
    print(repr(eval(line)), flush=True)
"""


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Process:
    """Another process that holds the journal, and evaluates what it is told."""

    def __init__(self, journal: Path, **options: object):
        command = [sys.executable, "-c", HOLDER, str(journal), repr(options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=journal.parent, env=environment()
        )
        self("wf.path")

    def __call__(self, expression: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the holder is gone"
        try:
            return eval(line)
        except (SyntaxError, NameError):
            return line.strip()

    def start(self, call: str) -> str:
        """A run's id."""
        return self(f"{call}.id")

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.close()


def environment(**more: str) -> dict[str, str]:
    found = {k: v for k, v in os.environ.items() if not k.startswith("WFKERNEL_")}
    return {**found, "PYTHONPATH": str(ROOT), **more}


def eventually(claim: Callable[[], object], timeout: float = 20) -> Any:
    """What the claim gives, once that is true."""
    end = time.monotonic() + timeout
    while not (found := claim()):
        assert time.monotonic() < end, "it never came true"
        threading.Event().wait(0.02)
    return found
