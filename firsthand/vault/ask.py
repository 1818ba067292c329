"""What the vault asks of devices, in the answers that they get anyway: to bring an interval home
first, and to pause as their wearer wishes.

What a device makes of it is in record/home/queue.py and record/wearer/asked.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.asking import HOLDS_NS, LONGEST_S, Ask, sign_ask
from firsthand.consent import people
from firsthand.consent.tables import devices
from firsthand.db import metadata
from firsthand.errors import NotFound, Usage
from firsthand.vault.vault import Vault

# What was wanted and has not come in so long is on no card any more.
WANTED_NS = 90 * 86_400 * 10**9
MOST = 100  # intervals of one person at a time: each travels in every answer

wants = sa.Table(
    "wanted",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("asked_ns", sa.BigInteger, nullable=False),
)
asks = sa.Table(
    "asked_of_device",
    metadata,
    sa.Column("device", sa.String, sa.ForeignKey("device.id"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("pause_s", sa.BigInteger, nullable=False),
    sa.Column("asked_ns", sa.BigInteger, nullable=False),
    sa.Column("heard_ns", sa.BigInteger),  # when the device was first told; NULL: not yet
)


@dataclass(frozen=True)
class Want:
    """An interval of a person, in wall-clock ns, stop excluded, that should come home first."""

    id: str
    start_ns: int
    stop_ns: int
    asked_ns: int


def want(
    connection: Connection, person: people.Person, start_ns: int, stop_ns: int, now_ns: int
) -> Want:
    """Asks for an interval of a person first, whatever of it is still on a card; Usage, Refused."""
    people.require_active(connection, person)
    if not start_ns < stop_ns:
        raise Usage("an interval ends after it begins", "give the earlier time first")
    found = wanted(connection, person.id, now_ns)
    for each in found:
        if (each.start_ns, each.stop_ns) == (start_ns, stop_ns):
            return each
    if len(found) >= MOST:
        raise Usage(f"{MOST} intervals are wanted already", "take one back first")
    made = Want(people.new_id("q"), start_ns, stop_ns, now_ns)
    connection.execute(wants.insert().values(person=person.id, **vars(made)))
    private = {"start_ns": start_ns, "stop_ns": stop_ns}
    people.note(connection, "wanted", person, now_ns, private=private)
    return made


def take_back(connection: Connection, person: people.Person, id_: str) -> None:
    """Nothing is wanted first by this any more; NotFound."""
    where = (wants.c.id == id_) & (wants.c.person == person.id)
    if not connection.execute(wants.delete().where(where)).rowcount:
        raise NotFound(f"{person.name} has no wanted interval {id_!r}")


def wanted(connection: Connection, person: str, now_ns: int) -> list[Want]:
    """What is wanted of a person, the first asked first."""
    columns = [wants.c[name] for name in ("id", "start_ns", "stop_ns", "asked_ns")]
    query = sa.select(*columns).where(
        wants.c.person == person, wants.c.asked_ns > now_ns - WANTED_NS
    )
    rows = connection.execute(query.order_by(wants.c.asked_ns, wants.c.id))
    return [Want(*row) for row in rows]


def ask_to_pause(
    connection: Connection, person: people.Person, device: str, pause_s: int, now_ns: int
) -> int:
    """Leaves word for a device to pause when it is next in contact; the request's number."""
    if not 0 <= pause_s <= LONGEST_S:
        raise Usage("a pause lasts up to 24 h", "or until you resume")
    mine = (devices.c.id == device) & (devices.c.person == person.id)
    if connection.execute(sa.select(devices.c.id).where(mine)).first() is None:
        raise NotFound(f"{person.name} has no device {device!r}")
    top = sa.select(sa.func.max(asks.c.number)).where(asks.c.device == device)
    number = (connection.scalar(top) or 0) + 1
    row = {"device": device, "number": number, "pause_s": pause_s, "asked_ns": now_ns}
    connection.execute(asks.insert().values(**row))
    people.note(connection, "pause_asked", person, now_ns, device=device)
    return number


def last_asked(connection: Connection, device: str, now_ns: int) -> sa.Row | None:
    """The last request to a device that may still be taken, with when it heard of it."""
    query = sa.select(asks).where(asks.c.device == device, asks.c.asked_ns > now_ns - HOLDS_NS)
    return connection.execute(query.order_by(asks.c.number.desc()).limit(1)).first()


def told(vault: Vault, device: people.Device) -> dict[str, Any]:
    """What is said to a device that asks how things stand: {"wanted", "ask"}."""
    now_ns = vault.now_ns()
    with vault.db.read() as connection:
        listed: Sequence[Want] = wanted(connection, device.person, now_ns)
        row = last_asked(connection, device.id, now_ns)
    answer: dict[str, Any] = {"wanted": [[each.start_ns, each.stop_ns] for each in listed]}
    if row is None:
        return answer | {"ask": None}
    if row.heard_ns is None:
        where = (asks.c.device == device.id) & (asks.c.number == row.number)
        with vault.db.write() as connection:
            connection.execute(asks.update().where(where).values(heard_ns=now_ns))
    ask = Ask(device.id, row.number, row.pause_s, row.asked_ns)
    return answer | {"ask": sign_ask(ask, vault.keyring.log_key())}


def forget(connection: Connection, person: str) -> None:
    """Takes away what was asked about a person and of their devices."""
    mine = sa.select(devices.c.id).where(devices.c.person == person)
    connection.execute(wants.delete().where(wants.c.person == person))
    connection.execute(asks.delete().where(asks.c.device.in_(mine)))
