"""A full disk under running workflows: callers are told at once, nothing acknowledged is lost, runs go on with room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, signal, sys, threading
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails with EFBIG, as on a full disk
import wfkernel
from wfkernel import JournalError, WorkflowManager

path = Path(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
ran, gate = [], threading.Event()

def work(i):
    ran.append(i)
    if i == 1:
        gate.wait(20)
    return "x" * 5000

def insert(db, i):
    db.execute("CREATE TABLE IF NOT EXISTS t (i INTEGER)")
    db.execute("INSERT INTO t VALUES (?)", [i])

wf = WorkflowManager(path)

@wf.workflow
async def flow(step):
    for i in range(5):
        await step.run_action(work, i)
        await step.run_mutation(insert, i)
    return "done"

run = flow.start()
while 1 not in ran:
    pass
acknowledged = [s.step_number for s in run.steps() if s.status == "success"]
wal = path.with_name(path.name + ".wal")
resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100, hard))
gate.set()
try:
    run.result(20)
except JournalError as exc:
    print("result:", "nothing is lost" in str(exc))
for attempt in (lambda: flow.start(), lambda: run.send_event("x", 1), lambda: run.cancel()):
    try:
        attempt()
    except JournalError as exc:
        print("refused:", "cannot be written" in str(exc))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
while wf._engine.journal.stalled:
    pass
while True:
    try:
        print(run.result(20))
        break
    except JournalError:
        pass
print(ran, wf.db.execute("SELECT list(i ORDER BY i) FROM t").fetchall()[0][0])
print(flow.start().result(20), acknowledged)
wf.close()
"""


def test_a_full_disk_stops_runs_with_a_clear_error_and_they_go_on_once_there_is_room(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "journal.duckdb")], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "result: True",
        "refused: True",
        "refused: True",
        "refused: True",
        "done",
        "[0, 1, 2, 3, 4] [0, 1, 2, 3, 4]",
        "done [0, 1]",
    ]
