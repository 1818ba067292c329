"""The append-only log, kept in the database: what happened, in an order nobody can change.

Entries are written in the same transaction as the change they speak of. Personal fields enter as
salted commitments; their opening lies beside the entry until the person's salt is destroyed.
The mathematics is in tlog.py; the vault signs checkpoints.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import tiles, tlog
from firsthand.crypto import canonical
from firsthand.db import metadata
from firsthand.errors import Damaged, Usage
from firsthand.monitor import BrokenLog, Monitor, Seen

entries = sa.Table(
    "log_entry",
    metadata,
    sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("person", sa.String, index=True),
    sa.Column("opening", sa.LargeBinary),
)
hashes = sa.Table(
    "log_hash",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True),
    sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
LONGEST = 65_535  # bytes of an entry: its length is two bytes in a bundle (C2SP tlog-tiles)


@dataclass(frozen=True)
class Entry:
    """One entry: its place, its public fields, and its personal ones while they can be read."""

    index: int
    time_ns: int
    kind: str
    public: dict[str, Any]
    private: dict[str, Any] | None


def size(connection: Connection) -> int:
    """How many entries the log holds."""
    last = connection.scalar(_LAST)
    return 0 if last is None else last + 1


# Built once: building a statement takes three times as long as sending it, and each segment that
# comes in sends all of these.
_LAST = sa.select(entries.c.index, entries.c.entry).order_by(entries.c.index.desc()).limit(1)
_ADD_ENTRY, _ADD_HASH = entries.insert(), hashes.insert()
_HASH = sa.select(hashes.c.hash).where(
    hashes.c.level == sa.bindparam("at_level"), hashes.c.index == sa.bindparam("at_index")
)
_AT_ONCE = 8
# Not (level, index) IN (...): SQLite reads the whole table for that.
_HASHES = sa.select(hashes).where(
    sa.or_(
        *(
            (hashes.c.level == sa.bindparam(f"level{n}"))
            & (hashes.c.index == sa.bindparam(f"index{n}"))
            for n in range(_AT_ONCE)
        )
    )
)


def append(
    connection: Connection,
    kind: str,
    time_ns: int,
    *,
    person: str = "",
    salt: bytes | None = None,
    private: dict[str, Any] | None = None,
    **public: Any,
) -> int:
    """Adds one entry and returns its index; `private` enters as a commitment under `salt`.

    No entry's time lies before that of an earlier one: a clock that went back can't make a consent
    hold again that had ended. Usage if the entry is too long.
    """
    index, last_ns = _end(connection)
    body = {"v": 2, "kind": kind, "time_ns": max(time_ns, last_ns)} | public
    opening = None
    if salt is not None:
        opening = canonical({"person": person} | (private or {}))
        body["subject"] = subject(salt)
        body["commitment"] = commit(salt, index, opening)
    entry = canonical(body)
    if len(entry) > LONGEST:
        raise Usage(f"an entry of the log holds at most {LONGEST} bytes, not {len(entry)}")
    row = {"index": index, "entry": entry, "person": person or None, "opening": opening}
    connection.execute(_ADD_ENTRY, row)
    read = _frontier(connection, index) if index % 2 else reader(connection)
    fresh = tlog.new_hashes(index, tlog.leaf_hash(entry), read)
    named = [{"level": level, "index": at, "hash": value} for level, at, value in fresh]
    connection.execute(_ADD_HASH, named)
    connection.info["after_write"] = True  # whoever copies the log has something to copy
    return index


def now(connection: Connection, now_ns: int) -> int:
    """The time by which consent is judged: the clock's, but never before the log's last entry."""
    return max(now_ns, _end(connection)[1])


def _end(connection: Connection) -> tuple[int, int]:
    """(number of entries, time of the last one)."""
    last = connection.execute(_LAST).first()
    return (last[0] + 1, json.loads(last[1])["time_ns"]) if last else (0, 0)


def subject(salt: bytes) -> str:
    """The name under which one person's entries can be told from others', while the salt lives."""
    return hmac.digest(salt, b"subject", "sha256").hex()[:32]


def commit(salt: bytes, index: int, opening: bytes, version: int = 2) -> str:
    """The commitment that stands in entry `index` for these personal fields."""
    if version == 1:  # of vaults made before an entry could be opened alone
        return hmac.digest(salt, index.to_bytes(8, "big") + opening, "sha256").hex()
    return hmac.digest(opening_key(salt, index), opening, "sha256").hex()


def opening_key(salt: bytes, index: int) -> bytes:
    """What shows, with its opening, what entry `index` says, and tells nothing of any other."""
    return hmac.digest(salt, b"opening" + index.to_bytes(8, "big"), "sha256")


def reader(connection: Connection) -> tlog.ReadHash:
    """A function that reads stored subtree hashes."""

    def read(level: int, index: int) -> bytes:
        value = connection.scalar(_HASH, {"at_level": level, "at_index": index})
        if value is None:
            raise Damaged(f"the log lacks hash {index} of level {level}")
        return value

    return read


def _frontier(connection: Connection, at: int) -> tlog.ReadHash:
    """A reader of the complete subtrees that the first `at` entries consist of, by few queries."""
    places = tlog.frontier(at)
    places += [(-1, -1)] * (-len(places) % _AT_ONCE)
    known: dict[tuple[int, int], bytes] = {}
    for start in range(0, len(places), _AT_ONCE):
        asked: dict[str, int] = {}
        for n, (level, index) in enumerate(places[start : start + _AT_ONCE]):
            asked |= {f"level{n}": level, f"index{n}": index}
        rows = connection.execute(_HASHES, asked)
        known |= {(level, index): value for level, index, value in rows}

    def read(level: int, index: int) -> bytes:
        if (level, index) not in known:
            raise Damaged(f"the log lacks hash {index} of level {level}")
        return known[level, index]

    return read


def tile(connection: Connection, wanted: tiles.Tile) -> bytes:
    """The hashes of one tile, which the log must have."""
    column = hashes.c.index
    bounds = (column >= wanted.start) & (column < wanted.start + wanted.width)
    where = (hashes.c.level == tiles.HEIGHT * wanted.level) & bounds
    return b"".join(connection.scalars(sa.select(hashes.c.hash).where(where).order_by(column)))


def raw(connection: Connection, start: int, count: int) -> list[bytes]:
    """So many entries from `start` on, as they are hashed."""
    bounds = (entries.c.index >= start) & (entries.c.index < start + count)
    query = sa.select(entries.c.entry).where(bounds).order_by(entries.c.index)
    return list(connection.scalars(query))


def version(entry: bytes) -> int:
    """The version in which an entry is written."""
    return json.loads(entry)["v"]


def root(connection: Connection, at: int | None = None) -> bytes:
    """The root hash of the whole log, or of its first `at` entries."""
    count = size(connection) if at is None else at
    return tlog.root(count, _frontier(connection, count)) if count else tlog.EMPTY_ROOT


def read(connection: Connection, person: str | None = None, start: int = 0) -> Iterator[Entry]:
    """The entries from `start` on, of one person if given, oldest first."""
    query = sa.select(entries).where(entries.c.index >= start).order_by(entries.c.index)
    if person is not None:
        query = query.where(entries.c.person == person)
    for row in connection.execute(query):
        body = json.loads(row.entry)
        private = json.loads(row.opening) if row.opening else None
        yield Entry(row._mapping["index"], body.pop("time_ns"), body.pop("kind"), body, private)


def forget(connection: Connection, person: str) -> None:
    """Takes away the openings of one person's entries; the entries and proofs stay."""
    change = entries.update().where(entries.c.person == person)
    connection.execute(change.values(opening=None, person=None))


