"""Group commit: order, questions, hints, one bad row, a full queue at the end."""

from __future__ import annotations

import threading
import time

import pytest
from journal_kit import Told, commit, eventually, row

from wfkernel.errors import EngineStopped, JournalError
from wfkernel.journal import Journal, Write


def facts(journal: Journal) -> list[tuple]:
    return journal.read("SELECT seq, run, step FROM wf.facts ORDER BY seq")


def test_rows_are_numbered_in_the_order_of_submission(journal: Journal, told: Told) -> None:
    for run in range(500):
        journal.submit(Write([row(run, 0), row(run, 1)]))
    told.wait(500)
    assert facts(journal) == [(2 * run + step + 1, run, step) for run in range(500) for step in (0, 1)]
    assert [write.seq for write in told.writes] == list(range(1, 1001, 2))
    assert journal.last_seq == 1000


def test_what_queued_during_a_commit_is_committed_together(journal: Journal, told: Told) -> None:
    with journal._ledger.lock:
        for run in range(100):
            journal.submit(Write([row(run)]))
    told.wait(100)
    assert len(told.batches) <= 2


def test_a_read_after_on_batch_sees_the_rows(journal: Journal) -> None:
    seen = []
    journal.on_batch = lambda batch: seen.append(journal.read("SELECT max(seq) FROM wf.facts")[0][0])
    for _ in range(5):
        commit(journal, row())
    assert seen == [1, 2, 3, 4, 5]


