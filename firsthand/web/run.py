"""Runs: what each one would do, what each person answers, what is decided and why."""

from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import ask, people, seen
from firsthand.consent.access import askers
from firsthand.consent.decide import Decision
from firsthand.consent.runs import answers, proposals
from firsthand.release.tables import releases
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.consent import require_fresh
from firsthand.web.overview import silent
from firsthand.web.page import asker_of, back_to, render

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]


@dataclass(frozen=True)
class Answered:
    """One person's answer to a run: given by ballot or rule, and what follows from it."""

    person: people.Person
    answer: str
    by_ballot: bool
    decision: Decision
    seen: int


@router.get("/runs")
def runs_page(request: Request) -> Response:
    """All runs, newest first."""
    vault: Vault = request.app.state.vault
    with vault.db.read() as connection:
        listed = list(reversed(proposals.listed(connection)))
        waiting = {run.id: silent(connection, run) for run in listed}
    return render("runs.html", runs=listed, silent=waiting)


@router.get("/runs/{run}")
def run_page(request: Request, run: str) -> Response:
    """One run in full."""
    vault: Vault = request.app.state.vault
    with vault.db.read() as connection:
        found = proposals.find(connection, run)
        answered = [
            _answered(connection, found, person, vault.now_ns())
            for person in people.listed(connection)
            if person.status == "active"
            and (asker_of(request).role != "wearer" or asker_of(request).owns(person.id))
        ]
        query = sa.select(releases).where(releases.c.run == run).order_by(releases.c.began_ns)
        made = [dict(row._mapping) for row in connection.execute(query)]
    allowed = sum(each.decision.allowed for each in answered)
    decided = sum(each.answer != "silent" for each in answered)
    # Who proposes runs learns how many said yes, not who: nobody can be pressed or paid for it.
    told = asker_of(request).role != "organisation"
    counts = {"people": len(answered), "decided": decided, "allowed": allowed, "told": told}
    answered = answered if told else []
    return render("run.html", run=found, answers=answered, releases=made, **counts)


@router.post("/runs/{run}/answer")
def answer(request: Request, run: str, form: Form) -> Response:
    """Casts a person's ballot."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = proposals.find(connection, run)
        person = people.find(connection, form.get("person", ""))
        askers.require_acts_for(connection, asker_of(request), person.id)
        if form.get("choice") == "yes":
            require_fresh(connection, person, form)
        answers.vote(connection, found, person, form.get("choice", ""), vault.now_ns())
    own = form.get("back") == "person"
    return back_to(f"/people/{person.id}#runs" if own else f"/runs/{run}#answers")


def _answered(
    connection: Connection, run: proposals.Run, person: people.Person, now_ns: int
) -> Answered:
    cast = answers.has_ballot(connection, run, person.id)
    given = answers.answer(connection, run, person.id)
    decision = ask.for_run(connection, run, person, now_ns)
    return Answered(person, given, cast, decision, seen.last(connection, person.id))
