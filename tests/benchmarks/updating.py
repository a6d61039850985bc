"""A card of 10,000 steps that is updated ten times a second for a minute: what it costs the kernel, and whether all arrives."""

from __future__ import annotations

import ast
import time
from pathlib import Path

from tests.benchmarks.measure import Result
from tests.benchmarks.page import Page, opened

STEPS = 10_000
WATCHED_S = 60
LANES = 10
CHANGES = 200  # steps that begin and end each second
CELL = f"""
async def nothing(n):
    return n

def pause(n):
    time.sleep({LANES / CHANGES})

async def lane(step):
    for n in range({2 * CHANGES * WATCHED_S // LANES}):
        await step.run_action(pause, n)

@wf.workflow
async def long(step):
    for n in range({STEPS} // 500):
        await asyncio.gather(*(step.run_action(nothing, m) for m in range(500)))
    await step.await_event("go")
    await asyncio.gather(*(lane(step) for _ in range({LANES})))

run = long.start()
while not any(s.kind == "event" for s in run.status().running):
    time.sleep(0.05)

def cpu():
    '''Seconds that the threads of the cards have used; pipes to the page are ipykernel's.'''
    spent = {{}}
    for thread in threading.enumerate():
        if thread.name in ("wfkernel-widgets", "wfkernel-commands"):
            spent[thread.name] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return sum(spent.values()), time.process_time(), time.monotonic()
"""


def run(directory: Path) -> list[Result]:
    with opened(directory / "updating.duckdb", CELL) as page:
        page.front.run("run.send_event('go')")
        page.await_news("d")
        before = _cpu(page)
        news = _watch(page)
        after = _cpu(page)
        page.front.run("run.cancel()")
    cards, process, real = (b - a for a, b in zip(before, after, strict=True))
    seqs = [message["seq"] for message in news if message["k"] in ("d", "snap")]
    dropped = seqs[-1] - seqs[0] + 1 - len(seqs)
    rate = len(seqs) / WATCHED_S
    assert rate > 8, f"only {rate:.1f} updates a second came: that would say nothing about the cost of ten"
    changed = sum(len(message.get("rows", ())) for message in news)
    name = f"card: {STEPS:,} steps, {WATCHED_S} s of updates"
    detail = (
        f"{rate:.1f} updates a second with {changed / len(seqs):.1f} steps each; the whole kernel {process / real * 100:.0f} %"
    )
    return [
        Result(f"{name}, CPU of its threads", cards / real * 100, 5, "lower", "% of a core", detail),
        Result(f"{name}, dropped", dropped, 0, "lower", "messages", f"of {len(seqs)}"),
    ]


def _cpu(page: Page) -> tuple[float, float, float]:
    """Of the cards' threads, of the process, and the clock on the wall; seconds."""
    return ast.literal_eval(page.front.run("cpu()").value or "")


def _watch(page: Page) -> list[dict]:
    news: list[dict] = []
    until = time.monotonic() + WATCHED_S

    def is_over() -> bool:
        news.extend(page.news())
        return time.monotonic() >= until

    page.front.until(is_over, "the end of the minute", patience_s=WATCHED_S + 30)
    return news
