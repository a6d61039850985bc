"""What each command answers while another process holds the journal, and while nobody does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import environment

from wfkernel import WorkflowManager
from wfkernel.cli.printing import shown_value
from wfkernel.model.values import Codec


def test_list_shows_runs_newest_first(holder, wfkernel) -> None:
    first = holder.start("trip.start('Paris')")
    second = holder.start("broken.start()")
    said = wfkernel("list")
    assert said.code == 0
    head, *rows = [line.split() for line in said.out.splitlines()]
    assert head == ["run", "workflow", "status", "started", "took"]
    assert [row[:2] for row in rows] == [[second, "broken"], [first, "trip"]]


def test_list_filters_and_goes_on_where_a_page_ended(holder, wfkernel) -> None:
    runs = [holder.start(f"double.start({n})") for n in range(3)]
    trip = holder.start("trip.start('Paris')")
    assert [r["run_id"] for r in wfkernel("list", "--status", "in_progress", "--json").json["items"]] == [trip]
    page = wfkernel("list", "--name", "double", "--limit", 2, "--json").json
    assert [r["run_id"] for r in page["items"]] == [runs[2], runs[1]]
    rest = wfkernel("list", "--name", "double", "--cursor", page["cursor"], "--json").json
    assert [r["run_id"] for r in rest["items"]] == [runs[0]]
    assert (page["is_done"], rest["is_done"], rest["cursor"]) == (False, True, None)
    assert f"--cursor {page['cursor']}" in wfkernel("list", "--name", "double", "--limit", 2).err


def test_list_all_gives_every_page_as_one(holder, wfkernel, monkeypatch) -> None:
    monkeypatch.setattr("wfkernel.cli.looking._MOST", 2)
    runs = [holder.start(f"double.start({n})") for n in range(5)]
    said = wfkernel("list", "--all", "--json").json
    assert [r["run_id"] for r in said["items"]] == runs[::-1]
    assert said["is_done"]


def test_show_says_how_to_send_what_is_awaited(holder, wfkernel, shell) -> None:
    run = holder.start("trip.start('Paris')")
    said = wfkernel("show", run)
    assert 'arguments:  {"city": "Paris", "days": 3}' in said.out
    assert ["0", "plan", "action", "success", "1"] in [line.split()[:5] for line in said.out.splitlines()]
    assert "step 1 waits for event 'approval' of type Approval" in said.out
    command = said.out.splitlines()[-1].strip()
    assert command == f"wfkernel send-event {run} approval '{{\"approved\": true}}'"
    shown = wfkernel("show", run, "--json").json
    assert shown["awaited"][0]["form"]["kind"] == "object"
    assert shown["steps"][0]["result"] == {"$": "tuple", "v": ["Paris", 3]}


def test_an_event_is_read_by_its_type(holder, wfkernel) -> None:
    run = holder.start("trip.start('Paris')")
    refused = wfkernel("send-event", run, "approval", '{"approved": "perhaps"}')
    assert (refused.code, refused.out) == (1, "")
    assert "approval" in refused.err
    assert "approved" in refused.err
    sent = wfkernel("send-event", run, "approval", '{"approved": true, "note": "go"}')
    assert (sent.code, sent.out) == (0, f"sent approval to run {run}\n")
    waited = wfkernel("wait", run)
    assert waited.code == 0
    assert waited.out == f'run {run} of trip: completed: {{"plan": ["Paris", 3], "note": "go"}}\n'


def test_an_event_can_be_an_error(holder, wfkernel) -> None:
    run = holder.start("trip.start('Paris')")
    assert wfkernel("send-event", run, "approval", "--error", "too dear").code == 0
    said = wfkernel("wait", run)
    assert said.code == 1
    assert "EventError: too dear" in said.out


@pytest.mark.parametrize("value", ["nonsense", "NaN", "{", ""])
def test_a_value_that_is_no_json_is_refused_before_anybody_is_asked(wfkernel, value: str) -> None:
    said = wfkernel("send-event", "r1", "approval", value)
    assert said.code == 1
    assert "must be JSON" in said.err


def test_start_reads_json_where_it_is_json_and_text_elsewhere(holder, wfkernel) -> None:
    run = wfkernel("start", "trip", "days=5", "city=San José").out.strip()
    assert wfkernel("show", run, "--json").json["run"]["args"] == {"city": "San José", "days": 5}
    quoted = wfkernel("start", "trip", 'city="5"', "--json").json
    assert quoted["name"] == "trip"
    assert wfkernel("show", quoted["run_id"], "--json").json["run"]["args"]["city"] == "5"


def test_no_digit_is_lost_on_the_way(holder, wfkernel) -> None:
    run = wfkernel("start", "trip", "city=10000000000000000.01").out.strip()
    assert wfkernel("show", run, "--json").json["run"]["args"]["city"] == "10000000000000000.01"
    refused = wfkernel("send-event", run, "approval", "[1, 0.1234567890123456789012345]")
    assert refused.code == 1
    assert "as a text" in refused.err
    assert wfkernel("send-event", run, "note", "0.10000000000000001").code == 0  # as C writes 0.1


def test_options_may_stand_between_and_before_the_words(holder, wfkernel, journal: Path) -> None:
    run = wfkernel("--json", "start", "trip", "--id", "t-1", "city=Rome", "--journal", journal, "days=2").json
    assert run["run_id"] == "t-1"
    again = wfkernel("start", "trip", "city=Rome", "days=2", "--id", "t-1")
    assert (again.code, again.out) == (0, "t-1\n")
    other = wfkernel("start", "trip", "city=Oslo", "--id", "t-1")
    assert other.code == 1
    assert "exists already" in other.err


@pytest.mark.parametrize("words", [["city"], ["=x"], ["city=Rome", "city=Oslo"]], ids=["no sign", "no name", "twice"])
def test_words_that_are_no_parameters_are_wrong_words(wfkernel, words: list[str]) -> None:
    said = wfkernel("start", "trip", *words)
    assert said.code == 2
    assert "usage: wfkernel start" in said.err


def test_arguments_that_do_not_fit_start_nothing(holder, wfkernel) -> None:
    said = wfkernel("start", "trip", "days=many", "city=Rome")
    assert said.code == 1
    assert "days" in said.err
    assert wfkernel("list", "--json").json["items"] == []


def test_cancel_restart_fork_plan_and_cleanup(holder, wfkernel) -> None:
    run = holder.start("trip.start('Paris')")
    assert wfkernel("cleanup", run).code == 1
    assert wfkernel("cancel", run).out == f"run {run}: canceled\n"
    again = wfkernel("cancel", run)
    assert again.code == 1
    assert "not in progress" in again.err
    assert wfkernel("wait", run).code == 1
    plan = wfkernel("plan", run, "--json").json["items"]
    assert (plan[0]["name"], plan[0]["action"]) == ("plan", "reuse")
    assert "its result is journaled" in wfkernel("plan", run).out
    assert wfkernel("restart", run, "--from", "0", "--json").json == {"run_id": run, "status": "in_progress"}
    assert wfkernel("restart", run, "--from", "nothing").code == 1
    fork = wfkernel("fork", run, "--from", "plan", "city=Oslo").out.strip()
    assert fork != run
    assert wfkernel("show", fork, "--json").json["run"]["args"] == {"city": "Oslo", "days": 3}
    assert wfkernel("cancel", fork, "--json").json == {"run_id": fork, "status": "canceled"}
    assert wfkernel("cleanup", fork, "--json").json == {"run_id": fork, "is_gone": True}
    gone = wfkernel("cleanup", fork)
    assert (gone.code, gone.err) == (
        1,
        f"wfkernel cleanup: no run has the id {fork!r}; wf.list() shows the runs of this journal\n",
    )
    assert wfkernel("cleanup", run, "--force").code == 0


def test_wait_ends_with_3_for_a_run_that_waits_for_an_event(holder, wfkernel) -> None:
    run = holder.start("parent.start()")
    said = wfkernel("wait", run, "--until-event")
    assert (said.code, said.out) == (3, f"run {run} of parent: in_progress, waits for event approval\n")
    late = wfkernel("wait", run, "--timeout", "0.05", "--json")
    assert late.code == 3
    assert late.json["awaited"] == ["approval"]


def test_sql_reads_and_cannot_write(holder, wfkernel) -> None:
    holder("double.start(4).result()")
    said = wfkernel("sql", "SELECT name, status, 1.5 AS x, NULL AS y FROM wf.runs")
    assert [line.split() for line in said.out.splitlines()] == [
        ["name", "status", "x", "y"],
        ["double", "completed", "1.5", "NULL"],
    ]
    found = wfkernel("sql", "SELECT range AS n, 'a' AS t FROM range(2500)", "--json").json
    assert found["columns"] == ["n", "t"]
    assert [row[0] for row in found["rows"]] == list(range(2500))
    refused = wfkernel("sql", "CREATE TABLE t (x INTEGER)")
    assert refused.code == 1
    assert wfkernel("sql", "SELEC 1", "--json").json["error"]["message"].startswith("Parser")


def test_sql_leaves_the_process_that_holds_the_journal_as_it_is(holder, wfkernel) -> None:
    for query in ("SET GLOBAL lock_configuration=true", "begin; drop table t", "COPY (SELECT 1) TO 'out.csv'"):
        said = wfkernel("sql", query)
        what = query.split()[0].rstrip(";").upper()
        assert (said.code, f"wfkernel: {what} is refused inside a query, which can only read" in said.err) == (1, True)
    assert wfkernel("sql", "").err == "wfkernel sql: the query is empty; say what to read, such as SELECT * FROM wf.runs\n"
    assert holder("wf.db.execute('SET threads = 1').fetchall()") == []
    assert holder("double.start(4).result()") == 8


def test_workflows_and_failures(holder, wfkernel) -> None:
    said = wfkernel("workflows")
    assert "trip" in said.out
    assert "(city: str, days: int = 3)" in said.out
    assert "Plans a trip." in said.out
    assert wfkernel("failures", "--json").json == {"items": []}
    run = holder.start("told.options(on_complete=notify).start()")
    holder(f"wf.result({run!r})")
    found = wfkernel("failures", "--json").json["items"]
    assert [f["run_id"] for f in found] == [run]
    assert "nobody to tell" in wfkernel("failures").out
    again = wfkernel("failures", "--retry", run)
    assert again.code == 1
    assert "nobody to tell" in again.err


def test_runs_of_a_journal_that_was_opened_to_be_asked_are_resumed(journal: Path, wfkernel, holder_of) -> None:
    first = holder_of(journal)
    run = first.start("trip.start('Paris')")
    first.close()
    second = holder_of(journal, auto_resume=False)
    assert "run.resume()" in wfkernel("show", run).out
    assert wfkernel("resume", run).out == f"run {run} goes on\n"
    assert wfkernel("show", run, "--json").json["waiting_for"] is None
    assert wfkernel("resume", "--json").json == {"run_id": None, "is_held": True}
    second.close()


def test_plot_draws_what_the_name_says(holder, wfkernel, tmp_path: Path) -> None:
    run = holder.start("trip.start('Paris')")
    said = wfkernel("plot", run, "-o", tmp_path / "timeline.svg", "--json")
    assert said.json == {"file": str(tmp_path / "timeline.svg")}
    assert "<svg" in (tmp_path / "timeline.svg").read_text()
    refused = wfkernel("plot", run, "-o", tmp_path / "timeline.xyz")
    assert refused.code == 1
    assert ".png" in refused.err
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.name.startswith("timeline")) == [".svg"]


def test_nobody_holds_the_journal_and_everything_that_can_be_done_is(journal: Path, wfkernel, holder_of) -> None:
    first = holder_of(journal)
    run = first.start("trip.start('Paris')")
    assert wfkernel("wait", run, "--until-event").code == 3
    first.close()
    assert wfkernel("list", "--json").json["items"][0]["run_id"] == run
    shown = wfkernel("show", run, "--json").json
    assert shown["waiting_for"] == "workflow 'trip' is not defined here"
    assert [(e["event"], e["type"]) for e in shown["awaited"]] == [("approval", None)]
    assert wfkernel("wait", run, "--timeout", "0").code == 3
    assert wfkernel("workflows").out == ""
    for words in (["start", "trip", "city=Rome"], ["plan", run], ["fork", run]):
        said = wfkernel(*words)
        assert said.code == 1
        assert "no process holds the journal; run the file that defines it" in said.err
    assert wfkernel("send-event", run, "approval", '{"approved": true, "note": "kept"}').code == 0
    assert wfkernel("show", run, "--json").json["awaited"] == []
    assert wfkernel("wait", run, "--timeout", "0").code == 1
    second = holder_of(journal)
    assert second(f"wf.result({run!r})") == {"plan": ("Paris", 3), "note": "kept"}
    second.close()
    restarted = wfkernel("restart", run, "--from", "plan")
    assert (restarted.code, restarted.out) == (0, f"run {run}: in_progress\n")
    assert "no process holds the journal" in restarted.err
    assert wfkernel("cancel", run).out == f"run {run}: canceled\n"


def test_what_the_holder_lacks_is_said_of_the_holder(journal: Path, wfkernel, holder_of) -> None:
    first = holder_of(journal)
    run = first.start("trip.start('Paris')")
    first.close()
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, wfkernel; wf = wfkernel.WorkflowManager(sys.argv[1]); print(); sys.stdin.read()",
            journal,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert other.stdout is not None
    other.stdout.readline()
    there = f"in process {other.pid}, which holds the journal"
    assert f"workflow 'trip' is not defined {there}" in wfkernel("show", run).out
    assert f"workflow 'trip' is not defined {there}" in wfkernel("plan", run).err
    assert f"no workflow 'none' is defined {there}" in wfkernel("start", "none").err
    other.communicate()


def test_what_went_wrong_is_in_the_document_too(holder, wfkernel) -> None:
    run = holder.start("trip.start('Paris')")
    assert wfkernel("cleanup", "nope", "--json").json["error"]["type"] == "RunNotFound"
    assert wfkernel("cleanup", run, "--json").json["error"]["message"] == f"run {run!r} is in progress: cancel it, or use --force"
    said = wfkernel("list", "--json", "--limit", "many")
    assert (said.code, said.json["error"]["type"]) == (2, "UsageError")
    assert "--limit" in said.json["error"]["message"]
    assert wfkernel("nothing", "--json").json["error"]["type"] == "UsageError"
    assert wfkernel("start", "trip", "Paris", "--json").json["error"]["message"] == "'Paris' is not key=value"
    assert wfkernel("list", "--limit", "many").out == ""


WORDS_ON_A_RUN = [
    ["list"],
    ["show", "RUN"],
    ["start", "trip", "city=Rome"],
    ["send-event", "RUN", "approval", "null"],
    ["cancel", "RUN"],
    ["restart", "RUN"],
    ["fork", "RUN"],
    ["plan", "RUN"],
    ["resume"],
    ["wait", "RUN"],
    ["cleanup", "RUN"],
    ["sql", "SELECT 1"],
    ["workflows"],
    ["failures"],
    ["export", "none.ipynb", "-o", "x.py"],
    ["import", "none.py", "-o", "x.ipynb"],
    ["plot", "RUN", "-o", "x.png"],
]


@pytest.mark.parametrize("words", WORDS_ON_A_RUN, ids=lambda words: words[0])
def test_a_missing_journal_or_file_is_said_in_words_and_in_json_and_nothing_is_made(
    wfkernel, journal: Path, words: list[str]
) -> None:
    said = wfkernel(*words, "--json")
    assert said.code == 1
    assert said.json["error"]["message"] in said.err
    assert "there is no" in said.err
    assert list(journal.parent.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "cancel", "restart", "fork", "plan", "resume", "wait", "plot"])
def test_an_unknown_run_is_said_in_words_and_in_json(holder, wfkernel, command: str, tmp_path: Path) -> None:
    more = ["-o", tmp_path / "x.png"] if command == "plot" else []
    said = wfkernel(command, "nobody", *more, "--json")
    assert said.code == 1
    assert said.json["error"]["type"] == "RunNotFound"
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bogus"],
        ["show"],
        ["list", "extra"],
        ["list", "--limit", "0"],
        ["list", "--nothing"],
        ["wait", "r", "--timeout", "x"],
    ],
    ids=" ".join,
)
def test_wrong_words_end_with_2(wfkernel, words: list[str]) -> None:
    said = wfkernel(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("usage: wfkernel")


def test_text_of_others_moves_no_cursor(journal: Path, wfkernel) -> None:
    with WorkflowManager() as wf:

        @wf.workflow(name="bad\x1b[2Jname")
        async def bad(step) -> str:
            return "\x1b[31m"

        bad.start().result()
    assert Path(wf.path) == journal
    assert "\x1b" not in wfkernel("list").out + wfkernel("list", "--json").out
    assert "\\x1b[2J" in wfkernel("list").out


def test_values_are_shown_by_what_they_are() -> None:
    from datetime import date
    from decimal import Decimal
    from pathlib import PurePosixPath

    codec = Codec(inline_limit=100)
    values = [
        ((1, "é"), '[1, "é"]'),
        ({1: None, "$": True}, '{1: null, "$": true}'),
        ({"a": [date(2026, 1, 2), Decimal("1.5")]}, '{"a": [date(2026-01-02), decimal(1.5)]}'),
        (float("inf"), "inf"),
        (10**30, "1" + "0" * 30),
        (PurePosixPath("/x"), "PurePosixPath(/x)"),
        (b"x" * 1000, "<bytes, 1,000 bytes>"),
    ]
    for value, text in values:
        assert shown_value(json.loads(codec.encode(value).text)) == text
