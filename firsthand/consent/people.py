"""People: wearers and their devices; nobody is ever deleted from the list, only erased."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from firsthand import log
from firsthand.consent.tables import devices, people
from firsthand.crypto import VerifyKey
from firsthand.errors import NotFound, Refused, Usage


@dataclass(frozen=True)
class Person:
    """A wearer."""

    id: str
    name: str
    jurisdiction: str
    status: str
    salt: bytes | None
    added_ns: int


@dataclass(frozen=True)
class Device:
    """A recorder bound to one person."""

    id: str
    person: str
    key: VerifyKey
    status: str


def new_id(letter: str, size_bytes: int = 4) -> str:
    """A random id such as p-4f1c09aa: the letter tells what it names."""
    return f"{letter}-{secrets.token_hex(size_bytes)}"


def add(
    connection: Connection,
    name: str,
    jurisdiction: str = "",
    now_ns: int | None = None,
    **more: str,
) -> Person:
    """Enrols a person; Usage if the name is empty or taken. `more` goes into the log entry."""
    name = name.strip()
    if not name or len(name) > 80 or not name.isprintable():
        raise Usage(f"{name!r} is no name", "give 1 to 80 printable characters")
    if re.search(r"\bp-[0-9a-f]{8}\b", name):
        raise Usage(f"{name!r} reads like the id of a person", "choose another name")
    added_ns = now_ns or time.time_ns()
    person = Person(new_id("p"), name, jurisdiction, "active", secrets.token_bytes(32), added_ns)
    try:
        connection.execute(people.insert().values(**vars(person)))
    except IntegrityError as error:
        raise Usage(f"there is already a person named {name!r}", "choose another name") from error
    private = {"name": name, "jurisdiction": jurisdiction} | more
    note(connection, "person_added", person, added_ns, private=private)
    if jurisdiction:  # by itself, so that an audit that asks for the law need not show the name
        place = {"jurisdiction": jurisdiction}
        note(connection, "jurisdiction_set", person, added_ns, private=place)
    return person


def note(connection: Connection, kind: str, person: Person, now_ns: int, **fields) -> int:  # type: ignore[no-untyped-def]
    """Writes a log entry about this person, their fields committed to under their salt.

    Refused once they are erased: there is no salt any more, and nothing may be known of them anew.
    """
    # Read again: whoever calls may have looked the person up before the erasure.
    salt = find(connection, person.id).salt
    if salt is None:
        raise Refused(f"person {person.id} is erased", "nothing is kept of an erased person")
    return log.append(connection, kind, now_ns, person=person.id, salt=salt, **fields)


def require_active(connection: Connection, person: Person) -> None:
    """Refused unless the person takes part at this moment."""
    status = find(connection, person.id).status
    if status != "active":
        raise Refused(f"person {person.name} is {status}", "only an active person can do this")


def withdraw(connection: Connection, person: Person, now_ns: int) -> None:
    """Ends a person's part in the programme; there is no way back, so no replay can find one."""
    change = people.update().where((people.c.id == person.id) & (people.c.status == "active"))
    if connection.execute(change.values(status="withdrawn")).rowcount:
        note(connection, "person_withdrawn", person, now_ns)


def find(connection: Connection, name_or_id: str) -> Person:
    """The person of this name or id, the id first; NotFound."""
    for query in (_BY_ID, _BY_NAME):
        row = connection.execute(query, {"asked": name_or_id}).first()
        if row is not None:
            return Person(**row._mapping)
    raise NotFound(f"there is no person {name_or_id!r}", 'list them with "firsthand person list"')


# Built once, as building takes three times as long as sending.
_BY_ID = sa.select(people).where(people.c.id == sa.bindparam("asked"))
_BY_NAME = sa.select(people).where(people.c.name == sa.bindparam("asked"))
_DEVICE = (
    sa.select(devices, people.c.status.label("wearer"))
    .join(people)
    .where(devices.c.id == sa.bindparam("asked"))
)


def listed(connection: Connection) -> Sequence[Person]:
    """Everyone ever enrolled, oldest first."""
    rows = connection.execute(sa.select(people).order_by(people.c.added_ns, people.c.id))
    return [Person(**row._mapping) for row in rows]


def enrol(
    connection: Connection, person: Person, device: str, key: VerifyKey, now_ns: int | None = None
) -> Device:
    """Binds a device's signing key to a person; Refused unless the person takes part."""
    require_active(connection, person)
    if not re.fullmatch(r"[\w-]{1,64}", device, re.ASCII):
        raise Usage(f"{device!r} is no device name", "use letters, digits, - and _")
    added_ns = now_ns or time.time_ns()
    values = {"id": device, "person": person.id, "key": str(key), "status": "active"}
    try:
        connection.execute(devices.insert().values(added_ns=added_ns, **values))
    except IntegrityError as error:
        raise Usage(f"there is already a device {device}", "choose another name") from error
    note(connection, "device_enrolled", person, added_ns, device=device, key=str(key))
    return Device(device, person.id, key, "active")


def revoke(connection: Connection, device: str, now_ns: int | None = None) -> None:
    """Nothing signed by this device's key is taken any more; NotFound, Refused if it is not so."""
    found = find_device(connection, device)
    connection.execute(devices.update().where(devices.c.id == device).values(status="revoked"))
    person = find(connection, found.person)
    note(connection, "device_revoked", person, now_ns or time.time_ns(), device=device)


def find_device(connection: Connection, device: str) -> Device:
    """The device of this id; NotFound if unknown, Refused if revoked while its person takes part.

    A device of a person who left is still known: what waits on its card gets a signed refusal.
    """
    row = connection.execute(_DEVICE, {"asked": device}).first()
    if row is None:
        raise NotFound(f"device {device} is not enrolled", "enrol it anew")
    if row.status != "active" and row.wearer == "active":
        raise Refused(f"device {device} is {row.status}", "enrol it anew")
    return Device(row.id, row.person, VerifyKey.from_text(row.key), row.status)
