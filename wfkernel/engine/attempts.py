"""One attempt of one function step, on a thread that may run user code.

Success is written to the journal from here, without a detour through the engine's thread: the writer asks ``is_alive`` in
commit order, so a step that was given up meanwhile is dropped. A failure goes to the engine, which decides about a retry.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from wfkernel.engine.steps import LiveStep, enter_context, finished
from wfkernel.engine.workers import ActionLoops, LoopThread, Threads
from wfkernel.errors import EngineStopped, ValueNotStorable
from wfkernel.journal import Write
from wfkernel.model.facts import Fact
from wfkernel.model.values import is_atom

if TYPE_CHECKING:
    from wfkernel.engine.engine import Engine


class Attempts:
    """Starts attempts and brings home their ends."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.loops = ActionLoops()
        self.threads = Threads("wfkernel-worker")
        self.processes: Any = None
        self.running = 0  # engine thread only: attempts whose end has not come back
        self._batch: list[LiveStep] = []

    # -- on the engine's thread --

    def start(self, step: LiveStep) -> None:
        self.running += 1
        step.is_running = True
        executor = step.request.options.executor
        if step.kind == "action" and executor not in (None, "thread"):
            self._elsewhere(step, executor)
        elif step.is_async and step.kind == "action":
            self._batch.append(step)  # one wake-up of the actions' loop for all that start in this turn
        else:
            attempt = step.attempt  # of now: by the time that a thread is free, this one may be given up, and another begun
            self.threads.submit(lambda: self._in_thread(step, attempt))
            self._time_out_thread(step)

    def flush(self) -> None:
        """Hand the async actions of this turn to their loop."""
        if self._batch:
            batch, self._batch = self._batch, []
            self.loops.hand_over(batch, self._start_tasks)

    def stop_one(self, step: LiveStep) -> None:
        """Cancel a running attempt: CancelledError for an async one; a thread has to look at ``is_canceled``."""
        self.loops.forget(step)
        handle = step.handle
        if isinstance(handle, asyncio.Task):
            handle.get_loop().call_soon_threadsafe(handle.cancel)
        elif handle is not None:
            handle.cancel()

    def _time_out_thread(self, step: LiveStep) -> None:
        timeout = step.request.options.timeout
        if timeout is not None:
            step.timer = self.engine.loop.call_later(timeout, self._thread_is_late, step, step.attempt, timeout)

    def _thread_is_late(self, step: LiveStep, attempt: object, timeout: float) -> None:
        # the thread itself cannot be stopped; its late result is dropped
        step.run.attempt_failed(step, attempt, _late(timeout))

    def _elsewhere(self, step: LiveStep, executor: Any) -> None:
        if executor == "process":
            executor = self._process_pool()
        try:
            args, kwargs = self._arguments(step)
            if isinstance(executor, ThreadPoolExecutor):  # a context cannot go to another process
                future = executor.submit(enter_context(step).run, step.fn, *args, **kwargs)
            else:
                future = executor.submit(step.fn, *args, **kwargs)
        except BaseException as exc:
            self.engine.post(step.run.attempt_failed, step, step.attempt, exc)
            return
        step.handle = future
        attempt = step.attempt
        future.add_done_callback(lambda f: self.threads.submit(lambda: self._from_executor(step, attempt, f)))
        self._time_out_thread(step)

    def _process_pool(self) -> Any:
        if self.processes is None:
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            # spawn: a fork would inherit the journal's file descriptors and locks
            self.processes = ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))
        return self.processes

    def stop(self) -> None:
        self.loops.stop()
        self.threads.close()
        if self.processes is not None:
            for worker in list(self.processes._processes.values()):
                worker.terminate()  # what it does counts as crashed, and would keep us from ending
            self.processes.shutdown(cancel_futures=True)

    # -- on the actions' loop --

    def blocked(self) -> Any:
        """See ``ActionLoops.blocked``."""
        return self.loops.blocked(self._start_tasks)

    def _start_tasks(self, home: LoopThread, batch: list[LiveStep]) -> None:
        for step in batch:
            if step.gone or step not in home.not_begun:
                continue  # given up, or moved to another loop
            step.handle = home.loop.create_task(self._in_loop(step, home), context=enter_context(step))
            if step.gone:  # given up in between: ``stop_one`` found no task
                step.handle.cancel()

    async def _in_loop(self, step: LiveStep, home: LoopThread) -> None:
        if home.not_begun.pop(step, home) is home:
            return  # moved to another loop
        attempt = step.attempt
        timeout = step.request.options.timeout
        try:
            args, kwargs = self._arguments(step)
            if timeout is None:
                value = await step.fn(*args, **kwargs)
            else:
                value = await self._in_time(step.fn(*args, **kwargs), timeout)
        except BaseException as exc:
            self._failed(step, attempt, exc)
        else:
            self._succeeded(step, attempt, value)

    @staticmethod
    async def _in_time(coro: Any, timeout: float) -> Any:
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await coro
        except TimeoutError:
            if limit.expired():
                raise _late(timeout) from None
            raise

    # -- on a worker's thread --

    def _in_thread(self, step: LiveStep, attempt: object) -> None:
        if not step.wants(attempt):
            self._failed(step, attempt, asyncio.CancelledError())
            return
        enter_context(step).run(self._run_plain, step, attempt)

    def _run_plain(self, step: LiveStep, attempt: object) -> None:
        try:
            args, kwargs = self._arguments(step)
            if step.kind == "mutation":
                self._mutate(step, attempt, args, kwargs)
                return
            if step.kind == "query":
                value = self.engine.journal.query(lambda db: finished(step.fn(db, *args, **kwargs)))
            else:
                value = finished(step.fn(*args, **kwargs))
        except BaseException as exc:
            self._failed(step, attempt, exc)
        else:
            self._succeeded(step, attempt, value)

    def _mutate(self, step: LiveStep, attempt: object, args: list[Any], kwargs: dict[str, Any]) -> None:
        def work(db: Any) -> Write | None:
            value = finished(step.fn(db, *args, **kwargs))
            return self._success(step, attempt, value)

        write = self.engine.journal.transact(work)
        if write is None or write.dropped:
            self._failed(step, attempt, asyncio.CancelledError())

    def _from_executor(self, step: LiveStep, attempt: object, future: Any) -> None:
        try:
            value = future.result()
        except BaseException as exc:
            self._failed(step, attempt, exc)
        else:
            self._succeeded(step, attempt, value)

    # -- on either --

    def _arguments(self, step: LiveStep) -> tuple[list[Any], dict[str, Any]]:
        request = step.request
        values: Any = request.values
        if values is None:
            values = self.engine.codec.decode(request.args.text, self.engine.loader(request.args.blobs))
        assert step.signature is not None
        return step.signature.split(values, request.positional)

    def _succeeded(self, step: LiveStep, attempt: object, value: Any) -> None:
        try:
            write = self._success(step, attempt, value)
        except BaseException as exc:
            self._failed(step, attempt, exc)
            return
        if write is None:
            self._failed(step, attempt, asyncio.CancelledError())
            return
        try:
            self.engine.journal.submit(write)
        except EngineStopped:
            pass  # closed meanwhile: the attempt counts as crashed

    def _success(self, step: LiveStep, attempt: object, value: Any) -> Write | None:
        """The write of a successful end; None if it comes too late. Raises ValueNotStorable."""
        if not step.wants(attempt):
            return None
        engine = self.engine
        try:
            encoded = engine.codec.encode(value)
        except ValueNotStorable as exc:
            raise exc.within(f"the result of step {step.number} {step.name!r}") from None
        step.outcome = value if is_atom(value) else engine.codec.decode(encoded.text, engine.loader(encoded.blobs))
        blobs = encoded.blobs
        if step.request.args.blobs:
            blobs = {**step.request.args.blobs, **blobs}
        step.done = True
        now = engine.clock.time_us()
        row = step.row(Fact.STEP_SUCCESS, now, f'"result":{encoded.text}')
        return Write([row], keep=lambda: step.wants(attempt), tag=step.landed, blobs=blobs or None)

    def _failed(self, step: LiveStep, attempt: object, exc: BaseException) -> None:
        self.engine.post(step.run.attempt_failed, step, attempt, exc)


def _late(timeout: float) -> TimeoutError:
    return TimeoutError(f"the attempt took longer than {timeout:g} s")
