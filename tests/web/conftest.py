"""Real managers, served by real uvicorn on a free port; clients without a proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from web_kit import Served

from wfkernel import WorkflowManager

if TYPE_CHECKING:
    import httpx


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serves a new manager (or ``wf=``), with these options of ``wf.serve``."""
    open_now: list[Any] = []

    def start(wf: WorkflowManager | None = None, **options: Any) -> Served:
        manager = wf or WorkflowManager(tmp_path / "journal.duckdb")
        serving = manager.serve(port=options.pop("port", 0), **options)
        served = Served(manager, serving)
        open_now.append(served)
        return served

    yield start
    for served in reversed(open_now):
        served.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def client(served: Served) -> httpx.Client:
    """With the token of all scopes."""
    return served.client(served.serving.token)
