"""Erasure orders: what is to be destroyed, written to the log; the vault carries them out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access import tables as access
from firsthand.consent.capture import tables as capture
from firsthand.consent.estate import tables as estate
from firsthand.consent.figures import tables as figures
from firsthand.consent.tables import (
    attempts,
    attestations,
    ballots,
    consents,
    coolings,
    erasures,
    rules,
    withholds,
)
from firsthand.errors import Usage


@dataclass(frozen=True)
class Order:
    """An order to erase a whole person, or everything that touches an interval of theirs."""

    id: str
    person: str
    scope: str
    start_ns: int | None
    stop_ns: int | None
    ordered_ns: int
    done_ns: int | None
    log_index: int


def order(
    connection: Connection,
    person: people.Person,
    interval: tuple[int, int] | None = None,
    now_ns: int | None = None,
    segments: Sequence[str] = (),
) -> Order:
    """Orders the erasure of an interval (wall ns, stop excluded), of segments, or of the person.

    An equal order that is still open is returned instead: carrying it out again finishes it.
    """
    if interval is not None and interval[0] >= interval[1]:
        raise Usage("this interval is empty", "give a start before its stop")
    start_ns, stop_ns = interval or (None, None)
    scope = "segments" if segments else "interval" if interval else "person"
    asked = (person.id, scope, start_ns, stop_ns)
    for known in open_orders(connection):
        if not segments and (known.person, known.scope, known.start_ns, known.stop_ns) == asked:
            return known
    ordered_ns = now_ns or time.time_ns()
    values = {"id": people.new_id("e"), "scope": scope, "start_ns": start_ns, "stop_ns": stop_ns}
    private = values | ({"segments": sorted(segments)} if segments else {})
    index = people.note(connection, "erasure_ordered", person, ordered_ns, private=private)
    row = values | {"person": person.id, "ordered_ns": ordered_ns, "log_index": index}
    connection.execute(erasures.insert().values(**row))
    return Order(**row, done_ns=None)  # type: ignore[arg-type]


def covers(connection: Connection, person: str, start_ns: int, stop_ns: int) -> bool:
    """Whether an order erases, or has erased, any of this interval of a person."""
    query = sa.select(erasures.c.id).where(
        erasures.c.person == person, erasures.c.start_ns < stop_ns, erasures.c.stop_ns > start_ns
    )
    return connection.execute(query.limit(1)).first() is not None


def forget(connection: Connection, person: str) -> None:
    """Takes away all that this room knows of a person but that there was one.

    No log entry of theirs can be read any more, though each still proves its place. Their devices
    stay enrolled, so that each can get the vault's signed refusal and clear its card.
    """
    where = people.people.c.id == person
    gone = {"status": "erased", "salt": None, "name": f"erased {person}", "jurisdiction": ""}
    connection.execute(people.people.update().where(where).values(**gone))
    seen = sa.select(access.views.c.id).where(access.views.c.person == person)
    connection.execute(access.approvals.delete().where(access.approvals.c.view.in_(seen)))
    said = [consents, coolings, withholds, rules, ballots, attempts, attestations, figures.traits]
    said += [capture.zones, capture.permits, capture.windows, capture.reviews, capture.holds]
    said += [access.views, access.keys]
    for table in (*said, estate.directives, estate.attestations, estate.stops):
        connection.execute(table.delete().where(table.c.person == person))
    bounds = erasures.update().where(erasures.c.person == person)
    connection.execute(bounds.values(start_ns=None, stop_ns=None))
    log.forget(connection, person)


def done(connection: Connection, order: Order, now_ns: int | None = None) -> int:
    """Notes that the vault carried the order out; returns the log index of that entry."""
    done_ns = now_ns or time.time_ns()
    index = log.append(connection, "erasure_done", done_ns, order=order.id, scope=order.scope)
    where = erasures.c.id == order.id
    connection.execute(erasures.update().where(where).values(done_ns=done_ns))
    return index


def open_orders(connection: Connection) -> list[Order]:
    """Orders that were not carried out yet, oldest first."""
    query = sa.select(erasures).where(erasures.c.done_ns.is_(None))
    rows = connection.execute(query.order_by(erasures.c.log_index))
    return [Order(**row._mapping) for row in rows]
