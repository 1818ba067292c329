"""Epochs: every key stays what it is, the one above it is new, and no old copy opens anything."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import children
import pytest
import sqlalchemy as sa
from faults import FULL, Tally
from sqlalchemy import event

from firsthand import age
from firsthand.crypto import unwrap
from firsthand.errors import Damaged, Error, Locked, NotFound, WrongKey
from firsthand.vault.keys import epochs
from firsthand.vault.keys import keyring as module
from firsthand.vault.keys.keyring import Keyring, aad_of

pytestmark = pytest.mark.usefixtures("cheap_seal")
WORDS = "correct horse"
DAY_NS = 86_400 * 10**9
DAYS = ("2026-11-01", "2026-11-02")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    path.mkdir(mode=0o700)
    (path / "root.age").write_bytes(age.encrypt(b"R" * 32, passphrase=WORDS, scrypt_log2=1))
    return path


@pytest.fixture
def open_keyring(folder, clock):  # type: ignore[no-untyped-def]
    opened: list[Keyring] = []

    def make(at: Path = folder) -> Keyring:
        opened.append(Keyring(at, WORDS, now_ns=clock))
        return opened[-1]

    yield make
    for keyring in opened:
        keyring.close()


def fill(keyring: Keyring) -> dict[str, object]:
    keyring.log_key()
    for person in ("ana", "ben"):
        keyring.add_person(person)
        keyring.ingest_recipient(person, keyring.now_ns())
        keyring.journal_key(person)
        keyring.release_key("rel1", person, make=True)
        for day in DAYS:
            keyring.day_key(person, day, 0, make=True)
    return told(keyring)


def told(keyring: Keyring) -> dict[str, object]:
    """Every key that the keyring hands out."""
    found: dict[str, object] = {"log": keyring.log_key().to_bytes()}
    for person in ("ana", "ben"):
        found[f"ingest {person}"] = [each.secret for each in keyring.ingest_identities(person)]
        found[f"journal {person}"] = keyring.journal_key(person)
        found[f"release {person}"] = keyring.release_key("rel1", person)
        for day in DAYS:
            found[f"{day} {person}"] = keyring.day_key(person, day, 0)
    return found


def rows(keyring: Keyring) -> list[sa.Row]:
    with keyring.db.read() as connection:
        return list(connection.execute(sa.select(module.keys)).all())


def live_keys(keyring: Keyring) -> list[bytes]:
    """Every key there is today, the root too, in the clear."""
    with keyring.db.read() as connection:
        found = [keyring.root_key(connection, keyring.newest(connection))]
    for row in rows(keyring):
        if row.kind in module.UNDER_ROOT:
            found.append(unwrap(found[0], row.wrapped, aad_of(row.kind, row.name)))
        elif row.kind in ("day", "journal"):
            with keyring.db.read() as connection:
                volunteer = keyring._volunteer(connection, row.person)
            found.append(unwrap(volunteer, row.wrapped, aad_of(row.kind, row.name)))
    return found


def opened_by(wraps: list[sa.Row], live: list[bytes]) -> list[str]:
    """The old wraps that any of these keys opens."""
    found = []
    for row in wraps:
        for key in live:
            try:
                unwrap(key, row.wrapped, aad_of(row.kind, row.name))
            except (WrongKey, Damaged):
                continue
            found.append(f"{row.kind} {row.name}")
    return found


def test_all_keys_outlast_an_epoch_and_every_wrap_is_new(open_keyring, folder, clock):
    keyring = open_keyring()
    before = fill(keyring)
    old = rows(keyring)
    clock.now_ns += 30 * DAY_NS
    (ended,) = epochs.rotate(keyring)
    assert (ended.number, ended.ended_ns, ended.gone_ns) == (1, clock(), clock())
    assert told(keyring) == before
    assert told(open_keyring()) == before
    assert not {row.wrapped for row in old} & {row.wrapped for row in rows(keyring)}
    assert sorted(path.name for path in folder.glob("root*")) == ["root.2.age"]
    files = b"".join(path.read_bytes() for path in folder.glob("keyring.db*"))
    assert not any(row.wrapped in files for row in old)


def test_a_keyring_that_another_process_renews_goes_on_working(open_keyring):
    running = open_keyring()
    before = fill(running)
    other = open_keyring()
    for _ in range(3):
        epochs.rotate(other)
        assert told(running) == before
    running.add_person("cleo")
    assert running.day_key("cleo", DAYS[0], 0, make=True) == other.day_key("cleo", DAYS[0], 0)
    assert epochs.verify(other) == len(rows(other))
    assert list(running._roots) == [4]  # roots of epochs that ended have left its memory


def test_an_epoch_is_overdue_after_thirty_days_and_while_its_end_is_unfinished(
    open_keyring, clock, monkeypatch
):
    keyring = open_keyring()
    fill(keyring)
    assert not epochs.state(keyring).overdue(clock() + 30 * DAY_NS)
    assert epochs.state(keyring).overdue(clock() + 30 * DAY_NS + 1)
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "_rewrap_rest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            epochs.rotate(keyring)
    assert epochs.state(keyring).rotating
    assert epochs.state(keyring).overdue(clock())
    assert epochs.rotate(keyring)[0].number == 1
    assert not epochs.state(keyring).overdue(clock())


def test_one_process_renews_at_a_time(open_keyring):
    keyring, other = open_keyring(), open_keyring()
    fill(keyring)
    with epochs._alone(other), pytest.raises(Locked):
        epochs.rotate(keyring)
    epochs.rotate(keyring)


def test_no_root_is_destroyed_while_a_single_key_does_not_open(open_keyring, folder):
    keyring = open_keyring()
    before = fill(keyring)
    where = module.keys.c.name == f"ben|{DAYS[1]}|0"
    good = next(row.wrapped for row in rows(keyring) if row.name == f"ben|{DAYS[1]}|0")
    with keyring.db.write() as connection:
        bad = bytes([good[0], good[1] ^ 4, *good[2:]])
        connection.execute(module.keys.update().where(where).values(wrapped=bad))
    with pytest.raises(Damaged, match="no root is destroyed"):
        epochs.rotate(keyring)
    assert sorted(path.name for path in folder.glob("root*")) == ["root.2.age", "root.age"]
    with keyring.db.write() as connection:
        connection.execute(module.keys.update().where(where).values(wrapped=good))
    epochs.rotate(keyring)
    assert told(keyring) == before


def test_a_key_that_was_written_wrong_is_found_before_the_old_root_goes(
    open_keyring, folder, monkeypatch
):
    keyring = open_keyring()
    fill(keyring)
    renew = epochs._renew

    def spoil(keyring: Keyring, person: str, newest: int) -> None:
        renew(keyring, person, newest)
        with keyring.db.write() as connection:  # a disk that does not keep what it was given
            connection.exec_driver_sql(
                "UPDATE wrapped_key SET wrapped = zeroblob(60) WHERE kind = 'day'"
            )

    monkeypatch.setattr(epochs, "_renew", spoil)
    with pytest.raises(Damaged, match="does not open"):
        epochs.rotate(keyring)
    assert (folder / "root.age").exists()


@pytest.mark.fault("K4")
def test_k4_an_old_keyring_opens_with_no_key_of_today(open_keyring, folder, tmp_path, tally: Tally):
    keyring = open_keyring()
    fill(keyring)
    keyring.destroy_day_keys("ana", DAYS[0], before=1)
    keyring.close()
    shutil.copytree(folder, tmp_path / "backup")  # of after the erasure too
    keyring = open_keyring()
    old = rows(keyring)
    assert len(opened_by(old, live_keys(keyring))) >= len(old) - 2  # the attack works until then
    epochs.rotate(keyring)
    live = live_keys(keyring)
    assert opened_by([row for row in old if row.kind != "recovery"], live) == []
    tally.add(cases=len(old) * len(live))
    # And put back in today's place, beside today's root.
    keyring.close()
    shutil.copy(tmp_path / "backup" / "keyring.db", folder / "keyring.db")
    for side in folder.glob("keyring.db-*"):
        side.unlink()
    with pytest.raises(NotFound, match=r"root\.age is missing"):
        open_keyring()
    # Here the promise ends: an old copy of the root itself still opens the old keyring.
    shutil.copy(tmp_path / "backup" / "root.age", folder / "root.age")
    assert open_keyring().day_key("ana", DAYS[1], 0)


# --- cut off anywhere


class Killer:
    """Counts the steps of a process (SQL, commits, files), and kills it before one of them."""

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0

    def step(self, *_: object, **__: object) -> None:
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def watch(self, keyring: Keyring) -> None:
        event.listen(keyring.db.engine, "before_cursor_execute", self.step)
        event.listen(keyring.db.engine, "commit", self.step)
        for name in ("fsync", "link", "unlink", "urandom"):
            setattr(os, name, self._before(getattr(os, name)))

    def _before(self, call: Callable) -> Callable:
        def run(*given, **named):  # type: ignore[no-untyped-def]
            self.step()
            return call(*given, **named)

        return run


def rotate(folder: Path, clock: Callable[[], int], at: int | None) -> int:
    """The steps of a rotation, if it isn't killed before one of them; in a process of its own."""
    age.encrypt.__defaults__ = ((), None, 1)  # as the fixture cheap_seal does here
    killer, keyring = Killer(at), Keyring(folder, WORDS, now_ns=clock)
    killer.watch(keyring)
    epochs.rotate(keyring)
    return killer.count


