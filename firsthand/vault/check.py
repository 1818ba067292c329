"""Checking: the store against the catalogue, both ways, every byte hashed again within a cycle.

Nothing is changed here but the note of what was read when; repair.py puts things right.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from firsthand.crypto import unwrap
from firsthand.errors import Damaged, Failed, NotFound
from firsthand.vault import catalog, ingest
from firsthand.vault.catalog import checks, segments, uploads
from firsthand.vault.store import Listed, Store
from firsthand.vault.vault import Vault, file_key_aad

CYCLE_DAYS = 30
DAY_NS = 86_400 * 10**9
# A killed check begins again at most this many objects back.
BATCH = 64


@dataclass(frozen=True)
class Fault:
    """A stored segment whose bytes or keys are not what its receipt promises."""

    segment: str
    person: str
    object: str
    kind: str  # missing | changed | unreadable | locked
    start_ns: int
    stop_ns: int
    record_hash: str

    def __str__(self) -> str:
        said = {
            "missing": "is missing",
            "changed": "was changed",
            "unreadable": "could not be read just now",
            "locked": "has lost its key",
        }
        return f"object of segment {self.segment} of person {self.person} {said[self.kind]}"


@dataclass(frozen=True)
class Findings:
    """What a check saw; `due` counts objects that this cycle still has to read."""

    objects: int
    bytes: int
    due: int = 0
    rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    orphans: list[Listed] = field(default_factory=list)


@dataclass(frozen=True)
class Budget:
    """How much one check may read; None is without end."""

    size_bytes: int | None = None
    seconds: float | None = None


def check(
    vault: Vault,
    progress: Callable[[int, int], None] | None = None,
    *,
    days: int | None = None,
    budget: Budget = Budget(),
    clock_s: Callable[[], float] = time.monotonic,
) -> Findings:
    """Compares store and catalogue both ways and re-hashes what was not read in `days`, else all.

    The longest unread comes first, and what was read is noted as it goes: cut off or out of
    budget, the next check goes on from there. Existence and size are looked at for every row.
    """
    rows = _rows(vault)
    listing = {item.key: item for item in vault.store.listed("segments")}
    faults = {fault.object: fault for fault in _by_listing(vault, rows, listing)}
    due = rows
    if days is not None:
        since_ns = vault.now_ns() - days * DAY_NS
        due = [row for row in rows if row.checked_ns <= since_ns or row.fault]
    total, count = 0, 0
    stop_s = None if budget.seconds is None else clock_s() + budget.seconds
    for batch in _batches(due):
        seen: list[tuple[str, str]] = []
        for row in batch:
            spent = budget.size_bytes is not None and total >= budget.size_bytes
            if spent or (stop_s is not None and clock_s() >= stop_s):
                break
            fault = faults.get(row.object) or _read(vault, row)
            if fault is not None:
                faults[row.object] = fault
            total += row.size_bytes
            count += 1
            seen.append((row.id, fault.kind if fault else ""))
            if progress is not None:
                progress(count, len(due))
        note(vault, seen)
        if len(seen) < len(batch):
            break
    found = sorted(faults.values(), key=lambda fault: (fault.person, fault.start_ns))
    orphans = _orphans(vault, listing, {row.object for row in rows})
    return Findings(count, total, len(due) - count, len(rows), found, orphans)


def note(vault: Vault, seen: Sequence[tuple[str, str]]) -> None:
    """Writes down that these segments were read just now, and what was found wrong."""
    with vault.db.write() as connection:
        connection.execute(checks.delete().where(checks.c.segment.in_([each for each, _ in seen])))
        # An erasure may have come in between: nothing is noted of what is no more.
        query = sa.select(segments.c.id).where(segments.c.id.in_([each for each, _ in seen]))
        there = set(connection.scalars(query))
        for segment, fault in seen:
            if segment in there:
                row = {"segment": segment, "checked_ns": vault.now_ns(), "fault": fault}
                connection.execute(checks.insert().values(**row))


def digest(store: Store, key: str) -> str:
    """The SHA-256 of an object as it can be read now; NotFound, Failed."""
    whole = hashlib.sha256()
    for chunk in store.chunks(key):
        whole.update(chunk)
    return whole.hexdigest()


def _rows(vault: Vault) -> Sequence[sa.Row]:
    """Stored segments with bytes, the longest unread first."""
    columns = [segments.c[name] for name in ("id", "person", "object", "size_bytes", "day")]
    columns += [segments.c[name] for name in ("start_ns", "stop_ns", "record_hash")]
    checked = sa.func.coalesce(checks.c.checked_ns, 0).label("checked_ns")
    fault = sa.func.coalesce(checks.c.fault, "").label("fault")
    query = sa.select(*columns, checked, fault)
    query = query.outerjoin(checks, checks.c.segment == segments.c.id)
    query = query.where(segments.c.object != "", segments.c.state == "stored")
    with vault.db.read() as connection:
        return connection.execute(query.order_by(checked, segments.c.id)).all()


def _by_listing(
    vault: Vault, rows: Sequence[sa.Row], listing: dict[str, Listed]
) -> Iterator[Fault]:
    """What is missing or of another size; a listing may be late, so each is asked for by name."""
    for row in rows:
        item = listing.get(row.object)
        if item is not None and item.size == row.size_bytes:
            continue
        size = vault.store.size(row.object)
        if size != row.size_bytes and _still_stored(vault, row.id):
            yield _fault(row, "missing" if size is None else "changed")


def _read(vault: Vault, row: sa.Row) -> Fault | None:
    """Reads one object and tries its keys; the second reading decides, as the first may slip."""
    try:
        with vault.db.read() as connection:
            record = catalog.find(connection, row.id).record
    except NotFound:
        return None  # erased meanwhile
    for last in (False, True):
        try:
            if digest(vault.store, row.object) == record["object_sha256"]:
                return _fault(row, "locked") if not _opens(vault, row) else None
            kind = "changed"
        except NotFound:
            kind = "missing"
        except Failed:
            kind = "unreadable"
        if last:
            break
    return _fault(row, kind) if _still_stored(vault, row.id) else None


def _opens(vault: Vault, row: sa.Row) -> bool:
    """Whether the keyring opens every file key; asked again, as an erasure moves keys."""
    for _ in range(2):
        with vault.db.read() as connection:
            parts = catalog.parts_of(connection, row.id).values()
        try:
            for part in parts:
                day_key = vault.keyring.day_key(row.person, row.day, part.generation)
                aad = file_key_aad(row.person, row.day, row.id, part.name, part.payload_sha256)
                unwrap(day_key, part.file_key or b"", aad)
        except (NotFound, Damaged):
            continue
        return True
    return not _still_stored(vault, row.id)


def _orphans(vault: Vault, listing: dict[str, Listed], named: set[str]) -> list[Listed]:
    """Objects that no row knows, and parts that no upload does."""
    unknown = [item for key, item in listing.items() if key not in named]
    with vault.db.read() as connection:  # asked after the listing: what came since has its row
        for table in (segments, uploads):
            named = named | set(connection.scalars(sa.select(table.c.object)))
    found = [item for item in unknown if item.key not in named]
    for stray in ingest.strays(vault):
        found.append(Listed(f"uploads/{stray.upload}", 0, int(stray.begun_s * 1e9)))
    return sorted(found, key=lambda item: item.key)


def _still_stored(vault: Vault, segment: str) -> bool:
    with vault.db.read() as connection:
        query = sa.select(segments.c.state).where(segments.c.id == segment)
        return connection.scalar(query) == "stored"


def _fault(row: sa.Row, kind: str) -> Fault:
    place = (row.id, row.person, row.object)
    return Fault(*place, kind, row.start_ns, row.stop_ns, row.record_hash)


def _batches(rows: Sequence[sa.Row]) -> Iterator[Sequence[sa.Row]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
