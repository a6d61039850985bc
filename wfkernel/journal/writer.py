"""The writer thread: takes whatever was queued during the last commit, and commits it together.

May live here: the queue, hints, waiting, retrying. What a commit does is ledger.py's business.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from wfkernel.errors import EngineStopped

from . import faults
from .checkpoints import Checkpoints
from .ledger import Ledger
from .stall import Stall
from .write import Write

logger = logging.getLogger("wfkernel.journal")

MAX_BATCH = 4096  # writes
_BACKOFF_S = (0.2, 0.4, 0.8, 1.6, 2.0)
_ACTIVE_S = 1.0  # for so long after the last commit the thread looks for hints by itself, so that a hint need not wake it
_MEMORY_ATTEMPTS = 5


class Writer:
    """One thread.

    Attributes:
        hint_delay: seconds that a hint waits before it is written with others, and twice that before it is written alone: a
            commit for a hint delays whoever waits for one.
        close_patience: seconds that ``drain`` goes on trying on a full disk.
    """

    def __init__(
        self,
        ledger: Ledger,
        stall: Stall,
        checkpoints: Checkpoints | None,
        checkpoint: Callable[[], bool],
        reattach: Callable[[], None],
    ):
        self.hint_delay = 0.05
        self.close_patience = 5.0
        self._ledger = ledger
        self._stall = stall
        self._checkpoints = checkpoints
        self._checkpoint = checkpoint
        self._reattach = reattach
        self._queue: collections.deque[Write] = collections.deque()
        self._hints: collections.deque[tuple[float, Write]] = collections.deque()
        self._gate = threading.Lock()  # a binary semaphore: leaner than an Event on the path of a lone row
        self._gate.acquire()
        self._is_asleep = False
        self._sleeps_long = False
        self._is_refusing = False  # submit() raises
        self._is_draining = False
        self._is_abandoned = False
        self._is_gone = False
        self._active_until = 0.0
        self._check_at: float | None = None
        self._failures = 0
        self._give_up_at = float("inf")
        self.thread = threading.Thread(target=self._run, name="wfkernel-journal", daemon=True)

    # -- any thread ------------------------------------------------------------------------------------------------------

    def submit(self, write: Write) -> None:
        """See ``Journal.submit``."""
        if self._is_refusing:
            raise EngineStopped("the journal is closed")
        self._queue.append(write)
        if self._is_asleep:
            self._wake()
        if self._is_gone:  # closed since the first line: nobody will look at the queue again
            self._withdraw(write)

    def submit_later(self, write: Write) -> None:
        """See ``Journal.submit_later``."""
        if self._is_refusing:
            raise EngineStopped("the journal is closed")
        self._hints.append((time.monotonic() + self.hint_delay, write))
        if self._sleeps_long:
            self._wake()

    def nudge(self) -> None:
        """Something was committed elsewhere: look at the size of the WAL when it is quiet again."""
        if self._check_at is None and self._checkpoints is not None:
            self._check_at = time.monotonic() + self._checkpoints.idle_s
            self._wake()

    def _wake(self) -> None:
        self._is_asleep = self._sleeps_long = False
        with contextlib.suppress(RuntimeError):  # two threads woke it at once
            self._gate.release()

    def _withdraw(self, write: Write) -> None:
        with contextlib.suppress(ValueError):  # the writer took it in time
            self._queue.remove(write)
            raise EngineStopped("the journal is closed")

    def drop_queued(self, wanted: Callable[[Write], bool]) -> list[Write]:
        """See ``Journal.drop_queued``."""
        with self._ledger.lock:  # the writer takes from the queue under this lock only
            queued = [self._queue.popleft() for _ in range(len(self._queue))]
            gone = [write for write in queued if wanted(write)]
            withdrawn = set(map(id, gone))
            self._queue.extendleft(write for write in reversed(queued) if id(write) not in withdrawn)
        for write in gone:
            write.dropped = True
        return gone

    # -- the end ---------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Commit everything submitted, hints too, and end the thread."""
        self._give_up_at = time.monotonic() + self.close_patience
        self._is_refusing = self._is_draining = True
        self._wake()
        self.thread.join()

    def abandon(self) -> None:
        """End the thread; what is queued is never committed."""
        self._is_refusing = self._is_abandoned = self._is_gone = True
        self._queue.clear()
        self._hints.clear()
        self._wake()

    # -- the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_abandoned and not self._is_gone:
            try:
                self._turn()
            except Exception:  # a mistake of ours must not end the thread: whoever waits for a commit would wait for ever
                logger.exception("the journal's writer failed, and goes on")
                self._pause(_BACKOFF_S[-1])

    def _turn(self) -> None:
        if self._hints and (self._queue or self._is_draining or self._hints[0][0] + self.hint_delay <= time.monotonic()):
            self._take_hints()  # with a batch that is written anyway; alone only after twice the delay
        if self._queue:
            self._step()
        elif self._is_draining and not self._hints:
            self._is_gone = True  # first, then a last look: see submit()
            self._is_gone = not self._queue
        else:
            self._rest()

    def _take_hints(self) -> None:
        """Move the hints that are due to the queue. One whose time is over is forgotten without a word."""
        now = time.monotonic()
        while self._hints and (self._is_draining or self._hints[0][0] <= now):
            _, write = self._hints.popleft()
            with self._ledger.lock:
                if self._ledger.wants(write):
                    self._queue.append(write)

    def _step(self) -> None:
        pause = 0.0
        with self._ledger.lock:
            count = min(len(self._queue), MAX_BATCH)
            batch = [self._queue.popleft() for _ in range(count)]
            if batch and not self._is_abandoned:  # abandoned: these rows are lost, as a killed process would lose them
                pause = self._commit(batch)
        if pause:
            self._pause(pause)
        elif (checkpoints := self._checkpoints) is not None:
            self._after_commit(checkpoints)

    def _after_commit(self, checkpoints: Checkpoints) -> None:
        now = time.monotonic()
        self._active_until = now + _ACTIVE_S
        self._check_at = now + checkpoints.idle_s
        if checkpoints.is_forced(self._ledger.commits):
            self._checkpoint()

    def _rest(self) -> None:
        """Sleep until there is something to do; without a timeout when nothing is due."""
        timeout = self._timeout()
        self._is_asleep = True
        self._sleeps_long = timeout < 0 or timeout > 2 * self.hint_delay  # longer than any hint waits
        if not (self._queue or self._is_draining or self._is_abandoned or (self._sleeps_long and self._hints)):
            self._gate.acquire(timeout=timeout)
        self._is_asleep = self._sleeps_long = False
        if self._check_at is not None and not self._queue and time.monotonic() >= self._check_at:
            self._check_at = None
            assert self._checkpoints is not None  # without them _check_at is never set
            if self._checkpoints.is_worth_idle_time() and not self._checkpoint():
                self._check_at = self._checkpoints.not_before

    def _timeout(self) -> float:
        now = time.monotonic()
        due = []
        if self._hints:
            due.append(self._hints[0][0] + self.hint_delay)
        elif now < self._active_until:
            due.append(now + self.hint_delay)
        if self._check_at is not None:
            due.append(self._check_at)
        return max(0.0, min(due) - now) if due else -1

    # -- commits and their failures --------------------------------------------------------------------------------------

    def _commit(self, batch: list[Write]) -> float:
        """Commit the batch. Returns how long to wait before the next try; 0 when all is decided."""
        try:
            self._ledger.commit(batch)
        except Exception as error:
            return self._failed(batch, error)
        self._succeeded()
        return 0.0

    def _succeeded(self) -> None:
        self._failures = 0
        if self._stall.error is not None:
            self._stall.over()

    def _failed(self, batch: list[Write], error: BaseException) -> float:
        if self._is_abandoned:
            return 0.0
        if faults.is_invalidated(error):
            return self._recover(batch, error)
        if faults.is_space(error) or (faults.is_memory(error) and self._failures < _MEMORY_ATTEMPTS):
            return self._stalled(batch, error)
        if len(batch) == 1:
            batch[0].error = faults.translated(error, "the row could not be committed")
            self._ledger.acknowledge(batch)
            return 0.0
        return self._commit_singly(batch)

    def _commit_singly(self, batch: list[Write]) -> float:
        """One bad row fails the whole batch in DuckDB; it shall fail only its own write."""
        for index, write in enumerate(batch):
            pause = self._commit([write])
            if pause:
                stalled = self._queue.popleft()  # _stalled put it back; the rest of the batch belongs behind it
                self._queue.extendleft(reversed(batch[index + 1 :]))
                self._queue.appendleft(stalled)
                return pause
        return 0.0

    def _stalled(self, batch: list[Write], error: BaseException) -> float:
        if time.monotonic() >= self._give_up_at:
            for write in batch:
                write.error = self._stall.error
            self._ledger.acknowledge(batch)
            return 0.0
        self._queue.extendleft(reversed(batch))  # before anybody is told, so that drop_queued() finds it
        self._stall.met(error)
        self._failures += 1
        return _BACKOFF_S[min(self._failures, len(_BACKOFF_S)) - 1]

    def _recover(self, batch: list[Write], error: BaseException) -> float:
        """DuckDB invalidated the database: attach it anew, and look whether the batch had landed."""
        logger.warning("DuckDB gave the journal up (%s); attaching it again", faults.first_line(error))
        try:
            self._reattach()
            if self._ledger.has_landed(batch):
                self._ledger.acknowledge(batch)
                self._succeeded()
                return 0.0
        except Exception as again:
            return self._stalled(batch, again)
        return self._stalled(batch, error)

    def _pause(self, seconds: float) -> None:
        """Wait between two tries, but not beyond the end of close()'s patience."""
        until = min(time.monotonic() + seconds, self._give_up_at)
        while not self._is_abandoned and (left := until - time.monotonic()) > 0:
            self._gate.acquire(timeout=left)
            if self._is_draining:
                until = min(until, time.monotonic() + 0.2, self._give_up_at)
