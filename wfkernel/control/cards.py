"""What cards in other processes ask of the holder: a run's feed as it comes, a step's details, the forms."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from pydantic import Field

from wfkernel.cards.desk import post
from wfkernel.cards.feed import Feed, feed_of
from wfkernel.control.operations import Asked, OfRun, operation


class OfStep(OfRun):
    step: int


class ForkOf(OfRun):
    step: int | None = None


class ForkForm(ForkOf):
    changed: dict[str, Any] = Field(default_factory=dict, description="JSON values by parameter, as a person gives them")
    unset: list[str] = Field(default_factory=list, description="parameters that get their default")


class Answer(OfStep):
    value: Any = None


@operation(OfRun)
def watch(asked: Asked, p: OfRun) -> Any:
    """What the card of a run is told (see ``wfkernel.cards.feed``), in parts, until the request is dropped."""
    viewer = _Watcher(asked, feed_of(asked.manager.get(p.run)))
    post(viewer.begin)
    return viewer.left


class _Watcher:
    """Looks at a feed for somebody elsewhere. Who reads slowly is told less often, and then all anew. On the feeds' thread."""

    def __init__(self, asked: Asked, feed: Feed):
        self._asked = asked
        self._feed = feed
        self._sending: Future[None] | None = None
        self._is_behind = False
        self.left: Future[None] = Future()
        self.left.add_done_callback(lambda _: post(self._leave))

    def begin(self) -> None:
        if not self.left.done():
            self._feed.viewers.append(self)
            self.tell(self._feed.snapshot())

    def _leave(self) -> None:
        if self in self._feed.viewers:
            self._feed.viewers.remove(self)

    def tell(self, message: dict[str, Any]) -> None:
        if self._sending is not None:
            self._is_behind = True
            return
        assert self._asked.tell_soon is not None
        self._sending = self._asked.tell_soon(message)
        self._sending.add_done_callback(lambda sent: post(lambda: self._sent(sent)))

    def _sent(self, sent: Future[None]) -> None:
        self._sending = None
        if sent.cancelled() or sent.exception() is not None:
            self._leave()
        elif self._is_behind:
            self._is_behind = False
            self.tell(self._feed.snapshot())

    def ended(self) -> None:
        """The last delta has said so."""


@operation(OfStep)
def details(asked: Asked, p: OfStep) -> Any:
    """All there is to know of one step, as text."""
    return _there(lambda: feed_of(asked.manager.get(p.run)).details(p.step))


@operation(OfStep)
def event_form(asked: Asked, p: OfStep) -> Any:
    """The form for the event that a step waits for: ``{step, event, event_id, type, form, help}``."""
    return feed_of(asked.manager.get(p.run)).event_form(p.step)


def _name_of_step(asked: Asked, p: Answer) -> str:
    return next((s.name for s in asked.manager.steps(p.run) if s.step_number == p.step), "")


@operation(Answer, changes=True, retold=_name_of_step)
def answer(asked: Asked, p: Answer) -> Any:
    """Send the event that a step waits for, as its form gives it: the event's name."""
    return feed_of(asked.manager.get(p.run)).answer(p.step, p.value, _request=asked.token)


@operation(ForkOf)
def fork_form(asked: Asked, p: ForkOf) -> Any:
    """The form for the arguments of a fork of a run."""
    return feed_of(asked.manager.get(p.run)).fork_form(p.step)


@operation(ForkForm, changes=True)
def fork_by_form(asked: Asked, p: ForkForm) -> Any:
    """A new run with the steps of another, and arguments as a form gives them: ``{run_id}``."""
    return {"run_id": feed_of(asked.manager.get(p.run)).fork(p.step, p.changed, p.unset, _request=asked.token)}


def _there(job: Any) -> Future[Any]:
    """What a job on the feeds' thread returns."""
    done: Future[Any] = Future()

    def do() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(job())
        except BaseException as exc:
            done.set_exception(exc)

    post(do)
    return done
