"""A holder and three other processes on one journal, all of them busy, and the holder killed and replaced: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from control_kit import until
from holder_script import define

from wfkernel.control.client import Connection
from wfkernel.errors import ControlError
from wfkernel.model.facts import Fact

CLIENTS, KILLS = 3, 2

CLIENT = f"""
import json, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from holder_script import define
from wfkernel import WorkflowManager

path, name = sys.argv[1:]
wf = WorkflowManager(path, connect="auto")
define(wf)
done = []
print("ready", flush=True)
i = 0
while True:
    words = [f"{{name}}-{{i}}-{{j}}" for j in range(2)]
    run = wf.start("patient", event_names=words)
    if i % 5 == 4:
        wf.create_event("unused", run=run)
    for word in words:
        run.send_event(word, word)
    done.append([run.id, run.result(60) == words])
    i += 1
    if i % 5 == 0:
        print(json.dumps(done), flush=True)
        done = []
        word = sys.stdin.readline().strip()
        if word == "stop":
            break
        if word == "reopen":
            wf.close()
            wf = WorkflowManager(path, connect="auto")
            define(wf)
wf.close()
"""


def start(path: Path, name: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def some(process: subprocess.Popen[str]) -> list[Any]:
    """What a client did next: ``[run id, whether its result was right]``."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def go_on(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def holder_of(path: Path) -> int | None:
    try:
        with Connection.open(path) as connection:
            return connection.holder["pid"]
    except ControlError:
        return None


def test_a_holder_that_is_killed_or_closed_and_replaced_loses_nothing_and_doubles_nothing(
    path: Path, hold: Any, connect: Any
) -> None:
    holders = [hold("auto")]
    clients = [start(path, f"client{i}") for i in range(CLIENTS)]
    done: list[Any] = []
    try:
        for kill in range(KILLS + 1):
            for client in clients:
                done += some(client)
            if kill == KILLS:
                owner = None
            else:
                holders.append(hold("auto"))
                owner = until(lambda: holder_of(path))
            for client in clients:
                go_on(client, "stop" if owner is None else "reopen" if client.pid == owner else "on")
            for holder in holders:  # in the middle of what the clients ask
                if holder.process.pid == owner:
                    holder.kill()
        for client in clients:
            assert client.wait(30) == 0
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    for holder in holders:
        holder.kill()
    assert len(done) == CLIENTS * 5 * (KILLS + 1)
    assert all(is_right for _, is_right in done)
    _check_the_journal(connect(), [run for run, _ in done])


def _check_the_journal(wf: Any, acknowledged: list[str]) -> None:
    define(wf)
    assert wf.is_holder
    runs = until(lambda: (page := wf.list(limit=1000)) and all(r.status == "completed" for r in page) and page)
    assert Counter(r.run_id for r in runs) == Counter(acknowledged)
    assert len({tuple(r.args["event_names"]) for r in runs}) == len(runs)  # no start was done twice
    sent = wf.db.execute(f"SELECT name FROM wf.facts WHERE fact = {Fact.EVENT_SENT:d}").fetchall()
    assert Counter(sent) == Counter((word,) for r in runs for word in r.args["event_names"])
    made = wf.db.execute(f"SELECT run FROM wf.facts WHERE fact = {Fact.EVENT_CREATED:d}").fetchall()
    assert len(set(made)) == len(made) == len(runs) // 5
