"""Limits on what devices hand in: bytes a day, open uploads, bytes at once.

A device that meets one keeps its footage, is told why, and goes on when there is room again.
"""

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import tables
from firsthand.errors import Refused, Usage
from firsthand.segment import Record
from firsthand.vault import catalog
from firsthand.vault.catalog import intake, uploads
from firsthand.vault.parts import StoreFull
from firsthand.vault.vault import Vault

# Two minutes at 100 Mbit/s of video; a minute at full quality has 50 MB.
MAX_OBJECT = 2 << 30
GB = 10**9
# What a record counts at least: its row, slip and log entry take room too, and 1000 GB a day are so
# 100,000 records. A day of wear has some 900.
LEAST_BYTES = 10**7
# What stays free for the database, the log and the journal, which come to 0.1 % of the footage.
RESERVE_BYTES = 64 << 20
DAY_NS = 86_400 * 10**9


class TooLarge(Usage):
    """More bytes at once than are taken here."""

    http_status = 413


class TooMuch(Refused):
    """More than a device or a person may hand in for now."""

    http_status = 429


def check(connection: Connection, vault: Vault, record: Record) -> None:
    """Returns if its device may begin this upload; TooLarge, TooMuch or StoreFull says why not."""
    if record.object_size:
        _check_upload(connection, vault, record)
    settings, now_ns = vault.settings, vault.now_ns()
    mine = sa.select(tables.devices.c.id).where(tables.devices.c.person == record.person)
    limits = (
        (f"device {record.device}", [record.device], settings.device_gb_a_day),
        (f"person {record.person}", mine, settings.person_gb_a_day),
    )
    for name, devices, limit_gb in limits:
        taken = _taken(connection, devices, now_ns) + max(record.object_size, LEAST_BYTES)
        if taken > limit_gb * GB:
            raise TooMuch(
                f"{name} may hand in {limit_gb} GB a day, and this would make {taken / GB:.1f} GB",
                "what waits stays on the card and goes on tomorrow; or raise the limit",
            )


def _check_upload(connection: Connection, vault: Vault, record: Record) -> None:
    settings, now_ns = vault.settings, vault.now_ns()
    if record.object_size > MAX_OBJECT:
        raise TooLarge(
            f"record {record.seq} names {record.object_size} bytes, and {MAX_OBJECT} are taken",
            "record in shorter segments",
        )
    free = vault.store.free_bytes()
    if free is not None and free < record.object_size + RESERVE_BYTES:
        raise StoreFull(
            f"the store has {free // 10**6} MB left, too little for {record.object_size} bytes",
            "make room in the store; the device keeps its footage and tries again",
        )
    since_ns = now_ns - DAY_NS
    query = sa.select(sa.func.count()).select_from(uploads)
    query = query.where(uploads.c.device == record.device, uploads.c.opened_ns > since_ns)
    waiting = connection.scalar(query) or 0
    if waiting >= settings.uploads_at_once:
        raise TooMuch(
            f"device {record.device} has {waiting} uploads open",
            "complete those first, or end them",
        )


def note(connection: Connection, device: str, size_bytes: int, now_ns: int) -> None:
    """Counts bytes that were stored."""
    day = catalog.day_of(now_ns)
    size_bytes = max(size_bytes, LEAST_BYTES)
    where = (intake.c.device == device) & (intake.c.day == day)
    more = intake.update().where(where).values(size_bytes=intake.c.size_bytes + size_bytes)
    if not connection.execute(more).rowcount:
        connection.execute(intake.insert().values(device=device, day=day, size_bytes=size_bytes))


def _taken(connection: Connection, devices, now_ns: int) -> int:  # type: ignore[no-untyped-def]
    """Bytes stored on this day, and those that uploads of the last day were promised room for."""
    stored = sa.select(sa.func.sum(intake.c.size_bytes))
    stored = stored.where(intake.c.device.in_(devices), intake.c.day == catalog.day_of(now_ns))
    promised = sa.select(sa.func.sum(uploads.c.size_bytes))
    fresh = uploads.c.opened_ns > now_ns - DAY_NS
    promised = promised.where(uploads.c.device.in_(devices), fresh)
    return int(connection.scalar(stored) or 0) + int(connection.scalar(promised) or 0)
