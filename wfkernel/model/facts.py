"""What happened: the rows of the journal.

A run is the list of its facts in the order of ``seq``. A row is
``(seq, run, step, generation, fact, t, name, body)``:

    seq         commit order over the whole journal, assigned by the writer
    run         the run's integer key, time-ordered
    step        the step's number, from 0; -1 for what concerns the run as a whole
    generation  grows with each restart from a step
    fact        one of the codes below
    t           when it happened, Unix microseconds
    name        the step's, workflow's or event's name; the SHA-256 of a side file
    body        the rest, a JSON object, complete in itself: a step's last fact says all there is to know of it
"""

from __future__ import annotations

from enum import IntEnum


class Fact(IntEnum):
    """The codes of the ``fact`` column. Never renumber: they are on people's disks."""

    CREATED = 1  # id, args, context, on_complete, parent [run, step, generation], start_at
    COMPLETED = 2  # result
    FAILED = 3  # error
    CANCELED = 4
    CANCEL_REQUESTED = 5  # grace
    RESTARTED = 6  # drop: the numbers of the steps that are set aside; generation: the new one
    EVENT_CREATED = 7  # event_id
    EVENT_SENT = 8  # event_id, value or error
    HOOK_FAILED = 9  # on_complete raised: error
    HOOK_DONE = 10  # on_complete was run again, and held
    NAMED = 11  # the run was given the public id `name` by its starter

    STEP_SCHEDULED = 20  # kind, args, scheduled_at, after, code, event_id, child, due
    STEP_RUNNING = 21  # ... and started_at, attempts; next_at where an attempt failed
    STEP_SUCCESS = 22  # ... and completed_at, result
    STEP_FAILED = 23  # ... and completed_at, error
    STEP_CANCELED = 24  # ... and completed_at, by: the seq of the fact on which the body canceled it

    FILE = 40  # the run refers to the side file `name`
    POOL = 41  # run 0: a named pool and its max_parallelism


RUN_STATUS = {Fact.COMPLETED: "completed", Fact.FAILED: "failed", Fact.CANCELED: "canceled"}
STEP_STATUS = {
    Fact.STEP_SCHEDULED: "scheduled",
    Fact.STEP_RUNNING: "running",
    Fact.STEP_SUCCESS: "success",
    Fact.STEP_FAILED: "failed",
    Fact.STEP_CANCELED: "canceled",
}
