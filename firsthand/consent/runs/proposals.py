"""Proposals: what a run would do, in words that nobody can change once they are in the log."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.tables import runs
from firsthand.consent.terms.vocabulary import Use, check_permissions
from firsthand.errors import NotFound, Usage


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


def _run(row: Any) -> Run:
    fields = row.proposal | {"permissions": tuple(row.proposal["permissions"])}
    digest = log.digest(row.proposal)
    return Run(row.id, Proposal(**fields), digest, row.proposed_ns, row.log_index)
