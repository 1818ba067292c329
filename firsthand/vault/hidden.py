"""What an order of erasure names is hidden from every reader until it is carried out or undone."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import erasure
from firsthand.vault.catalog import segments


def named(order: erasure.Order, listed: Collection[str]) -> sa.ColumnElement[bool]:
    """The segments that an order names, whether they are still there or not."""
    found = (segments.c.person == order.person) & (segments.c.kind == "segment")
    if order.scope == "interval":
        found &= (segments.c.start_ns < order.stop_ns) & (segments.c.stop_ns > order.start_ns)
    if order.scope == "segments":
        found &= segments.c.id.in_(listed)
    return found


def hide(connection: Connection, order: erasure.Order) -> None:
    """Takes what an order names out of every reader's sight."""
    where = (segments.c.state == "stored") & named(order, order.segments or ())
    connection.execute(segments.update().where(where).values(state="hidden"))


def hide_anew(connection: Connection, person: str) -> None:
    """Hides of a person exactly what their open orders name."""
    back = (segments.c.state == "hidden") & (segments.c.person == person)
    connection.execute(segments.update().where(back).values(state="stored"))
    for order in erasure.open_orders(connection):
        if order.person == person:
            hide(connection, order)


def take_in(connection: Connection, person: str) -> None:
    """After something of a person came, or was placed in time anew: hides it if an order does."""
    if any(order.person == person for order in erasure.open_orders(connection)):
        hide_anew(connection, person)