def verify(
    connection: Connection, monitor: Monitor | None = None, seen: Iterable[Seen] = ()
) -> int:
    """Recomputes every hash from the entries and returns the size; BrokenLog names the fault.

    What was `seen` of the log at other times, by size, is held against it, and `monitor` told.
    """
    frontier = tlog.Frontier()
    rows = [_Row(connection, 0)]
    waiting = iter(seen)
    next_seen = next(waiting, None)
    for index, entry in _raw(connection):
        if index != frontier.size:
            raise _changed(frontier.size, f"log entry {frontier.size} is missing")
        for level, place, value in frontier.append(tlog.leaf_hash(entry)):
            if level == len(rows):
                rows.append(_Row(connection, level))
            held = rows[level].next(place)
            if held is None:
                raise _changed(index, f"the log lacks hash {place} of level {level}")
            if held != value:
                raise _changed(index, f"log entry {index} was changed")
        while monitor and next_seen and next_seen.size <= frontier.size:
            monitor.at(frontier.root() if next_seen.size else tlog.EMPTY_ROOT, next_seen)
            next_seen = next(waiting, None)
    size_, known = frontier.size, sa.select(sa.func.count()).select_from(hashes)
    if connection.scalar(known) != sum(row.read for row in rows):
        words = f"it was cut: it holds {size_} entries and hashes of more"
        raise BrokenLog("truncation", size_, size_ + 1, words)
    while monitor and next_seen:
        monitor.beyond(next_seen)
        next_seen = next(waiting, None)
    if monitor:
        monitor.judge(size_)
    return size_


