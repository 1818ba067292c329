"""Signatures that don't hold: an alarm for whoever runs the vault, device by device.

What was wrongly signed is refused where it comes in. Here stays when that happened, for `firsthand
status` and the metrics: a key may be guessed at, copied, or used after its device was revoked.
"""

import logging
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent.tables import devices
from firsthand.db import metadata
from firsthand.vault.vault import Vault

# One row changes once in so long, however often somebody tries: a flood must cost us no writes.
QUIET_NS = 60 * 10**9
# So long it is an alarm; then it is history.
ALARM_NS = 7 * 86_400 * 10**9
STRANGER = ""  # stands for all devices that are not enrolled: who floods us can't fill the table

forgeries = sa.Table(
    "forgery",
    metadata,
    sa.Column("device", sa.String, primary_key=True),
    sa.Column("minutes", sa.BigInteger, nullable=False),  # in which it happened
    sa.Column("last_ns", sa.BigInteger, nullable=False),
    sa.Column("why", sa.String, nullable=False),
)
_log = logging.getLogger("firsthand.vault")


@dataclass(frozen=True)
class Alarm:
    """In whose name something was wrongly signed, in how many minutes, when last, and what."""

    device: str
    minutes: int
    last_ns: int
    why: str


def note(vault: Vault, device: str, why: str) -> None:
    """Keeps that something came in a device's name with a signature that doesn't hold."""
    now_ns = vault.now_ns()
    with vault.db.read() as connection:
        if device != STRANGER:
            known = sa.select(devices.c.id).where(devices.c.id == device)
            device = connection.scalar(known) or STRANGER
        row = _row(connection, device)
    if row is not None and now_ns - row.last_ns < QUIET_NS:
        return
    _log.warning("signature_refused device=%s why=%s", device or "unknown", why)
    with vault.db.write() as connection:
        row = _row(connection, device)
        values = {"minutes": 1 + (row.minutes if row else 0), "last_ns": now_ns, "why": why[:300]}
        if row is None:
            connection.execute(forgeries.insert().values(device=device, **values))
        else:
            mine = forgeries.c.device == device
            connection.execute(forgeries.update().where(mine).values(**values))


def alarms(connection: Connection, now_ns: int) -> list[Alarm]:
    """What happened of late, the newest first."""
    query = sa.select(forgeries).where(forgeries.c.last_ns > now_ns - ALARM_NS)
    rows = connection.execute(query.order_by(forgeries.c.last_ns.desc(), forgeries.c.device))
    return [Alarm(**row._mapping) for row in rows]


def _row(connection: Connection, device: str) -> sa.Row | None:
    return connection.execute(sa.select(forgeries).where(forgeries.c.device == device)).first()
