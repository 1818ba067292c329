"""A person's day as stretches of time: what was recorded, and why there is nothing elsewhere.

The reasons for a gap stay apart to the end: withheld, deleted, not recorded, failed. Pure but for
two reads of the catalogue.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import withhold
from firsthand.errors import NotFound, Usage
from firsthand.vault.catalog import segments

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
KINDS = {
    "recorded": "recorded",
    "withheld": "withheld by the wearer",
    "deleted": "deleted",
    "off": "not recorded",
    "failed": "failed",
}
# Reasons that a camera gives for a gap that somebody chose.
CHOSEN = frozenset({"asleep", "off", "paused", "charging"})
# Two segments closer than this are one stretch to the eye.
JOIN_NS = 2 * 10**9


@dataclass(frozen=True)
class Stretch:
    """One stretch of a kind of KINDS, in wall-clock ns, stop excluded; `reason` if there is one."""

    kind: str
    start_ns: int
    stop_ns: int
    reason: str = ""


def day_start(day: str) -> int:
    """Where a UTC day written 2026-11-01 begins, in ns; NotFound if it is no day."""
    try:
        at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise NotFound(f"there is no day {day!r}", "days are written 2026-11-01") from None
    return int(at.timestamp()) * 10**9


def parse_time(day: str, text: str) -> int:
    """A time of day written 08:03 or 08:03:20 as wall-clock ns; Usage."""
    for form in ("%H:%M:%S", "%H:%M"):
        try:
            at = datetime.strptime(text, form)
        except ValueError:
            continue
        return day_start(day) + (at.hour * 3600 + at.minute * 60 + at.second) * 10**9
    raise Usage(f"there is no time {text!r}", "times are written 08:03:20")


def stretches(connection: Connection, person: str, start_ns: int, stop_ns: int) -> list[Stretch]:
    """What is known of an interval of a person, by time; where nothing is, nothing was recorded."""
    columns = segments.c.kind, segments.c.state, segments.c.start_ns, segments.c.stop_ns
    # Segments last about a minute; a gap may be longer than a day.
    query = sa.select(*columns, segments.c.record["reason"].as_string().label("reason")).where(
        segments.c.person == person,
        segments.c.start_ns < stop_ns,
        segments.c.stop_ns > start_ns,
    )
    rows = connection.execute(query.order_by(segments.c.start_ns, segments.c.seq))
    found = [
        Stretch(kind, row.start_ns, row.stop_ns, row.reason or "")
        for row in rows
        if (kind := _kind(row.kind, row.state, row.reason or "")) and row.stop_ns > row.start_ns
    ]
    kept_back = [
        Stretch("withheld", item.start_ns, item.stop_ns)
        for item in withhold.of(connection, person)
        if item.start_ns < stop_ns and item.stop_ns > start_ns
    ]
    return [_within(each, start_ns, stop_ns) for each in [*join(found), *kept_back]]


def join(found: Iterable[Stretch]) -> list[Stretch]:
    """The same with neighbours of one kind and reason made one."""
    joined: list[Stretch] = []
    for each in found:
        last = joined[-1] if joined else None
        same = last and (last.kind, last.reason) == (each.kind, each.reason)
        if last and same and each.start_ns - last.stop_ns <= JOIN_NS:
            stop_ns = max(last.stop_ns, each.stop_ns)
            joined[-1] = Stretch(last.kind, last.start_ns, stop_ns, last.reason)
        else:
            joined.append(each)
    return joined


def hours_of(found: Sequence[Stretch], start_ns: int) -> tuple[int, int]:
    """First and last hour (stop excluded) of a day that hold anything; the whole day if none."""
    if not found:
        return 0, 24
    first = min((each.start_ns - start_ns) % DAY_NS // HOUR_NS for each in found)
    last = max(-(-((each.stop_ns - start_ns - 1) % DAY_NS + 1) // HOUR_NS) for each in found)
    return int(first), int(max(last, first + 1))


def touches(start_ns: int, stop_ns: int, found: Iterable[Stretch], kind: str) -> bool:
    """Whether an interval meets a stretch of this kind."""
    return any(
        each.kind == kind and each.start_ns < stop_ns and each.stop_ns > start_ns for each in found
    )


def _kind(kind: str, state: str, reason: str) -> str | None:
    if kind == "segment":
        return "recorded" if state == "stored" else "deleted"
    if kind == "gap":
        return "off" if reason in CHOSEN else "failed"
    return {"withheld": "withheld", "forgotten": "deleted"}.get(kind)


def _within(each: Stretch, start_ns: int, stop_ns: int) -> Stretch:
    begin, end = max(each.start_ns, start_ns), min(each.stop_ns, stop_ns)
    return Stretch(each.kind, begin, end, each.reason)
