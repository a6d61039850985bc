"""A disk that is full for a while: nothing is acknowledged, nothing is lost, and the same process goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from journal_kit import python

from wfkernel.journal import Journal

LIMITED = """
import os, resource, signal, sys, threading
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails with EFBIG, as on a full disk
from wfkernel.errors import JournalError
from wfkernel.journal import Journal, Write
path = Path(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
def row(run, size=20): return (run, 0, 0, 22, 0, "n", "x" * size)
stalls, told = [], []
stalled, works, done = threading.Event(), threading.Event(), threading.Semaphore(0)
def on_stall(error):
    stalls.append(error)
    (stalled if error else works).set()
def on_batch(batch):
    for write in batch:
        told.append(write)
        done.release()
def commit(*runs):
    for run in runs:
        j.submit(Write([row(run)], tag=run))
    for run in runs:
        assert done.acquire(timeout=20)
j = Journal.open(path)
j.on_stall, j.on_batch = on_stall, on_batch
j.user_cursor().execute("CREATE TABLE t (a INTEGER)")
wal = path.with_name(path.name + ".wal")
commit(*range(10))
"""

COMMITS = (
    LIMITED
    + """
limit(wal.stat().st_size + 100)
for run in range(10, 15):
    j.submit(Write([row(run, 3000)], tag=run))
mutated = []
def mutate():
    mutated.append(j.transact(lambda db: (db.execute("INSERT INTO t VALUES (1)"), Write([row(99)], tag=99))[1]))
assert stalled.wait(20)
thread = threading.Thread(target=mutate)
thread.start()
assert isinstance(stalls[0], JournalError) and "cannot be written" in str(stalls[0]), stalls
assert len(told) == 10 and j.stalled is stalls[0]
gone = j.drop_queued(lambda write: write.tag == 12)
assert [write.tag for write in gone] == [12], gone
limit(soft)
assert works.wait(20)
thread.join(20)
for _ in range(5):
    assert done.acquire(timeout=20)
assert stalls[1:] == [None] and j.stalled is None, stalls
assert sorted(write.tag for write in told) == [*range(12), 13, 14, 99]
assert all(write.error is None for write in told) and mutated[0].seq > 0
j.abandon()
j = Journal.open(path)
assert sorted(run for run, in j.read("SELECT run FROM wf.facts")) == [*range(12), 13, 14, 99]
assert j.read("SELECT * FROM t") == [(1,)]
j.close()
"""
)

CHECKPOINT = (
    LIMITED
    + """
db = j.user_cursor()
text = "md5(range::VARCHAR) || repeat('y', 90) || md5((range + 1)::VARCHAR)"
db.execute(f"CREATE TABLE big AS SELECT range AS a, {text} AS b FROM range(20000)")
open_transaction = j.user_cursor().begin()
open_transaction.execute("SELECT * FROM t").fetchall()
limit(max(path.stat().st_size + 300_000, wal.stat().st_size))
j.checkpoints.retry_s = 3600
assert j._checkpoint() is False  # it failed half-way; the database was invalidated and attached again
limit(soft)
commit(20)
assert j.read("SELECT count(*) FROM wf.facts") == [(11,)]
assert db.execute("SELECT count(*) FROM big").fetchall() == [(20000,)]
assert j.query(lambda db: db.execute("SELECT count(*) FROM big").fetchall()) == [(20000,)]
assert j._checkpoint() is True
commit(21)
j.close()
j = Journal.open(path)
assert j.last_seq == 12 and j.read("SELECT count(*) FROM big") == [(20000,)]
j.close()
"""
)

CLOSING = (
    LIMITED
    + """
limit(wal.stat().st_size + 100)
j._writer.close_patience = 0.3
j.submit(Write([row(10, 3000)], tag=10))
assert stalled.wait(20)
j.close()
assert told[-1].tag == 10 and isinstance(told[-1].error, JournalError)
limit(soft)
j = Journal.open(path)
assert j.last_seq == 10
j.close()
"""
)


@pytest.mark.parametrize("code", [COMMITS, CHECKPOINT, CLOSING], ids=["commits", "checkpoint", "closing"])
def test_a_file_that_may_not_grow_stalls_the_journal_until_it_may(path: Path, code: str) -> None:
    with python(code, path) as worker:
        output, errors = worker.communicate(timeout=60)
    assert worker.returncode == 0, output + errors


def test_a_full_file_system_stalls_the_journal_until_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        _fill_and_free(disk)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill_and_free(disk: Path) -> None:
    import threading

    from journal_kit import Told, row

    from wfkernel.journal import Write

    journal = Journal.open(disk / "j.duckdb")
    journal.on_batch = told = Told()
    stalled, works = threading.Event(), threading.Event()
    journal.on_stall = lambda error: (stalled if error else works).set()
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        space = os.statvfs(disk)
        file.write(bytes(space.f_bavail * space.f_frsize - 100_000))
    for run in range(100):
        journal.submit(Write([row(run, body="x" * 5000)]))
    assert stalled.wait(20)
    ballast.unlink()
    assert works.wait(20)
    told.wait(100)
    assert journal.read("SELECT count(DISTINCT run) FROM wf.facts") == [(100,)]
    journal.abandon()
    with Journal.open(disk / "j.duckdb") as again:
        assert again.last_seq == 100
