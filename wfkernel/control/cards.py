"""What cards and dashboards in other processes ask of the holder: a run's feed as it comes, a step's details, the forms; pages of runs."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Literal

from pydantic import Field

from wfkernel.cards.desk import post
from wfkernel.cards.feed import Feed, feed_of
from wfkernel.cards.pages import Ear, count, read_page, read_steps
from wfkernel.control.operations import Asked, OfRun, Params, operation
from wfkernel.control.operations.reads import None_

_NEWS_S = 0.2  # between parts


class OfStep(OfRun):
    step: int


class Look(Params):
    names: list[str] = Field(default_factory=list[str], description="of workflows; empty for all")
    statuses: list[str] = Field(default_factory=list[str], description="empty for all")
    text: str = Field("", description="in the run's id, its workflow's name or its error")
    sort: Literal["created", "duration", "status", "name"] = "created"
    desc: bool = True
    page: int = Field(0, ge=0)


class OfWorkflow(Params):
    workflow: str


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


@operation(None_)
def news(asked: Asked, p: None_) -> Any:
    """Tell, by parts without content, that something changed, until the request is dropped; the first says that this is told from now on."""
    messenger = _Messenger(asked)
    post(messenger.begin)
    return messenger.left


class _Messenger:
    """Tells somebody elsewhere that there are news: seldom, and never more than one at a time. On the feeds' thread, but ``_stir``."""

    def __init__(self, asked: Asked):
        self._asked = asked
        self._ear = Ear(self._stir)
        self._is_due = False
        self._sending: Future[None] | None = None
        self.left: Future[None] = Future()
        self.left.add_done_callback(lambda _: self._leave())

    def begin(self) -> None:
        self._asked.manager._engine.add_listener(self._ear)
        self._tell()
        if self.left.done():  # while this began
            self._leave()

    def _leave(self) -> None:
        self._asked.manager._engine.remove_listener(self._ear)

    def _stir(self) -> None:
        if not self._is_due:
            self._is_due = True
            post(self._tell, after=_NEWS_S)

    def _tell(self) -> None:
        if self._sending is not None:
            return
        self._is_due = False
        assert self._asked.tell_soon is not None
        self._sending = self._asked.tell_soon({})
        self._sending.add_done_callback(lambda sent: post(lambda: self._sent(sent)))

    def _sent(self, sent: Future[None]) -> None:
        self._sending = None
        if sent.cancelled() or sent.exception() is not None:
            self._leave()
        elif self._is_due:
            self._tell()


@operation(Look)
def overview(asked: Asked, p: Look) -> Any:
    """A page of runs as a dashboard shows it: ``{now, page, size, total, rows, counts, names}``."""
    return read_page(asked.manager, p.model_dump())


@operation(OfWorkflow)
def step_times(asked: Asked, p: OfWorkflow) -> Any:
    """How long the steps of a workflow took over time, in milliseconds: ``{start, width, left_out, times}``."""
    return read_steps(asked.manager, p.workflow)


@operation(None_)
def count_(asked: Asked, p: None_) -> Any:
    """How many runs there are."""
    return count(asked.manager)


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
