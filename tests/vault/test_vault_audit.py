"""The log against someone who holds the database and the store, and knows how it is made.

Each attack recomputes all hashes that it can. Without the log's key what was signed contradicts it;
with the key only what was kept elsewhere does.
"""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from firsthand import log, tlog
from firsthand.consent.capture import withhold
from firsthand.consent.terms import consents
from firsthand.crypto import canonical
from firsthand.db import metadata
from firsthand.errors import Damaged, NotFound
from firsthand.monitor import BrokenLog
from firsthand.segment import RECEIPT_CONTEXT, sign_body
from firsthand.vault import audit, catalog

TRAIN = "fh:train-general-model"


@pytest.fixture
def filled(vault, device, person):
    """A vault with a few segments, a consent and a withheld interval; and what a device saw."""
    device.hand_in(device.seal())
    with vault.db.write() as connection:
        consents.give(connection, person, [TRAIN], now_ns=vault.now_ns())
        withhold.withhold(connection, person, 10, 20, vault.now_ns())
    last = device.hand_in(device.seal(start_s=60))["receipt"]
    seen = f"{last['log_index']} {last['log_root']}"
    device.hand_in(device.seal(start_s=120, checkpoint=seen))
    return vault


def recompute(vault) -> None:
    """Makes every hash anew from the entries as they are now."""
    with vault.db.write() as connection:
        connection.execute(log.hashes.delete())
        frontier = tlog.Frontier()
        for entry in log.raw(connection, 0, 10**6):
            for level, place, value in frontier.append(tlog.leaf_hash(entry)):
                row = {"level": level, "index": place, "hash": value}
                connection.execute(log.hashes.insert().values(**row))


def edit(vault, index: int) -> None:
    """Puts another content into one entry, its hashes with it."""
    with vault.db.write() as connection:
        where = log.entries.c.index == index
        body = json.loads(connection.scalar(sa.select(log.entries.c.entry).where(where)))
        changed = canonical(body | {"time_ns": body["time_ns"] + 1})
        connection.execute(log.entries.update().where(where).values(entry=changed))
    recompute(vault)


def cut(vault, size: int) -> None:
    """Takes the end of the log away, its hashes with it."""
    with vault.db.write() as connection:
        connection.execute(log.entries.delete().where(log.entries.c.index >= size))
    recompute(vault)


def sign_all(vault) -> None:
    """With the log's key: every receipt anew, so that all in the vault agrees."""
    key = vault.keyring.log_key()
    with vault.db.write() as connection:
        for row in connection.execute(sa.select(catalog.segments)).all():
            body = row.receipt["receipt"]
            top = log.root(connection, body["log_index"] + 1).hex()
            signed = sign_body("receipt", body | {"log_root": top}, key, RECEIPT_CONTEXT)
            record = row.record | {"checkpoint": ""}
            change = catalog.segments.update().where(catalog.segments.c.id == row.id)
            connection.execute(change.values(receipt=signed, record=record))


def forget_copy(vault) -> None:
    """The store's copy of the log is in the attacker's hands too."""
    for key in list(vault.store.keys("journal/log")):
        vault.store.delete(key)


def kept(vault, folder: Path, name: str = "kept.txt") -> Path:
    """The checkpoint of now, written down elsewhere."""
    file = folder / name
    with file.open("a", encoding="utf-8") as out:
        out.write(vault.checkpoint())
    return file


def copy_of(vault) -> dict[str, list[dict]]:
    """The whole database, as a backup holds it."""
    with vault.db.read() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for table in metadata.sorted_tables
        }


def put_back(vault, copy: dict[str, list[dict]]) -> None:
    """The database as it was."""
    with vault.db.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for table in metadata.sorted_tables:
            for row in copy[table.name]:
                connection.execute(table.insert().values(**row))


def verify(vault, *sources: Path) -> audit.Audited:
    key = vault.keyring.log_key().public
    return audit.verify(vault, [s for each in sources for s in audit.read_kept(str(each), key)])


def size_of(vault) -> int:
    with vault.db.read() as connection:
        return log.size(connection)


@pytest.mark.fault("C4")
def test_c4_a_log_that_nobody_touched_agrees_with_all_that_was_ever_said_of_it(filled, tmp_path):
    file = kept(filled, tmp_path)
    with filled.db.write() as connection:
        log.append(connection, "noted", 1)
    kept(filled, tmp_path)
    found = verify(filled, file)
    assert (found.size, found.kept) == (size_of(filled), 2)
    assert found.inside >= 3 + 1  # receipts, and what a device wrote into its record
    assert found.openings >= 6


@pytest.mark.fault("C4")
def test_c4_an_edit_is_found_at_any_entry_by_what_the_log_had_signed(filled, tmp_path, tally):
    file = kept(filled, tmp_path)
    copies = {key: b"".join(filled.store.chunks(key)) for key in filled.store.keys("journal/log")}
    before = copy_of(filled)
    for index in range(size_of(filled)):
        edit(filled, index)
        with pytest.raises(BrokenLog, match=f"entry {index}") as told:
            verify(filled, file)
        assert (told.value.kind, told.value.first) == ("edit", index)
        forget_copy(filled)
        with pytest.raises(BrokenLog) as told:
            verify(filled, file)
        assert told.value.kind == "edit"
        assert told.value.first <= index < told.value.stop
        for key, data in copies.items():
            filled.store.replace(key, data)
        put_back(filled, before)
        tally.add()
    assert verify(filled, file).kept == 1


