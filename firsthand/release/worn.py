"""Which seconds of a person's days are worn ones: recorded once, through an open lens.

Wear is what is paid, so nothing is judged here but whether it is footage at all and new: a lens
cap, a loop, a second upload or somebody else's recording adds nothing.
"""

import hashlib
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.capture import withhold
from firsthand.consent.liability import agreement
from firsthand.errors import Error, Refused
from firsthand.release import repeats
from firsthand.release.tables import looked, pictures
from firsthand.vault import catalog
from firsthand.vault.reading import read_look
from firsthand.vault.vault import Vault

SECOND_NS = 10**9


def look(vault: Vault, progress: Callable[[str], None] = lambda segment: None) -> int:
    """Compares the pictures of new segments with all of before; returns how many it looked at.

    Each opening is in the log first. Withheld segments are not opened. Interrupted, it goes on with
    the next segment when called again.
    """
    secret = hashlib.sha256(b"firsthand/seen/v1" + vault.keyring.log_key().to_bytes()).digest()
    count = 0
    for person in vault.people():
        if person.status == "erased":
            continue
        with vault.db.read() as connection:
            known = set(connection.scalars(_segments_of(looked, person.id)))
            spans = [one for one in catalog.spans(connection, person.id) if one.id not in known]
        for span in spans:
            try:
                video = read_look(vault, span.id, "video", "ledger", "whether it was seen before")
                found = repeats.keys(video, secret)
            except Refused:
                continue  # withheld: counted without a look; or in quarantine, then not at all
            except Error:
                found = []  # without pictures that can be shown, or erased since: nothing counts
            with vault.db.write() as connection:
                _note(connection, person.id, span, found)
            count += 1
            progress(span.id)
    return count


def seconds(connection: Connection, person: str, withheld_percent: int) -> dict[str, int]:
    """Accepted seconds of each UTC day of a person; each second of a day counts once.

    Withheld seconds, which nobody may look at, add up to a share of the others of their day. What
    lies in quarantine counts nothing, withheld or not.
    """
    taken = [(one.start_ns, one.stop_ns) for one in withhold.of(connection, person)]
    query = sa.select(looked).where(looked.c.person == person)
    judged = {row.segment: {*row.plain, *row.repeated} for row in connection.execute(query)}
    worn: dict[str, set[int]] = {}
    kept_back: dict[str, set[int]] = {}
    spans = catalog.spans(connection, person)
    bounds = min((s.start_ns for s in spans), default=0), max((s.stop_ns for s in spans), default=0)
    alone = agreement.quarantined(connection, people.find(connection, person), *bounds)
    for span in spans:
        if any(begin < span.stop_ns and end > span.start_ns for begin, end in alone):
            continue
        whole = range(-(-span.start_ns // SECOND_NS), span.stop_ns // SECOND_NS)
        left = withhold.subtract(span.start_ns, span.stop_ns, taken)
        if left != [(span.start_ns, span.stop_ns)]:
            kept_back.setdefault(span.day, set()).update(whole)
        elif span.id in judged:
            worn.setdefault(span.day, set()).update(set(whole) - judged[span.id])
    found = {}
    for day in sorted(worn.keys() | kept_back.keys()):
        seen_s = len(worn.get(day, ()))
        hidden_s = len(kept_back.get(day, set()) - worn.get(day, set()))
        found[day] = min(86_400, seen_s + min(hidden_s, seen_s * withheld_percent // 100))
    return found


def _note(connection: Connection, person: str, span: catalog.Span, found: list[int | None]) -> None:
    """Keeps what was found of one segment, and drops what is left of segments that are gone."""
    first = -(-span.start_ns // SECOND_NS)
    here = [(first + at, key) for at, key in enumerate(found) if key is not None]
    before: dict[int, list[int]] = {}
    query = sa.select(pictures.c.key, pictures.c.second)
    for row in connection.execute(query.where(pictures.c.key.in_({key for _, key in here}))):
        before.setdefault(row.key, []).append(row.second)
    again = repeats.repeated(here, before)
    there = {second for second, _ in here}  # a second without a picture shows no open lens
    plain = [second for second in range(first, span.stop_ns // SECOND_NS) if second not in there]
    judged = {"segment": span.id, "person": person, "plain": plain, "repeated": sorted(again)}
    connection.execute(looked.insert().values(**judged))
    fresh = [(second, key) for second, key in here if second not in again]
    if fresh:
        rows = [{"segment": span.id, "person": person, "second": s, "key": k} for s, k in fresh]
        connection.execute(pictures.insert(), rows)


def _segments_of(table: sa.Table, person: str) -> sa.Select:
    return sa.select(table.c.segment).where(table.c.person == person)
