"""Bystanders: who was filmed says when and where, and what may show them is hidden at once.

Whether anybody was there is never told: a request is only written down, in the same way for true
and false ones. Whom it concerns is looked up at the next door that is opened (`settle`), so that
nothing passes meanwhile. A hold hides and never destroys; its wearer decides.
"""

import base64
import hmac
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.capture import law, zones
from firsthand.consent.capture.tables import holds, requests
from firsthand.errors import NotFound, Refused, Usage

MINUTE_NS = 60 * 10**9
DAY_NS = 1440 * MINUTE_NS
# More than a meeting or a ride lasts is no encounter; nor can a stranger hide someone's whole day.
MOST_NS = 120 * MINUTE_NS
# A stranger's word alone destroys no more than so much without the reviewers' second look.
ERASE_NS = 60 * MINUTE_NS
DECIDE_NS = 30 * DAY_NS
MARGIN_NS = 2 * MINUTE_NS  # people don't look at the clock when they are filmed
WORDS = 500
EVEN = 8  # entries of the log for each request; more only if so many were met at once
CODE = 8  # letters of a badge's code: 40 bits
# Countries and their regions, as ISO 3166 writes them: no stranger's word hides a whole country.
NARROW = "name the house, the street or the town"
REGION = re.compile(r"[a-z]{2}(-[a-z0-9]{1,3})?")


@dataclass(frozen=True)
class Request:
    """What a stranger asked."""

    id: str
    code: str
    place: str
    start_ns: int
    stop_ns: int
    words: str
    asked_ns: int
    settled_ns: int


@dataclass(frozen=True)
class Hold:
    """An interval of one person that is hidden for a bystander until the person decides."""

    id: str
    person: str
    request: str
    start_ns: int
    stop_ns: int
    placed_ns: int
    decision: str
    decided_ns: int | None
    log_index: int

    def overdue(self, now_ns: int) -> bool:
        """Whether it waits longer than it may; it stays hidden all the same."""
        return not self.decision and now_ns > self.placed_ns + DECIDE_NS


def badge_code(person: people.Person, day: str) -> str:
    """What a person's badge shows on one UTC day: no name, another each day; empty once erased."""
    if person.salt is None:
        return ""
    digest = hmac.digest(person.salt, f"badge|{day}".encode(), "sha256")
    return base64.b32encode(digest)[:CODE].decode()


def ask(
    connection: Connection,
    start_ns: int,
    stop_ns: int,
    *,
    code: str = "",
    place: str = "",
    words: str = "",
    now_ns: int | None = None,
) -> str:
    """Writes a request down and returns its id; Usage if it can't concern anybody.

    The same work whoever was there: whom it concerns is not looked up here.
    """
    at_ns = now_ns or time.time_ns()
    if not 0 < start_ns < stop_ns <= start_ns + MOST_NS:
        raise Usage(
            "an encounter has a start, and an end after it by two hours at most",
            "ask again for each two hours",
        )
    if start_ns > at_ns:
        raise Usage("this time has not come yet", "times are UTC; ask once it is over")
    code, place = code.strip(), " ".join(place.split())
    if not (code or place):
        raise Usage("say where it was, or give the code on the badge", f"{NARROW}, or the code")
    if place and not code and _is_wide(connection, place):
        raise Usage(f"{place[:40]!r} is too wide a place", f"{NARROW}, or the code on the badge")
    values = {
        "id": people.new_id("b"),
        "code": code.upper().replace(" ", "")[:CODE],
        "place": place[:120],
        "start_ns": start_ns,
        "stop_ns": stop_ns,
        "words": words.strip()[:WORDS],
        "asked_ns": at_ns,
        "settled_ns": 0,
    }
    connection.execute(requests.insert().values(**values))
    log.append(connection, "bystander_asked", at_ns, request=values["id"])
    return str(values["id"])


def settle(connection: Connection, now_ns: int | None = None) -> list[Hold]:
    """Hides at once what waiting requests may show; every door calls this before it opens."""
    at_ns = now_ns or time.time_ns()
    placed = []
    for request in _where(connection, requests.c.settled_ns == 0):
        here = [
            hold(connection, request, person, at_ns) for person in _concerned(connection, request)
        ]
        # How long the log is stands open to strangers: it grows alike whether anybody was there.
        for _ in range(EVEN - len(here)):
            log.append(connection, "bystander_settled", at_ns, nonce=secrets.token_hex(16))
        placed += here
        change = requests.update().where(requests.c.id == request.id)
        connection.execute(change.values(settled_ns=at_ns))
    return placed


def waiting(connection: Connection) -> bool:
    """Whether `settle` has something to do."""
    query = sa.select(requests.c.id).where(requests.c.settled_ns == 0).limit(1)
    return connection.execute(query).first() is not None


def hold(
    connection: Connection, request: Request, person: people.Person, now_ns: int | None = None
) -> Hold:
    """Hides a person's time around a request until they decide; the person's log says so."""
    at_ns = now_ns or time.time_ns()
    bounds = {"start_ns": request.start_ns - MARGIN_NS, "stop_ns": request.stop_ns + MARGIN_NS}
    values: dict[str, Any] = {"id": people.new_id("h"), "request": request.id} | bounds
    private = bounds | {"hold": values["id"], "request": request.id}
    index = people.note(connection, "bystander_hold", person, at_ns, private=private)
    values |= {"person": person.id, "placed_ns": at_ns, "decision": "", "log_index": index}
    connection.execute(holds.insert().values(**values))
    return Hold(**values, decided_ns=None)


