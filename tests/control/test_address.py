"""Where the holder listens: the socket's place and rights, what is left behind, and who may come in."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from wfkernel.control import address
from wfkernel.control.address import Listening, NobodyListens, NotOurs, dial, directory_of, is_ours, listen
from wfkernel.errors import ControlError


@pytest.fixture
def listening(path: Path):
    found = listen(path)
    yield found
    found.socket.close()


def met(listening: Listening, journal: Path) -> bool:
    """Whether who dials comes to who listens."""
    sock, token = dial(journal)
    with sock:
        listening.socket.setblocking(True)
        other, _ = listening.socket.accept()
        with other:
            sock.sendall(b"hello")
            return other.recv(5) == b"hello" and token == listening.token


def test_the_socket_is_in_a_directory_that_only_its_owner_enters(listening: Listening, path: Path) -> None:
    directory = Path(directory_of(path))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "socket").stat().st_mode) == 0o600
    assert met(listening, path)


def test_remove_leaves_nothing_behind(path: Path) -> None:
    found = listen(path)
    found.remove()
    found.socket.close()
    assert os.listdir(path.parent) == []
    with pytest.raises(NobodyListens):
        dial(path)


@pytest.mark.parametrize("name", ["with space 'and' \"quotes\".duckdb", "ünï-çødé-日本.duckdb", "l" * 200 + ".duckdb"])
def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    found = listen(tmp_path / name)
    assert met(found, tmp_path / name)
    found.remove()
    found.socket.close()
    assert os.listdir(tmp_path) == []


def test_a_path_longer_than_a_socket_s_name_works(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["directory-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    found = listen(deep / "journal.duckdb")
    assert len(os.fsencode(directory_of(deep / "journal.duckdb"))) > 108
    assert met(found, deep / "journal.duckdb")
    found.socket.close()


def test_a_link_to_the_journal_leads_to_the_same_socket(listening: Listening, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.duckdb"
    link.parent.mkdir()
    link.symlink_to(path)
    assert met(listening, link)


def test_the_directory_s_rights_are_put_right(path: Path) -> None:
    os.mkdir(directory_of(path), 0o777)
    found = listen(path)
    assert stat.S_IMODE(os.stat(directory_of(path)).st_mode) == 0o700
    found.socket.close()


def test_a_socket_left_by_a_killed_holder_is_nobody_and_is_replaced(path: Path) -> None:
    listen(path).socket.close()  # as a killed process leaves it
    with pytest.raises(NobodyListens):
        dial(path)
    found = listen(path)
    assert met(found, path)
    found.socket.close()


def test_what_is_in_the_directory_s_place_is_not_touched(path: Path) -> None:
    Path(directory_of(path)).write_text("mine")
    with pytest.raises(ControlError, match="is not a directory of this user"):
        listen(path)
    with pytest.raises(NobodyListens):
        dial(path)
    assert Path(directory_of(path)).read_text() == "mine"


def test_a_link_in_the_directory_s_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    os.symlink(tmp_path / "other", directory_of(path))
    with pytest.raises(ControlError, match="is not a directory of this user"):
        listen(path)
    assert os.listdir(tmp_path / "other") == []


def test_without_unix_sockets_a_port_and_a_token_are_in_a_file_of_the_owner_s(path: Path) -> None:
    found = listen(path, unix=False)
    file = Path(directory_of(path)) / "port"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert found.socket.getsockname()[0] == "127.0.0.1"
    assert found.token is not None
    assert len(found.token) > 40
    assert met(found, path)
    found.remove()
    found.socket.close()
    assert os.listdir(path.parent) == []


def test_a_port_left_by_a_killed_holder_is_nobody(path: Path) -> None:
    listen(path, unix=False).socket.close()
    with pytest.raises(NobodyListens):
        dial(path)


def test_a_port_file_that_is_no_port_file_is_nobody(path: Path) -> None:
    os.mkdir(directory_of(path))
    for text in ("", "nonsense", "1 2 3", "x y"):
        (Path(directory_of(path)) / "port").write_text(text)
        with pytest.raises(NobodyListens):
            dial(path)


def test_a_holder_whose_waiting_room_is_full_is_nobody_for_the_moment(path: Path) -> None:
    found = listen(path)
    found.socket.listen(0)
    waiting: list[socket.socket] = []
    with pytest.raises(NobodyListens):  # noqa: PT012 - after how many, the system says
        while len(waiting) < 50:
            waiting.append(dial(path, timeout=0.2)[0])
    for sock in [*waiting, found.socket]:
        sock.close()


def test_only_processes_of_this_user_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = socket.socketpair()
    with ours, other:
        assert is_ours(ours)
        assert address.peer_pid(ours) == os.getpid()
        somebody_else = os.geteuid() + 1
        monkeypatch.setattr(address.os, "geteuid", lambda: somebody_else)
        assert not is_ours(ours)


# -- impostors: in a directory that others write, too, anybody may have made what is beside the journal --


@pytest.fixture(params=[True, False], ids=["socket", "port"])
def listening_somehow(request: pytest.FixtureRequest, path: Path):
    found = listen(path, unix=request.param)
    yield found
    found.socket.close()


def test_who_listens_in_a_directory_of_another_user_is_nobody(
    listening_somehow: Listening, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert met(listening_somehow, path)
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(address.os, "geteuid", lambda: somebody_else)
    with pytest.raises(NotOurs, match="is not a directory of this user"):
        dial(path)


def test_who_listens_behind_a_link_in_the_directory_s_place_is_nobody(
    listening_somehow: Listening, path: Path, tmp_path: Path
) -> None:
    os.rename(directory_of(path), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", directory_of(path))
    with pytest.raises(NotOurs, match="is not a directory of this user"):
        dial(path)


def test_who_listens_where_everybody_may_write_is_nobody(listening_somehow: Listening, path: Path) -> None:
    os.chmod(directory_of(path), 0o777)
    with pytest.raises(NotOurs, match="others may write"):
        dial(path)


def test_a_process_of_another_user_is_not_talked_to(listening: Listening, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(address, "_peer_uid", lambda sock: somebody_else)
    with pytest.raises(NotOurs, match="another user"):
        dial(path)


def test_a_port_file_of_another_user_or_behind_a_link_is_not_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = listen(path, unix=False)
    me = os.geteuid()
    asked = iter([me, me + 1])  # the directory is ours, the file is not
    with monkeypatch.context() as patched:
        patched.setattr(address.os, "geteuid", lambda: next(asked))
        with pytest.raises(NotOurs, match="another user"):
            dial(path)
    os.rename(Path(directory_of(path)) / "port", tmp_path / "port")
    os.symlink(tmp_path / "port", Path(directory_of(path)) / "port")
    with pytest.raises(NobodyListens):
        dial(path)
    found.socket.close()
