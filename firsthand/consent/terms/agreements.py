"""Consents: given for permissions under conditions until a date, each withdrawable alone."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.tables import consents
from firsthand.consent.terms import text
from firsthand.consent.terms.vocabulary import check_modifiers, check_permissions
from firsthand.errors import NotFound, Usage

YEAR_NS = 365 * 86_400 * 10**9


@dataclass(frozen=True)
class Consent:
    """What a person allowed, for which purposes, until when."""

    id: str
    person: str
    text_version: str
    text_sha256: str
    permissions: tuple[str, ...]
    modifiers: tuple[str, ...]
    given_ns: int
    expires_ns: int
    withdrawn_ns: int | None
    log_index: int

    def holds(self, now_ns: int) -> bool:
        """Whether it is given, unexpired and not withdrawn at this time."""
        return self.given_ns <= now_ns < self.expires_ns and self.withdrawn_ns is None


def give(
    connection: Connection,
    person: people.Person,
    permissions: Iterable[str],
    modifiers: Iterable[str] = (),
    *,
    expires_ns: int | None = None,
    now_ns: int | None = None,
) -> Consent:
    """Records a consent to the current text, for a year unless stated; Usage or Refused."""
    given_ns = now_ns or time.time_ns()
    ends_ns = given_ns + YEAR_NS if expires_ns is None else expires_ns
    people.require_active(connection, person)
    if ends_ns <= given_ns:
        raise Usage("this consent would end before it begins", "give a later end")
    words = text.read_text()
    values: dict[str, Any] = {
        "id": people.new_id("c"),
        "text_version": words.version,
        "text_sha256": words.sha256,
        "permissions": check_permissions(permissions),
        "modifiers": check_modifiers(modifiers),
        "expires_ns": ends_ns,
    }
    index = people.note(connection, "consent_given", person, given_ns, private=values)
    values |= {"person": person.id, "given_ns": given_ns, "log_index": index}
    connection.execute(consents.insert().values(**values))
    return _consent(values | {"withdrawn_ns": None})


def withdraw(
    connection: Connection, person: people.Person, consent: str, now_ns: int | None = None
) -> Consent:
    """Withdraws one consent, which then permits nothing; withdrawing twice is once."""
    found = next((item for item in of(connection, person.id) if item.id == consent), None)
    if found is None:
        raise NotFound(f"{person.name} has no consent {consent}", 'see "firsthand consent list"')
    if found.withdrawn_ns is None:
        withdrawn_ns = now_ns or time.time_ns()
        people.note(
            connection, "consent_withdrawn", person, withdrawn_ns, private={"consent": consent}
        )
        change = consents.update().where(consents.c.id == consent)
        connection.execute(change.values(withdrawn_ns=withdrawn_ns))
    return next(item for item in of(connection, person.id) if item.id == consent)


def of(connection: Connection, person: str) -> Sequence[Consent]:
    """All consents a person ever gave, oldest first."""
    query = sa.select(consents).where(consents.c.person == person).order_by(consents.c.log_index)
    return [_consent(row._mapping) for row in connection.execute(query)]


def _consent(values: Any) -> Consent:
    lists = {name: tuple(values[name]) for name in ("permissions", "modifiers")}
    return Consent(**{**values, **lists})
