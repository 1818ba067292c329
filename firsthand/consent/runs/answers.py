"""Answers to runs: ballots and standing rules; silence is no."""

import time

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.runs.proposals import Run
from firsthand.consent.tables import ballots, rules
from firsthand.consent.terms.vocabulary import check_permissions
from firsthand.errors import Usage

CHOICES = ("yes", "no")


def vote(
    connection: Connection,
    run: Run,
    person: people.Person,
    choice: str,
    now_ns: int | None = None,
) -> None:
    """Casts or changes a person's ballot; the last one counts."""
    if choice not in CHOICES:
        raise Usage(
            f"a ballot is yes or no, not {choice!r}",
            "say one of the two; who says nothing has said no",
        )
    people.require_active(connection, person)
    cast_ns = now_ns or time.time_ns()
    index = people.note(
        connection,
        "ballot_cast",
        person,
        cast_ns,
        run=run.id,
        private={"choice": choice, "proposal_sha256": run.proposal_sha256},
    )
    where = (ballots.c.run == run.id) & (ballots.c.person == person.id)
    connection.execute(ballots.delete().where(where))
    values = {"choice": choice, "proposal_sha256": run.proposal_sha256, "cast_ns": cast_ns}
    connection.execute(
        ballots.insert().values(run=run.id, person=person.id, log_index=index, **values)
    )


def set_rule(
    connection: Connection,
    person: people.Person,
    permission: str,
    choice: str,
    now_ns: int | None = None,
) -> None:
    """Sets a person's standing answer ("yes" or "no", "ask" for none) to runs of one purpose."""
    (code,) = check_permissions([permission])
    if choice not in (*CHOICES, "ask"):
        raise Usage(
            f"a standing rule is yes, no or ask, not {choice!r}",
            "ask means: no answer stands, each run is asked about",
        )
    people.require_active(connection, person)
    private = {"permission": code, "choice": choice}
    people.note(connection, "rule_set", person, now_ns or time.time_ns(), private=private)
    where = (rules.c.person == person.id) & (rules.c.permission == code)
    connection.execute(rules.delete().where(where))
    if choice != "ask":
        values = {"person": person.id, "permission": code, "choice": choice}
        connection.execute(rules.insert().values(**values))


def answer(connection: Connection, run: Run, person: str) -> str:
    """A person's answer: their ballot, else their standing rules, else "silent".

    Rules say yes only if there is one that says yes for every purpose of the run. Nobody has
    answered a run that is not, word for word, the one in the log.
    """
    if not _is_logged(connection, run):
        return "silent"
    where = (ballots.c.run == run.id) & (ballots.c.person == person)
    ballot = connection.execute(sa.select(ballots).where(where)).first()
    if ballot is not None:
        return ballot.choice if ballot.proposal_sha256 == run.proposal_sha256 else "silent"
    query = sa.select(rules.c.permission, rules.c.choice).where(rules.c.person == person)
    standing: dict[str, str] = {row.permission: row.choice for row in connection.execute(query)}
    choices = [standing.get(code, "silent") for code in run.proposal.permissions]
    if "no" in choices:
        return "no"
    return "yes" if all(choice == "yes" for choice in choices) else "silent"


def has_ballot(connection: Connection, run: Run, person: str) -> bool:
    """Whether a person has cast a ballot on a run, rather than none or by a standing rule."""
    where = (ballots.c.run == run.id) & (ballots.c.person == person)
    return connection.execute(sa.select(ballots.c.run).where(where)).first() is not None


def deciders(connection: Connection, run: Run) -> list[str]:
    """Who has decided on a run, by ballot or standing rule: to each is due the run's one bonus.

    How they decided isn't told, so that nobody can be paid for it. Who left keeps what was due for
    a ballot; a standing rule speaks for those who take part.
    """
    found = []
    for person in people.listed(connection):
        cast = has_ballot(connection, run, person.id)
        speaks = cast or person.status == "active"
        if speaks and answer(connection, run, person.id) != "silent":
            found.append(person.id)
    return found


def _is_logged(connection: Connection, run: Run) -> bool:
    entry = next(log.read(connection, start=run.log_index), None)
    if entry is None or (entry.kind, entry.public.get("run")) != ("run_proposed", run.id):
        return False
    return log.digest(entry.public["proposal"]) == run.proposal_sha256
