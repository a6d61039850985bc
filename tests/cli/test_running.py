"""`wfkernel run`: scripts and notebooks, until their runs have ended or wait."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from cli_kit import Said, environment, eventually

from wfkernel import WorkflowManager

SCRIPT = """
import asyncio
import sys
import threading
import time
from dataclasses import dataclass
from helper import COUNT
from wfkernel import WorkflowManager

@dataclass
class Report:
    n: int

wf = WorkflowManager()

@wf.workflow
async def count(step, n: int) -> Report:
    for _ in range(n):
        await step.sleep(0.02)
    return Report(n)

@wf.workflow
async def ask(step):
    return await step.await_event("answer")

@wf.workflow
async def ask_for_a_while(step):
    try:
        return await step.await_event("answer", timeout=0.1)
    except TimeoutError:
        return "nobody answered"

@wf.workflow
async def fail(step):
    raise ValueError("no")

@wf.workflow
async def endless(step):
    await step.sleep(3600)

print(__name__, sys.argv[1:])
for word in sys.argv[1:]:
    if word == "exit":
        sys.exit(7)
    elif word == "words":
        sys.exit("in words")
    elif word == "raise":
        raise ZeroDivisionError("of the script")
    elif word == "close":
        wf.close()
    elif word == "block":
        endless.start().result()
    elif word == "wait":
        print("it said", wf.start("ask").result())
    elif word == "feed":
        @wf.workflow
        async def count_events(step):
            return [await step.await_event("more") for _ in range(10)]

        run = count_events.start()
        threading.Thread(target=lambda: [(time.sleep(0.4), run.send_event("more", n)) for n in range(10)]).start()
        print("it said", run.result())
    elif word == "await":
        async def main():
            run = wf.start("ask")
            asyncio.get_running_loop().call_later(float(sys.argv[-1]), lambda: run.send_event("answer", "yes"))
            print("it said", await run)
        asyncio.run(main())
        break
    else:
        wf.start(word, *([COUNT] if word == "count" else []))
