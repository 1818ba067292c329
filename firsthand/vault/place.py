"""Placing in time what a device recorded while it did not know the time.

A record that knew the time is placed by itself. One that did not, by its session's boot clock; and
a session in which no record knew it, by the device's next one. If that one's boot clock went on, it
is the same clock. If it began anew, the session ended at the latest there: it is placed as if power
had come back at once. What the device signed is never changed. Only where the catalogue places it
is, as more comes to be known; the log says so each time, in the same transaction.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.capture import review, withhold
from firsthand.consent.tables import devices
from firsthand.db import metadata
from firsthand.errors import Damaged
from firsthand.segment import Record
from firsthand.vault.catalog import DAY_NS, HELD, segments

sessions = sa.Table(
    "device_session",
    metadata,
    sa.Column("device", sa.String, primary_key=True),
    sa.Column("session", sa.String, primary_key=True),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("begun_ns", sa.BigInteger, nullable=False),  # where its boot clock is seen first
    sa.Column("boot_ns", sa.BigInteger, nullable=False),  # and how far
    sa.Column("zero_ns", sa.BigInteger, nullable=False),  # the wall clock where it began
    sa.Column("told", sa.Boolean, nullable=False),  # by a record of it
    sa.Index("device_session_in_order", "device", "first_seq"),
)
BATCH = 1000  # records read at once
TOLD = ("rtc", "ntp", "gps")  # by a clock that runs while the device is off, or from outside
MOVED = "session_placed"  # the entry of the log that says so


@dataclass(frozen=True)
class Placed:
    """Where the log says that a segment lies, and the entry that put it there."""

    start_ns: int
    stop_ns: int
    index: int
    time_ns: int


def told(record: Record) -> bool:
    """Whether the device knew the time when it made this record."""
    return record.wall_quality in TOLD and record.wall_ns_start > 0


def session_of(record: Record) -> str:
    """How the log names the session of a record that it may have to place anew; else empty.

    It tells no name of a device, as an auditor gets to read it.
    """
    if told(record) or not record.boot_ns_end:
        return ""
    return _name(record.device, record.session)


def interval(connection: Connection, record: Record, now_ns: int) -> tuple[int, int]:
    """Wall-clock bounds in ns of a record; never empty, so that a withhold can touch it.

    Damaged if they lie out of all range.
    """
    length_ns = max(1, record.boot_ns_end - record.boot_ns_start)
    start_ns = record.wall_ns_start
    if not told(record):
        held = _find(connection, record)
        if held is not None and (held.told or record.boot_ns_end <= held.boot_ns):
            zero_ns = held.zero_ns
        else:
            zero_ns = _guess(connection, record, record.boot_ns_end, now_ns, held)
        start_ns = zero_ns + record.boot_ns_start
    zero_ns = start_ns - record.boot_ns_start
    if not -(2**63) <= min(start_ns, zero_ns) <= max(start_ns + length_ns, zero_ns) < 2**63:
        raise Damaged(f"record {record.seq} of {record.device} names a time out of range")
    return start_ns, start_ns + length_ns


def learn(connection: Connection, record: Record, now_ns: int) -> tuple[int, int]:
    """The same, for a record that is taken in: what it tells moves those that were placed without.

    Damaged, and nothing is moved, if they lie out of all range.
    """
    bounds = interval(connection, record, now_ns)
    if not record.boot_ns_end:
        return bounds  # only its number was taken before a cut: it says nothing of any clock
    for moved, by_ns in _learn(connection, record, now_ns):
        _move(connection, record.person, moved, by_ns, now_ns)
    return interval(connection, record, now_ns)


def _learn(connection: Connection, record: Record, now_ns: int) -> list[tuple[sa.Row, int]]:
    """Notes what a record tells of its session; the sessions that lie elsewhere by it, how far."""
    moves: list[tuple[sa.Row, int]] = []
    held = _find(connection, record)
    if told(record):
        zero_ns, knows = record.wall_ns_start - record.boot_ns_start, True
        if held is not None and held.told:
            zero_ns = held.zero_ns  # a clock that was set later places only what came after
    else:
        reach_ns = max(record.boot_ns_end, held.boot_ns if held is not None else 0)
        knows = held is not None and held.told
        if held is not None and held.told:
            zero_ns = held.zero_ns
        else:
            zero_ns = _guess(connection, record, reach_ns, now_ns, held)
    if held is None:
        row = {"device": record.device, "session": record.session, "first_seq": record.seq}
        row |= {"begun_ns": record.boot_ns_start, "boot_ns": record.boot_ns_end}
        row |= {"zero_ns": zero_ns, "told": knows}
        connection.execute(sessions.insert().values(**row))
    else:
        changes = {
            "first_seq": min(held.first_seq, record.seq),
            "begun_ns": min(held.begun_ns, record.boot_ns_start),
            "boot_ns": max(held.boot_ns, record.boot_ns_end),
            "zero_ns": zero_ns,
            "told": knows,
        }
        # Of a session that knows the time only the beginning matters: no write for each segment.
        names = ["first_seq", "begun_ns", "zero_ns", "told"] + ([] if knows else ["boot_ns"])
        if any(getattr(held, name) != changes[name] for name in names):
            connection.execute(_where(sessions.update(), held).values(**changes))
        moves.append((held, zero_ns - held.zero_ns))
    if held is None or held.zero_ns != zero_ns or held.begun_ns > record.boot_ns_start:
        moves += _settle_before(connection, record.device, record.seq, record.session)
    return [(moved, by_ns) for moved, by_ns in moves if by_ns]


def forget(connection: Connection, person: str) -> None:
    """Takes away what is known of the sessions of a person's devices."""
    mine = sa.select(devices.c.id).where(devices.c.person == person)
    connection.execute(sessions.delete().where(sessions.c.device.in_(mine)))


