"""A kernel and three loops of command-line processes at one journal; the kernel is killed and comes back. Nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from frontend import FrontEnd  # noqa: TC002 - a name of ours, though it is no package

ORDERS = 45
LOOPS = 3
PATIENCE_S = 60.0
SHOP = """
from wfkernel import define_event, mutation

go = define_event("go", int)
wf.db.execute("CREATE TABLE IF NOT EXISTS kept (n INTEGER)")

def note(n: int) -> None:
    with open("notes.txt", "a") as notes:
        notes.write(f"{n}\\n")

@mutation
def keep(db, n: int) -> None:
    db.execute("INSERT INTO kept VALUES (?)", [n])

@wf.workflow
async def order(step, n: int) -> int:
    await step.run_action(note, n)
    times = await step.await_event(go)
    await step.run_mutation(keep, n)
    return n * times
"""
ENDED = f"""
import json
results = [wf.result(f"o-{{n}}", timeout=40) for n in range({ORDERS})]
print(json.dumps({{
    "results": results,
    "kept": sorted(n for (n,) in wf.db.execute("FROM kept").fetchall()),
    "runs": wf.db.execute("SELECT run_id, status FROM wf.runs").fetchall(),
    "events": wf.db.execute("SELECT run_id, status FROM wf.events").fetchall(),
    "attempts": dict(wf.db.execute("SELECT run_id, max(attempts) FROM wf.steps WHERE name = 'note' GROUP BY ALL").fetchall()),
}}))
"""


class Terminal:
    """Somebody who runs one command after another, each until it is acknowledged."""

    def __init__(self, folder: Path, orders: range):
        self.acknowledged: list[str] = []
        self.error: BaseException | None = None
        self._folder = folder
        self._orders = orders
        self._env = {k: v for k, v in os.environ.items() if k != "WFKERNEL_JOURNAL"}
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            for n in self._orders:
                self._until_done("start", "order", f"n={n}", "--id", f"o-{n}")
                self._until_done("send-event", f"o-{n}", "go", "2")
                listed = json.loads(self._until_done("list", "--json"))
                assert f"o-{n}" in {run["run_id"] for run in listed["items"]}
        except BaseException as exc:
            self.error = exc

    def _until_done(self, *words: str) -> str:
        until = time.monotonic() + PATIENCE_S
        while True:
            command = [sys.executable, "-m", "wfkernel", *words]
            done = subprocess.run(command, cwd=self._folder, env=self._env, capture_output=True, text=True, timeout=PATIENCE_S)
            if done.returncode == 0:
                self.acknowledged.append(words[0])
                return done.stdout
            assert done.returncode == 1, done.stderr
            # While no kernel is there, a command holds the journal, this one or another's, and has no workflow of this name.
            assert "no workflow 'order' is defined " in done.stderr, done.stderr
            assert time.monotonic() < until, done.stderr

    def join(self) -> None:
        self._thread.join()
        if self.error is not None:
            raise self.error


def open_shop(front: FrontEnd, folder: Path) -> None:
    front.run(f"import os; os.chdir({str(folder)!r})")
    front.run("%load_ext wfkernel")  # where a command holds the journal just then, it is asked, and goes in a moment
    front.until(lambda: front.run("wf.holder is None").value == "True", "the kernel to hold the journal")
    front.run(SHOP)


@pytest.mark.timeout(150)
def test_a_kernel_that_is_killed_among_three_terminals_loses_and_doubles_nothing(bare: FrontEnd, tmp_path: Path) -> None:
    open_shop(bare, tmp_path)
    terminals = [Terminal(tmp_path, range(i, ORDERS, LOOPS)) for i in range(LOOPS)]
    try:
        enough = 3 * LOOPS
        until = time.monotonic() + PATIENCE_S
        while sum(len(t.acknowledged) for t in terminals) < enough and not any(t.error for t in terminals):
            assert time.monotonic() < until
            bare.run("None")  # the kernel is in use meanwhile
        bare.restart()  # SIGKILL
        open_shop(bare, tmp_path)
    finally:
        for terminal in terminals:
            terminal.join()
    found = json.loads(bare.run(ENDED).printed)
    assert found["results"] == [2 * n for n in range(ORDERS)]
    assert found["kept"] == list(range(ORDERS))
    assert sorted(found["runs"]) == sorted([f"o-{n}", "completed"] for n in range(ORDERS))
    assert sorted(found["events"]) == sorted([f"o-{n}", "consumed"] for n in range(ORDERS))
    acknowledged = Counter(word for terminal in terminals for word in terminal.acknowledged)
    assert acknowledged == {"start": ORDERS, "send-event": ORDERS, "list": ORDERS}
    written = Counter((tmp_path / "notes.txt").read_text().split())
    for n in range(ORDERS):  # an action that was in flight at the kill was tried again; no other ran twice
        assert 1 <= written[str(n)] <= found["attempts"][f"o-{n}"]
    assert sum(found["attempts"].values()) <= ORDERS + LOOPS
