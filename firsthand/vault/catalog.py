"""The catalogue: which segments the vault holds, where their bytes lie, and who may not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent.access.tables import opened
from firsthand.consent.tables import devices
from firsthand.db import metadata
from firsthand.errors import NotFound

DAY_NS = 86_400 * 10**9
OVERDUE_NS = 7 * DAY_NS
segments = sa.Table(
    "segment",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, nullable=False),
    sa.Column("device", sa.String, nullable=False),
    sa.Column("session", sa.String, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    sa.Column("record_hash", sa.String, nullable=False),
    sa.Column("object", sa.String, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("day", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),  # stored | hidden (to be erased) | erased
    sa.Column("receipt", sa.JSON, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("device", "seq"),
)
# A day of a person is read from this index alone: 840 rows from one place, not from 840 places.
_COVERING = [
    *(segments.c[name] for name in ("person", "start_ns", "seq", "stop_ns")),
    *(segments.c[name] for name in ("kind", "state", "id", "size_bytes")),
]
sa.Index("segment_by_time", *_COVERING)
# Segments last a minute. The few that last longer than an hour have an index of their own, so that
# all others are found by their beginning. It covers too: else PostgreSQL, which cannot know how few
# they are, reads all that the person ever recorded in the other one (1 ms for 7,000 rows).
LONG_NS = 3600 * 10**9
_LONG = sa.text(f"stop_ns - start_ns > {LONG_NS}")
sa.Index(
    "segment_long",
    *_COVERING,
    sqlite_where=_LONG,
    postgresql_where=_LONG,
)
parts = sa.Table(
    "segment_part",
    metadata,
    sa.Column("segment", sa.String, sa.ForeignKey("segment.id"), primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("payload_sha256", sa.String, nullable=False),
    sa.Column("cut", sa.Boolean, nullable=False),
    sa.Column("file_key", sa.LargeBinary),  # F wrapped by D; None once erased
    sa.Column("generation", sa.Integer, nullable=False),  # of D
)
uploads = sa.Table(
    "upload",
    metadata,
    sa.Column("id", sa.String, primary_key=True),  # number and hash of the record
    sa.Column("device", sa.String, nullable=False),
    sa.Column("envelope", sa.JSON, nullable=False),
    sa.Column("headers", sa.JSON, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("part_size", sa.BigInteger, nullable=False),
    sa.Column("opened_ns", sa.BigInteger, nullable=False),
    # The key that its bytes will have, and the store's own id of the upload; both are empty until
    # its parts are asked for.
    sa.Column("object", sa.String, nullable=False),
    sa.Column("multipart", sa.String, nullable=False),
)
sa.Index("upload_by_device", *(uploads.c[name] for name in ("device", "opened_ns", "size_bytes")))
# What each device has handed in on each UTC day of the vault's clock: quota.py reads it.
intake = sa.Table(
    "intake",
    metadata,
    sa.Column("device", sa.String, primary_key=True),
    sa.Column("day", sa.String, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
)
# When check.py last read an object, and what it found wrong; no row: not since it was stored.
checks = sa.Table(
    "object_check",
    metadata,
    sa.Column("segment", sa.String, primary_key=True),
    sa.Column("checked_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("fault", sa.String, nullable=False),  # "" | missing | changed | unreadable
)

# What a device was asked to forget: each request with its receipt, and for each record that a
# forgotten one replaced the refusal that it gets from then on. Nothing of a person stands here.
forgettings = sa.Table(
    "forgetting",
    metadata,
    sa.Column("id", sa.String, primary_key=True),  # of a request, or hash of a record
    sa.Column("device", sa.String, nullable=False),
    sa.Column("receipt", sa.JSON, nullable=False),
)

# Records of which a device had signed another under the same number (fork.py).
forks = sa.Table(
    "fork",
    metadata,
    sa.Column("device", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("record_hash", sa.String, primary_key=True),  # of the one not taken
    sa.Column("found_ns", sa.BigInteger, nullable=False),
)
# The last policy of each device: its number, and the hash of what it said; see policy.py.
told = sa.Table(
    "device_policy",
    metadata,
    sa.Column("device", sa.String, sa.ForeignKey("device.id"), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("content", sa.String, nullable=False),
)


@dataclass(frozen=True)
class Segment:
    """One stored segment, or a record without bytes, as the catalogue knows it."""

    id: str
    person: str
    device: str
    session: str
    seq: int
    kind: str
    record: dict[str, Any]
    record_hash: str
    object: str
    size_bytes: int
    start_ns: int
    stop_ns: int
    day: str
    state: str
    receipt: dict[str, Any]
    log_index: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.stop_ns - self.start_ns) / 1e9


class Span(NamedTuple):
    """When a stored segment was, and how large it is: what most questions need of it."""

    id: str
    start_ns: int
    stop_ns: int
    size_bytes: int
    seq: int

    @property
    def day(self) -> str:
        """The UTC day in which it began."""
        return day_of(self.start_ns)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.stop_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class StoredPart:
    """Where one part's payload lies in its object, and its wrapped file key."""

    segment: str
    name: str
    offset: int
    size_bytes: int
    payload_sha256: str
    cut: bool
    file_key: bytes | None
    generation: int


