"""At which hours, how fast: the limits of the way home."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firsthand.errors import Usage
from firsthand.record.clock import Clock
from firsthand.record.home.limits import PIECE, Limits, Pace

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Limits.parse("22:00-06:00", zone="Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-01 21:59", "2026-11-01 22:00"),
        ("2026-11-01 22:00", "2026-11-01 22:00"),
        ("2026-11-02 00:30", "2026-11-02 00:30"),
        ("2026-11-02 05:59", "2026-11-02 05:59"),
        ("2026-11-02 06:00", "2026-11-02 22:00"),
        ("2026-11-02 12:00", "2026-11-02 22:00"),
        # The clocks go forward on 29 March and back on 25 October 2026, in the middle of the night.
        ("2026-03-29 01:30", "2026-03-29 01:30"),
        ("2026-03-29 07:00", "2026-03-29 22:00"),
        ("2026-10-25 05:30", "2026-10-25 05:30"),
    ],
)
def test_hours_of_the_night_at_the_wearers_home(now, opens):
    assert NIGHT.opens_s(at(now)) == at(opens)


def test_hours_within_a_day_and_no_hours_at_all():
    noon = Limits.parse("12:00-13:30", zone="Europe/Berlin")
    assert noon.opens_s(at("2026-11-01 12:10")) == at("2026-11-01 12:10")
    assert noon.opens_s(at("2026-11-01 13:30")) == at("2026-11-02 12:00")
    assert Limits().opens_s(5.0) == 5.0
    assert Limits.parse("08:00-08:00").opens_s(5.0) == 5.0  # the whole day


def test_the_home_time_zone_decides_and_not_where_the_device_is():
    tokyo = Limits.parse("22:00-06:00", zone="Asia/Tokyo")
    now = at("2026-11-01 14:00")  # 22:00 in Tokyo
    assert tokyo.opens_s(now) == now
    assert NIGHT.opens_s(now) == at("2026-11-01 22:00")


def test_an_estimate_counts_only_the_hours_allowed():
    now = at("2026-11-01 20:00")
    assert NIGHT.done_s(now, 3600) == at("2026-11-01 23:00")
    assert NIGHT.done_s(now, 8 * 3600) == at("2026-11-02 06:00")
    assert NIGHT.done_s(now, 9 * 3600) == at("2026-11-02 23:00")
    assert NIGHT.done_s(now, 80 * 3600 + 60) == at("2026-11-11 22:01")
    assert Limits().done_s(now, 60) == now + 60


@example(1805688000.0, 237600.0)
@given(st.floats(1.7e9, 1.9e9), st.floats(0, 4e6))
def test_an_estimate_ends_within_the_hours_and_is_never_shorter_than_the_work(now, work):
    done = NIGHT.done_s(now, work)
    assert done >= now + work - 1
    hour = datetime.fromtimestamp(done, BERLIN).hour
    assert hour >= 22 or hour <= 6


@pytest.mark.parametrize("hours", ["22-6", "22:00", "25:00-06:00", "22:00-06:61", "now", " "])
def test_hours_that_are_none_are_told(hours):
    with pytest.raises(Usage, match="are no hours"):
        Limits.parse(hours)


def test_a_zone_or_a_speed_that_is_none_is_told():
    for zone in ("Mars/Olympus", "../../etc/passwd", "/etc/localtime"):
        with pytest.raises(Usage, match="is no time zone"):
            Limits.parse(zone=zone)
    with pytest.raises(Usage, match="is no speed"):
        Limits.parse(mbit_s=-1)


class SimulatedClock(Clock):
    def __init__(self) -> None:
        self.now_ns = 0

    def boot_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.mark.parametrize("rate", [1_000.0, 50_000.0, 10_000_000.0])
@pytest.mark.parametrize("link", [0.0, 2_000_000.0])
def test_no_faster_than_allowed_and_hardly_slower(rate, link):
    clock = SimulatedClock()
    pace = Pace(clock, rate)
    size, at_once = int(rate * 20), rate / 2
    taken = 0
    for piece in pace.pieces(bytes(size)):
        taken += len(piece)
        assert len(piece) <= PIECE
        assert taken <= rate * clock.now_ns / 1e9 + at_once
        if link:
            clock.sleep(len(piece) / link)  # what the network itself takes
    assert taken == pace.bytes == size
    slower = max(size / rate, size / link if link else 0.0)
    assert clock.now_ns / 1e9 == pytest.approx(slower, rel=0.05)


def test_pieces_are_the_data_and_a_stop_is_heard_between_two():
    data = bytes(range(256)) * 1000
    assert b"".join(Pace(Clock()).pieces(data)) == data
    heard = iter([None, None, KeyboardInterrupt])

    def stop() -> None:
        error = next(heard)
        if error:
            raise error

    pace = Pace(Clock(), stop=stop)
    with pytest.raises(KeyboardInterrupt):
        list(pace.pieces(data))
    assert pace.bytes == 3 * PIECE
