"""What the card's buttons and keys do."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from lab_kit import NewNotebook

LOAD = "%load_ext wfkernel"
BODY = """\
%%workflow trip(city: str) -> str
if not city.startswith("O"):
    raise ValueError(f"no way:\\n  from {city}\\n  to   Oslo")
return city\
"""
RUN = "run = trip.start('Rome')\nrun"
BROKEN = """\
%%workflow trip(city: str) -> str
def look_up(place: str) -> int:
    open("calls.txt", "a").write("look_up ")
    return len(place)

def book(days: int) -> str:
    raise LookupError(f"no hotel has {days} days free")

days = await step.run_action(look_up, city)
return await step.run_action(book, days)\
"""
REPAIRED = BROKEN.replace('raise LookupError(f"no hotel has {days} days free")', 'return f"booked {days} days"')
FLAKY = BROKEN.replace(
    "    raise", "    import pathlib\n    if pathlib.Path('mended').exists():\n        return 'booked'\n    raise"
)
WAITING = """\
%%workflow trip(city: str) -> str
days = await step.run_action(len, city)
await step.await_event("go")
return city\
"""


def test_a_failed_step_shows_its_error_and_runs_again_from_there(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, BROKEN, RUN, REPAIRED, "print(run.result())")
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_status("failed")
    card.step(1).click()
    expect(card.details).to_contain_text("LookupError: no hotel has 4 days free")
    expect(card.details.locator(".wf-trace")).to_contain_text("in book")
    notebook.picture("1-failed")
    notebook.run(3)
    card.details.get_by_role("button", name="Restart from here").click()
    card.expect_frozen()
    expect(notebook.output(2)).to_contain_text("completed")
    notebook.picture("2-completed")
    notebook.run(4)
    expect(notebook.output(4)).to_have_text("booked 4 days")
    assert (notebook.folder / "calls.txt").read_text().split() == ["look_up"]


def test_an_error_of_the_body_shows_its_lines_and_its_cell(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, BODY, RUN, "print(run.status().error.traceback)")
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_status("failed")
    expect(card.place.locator(".wf-message")).to_have_js_property("innerText", "ValueError: no way:\n  from Rome\n  to   Oslo")
    expect(card.place.locator(".wf-trace")).to_contain_text("Cell In[2], line 3, in trip")
    expect(card.place.locator(".wf-trace")).not_to_contain_text("ipykernel")
    expect(card.place.locator(".wf-empty")).to_have_text("No steps")
    notebook.picture("1-failed", card)
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("Cell In[2], line 3, in trip")


def test_resume_runs_the_failed_step_again(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, FLAKY, RUN, "print(run.result())")
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_status("failed")
    (notebook.folder / "mended").touch()
    card.button("Resume").click()
    card.expect_frozen()
    expect(notebook.output(2)).to_contain_text("completed")
    notebook.run(3)
    expect(notebook.output(3)).to_have_text("booked")
    assert (notebook.folder / "calls.txt").read_text().split() == ["look_up"]


def test_cancel_asks_first(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, WAITING, RUN)
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    question = card.place.get_by_role("alertdialog")
    card.expect_step(1, "running")
    card.button("Cancel").click()
    expect(question).to_be_visible()
    notebook.picture("1-asks")
    card.button("Keep it running").click()
    expect(question).to_be_hidden()
    card.expect_status("in_progress")
    card.button("Cancel").click()
    card.button("Cancel the run").click()
    card.expect_frozen()
    expect(notebook.output(2)).to_contain_text("canceled")
    notebook.picture("2-canceled")


def test_fork_makes_another_run_with_other_arguments(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, WAITING, RUN, "made = wf.list().items[0]\nprint(made.run_id, made.args, run.status().type)")
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_step(1, "running")
    card.step(0).click()
    card.details.get_by_role("button", name="Fork from here").click()
    form = card.place.get_by_role("form", name="Fork from step 0")
    expect(form.get_by_label("city")).to_have_value("Rome")
    notebook.picture("1-asks")
    form.get_by_label("city").fill("Oslo")
    form.get_by_role("button", name="Fork").click()
    expect(card.said).to_contain_text("Forked as ")
    forked = card.said.inner_text().removeprefix("Forked as ")
    card.expect_status("in_progress")
    notebook.picture("2-forked")
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text(forked)
    expect(notebook.output(3)).to_contain_text("Oslo")
    expect(notebook.output(3)).to_contain_text("in_progress")
    card.button("Open it").click()
    expect(card.place).to_contain_text(forked)
    card.expect_step(0, "success")
    card.expect_step(1, "running")
    notebook.picture("3-opened")


def test_the_keyboard_alone_chooses_a_step(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, WAITING, RUN)
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    steps = card.place.get_by_role("listbox")
    card.expect_step(1, "running")
    card.button("Show all").focus()
    keyboard = notebook.page.keyboard
    keyboard.press("Tab")
    expect(steps).to_be_focused()
    keyboard.press("ArrowDown")
    expect(card.step(0)).to_have_attribute("aria-selected", "true")
    expect(steps).to_have_attribute("aria-activedescendant", re.compile("-0$"))
    expect(card.details).to_contain_text("Result")
    keyboard.press("ArrowDown")
    expect(card.step(1)).to_have_attribute("aria-selected", "true")
    expect(card.step(0)).to_have_attribute("aria-selected", "false")
    expect(card.details).to_contain_text("go")
    # JupyterLab lays out every dl of an output by rules of its own, which broke long words here.
    expect(card.details.locator("dl").last).to_have_css("display", "grid")
    notebook.picture("1-selected")
    keyboard.press("ArrowUp")
    expect(card.step(0)).to_have_attribute("aria-selected", "true")
    keyboard.press("Escape")
    expect(card.details).to_be_hidden()
    expect(steps).to_be_focused()


def test_a_canceled_run_that_is_restarted_elsewhere_has_its_card_again(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, WAITING, RUN, "run.cancel()", "run.restart()")
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    card.expect_step(1, "running")
    notebook.run(3)
    card.expect_frozen()
    notebook.run(4)
    card.expect_status("in_progress")
    card.expect_step(1, "running")
    card.form("go").get_by_role("button", name="Send").click()
    card.expect_frozen()
    expect(notebook.output(2)).to_contain_text("completed")
