"""Exported from 01-quickstart.ipynb by wfkernel: the runs that the notebook began go on here, on the same journal.

Usage:
    python 01-quickstart.py resume                       go on with all unfinished runs, until they end or wait for an event
    python 01-quickstart.py start WORKFLOW key=value     start a run
    python 01-quickstart.py                              run main(): what the notebook's cells do
    python 01-quickstart.py --help                       --journal, --run-id, and the rest
"""

# ruff: noqa: E402, F811, I001, RUF100
from wfkernel.export import script


# %% 1 [markdown]
# # Quickstart
#
# A workflow is an ordinary `async def` whose steps are kept: the result of each is in a file beside this notebook before the next
# begins. When a step fails, when the kernel restarts, when the power goes: the run goes on from there, and what was done stays done.
#
# Run the cells from top to bottom. It takes about ten minutes, most of it reading.


# %% 2
# in the notebook: %load_ext wfkernel
wf = script.manager()


# %% 3 [markdown]
# That opened the journal, `.wfkernel/journal.duckdb`, and called it `wf`. Run the cell again whenever you like.
#
# ## Steps are functions
#
# Two of them. The second one fails, as things do.


# %% 4
import time


def forecast(city: str) -> int:
    print("asking for the weather in", city)
    time.sleep(0.5)
    return 20 + len(city)


def book(city: str) -> str:
    raise ConnectionError("the booking service is down")


# %% 5 [markdown]
# ## A workflow in a cell
#
# The line after `%%workflow` is the signature, the cell is the body. `step` is there; `await step.run_action(function, ...)` runs a
# function as a step.


# %% 6 %%workflow trip
@wf.workflow
async def trip(step, cities: list[str]) -> str:
    warmest, best = None, -273
    for city in cities:
        degrees = await step.run_action(forecast, city)
        if degrees > best:
            warmest, best = city, degrees
    return await step.run_action(book, warmest)


# %% 11 [markdown]
# What happened so far. `%wf --help` lists what else there is.


# %% 12
# notebook only: %wf show run


# %% 13 [markdown]
# ## Go on from the step that failed
#
# Mend the function, and restart the run. Look at what is printed: no forecast is asked for again, their results are in the journal. (The
# card's *Resume* button does the same, and *Restart from here* goes back further.)


# %% 14
def book(city: str) -> str:
    return f"a room in {city}"


# %% 16 [markdown]
# When did what run, as a picture:


# %% 17
# notebook only: %wf timeline run


# %% 18 [markdown]
# ## A kernel that restarts
#
# A run with an `id` is begun once, however often its cell is run. This one sleeps on the way; seconds or months, the deadline is in the
# journal.


# %% 19 %%workflow reminder
@wf.workflow
async def reminder(step, text: str) -> str:
    first = await step.run_action(forecast, "Oslo")
    await step.sleep(3)
    return f"{text}: {first} degrees"


async def main() -> None:
    """The cells that do something, from top to bottom."""

    # %% 7 [markdown]
    # A run as the last value of a cell is a **card**: its steps as they go, and for each one its arguments, result, error and log. The run
    # works in the background; this cell ends at once.

    # %% 8
    run = trip.start(["Oslo", "Lima", "Valparaíso"])
    script.show(run)

    # %% 9 [markdown]
    # `run.result()`, or `await run`, waits for the end. The Stop button ends the waiting only: the run goes on. This one fails, with the
    # error of its step:

    # %% 10 tags=["raises-exception"]
    with script.may_fail():
        script.show(run.result())

    # %% 15
    run.restart()
    script.show(run.result())

    # %% 19 %%workflow reminder
    # in the notebook: %%workflow --start text="water the plants" --id reminder-1
    run = script.show(reminder.options(id="reminder-1").start(text="water the plants"))

    # %% 20
    script.show(await run)

    # %% 21 [markdown]
    # Now try it: choose *Kernel → Restart Kernel*, run `%load_ext wfkernel`, the cell with the functions and the last two cells. The answer
    # comes at once, and nothing is asked again. Had the run still been on its way, it would have gone on as soon as its workflow was
    # defined.
    #
    # ## All runs

    # %% 22
    # notebook only: %wf list

    # %% 23 [markdown]
    # The journal is a DuckDB database, for your own SQL too:

    # %% 24
    # notebook only: %wf sql SELECT name, status, count(*) AS steps FROM wf.steps GROUP BY ALL ORDER BY ALL

    # %% 25 [markdown]
    # Next: [02-approval](02-approval.ipynb), runs that wait for a person.


if __name__ == "__main__":
    raise SystemExit(script.command_line(wf, main))
