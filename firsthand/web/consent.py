"""The pages on which a wearer reads what they consent to, shows that they understood, and chooses.

Every purpose is a choice of its own, with nothing chosen beforehand. A yes that was made on an
older page than the wearer's last decision is not taken; a no always is.
"""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import people, seen
from firsthand.consent.terms import consents, quiz, receipt, text
from firsthand.consent.terms.vocabulary import CODES, PERMISSIONS, STREAMS
from firsthand.errors import Usage
from firsthand.vault.vault import Vault
from firsthand.web import texts
from firsthand.web.body import read_form
from firsthand.web.page import back_to, render

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]
# Conditions that are ticked as they are; places, months and streams have fields of their own.
TICKED = ("DUO:0000046", "DUO:0000021", "DUO:0000019")


@router.get("/people/{person}/consent")
def consent_page(request: Request, person: str) -> Response:
    """The words, then the quiz, then the choices."""
    return _page(request.app.state.vault, person)


@router.post("/people/{person}/consent/quiz")
def take_quiz(request: Request, person: str, form: Form) -> Response:
    """Marks the answers; a page that says what was wrong, or goes on to the choices."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = people.find(connection, person)
        words = text.in_force(connection)
        attempt = texts.take(connection, found, words, form, vault.now_ns())
    if attempt.passed:
        return back_to(f"/people/{person}/consent#choices")
    return _page(vault, person, attempt)


@router.post("/people/{person}/consent")
def choose(request: Request, person: str, form: Form) -> Response:
    """Gives one consent for each purpose that was said yes to."""
    vault: Vault = request.app.state.vault
    choices = {code: form[code] == "yes" for code in PERMISSIONS if form.get(code)}
    if not choices:
        raise Usage("nothing was chosen", "say yes or no to at least one purpose")
    with vault.db.write() as connection:
        found = people.find(connection, person)
        require_fresh(connection, found, form)
        consents.choose(connection, found, choices, _conditions(form), now_ns=vault.now_ns())
    return back_to(f"/people/{person}#consents")


@router.post("/people/{person}/consents/{consent}/confirm")
def confirm(request: Request, person: str, consent: str, form: Form) -> Response:
    """Gives a consent anew, to the text in force."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = people.find(connection, person)
        require_fresh(connection, found, form)
        consents.confirm(connection, found, consent, vault.now_ns())
    return back_to(f"/people/{person}#consents")


@router.get("/people/{person}/consents/{consent}/receipt")
def download_receipt(request: Request, person: str, consent: str) -> Response:
    """The signed receipt of a consent, as a file."""
    vault: Vault = request.app.state.vault
    with vault.db.read() as connection:
        found = people.find(connection, person)
        record = receipt.record(connection, found, consent, vault.origin, vault.now_ns())
    body = json.dumps(receipt.sign(record, vault.keyring.log_key()), indent=1)
    name = f'attachment; filename="consent-{record["dct:identifier"]}.json"'
    return Response(body, 200, {"Content-Disposition": name}, "application/ld+json")


@router.post("/people/{person}/leave")
def leave(request: Request, person: str) -> Response:
    """Takes a person out of the programme."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        consents.leave(connection, people.find(connection, person), vault.now_ns())
    return back_to(f"/people/{person}")


def require_fresh(connection: Connection, person: people.Person, form: dict[str, str]) -> None:
    """Stale unless the form was on a page that is as new as the person's last decision."""
    at = form.get("seen", "")
    seen.require(connection, person, int(at) if at.isascii() and at.isdigit() else -1)


def _page(vault: Vault, person: str, attempt: quiz.Attempt | None = None) -> Response:
    with vault.db.read() as connection:
        found = people.find(connection, person)
        words = text.in_force(connection)
        simulated = found.jurisdiction == quiz.SIMULATED
        values = texts.shown(connection, found, words) | {
            "cooling_days": 0 if simulated else words.data.get("cooling_days", 0),
            "seen": seen.last(connection, found.id),
        }
    purposes = [(code, CODES[code]) for code in PERMISSIONS]
    values |= {"attempt": attempt, "purposes": purposes, "ticked": TICKED, "streams": STREAMS}
    return render("consent.html", **values)


def _conditions(form: dict[str, str]) -> list[str]:
    listed = [code for code in TICKED if form.get(code)]
    places, months = form.get("places", "").strip(), form.get("months", "").strip()
    streams = [name for name in STREAMS if form.get(f"stream-{name}")]
    listed += [f"DUO:0000022={places}"] if places else []
    listed += [f"DUO:0000025={months}"] if months else []
    if 0 < len(streams) < len(STREAMS):
        listed.append(f"fh:streams={','.join(streams)}")
    return listed
