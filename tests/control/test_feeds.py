"""The feed of a run that another process holds: it is heard for as long as anybody looks, and no longer."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

from control_kit import until

from wfkernel import Run
from wfkernel.cards.desk import post
from wfkernel.control import feeds
from wfkernel.control.connected import ConnectedManager
from wfkernel.control.feeds import RemoteFeed, feed_of


class Looker:
    """A viewer that remembers what it was told."""

    def __init__(self, run: Run):
        found = feed_of(run)
        assert isinstance(found, RemoteFeed)
        self.feed = found
        self.told: list[dict[str, Any]] = []
        self.ends = 0

    def tell(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    def ended(self) -> None:
        self.ends += 1

    def look(self) -> None:
        on_the_feeds_thread(lambda: (self.feed.viewers.append(self), self.feed.snapshot()))

    def leave(self) -> None:
        on_the_feeds_thread(lambda: self.feed.viewers.remove(self))

    @property
    def status(self) -> str:
        """As it was told last."""
        return next((m["run"]["status"] for m in reversed(self.told) if "status" in m.get("run", {})), "")


def on_the_feeds_thread(job: Callable[[], object]) -> None:
    done = threading.Event()
    post(lambda: (job(), done.set()))
    assert done.wait(10)


def watches(wf: ConnectedManager) -> int:
    """Requests of ours that the holder has not answered."""
    return len(wf._link._waiting)  # type: ignore[union-attr]


def look_until_it_ends(run: Run) -> None:
    looker = Looker(run)
    looker.look()
    until(lambda: looker.ends)
    looker.leave()


def test_a_run_is_heard_until_the_last_one_who_looked_has_left(hold: Any, connect: Any) -> None:
    hold()
    wf = connect()
    run = wf.start("patient", event_names=["a", "b"])
    first, second = Looker(run), Looker(run)
    assert first.feed is second.feed
    first.look()
    second.look()
    until(lambda: len(first.told) and watches(wf) == 1)
    first.leave()
    run.send_event("a", 1)
    until(lambda: any(row[0] == 1 for m in second.told for row in m.get("rows", ())))
    assert watches(wf) == 1
    second.leave()
    until(lambda: watches(wf) == 0)

    first.look()  # again: it hears what there is now, and what comes
    run.send_event("b", 2)
    until(lambda: first.ends)
    assert first.status == "completed"
    first.leave()
    until(lambda: watches(wf) == 0)


def test_who_looks_on_after_the_end_is_told_when_the_run_is_begun_again(hold: Any, connect: Any) -> None:
    hold()
    wf = connect()
    run = wf.start("named")
    looker = Looker(run)
    looker.look()
    run.cancel()
    until(lambda: looker.status == "canceled")
    run.restart()
    until(lambda: looker.status == "in_progress")
    looker.leave()
    until(lambda: watches(wf) == 0)


def test_a_glance_leaves_no_watch_behind(hold: Any, connect: Any) -> None:
    hold()
    wf = connect()
    looker = Looker(wf.start("named"))
    on_the_feeds_thread(looker.feed.snapshot)  # as for a notebook that is saved
    until(lambda: looker.feed.header["name"] == "named" and "t0" in looker.feed.header)
    until(lambda: watches(wf) == 0)


def test_a_feed_that_nobody_has_any_more_is_forgotten_and_so_is_its_manager(hold: Any, connect: Any) -> None:
    hold()
    wf = connect()
    before = set(feeds._feeds)
    for _ in range(5):
        look_until_it_ends(wf.start("quick"))
    until(lambda: watches(wf) == 0)
    until(lambda: gc.collect() is not None and set(feeds._feeds) <= before)


def test_who_looks_hears_on_when_this_process_becomes_the_holder(hold: Any, connect: Any) -> None:
    holder = hold()
    wf = connect()
    run = wf.start("named")
    looker = Looker(run)
    looker.look()
    until(lambda: looker.told)
    holder.kill()
    until(lambda: wf.is_holder)
    until(lambda: looker.feed._own)
    run.cancel()
    until(lambda: looker.status == "canceled")
    own = looker.feed._own
    assert own is not None
    looker.leave()
    until(lambda: looker.feed not in own.viewers)
