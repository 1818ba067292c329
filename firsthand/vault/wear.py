"""How long each person wore a device, by what the vault holds: for the programme's figures."""

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.capture import withhold
from firsthand.consent.figures.programme import Wear
from firsthand.vault import catalog

HOUR_NS = 3600 * 10**9


def of_all(connection: Connection) -> dict[str, Wear]:
    """The time of everyone who was never erased, by id."""
    crowd = [one for one in people.listed(connection) if one.status != "erased"]
    return {one.id: _of(connection, one.id) for one in crowd}


def _of(connection: Connection, person: str) -> Wear:
    taken = [(one.start_ns, one.stop_ns) for one in withhold.of(connection, person)]
    spans = catalog.spans(connection, person)
    recorded_ns = sum(one.stop_ns - one.start_ns for one in spans)
    left_ns = sum(
        stop - start
        for one in spans
        for start, stop in withhold.subtract(one.start_ns, one.stop_ns, taken)
    )
    length = sa.cast(
        sa.func.sum(catalog.segments.c.stop_ns - catalog.segments.c.start_ns), sa.BigInteger
    )
    where = (catalog.segments.c.person == person) & (catalog.segments.c.state == "erased")
    deleted_ns = connection.scalar(sa.select(length).where(where)) or 0
    days = len({one.day for one in spans})
    withheld_ns = recorded_ns - left_ns
    return Wear(recorded_ns / HOUR_NS, withheld_ns / HOUR_NS, deleted_ns / HOUR_NS, days)
