"""A person's page: their days, what they allowed, what they keep back, who touched what.

Each button here makes the same entry in the log as the command of the same name.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import ask, people, seen
from firsthand.consent.capture import law, withhold
from firsthand.consent.runs import answers, proposals
from firsthand.consent.tables import devices, rules
from firsthand.consent.terms import consents, text
from firsthand.consent.terms.vocabulary import PERMISSIONS
from firsthand.release.tables import names, releases
from firsthand.vault import catalog, reading
from firsthand.vault.account import Stretch, account
from firsthand.vault.account import waiting as on_cards
from firsthand.vault.vault import Vault
from firsthand.web import agreement, charts, control, earned, own, timeline
from firsthand.web.body import read_form
from firsthand.web.consent import require_fresh
from firsthand.web.history import history
from firsthand.web.page import back_to, clock, date, length, parse_time, render, when

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]
DAYS = 14  # on one page


@dataclass(frozen=True)
class Day:
    """One line of the list of days."""

    day: str
    footage_s: float
    strip: str


@router.get("/people/{person}")
def person_page(
    request: Request, person: str, before: str = "9999-12-31", log_before: int | None = None
) -> Response:
    """All about one person."""
    vault: Vault = request.app.state.vault
    now_ns = vault.now_ns()
    reading.settle(vault)
    recorders = control.shown(vault, vault.person(person).id)
    with vault.db.read() as connection:
        found = people.find(connection, person)
        here = [each.id for each in recorders]
        announced = on_cards(connection, found.id, now_ns)
        stored = list(catalog.days(connection, found.id))
        # A day of which nothing came home yet is a day too.
        coming = {catalog.day_of(each.start_ns) for each in announced} - {row[0] for row in stored}
        listed = sorted([*stored, *((day, 0, 0) for day in coming)])
        listed = [row for row in listed if row[0] < before]
        days, hours = _days(connection, found.id, listed[-DAYS:], announced)
        lines, next_log = history(connection, found.id, log_before)
        values: dict[str, Any] = {
            "person": found,
            "footage_s": sum(row[2] for row in listed) / 1e9,
            "days": days,
            "hours": hours,
            "older": listed[-DAYS][0] if len(listed) > DAYS else None,
            "devices": _devices(connection, found.id),
            "recorders": recorders,
            "elsewhere": control.elsewhere(connection, found.id, here, now_ns),
            "forget_minutes": control.MINUTES,
            "sound": law.sound_permitted(connection, found.jurisdiction, now_ns),
            "consents": _consents(connection, found.id, now_ns),
            "words": text.in_force(connection),
            "agreement": agreement.shown(connection, found, now_ns),
            "runs": _runs(connection, found, now_ns),
            "seen": seen.last(connection, found.id),
            "rules": _rules(connection, found.id),
            "withheld": withhold.of(connection, found.id),
            "releases": _releases(connection, found.id),
            "own": own.shown(vault, connection, found, now_ns),
            "earned": earned.shown(connection, found),
            "lines": lines,
            "next_log": next_log,
            "paged": log_before is not None,
        }
    return render("person.html", **values, now_ns=now_ns, before=before, permissions=PERMISSIONS)


@dataclass(frozen=True)
class Given:
    """A consent as its card shows it: the word for how it stands, and whether it permits all."""

    consent: consents.Consent
    state: str
    holds: bool


@dataclass(frozen=True)
class Asked:
    """A run as it is put to one person."""

    run: proposals.Run
    answer: str
    by_ballot: bool
    allowed: bool


@router.post("/people/{person}/consents/{consent}/withdraw")
def withdraw(request: Request, person: str, consent: str) -> Response:
    """Withdraws one consent."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = own.whose(request, connection, person)
        consents.withdraw(connection, found, consent, vault.now_ns())
    return back_to(f"/people/{person}#consents")


@router.post("/people/{person}/rules")
def set_rule(request: Request, person: str, form: Form) -> Response:
    """Sets a standing answer."""
    vault: Vault = request.app.state.vault
    permission, choice = form.get("permission", ""), form.get("choice", "")
    with vault.db.write() as connection:
        found = own.whose(request, connection, person)
        if choice == "yes":
            require_fresh(connection, found, form)
        answers.set_rule(connection, found, permission, choice, vault.now_ns())
    return back_to(f"/people/{person}#rules")


@router.post("/people/{person}/withhold")
def add_withhold(request: Request, person: str, form: Form) -> Response:
    """Keeps an interval back."""
    vault: Vault = request.app.state.vault
    start_ns, stop_ns = parse_time(form.get("start", "")), parse_time(form.get("stop", ""))
    with vault.db.write() as connection:
        found = own.whose(request, connection, person)
        held = withhold.withhold(connection, found, start_ns, stop_ns, vault.now_ns())
    if form.get("then") == "day":
        day, _, clock_ = form["start"].partition("T")
        return back_to(f"/people/{person}/days/{day}?at={clock_}&kept={held.id}")
    return back_to(f"/people/{person}#withheld")


