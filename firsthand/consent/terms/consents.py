"""Consents: given for permissions under conditions until a date, each withdrawable alone."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.tables import consents, coolings
from firsthand.consent.terms import quiz, text
from firsthand.consent.terms.vocabulary import check_modifiers, check_permissions
from firsthand.errors import NotFound, Refused, Usage

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
    begins_ns: int = 0  # 0: when it was given

    def holds(self, now_ns: int) -> bool:
        """Whether it is given, begun, unexpired and not withdrawn at this time."""
        begins_ns = max(self.given_ns, self.begins_ns)
        return begins_ns <= now_ns < self.expires_ns and self.withdrawn_ns is None


def give(
    connection: Connection,
    person: people.Person,
    permissions: Iterable[str],
    modifiers: Iterable[str] = (),
    *,
    expires_ns: int | None = None,
    now_ns: int | None = None,
    by: str = "",
    method: str = "command",
    confirms: str = "",
) -> Consent:
    """Records a consent to the text in force, for a year unless stated; Usage or Refused.

    Given twice is given once: the same again, while it holds, returns the one that is there.
    `by` is who gives it: nobody but the person can. `confirms` names one that it stands in for.
    """
    given_ns = now_ns or time.time_ns()
    ends_ns = given_ns + YEAR_NS if expires_ns is None else expires_ns
    people.require_active(connection, person)
    if by and by not in (person.id, person.name):
        raise Refused(f"{by} cannot consent for {person.name}", f"let {person.name} do it")
    words = text.in_force(connection)
    rests = quiz.require_ready(connection, person, words)
    begins_ns = given_ns + words.data.get("cooling_days", 0) * text.DAY_NS if rests else given_ns
    if ends_ns <= begins_ns:
        raise Usage("this consent would end before it begins", "give a later end")
    values: dict[str, Any] = {
        "id": people.new_id("c"),
        "text_version": words.version,
        "text_sha256": words.sha256,
        "permissions": check_permissions(permissions),
        "modifiers": check_modifiers(modifiers),
        "expires_ns": ends_ns,
        "begins_ns": begins_ns,
    }
    # Two ends that nobody stated are the same if they are of one day.
    apart_ns = text.DAY_NS if expires_ns is None else 0
    if not confirms and (there := _same(connection, person, values, given_ns, apart_ns)):
        return there
    private = values | rests | {"method": method} | ({"confirms": confirms} if confirms else {})
    index = people.note(connection, "consent_given", person, given_ns, private=private)
    del values["begins_ns"]
    values |= {"person": person.id, "given_ns": given_ns, "log_index": index}
    connection.execute(consents.insert().values(**values))
    if begins_ns > given_ns:
        later = {"consent": values["id"], "person": person.id, "begins_ns": begins_ns}
        connection.execute(coolings.insert().values(**later))
    return find(connection, person, values["id"])


def choose(
    connection: Connection,
    person: people.Person,
    choices: dict[str, bool],
    modifiers: Iterable[str] = (),
    *,
    now_ns: int | None = None,
    method: str = "page",
) -> list[Consent]:
    """One consent for each purpose that was said yes to; each no is written to the log as well."""
    at_ns = now_ns or time.time_ns()
    narrow = list(modifiers)
    codes = {code: check_permissions([code])[0] for code in choices}
    refused = sorted(codes[code] for code, wanted in choices.items() if not wanted)
    given = [
        give(connection, person, [codes[code]], narrow, now_ns=at_ns, method=method)
        for code in sorted(choices)
        if choices[code]
    ]
    if refused:
        private = {"permissions": refused, "method": method}
        people.note(connection, "consent_refused", person, at_ns, private=private)
    return given


def confirm(
    connection: Connection, person: people.Person, consent: str, now_ns: int | None = None
) -> Consent:
    """Gives a consent anew, to the text in force, and ends the old one."""
    at_ns = now_ns or time.time_ns()
    old = find(connection, person, consent)
    if old.withdrawn_ns is not None:
        raise Refused(f"consent {consent} was withdrawn", "give a new one")
    narrow = old.modifiers
    new = give(connection, person, old.permissions, narrow, now_ns=at_ns, confirms=old.id)
    _withdraw(connection, person, old, at_ns, confirmed_as=new.id)
    return new


def withdraw(
    connection: Connection, person: people.Person, consent: str, now_ns: int | None = None
) -> Consent:
    """Withdraws one consent, which then permits nothing; withdrawing twice is once."""
    found = find(connection, person, consent)
    if found.withdrawn_ns is None:
        _withdraw(connection, person, found, now_ns or time.time_ns())
    return find(connection, person, consent)


def close_expired(connection: Connection, now_ns: int) -> int:
    """Writes to the log which consents have run out, and returns how many.

    From then on the log's order decides: a clock that is set back doesn't bring them to life.
    """
    where = (consents.c.expires_ns <= now_ns) & consents.c.withdrawn_ns.is_(None)
    rows = connection.execute(sa.select(consents.c.id, consents.c.person).where(where)).all()
    for row in rows:
        person = people.find(connection, row.person)
        private = {"consent": row.id}
        people.note(connection, "consent_expired", person, now_ns, private=private)
        change = consents.update().where(consents.c.id == row.id)
        connection.execute(change.values(withdrawn_ns=now_ns))
    return len(rows)


def leave(connection: Connection, person: people.Person, now_ns: int | None = None) -> int:
    """Takes a person out of the programme, for good: every consent ends. Returns how many did.

    Leaving twice is once. Who wants to come back is enrolled anew, and asked anew.
    """
    at_ns = now_ns or time.time_ns()
    if people.find(connection, person.id).status == "withdrawn":
        return 0
    people.require_active(connection, person)
    living = [each for each in of(connection, person.id) if each.withdrawn_ns is None]
    for consent in living:
        _withdraw(connection, person, consent, at_ns)
    people.withdraw(connection, person, at_ns)
    return len(living)


def find(connection: Connection, person: people.Person, consent: str) -> Consent:
    """A person's consent of this id; NotFound."""
    found = next((item for item in of(connection, person.id) if item.id == consent), None)
    if found is None:
        raise NotFound(f"{person.name} has no consent {consent}", 'see "firsthand consent list"')
    return found


