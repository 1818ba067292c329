"""Runs: a proposed use of data, put to each person; silence is no."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.tables import ballots, rules, runs
from firsthand.consent.vocabulary import Use, check_permissions
from firsthand.errors import NotFound, Usage

CHOICES = ("yes", "no")


@dataclass(frozen=True)
class Proposal:
    """What a run would do, in full; ballots are bound to its hash."""

    title: str
    permissions: tuple[str, ...]
    model: str
    who_gets_weights: str
    retention_days: int
    commercial: bool = False
    ethics_approval: str = ""


@dataclass(frozen=True)
class Run:
    """A proposal that was put to people."""

    id: str
    proposal: Proposal
    proposal_sha256: str
    proposed_ns: int
    log_index: int

    def use(self) -> Use:
        """The run as modifiers see it."""
        day_ns = 86_400 * 10**9
        return Use(
            frozenset(self.proposal.permissions),
            self.proposal.commercial,
            self.proposal.ethics_approval,
            self.proposed_ns + self.proposal.retention_days * day_ns,
        )


def propose(connection: Connection, proposal: Proposal, now_ns: int | None = None) -> Run:
    """Puts a proposal to everyone; Usage if it names no purpose or no end."""
    if not proposal.title.strip():
        raise Usage("a run needs a title", "say in a few words what it is for")
    if proposal.retention_days < 1:
        raise Usage("a run must say for how many days its data is kept", "give at least 1")
    permissions = tuple(check_permissions(proposal.permissions))
    fields = asdict(proposal) | {"permissions": list(permissions)}
    proposed_ns = now_ns or time.time_ns()
    digest = log.digest(fields)
    run = people.new_id("r")
    index = log.append(connection, "run_proposed", proposed_ns, run=run, proposal=fields)
    values = {"proposal_sha256": digest, "proposed_ns": proposed_ns, "log_index": index}
    connection.execute(runs.insert().values(id=run, proposal=fields, **values))
    return find(connection, run)


def find(connection: Connection, run: str) -> Run:
    """The run of this id; NotFound."""
    row = connection.execute(sa.select(runs).where(runs.c.id == run)).first()
    if row is None:
        raise NotFound(f"there is no run {run!r}", 'list them with "firsthand run list"')
    return _run(row)


def listed(connection: Connection) -> Sequence[Run]:
    """All runs, oldest first."""
    return [_run(row) for row in connection.execute(sa.select(runs).order_by(runs.c.log_index))]


def vote(
    connection: Connection,
    run: Run,
    person: people.Person,
    choice: str,
    now_ns: int | None = None,
) -> None:
    """Casts or changes a person's ballot; the last one counts."""
    if choice not in CHOICES:
        raise Usage(f"a ballot is yes or no, not {choice!r}")
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
        raise Usage(f"a standing rule is yes, no or ask, not {choice!r}")
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


def _is_logged(connection: Connection, run: Run) -> bool:
    entry = next(log.read(connection, start=run.log_index), None)
    if entry is None or (entry.kind, entry.public.get("run")) != ("run_proposed", run.id):
        return False
    return log.digest(entry.public["proposal"]) == run.proposal_sha256


def _run(row: Any) -> Run:
    fields = row.proposal | {"permissions": tuple(row.proposal["permissions"])}
    digest = log.digest(row.proposal)
    return Run(row.id, Proposal(**fields), digest, row.proposed_ns, row.log_index)