"""


@pytest.fixture
def script(journal: Path) -> Path:
    folder = journal.parent / "scripts"
    folder.mkdir()
    (folder / "helper.py").write_text("COUNT = 3\n")
    path = folder / "pipeline.py"
    path.write_text(SCRIPT)
    return path


def runs(said: Said) -> list[tuple[str, str]]:
    return [(run["name"], run["status"]) for run in said.json["runs"]]


def test_a_script_runs_as_main_until_its_runs_have_ended(wfkernel, script: Path, journal: Path) -> None:
    before = sys.modules["__main__"], sys.argv, sys.path
    said = wfkernel("run", script, "--", "count", "count")
    assert said.code == 0
    assert said.out == "__main__ ['count', 'count']\n"
    assert said.err.count("of count: completed") == 2
    assert (sys.modules["__main__"], sys.argv, sys.path) == before
    with WorkflowManager(journal) as wf:
        assert [r.status for r in wf.list()] == ["completed", "completed"]


def test_the_document_is_all_there_is_on_the_output(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--json", "--", "count")
    assert said.json["exit_code"] == said.code == 0
    assert runs(said) == [("count", "completed")]
    assert "__main__" in said.err


def test_the_exit_code_tells_a_scheduler_what_happened(wfkernel, script: Path) -> None:
    assert wfkernel("run", script).code == 0
    assert wfkernel("run", script, "--", "exit").code == 7
    said = wfkernel("run", script, "--", "words")
    assert (said.code, said.err) == (1, "in words\n")
    waits = wfkernel("run", script, "--json", "--", "ask", "ask_for_a_while", "count")
    assert waits.code == 3
    assert sorted(runs(waits)) == [("ask", "in_progress"), ("ask_for_a_while", "completed"), ("count", "completed")]
    assert waits.json["runs"][-1]["waits_for"] == ["answer"]
    assert "of ask: waits for event answer" in waits.err


def test_a_run_that_failed_counts_though_others_completed(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--json", "--", "fail", "count")
    assert said.code == 1
    assert sorted(runs(said)) == [("count", "completed"), ("fail", "failed")]


def test_an_error_of_the_script_is_shown_as_python_shows_it(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--", "count", "raise")
    assert said.code == 1
    assert said.err.startswith('Traceback (most recent call last):\n  File "' + str(script))
    assert "ZeroDivisionError: of the script" in said.err
    broken = script.with_name("broken.py")
    broken.write_text("def (:\n")
    said = wfkernel("run", broken)
    assert said.code == 1
    assert "SyntaxError" in said.err


def test_the_document_says_why_the_script_failed_and_where_its_runs_stand(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--json", "--", "endless", "raise")
    assert (said.code, said.json["exit_code"]) == (1, 1)
    assert said.json["error"] == {"type": "ZeroDivisionError", "message": "of the script"}
    assert runs(said) == [("endless", "in_progress")]
    assert wfkernel("run", script, "--json", "--", "words").json["error"] == {"type": "SystemExit", "message": "in words"}
    broken = script.with_name("broken.py")
    broken.write_text("def (:\n")
    assert wfkernel("run", broken, "--json").json["error"]["type"] == "SyntaxError"
    closing = script.with_name("closing.py")
    closing.write_text(IN_A_FUNCTION.format("", "raise ValueError('after the close')"))
    said = wfkernel("run", closing, "--json")
    assert said.json["error"]["message"] == "after the close"
    assert ("slow", "in_progress") in runs(said)


def test_the_document_says_that_another_process_holds_the_journal(holder, wfkernel, script: Path) -> None:
    run = holder.start("trip.start('Paris')")
    said = wfkernel("run", script, "--json", "--", "count")
    assert (said.code, said.json["error"]["type"]) == (1, "JournalLocked")
    assert [r["run_id"] for r in said.json["runs"]] == [run]


def test_a_run_that_is_started_again_counts_though_it_had_ended_before(wfkernel, script: Path, journal: Path) -> None:
    path = script.with_name("daily.py")
    path.write_text(SCRIPT + "\nfail.options(id='today').start()\ncount.options(id='done').start(1)\n")
    first = wfkernel("run", path, "--json")
    again = wfkernel("run", path, "--json")
    assert first.code == again.code == 1
    assert sorted(runs(first)) == sorted(runs(again)) == [("count", "completed"), ("fail", "failed")]
    assert "of fail: failed" in again.err
    assert wfkernel("run", script, "--json").code == 0


def test_a_notebooks_run_that_is_started_again_counts_though_it_had_ended_before(wfkernel, journal: Path) -> None:
    path = notebook_of(
        journal.parent / "daily.ipynb",
        "%load_ext wfkernel",
        "%%workflow bad()\nraise ValueError('no')",
        "run = bad.options(id='today').start()",
    )
    assert [wfkernel("run", path).code for _ in range(2)] == [1, 1]


def test_a_script_that_closes_its_manager_has_its_runs_finished_all_the_same(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--json", "--", "count", "close")
    assert said.code == 0
    assert runs(said) == [("count", "completed")]


IN_A_FUNCTION = """
import wfkernel

def main():
    with wfkernel.WorkflowManager({}) as wf:
        @wf.workflow
        async def slow(step):
            await step.sleep(0.3)
            return 1

        slow.start()
    {}

