"""Intervals by binary search against the plain comparison of each with each."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firsthand.consent.capture import withhold
from firsthand.release.intervals import Intervals, Line

times = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda t: (t[0], t[0] + t[1]))
some = st.lists(times, max_size=12)
segments = some.map(lambda listed: sorted((a, b + 1) for a, b in listed))


def columns(pairs):
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@given(some)
def test_a_union_covers_the_same_instants_in_disjoint_order(taken):
    union = Intervals.union(*columns(taken))
    instants = {at for begin, end in taken for at in range(begin, end)}
    assert set(union.expand()) == instants
    assert (union.starts[1:] > union.stops[:-1]).all()
    assert (union.starts < union.stops).all()


@given(segments, some)
def test_touched_are_exactly_the_segments_that_an_interval_touches(listed, taken):
    found = Line.of(*columns(listed)).touched(Intervals.union(*columns(taken)))
    plain = [
        number
        for number, (start, stop) in enumerate(listed)
        if any(begin < stop and end > start for begin, end in taken if begin < end)
    ]
    assert list(found.expand()) == plain
    rest = found.rest(len(listed))
    assert sorted([*plain, *rest.expand()]) == list(range(len(listed)))
    before = np.concatenate(([0], np.cumsum([stop - start for start, stop in listed])))
    length = sum(b - a for n, (a, b) in enumerate(listed) if n not in plain)
    assert rest.total(before.astype(np.int64)) == length


@given(segments, some)
def test_what_is_near_a_segment_cuts_it_as_everything_would(listed, taken):
    union = Intervals.union(*columns(taken))
    for start, stop in listed:
        near = union.near(start, stop)
        assert withhold.subtract(start, stop, near) == withhold.subtract(start, stop, taken)
