"""The drill: backups from before an erasure, put back beside today's keys, open nothing erased."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from faults import Tally

from firsthand import age
from firsthand.consent import people
from firsthand.crypto import unwrap
from firsthand.errors import Damaged, Error, NotFound, WrongKey
from firsthand.release import erase as releasing
from firsthand.release.recover import recover
from firsthand.vault import catalog, epoch, erase, erased, reading
from firsthand.vault.keys import epochs
from firsthand.vault.keys.keyring import aad_of
from firsthand.vault.vault import Vault, file_key_aad

pytestmark = [pytest.mark.files, pytest.mark.usefixtures("cheap_seal")]
MINUTE_NS = 60 * 10**9
DAY_NS = 86_400 * 10**9


@pytest.fixture
def life(vault, make_device, clock, tmp_path):  # type: ignore[no-untyped-def]
    """Ana with three days, Ben with one, a release key of each, and backups of all but the root."""
    ana, ben = vault.add_person("ana", "sim"), vault.add_person("ben", "sim")
    for person, minutes in ((ana, (0, 1, 2, 1440, 2880, 2881)), (ben, (0, 1))):
        device = make_device(person, f"d-{person.name}")
        for minute in minutes:
            plain = {"video": f"{person.name} {minute}".encode(), "events": b"\n"}
            device.hand_in(device.seal(plain, 60 * minute))
        vault.keyring.release_key("l-1", person.id, make=True)
    folder = vault.settings.data / "vault"
    kept = tmp_path / "backup"
    kept.mkdir()
    for name in ("firsthand.db", "keyring.db"):
        with closing(sqlite3.connect(folder / name)) as connection:
            connection.execute(f"VACUUM INTO '{kept / name}'")
    shutil.copytree(folder / "objects", kept / "objects")
    return ana, ben, kept


def rows(database: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def live_keys(vault: Vault) -> set[bytes]:
    """Every key there is today: roots, and what they open, and what that opens."""
    found = set()
    for each in vault.keyring.epochs():
        if each.ended_ns is None:
            with vault.keyring.db.read() as connection:
                found.add(vault.keyring.root_key(connection, each.number))
    return closed_over(found, vault.settings.data / "vault" / "keyring.db")


def closed_over(keys: set[bytes], keyring: Path) -> set[bytes]:
    """These keys, and all that they open, step by step, in a keyring's database."""
    wraps = rows(keyring, "SELECT kind, name, wrapped FROM wrapped_key")
    found, fresh = set(keys), {key for key in keys if len(key) == 32}
    while fresh:
        opened = set()
        for kind, name, wrapped in wraps:
            for key in fresh:
                try:
                    plain = unwrap(key, wrapped, aad_of(kind, name))
                except (WrongKey, Damaged):
                    continue
                opened.add(plain)
        fresh = {key for key in opened if len(key) == 32} - found
        found |= opened
    return found


def footage(keys: set[bytes], backup: Path) -> set[str]:
    """The footage that these keys open in the backup of database and objects: all are tried."""
    columns = "s.id, s.person, s.day, s.object, p.name, p.offset, p.size_bytes, p.payload_sha256"
    query = f"SELECT {columns}, p.file_key FROM segment s JOIN segment_part p ON p.segment = s.id"
    found = set()
    for segment, person, day, key, name, offset, size, digest, wrapped in rows(
        backup / "firsthand.db", query
    ):
        payload = (backup / "objects" / key).read_bytes()[offset : offset + size]
        aad = file_key_aad(person, day, segment, name, digest)
        for each in (each for each in keys if len(each) == 32):
            try:
                plain = age.unseal(unwrap(each, wrapped, aad), payload)
            except (WrongKey, Damaged):
                continue
            if name == "video":
                found.add(plain.decode())
    return found


def erasures(vault: Vault, ana: people.Person, clock, scope: str) -> tuple[list[str], set[str]]:  # type: ignore[no-untyped-def]
    """What is ordered, and the footage that is to be gone."""
    start_ns = clock.now_ns
    midnight_ns = start_ns - start_ns % DAY_NS + DAY_NS
    with vault.db.read() as connection:
        first = catalog.of_person(connection, ana.id)[0].id
    given, gone = {
        "segment": ({"listed": [first]}, {"ana 0"}),
        "interval": ({"interval": (start_ns + MINUTE_NS, start_ns + MINUTE_NS + 1)}, {"ana 1"}),
        "day": ({"interval": (midnight_ns, midnight_ns + DAY_NS)}, {"ana 1440"}),
        "person": ({}, {f"ana {minute}" for minute in (0, 1, 2, 1440, 2880, 2881)}),
    }[scope]
    return erase.place(vault, ana, **given), gone


