"""Recording law as data: each row has a source, a date, a reviewer and an expiry.

A place without a row, with a mixed, an expired or an unreviewed one, means: no sound. What a row
means is said in firsthand/capture.py; here they are kept.
"""

import csv
import time
from dataclasses import replace
from datetime import date
from functools import cache
from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.capture import UNREVIEWED, Law, Rules, may_capture
from firsthand.consent.capture.tables import laws
from firsthand.errors import Usage

SHIPPED = "firsthand"  # reviewer of the shipped rows that permit anything
AUDIO = ("one", "all", "mixed")


@cache
def shipped() -> tuple[Law, ...]:
    """The rows that come with the program; those that nobody reviewed can only forbid."""
    source = files("firsthand.consent.capture") / "data" / "law.csv"
    with source.open(encoding="utf-8") as lines:
        return tuple(Law(**row) for row in csv.DictReader(lines))


def listed(connection: Connection) -> list[Law]:
    """All rows by place and date: the organisation's own, and the shipped ones of other places."""
    entered = [Law(**row._mapping) for row in connection.execute(sa.select(laws))]
    return sorted([*entered, *_lacking(entered)], key=lambda row: (row.jurisdiction, row.as_of))


def of(connection: Connection, jurisdictions: set[str]) -> tuple[Law, ...]:
    """The rows of these places."""
    return tuple(row for row in listed(connection) if row.jurisdiction in jurisdictions)


def sound_permitted(connection: Connection, jurisdiction: str, now_ns: int) -> bool:
    """Whether sound may be recorded by the law of this place; False where nothing is known."""
    return may_capture(Rules(jurisdiction, of(connection, {jurisdiction})), now_ns).audio


def add(connection: Connection, law: Law, now_ns: int | None = None) -> None:
    """Adds the row of a place from a day on; Usage if it lacks source, reviewer or real dates.

    Older rows of the place stay: what was recorded under them is judged by them.
    """
    law = replace(law, jurisdiction=law.jurisdiction.strip())
    if law.audio not in AUDIO:
        raise Usage(f"audio is one, all or mixed, not {law.audio!r}", "whose consent does it take?")
    if law.video not in ("yes", "no"):
        raise Usage(
            f"video is yes or no, not {law.video!r}",
            "may pictures be taken there at all? --video yes or no",
        )
    if not (law.jurisdiction and law.source.strip() and law.reviewer.strip()):
        raise Usage(
            "a row of law names its place, its source and its reviewer",
            "give PLACE, --source and --reviewer",
        )
    if law.reviewer == UNREVIEWED and law.audio == "one":
        raise Usage("a row that nobody reviewed can't allow sound", "say who read it: --reviewer")
    try:
        if date.fromisoformat(law.as_of) >= date.fromisoformat(law.expires):
            raise Usage(
                "this row of law expires before it begins", "give --expires a day after --as-of"
            )
    except ValueError as error:
        raise Usage(
            f"dates are written 2026-11-01: {error}", "give --as-of and --expires so"
        ) from error
    log.append(connection, "law_added", now_ns or time.time_ns(), law=vars(law))
    put(connection, law)


def put(connection: Connection, law: Law) -> None:
    """Keeps what an entry "law_added" of the log says."""
    same = (laws.c.jurisdiction == law.jurisdiction) & (laws.c.as_of == law.as_of)
    connection.execute(laws.delete().where(same))
    connection.execute(laws.insert().values(**vars(law)))


def enter(connection: Connection, used: set[str], now_ns: int) -> None:
    """Enters the shipped rows of the places in use, so that the log holds all that decides."""
    entered = [Law(**row._mapping) for row in connection.execute(sa.select(laws))]
    for row in _lacking(entered):
        if row.jurisdiction in used:
            add(connection, row, now_ns)


def _lacking(entered: list[Law]) -> list[Law]:
    """Shipped rows that are not entered, of places of which the organisation has no own row."""
    own = {row.jurisdiction for row in entered if row.reviewer not in (SHIPPED, UNREVIEWED)}
    known = {(row.jurisdiction, row.as_of) for row in entered}
    return [
        row
        for row in shipped()
        if row.jurisdiction not in own and (row.jurisdiction, row.as_of) not in known
    ]
