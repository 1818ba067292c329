"""The review window: nothing reaches another or a model before its wearer could keep it back.

A day (UTC) stays in review until so many days after its end, or after its last footage came in,
whichever is later. The wearer sees their own at once, and may end the review of a day early.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.capture.tables import reviews, windows
from firsthand.errors import NotFound, Usage

DAY_NS = 86_400 * 10**9
WINDOW_DAYS = 7
# Below a day, what was recorded in the evening could be out before its wearer is awake again.
LEAST_DAYS, MOST_DAYS = 1, 365


@dataclass(frozen=True)
class Day:
    """One day with footage, and when its review ends."""

    day: str
    start_ns: int
    stop_ns: int
    arrived_ns: int
    reviewed_ns: int
    closes_ns: int

    def in_review(self, now_ns: int) -> bool:
        """Whether its footage is still its wearer's alone."""
        return now_ns < self.closes_ns


def arrive(connection: Connection, person: str, day: str, now_ns: int) -> None:
    """Notes that footage of a day came in; what was reviewed before is in review again."""
    _arrive(connection, person, [day], now_ns)


def arrive_within(
    connection: Connection, person: str, start_ns: int, stop_ns: int, now_ns: int
) -> None:
    """The same of every day that footage touches: what goes on past midnight is of two."""
    numbers = range(start_ns // DAY_NS, (max(start_ns + 1, stop_ns) - 1) // DAY_NS + 1)
    moments = (datetime.fromtimestamp(number * DAY_NS // 10**9, UTC) for number in numbers)
    _arrive(connection, person, [at.date().isoformat() for at in moments], now_ns)


def _arrive(connection: Connection, person: str, days: Sequence[str], now_ns: int) -> None:
    """Of days that follow each other; few statements, as a device may claim a hundred years."""
    where = (reviews.c.person == person) & reviews.c.day.between(days[0], days[-1])
    later = sa.case((reviews.c.arrived_ns > now_ns, reviews.c.arrived_ns), else_=now_ns)
    change = reviews.update().where(where).values(arrived_ns=later, reviewed_ns=0)
    changed = connection.execute(change)
    if changed.rowcount < len(days):
        known = set(connection.scalars(sa.select(reviews.c.day).where(where)))
        blank = {"person": person, "arrived_ns": now_ns, "reviewed_ns": 0}
        fresh = [blank | {"day": day} for day in days if day not in known]
        connection.execute(reviews.insert(), fresh)


def window_days(connection: Connection, person: str) -> int:
    """How many days a person's footage stays in review."""
    query = sa.select(windows.c.days).where(windows.c.person == person)
    return connection.scalar(query) or WINDOW_DAYS


def set_window(
    connection: Connection, person: people.Person, days: int, now_ns: int | None = None
) -> None:
    """Sets a person's own review window; Usage if it is under a day."""
    if not LEAST_DAYS <= days <= MOST_DAYS:
        raise Usage(
            f"a review window is {LEAST_DAYS} to {MOST_DAYS} days, not {days}",
            "give a number of days within that",
        )
    at_ns = now_ns or time.time_ns()
    people.note(connection, "review_window_set", person, at_ns, private={"days": days})
    connection.execute(windows.delete().where(windows.c.person == person.id))
    connection.execute(windows.insert().values(person=person.id, days=days))


def reviewed(
    connection: Connection,
    person: people.Person,
    days: Sequence[str] = (),
    now_ns: int | None = None,
) -> list[str]:
    """Ends the review of days early, or of all that have footage; returns which. NotFound."""
    at_ns = now_ns or time.time_ns()
    held = {each.day: each for each in of(connection, person.id)}
    lacking = [day for day in days if day not in held]
    if lacking:
        raise NotFound(
            f"nothing of {person.name} came in for {lacking[0]}", 'see "firsthand consent coverage"'
        )
    ended = [day for day in days or held if held[day].in_review(at_ns)]
    if ended:
        people.note(connection, "days_reviewed", person, at_ns, private={"days": ended})
        where = (reviews.c.person == person.id) & reviews.c.day.in_(ended)
        connection.execute(reviews.update().where(where).values(reviewed_ns=at_ns))
    return ended


def of(connection: Connection, person: str) -> Sequence[Day]:
    """All days with footage of a person, oldest first."""
    window_ns = window_days(connection, person) * DAY_NS
    query = sa.select(reviews).where(reviews.c.person == person).order_by(reviews.c.day)
    return [_day(row, window_ns) for row in connection.execute(query)]


def open_days(connection: Connection, person: str, now_ns: int) -> list[Day]:
    """The days of a person that are still in review."""
    return [each for each in of(connection, person) if each.in_review(now_ns)]


def _day(row: sa.Row, window_ns: int) -> Day:
    midnight = datetime.strptime(row.day, "%Y-%m-%d").replace(tzinfo=UTC)
    start_ns = int(midnight.timestamp()) * 10**9
    stop_ns = start_ns + DAY_NS
    closes_ns = max(stop_ns, row.arrived_ns) + window_ns
    if row.reviewed_ns:
        closes_ns = min(closes_ns, row.reviewed_ns)
    return Day(row.day, start_ns, stop_ns, row.arrived_ns, row.reviewed_ns, closes_ns)
