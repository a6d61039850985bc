"""The magics in an IPython shell: what they define, what they do to runs, what they show, and how they fail."""

import contextlib
import inspect
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from notebook_kit import Notebook

import wfkernel
from wfkernel import DefinitionError, EngineStopped, OptionError, Run, RunNotFound, Workflow, WorkflowManager
from wfkernel.notebook.cells import InvalidCell
from wfkernel.notebook.tables import Table

TRIP = '''\
%%workflow trip(city: str, days: int = 3) -> str
"""A trip."""
def look(name):
    return name.upper()

found = await step.run_action(look, city)
return f"""{found}
{days}"""
'''
WAITING = """\
%%workflow waiting(n: int = 0)
def double(x):
    return 2 * x
x = await step.run_action(double, n)
await step.await_event("go", timeout=3600)
return x
"""
FAILING = """\
%%workflow
def first(): return 1
def second(): raise ValueError("no luck")
async def failing(step):
    await step.run_action(first)
    await step.run_action(second)
"""


# -- loading --


def test_loading_opens_the_default_journal_as_wf(bare_notebook: Notebook):
    bare_notebook.run("%load_ext wfkernel")
    assert isinstance(bare_notebook["wf"], WorkflowManager)
    assert Path(".wfkernel/journal.duckdb").exists()
    assert bare_notebook.read() == "journal .wfkernel/journal.duckdb is open as `wf`\n"


def test_loading_twice_is_harmless(notebook: Notebook):
    before = notebook["wf"]
    notebook.run("%load_ext wfkernel")
    wfkernel.load_ipython_extension(notebook.shell)
    assert notebook["wf"] is before
    notebook.run(TRIP)
    assert notebook.run("trip.start('x').result(20)") == "X\n3"


def test_reloading_opens_the_journal_again(notebook: Notebook):
    before = notebook["wf"]
    notebook.run("%reload_ext wfkernel")
    assert notebook["wf"] is not before
    assert len(notebook.run("%wf list")) == 0


def test_unloading_closes_and_takes_the_magics_away(notebook: Notebook):
    wf = notebook["wf"]
    notebook.run("%unload_ext wfkernel")
    with pytest.raises(EngineStopped):
        wf.list()
    assert "wf" not in notebook
    assert notebook.shell.find_line_magic("wf") is None
    assert notebook.shell.find_cell_magic("workflow") is None
    assert "cancel" not in notebook.complete("%wf ca")
    notebook.run("%load_ext wfkernel")
    assert notebook.run("wf.list().items") == []


def test_a_manager_that_is_wf_already_is_kept(bare_notebook: Notebook):
    bare_notebook.run("from wfkernel import WorkflowManager\nwf = mine = WorkflowManager(':memory:')")
    bare_notebook.run("%load_ext wfkernel")
    assert bare_notebook["wf"] is bare_notebook["mine"]
    assert not Path(".wfkernel").exists()
    bare_notebook.run(TRIP)
    assert bare_notebook["trip"].manager is bare_notebook["mine"]
    bare_notebook.run("%unload_ext wfkernel")
    assert bare_notebook.run("mine.list().items") == []
    bare_notebook.run("mine.close()")


def test_another_variable_wf_is_replaced_and_that_is_said(bare_notebook: Notebook):
    bare_notebook.run("wf = [1, 2]")
    bare_notebook.run("%load_ext wfkernel")
    assert "`wf` was [1, 2]" in bare_notebook.read()


def test_loading_lists_the_unfinished_runs_with_what_they_need(notebook: Notebook):
    notebook.run(WAITING)
    run = notebook.run("%wf start waiting n=4")
    notebook.run("%unload_ext wfkernel")
    notebook.read()
    notebook.run("%load_ext wfkernel")
    shown = notebook.read()
    assert "1 run is unfinished" in shown
    assert f"{run.id}  waiting" in shown
    assert "workflow 'waiting' is not defined here (run its cell)" in shown
    notebook.run(WAITING)
    assert notebook.read() == f"waiting: run {run.id} goes on\n"
    notebook.run(f"%wf send {run.id} go")
    assert notebook["wf"].result(run.id, timeout=20) == 8