main()
"""


@pytest.mark.parametrize("path", ["", "'elsewhere.duckdb'"])
@pytest.mark.parametrize(
    "more", ["", "import gc; del wf, slow; gc.collect()", "wfkernel.WorkflowManager('third.duckdb').close()"]
)
def test_a_manager_that_was_closed_in_a_function_has_its_runs_finished_too(wfkernel, journal: Path, path: str, more: str) -> None:
    script = journal.parent / "local.py"
    script.write_text(IN_A_FUNCTION.format(path, more))
    said = wfkernel("run", script, "--json")
    assert (said.code, runs(said)) == (0, [("slow", "completed")]), said.err


def test_a_notebook_that_closes_its_manager_has_its_runs_finished_all_the_same(wfkernel, journal: Path) -> None:
    path = notebook_of(
        journal.parent / "closing.ipynb",
        "%load_ext wfkernel",
        "%%workflow slow() -> int\nawait step.sleep(0.3)\nreturn 1",
        "slow.start()\nwf.close()",
    )
    said = wfkernel("run", path, "--json")
    assert (said.code, runs(said)) == (0, [("slow", "completed")]), said.err


def test_what_has_not_ended_goes_on_at_the_next_call(wfkernel, script: Path, journal: Path) -> None:
    assert wfkernel("run", script, "--", "ask").code == 3
    with WorkflowManager(journal) as wf:
        run = wf.list().items[0].run_id
    assert wfkernel("send-event", run, "answer", "42").code == 0
    said = wfkernel("run", script, "--json")
    assert said.code == 0
    assert runs(said) == [("ask", "completed")]


def test_runs_of_other_files_are_left_alone(wfkernel, script: Path, journal: Path) -> None:
    with WorkflowManager(journal) as wf:

        @wf.workflow
        async def others(step):
            await step.sleep(3600)

        others.start()
    said = wfkernel("run", script, "--json", "--", "count")
    assert said.code == 0
    assert ("others", "in_progress") in runs(said)
    assert "of others: cannot go on here: workflow 'others' is not defined here" in said.err


def test_time_is_up_while_a_run_goes_on(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--timeout", "0.5", "--", "endless")
    assert said.code == 1
    assert f"`wfkernel run {script} -- endless` goes on with it" in said.err


def test_time_is_up_while_the_script_itself_blocks(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--timeout", "2", "--json", "--", "block")
    assert said.code == said.json["exit_code"] == 1
    assert "stopped after 2 s" in said.err
    assert runs(said) == [("endless", "in_progress")]


STUCK = """
import atexit, threading, time
from wfkernel import WorkflowManager

wf = WorkflowManager()

@wf.workflow
async def one(step):
    {body}

atexit.register(print, "tidied up", flush=True)
one.start()
threading.Thread(target=time.sleep, args=[3600], name="for-ever").start()
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1", "a thread of the script went on: for-ever"),
        ("await step.sleep(3600)", "goes on with it"),
        ("await step.run_action(time.sleep, 3600)", "goes on with it"),
    ],
    ids=["ended", "sleeping", "in an action"],
)
def test_time_is_up_for_threads_that_go_on_for_ever(journal: Path, body: str, said: str) -> None:
    script = journal.parent / "stuck.py"
    script.write_text(STUCK.format(body=body))
    command = [sys.executable, "-m", "wfkernel", "run", str(script), "--timeout", "2"]
    done = subprocess.run(command, cwd=journal.parent, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if line.startswith("stopped after 2 s"))
    assert line.endswith(said)
    assert "leaked" not in done.stderr
    assert "tidied up" in done.stdout


