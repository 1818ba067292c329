"""Footage for the page: opened in memory after the log entry, kept for seconds, served in ranges.

A browser asks for one video in many ranges; that is one reading, and one entry in the log. What
the wearer withholds is not shown here at all.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.access.askers import KEEPER, Asker
from firsthand.consent.capture import bystanders, withhold
from firsthand.consent.capture.closed import Closed
from firsthand.consent.liability import agreement
from firsthand.errors import NotFound, Refused
from firsthand.vault import catalog, reading
from firsthand.vault.vault import Vault
from firsthand.web.page import asker_of

TYPES = {"video": "video/mp4", "still": "image/jpeg"}
# Long enough to play the minute that was opened; a longer pause is a new reading.
KEEP_S = 90.0
MAX_KEPT = 192 << 20
# Browsers ask for "all from here", take a little and hang up: so much is enough at once.
MAX_RANGE = 4 << 20
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")

router = APIRouter(include_in_schema=False)


class Opened:
    """Parts that were opened in the last seconds, in plain, in memory only."""

    def __init__(self, vault: Vault, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._vault = vault
        self._clock_s = clock_s
        self._kept: OrderedDict[tuple[str, str, str], tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, segment: catalog.Segment, part: str, asker: Asker = KEEPER) -> bytes:
        """The opened bytes of one part for its wearer, logged unless it is open to them already.

        Refused if the wearer withholds any of it, it is held, or it is in quarantine and another
        acts for them; NotFound if it is erased.
        """
        reading.settle(self._vault)
        with self._vault.db.read() as connection:
            askers.require_acts_for(connection, asker, segment.person)
            kept_back = [(w.start_ns, w.stop_ns) for w in withhold.of(connection, segment.person)]
            held = bystanders.held(connection, segment.person)
            bounds = segment.start_ns, segment.stop_ns
            alone = quarantined_from(connection, asker, segment.person, *bounds)
        kept_back += [(each.start_ns, each.stop_ns) for each in held]
        if any(begin < segment.stop_ns and end > segment.start_ns for begin, end in kept_back):
            raise Refused(
                f"segment {segment.id} is withheld by its wearer, or held for a bystander",
                "lift the withheld interval, or decide on the request, to see it",
            )
        if alone:
            raise Refused(
                f"segment {segment.id} {reading.WHY['quarantined']}",
                "its wearer sees it with a key of their own; a reviewer can free it",
            )
        if segment.state != "stored":
            raise NotFound(f"segment {segment.id} was erased", "nothing brings it back")
        who = "self" if asker.owns(segment.person) else "keeper"
        opener = partial(reading.read_part, self._vault, segment.id, part, who, "page")
        return self._open((asker.id, segment.id, part), opener)

    def read_view(self, asker: Asker, view: str, segment: str, part: str) -> bytes:
        """As `read` for somebody else, under a granted view, which is asked anew each time."""
        reading.settle(self._vault)
        with self._vault.db.read() as connection:
            reading.check_view(self._vault, connection, asker, view, segment)
        opener = partial(reading.read_view, self._vault, asker, view, segment, part)
        return self._open((view, segment, part), opener)

    def _open(self, key: tuple[str, str, str], opener: Callable[[], bytes]) -> bytes:
        with self._lock:
            self._drop_old()
            data = self._kept.pop(key)[1] if key in self._kept else opener()
            self._kept[key] = (self._clock_s(), data)
            while len(self._kept) > 1 and sum(len(d) for _, d in self._kept.values()) > MAX_KEPT:
                self._kept.popitem(last=False)
        return data

    def _drop_old(self) -> None:
        while self._kept:
            key, (used_s, _) = next(iter(self._kept.items()))
            if self._clock_s() - used_s <= KEEP_S:
                return
            del self._kept[key]


def quarantined_from(
    connection: Connection, asker: Asker, person: str, start_ns: int, stop_ns: int
) -> list[Closed]:
    """What of an interval is its wearer's alone; nothing, if this is the wearer.

    Nothing is where no agreement was ever asked: at home the keeper may well be the wearer.
    """
    if asker.owns(person):
        return []
    found = agreement.quarantined(connection, people.find(connection, person), start_ns, stop_ns)
    return [Closed(*bounds, "quarantined") for bounds in found]


@router.get("/people/{person}/segments/{segment}/{part}")
def footage(request: Request, person: str, segment: str, part: str) -> Response:
    """One part of a segment, whole or a range of it."""
    found = request.app.state.vault.segment(segment)
    if found.person != person or part not in TYPES:
        raise NotFound(
            f"there is no {part} of segment {segment} here", "see the day's page for what there is"
        )
    data = request.app.state.opened.read(found, part, asker_of(request))
    return ranged(data, request.headers.get("range"), TYPES[part])


def ranged(data: bytes, wanted: str | None, media_type: str) -> Response:
    """The bytes, or the range that was asked for (206), or 416 if it lies outside."""
    headers = {"Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None or match[0] == "bytes=-":
        # Several ranges at once may lawfully be answered with the whole.
        return Response(data, headers=headers, media_type=media_type)
    if match[1]:
        start = int(match[1])
        stop = min(int(match[2]) + 1 if match[2] else len(data), len(data))
    else:
        start, stop = max(len(data) - int(match[2]), 0), len(data)
    if start >= stop:
        headers["Content-Range"] = f"bytes */{len(data)}"
        return Response(status_code=416, headers=headers)
    stop = min(stop, start + MAX_RANGE)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, headers, media_type)