def test_a_journal_that_is_locked_fails_plainly_and_leaves_the_magics(bare_notebook: Notebook, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise wfkernel.JournalLocked("here.duckdb", 4711)

    with monkeypatch.context() as patch:
        patch.setattr("wfkernel.notebook.magics.WorkflowManager.__init__", refuse)
        assert isinstance(bare_notebook.fail("%load_ext wfkernel"), wfkernel.JournalLocked)
    shown = bare_notebook.read()
    assert "process 4711" in shown
    assert "Traceback" not in shown
    bare_notebook.run("%wf journal other.duckdb")
    bare_notebook.run(TRIP)
    assert bare_notebook.run("trip.start('x').result(20)") == "X\n3"
    bare_notebook.run("from wfkernel import unload_ipython_extension\nunload_ipython_extension(get_ipython())")


def test_the_functions_of_the_extension_are_no_part_of_the_public_names():
    assert callable(wfkernel.load_ipython_extension)
    assert callable(wfkernel.unload_ipython_extension)
    assert not {"load_ipython_extension", "unload_ipython_extension"} & set(wfkernel.__all__)


# -- %%workflow --


def test_the_cell_is_a_workflow_as_the_decorator_makes_it(notebook: Notebook):
    notebook.run(TRIP)
    trip = notebook["trip"]
    assert isinstance(trip, Workflow)
    assert repr(trip) == "<workflow trip(city: str, days: int = 3)>"
    assert trip.fn.__module__ == "__main__"
    assert notebook.read() == ""
    assert notebook.run("trip.start('Oslo', days=2).result(20)") == "OSLO\n2"
    with pytest.raises(wfkernel.InvalidArguments):
        trip.start("Oslo", days="many")


def test_getsource_gives_the_cell_and_tracebacks_its_lines(notebook: Notebook):
    notebook.run('%%workflow bad(n: int)\ntext = """\n"""\n\nraise ValueError(n)\n')
    assert (
        inspect.getsource(notebook["bad"].fn) == 'async def bad(step, n: int):\n    text = """\n"""\n\n    raise ValueError(n)\n'
    )
    notebook.fail("bad.start(1).result(20)")
    shown = notebook.read()
    assert "Cell In[2], line 5, in bad(step, n)" in shown
    assert "----> 5     raise ValueError(n)" in shown


def test_a_cell_run_again_redefines_and_nothing_else(notebook: Notebook):
    notebook.run(TRIP)
    first = notebook["trip"]
    run = first.start("x")
    assert run.result(20) == "X\n3"
    notebook.run(TRIP.replace("upper", "lower"))
    assert notebook["trip"] is not first
    assert notebook["trip"].start("X").result(20) == "x\n3"
    assert len(notebook.run("%wf list")) == 2
    assert [i.action for i in run.plan()] == ["run"]
    notebook.run(TRIP.replace("def look", "# why\n\ndef look"))
    assert [i.action for i in run.plan()] == ["reuse"]


def test_a_failed_redefinition_leaves_the_old_one(notebook: Notebook):
    notebook.run(TRIP)
    before = notebook["trip"]
    notebook.fail(TRIP.replace("found =", "found = ="))
    notebook.fail(TRIP.replace("city: str", "city: Nowhere"))
    assert notebook["trip"] is before


def test_definitions_of_a_cell_are_workflows_if_they_take_the_step(notebook: Notebook):
    notebook.run(
        "%%workflow\nRATE = 2\n@wf.workflow(retry=True, name='Decorated')\nasync def one(step): return RATE\n"
        "async def two(step, n: int):\n    return await step.run_workflow(one) + n + helper()\ndef helper(): return 10\n"
    )
    assert notebook["one"].name == "Decorated"
    assert notebook.run("two.start(1).result(20)") == 13
    assert notebook["helper"]() == 10


def test_start_starts_and_binds_run(notebook: Notebook):
    notebook.run("place = 'Lima'")
    run = notebook.run(TRIP.replace("-> str", "-> str --start city=place days=1+1 --id t-1"))
    assert isinstance(run, Run)
    assert notebook["run"] is run
    assert "started trip; `run` is run t-1" in notebook.read()
    assert (run.id, run.result(20)) == ("t-1", "LIMA\n2")


def test_start_with_the_same_id_is_the_same_run(notebook: Notebook):
    cell = TRIP.replace("-> str", "-> str --start city=Oslo --id t-1")
    assert notebook.run(cell) == notebook.run(cell)
    assert notebook["run"].result(20) == "OSLO\n3"
    assert len(notebook.run("%wf list")) == 1


def test_start_works_with_definitions_and_names_the_workflow(notebook: Notebook):
    run = notebook.run("%%workflow --start n=[1,2] --name 'my sum'\nasync def add(step, n: list[int]): return sum(n)\n")
    assert (run.name, run.result(20)) == ("my sum", 3)


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        (TRIP.replace("-> str", "-> str --start days=2"), wfkernel.InvalidArguments, "city"),
        (TRIP.replace("-> str", "--start Oslo"), OptionError, "key=value"),
        (TRIP.replace("-> str", "--fast"), OptionError, "--start, --id, --name"),
        ("%%workflow --start\nasync def a(step): pass\nasync def b(step): pass", OptionError, "a, b"),
        ("%%workflow --name x\nasync def a(step): pass\nasync def b(step): pass", OptionError, "a, b"),
        (TRIP.replace("city: str", "city str"), DefinitionError, "line 1"),
        (TRIP.replace("found = await", "!ls\nfound = await"), DefinitionError, "line 6"),
        ("%%workflow trip()\nx = 1\nyield x", DefinitionError, "line 3"),
        ("%%workflow\nx = 1", DefinitionError, "defines no workflow"),
    ],
)
def test_errors_are_short_and_the_cell_fails(notebook: Notebook, cell: str, error: type, message: str):
    found = notebook.fail(cell)
    assert isinstance(found, error)
    assert message in str(found)
    shown = notebook.read()
    assert (found.syntax.msg if isinstance(found, InvalidCell) else f"{error.__name__}: {found}") in shown
    assert "magics.py" not in shown
    assert "cells.py" not in shown