def test_a_script_that_waits_for_a_run_that_waits_for_an_event_ends_there(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--json", "--", "wait", "count")
    assert said.code == 3, said.err
    assert [(r["name"], r["waits_for"]) for r in said.json["runs"]] == [("ask", ["answer"])]
    assert "pipeline.py waits for run '" in said.err
    assert "waits for event answer, and `wfkernel run` does not wait for that; it would with --wait" in said.err
    assert "Traceback" not in said.err


def test_a_script_may_wait_for_an_event_that_it_sends_itself(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--", "await", "0.8")
    assert (said.code, "it said yes" in said.out) == (0, True), said.err
    assert wfkernel("run", script, "--", "await", "3600").code == 3


def test_a_script_may_wait_for_a_run_that_takes_one_event_after_the_other(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--", "feed")
    assert (said.code, f"it said {list(range(10))}" in said.out) == (0, True), said.err


@pytest.mark.parametrize("command", ["{} & wait $!", "trap '' INT; {}"])
def test_time_is_up_also_where_ctrl_c_is_ignored(script: Path, journal: Path, command: str) -> None:
    run = f"{sys.executable} -m wfkernel run {script} --timeout 2 -- block"
    env = environment(WFKERNEL_JOURNAL=str(journal))
    done = subprocess.run(["sh", "-c", command.format(run)], capture_output=True, text=True, env=env, timeout=40)
    assert (done.returncode, "stopped after 2 s" in done.stderr) == (1, True), done.stderr


def test_a_script_may_wait_for_a_run_as_long_as_another_one_moves(wfkernel, script: Path) -> None:
    said = wfkernel("run", script, "--timeout", "4", "--", "endless", "wait")
    assert (said.code, "stopped after 4 s" in said.err) == (1, True)


@pytest.mark.parametrize("word", ["endless", "block"])
def test_ctrl_c_detaches_and_says_how_to_go_on(shell, script: Path, journal: Path, word: str) -> None:
    running = shell("run", script, "--", word)
    eventually(lambda: shell("list", "--json").communicate()[0].count("in_progress") == 1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=40)
    assert (running.returncode, out) == (130, f"__main__ ['{word}']\n")
    assert "Traceback" not in err
    assert f"`wfkernel run {script} -- {word}` goes on with it" in err


def test_waiting_for_events_goes_on_when_another_process_sends_one(shell, script: Path) -> None:
    running = shell("run", script, "--wait", "--json", "--", "ask")

    def asked() -> list[dict]:
        out = shell("list", "--json").communicate()[0]
        return json.loads(out).get("items", [])

    run = eventually(asked)[0]["run_id"]
    assert shell("send-event", run, "answer", '"yes"').communicate()[0] == f"sent answer to run {run}\n"
    out, err = running.communicate(timeout=40)
    assert running.returncode == 0, err
    assert [(r["run_id"], r["status"]) for r in json.loads(out)["runs"]] == [(run, "completed")]


def test_a_journal_that_is_named_is_that_of_the_script(wfkernel, script: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("WFKERNEL_JOURNAL")
    other = tmp_path / "elsewhere" / "other.duckdb"
    assert wfkernel("run", script, "--journal", other, "--", "count").code == 0
    assert wfkernel("list", "--journal", other, "--json").json["items"][0]["name"] == "count"
    assert not (tmp_path / ".wfkernel").exists()
    assert wfkernel("run", script, "--", "count").code == 0
    assert (tmp_path / ".wfkernel" / "journal.duckdb").exists()


def test_a_file_that_is_not_there_is_said(wfkernel) -> None:
    said = wfkernel("run", "nothing.py", "--json")
    assert (said.code, said.json["error"]["message"]) == (1, "there is no file 'nothing.py'")


def notebook_of(path: Path, *cells: str) -> Path:
    found = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    found.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(found, path)
    return path


def test_a_notebook_runs_headless_until_its_runs_have_ended(wfkernel, journal: Path) -> None:
    path = notebook_of(
        journal.parent / "report.ipynb",
        "%load_ext wfkernel",
        "%%workflow slow(n: int) -> int\nfor _ in range(n):\n    await step.sleep(0.05)\nreturn n",
        "print('hello'); run = slow.start(20)",
    )
    said = wfkernel("run", path, "--json")
    assert said.code == 0, said.err
    assert runs(said) == [("slow", "completed")]
    assert "hello" in said.err
    assert wfkernel("list", "--json").json["items"][0]["result"] == 20


def test_a_notebook_that_waits_for_an_event_or_fails_is_told_by_the_exit_code(wfkernel, journal: Path) -> None:
    path = notebook_of(
        journal.parent / "ask.ipynb",
        "%load_ext wfkernel",
        "%%workflow ask() -> str --start\nreturn await step.await_event('answer')",
    )
    said = wfkernel("run", path)
    assert said.code == 3, said.err
    assert "of ask: waits for event answer" in said.err
    failing = notebook_of(journal.parent / "failing.ipynb", "1 + 1", "raise ValueError('in a cell')")
    said = wfkernel("run", failing, "--json")
    assert said.code == 1
    assert "cell 2 raised ValueError: in a cell" in said.json["error"]["message"]
    assert "\x1b" not in said.err
    for text in ("{}", "[]", "1", '{"nbformat": 4, "cells": 3}', "no JSON"):
        (journal.parent / "none.ipynb").write_text(text)
        assert "is no notebook" in wfkernel("run", journal.parent / "none.ipynb").err
    assert wfkernel("run", path, "--", "word").code == 2


@pytest.mark.parametrize("wait", ["await run", "print(run.result())"])
def test_a_cell_that_waits_for_a_run_that_waits_for_an_event_is_the_last_one(wfkernel, journal: Path, wait: str) -> None:
    path = notebook_of(
        journal.parent / "ask.ipynb",
        "%load_ext wfkernel",
        "%%workflow ask() -> str\nreturn await step.await_event('answer')",
        f"run = ask.options(id='q').start()\n{wait}",
        "print('never')",
    )
    said = wfkernel("run", path, "--json")
    assert said.code == 3, said.err
    assert [(r["run_id"], r["waits_for"]) for r in said.json["runs"]] == [("q", ["answer"])]
    assert "cell 3 waits for run 'q': waits for event answer, and `wfkernel run` does not wait for that" in said.err
    assert "never" not in said.err
    assert wfkernel("send-event", "q", "answer", '"yes"').code == 0
    said = wfkernel("run", path)
    assert (said.code, "never" in said.out) == (0, True)


def test_a_cell_may_wait_for_an_event_where_that_is_wanted(shell, journal: Path) -> None:
    path = notebook_of(
        journal.parent / "ask.ipynb",
        "%load_ext wfkernel",
        "%%workflow ask() -> str\nreturn await step.await_event('answer', timeout=4)",
        "print('it said', await ask.options(id='q').start())",
    )
    running = shell("run", path, "--wait")
    eventually(lambda: shell("send-event", "q", "answer", '"yes"').communicate()[0])
    out, err = running.communicate(timeout=40)
    assert (running.returncode, "it said yes" in out) == (0, True), err


def test_ctrl_c_in_a_cell_lets_it_clean_up_and_says_how_to_go_on(shell, journal: Path) -> None:
    begun, cleaned = journal.parent / "begun", journal.parent / "cleaned"
    path = notebook_of(
        journal.parent / "long.ipynb",
        "import pathlib, time",
        f"try:\n    pathlib.Path({str(begun)!r}).touch()\n    time.sleep(60)\nfinally:\n    pathlib.Path({str(cleaned)!r}).touch()",
    )
    running = shell("run", path)
    eventually(begun.exists)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=40)
    assert (running.returncode, out, cleaned.exists()) == (130, "", True)
    assert "Traceback" not in err
    assert err.endswith(f"what has not ended is in the journal; `wfkernel run {path}` goes on with it\n")


def test_a_terminal_gets_a_table_and_then_how_it_ended(script: Path, journal: Path) -> None:
    program = f"""
import sys
sys.stderr.isatty = lambda: True
from wfkernel.cli import main
sys.exit(main(["run", {str(script)!r}, "--", "count", "ask"]))
"""
    env = environment(WFKERNEL_JOURNAL=str(journal), TERM="xterm", COLUMNS="100")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.returncode == 3, done.stderr
    assert "of count: completed" in done.stderr
    assert "of ask: waits for event answer" in done.stderr


def test_export_and_import_go_there_and_back(wfkernel, journal: Path, tmp_path: Path) -> None:
    path = notebook_of(tmp_path / "report.ipynb", "print(1 + 1)")
    assert wfkernel("export", path, "-o", tmp_path / "report.py", "--json").json == {"file": str(tmp_path / "report.py")}
    assert "print(1 + 1)" in (tmp_path / "report.py").read_text()
    assert wfkernel("import", tmp_path / "report.py", "-o", tmp_path / "back.ipynb").out == f"{tmp_path / 'back.ipynb'}\n"
    assert nbformat.read(tmp_path / "back.ipynb", as_version=4).cells[-1].source == "print(1 + 1)"
    refused = notebook_of(tmp_path / "shell.ipynb", "!ls")
    said = wfkernel("export", refused, "-o", tmp_path / "shell.py")
    assert said.code == 1
    assert not (tmp_path / "shell.py").exists()