def test_many_threads_submit_and_every_write_is_told_once(journal: Journal, told: Told) -> None:
    def produce(run: int) -> None:
        for step in range(200):
            journal.submit(Write([row(run, step)]))

    threads = [threading.Thread(target=produce, args=(run,)) for run in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writes = told.wait(1600)
    assert sorted(write.seq for write in writes) == list(range(1, 1601))
    by_run = journal.read("SELECT run, list(step ORDER BY seq) FROM wf.facts GROUP BY run")
    assert all(steps == list(range(200)) for _, steps in by_run)


def test_a_write_whose_keep_says_no_is_dropped_and_takes_no_seq(journal: Journal, told: Told) -> None:
    with journal._ledger.lock:
        for run in range(4):
            journal.submit(Write([row(run)], keep=lambda run=run: run % 2 == 0, tag=run))
    writes = told.wait(4)
    assert [(write.dropped, write.seq) for write in writes] == [(False, 1), (True, -1), (False, 2), (True, -1)]
    assert facts(journal) == [(1, 0, 0), (2, 2, 0)]


def test_keep_is_asked_after_the_writes_before_it_are_decided(journal: Journal) -> None:
    committed: list[int] = []
    journal.on_batch = lambda batch: committed.extend(write.tag for write in batch if not write.dropped)
    commit(journal, row(), tag=1)
    second = commit(journal, row(), tag=2, keep=lambda: 1 not in committed)
    assert second.dropped
    assert committed == [1]


def test_a_keep_that_raises_fails_its_own_write_only(journal: Journal, told: Told) -> None:
    with journal._ledger.lock:
        journal.submit(Write([row(1)], keep=lambda: 1 / 0))
        journal.submit(Write([row(2)]))
    bad, good = told.wait(2)
    assert isinstance(bad.error, ZeroDivisionError)
    assert good.error is None
    assert good.seq == 1


def test_one_bad_row_fails_only_its_own_write(journal: Journal, told: Told) -> None:
    with journal._ledger.lock:
        for run in (1, None, 3, "four", 5):
            journal.submit(Write([row(run), row(run, 1)]))
        journal.submit(Write([row(6, body="\ud800")]))
        journal.submit(Write([row(7, body="nul \0 inside")]))
    writes = told.wait(7)
    assert [write.error is None for write in writes] == [True, False, True, False, True, False, True]
    assert isinstance(writes[1].error, JournalError)
    assert facts(journal) == [(1, 1, 0), (2, 1, 1), (3, 3, 0), (4, 3, 1), (5, 5, 0), (6, 5, 1), (7, 7, 0)]
    assert journal.read("SELECT body FROM wf.facts WHERE run = 7") == [("nul \0 inside",)]


def test_a_batch_larger_than_the_appenders_buffer_is_one_commit(journal: Journal, told: Told) -> None:
    many = [row(1, step) for step in range(250_000)]
    bad = Write([*many, row(None)])
    journal.submit(bad)
    told.wait(1)
    assert bad.error is not None
    assert facts(journal) == []


def test_an_on_batch_that_raises_does_not_stop_the_journal(journal: Journal) -> None:
    def on_batch(batch: list[Write]) -> None:
        raise RuntimeError("a mistake of the engine")

    journal.on_batch = on_batch
    journal.submit(Write([row()]))
    journal.submit(Write([row()]))
    eventually(lambda: journal.last_seq == 2)


def test_a_hint_is_written_once_it_is_old_enough(journal: Journal, told: Told) -> None:
    journal.hint_delay = 0.02
    start = time.monotonic()
    journal.submit_later(Write([row()], keep=lambda: True))
    told.wait(1)
    assert time.monotonic() - start >= 0.02


def test_a_hint_that_became_superfluous_is_forgotten(journal: Journal, told: Told) -> None:
    journal.hint_delay = 0.01
    asked = threading.Event()

    def keep() -> bool:
        asked.set()
        return False

    journal.submit_later(Write([row(1)], keep=keep))
    assert asked.wait(10)
    commit(journal, row(2))
    assert facts(journal) == [(1, 2, 0)]


def test_close_writes_the_hints_too(journal: Journal, path, open_journal) -> None:
    journal.hint_delay = 3600
    journal.submit_later(Write([row(1)], keep=lambda: True))
    journal.submit_later(Write([row(2)], keep=lambda: False))
    journal.close()
    assert facts(open_journal()) == [(1, 1, 0)]


def test_close_drains_everything_submitted(journal: Journal, open_journal) -> None:
    for run in range(10_000):
        journal.submit(Write([row(run)]))
    journal.close()
    assert open_journal().last_seq == 10_000


def test_close_is_idempotent_and_leaves_no_wal(journal: Journal, path) -> None:
    commit(journal, row())
    journal.close()
    journal.close()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["journal.duckdb", "journal.duckdb.lock"]


def test_a_closed_journal_refuses_every_use(journal: Journal) -> None:
    cursor = journal.user_cursor()
    journal.close()
    for use in (
        lambda: journal.submit(Write([row()])),
        lambda: journal.submit_later(Write([row()])),
        lambda: journal.read("SELECT 1"),
        lambda: journal.query(lambda db: 1),
        lambda: journal.transact(lambda db: None),
        journal.user_cursor,
        lambda: cursor.execute("SELECT 1"),
    ):
        with pytest.raises(EngineStopped):
            use()


def test_queued_writes_can_be_withdrawn(journal: Journal, told: Told) -> None:
    with journal._ledger.lock:
        for run in range(6):
            journal.submit(Write([row(run)], tag=run))
        gone = journal.drop_queued(lambda write: write.tag in (1, 4))
    assert [write.tag for write in gone] == [1, 4]
    assert all(write.dropped for write in gone)
    assert [write.tag for write in told.wait(4)] == [0, 2, 3, 5]


def test_an_idle_journal_uses_no_cpu(journal: Journal) -> None:
    journal.checkpoints.idle_s = 0.01
    commit(journal, row())
    eventually(lambda: journal._writer._is_asleep and journal._writer._check_at is None)
    journal._writer._active_until = 0  # as a second later
    assert journal._writer._timeout() == -1


def test_runs_are_deleted_with_the_write_and_seq_is_never_given_twice(journal: Journal, open_journal) -> None:
    for run in (1, 2, 3):
        commit(journal, row(run), row(run, 1))
    commit(journal, delete_runs=[1, 3])
    assert facts(journal) == [(3, 2, 0), (4, 2, 1)]
    journal.abandon()
    again = open_journal()
    assert again.last_seq == 6
    assert again.last_run_key == 2
    assert commit(again, row(9)).seq == 7


def test_memory_journals_are_separate_and_leave_nothing_on_disk(open_journal, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = open_journal(":memory:"), open_journal(":memory:")
    commit(first, row(), blobs={"a" * 64: b"x"})
    assert first.is_memory
    assert first.path == ":memory:"
    assert len(facts(first)) == 2
    assert facts(second) == []
    assert first.files.get("a" * 64) == b"x"
    first.close()
    assert list(tmp_path.iterdir()) == []
