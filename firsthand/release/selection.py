"""What a run may use right now: intervals of segments, person by person, and what stays out.

Pure reading of consent and catalogue in one transaction; no footage is touched.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import ask, people
from firsthand.consent.capture import closed, withhold
from firsthand.consent.runs import proposals
from firsthand.release.intervals import Intervals, Line
from firsthand.vault import catalog

SECOND_NS = 10**9
# Reasons in a gap record that mean a fault, not a choice.
FAULTS = ("stalled", "dropped", "full", "hot", "battery", "failed", "corrupt", "cut")

# What is closed without being kept back by anybody's choice: no model learns it as "withheld".
UNCHOSEN = ("erased", "quarantined")


@dataclass(frozen=True)
class Piece:
    """One allowed interval of one segment (wall ns, stop excluded), and what lies before it."""

    segment: str
    start_ns: int
    stop_ns: int
    gap_before: str
    sound: bool


@dataclass(frozen=True)
class PersonDay:
    """All pieces of one person on one UTC day: what becomes one shard."""

    person: str
    day: str
    consents: tuple[str, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Selection:
    """The plan of a release, with what was left out: nanoseconds withheld, people and reasons."""

    days: tuple[PersonDay, ...]
    withheld_ns: int
    refused: tuple[tuple[str, str], ...]


def select(connection: Connection, run: proposals.Run, now_ns: int) -> Selection:
    """The footage that `run` may use at this moment."""
    days: list[PersonDay] = []
    refused: list[tuple[str, str]] = []
    withheld_ns = 0
    for person in people.listed(connection):
        if person.status == "erased":
            continue
        decision = ask.for_run(connection, run, person, now_ns)
        if not decision.allowed:
            refused.append((person.id, decision.reasons[0]))
            continue
        pieces, kept_back_ns = _pieces(connection, person, now_ns)
        withheld_ns += kept_back_ns
        if kept_back_ns and not pieces:
            refused.append((person.id, "all footage is withheld, in quarantine or still in review"))
        for day in sorted(pieces):
            days.append(PersonDay(person.id, day, decision.consents, tuple(pieces[day])))
    return Selection(tuple(days), withheld_ns, tuple(refused))


def _pieces(
    connection: Connection, person: people.Person, now_ns: int
) -> tuple[dict[str, list[Piece]], int]:
    spans = catalog.spans(connection, person.id)
    if not spans:
        return {}, 0
    bounds = min(span.start_ns for span in spans), max(span.stop_ns for span in spans)
    doors = closed.doors(connection, person, *bounds, now_ns)
    closed_ns = [(each.start_ns, each.stop_ns) for each in doors.closed]
    taken = Intervals.union(*_columns(closed_ns))
    kept = Intervals.union(
        *_columns(
            [(each.start_ns, each.stop_ns) for each in doors.closed if each.why not in UNCHOSEN]
        )
    )
    breaks = _breaks(connection, person.id)
    line = Line.of(*_columns([(span.start_ns, span.stop_ns) for span in spans]))
    touched = set(line.touched(taken).expand().tolist())
    found: dict[str, list[Piece]] = {}
    kept_back_ns, last_ns = 0, None
    for number, segment in enumerate(spans):
        left = [(segment.start_ns, segment.stop_ns)]
        if number in touched:
            left = withhold.subtract(*left[0], taken.near(*left[0]))
            kept_back_ns += segment.stop_ns - segment.start_ns - sum(b - a for a, b in left)
        for start_ns, stop_ns in _whole_seconds(segment, left):
            gap = _gap(last_ns, start_ns, kept, breaks)
            sound = not doors.mutes(start_ns, stop_ns)
            piece = Piece(segment.id, start_ns, stop_ns, gap, sound)
            found.setdefault(segment.day, []).append(piece)
            last_ns = stop_ns
    return found, kept_back_ns


def _columns(pairs: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _whole_seconds(segment: catalog.Span, left: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each interval shrunk to the segment's whole seconds (its key frames) where it was cut."""
    shrunk = []
    for start_ns, stop_ns in left:
        if start_ns > segment.start_ns:
            start_ns += -(start_ns - segment.start_ns) % SECOND_NS
        if stop_ns < segment.stop_ns:
            stop_ns -= (stop_ns - segment.start_ns) % SECOND_NS
        if stop_ns > start_ns:
            shrunk.append((start_ns, stop_ns))
    return shrunk


def _breaks(connection: Connection, person: str) -> list[tuple[int, int, str]]:
    """(start, stop, kind of gap) of what the catalogue knows to be missing."""
    known = []
    for record in catalog.gaps(connection, person):
        reason = record.record["reason"]
        kind = "failed" if reason in FAULTS else "not_recorded"
        kind = {"withheld": "withheld", "forgotten": "deleted"}.get(record.kind, kind)
        known.append((record.start_ns, record.stop_ns, kind))
    query = sa.select(catalog.segments.c.start_ns, catalog.segments.c.stop_ns).where(
        catalog.segments.c.person == person, catalog.segments.c.state != "stored"
    )
    known += [(row.start_ns, row.stop_ns, "deleted") for row in connection.execute(query)]
    return known


def _gap(
    last_ns: int | None,
    start_ns: int,
    taken: Intervals,
    breaks: list[tuple[int, int, str]],
) -> str:
    """Why nothing lies between `last_ns` and `start_ns`; the wearer's choice before faults."""
    if last_ns is None:
        return "start"
    if start_ns - last_ns < SECOND_NS // 2:
        return "none"
    if taken.near(last_ns, start_ns):
        return "withheld"
    touching = {kind for begin, end, kind in breaks if begin < start_ns and end > last_ns}
    ranked = ("withheld", "deleted", "failed", "not_recorded")
    return next((kind for kind in ranked if kind in touching), "not_recorded")
