"""What a killed process leaves behind, and that nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import duckdb
import pytest
from journal_kit import commit, eventually, python, row

from wfkernel.errors import EngineStopped, JournalError
from wfkernel.journal import Journal, Write
from wfkernel.journal.guard import Guard

KILLS = int(os.environ.get("WFKERNEL_KILLS", "20"))


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def filled(journal: Journal, commits: int = 20) -> None:
    for index in range(commits):
        commit(journal, row(index, body="x" * 1000))


def test_what_was_acknowledged_is_there_after_abandon(journal: Journal, open_journal) -> None:
    filled(journal)
    journal.user_cursor().execute("CREATE TABLE t AS SELECT 7 AS a")
    with journal._ledger.lock:  # the writer cannot take it before the journal is abandoned
        journal.submit(Write([row(99)]))
        journal.abandon()
    again = open_journal()
    assert again.last_seq == 20
    assert again.last_run_key == 19
    assert again.user_cursor().execute("SELECT a FROM t").fetchall() == [(7,)]


def test_on_batch_may_abandon_the_journal(journal: Journal, open_journal) -> None:
    journal.on_batch = lambda batch: journal.abandon()
    for run in range(10):
        journal.submit(Write([row(run)]))
    eventually(lambda: not journal._writer.thread.is_alive())
    assert 1 <= open_journal().last_seq <= 10


def test_an_abandoned_transaction_is_not_committed(journal: Journal, open_journal) -> None:
    def work(db):
        db.execute("CREATE TABLE t (a INTEGER)")
        journal.abandon()
        return Write([row()])

    with pytest.raises((EngineStopped, duckdb.Error)):  # which one depends on where it is noticed
        journal.transact(work)
    assert open_journal().last_seq == 0


def torn_checkpoint(path: Path, journal: Journal, *, switched: bool = False) -> None:
    """Leave the file as a kill inside CHECKPOINT does: blocks saved, then overwritten by half."""
    with journal._instance.cursor() as cursor:
        cursor.execute("USE wfkernel")
        journal._guard.save(cursor)
    journal.abandon()
    _, blocks = Guard(path)._load()
    assert blocks
    with open(path, "r+b") as file:
        for offset, block in blocks:
            file.seek(offset + 100)
            file.write(os.urandom(len(block) - 200))
        if switched:  # the other header slots changed, too
            file.seek(4096 + 16)
            byte = file.read(1)
            file.seek(4096 + 16)
            file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("switched", [False, True])
def test_a_torn_checkpoint_is_restored(path: Path, open_journal, switched: bool) -> None:
    open_journal().close()
    journal = open_journal()
    filled(journal)
    journal._checkpoint()
    filled(journal)
    torn_checkpoint(path, journal, switched=switched)
    undo = Guard(path).undo
    kept = undo.read_bytes()
    undo.unlink()
    with pytest.raises(duckdb.Error):  # it is real damage
        duckdb.connect(":memory:").execute(f"ATTACH '{path}' AS j")
    undo.write_bytes(kept)
    again = open_journal()
    assert again.last_seq == 40
    assert not undo.exists()
    commit(again, row())


def test_an_unfinished_undo_file_is_ignored(path: Path, open_journal) -> None:
    journal = open_journal()
    filled(journal)
    journal.abandon()
    Guard(path).undo.write_bytes(b"WFKUNDO1 and no more")
    assert open_journal().last_seq == 20


def test_a_torn_tail_of_the_wal_is_cut_off_and_kept(path: Path, journal: Journal, open_journal) -> None:
    filled(journal)
    whole = wal_of(path).stat().st_size
    with journal._instance.cursor() as cursor:  # a commit that was acknowledged to nobody
        cursor.execute("INSERT INTO wfkernel.wf.facts VALUES (21, 1, 1, 0, 22, 0, 'n', repeat('x', 5000))")
    journal.abandon()
    wal = wal_of(path)
    content = bytearray(wal.read_bytes())
    content[whole + 2000 : whole + 2050] = os.urandom(50)
    wal.write_bytes(content)
    again = open_journal()
    assert again.last_seq == 20
    assert commit(again, row()).seq == 21
    assert wal.with_name(wal.name + ".torn").read_bytes() == bytes(content)


def test_every_cut_of_the_last_commit_is_survived(path: Path, journal: Journal, open_journal, tmp_path: Path) -> None:
    filled(journal, 3)
    whole = wal_of(path).stat().st_size
    with journal._instance.cursor() as cursor:
        cursor.execute("INSERT INTO wfkernel.wf.facts VALUES (4, 1, 1, 0, 22, 0, 'n', repeat('x', 300))")
    journal.abandon()
    content, database = wal_of(path).read_bytes(), path.read_bytes()
    for index, end in enumerate(range(whole, len(content), 37)):
        other = tmp_path / f"cut{index}" / "j.duckdb"
        other.parent.mkdir()
        other.write_bytes(database)
        wal_of(other).write_bytes(content[:end])
        cut = open_journal(other)
        assert cut.last_seq == 3
        cut.abandon()


def test_a_stale_wal_is_set_aside(path: Path, open_journal) -> None:
    journal = open_journal()
    filled(journal)
    wal = wal_of(path)
    older = wal.read_bytes()
    journal._checkpoint()
    journal.close()
    wal.write_bytes(older)
    again = open_journal()
    assert again.last_seq == 20
    assert again.read("SELECT count(*) FROM wf.facts") == [(20,)]
    assert wal.with_name(wal.name + ".stale").read_bytes() == older


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_lost_tail_of_acknowledged_rows_stops_and_changes_nothing(path: Path, journal: Journal, open_journal, damage) -> None:
    filled(journal)
    journal.abandon()
    wal = wal_of(path)
    content = bytearray(wal.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 0xFF
    wal.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="rows up to 20 were acknowledged"):
        Journal.open(path)
    assert wal.read_bytes() == bytes(content)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "journal.duckdb",
        "journal.duckdb.lock",
        "journal.duckdb.wal",
    ]
    path.with_name("journal.duckdb.lock").unlink()  # the message says so
    again = open_journal()
    assert 0 < again.last_seq < 20
    commit(again, row())


def test_a_lock_file_of_another_journal_of_that_name_does_not_matter(path: Path, open_journal) -> None:
    journal = open_journal()
    filled(journal)
    journal.close()
    path.unlink()
    again = open_journal()
    assert again.last_seq == 0
    commit(again, row())


def test_checkpoints_run_when_idle_and_when_forced(journal: Journal, path: Path) -> None:
    journal.checkpoints.idle_s, journal.checkpoints.idle_bytes = 0.01, 1
    filled(journal, 3)
    eventually(lambda: journal.checkpoints.wal_bytes() == 0)
    journal.checkpoints.idle_bytes, journal.checkpoints.forced_commits = 1 << 60, 5
    filled(journal, 5)
    eventually(lambda: journal.checkpoints.wal_bytes() == 0)
    assert journal.read("SELECT count(*) FROM wf.facts") == [(8,)]


def test_a_users_writes_are_checkpointed_too(journal: Journal) -> None:
    journal.checkpoints.idle_s, journal.checkpoints.idle_bytes = 0.01, 1
    journal.user_cursor().execute("CREATE TABLE t AS SELECT range FROM range(1000)")
    eventually(lambda: journal.checkpoints.wal_bytes() == 0)


def test_a_checkpoint_waits_for_a_users_open_transaction(journal: Journal) -> None:
    db = journal.user_cursor()
    db.execute("CREATE TABLE t AS SELECT 1 AS a")
    journal.checkpoints.retry_s = 0.01
    db.begin()
    db.execute("UPDATE t SET a = 2")
    assert journal._checkpoint() is False
    assert commit(journal, row()).error is None
    assert not journal._guard.undo.exists()
    db.commit()
    journal.checkpoints.idle_s, journal.checkpoints.idle_bytes = 0.01, 1
    commit(journal, row())
    eventually(lambda: journal.checkpoints.wal_bytes() == 0)


def test_a_checkpoint_gets_its_turn_among_endless_mutations(journal: Journal) -> None:
    journal.user_cursor().execute("CREATE TABLE t AS SELECT 1 AS a")
    journal.checkpoints.forced_commits, journal.checkpoints.retry_s = 20, 0.001
    stop = threading.Event()

    def mutate() -> None:
        while not stop.is_set():
            journal.transact(lambda db: (db.execute("UPDATE t SET a = a + 1"), Write([row()]))[1])

    threads = [threading.Thread(target=mutate) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        filled(journal, 20)
        eventually(lambda: journal._ledger.commits < 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert journal.read("SELECT a - 1 FROM t") == [(journal.last_seq - 20,)]


WORKER = """
import os, random, sys, threading
from wfkernel.journal import Journal, Write
j = Journal.open(sys.argv[1])
j.checkpoints.idle_s, j.checkpoints.idle_bytes, j.checkpoints.forced_bytes = 0.005, 10_000, 30_000
random.seed(int(sys.argv[2]))
def tell(batch):
    done = [w for w in batch if w.error is None and not w.dropped]
    os.write(1, b"".join(b"%d %d\\n" % (w.seq + i, r[0]) for w in done for i, r in enumerate(w.rows)))
