"""What commands there are: their words, options, help and examples. Data; ``parsing`` makes parsers of it, docs/cli.md shows it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Argument(NamedTuple):
    """One word or option, as argparse takes it.

    Attributes:
        completes: what a shell offers for it: "run", "event", "workflow", or None for what argparse says.
    """

    names: tuple[str, ...]
    options: dict[str, Any]
    completes: str | None = None


class Command(NamedTuple):
    """One command.

    Attributes:
        does: the function, as "module:name" in this package.
        takes_rest: whether the words after ``--`` are not its own.
    """

    name: str
    does: str
    summary: str
    arguments: tuple[Argument, ...]
    examples: tuple[str, ...]
    details: str = ""
    takes_rest: bool = False

    @property
    def description(self) -> str:
        return f"{self.summary}\n\n{self.details}" if self.details else self.summary


def _argument(*names: str, completes: str | None = None, **options: Any) -> Argument:
    return Argument(names, options, completes)


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found < 1e9:
        raise ValueError(text)
    return found


_seconds.__name__ = "number of seconds"  # argparse names it in its error


def _count(text: str) -> int:
    found = int(text)
    if found < 1:
        raise ValueError(text)
    return found


_count.__name__ = "number from 1 on"

COMMON = (
    _argument("--journal", metavar="PATH", help="the journal; else $WFKERNEL_JOURNAL, else .wfkernel/journal.duckdb"),
    _argument("--json", action="store_true", help="print one JSON document"),
)
_RUN = _argument("run", metavar="RUN", completes="run", help="a run's id")
_FROM = _argument("--from", metavar="STEP", dest="from_step", help="a step's number or name, or changed: the first that changed")
_PAIRS = "parameters; a value is JSON if it can be read as JSON, else text"
_OUTPUT = {"metavar": "FILE", "required": True}

_ALL = (
    Command(
        "list",
        "looking:list_runs",
        "The runs of the journal, newest first.",
        (
            _argument("--status", choices=("in_progress", "completed", "failed", "canceled"), help="only runs of this status"),
            _argument("--name", metavar="WORKFLOW", completes="workflow", help="only runs of this workflow"),
            _argument("--limit", type=_count, default=20, metavar="N", help="how many; 20 by default, 1000 at most"),
            _argument("--cursor", metavar="CURSOR", help="go on where a page ended"),
            _argument("--all", action="store_true", help="all pages"),
        ),
        ("wfkernel list", "wfkernel list --status failed --name trip", "wfkernel list --all --json | jq '.items[].run_id'"),
    ),
    Command(
        "show",
        "looking:show",
        "A run, its steps, and what it waits for.",
        (_RUN,),
        ("wfkernel show r06a1b2", "wfkernel show r06a1b2 --json | jq '.steps[] | select(.status == \"failed\")'"),
    ),
    Command(
        "start",
        "acting:start",
        "Start a run, and print its id.",
        (
            _argument("workflow", metavar="NAME", completes="workflow", help="a workflow that the holder of the journal has"),
            _argument("pairs", metavar="key=value", nargs="*", help=_PAIRS),
            _argument("--id", metavar="ID", help="the run's id: the same id again is the same run"),
            _argument("--after", metavar="S", type=_seconds, help="begin in so many seconds"),
        ),
        ("wfkernel start trip city=Paris days=3", 'wfkernel start trip --id trip-7 \'cities=["Rome", "Oslo"]\''),
        "It runs in the process that holds the journal: a notebook, a script, or `wfkernel run`.",
    ),
    Command(
        "send-event",
        "acting:send_event",
        "Send an event to a run.",
        (
            _RUN,
            _argument("event", metavar="EVENT", completes="event", help="the event's name or id"),
            _argument(
                "value", metavar="JSON", nargs="?", default="null", help="its value; null by default, - reads it from the input"
            ),
            _argument("--error", metavar="TEXT", dest="error_text", help="make the waiting step fail with this text"),
        ),
        (
            'wfkernel send-event r06a1b2 approval \'{"approved": true, "note": "go"}\'',
            "wfkernel send-event r06a1b2 name '\"text needs quotes in JSON\"'",
            "wfkernel send-event r06a1b2 approval --error 'not in this quarter'",
        ),
        "The value is read by the event's type where the run waits for it; one that does not fit is refused, and nothing is stored.",
    ),
    Command(
        "cancel",
        "acting:cancel",
        "Cancel a run and its children.",
        (
            _RUN,
            _argument(
                "--grace", metavar="S", type=_seconds, default=30.0, help="seconds for its body to clean up; 30 by default"
            ),
        ),
        ("wfkernel cancel r06a1b2",),
    ),
    Command(
        "restart",
        "acting:restart",
        "Go on with an ended run from its journal.",
        (_RUN, _FROM),
        ("wfkernel restart r06a1b2", "wfkernel restart r06a1b2 --from fetch", "wfkernel restart r06a1b2 --from changed"),
        "Without --from, what failed runs again; with it, that step and all later ones.",
    ),
    Command(
        "fork",
        "acting:fork",
        "Make a new run with the steps of another, and print its id.",
        (_RUN, _argument("pairs", metavar="key=value", nargs="*", help=_PAIRS), _FROM),
        ("wfkernel fork r06a1b2 --from 3", "wfkernel fork r06a1b2 --from fetch city=Oslo"),
        "It has the steps before --from, or all of them; the parameters given are changed. The other run stays as it is.",
    ),
    Command(
        "plan",
        "looking:plan",
        "What a restart would reuse and what it would run again, and why; nothing is done.",
        (_RUN, _FROM),
        ("wfkernel plan r06a1b2", "wfkernel plan r06a1b2 --from fetch"),
        "Without --from, as for `--from changed`.",
    ),
    Command(
        "resume",
        "acting:resume",
        "Let a run go on that waits to be asked, or all of them.",
        (_argument("run", metavar="RUN", nargs="?", completes="run", help="a run's id; all without"),),
        ("wfkernel resume", "wfkernel resume r06a1b2"),
        "So do the runs of a journal that was opened with auto_resume=False.",
    ),
    Command(
        "wait",
        "waiting:wait",
        "Wait until a run has ended.",
        (
            _RUN,
            _argument("--timeout", metavar="S", type=_seconds, help="wait so many seconds at most"),
            _argument("--until-event", action="store_true", help="also end when the run can only go on with an event"),
        ),
        ("wfkernel wait r06a1b2 && echo it completed", "wfkernel wait r06a1b2 --timeout 60"),
        "The exit code is 0 if it completed, and 1 if it failed, was canceled, or has not ended in time;\n"
        "3 if it has not ended because it waits for an event. Interrupting this leaves the run alone.",
    ),
    Command(
        "cleanup",
        "acting:cleanup",
        "Delete an ended run: its rows, events, children, and values that nothing else refers to.",
        (_RUN, _argument("--force", action="store_true", help="also one in progress")),
        ("wfkernel cleanup r06a1b2",),
    ),
    Command(
        "sql",
        "looking:sql",
        "Read the journal's database by SQL: wf.runs, wf.steps, wf.events, and tables of your own.",
        (_argument("query", metavar="QUERY", help="in DuckDB's SQL; it can read only"),),
        (
            'wfkernel sql "SELECT name, count(*) AS runs FROM wf.runs GROUP BY name"',
            "wfkernel sql --json \"FROM wf.steps WHERE status = 'failed'\"",
        ),
    ),
    Command(
        "workflows",
        "looking:workflows",
        "The workflows that the process which holds the journal has.",
        (),
        ("wfkernel workflows",),
    ),
    Command(
        "failures",
        "looking:failures",
        "The runs whose on_complete failed.",
        (_argument("--retry", metavar="RUN", completes="run", help="run that of this run again"),),
        ("wfkernel failures", "wfkernel failures --retry r06a1b2"),
    ),
    Command(
        "run",
        "running:run",
        "Run a script or a notebook until its runs have ended, or wait for an event.",
        (
            _argument("file", metavar="FILE", help="a .py or .ipynb; the words after -- are the script's own"),
            _argument("--wait", action="store_true", help="also wait for events"),
            _argument("--timeout", metavar="S", type=_seconds, help="stop after so many seconds"),
        ),
        (
            "wfkernel run pipeline.py",
            "wfkernel run pipeline.py --timeout 3600 -- --city Paris",
            "wfkernel run report.ipynb --journal /data/journal.duckdb --wait",
        ),
        "A script runs as `python FILE` would; a notebook in a kernel of its own, in its folder. Both find the journal of --journal\n"
        "where they name none. The exit code is 0 if all its runs completed, 1 if something failed, 3 if a run waits for an event,\n"
        "and else what the script gives to sys.exit. What has not ended is in the journal: the same command goes on with it.",
        takes_rest=True,
    ),
    Command(
        "export",
        "making:export",
        "Make a script of a notebook. It goes on with the runs that the notebook began.",
        (
            _argument("notebook", metavar="NOTEBOOK", help="an .ipynb"),
            _argument("-o", "--output", **_OUTPUT, help="the script to write; - for the standard output"),
            _argument("--force", action="store_true", help="also over a file that was not exported by wfkernel"),
        ),
        ("wfkernel export report.ipynb -o report.py", "wfkernel export report.ipynb -o - | less"),
        "A script that was exported before is written over. What another file holds is not: choose another name, or say --force.",
    ),
    Command(
        "import",
        "making:import_script",
        "Make a notebook of a script.",
        (
            _argument("script", metavar="SCRIPT", help="a .py"),
            _argument("-o", "--output", **_OUTPUT, help="the notebook to write; - for the standard output"),
            _argument("--force", action="store_true", help="also over a file that is there"),
        ),
        ("wfkernel import report.py -o report.ipynb",),
        "A notebook that is there is left alone without --force: its outputs are in no script.",
    ),
    Command(
        "plot",
        "making:plot",
        "Draw when the steps of a run waited and ran.",
        (_RUN, _argument("-o", "--output", **_OUTPUT, help="the picture to write: .png, .svg, .pdf")),
        ("wfkernel plot r06a1b2 -o timeline.svg",),
    ),
    Command(
        "serve",
        "making:serve",
        "Show the runs as a web page, with forms for the events that they wait for.",
        (
            _argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen; this machine only by default"),
            _argument("--port", type=int, default=8000, metavar="N", help="8000 by default; 0 for any free one"),
            _argument(
                "--public-url", metavar="URL", help="how others reach it, through a proxy say; approval links begin with it"
            ),
        ),
        ("wfkernel serve", "wfkernel serve --port 9000"),
        "The journal is made if it is not there. A notebook or a script can open it while this serves: it is only borrowed.",
    ),
    Command(
        "completion",
        "completion:script",
        "Print what makes a shell complete commands, options, run ids, workflows and events.",
        (_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish"),),
        (
            'eval "$(wfkernel completion bash)"',
            'eval "$(wfkernel completion zsh)"',
            "wfkernel completion fish > ~/.config/fish/completions/wfkernel.fish",
        ),
    ),
)
COMMANDS = {command.name: command for command in _ALL}
