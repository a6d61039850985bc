"""The notebooks for newcomers run from top to bottom, and show what they promise. Their clicks come from a thread of the kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
NAMES = [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
VIEW = "application/vnd.jupyter.widget-view+json"
PERSON = """
def _answer_what_is_awaited(answers):
    # What a click in the run card or in the form of approve() says, as the message that comes from the page.
    import threading, time
    from wfkernel.notebook.card import RunCard
    from wfkernel.cards.feed import awaiting
    from ipywidgets.widgets.widget import _instances

    def work():
        answered = set()
        while True:
            time.sleep(0.3)
            for card in [w for w in list(_instances.values()) if isinstance(w, RunCard)]:
                for a in awaiting(card.run):
                    if a.name in answers and a.name not in answered:
                        answered.add(a.name)
                        message = {"k": "cmd", "id": "1", "cmd": "send", "step": a.number, "event": a.name, "value": answers[a.name]}
                        time.sleep(0.5)  # the next cell waits by now
                        card._handle_custom_msg(message, [])
    threading.Thread(target=work, daemon=True).start()
"""


class Executed:
    def __init__(self, name: str, folder: Path, answers: dict[str, Any] | None = None):
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
        if answers is not None:
            person = nbformat.v4.new_code_cell(f"{PERSON}\n_answer_what_is_awaited({answers!r})")
            notebook.cells.insert(1, person)
        client = NotebookClient(notebook, timeout=25, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
        client.execute()
        self._cells = {cell["id"]: cell for cell in notebook.cells}

    def outputs(self, cell: str) -> list[Any]:
        return self._cells[cell]["outputs"]

    def text(self, cell: str) -> str:
        """All that the cell shows, as text."""
        found = []
        for output in self.outputs(cell):
            if output["output_type"] == "error":
                found.append(f"{output['ename']}: {output['evalue']}")
            else:
                found.append(output.get("text") or output["data"].get("text/plain", ""))
        return "\n".join(found)

    def html(self, cell: str) -> str:
        return "\n".join(o["data"].get("text/html", "") for o in self.outputs(cell) if "data" in o)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_clean(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / name, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert set(cell["metadata"]) <= {"tags"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_links_lead_somewhere() -> None:
    for name in NAMES:
        for target in re.findall(r"\]\(([^)]+\.ipynb)\)", (NOTEBOOKS / name).read_text()):
            assert (NOTEBOOKS / target).exists()


def test_quickstart(tmp_path: Path) -> None:
    done = Executed("01-quickstart.ipynb", tmp_path)
    assert "journal .wfkernel/journal.duckdb is open as `wf`" in done.text("load")
    assert done.text("define") == ""
    assert "RunFailed" in done.text("fail")
    assert "the booking service is down" in done.text("fail")
    assert "book" in done.text("show")
    assert "failed" in done.text("show")
    assert "'a room in Valparaíso'" in done.text("restart")
    assert "asking" not in done.text("restart"), "no forecast is asked for again"
    assert "trip" in done.html("start")
    assert any("image/png" in o.get("data", {}) for o in done.outputs("timeline"))
    assert "'water the plants: 24 degrees'" in done.text("sleep-result")
    assert "reminder-1" in done.text("list")
    assert re.search(r"forecast +success +4\b", done.text("sql"))


def test_approval(tmp_path: Path) -> None:
    answers = {"go": True, "decision": {"verdict": "buy", "limit": 200}}
    done = Executed("02-approval.ipynb", tmp_path, answers)
    assert "'published: Ten minutes with wfkernel'" in done.text("publish-result")
    assert "Decision" in done.text("start")
    assert any(VIEW in o.get("data", {}) for o in done.outputs("start"))
    assert "'telescope for 112.5: bought'" in done.text("wait")
    assert "verdict: Input should be 'buy', 'wait' or 'no'" in done.text("send")
    assert "'lens for 50.0: not bought next year'" in done.text("send")
    assert "'nobody answered'" in done.text("late-result")
    assert done.text("list").count("completed") == 4


def test_notebook_to_script(tmp_path: Path) -> None:
    name = "03-notebook-to-script.ipynb"
    (tmp_path / name).write_text((NOTEBOOKS / name).read_text())  # where JupyterLab would have it
    done = Executed(name, tmp_path)
    assert "invoice.py is 03-notebook-to-script.ipynb" in done.text("export")
    assert "@wf.workflow\nasync def invoice(step, customer: str, hours: float) -> str:" in done.text("script")
    assert "sent sign to run" in done.text("resume")
    assert "completed: 'invoice to the observatory over 1500.00'" in done.text("resume")
    assert "invoice to the observatory over 1500.00" in done.text("back")
    assert "price success 1\nsign success 0\ndeliver success 1\n" in done.text("back"), "the script ran no step again"
