"""Viewings: who asked to see whom and why, approvals, and what a granted one shows."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.access import askers, viewing
from firsthand.errors import NotFound
from firsthand.vault import reading
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.footage import TYPES, ranged
from firsthand.web.page import asker_of, back_to, parse_time, render

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]


@router.get("/views")
def views_page(request: Request) -> Response:
    """Every request, and the form for another."""
    vault: Vault = request.app.state.vault
    mine = asker_of(request).human
    reading.settle(vault)
    with vault.db.read() as connection:
        shown = [
            {
                "view": view,
                "person": people.find(connection, view.person),
                "who": askers.find(connection, view.asker),
                "state": _state(vault, connection, view, mine),
            }
            for view in viewing.listed(connection)
        ]
        named = [each for each in people.listed(connection) if each.status == "active"]
    return render("views.html", views=shown, people=named)


def _state(vault: Vault, connection: Connection, view: viewing.View, mine: str) -> str:
    """How much of it opens is told to whoever asked for it: others learn of no withheld time."""
    if mine and askers.find(connection, view.asker).human == mine:
        return reading.state(vault, connection, view)
    return viewing.state(connection, view, vault.now_ns())


@router.post("/views")
def ask(request: Request, form: Form) -> Response:
    """Asks to see an interval of a person."""
    vault: Vault = request.app.state.vault
    start_ns, stop_ns = parse_time(form.get("start", "")), parse_time(form.get("stop", ""))
    hours = int(form["hours"]) if form.get("hours", "").isdecimal() else 0
    with vault.db.write() as connection:
        person = people.find(connection, form.get("person", ""))
        given = (asker_of(request), person, start_ns, stop_ns, form.get("why", ""), hours)
        viewing.request(connection, *given, vault.now_ns())
    return back_to("/views")


@router.post("/views/{view}/approve")
def approve(request: Request, view: str) -> Response:
    """One reviewer's approval."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        viewing.approve(connection, view, asker_of(request), vault.now_ns())
    return back_to("/views")


@router.get("/views/{view}")
def view_page(request: Request, view: str, segment: str = "") -> Response:
    """The segments of a granted view; each still and each video is logged before it opens."""
    vault: Vault = request.app.state.vault
    asker = asker_of(request)
    seen = reading.in_view(vault, asker, view)
    with vault.db.read() as connection:
        found = viewing.find(connection, view)
        person = people.find(connection, found.person)
    shown = next((each for each in seen if each.segment.id == segment), None)
    return render("view.html", view=found, person=person, seen=seen, shown=shown)


@router.get("/views/{view}/segments/{segment}/{part}")
def footage(request: Request, view: str, segment: str, part: str) -> Response:
    """One part of a segment in a granted view, whole or a range of it."""
    if part not in TYPES:
        raise NotFound(
            f"there is no {part} of segment {segment} here", "see the view's page for what there is"
        )
    data = request.app.state.opened.read_view(asker_of(request), view, segment, part)
    return ranged(data, request.headers.get("range"), TYPES[part])
