"""What is left of cards, forms and dashboards when their kernel has gone, or their run was deleted."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from lab_kit import NewNotebook, NotebookPage

LOAD = "%load_ext wfkernel"
EVENT = "import wfkernel\ngo = wfkernel.define_event('go', bool)"
WAITING = """\
%%workflow trip(city: str) -> str
days = await step.run_action(len, city)
await step.await_event(go)
return city\
"""
RUN = "run = trip.options(id='rome').start('Rome')\nrun"
APPROVE = "wfkernel.approve(run, go)"
DASHBOARD = "wfkernel.dashboard()"
DIE = "import os\nos._exit(1)"
QUICK = """\
%%workflow trip(city: str) -> str
return await step.run_action(city.upper)\
"""


def widgets_of(notebook: NotebookPage) -> tuple[Locator, Locator, Locator]:
    card, form, dashboard = (notebook.card(number).place for number in (3, 4, 5))
    expect(card.locator(".wf-approvals button")).to_have_count(2)
    expect(form.locator(".wf-approvals button")).to_have_count(2)
    expect(dashboard.locator("tbody tr")).to_have_count(1)
    return card, form, dashboard


def expect_gone(*widgets: Locator) -> None:
    for widget in widgets:
        expect(widget.locator(".wf-gone")).to_contain_text("The kernel has gone")
        for control in widget.locator(":is(.wf-header, .wf-approvals, .wf-bulk, .wf-grid) :is(button, input)").all():
            expect(control).to_be_disabled()


def test_after_a_restart_everything_says_so_and_takes_no_clicks(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, EVENT, WAITING, RUN, APPROVE, DASHBOARD, RUN)
    notebook.run(0, 1, 2, 3, 4, 5)
    card, form, dashboard = widgets_of(notebook)
    notebook.restart_kernel()
    expect_gone(card, form, dashboard)
    expect(card.locator(".wf-status")).to_have_text("last seen in progress")
    expect(dashboard.get_by_role("searchbox")).to_be_disabled()
    elapsed = card.locator(".wf-elapsed").inner_text()
    for place, stage in ((card, "1-card"), (form, "2-form"), (dashboard, "3-dashboard")):
        place.scroll_into_view_if_needed()
        notebook.picture(stage)
    notebook.card(3).step(0).click()
    expect(notebook.card(3).details).to_contain_text("Its values are in the journal")
    notebook.picture("4-details", notebook.card(3))
    notebook.run(0, 1, 2, 6)
    notebook.card(6).expect_step(1, "running")
    assert card.locator(".wf-elapsed").inner_text() == elapsed
    notebook.card(6).form("go").get_by_role("button", name="Approve").click()
    notebook.card(6).expect_frozen()


def test_of_a_kernel_that_died_a_card_says_so_unasked(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, EVENT, WAITING, RUN, APPROVE, DASHBOARD, DIE)
    notebook.run(0, 1, 2, 3, 4, 5)
    widgets = widgets_of(notebook)
    notebook.start(6)
    notebook.page.locator(".jp-Dialog button").first.click()
    expect_gone(*widgets)
    notebook.picture("1-card", notebook.card(3))


def test_a_run_that_is_deleted_under_its_card_is_left_as_it_was(new_notebook: NewNotebook) -> None:
    shown = "from IPython.display import display\nrun = trip.start('Rome')\ndisplay(run)\nrun.result()\nwf.cleanup(run)"
    notebook = new_notebook(LOAD, QUICK, shown, EVENT, WAITING, RUN, "wf.cleanup(run, force=True)")
    notebook.run(0, 1, 2, 3, 4, 5)
    expect(notebook.output(2)).to_contain_text("completed")
    expect(notebook.output(2)).not_to_contain_text("Traceback")
    notebook.card(5).expect_step(1, "running")
    notebook.run(6)
    notebook.card(5).expect_frozen()
    expect(notebook.output(5)).to_contain_text("in progress")
    expect(notebook.output(5)).to_contain_text("deleted from the journal")
    for number in (5, 6):
        expect(notebook.output(number)).not_to_contain_text("Exception")
    notebook.picture("1-frozen")
