"""Erasure orders: what is to be destroyed and when, written to the log; the vault carries them out.

An order hides at once what it names. Until it is due it can be undone; then it is carried out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access import tables as access
from firsthand.consent.capture import tables as capture
from firsthand.consent.estate import tables as estate
from firsthand.consent.figures import tables as figures
from firsthand.consent.liability import safety
from firsthand.consent.liability import tables as liability
from firsthand.consent.tables import (
    attempts,
    attestations,
    ballots,
    consents,
    coolings,
    erasures,
    rules,
    snapshots,
    withholds,
)
from firsthand.errors import NotFound, Refused, Usage

# How long an order may wait for a change of mind; GDPR gives a month for the whole.
REVIEW_NS = 7 * 86_400 * 10**9


@dataclass(frozen=True)
class Order:
    """An order to erase a person, an interval or segments of theirs, or a whole release."""

    id: str
    person: str
    scope: str
    start_ns: int | None
    stop_ns: int | None
    ordered_ns: int
    done_ns: int | None
    log_index: int
    due_ns: int | None = None
    begun_ns: int | None = None
    undone_ns: int | None = None
    segments: Sequence[str] | None = None
    release: str | None = None
    epoch: int | None = None
    done_index: int | None = None
    outcome: dict[str, Any] | None = None

    @property
    def state(self) -> str:
        """hidden | due | erased | undone: of an order that is due, something may be destroyed."""
        if self.undone_ns is not None:
            return "undone"
        if self.done_ns is not None:
            return "erased"
        return "hidden" if self.begun_ns is None and self.due_ns is not None else "due"


def order(
    connection: Connection,
    person: people.Person,
    interval: tuple[int, int] | None = None,
    now_ns: int | None = None,
    segments: Sequence[str] = (),
    wait_ns: int = 0,
) -> Order:
    """Orders the erasure of an interval (wall ns, stop excluded), of segments, or of the person.

    An equal order that is still open is returned instead, due no later than asked for now.
    """
    if interval is not None and interval[0] >= interval[1]:
        raise Usage("this interval is empty", "give a start before its stop")
    start_ns, stop_ns = interval or (None, None)
    scope = "segments" if segments else "interval" if interval else "person"
    asked = (person.id, scope, start_ns, stop_ns, sorted(segments))
    ordered_ns = now_ns or time.time_ns()
    for known in open_orders(connection):
        listed = sorted(known.segments or ())
        if (known.person, known.scope, known.start_ns, known.stop_ns, listed) == asked:
            return hasten(connection, known, _due(ordered_ns, wait_ns))
    values = {"id": people.new_id("e"), "scope": scope, "start_ns": start_ns, "stop_ns": stop_ns}
    private = values | ({"segments": sorted(segments)} if segments else {})
    # The id is open: with it an auditor knows whose erasure was carried out, and nothing else.
    index = people.note(
        connection, "erasure_ordered", person, ordered_ns, private=private, order=values["id"]
    )
    row: dict[str, Any] = values | {"person": person.id, "ordered_ns": ordered_ns}
    row |= {"log_index": index, "due_ns": _due(ordered_ns, wait_ns)}
    row["segments"] = sorted(segments) if segments else None
    connection.execute(erasures.insert().values(**row))
    return Order(**row, done_ns=None)


def order_release(
    connection: Connection, release: str, now_ns: int | None = None, wait_ns: int = 0
) -> Order:
    """Orders the erasure of a whole release; an open order of it is returned instead."""
    ordered_ns = now_ns or time.time_ns()
    for known in open_orders(connection):
        if known.scope == "release" and known.release == release:
            return hasten(connection, known, _due(ordered_ns, wait_ns))
    named = {"id": people.new_id("e"), "scope": "release", "release": release}
    index = log.append(
        connection, "release_erasure_ordered", ordered_ns, order=named["id"], release=release
    )
    row: dict[str, Any] = named | {"person": "", "start_ns": None, "stop_ns": None}
    row |= {"ordered_ns": ordered_ns, "log_index": index, "due_ns": _due(ordered_ns, wait_ns)}
    connection.execute(erasures.insert().values(**row))
    return Order(**row, done_ns=None)


def hasten(connection: Connection, order: Order, due_ns: int | None = None) -> Order:
    """The order, due no later than this; None: at once."""
    if order.due_ns is not None and (due_ns is None or due_ns < order.due_ns):
        connection.execute(_change(order.id).values(due_ns=due_ns))
    return find(connection, order.id)


def begin(connection: Connection, order: Order, now_ns: int) -> None:
    """From here on the order can't be undone; Refused if it was, or if it only hides so far."""
    held = find(connection, order.id)
    if held.undone_ns is not None:
        raise Refused(f"erasure {order.id} was undone", "order it again")
    if held.begun_ns is None:
        if held.due_ns is not None and held.due_ns > now_ns:
            raise Refused(f"erasure {order.id} is not due yet", "until then it can be undone")
        connection.execute(_change(order.id).values(begun_ns=now_ns))