def said(connection: Connection, person: str) -> dict[str, Placed]:
    """Where the log says that a person's segments lie whose device did not know the time, by id."""
    moved: dict[str, tuple[int, int, int]] = {}  # by how much so far, by which entry, and when
    found: dict[str, tuple[str, int, Placed]] = {}
    for entry in log.read(connection, person):
        private = entry.private or {}
        session = private.get("session", "")
        by_ns = moved.get(session, (0, 0, 0))[0]
        if entry.kind == MOVED and session:
            moved[session] = by_ns + private["by_ns"], entry.index, entry.time_ns
        elif entry.kind.endswith("_stored") and session:
            bounds = private["start_ns"], private["stop_ns"]
            found[private["segment"]] = session, by_ns, Placed(*bounds, entry.index, entry.time_ns)
    for segment, (session, before_ns, first) in found.items():
        by_ns, index, time_ns = moved.get(session, (0, 0, 0))
        if index > first.index:
            bounds = first.start_ns + by_ns - before_ns, first.stop_ns + by_ns - before_ns
            found[segment] = session, before_ns, Placed(*bounds, index, time_ns)
    return {segment: last for segment, (_, _, last) in found.items()}


def restore(connection: Connection) -> dict[str, Placed]:
    """Puts all that the log places where it says, as after a recovery; returns what that is."""
    found: dict[str, Placed] = {}
    for person in people.listed(connection):
        found |= said(connection, person.id)
    for id_, _, at_ns in _all(connection, _untold()):
        if id_ in found and found[id_].start_ns != at_ns:
            bounds = {"start_ns": found[id_].start_ns, "stop_ns": found[id_].stop_ns}
            change = segments.update().where(segments.c.id == id_)
            connection.execute(change.values(**bounds))
    return found


