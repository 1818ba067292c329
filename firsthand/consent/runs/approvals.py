"""Ethics approvals as data: for which purposes, by whom, until when.

An approval that has expired or was ended is none: consents that ask for one are not met, and
nobody is enrolled under it.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.tables import approvals
from firsthand.consent.terms.vocabulary import check_permissions, covers
from firsthand.errors import NotFound, Refused, Usage


@dataclass(frozen=True)
class Approval:
    """What an ethics board approved."""

    id: str
    scope: tuple[str, ...]
    reviewer: str
    expires_ns: int
    ended_ns: int | None
    log_index: int

    def holds(self, now_ns: int) -> bool:
        """Whether it is neither expired nor ended."""
        return now_ns < self.expires_ns and self.ended_ns is None


def add(
    connection: Connection,
    approval: str,
    scope: Iterable[str],
    reviewer: str,
    expires_ns: int,
    now_ns: int | None = None,
) -> Approval:
    """Records an approval; a later one of the same id, such as a renewal, takes its place."""
    added_ns = now_ns or time.time_ns()
    if not re.fullmatch(r"[\w./:-]{1,64}", approval, re.ASCII):
        raise Usage(f"{approval!r} is no number of an approval", "use letters, digits and ./:-")
    if not reviewer.strip():
        raise Usage("an approval names who gave it", "give the name of the board")
    if expires_ns <= added_ns:
        raise Usage("this approval has expired already", "record the renewed one")
    entry: dict[str, Any] = {"approval": approval, "scope": check_permissions(scope)}
    entry |= {"reviewer": reviewer, "expires_ns": expires_ns}
    put(connection, log.append(connection, "approval_added", added_ns, **entry), entry)
    return find(connection, approval)


def put(connection: Connection, index: int, entry: dict[str, Any]) -> None:
    """Keeps what an entry "approval_added" of the log says."""
    names = ("scope", "reviewer", "expires_ns")
    values = {name: entry[name] for name in names} | {"ended_ns": None, "log_index": index}
    connection.execute(approvals.delete().where(approvals.c.id == entry["approval"]))
    connection.execute(approvals.insert().values(id=entry["approval"], **values))


def end(connection: Connection, approval: str, now_ns: int | None = None) -> None:
    """Ends an approval before its time; NotFound."""
    ended_ns = now_ns or time.time_ns()
    if find(connection, approval).ended_ns is None:
        log.append(connection, "approval_ended", ended_ns, approval=approval)
        close(connection, approval, ended_ns)


def close(connection: Connection, approval: str, ended_ns: int) -> None:
    """Keeps what an entry "approval_ended" of the log says."""
    change = approvals.update().where(approvals.c.id == approval)
    connection.execute(change.values(ended_ns=ended_ns))


def find(connection: Connection, approval: str) -> Approval:
    """The approval of this id; NotFound."""
    row = connection.execute(sa.select(approvals).where(approvals.c.id == approval)).first()
    if row is None:
        raise NotFound(f"there is no ethics approval {approval!r}", 'see "firsthand run approvals"')
    return _approval(row)


def listed(connection: Connection) -> list[Approval]:
    """All approvals, oldest first."""
    rows = connection.execute(sa.select(approvals).order_by(approvals.c.log_index))
    return [_approval(row) for row in rows]


def holds(connection: Connection, approval: str, purposes: Iterable[str], now_ns: int) -> bool:
    """Whether this approval holds now, and is for each of these purposes."""
    if not approval.strip():
        return False
    row = connection.execute(sa.select(approvals).where(approvals.c.id == approval)).first()
    return row is not None and _approval(row).holds(now_ns) and _is_for(row.scope, purposes)


def require(
    connection: Connection, approval: str, purposes: Iterable[str], now_ns: int
) -> Approval:
    """The approval; NotFound, Refused if it does not hold now or is not for these purposes."""
    found = find(connection, approval)
    if not found.holds(now_ns):
        raise Refused(
            f"ethics approval {approval} has expired or was ended",
            'record the renewed one with "firsthand run add-approval"',
        )
    if not _is_for(found.scope, purposes):
        raise Refused(
            f"ethics approval {approval} is not for all of these purposes",
            f"it is for: {', '.join(found.scope)}",
        )
    return found


def _is_for(scope: Iterable[str], purposes: Iterable[str]) -> bool:
    listed = list(scope)
    return all(any(covers(code, purpose) for code in listed) for purpose in purposes)


def _approval(row: Any) -> Approval:
    return Approval(**{**row._mapping, "scope": tuple(row.scope)})