def of(connection: Connection, person: str) -> Sequence[Consent]:
    """All consents a person ever gave, oldest first."""
    begins_ns = sa.func.coalesce(coolings.c.begins_ns, 0).label("begins_ns")
    query = sa.select(consents, begins_ns).outerjoin(coolings, coolings.c.consent == consents.c.id)
    rows = connection.execute(query.where(consents.c.person == person).order_by("log_index"))
    return [_consent(row._mapping) for row in rows]


def _same(
    connection: Connection,
    person: people.Person,
    values: dict[str, Any],
    now_ns: int,
    apart_ns: int,
) -> Consent | None:
    """The newest living consent to the same, until the same end or one as near to it."""
    # The version too: a newer text of the same words may have ended what was given under an older.
    alike = ("text_version", "text_sha256", "permissions", "modifiers")
    for each in reversed(of(connection, person.id)):
        living = each.withdrawn_ns is None and each.given_ns <= now_ns < each.expires_ns
        same = all(_plain(getattr(each, name)) == _plain(values[name]) for name in alike)
        if living and same and abs(each.expires_ns - values["expires_ns"]) <= apart_ns:
            return each
    return None


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else sorted(value)


def _withdraw(
    connection: Connection, person: people.Person, consent: Consent, at_ns: int, **more: str
) -> None:
    private = {"consent": consent.id} | more
    people.note(connection, "consent_withdrawn", person, at_ns, private=private)
    change = consents.update().where(consents.c.id == consent.id)
    connection.execute(change.values(withdrawn_ns=at_ns))


def _consent(values: Any) -> Consent:
    lists = {name: tuple(values[name]) for name in ("permissions", "modifiers")}
    return Consent(**{**values, **lists})