def rebuild(connection: Connection, now_ns: int) -> None:
    """Places all records anew, as after a recovery: as the log says, else by what they say."""
    placed = restore(connection)
    known = _seed(connection, placed)
    for _, record, _ in _all(connection):
        key = record.device, record.session
        if key not in known:
            _learn(connection, record, now_ns)
        if told(record):
            known.add(key)  # one record of them is enough
    moves: dict[tuple[str, str, str], tuple[int, int, int]] = {}  # where it lay, and how far
    for id_, record, at_ns in _all(connection, _untold()):
        start_ns, stop_ns = interval(connection, record, now_ns)
        if start_ns != at_ns:
            if id_ in placed:
                whose = record.person, record.device, record.session
                until_ns = at_ns + stop_ns - start_ns
                first, last, _ = moves.get(whose, (at_ns, until_ns, 0))
                moves[whose] = min(first, at_ns), max(last, until_ns), start_ns - at_ns
            change = segments.update().where(segments.c.id == id_)
            connection.execute(change.values(start_ns=start_ns, stop_ns=stop_ns))
            _arrive(connection, segments.c.id == id_, log.now(connection, now_ns))
    for (person, device, session), (first, last, by_ns) in moves.items():
        _note(connection, person, _name(device, session), (first, last), by_ns, now_ns)


def _seed(connection: Connection, placed: dict[str, Placed]) -> set[tuple[str, str]]:
    """Begins anew what is known of sessions, with those that the log places; returns these."""
    connection.execute(sessions.delete())
    found: dict[tuple[str, str], tuple[int, int, int, bool]] = {}
    zeros: dict[tuple[str, str], int] = {}
    for id_, record, at_ns in _all(connection):
        if not record.boot_ns_end:
            continue
        key = record.device, record.session
        begun_ns, boot_ns = record.boot_ns_start, record.boot_ns_end
        first, begun, boot, knows = found.get(key, (record.seq, begun_ns, boot_ns, False))
        bounds = min(begun, begun_ns), max(boot, boot_ns)
        found[key] = min(first, record.seq), *bounds, knows or told(record)
        if id_ in placed:
            zeros[key] = at_ns - begun_ns
    for key, zero_ns in zeros.items():
        names = ("device", "session", "first_seq", "begun_ns", "boot_ns", "told")
        row = dict(zip(names, (*key, *found[key]), strict=True))
        connection.execute(sessions.insert().values(zero_ns=zero_ns, **row))
    return set(zeros)


def _all(
    connection: Connection, *where: sa.ColumnElement[bool]
) -> Iterator[tuple[str, Record, int]]:
    """(id, record, start) of all that is held, in the order of each device, some at a time."""
    columns = [segments.c[name] for name in ("device", "seq", "id", "record", "start_ns")]
    order = sa.tuple_(segments.c.device, segments.c.seq)
    last = ("", -1)
    while True:
        query = sa.select(*columns).where(order > last, *where)
        rows = connection.execute(query.order_by(*order).limit(BATCH)).all()
        for row in rows:
            yield row.id, Record.from_json(row.record), row.start_ns
        if len(rows) < BATCH:
            return
        last = (rows[-1].device, rows[-1].seq)


def _guess(
    connection: Connection,
    record: Record,
    reach_ns: int,
    now_ns: int,
    held: sa.Row | None = None,
) -> int:
    """Where the boot clock of a session began that does not know the time."""
    after = _next(connection, record.device, record.seq, record.session)
    if after is not None:
        return _by(after, reach_ns)
    # A fake clock stands where the device was last seen off: later than that, and not after now.
    fake_ns = record.wall_ns_start - record.boot_ns_start if record.wall_ns_start > 0 else None
    known_ns = held.zero_ns if held is not None else fake_ns
    latest_ns = now_ns - reach_ns
    return latest_ns if known_ns is None else min(known_ns, latest_ns)


def _by(after: sa.Row, reach_ns: int) -> int:
    """Where a boot clock began that is known up to reach_ns, by the session that came after."""
    went_on = after.begun_ns >= reach_ns
    return after.zero_ns if went_on else after.zero_ns - reach_ns


def _settle_before(
    connection: Connection, device: str, seq: int, session: str
) -> Iterator[tuple[sa.Row, int]]:
    """The sessions before one that was placed, back to the first that knows the time."""
    for held in _before(connection, device, seq, session):
        after = _next(connection, device, held.first_seq, held.session)
        if held.told or after is None:
            return
        zero_ns = _by(after, held.boot_ns)
        if zero_ns == held.zero_ns:
            return
        connection.execute(_where(sessions.update(), held).values(zero_ns=zero_ns))
        yield held, zero_ns - held.zero_ns