def day_of(time_ns: int) -> str:
    """The UTC day of a wall-clock time, as 2026-11-01."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d")


def find(connection: Connection, segment: str) -> Segment:
    """The segment of this id; NotFound."""
    row = connection.execute(sa.select(segments).where(segments.c.id == segment)).first()
    if row is None:
        raise NotFound(f"there is no segment {segment!r}")
    return Segment(**row._mapping)


def find_record(connection: Connection, device: str, seq: int) -> Segment | None:
    """What is held of a device's record number `seq`."""
    row = connection.execute(_RECORD, {"of": device, "number": seq}).first()
    return Segment(*row) if row else None


# Built once, as building takes three times as long as sending.
_RECORD = sa.select(segments).where(
    segments.c.device == sa.bindparam("of"), segments.c.seq == sa.bindparam("number")
)
_ADD_SEGMENT, _ADD_PARTS = segments.insert(), parts.insert()


def forgetting(connection: Connection, device: str, name: str) -> dict[str, Any] | None:
    """The receipt of a request to forget, or the refusal of a record that was forgotten."""
    query = sa.select(forgettings.c.receipt).where(
        forgettings.c.id == name, forgettings.c.device == device
    )
    return connection.scalar(query)


def newest(connection: Connection, device: str, top: int, count: int) -> Sequence[Segment]:
    """The last `count` of a device's records numbered up to `top`, newest first."""
    query = sa.select(segments).where(segments.c.device == device, segments.c.seq <= top)
    rows = connection.execute(query.order_by(segments.c.seq.desc()).limit(count))
    return [Segment(**row._mapping) for row in rows]


def of_person(
    connection: Connection, person: str, start_ns: int = -(2**63), stop_ns: int = 2**63 - 1
) -> Sequence[Segment]:
    """Stored segments of a person that touch an interval (stop excluded), by time."""
    query = sa.select(segments).where(
        segments.c.person == person,
        segments.c.kind == "segment",
        segments.c.state == "stored",
        segments.c.start_ns < stop_ns,
        segments.c.stop_ns > start_ns,
    )
    rows = connection.execute(query.order_by(segments.c.start_ns, segments.c.seq))
    return [Segment(**row._mapping) for row in rows]


HELD = ("stored", "hidden")  # its keys are there


