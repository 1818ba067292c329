"""In which order what waits on the card goes home.

First records without bytes (gaps, pauses, forgotten time: a few kB, and the day's account is
whole), then the segments that the vault asked for, then all others, oldest first.

A still goes with its segment: that is one object, and no store shows a part of one before all are
there. A still of its own would be a second object under the same keys, which forgetting, erasure,
quota and check would have to know of before its segment has a row.
"""

from collections.abc import Iterable, Sequence

from firsthand.record.card.listing import Listed
from firsthand.record.card.waiting import Waiting

Interval = tuple[int, int]  # wall-clock ns, stop excluded


def records(waiting: Iterable[Waiting]) -> list[Waiting]:
    """What waits and has no bytes, oldest first."""
    return [item for item in waiting if not item.listed.size_bytes]


def bulk(waiting: Iterable[Waiting], wanted: Sequence[Interval] = ()) -> list[Waiting]:
    """The segments: those that touch what is `wanted` first, each group oldest first."""
    segments = [item for item in waiting if item.listed.size_bytes]
    return sorted(segments, key=lambda item: not _touches(item.listed, wanted))


def wanted_of(answer: object) -> list[Interval]:
    """The intervals that a vault asks for; whatever else it says is passed over."""
    rows = answer if isinstance(answer, list) else []
    return [
        (row[0], row[1])
        for row in rows
        if isinstance(row, list) and len(row) == 2 and all(type(each) is int for each in row)
    ]


def _touches(item: Listed, wanted: Sequence[Interval]) -> bool:
    return any(item.wall_ns_start < stop and item.wall_ns_end > start for start, stop in wanted)