def test_a_syntax_error_is_shown_at_its_line_of_the_cell(notebook: Notebook):
    notebook.fail("%%workflow trip(city str)\npass")
    shown = notebook.read()
    assert "Cell In[2], line 1\n    %%workflow trip(city str)\n" in shown
    assert "\nSyntaxError: " in shown
    notebook.fail("%%workflow trip(city)\nx = 1\nif city\n    pass")
    assert "Cell In[3], line 3\n    if city\n           ^\nSyntaxError: expected ':'" in notebook.read()


def test_errors_of_the_users_own_code_show_that_code_alone(notebook: Notebook):
    notebook.fail("%%workflow\ndef broken():\n    raise ZeroDivisionError('mine')\nx = broken()\nasync def trip(step): pass")
    shown = notebook.read()
    assert "Cell In[2], line 4" in shown
    assert "Cell In[2], line 3, in broken()" in shown
    assert "magics.py" not in shown
    assert "cells.py" not in shown


def test_braces_and_dollars_are_no_variables(notebook: Notebook):
    notebook.run("x = 3")
    run = notebook.run("%%workflow trip(a: dict = {'x': 1}, b: str = '$x {x}') --start\nreturn a, b")
    assert list(run.result(20)) == [{"x": 1}, "$x {x}"]


def test_a_magic_that_is_called_by_a_program_leaves_the_cells_text(notebook: Notebook):
    notebook.run("def define():\n    return get_ipython().run_cell_magic('workflow', 'made()', 'raise ValueError(1)')\ndefine()")
    assert inspect.getsource(notebook["define"]).startswith("def define():")
    assert inspect.getsource(notebook["made"].fn) == "async def made(step):\n    raise ValueError(1)\n"


def test_help_is_shown_and_defines_nothing(notebook: Notebook):
    assert notebook.run("%%workflow --help\nx = 1") is None
    assert "--start key=value" in notebook.read()


# -- the check of the body --


def test_findings_are_one_line_each_with_what_to_write(notebook: Notebook):
    warnings = notebook.warnings("%%workflow trip()\nimport time\n\nx = time.time()\nstep.sleep(3)\nreturn x")
    assert warnings == [
        "workflow trip, line 4: time.time() gives another time at each replay; write step.now().timestamp()",
        "workflow trip, line 5: step.sleep(...) does nothing until it is awaited; write await step.sleep(...)",
    ]


def test_findings_in_definitions_are_on_their_lines(notebook: Notebook):
    cell = "%%workflow\nimport time as t\nasync def trip(step):\n    t.sleep(1)\ndef act(): t.sleep(1)"
    assert [w.partition(":")[0] for w in notebook.warnings(cell)] == ["workflow trip, line 4"]


