"""Proposals: what a run would do, in words that nobody can change once they are in the log."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.liability import safety
from firsthand.consent.runs import approvals
from firsthand.consent.tables import runs
from firsthand.consent.terms.vocabulary import (
    STREAMS,
    Use,
    check_offers,
    check_permissions,
    check_streams,
)
from firsthand.errors import NotFound, Usage

DAY_NS = 86_400 * 10**9
_LISTS = ("permissions", "streams", "offers")


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
    streams: tuple[str, ...] = STREAMS
    licence: str = "no one may pass it on"
    offers: tuple[str, ...] = ()  # conditions of use that it binds itself to
    bonus_cents: int = 0  # for deciding: the same for a yes and a no


@dataclass(frozen=True)
class Run:
    """A proposal that was put to people."""

    id: str
    proposal: Proposal
    proposal_sha256: str
    proposed_ns: int
    log_index: int

    @property
    def ends_ns(self) -> int:
        """When its data and model are to be gone."""
        return self.proposed_ns + self.proposal.retention_days * DAY_NS

    def use(self) -> Use:
        """The run as modifiers see it; whether its ethics approval holds is asked elsewhere."""
        proposal = self.proposal
        return Use(
            frozenset(proposal.permissions),
            proposal.commercial,
            proposal.ethics_approval,
            self.ends_ns,
            self.proposed_ns,
            frozenset(proposal.offers),
            frozenset(proposal.streams),
        )


def propose(connection: Connection, proposal: Proposal, now_ns: int | None = None) -> Run:
    """Puts a proposal to everyone; Usage if it leaves out what people decide on."""
    proposed_ns = now_ns or time.time_ns()
    fields = _checked(proposal)
    if proposal.ethics_approval:
        approvals.require(connection, proposal.ethics_approval, fields["permissions"], proposed_ns)
        safety.require_running(connection, proposal.ethics_approval)
    run = people.new_id("r")
    index = log.append(connection, "run_proposed", proposed_ns, run=run, proposal=fields)
    put(connection, index, run, fields, proposed_ns)
    return find(connection, run)


def put(
    connection: Connection, index: int, run: str, fields: dict[str, Any], proposed_ns: int
) -> None:
    """Keeps what an entry "run_proposed" of the log says."""
    values = {"proposal_sha256": log.digest(fields), "proposed_ns": proposed_ns}
    connection.execute(runs.insert().values(id=run, proposal=fields, log_index=index, **values))


def find(connection: Connection, run: str) -> Run:
    """The run of this id; NotFound."""
    row = connection.execute(sa.select(runs).where(runs.c.id == run)).first()
    if row is None:
        raise NotFound(f"there is no run {run!r}", 'list them with "firsthand run list"')
    return _run(row)


def listed(connection: Connection) -> Sequence[Run]:
    """All runs, oldest first."""
    return [_run(row) for row in connection.execute(sa.select(runs).order_by(runs.c.log_index))]


def _checked(proposal: Proposal) -> dict[str, Any]:
    """The fields as they are written to the log."""
    if not proposal.title.strip():
        raise Usage("a run needs a title", "say in a few words what it is for")
    if proposal.retention_days < 1:
        raise Usage("a run must say for how many days its data is kept", "give at least 1")
    for name in ("model", "who_gets_weights", "licence"):
        if not getattr(proposal, name).strip():
            raise Usage(f"a run says its {name.replace('_', ' ')}", "people decide on it")
    if type(proposal.bonus_cents) is not int or not 0 <= proposal.bonus_cents < 10**9:
        raise Usage(
            "the bonus for deciding is a whole number of cents, or none", "such as 200 for two"
        )
    if "sound" in proposal.streams and "video" not in proposal.streams:
        raise Usage("sound comes with video", "name both streams, or neither")
    return asdict(proposal) | {
        "permissions": check_permissions(proposal.permissions),
        "streams": check_streams(proposal.streams),
        "offers": check_offers(proposal.offers),
    }


def _run(row: Any) -> Run:
    lists = {name: tuple(row.proposal[name]) for name in _LISTS if name in row.proposal}
    digest = log.digest(row.proposal)
    return Run(row.id, Proposal(**row.proposal | lists), digest, row.proposed_ns, row.log_index)
