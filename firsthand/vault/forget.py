"""What a device asks to be forgotten is erased here, and a signed receipt says so.

Two ways lead here: a request for the last minutes, and a `forgotten` record that names the hash of
one that the vault already holds.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.errors import Refused
from firsthand.forgetting import Forget, Forgotten, sign_forgotten, touched, verify_forget
from firsthand.segment import Record, verify_record
from firsthand.vault import catalog, erase
from firsthand.vault.catalog import forgettings, segments
from firsthand.vault.hidden import hide
from firsthand.vault.receipt import receipt_for
from firsthand.vault.vault import Vault

# A day of footage and the gaps in it are fewer records than this.
RECORDS = 5000


def forget(vault: Vault, device: people.Device, envelope: dict[str, Any]) -> dict[str, Any]:
    """Erases what a device's signed request touches and returns the receipt's envelope.

    If the device knew the date, all devices of its person are covered, and what is handed in later
    too. Asked again, it answers with the same receipt.
    """
    asked = verify_forget(envelope, device.key)
    if (asked.device, asked.person) != (device.id, device.person):
        raise Refused(f"request {asked.id} is not by device {device.id} of its person")
    with vault.db.read() as connection:
        known = catalog.forgetting(connection, device.id, asked.id)
        person = people.find(connection, device.person)
        rows = catalog.newest(connection, device.id, asked.top, RECORDS)
    if known is not None:
        return known
    found = touched((Record.from_json(row.record) for row in rows), asked)
    doomed = {row.id for row in rows if row.seq in found}
    count = size_bytes = 0
    if person.salt is not None:  # else nothing is left of them
        count, size_bytes = _erase(vault, person, asked, doomed)
    now_ns = vault.now_ns()
    return _note(vault, Forgotten(asked.id, device.id, person.id, count, size_bytes, 0, "", now_ns))


def _erase(vault: Vault, person: people.Person, asked: Forget, doomed: set[str]) -> tuple[int, int]:
    """(segments, bytes) erased."""
    orders = []
    with vault.db.write() as connection:
        if asked.wall_ns_start < asked.wall_ns_stop:
            interval = (asked.wall_ns_start, asked.wall_ns_stop)
            orders.append(erasure.order(connection, person, interval, vault.now_ns()))
        if doomed:
            listed = sorted(doomed)
            order = erasure.order(connection, person, None, vault.now_ns(), segments=listed)
            orders.append(order)
        for order in orders:  # within the transaction: nobody gets it meanwhile
            hide(connection, order)
    done = [erase.carry_out(vault, order, doomed) for order in orders]
    return sum(each["segments"] for each in done), sum(each["bytes"] for each in done)


def _note(vault: Vault, receipt: Forgotten) -> dict[str, Any]:
    with vault.db.write() as connection:
        known = catalog.forgetting(connection, receipt.device, receipt.id)
        if known is not None:
            return known
        now_ns = vault.now_ns()
        index = log.append(connection, "forgot", now_ns, device=receipt.device, request=receipt.id)
        root = log.root(connection, index + 1).hex()
        told = Forgotten(**(vars(receipt) | {"log_index": index, "log_root": root}))
        envelope = sign_forgotten(told, vault.keyring.log_key())
        row = {"id": receipt.id, "device": receipt.device, "receipt": envelope}
        connection.execute(forgettings.insert().values(**row))
        vault.journal.put_forgetting(row)
    return envelope


def make_way(vault: Vault, device: people.Device, envelope: dict[str, Any]) -> None:
    """Before a `forgotten` record is taken in: what it replaces is erased, and refused from now on.

    Nothing happens for any other record, or if the device did not sign it.
    """
    body = envelope.get("record")
    if not isinstance(body, dict) or body.get("kind") != "forgotten":
        return
    record = verify_record(envelope, device.key)
    replaced = record.media.get("replaces")
    if not isinstance(replaced, str) or record.device != device.id:
        return
    with vault.db.read() as connection:
        held = catalog.find_record(connection, device.id, record.seq)
        person = people.find(connection, device.person)
    if person.salt is None:
        return
    ours = held is not None and held.record_hash == replaced
    if held is not None and ours and held.kind == "segment":
        with vault.db.write() as connection:
            now_ns = vault.now_ns()
            order = erasure.order(connection, person, None, now_ns, segments=[held.id])
        erase.carry_out(vault, order, {held.id})
    with vault.db.write() as connection:
        _refuse(vault, connection, record, replaced)
        if held is not None and ours:
            _put_in_place(vault, connection, person, held, record, envelope)


def _refuse(vault: Vault, connection: Connection, record: Record, replaced: str) -> None:
    """Whatever comes of the record that was replaced gets this refusal."""
    if catalog.forgetting(connection, record.device, replaced) is None:
        index = log.append(connection, "ingest_refused", vault.now_ns(), record=replaced)
        refusal = receipt_for(vault, connection, record, replaced, index, "refused", "forgotten")
        row = {"id": replaced, "device": record.device, "receipt": refusal}
        connection.execute(forgettings.insert().values(**row))
        vault.journal.put_forgetting(row)


def _put_in_place(
    vault: Vault,
    connection: Connection,
    person: people.Person,
    held: catalog.Segment,
    record: Record,
    envelope: dict[str, Any],
) -> None:
    """The forgotten record takes the erased one's row: a number has one record."""
    digest = record.hash()
    private = {"segment": held.id, "start_ns": held.start_ns, "stop_ns": held.stop_ns}
    now_ns = vault.now_ns()
    index = people.note(
        connection, "forgotten_stored", person, now_ns, private=private, record=digest
    )
    receipt = receipt_for(vault, connection, record, digest, index, "stored", "")
    values: dict[str, Any] = {"kind": record.kind, "record": record.to_json()}
    values |= {"record_hash": digest, "receipt": receipt, "log_index": index, "size_bytes": 0}
    connection.execute(segments.update().where(segments.c.id == held.id).values(**values))
    vault.journal.put_slip(replace(held, **values, object="", state="erased"), [], envelope)
