"""The keyring: nothing opens without the root, and a destroyed key is in no file any more."""

import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from firsthand import age, config
from firsthand import db as db_module
from firsthand.errors import Damaged, Failed, Locked, NotFound, WrongKey
from firsthand.vault.keys import keyring as module
from firsthand.vault.keys.keyring import Keyring
from firsthand.vault.keys.passphrase import passphrase_of
from firsthand.vault.vault import Vault

WORDS = "correct horse"
NOW_NS = 1_793_520_000 * 10**9
MONTH_NS = 31 * 86_400 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    path.mkdir(mode=0o700)
    (path / "root.age").write_bytes(age.encrypt(b"R" * 32, passphrase=WORDS, scrypt_log2=1))
    return path


@pytest.fixture
def keyring(folder: Path):
    opened = Keyring(folder, WORDS)
    yield opened
    opened.close()


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("keyring.db*"))


def wrapped(keyring: Keyring) -> dict[tuple[str, str], bytes]:
    with keyring.db.read() as connection:
        rows = connection.execute(sa.select(module.keys)).all()
    return {(row.kind, row.name): row.wrapped for row in rows}


def fill(keyring: Keyring) -> None:
    for person in ("ana", "ben"):
        keyring.add_person(person)
        keyring.ingest_recipient(person, NOW_NS)
        for day in ("2026-11-01", "2026-11-02"):
            keyring.day_key(person, day, 0, make=True)
        keyring.release_key("rel1", person, make=True)


def test_keys_are_the_same_after_opening_again(keyring, folder):
    fill(keyring)
    before = [
        keyring.log_key(),
        keyring.day_key("ana", "2026-11-01", 0),
        keyring.release_key("rel1", "ana"),
        keyring.ingest_identities("ana"),
    ]
    keyring.close()
    again = Keyring(folder, WORDS)
    assert before == [
        again.log_key(),
        again.day_key("ana", "2026-11-01", 0),
        again.release_key("rel1", "ana"),
        again.ingest_identities("ana"),
    ]
    again.close()


def test_no_two_keys_are_alike_and_none_stands_in_the_open(keyring, folder):
    fill(keyring)
    plain = [
        keyring.log_key().to_bytes(),
        *(
            keyring.day_key(who, day, 0)
            for who in ("ana", "ben")
            for day in ("2026-11-01", "2026-11-02")
        ),
        *(keyring.release_key("rel1", who) for who in ("ana", "ben")),
        *(each.secret for who in ("ana", "ben") for each in keyring.ingest_identities(who)),
    ]
    assert len(set(plain)) == 9
    for key in plain:
        assert key not in files(folder)
        assert key.hex().encode() not in files(folder)
    assert b"AGE-SECRET-KEY" not in files(folder)


def test_a_new_root_is_made_once_and_sealed(tmp_path):
    Keyring(tmp_path / "new", "words").close()
    sealed = (tmp_path / "new" / "root.age").read_bytes()
    root = age.decrypt(sealed, passphrase="words")
    assert len(root) == 32
    assert root not in sealed
    Keyring(tmp_path / "new", "words").close()
    assert (tmp_path / "new" / "root.age").read_bytes() == sealed
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["keyring.db", "root.age"]