@pytest.mark.fault("C4")
def test_c4_a_log_whose_end_was_cut_is_told_from_one_that_was_put_back(filled, tmp_path, tally):
    before = copy_of(filled)
    older = size_of(filled)
    with filled.db.write() as connection:
        for number in range(5):
            log.append(connection, "noted", number)
    file = kept(filled, tmp_path)
    # The end is taken out of a database whose other rows speak of it.
    cut(filled, older - 1)
    forget_copy(filled)
    with pytest.raises(BrokenLog, match="knows") as told:
        verify(filled)
    assert (told.value.kind, told.value.first) == ("truncation", older - 1)
    # A whole older database is sound in itself; only what was kept elsewhere is newer.
    put_back(filled, before)
    assert verify(filled).size == older
    with pytest.raises(BrokenLog) as told:
        verify(filled, file)
    assert (told.value.kind, told.value.first, told.value.stop) == ("rollback", older, older + 5)
    tally.add(cases=2)


@pytest.mark.fault("C4")
def test_c4_an_old_database_beside_its_store_is_a_rollback(filled, tmp_path):
    before = copy_of(filled)
    with filled.db.write() as connection:
        log.append(connection, "noted", 1)
    put_back(filled, before)
    with pytest.raises(BrokenLog, match="the store's copy") as told:
        verify(filled)
    assert told.value.kind == "rollback"


@pytest.mark.fault("C4")
def test_c4_whoever_has_the_log_key_too_is_found_by_a_checkpoint_kept_elsewhere(filled, tmp_path):
    file = kept(filled, tmp_path)
    edit(filled, 2)
    with filled.db.write() as connection:  # something signed speaks for the other history
        log.append(connection, "noted", 1)
    kept(filled, tmp_path, "other.txt")
    sign_all(filled)
    forget_copy(filled)
    assert verify(filled).size == size_of(filled)  # within the vault all agrees
    with pytest.raises(BrokenLog, match="two contents") as told:
        verify(filled, file, tmp_path / "other.txt")
    assert told.value.kind == "fork"
    assert told.value.first <= 2 < told.value.stop


@pytest.mark.fault("C4")
def test_c4_a_log_put_back_that_went_on_is_a_fork(filled, tmp_path):
    before = copy_of(filled)
    with filled.db.write() as connection:
        log.append(connection, "noted", 1)
    file = kept(filled, tmp_path)
    put_back(filled, before)
    forget_copy(filled)
    with filled.db.write() as connection:
        log.append(connection, "noted", 2, instead="of the other")
        log.append(connection, "noted", 3)
    kept(filled, tmp_path, "other.txt")
    with pytest.raises(BrokenLog) as told:
        verify(filled, file, tmp_path / "other.txt")
    assert told.value.kind == "fork"


def test_a_receipt_that_was_changed_in_the_database_is_found(filled):
    with filled.db.write() as connection:
        row = connection.execute(sa.select(catalog.segments)).first()
        receipt = json.loads(json.dumps(row.receipt))
        receipt["receipt"]["log_root"] = "00" * 32
        change = catalog.segments.update().where(catalog.segments.c.id == row.id)
        connection.execute(change.values(receipt=receipt))
    with pytest.raises(BrokenLog, match=r"the receipt of segment .* was changed"):
        verify(filled)


def test_receipts_of_a_card_are_statements_too(filled, device, tmp_path):
    with filled.db.read() as connection:
        rows = connection.execute(sa.select(catalog.segments.c.receipt)).all()
    (tmp_path / "receipts").mkdir()
    lines = "\n".join(json.dumps(row.receipt) for row in rows)
    (tmp_path / "receipts" / "2026-11.jsonl").write_text(lines)
    assert verify(filled, tmp_path / "receipts").kept == 3
    cut(filled, size_of(filled) - 1)
    forget_copy(filled)
    with pytest.raises(BrokenLog):
        verify(filled, tmp_path / "receipts")


def test_a_checkpoint_is_fetched_where_it_is_served(filled):
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return filled.checkpoint().encode()

    key = filled.keyring.log_key().public
    found = audit.read_kept("https://vault.example/", key, fetch)
    assert asked == ["https://vault.example/checkpoint"]
    assert [seen.size for seen in found] == [size_of(filled)]


def test_what_holds_no_word_of_this_log_is_refused(filled, tmp_path):
    key = filled.keyring.log_key().public
    with pytest.raises(NotFound):
        audit.read_kept(str(tmp_path / "nothing"), key)
    (tmp_path / "empty.txt").write_text("nothing\n")
    with pytest.raises(Damaged, match="holds no checkpoint"):
        audit.read_kept(str(tmp_path / "empty.txt"), key)
    forged = tlog.Checkpoint(filled.origin, 3, b"r" * 32)
    note = forged.sign(type(filled.keyring.log_key()).generate())
    (tmp_path / "forged.txt").write_text(note)
    with pytest.raises(Damaged):
        audit.read_kept(str(tmp_path / "forged.txt"), key)
