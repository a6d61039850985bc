"""What is kept beside the journal: private, hashed, and seen by whoever opens it next."""

import os
import stat
import threading
from pathlib import Path

import pytest

from wfkernel import WorkflowManager
from wfkernel.errors import OptionError
from wfkernel.web import create_token, list_tokens, revoke_token
from wfkernel.web import vault as web_vault
from wfkernel.web.tokens import find_token, is_signed_by, signing_secret
from wfkernel.web.vault import Vault


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def wf(tmp_path: Path):
    with WorkflowManager(tmp_path / "journal.duckdb") as manager:
        yield manager


def test_only_the_owner_can_read_what_is_kept(wf: WorkflowManager, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        create_token(wf)
    finally:
        os.umask(old)
    directory = tmp_path / "journal.duckdb.control"
    assert mode(directory) == 0o700
    assert {name: mode(directory / name) for name in ("web.key", "web.sqlite")} == {"web.key": 0o600, "web.sqlite": 0o600}


def test_a_token_is_kept_as_a_hash_only(wf: WorkflowManager, tmp_path: Path) -> None:
    made = create_token(wf, name="ci", signed=True)
    assert made.secret is not None
    kept = (tmp_path / "journal.duckdb.control" / "web.sqlite").read_bytes()
    assert made.token.rpartition("_")[2].encode() not in kept
    assert made.secret.encode() not in kept
    assert made.token not in repr(made)


def test_tokens_are_made_listed_and_revoked(wf: WorkflowManager) -> None:
    first = create_token(wf, name="watch")
    second = create_token(wf, name="hook", scopes=["events"], signed=True)
    assert [(t.id, t.name, t.scopes, t.is_signed) for t in list_tokens(wf)] == [
        (first.id, "watch", ("read",), False),
        (second.id, "hook", ("events",), True),
    ]
    assert revoke_token(wf, first.id)
    assert revoke_token(wf, second.token)
    assert not revoke_token(wf, first.id)
    assert list_tokens(wf) == []


def test_a_token_that_is_wrong_in_one_place_is_not_found(wf: WorkflowManager) -> None:
    token = create_token(wf).token
    vault = Vault.of(wf)
    assert find_token(vault, token) is not None
    assert find_token(vault, token[:-1] + ("a" if token[-1] != "a" else "b")) is None
    assert find_token(vault, "wf__") is None


@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", "write"]], ids=str)
def test_unknown_scopes_are_refused(wf: WorkflowManager, scopes: list[str]) -> None:
    with pytest.raises(OptionError, match="read, events, control"):
        create_token(wf, scopes=scopes)
    assert list_tokens(wf) == []


def test_a_signature_is_of_the_body_and_the_secret(wf: WorkflowManager) -> None:
    vault = Vault.of(wf)
    # As GitHub signs: an example of its documentation.
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed_by(secret, body, signature)
    assert not is_signed_by(secret, body + b" ", signature)
    assert not is_signed_by(signing_secret(vault, "a"), body, signature)
    assert not is_signed_by(secret, body, "é")


def test_the_key_is_made_once_even_by_many_at_once(tmp_path: Path) -> None:
    directory, keys = str(tmp_path / "x.control"), []
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait()
        keys.append(Vault(directory).key)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert sorted(os.listdir(directory)) == ["web.key", "web.sqlite"]


def test_what_is_said_first_of_a_link_stays_and_what_expired_long_ago_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_vault, "_KEPT", 1)
    year = 366 * 86400.0
    vault = Vault(str(tmp_path / "x.control"))
    vault.end_link("a", "used", now=100, expires_at=200)
    vault.end_link("a", "revoked", now=110, expires_at=200)
    assert Vault(str(tmp_path / "x.control")).why_over("a") == "used"
    vault.end_link("b", "revoked", now=300, expires_at=400)
    vault.end_link("c", "used", now=200 + year, expires_at=400 + year)
    assert [vault.why_over(link) for link in "abc"] == ["used", "revoked", "used"]
    vault.end_link("d", "used", now=201 + year, expires_at=400 + year)
    assert [vault.why_over(link) for link in "abcd"] == [None, "revoked", "used", "used"]


def test_a_server_that_died_is_not_named(tmp_path: Path) -> None:
    vault = Vault(str(tmp_path / "x.control"))
    vault.serving("http://127.0.0.1:1", 1.0)
    with vault.transaction() as db:
        db.execute("INSERT INTO servers VALUES ('http://127.0.0.1:2', ?, 2.0)", [2**22 + 1])  # no such process
    assert vault.server() == "http://127.0.0.1:1"
    vault.not_serving("http://127.0.0.1:1")
    assert vault.server() is None


def test_a_journal_in_memory_has_a_vault_of_its_own() -> None:
    with WorkflowManager(":memory:") as one, WorkflowManager(":memory:") as two:
        create_token(one, name="one")
        assert [t.name for t in list_tokens(one)] == ["one"]
        assert list_tokens(two) == []
    with pytest.raises(OptionError, match="manager"):
        list_tokens(":memory:")


def test_a_path_will_do_where_nothing_is_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.duckdb"
    made = create_token(path, scopes=["events"])
    with WorkflowManager(path) as wf:
        assert [t.id for t in list_tokens(wf)] == [made.id]
    assert revoke_token(str(path), made.id)