def undo(connection: Connection, order: str, now_ns: int | None = None) -> Order:
    """Takes an order back that only hides so far; NotFound, Refused once it is too late."""
    at_ns = now_ns or time.time_ns()
    held = find(connection, order)
    if held.state != "hidden" or (held.due_ns or 0) <= at_ns:
        said = {"undone": "was undone already", "erased": "was carried out"}
        raise Refused(
            f"erasure {order} {said.get(held.state, 'is due: it is being carried out')}",
            "what was destroyed does not come back",
        )
    connection.execute(_change(order).values(undone_ns=at_ns))
    if held.scope == "release":
        log.append(connection, "erasure_undone", at_ns, order=order)
    else:
        person = people.find(connection, held.person)
        people.note(connection, "erasure_undone", person, at_ns, order=order)
    return find(connection, order)


def covers(
    connection: Connection, person: str, start_ns: int, stop_ns: int, now_ns: int | None = None
) -> bool:
    """Whether an order that is due erases, or has erased, any of this interval of a person."""
    asked = {"of": person, "since_ns": start_ns, "until_ns": stop_ns}
    asked["now_ns"] = now_ns or time.time_ns()
    return connection.execute(_COVERING, asked).first() is not None


# Built once, as building takes three times as long as sending.
_COVERING = (
    sa.select(erasures.c.id)
    .where(
        erasures.c.person == sa.bindparam("of"),
        erasures.c.start_ns < sa.bindparam("until_ns"),
        erasures.c.stop_ns > sa.bindparam("since_ns"),
        erasures.c.due_ns.is_(None)
        | (erasures.c.due_ns <= sa.bindparam("now_ns"))
        | erasures.c.begun_ns.is_not(None),
    )
    .limit(1)
)


def hides(connection: Connection, person: str, start_ns: int, stop_ns: int) -> bool:
    """Whether an order that is still open hides any of this interval, or the whole person."""
    query = sa.select(erasures.c.id).where(_OPEN)
    whole = (erasures.c.person == person) & (erasures.c.scope == "person")
    query = query.where(whole | _touching(person, start_ns, stop_ns))
    return connection.execute(query.limit(1)).first() is not None


def intervals(connection: Connection, person: str) -> list[tuple[int, int]]:
    """All time of a person that was ordered to be erased, whatever is placed there later."""
    query = sa.select(erasures.c.start_ns, erasures.c.stop_ns).where(
        erasures.c.person == person, erasures.c.scope == "interval", erasures.c.undone_ns.is_(None)
    )
    rows = connection.execute(query.where(erasures.c.start_ns.is_not(None)))
    return [(row.start_ns, row.stop_ns) for row in rows]


def leaving(connection: Connection, person: str) -> bool:
    """Whether an open order hides all of a person."""
    query = sa.select(erasures.c.id).where(_OPEN, erasures.c.scope == "person")
    return connection.execute(query.where(erasures.c.person == person)).first() is not None


