"""Where a person's day went, to the nanosecond: recorded, withheld, and each kind of gap.

The kinds of one day always sum to 24 hours. Where two hold at once the wearer's choice goes before
what was recorded, and what was recorded before what was not. What the records tell is account.py's.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from firsthand.capture import spans
from firsthand.consent import people
from firsthand.consent.capture import bystanders, withhold, zones
from firsthand.consent.capture.review import DAY_NS
from firsthand.consent.liability import agreement
from firsthand.errors import Usage
from firsthand.vault.account import stretches

# From the weakest to the strongest: of what holds at once, the last counts.
RANKS = [
    "unknown",
    "failed",
    "off",
    "recorded",
    "quarantined",
    "deleted",
    "place",
    "held",
    "withheld",
]


@dataclass(frozen=True)
class Coverage:
    """One UTC day of a person: nanoseconds of each kind, with its reason where it has one."""

    day: str
    kinds: dict[str, int]

    @property
    def recorded_ns(self) -> int:
        """What is there, and open to whoever the wearer allows."""
        return self.kinds.get("recorded", 0)

    @property
    def withheld_ns(self) -> int:
        """What the wearer, a bystander or a place keeps back."""
        return sum(self.kinds.get(kind, 0) for kind in ("withheld", "held", "place"))


def coverage(connection: Connection, person: people.Person, day: str) -> Coverage:
    """How a day of a person is made up; Usage if it is no day."""
    try:
        midnight = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise Usage(f"there is no day {day!r}", "days are written 2026-11-01") from error
    start_ns = int(midnight.timestamp()) * 10**9
    stop_ns = start_ns + DAY_NS
    edges: list[tuple[int, int, str]] = []
    for begin, end, kind in _known(connection, person, start_ns, stop_ns):
        begin, end = max(begin, start_ns), min(end, stop_ns)
        if begin < end:
            edges += [(begin, 1, kind), (end, -1, kind)]
    found: Counter[str] = Counter()
    active: Counter[str] = Counter()
    at_ns = start_ns
    for time_ns, change, kind in sorted(edges):
        found[_strongest(active)] += time_ns - at_ns
        active[kind] += change
        at_ns = time_ns
    found[_strongest(active)] += stop_ns - at_ns
    return Coverage(day, {kind: length for kind, length in sorted(found.items()) if length})


def _known(
    connection: Connection, person: people.Person, start_ns: int, stop_ns: int
) -> Iterator[tuple[int, int, str]]:
    alone = agreement.quarantined(connection, person, start_ns, stop_ns)
    for each in stretches(connection, person.id, start_ns, stop_ns):
        why = f": {each.reason}" if each.kind in ("off", "failed") and each.reason else ""
        yield each.start_ns, each.stop_ns, each.kind + why
        if each.kind == "recorded":  # only what is there can be in quarantine
            for begin, end in alone:
                yield max(begin, each.start_ns), min(end, each.stop_ns), "quarantined"
    for kept in withhold.of(connection, person.id):
        yield kept.start_ns, kept.stop_ns, "withheld"
    for held in bystanders.held(connection, person.id):
        yield held.start_ns, held.stop_ns, "held"
    for begin, end, capture in spans(zones.rules_of(connection, person), start_ns, stop_ns):
        if not capture.video:
            yield begin, end, "place"


def _strongest(active: Counter[str]) -> str:
    held = [kind for kind, count in active.items() if count > 0]
    return max(
        held, key=lambda kind: (RANKS.index(kind.partition(":")[0]), kind), default="unknown"
    )
