"""Snapshots: who allows a run at one point of the log, before anything is built from it.

What is built under a snapshot holds nobody who wasn't in it, and is not built at all once someone
in it no longer allows the run. What is decided while it is built is honoured as well.
"""

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.runs.proposals import Run
from firsthand.consent.seen import Stale
from firsthand.consent.tables import snapshots
from firsthand.errors import NotFound


@dataclass(frozen=True)
class Snapshot:
    """The people who allowed a run when the log had this many entries."""

    log_index: int
    run: str
    proposal_sha256: str
    allowed: frozenset[str]


def take(connection: Connection, run: Run, now_ns: int | None = None) -> Snapshot:
    """Notes in the log that the run is decided as it stands now."""
    taken_ns = now_ns or time.time_ns()
    allowed = sorted(
        person.id
        for person in people.listed(connection)
        if ask.for_run(connection, run, person, taken_ns).allowed
    )
    said: dict[str, Any] = {"run": run.id, "proposal_sha256": run.proposal_sha256}
    index = log.append(connection, "run_snapshot", taken_ns, **said, people=len(allowed))
    connection.execute(snapshots.insert().values(log_index=index, allowed=allowed, **said))
    return Snapshot(index, run.id, run.proposal_sha256, frozenset(allowed))


def require(connection: Connection, run: Run, index: int, now_ns: int) -> Snapshot:
    """The run's snapshot at this index; NotFound, or Stale if it no longer stands."""
    where = (snapshots.c.log_index == index) & (snapshots.c.run == run.id)
    row = connection.execute(sa.select(snapshots).where(where)).first()
    if row is None:
        raise NotFound(
            f"run {run.id} has no snapshot {index}", f"take one: firsthand run snapshot {run.id}"
        )
    if row.proposal_sha256 != run.proposal_sha256:
        raise Stale(f"run {run.id} is not the one that snapshot {index} was taken of", _AGAIN)
    for person in row.allowed:
        decision = ask.for_run(connection, run, people.find(connection, person), now_ns)
        if not decision.allowed:
            raise Stale(f"snapshot {index} is stale: {decision.reasons[0]}", _AGAIN)
    return Snapshot(index, run.id, row.proposal_sha256, frozenset(row.allowed))


_AGAIN = 'look at "firsthand run show", then take a new snapshot'
