"""The command line of an exported script: what it starts and goes on with, what it says, and its exit codes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from export_kit import LOAD, exported, is_told_at_once, run_script

import wfkernel
from wfkernel.core.fingerprint import fingerprint
from wfkernel.export import script

STEPS = """\
def count(n: int) -> int:
    print("counting", n)
    return n + 1
"""
CELLS = (
    LOAD,
    STEPS,
    "%%workflow counting(n: int = 0) -> int\nfor _ in range(2):\n    n = await step.run_action(count, n)\nreturn n",
    "%%workflow waiting() -> str\nreturn await step.await_event('go')",
    "%%workflow patient() -> str\ntry:\n    await step.await_event('go', timeout=0.2)\nexcept TimeoutError:\n    return 'late'\nreturn 'early'",
    "%%workflow outer() -> str\nreturn await step.run_workflow(waiting)",
    "%%workflow failing()\nraise ValueError('no luck')",
    "run = counting.start(n=5)\nrun.result()",
)


@pytest.fixture
def call(tmp_path: Path) -> Any:
    (tmp_path / "s.py").write_text(exported(*CELLS))

    def call(*arguments: str, variables: dict[str, str] | None = None) -> Any:
        return run_script("s.py", *arguments, folder=tmp_path, variables=variables)

    return call


def runs_of(folder: Path, path: str = ".wfkernel/journal.duckdb") -> dict[str, str]:
    with wfkernel.WorkflowManager(folder / path) as wf:
        return {record.run_id: record.status for record in wf.list().items}


def test_without_a_command_main_runs(call, tmp_path: Path) -> None:
    done = call()
    assert (done.stdout, done.stderr, done.returncode) == ("counting 5\ncounting 6\n7\n", "", 0)
    assert list(runs_of(tmp_path).values()) == ["completed"]


def test_main_goes_on_with_the_run_that_it_is_told(call, tmp_path: Path) -> None:
    call()
    (run_id,) = runs_of(tmp_path)
    again = call("--run-id", run_id)
    assert (again.stdout, again.returncode) == ("7\n", 0)
    assert list(runs_of(tmp_path)) == [run_id]
    other = call()
    assert other.stdout.startswith("counting 5")
    assert len(runs_of(tmp_path)) == 2


def test_a_run_with_other_arguments_is_not_taken_for_the_one_in_main(call) -> None:
    assert call("start", "counting", "n=1", "--run-id", "c-1").returncode == 0
    done = call("--run-id", "c-1")
    assert done.returncode == 1
    assert "RunExists" in done.stderr
    assert "other arguments" in done.stderr


def test_start_takes_words_as_the_magic_does_and_an_id(call, tmp_path: Path) -> None:
    done = call("start", "counting", "n=2 + 3", "--run-id", "c-2")
    assert is_told_at_once(done.stdout, "run c-2 of counting", "counting 5", "counting 6", "run c-2 of counting completed: 7")
    assert done.stdout.splitlines()[-1] == "run c-2 of counting completed: 7"
    assert done.returncode == 0
    assert runs_of(tmp_path) == {"c-2": "completed"}


def test_start_says_what_is_wrong_and_starts_nothing(call, tmp_path: Path) -> None:
    unknown = call("start", "nothing")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there are: counting, waiting, patient, outer, failing" in unknown.stderr
    assert call("start", "counting", "n").returncode == 2
    assert call("start", "counting", "n=x").returncode == 1
    assert call("nonsense").returncode == 2
    assert call("--run-id", "none").returncode == 1
    assert runs_of(tmp_path) == {}


def test_a_run_that_waits_for_an_event_is_told_and_goes_on_later(call, tmp_path: Path) -> None:
    first = call("start", "waiting", "--run-id", "w")
    assert (first.stdout, first.returncode) == ("run w of waiting\nrun w of waiting waits for event go\n", 3)
    assert call("start", "outer", "--run-id", "o").stdout.splitlines()[1].startswith("run o of outer waits for event go, in run ")
    assert call("resume").returncode == 3
    with wfkernel.WorkflowManager(tmp_path / ".wfkernel/journal.duckdb") as wf:
        wf.send_event("go", "sent", run="w")
    last = call("resume", "--run-id", "w")
    assert (last.stdout, last.returncode) == ("run w of waiting completed: 'sent'\n", 0)


def test_an_event_with_a_timeout_is_waited_for(call) -> None:
    done = call("start", "patient", "--run-id", "p")
    assert (done.stdout.splitlines()[1], done.returncode) == ("run p of patient completed: 'late'", 0)


def test_a_failed_run_is_told_and_counts(call) -> None:
    done = call("start", "failing", "--run-id", "f")
    assert "run f of failing failed: " in done.stdout
    assert "no luck" in done.stdout
    assert done.returncode == 1
    assert call("resume").stdout == "no run is unfinished\n"


def test_a_run_of_a_workflow_that_the_script_lacks_is_told(call, tmp_path: Path) -> None:
    with wfkernel.WorkflowManager(tmp_path / ".wfkernel/journal.duckdb") as wf:

        @wf.workflow
        async def foreign(step):
            await step.await_event("go")

        foreign.options(id="x").start()
    done = call("resume")
    assert (done.returncode, done.stdout) == (
        3,
        "run x of foreign waits for its workflow 'foreign', which this script does not define\n",
    )


def test_the_journal_is_the_one_of_the_option_or_of_the_environment(call, tmp_path: Path) -> None:
    assert call("start", "counting", "--journal", "a.duckdb").returncode == 0
    assert call("--journal", "a.duckdb", "start", "counting").returncode == 0
    assert call("start", "counting", variables={"WFKERNEL_JOURNAL": "b.duckdb"}).returncode == 0
    assert len(runs_of(tmp_path, "a.duckdb")) == 2
    assert len(runs_of(tmp_path, "b.duckdb")) == 1
    assert not (tmp_path / ".wfkernel").exists()


def test_importing_the_script_opens_no_journal(call, tmp_path: Path) -> None:
    program = "import s; print(s.wf, sorted(s.counting.signature._signature.parameters))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "<WorkflowManager, not open yet> ['n']\n"
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["s.py"]


def test_a_journal_that_another_process_holds_is_an_error_that_says_so(call, tmp_path: Path) -> None:
    with wfkernel.WorkflowManager(tmp_path / ".wfkernel/journal.duckdb"):
        done = call("resume")
    assert done.returncode == 1
    assert "JournalLocked" in done.stderr
    assert "Traceback" not in done.stderr


def test_resume_refuses_to_run_into_a_name_that_only_main_makes(tmp_path: Path) -> None:
    cells = (
        LOAD,
        "def look():\n    return client['a']",
        "%%workflow trip()\nawait step.await_event('go')\nreturn await step.run_action(look)",
        "client = dict.fromkeys('abc', 'made in main')\nrun = trip.start()",
        "run.result() if 'RESULT' in __import__('os').environ else None",
    )
    (tmp_path / "s.py").write_text(exported(*cells))
    assert run_script("s.py", "start", "trip", folder=tmp_path).returncode == 2
    first = run_script("s.py", folder=tmp_path)
    (run_id,) = runs_of(tmp_path)
    assert (first.stdout, first.returncode) == (f"run {run_id} of trip waits for event go\n", 3)
    done = run_script("s.py", "resume", folder=tmp_path)
    assert done.returncode == 2
    assert "need client, which only main() makes" in done.stderr
    assert "module-level" in done.stderr
    with wfkernel.WorkflowManager(tmp_path / ".wfkernel/journal.duckdb") as wf:
        assert wf.status(run_id).type == "in_progress"
        wf.send_event("go", run=run_id)
    last = run_script("s.py", "--run-id", run_id, folder=tmp_path, variables={"RESULT": "1"})
    assert (last.stdout, last.returncode) == ("'made in main'\n", 0)


def test_start_and_a_run_id_leave_the_other_runs_alone(call, tmp_path: Path) -> None:
    assert call("start", "waiting", "--run-id", "w").returncode == 3
    with wfkernel.WorkflowManager(tmp_path / ".wfkernel/journal.duckdb") as wf:
        wf.send_event("go", "sent", run="w")
    assert call("start", "counting", "--run-id", "c").returncode == 0
    assert call("resume", "--run-id", "c").stdout == "run c of counting completed: 2\n"
    assert runs_of(tmp_path) == {"c": "completed", "w": "in_progress"}
    assert call("resume").stdout == "run w of waiting completed: 'sent'\n"


def test_the_help_says_what_there_is(call) -> None:
    done = call("--help")
    assert done.returncode == 0
    for word in ("Exported from", "--journal", "--run-id", "resume", "start", "exit codes"):
        assert word in done.stdout


def test_a_notebook_without_a_journal_only_runs_main(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(exported("print('ran')"))
    assert run_script("s.py", folder=tmp_path).stdout == "ran\n"
    done = run_script("s.py", "resume", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_function_that_uses_wf_has_the_fingerprint_that_it_has_in_a_notebook() -> None:
    source = "def tell(run):\n    return wf.get(run), display(run)\n"
    spaces: list[dict[str, Any]] = []
    with wfkernel.WorkflowManager(":memory:") as mine:
        for wf in (mine, script.manager(":memory:")):
            space: dict[str, Any] = {"wf": wf, "__name__": "__main__"}
            exec(compile(source, "<cell>", "exec"), space)
            spaces.append(space)
        assert fingerprint(spaces[0]["tell"]) == fingerprint(spaces[1]["tell"])
