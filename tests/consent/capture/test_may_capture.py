"""What may be recorded: every rule, inside, outside, at its border, and where nobody knows when."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.capture import BORDER_NS, Law, Permit, Rules, Zone, may_capture, spans
from firsthand.consent.capture import zones

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


NOON = at("2026-11-04T12:00:00")  # a Wednesday
OPEN = Law("NL", "one", "yes", "", "a statute", "2026-01-01", "a lawyer", "2027-01-01")
HOME = Rules("NL", (OPEN,))


def zone(kind: str, **changes) -> Zone:
    row = zones.kinds()[kind]
    allows = {name: row[name] == "yes" for name in ("audio", "video", "permission")}
    return Zone(kind, kind, **allows, start_ns=NOON, stop_ns=NOON + HOUR_NS, **changes)


def said(rules: Rules, time_ns: int | None) -> tuple[bool, bool]:
    capture = may_capture(rules, time_ns)
    assert bool(capture.reasons) == (not (capture.audio and capture.video))
    return capture.audio, capture.video


# kind of place, then (sound, pictures) inside without and with an employer's permission
@pytest.mark.parametrize("kind", zones.kinds())
def test_each_kind_of_place_inside_outside_at_the_border_and_without_a_clock(kind):
    here = zone(kind)
    rules = replace(HOME, zones=(here,))
    inside = (here.audio, here.video) if not here.permission else (False, False)
    border = BORDER_NS
    table = {
        NOON + HOUR_NS // 2: inside,
        NOON: inside,
        NOON - border: inside,
        NOON - border - 1: (True, True),
        NOON + HOUR_NS + border - 1: inside,
        NOON + HOUR_NS + border: (True, True),
    }
    assert {time_ns: said(rules, time_ns) for time_ns in table} == table
    assert said(rules, None) == (False, inside[1])


LAWS = {
    "reviewed and current": (OPEN, True),
    "everyone's consent": (replace(OPEN, audio="all"), False),
    "lists that disagree": (replace(OPEN, audio="mixed"), False),
    "a word that nobody knows": (replace(OPEN, audio="perhaps"), False),
    "unreviewed": (replace(OPEN, reviewer="unreviewed"), False),
    "expired yesterday": (replace(OPEN, expires="2026-11-04"), False),
    "expires tomorrow": (replace(OPEN, expires="2026-11-05"), True),
    "not yet in force": (replace(OPEN, as_of="2026-11-05"), False),
    "in force today": (replace(OPEN, as_of="2026-11-04"), True),
    "of another place": (replace(OPEN, jurisdiction="BE"), False),
}


@pytest.mark.parametrize("name", LAWS)
def test_each_kind_of_law_row_decides_on_sound_and_leaves_pictures(name):
    law, sound = LAWS[name]
    assert said(Rules("NL", (law,)), NOON) == (sound, True)
    assert said(Rules("NL", (law,)), None) == (False, True)


def test_a_law_can_forbid_pictures_everywhere_or_at_kinds_of_place():
    assert said(Rules("NL", (replace(OPEN, video="no"),)), NOON) == (False, False)
    rules = Rules("NL", (replace(OPEN, closed_places="gym other"),), (zone("other"),))
    assert said(rules, NOON) == (False, False)
    assert said(rules, NOON - HOUR_NS) == (True, True)


def test_a_place_of_work_takes_a_current_permission_for_that_very_place():
    work = replace(zone("work"), label="bakery")
    given = Permit("bakery", audio=False, start_ns=NOON, stop_ns=NOON + HOUR_NS)
    loud = replace(given, audio=True)
    table = [
        ((), NOON, (False, False)),
        ((given,), NOON, (False, True)),
        ((loud,), NOON, (True, True)),
        ((replace(loud, label="office"),), NOON, (False, False)),
        ((loud,), NOON - 1, (False, False)),  # at its border already, not yet permitted
        ((replace(loud, stop_ns=NOON + 1),), NOON + 1, (False, False)),
        ((loud,), None, (False, False)),
    ]
    for permits, time_ns, expected in table:
        rules = replace(HOME, zones=(work,), permits=permits)
        assert said(rules, time_ns) == expected, (permits, time_ns)


@pytest.mark.parametrize("kind", ["clinic", "classified", "prison", "school", "bathroom"])
def test_no_permission_opens_what_is_closed_everywhere(kind):
    permit = Permit(kind, True, NOON, NOON + HOUR_NS)
    assert said(replace(HOME, zones=(zone(kind),), permits=(permit,)), NOON) == (False, False)


def test_abroad_both_laws_must_allow_sound():
    there = zone("abroad", jurisdiction="DE")
    german = replace(OPEN, jurisdiction="DE")
    for law, sound in ((german, True), (replace(german, audio="all"), False)):
        assert said(Rules("NL", (OPEN, law), (there,)), NOON) == (sound, True)
    assert said(Rules("NL", (german,), (there,)), NOON) == (False, True)


def test_a_weekly_place_keeps_local_time_through_the_change_of_clocks():
    work = replace(
        zone("other"), start_ns=0, stop_ns=2**62, video=False, days="mon tue wed thu fri"
    )
    work = replace(work, from_min=9 * 60, to_min=17 * 60, tz="Europe/Berlin")
    rules = replace(HOME, zones=(work,))
    for text, outside in (
        ("2026-10-23T06:58:59", True),  # Friday of summer time: 9 o'clock is 07:00 UTC
        ("2026-10-23T06:59:00", False),
        ("2026-10-23T15:00:59", False),
        ("2026-10-23T15:01:00", True),
        ("2026-10-24T10:00:00", True),  # Saturday
        ("2026-10-26T07:30:00", True),  # Monday of winter time: 9 o'clock is 08:00 UTC
        ("2026-10-26T07:59:00", False),
        ("2026-10-26T16:00:59", False),
    ):
        assert may_capture(rules, at(text)).video == outside, text


def test_a_night_shift_ends_on_the_next_day():
    night = replace(zone("other"), start_ns=0, stop_ns=2**62, video=False, days="sun")
    night = replace(night, from_min=22 * 60, to_min=6 * 60)
    rules = replace(HOME, zones=(night,))
    for text, outside in (
        ("2026-11-01T21:58:59", True),
        ("2026-11-01T22:00:00", False),
        ("2026-11-02T05:59:59", False),
        ("2026-11-02T06:01:00", True),
    ):
        assert may_capture(rules, at(text)).video == outside, text


def test_a_zone_of_an_unknown_time_zone_may_be_now():
    lost = replace(zone("clinic"), days="mon", tz="Nowhere/Land", to_min=60)
    assert said(replace(HOME, zones=(lost,)), NOON + HOUR_NS // 2) == (False, False)


kinds = st.sampled_from(list(zones.kinds()))
times = st.integers(0, 20).map(lambda n: NOON - 5 * DAY_NS + n * DAY_NS // 2)
stays = st.builds(
    lambda kind, start, hours, days, place: replace(
        zone(kind), start_ns=start, stop_ns=start + hours * HOUR_NS, days=days, to_min=720,
        jurisdiction=place,
    ),
    kinds, times, st.integers(1, 60), st.sampled_from(["", "mon tue", "sun"]),
    st.sampled_from(["", "DE", "BE"]),
)  # fmt: skip
stricter_laws = st.sampled_from(
    [
        replace(OPEN, audio="all", as_of="2026-11-02"),
        replace(OPEN, video="no", as_of="2026-10-01"),
        replace(OPEN, closed_places="other home", as_of="2026-11-01"),
        replace(OPEN, expires="2026-11-03", as_of="2026-11-01"),
        replace(OPEN, jurisdiction="DE", audio="mixed"),
    ]
)
some = st.lists(stays, max_size=3).map(tuple)
allowed = st.lists(st.builds(Permit, st.just("work"), st.booleans(), times, times), max_size=2).map(
    tuple
)


@settings(max_examples=150, deadline=None)
@given(some, allowed, stays, stricter_laws, st.none() | times)
def test_adding_a_stricter_rule_never_allows_more(here, permits, zone_, law, time_ns):
    rules = Rules("NL", (OPEN,), here, permits)
    before = said(rules, time_ns)
    for more in (replace(rules, zones=(*here, zone_)), replace(rules, laws=(OPEN, law))):
        for was, now in zip(before, said(more, time_ns), strict=True):
            assert was or not now
    if permits:
        fewer = said(replace(rules, permits=permits[1:]), time_ns)
        assert all(was or not now for was, now in zip(before, fewer, strict=True))


@settings(max_examples=60, deadline=None)
@given(some, allowed, times, st.integers(1, 5))
def test_the_stretches_of_a_time_say_what_each_instant_says(here, permits, start, days):
    rules = Rules("NL", (replace(OPEN, expires="2026-11-06"),), here, permits)
    found = spans(rules, start, start + days * DAY_NS)
    assert (found[0][0], found[-1][1]) == (start, start + days * DAY_NS)
    for begin, end, capture in found:
        for time_ns in (begin, (begin + end) // 2, end - 1):
            assert may_capture(rules, time_ns) == capture
    assert all(one[1] == two[0] and one[2] != two[2] for one, two in pairwise(found))


@settings(max_examples=30, deadline=None)
@given(some, allowed)
def test_what_is_unknown_is_never_more_than_what_may_be_at_any_time(here, permits):
    rules = Rules("NL", (OPEN,), here, permits)
    for each in here:
        middle = next(iter(each.stays(0, 2**61)), None)
        if middle is not None:
            time_ns = (middle[0] + middle[1]) // 2
            assert said(rules, None)[1] <= said(rules, time_ns)[1]


def test_rules_go_through_json_whole():
    rules = Rules("NL", (OPEN,), (zone("work"),), (Permit("work", True, 1, 2),))
    assert Rules.from_json(rules.to_json()) == rules
