"""Where a wearer is, by their own calendar, and which employers permit recording at work.

A device may have no GPS and none of it would be kept: so a place is what the wearer says, before or
after the fact, with its kind. What a kind allows at most is a row of data/places.csv.
"""

import csv
import hmac
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.capture import DAYS, FOREVER_NS, Permit, Rules, Zone
from firsthand.consent import people
from firsthand.consent.capture import law
from firsthand.consent.capture.tables import permits, zones
from firsthand.errors import NotFound, Refused, Usage

MARKED = "#"  # begins the mark that stands for a place's name in what an auditor reads
# What was said by mistake can be taken back as a whole for so long; after that it can only end.
UNDO_NS = 7 * 86_400 * 10**9


@dataclass(frozen=True)
class Said:
    """A zone as its wearer said it."""

    id: str
    zone: Zone
    said_ns: int
    log_index: int


@dataclass(frozen=True)
class Permission:
    """An employer's permission as it was entered."""

    id: str
    label: str
    employer: str
    signed_by: str
    document_sha256: str
    audio: bool
    start_ns: int
    stop_ns: int
    log_index: int


@cache
def kinds() -> dict[str, dict[str, str]]:
    """The kinds of place, and what each allows at most."""
    source = files("firsthand.consent.capture") / "data" / "places.csv"
    with source.open(encoding="utf-8") as lines:
        return {row["kind"]: row for row in csv.DictReader(lines)}


def say(
    connection: Connection,
    person: people.Person,
    kind: str,
    start_ns: int,
    stop_ns: int = FOREVER_NS,
    *,
    label: str = "",
    week: tuple[str, int, int] | None = None,
    tz: str = "UTC",
    audio: bool = True,
    video: bool = True,
    jurisdiction: str = "",
    now_ns: int | None = None,
) -> Said:
    """Says when a person is at a place: once, or each week by ("mon fri", from, to) in minutes.

    A zone may be stricter than its kind, never laxer. Usage if it can't be.
    """
    at_ns = now_ns or time.time_ns()
    if kind not in kinds():
        raise Usage(f"{kind!r} is no kind of place", f"known: {', '.join(kinds())}")
    if not 0 <= start_ns < stop_ns <= FOREVER_NS:
        raise Usage("this stay is empty or out of range", "give a start before its stop")
    days, from_min, to_min = week or ("", 0, 0)
    _check_week(days, from_min, to_min, tz)
    row = kinds()[kind]
    zone = Zone(
        kind=kind,
        label=label.strip() or kind,
        audio=audio and row["audio"] == "yes",
        video=video and row["video"] == "yes",
        permission=row["permission"] == "yes",
        start_ns=start_ns,
        stop_ns=stop_ns,
        days=days,
        from_min=from_min,
        to_min=to_min,
        tz=tz,
        jurisdiction=jurisdiction.strip(),
    )
    said = people.new_id("z")
    known_as = _known_as(connection, person, zone.label)
    private: dict[str, Any] = {"zone": said} | vars(zone) | {"label": known_as}
    index = people.note(connection, "zone_said", person, at_ns, private=private)
    if known_as != zone.label:  # by itself, so that an audit need not show what places are called
        named = {"zone": said, "label": zone.label}
        people.note(connection, "zone_named", person, at_ns, private=named)
    values = {"id": said, "person": person.id, "said_ns": at_ns, "log_index": index}
    connection.execute(zones.insert().values(**values, **vars(zone)))
    return Said(said, zone, at_ns, index)


def end(
    connection: Connection, person: people.Person, said: str, now_ns: int | None = None
) -> bool:
    """Ends a zone now; True if it is taken back as a whole, being said lately. NotFound."""
    at_ns = now_ns or time.time_ns()
    found = next((each for each in of(connection, person.id) if each.id == said), None)
    if found is None:
        raise NotFound(f"{person.name} has said nothing under {said}", 'see "firsthand place list"')
    whole = at_ns < found.said_ns + UNDO_NS or at_ns <= found.zone.start_ns
    private = {"zone": said, "stop_ns": found.zone.start_ns if whole else at_ns}
    people.note(connection, "zone_ended", person, at_ns, private=private)
    where = zones.c.id == said
    if whole:
        connection.execute(zones.delete().where(where))
    elif at_ns < found.zone.stop_ns:
        connection.execute(zones.update().where(where).values(stop_ns=at_ns))
    return whole


def of(connection: Connection, person: str) -> Sequence[Said]:
    """All that a person said of where they are, by beginning."""
    query = sa.select(zones).where(zones.c.person == person)
    rows = connection.execute(query.order_by(zones.c.start_ns, zones.c.id))
    return [Said(row.id, _zone(row), row.said_ns, row.log_index) for row in rows]


