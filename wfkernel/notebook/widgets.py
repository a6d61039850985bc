"""What our widgets have in common: their messages are heard while a cell waits, and handled on one thread, in the cell's context."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import anywidget

from wfkernel.cards.desk import post
from wfkernel.notebook import kernel as kernels

__all__ = ["LiveWidget"]


class LiveWidget(anywidget.AnyWidget):
    """Talks to its page by messages. ipywidgets has no locks, so it is touched on the widgets' thread alone."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._context = contextvars.copy_context()  # ipykernel keeps in it which cell a message belongs to
        self.on_msg(self._received)
        tap = kernels.tap()
        if tap is not None and self.comm is not None:
            tap.register(self.comm.comm_id, self._handle_msg)

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Any thread."""
        if isinstance(message, dict):
            self._post(lambda: self._answer(message))

    def _answer(self, message: dict[str, Any]) -> None:
        """Take in a message of the page. On the widgets' thread."""
        raise NotImplementedError

    def _post(self, job: Callable[[], object], *, after: float = 0.0) -> None:
        """Do ``job`` on the widgets' thread, in the cell's context: a copy, as one context cannot be entered twice."""
        context = self._context.copy()
        post(lambda: context.run(job), after=after)
