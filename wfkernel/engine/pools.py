"""Slots: how many steps run at once, and whose turn is next."""

from __future__ import annotations

from collections import deque
from typing import Any


class Pool:
    """A number of slots, handed out to the runs in turn, so that one run with 10,000 steps does not starve the rest.

    Engine thread only.
    """

    def __init__(self, name: str, limit: int):
        self.name = name
        self.limit = limit
        self.used = 0
        self._queues: dict[int, deque[Any]] = {}  # run key -> its waiting steps
        self._turns: deque[int] = deque()

    def enter(self, step: Any) -> bool:
        """Take a slot for the step, or queue it; True if it may run now."""
        if self.used < self.limit and not self._turns:
            self.used += 1
            return True
        queue = self._queues.get(step.run.key)
        if queue is None:
            queue = self._queues[step.run.key] = deque()
            self._turns.append(step.run.key)
        queue.append(step)
        return False

    def leave(self) -> None:
        self.used -= 1

    def admit(self) -> Any | None:
        """The step whose turn it is, its slot taken; None if there is no free slot or nobody waits."""
        while self.used < self.limit and self._turns:
            key = self._turns.popleft()
            queue = self._queues[key]
            step = queue.popleft()
            if queue:
                self._turns.append(key)
            else:
                del self._queues[key]
            if step.gone:
                continue
            self.used += 1
            return step
        return None

    @property
    def queued(self) -> int:
        """How many steps wait, those given up meanwhile included."""
        return sum(len(q) for q in self._queues.values())