BATCH = 4096  # rows read at a time: neither database hands out a stream without holding it all


def _raw(connection: Connection) -> Iterator[tuple[int, bytes]]:
    """(index, entry) of all entries in order."""
    column, last = entries.c.index, -1
    while True:
        query = sa.select(column, entries.c.entry).where(column > last).order_by(column)
        rows = connection.execute(query.limit(BATCH)).all()
        if not rows:
            return
        for row in rows:
            yield row[0], row[1]
        last = rows[-1][0]


class _Row:
    """The stored hashes of one level, read in order."""

    def __init__(self, connection: Connection, level: int) -> None:
        self._connection, self._level = connection, level
        self._held: Iterator[sa.Row] = iter(())
        self._last = -1
        self.read = 0

    def next(self, place: int) -> bytes | None:
        """The hash at this place; None if another stands next."""
        row = next(self._held, None)
        if row is None:
            where = (hashes.c.level == self._level) & (hashes.c.index > self._last)
            query = sa.select(hashes.c.index, hashes.c.hash).where(where).order_by(hashes.c.index)
            self._held = iter(self._connection.execute(query.limit(BATCH)).all())
            row = next(self._held, None)
        if row is None or row[0] != place:
            return None
        self._last, self.read = row[0], self.read + 1
        return row[1]


def verify_openings(connection: Connection, salts: dict[str, bytes]) -> int:
    """Checks what stands beside these people's entries; returns how many there are. BrokenLog."""
    names = {subject(salt): person for person, salt in salts.items()}
    count = 0
    query = sa.select(entries).order_by(entries.c.index).limit(BATCH)
    last = -1
    while rows := connection.execute(query.where(entries.c.index > last)).all():
        for index, entry, person, opening in rows:
            last, body = index, json.loads(entry)
            owner = names.get(body.get("subject", ""))
            if owner != (person if person in salts else None):
                raise _changed(index, f"log entry {index} was given to another person")
            if owner is not None:
                said = commit(salts[owner], index, opening or b"", body["v"])
                if body["commitment"] != said:
                    raise _changed(index, f"the personal fields of log entry {index} were changed")
                count += 1
    return count


def _changed(index: int, message: str) -> BrokenLog:
    return BrokenLog("edit", index, index + 1, message)


def digest(data: Any) -> str:
    """SHA-256 of the canonical JSON of `data`, in hexadecimal."""
    return hashlib.sha256(canonical(data)).hexdigest()
