"""The engines of this process, one a journal: opening a path again gives the engine that has it open."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any

from wfkernel.engine.engine import DEFAULT_POOL, Engine
from wfkernel.errors import JournalError, OptionError
from wfkernel.journal import Journal

DEFAULT_PARALLELISM = 25

open_journal: Callable[[Any], Journal] = Journal.open  # crash tests put one in its place that stops at a given write


def forget(engine: Engine) -> None:
    """Nobody wants to know what was closed."""


on_close: Callable[[Engine], None] = forget  # `wfkernel run` puts one in its place, to go on with what a script closed
engines: dict[Any, Engine] = {}  # by real path; a memory journal by the engine's id
_lock = threading.RLock()


def open_engine(path: str | os.PathLike[str], max_parallelism: int | None, settings: dict[str, Any]) -> Engine:
    """The live engine of a journal, made if there is none.

    Raises:
        JournalError: it cannot be opened.
        OptionError: it is open with another clock.
    """
    real = real_path(path)
    if real == ":memory:":
        engine = _make(real, max_parallelism, settings)
        with _lock:
            engines[id(engine)] = engine
        return engine
    for is_last in (False, True):
        with _lock:
            engine = _find(real)
            ending = engines.get(real)
            if engine is None and (is_last or ending is None or ending.is_stopped):
                engine = engines[real] = _make(real, max_parallelism, settings)
                return engine
        if engine is not None:
            break
        assert ending is not None  # another thread is about to close it
        ending.wait_for_end()
    assert engine is not None
    # Without the lock: this waits for the engine's thread, where a body may open a journal.
    _adapt(engine, real, max_parallelism, settings)
    return engine


def real_path(path: Any) -> str:
    """The journal's file, absolute and through links, or ":memory:"."""
    if not isinstance(path, (str, os.PathLike)):
        raise JournalError(f"the journal's path must be a text or a Path, not {path!r}")
    text = os.fspath(path)
    return text if text == ":memory:" else os.path.realpath(os.path.expanduser(text))


def _make(path: str, max_parallelism: int | None, settings: dict[str, Any]) -> Engine:
    journal = open_journal(path)
    said = {name: value for name, value in settings.items() if value is not None}
    try:
        return Engine(journal, max_parallelism=DEFAULT_PARALLELISM if max_parallelism is None else max_parallelism, **said)
    except BaseException:
        journal.close()
        raise


def _adapt(engine: Engine, path: str, max_parallelism: int | None, settings: dict[str, Any]) -> None:
    """A cell that was run again may say another parallelism; or whether runs go on by themselves; another clock would be another world."""
    if settings["clock"] is not None and settings["clock"] is not engine.clock:
        raise OptionError(f"the journal {path!r} is open in this process with another clock; close it first")
    if max_parallelism is not None:
        engine.call(engine.set_pool, DEFAULT_POOL, max_parallelism)
    if settings["auto_resume"] is not None:
        engine.call(engine.recovery.set_auto_resume, settings["auto_resume"])


def _find(real: str) -> Engine | None:
    """The live engine of this file, by path, or by inode where a hard link gives it another name."""
    engine = engines.get(real)
    if engine is None:
        for other in engines.values():
            name = other.journal.path
            if not other.journal.is_memory and os.path.exists(real) and os.path.exists(name) and os.path.samefile(real, name):
                engine = other
    return None if engine is None or engine.closing else engine


def close_engine(engine: Engine) -> None:
    """Stop an engine and forget it; once is enough."""
    engine.close()
    with _lock:
        for key in [k for k, e in engines.items() if e is engine]:
            del engines[key]
    on_close(engine)


def _close_all() -> None:
    for engine in list(engines.values()):
        close_engine(engine)


def _forget_in_child() -> None:
    """A fork's child has none of the threads; its parent's journals are refused by themselves."""
    global _lock
    _lock = threading.RLock()
    for engine in engines.values():
        engine.forget_in_child()
    engines.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_in_child)
