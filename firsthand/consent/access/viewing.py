"""Looking at another's footage: their consent and yes, two approvals, a reason, a time box.

Nobody approves their own request, nor one of their household; how many keys a human has makes no
difference. Breaking the glass skips the two approvals and the waiting for a yes, never a consent, a
no, or what is withheld; it is in the wearer's log before anything opens.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import ask, people
from firsthand.consent.access import askers
from firsthand.consent.access.askers import Asker
from firsthand.consent.access.tables import approvals, opened, views
from firsthand.consent.tables import rules
from firsthand.errors import NotFound, Refused, Usage

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
NEEDED = 2
MOST_HOURS = 72
GLASS_HOURS = 4
# Of others' footage a human opens no more on one UTC day: looking at a person is no bulk job.
QUOTA_NS = 2 * HOUR_NS
CLOSED = "granted, but closed"


@dataclass(frozen=True)
class View:
    """A request to look at an interval of a person; until_ns 0 while it is not granted."""

    id: str
    person: str
    asker: str
    start_ns: int
    stop_ns: int
    reason: str
    hours: int
    glass: bool
    asked_ns: int
    said: str
    until_ns: int
    log_index: int


def request(
    connection: Connection,
    asker: Asker,
    person: people.Person,
    start_ns: int,
    stop_ns: int,
    reason: str,
    hours: int = 24,
    now_ns: int | None = None,
) -> View:
    """Asks to look; the person is told. Usage or Refused."""
    return _ask(connection, asker, person, (start_ns, stop_ns), reason, hours, False, now_ns)


def break_glass(
    connection: Connection,
    asker: Asker,
    person: people.Person,
    start_ns: int,
    stop_ns: int,
    reason: str,
    now_ns: int | None = None,
) -> View:
    """Looks in an emergency, for a few hours, on a reviewer's own name; the person is told."""
    if asker.role != "reviewer":
        raise Refused(
            "only a reviewer may break the glass",
            "a reviewer's key does: firsthand access give NAME --role reviewer",
        )
    bounds = start_ns, stop_ns
    return _ask(connection, asker, person, bounds, reason, GLASS_HOURS, True, now_ns)


def approve(connection: Connection, view: str, approver: Asker, now_ns: int | None = None) -> View:
    """One reviewer's approval; Refused if they are too near to the request or to another."""
    at_ns = now_ns or time.time_ns()
    found = find(connection, view)
    if approver.role != "reviewer":
        raise Refused(f"{approver.name} is no reviewer", "two reviewers approve a viewing")
    if found.until_ns or found.said == "no":
        raise Refused(f"view {view} is decided already", 'ask anew: "firsthand view ask"')
    person = people.find(connection, found.person)
    others = [
        askers.find(connection, each) for each in (found.asker, *_approvers(connection, view))
    ]
    for other in others:
        if _same(approver, other):
            raise Refused(
                f"{approver.name} is too near to {other.name} to approve this",
                "an approver is another human, of another household",
            )
    if askers.near(connection, approver, person):
        raise Refused(
            f"{approver.name} is too near to {person.name} to approve this",
            "an approver is another human, of another household",
        )
    row = {"view": view, "approver": approver.id, "approved_ns": at_ns}
    connection.execute(approvals.insert().values(**row))
    private = {"view": view, "who": approver.name}
    people.note(connection, "view_approved", person, at_ns, private=private)
    return _grant(connection, find(connection, view), person, at_ns)


def say(
    connection: Connection,
    view: str,
    person: people.Person,
    choice: str,
    now_ns: int | None = None,
) -> View:
    """The wearer's yes or no to a request; a no also ends what was granted, and stays.

    So no yes that was sent before, and comes late or again, opens what was refused.
    """
    at_ns = now_ns or time.time_ns()
    found = find(connection, view)
    if found.person != person.id:
        raise NotFound(
            f"nobody asked to see {person.name} under {view}", 'see "firsthand view list"'
        )
    if choice not in ("yes", "no"):
        raise Usage(f"an answer is yes or no, not {choice!r}", "say one of the two")
    if choice == "yes" and found.said == "no":
        raise Refused(f"{person.name} refused view {view} already", "let them ask again")
    private = {"view": view, "choice": choice}
    people.note(connection, "view_answered", person, at_ns, private=private)
    values: dict[str, Any] = {"said": choice} | ({"until_ns": 0} if choice == "no" else {})
    connection.execute(views.update().where(views.c.id == view).values(**values))
    return _grant(connection, find(connection, view), person, at_ns)


def require(connection: Connection, view: str, asker: Asker, now_ns: int) -> View:
    """The granted view, asked anew; Refused if its time is over, or a consent is."""
    found = find(connection, view)
    if askers.find(connection, found.asker).human != asker.human or not asker.human:
        raise Refused(
            f"view {view} is another's",
            "whoever asked opens it; ask for yourself: firsthand view ask",
        )
    if found.said == "no" or not found.until_ns:
        raise Refused(f"view {view} is not granted", 'see "firsthand view list"')
    if now_ns >= found.until_ns:
        raise Refused(f"the time of view {view} is over", "ask again, with a reason")
    why = why_closed(connection, found, now_ns)
    if why:
        raise Refused(
            f"view {view}: {why}",
            "the person decides that, by their consents and answers",
        )
    return found