@pytest.mark.fault("K4")
@pytest.mark.parametrize("path", ["now", "in its time"])
@pytest.mark.parametrize("scope", ["segment", "interval", "day", "person"])
def test_k4_backups_of_before_an_erasure_beside_todays_keys_open_nothing_erased(
    vault, life, clock, scope, path, tmp_path, tally: Tally
):
    ana, _ben, backup = life
    everything = footage(closed_over(live_keys(vault), backup / "keyring.db"), backup)
    assert len(everything) == 8  # the attack itself works
    order, gone = erasures(vault, ana, clock, scope)
    if path == "now":
        order = erase.place(vault, ana, *_again(order), wait_ns=0)
        releasing.carry_out(vault, order)
        gone_ns = clock()
    else:
        clock.now_ns += 7 * DAY_NS
        releasing.sweep(vault)
        gone_ns = clock()
        live = footage(live_keys(vault), backup)
        assert not gone & live  # gone from the live system
        with_backup = footage(closed_over(live_keys(vault), backup / "keyring.db"), backup)
        assert gone <= with_backup  # and not yet from the backup, as the receipt says
        said = erased.receipt(vault, order.id)["erasure"]
        assert said["gone_backups_ns"] is None
        clock.now_ns = said["gone_backups_by_ns"]
    epoch.rotate(vault)
    live = live_keys(vault)
    tried = closed_over(live, backup / "keyring.db")
    assert tried == live  # no wrap in the old keyring opens with any key of today
    assert footage(tried, backup) == everything - gone - _moved(scope)
    said = erased.verify(erased.receipt(vault, order.id), vault.keyring.log_key().public)
    assert (said["gone_live_ns"], said["gone_backups_ns"]) == (gone_ns, clock())
    assert said["gone_backups_ns"] <= said["gone_backups_by_ns"]
    tally.add(cases=len(live))


def _again(order) -> tuple:  # type: ignore[no-untyped-def]
    interval = (order.start_ns, order.stop_ns) if order.scope == "interval" else None
    return interval, order.segments or ()


def _moved(scope: str) -> set[str]:
    """The rest of the day moved under a new day key: its old wraps open no more either."""
    return {"segment": {"ana 1", "ana 2"}, "interval": {"ana 0", "ana 2"}}.get(scope, set())


@pytest.mark.fault("K4")
def test_k4_the_program_itself_opens_nothing_erased_from_backups_put_back(
    vault, life, clock, tmp_path
):
    ana, ben, backup = life
    interval = (clock() + MINUTE_NS, clock() + MINUTE_NS + 1)
    order = erase.place(vault, ana, interval, wait_ns=0)
    releasing.carry_out(vault, order)
    epoch.rotate(vault)
    vault.close()
    folder = vault.settings.data / "vault"
    today = tmp_path / "today.db"
    shutil.copy(folder / "keyring.db", today)
    # All of the backup, beside today's root: the keyring asks for a root that is no more.
    _put_back(folder, backup, "firsthand.db", "keyring.db")
    with pytest.raises(NotFound, match=r"root\.age is missing"):
        Vault(vault.settings, clock)
    # Database and objects alone, beside today's keyring: the order is carried out again.
    shutil.copy(today, folder / "keyring.db")
    for side in folder.glob("keyring.db-*"):
        side.unlink()
    with pytest.raises(Damaged, match="older than the store"):
        Vault(vault.settings, clock)
    again = Vault(vault.settings, clock, recovering=True)
    recover(again)
    found = {}
    with again.db.read() as connection:
        listed = [*catalog.of_person(connection, ana.id), *catalog.of_person(connection, ben.id)]
    for segment in listed:
        try:
            found[segment.id] = reading.read_part(again, segment.id, "video", "self", "x")
        except Error:
            found[segment.id] = b""
    assert b"ana 1" not in found.values()
    assert {b"ana 0", b"ana 2", b"ana 1440", b"ben 0", b"ben 1"} <= set(found.values())
    again.close()


def _put_back(folder: Path, backup: Path, *names: str) -> None:
    for name in names:
        for side in folder.glob(f"{name}-*"):
            side.unlink()
        shutil.copy(backup / name, folder / name)
    # The journal stays today's, as a store's backup has no place for what was added since.
    shutil.copytree(
        backup / "objects" / "segments", folder / "objects" / "segments", dirs_exist_ok=True
    )


@pytest.mark.fault("K4")
def test_k4_the_promise_ends_at_an_old_copy_of_the_root_itself(vault, life, clock):
    """What the documents say is not promised: root, keyring, database and objects of before."""
    ana, _ben, backup = life
    with vault.keyring.db.read() as connection:
        old_root = vault.keyring.root_key(connection, 1)
    releasing.carry_out(vault, erase.place(vault, ana, wait_ns=0))
    epoch.rotate(vault)
    assert len(footage(closed_over({old_root}, backup / "keyring.db"), backup)) == 8


@pytest.mark.fault("K4")
def test_k4_a_release_key_of_before_opens_no_more_once_the_release_is_erased(vault, life):
    ana, _ben, backup = life
    key = vault.keyring.release_key("l-1", ana.id)
    assert key in closed_over(live_keys(vault), backup / "keyring.db")
    vault.keyring.destroy_release_key("l-1", ana.id)
    assert key in closed_over(live_keys(vault), backup / "keyring.db")
    epochs.rotate(vault.keyring)
    assert key not in closed_over(live_keys(vault), backup / "keyring.db")
