"""Content-addressed side files: values too large for a row, stored once under the SHA-256 of their bytes.

May live here: bytes on disk or in memory. Which files are still referred to is the ledger's question.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .lock import sync_directory

_HEX = frozenset("0123456789abcdef")


class FileStore:
    """A set of immutable byte strings by digest, in ``<journal>.files`` or, for a memory journal, in memory."""

    def __init__(self, directory: Path | None):
        self.directory = directory
        self._memory: dict[str, bytes] = {}
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._known: set[str] = set()
        if directory is not None and directory.is_dir():
            self._known = {entry.name for entry in os.scandir(directory) if _is_digest(entry.name)}
            self._sweep_unfinished()

    def _sweep_unfinished(self) -> None:
        for entry in os.scandir(self.directory):
            if entry.name.endswith(".part"):
                os.unlink(entry.path)

    def __contains__(self, sha: str) -> bool:
        return sha in self._known

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._known))

    def path(self, sha: str) -> Path | None:
        """Where the file is, for memory mapping; None in memory."""
        return self.directory / sha if self.directory is not None else None

    def get(self, sha: str) -> bytes:
        """The bytes.

        Raises:
            KeyError: no such file.
        """
        if self.directory is None:
            return self._memory[sha]
        try:
            return (self.directory / sha).read_bytes()
        except FileNotFoundError:
            raise KeyError(sha) from None

    def put(self, sha: str, buffer: Any) -> None:
        """Store the bytes durably: file and directory are on disk when this returns. Storing twice is free."""
        if not _is_digest(sha):
            raise ValueError(f"not a SHA-256 in lower-case hex: {sha!r}")
        if sha in self._known:
            return
        if self.directory is None:
            self._memory[sha] = bytes(buffer)
        else:
            self._put_on_disk(self.directory / sha, buffer)
        self._known.add(sha)

    def _put_on_disk(self, path: Path, buffer: Any) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            sync_directory(path.parent)
        temporary = path.with_name(f"{path.name}.{threading.get_ident()}.part")
        try:
            with open(temporary, "wb") as file:
                file.write(buffer)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_directory(path)

    @contextlib.contextmanager
    def held(self, shas: Iterable[str]) -> Iterator[None]:
        """Keep these files while a write that refers to them is under way but not yet committed."""
        shas = list(shas)
        with self._lock:
            self._held.update(shas)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(shas)
                self._held = +self._held

    def delete(self, shas: Iterable[str]) -> None:
        """Remove files that nothing refers to. Not synced: one that survives a power cut is found at the next open."""
        for sha in shas:
            with self._lock:
                if self._held[sha] or sha not in self._known:
                    continue
                self._known.discard(sha)
                self._memory.pop(sha, None)
                if self.directory is not None:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.directory / sha)


def _is_digest(name: str) -> bool:
    return len(name) == 64 and _HEX.issuperset(name)