def count(connection: Connection, asker: Asker, segment: str, length_ns: int, now_ns: int) -> None:
    """Counts a segment against the asker's day; Refused beyond the quota."""
    day = str(now_ns // DAY_NS)
    connection.execute(opened.delete().where(opened.c.day != day))
    mine = (opened.c.human == asker.human) & (opened.c.day == day)
    seen = connection.execute(sa.select(opened).where(mine)).all()
    if segment in {row.segment for row in seen}:
        return
    if sum(row.length_ns for row in seen) + length_ns > QUOTA_NS:
        raise Refused(
            f"{asker.name} has opened {QUOTA_NS // HOUR_NS} h of others today, and no more may be",
            "go on tomorrow; for work on much footage propose a run",
        )
    row = {"human": asker.human, "day": day, "segment": segment, "length_ns": length_ns}
    connection.execute(opened.insert().values(**row))


def find(connection: Connection, view: str) -> View:
    """The request of this id; NotFound."""
    row = connection.execute(sa.select(views).where(views.c.id == view)).first()
    if row is None:
        raise NotFound(f"there is no view {view!r}", 'list them with "firsthand view list"')
    return View(**row._mapping)


def listed(connection: Connection, person: str = "") -> Sequence[View]:
    """All requests to look, or those at one person, newest first."""
    query = sa.select(views).order_by(views.c.asked_ns.desc(), views.c.id)
    if person:
        query = query.where(views.c.person == person)
    return [View(**row._mapping) for row in connection.execute(query)]


def state(connection: Connection, view: View, now_ns: int) -> str:
    """In words where a request stands; "open" only where the person's consent lets it be.

    Never why: what the person decided is told to them and to whoever asked alone.
    """
    if view.said == "no":
        return "refused by the wearer"
    if view.until_ns:
        if now_ns >= view.until_ns:
            return "over"
        return CLOSED if why_closed(connection, view, now_ns) else "open"
    lacking = NEEDED - len(_approvers(connection, view.id))
    waits = [f"{lacking} approvals"] if lacking > 1 else ["1 approval"] if lacking else []
    if _answer(connection, view) != "yes":
        waits.append("the wearer's yes")
    return f"waits for {' and '.join(waits)}"


def why_closed(connection: Connection, view: View, now_ns: int) -> str:
    """By what the person decided a granted request opens nothing; empty if it may open."""
    person = people.find(connection, view.person)
    decision = ask.for_view(connection, person, _answer(connection, view), now_ns)
    return "" if decision.allowed else decision.reasons[0]


def _ask(
    connection: Connection,
    asker: Asker,
    person: people.Person,
    bounds: tuple[int, int],
    reason: str,
    hours: int,
    glass: bool,
    now_ns: int | None,
) -> View:
    at_ns = now_ns or time.time_ns()
    if asker.role not in ("reviewer", "organisation"):
        raise Refused(f"{asker.name} can't ask to see another", "it takes a named key of its own")
    people.require_active(connection, person)
    if not 0 <= bounds[0] < bounds[1] <= bounds[0] + DAY_NS:
        raise Usage("a view is of a day at most", "give a start, and a stop after it")
    if len(reason.strip()) < 10:
        raise Usage("say why, in ten letters at least", "the person reads it")
    if not 1 <= hours <= MOST_HOURS:
        raise Usage(
            f"a view is open for 1 to {MOST_HOURS} hours", "give a number of hours within that"
        )
    values: dict[str, Any] = {
        "id": people.new_id("v"),
        "start_ns": bounds[0],
        "stop_ns": bounds[1],
        "reason": reason.strip(),
        "hours": hours,
        "glass": glass,
    }
    kind = "glass_broken" if glass else "view_asked"
    private = {("view" if name == "id" else name): value for name, value in values.items()}
    private |= {"who": asker.name}
    index = people.note(connection, kind, person, at_ns, private=private)
    values |= {"person": person.id, "asker": asker.id, "asked_ns": at_ns, "log_index": index}
    values |= {"said": "", "until_ns": at_ns + hours * HOUR_NS if glass else 0}
    connection.execute(views.insert().values(**values))
    return View(**values)


def _grant(connection: Connection, view: View, person: people.Person, now_ns: int) -> View:
    """Opens the time box once both approvals and the wearer's yes are there."""
    if view.until_ns or view.said == "no" or _answer(connection, view) != "yes":
        return view
    if len(_approvers(connection, view.id)) < NEEDED:
        return view
    until_ns = now_ns + view.hours * HOUR_NS
    private = {"view": view.id, "until_ns": until_ns}
    people.note(connection, "view_granted", person, now_ns, private=private)
    connection.execute(views.update().where(views.c.id == view.id).values(until_ns=until_ns))
    return find(connection, view.id)


def _answer(connection: Connection, view: View) -> str:
    """The wearer's word on this request: their own, else their standing answer to human-view."""
    if view.said:
        return view.said
    if view.glass:
        return "yes"
    where = (rules.c.person == view.person) & (rules.c.permission == "fh:human-view")
    return connection.scalar(sa.select(rules.c.choice).where(where)) or "silent"


def _approvers(connection: Connection, view: str) -> list[str]:
    query = sa.select(approvals.c.approver).where(approvals.c.view == view)
    return list(connection.scalars(query.order_by(approvals.c.approved_ns)))


def _same(one: Asker, other: Asker) -> bool:
    shared = bool(one.household) and one.household == other.household
    return one.human == other.human or shared