def permit(
    connection: Connection,
    person: people.Person,
    label: str,
    *,
    employer: str,
    signed_by: str,
    document_sha256: str,
    stop_ns: int,
    audio: bool = False,
    by: str = "",
    now_ns: int | None = None,
) -> Permission:
    """Enters an employer's signed permission for one place of work of a person, until a date.

    Refused if the wearer signed it or enters it, if it has expired, or if the person has no such
    place of work: a permission is for one site, never for all.
    """
    at_ns = now_ns or time.time_ns()
    if not (employer.strip() and signed_by.strip()):
        raise Usage(
            "a permission names the employer and who signed for it",
            "give --employer and --signed-by",
        )
    if not re.fullmatch(r"[0-9a-f]{64}", document_sha256):
        raise Usage(
            "a permission is bound to the SHA-256 of the signed document",
            '--document is the 64 digits that "sha256sum" prints of it',
        )
    own = {person.name.casefold(), person.id}
    if {signed_by.strip().casefold(), employer.strip().casefold(), by} & own:
        raise Refused(
            f"{person.name} can't permit their own recording at work",
            "someone who signs for the employer must, and someone else enters it",
        )
    if stop_ns <= at_ns:
        raise Refused("this permission has expired", "ask the employer for a new one")
    works = [each.zone for each in of(connection, person.id) if each.zone.permission]
    if label not in {zone.label for zone in works}:
        raise Refused(
            f"{person.name} has no place of work called {label!r}",
            "say when they are there first: firsthand place say",
        )
    values: dict[str, Any] = {
        "label": label,
        "employer": employer.strip(),
        "signed_by": signed_by.strip(),
        "document_sha256": document_sha256,
        "audio": audio,
        "start_ns": at_ns,
        "stop_ns": stop_ns,
    }
    name = people.new_id("m")
    private: dict[str, Any] = {"permit": name} | values
    # By themselves, so that an audit that asks what was permitted need not show who did, and where.
    named = {"permit": name, "label": label}
    named |= {each: private.pop(each) for each in ("employer", "signed_by")}
    private["label"] = _known_as(connection, person, label)
    index = people.note(connection, "work_permitted", person, at_ns, private=private)
    people.note(connection, "employer_named", person, at_ns, private=named)
    row = values | {"id": name, "log_index": index}
    connection.execute(permits.insert().values(person=person.id, **row))
    return Permission(**row)


def _known_as(connection: Connection, person: people.Person, label: str) -> str:
    """What stands for a place's name where an auditor reads: the same for all that is said of it.

    A kind stands for itself, and so does a name that an older vault wrote there already. Others
    become a mark that can't be guessed back without the person's salt.
    """
    if label in kinds():
        return label
    places = [each.log_index for each in of(connection, person.id) if each.zone.label == label]
    for index in places:
        entry = next(iter(log.read(connection, person.id, index)), None)
        if entry and entry.index == index and (entry.private or {}).get("label") == label:
            return label
    digest = hmac.digest(person.salt or b"", b"place|" + label.encode(), "sha256")
    return MARKED + digest.hex()[:32]


def revoke(
    connection: Connection, person: people.Person, permission: str, now_ns: int | None = None
) -> None:
    """Ends an employer's permission now; NotFound."""
    at_ns = now_ns or time.time_ns()
    where = (permits.c.id == permission) & (permits.c.person == person.id)
    held = connection.execute(sa.select(permits).where(where)).first()
    if held is None:
        raise NotFound(
            f"{person.name} has no permission {permission}", 'see "firsthand place list"'
        )
    private = {"permit": permission, "stop_ns": at_ns}
    people.note(connection, "permit_revoked", person, at_ns, private=private)
    stop_ns = max(held.start_ns, min(held.stop_ns, at_ns))
    connection.execute(permits.update().where(where).values(stop_ns=stop_ns))


def permissions_of(connection: Connection, person: str) -> Sequence[Permission]:
    """The employers' permissions of a person, by beginning."""
    query = sa.select(permits).where(permits.c.person == person).order_by(permits.c.start_ns)
    names = Permission.__dataclass_fields__
    return [
        Permission(**{name: row._mapping[name] for name in names})
        for row in connection.execute(query)
    ]


def rules_of(connection: Connection, person: people.Person, since_ns: int = 0) -> Rules:
    """All that bears on what a person may record, or may have recorded since a time."""
    said = [each.zone for each in of(connection, person.id) if each.zone.stop_ns > since_ns]
    given = [
        Permit(each.label, each.audio, each.start_ns, each.stop_ns)
        for each in permissions_of(connection, person.id)
        if each.stop_ns > since_ns
    ]
    used = {person.jurisdiction, *(zone.jurisdiction for zone in said)} - {""}
    return Rules(person.jurisdiction, law.of(connection, used), tuple(said), tuple(given))


def places(connection: Connection) -> set[str]:
    """Every place whose law bears on somebody."""
    homes = connection.scalars(sa.select(people.people.c.jurisdiction).distinct())
    return {*homes, *connection.scalars(sa.select(zones.c.jurisdiction).distinct())} - {""}


def _zone(row: sa.Row) -> Zone:
    return Zone(**{name: row._mapping[name] for name in Zone.__dataclass_fields__})


def _check_week(days: str, from_min: int, to_min: int, tz: str) -> None:
    wrong = [day for day in days.split() if day not in DAYS]
    if wrong:
        raise Usage(f"{wrong[0]!r} is no day of the week", f"known: {' '.join(DAYS)}")
    if not (0 <= from_min < 1440 and 0 <= to_min <= 1440):
        raise Usage("a time of day lies between 00:00 and 24:00", "write it as 09:00-17:00")
    try:
        ZoneInfo(tz)
    except (KeyError, OSError, ValueError) as error:
        raise Usage(f"there is no time zone {tz!r}", "such as Europe/Berlin") from error