def decide(
    connection: Connection,
    person: people.Person,
    held: str,
    decision: str,
    now_ns: int | None = None,
    reviewer: str = "",
) -> erasure.Order | None:
    """The wearer's decision: "keep" opens the interval again, "erase" orders its erasure.

    More than an hour is erased only with a reviewer's name, so that no stranger's word can empty a
    day. The order is returned for the vault to carry out. NotFound, Refused.
    """
    at_ns = now_ns or time.time_ns()
    found = next((each for each in of(connection, person.id) if each.id == held), None)
    if found is None or found.decision:
        raise NotFound(
            f"{person.name} has no open request {held}", 'see "firsthand bystander list"'
        )
    if decision not in ("keep", "erase"):
        raise Usage(
            f"a decision is keep or erase, not {decision!r}",
            "keep shows the time again, erase destroys it",
        )
    if decision == "erase" and found.stop_ns - found.start_ns > ERASE_NS and not reviewer.strip():
        raise Refused(
            f"this would erase more than {ERASE_NS // MINUTE_NS} minutes on a stranger's word",
            "a reviewer must look at the request too: --reviewer NAME",
        )
    private = {"hold": held, "decision": decision}
    people.note(connection, "bystander_decided", person, at_ns, private=private)
    if reviewer.strip():  # by itself, so that an audit that asks for the decision shows no name
        named = {"hold": held, "reviewer": reviewer.strip()}
        people.note(connection, "decision_reviewed", person, at_ns, private=named)
    where = holds.c.id == held
    connection.execute(holds.update().where(where).values(decision=decision, decided_ns=at_ns))
    _forget_words(connection, found.request)
    if decision == "keep":
        return None
    return erasure.order(connection, person, (found.start_ns, found.stop_ns), at_ns)


def held(connection: Connection, person: str) -> list[Hold]:
    """What is hidden of a person for bystanders now: undecided, or to be erased."""
    return [each for each in of(connection, person) if each.decision != "keep"]


def of(connection: Connection, person: str) -> list[Hold]:
    """All holds that a person ever had, oldest first."""
    query = sa.select(holds).where(holds.c.person == person)
    rows = connection.execute(query.order_by(holds.c.placed_ns, holds.c.id))
    return [Hold(**row._mapping) for row in rows]


def listed(connection: Connection) -> Sequence[Request]:
    """All requests, oldest first."""
    return list(_where(connection, sa.true()))


def find(connection: Connection, request: str) -> Request:
    """The request of this id; NotFound."""
    found = next(_where(connection, requests.c.id == request), None)
    if found is None:
        raise NotFound(f"there is no request {request!r}", 'see "firsthand bystander list"')
    return found


def _concerned(connection: Connection, request: Request) -> Iterator[people.Person]:
    """Whose badge or place it may have been: all of them, rather too many than too few."""
    days = {day_of(at_ns) for at_ns in (request.start_ns - MARGIN_NS, request.stop_ns + MARGIN_NS)}
    for person in people.listed(connection):
        if person.status != "active":
            continue
        if request.code:
            codes = [badge_code(person, day) for day in days]
            if any(hmac.compare_digest(code, request.code) for code in codes):
                yield person
        elif request.place.casefold() in _places(connection, person, request):
            yield person


def _places(connection: Connection, person: people.Person, request: Request) -> set[str]:
    """What the places may be called at which a person says to have been then.

    Not by whose law holds there, nor by their kind alone: "home" is where most people are.
    """
    names, wide = set(), {person.jurisdiction, *zones.kinds()}
    for said in zones.of(connection, person.id):
        if any(said.zone.stays(request.start_ns - MARGIN_NS, request.stop_ns + MARGIN_NS)):
            names.add(" ".join(said.zone.label.split()).casefold())
            wide.add(said.zone.jurisdiction)
    return names - {name.casefold() for name in wide}


def _is_wide(connection: Connection, place: str) -> bool:
    """Whether a place names no more than a country, a region or a kind of place.

    By rows that stand in the public log and not by where anybody is, so that it tells nothing.
    """
    wide = {row.jurisdiction.casefold() for row in law.listed(connection)} | {*zones.kinds()}
    name = place.casefold()
    return REGION.fullmatch(name) is not None or name in wide


def _forget_words(connection: Connection, request: str) -> None:
    query = sa.select(holds.c.id).where(holds.c.request == request, holds.c.decision == "")
    if connection.execute(query.limit(1)).first() is None:
        change = requests.update().where(requests.c.id == request)
        connection.execute(change.values(words=""))


def _where(connection: Connection, where: Any) -> Iterator[Request]:
    query = sa.select(requests).where(where).order_by(requests.c.asked_ns, requests.c.id)
    yield from [Request(**row._mapping) for row in connection.execute(query)]


def day_of(time_ns: int) -> str:
    """The UTC day of a time, as 2026-11-01."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d")
