"""What a dashboard reads from the journal: all its runs, filtered, sorted, counted; and how long their steps took. SQL, and nothing else.

100,000 runs are read as a whole each time: that costs some 30 ms, less than to keep any of it up to date.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from wfkernel.journal import Journal
from wfkernel.model.facts import Fact

SORTS = ("created", "duration", "status", "name")
STATUSES = ("in_progress", "failed", "canceled", "completed")

_STATUS = f"""CASE e.fact WHEN {Fact.COMPLETED:d} THEN 'completed' WHEN {Fact.FAILED:d} THEN 'failed'
    WHEN {Fact.CANCELED:d} THEN 'canceled' ELSE 'in_progress' END"""
_ORDER = {
    "created": "run {d}",
    "duration": "coalesce(ended_us, $now) - created_us {d}, run DESC",
    "status": f"list_position({list(STATUSES)}, status) {{d}}, run DESC",
    "name": "name {d}, run DESC",
}
_BUCKETS = 30  # of time, at most
_MOST_STEPS = 50  # names of steps of one workflow
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDTHS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14, 28, 91, 182, 364)),
)


@dataclass(frozen=True)
class Look:
    """Which runs somebody wants to see.

    Attributes:
        names: workflows; empty for all.
        statuses: empty for all.
        text: what the run's id, its workflow's name or its error must contain, in any case.
        sort, is_descending: the order of the rows.
        offset, limit: the page.
    """

    names: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    text: str = ""
    sort: Literal["created", "duration", "status", "name"] = "created"
    is_descending: bool = True
    offset: int = 0
    limit: int = 50


class Count(NamedTuple):
    """How many runs of one workflow have one status: all of them, and those whose text fits."""

    name: str
    status: str
    runs: int
    fitting: int


def counts(journal: Journal, look: Look) -> list[Count]:
    """One for each workflow and status that there is, whatever ``look.names`` and ``look.statuses`` say."""
    runs, params = _runs(look)
    sql = f"SELECT name, status, count(*), count(*) FILTER (fits) FROM ({runs}) GROUP BY name, status ORDER BY name, status"
    return [Count(*row) for row in journal.read(sql, params)]


def page(journal: Journal, look: Look, now_us: int) -> list[int]:
    """The keys of the runs on the page, in order; a run in progress has lasted until ``now_us``."""
    runs, params = _runs(look)
    where = ["fits"]
    if look.names:
        where.append("name IN (SELECT unnest($names::VARCHAR[]))")
        params["names"] = list(look.names)
    if look.statuses:
        where.append("status IN (SELECT unnest($statuses::VARCHAR[]))")
        params["statuses"] = list(look.statuses)
    if look.sort == "duration":
        params["now"] = now_us
    order = _ORDER[look.sort].format(d="DESC" if look.is_descending else "ASC")
    sql = f"SELECT run FROM ({runs}) WHERE {' AND '.join(where)} ORDER BY {order} LIMIT {look.limit:d} OFFSET {look.offset:d}"
    return [row[0] for row in journal.read(sql, params)]


def _runs(look: Look) -> tuple[str, dict[str, Any]]:
    """One row for each run: run, name, status, created_us, ended_us, fits."""
    fits, error, params = "true", "", {}
    if look.text:
        # bodies are parsed where there is something to look for: that is half of the time
        error = f", arg_max(body, seq) FILTER (fact = {Fact.FAILED:d}) AS body"
        told = "concat(TRY_CAST(e.body AS JSON) ->> '$.error.type', ': ', TRY_CAST(e.body AS JSON) ->> '$.error.message')"
        # CASE, unlike AND, parses the errors of failed runs only
        fits = f"""contains(lower(c.name), $text) OR contains(lower(TRY_CAST(c.body AS JSON) ->> '$.id'), $text) IS TRUE
            OR CASE WHEN e.fact = {Fact.FAILED:d} THEN contains(lower({told}), $text) IS TRUE ELSE false END"""
        params["text"] = look.text.lower()
    ends = f"({Fact.COMPLETED:d}, {Fact.FAILED:d}, {Fact.CANCELED:d})"
    sql = f"""
        SELECT c.run AS run, c.name AS name, {_STATUS} AS status, c.t AS created_us, CASE WHEN e.fact IN {ends} THEN e.t END AS ended_us,
               {fits} AS fits
        FROM (SELECT run, name, t, body FROM wf.facts WHERE fact = {Fact.CREATED:d}) c
        LEFT JOIN (
            SELECT run, arg_max(fact, seq) AS fact, arg_max(t, seq) AS t{error}
            FROM wf.facts WHERE fact IN ({Fact.COMPLETED:d}, {Fact.FAILED:d}, {Fact.CANCELED:d}, {Fact.RESTARTED:d}) GROUP BY run
        ) e ON e.run = c.run"""
    return sql, params


class StepTimes(NamedTuple):
    """How long a step took that ended within a time: seconds at the median and the 95th percentile.

    Attributes:
        name: the step's.
        bucket: number of the time, from 0; None for all of it.
        ended, failed: how many succeeded or failed, and how many of them failed.
    """

    name: str
    bucket: int | None
    ended: int
    failed: int
    p50_s: float
    p95_s: float


class StepTable(NamedTuple):
    """The times of one workflow's steps.

    Attributes:
        start_us: when bucket 0 begins, Unix microseconds.
        width_s: how long a bucket lasts.
        times: sorted by step, as their names first come in a run, the one without bucket first.
        left_out: how many names of steps are not among them.
    """

    start_us: int
    width_s: int
    times: list[StepTimes]
    left_out: int


def step_times(journal: Journal, workflow: str) -> StepTable:
    """How long the steps of a workflow took, over time: from the start of the last attempt to the end. Sleeps are left out."""
    ended = f"fact IN ({Fact.STEP_SUCCESS:d}, {Fact.STEP_FAILED:d})"
    of_it = f"run IN (SELECT run FROM wf.facts WHERE fact = {Fact.CREATED:d} AND name = $workflow)"
    first, last = journal.read(f"SELECT min(t), max(t) FROM wf.facts WHERE {ended} AND {of_it}", {"workflow": workflow})[0]
    if first is None:
        return StepTable(0, _WIDTHS_S[0], [], 0)
    width_s = _width(first, last)
    width = width_s * 1_000_000
    start = first // width * width
    # Of a fork, `begun_at` says that it has copies of steps: those ended before it was made, and took the time of another run.
    sql = f"""
        WITH runs AS (
            SELECT run, CASE WHEN contains(body, '"begun_at":') THEN t ELSE 0 END AS copied_until
            FROM wf.facts WHERE fact = {Fact.CREATED:d} AND name = $workflow
        ), ended AS (
            SELECT s.name, step, fact, t, TRY_CAST(body AS JSON) AS body
            FROM wf.facts s JOIN runs r ON r.run = s.run WHERE {ended} AND t > copied_until
        ), steps AS (
            SELECT name, step, fact, (t - {start:d}) // {width:d} AS bucket,
                   (TRY_CAST(body ->> '$.completed_at' AS BIGINT)
                    - TRY_CAST(coalesce(body ->> '$.started_at', body ->> '$.scheduled_at') AS BIGINT)) / 1e6 AS took_s
            FROM ended WHERE body ->> '$.kind' <> 'sleep'
        ), times AS (
            SELECT name, bucket, count(*) AS ended, count(*) FILTER (fact = {Fact.STEP_FAILED:d}) AS failed,
                   quantile_cont(took_s, [0.5, 0.95]) AS q, min(step) AS step
            FROM steps WHERE took_s IS NOT NULL GROUP BY GROUPING SETS ((name), (name, bucket))
        ), named AS (
            SELECT name, row_number() OVER (ORDER BY step, name) AS place, count(*) OVER () AS names FROM times WHERE bucket IS NULL
        )
        SELECT t.name, t.bucket, t.ended, t.failed, t.q[1], t.q[2], n.names FROM times t JOIN named n ON n.name = t.name
        WHERE n.place <= {_MOST_STEPS:d} ORDER BY n.place, t.bucket NULLS FIRST"""
    rows = journal.read(sql, {"workflow": workflow})
    return StepTable(start, width_s, [StepTimes(*row[:-1]) for row in rows], max(0, rows[0][-1] - _MOST_STEPS) if rows else 0)


def _width(first_us: int, last_us: int) -> int:
    """Seconds of a bucket: a round number, so that the buckets stay where they are while time goes on."""
    span_s = (last_us - first_us) / 1e6
    return next((w for w in _WIDTHS_S if span_s / w <= _BUCKETS - 1), max(_WIDTHS_S[-1], round(span_s / (_BUCKETS - 2))))
