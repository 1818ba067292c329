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
    settings, now_ns = vault.settings, vault.now_ns()
    asked = {"of": record.person, "since_ns": now_ns - DAY_NS}
    begun = {row[0]: (row[1], int(row[2])) for row in connection.execute(_BEGUN, asked)}
    waiting, promised = begun.get(record.device, (0, 0))
    if record.object_size:
        _check_upload(vault, record, waiting)
    asked = {"of": record.person, "on": catalog.day_of(now_ns)}
    stored = {row[0]: row[1] for row in connection.execute(_STORED, asked)}
    own = stored.get(record.device, 0) + promised
    everyones = sum(stored.values()) + sum(size for _, size in begun.values())
    limits = (
        (f"device {record.device}", own, settings.device_gb_a_day),
        (f"person {record.person}", everyones, settings.person_gb_a_day),
    )
    for name, so_far, limit_gb in limits:
        taken = so_far + max(record.object_size, LEAST_BYTES)
        if taken > limit_gb * GB:
            raise TooMuch(
                f"{name} may hand in {limit_gb} GB a day, and this would make {taken / GB:.1f} GB",
                "what waits stays on the card and goes on tomorrow; or raise the limit",
            )


def _check_upload(vault: Vault, record: Record, waiting: int) -> None:
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
    if waiting >= vault.settings.uploads_at_once:
        raise TooMuch(
            f"device {record.device} has {waiting} uploads open",
            "complete those first, or end them",
        )


# Bytes stored on a day, and those that uploads of the last day were promised room for, by device
# of a person.
_MINE = tables.devices.c.person == sa.bindparam("of")
_STORED = (
    sa.select(intake.c.device, intake.c.size_bytes)
    .join(tables.devices, tables.devices.c.id == intake.c.device)
    .where(_MINE, intake.c.day == sa.bindparam("on"))
)
_BEGUN = (
    sa.select(uploads.c.device, sa.func.count(), sa.func.sum(uploads.c.size_bytes))
    .join(tables.devices, tables.devices.c.id == uploads.c.device)
    .where(_MINE, uploads.c.opened_ns > sa.bindparam("since_ns"))
    .group_by(uploads.c.device)
)
_MORE = (
    intake.update()
    .where(intake.c.device == sa.bindparam("of"), intake.c.day == sa.bindparam("on"))
    .values(size_bytes=intake.c.size_bytes + sa.bindparam("more"))
)


def note(connection: Connection, device: str, size_bytes: int, now_ns: int) -> None:
    """Counts bytes that were stored."""
    day = catalog.day_of(now_ns)
    asked = {"of": device, "on": day, "more": max(size_bytes, LEAST_BYTES)}
    if not connection.execute(_MORE, asked).rowcount:
        row = {"device": device, "day": day, "size_bytes": asked["more"]}
        connection.execute(intake.insert().values(**row))
