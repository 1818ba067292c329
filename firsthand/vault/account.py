"""The account of a person's time: what was recorded, what is still on a card, and why there is
nothing elsewhere.

The reasons for a gap stay apart to the end: withheld, deleted, not recorded, failed. What a device
could not tell, because it had no power, is told by the records on both sides of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent.capture import withhold
from firsthand.consent.tables import devices
from firsthand.segment import Record
from firsthand.vault import catalog, place
from firsthand.vault.catalog import segments, uploads

# recorded and stored | waiting on the card | withheld | deleted | off by choice | failed
KINDS = ("recorded", "waiting", "withheld", "deleted", "off", "failed")
# Reasons that a camera gives for a gap that somebody chose.
CHOSEN = frozenset({"asleep", "off", "paused", "charging", "place"})
# What lies between two recordings of a device: the second one's boot clock began anew, or it did
# not; the first one's last segment was cut, or it was closed.
POWER, KILLED, STOPPED = "power", "killed", "stopped"
# Two segments closer than this are one stretch to the eye.
JOIN_NS = 2 * 10**9
INSTANT_NS = 1  # place.py makes no record shorter than this


@dataclass(frozen=True)
class Stretch:
    """One stretch of a kind of KINDS, in wall-clock ns, stop excluded; `reason` if there is one."""

    kind: str
    start_ns: int
    stop_ns: int
    reason: str = ""


def account(
    connection: Connection,
    person: str,
    start_ns: int,
    stop_ns: int,
    announced: Sequence[Stretch] = (),
) -> list[Stretch]:
    """What is known of an interval of a person, by time; where nothing is, no device was on.

    Neighbours of one kind are joined, for the eye. `announced` is what is `waiting` on devices.
    """
    found = [*stretches(connection, person, start_ns, stop_ns), *announced]
    found.sort(key=lambda each: each.start_ns)
    kept_back = [
        Stretch("withheld", item.start_ns, item.stop_ns) for item in withhold.of(connection, person)
    ]
    return [
        _within(each, start_ns, stop_ns)
        for each in [*join(found), *kept_back]
        if each.start_ns < stop_ns and each.stop_ns > start_ns
    ]


def stretches(connection: Connection, person: str, start_ns: int, stop_ns: int) -> list[Stretch]:
    """What the records that touch an interval tell, one by one and uncut; they may overlap."""
    columns = [segments.c[name] for name in ("device", "session", "seq", "kind", "state")]
    columns += [segments.c.start_ns, segments.c.stop_ns]
    # Segments last about a minute; a gap may be longer than a day.
    query = sa.select(*columns, segments.c.record["reason"].as_string().label("reason")).where(
        segments.c.person == person,
        segments.c.start_ns < stop_ns,
        segments.c.stop_ns > start_ns,
    )
    rows = connection.execute(query.order_by(segments.c.start_ns, segments.c.seq)).all()
    found = [
        Stretch(kind, row.start_ns, row.stop_ns, "" if kind == "recorded" else row.reason or "")
        for row in rows
        if (kind := _kind(row.kind, row.state, row.reason or ""))
        and row.stop_ns - row.start_ns > INSTANT_NS
    ]
    return [*found, *_between(connection, rows)]


def waiting(connection: Connection, person: str, now_ns: int) -> list[Stretch]:
    """What devices have announced and not brought home yet: it is on their cards."""
    mine = sa.select(devices.c.id).where(devices.c.person == person)
    query = sa.select(uploads.c.envelope).where(uploads.c.device.in_(mine))
    records = [Record.from_json(row.envelope["record"]) for row in connection.execute(query)]
    bounds = [place.interval(connection, record, now_ns) for record in records]
    return [Stretch("waiting", start_ns, stop_ns) for start_ns, stop_ns in bounds]


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


def _between(connection: Connection, rows: Sequence[sa.Row]) -> Iterator[Stretch]:
    """The time between two recordings of one device, the one before and after these rows too."""
    numbers: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        numbers.setdefault(row.device, []).append((row.seq, row.session))
    for device, known in numbers.items():
        known.sort()
        # Numbers that are missing between two recordings may yet tell more.
        turns = [(a[0], b[0]) for a, b in pairwise(known) if a[1] != b[1] and b[0] == a[0] + 1]
        turns += [(known[0][0] - 1, known[0][0]), (known[-1][0], known[-1][0] + 1)]
        for before, after in turns:
            last, cut = _placed(connection, device, before, -1)
            first, _ = _placed(connection, device, after, 1)
            if last and first and last.session != first.session:
                anew = first.record["boot_ns_start"] < last.record["boot_ns_end"]
                reason = (POWER if anew else KILLED) if cut else STOPPED
                kind = "failed" if cut else "off"
                instant = last.stop_ns - last.start_ns <= INSTANT_NS
                begin_ns = last.start_ns if instant else last.stop_ns
                if begin_ns < first.start_ns:
                    yield Stretch(kind, begin_ns, first.start_ns, reason)


def _placed(
    connection: Connection, device: str, seq: int, step: int
) -> tuple[catalog.Segment | None, bool]:
    """The record of this number, or else the next that says when, and whether it was cut there.

    Of a number that was only taken before a cut nobody knows more.
    """
    cut = False
    for _ in range(3):
        held = catalog.find_record(connection, device, seq)
        cut = cut or (held is not None and held.record["reason"] == "cut")
        if held is None or held.record["boot_ns_end"]:
            return held, cut
        seq += step
    return None, cut


def _kind(kind: str, state: str, reason: str) -> str | None:
    if kind == "segment":
        return "recorded" if state == "stored" else "deleted"
    if kind == "gap":
        return "off" if reason in CHOSEN else "failed"
    return {"withheld": "withheld", "forgotten": "deleted"}.get(kind)


def _within(each: Stretch, start_ns: int, stop_ns: int) -> Stretch:
    begin, end = max(each.start_ns, start_ns), min(each.stop_ns, stop_ns)
    return Stretch(each.kind, begin, end, each.reason)
