"""Holds a journal in a process of its own: ``main(JOURNAL, "auto", "lacking")``; with workflows, and what they are about."""

from __future__ import annotations

import datetime
import sys
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from wfkernel import WorkflowManager, define_event, mutation


class Approval(BaseModel):
    ok: bool
    by: str = "nobody"


@dataclass
class Place:
    city: str
    at: tuple[int, int]


APPROVAL = define_event("approval", Approval)
PLAIN = define_event("plain")


def shout(text: str) -> str:
    return text.upper()


def refuse() -> None:
    raise ValueError("no such luck")


@mutation
def failing_hook(db: Any, completion: Any) -> None:
    count = db.execute("SELECT count(*) FROM main.hooked").fetchone()[0]
    if count == 0:
        raise RuntimeError("not yet")


def define(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, city: str, days: int = 3):
        loud = await step.run_action(shout, city)
        approval = await step.await_event(APPROVAL)
        return (loud, approval, days)

    @wf.workflow
    async def quick(step, n: int = 0):
        return await step.run_action(add_one, n)

    @wf.workflow
    async def named(step):
        return await step.await_event("plain")

    @wf.workflow
    async def failing(step):
        await step.run_action(shout, "a")
        return await step.run_action(refuse)

    @wf.workflow
    async def typed(step, place: Place, when: datetime.date, pair: tuple[int, str]):
        return (place, when, pair)

    @wf.workflow
    async def large(step, text: bytes):
        return await step.run_action(doubled, text)

    @wf.workflow
    async def patient(step, event_names: list[str]):
        return [await step.await_event(name) for name in event_names]


def add_one(n: int) -> int:
    return n + 1


def doubled(text: bytes) -> bytes:
    return text + text


def main(path: str, *words: str) -> None:
    wf = WorkflowManager(path, connect="auto" if "auto" in words else "never")
    if "lacking" not in words:
        define(wf)
    print("ready", flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "define":
            define(wf)
        if word == "close":
            break
        print("done", flush=True)
    wf.close()
