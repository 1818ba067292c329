"""The review window: what is young is its wearer's alone, and stays a gap for everybody else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from firsthand import log
from firsthand.consent import people
from firsthand.consent.capture import closed, review
from firsthand.db import Database
from firsthand.errors import NotFound, Usage

DAY_NS = review.DAY_NS
MIDNIGHT = 20_758 * DAY_NS  # 2026-11-01
DAY = "2026-11-01"


def in_review(connection, person, now_ns):
    return [each.day for each in review.open_days(connection, person.id, now_ns)]


def test_a_day_is_in_review_until_a_week_after_its_end(connection, ana):
    review.arrive(connection, ana.id, DAY, MIDNIGHT + DAY_NS // 2)
    ends = MIDNIGHT + 8 * DAY_NS
    assert in_review(connection, ana, MIDNIGHT) == [DAY]
    assert in_review(connection, ana, ends - 1) == [DAY]
    assert in_review(connection, ana, ends) == []


def test_what_comes_home_late_can_be_reviewed_as_long(connection, ana):
    review.arrive(connection, ana.id, DAY, MIDNIGHT + DAY_NS)
    late = MIDNIGHT + 30 * DAY_NS
    assert in_review(connection, ana, late) == []
    review.arrive(connection, ana.id, DAY, late)
    assert in_review(connection, ana, late + 7 * DAY_NS - 1) == [DAY]
    assert in_review(connection, ana, late + 7 * DAY_NS) == []


def test_a_wearer_may_end_a_days_review_early_and_what_comes_later_opens_it_again(connection, ana):
    now_ns = MIDNIGHT + DAY_NS
    review.arrive(connection, ana.id, DAY, now_ns)
    review.arrive(connection, ana.id, "2026-11-02", now_ns)
    assert review.reviewed(connection, ana, [DAY], now_ns + 1) == [DAY]
    assert review.reviewed(connection, ana, [DAY], now_ns + 1) == []
    assert in_review(connection, ana, now_ns + 1) == ["2026-11-02"]
    review.arrive(connection, ana.id, DAY, now_ns + 2)
    assert in_review(connection, ana, now_ns + 2) == [DAY, "2026-11-02"]
    assert review.reviewed(connection, ana, now_ns=now_ns + 3) == [DAY, "2026-11-02"]
    with pytest.raises(NotFound):
        review.reviewed(connection, ana, ["2026-11-03"])


def test_a_person_sets_their_own_window_but_never_under_a_day(connection, ana, ben):
    for person in (ana, ben):
        review.arrive(connection, person.id, DAY, MIDNIGHT)
    for days in (0, -1, 366):
        with pytest.raises(Usage):
            review.set_window(connection, ana, days)
    review.set_window(connection, ana, 1)
    assert in_review(connection, ana, MIDNIGHT + 2 * DAY_NS) == []
    assert in_review(connection, ben, MIDNIGHT + 2 * DAY_NS) == [DAY]
    review.set_window(connection, ana, 30)
    assert in_review(connection, ana, MIDNIGHT + 30 * DAY_NS) == [DAY]


def test_the_log_tells_what_ended_a_review_and_only_its_person_can_read_it(connection, ana):
    review.arrive(connection, ana.id, DAY, MIDNIGHT)
    review.set_window(connection, ana, 3, MIDNIGHT)
    review.reviewed(connection, ana, [DAY], MIDNIGHT)
    *_, first, second = log.read(connection)
    assert (first.kind, first.private["days"]) == ("review_window_set", 3)
    assert (second.kind, second.private["days"]) == ("days_reviewed", [DAY])
    assert "days" not in second.public


steps = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(0, 2)),
        st.tuples(st.just("review"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_nothing_is_open_to_others_that_was_neither_looked_at_nor_lay_for_a_week(taken):
    db = Database("sqlite://")
    with db.write() as connection:
        ana = people.add(connection, "ana", "sim")
        now_ns, days = MIDNIGHT, {}
        for kind, number in taken:
            name = f"2026-11-0{number + 1}"
            if kind == "arrive":
                review.arrive(connection, ana.id, name, now_ns)
                days[name] = [now_ns, None, number]
            elif kind == "review" and name in days:
                review.reviewed(connection, ana, [name], now_ns)
                days[name][1] = now_ns
            elif kind == "wait":
                now_ns += number * DAY_NS
        doors = closed.doors(connection, ana, MIDNIGHT, MIDNIGHT + 9 * DAY_NS, now_ns)
        for arrived_ns, looked_ns, number in days.values():
            begin = MIDNIGHT + number * DAY_NS
            young = now_ns < max(arrived_ns, begin + DAY_NS) + 7 * DAY_NS
            wanted = "review" if young and looked_ns is None else ""
            assert doors.hides(begin, begin + DAY_NS) == wanted
    db.close()


def test_a_century_between_two_wrong_clocks_is_noted_in_few_statements(db, connection, ana):
    review.arrive(connection, ana.id, DAY, MIDNIGHT + 5)
    asked = []
    event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    stop_ns = MIDNIGHT + DAY_NS
    review.arrive_within(connection, ana.id, stop_ns - 36_525 * DAY_NS, stop_ns, MIDNIGHT)
    assert len(asked) < 5
    days = review.of(connection, ana.id)
    assert [days[0].day, days[-1].day, len(days)] == ["1926-11-02", DAY, 36_525]
    assert [days[-2].arrived_ns, days[-1].arrived_ns] == [MIDNIGHT, MIDNIGHT + 5]
