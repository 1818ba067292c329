"""Erasure orders: what is to be destroyed, written to the log; the vault carries them out."""

import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.tables import consents, devices, erasures, withholds
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
) -> Order:
    """Orders the erasure of an interval (wall ns, stop excluded), or of the person."""
    if interval is not None and interval[0] >= interval[1]:
        raise Usage("this interval is empty", "give a start before its stop")
    start_ns, stop_ns = interval or (None, None)
    ordered_ns = now_ns or time.time_ns()
    values = {"id": people.new_id("e"), "scope": "interval" if interval else "person"}
    private = values | {"start_ns": start_ns, "stop_ns": stop_ns}
    index = people.note(connection, "erasure_ordered", person, ordered_ns, private=private)
    row = private | {"person": person.id, "ordered_ns": ordered_ns, "log_index": index}
    connection.execute(erasures.insert().values(**row))
    return Order(**row, done_ns=None)  # type: ignore[arg-type]


def done(connection: Connection, order: Order, now_ns: int | None = None) -> int:
    """Notes that the vault carried the order out; returns the log index of that entry.

    After a person's erasure no log entry of theirs can be read any more, though each still proves
    its place.
    """
    done_ns = now_ns or time.time_ns()
    index = log.append(connection, "erasure_done", done_ns, order=order.id, scope=order.scope)
    where = erasures.c.id == order.id
    connection.execute(erasures.update().where(where).values(done_ns=done_ns))
    if order.scope == "person":
        person = people.people.c.id == order.person
        gone = {"status": "erased", "salt": None, "name": f"erased {order.person}"}
        connection.execute(people.people.update().where(person).values(**gone, jurisdiction=""))
        for table in (consents, withholds):
            connection.execute(table.delete().where(table.c.person == order.person))
        mine = devices.c.person == order.person
        connection.execute(devices.update().where(mine).values(status="revoked"))
        log.forget(connection, order.person)
    return index


def open_orders(connection: Connection) -> list[Order]:
    """Orders that were not carried out yet, oldest first."""
    query = sa.select(erasures).where(erasures.c.done_ns.is_(None))
    rows = connection.execute(query.order_by(erasures.c.log_index))
    return [Order(**row._mapping) for row in rows]
