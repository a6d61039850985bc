"""Cells in tracebacks. The journal keeps the file name under which Python knew a cell; who reads it wants the cell.

That name holds for one life of one kernel, and nothing can be opened by it: where the kernel that reads knows it, ``namer`` gives the
cell's number; else only the line that stands below it tells which cell it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_PLACE = re.compile(r'\bFile "([^"\n]+)", line (\d+)')
_CELL = re.compile(r"[/\\](?:ipykernel|xpython)_\d+[/\\]\d+(?:\.py)?$|^<ipython-input-\d+-\w+>$")


def _nobody(_file: str) -> str | None:
    return None


namer: Callable[[str], str | None] = _nobody
"""The cell that this process knows by a file name, as "Cell In[3]". A notebook's kernel puts its own in place."""


def with_cells(traceback: str) -> str:
    """A formatted traceback whose cells are named as a notebook names them.

    >>> with_cells('  File "/tmp/ipykernel_12/345.py", line 2, in f')
    '  cell, line 2, in f'
    """
    return _PLACE.sub(_named, traceback)


def has_frames(traceback: str) -> bool:
    """Whether a formatted traceback tells more than the error's own text."""
    return "Traceback (most recent call last)" in traceback


def _named(place: re.Match[str]) -> str:
    file, line = place.groups()
    cell = namer(file) or ("cell" if _CELL.search(file) else None)
    return place[0] if cell is None else f"{cell}, line {line}"
