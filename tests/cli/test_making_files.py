"""`wfkernel export` and `import` as writers of files: what they may replace, what they follow, and what they leave alone."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest


@pytest.fixture
def report(journal: Path) -> Path:
    """A notebook, in the current folder."""
    path = journal.parent / "report.ipynb"
    cells = [nbformat.v4.new_code_cell("print(1 + 1)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_notebook_is_never_the_file_that_is_written(wfkernel, report: Path) -> None:
    before = report.read_bytes()
    (report.parent / "link.py").symlink_to(report)
    for words in (["-o", report], ["-o", "link.py"], ["-o", report, "--force"]):
        said = wfkernel("export", report, *words)
        assert (said.code, said.out) == (1, "")
        assert "is what is read here" in said.err
    assert report.read_bytes() == before


def test_a_file_of_another_origin_is_left_alone_without_force(wfkernel, report: Path) -> None:
    mine = report.with_name("mine.py")
    mine.write_text('print("hand written")\n')
    said = wfkernel("export", report, "-o", mine)
    assert said.code == 1
    assert "was not exported by wfkernel, and is left alone" in said.err
    assert "--force" in said.err
    assert mine.read_text() == 'print("hand written")\n'
    assert wfkernel("export", report, "-o", mine, "--force").code == 0
    assert "print(1 + 1)" in mine.read_text()
    assert wfkernel("export", report, "-o", mine).code == 0, "it is ours now"


def test_an_import_replaces_nothing_without_force(wfkernel, report: Path) -> None:
    assert wfkernel("export", report, "-o", "report.py").code == 0
    script, before = report.with_name("report.py").read_bytes(), report.read_bytes()
    said = wfkernel("import", "report.py", "-o", report)
    assert said.code == 1
    assert "left alone" in said.err
    assert report.read_bytes() == before
    assert wfkernel("import", "report.py", "-o", "report.py", "--force").code == 1
    assert report.with_name("report.py").read_bytes() == script
    assert wfkernel("import", "report.py", "-o", report, "--force").code == 0
    assert nbformat.read(report, as_version=4).cells[0].source == "print(1 + 1)"


def test_a_link_is_followed_and_a_mode_is_kept(wfkernel, report: Path) -> None:
    real = report.with_name("real.py")
    assert wfkernel("export", report, "-o", real).code == 0
    real.chmod(0o755)
    report.with_name("link.py").symlink_to("real.py")
    real.write_text(real.read_text() + "# old\n")
    assert wfkernel("export", report, "-o", "link.py").code == 0
    assert report.with_name("link.py").is_symlink()
    assert not real.read_text().endswith("# old\n")
    assert stat.S_IMODE(real.stat().st_mode) == 0o755


def test_a_pipe_is_written_to(wfkernel, report: Path) -> None:
    pipe = report.with_name("pipe")
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    said = wfkernel("export", report, "-o", pipe)
    reader.join(20)
    assert said.code == 0
    assert "print(1 + 1)" in read[0]
    assert pipe.is_fifo()


def test_a_dash_is_the_standard_output(wfkernel, report: Path) -> None:
    said = wfkernel("export", report, "-o", "-")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith('"""Exported from report.ipynb')
    assert said.out.endswith("script.command_line(None, main))\n")
    report.with_name("report.py").write_text(said.out)
    back: Any = nbformat.reads(wfkernel("import", "report.py", "-o", "-").out, as_version=4)
    assert back.cells[0].source == "print(1 + 1)"
    assert wfkernel("export", report, "-o", "-", "--json").code == 2
    assert sorted(path.name for path in report.parent.iterdir()) == ["report.ipynb", "report.py"]


def test_what_cannot_be_written_is_named_as_it_was_given(wfkernel, report: Path) -> None:
    report.with_name("folder.py").mkdir()
    for name, why in (("nodir/x.py", "No such file or directory"), ("folder.py", "directory")):
        said = wfkernel("export", report, "-o", name)
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith(f"wfkernel export: {name} cannot be written: ")
        assert why in said.err
        assert ".part" not in said.err