def test_a_wrong_passphrase_is_a_wrong_key_and_changes_nothing(keyring, folder):
    keyring.close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for words in ("", "Correct horse", WORDS + " ", WORDS[:-1]):
        with pytest.raises(WrongKey, match="does not open"):
            Keyring(folder, words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_changed_root_file_is_damage(keyring, folder):
    keyring.close()
    data = bytearray((folder / "root.age").read_bytes())
    data[-1] ^= 1
    (folder / "root.age").write_bytes(data)
    with pytest.raises(Damaged):
        Keyring(folder, WORDS)


def test_without_its_root_file_a_used_keyring_stays_closed_and_no_new_root_is_made(keyring, folder):
    keyring.close()
    (folder / "root.age").unlink()
    with pytest.raises(NotFound, match=r"root\.age is missing"):
        Keyring(folder, WORDS)
    assert not (folder / "root.age").exists()


def test_a_copied_keyring_without_its_root_opens_nothing(keyring, folder, tmp_path):
    fill(keyring)
    keyring.log_key()
    keyring.close()
    thief = tmp_path / "thief"
    Keyring(thief, "mine").close()  # a root of their own, with the stolen keys beside it
    shutil.copy(folder / "keyring.db", thief / "keyring.db")
    stolen = Keyring(thief, "mine")
    for attempt in (
        stolen.log_key,
        lambda: stolen.day_key("ana", "2026-11-01", 0),
        lambda: stolen.ingest_identities("ana"),
        lambda: stolen.release_key("rel1", "ana"),
    ):
        with pytest.raises(WrongKey):
            attempt()
    stolen.close()


def use(keyring: Keyring, kind: str, name: str) -> bytes:
    person = name.split("|")[0]
    if kind == "release":
        return keyring.release_key(*name.split("|"))
    return keyring.day_key(person, "2026-11-02", 0)


def test_a_wrapped_key_opens_in_no_other_place(keyring):
    fill(keyring)
    held = wrapped(keyring)
    moves = [
        (("volunteer", "ana"), ("volunteer", "ben")),
        (("day", "ana|2026-11-01|0"), ("day", "ana|2026-11-02|0")),
        (("release", "rel1|ana"), ("release", "rel1|ben")),
        (("volunteer", "ana"), ("release", "rel1|ana")),
    ]
    for source, target in moves:
        where = (module.keys.c.kind == target[0]) & (module.keys.c.name == target[1])
        with keyring.db.write() as connection:
            connection.execute(module.keys.update().where(where).values(wrapped=held[source]))
        with pytest.raises(WrongKey):
            use(keyring, *target)
        with keyring.db.write() as connection:
            connection.execute(module.keys.update().where(where).values(wrapped=held[target]))


def test_devices_seal_to_one_key_a_month_and_older_months_still_open(keyring):
    keyring.add_person("ana")
    first = keyring.ingest_recipient("ana", NOW_NS)
    assert keyring.ingest_recipient("ana", NOW_NS + 86_400 * 10**9) == first
    second = keyring.ingest_recipient("ana", NOW_NS + MONTH_NS)
    assert second != first
    file_key = age.new_file_key()
    for recipient in (first, second):
        header = age.seal_header(file_key, [age.Recipient.parse(recipient)])
        assert age.open_header(header, keyring.ingest_identities("ana")) == file_key
    keyring.add_person("ben")
    assert keyring.ingest_recipient("ben", NOW_NS) not in (first, second)
    with pytest.raises(WrongKey):
        age.open_header(header, keyring.ingest_identities("ben"))


def test_nothing_is_made_for_somebody_unknown(keyring):
    for attempt in (
        lambda: keyring.ingest_recipient("nobody", NOW_NS),
        lambda: keyring.ingest_identities("nobody"),
        lambda: keyring.day_key("nobody", "2026-11-01", 0, make=True),
        lambda: keyring.day_key("nobody", "2026-11-01", 0),
        lambda: keyring.release_key("rel1", "nobody"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert wrapped(keyring) == {}


def test_a_day_key_is_made_only_when_asked_for(keyring):
    keyring.add_person("ana")
    with pytest.raises(NotFound):
        keyring.day_key("ana", "2026-11-01", 0)
    made = keyring.day_key("ana", "2026-11-01", 0, make=True)
    assert keyring.day_key("ana", "2026-11-01", 0, make=True) == made
    assert keyring.day_key("ana", "2026-11-01", 1, make=True) != made


def test_destroying_a_person_destroys_their_keys_alone_and_leaves_no_byte(keyring, folder):
    fill(keyring)
    before = wrapped(keyring)
    mine = {key for key in before if "ana" in key[1]}
    assert len(mine) == 5
    assert all(wrap in files(folder) for wrap in before.values())
    bens = keyring.day_key("ben", "2026-11-01", 0)
    assert keyring.destroy_person("ana") == 5
    for key, wrap in before.items():
        assert (wrap in files(folder)) == (key not in mine)
        assert (wrap[:12] in files(folder)) == (key not in mine)
    assert keyring.day_key("ben", "2026-11-01", 0) == bens
    for attempt in (
        lambda: keyring.day_key("ana", "2026-11-01", 0, make=True),
        lambda: keyring.ingest_recipient("ana", NOW_NS),
        lambda: keyring.ingest_identities("ana"),
        lambda: keyring.release_key("rel1", "ana"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert keyring.destroy_person("ana") == 0


def test_destroying_old_day_keys_leaves_the_newest_and_other_days_and_no_byte(keyring, folder):
    fill(keyring)
    keyring.day_key("ana", "2026-11-01", 1, make=True)
    newest = keyring.day_key("ana", "2026-11-01", 2, make=True)
    before = wrapped(keyring)
    assert keyring.destroy_day_keys("ana", "2026-11-01", before=2) == 2
    gone = {("day", "ana|2026-11-01|0"), ("day", "ana|2026-11-01|1")}
    assert before.keys() - wrapped(keyring).keys() == gone
    for key, wrap in before.items():
        assert (wrap in files(folder)) == (key not in gone)
    assert keyring.day_key("ana", "2026-11-01", 2) == newest


def test_destroying_a_release_key_leaves_the_persons_others(keyring, folder):
    fill(keyring)
    keyring.release_key("rel2", "ana", make=True)
    wrap = wrapped(keyring)["release", "rel1|ana"]
    assert keyring.destroy_release_key("rel1", "ana") == 1
    assert wrap not in files(folder)
    with pytest.raises(NotFound):
        keyring.release_key("rel1", "ana")
    assert keyring.release_key("rel2", "ana")
    assert keyring.release_key("rel1", "ben")


def test_a_key_is_not_called_destroyed_while_a_reader_keeps_its_bytes(folder, monkeypatch):
    monkeypatch.setattr(db_module, "BUSY_MS", 50)
    keyring = Keyring(folder, WORDS)
    fill(keyring)
    wrap = wrapped(keyring)["volunteer", "ana"]
    with keyring.db.read() as connection:
        connection.execute(sa.select(module.keys)).all()
        with pytest.raises(Locked):
            keyring.destroy_person("ana")
    assert keyring.destroy_person("ana") == 0  # said again once the reader is gone
    assert wrap not in files(folder)
    keyring.close()


# --- the passphrase and the files


def test_a_passphrase_is_made_once_for_its_owner_alone(tmp_path):
    words = passphrase_of(tmp_path, "")
    assert len(words) >= 32
    assert passphrase_of(tmp_path, "") == words
    assert passphrase_of(tmp_path, "given") == "given"
    assert (tmp_path / "root.passphrase").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["root.passphrase"]


def test_no_new_passphrase_is_made_for_a_root_that_is_sealed_already(tmp_path):
    (tmp_path / "vault").mkdir()
    Keyring(tmp_path / "vault", passphrase_of(tmp_path, "")).close()
    (tmp_path / "root.passphrase").unlink()
    with pytest.raises(WrongKey, match="not given"):
        passphrase_of(tmp_path, "")
    assert not (tmp_path / "root.passphrase").exists()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666, 0o601, 0o620])
def test_a_passphrase_that_others_can_reach_is_refused(tmp_path, mode):
    passphrase_of(tmp_path, "")
    os.chmod(tmp_path / "root.passphrase", mode)
    with pytest.raises(Failed, match="can be read by others"):
        passphrase_of(tmp_path, "")


def test_a_file_written_by_another_process_in_between_is_kept(tmp_path, monkeypatch):
    # Both saw no passphrase; the other's was first, and is the one that its root was sealed with.
    (tmp_path / "root.passphrase").write_text("theirs\n")
    os.chmod(tmp_path / "root.passphrase", 0o600)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert passphrase_of(tmp_path, "") == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["root.passphrase"]


def test_others_can_read_no_file_of_the_vault(tmp_path):
    data = config.mark(tmp_path / "data", "real")
    keyring = Keyring(data / "vault", passphrase_of(data, ""))
    keyring.log_key()
    for path in (data, data / "vault"):
        assert path.stat().st_mode & 0o077 == 0
    for path in (data / "vault").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    keyring.close()


def test_a_vault_lies_in_a_folder_of_any_name(tmp_path, folder, clock):
    for name in ("a b", "a#b", "a?b", "a%41b", "ä", "a&b=c"):
        data = config.mark(tmp_path / name, "real")
        (data / "vault").mkdir()
        shutil.copy(folder / "root.age", data / "vault")
        vault = Vault(config.load(data, {}, passphrase=WORDS), clock)
        vault.add_person("ana")
        vault.store.put("segments/x", b"x")
        vault.close()
        names = {path.name for path in (data / "vault").iterdir()}
        assert {"firsthand.db", "keyring.db", "root.age", "objects"} <= names
        assert (data / "vault" / "objects" / "segments" / "x").exists()
    assert len(list(tmp_path.iterdir())) == 1 + 6
