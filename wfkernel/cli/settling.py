"""Which runs of a journal are still on their way: whether there is something to wait for, and how it all ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from wfkernel.cli.waiting import LOOK_AGAIN_S
from wfkernel.errors import RunNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wfkernel.cli.asking import Holder
    from wfkernel.cli.progress import Progress

_LOOKED_AT = 20  # runs that are looked at closely each time, at least
_ENDED = """SELECT run_id, name, status, CAST(error AS VARCHAR) FROM wf.runs
    WHERE completed_at >= CAST(? AS TIMESTAMPTZ) AND parent_run_id IS NULL
        OR completed_at IS NOT NULL AND list_contains(CAST(? AS VARCHAR[]), run_id)
    ORDER BY completed_at"""


class Pending(NamedTuple):
    """A run that has not ended.

    Attributes:
        events: those without which it cannot go on.
        stuck: why it cannot go on here, in words; None if it can.
        is_new: whether it began in the time that counts.
    """

    run_id: str
    name: str
    created_at: str
    events: list[str]
    stuck: str | None
    is_new: bool

    @property
    def is_moving(self) -> bool:
        return not self.events and self.stuck is None

    @property
    def words(self) -> str:
        if self.events:
            return f"waits for event {', '.join(self.events)}"
        return "in progress" if self.stuck is None else f"cannot go on here: {self.stuck}"


class Ended(NamedTuple):
    """A run that ended in the time that counts, or that was started again though it had ended."""

    run_id: str
    name: str
    status: str
    error: str | None


class Outcome(NamedTuple):
    """Where the runs stand when nobody waits for them any longer."""

    pending: list[Pending]
    ended: list[Ended]

    @property
    def exit_code(self) -> int:
        """0 all completed, 1 something failed or has not ended, 3 a run waits for an event. Runs that others began do not count
        where this file does not define them."""
        if any(e.status != "completed" for e in self.ended):
            return 1
        if any(p.is_moving or (p.stuck is not None and not p.events and p.is_new) for p in self.pending):
            return 1
        return 3 if any(p.events for p in self.pending if p.stuck is None or p.is_new) else 0


def settled(
    holders: list[Holder],
    since: str,
    met: Callable[[], list[str]],
    *,
    wait_for_events: bool,
    until: float | None,
    progress: Progress,
) -> Outcome:
    """Wait until no run can go on by itself.

    Args:
        since: an instant, ISO 8601: runs that ended after it are in the outcome.
        met: gives the ids of more runs that are in the outcome, whenever they ended.
        wait_for_events: wait also for runs that only an event lets go on.
        until: by ``time.monotonic``; then the outcome is what it is.
    """
    pause = LOOK_AGAIN_S[0]
    while True:
        found = [p for holder in holders for p in pending(holder, since)]
        ended = [e for holder in holders for e in _ended(holder, since, met())]
        over = {e.run_id for e in ended}  # some of them were found pending a moment before
        found = [p for p in found if p.run_id not in over]
        progress.show(found, ended)
        left = LOOK_AGAIN_S[1] if until is None else until - time.monotonic()
        if is_over(found, wait_for_events=wait_for_events) or left <= 0:
            return Outcome(found, ended)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LOOK_AGAIN_S[1])


def is_over(found: list[Pending], *, wait_for_events: bool) -> bool:
    """Whether none of these runs will go on by itself, or, if that counts, by an event."""
    return not any(p.is_moving or (wait_for_events and p.stuck is None) for p in found)


def pending(holder: Holder, since: str = "") -> Iterator[Pending]:
    """The runs that have not ended. One after the other, so that what moves may have moved on."""
    is_one_moving = False
    for i, run in enumerate(_in_progress(holder)):
        known = run["run_id"], run["name"], run["created_at"]
        is_new = run["created_at"] >= since  # both in UTC, and to the microsecond
        if i >= _LOOKED_AT and is_one_moving:
            yield Pending(*known, [], None, is_new)  # nobody shows it, and there is something to wait for anyway
            continue
        try:
            found = Pending(*known, *_where(holder, run["run_id"]), is_new)
        except RunNotFound:  # it was cleaned up this moment
            continue
        is_one_moving = is_one_moving or found.is_moving
        yield found


def _in_progress(holder: Holder) -> Iterator[dict[str, Any]]:
    """Children are left out: they move when their parents do."""
    cursor = None
    while True:
        page = holder.ask("list", status="in_progress", order="asc", limit=1000, cursor=cursor)
        yield from (run for run in page["items"] if run["parent_run_id"] is None)
        cursor = page["cursor"]
        if page["is_done"]:
            return


def _where(holder: Holder, run: str) -> tuple[list[str], str | None]:
    stuck = holder.ask("status", run=run)["waiting_for"]
    if stuck is not None and stuck.startswith("its start at"):
        return [], None  # that time will come
    return holder.ask("needed_events", run=run), stuck


def _ended(holder: Holder, since: str, met: list[str]) -> list[Ended]:
    rows: list[list[Any]] = []
    holder.ask("sql", part=lambda part: rows.extend(part["rows"]), query=_ENDED, params=[since, met])
    return [Ended(*row) for row in rows]
