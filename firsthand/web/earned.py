"""What a person earned, and what they want after their death, on their own page."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.estate import death, directive
from firsthand.consent.money.statement import Statement, statement
from firsthand.errors import Usage
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.own import whose
from firsthand.web.page import back_to

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]


@dataclass(frozen=True)
class Earned:
    """What the page shows of it."""

    statement: Statement
    directive: directive.Directive
    estate: death.Estate


def shown(connection: Connection, person: people.Person) -> Earned:
    """All of it, for one person."""
    return Earned(
        statement(connection, person.id),
        directive.of(connection, person.id),
        death.state(connection, person.id),
    )


@router.post("/people/{person}/directive")
def write(request: Request, person: str, form: Form) -> Response:
    """Writes the person's directive, in place of the one before; names are parted by commas."""
    vault: Vault = request.app.state.vault
    may = {act: _names(form.get(act, "")) for act in directive.ACTS}
    years = form.get("years", "")
    if not years.isdigit():
        raise Usage("say after how many years everything is destroyed", "a whole number")
    with vault.db.write() as connection:
        found = whose(request, connection, person)
        directive.write(connection, found, may, int(years), vault.now_ns())
    return back_to(f"/people/{person}#after-death")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
