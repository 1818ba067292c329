"""Releases after the loss of the database: what was made, hidden, undone and erased is so again."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import children
import pytest
import sqlalchemy as sa
from programme import DAY_NS, Programme, begin, settings
from wearer import NOW_NS, SECOND_NS, Clock

from firsthand.consent import erasure, people
from firsthand.consent.capture import bystanders
from firsthand.consent.runs import answers, proposals
from firsthand.consent.tables import erasures
from firsthand.crypto import wrap
from firsthand.errors import Damaged, NotFound, Refused
from firsthand.release import erase, journal, make, pull
from firsthand.release import recover as recovering
from firsthand.release.tables import names, releases
from firsthand.vault import erase as from_vault
from firsthand.vault import journal as from_journal
from firsthand.vault.vault import Vault


@pytest.fixture
def made() -> Iterator[Programme]:
    programme = begin()
    yield programme
    programme.close()


def lose(made: Programme) -> list[str]:
    """Loses the database and recovers without any backup; what could not be used."""
    return made.recover(None).left


def rows(made: Programme) -> dict[str, list]:
    with made.vault.db.read() as connection:
        found = {}
        for table in (releases, names, erasures):
            order = list(table.primary_key.columns)
            found[table.name] = connection.execute(sa.select(table).order_by(*order)).all()
        return found


def state(made: Programme, release: str) -> str:
    with made.vault.db.read() as connection:
        return make.find(connection, release).state


@pytest.mark.fault("S6")
def test_s6_releases_come_back_with_their_names_and_can_be_audited_and_pulled(made, tmp_path):
    release = made.release(made.run)
    with made.vault.db.read() as connection:
        run = proposals.find(connection, made.run)
    begun = make._begin(made.vault, run)  # another, cut off
    before, told = rows(made), made.audit(release.id)
    assert [len(each) for each in before.values()] == [2, 2, 0]
    assert lose(made) == []
    assert rows(made) == before
    assert state(made, begun) == "making"
    after = made.audit(release.id)
    assert (after["breaches"], after["samples"]) == ([], told["samples"])
    assert made.check_bytes(release) == told["samples"]
    pull.pull(made.vault, release.id, tmp_path / "out", "somebody")
    assert made.release(made.run).id == begun


@pytest.mark.fault("S6")
def test_s6_what_was_hidden_undone_or_erased_of_releases_is_so_again(made):
    hidden, undone, erased, gone = (made.release(made.run).id for _ in range(4))
    erase.place_release(made.vault, hidden)
    erase.undo(made.vault, erase.place_release(made.vault, undone).id)
    erase.carry_out(made.vault, erase.place_release(made.vault, erased, 0))
    with made.vault.db.write() as connection:
        ben = people.find(connection, made.people[1].id)
        order = erasure.order(connection, ben, None, NOW_NS)
    erase.carry_out(made.vault, order)
    before = rows(made)
    assert lose(made) == []
    after = rows(made)
    assert after["release"] == before["release"]
    assert after["release_person"] == before["release_person"]
    assert not [row for row in after["release_person"] if made.people[1].id in row]
    states = [state(made, release) for release in (hidden, undone, erased, gone)]
    assert states == ["hidden", "made", "erased", "made"]
    made.clock.now_ns += 8 * DAY_NS
    erase.sweep(made.vault)
    assert state(made, hidden) == "erased"
    assert state(made, undone) == "made"


def test_what_a_commit_that_failed_left_in_the_journal_is_not_believed(made, monkeypatch):
    first = made.release(made.run)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make, "find", crash)  # in the transaction, after the journal was told
        with pytest.raises(KeyboardInterrupt):
            made.release(made.run)
    with monkeypatch.context() as patch:
        patch.setattr(erase, "keep", lambda *args: crash(journal.keep(*args)))
        with pytest.raises(KeyboardInterrupt):
            erase.place_release(made.vault, first.id, 0)
    before = rows(made)
    assert lose(made) == []
    assert rows(made) == before
    order = erase.place_release(made.vault, first.id)
    with monkeypatch.context() as patch:
        patch.setattr(erase, "_set_state", crash)  # undone by the log, not yet in the journal
        with pytest.raises(KeyboardInterrupt):
            erase.undo(made.vault, order.id)
    assert lose(made) == []
    assert state(made, first.id) == "made"
    made.clock.now_ns += 8 * DAY_NS
    assert erase.sweep(made.vault) == []


def test_a_release_that_was_given_up_leaves_nothing_in_the_journal(made):
    with made.vault.db.read() as connection:
        run = proposals.find(connection, made.run)
    make._begin(made.vault, run)
    made.clock.now_ns += 4 * DAY_NS  # the consents have run out
    with pytest.raises(Refused):
        made.release(made.run)
    assert not [key for key in made.vault.store.keys("journal") if "releases" in key]


def test_releases_of_an_older_vault_are_written_down_by_a_sweep(made):
    release = made.release(made.run)
    before = rows(made)
    for folder in ("releases", "names"):
        for key in list(made.vault.store.keys(f"journal/{folder}")):
            made.vault.store.delete(key)
    erase.sweep(made.vault)
    assert lose(made) == []
    assert rows(made) == before
    assert release.id in str(before)


def test_names_go_with_their_person(made):
    release = made.release(made.run)
    with made.vault.db.write() as connection:
        ben = people.find(connection, made.people[1].id)
        order = erasure.order(connection, ben, None, NOW_NS)
    from_vault.carry_out(made.vault, order)  # past this room, as a recovery does
    assert not list(made.vault.store.keys(f"journal/names/{ben.id}"))
    lose(made)
    with made.vault.db.read() as connection, pytest.raises(NotFound):
        make.name_in(connection, release.id, ben.id)


@pytest.mark.fault("S6")
@pytest.mark.parametrize("due", ["before the recovery", "after it"])
def test_s6_an_order_that_waits_as_the_database_is_lost_reaches_releases_too(made, due):
    ben = made.people[1]
    first = made.release(made.run)
    with made.vault.db.write() as connection:
        answers.vote(connection, proposals.find(connection, made.run), ben, "no", NOW_NS)
    second = made.release(made.run)
    assert ben.id in str(second.summary)
    with made.vault.db.read() as connection:
        name = make.name_in(connection, first.id, ben.id)
    order = from_vault.place(made.vault, ben)
    if due == "before the recovery":
        made.clock.now_ns += 8 * DAY_NS
    assert lose(made) == []
    if due == "after it":
        made.clock.now_ns += 8 * DAY_NS
        erase.sweep(made.vault)
    keys = list(made.vault.store.keys("releases"))
    assert keys
    assert not [key for key in keys if key.rpartition("/")[2].startswith(f"{name}.")]
    with made.vault.db.read() as connection:
        done = erasure.find(connection, order.id)
        assert done.outcome["releases"] == [first.id]
        assert make.find(connection, second.id).summary["refused"] == [["", "erased"]]
    assert ben.id not in str(rows(made)["release"])


def killed_in_recovery(folder: Path, where: str) -> None:
    """Runs in a process of its own, which ends before releases come back, or before the end."""
    vault = Vault(settings(folder), Clock(), recovering=True)
    room = recovering if where == "restore" else erase
    setattr(room, where, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    recovering.recover(vault)


@pytest.mark.fault("S6")
@pytest.mark.parametrize("where", ["restore", "settle"])
def test_s6_a_recovery_that_is_killed_leaves_no_vault_that_opens_half(made, where):
    release = made.release(made.run)
    before = rows(made)
    made.vault.close()
    for file in made.database.parent.glob("firsthand.db*"):
        file.unlink()
    assert children.call(killed_in_recovery, made.folder, where) is None
    with pytest.raises(Damaged, match="was cut off") as caught:
        made.reopen()
    assert "vault recover" in caught.value.hint
    vault = Vault(settings(made.folder), made.clock, recovering=True)
    assert recovering.recover(vault).left == []
    vault.close()
    made.reopen()
    assert rows(made) == before
    assert state(made, release.id) == "made"


def test_why_somebody_is_not_in_a_release_is_sealed_for_them_and_comes_back(made):
    ben, sealing = made.people[1], from_journal.vault_key(made.vault.keyring)
    with made.vault.db.write() as connection:
        answers.vote(connection, proposals.find(connection, made.run), ben, "no", NOW_NS)
    release = made.release(made.run)
    (reason,) = release.summary["refused"]
    assert reason[0] == ben.id
    key = f"journal/releases/{release.id}"
    # With the vault's key alone, as whoever kept a copy of the store from before an erasure.
    said = from_journal.read_sealed(made.vault.store, made.vault.keyring, key)
    assert release.id.encode() in said
    assert ben.id.encode() not in said
    assert reason[1].encode() not in said
    before = rows(made)
    assert lose(made) == []
    assert rows(made) == before
    erase.carry_out(made.vault, from_vault.place(made.vault, ben, wait_ns=0))
    made.vault.store.replace(key, wrap(sealing, said, key.encode()))
    assert lose(made) == []
    with made.vault.db.read() as connection:
        assert make.find(connection, release.id).summary["refused"] == [["", "erased"]]


def test_what_bystanders_asked_of_an_older_vault_is_written_down_by_a_sweep(made):
    with made.vault.db.write() as connection:
        bounds = NOW_NS - SECOND_NS, NOW_NS
        bystanders.ask(connection, *bounds, code="ABCDEFGH", words="me", now_ns=NOW_NS)
        asked = bystanders.listed(connection)
    for key in list(made.vault.store.keys("journal/requests")):
        made.vault.store.delete(key)
    erase.sweep(made.vault)
    assert lose(made) == []
    with made.vault.db.read() as connection:
        assert [each.words for each in asked] == ["me"]
        assert bystanders.listed(connection) == asked
