"""CHECKPOINT, made crash-safe: a double write of the blocks that DuckDB overwrites in place.

DuckDB (1.4.5, 1.5.6 and 2.0.0 measured) rewrites metadata blocks that the header on disk still points at. A kill or a power
cut inside that write leaves a block whose checksum fails, and then the whole file is unreadable, WAL or not. So the header and
those blocks are saved beside the file (``.undo``) first, and put back at the next open if the header never switched.

May live here: saving, restoring, and the checkpoint between them. When to run one is checkpoints.py's business.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

import duckdb

from .instance import ALIAS
from .lock import sync_directory

_MAGIC = b"WFKUNDO1"
_HEADERS = 12288  # three header blocks of 4 KiB in front of block 0
_START = struct.Struct("<8sQQ")  # magic, block size, number of blocks
_BLOCK = struct.Struct("<Q")  # block id, then the block
_CRC = struct.Struct("<I")


class Guard:
    """Protects the checkpoints of one database file.

    It keeps one read descriptor for as long as DuckDB has the file open: closing any descriptor of the file in this
    process would drop DuckDB's lock on it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.undo = path.with_name(path.name + ".undo")
        self._fd: int | None = None

    def watch(self) -> None:
        """DuckDB has opened the file and read it well: the saved blocks are no longer needed."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDONLY)
        self.drop()

    def unwatch(self) -> None:
        """DuckDB has let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def checkpoint(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Run a guarded CHECKPOINT.

        Raises:
            duckdb.TransactionException: another write transaction is open; nothing was written, try later.
            duckdb.Error: the checkpoint failed (disk full) and invalidated the instance; ``.undo`` is still there.
        """
        self.save(cursor)
        try:
            cursor.execute(f"CHECKPOINT {ALIAS}").fetchall()
        except duckdb.TransactionException:
            self.drop()
            raise
        self.drop()

    def save(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Write header and metadata blocks to ``.undo``, durably, under a temporary name first."""
        temporary = self.undo.with_name(self.undo.name + ".tmp")
        try:
            self._write(temporary, self._content(cursor))
            os.replace(temporary, self.undo)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_directory(self.undo)

    def _content(self, cursor: duckdb.DuckDBPyConnection) -> bytes:
        sizes = cursor.execute("SELECT block_size FROM pragma_database_size() WHERE database_name = ?", [ALIAS]).fetchall()
        (block_size,) = sizes[0]
        rows = cursor.execute(f"SELECT DISTINCT block_id FROM pragma_metadata_info('{ALIAS}') ORDER BY 1").fetchall()
        fd = self._fd
        assert fd is not None  # watch() comes before any checkpoint
        end = os.fstat(fd).st_size
        blocks = [block for (block,) in rows if _HEADERS + (block + 1) * block_size <= end]
        parts = [_START.pack(_MAGIC, block_size, len(blocks)), os.pread(fd, _HEADERS, 0)]
        for block in blocks:
            parts += [_BLOCK.pack(block), os.pread(fd, block_size, _HEADERS + block * block_size)]
        content = b"".join(parts)
        return content + _CRC.pack(zlib.crc32(content))

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def restore(self, *, even_if_switched: bool = False) -> bool:
        """Put the saved blocks back. To be called only while DuckDB does not have the file open.

        Args:
            even_if_switched: also when the header on disk is another one, for a file that DuckDB calls corrupt.

        Returns:
            Whether anything was written.
        """
        saved = self._load()
        if saved is None:
            return False
        headers, blocks = saved
        fd = os.open(self.path, os.O_RDWR)
        try:
            if not even_if_switched and os.pread(fd, _HEADERS, 0) != headers:
                return False  # the header switched: that checkpoint completed
            for offset, block in blocks:
                os.pwrite(fd, block, offset)
            os.fsync(fd)
            os.pwrite(fd, headers, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        return True

    def _load(self) -> tuple[bytes, list[tuple[int, bytes]]] | None:
        """Headers and (offset, block) pairs; None where there is no ``.undo``, or one that was never finished."""
        try:
            content = self.undo.read_bytes()
        except FileNotFoundError:
            return None
        if len(content) < _START.size + _HEADERS + _CRC.size or content[:8] != _MAGIC:
            return None
        if _CRC.pack(zlib.crc32(content[: -_CRC.size])) != content[-_CRC.size :]:
            return None
        _, block_size, count = _START.unpack_from(content)
        at = _START.size + _HEADERS
        headers, blocks = content[_START.size : at], []
        for _ in range(count):
            (block,) = _BLOCK.unpack_from(content, at)
            at += _BLOCK.size
            blocks.append((_HEADERS + block * block_size, content[at : at + block_size]))
            at += block_size
        return headers, blocks

    def drop(self) -> None:
        """The saved blocks have served."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.undo)
