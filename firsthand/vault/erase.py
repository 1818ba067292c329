"""Carrying out erasure orders: keys first, then bytes, then the log.

Each step can be repeated after an interruption; nothing that stays is ever without its key.
"""

from collections.abc import Collection

import sqlalchemy as sa

from firsthand import log, tlog
from firsthand.consent import erasure
from firsthand.consent.tables import devices
from firsthand.crypto import unwrap, wrap
from firsthand.vault import ask, catalog, enrol, fleet, ingest, place
from firsthand.vault.catalog import parts, segments, uploads
from firsthand.vault.store import aside_of
from firsthand.vault.vault import Vault, file_key_aad


def carry_out(vault: Vault, order: erasure.Order, segments: Collection[str] = ()) -> dict[str, int]:
    """Destroys what the order names; returns {"segments", "bytes", "log_index"}.

    An interval takes every segment that touches it; an order of scope "segments" those given.
    Other people's bytes and keys stay untouched.
    """
    whole = order.scope == "person"
    bounds = (order.start_ns or 0, order.stop_ns or 0) if order.scope == "interval" else ()
    vault.journal.put_order(order, segments)
    if whole:
        vault.keyring.destroy_person(order.person)
    _drop_uploads(vault, order.person)
    with vault.db.read() as connection:
        doomed = list(catalog.of_person(connection, order.person, *bounds))
        if order.scope == "segments":
            doomed = [segment for segment in doomed if segment.id in segments]
        struck = catalog.erased_objects(connection, order.person)  # by a try that was cut off
    for day in sorted({segment.day for segment in [*doomed, *struck]}):
        _strike(vault, order.person, day, {s.id for s in doomed if s.day == day}, rewrap=not whole)
    purged = _purge(vault, order.person)
    if whole:
        vault.journal.drop_person(order.person)
        with vault.db.write() as connection:
            catalog.forget(connection, order.person)
            enrol.forget(connection, order.person)
            fleet.forget(connection, order.person)
            place.forget(connection, order.person)
            ask.forget(connection, order.person)
            erasure.forget(connection, order.person)
        vault.db.compact()
    with vault.db.write() as connection:
        index = erasure.done(connection, order, vault.now_ns())
    return {"segments": len(doomed), "bytes": purged, "log_index": index}


def inclusion(vault: Vault, index: int) -> dict[str, object]:
    """The inclusion proof of a log entry under the log of now: what an erasure receipt rests on."""
    with vault.db.read() as connection:
        size = log.size(connection)
        proof = tlog.inclusion_proof(index, size, log.reader(connection))
    return {"index": index, "size": size, "proof": [step.hex() for step in proof]}


def _drop_uploads(vault: Vault, person: str) -> None:
    """Removes what the person's devices have begun to hand in.

    They begin again, and what an order covers then gets the vault's refusal.
    """
    with vault.db.write() as connection:
        mine = sa.select(devices.c.id).where(devices.c.person == person)
        where = uploads.c.device.in_(mine)
        # Within the transaction: no upload that is just being verified can be stored meanwhile.
        for upload in connection.execute(sa.select(uploads).where(where)).all():
            ingest.discard(vault, upload)
        connection.execute(uploads.delete().where(where))


def _strike(vault: Vault, person: str, day: str, gone: set[str], rewrap: bool) -> None:
    """Takes segments of one day out of the catalogue, moves the day's others under a new D.

    The old D is destroyed last: a crash before leaves both, never neither.
    """
    with vault.db.write() as connection:
        newest = catalog.generation(connection, person, day)
        if gone:
            newest += 1
            if rewrap:
                _rewrap(vault, connection, person, day, gone, newest)
            struck = parts.update().where(parts.c.segment.in_(gone))
            # With the new generation, so that nobody wraps under the old D from here on.
            connection.execute(struck.values(file_key=None, generation=newest))
            change = segments.update().where(segments.c.id.in_(gone))
            connection.execute(change.values(state="erased"))
    if rewrap:
        with vault.db.read() as connection:
            for segment in catalog.of_person(connection, person):
                if segment.day == day:
                    parts_ = catalog.parts_of(connection, segment.id).values()
                    vault.journal.put_slip(segment, parts_)
        vault.keyring.destroy_day_keys(person, day, before=newest)


def _rewrap(vault: Vault, connection, person: str, day: str, gone: set[str], fresh: int) -> None:  # type: ignore[no-untyped-def]
    new = vault.keyring.day_key(person, day, fresh, make=True)
    for segment in catalog.of_person(connection, person):
        if segment.day != day or segment.id in gone:
            continue
        for part in catalog.parts_of(connection, segment.id).values():
            aad = file_key_aad(person, day, segment.id, part.name, part.payload_sha256)
            old = vault.keyring.day_key(person, day, part.generation)
            wrapped = wrap(new, unwrap(old, part.file_key or b"", aad), aad)
            where = (parts.c.segment == segment.id) & (parts.c.name == part.name)
            values = {"file_key": wrapped, "generation": fresh}
            connection.execute(parts.update().where(where).values(**values))


def _purge(vault: Vault, person: str) -> int:
    """Removes the bytes of struck segments from the store; returns how many bytes."""
    with vault.db.read() as connection:
        listed = catalog.erased_objects(connection, person)
    vault.journal.drop_slips(listed)
    gone = {aside_of(segment.object) for segment in listed}
    for key in list(vault.store.keys("aside")):  # bad bytes that a repair kept
        if key.rpartition("/")[0] in gone:
            vault.store.delete(key)
    for segment in listed:
        vault.store.delete(segment.object)
        if vault.copy is not None:
            vault.copy.delete(segment.object)
    with vault.db.write() as connection:
        where = segments.c.id.in_([segment.id for segment in listed])
        connection.execute(segments.update().where(where).values(object=""))
    return sum(segment.size_bytes for segment in listed)
