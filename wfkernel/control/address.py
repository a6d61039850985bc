"""Where the holder of a journal listens, and who may come in.

Beside ``journal.duckdb`` there is a directory ``journal.duckdb.control``, mode 0700, with a Unix socket in it, mode 0600; the
kernel of the operating system tells whose process is at the other end. Where there are no Unix sockets (or their path would be
too long) the holder listens on a port of the loopback interface instead, and a file in that directory holds the port and a
token that every client must show.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator

from wfkernel.errors import ControlError

_NOT_OURS = "is not a directory of this user; remove it"
_LONGEST = 100  # bytes of a Unix socket's path: 108 on Linux, 104 on macOS, with the terminating zero


class NobodyListens(ControlError):
    """No process answers for this journal."""


class NotOurs(NobodyListens):
    """Somebody else's process may answer for this journal: it is not talked to."""


def directory_of(journal: str | os.PathLike[str]) -> str:
    """Where the socket is; the journal's path is followed through links, as the journal itself does."""
    return os.path.realpath(os.path.expanduser(os.fspath(journal))) + ".control"


class Listening:
    """A socket that listens; ``remove`` leaves nothing behind.

    Attributes:
        socket: listening, not blocking.
        token: what a client must show; None where the operating system says who it is.
    """

    def __init__(self, sock: socket.socket, file: str, token: str | None):
        self.socket = sock
        self.token = token
        self._file = file

    def remove(self) -> None:
        """Nobody finds it any more; those who come in already are served on. While the journal's lock is held: see ``listen``."""
        with contextlib.suppress(OSError):
            os.unlink(self._file)
            os.rmdir(os.path.dirname(self._file))


def listen(journal: str | os.PathLike[str], *, unix: bool | None = None) -> Listening:
    """Listen for this journal. Call it only while holding the journal's lock: what an earlier holder left is removed.

    Args:
        unix: False for a port of the loopback interface; None for what this machine has.

    Raises:
        ControlError: the directory is somebody else's.
        OSError: it cannot be made.
    """
    directory = directory_of(journal)
    _make_private(directory)
    for name in ("socket", "port"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))
    if unix is None:
        unix = _has_unix(directory)
    return _listen_unix(directory) if unix else _listen_loopback(directory)


def _make_private(directory: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    if not _is_of_this_user(os.lstat(directory)):
        raise ControlError(f"{directory!r} {_NOT_OURS}, so that other processes can talk to this one")
    os.chmod(directory, 0o700)


def _is_of_this_user(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _check_private(directory: str) -> None:
    """See that nobody else can have put there what we are about to talk to: the journal may be where others write, too.

    Raises:
        NobodyListens: it is not there.
        NotOurs: somebody else can write in it.
    """
    try:
        found = os.lstat(directory)
    except OSError as error:
        raise NobodyListens(f"no process listens in {directory!r}: {error.strerror}") from None
    if not _is_of_this_user(found):
        raise NotOurs(f"{directory!r} {_NOT_OURS}, and let the process that holds the journal open it again")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOurs(f"{directory!r} is where others may write: take that right from them (chmod 700)")


def _has_unix(directory: str) -> bool:
    if not hasattr(socket, "AF_UNIX"):
        return False
    return len(os.fsencode(os.path.join(directory, "socket"))) <= _LONGEST or os.path.isdir("/proc/self/fd")


@contextlib.contextmanager
def _short(directory: str) -> Iterator[str]:
    """A path of the socket that is short enough: Linux gives an open directory a second name."""
    path = os.path.join(directory, "socket")
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/socket"
    finally:
        os.close(fd)


def _listen_unix(directory: str) -> Listening:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(directory) as path:
            sock.bind(path)
            os.chmod(path, 0o600)
        sock.listen(64)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return Listening(sock, os.path.join(directory, "socket"), None)


def _listen_loopback(directory: str) -> Listening:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        sock.setblocking(False)
        token = os.urandom(32).hex()
        file = os.path.join(directory, "port")
        part = file + ".part"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as out:
            out.write(f"{sock.getsockname()[1]} {token}\n")
        os.replace(part, file)  # whoever reads it reads all of it
    except BaseException:
        sock.close()
        raise
    return Listening(sock, file, token)


def dial(journal: str | os.PathLike[str], timeout: float = 5.0) -> tuple[socket.socket, str | None]:
    """A connection to the journal's holder, and the token to show it.

    Raises:
        NobodyListens: no process holds the journal, or it cannot be talked to.
        NotOurs: who answers for it may be another user's process.
    """
    directory = directory_of(journal)
    _check_private(directory)
    try:
        port, token = _port_in(directory)
    except (OSError, ValueError):
        return _dial_unix(directory, timeout), None
    return _connected(socket.AF_INET, ("127.0.0.1", port), directory, timeout), token


def _port_in(directory: str) -> tuple[int, str]:
    fd = os.open(os.path.join(directory, "port"), os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd, encoding="ascii") as file:
        if os.fstat(fd).st_uid != os.geteuid():
            raise NotOurs(f"the port in {directory!r} is another user's")
        said, token = file.read().split()
    return int(said) % 65536, token


def _dial_unix(directory: str, timeout: float) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise NobodyListens(f"no process listens in {directory!r}")
    try:
        with _short(directory) as path:
            sock = _connected(socket.AF_UNIX, path, directory, timeout)
    except OSError as error:  # the directory is not there
        raise NobodyListens(f"no process listens in {directory!r}: {error.strerror}") from None
    if not is_ours(sock):
        sock.close()
        raise NotOurs(f"the process that listens in {directory!r} is another user's")
    return sock


def _connected(family: int, address: object, directory: str, timeout: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(address)  # type: ignore[arg-type] - a path, or a host and a port
        sock.settimeout(None)
        return sock
    except OSError as error:  # nobody is there; or so many wait to be let in already that the system turns us away
        sock.close()
        raise NobodyListens(f"no process listens in {directory!r}: {error.strerror or error}") from None


def is_ours(sock: socket.socket) -> bool:
    """Whether the process at the other end of a Unix socket runs as this user."""
    uid = _peer_uid(sock)
    return uid is None or uid == os.geteuid()


def peer_pid(sock: socket.socket) -> int | None:
    """The process at the other end of a Unix socket; None where the system does not tell."""
    if sock.family == getattr(socket, "AF_UNIX", None) and hasattr(socket, "SO_PEERCRED"):
        return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return None


def _peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end; None where the system does not tell (the directory's mode keeps others out there)."""
    if hasattr(socket, "SO_PEERCRED"):
        return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    if sys.platform == "darwin":  # struct xucred: version, uid, ...
        return struct.unpack_from("2I", sock.getsockopt(0, 1, 76))[1]
    return None
