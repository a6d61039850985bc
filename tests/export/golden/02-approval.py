"""Exported from 02-approval.ipynb by wfkernel: the runs that the notebook began go on here, on the same journal.

Usage:
    python 02-approval.py resume                       go on with all unfinished runs, until they end or wait for an event
    python 02-approval.py start WORKFLOW key=value     start a run
    python 02-approval.py                              run main(): what the notebook's cells do
    python 02-approval.py --help                       --journal, --run-id, and the rest
"""

# ruff: noqa: E402, I001, RUF100
from wfkernel.export import script


# %% 1 [markdown]
# # Approval
#
# A run can wait for a person: a minute or a month, while the kernel runs or not. The answer is an **event**; its type decides what the
# form in the notebook asks for, and what is refused.


# %% 2
# in the notebook: %load_ext wfkernel
wf = script.manager()


# %% 3 [markdown]
# ## Yes or no
#
# An event with a `bool` is two buttons, *Approve* and *Reject*. They are in the card below: click while the cell after it waits.


# %% 4
from wfkernel import define_event

go = define_event("go", bool)


# %% 5 %%workflow publish
@wf.workflow
async def publish(step, title: str) -> str:
    if await step.await_event(go):
        return f"published: {title}"
    return "not this time"


# %% 7 [markdown]
# ## A form of your own
#
# Anything that pydantic validates may be an event's type. The form has a field for each of the model's, and an answer that does not fit
# is refused beside the field: nothing of it is stored.


# %% 8
from typing import Literal

from pydantic import BaseModel, Field


class Decision(BaseModel):
    verdict: Literal["buy", "wait", "no"]
    limit: float = Field(default=150, gt=0, description="the most that it may cost")
    comment: str = ""


decision = define_event("decision", Decision)


def quote(item: str) -> float:
    return 12.5 * len(item)


# %% 9 %%workflow purchase
@wf.workflow
async def purchase(step, item: str) -> str:
    price = await step.run_action(quote, item)
    answer = await step.await_event(decision)
    if answer.verdict != "buy" or price > answer.limit:
        return f"{item} for {price}: not bought {answer.comment}".strip()
    return f"{item} for {price}: bought"


# %% 13 [markdown]
# ## Without a form
#
# From a cell, another thread or a web hook: `send_event`. What does not fit is refused here, too.


# %% 14
from wfkernel import InvalidEvent


# %% 15 [markdown]
# Nobody answers? Give the wait a `timeout`; it is in the journal as well, and holds across restarts.


# %% 16 %%workflow patient
@wf.workflow
async def patient(step) -> str:
    try:
        await step.await_event(go, timeout=1)
    except TimeoutError:
        return "nobody answered"
    return "somebody answered"


async def main() -> None:
    """The cells that do something, from top to bottom."""

    # %% 5 %%workflow publish
    # in the notebook: %%workflow --start title="Ten minutes with wfkernel"
    run = script.show(publish.start(title="Ten minutes with wfkernel"))

    # %% 6
    script.show(await run)

    # %% 10
    # notebook only: from wfkernel import approve

    run = purchase.start("telescope")
    # notebook only: approve(run, decision)

    # %% 11 [markdown]
    # The form says what it is about: the run's arguments, and what the step before gave. It works while a cell waits, so run the next cell
    # and then answer.

    # %% 12
    script.show(run.result())

    # %% 14
    another = purchase.start("lens")
    try:
        another.send_event(decision, {"verdict": "perhaps"})
    except InvalidEvent as error:
        print(error)
    another.send_event(decision, Decision(verdict="no", comment="next year"))
    script.show(another.result())

    # %% 16 %%workflow patient
    # in the notebook: %%workflow --start
    run = script.show(patient.start())

    # %% 17
    script.show(await run)

    # %% 18
    # notebook only: %wf list


if __name__ == "__main__":
    raise SystemExit(script.command_line(wf, main))
