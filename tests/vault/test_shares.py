"""Shares of the root: enough of them bring it back in any epoch, fewer or others bring nothing."""

from itertools import combinations
from pathlib import Path

import pytest

from firsthand import age
from firsthand.errors import NotFound, Usage, WrongKey
from firsthand.vault.keys import epochs, shares
from firsthand.vault.keys.keyring import Keyring

pytest.importorskip("shamir_mnemonic")
WORDS, FRESH = "correct horse", "another long one"
DAY = "2026-11-01"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(age.encrypt, "__defaults__", ((), None, 1))
    return tmp_path / "vault"


@pytest.fixture
def keyring(folder):  # type: ignore[no-untyped-def]
    opened = Keyring(folder, WORDS)
    opened.add_person("ana")
    opened.log_key()
    opened.day_key("ana", DAY, 0, make=True)
    yield opened
    opened.close()


def restored(folder: Path, words: list[str]) -> Keyring:
    return shares.adopted(folder, shares.restore(folder, words, FRESH), FRESH)


@pytest.mark.parametrize("rotations", [0, 2])
def test_any_two_of_three_bring_a_lost_root_back_in_every_epoch(keyring, folder, rotations):
    key = keyring.day_key("ana", DAY, 0)
    made = shares.split(keyring, 3, 2)
    for _ in range(rotations):
        epochs.rotate(keyring)
    keyring.close()
    assert len(list(folder.glob("recovery.*.age"))) == 1
    for pair in combinations(made, 2):
        for file in folder.glob("root*.age"):
            file.unlink()
        with pytest.raises(NotFound):
            Keyring(folder, WORDS)
        again = restored(folder, list(pair))
        assert again.day_key("ana", DAY, 0) == key
        again.close()
    with pytest.raises(WrongKey):
        Keyring(folder, WORDS)  # the passphrase is the new one


def test_too_few_wrong_or_older_shares_bring_nothing_and_change_nothing(keyring, folder):
    older = shares.split(keyring, 3, 2)
    made = shares.split(keyring, 3, 2)
    root = (folder / "root.age").read_bytes()
    word = made[0].split()
    wrong = " ".join([*word[:-1], "zero" if word[-1] != "zero" else "acid"])
    for bad in ([made[0]], [], older[:2], [made[0], older[1]], [made[1], wrong], ["a b c"]):
        with pytest.raises(WrongKey):
            shares.restore(folder, bad, FRESH)
    assert (folder / "root.age").read_bytes() == root
    (folder / "recovery.1.age").unlink()
    with pytest.raises(NotFound, match="shares alone open nothing"):
        shares.restore(folder, made[:2], FRESH)


def test_no_share_nor_the_secret_is_kept(keyring, folder):
    made = shares.split(keyring, 3, 2)
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    import shamir_mnemonic

    secret = shamir_mnemonic.combine_mnemonics(made[:2])
    assert secret not in kept
    assert not any(share.encode() in kept for share in made)


@pytest.mark.parametrize(("count", "threshold"), [(0, 0), (3, 4), (17, 2), (3, 1), (2, 0)])
def test_a_split_that_protects_nothing_is_refused(keyring, count, threshold):
    with pytest.raises(Usage):
        shares.split(keyring, count, threshold)


def test_a_root_lost_with_its_key_service_comes_back_into_a_file(folder, monkeypatch):
    pytest.importorskip("hvac")
    from transit_server import TOKEN, Server

    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    server = Server()
    keyring = Keyring(folder, root=f"transit:{server.url}/firsthand")
    keyring.add_person("ana")
    keyring.log_key()
    key = keyring.day_key("ana", DAY, 0, make=True)
    made = shares.split(keyring, 5, 3)
    keyring.close()
    server.close()
    again = restored(folder, made[1:4])
    assert again.day_key("ana", DAY, 0) == key
    again.close()
