"""Forks: a device that signed two different records under one number; its key may be copied.

Neither record is trusted. The one that is held is kept back as a withheld interval, which its
wearer may lift; the other is not taken, and stays on its card. The device is flagged.
"""

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.capture import withhold
from firsthand.errors import Refused
from firsthand.segment import Record
from firsthand.vault import catalog
from firsthand.vault.catalog import forks
from firsthand.vault.vault import Vault


class Forked(Refused):
    """Another record of this number is held."""

    http_status = 409


def check(vault: Vault, record: Record) -> None:
    """Forked, after noting it once, if another record of this number is held."""
    digest = record.hash()
    with vault.db.read() as connection:
        held = catalog.find_record(connection, record.device, record.seq)
        if held is None or held.record_hash == digest or _in_place(connection, record, held):
            return
    with vault.db.write() as connection:
        _note(vault, connection, record, digest, held)
    raise Forked(
        f"device {record.device} signed two different records numbered {record.seq}",
        "its key may be copied: revoke the device and enrol it anew",
    )


def _in_place(connection: Connection, record: Record, held: catalog.Segment) -> bool:
    """Whether one of the two says openly that it stands in the other's place."""
    replaces = record.kind == "gap" and record.media.get("replaces") == held.record_hash
    return replaces or catalog.forgetting(connection, record.device, record.hash()) is not None


def flagged(connection: Connection) -> list[str]:
    """The devices that signed two different records under one number."""
    return list(connection.scalars(sa.select(forks.c.device).distinct().order_by(forks.c.device)))


def _note(
    vault: Vault, connection: Connection, record: Record, digest: str, held: catalog.Segment
) -> None:
    person = people.find(connection, held.person)
    key = {"device": record.device, "seq": record.seq, "record_hash": digest}
    where = sa.and_(*(forks.c[name] == value for name, value in key.items()))
    known = connection.execute(sa.select(forks).where(where)).first()
    if known is not None or person.status != "active":
        return
    row = key | {"found_ns": vault.now_ns()}
    connection.execute(forks.insert().values(**row))
    vault.journal.put_fork(person.id, row)
    both = [held.record_hash, digest]
    people.note(
        connection, "device_forked", person, vault.now_ns(), device=record.device, records=both
    )
    if held.state == "stored":
        withhold.withhold(connection, person, held.start_ns, held.stop_ns, vault.now_ns())