def on_day(connection: Connection, person: str, day: str) -> Sequence[Segment]:
    """Segments under a person's day key, those to be erased too, by time.

    The day is the one that they were taken in under, wherever they are placed by now.
    """
    query = sa.select(segments).where(
        segments.c.person == person,
        segments.c.day == day,
        segments.c.kind == "segment",
        segments.c.state.in_(HELD),
    )
    rows = connection.execute(query.order_by(segments.c.start_ns, segments.c.seq))
    return [Segment(**row._mapping) for row in rows]


def spans(
    connection: Connection, person: str, start_ns: int = -(2**63), stop_ns: int = 2**63 - 1
) -> list[Span]:
    """As `of_person`, but only what an index holds: a day of 840 takes under a millisecond."""
    since_ns = max(-(2**63), start_ns - LONG_NS)
    bounds = {"person": person, "start_ns": start_ns, "stop_ns": stop_ns, "since_ns": since_ns}
    # Plain tuples: SQLAlchemy's own rows would double the time of a day.
    return [*map(_SPAN, connection.execute(_SPANS, bounds).cursor.fetchall())]


_SPAN = partial(tuple.__new__, Span)  # _make is this and a check of the length, at twice the time
_BASE = sa.select(*(segments.c[name] for name in Span._fields)).where(
    segments.c.person == sa.bindparam("person"),
    segments.c.start_ns < sa.bindparam("stop_ns"),
    segments.c.stop_ns > sa.bindparam("start_ns"),
    segments.c.kind == "segment",
    segments.c.state == "stored",
)
# Each half comes from its index in order, and a database merges the two as it goes.
_SPANS = sa.union_all(
    _BASE.where(segments.c.start_ns >= sa.bindparam("since_ns")),
    _BASE.where(segments.c.start_ns < sa.bindparam("since_ns"), _LONG),
).order_by("start_ns", "seq")


def has_records(connection: Connection, person: str) -> bool:
    """Whether a device has handed in anything of a person."""
    query = sa.select(segments.c.id).where(segments.c.person == person).limit(1)
    return connection.execute(query).first() is not None


def gaps(connection: Connection, person: str) -> Sequence[Segment]:
    """Records of a person that hold no footage but say why, by time."""
    query = sa.select(segments).where(segments.c.person == person, segments.c.kind != "segment")
    rows = connection.execute(query.order_by(segments.c.start_ns, segments.c.seq))
    return [Segment(**row._mapping) for row in rows]


def stored(connection: Connection) -> Sequence[Segment]:
    """Every record that is held and not erased, those without bytes too."""
    query = sa.select(segments).where(segments.c.state == "stored").order_by(segments.c.id)
    return [Segment(**row._mapping) for row in connection.execute(query)]


def with_bytes(connection: Connection) -> Sequence[Segment]:
    """Every stored segment that has an object."""
    query = sa.select(segments).where(segments.c.object != "", segments.c.state == "stored")
    return [Segment(**row._mapping) for row in connection.execute(query.order_by(segments.c.id))]


def erased_objects(
    connection: Connection, person: str, most: int | None = None
) -> Sequence[Segment]:
    """Segments of a person whose keys are destroyed while their bytes still lie in the store."""
    query = sa.select(segments).where(
        segments.c.person == person, segments.c.state == "erased", segments.c.object != ""
    )
    query = query.limit(most)
    return [Segment(**row._mapping) for row in connection.execute(query)]


def records_gone(connection: Connection, person: str) -> set[str]:
    """The hashes of a person's records whose footage is erased, or hidden until it is."""
    query = sa.select(segments.c.kind, segments.c.record_hash, segments.c.record).where(
        segments.c.person == person, segments.c.state != "stored"
    )
    found = set()
    for row in connection.execute(query):
        replaced = row.record.get("media", {}).get("replaces")
        found.add(replaced if row.kind == "forgotten" else row.record_hash)
    return found


def generation(connection: Connection, person: str, day: str) -> int:
    """The newest generation of the day key that a person's parts of one day are wrapped under."""
    query = sa.select(sa.func.max(parts.c.generation)).join(segments)
    where = (segments.c.person == person) & (segments.c.day == day)
    return connection.scalar(query.where(where)) or 0


