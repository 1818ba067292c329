"""An act that lets more be used says what its maker had seen: what is stale or sent twice is not.

Each page of a person carries the number of the last of their entries in the log that decides
anything. A yes that comes with an older number was made before something else was decided, such
as a withdrawal, or was sent before; it changes nothing. A no is taken at any time.
"""

import json
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.errors import Refused

BATCH = 400
DECIDING = {
    "person_added",
    "person_withdrawn",
    "attested",
    "quiz_taken",
    "consent_given",
    "consent_refused",
    "consent_withdrawn",
    "consent_expired",
    "rule_set",
    "ballot_cast",
    "withheld",
    "withhold_lifted",
    "erasure_ordered",
}


class Stale(Refused):
    """What this rests on is no longer so."""

    http_status = 409


def last(connection: Connection, person: str) -> int:
    """The index of the last entry that decides something for a person; -1 if there is none."""
    for index, kind in _newest_first(connection, person):
        if kind in DECIDING:
            return index
    return -1


def require(connection: Connection, person: people.Person, seen: int) -> None:
    """Stale if something was decided for this person after the entry that was seen."""
    if last(connection, person.id) != seen:
        raise Stale(
            f"something was decided for {person.name} since this page was shown",
            "look at the page as it is now, then decide again",
        )


def _newest_first(connection: Connection, person: str) -> Iterator[tuple[int, str]]:
    table = log.entries
    before: int | None = None
    while True:  # in batches: most entries are of footage, and a life has millions
        query = sa.select(table.c.index, table.c.entry).where(table.c.person == person)
        if before is not None:
            query = query.where(table.c.index < before)
        rows = connection.execute(query.order_by(table.c.index.desc()).limit(BATCH)).all()
        if not rows:
            return
        for row in rows:
            before = row[0]
            yield row[0], json.loads(row[1])["kind"]
