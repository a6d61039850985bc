"""From a click in a run's card to the journaled event, while a cell blocks; played over ZMQ, as a page does it.

The kernel acknowledges a command once its event is committed, so what is measured holds the way back to the page, too.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.measure import Result, quantile
from tests.benchmarks.page import Page, opened

CLICKS = 300
PAUSE_S = 0.02  # between clicks: a person's, not a flood
CELL = f"""
@wf.workflow
async def clicked(step):
    for _ in range({CLICKS}):
        await step.await_event("go")
    return "all"
run = clicked.start()
"""


def run(directory: Path) -> list[Result]:
    with opened(directory / "clicking.duckdb", CELL) as page:
        cell = page.front.begin("run.result()")
        took = [_click(page, number) for number in range(CLICKS)]
        assert cell.succeed().value == "'all'"
        journaled = page.front.run("wf.db.execute('SELECT count(*) FROM wf.events WHERE run_id = ?', [run.id]).fetchone()").value
        assert journaled == f"({CLICKS},)"
    detail = f"{CLICKS} clicks, p50 {quantile(took, 0.5) * 1e3:.1f} ms, worst {max(took) * 1e3:.1f} ms"
    return [Result("click: card to journaled event, a cell blocks, p95", quantile(took, 0.95) * 1e3, 100, "lower", "ms", detail)]


def _click(page: Page, number: int) -> float:
    time.sleep(PAUSE_S)
    clicked = time.perf_counter()
    page.tell({"k": "cmd", "id": number, "run": page.run_id, "cmd": "send", "event": "go", "value": number})
    answer = page.await_news("ack")
    took = time.perf_counter() - clicked
    assert answer["id"] == number, answer
    assert answer["ok"], answer
    return took