@router.post("/people/{person}/withhold/{withheld}/lift")
def lift(request: Request, person: str, withheld: str, form: Form) -> Response:
    """Lets a withheld interval be used again."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = own.whose(request, connection, person)
        withhold.lift(connection, found, withheld, vault.now_ns())
    if form.get("then") == "day":
        return back_to(f"/people/{person}/days/{form.get('day', '')}?at={form.get('at', '')}")
    return back_to(f"/people/{person}#withheld")


def _days(
    connection: Connection,
    person: str,
    listed: list[tuple[str, int, int]],
    announced: list[Stretch],
) -> tuple[list[Day], tuple[int, int]]:
    """The days, newest first, all strips over the same hours of the day; and these hours."""
    found = {}
    for day, _, _ in listed:
        start_ns = timeline.day_start(day)
        stop_ns = start_ns + timeline.DAY_NS
        found[day] = account(connection, person, start_ns, stop_ns, announced)
    each = [timeline.hours_of(found[day], timeline.day_start(day)) for day in found]
    hours = (min((h[0] for h in each), default=0), max((h[1] for h in each), default=24))
    days = []
    for day, _, length_ns in reversed(listed):
        start_ns = timeline.day_start(day)
        strip = charts.strip(
            [span_of(stretch) for stretch in found[day]],
            start_ns + hours[0] * timeline.HOUR_NS,
            start_ns + hours[1] * timeline.HOUR_NS,
            label=f"{date(day)}: {length(length_ns / 1e9)} recorded",
            height=22,
            ticks=[start_ns + hour * timeline.HOUR_NS for hour in range(hours[0] + 1, hours[1])],
        )
        days.append(Day(day, length_ns / 1e9, strip))
    return days, hours


def span_of(stretch: Stretch) -> charts.Span:
    """A stretch of time as it is drawn."""
    why = f": {timeline.why(stretch.reason)}" if stretch.reason else ""
    title = (
        f"{clock(stretch.start_ns)} to {clock(stretch.stop_ns)} {timeline.KINDS[stretch.kind]}{why}"
    )
    return charts.Span(stretch.kind, stretch.start_ns, stretch.stop_ns, title)


def _devices(connection: Connection, person: str) -> list[Any]:
    last = (
        sa.select(catalog.segments.c.device, sa.func.max(catalog.segments.c.stop_ns).label("last"))
        .group_by(catalog.segments.c.device)
        .subquery()
    )
    query = (
        sa.select(devices.c.id, devices.c.status, devices.c.added_ns, last.c.last)
        .outerjoin(last, last.c.device == devices.c.id)
        .where(devices.c.person == person)
        .order_by(devices.c.added_ns)
    )
    return list(connection.execute(query))


def _consents(connection: Connection, person: str, now_ns: int) -> list[Given]:
    """All consents with how they stand, those first that hold."""
    changes = text.changes(connection)
    listed = []
    for each in consents.of(connection, person):
        ended = [
            change.version
            for change in changes
            if any(change.ends(each.log_index, code, now_ns) for code in each.permissions)
        ]
        state = "holds"
        if each.withdrawn_ns is not None and each.withdrawn_ns < each.expires_ns:
            state = "withdrawn"
        elif now_ns >= each.expires_ns or each.withdrawn_ns is not None:
            state = "ended"
        elif not each.holds(now_ns):
            state = f"begins {when(each.begins_ns)}"
        elif ended:
            state = f"asked anew by text {ended[-1]}"
        listed.append(Given(each, state, state == "holds"))
    return sorted(listed, key=lambda given: (not given.holds, -given.consent.log_index))


def _runs(connection: Connection, person: people.Person, now_ns: int) -> list[Asked]:
    """The runs that a person can decide on, those first that they haven't answered."""
    if person.status != "active":
        return []
    listed = []
    for run in reversed(proposals.listed(connection)):
        if run.ends_ns > now_ns:
            said = answers.answer(connection, run, person.id)
            cast = answers.has_ballot(connection, run, person.id)
            allowed = ask.for_run(connection, run, person, now_ns).allowed
            listed.append(Asked(run, said, cast, allowed))
    return sorted(listed, key=lambda asked: asked.answer != "silent")


def _rules(connection: Connection, person: str) -> dict[str, str]:
    query = sa.select(rules.c.permission, rules.c.choice).where(rules.c.person == person)
    standing = {row.permission: row.choice for row in connection.execute(query)}
    return {code: standing.get(code, "ask") for code in PERMISSIONS}


def _releases(connection: Connection, person: str) -> list[Any]:
    query = (
        sa.select(releases.c.id, releases.c.run, releases.c.began_ns)
        .join(names, names.c.release == releases.c.id)
        .where(names.c.person == person, releases.c.state == "made")
        .order_by(releases.c.began_ns.desc())
    )
    return list(connection.execute(query))
