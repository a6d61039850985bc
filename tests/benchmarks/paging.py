"""A page of the dashboard out of 100,000 runs: the first, filtered, searched, sorted, the last; and the durations of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from tests.benchmarks.measure import Result, quantile, timed
from wfkernel import WorkflowManager
from wfkernel.cards.pages import PAGE, read_page
from wfkernel.engine import overview
from wfkernel.journal import Journal
from wfkernel.model.facts import Fact

RUNS = 100_000
STEPS = 3
ROUNDS = 15
START_US = 1_760_000_000_000_000
LOOK = {"names": [], "statuses": [], "text": "", "sort": "created", "desc": True, "page": 0}
LOOKS: dict[str, dict[str, Any]] = {
    "the first page": {},
    "one workflow's failed runs": {"names": ["report"], "statuses": ["failed"]},
    "a search": {"text": "rates for 99"},
    "by duration": {"sort": "duration"},
    "the last page": {"page": RUNS // PAGE - 1},
}

# Four workflows, a run each 6 s that takes 0.5 to 10.5 s; of ten runs one failed and one was canceled. All have ended.
FILL = f"""
    INSERT INTO wf.facts
    WITH runs AS (
        SELECT i, {START_US} + i * 6000000 AS t0, (({START_US} + i * 6000000) // 1000) << 20 AS run,
               500000 + (hash(i) % 1000)::BIGINT * 10000 AS took, ['order', 'report', 'ingest', 'train'][i % 4 + 1] AS name
        FROM range({RUNS}) AS numbers(i)
    ), rows AS (
        SELECT run, -1 AS step, {Fact.CREATED:d} AS fact, t0 AS t, name, '{{"id":"run-' || i || '","args":{{"n":' || i || '}}}}' AS body
        FROM runs
        UNION ALL
        SELECT run, k, {Fact.STEP_SUCCESS:d}, t0 + took * (k + 1) // {STEPS}, ['fetch', 'parse', 'store'][k + 1],
               '{{"kind":"action","args":{{"n":' || k || '}},"scheduled_at":' || t0 || ',"started_at":' || (t0 + took * k // {STEPS})
               || ',"attempts":1,"completed_at":' || (t0 + took * (k + 1) // {STEPS}) || ',"result":{{"rows":' || i || '}}}}'
        FROM runs, range({STEPS}) AS steps(k)
        UNION ALL
        SELECT run, -1, CASE i % 10 WHEN 3 THEN {Fact.FAILED:d} WHEN 4 THEN {Fact.CANCELED:d} ELSE {Fact.COMPLETED:d} END, t0 + took, name,
               CASE i % 10 WHEN 3 THEN '{{"error":{{"type":"ValueError","message":"no table of rates for ' || i || '","traceback":""}}}}'
                    WHEN 4 THEN '{{}}' ELSE '{{"result":' || i || '}}' END
        FROM runs
    )
    SELECT row_number() OVER (ORDER BY t, run, step), run, step, 0, fact, t, name, body FROM rows"""


def run(directory: Path) -> list[Result]:
    path = directory / "journal.duckdb"
    Journal.open(path).close()
    with duckdb.connect(path) as db:
        db.execute(FILL)
        db.execute("CHECKPOINT")
    results = []
    with WorkflowManager(path) as wf:
        for what, change in LOOKS.items():
            page = read_page(wf, {**LOOK, **change})
            assert page["rows"], what
            took = [timed(lambda change=change: read_page(wf, {**LOOK, **change})) for _ in range(ROUNDS)]
            detail = f"p50 of {ROUNDS}, {page['total']:,} runs; p95 {quantile(took, 0.95) * 1000:.0f} ms"
            results.append(Result(f"paging: {what} of {RUNS:,} runs", quantile(took, 0.5) * 1000, 250, "lower", "ms", detail))
        took = [timed(lambda: overview.step_times(wf._engine.journal, "order")) for _ in range(ROUNDS)]
        detail = f"p50 of {ROUNDS}; p95 {quantile(took, 0.95) * 1000:.0f} ms"
        what = f"paging: durations of {RUNS * STEPS // 4:,} steps of one workflow"
        results.append(Result(what, quantile(took, 0.5) * 1000, 250, "lower", "ms", detail))
    return results
