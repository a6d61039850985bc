"""One atomic unit of rows. Only the data that travels between the engine and the writer lives here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = tuple[int, int, int, int, int, "str | None", "str | None"]
"""(run, step, generation, fact, t, name, body): a row of wf.facts without its seq."""


class Write:
    """Rows that are committed together or not at all.

    Args:
        rows: the rows, without ``seq``.
        keep: asked under the commit lock, when everything submitted earlier is decided: False drops the write. It may be
            asked more than once (a batch that meets a full disk is assembled anew), so it must only look.
        tag: anything of the caller's.
        blobs: side files (SHA-256 in hex -> bytes-like) that must be durable before the rows are.
        delete_runs: run keys whose rows go in the same transaction.

    Attributes:
        seq: after the commit, the seq of the first row; the others follow it.
        dropped: True when ``keep`` said no, or when the write was withdrawn.
        error: why this write, and only this one, could not be committed.
    """

    __slots__ = ("blobs", "delete_runs", "dropped", "error", "keep", "rows", "seq", "tag")

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        keep: Callable[[], bool] | None = None,
        tag: Any = None,
        blobs: Mapping[str, Any] | None = None,
        delete_runs: Sequence[int] = (),
    ):
        self.rows = rows
        self.keep = keep
        self.tag = tag
        self.blobs = blobs
        self.delete_runs = delete_runs
        self.seq = -1
        self.dropped = False
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        state = "dropped" if self.dropped else f"failed: {self.error}" if self.error else f"seq {self.seq}"
        return f"<Write of {len(self.rows)} rows, {state}>"
