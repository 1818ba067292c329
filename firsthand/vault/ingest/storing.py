"""Storing: what "stored" means for a record, and when it is refused, in one transaction each."""

from typing import Any

from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.capture import review
from firsthand.crypto import wrap
from firsthand.errors import Refused
from firsthand.segment import Record
from firsthand.vault import catalog, hidden, quota
from firsthand.vault import place as when
from firsthand.vault.catalog import StoredPart
from firsthand.vault.receipt import receipt_for
from firsthand.vault.vault import Vault, file_key_aad


class Waits(Refused):
    """Nothing is taken for now, and nothing is refused for good."""

    http_status = 429  # the device tries again later


def settled(
    vault: Vault, connection: Connection, record: Record, digest: str
) -> dict[str, Any] | None:
    """The receipt of a record that is held, or whose person's consent is over."""
    held = _held(vault, connection, record, digest)
    return _refusal(vault, connection, record, digest) if held is None else held


def is_settled(vault: Vault, connection: Connection, record: Record) -> bool:
    """Whether `settled` may have an answer; changes nothing."""
    held = catalog.find_record(connection, record.device, record.seq)
    return held is not None or bool(_no_longer(vault, connection, record))


def store(
    vault: Vault,
    connection: Connection,
    record: Record,
    digest: str,
    key: str,
    file_keys: dict[str, bytes],
    envelope: dict[str, Any],
) -> dict[str, Any]:
    """Stores what was verified: log entry, receipt, rows, slip; returns the receipt."""
    person = people.find(connection, record.person)
    segment = people.new_id("s", 8)
    start_ns, stop_ns = when.learn(connection, record, vault.now_ns())
    day = catalog.day_of(start_ns)
    private: dict[str, Any] = {"segment": segment, "start_ns": start_ns, "stop_ns": stop_ns}
    if session := when.session_of(record):
        private["session"] = session  # by which the log can say that it was placed anew
    index = people.note(
        connection, f"{record.kind}_stored", person, vault.now_ns(), private=private, record=digest
    )
    receipt = receipt_for(vault, connection, record, digest, index, "stored", "")
    listed, offset = [], 0
    generation, day_key = _day_key(vault, person.id, day) if record.parts else (0, b"")
    for part in record.parts:
        aad = file_key_aad(person.id, day, segment, part.name, part.payload_sha256)
        wrapped = wrap(day_key, file_keys[part.name], aad)
        size, sha256 = part.size_bytes, part.payload_sha256
        stored = StoredPart(segment, part.name, offset, size, sha256, part.cut, wrapped, generation)
        listed.append(stored)
        offset += size
    held = catalog.Segment(
        id=segment,
        person=person.id,
        device=record.device,
        session=record.session,
        seq=record.seq,
        kind=record.kind,
        record=record.to_json(),
        record_hash=digest,
        object=key,
        size_bytes=record.object_size,
        start_ns=start_ns,
        stop_ns=stop_ns,
        day=day,
        state="stored",
        receipt=receipt,
        log_index=index,
    )
    catalog.insert(connection, held, listed)
    if record.kind == "segment":
        came_ns = receipt["receipt"]["time_ns"]
        review.arrive_within(connection, person.id, start_ns, stop_ns, came_ns)
    # What an order names that can still be undone is taken in, and hidden with the rest.
    hidden.take_in(connection, person.id)
    quota.note(connection, record.device, record.object_size, vault.now_ns())
    vault.journal.put_slip(held, listed, envelope)
    return receipt


def _held(
    vault: Vault, connection: Connection, record: Record, digest: str
) -> dict[str, Any] | None:
    held = catalog.find_record(connection, record.device, record.seq)
    if held is None:
        return None
    if held.record_hash != digest:
        refusal = catalog.forgetting(connection, record.device, digest)
        if refusal is not None:  # what came late was replaced by a forgotten record
            return refusal
        if record.kind == "gap" and record.media.get("replaces") == held.record_hash:
            # Its card overwrote or damaged what had come home: the segment stays, the gap is moot.
            return receipt_for(vault, connection, record, digest, held.log_index, "stored", "")
        raise Refused(
            f"device {record.device} signed two different records numbered {record.seq}",
            "its key may be copied: revoke the device and enrol it anew",
        )
    return held.receipt


def _refusal(
    vault: Vault, connection: Connection, record: Record, digest: str
) -> dict[str, Any] | None:
    reason = _no_longer(vault, connection, record)
    if not reason:
        return None
    if reason == "deceased":  # a death can be denied: what waits on a card is not destroyed yet
        raise Waits(
            "the death of this device's wearer was attested", "what is on the card stays there"
        )
    index = log.append(connection, "ingest_refused", vault.now_ns(), record=digest)
    return receipt_for(vault, connection, record, digest, index, "refused", reason)


def _no_longer(vault: Vault, connection: Connection, record: Record) -> str:
    """Why nothing of this is taken any more: its person's status, "erased", or "" if it is."""
    status = people.find(connection, record.person).status
    if status != "active" or not record.parts:
        return "" if status == "active" else status
    now_ns = vault.now_ns()
    bounds = when.interval(connection, record, now_ns)
    return "erased" if erasure.covers(connection, record.person, *bounds, now_ns) else ""


def _day_key(vault: Vault, person: str, day: str) -> tuple[int, bytes]:
    """(generation, D) under which a person's parts of a day are wrapped."""
    # The keyring knows by one look what the catalogue finds by reading all of a day. An erasure
    # makes the next generation before it destroys the one below.
    generation = vault.keyring.day_generation(person, day)
    if generation is not None:
        return generation, vault.keyring.day_key(person, day, generation)
    return 0, vault.keyring.day_key(person, day, 0, make=True)
