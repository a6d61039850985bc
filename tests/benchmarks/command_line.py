"""A command on a journal that another process holds, against the same command's ``--help``: what asking the holder costs.

With bytecode, as an installed package has it: a checkout where Python may not write any would compile our modules each time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.measure import Result, quantile, timed

PAIRS = 20
HOLDER = """
import sys
from wfkernel import WorkflowManager
wf = WorkflowManager(sys.argv[1])
@wf.workflow
async def approval(step, n: int) -> int:
    return n + await step.await_event("go")
for n in range(50):
    run = approval.start(n)
    if n % 2:
        run.send_event("go", 1)
        run.result()
print("ready", flush=True)
sys.stdin.read()
"""


def run(directory: Path) -> list[Result]:
    journal = directory / "held.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(journal)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n"
        return [_measured(journal, directory / "bytecode")]
    finally:
        holder.stdin.close()
        holder.wait(30)


def _measured(journal: Path, bytecode: Path) -> Result:
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def once(*words: str) -> float:
        command = [sys.executable, "-m", "wfkernel", "list", "--journal", str(journal), *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return timed(lambda: subprocess.run(command, check=True, env=environment, **quiet))

    once()
    asking, helping = [], []
    for _ in range(PAIRS):
        asking.append(once())
        helping.append(once("--help"))
    ask, help_ = quantile(asking, 0.5), quantile(helping, 0.5)
    detail = f"wfkernel list {ask * 1e3:.0f} ms against --help {help_ * 1e3:.0f} ms"
    return Result("command line: list on a held journal / list --help", ask / help_, 1.5, "lower", "x", detail)
