"""Copies of the keyring: losing all but one loses no key, and what is destroyed is so in all."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from faults import Tally

from firsthand import age
from firsthand.errors import NotFound, Unavailable
from firsthand.vault.keys import epochs
from firsthand.vault.keys.keyring import Keyring

WORDS = "correct horse"
DAY = "2026-11-01"


@pytest.fixture
def places(tmp_path: Path, monkeypatch) -> list[Path]:  # type: ignore[no-untyped-def]
    """The keyring's own folder, and three for copies."""
    monkeypatch.setattr(age.encrypt, "__defaults__", ((), None, 1))
    made = [tmp_path / name for name in ("vault", "b", "c", "d")]
    for folder in made:
        folder.mkdir(mode=0o700)
    return made


@pytest.fixture
def start(places):  # type: ignore[no-untyped-def]
    opened: list[Keyring] = []

    def make(copies: int = 2) -> Keyring:
        opened.append(Keyring(places[0], WORDS, copies=places[1 : 1 + copies]))
        return opened[-1]

    yield make
    for keyring in opened:
        keyring.close()


def held(folder: Path) -> dict[tuple, bytes]:
    with closing(sqlite3.connect(folder / "keyring.db")) as connection:
        rows = connection.execute("SELECT kind, name, wrapped, epoch FROM wrapped_key")
        found = {(kind, name): (wrapped, epoch) for kind, name, wrapped, epoch in rows}
        found |= {("epoch", row[0]): row for row in connection.execute("SELECT * FROM epoch")}
    return found


def lose(folder: Path) -> None:
    for file in folder.glob("keyring.db*"):
        file.unlink()


def test_every_change_is_in_every_copy_when_it_is_answered(start, places):
    keyring = start()
    keyring.log_key()
    for person in ("ana", "ben"):
        keyring.add_person(person)
        keyring.day_key(person, DAY, 0, make=True)
        assert held(places[1]) == held(places[2]) == held(places[0])
    gone = held(places[0])["day", f"ana|{DAY}|0"][0]
    assert gone in (places[1] / "keyring.db").read_bytes()
    keyring.destroy_day_keys("ana", DAY, 1)
    epochs.rotate(keyring)
    for place in places[:3]:
        assert held(place) == held(places[0])
        assert gone not in b"".join(file.read_bytes() for file in place.glob("keyring.db*"))
        assert (place / "keyring.db").stat().st_mode & 0o077 == 0


@pytest.mark.fault("K1")
@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_k1_all_but_one_of_the_keyrings_can_be_lost(start, places, left, tally: Tally):
    keyring = start(3)
    keyring.add_person("ana")
    before = [keyring.log_key(), keyring.day_key("ana", DAY, 0, make=True)]
    keyring.day_key("ana", DAY, 1, make=True)
    keyring.destroy_day_keys("ana", DAY, 1) if left else None
    keyring.close()
    for number, place in enumerate(places):
        if number != left:
            lose(place)
    again = start(3)
    assert again.log_key() == before[0]
    if left:
        with pytest.raises(NotFound):
            again.day_key("ana", DAY, 0)
    else:
        assert again.day_key("ana", DAY, 0) == before[1]
    assert again.day_key("ana", DAY, 1)
    assert held(places[1]) == held(places[2]) == held(places[3]) == held(places[0])
    tally.add()


@pytest.mark.fault("K1")
def test_k1_with_one_copy_away_all_goes_on_and_it_is_brought_up_when_it_is_back(start, places):
    keyring = start()
    keyring.add_person("ana")
    shutil.move(places[1], places[1].with_name("away"))
    key = keyring.day_key("ana", DAY, 0, make=True)
    keyring.destroy_day_keys("ana", "2026-10-01", 1)
    assert list(keyring.copies.failed) == [str(places[1])]
    assert not keyring.copies.alone
    shutil.move(places[1].with_name("away"), places[1])
    assert ("day", f"ana|{DAY}|0") not in held(places[1])
    keyring.add_person("ben")
    assert keyring.copies.failed == {}
    assert held(places[1]) == held(places[0])
    assert keyring.day_key("ana", DAY, 0) == key


@pytest.mark.fault("K1")
def test_k1_the_last_keyring_left_is_read_and_gets_no_new_key(start, places):
    keyring = start()
    keyring.add_person("ana")
    key = keyring.day_key("ana", DAY, 0, make=True)
    for place in places[1:3]:
        shutil.move(place, place.with_name(place.name + "-away"))
    keyring.add_person("ana")  # the write that finds out is still answered, with an alarm
    keyring.copies.follow()
    assert keyring.copies.alone
    assert keyring.day_key("ana", DAY, 0) == key
    with pytest.raises(Unavailable, match="no new key"):
        keyring.day_key("ana", "2026-11-02", 0, make=True)
    shutil.move(places[1].with_name("b-away"), places[1])
    keyring.copies.follow()
    assert keyring.day_key("ana", "2026-11-02", 0, make=True)


def test_an_old_keyring_put_back_gives_way_to_a_copy_in_which_the_erased_stays_erased(
    start, places, tmp_path
):
    keyring = start()
    keyring.add_person("ana")
    keyring.day_key("ana", DAY, 0, make=True)
    keyring.close()
    shutil.copy(places[0] / "keyring.db", tmp_path / "old.db")
    keyring = start()
    keyring.destroy_day_keys("ana", DAY, 1)
    keyring.close()
    lose(places[0])
    shutil.copy(tmp_path / "old.db", places[0] / "keyring.db")
    again = start()
    with pytest.raises(NotFound):
        again.day_key("ana", DAY, 0)
    assert held(places[1]) == held(places[0])
