"""A study's monitor: who can stop it, and how many adverse events stop it without them.

A study is what an ethics approval is for. While it stands still no run that names the approval gets
anything, none is proposed and nobody is enrolled under it; devices go on recording for their
wearers. Only the monitor lets it go on.
"""

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.access.askers import Asker
from firsthand.consent.liability.tables import incidents, past_events, watches
from firsthand.consent.runs import approvals
from firsthand.errors import Refused, Usage

DAY_NS = 86_400 * 10**9
RULE = "rule"  # what stopped a study, if not a key


def name(
    connection: Connection,
    study: str,
    monitor: Asker,
    most: int,
    days: int,
    now_ns: int | None = None,
) -> None:
    """Names a study's monitor and its stopping rule: `most` adverse events within `days`.

    Refused while it stands still: nobody gets around a monitor by naming another. NotFound, Usage.
    """
    approvals.find(connection, study)
    if monitor.role != "monitor":
        raise Refused(f"{monitor.name} is no monitor", "see firsthand access give --role monitor")
    if not (1 <= most <= 10_000 and 1 <= days <= 3650):
        raise Usage("a stopping rule says how many events in how many days", "at least 1 in 1")
    require_running(connection, study)
    at_ns = log.now(connection, now_ns or time.time_ns())
    entry: dict[str, Any] = {"study": study, "key": monitor.id, "most": most, "days": days}
    put(connection, log.append(connection, "monitor_named", at_ns, **entry), entry)
    look(connection, study, at_ns)


def put(connection: Connection, index: int, entry: dict[str, Any]) -> None:
    """Keeps what an entry "monitor_named" of the log says."""
    where = watches.c.study == entry["study"]
    since = connection.scalar(sa.select(watches.c.since_index).where(where))
    row = {column: entry[column] for column in ("study", "key", "most", "days")}
    row |= {"since_index": -1 if since is None else since, "stopped_by": ""}
    connection.execute(watches.delete().where(where))
    connection.execute(watches.insert().values(**row))


def put_stop(connection: Connection, study: str, by: str, since: int | None = None) -> None:
    """Keeps that a study was stopped, or goes on since an entry of the log."""
    values: dict[str, Any] = {"stopped_by": by}
    if since is not None:
        values["since_index"] = since
        connection.execute(past_events.delete().where(past_events.c.study == study))
    connection.execute(watches.update().where(watches.c.study == study).values(**values))


def stop(connection: Connection, study: str, monitor: Asker, now_ns: int | None = None) -> None:
    """Stops a study as its monitor; stopping twice is once. Refused to anybody else."""
    _require(connection, study, monitor)
    if not stopped(connection, study):
        _stop(connection, study, monitor.id, log.now(connection, now_ns or time.time_ns()))


def resume(connection: Connection, study: str, monitor: Asker, now_ns: int | None = None) -> None:
    """Lets a study go on as its monitor; events noted before count no more. Refused, Usage."""
    _require(connection, study, monitor)
    if not stopped(connection, study):
        raise Usage(f"study {study} does not stand still", "nothing has to be done")
    at_ns = log.now(connection, now_ns or time.time_ns())
    index = log.append(connection, "study_resumed", at_ns, study=study, by=monitor.id)
    put_stop(connection, study, "", index)


def look(connection: Connection, study: str, now_ns: int) -> None:
    """Stops a study if so many adverse events came together as its rule says, whenever that was."""
    watch = connection.execute(sa.select(watches).where(watches.c.study == study)).first()
    if watch is None or watch.stopped_by:
        return
    noted = sa.select(incidents.c.happened_ns).where(
        incidents.c.study == study, incidents.c.log_index > watch.since_index
    )
    past = sa.select(past_events.c.happened_ns).where(past_events.c.study == study)
    happened = sorted([*connection.scalars(noted), *connection.scalars(past)])
    pairs = zip(happened, happened[watch.most - 1 :], strict=False)
    if any(last - first < watch.days * DAY_NS for first, last in pairs):
        _stop(connection, study, RULE, now_ns)


def forget(connection: Connection, person: str) -> None:
    """Takes the incidents of a person away; of an adverse event it stays that it happened."""
    mine = incidents.c.person == person
    since = sa.func.coalesce(watches.c.since_index, -1)
    query = (
        sa.select(incidents.c.study, incidents.c.happened_ns)
        .outerjoin(watches, watches.c.study == incidents.c.study)
        .where(mine, incidents.c.study != "", incidents.c.log_index > since)
    )
    rows = [dict(row._mapping) for row in connection.execute(query)]
    if rows:
        connection.execute(past_events.insert(), rows)
    connection.execute(incidents.delete().where(mine))


def watched(connection: Connection, study: str) -> bool:
    """Whether a study has a monitor; without one no count of events stops it."""
    query = sa.select(watches.c.study).where(watches.c.study == study)
    return connection.execute(query).first() is not None


def stopped(connection: Connection, study: str) -> str:
    """What stopped a study that stands still, the id of a key or "rule"; else empty."""
    if not study:
        return ""
    query = sa.select(watches.c.stopped_by).where(watches.c.study == study)
    return connection.scalar(query) or ""


def require_running(connection: Connection, study: str) -> None:
    """Refused while a study stands still."""
    if stopped(connection, study):
        raise Refused(f"study {study} stands still", "its monitor lets it go on: incident resume")


def _stop(connection: Connection, study: str, by: str, now_ns: int) -> None:
    log.append(connection, "study_stopped", now_ns, study=study, by=by)
    put_stop(connection, study, by)


def _require(connection: Connection, study: str, monitor: Asker) -> None:
    key = connection.scalar(sa.select(watches.c.key).where(watches.c.study == study))
    if key is None:
        raise Usage(f"nobody watches over {study}", "name who does: firsthand incident watch")
    if key != monitor.id:
        raise Refused(f"{monitor.name} is not the monitor of {study}", "let its own monitor do it")
