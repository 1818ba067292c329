"""A person's own say on their page: places, review, who asked to see them, bystanders.

Each button here makes the same entry in the log as the command of the same name.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.capture import FOREVER_NS, may_capture
from firsthand.consent import people
from firsthand.consent.access import askers, viewing
from firsthand.consent.capture import bystanders, review, zones
from firsthand.consent.seen import Stale
from firsthand.errors import Usage
from firsthand.vault import erase, reading
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.page import asker_of, back_to, parse_time

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]


@dataclass(frozen=True)
class Own:
    """What the page shows of it."""

    capture: Any
    zones: Any
    permissions: Any
    kinds: Any
    window_days: int
    open_days: Any
    views: Any
    holds: Any
    badge: str


def shown(vault: Vault, connection: Connection, person: people.Person, now_ns: int) -> Own:
    """All of it, for one person."""
    views = [
        {
            "view": view,
            "who": askers.find(connection, view.asker).name,
            "state": reading.state(vault, connection, view),
        }
        for view in viewing.listed(connection, person.id)
    ]
    return Own(
        may_capture(zones.rules_of(connection, person), now_ns),
        zones.of(connection, person.id),
        zones.permissions_of(connection, person.id),
        zones.kinds(),
        review.window_days(connection, person.id),
        review.open_days(connection, person.id, now_ns),
        views,
        [held for held in bystanders.of(connection, person.id) if not held.decision],
        bystanders.badge_code(person, bystanders.day_of(now_ns)),
    )


@router.post("/people/{person}/places")
def say(request: Request, person: str, form: Form) -> Response:
    """Says where the person is or was."""
    vault: Vault = request.app.state.vault
    stop_ns = parse_time(form["stop"]) if form.get("stop") else FOREVER_NS
    days = " ".join(sorted(name for name in form if name in zones.DAYS))
    week = (days, _minutes(form.get("from", "")), _minutes(form.get("to", ""))) if days else None
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        zones.say(
            connection,
            found,
            form.get("kind", ""),
            parse_time(form.get("start", "")),
            stop_ns,
            label=form.get("label", ""),
            week=week,
            tz=form.get("tz", "") or "UTC",
            now_ns=vault.now_ns(),
        )
    return back_to(f"/people/{person}#places")


@router.post("/people/{person}/places/{zone}/end")
def end(request: Request, person: str, zone: str) -> Response:
    """Ends a place, or takes it back."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        zones.end(connection, whose(request, connection, person), zone, vault.now_ns())
    return back_to(f"/people/{person}#places")


@router.post("/people/{person}/reviewed")
def reviewed(request: Request, person: str, form: Form) -> Response:
    """Ends the review of a day, as it stood on the page: what came in since was not looked at."""
    vault: Vault = request.app.state.vault
    day = form.get("day", "")
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        held = {each.day: str(each.arrived_ns) for each in review.of(connection, found.id)}
        if day in held and held[day] != form.get("arrived"):
            raise Stale(f"more of {day} came in since this page was shown", "look at it anew")
        review.reviewed(connection, found, [day], vault.now_ns())
    then = f"/days/{day}" if form.get("then") == "day" else "#review"
    return back_to(f"/people/{person}{then}")


@router.post("/people/{person}/views/{view}")
def answer(request: Request, person: str, view: str, form: Form) -> Response:
    """The person's yes or no to being seen."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        viewing.say(connection, view, found, form.get("choice", ""), vault.now_ns())
    return back_to(f"/people/{person}#who-looks")


@router.post("/people/{person}/holds/{held}")
def decide(request: Request, person: str, held: str, form: Form) -> Response:
    """The person's decision on a bystander's request."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        choice = form.get("decision", "")
        order = bystanders.decide(connection, found, held, choice, vault.now_ns())
    if order is not None:
        erase.carry_out(vault, order)
    return back_to(f"/people/{person}#bystanders")


def whose(request: Request, connection: Connection, person: str) -> people.Person:
    """The person, for whoever may act for them; Refused to all others."""
    found = people.find(connection, person)
    askers.require_acts_for(connection, asker_of(request), found.id)
    return found


def _minutes(text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isdecimal() and minute[:2].isdecimal()):
        raise Usage(f"there is no time {text!r}", "write it as 09:00")
    return 60 * int(hour) + int(minute[:2])
