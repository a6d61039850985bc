"""Side files: durable before their rows, stored once, gone with their last run."""

from __future__ import annotations

import hashlib

import pytest
from journal_kit import Told, commit, row

from wfkernel.journal import Journal, Write

LARGE = b"large" * 100
SHA = hashlib.sha256(LARGE).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def names(journal: Journal) -> list[str]:
    return sorted(entry.name for entry in journal.files.directory.iterdir()) if journal.files.directory.exists() else []


def test_a_blob_is_stored_with_one_row_a_run(journal: Journal) -> None:
    first = commit(journal, row(1), row(1, 1), blobs={SHA: LARGE})
    commit(journal, row(1, 2), blobs={SHA: LARGE})
    second = commit(journal, row(2), blobs={SHA: memoryview(LARGE)})
    assert (first.seq, second.seq) == (1, 5)
    assert names(journal) == [SHA]
    assert journal.read("SELECT seq, run, step, body FROM wf.facts WHERE fact = 40 AND name = ? ORDER BY seq", [SHA]) == [
        (3, 1, -1, '{"size":500}'),
        (6, 2, -1, '{"size":500}'),
    ]
    assert journal.files.get(SHA) == LARGE
    assert SHA in journal.files
    with pytest.raises(KeyError):
        journal.files.get(OTHER)


def test_a_dropped_write_stores_nothing(journal: Journal) -> None:
    commit(journal, row(1), blobs={SHA: LARGE}, keep=lambda: False)
    assert names(journal) == []


def test_a_file_goes_with_the_last_run_that_refers_to_it(journal: Journal) -> None:
    commit(journal, row(1), blobs={SHA: LARGE, OTHER: b"other"})
    commit(journal, row(2), blobs={SHA: LARGE})
    commit(journal, delete_runs=[1])
    assert names(journal) == [SHA]
    commit(journal, row(3), blobs={SHA: LARGE}, delete_runs=[2])
    assert names(journal) == [SHA]
    commit(journal, delete_runs=[3])
    assert names(journal) == []
    commit(journal, row(1), blobs={SHA: LARGE})
    assert journal.files.get(SHA) == LARGE


def test_a_file_that_a_queued_write_brings_is_stored_again_after_a_deletion(journal: Journal) -> None:
    journal.on_batch = told = Told()
    commit(journal, row(1), blobs={SHA: LARGE})
    with journal._ledger.lock:
        journal.submit(Write([], delete_runs=[1]))
        journal.submit(Write([row(2)], blobs={SHA: LARGE}))
    told.wait(3)
    assert names(journal) == [SHA]


def test_a_file_of_a_transaction_under_way_is_not_collected(journal: Journal) -> None:
    with journal.files.held([SHA]):
        journal.files.put(SHA, LARGE)
        journal.delete_files([SHA])
        assert names(journal) == [SHA]
    journal.delete_files([SHA])
    assert names(journal) == []


def test_files_that_no_row_refers_to_are_collected_at_open(journal: Journal, open_journal) -> None:
    commit(journal, row(1), blobs={SHA: LARGE})
    journal.files.put(OTHER, b"other")
    (journal.files.directory / f"{OTHER}.1.part").write_bytes(b"oth")
    journal.abandon()
    again = open_journal()
    assert names(again) == [SHA]
    assert again.files.get(SHA) == LARGE


def test_a_name_that_is_no_digest_is_refused(journal: Journal) -> None:
    for name in ("../../etc/passwd", "", SHA.upper(), SHA[:-1]):
        with pytest.raises(ValueError, match="SHA-256"):
            journal.files.put(name, b"")


def test_a_write_whose_file_cannot_be_stored_fails_alone(journal: Journal) -> None:
    journal.on_batch = told = Told()
    with journal._ledger.lock:
        journal.submit(Write([row(1)], blobs={"bad": b""}))
        journal.submit(Write([row(2)]))
    bad, good = told.wait(2)
    assert isinstance(bad.error, ValueError)
    assert good.seq == 1
