"""What main() of an exported script does with runs: those that it is told to go on with, those that it leaves, and the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from export_kit import LOAD, exported, run_script, tagged

import wfkernel

JOURNAL = ".wfkernel/journal.duckdb"
TRIP = "%%workflow trip(city: str) -> str\nok = await step.await_event('go')\nreturn city"
FAILING = "%%workflow failing()\nraise ValueError('no luck')"


@pytest.fixture
def script(tmp_path: Path) -> Any:
    """Calls the script of these cells."""

    def call(*cells: Any, words: tuple[str, ...] = ()) -> Any:
        (tmp_path / "s.py").write_text(exported(LOAD, *cells))
        return run_script("s.py", *words, folder=tmp_path)

    return call


def send(folder: Path, run: str, event: str = "go") -> None:
    with wfkernel.WorkflowManager(folder / JOURNAL) as wf:
        wf.send_event(event, 1, run=run)


@pytest.mark.parametrize(
    "last",
    [
        "run = trip.options(id='x1').start('Oslo')\nawait run",
        "run = trip.options(id='x1').start('Oslo')",
        "run = wf.get('x1')\nawait run",
        "wf.result('x1')",
        "print('about something else')",
    ],
    ids=["started-and-awaited", "started", "found", "by-its-id", "not-at-all"],
)
def test_main_goes_on_with_the_run_that_it_is_told_however_it_comes_to_it(script: Any, tmp_path: Path, last: str) -> None:
    assert script(TRIP, "", words=("start", "trip", "city=Oslo", "--run-id", "x1")).returncode == 3
    send(tmp_path, "x1")
    done = script(TRIP, last, words=("--run-id", "x1"))
    assert (done.stderr, done.returncode) == ("", 0)
    with wfkernel.WorkflowManager(tmp_path / JOURNAL) as wf:
        assert wf.status("x1").type == "completed"


def test_a_start_in_the_magic_with_an_id_goes_on_too(script: Any, tmp_path: Path) -> None:
    cell = "%%workflow ask(x: int) --start x=1 --id k\nawait step.await_event('go')\nreturn x"
    first = script(cell)
    assert (first.stdout.splitlines()[-1], first.returncode) == ("run k of ask waits for event go", 3)
    send(tmp_path, "k")
    done = script(cell, words=("--run-id", "k"))
    assert done.returncode == 0
    with wfkernel.WorkflowManager(tmp_path / JOURNAL) as wf:
        assert wf.status("k").type == "completed"


def test_the_exit_code_of_main_is_that_of_its_runs(script: Any) -> None:
    waits = script(TRIP, "trip.options(id='x').start('Oslo');")
    assert (waits.stdout, waits.returncode) == ("run x of trip waits for event go\n", 3)
    fails = script(FAILING, "failing.options(id='f').start();", words=("--journal", "b.duckdb"))
    assert fails.stdout.startswith("run f of failing failed: ")
    assert "no luck" in fails.stdout
    assert fails.returncode == 1


def test_a_run_whose_failure_a_cell_may_show_counts_as_failed(script: Any) -> None:
    done = script(FAILING, tagged("await failing.options(id='f').start()", "raises-exception"))
    assert "RunFailed" in done.stderr
    assert done.returncode == 1


def test_a_run_that_a_cell_cleaned_up_or_mended_is_none_that_failed(script: Any) -> None:
    done = script(FAILING, "run = failing.start()", tagged("run.result()", "raises-exception"), "wf.cleanup(run);")
    assert (done.stdout, done.returncode) == ("", 0)
    made = "from pathlib import Path\n\n\ndef look():\n    return Path('there').read_text()"
    flow = "%%workflow t()\nreturn await step.run_action(look)"
    again = "Path('there').write_text('mended')\nrun.restart()\nrun.result()"
    mended = script(made, flow, "run = t.start()", tagged("run.result()", "raises-exception"), again)
    assert (mended.stdout, mended.returncode) == ("'mended'\n", 0)


def test_main_waits_for_the_runs_that_it_leaves_behind(script: Any) -> None:
    slow = "%%workflow slow() -> str\nawait step.sleep(0.3)\nreturn 'slept'"
    done = script(slow, "slow.options(id='s').start();")
    assert (done.stdout, done.returncode) == ("run s of slow completed: 'slept'\n", 0)
    late = script(slow.replace("0.3", "300"), "slow.options(id='t').start();", words=("--timeout", "0.1"))
    assert (late.stdout, late.returncode) == ("run t of slow waits for more time than --timeout gave it\n", 3)


@pytest.mark.parametrize("last", ["run = trip.options(id='x').start('Oslo')", "await trip.options(id='x').start('Oslo')"])
def test_wfkernel_run_waits_for_the_runs_of_a_script_itself(tmp_path: Path, last: str) -> None:
    (tmp_path / "s.py").write_text(exported(LOAD, TRIP, last))
    command = [sys.executable, "-m", "wfkernel", "run", "s.py"]
    environment = {k: v for k, v in os.environ.items() if k != "WFKERNEL_JOURNAL"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50)
    assert done.stdout == ""
    assert "waits for event go" in done.stderr
    assert done.returncode == 3


def test_what_main_makes_late_is_waited_for_by_the_runs_that_go_on(tmp_path: Path) -> None:
    """The journal's first use lets all runs go on, and `total` is made in a later cell."""
    cells = (
        LOAD,
        "print(wf.db.execute('select 42').fetchall())",
        "import time\ntime.sleep(0.2)\ntotal = sum([1, 2])",
        "def f(x):\n    return x + total",
        "%%workflow t(n: int) -> int\nn = await step.run_action(f, n)\nawait step.await_event('go')\nreturn await step.run_action(f, n)",
        "t.options(id='h').start(1);",
    )
    (tmp_path / "s.py").write_text(exported(*cells))
    assert run_script("s.py", folder=tmp_path).returncode == 3
    send(tmp_path, "h")
    done = run_script("s.py", folder=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    with wfkernel.WorkflowManager(tmp_path / JOURNAL) as wf:
        assert wf.result("h") == 7


BILL = "%%workflow bill() -> int\nawait step.await_event('ok')\nreturn await step.run_action(total)"
FILLED = (
    "PRICES = {'tea': 3}",
    "wf.list()  # the journal's first use",
    "PRICES['coffee'] = 4",
    "def total():\n    return sum(PRICES.values())",
    BILL,
    "run = bill.options(id='b1').start()",
)


def bound_anew(total: str) -> tuple[str, ...]:
    return (
        "RATE = 1",
        "wf.list()",
        "RATE += 6",
        f"def total():\n    return {total}",
        BILL,
        "run = bill.options(id='b1').start()",
    )


@pytest.mark.parametrize("cells", [FILLED, bound_anew("RATE")], ids=["filled", "bound-anew"])
@pytest.mark.parametrize("last", ["", "print(await run)"], ids=["left", "awaited"])
@pytest.mark.parametrize("command", ["python", "wfkernel run"])
def test_a_run_goes_on_with_what_main_has_changed_by_then(
    tmp_path: Path, cells: tuple[str, ...], last: str, command: str
) -> None:
    words = [] if command == "python" else ["-m", "wfkernel", "run"]
    environment = {k: v for k, v in os.environ.items() if k != "WFKERNEL_JOURNAL"}

    def call(*last: str) -> Any:
        (tmp_path / "s.py").write_text(exported(LOAD, *cells, *last))
        return subprocess.run(
            [sys.executable, *words, "s.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50
        )

    assert call().returncode == 3
    send(tmp_path, "b1", "ok")
    assert call(last).returncode == 0
    with wfkernel.WorkflowManager(tmp_path / JOURNAL) as wf:
        assert wf.result("b1") == 7


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (FILLED, "PRICES"),
        (bound_anew("RATE"), "RATE"),
        (("N = [0]", "def more():\n    N.append(7)", "more()", "def total():\n    return sum(N)", BILL), "N"),
        (("class A:\n    n = 0", "A.n = 7", "def total():\n    return A.n", BILL), "A"),
    ],
    ids=["filled", "bound-anew", "by-a-function", "of-a-class"],
)
def test_what_main_changes_is_not_read_by_runs_that_go_on_without_it(
    script: Any, tmp_path: Path, cells: tuple[str, ...], name: str
) -> None:
    refused = script(*cells, words=("start", "bill", "--run-id", "b2"))
    assert refused.returncode == 2
    assert f"the workflows need {name}, which only main() changes" in refused.stderr
    assert script(*cells, "bill.options(id='b3').start();").returncode == 3
    send(tmp_path, "b3", "ok")
    assert script(*cells, words=("resume", "--run-id", "b3")).returncode == 2
    with wfkernel.WorkflowManager(tmp_path / JOURNAL) as wf:
        assert wf.status("b3").type == "in_progress"


