"""What cannot leave the notebook, or come back into one: all of it told at once, with the cell and the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wfkernel.errors import WfkernelError

__all__ = ["ExportError", "ExportRefused", "Refusal", "Refused"]


@dataclass(frozen=True)
class Refusal:
    """One place that has no meaning in a script.

    Attributes:
        cell: the cell's number in the notebook, Markdown cells counted, from 1.
        line: the line in the cell, from 1; None where it is about the cell as a whole.
        text: what stands there.
        reason: what is wrong with it, and what to do.
    """

    cell: int
    line: int | None
    text: str
    reason: str

    def __str__(self) -> str:
        where = f"cell {self.cell}" + (f", line {self.line}" if self.line is not None else "")
        return f"{where}: {self.text.strip()[:80]}\n    {self.reason}" if self.text.strip() else f"{where}: {self.reason}"


class ExportError(WfkernelError, ValueError):
    """A notebook that cannot be read, or a script that cannot become a notebook again."""


class ExportRefused(ExportError):
    """The notebook has parts that mean nothing in a script; nothing was written.

    Attributes:
        refusals: every one of them, in the notebook's order.
    """

    def __init__(self, refusals: Sequence[Refusal]):
        self.refusals = sorted(refusals, key=lambda r: (r.cell, r.line or 0))
        places = "1 place" if len(self.refusals) == 1 else f"{len(self.refusals)} places"
        told = "\n  ".join(map(str, self.refusals))
        super().__init__(
            f"the notebook cannot become a script, because of {places}:\n  {told}\n"
            "Change them, or give these cells the tag `notebook-only`: they then stay in the script as comments."
        )


class Refused(Exception):
    """Within the exporter: a line of the cell that is being read cannot go into a script."""

    def __init__(self, reason: str, line: int | None = None):
        super().__init__(reason)
        self.reason = reason
        self.line = line