def test_a_global_that_a_later_cell_rebinds_is_warned_of_there(notebook: Notebook):
    notebook.run("limit = 3\nimport math\ndef helper(): pass")
    notebook.run("%%workflow trip()\nhelper()\nreturn math.pi * limit")
    assert notebook.warnings("limit = 3\nother = 4") == []
    assert notebook.warnings("import math\ndef helper(): pass") == []
    found = notebook.warnings("limit = 4")
    assert len(found) == 1
    assert found[0].startswith("workflow trip, line 3, reads the global limit, which this cell has rebound")
    assert notebook.warnings("limit") == []
    found = notebook.warnings("%%workflow trip()\nreturn limit")
    assert "line 2: the global limit is assigned in several cells" in found[0]


def test_a_global_of_the_cell_itself_is_watched(notebook: Notebook):
    notebook.run("%%workflow\nasync def trip(step): return limit\nlimit = 3")
    assert len(notebook.warnings("limit = [4]")) == 1


def test_tables_are_not_compared_element_by_element(notebook: Notebook):
    notebook.run("import numpy as np\ntable = np.zeros(3)\nplain = [1, 2]")
    notebook.run("%%workflow trip()\nreturn table, plain")
    assert len(notebook.warnings("table = np.zeros(3)\nplain = [1, 2]")) == 1


# -- %wf --


def ended(run: Run) -> Run:
    with contextlib.suppress(wfkernel.RunFailed, wfkernel.RunCanceled):
        run.result(20)
    return run


def until_it_waits(run: Run) -> bool:
    pause, deadline = threading.Event(), time.monotonic() + 20
    while not any(step.kind == "event" for step in run.status().running):
        assert time.monotonic() < deadline, "the run does not come to its event"
        pause.wait(0.001)
    return True


def test_list_shows_the_runs_newest_first(notebook: Notebook):
    notebook.run(TRIP + "\n")
    notebook.run(WAITING)
    done, open_ = ended(notebook.run("%wf start trip city=Oslo")), notebook.run("%wf start waiting")
    table = until_it_waits(open_) and notebook.run("%wf list")
    assert [r.run_id for r in table] == [open_.id, done.id]
    assert "waits for event go" in repr(table)
    assert f"<td style='text-align: left'>{done.id}</td>" in table._repr_html_()
    assert [r.run_id for r in notebook.run("%wf list --status completed")] == [done.id]
    assert [r.run_id for r in notebook.run("%wf list --name waiting --limit 5")] == [open_.id]
    assert "the newest 1 runs" in repr(notebook.run("%wf list --limit 1"))
    assert repr(notebook.run("%wf list --status failed")) == "no runs"


def test_show_shows_the_status_and_the_steps(notebook: Notebook):
    notebook.run(FAILING)
    notebook.run("r = failing.start()")
    ended(notebook["r"])
    table = notebook.run("%wf show r")
    assert [(s.name, s.status) for s in table] == [("first", "success"), ("second", "failed")]
    assert f"failing  {notebook['r'].id}  failed: ValueError: no luck" in repr(table)
    assert "<table>" in table._repr_html_()
    assert repr(notebook.run(f"%wf show {notebook['r'].id}")) == repr(table)
    assert repr(notebook.run("rs = [r]\n%wf show rs[-1]")) == repr(table)
    for marked in ("{r.id}", "$r", "$r.id", "{rs[0]}"):
        assert repr(notebook.run(f"%wf show {marked}")) == repr(table)


def test_start_takes_expressions_and_text(notebook: Notebook):
    notebook.run(TRIP)
    notebook.run("n = 5")
    run = notebook.run("%wf start trip city='New York' days=n+1 --id a")
    assert (run.id, run.result(20)) == ("a", "NEW YORK\n6")
    assert "trip" in str(notebook.fail("%wf start nope"))


def test_cancel_cancels(notebook: Notebook):
    notebook.run(WAITING)
    notebook.run("r = waiting.start()")
    notebook.run("%wf cancel r")
    assert notebook["r"].status().type == "canceled"
    assert notebook.read().endswith(f"run {notebook['r'].id} of waiting: canceled\n")
    assert isinstance(notebook.fail("%wf cancel r"), wfkernel.RunNotActive)


def test_restart_goes_on_and_from_a_step(notebook: Notebook):
    notebook.run(FAILING)
    notebook.run("r = failing.start()")
    ended(notebook["r"])
    notebook.run(FAILING.replace('raise ValueError("no luck")', "return 2"))
    assert notebook.run("%wf restart r").result(20) is None
    notebook.run("%wf restart r --from first")
    ended(notebook["r"])
    assert [s.generation for s in notebook["r"].steps()] == [1, 1]
    notebook.run("%wf restart r --from 1")
    ended(notebook["r"])
    assert [s.generation for s in notebook["r"].steps()] == [1, 2]
    assert isinstance(notebook.fail("%wf restart r --from third"), wfkernel.StepNotFound)


