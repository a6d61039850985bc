"""What a notebook holds when its run has ended: the run as HTML and as a picture, for readers without a kernel."""

from __future__ import annotations

import base64
import subprocess
import sys

from lab_kit import NewNotebook

LOAD = "%load_ext wfkernel"
TRIP = """\
%%workflow trip(city: str) -> str
def look_up(place: str) -> int:
    return len(place)

days = await step.run_action(look_up, city)
await step.await_event("tickets")
return f"{days} days in {city}"\
"""


def test_the_saved_notebook_shows_the_run_as_html_and_picture(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(LOAD, TRIP, "run = trip.start('Rome')\nrun", "run.send_event('tickets')\nrun.result()")
    notebook.run(0, 1, 2)
    notebook.card(2).expect_step(1, "running")
    notebook.run(3)
    notebook.card(2).expect_frozen()
    saved = notebook.save()
    (output,) = [o for o in saved.cells[2].outputs if "text/html" in o.data]
    assert "application/vnd.jupyter.widget-view+json" not in output.data
    assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")
    assert "completed" in output.data["text/html"]
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--stdout", str(notebook.path)]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [word for word in ("<b>trip</b>", "look_up", "tickets", "4 days in Rome") if word not in page] == []
    (notebook.folder / "page.html").write_text(page)
    notebook.page.goto((notebook.folder / "page.html").as_uri())
    notebook.picture("1-nbconvert")
