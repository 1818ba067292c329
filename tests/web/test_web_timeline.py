"""The model of a day, and the charts, as pure functions."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.errors import NotFound, Usage
from firsthand.vault import account
from firsthand.vault.account import Stretch, join
from firsthand.web import charts
from firsthand.web.page import length, size
from firsthand.web.timeline import HOUR_NS, day_start, hours_of, parse_time

DAY = day_start("2026-11-01")


def test_a_day_begins_at_its_utc_midnight():
    assert DAY == 1_793_491_200 * 10**9
    assert parse_time("2026-11-01", "08:03") - DAY == (8 * 60 + 3) * 60 * 10**9
    assert parse_time("2026-11-01", "00:00:59") - DAY == 59 * 10**9


def test_wrong_days_and_times_are_errors():
    with pytest.raises(NotFound):
        day_start("2026-13-01")
    with pytest.raises(Usage):
        parse_time("2026-11-01", "25:00")


def test_neighbours_of_one_kind_are_one_stretch():
    found = [
        Stretch("recorded", 0, 60),
        Stretch("recorded", 60, 120),
        Stretch("failed", 120, 130, "cut"),
        Stretch("failed", 130, 140, "lost"),
    ]
    assert join(found) == [Stretch("recorded", 0, 120), *found[2:]]


def test_a_real_gap_between_recordings_stays_a_gap():
    found = [Stretch("recorded", 0, 60), Stretch("recorded", 60 + account.JOIN_NS + 1, 2**40)]
    assert join(found) == found


@pytest.mark.parametrize(
    ("start_h", "stop_h", "hours"),
    [(8.0, 8.2, (8, 9)), (8.5, 10.0, (8, 10)), (0, 24, (0, 24)), (23.9, 24, (23, 24))],
)
def test_the_hours_of_a_day_hold_all_that_happened(start_h, stop_h, hours):
    found = [Stretch("recorded", DAY + int(start_h * HOUR_NS), DAY + int(stop_h * HOUR_NS))]
    assert hours_of(found, DAY) == hours


def test_a_day_without_anything_shows_all_its_hours():
    assert hours_of([], DAY) == (0, 24)


spans = st.lists(
    st.builds(
        charts.Span,
        st.sampled_from(["recorded", "withheld", "deleted", "failed", "off"]),
        st.floats(-10, 110),
        st.floats(-10, 110),
        st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        st.just("?at=08:00:00&x"),
    )
)


@given(spans)
def test_a_strip_is_well_formed_and_stays_within_its_frame(listed):
    root = ElementTree.fromstring(charts.strip(listed, 0, 100, label='a "day" <1>'))
    for shape in root.iter("rect"):
        left, width = float(shape.get("x")), float(shape.get("width"))
        assert 0 <= left <= charts.WIDTH
        assert left + width <= charts.WIDTH + 2


@given(st.lists(st.floats(0, 1e4) | st.none(), min_size=1, max_size=8))
def test_bars_show_each_figure_and_say_when_one_is_not_known(values):
    rows = [charts.Bar(f"b{number}", value) for number, value in enumerate(values)]
    root = ElementTree.fromstring(charts.bars(rows, label="x", unit="nats"))
    texts = [text.text for text in root.iter("text") if text.get("class") == "value"]
    assert texts == ["not known" if value is None else f"{value:.2f}" for value in values]


@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_and_within_the_axis(top):
    ticks = charts.nice_ticks(top)
    assert 2 <= len(ticks) <= 7
    assert ticks[0] == 0
    assert ticks[-1] <= top * 1.0001


def test_lengths_and_sizes_are_written_for_people():
    assert [length(s) for s in (0.4, 59, 60, 61, 3600, 3660, 90_000)] == [
        "0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "25 h",
    ]  # fmt: skip
    assert [size(b) for b in (0, 999, 1500, 3 * 10**9)] == ["0 B", "999 B", "1.5 kB", "3.0 GB"]