def test_what_main_changes_for_itself_keeps_no_run_back(script: Any) -> None:
    cells = (
        "done = []",
        "done.append(1)",
        "def total():\n    return 7",
        "%%workflow sum_() -> int\nreturn await step.run_action(total)",
    )
    assert script(*cells, words=("start", "sum_")).returncode == 0


def test_a_name_that_nothing_makes_is_what_a_run_waits_for(script: Any, tmp_path: Path) -> None:
    body = "%%workflow t() -> int\nawait step.await_event('go')\nreturn await step.run_action(f)"
    made = "def f():\n    return total"
    assert script(made, body, "", words=("start", "t", "--run-id", "h")).returncode == 3
    send(tmp_path, "h")
    done = script(made, body, "", words=("resume",))
    assert (done.stdout, done.returncode) == ("run h of t waits for the name 'total', which this script has not made\n", 3)


def test_a_task_that_main_leaves_behind_is_done(script: Any) -> None:
    cell = "import asyncio\n\nasync def later():\n    await asyncio.sleep(0.05)\n    print('later')"
    done = script(cell, "task = asyncio.create_task(later())\nprint('first')")
    assert (done.stdout, done.stderr, done.returncode) == ("first\nlater\n", "", 0)


def test_a_task_that_fails_makes_the_script_fail(script: Any) -> None:
    done = script("import asyncio\n\nasync def later():\n    raise ValueError('no luck')", "task = asyncio.create_task(later())")
    assert done.stderr.splitlines()[-1] == "ValueError: no luck"
    assert done.returncode == 1


# -- what is no run --


@pytest.mark.parametrize("words", [("resume",), ("resume", "--run-id", "x"), ("--run-id", "x")], ids=" ".join)
def test_a_journal_that_is_not_there_is_an_error_and_none_is_made(script: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = script(TRIP, words=(*words, "--journal", "none/dir/j.duckdb"))
    assert (done.stdout, done.returncode) == ("", 1)
    assert f"there is no journal {tmp_path / 'none/dir/j.duckdb'}" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_a_timeout_is_a_number_of_seconds(script: Any, text: str) -> None:
    done = script(TRIP, words=("resume", f"--timeout={text}"))
    assert (done.stdout, done.returncode) == ("", 2)
    assert f"invalid number of seconds value: '{text}'" in done.stderr


def test_an_output_that_nobody_reads_is_no_error_and_a_full_disk_is_one_in_words(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(exported("for n in range(20000):\n    print('a line of text', n)"))
    command = f"{sys.executable} s.py | head -n 0; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (piped.stdout, piped.stderr) == ("141\n", "")
    full = subprocess.run(f"{sys.executable} s.py > /dev/full", shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert full.stderr == "the output cannot be written: No space left on device\n"
    assert full.returncode == 1
