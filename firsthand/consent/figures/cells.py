"""Small cells: a figure is told of at least ten people, and no two tell of a few by difference.

Only tables fixed in advance are told, each value once until enough people have changed: whoever
subtracts one from another learns of ten people or of none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent.figures.tables import published

K = 10
TOTAL = "all"


def hidden(sizes: Mapping[str, int], k: int = K) -> set[str]:
    """The cells of a table that are not told, so that its total gives none of them away.

    Primary: fewer than k people. Secondary: then the smallest others too, until those that are not
    told are at least two and hold at least k people together (complementary suppression; Cox 1980).
    """
    if sum(sizes.values()) < k:
        return set(sizes)
    small = {cell for cell, size in sizes.items() if size < k}
    rest = sorted((size, cell) for cell, size in sizes.items() if cell not in small)
    for _, cell in rest:
        if not small or (len(small) > 1 and sum(sizes[one] for one in small) >= k):
            break
        small.add(cell)
    return small


def publish(
    connection: Connection,
    figure: str,
    members: Mapping[str, set[str]],
    values: Mapping[str, Any],
    now_ns: int,
    k: int = K,
) -> dict[str, Any]:
    """What may be told of each cell now: its value, or the last one told; None for what is hidden.

    `members` holds who is in each cell (disjoint but for "all"), `values` what each would say. A
    new table is told only if in each of its cells, those hidden taken together, none or at least k
    people differ from every table told before; until then the last one stays.
    """
    sizes = {cell: len(who) for cell, who in members.items() if cell != TOTAL}
    secret = set(members) if len(members[TOTAL]) < k else hidden(sizes, k)
    told = {cell: set(who) for cell, who in members.items() if cell not in secret}
    tables = _told(connection, figure)
    if tables:
        last, fresh = tables[-1], _with_hidden(told)
        apart = all(_apart(_with_hidden(table.members), fresh, k) for table in tables)
        if not apart or fresh == _with_hidden(last.members):
            return {cell: last.values.get(cell) for cell in members}
    for cell in members:
        row = {"value": values[cell] if cell in told else None, "published_ns": now_ns}
        row |= {"cell": cell, "members": sorted(told.get(cell, ())), "number": len(tables)}
        connection.execute(published.insert().values(figure=figure, **row))
    return {cell: values[cell] if cell in told else None for cell in members}


@dataclass(frozen=True)
class _Table:
    values: dict[str, Any]
    members: dict[str, set[str]]  # of the cells that were told


def _apart(one: dict[str, set[str]], other: dict[str, set[str]], k: int) -> bool:
    """Whether the difference of two tables is, in every cell, of nobody or of k people."""
    counts = (len(one.get(c, set()) ^ other.get(c, set())) for c in one.keys() | other.keys())
    return all(count == 0 or count >= k for count in counts)


def _with_hidden(told: dict[str, set[str]]) -> dict[str, set[str]]:
    """A table's told cells, and what its total gives away of the rest together."""
    if TOTAL not in told:
        return told
    parts = set().union(*(who for cell, who in told.items() if cell != TOTAL))
    return told | {"hidden": told[TOTAL] - parts}


def _told(connection: Connection, figure: str) -> list[_Table]:
    query = sa.select(published).where(published.c.figure == figure).order_by(published.c.number)
    tables: dict[int, _Table] = {}
    for row in connection.execute(query):
        table = tables.setdefault(row.number, _Table({}, {}))
        table.values[row.cell] = row.value
        if row.value is not None:
            table.members[row.cell] = set(row.members)
    return list(tables.values())
