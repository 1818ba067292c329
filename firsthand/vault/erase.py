"""Erasure: an order hides at once, and is carried out when it is due: keys, bytes, then the log.

Each step can be repeated after an interruption; nothing that stays is ever without its key.
"""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log, tlog
from firsthand.consent import erasure, people
from firsthand.consent.tables import devices
from firsthand.crypto import unwrap, wrap
from firsthand.vault import ask, catalog, enrol, fleet, ingest
from firsthand.vault import place as placing
from firsthand.vault.catalog import parts, segments, uploads
from firsthand.vault.hidden import hide, hide_anew, named
from firsthand.vault.keys import personal
from firsthand.vault.store import aside_of
from firsthand.vault.vault import Vault, file_key_aad

_BATCH = 500  # rows at a time: a life of five years has 1.5 million


def place(
    vault: Vault,
    person: people.Person,
    interval: tuple[int, int] | None = None,
    listed: Sequence[str] = (),
    wait_ns: int = erasure.REVIEW_NS,
) -> erasure.Order:
    """Orders the erasure of an interval, of segments or of the person, and hides it at once.

    Nothing is destroyed before `wait_ns` is over and `carry_out` is called.
    """
    with vault.db.write() as connection:
        order = erasure.order(connection, person, interval, vault.now_ns(), listed, wait_ns)
        hide(connection, order)
    vault.journal.put_order(order, listed)
    return order


def undo(vault: Vault, order: str) -> erasure.Order:
    """Brings back what an order hides; Refused once it is due, NotFound."""
    with vault.db.write() as connection:
        held = erasure.undo(connection, order, vault.now_ns())
        if held.scope != "release":
            hide_anew(connection, held.person)
    if held.scope != "release":
        vault.journal.put_order(held)
    return held


def carry_out(
    vault: Vault,
    order: erasure.Order,
    listed: Collection[str] = (),
    told: dict[str, Any] | None = None,
) -> dict[str, int]:
    """Destroys what the order names; returns {"segments", "bytes", "log_index"}.

    An interval takes every segment that touches it; an order of scope "segments" those it lists.
    Other people's bytes and keys stay untouched. `told` is noted with the outcome. Refused if the
    order was undone or is not due.
    """
    whole, listed = order.scope == "person", listed or order.segments or ()
    with vault.db.write() as connection:
        erasure.begin(connection, order, vault.now_ns())
    vault.journal.put_order(order, listed)
    if whole:
        vault.keyring.destroy_person(order.person)
    _drop_uploads(vault, order.person)
    with vault.db.read() as connection:
        doomed = _doomed(connection, order, listed)
        struck = _struck_days(connection, order.person)  # by a try that was cut off
    for day in sorted({*doomed, *struck}):
        _strike(vault, order.person, day, doomed.get(day, set()), rewrap=not whole)
    purged = _purge(vault, order.person)
    if whole:
        vault.journal.drop_person(order.person)
        with vault.db.write() as connection:
            catalog.forget(connection, order.person)
            enrol.forget(connection, order.person)
            fleet.forget(connection, order.person)
            placing.forget(connection, order.person)
            ask.forget(connection, order.person)
            personal.forget(connection, order.person)
            erasure.forget(connection, order.person)
        vault.db.compact()
    count = sum(len(ids) for ids in doomed.values())
    outcome = {"segments": count, "bytes": purged} | (told or {})
    # Asked last: keys that another process made meanwhile may be of an epoch that began meanwhile.
    epoch = vault.keyring.epochs()[-1].number
    with vault.db.write() as connection:
        index = erasure.done(connection, order, vault.now_ns(), epoch, outcome)
    return {"segments": count, "bytes": purged, "log_index": index}


def draft(
    person: people.Person, interval: tuple[int, int] | None, listed: Sequence[str]
) -> erasure.Order:
    """An order as `place` would write it, to ask what it names."""
    scope = "segments" if listed else "interval" if interval else "person"
    start_ns, stop_ns = interval or (None, None)
    given = (scope, start_ns, stop_ns, 0, None, 0)
    return erasure.Order("", person.id, *given, segments=listed or None)