j.on_batch = tell
base = j.last_seq
os.write(1, b"open\\n")
def mutate():
    k = 0
    while True:
        k += 1
        def work(db, k=k):
            db.execute("INSERT INTO t VALUES (?, ?)", [base, k])
            db.execute("UPDATE total SET n = n + 1")
            return Write([(k, 0, 0, 8, 0, "mutation", "{}")])
        j.transact(work)
db = j.user_cursor()
db.execute("CREATE TABLE IF NOT EXISTS t (base BIGINT, k BIGINT); CREATE TABLE IF NOT EXISTS total (n BIGINT)")
if not db.execute("SELECT * FROM total").fetchall():
    db.execute("INSERT INTO total VALUES (0)")
threading.Thread(target=mutate, daemon=True).start()
while True:
    body = "x" * random.choice([20, 300, 5000])
    for _ in range(random.choice([1, 1, 1, 40])):
        j.submit(Write([(base, step, 0, 22, 0, "n", body) for step in range(random.choice([1, 3]))]))
    if random.random() < 0.6:
        threading.Event().wait(random.random() * 0.004)
"""


def test_nothing_acknowledged_is_lost_by_kills(path: Path, open_journal, tmp_path: Path) -> None:
    acknowledged: dict[int, int] = {}
    interrupted = 0
    for kill in range(KILLS):
        output = tmp_path / "acknowledged.txt"
        with open(output, "wb") as file, open(tmp_path / "errors.txt", "wb") as errors:
            worker = python(WORKER, path, kill, stdout=file, stderr=errors)
            eventually(lambda output=output, worker=worker: output.stat().st_size or worker.poll() is not None, 30)
            assert worker.poll() is None, (tmp_path / "errors.txt").read_text()
            time.sleep(random.uniform(0, 0.25))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        interrupted += Guard(path).undo.exists()
        for line in output.read_text().splitlines(keepends=True):
            if line.endswith("\n") and line != "open\n":
                seq, run = line.split()
                acknowledged[int(seq)] = int(run)
    journal = open_journal()
    stored = dict(journal.read("SELECT seq, run FROM wf.facts"))
    assert {seq: run for seq, run in acknowledged.items() if stored.get(seq) != run} == {}
    assert journal.read("SELECT count(*), count(DISTINCT seq), max(seq) FROM wf.facts") == [(len(stored),) * 2 + (max(stored),)]
    mutations = journal.read("SELECT count(*) FROM wf.facts WHERE fact = 8")
    assert mutations == journal.read("SELECT count(*) FROM t") == journal.read("SELECT n FROM total")
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged rows, {interrupted} kills inside a checkpoint")


def test_a_killed_process_leaves_a_journal_that_opens_at_once(path: Path, open_journal) -> None:
    code = WORKER.replace("while True:\n    body", "for _ in range(200):\n    body")
    with python(code, path, 1) as worker:
        while worker.stdout.readline() != "open\n":
            pass
        worker.kill()
    open_journal()
