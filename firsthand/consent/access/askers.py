"""Who is asking: access keys with a name and a role, of which the vault keeps a hash only.

A wearer's key opens their own pages and no other's. From the moment a wearer has one, nobody else's
key acts for them, the keeper's included: the key that the server prints when it begins.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access.tables import keys
from firsthand.errors import NotFound, Refused, Usage, WrongKey

ROLES = {
    "wearer": "their own pages, and no other's",
    "reviewer": "approves viewings, looks at what was approved, and frees quarantined footage",
    "organisation": "runs, devices and figures; no footage, no consents",
    "monitor": "stops a study that does harm, and lets it go on; no pages",
    "governance": "what data are worth; no footage, no pages",
}
WITHOUT_PAGES = ("monitor", "governance")


@dataclass(frozen=True)
class Asker:
    """Whoever holds a key: the human behind it counts, not how many keys they have."""

    id: str
    name: str
    role: str
    person: str = ""  # id, of a wearer
    human: str = ""
    household: str = ""

    def owns(self, person: str) -> bool:
        """Whether this is the person themselves."""
        return self.role == "wearer" and self.person == person


# Who holds the key that the server printed, or works on the vault's own computer.
KEEPER = Asker("keeper", "keeper", "keeper")


def give(
    connection: Connection,
    name: str,
    role: str,
    *,
    person: people.Person | None = None,
    human: str = "",
    household: str = "",
    now_ns: int | None = None,
) -> tuple[Asker, str]:
    """Makes a key, which is told here and never again; `human` is who has another key already."""
    name, at_ns = name.strip(), now_ns or time.time_ns()
    if role not in ROLES:
        raise Usage(f"{role!r} is no role", f"known: {', '.join(ROLES)}")
    if not name or len(name) > 80 or not name.isprintable() or name == KEEPER.name:
        raise Usage(f"{name!r} is no name for a key", "give 1 to 80 printable characters")
    if (role == "wearer") != (person is not None):
        raise Usage("a wearer's key is for a person, and no other key is", "see --person")
    if person is not None:
        people.require_active(connection, person)
    key = secrets.token_urlsafe(24)
    asker = Asker(
        id=people.new_id("k"),
        name=name,
        role=role,
        person=person.id if person else "",
        human=(human.strip() or name).casefold(),
        household=household.strip().casefold(),
    )
    row = vars(asker) | {"digest": _digest(cookie(key)), "given_ns": at_ns, "revoked_ns": None}
    try:
        connection.execute(keys.insert().values(**row))
    except IntegrityError as error:
        raise Usage(f"there is already a key named {name!r}", "choose another name") from error
    if person is not None:
        private = {"key": asker.id, "name": name}
        people.note(connection, "access_given", person, at_ns, role=role, private=private)
    else:
        log.append(connection, "access_given", at_ns, key=asker.id, role=role)
    return asker, key


def revoke(connection: Connection, name: str, now_ns: int | None = None) -> None:
    """Ends a key at once; NotFound."""
    at_ns = now_ns or time.time_ns()
    where = ((keys.c.name == name) | (keys.c.id == name)) & keys.c.revoked_ns.is_(None)
    row = connection.execute(sa.select(keys).where(where)).first()
    if row is None:
        raise NotFound(f"there is no key {name!r} that opens", 'see "firsthand access list"')
    connection.execute(keys.update().where(keys.c.id == row.id).values(revoked_ns=at_ns))
    if row.person:
        person = people.find(connection, row.person)
        private = {"key": row.id, "name": row.name}
        people.note(connection, "access_revoked", person, at_ns, private=private)
    else:
        log.append(connection, "access_revoked", at_ns, key=row.id)


def cookie(key: str) -> str:
    """What a browser keeps in place of the key."""
    return hashlib.sha256(f"firsthand/page/v1 {key}".encode()).hexdigest()


def by_cookie(connection: Connection, value: str) -> Asker | None:
    """Whose cookie this is, if their key still opens anything."""
    where = (keys.c.digest == _digest(value)) & keys.c.revoked_ns.is_(None)
    row = connection.execute(sa.select(keys).where(where)).first()
    return _asker(row) if row else None


def by_key(connection: Connection, key: str) -> Asker:
    """Whose key this is; WrongKey."""
    found = by_cookie(connection, cookie(key))
    if found is None:
        raise WrongKey("this access key opens nothing (any more)", "ask for a new one")
    return found


def find(connection: Connection, asker: str) -> Asker:
    """Whoever has the key of this id, revoked or not; NotFound."""
    row = connection.execute(sa.select(keys).where(keys.c.id == asker)).first()
    if row is None:
        raise NotFound(f"there is no key {asker}", 'see "firsthand access list"')
    return _asker(row)


def holding(connection: Connection, asker: str) -> Asker:
    """Whoever has the key of this id, if it still opens anything; NotFound."""
    return _living(connection, keys.c.id == asker, asker)


def named(connection: Connection, name: str) -> Asker:
    """Whoever has the key of this name, if it still opens anything; NotFound."""
    return _living(connection, keys.c.name == name, repr(name))


def _living(connection: Connection, which: sa.ColumnElement[bool], called: str) -> Asker:
    row = connection.execute(sa.select(keys).where(which & keys.c.revoked_ns.is_(None))).first()
    if row is None:
        raise NotFound(f"there is no key {called} that opens", 'see "firsthand access list"')
    return _asker(row)


def listed(connection: Connection) -> Sequence[Any]:
    """All keys ever given, oldest first, without what opens anything."""
    columns = [column for column in keys.c if column.name != "digest"]
    return list(connection.execute(sa.select(*columns).order_by(keys.c.given_ns, keys.c.id)))


def has_key(connection: Connection, person: str) -> bool:
    """Whether a person has a key of their own, so that nobody else acts for them."""
    where = (keys.c.person == person) & keys.c.revoked_ns.is_(None)
    return connection.execute(sa.select(keys.c.id).where(where).limit(1)).first() is not None


def require_acts_for(connection: Connection, asker: Asker, person: str) -> None:
    """Refused unless this asker may act for a person: as themselves, or as keeper without a key."""
    if asker.owns(person) or (asker.role == "keeper" and not has_key(connection, person)):
        return
    raise Refused(
        "this is another's to see and to decide",
        "whoever has a key of their own acts for themselves",
    )


def near(connection: Connection, asker: Asker, person: people.Person) -> bool:
    """Whether an asker is the person, or lives with them."""
    rows = connection.execute(sa.select(keys).where(keys.c.person == person.id)).all()
    households = {row.household for row in rows if row.household}
    humans = {row.human for row in rows} | {person.name.casefold()}
    return asker.human in humans or asker.household in households


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _asker(row: Any) -> Asker:
    return Asker(**{name: row._mapping[name] for name in Asker.__dataclass_fields__})
