"""A run from its definition to its result, in a page: the card moves, and its buttons work while the cell waits."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from lab_kit import NewNotebook

LOAD = "%load_ext wfkernel\nfrom wfkernel import define_event\ngo = define_event('go', bool)"
TRIP = """\
%%workflow trip(city: str) -> str
def look_up(place: str) -> int:
    open("calls.txt", "a").write("look_up ")
    return len(place)

def book(days: int) -> str:
    open("calls.txt", "a").write("book ")
    return f"{days} days"

days = await step.run_action(look_up, city)
if not await step.await_event(go):
    return "stay at home"
booked = await step.run_action(book, days)
return f"{booked} in {city}"\
"""
WAITS = {"blocked": "print('the run gave', run.result())", "awaiting": "print('the run gave', await run)"}


@pytest.mark.parametrize("wait", ["blocked", "awaiting"])
def test_approve_works_while_the_cell_waits(new_notebook: NewNotebook, wait: str) -> None:
    notebook = new_notebook(LOAD, TRIP, "run = trip.start('Rome')\nrun", WAITS[wait])
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_step(0, "success")
    card.expect_step(1, "running")
    notebook.start(3)
    expect(notebook.output(3)).to_contain_text("event 'go'")
    notebook.expect_busy(3)
    notebook.picture("1-waits")
    card.form("go").get_by_role("button", name="Approve").click()
    notebook.wait_for(3)
    expect(notebook.output(3)).to_contain_text("the run gave 4 days in Rome")
    card.expect_frozen()
    expect(notebook.output(2)).to_contain_text("completed")
    notebook.picture("2-completed")


@pytest.mark.parametrize("wait", ["blocked", "awaiting"])
def test_a_page_reloaded_while_the_cell_waits_shows_the_card_live(new_notebook: NewNotebook, wait: str) -> None:
    notebook = new_notebook(LOAD, TRIP, "run = trip.start('Rome')\nrun", WAITS[wait], "print(run.status().result)")
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_step(1, "running")
    notebook.start(3)
    expect(notebook.output(3)).to_contain_text("event 'go'")
    notebook.save()
    notebook.reload()
    card.expect_step(1, "running")
    notebook.picture("1-reloaded")
    card.form("go").get_by_role("button", name="Approve").click()
    card.expect_status("completed")
    card.expect_step(2, "success")
    expect(card.place).to_contain_text("4 days in Rome")
    notebook.run(4)
    expect(notebook.output(4)).to_have_text("4 days in Rome")
    notebook.picture("2-completed")


def test_a_run_goes_on_after_a_kernel_restart_and_repeats_no_step(new_notebook: NewNotebook) -> None:
    start = "run = trip.options(id='the-trip').start('Rome')\nrun"
    notebook = new_notebook(LOAD, TRIP, start, WAITS["blocked"])
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_step(1, "running")
    notebook.start(3)
    expect(notebook.output(3)).to_contain_text("event 'go'")
    notebook.restart_kernel()
    notebook.run(0)
    expect(notebook.output(0)).to_contain_text("the-trip")
    notebook.picture("1-restarted")
    notebook.run(1, 2)
    card.expect_step(0, "success")
    card.expect_step(1, "running")
    notebook.start(3)
    expect(notebook.output(3)).to_contain_text("event 'go'")
    card.form("go").get_by_role("button", name="Approve").click()
    notebook.wait_for(3)
    expect(notebook.output(3)).to_contain_text("the run gave 4 days in Rome")
    card.expect_frozen()
    assert (notebook.folder / "calls.txt").read_text().split() == ["look_up", "book"]
    notebook.picture("2-completed")


def test_two_views_of_a_run_stay_in_step(new_notebook: NewNotebook) -> None:
    twice = TRIP.replace("if not", "await step.await_event('ready')\nif not")
    notebook = new_notebook(LOAD, twice, "run = trip.start('Rome')\nrun", "run", WAITS["blocked"])
    notebook.run(0, 1, 2, 3)
    first, second = notebook.card(2), notebook.card(3)
    for card in (first, second):
        card.expect_step(1, "running")
    notebook.start(4)
    first.form("ready").get_by_role("button", name="Send", exact=True).click()
    for card in (first, second):
        card.expect_step(1, "success")
        card.expect_step(2, "running")
        expect(card.form("ready")).to_have_count(0)
        expect(card.form("go")).to_be_visible()
    seq = first.place.get_attribute("data-seq")
    assert seq is not None
    expect(second.place).to_have_attribute("data-seq", seq)
    notebook.picture("1-both")
    second.form("go").get_by_role("button", name="Reject").click()
    notebook.wait_for(4)
    expect(notebook.output(4)).to_contain_text("the run gave stay at home")
    for number in (2, 3):
        notebook.card(number).expect_frozen()
        expect(notebook.output(number)).to_contain_text("completed")
