"""Withheld intervals: subtraction against a plain set of instants, and their rows."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand import log
from firsthand.consent.capture import withhold
from firsthand.errors import NotFound, Usage

instants = st.integers(-3, 40)
intervals = st.lists(st.tuples(instants, instants), max_size=6)


@settings(max_examples=150, deadline=None)
@given(instants, instants, intervals)
def test_what_is_left_is_what_a_set_of_instants_would_leave(start, stop, taken):
    left = withhold.subtract(start, stop, taken)
    instants_left = set(range(start, stop))
    for begin, end in taken:
        instants_left -= set(range(begin, end))
    assert {at for begin, end in left for at in range(begin, end)} == instants_left
    assert all(begin < end for begin, end in left)
    assert all(one[1] < two[0] for one, two in pairwise(left))


@settings(max_examples=50, deadline=None)
@given(instants, instants, intervals, intervals)
def test_withholding_more_leaves_no_more_and_order_does_not_matter(start, stop, taken, more):
    def covered(left: list[tuple[int, int]]) -> set[int]:
        return {at for begin, end in left for at in range(begin, end)}

    both = withhold.subtract(start, stop, [*taken, *more])
    assert covered(both) <= covered(withhold.subtract(start, stop, taken))
    assert both == withhold.subtract(start, stop, [*reversed(more), *reversed(taken)])


def test_times_of_this_century_are_exact_to_the_nanosecond():
    day = 1_793_520_000_000_000_001
    assert withhold.subtract(day, day + 9, [(day + 3, day + 4)]) == [
        (day, day + 3),
        (day + 4, day + 9),
    ]


def test_a_persons_intervals_are_theirs_alone_and_in_order(connection, ana, ben):
    withhold.withhold(connection, ana, 50, 60)
    withhold.withhold(connection, ana, 10, 20)
    withhold.withhold(connection, ben, 1, 2)
    assert [(each.start_ns, each.stop_ns) for each in withhold.of(connection, ana.id)] == [
        (10, 20),
        (50, 60),
    ]


def test_a_lifted_interval_is_gone_and_lifting_twice_is_an_error(connection, ana, ben):
    held = withhold.withhold(connection, ana, 10, 20)
    with pytest.raises(NotFound):
        withhold.lift(connection, ben, held.id)
    assert len(withhold.of(connection, ana.id)) == 1
    withhold.lift(connection, ana, held.id)
    assert withhold.of(connection, ana.id) == []
    entries = log.size(connection)
    with pytest.raises(NotFound):
        withhold.lift(connection, ana, held.id)
    assert log.size(connection) == entries


def test_overlapping_withholds_are_lifted_one_by_one(connection, ana):
    first = withhold.withhold(connection, ana, 10, 20)
    withhold.withhold(connection, ana, 11, 20)
    withhold.lift(connection, ana, first.id)
    assert len(withhold.of(connection, ana.id)) == 1


@pytest.mark.parametrize(("start", "stop"), [(5, 5), (6, 5), (-1, 5), (0, 2**63), (2**63, 2**64)])
def test_an_empty_or_impossible_interval_is_refused_and_not_logged(connection, ana, start, stop):
    entries = log.size(connection)
    with pytest.raises(Usage):
        withhold.withhold(connection, ana, start, stop)
    assert (log.size(connection), withhold.of(connection, ana.id)) == (entries, [])


def test_withholding_and_lifting_are_in_the_log_and_only_the_wearer_can_read_when(connection, ana):
    held = withhold.withhold(connection, ana, 10, 20)
    withhold.lift(connection, ana, held.id)
    *_, first, second = log.read(connection)
    fields = {"withhold": held.id, "start_ns": 10, "stop_ns": 20}
    assert (first.kind, first.private) == ("withheld", {"person": ana.id} | fields)
    lifted = {"person": ana.id, "withhold": held.id}
    assert (second.kind, second.private) == ("withhold_lifted", lifted)
    assert "start_ns" not in first.public


def test_the_same_interval_kept_back_twice_is_kept_back_once(connection, ana, ben):
    first = withhold.withhold(connection, ana, 10, 20, 30)
    before = log.size(connection)
    assert withhold.withhold(connection, ana, 10, 20, 40) == first
    assert log.size(connection) == before
    others = [withhold.withhold(connection, *other, 40) for other in ((ana, 10, 21), (ben, 10, 20))]
    assert first.id not in {each.id for each in others}
    withhold.lift(connection, ana, first.id)
    assert withhold.withhold(connection, ana, 10, 20, 50).id != first.id
