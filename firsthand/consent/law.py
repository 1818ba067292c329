"""Recording law as data: each row has a source, a date, a reviewer and an expiry.

A place without a row, or with an expired one, means: no sound.
"""

import csv
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.tables import laws
from firsthand.errors import Usage


@dataclass(frozen=True)
class Law:
    """Whether sound may be used where a person lives, who says so, and until when."""

    jurisdiction: str
    audio: str
    source: str
    as_of: str
    reviewer: str
    expires: str

    def permits_sound(self, now_ns: int) -> bool:
        """Whether this row allows sound on the day of `now_ns` (UTC)."""
        today = datetime.fromtimestamp(now_ns / 1e9, UTC).date()
        return self.audio == "yes" and date.fromisoformat(self.as_of) <= today < (
            date.fromisoformat(self.expires)
        )


def listed(connection: Connection) -> list[Law]:
    """All rows: those shipped, and those the organisation added, which take precedence."""
    with (files("firsthand.consent") / "data" / "law.csv").open(encoding="utf-8") as shipped:
        rows = {row["jurisdiction"]: Law(**row) for row in csv.DictReader(shipped)}
    for row in connection.execute(sa.select(laws)):
        rows[row.jurisdiction] = Law(**row._mapping)
    return list(rows.values())


def sound_permitted(connection: Connection, jurisdiction: str, now_ns: int) -> bool:
    """Whether sound may be used for a person of this place; False where nothing is known."""
    found = {row.jurisdiction: row for row in listed(connection)}.get(jurisdiction)
    return found is not None and found.permits_sound(now_ns)


def add(connection: Connection, law: Law, now_ns: int | None = None) -> None:
    """Adds or replaces the row of a place; Usage if it lacks source, reviewer or real dates."""
    if law.audio not in ("yes", "no"):
        raise Usage(f"audio is yes or no, not {law.audio!r}")
    if not (law.jurisdiction.strip() and law.source.strip() and law.reviewer.strip()):
        raise Usage("a row of law names its place, its source and its reviewer")
    try:
        if date.fromisoformat(law.as_of) >= date.fromisoformat(law.expires):
            raise Usage("this row of law expires before it begins")
    except ValueError as error:
        raise Usage(f"dates are written 2026-11-01: {error}") from error
    log.append(connection, "law_added", now_ns or time.time_ns(), law=vars(law))
    connection.execute(laws.delete().where(laws.c.jurisdiction == law.jurisdiction))
    connection.execute(laws.insert().values(**vars(law)))
