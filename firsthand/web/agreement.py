"""The page on which a wearer reads the agreement, shows that it is clear, and signs it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.liability import agreement
from firsthand.consent.terms import quiz
from firsthand.consent.terms.text import DAY_NS
from firsthand.errors import Usage
from firsthand.vault import quarantine
from firsthand.vault.vault import Vault
from firsthand.web import texts
from firsthand.web.body import read_form
from firsthand.web.own import whose
from firsthand.web.page import back_to, render

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]


@dataclass(frozen=True)
class Shown:
    """What a person's page says of it."""

    since_ns: int
    until_ns: int | None
    quarantined_s: float


def shown(connection: Connection, person: people.Person, now_ns: int) -> Shown | None:
    """How a person's agreement stands; None where none is asked of them."""
    since_ns = agreement.since(connection)
    if since_ns is None or person.jurisdiction == quiz.SIMULATED:
        return None
    kept_s = quarantine.length_ns(connection, person) / 1e9
    return Shown(since_ns, agreement.in_force(connection, person, now_ns), kept_s)


@router.get("/people/{person}/agreement")
def agreement_page(request: Request, person: str) -> Response:
    """The words, then the quiz, then the signature."""
    return _page(request.app.state.vault, person)


@router.post("/people/{person}/agreement/quiz")
def take_quiz(request: Request, person: str, form: Form) -> Response:
    """Marks the answers; a page that says what was wrong, or goes on to sign."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        words = agreement.asked(connection)
        attempt = texts.take(connection, found, words, form, vault.now_ns())
    if attempt.passed:
        return back_to(f"/people/{person}/agreement#sign")
    return _page(vault, person, attempt)


@router.post("/people/{person}/agreement")
def sign(request: Request, person: str, form: Form) -> Response:
    """Signs the text that the page showed, for so many days."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        if form.get("text") != agreement.asked(connection).sha256:
            raise Usage("these are not the words that are asked now", "read the page anew")
        days = form.get("days", "")
        if not (days.isascii() and days.isdigit() and len(days) < 5):
            raise Usage("say for how many days you sign", "a whole number, such as 365")
        stop_ns = vault.now_ns() + int(days) * DAY_NS
        agreement.sign(connection, found, stop_ns=stop_ns, now_ns=vault.now_ns(), method="page")
    return back_to(f"/people/{person}#agreement")


def _page(vault: Vault, person: str, attempt: quiz.Attempt | None = None) -> Response:
    with vault.db.read() as connection:
        found = people.find(connection, person)
        words = agreement.asked(connection)
        values = texts.shown(connection, found, words) | {
            "most_days": words.data.get("most_days", 365),
            "until_ns": agreement.in_force(connection, found, vault.now_ns()),
        }
    return render("agreement.html", **values, attempt=attempt)
