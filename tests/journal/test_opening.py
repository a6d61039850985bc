"""Opening: whose file it is, who holds it, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path

import duckdb
import pytest
from journal_kit import commit, python, row

from wfkernel.errors import EngineStopped, JournalError, JournalLocked, JournalTooNew
from wfkernel.journal import Journal, Write


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(entry.relative_to(directory)): entry.read_bytes() for entry in directory.rglob("*") if entry.is_file()}


NAMES = ["wf.duckdb", "main.duckdb", "memory.db", 'it\'s "quoted".db', "with space and ünïcödé 🦆.db"]
NAMES += ["no_suffix", "a;b--c.db", "%s.db"]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_works_and_parents_are_created(tmp_path: Path, open_journal, name: str) -> None:
    path = tmp_path / "new" / "deep 'er" / name
    journal = open_journal(path)
    journal.user_cursor().execute("CREATE TABLE flights AS SELECT 1 AS a")
    commit(journal, row())
    journal.close()
    again = open_journal(str(path))
    assert again.read("SELECT count(*) FROM wf.facts") == [(1,)]
    assert again.user_cursor().execute("SELECT f.a FROM main.flights, flights f").fetchall() == [(1,)]
    assert again.path == path
    assert not again.is_memory


def test_relative_paths_mean_the_directory_of_that_moment(tmp_path: Path, open_journal, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = open_journal("here.duckdb")
    monkeypatch.chdir("/")
    commit(journal, row())
    journal.close()
    assert (tmp_path / "here.duckdb").exists()
    assert open_journal(tmp_path / "here.duckdb").last_seq == 1


def test_a_journal_held_by_another_process_is_refused_with_its_pid(path: Path) -> None:
    code = "import sys; from wfkernel.journal import Journal; j = Journal.open(sys.argv[1]); print('open', flush=True); input()"
    with python(code, path, stdin=subprocess.PIPE) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(JournalLocked) as refused:
            Journal.open(path)
        assert refused.value.pid == other.pid
        assert refused.value.path == path
        assert str(other.pid) in str(refused.value)
        other.communicate("\n")
    Journal.open(path).close()


def test_a_file_held_by_another_process_with_duckdb_alone_is_refused_with_its_pid(path: Path) -> None:
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with python(code, path, stdin=subprocess.PIPE) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(JournalLocked) as refused:
            Journal.open(path)
        assert refused.value.pid == other.pid
        other.communicate("\n")
    assert not path.with_name("journal.duckdb.lock").exists()


def test_the_same_path_twice_in_one_process_is_refused(path: Path, journal: Journal) -> None:
    with pytest.raises(JournalLocked) as refused:
        Journal.open(path)
    assert refused.value.pid == os.getpid()
    link = path.with_name("link.duckdb")
    link.symlink_to(path)
    with pytest.raises(JournalLocked):
        Journal.open(link)


def test_a_file_that_this_process_has_open_with_duckdb_is_refused(path: Path) -> None:
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        with pytest.raises(JournalError, match="open in this process"):
            Journal.open(path)
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert not path.with_name("journal.duckdb.lock").exists()


def test_what_is_no_duckdb_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database at all " * 2000)
    (tmp_path / "empty").touch()
    (tmp_path / "directory").mkdir()
    before = snapshot(tmp_path)
    for name, reason in (("notes.txt", "not a DuckDB file"), ("empty", "not a DuckDB file"), ("directory", "is a directory")):
        with pytest.raises(JournalError, match=reason):
            Journal.open(tmp_path / name)
    with pytest.raises(JournalError, match="cannot be created"):
        Journal.open(tmp_path / "notes.txt" / "journal.duckdb")
    assert snapshot(tmp_path) == before


def test_a_damaged_file_is_refused_and_left_alone(path: Path, open_journal) -> None:
    journal = open_journal()
    for _ in range(50):
        commit(journal, row(body="x" * 5000))
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:12288] + bytes(len(content) - 12288))
    before = snapshot(path.parent)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(path)
    after = snapshot(path.parent)
    assert {name: after[name] for name in after if not name.endswith(".lock")} == {
        name: before[name] for name in before if not name.endswith(".lock")
    }


def test_a_database_of_the_users_becomes_a_journal_and_keeps_its_tables(path: Path, open_journal) -> None:
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute("CREATE TABLE flights AS SELECT range AS a FROM range(1000)")
    journal = open_journal()
    commit(journal, row())
    assert journal.user_cursor().execute("SELECT count(*) FROM flights").fetchall() == [(1000,)]


def test_a_foreign_schema_wf_is_refused_and_left_alone(path: Path) -> None:
    for ddl in ("CREATE SCHEMA wf", "CREATE SCHEMA wf; CREATE TABLE wf.meta (a INTEGER); CREATE TABLE wf.facts (a INTEGER)"):
        path.unlink(missing_ok=True)
        with contextlib.closing(duckdb.connect(str(path))) as connection:
            connection.execute(ddl)
        before = snapshot(path.parent)
        with pytest.raises(JournalError, match="not wfkernel's"):
            Journal.open(path)
        assert snapshot(path.parent) == before


def test_a_newer_schema_is_refused_and_left_alone(path: Path, journal: Journal) -> None:
    journal.close()
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute("UPDATE wf.meta SET value = '2' WHERE key = 'schema_version'")
    before = path.read_bytes()
    with pytest.raises(JournalTooNew) as refused:
        Journal.open(path)
    assert (refused.value.found, refused.value.known) == (2, 1)
    assert path.read_bytes() == before


def test_views_of_an_earlier_release_are_replaced(path: Path, open_journal) -> None:
    open_journal().close()
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute("CREATE OR REPLACE VIEW wf.runs AS SELECT 1 AS old")
        connection.execute("UPDATE wf.meta SET value = 'old' WHERE key = 'views'")
    assert "run_id" in [name for name, *_ in open_journal().read("DESCRIBE wf.runs")]


@contextlib.contextmanager
def immutable(path: Path):
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
        pytest.skip("root ignores permissions, and this file system knows no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@contextlib.contextmanager
def unwritable(path: Path):
    if os.getuid() == 0:
        with immutable(path):
            yield
        return
    mode = path.stat().st_mode
    path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        path.chmod(mode)


def test_a_file_or_directory_that_cannot_be_written_is_refused(path: Path, journal: Journal) -> None:
    journal.close()
    before = snapshot(path.parent)
    with unwritable(path), pytest.raises(JournalError, match="not readable and writable"):
        Journal.open(path)
    assert snapshot(path.parent) == before
    empty = path.parent / "sealed"
    empty.mkdir()
    with unwritable(empty):
        for name in ("j.duckdb", "deeper/j.duckdb"):
            with pytest.raises(JournalError, match="cannot be"):
                Journal.open(empty / name)
    assert list(empty.iterdir()) == []


def test_places_where_nobody_can_write_are_refused() -> None:
    for place in ("/proc/wfkernel/j.duckdb", "/sys/j.duckdb"):
        with pytest.raises(JournalError, match="cannot be"):
            Journal.open(place)


def test_a_wal_left_behind_by_a_removed_file_is_not_replayed_into_a_new_one(path: Path, journal: Journal, open_journal) -> None:
    commit(journal, row())
    journal.abandon()
    path.unlink()
    again = open_journal()
    assert again.last_seq == 0
    assert commit(again, row()).seq == 1
    assert path.with_name("journal.duckdb.wal.stale").exists()


def test_a_creation_that_was_killed_is_begun_again(path: Path, open_journal) -> None:
    path.with_name("journal.duckdb.new").write_bytes(b"half a file")
    open_journal().close()
    assert not path.with_name("journal.duckdb.new").exists()


def test_the_closed_file_and_its_views_open_with_plain_duckdb(path: Path, journal: Journal) -> None:
    commit(journal, row(fact=1, step=-1, body='{"id": "first", "args": {"a": 1}}', name="trip"))
    journal.close()
    with contextlib.closing(duckdb.connect(str(path), read_only=True)) as connection:
        sql = "SELECT run_id, name, status, args ->> 'a', created_at::VARCHAR LIKE '2023-11-1%' FROM wf.runs"
        assert connection.execute(sql).fetchall() == [("first", "trip", "in_progress", "1", True)]


def test_a_forked_child_is_refused_every_use_and_leaves_the_parents_journal_alone(journal: Journal, path: Path) -> None:
    commit(journal, row())
    cursor = journal.user_cursor()
    pid = os.fork()
    if pid == 0:
        uses = (
            lambda: journal.submit(Write([row()])),
            lambda: journal.submit_later(Write([row()])),
            lambda: journal.read("SELECT 1"),
            lambda: journal.transact(lambda db: None),
            lambda: journal.query(lambda db: None),
            journal.user_cursor,
            lambda: cursor.execute("SELECT 1"),
        )
        refused = 0
        for use in uses:
            with contextlib.suppress(EngineStopped):
                use()
                continue
            refused += 1
        journal.close()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    commit(journal, row())
    with pytest.raises(JournalLocked):
        Journal.open(path)


FORKS = """
import os, sys
from wfkernel.journal import Journal, Write
j = Journal.open(sys.argv[1])
j.user_cursor().execute("CREATE TABLE t AS SELECT 1 AS a")
pid = os.fork()
if pid == 0:
    sys.exit(3)  # an ordinary exit, with destructors and atexit
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
j.on_batch = lambda batch: (print(batch[0].seq, flush=True), input())
j.submit(Write([(1, 0, 0, 22, 1, "n", "{}")]))
import time; time.sleep(60)
"""


def test_a_child_that_exits_ordinarily_takes_nothing_of_the_parents(path: Path, open_journal) -> None:
    with python(FORKS, path, stdin=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == "1\n"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    journal = open_journal()
    assert journal.last_seq == 1
    assert journal.user_cursor().execute("SELECT * FROM t").fetchall() == [(1,)]


def test_the_lock_does_not_outlive_its_holder_in_a_forked_child(path: Path, open_journal) -> None:
    libc = ctypes.CDLL(None)
    reader, writer = os.pipe()
    holder = os.fork()
    if holder == 0:
        Journal.open(path)
        if os.fork() == 0:
            libc.prctl(15, b"orphan", 0, 0, 0)
            os.write(writer, b"x")
            signal.pause()
        os.write(writer, str(os.getpid()).encode())
        signal.pause()
    seen = b""
    while b"x" not in seen or len(seen) < 2:
        seen += os.read(reader, 100)
    orphans = subprocess.run(["ps", "-o", "pid=", "--ppid", str(holder)], capture_output=True, text=True).stdout.split()
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    try:
        assert open_journal().last_seq == 0
    finally:
        for orphan in orphans:
            os.kill(int(orphan), signal.SIGKILL)


def test_an_older_schema_is_moved_forward_step_by_step(path: Path, journal: Journal, open_journal, monkeypatch) -> None:
    commit(journal, row())
    journal.close()
    steps = {1: "CREATE TABLE wf.second (a INTEGER)", 2: "CREATE TABLE wf.third (a INTEGER)"}
    monkeypatch.setattr("wfkernel.journal.schema.VERSION", 3)
    monkeypatch.setattr("wfkernel.journal.schema.MIGRATIONS", steps)
    again = open_journal()
    assert again.read("SELECT value FROM wf.meta WHERE key = 'schema_version'") == [("3",)]
    assert again.read("SELECT * FROM wf.second, wf.third") == []
    assert again.last_seq == 1
    assert again.checkpoints.wal_bytes() == 0  # checkpointed before data follow


def test_a_migration_that_fails_changes_nothing(path: Path, journal: Journal, open_journal, monkeypatch) -> None:
    commit(journal, row())
    journal.close()
    with monkeypatch.context() as patch:
        patch.setattr("wfkernel.journal.schema.VERSION", 2)
        patch.setattr("wfkernel.journal.schema.MIGRATIONS", {1: "CREATE TABLE wf.second (a INTEGER); SELECT 1 / 'x'::INTEGER"})
        with pytest.raises(JournalError, match="cannot be opened"):
            Journal.open(path)
    again = open_journal()
    assert again.last_seq == 1
    assert again.read("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'second'") == [(0,)]
