"""The command line as a process: pipes that close, Ctrl-C, a holder that dies, and what a command loads."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import ROOT, environment, eventually

from wfkernel.cli.asking import Holder

HEAVY = {"_duckdb", "asyncio", "duckdb", "pydantic", "wfkernel.manager", "secrets", "hashlib"}


def finished(process: subprocess.Popen[str], timeout: float = 40) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def test_a_command_on_a_held_journal_loads_neither_duckdb_nor_pydantic_nor_asyncio(holder, journal: Path) -> None:
    run = holder.start("trip.start('Paris')")
    holder("double.start(1).result()")
    program = f"""
import sys
from wfkernel.cli import main
for words in {[["list"], ["show", run], ["wait", run, "--timeout", "0"], ["sql", "SELECT 1"], ["send-event", run, "x", "1"]]!r}:
    assert main(words) in (0, 3), words
print(sorted({HEAVY!r} & sys.modules.keys()))
"""
    env = environment(WFKERNEL_JOURNAL=str(journal))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr


def test_a_closed_pipe_is_quiet(holder, journal: Path) -> None:
    command = f"{sys.executable} -m wfkernel sql 'SELECT range FROM range(100000)' | head -n 1"
    env = environment(WFKERNEL_JOURNAL=str(journal))
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (141, "range\n", "")


@pytest.mark.parametrize("words", ["list --json", "list", "sql 'SELECT range FROM range(100000)'", "show nobody --json"])
def test_an_answer_that_cannot_be_written_is_an_error(holder, journal: Path, words: str) -> None:
    holder("double.start(1).result()")
    env = environment(WFKERNEL_JOURNAL=str(journal))
    command = f"{sys.executable} -m wfkernel {words} > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wfkernel {words.split()[0]}: ")
    assert "No space left on device\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_output_nothing_is_done(holder, journal: Path) -> None:
    env = environment(WFKERNEL_JOURNAL=str(journal))
    command = f"{sys.executable} -m wfkernel start double n=1 >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr == "wfkernel: the output is closed, so nothing was done; >/dev/null throws the answer away\n"
    assert holder("len(wf.list().items)") == 0


def test_without_an_error_stream_the_answer_comes_all_the_same(journal: Path, holder_of) -> None:
    holder_of(journal).close()
    env = environment(WFKERNEL_JOURNAL=str(journal))
    command = f"{sys.executable} -m wfkernel {{}} <&- 2>&-"
    for words, code in (("list --json", 0), ("show nobody --json", 1)):
        done = subprocess.run(["bash", "-c", command.format(words)], capture_output=True, text=True, env=env)
        assert (done.returncode, type(json.loads(done.stdout))) == (code, dict)


def test_ctrl_c_is_in_the_document_too(holder, shell) -> None:
    run = holder.start("trip.start('Paris')")
    waiting = shell("wait", run, "--json")
    eventually(lambda: holder("len(wf._engine.control._peers) if wf._engine.control else 0"))
    waiting.send_signal(signal.SIGINT)
    code, out, _ = finished(waiting)
    assert (code, json.loads(out)["error"]["type"]) == (130, "KeyboardInterrupt")


def test_a_page_that_others_can_reach_is_warned_of_in_a_line(shell) -> None:
    serving = shell("serve", "--port", "0", "--host", "0.0.0.0", "--json")
    "".join(iter(serving.stdout.readline, "}\n"))
    serving.send_signal(signal.SIGINT)
    _, _, err = finished(serving)
    assert err.startswith("wfkernel serve: host='0.0.0.0': other machines can reach this server")
    assert "UserWarning" not in err


@pytest.mark.parametrize("times", [1, 2, 3])
def test_ctrl_c_that_is_pressed_more_than_once_ends_the_page_calmly(shell, times: int) -> None:
    serving = shell("serve", "--port", "0", "--json")
    document = "".join(iter(serving.stdout.readline, "}\n")) + "}"
    assert json.loads(document)["url"].startswith("http://127.0.0.1")
    for _ in range(times):
        serving.send_signal(signal.SIGINT)
    code, out, err = finished(serving)
    assert (code, out) == (130, "")
    assert err.endswith("\nthe page is gone; the runs go on where they did\n")
    assert "Traceback" not in err


def test_ctrl_c_leaves_a_run_alone_that_is_waited_for(holder, shell) -> None:
    run = holder.start("trip.start('Paris')")
    waiting = shell("wait", run)
    # it is asking by the time that it is a second client of the holder, and it asks again and again
    eventually(lambda: holder("len(wf._engine.control._peers) if wf._engine.control else 0"))
    waiting.send_signal(signal.SIGINT)
    code, out, err = finished(waiting)
    assert (code, out) == (130, "")
    assert f"wfkernel wait {run}" in err
    assert "Traceback" not in err
    assert holder(f"wf.status({run!r}).type") == "in_progress"


def test_ctrl_c_ends_a_query_of_a_journal_that_nobody_holds(holder_of, journal: Path, shell) -> None:
    holder_of(journal).close()
    reading = shell("sql", "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")
    eventually(Holder(str(journal)).is_there)  # it has the journal open
    reading.send_signal(signal.SIGINT)
    assert finished(reading) == (130, "", "\ninterrupted\n")


def test_wait_goes_on_while_the_holder_is_killed_and_another_takes_over(holder_of, journal: Path, shell) -> None:
    first = holder_of(journal)
    run = first.start("trip.start('Paris')")
    waiting = shell("wait", run, "--json")
    eventually(lambda: first("len(wf._engine.control._peers) if wf._engine.control else 0"))
    first.kill()
    assert finished(shell("send-event", run, "approval", '{"approved": true, "note": "in between"}'))[0] == 0
    second = holder_of(journal)
    code, out, err = finished(waiting)
    assert (code, err) == (0, "")
    assert json.loads(out)["run"]["result"]["note"] == "in between"
    second.close()


def test_processes_at_a_journal_that_nobody_holds_do_not_get_in_each_others_way(holder_of, journal: Path, shell) -> None:
    first = holder_of(journal)
    runs = [first.start("trip.start('Paris')") for _ in range(5)]
    first.close()
    sending = [shell("send-event", run, "approval", '{"approved": true}') for run in runs]
    # one opens the journal and serves the others, who are told at once when it closes: DuckDB would complain of threads that hang
    assert [finished(process) for process in sending] == [(0, f"sent approval to run {run}\n", "") for run in runs]
    second = holder_of(journal)
    assert [second(f"wf.result({run!r})")["note"] for run in runs] == [""] * 5
    assert second("wf.db.execute('SELECT count(*) FROM wf.events').fetchall()") == [(5,)]
    second.close()


def on_a_terminal(journal: Path, **more: str) -> str:
    """What `list` shows on one."""
    control, terminal = pty.openpty()
    env = environment(WFKERNEL_JOURNAL=str(journal), TERM="xterm", **more)
    process = subprocess.Popen([sys.executable, "-m", "wfkernel", "list"], stdout=terminal, stderr=terminal, env=env)
    os.close(terminal)
    shown = b""
    while select.select([control], [], [], 30)[0]:
        try:
            shown += os.read(control, 65536)
        except OSError:  # the other side is closed
            break
    process.wait(20)
    os.close(control)
    return shown.decode()


def test_a_terminal_has_colors_unless_its_user_wants_none(holder, journal: Path) -> None:
    holder("double.start(1).result()")
    assert "\x1b[32mcompleted" in on_a_terminal(journal)
    assert "\x1b[" not in on_a_terminal(journal, NO_COLOR="1")


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_completes(wfkernel, shell_name: str) -> None:
    said = wfkernel("completion", shell_name)
    assert said.code == 0
    assert "wfkernel" in said.out
    assert wfkernel("completion", shell_name, "--json").json["script"] + "\n" == said.out


def completed(line: str, journal: Path, tmp_path: Path) -> list[str]:
    """What the shell is offered after this line."""
    found = tmp_path / "completions"
    env = environment(
        WFKERNEL_JOURNAL=str(journal),
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_STDOUT_FILENAME=str(found),
        _ARGCOMPLETE_IFS="\n",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    done = subprocess.run([sys.executable, "-m", "wfkernel"], capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [word.partition(":")[0].strip() for word in found.read_text().split("\n") if word.strip()]


def test_completion_knows_commands_options_runs_workflows_and_events(holder, journal: Path, tmp_path: Path) -> None:
    run = holder.start("trip.start('Paris')")
    eventually(lambda: holder(f"wf.status({run!r}).running"))
    assert completed("wfkernel se", journal, tmp_path) == ["send-event", "serve"]
    assert "--status" in completed("wfkernel list --", journal, tmp_path)
    assert completed("wfkernel show ", journal, tmp_path) == [run]
    assert "trip" in completed("wfkernel start ", journal, tmp_path)
    assert completed(f"wfkernel send-event {run} ", journal, tmp_path) == ["approval"]


def test_python_m_wfkernel_is_the_command_line(shell) -> None:
    code, out, err = finished(shell("--version"))
    assert (code, err) == (0, "")
    assert out.startswith("wfkernel 0.")
    assert finished(shell("--help"))[1].startswith("usage: wfkernel")


def test_serve_answers_until_it_is_interrupted(holder, shell) -> None:
    serving = shell("serve", "--port", "0", "--json")
    assert serving.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        line = serving.stdout.readline()
        assert line, serving.communicate()[1]
        text += line
    said = json.loads(text)
    assert said["login_url"].startswith(said["url"])
    serving.send_signal(signal.SIGINT)
    assert finished(serving)[0] == 130


def test_serve_borrows_the_journal_and_makes_one_where_there_is_none(shell, journal: Path, holder_of) -> None:
    serving = shell("serve", "--port", "0")
    assert serving.stdout is not None
    assert "http://127.0.0.1:" in serving.stdout.readline()
    holder = holder_of(journal)  # would raise JournalLocked
    assert holder("double.start(2).result()") == 4
    holder.close()
    serving.send_signal(signal.SIGINT)
    code, _, err = finished(serving)
    assert (code, "Traceback" in err) == (130, False)


def test_an_output_that_takes_ascii_only_gets_escapes(holder, shell) -> None:
    run = holder.start("trip.start('Malmö')")
    code, out, err = finished(shell("show", run, PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert (code, err) == (0, "")
    assert "Malm\\xf6" in out
