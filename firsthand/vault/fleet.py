"""The fleet: the last word of every device that sends any, and which have fallen silent.

A device is of the fleet from its first word on: its enrolment by code, or a heartbeat. What the
words mean is said in record/home/health.py; here they are kept, the newest and a short history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent.tables import devices, people
from firsthand.db import metadata
from firsthand.errors import Usage

# Longer is an alarm, which so comes within a day. A day worn away from Wi-Fi, 14 to 16 h, is none.
SILENT_S = 20 * 3600
HISTORY = 200  # words kept of each device: over a day, at one in ten minutes

# What a heartbeat may say, and between which bounds.
FIELDS: dict[str, tuple[float, float]] = {
    "segments_waiting": (0, 1e9),
    "waiting_bytes": (0, 1e15),
    "waiting_s": (0, 1e10),
    "room_bytes": (0, 1e15),
    "hours_left": (0, 1e9),
    "frames": (0, 1e15),
    "dropped": (0, 1e15),
    "damaged": (0, 1e9),
    "recording": (0, 1),
    "battery_percent": (0, 100),
    "temperature_c": (-100, 200),
    "throttled": (0, 1),
    "uptime_s": (0, 1e10),
}

words = sa.Table(
    "device_word",
    metadata,
    sa.Column("device", sa.String, sa.ForeignKey("device.id"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("heard_ns", sa.BigInteger, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)


@dataclass(frozen=True)
class Member:
    """A device with its last word; empty if it has said nothing since it was enrolled."""

    device: str
    person: str  # id
    wearer: str  # name
    heard_ns: int
    body: dict[str, float]
    silent_s: float
    silent: bool


def hear(connection: Connection, device: str, now_ns: int, body: dict[str, Any]) -> None:
    """Keeps what a device says of itself; Usage if it says what no device can."""
    checked = _checked(body)
    mine = words.c.device == device
    newest = connection.scalar(sa.select(sa.func.max(words.c.number)).where(mine)) or 0
    number = newest + 1
    row = {"device": device, "number": number, "heard_ns": now_ns, "body": checked}
    connection.execute(words.insert().values(**row))
    connection.execute(words.delete().where(mine, words.c.number <= number - HISTORY))


def members(connection: Connection, now_ns: int) -> Sequence[Member]:
    """Every active device of the fleet whose wearer takes part, the longest silent first."""
    newest = sa.select(words.c.device, sa.func.max(words.c.number).label("number"))
    last = newest.group_by(words.c.device).subquery()
    query = (
        sa.select(words, devices.c.person, people.c.name)
        .join(last, (last.c.device == words.c.device) & (last.c.number == words.c.number))
        .join(devices, devices.c.id == words.c.device)
        .join(people, people.c.id == devices.c.person)
        .where(devices.c.status == "active", people.c.status == "active")
        .order_by(words.c.heard_ns, words.c.device)
    )
    return [_member(row, now_ns) for row in connection.execute(query)]


def history(connection: Connection, device: str) -> Sequence[tuple[int, dict[str, float]]]:
    """(heard_ns, body) of what is kept of a device, oldest first."""
    query = sa.select(words.c.heard_ns, words.c.body).where(words.c.device == device)
    rows = connection.execute(query.order_by(words.c.number))
    return [(row.heard_ns, row.body) for row in rows]


def greet(connection: Connection, now_ns: int) -> None:
    """Takes every active device that has said nothing into the fleet, as after a recovery.

    Else one that fell silent before would raise no alarm.
    """
    spoke = sa.select(words.c.device)
    query = sa.select(devices.c.id).where(devices.c.status == "active", devices.c.id.not_in(spoke))
    for device in connection.scalars(query).all():
        hear(connection, device, now_ns, {})


def forget(connection: Connection, person: str) -> None:
    """Takes away all that a person's devices said of themselves."""
    mine = sa.select(devices.c.id).where(devices.c.person == person)
    connection.execute(words.delete().where(words.c.device.in_(mine)))


def _member(row: Any, now_ns: int) -> Member:
    silent_s = max(0, now_ns - row.heard_ns) / 1e9
    who = (row.device, row.person, row.name)
    return Member(*who, row.heard_ns, row.body, silent_s, silent_s > SILENT_S)


def _checked(body: dict[str, Any]) -> dict[str, float]:
    # What a newer device says beyond this is passed over: it must not fall silent by an update.
    known = {name: value for name, value in body.items() if name in FIELDS}
    for name, value in known.items():
        low, high = FIELDS[name]
        if type(value) not in (int, float) or not low <= value <= high:
            raise Usage(f"{name} cannot be {str(value)[:40]}")
    return known