def test_send_sends_json(notebook: Notebook):
    notebook.run("from wfkernel import define_event\napproval = define_event('approve it', list[int])")
    notebook.run("%%workflow ask()\nreturn await step.await_event(approval), await step.await_event('by')")
    notebook.run("r = ask.start()")
    assert isinstance(notebook.fail('%wf send r approval "x"'), wfkernel.InvalidEvent)
    notebook.run("%wf send r approval [1, 2,  -3]")
    assert isinstance(notebook.fail("%wf send r by me"), wfkernel.InvalidArguments)
    assert 'text needs double quotes: "yes"' in notebook.read()
    notebook.run('%wf send r by "--help  me"')
    assert list(notebook["r"].result(20)) == [[1, 2, -3], "--help  me"]


def test_timeline_is_a_figure_that_shows_itself(notebook: Notebook):
    notebook.run(TRIP)
    notebook.run("r, s = trip.start('a'), trip.start('b')")
    ended(notebook["r"])
    figure = notebook.run("%wf timeline r")
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert notebook.run("%wf timeline r s").axes[0].get_title(loc="left") == "2 runs"


def test_plan_shows_what_would_run_again(notebook: Notebook):
    notebook.run(TRIP)
    notebook.run("r = trip.start('a')")
    ended(notebook["r"])
    assert "0 of 1 steps would run again" in repr(notebook.run("%wf plan r"))
    table = notebook.run("%wf plan r --from 0")
    assert [i.action for i in table] == ["run"]


def test_sql_gives_a_table(notebook: Notebook):
    notebook.run(TRIP)
    ended(notebook.run("%wf start trip city=Oslo"))
    table = notebook.run("%wf sql SELECT name, status, '--' AS x FROM wf.runs -- and so on")
    assert isinstance(table, Table)
    assert (table.columns, list(table)) == (["name", "status", "x"], [("trip", "completed", "--")])
    assert "name  status     x\ntrip  completed  --" in repr(table)
    notebook.run("%wf sql CREATE TABLE mine (a INTEGER)")
    assert list(notebook.run("%wf sql SELECT count(*) FROM mine")) == [(0,)]
    notebook.read()
    notebook.fail("%wf sql SELECT nope")
    shown = notebook.read()
    assert "nope" in shown
    assert ".py" not in shown


def test_journal_opens_another_and_rebinds_wf(notebook: Notebook):
    notebook.run(TRIP)
    before = notebook["wf"]
    notebook.run("%wf journal")
    assert notebook.read() == "journal .wfkernel/journal.duckdb is open as `wf`\n"
    notebook.run("%wf journal 'a b/other.duckdb'")
    assert notebook["wf"].path == Path("a b/other.duckdb").resolve()
    assert "workflows defined so far belong to .wfkernel/journal.duckdb" in notebook.read()
    assert before.list().items == []
    notebook.run(TRIP)
    ended(notebook.run("%wf start trip city=x"))
    assert (len(notebook.run("%wf list")), len(before.list().items)) == (1, 0)
    notebook.run("%wf journal .wfkernel/journal.duckdb")
    assert len(notebook.run("%wf list")) == 0
    notebook.run("%unload_ext wfkernel")
    with pytest.raises(EngineStopped):
        before.list()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("%wf nope", OptionError),
        ("%wf export x.py", OptionError),
        ("%wf show", OptionError),
        ("%wf show nope", RunNotFound),
        ("%wf show a b", OptionError),
        ("%wf list --status good", OptionError),
        ("%wf list --limit x", OptionError),
        ("%wf list --limit 0", OptionError),
        ("%wf send nope", OptionError),
        ("%wf send nope go 1", RunNotFound),
        ("%wf start", OptionError),
        ("%wf start nope", DefinitionError),
        ("%wf restart nope --from", OptionError),
        ("%wf timeline", OptionError),
        ("%wf plan nope", RunNotFound),
        ("%wf cancel nope", RunNotFound),
        ("%wf sql", OptionError),
        ("%wf sql CHECKPOINT", Exception),
        ("%wf journal a b", OptionError),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_or_two_and_the_cell_fails(notebook: Notebook, line: str, error: type):
    found = notebook.fail(line)
    assert isinstance(found, error)
    shown = notebook.read()
    assert f"{type(found).__name__}: {str(found).splitlines()[0]}"[:60] in shown
    assert "Traceback" not in shown
    assert ".py" not in shown.replace("x.py", "")