def _move(connection: Connection, person: str, held: sa.Row, by_ns: int, now_ns: int) -> None:
    """Moves all of a session that did not know the time; the log says so first."""
    where = (
        (segments.c.device == held.device)
        & (segments.c.seq >= held.first_seq)
        & (segments.c.session == held.session)
        & _untold()
    )
    lay = sa.select(sa.func.min(segments.c.start_ns), sa.func.max(segments.c.stop_ns)).where(where)
    bounds = connection.execute(lay).one()
    if bounds[0] is not None:
        _note(connection, person, _name(held.device, held.session), tuple(bounds), by_ns, now_ns)
    columns = segments.c.start_ns, segments.c.stop_ns
    change = segments.update().where(where)
    connection.execute(change.values({each: each + by_ns for each in columns}))
    _arrive(connection, where, log.now(connection, now_ns))


def _note(
    connection: Connection,
    person: str,
    session: str,
    lay: tuple[int, int],
    by_ns: int,
    now_ns: int,
) -> None:
    """Says in the log by how much a session is moved from where it lay; what its wearer kept back
    of it goes along."""
    found = people.find(connection, person)
    if found.salt is None:
        return
    waiting = [
        (order.id, order.start_ns, order.stop_ns)
        for order in erasure.open_orders(connection)
        if order.person == person and order.start_ns is not None and order.stop_ns is not None
    ]
    withhold.follow(connection, found, session, lay, by_ns, waiting, now_ns)
    private = {"session": session, "by_ns": by_ns}
    people.note(connection, MOVED, found, now_ns, private=private)


def _name(device: str, session: str) -> str:
    return hashlib.sha256(f"{device}/{session}".encode()).hexdigest()[:32]


def _arrive(connection: Connection, where: sa.ColumnElement[bool], now_ns: int) -> None:
    """Days to which footage was moved are in review anew: nobody could look at it there before."""
    columns = segments.c.person, segments.c.start_ns, segments.c.stop_ns
    footage = (segments.c.kind == "segment") & segments.c.state.in_(HELD)
    days = {
        (person, day * DAY_NS)
        for person, start_ns, stop_ns in connection.execute(
            sa.select(*columns).where(where, footage)
        )
        for day in {start_ns // DAY_NS, (stop_ns - 1) // DAY_NS}
    }
    for person, start_ns in sorted(days):
        review.arrive_within(connection, person, start_ns, start_ns + 1, now_ns)


def _untold() -> sa.ColumnElement[bool]:
    """Of what `told` says no; a record may leave out what it does not know."""
    quality = sa.func.coalesce(segments.c.record["wall_quality"].as_string(), "none")
    wall = sa.cast(segments.c.record["wall_ns_start"].as_string(), sa.BigInteger)
    return quality.not_in(TOLD) | (sa.func.coalesce(wall, 0) <= 0)


def _find(connection: Connection, record: Record) -> sa.Row | None:
    where = (sessions.c.device == record.device) & (sessions.c.session == record.session)
    return connection.execute(sa.select(sessions).where(where)).first()


def _next(connection: Connection, device: str, seq: int, session: str) -> sa.Row | None:
    query = sa.select(sessions).where(sessions.c.device == device, sessions.c.first_seq > seq)
    query = query.where(sessions.c.session != session).order_by(sessions.c.first_seq).limit(1)
    return connection.execute(query).first()


def _before(connection: Connection, device: str, seq: int, session: str) -> Sequence[sa.Row]:
    query = sa.select(sessions).where(sessions.c.device == device, sessions.c.first_seq < seq)
    query = query.where(sessions.c.session != session).order_by(sessions.c.first_seq.desc())
    return connection.execute(query.limit(100)).all()


def _where(statement: sa.Update, held: sa.Row) -> sa.Update:
    return statement.where(sessions.c.device == held.device, sessions.c.session == held.session)
