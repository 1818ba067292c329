"""What a wearer signs with the organisation, for a period; without it footage is in quarantine.

Nothing is asked of anybody until a text of kind "agreement" is adopted. From then on, what is
recorded while no agreement is in force is stored and receipted as ever, and is its wearer's alone.
Signing again frees nothing of before: a reviewer does, by name.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.capture import withhold
from firsthand.consent.liability.tables import agreements, freed
from firsthand.consent.terms import quiz, text
from firsthand.errors import NotFound, Refused, Usage


@dataclass(frozen=True)
class Agreement:
    """One signature under the exact words of a text, from a time until another, stop excluded."""

    id: str
    person: str
    text_version: str
    text_sha256: str
    start_ns: int
    stop_ns: int
    log_index: int


@dataclass(frozen=True)
class Freed:
    """An interval that a reviewer let out of quarantine."""

    id: str
    person: str
    start_ns: int
    stop_ns: int
    reviewer: str
    freed_ns: int
    log_index: int


def asked(connection: Connection) -> text.Text:
    """The text that wearers sign now; NotFound while the organisation asks for none."""
    found = text.adopted(connection, "agreement")
    if found is None:
        raise NotFound(
            "no agreement is asked of wearers here",
            "put a text in force first: firsthand agreement adopt",
        )
    return found


def sign(
    connection: Connection,
    person: people.Person,
    *,
    stop_ns: int | None = None,
    now_ns: int | None = None,
    by: str = "",
    method: str = "command",
) -> Agreement:
    """Signs the text in force from now on, until `stop_ns` or for as long as the text allows.

    Refused where the text's quiz is not passed, or another than the wearer signs. It never reaches
    back: it begins when the log says that it was signed.
    """
    words = asked(connection)
    people.require_active(connection, person)
    if by and by not in (person.id, person.name):
        raise Refused(f"{by} cannot sign for {person.name}", f"let {person.name} do it")
    start_ns = log.now(connection, now_ns or time.time_ns())
    most_days = words.data.get("most_days", 365)
    longest_ns = start_ns + most_days * text.DAY_NS
    ends_ns = longest_ns if stop_ns is None else stop_ns
    if not start_ns < ends_ns <= longest_ns:
        raise Usage(
            f"text {words.version} is signed for 1 to {most_days} days from now",
            "name a day within that",
        )
    rests = quiz.require_ready(connection, person, words)
    signed = people.new_id("g")
    values = {"text_version": words.version, "text_sha256": words.sha256}
    bounds = {"start_ns": start_ns, "stop_ns": ends_ns}
    private = {"agreement": signed} | values | bounds | rests | {"method": method}
    index = people.note(connection, "agreement_signed", person, start_ns, private=private)
    row = {"id": signed, "person": person.id, **values, **bounds, "log_index": index}
    connection.execute(agreements.insert().values(**row))
    return Agreement(**row)  # type: ignore[arg-type]


def end(connection: Connection, person: people.Person, now_ns: int | None = None) -> int:
    """Ends what a person has signed, from now on; returns how many agreements were in force."""
    at_ns = log.now(connection, now_ns or time.time_ns())
    running = [each for each in of(connection, person.id) if each.stop_ns > at_ns]
    for each in running:
        private = {"agreement": each.id, "stop_ns": at_ns}
        people.note(connection, "agreement_ended", person, at_ns, private=private)
        change = agreements.update().where(agreements.c.id == each.id)
        connection.execute(change.values(stop_ns=at_ns))
    return len(running)


def of(connection: Connection, person: str) -> Sequence[Agreement]:
    """All that a person ever signed, oldest first."""
    query = sa.select(agreements).where(agreements.c.person == person)
    rows = connection.execute(query.order_by(agreements.c.log_index))
    return [Agreement(**row._mapping) for row in rows]


def since(connection: Connection) -> int | None:
    """From when on agreements are asked of wearers; None while none is."""
    changes = text.changes(connection, "agreement")
    return min((change.from_ns for change in changes), default=None)


def periods(connection: Connection, person: str) -> list[tuple[int, int]]:
    """When agreements of a person were or will be in force; a newer text may end one earlier."""
    changes = text.changes(connection, "agreement")
    found = []
    for each in of(connection, person):
        stop_ns = min(
            [each.stop_ns]
            + [
                change.from_ns
                for change in changes
                if change.older == "end" and change.log_index > each.log_index
            ]
        )
        if stop_ns > each.start_ns:
            found.append((each.start_ns, stop_ns))
    return found


def in_force(connection: Connection, person: people.Person, now_ns: int) -> int | None:
    """Until when an agreement of a person is in force now, or None."""
    now = (stop for start, stop in periods(connection, person.id) if start <= now_ns < stop)
    return max(now, default=None)


def quarantined(
    connection: Connection, person: people.Person, start_ns: int, stop_ns: int
) -> list[tuple[int, int]]:
    """What of an interval lies in quarantine: no agreement was in force, and nobody freed it."""
    from_ns = since(connection)
    # Who lives in a simulation signs nothing; nobody answers for them.
    if from_ns is None or person.jurisdiction == quiz.SIMULATED:
        return []
    begin_ns = max(start_ns, from_ns)
    if begin_ns >= stop_ns:
        return []
    taken = periods(connection, person.id)
    taken += [(each.start_ns, each.stop_ns) for each in freed_of(connection, person.id)]
    return withhold.subtract(begin_ns, stop_ns, taken)


def free(
    connection: Connection,
    person: people.Person,
    start_ns: int,
    stop_ns: int,
    reviewer: askers.Asker,
    now_ns: int | None = None,
) -> Freed:
    """Lets an interval out of quarantine; Refused unless its wearer has signed and another looked.

    It can be withheld, erased and reviewed like all footage; from now on nothing else closes it.
    """
    at_ns = log.now(connection, now_ns or time.time_ns())
    if reviewer.role != "reviewer":
        raise Refused(f"{reviewer.name} is no reviewer", "a reviewer's own key frees it")
    if askers.near(connection, reviewer, person):
        raise Refused(
            f"{reviewer.name} is too near to {person.name} to free this",
            "a reviewer is another human, of another household",
        )
    people.require_active(connection, person)
    if in_force(connection, person, at_ns) is None:
        raise Refused(
            f"{person.name} has no agreement in force",
            f"let them sign first: firsthand agreement sign {person.name}",
        )
    if not 0 <= start_ns < stop_ns <= at_ns:
        raise Usage("only time that is past can be freed", "give a start before its stop")
    if not quarantined(connection, person, start_ns, stop_ns):
        raise Usage(
            f"nothing of {person.name} is in quarantine then", 'see "firsthand agreement show"'
        )
    values = {"id": people.new_id("f"), "start_ns": start_ns, "stop_ns": stop_ns}
    # The name by itself, so that an audit that asks what was freed, and by whose key, shows none.
    private = values | {"key": reviewer.id}
    index = people.note(connection, "quarantine_freed", person, at_ns, private=private)
    named = {"freed": values["id"], "reviewer": reviewer.name}
    people.note(connection, "freeing_reviewed", person, at_ns, private=named)
    row = values | {
        "reviewer": reviewer.name,
        "person": person.id,
        "freed_ns": at_ns,
        "log_index": index,
    }
    connection.execute(freed.insert().values(**row))
    return Freed(**row)  # type: ignore[arg-type]


def freed_of(connection: Connection, person: str) -> Sequence[Freed]:
    """What was ever freed of a person, oldest first."""
    query = sa.select(freed).where(freed.c.person == person).order_by(freed.c.log_index)
    return [Freed(**row._mapping) for row in connection.execute(query)]
