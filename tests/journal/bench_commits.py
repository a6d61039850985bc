"""What a commit costs through the journal, against the same statement inline. Run it by hand:

python tests/journal/bench_commits.py [directory]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from wfkernel.journal import Journal, Write
from wfkernel.journal.ledger import INSERT

ROW = (7, 3, 0, 22, 123456, "charge_card", "x" * 250)
ROUNDS, BLOCK = 15, 100
now = time.perf_counter


def inline(journal: Journal) -> list[float]:
    """The same prepared statement on the calling thread."""
    cursor = journal._instance.cursor()
    statement = cursor.extract_statements(INSERT)[0]
    took = []
    for _ in range(BLOCK):
        start = now()
        cursor.execute(statement, (0, *ROW)).fetchall()
        took.append(now() - start)
    cursor.close()
    return took


def submitted(journal: Journal) -> list[float]:
    """submit() to on_batch()."""
    done, end, took = threading.Lock(), [0.0], []
    done.acquire()

    def on_batch(batch: list[Write]) -> None:
        end[0] = now()
        done.release()

    journal.on_batch = on_batch
    for _ in range(BLOCK):
        start = now()
        journal.submit(Write([ROW]))
        done.acquire()
        took.append(end[0] - start)
    return took


def rate(journal: Journal, writes: int, burst: int) -> float:
    """Rows per second, one row a write, from the first submit to the last on_batch."""
    count, done = [0], threading.Event()

    def on_batch(batch: list[Write]) -> None:
        count[0] += len(batch)
        if count[0] >= writes:
            done.set()

    journal.on_batch = on_batch
    batches = [[Write([ROW]) for _ in range(burst)] for _ in range(writes // burst)]
    start = now()
    with journal._ledger.lock:  # so that each batch is really of this size
        for batch in batches:
            journal._ledger.commit(batch)
    done.wait()
    return writes / (now() - start)


def main(directory: Path) -> None:
    with Journal.open(directory / "bench.duckdb") as journal:
        journal.checkpoints.forced_commits = 1 << 60
        a, b = [], []
        for _ in range(ROUNDS):
            a.append(statistics.median(inline(journal)))
            b.append(statistics.median(submitted(journal)))
        pairs = [(y - x) * 1e6 for x, y in zip(a, b, strict=True)]
        print(f"one row: inline p50 {min(a) * 1e6:.0f}/{statistics.median(a) * 1e6:.0f} µs (best/median of {ROUNDS} blocks)")
        print(f"one row: journal p50 {min(b) * 1e6:.0f}/{statistics.median(b) * 1e6:.0f} µs")
        print(f"difference, block by block: median {statistics.median(pairs):.0f} µs, best {min(pairs):.0f}")
        for burst in (10, 100, 1000, 4000):
            print(f"batches of {burst}: {max(rate(journal, burst * 20, burst) for _ in range(4)):,.0f} rows/s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        main(Path(temporary))