def forget(connection: Connection, person: str) -> None:
    """Takes away all that this room knows of a person but that there was one.

    No log entry of theirs can be read any more, though each still proves its place. Their devices
    stay enrolled, so that each can get the vault's signed refusal and clear its card.
    """
    where = people.people.c.id == person
    gone = {"status": "erased", "salt": None, "name": f"erased {person}", "jurisdiction": ""}
    connection.execute(people.people.update().where(where).values(**gone))
    seen = sa.select(access.views.c.id).where(access.views.c.person == person)
    connection.execute(access.approvals.delete().where(access.approvals.c.view.in_(seen)))
    _forget_requests(connection, person)
    # A snapshot in which they were is stale for good, and would still tell what they had allowed.
    for index, allowed in connection.execute(sa.select(snapshots.c.log_index, snapshots.c.allowed)):
        if person in allowed:
            connection.execute(snapshots.delete().where(snapshots.c.log_index == index))
    said = [consents, coolings, withholds, rules, ballots, attempts, attestations, figures.traits]
    said += [capture.zones, capture.permits, capture.windows, capture.reviews, capture.holds]
    said += [access.views, access.keys]
    said += [liability.agreements, liability.freed]
    for table in (*said, estate.directives, estate.attestations, estate.stops):
        connection.execute(table.delete().where(table.c.person == person))
    safety.forget(connection, person)
    bounds = erasures.update().where(erasures.c.person == person)
    connection.execute(bounds.values(start_ns=None, stop_ns=None, segments=None))
    log.forget(connection, person)


def _forget_requests(connection: Connection, person: str) -> None:
    """Takes a stranger's words, and the badge they saw, away with the last who could decide."""
    mine = set(connection.scalars(sa.select(capture.holds.c.request).where(_held_of(person))))
    others = capture.holds.c.request.in_(mine) & (capture.holds.c.decision == "")
    waiting = sa.select(capture.holds.c.request).where(others, ~_held_of(person))
    change = capture.requests.update().where(capture.requests.c.id.in_(mine))
    connection.execute(change.values(code=""))
    left = mine - set(connection.scalars(waiting))
    change = capture.requests.update().where(capture.requests.c.id.in_(left))
    connection.execute(change.values(words=""))


def _held_of(person: str) -> sa.ColumnElement[bool]:
    return capture.holds.c.person == person


def done(
    connection: Connection,
    order: Order,
    now_ns: int | None = None,
    epoch: int = 0,
    outcome: dict[str, Any] | None = None,
) -> int:
    """Notes that the vault carried the order out; returns the log index of that entry.

    `epoch` is the keyring's: when it ends, the last copy of what was destroyed opens no more.
    """
    done_ns = log.now(connection, now_ns or time.time_ns())  # as the entry says it, to the ns
    index = log.append(
        connection, "erasure_done", done_ns, order=order.id, scope=order.scope, epoch=epoch
    )
    values = {"done_ns": done_ns, "done_index": index, "epoch": epoch, "outcome": outcome}
    connection.execute(_change(order.id).values(**values))
    return index


def find(connection: Connection, order: str) -> Order:
    """The order of this id; NotFound."""
    row = connection.execute(sa.select(erasures).where(erasures.c.id == order)).first()
    if row is None:
        raise NotFound(f"there is no erasure {order!r}", 'list them: "firsthand person erasures"')
    return Order(**row._mapping)


def listed(connection: Connection, person: str | None = None) -> list[Order]:
    """All orders, of one person if given, oldest first."""
    query = sa.select(erasures).order_by(erasures.c.log_index)
    if person is not None:
        query = query.where(erasures.c.person == person)
    return [Order(**row._mapping) for row in connection.execute(query)]


def open_orders(connection: Connection) -> list[Order]:
    """Orders that were neither carried out nor undone, oldest first."""
    rows = connection.execute(sa.select(erasures).where(_OPEN).order_by(erasures.c.log_index))
    return [Order(**row._mapping) for row in rows]


def due(connection: Connection, now_ns: int) -> list[Order]:
    """Open orders whose time has come, and those that were cut off."""
    return [
        each
        for each in open_orders(connection)
        if each.begun_ns is not None or each.due_ns is None or each.due_ns <= now_ns
    ]


_OPEN = erasures.c.done_ns.is_(None) & erasures.c.undone_ns.is_(None)


def _touching(person: str, start_ns: int, stop_ns: int) -> sa.ColumnElement[bool]:
    return (
        (erasures.c.person == person)
        & erasures.c.undone_ns.is_(None)
        & (erasures.c.start_ns < stop_ns)
        & (erasures.c.stop_ns > start_ns)
    )


def _due(ordered_ns: int, wait_ns: int) -> int | None:
    # None and not the time of now: what is due at once waits for no clock to agree.
    return ordered_ns + wait_ns if wait_ns else None


def _change(order: str) -> sa.Update:
    return erasures.update().where(erasures.c.id == order)
