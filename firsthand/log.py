"""The append-only log, kept in the database: what happened, in an order nobody can change.

Entries are written in the same transaction as the change they speak of. Personal fields enter as
salted commitments; their opening lies beside the entry until the person's salt is destroyed.
The mathematics is in tlog.py; the vault signs checkpoints.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import tlog
from firsthand.crypto import canonical
from firsthand.db import metadata
from firsthand.errors import Damaged

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
_LAST = sa.select(sa.func.max(entries.c.index))
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
    """Adds one entry and returns its index; `private` enters as a commitment under `salt`."""
    index = size(connection)
    body = {"v": 1, "kind": kind, "time_ns": time_ns} | public
    opening = None
    if salt is not None:
        opening = canonical({"person": person} | (private or {}))
        body["subject"] = subject(salt)
        body["commitment"] = commit(salt, index, opening)
    entry = canonical(body)
    row = {"index": index, "entry": entry, "person": person or None, "opening": opening}
    connection.execute(_ADD_ENTRY, row)
    read = _frontier(connection, index) if index % 2 else reader(connection)
    fresh = tlog.new_hashes(index, tlog.leaf_hash(entry), read)
    named = [{"level": level, "index": at, "hash": value} for level, at, value in fresh]
    connection.execute(_ADD_HASH, named)
    connection.info["after_write"] = True  # whoever copies the log has something to copy
    return index


def subject(salt: bytes) -> str:
    """The name under which one person's entries can be told from others', while the salt lives."""
    return hmac.digest(salt, b"subject", "sha256").hex()[:32]


def commit(salt: bytes, index: int, opening: bytes) -> str:
    """The commitment that stands in entry `index` for these personal fields."""
    return hmac.digest(salt, index.to_bytes(8, "big") + opening, "sha256").hex()


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


def verify(connection: Connection) -> int:
    """Recomputes every hash from the entries and returns the size; Damaged names the fault."""
    stored = reader(connection)
    fresh: dict[tuple[int, int], bytes] = {}
    count = 0
    for row in connection.execute(sa.select(entries).order_by(entries.c.index)):
        if row.index != count:
            raise Damaged(f"log entry {count} is missing")
        leaf = tlog.leaf_hash(row.entry)
        for level, index, value in tlog.new_hashes(count, leaf, lambda lv, i: fresh[lv, i]):
            fresh[level, index] = value
            if stored(level, index) != value:
                raise Damaged(f"log entry {count} was changed")
        count += 1
    known = connection.scalar(sa.select(sa.func.count()).select_from(hashes))
    if known != len(fresh):
        raise Damaged(f"the log was cut: it holds {count} entries and hashes of more")
    return count


def verify_openings(connection: Connection, person: str, salt: bytes) -> int:
    """Checks what stands beside one person's entries against them; returns how many. Damaged."""
    name, count = subject(salt), 0
    for row in connection.execute(sa.select(entries).order_by(entries.c.index)):
        index, body = row._mapping["index"], json.loads(row.entry)
        if (body.get("subject") == name) != (row.person == person):
            raise Damaged(f"log entry {index} was given to another person")
        if row.person == person:
            if body["commitment"] != commit(salt, index, row.opening or b""):
                raise Damaged(f"the personal fields of log entry {index} were changed")
            count += 1
    return count


def digest(data: Any) -> str:
    """SHA-256 of the canonical JSON of `data`, in hexadecimal."""
    return hashlib.sha256(canonical(data)).hexdigest()
