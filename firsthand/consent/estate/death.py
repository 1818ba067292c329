"""A death: attested by two who are independent, in force after a wait in which it can be denied.

From the second attestation on nothing of the person's is used; after the wait the directive holds.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.estate import directive
from firsthand.consent.estate.tables import attestations, stops
from firsthand.errors import Refused, Usage

DAY_NS = 86_400 * 10**9
WAIT_NS = 30 * DAY_NS
YEAR_NS = 36525 * DAY_NS // 100
NEEDED = 2


@dataclass(frozen=True)
class Estate:
    """How things stand: who attested, since when the directive holds, when all is destroyed."""

    attestors: tuple[str, ...]
    in_force_ns: int | None  # None until two have attested
    destroyed_ns: int | None
    stopped_by: str = ""


def attest(
    connection: Connection,
    person: people.Person,
    attestor: str,
    household: str,
    document_sha256: str,
    now_ns: int | None = None,
) -> Estate:
    """Takes one attestation of a death with the hash of its document; Usage, Refused.

    Two make a death: by different people of different households, with a document each, of whom
    at most one is named in the directive to run the model.
    """
    who, house = " ".join(attestor.split()), " ".join(household.split())
    if not who or not house:
        raise Usage(
            "an attestation names who attests, and where they live", "give --by and --household"
        )
    if not re.fullmatch(r"[0-9a-f]{64}", document_sha256):
        raise Usage(
            "an attestation carries the SHA-256 of its document, in hexadecimal",
            "give the document itself: --document FILE",
        )
    now = people.find(connection, person.id)
    if now.status == "erased":
        raise Refused(f"person {person.id} is erased", "there is nothing left to decide on")
    known = _attestations(connection, person.id)
    if any(_same(one.attestor, who) for one in known):
        return state(connection, person.id)
    if _same(who, now.name):
        raise Refused(f"{who} can't attest their own death", "two others of two households do")
    if any(_same(one.household, house) for one in known):
        raise Refused(f"{who} lives with one who attested already", _OTHERS)
    if any(one.document_sha256 == document_sha256 for one in known):
        raise Refused("this document was brought already", _OTHERS)
    runs = {name.casefold() for name in directive.of(connection, person.id).may.get("run", ())}
    if who.casefold() in runs and any(one.attestor.casefold() in runs for one in known):
        raise Refused("both who attest may run the model, so neither is independent", _OTHERS)
    at_ns = now_ns or time.time_ns()
    private = {"attestor": who, "household": house, "document_sha256": document_sha256}
    index = people.note(connection, "death_attested", now, at_ns, private=private)
    row = private | {"person": person.id, "attested_ns": at_ns, "log_index": index}
    connection.execute(attestations.insert().values(**row))
    if len(known) + 1 == NEEDED:
        _set_status(connection, person.id, "deceased")
    return state(connection, person.id)


def deny(
    connection: Connection, person: people.Person, why: str, now_ns: int | None = None
) -> None:
    """The person lives after all: attestations are void, and all is as before. Usage.

    Who had left before has left: nothing leads back from that.
    """
    if not why.strip():
        raise Usage("say how it is known that the person lives", "give the reason with --why")
    if not _attestations(connection, person.id):
        raise Usage(f"nobody attested a death of {person.name}", 'see "firsthand estate show"')
    private = {"why": why.strip()}
    people.note(connection, "death_denied", person, now_ns or time.time_ns(), private=private)
    for table in (attestations, stops):
        connection.execute(table.delete().where(table.c.person == person.id))
    if people.find(connection, person.id).status == "deceased":
        _set_status(connection, person.id, "withdrawn" if _left(connection, person) else "active")


def state(connection: Connection, person: str) -> Estate:
    """How things stand with a person (an id)."""
    known = _attestations(connection, person)
    names = tuple(one.attestor for one in known)
    if len(known) < NEEDED:
        return Estate(names, None, None)
    in_force_ns = known[NEEDED - 1].attested_ns + WAIT_NS
    years = directive.of(connection, person).destroy_after_years
    stopped = connection.execute(sa.select(stops.c.by).where(stops.c.person == person)).scalar()
    return Estate(names, in_force_ns, in_force_ns + years * YEAR_NS, stopped or "")


def require(
    connection: Connection, person: people.Person, act: str, who: str, now_ns: int | None = None
) -> None:
    """Refused, with the reason, unless the directive lets `who` do this now, and logged if it does.

    Nobody acts for someone who lives, before the wait is over, or after the end of all years, and
    nobody runs the model of someone who had left or had ordered that all be erased.
    """
    if act not in directive.ACTS:
        raise Usage(f"{act!r} is nothing that a directive can allow", f"use {directive.ACTS}")
    at_ns = now_ns or time.time_ns()
    found = state(connection, person.id)
    said = directive.of(connection, person.id)
    if found.in_force_ns is None or found.destroyed_ns is None:
        raise Refused(f"no death of {person.name} is attested by two", "nobody acts for the living")
    if said.set_ns is None:
        raise Refused(f"{person.name} left no directive", "then nobody may, and all is destroyed")
    if not said.allows(act, who):
        raise Refused(
            f"{person.name}'s directive does not name {who} to {act}", 'see "firsthand estate show"'
        )
    if at_ns < found.in_force_ns:
        left = -(-(found.in_force_ns - at_ns) // DAY_NS)
        raise Refused(f"the wait for a denial lasts {left} more days", "ask again then")
    if at_ns >= found.destroyed_ns:
        raise Refused(f"the years that {person.name} gave are over", "all of it is to be destroyed")
    if act == "run" and (_left(connection, person) or erasure.leaving(connection, person.id)):
        raise Refused(f"{person.name} had left, or had asked to be erased", "that word holds")
    if act == "run" and found.stopped_by:
        raise Refused(f"{found.stopped_by} stopped the model of {person.name}", "for good")
    private = {"act": act, "who": who}
    index = people.note(connection, "directive_used", person, at_ns, private=private)
    if act == "stop" and not found.stopped_by:
        row = {"person": person.id, "by": who, "stopped_ns": at_ns, "log_index": index}
        connection.execute(stops.insert().values(**row))


def due(connection: Connection, now_ns: int | None = None) -> list[people.Person]:
    """Whose years are over: all that is theirs is to be destroyed."""
    at_ns = now_ns or time.time_ns()
    gone = [one for one in people.listed(connection) if one.status == "deceased"]
    ends = {one.id: state(connection, one.id).destroyed_ns for one in gone}
    return [one for one in gone if (end := ends[one.id]) is not None and end <= at_ns]


_OTHERS = "two independent people attest, each with a document"


def _attestations(connection: Connection, person: str) -> Sequence[sa.Row]:
    query = sa.select(attestations).where(attestations.c.person == person)
    return connection.execute(query.order_by(attestations.c.log_index)).all()


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _left(connection: Connection, person: people.Person) -> bool:
    """Whether a person had left of their own will; the log's order is no matter, it is for good."""
    return any(entry.kind == "person_withdrawn" for entry in log.read(connection, person.id))


def _set_status(connection: Connection, person: str, status: str) -> None:
    where = people.people.c.id == person
    connection.execute(people.people.update().where(where).values(status=status))
