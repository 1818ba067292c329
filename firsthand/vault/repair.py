"""Repair: puts damaged objects back from a copy, and clears away what nobody has known for long.

Bytes are believed by their hash alone. What was bad is kept aside; where much looks wrong, nothing
is touched: then the fault lies elsewhere, in a disk that isn't mounted or a catalogue that is old.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from firsthand.errors import Damaged, Error, NotFound, Refused, Usage
from firsthand.vault import catalog
from firsthand.vault.check import DAY_NS, Fault, Findings, digest, note
from firsthand.vault.journal import slip_key
from firsthand.vault.store import Store, aside_of
from firsthand.vault.vault import Vault

# An upload may lie unfinished for a week, and a clock may be wrong by days.
ORPHAN_DAYS = 30
# More than 1 % of all objects, or more than 100; and up to 10 always, as a small vault has few.
MOST_SHARE, MOST, FEW = 0.01, 100, 10


@dataclass
class Repaired:
    """What a repair did: faults put right, and why others were not; orphans removed."""

    mended: list[Fault] = field(default_factory=list)
    left: list[tuple[Fault, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    slips: int = 0


def repair(vault: Vault, found: Findings, force: bool = False) -> Repaired:
    """Mends what a check found; Refused if so much is wrong that the cause must lie elsewhere."""
    old_ns = vault.now_ns() - ORPHAN_DAYS * DAY_NS
    old = [item for item in found.orphans if 0 < item.changed_ns < old_ns]
    if not force:
        _refuse_much(len(found.faults), found.rows, "missing or changed")
        _refuse_much(len(old), found.rows, "known to no row")
    done = Repaired()
    for fault in found.faults:
        try:
            _mend(vault, fault)
            done.mended.append(fault)
        except Error as error:
            done.left.append((fault, error.message))
    note(vault, [(fault.segment, "") for fault in done.mended])
    for item in old:
        if item.key.startswith("uploads/"):
            vault.store.abort("", item.key.partition("/")[2])
        else:
            vault.store.delete(item.key)
        done.removed.append(item.key)
    for item in list(vault.store.listed("unfinished")):  # by writers that were killed
        if item.changed_ns < vault.now_ns() - DAY_NS:
            vault.store.delete(item.key)
    done.slips = write_slips(vault)
    return done


def write_slips(vault: Vault) -> int:
    """Writes the journal's slips that are lacking, as after an upgrade; returns how many."""
    held = set(vault.store.keys("journal/slips"))
    with vault.db.read() as connection:
        lacking = [row for row in catalog.stored(connection) if slip_key(row) not in held]
        parts = {row.id: catalog.parts_of(connection, row.id).values() for row in lacking}
    for row in lacking:
        vault.journal.put_slip(row, parts[row.id])
    return len(lacking)


def copy_out(vault: Vault, progress: Callable[[int, int], None] | None = None) -> int:
    """Copies to the second store what it lacks; returns how many objects. Usage without one.

    What is damaged here is not copied over what is whole there: objects are written once.
    """
    copy = _copy_of(vault)
    held = {item.key: item.size for item in copy.listed("segments")}
    with vault.db.read() as connection:
        rows = catalog.with_bytes(connection)
    lacking = [row for row in rows if held.get(row.object) != row.size_bytes]
    for number, row in enumerate(lacking, 1):
        _transfer(vault.store, copy, row.object, row.record["object_sha256"])
        if progress is not None:
            progress(number, len(lacking))
    for item in list(vault.store.listed("journal")):
        copy.replace(item.key, b"".join(vault.store.chunks(item.key)))
    there = {item.key for item in vault.store.listed("journal")}
    for key in list(copy.keys("journal")):
        if key not in there:
            copy.delete(key)
    return len(lacking)


def _refuse_much(count: int, rows: int, what: str) -> None:
    if count > min(MOST, max(FEW, rows * MOST_SHARE)):
        raise Refused(
            f"{count} objects are {what}, of {rows}: nothing was touched",
            "is the right store mounted, and the catalogue as new as it? If so, use --force",
        )


def _mend(vault: Vault, fault: Fault) -> None:
    """One object from the copy; Damaged, NotFound or Failed says why that can't be."""
    if fault.kind == "locked":
        raise Damaged("its key is in the keyring no more; put back a backup of the keyring")
    copy = _copy_of(vault)
    with vault.db.read() as connection:
        segment = catalog.find(connection, fault.segment)
    wanted = segment.record["object_sha256"]
    there = vault.store.size(segment.object) is not None
    if there and digest(vault.store, segment.object) == wanted:
        return  # it can be read again
    fresh = f"repair/{secrets.token_hex(16)}"
    _transfer(copy, vault.store, segment.object, wanted, fresh)
    if there:
        aside = f"{aside_of(segment.object)}/{secrets.token_hex(4)}"
        vault.store.move(segment.object, aside)
    vault.store.move(fresh, segment.object)


def _transfer(source: Store, target: Store, key: str, wanted: str, to: str = "") -> None:
    """Copies one object and reads it back; nothing stays in `target` unless it is whole."""
    fresh = to or f"repair/{secrets.token_hex(16)}"
    whole = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for chunk in source.chunks(key):
            whole.update(chunk)
            yield chunk

    try:
        if source.size(key) is None:
            raise NotFound("the copy has no such object")
        target.replace(fresh, pieces())
        if whole.hexdigest() != wanted:
            raise Damaged("its copy is damaged too")
        if digest(target, fresh) != wanted:
            raise Damaged("the store did not keep what was written")
    except Error:
        target.delete(fresh)
        raise
    if not to:
        target.move(fresh, key)


def _copy_of(vault: Vault) -> Store:
    if vault.copy is None:
        raise Usage("no copy is named", "set copy_url to a second store")
    return vault.copy
