"""Which of a person's time is closed to everybody else, and why; asked at every door.

Withheld by the wearer, held for a bystander, to be erased, still in review, at a place where no
picture may be taken, or recorded while no agreement was in force: what is closed is in no release
and on no other's screen. The wearer is asked elsewhere.
"""

from bisect import bisect_left
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from firsthand.capture import spans
from firsthand.consent import erasure, people
from firsthand.consent.capture import bystanders, review, withhold, zones
from firsthand.consent.liability import agreement


class Closed(NamedTuple):
    """One interval in wall-clock ns, stop excluded, and why.

    The words are withheld, held, erased, review, place and quarantined.
    """

    start_ns: int
    stop_ns: int
    why: str


class Doors(NamedTuple):
    """What is closed, and where sound is not to be heard, of one person within an interval."""

    closed: tuple[Closed, ...]
    silent: tuple[tuple[int, int], ...]

    def hides(self, start_ns: int, stop_ns: int, passed: Collection[str] = ()) -> str:
        """Why an interval can't be shown as a whole: the first reason, or empty."""
        for each in self.closed:
            if each.start_ns < stop_ns and each.stop_ns > start_ns and each.why not in passed:
                return each.why
        return ""

    def mutes(self, start_ns: int, stop_ns: int) -> bool:
        """Whether any of an interval is to be without sound: then all of it is."""
        # They follow each other and do not overlap: the last that begins in time is the one.
        place = bisect_left(self.silent, (stop_ns, 0)) - 1
        return place >= 0 and self.silent[place][1] > start_ns


def doors(
    connection: Connection, person: people.Person, start_ns: int, stop_ns: int, now_ns: int
) -> Doors:
    """All that is closed or silent of a person's time from `start_ns` to `stop_ns`, as of now."""
    closed = [Closed(w.start_ns, w.stop_ns, "withheld") for w in withhold.of(connection, person.id)]
    closed += [
        Closed(h.start_ns, h.stop_ns, "held") for h in bystanders.held(connection, person.id)
    ]
    # Mostly gone by then; but what had no time may be placed there long after.
    closed += [Closed(*bounds, "erased") for bounds in erasure.intervals(connection, person.id)]
    closed += [
        Closed(day.start_ns, day.stop_ns, "review")
        for day in review.open_days(connection, person.id, now_ns)
    ]
    alone = agreement.quarantined(connection, person, start_ns, stop_ns)
    closed += [Closed(*bounds, "quarantined") for bounds in alone]
    silent = []
    for begin, end, capture in spans(zones.rules_of(connection, person), start_ns, stop_ns):
        if not capture.video:
            closed.append(Closed(begin, end, "place"))
        if not capture.audio:
            silent.append((begin, end))
    touching = (each for each in closed if each.start_ns < stop_ns and each.stop_ns > start_ns)
    return Doors(tuple(sorted(touching)), tuple(silent))