def standing(order: erasure.Order) -> sa.ColumnElement[bool]:
    """Of the segments that an order names those whose keys are there."""
    return named(order, order.segments or ()) & segments.c.state.in_(catalog.HELD)


def inclusion(vault: Vault, index: int) -> dict[str, object]:
    """The inclusion proof of a log entry under the log of now: what an erasure receipt rests on."""
    with vault.db.read() as connection:
        size = log.size(connection)
        proof = tlog.inclusion_proof(index, size, log.reader(connection))
    return {"index": index, "size": size, "proof": [step.hex() for step in proof]}


def _doomed(
    connection: Connection, order: erasure.Order, listed: Collection[str]
) -> dict[str, set[str]]:
    """What an order destroys, by day."""
    query = sa.select(segments.c.id, segments.c.day).where(named(order, listed))
    found: dict[str, set[str]] = {}
    for row in connection.execute(query.where(segments.c.state.in_(catalog.HELD))):
        found.setdefault(row.day, set()).add(row.id)
    return found


def _struck_days(connection: Connection, person: str) -> set[str]:
    query = sa.select(segments.c.day).distinct().where(segments.c.person == person)
    query = query.where(segments.c.state == "erased", segments.c.object != "")
    return set(connection.scalars(query))


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
            for batch in _batches(sorted(gone)):
                struck = parts.update().where(parts.c.segment.in_(batch))
                # With the new generation, so that nobody wraps under the old D from here on.
                connection.execute(struck.values(file_key=None, generation=newest))
                change = segments.update().where(segments.c.id.in_(batch))
                connection.execute(change.values(state="erased"))
    if rewrap:
        with vault.db.read() as connection:
            for segment in catalog.on_day(connection, person, day):
                parts_ = catalog.parts_of(connection, segment.id).values()
                vault.journal.put_slip(segment, parts_)
        vault.keyring.destroy_day_keys(person, day, before=newest)
        with vault.db.write() as connection:  # nothing comes in while this looks
            if not catalog.on_day(connection, person, day):
                vault.keyring.destroy_day_keys(person, day, before=newest + 1)


def _rewrap(
    vault: Vault, connection: Connection, person: str, day: str, gone: set[str], fresh: int
) -> None:
    staying = [each for each in catalog.on_day(connection, person, day) if each.id not in gone]
    # Made even if nothing stays: what comes in meanwhile takes the newest D that there is.
    new = vault.keyring.day_key(person, day, fresh, make=True)
    for segment in staying:
        for part in catalog.parts_of(connection, segment.id).values():
            aad = file_key_aad(person, day, segment.id, part.name, part.payload_sha256)
            old = vault.keyring.day_key(person, day, part.generation)
            wrapped = wrap(new, unwrap(old, part.file_key or b"", aad), aad)
            where = (parts.c.segment == segment.id) & (parts.c.name == part.name)
            values = {"file_key": wrapped, "generation": fresh}
            connection.execute(parts.update().where(where).values(**values))


def _purge(vault: Vault, person: str) -> int:
    """Removes the bytes of struck segments from the store; returns how many bytes."""
    aside = list(vault.store.keys("aside"))  # bad bytes that a repair kept
    purged = 0
    while True:
        with vault.db.read() as connection:
            listed = catalog.erased_objects(connection, person, _BATCH)
        if not listed:
            return purged
        vault.journal.drop_slips(listed)
        gone = {aside_of(segment.object) for segment in listed}
        for key in aside:
            if key.rpartition("/")[0] in gone:
                vault.store.delete(key)
        for segment in listed:
            vault.store.delete(segment.object)
            if vault.copy is not None:
                vault.copy.delete(segment.object)
        with vault.db.write() as connection:
            where = segments.c.id.in_([segment.id for segment in listed])
            connection.execute(segments.update().where(where).values(object=""))
        purged += sum(segment.size_bytes for segment in listed)


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH)]