def test_every_command_explains_itself(notebook: Notebook):
    notebook.run("%wf")
    overview = notebook.read()
    for command in "list show start cancel resume restart send timeline plan sql export journal nest".split():
        assert f"\n  {command} " in overview
        notebook.run(f"%wf {command} --help")
        assert notebook.read().startswith(f"usage: %wf {command}")
    notebook.run("%wf restart r --help")
    assert "--from STEP" in notebook.read()


def test_a_variable_that_is_no_run_is_no_run(notebook: Notebook):
    notebook.run("r = 3\ndef boom(): raise SystemExit")
    for word in ("r", "boom()", "nope.x", "r.x", "__import__('os')"):
        assert isinstance(notebook.fail(f"%wf show {word}"), (RunNotFound, OptionError))


# -- Tab --


def test_tab_offers_commands_runs_workflows_events_and_steps(notebook: Notebook):
    notebook.run(FAILING)
    notebook.run(WAITING)
    notebook.run("from wfkernel import define_event\napproval = define_event('approve')")
    notebook.run("bad, r = failing.options(id='bad-1').start(), waiting.options(id='r-1').start()")
    ended(notebook["bad"])
    until_it_waits(notebook["r"])
    assert notebook.complete("%wf ") == [
        *"list show start cancel resume restart send timeline plan sql export journal nest".split()
    ]
    assert notebook.complete("%wf s") == ["show", "start", "send", "sql"]
    assert notebook.complete("%wf show ") == ["bad", "r", "r-1", "bad-1"]
    assert notebook.complete("%wf show r-") == ["r-1"]
    assert notebook.complete("%wf cancel ") == ["bad", "r", "r-1"]
    assert notebook.complete("%wf restart bad") == ["bad", "bad-1"]
    assert notebook.complete("%wf restart bad-1 --") == ["--from"]
    assert notebook.complete("%wf restart bad-1 --from ") == ["changed", "first", "second", "0", "1"]
    assert notebook.complete("%wf start ") == ["failing", "waiting", "--id"]
    assert notebook.complete("%wf start waiting ") == ["n=", "--id"]
    assert notebook.complete("%wf send r-1 ") == ["go", "approve"]
    assert "go" not in notebook.complete("%wf send nope ")
    assert notebook.complete("%wf list --status c") == ["completed", "canceled"]
    assert notebook.complete("%wf list --name w") == ["waiting"]
    assert notebook.complete("%%workflow trip() --s") == ["--start"]
    assert any(offer.endswith(".start") for offer in notebook.complete("waiting.sta"))


def test_tab_copes_with_ids_that_ipython_breaks_apart(notebook: Notebook):
    notebook.run(TRIP)
    ended(notebook.run("%wf start trip city=x --id order:5"))
    assert notebook.complete("%wf show order:") == ["5"]


def test_tab_after_the_journal_was_closed_offers_nothing(notebook: Notebook):
    notebook.run("wf.close()")
    assert "show" in notebook.complete("%wf sh")
    notebook.complete("%wf show x")
    assert notebook.read() == ""  # IPython prints what a completer raises


# -- tables --


def test_a_table_shows_text_and_html_and_gives_its_records():
    table = Table(["a", "b"], [(1, "x\ny"), (None, "<b>" + "z" * 300)], records=["one", "two"], title="T & U")
    lines = repr(table).splitlines()
    assert lines[:3] == ["T & U", "a  b", "1  x y"]
    assert lines[3].endswith("…")
    html = table._repr_html_()
    assert "T &amp; U" in html
    assert "&lt;b&gt;z" in html
    assert (len(table), list(table), table[1]) == (2, ["one", "two"], "two")


def test_a_long_table_shows_its_beginning():
    table = Table(["a"], [(n,) for n in range(1_000)])
    assert "... and 800 more rows" in repr(table)
    assert repr(table).count("\n") == 201
    assert table._repr_html_().count("<tr>") == 201


def test_a_table_is_a_dataframe_where_there_is_pandas():
    pandas = pytest.importorskip("pandas")
    assert Table(["a", "b"], [(1, 2)]).df().equals(pandas.DataFrame([(1, 2)], columns=["a", "b"]))
