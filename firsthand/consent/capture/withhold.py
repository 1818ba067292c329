"""Withheld intervals: footage its wearer keeps back; it stays sealed and reaches nobody."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.tables import withholds
from firsthand.errors import NotFound, Usage

# The id of an interval that goes with a session whose device did not know the time.
FOLLOWS = "wm-"


@dataclass(frozen=True)
class Withhold:
    """One interval kept back, in wall-clock ns, stop excluded; lifted_ns None while it holds."""

    id: str
    person: str
    start_ns: int
    stop_ns: int
    withheld_ns: int
    lifted_ns: int | None
    log_index: int


def withhold(
    connection: Connection,
    person: people.Person,
    start_ns: int,
    stop_ns: int,
    now_ns: int | None = None,
) -> Withhold:
    """Keeps an interval back, before or after the fact; Usage if it is empty.

    Kept back twice is once: the same interval again returns the one that holds.
    """
    if not 0 <= start_ns < stop_ns < 2**63:
        raise Usage("this interval is empty or out of range", "give a start before its stop")
    bounds = (start_ns, stop_ns)
    for there in of(connection, person.id):
        # One that goes with a session keeps back no time: it may be elsewhere tomorrow.
        if (there.start_ns, there.stop_ns) == bounds and not there.id.startswith(FOLLOWS):
            return there
    at_ns = now_ns or time.time_ns()
    withheld = people.new_id("w")
    private = {"withhold": withheld, "start_ns": start_ns, "stop_ns": stop_ns}
    index = people.note(connection, "withheld", person, at_ns, private=private)
    values = {"id": withheld, "person": person.id, "withheld_ns": at_ns}
    values |= {"start_ns": start_ns, "stop_ns": stop_ns, "log_index": index}
    connection.execute(withholds.insert().values(**values))
    return Withhold(**values, lifted_ns=None)  # type: ignore[arg-type]


def follow(
    connection: Connection,
    person: people.Person,
    session: str,
    lay: tuple[int, int],
    by_ns: int,
    ordered: Iterable[tuple[str, int, int]] = (),
    now_ns: int | None = None,
) -> None:
    """Keeps back, where a session comes to lie, what was kept back where it lay until now.

    A wearer may have kept it back for what they saw there, or for the time: so the first interval
    stays, and a second one goes with the session from then on, each time it is moved. `ordered` is
    what waits to be erased (id and bounds), and is kept back alike.
    """
    at_ns = now_ns or time.time_ns()
    rows = connection.execute(sa.select(withholds).where(withholds.c.person == person.id)).all()
    mine = f"{FOLLOWS}{session[:12]}-"
    first = [row for row in rows if row.lifted_ns is None and not row.id.startswith(FOLLOWS)]
    known = {row.id for row in rows}
    moved = [row for row in rows if row.lifted_ns is None and row.id.startswith(mine)]
    found = {row.id: (row.start_ns, row.stop_ns) for row in moved}
    for id_, begin, end in [*((row.id, row.start_ns, row.stop_ns) for row in first), *ordered]:
        name = mine + hashlib.sha256(id_.encode()).hexdigest()[:12]
        begin, end = max(begin, lay[0]), min(end, lay[1])
        if name not in known and begin < end:
            found[name] = begin, end
    for name, (begin, end) in found.items():
        # Before 1970 too, where a wrong clock may put it: cut there, it came back too short.
        bounds = {"start_ns": begin + by_ns, "stop_ns": end + by_ns}
        index = people.note(
            connection, "withheld", person, at_ns, private={"withhold": name, **bounds}
        )
        values = bounds | {"log_index": index}
        if name in known:
            connection.execute(withholds.update().where(withholds.c.id == name).values(**values))
        else:
            values |= {"id": name, "person": person.id, "withheld_ns": at_ns}
            connection.execute(withholds.insert().values(**values))


def lift(
    connection: Connection, person: people.Person, withheld: str, now_ns: int | None = None
) -> None:
    """Lets a withheld interval be used again, under the person's consents."""
    at_ns = now_ns or time.time_ns()
    where = (withholds.c.id == withheld) & (withholds.c.person == person.id)
    where &= withholds.c.lifted_ns.is_(None)
    if not connection.execute(withholds.update().where(where).values(lifted_ns=at_ns)).rowcount:
        raise NotFound(
            f"{person.name} withholds nothing under {withheld}",
            'its id is what "firsthand consent withhold" printed, w- and eight digits',
        )
    people.note(connection, "withhold_lifted", person, at_ns, private={"withhold": withheld})


def of(connection: Connection, person: str) -> Sequence[Withhold]:
    """The intervals that a person keeps back now, by start."""
    query = sa.select(withholds).where(
        withholds.c.person == person, withholds.c.lifted_ns.is_(None)
    )
    rows = connection.execute(query.order_by(withholds.c.start_ns))
    return [Withhold(**row._mapping) for row in rows]


def subtract(
    start_ns: int, stop_ns: int, taken: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """What is left of an interval without the taken ones; all intervals exclude their stop."""
    left: list[tuple[int, int]] = []
    at = start_ns
    for begin, end in sorted(taken):
        if end <= begin or end <= at:
            continue
        if begin >= stop_ns:
            break
        if begin > at:
            left.append((at, begin))
        at = end
    if at < stop_ns:
        left.append((at, stop_ns))
    return left
