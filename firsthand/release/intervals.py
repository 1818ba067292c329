"""Intervals by the million: which segments of a person's life a set of kept-back times touches.

Sorted arrays and binary search instead of comparing each with each: the work grows with the
kept-back intervals, not with the segments. Stops are excluded everywhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Intervals:
    """Disjoint intervals in order."""

    starts: Ints
    stops: Ints

    @classmethod
    def union(cls, starts: npt.ArrayLike, stops: npt.ArrayLike) -> "Intervals":
        """The same time as given, whatever overlaps; empty intervals fall away."""
        begins, ends = np.asarray(starts, np.int64), np.asarray(stops, np.int64)
        order = np.argsort(begins, kind="stable")
        begins, ends = begins[order], ends[order]
        if (begins >= ends).any():
            some = begins < ends
            begins, ends = begins[some], ends[some]
        if not len(begins):
            return cls(begins, ends)
        reach = np.maximum.accumulate(ends)
        heads = np.flatnonzero(np.concatenate(([True], begins[1:] > reach[:-1])))
        return cls(begins[heads], reach[np.concatenate((heads[1:] - 1, [len(reach) - 1]))])

    def __len__(self) -> int:
        return len(self.starts)

    def rest(self, stop: int) -> "Intervals":
        """What of 0 to `stop` lies in none of them, empty intervals left in."""
        return Intervals(np.concatenate(([0], self.stops)), np.concatenate((self.starts, [stop])))

    def total(self, before: npt.NDArray) -> int:
        """The sum over all that lies in them, from running totals: before[n] of the first n."""
        return int((before[self.stops] - before[self.starts]).sum())

    def expand(self) -> Ints:
        """Every whole number in them, in order."""
        lengths = self.stops - self.starts
        shift = self.starts - np.concatenate(([0], np.cumsum(lengths)[:-1]))
        return np.arange(lengths.sum()) + np.repeat(shift, lengths)

    def near(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Those that touch one interval."""
        first = int(np.searchsorted(self.stops, start, side="right"))
        last = int(np.searchsorted(self.starts, stop, side="left"))
        pairs = zip(self.starts[first:last], self.stops[first:last], strict=True)
        return [(int(begin), int(end)) for begin, end in pairs]


@dataclass(frozen=True)
class Line:
    """Segments by their beginning; `reach` is how far any of the first n goes."""

    starts: Ints
    stops: Ints
    reach: Ints
    overlaps: bool

    @classmethod
    def of(cls, starts: npt.ArrayLike, stops: npt.ArrayLike) -> "Line":
        """The line of segments that are sorted by their beginning."""
        begins, ends = np.asarray(starts, np.int64), np.asarray(stops, np.int64)
        reach = np.maximum.accumulate(ends) if len(ends) else ends
        # Two devices of a person may record at once; then the ends alone are in no order.
        return cls(begins, ends, reach, bool((begins[1:] < reach[:-1]).any()))

    def touched(self, taken: Intervals) -> Intervals:
        """The numbers of the segments that any of these intervals touches."""
        # Touched by [a, b): begins before b and stops after a.
        firsts = np.searchsorted(self.reach, taken.starts, side="right")
        lasts = np.searchsorted(self.starts, taken.stops, side="left")
        maybe = Intervals.union(firsts, lasts)
        if not self.overlaps or not len(maybe):
            return maybe
        # Within another's reach a segment may end before; those few are looked at one by one.
        numbers = maybe.expand()
        place = np.searchsorted(taken.stops, self.starts[numbers], side="right")
        begins = np.append(taken.starts, np.iinfo(np.int64).max)[place]
        numbers = numbers[begins < self.stops[numbers]]
        return Intervals.union(numbers, numbers + 1)
