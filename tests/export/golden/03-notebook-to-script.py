"""Exported from 03-notebook-to-script.ipynb by wfkernel: the runs that the notebook began go on here, on the same journal.

Usage:
    python 03-notebook-to-script.py resume                       go on with all unfinished runs, until they end or wait for an event
    python 03-notebook-to-script.py start WORKFLOW key=value     start a run
    python 03-notebook-to-script.py                              run main(): what the notebook's cells do
    python 03-notebook-to-script.py --help                       --journal, --run-id, and the rest
"""

# ruff: noqa: E402, I001, RUF100
from wfkernel.export import script


# %% 1 [markdown]
# # From a notebook to a script
#
# The notebook has grown up: a scheduler should run it at night, and whoever has to sign sits at a terminal. wfkernel exports the notebook to
# a script with the same workflows. The journal stays where it is, so the script **goes on with the runs that the notebook began**.


# %% 2
# in the notebook: %load_ext wfkernel
wf = script.manager()


# %% 3 [markdown]
# ## A run that is not over
#
# An invoice is worked out, somebody signs it, and only then it goes out.


# %% 4
from wfkernel import define_event

sign = define_event("sign", bool)


def price(hours: float) -> float:
    return 120 * hours


def deliver(customer: str, total: float) -> str:
    return f"invoice to {customer} over {total:.2f}"


# %% 5 %%workflow invoice
@wf.workflow
async def invoice(step, customer: str, hours: float) -> str:
    total = await step.run_action(price, hours)
    if not await step.await_event(sign):
        return "kept back"
    return await step.run_action(deliver, customer, total)


def main() -> None:
    """The cells that do something, from top to bottom."""

    # %% 6
    run = invoice.start("the observatory", 12.5)
    script.show(run)

    # %% 7 [markdown]
    # ## Export
    #
    # Definitions and imports stay at the top, `%%workflow` becomes `@wf.workflow`, and what the cells *do* goes into `main()`. A cell with the tag
    # `notebook-only` stays here, as those below do. What means nothing outside of a notebook is refused, with its cell and line.

    # %% 8 tags=["notebook-only"]
    # notebook only: %wf export invoice.py --notebook 03-notebook-to-script.ipynb

    # %% 9 tags=["notebook-only"]
    # notebook only: with open("invoice.py") as script:
    # notebook only:     print(script.read())

    # %% 10 [markdown]
    # ## Somebody signs, and the script goes on
    #
    # One process at a time runs the steps of a journal. This one lets go of it; restarting the kernel would do the same.
    #
    # Then come two commands that are as good in any terminal: `wfkernel send-event` signs, and the script's `resume` goes on with whatever is
    # unfinished. A step that has a result does not run again.

    # %% 11 tags=["notebook-only"]
    # notebook only: import subprocess
    # notebook only: import sys
    # notebook only:
    # notebook only: wf.close()
    # notebook only:
    # notebook only:
    # notebook only: def terminal(*words: str) -> None:
    # notebook only:     done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    # notebook only:     print(done.stdout + done.stderr)
    # notebook only:
    # notebook only:
    # notebook only: terminal("-m", "wfkernel", "send-event", run.id, "sign", "true")
    # notebook only: terminal("invoice.py", "resume")

    # %% 12 [markdown]
    # ## Back again
    #
    # The notebook opens the journal, and finds the end of its run there.

    # %% 13 tags=["notebook-only"]
    # notebook only: %reload_ext wfkernel
    # notebook only: print(wf.result(run.id))
    # notebook only: for step in wf.steps(run.id):
    # notebook only:     print(step.name, step.status, step.attempts)

    # %% 14 [markdown]
    # `python invoice.py --help` tells what else the script can do: `start` begins a run with other arguments, `--journal` takes another journal.
    # `wfkernel import invoice.py -o again.ipynb` makes a notebook of it again.


if __name__ == "__main__":
    raise SystemExit(script.command_line(wf, main))
