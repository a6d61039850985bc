"""What the engine and the manager read from the journal. SQL, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wfkernel.core.history import History
from wfkernel.journal import Journal
from wfkernel.model.facts import Fact
from wfkernel.model.ids import key_of_text
from wfkernel.model.jsontext import dumps, loads

_ROW = "seq, run, step, generation, fact, t, name, body"
_ENDS = f"({Fact.COMPLETED:d}, {Fact.FAILED:d}, {Fact.CANCELED:d})"
_TURNS = f"({Fact.CREATED:d}, {Fact.COMPLETED:d}, {Fact.FAILED:d}, {Fact.CANCELED:d}, {Fact.RESTARTED:d})"
_CHUNK = 500  # run keys in one IN list


def unfinished(journal: Journal) -> list[Any]:
    """The CREATED rows of the runs in progress, oldest first."""
    sql = f"""
        SELECT {_ROW} FROM wf.facts
        WHERE fact = {Fact.CREATED:d} AND run IN (
            SELECT run FROM wf.facts WHERE fact IN {_TURNS}
            GROUP BY run HAVING arg_max(fact, seq) IN ({Fact.CREATED:d}, {Fact.RESTARTED:d}))
        ORDER BY run"""
    return journal.read(sql)


def histories(journal: Journal, keys: Sequence[int]) -> dict[int, History]:
    """The histories of some runs; an empty one for a key that has no rows."""
    found = {key: History() for key in keys}
    for i in range(0, len(keys), _CHUNK):
        chunk = ",".join(str(int(k)) for k in keys[i : i + _CHUNK])
        sql = f"SELECT {_ROW} FROM wf.facts WHERE run IN ({chunk}) AND fact < {Fact.FILE:d}"
        if "," not in chunk:
            sql = sql.replace(f"IN ({chunk})", f"= {chunk}")  # zone maps prune an equality best
        for row in sorted(journal.read(sql)):  # by seq; ORDER BY takes longer to plan than all the rest
            found[row[1]].add(row)
    return found


def all_steps(journal: Journal, key: int) -> list[Any]:
    """Every step row of a run, of every generation."""
    return journal.read(
        f"SELECT {_ROW} FROM wf.facts WHERE run = {key:d} AND fact BETWEEN {Fact.STEP_SCHEDULED:d} AND {Fact.STEP_CANCELED:d} ORDER BY seq"
    )


def files(journal: Journal, key: int) -> list[str]:
    """The side files that a run refers to, by digest."""
    return [row[0] for row in journal.read(f"SELECT DISTINCT name FROM wf.facts WHERE run = {key:d} AND fact = {Fact.FILE:d}")]


def created(journal: Journal, key: int) -> Any | None:
    rows = journal.read(f"SELECT {_ROW} FROM wf.facts WHERE run = {key:d} AND fact = {Fact.CREATED:d}")
    return rows[0] if rows else None


def key_of(journal: Journal, run_id: str) -> int | None:
    """The key of the run with this public id, generated or given; None if there is none."""
    key = key_of_text(run_id)
    if key is not None and created(journal, key) is not None:
        return key
    rows = journal.read(f"SELECT max(run) FROM wf.facts WHERE fact = {Fact.NAMED:d} AND name = ?", [run_id])
    return rows[0][0]


def requested(journal: Journal, token: str, since_us: int) -> tuple[int, int, str] | None:
    """What a request did, by its token: ``(run, fact, body)`` of its first row; None if it was not done since then."""
    sql = f"""SELECT seq, run, fact, body FROM wf.facts WHERE t >= {since_us:d} AND contains(body, ?)
        AND fact IN ({Fact.CREATED:d}, {Fact.EVENT_SENT:d}, {Fact.EVENT_CREATED:d}, {Fact.CANCEL_REQUESTED:d}, {Fact.RESTARTED:d})"""
    for _, run, fact, body in sorted(journal.read(sql, [f'"request":{dumps(token)}'])):
        if loads(body).get("request") == token:  # else the text is in a value, which anybody may have sent
            return run, fact, body
    return None


def end_of(journal: Journal, key: int) -> tuple[int, str] | None:
    """How a run ended, as ``(fact, body)``; None if it is in progress or unknown."""
    rows = journal.read(f"SELECT fact, body FROM wf.facts WHERE run = {key:d} AND fact IN {_TURNS} ORDER BY seq DESC LIMIT 1")
    return rows[0] if rows and rows[0][0] in (Fact.COMPLETED, Fact.FAILED, Fact.CANCELED) else None


def last_end(journal: Journal, key: int) -> int | None:
    """The fact that says where a run stands: CREATED, RESTARTED or an end; None for an unknown run."""
    rows = journal.read(f"SELECT arg_max(fact, seq) FROM wf.facts WHERE run = {key:d} AND fact IN {_TURNS}")
    return rows[0][0]


def has_event(journal: Journal, key: int, event_id: str) -> bool:
    """Whether a run ever had an event with this id: created, sent or awaited; also one that a restart has dropped since."""
    sql = f"SELECT body FROM wf.facts WHERE run = {key:d} AND fact < {Fact.FILE:d} AND contains(body, ?)"
    return any(loads(body).get("event_id") == event_id for (body,) in journal.read(sql, [dumps(event_id)]))


def pools(journal: Journal) -> list[tuple[str, dict[str, Any]]]:
    rows = journal.read(f"SELECT name, arg_max(body, seq) FROM wf.facts WHERE fact = {Fact.POOL:d} AND run = 0 GROUP BY name")
    return [(name, loads(body)) for name, body in rows]


def page_of_runs(
    journal: Journal, *, name: str | None, status: str | None, descending: bool, after: int | None, limit: int
) -> list[int]:
    """Keys of runs in order of their creation, at most ``limit``, beyond the key ``after``."""
    order, beyond = ("DESC", "<") if descending else ("ASC", ">")
    where, params = [f"fact = {Fact.CREATED:d}"], []
    if name is not None:
        where.append("name = ?")
        params.append(name)
    if after is not None:
        where.append(f"run {beyond} {after:d}")
    if status is not None:
        wanted = {
            "in_progress": f"({Fact.CREATED:d}, {Fact.RESTARTED:d})",
            "completed": f"({Fact.COMPLETED:d})",
            "failed": f"({Fact.FAILED:d})",
            "canceled": f"({Fact.CANCELED:d})",
        }[status]
        where.append(
            f"run IN (SELECT run FROM wf.facts WHERE fact IN {_TURNS} GROUP BY run HAVING arg_max(fact, seq) IN {wanted})"
        )
    sql = f"SELECT run FROM wf.facts WHERE {' AND '.join(where)} ORDER BY run {order} LIMIT {limit:d}"
    return [row[0] for row in journal.read(sql, params)]


def run_facts(journal: Journal, keys: Sequence[int]) -> dict[int, History]:
    """The histories of some runs without their steps: what a list of runs shows."""
    if not keys:
        return {}
    found = {key: History() for key in keys}
    chunk = ",".join(str(int(k)) for k in keys)
    for row in sorted(journal.read(f"SELECT {_ROW} FROM wf.facts WHERE run IN ({chunk}) AND fact <= {Fact.HOOK_DONE:d}")):
        found[row[1]].add(row)
    return found


def hook_failures(journal: Journal) -> list[int]:
    """Keys of the runs whose last word on ``on_complete`` is a failure."""
    facts = f"({Fact.HOOK_FAILED:d}, {Fact.HOOK_DONE:d}, {Fact.RESTARTED:d})"
    sql = f"""SELECT run FROM wf.facts WHERE fact IN {facts}
        GROUP BY run HAVING arg_max(fact, seq) = {Fact.HOOK_FAILED:d} ORDER BY run"""
    return [row[0] for row in journal.read(sql)]