def days(connection: Connection, person: str) -> Sequence[tuple[str, int, int]]:
    """(day, segments, footage in ns) for each UTC day with footage of a person."""
    # PostgreSQL's sum of whole numbers is a decimal one.
    length = sa.cast(sa.func.sum(segments.c.stop_ns - segments.c.start_ns), sa.BigInteger)
    # By where they are placed now: the column `day` names the key under which a segment was sealed.
    number = segments.c.start_ns // DAY_NS
    query = sa.select(number.label("number"), sa.func.count(), length).where(
        segments.c.person == person, segments.c.kind == "segment", segments.c.state == "stored"
    )
    rows = connection.execute(query.group_by("number").order_by("number"))
    return [(day_of(row[0] * DAY_NS), row[1], row[2]) for row in rows]


def parts_of(connection: Connection, segment: str) -> dict[str, StoredPart]:
    """The parts of a segment by name."""
    rows = connection.execute(sa.select(parts).where(parts.c.segment == segment))
    return {row.name: StoredPart(**row._mapping) for row in rows}


def forget(connection: Connection, person: str) -> None:
    """Takes away every row about a person's recordings; their bytes must be gone before."""
    mine = sa.select(segments.c.id).where(segments.c.person == person)
    connection.execute(parts.delete().where(parts.c.segment.in_(mine)))
    connection.execute(checks.delete().where(checks.c.segment.in_(mine)))
    connection.execute(opened.delete().where(opened.c.segment.in_(mine)))
    theirs = sa.select(devices.c.id).where(devices.c.person == person)
    connection.execute(intake.delete().where(intake.c.device.in_(theirs)))
    connection.execute(segments.delete().where(segments.c.person == person))


def insert(connection: Connection, segment: Segment, listed: Sequence[StoredPart]) -> None:
    """Adds a segment and its parts."""
    connection.execute(_ADD_SEGMENT, vars(segment))
    if listed:
        connection.execute(_ADD_PARTS, [vars(part) for part in listed])


def overdue_records(connection: Connection, person: str, now_ns: int) -> list[tuple[str, int]]:
    """(device, number) of each record that is missing while a later one came OVERDUE_NS ago.

    Until then they count as on their way: segments come in any order, a full card within days.
    """
    query = sa.select(segments.c.device, segments.c.seq, segments.c.receipt)
    held: dict[str, dict[int, int]] = {}
    for row in connection.execute(query.where(segments.c.person == person)):
        held.setdefault(row.device, {})[row.seq] = row.receipt["receipt"]["time_ns"]
    found = []
    for device, times in sorted(held.items()):
        old = [seq for seq, time_ns in times.items() if now_ns - time_ns >= OVERDUE_NS]
        found += [(device, seq) for seq in range(1, max(old, default=0)) if seq not in times]
    return found


def missing_records(connection: Connection, person: str, waiting: Sequence[int] = ()) -> int:
    """How many numbered records of a person's devices are neither held nor known to wait.

    A device numbers its records from 1 without a hole; `waiting` are numbers still on its card. One
    that lost count begins its chain anew a million numbers on: those in between never were.
    """
    query = sa.select(segments.c.device, segments.c.seq).where(segments.c.person == person)
    held: dict[str, set[int]] = {}
    for row in connection.execute(query):
        held.setdefault(row.device, {0}).add(row.seq)
    missing = 0
    for device, numbers in held.items():
        for before, after in pairwise(sorted(numbers)):
            if after - before > _JUMP and not _prev(connection, device, after):
                continue
            missing += len({*range(before + 1, after)} - {*waiting})
    return missing


_JUMP = 100_000  # a hole so wide may be a chain begun anew


def _prev(connection: Connection, device: str, seq: int) -> str:
    found = find_record(connection, device, seq)
    return found.record["prev"] if found else ""
