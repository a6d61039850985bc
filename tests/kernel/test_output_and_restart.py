"""What steps print lands in the cell that started the run; a restarted kernel takes its runs up again."""

from __future__ import annotations

from pathlib import Path

import ipykernel
import pytest
from frontend import FrontEnd  # noqa: TC002 - a name of ours, though it is no package

KINDS = {
    "async action": "@action\nasync def talk(n):",
    "plain action": "@action\ndef talk(n):",
    "query": "from wfkernel import query\n@query\ndef talk(db, n):",
    "mutation": "from wfkernel import mutation\n@mutation\ndef talk(db, n):",
}


def define_talk(front: FrontEnd, kind: str, line: str) -> None:
    run = {"query": "query", "mutation": "mutation"}.get(kind, "action")
    front.run(
        f"""
{KINDS[kind]}
    {line}

@wf.workflow
async def chat(step, name):
    for n in range(3):
        await step.await_event("next")
        await step.run_{run}(talk, f"{{name}}{{n}}")
    print(f"{{name}} is done", flush=True)
"""
    )


@pytest.mark.parametrize("kind", KINDS)
def test_steps_print_into_the_cell_that_started_the_run(front: FrontEnd, kind: str) -> None:
    define_talk(front, kind, "print(n, flush=True)")
    a = front.run("a = chat.start('a')")
    b = front.run("b = chat.start('b')")
    for n in range(3):
        other = front.run(f"a.send_event('next'); print('not mine {n}')")
        front.until(lambda n=n: f"a{n}\n" in a.printed, "the print of a's step")
        assert other.printed == f"not mine {n}\n"
        front.run("b.send_event('next')")
        front.until(lambda n=n: f"b{n}\n" in b.printed, "the print of b's step")
    front.until(lambda: "a is done\n" in a.printed and "b is done\n" in b.printed, "the bodies' prints")
    assert a.printed == "a0\na1\na2\na is done\n"
    assert b.printed == "b0\nb1\nb2\nb is done\n"


def test_steps_print_into_their_cell_while_another_cell_runs(front: FrontEnd) -> None:
    define_talk(front, "async action", "print(n, flush=True)")
    a = front.run("a = chat.start('a')")
    busy = front.begin("for n in range(3): a.send_event('next')\na.result(); print('mine')").succeed()
    front.until(lambda: "a is done\n" in a.printed, "the prints")
    assert a.printed == "a0\na1\na2\na is done\n"
    assert busy.printed == "mine\n"


@pytest.mark.parametrize("kind", ["async action", "plain action"])
def test_steps_display_into_the_cell_that_started_the_run(front: FrontEnd, kind: str) -> None:
    define_talk(front, kind, "from IPython.display import display; display({'text/plain': n}, raw=True)")
    a = front.run("a = chat.start('a')")
    other = front.run("for n in range(3): a.send_event('next')\na.result()")
    # ipykernel 6 keeps one parent for all displays, that of the latest cell: there display() of a step lands in that one.
    right, wrong = (a, other) if ipykernel.version_info[0] >= 7 else (other, a)
    front.until(lambda: len(right.shown) == 3, "the displays")
    assert right.shown == ["a0", "a1", "a2"]
    assert wrong.shown == []


RESTARTED = """
import asyncio
from pathlib import Path
from wfkernel import WorkflowManager, action

log = Path({log!r})
wf = WorkflowManager({path!r})

@action
def note(text):
    with log.open("a") as file:
        file.write(text + "\\n")

@wf.workflow
async def job(step):
    await step.run_action(note, "first")
    await step.await_event("go")
    await step.run_action(note, "second")
    return "done"
"""


def test_a_kernel_restarted_while_a_cell_waits_goes_on_after_the_definitions(bare: FrontEnd, tmp_path: Path) -> None:
    front, log = bare, tmp_path / "log.txt"
    definitions = RESTARTED.format(log=str(log), path=str(tmp_path / "journal.duckdb"))
    front.run(definitions)
    run_id = front.run("run = job.start(); print(run.id)").printed.strip()
    cell = front.begin("run.result()")
    front.until(lambda: cell.shown and "event 'go'" in cell.shown[-1], "the run to wait")
    front.restart()
    head, _, tail = definitions.partition("@action")
    front.run(head + f"run = wf.get({run_id!r})")
    cell = front.begin("await run")
    front.until(lambda: cell.shown, "the line")
    assert cell.shown == [f"waiting for run {run_id}: the definition of workflow 'job' (run its cell)"]
    front.interrupt()
    assert cell.wait().error == "KeyboardInterrupt"
    front.run("@action" + tail)
    assert front.run("run.send_event('go'); run.result()").value == "'done'"
    assert log.read_text().split() == ["first", "second"]


WATCHED = """
import threading
from wfkernel.notebook.card import RunCard

def details(run, number):
    '''What a card of the run is told of a step.'''
    told, news = [], threading.Event()
    card = RunCard(run)
    def receive(message, buffers=None):
        told.append(message)
        if message["k"] == "details":
            news.set()
    card.send = receive
    for message in ({"k": "hello"}, {"k": "details", "step": number}):
        card._handle_custom_msg({"view": "v1", **message}, [])
    assert news.wait(10)
    (found,) = [m for m in told if m["k"] == "details"]
    return [(line[2], line[1]) for line in found.get("log", [found])]
"""


@pytest.mark.parametrize("kind", ["async action", "plain action"])
def test_what_a_step_prints_and_displays_is_in_its_log_and_in_its_cell(front: FrontEnd, kind: str) -> None:
    front.run(WATCHED)
    front.run(
        f"""
import logging, sys
from IPython.display import display
handler = logging.StreamHandler()  # as libraries make theirs: before any step runs
{KINDS[kind]}
    print("out", n, flush=True)
    print("err", n, file=sys.stderr, flush=True)
    handler.emit(logging.makeLogRecord({{"msg": f"logged {{n}}"}}))
    display({{"text/plain": f"shown {{n}}"}}, raw=True)

@wf.workflow
async def chat(step, names):
    await step.await_event("next")
    await asyncio.gather(*(step.run_action(talk, name) for name in names))
"""
    )
    mine = front.run("run = chat.start(['a', 'b'])")
    other = front.run("run.send_event('next'); run.result()")
    # A print comes in pieces, and another thread's may stand between them.
    front.until(lambda: len(mine.printed) >= len("out a\nout b\n"), "the prints")
    assert sorted(mine.printed) == sorted("out a\nout b\n")
    assert other.printed == ""
    for number, name in ((1, "a"), (2, "b")):
        log = eval(front.run(f"details(run, {number})").value or "")
        expected = [
            ("stdout", f"out {name}"),
            ("stderr", f"err {name}"),
            ("stderr", f"logged {name}"),
            ("display", f"shown {name}"),
        ]
        assert log == expected, log


def test_a_log_is_kept_however_late_the_card_comes(front: FrontEnd) -> None:
    define_talk(front, "plain action", "print('here', n)")
    front.run(WATCHED)
    front.run("run = chat.start('a')\nfor n in range(3): run.send_event('next')\nrun.result()")
    assert front.run("details(run, 3)").value == "[('stdout', 'here a1')]"
