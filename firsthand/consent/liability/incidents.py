"""The incident log: what happened, when, with whose device, and who noted it; nothing is edited.

An adverse event of a study is an incident of that kind, and may stop it (safety.py). What was noted
wrongly is noted anew.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.capture import FOREVER_NS
from firsthand.consent import people
from firsthand.consent.liability import safety
from firsthand.consent.liability.tables import incidents
from firsthand.consent.runs import approvals
from firsthand.consent.tables import devices
from firsthand.errors import NotFound, Usage

KINDS = {
    "adverse": "an adverse event of the study: harm, or nearly, to the wearer's body or mind",
    "complaint": "somebody who was or may have been recorded complains",
    "law": "recorded where it is forbidden, or an authority asks",
    "loss": "a device or a card is lost, stolen or was in other hands",
    "property": "something was damaged",
    "other": "anything else that somebody may have to answer for",
}
WORDS = 4000


@dataclass(frozen=True)
class Incident:
    """One thing that happened, as it was noted."""

    id: str
    person: str
    device: str
    study: str
    kind: str
    words: str
    noted_by: str
    happened_ns: int
    noted_ns: int
    log_index: int


def note(
    connection: Connection,
    person: people.Person,
    kind: str,
    words: str,
    *,
    happened_ns: int,
    noted_by: str,
    device: str = "",
    study: str = "",
    now_ns: int | None = None,
) -> Incident:
    """Notes that something happened; Usage, or NotFound if there is no such device or study.

    `study` is the ethics approval under which an adverse event happened.
    """
    at_ns = log.now(connection, now_ns or time.time_ns())
    words, noted_by = words.strip(), noted_by.strip()
    if kind not in KINDS:
        raise Usage(f"{kind!r} is no kind of incident", f"known: {', '.join(KINDS)}")
    if not words or len(words) > WORDS:
        raise Usage(f"an incident is told in 1 to {WORDS} characters", "say what happened")
    if not noted_by:
        raise Usage("an incident says who noted it", "give your name: --by NAME")
    if not 0 < happened_ns <= at_ns:
        raise Usage("an incident lies in the past", "give when it happened, UTC")
    mine = (devices.c.id == device) & (devices.c.person == person.id)
    if device and connection.execute(sa.select(devices.c.id).where(mine)).first() is None:
        raise NotFound(f"{person.name} has no device {device!r}", 'see "firsthand device list"')
    if bool(study) != (kind == "adverse"):
        raise Usage("an adverse event names its study, and nothing else does", "see --study")
    if study:
        approvals.find(connection, study)
    values: dict[str, Any] = {"id": people.new_id("i"), "device": device, "study": study}
    values |= {"kind": kind, "words": words, "noted_by": noted_by, "happened_ns": happened_ns}
    index = people.note(connection, "incident_noted", person, at_ns, private=values)
    row = values | {"person": person.id, "noted_ns": at_ns, "log_index": index}
    connection.execute(incidents.insert().values(**row))
    if study:
        safety.look(connection, study, at_ns)
    return Incident(**row)


def listed(
    connection: Connection, person: str = "", start_ns: int = 0, stop_ns: int = FOREVER_NS
) -> Sequence[Incident]:
    """What happened within an interval, of one person or of all, the first first."""
    when = (incidents.c.happened_ns >= start_ns) & (incidents.c.happened_ns < stop_ns)
    query = sa.select(incidents).where(when)
    if person:
        query = query.where(incidents.c.person == person)
    rows = connection.execute(query.order_by(incidents.c.happened_ns, incidents.c.log_index))
    return [Incident(**row._mapping) for row in rows]