@pytest.mark.fault("K2")
def test_k2_killed_at_any_step_of_a_rotation_no_key_is_lost_and_the_next_run_ends_it(
    open_keyring, folder, tmp_path, clock, tally: Tally
):
    keyring = open_keyring()
    before = fill(keyring)
    keyring.close()
    ready = tmp_path / "ready"
    shutil.copytree(folder, ready)

    steps = children.call(rotate, folder, clock, None)
    assert steps is not None
    assert steps > 50
    for at in range(0, steps, 1 if FULL else 11):
        shutil.rmtree(folder)
        shutil.copytree(ready, folder)
        assert children.call(rotate, folder, clock, at) is None, at
        keyring = open_keyring()
        assert told(keyring) == before, at  # at once, before anything is mended
        ended = epochs.rotate(keyring)
        assert told(keyring) == before, at
        assert len(list(folder.glob("root*.age"))) == 1, at
        assert epochs.state(keyring).rotating is False
        if ended:
            assert ended[0].number in (1, 2)
        assert epochs.verify(keyring) == len(rows(keyring))
        keyring.close()
        tally.add()


def test_a_root_of_a_cut_off_beginning_is_not_used_later(open_keyring, folder, monkeypatch):
    keyring = open_keyring()
    before = fill(keyring)
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "Epoch", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            epochs.rotate(keyring)
    stale = (folder / "root.2.age").read_bytes()
    assert not epochs.state(keyring).rotating
    epochs.rotate(keyring)
    assert (folder / "root.2.age").read_bytes() != stale
    assert told(keyring) == before


def test_an_erased_person_stays_erased_through_a_rotation(open_keyring):
    keyring = open_keyring()
    fill(keyring)
    keyring.destroy_person("ana")
    epochs.rotate(keyring)
    with pytest.raises(Error):
        keyring.day_key("ana", DAYS[0], 0)
    assert keyring.journal_key("ana") is None
    assert keyring.day_key("ben", DAYS[0], 0)
