"""The programme's figures: who is there, for how long, what is deleted and withheld, by whom."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.figures import cells, survival, traits
from firsthand.consent.tables import erasures

DAY_NS = 86_400 * 10**9
LEFT = ("withdrawn", "erased")  # who died did not leave: they are censored


@dataclass(frozen=True)
class Wear:
    """What the vault knows of one person's time, in hours."""

    recorded_h: float
    withheld_h: float
    deleted_h: float
    days: int  # with footage


def figures(
    connection: Connection,
    wear: Mapping[str, Wear],
    trait_key: Callable[[str], bytes | None],
    now_ns: int,
    k: int = cells.K,
) -> dict[str, Any]:
    """All figures that may be told now; what is of fewer than k people is None."""
    crowd = people.listed(connection)
    ends = _ends(connection)
    spans = {one.id: _span(one, ends.get(one.id), now_ns) for one in crowd}
    orders = _deletions(connection)
    present = {one.id for one in crowd if one.status == "active"}
    told: dict[str, Any] = {"k": k}
    whole = {cells.TOTAL: set(spans)}
    for name, make in (
        ("attrition", lambda: _attrition(list(spans.values()))),
        ("deletion", lambda: _deletion(orders, spans, wear)),
    ):
        told[name] = cells.publish(
            connection, name, whole, {cells.TOTAL: make()} if spans else {cells.TOTAL: None},
            now_ns, k,
        )[cells.TOTAL]  # fmt: skip
    for dimension in ("everyone", *traits.dimensions()):
        parts = {} if dimension == "everyone" else (
            traits.cells(connection, dimension, present, trait_key)
        )  # fmt: skip
        members = parts | {cells.TOTAL: present}
        values = {cell: _wear([wear[one] for one in who if one in wear], len(who))
                  for cell, who in members.items()}  # fmt: skip
        masked = {cell: traits.masked(who, dimension, trait_key) for cell, who in members.items()}
        told[dimension] = cells.publish(connection, dimension, masked, values, now_ns, k)
    return told


def _attrition(spans: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    steps = survival.kaplan_meier(spans)
    return {
        "people": len(spans),
        "left": sum(gone for _, gone in spans),
        "median_days": survival.median_days(steps),
        "curve": [asdict(step) for step in steps],
    }


def _deletion(
    orders: Mapping[str, int], spans: Mapping[str, tuple[float, bool]], wear: Mapping[str, Wear]
) -> dict[str, Any]:
    days = sum(length for length, _ in spans.values())
    a_year, low, high = survival.rate(sum(orders.values()), days)
    kept = sum(one.recorded_h for one in wear.values())
    gone = sum(one.deleted_h for one in wear.values())
    found = {"orders_per_person_year": a_year, "low": low, "high": high}
    share = gone / (kept + gone) if kept + gone else math.nan
    return {name: None if math.isnan(value) else value for name, value in found.items()} | {
        "share_of_hours": None if math.isnan(share) else share
    }


def _wear(worn: Sequence[Wear], count: int) -> dict[str, Any]:
    days = sum(one.days for one in worn)
    recorded = sum(one.recorded_h for one in worn)
    withheld = sum(one.withheld_h for one in worn)
    return {
        "people": count,
        "hours_per_day_worn": recorded / days if days else None,
        "share_withheld": withheld / recorded if recorded else None,
    }


def _span(person: people.Person, end_ns: int | None, now_ns: int) -> tuple[float, bool]:
    """(days taken part so far, whether they then left)."""
    gone = person.status in LEFT and end_ns is not None
    stop_ns = end_ns if end_ns is not None else now_ns
    return max(0.0, (stop_ns - person.added_ns) / DAY_NS), gone


def _ends(connection: Connection) -> dict[str, int]:
    """When people left or died: the first word of it that there is."""
    ends: dict[str, int] = {}
    query = sa.select(erasures.c.person, erasures.c.ordered_ns).where(
        erasures.c.scope == "person", erasures.c.undone_ns.is_(None)
    )
    for row in connection.execute(query):
        ends[row.person] = min(row.ordered_ns, ends.get(row.person, row.ordered_ns))
    for person in people.listed(connection):
        if person.status in ("withdrawn", "deceased"):
            for entry in log.read(connection, person=person.id):
                if entry.kind in ("person_withdrawn", "death_attested"):
                    ends[person.id] = min(entry.time_ns, ends.get(person.id, entry.time_ns))
    return ends


def _deletions(connection: Connection) -> dict[str, int]:
    """How many orders each person gave that stand."""
    theirs = erasures.c.undone_ns.is_(None) & (erasures.c.person != "")
    query = sa.select(erasures.c.person, sa.func.count()).where(theirs)
    return {row[0]: row[1] for row in connection.execute(query.group_by(erasures.c.person))}
