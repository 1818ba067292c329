"""A wall clock that is wrong, jumps or is learned late, and records that stay in order."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live import Feed
from recording import SECOND_NS, NumberedCamera, segments

from firsthand.record.cameras.watchdog import Watched
from firsthand.record.clock import Clock
from firsthand.record.recorder import record
from firsthand.segment import verify_record

HOUR_NS = 3600 * SECOND_NS
BOOT_OFFSET_NS = 1_800_000_000 * SECOND_NS


class Stepping(NumberedCamera):
    """A live camera whose machine's wall clock is set while it records."""

    def __init__(self, seconds: float, *steps: tuple[float, int, str]) -> None:
        super().__init__(seconds, sound_hz=0, senses=False, live=True)
        (_, self.wall_ns, self.wall_quality), *self.steps = steps

    def samples(self):
        for row in super().samples():
            while self.steps and row.time_ns >= self.steps[0][0] * SECOND_NS:
                _, self.wall_ns, self.wall_quality = self.steps.pop(0)
            yield row


def lines(card, device):
    """All records, after checking what no clock may ever break."""
    records = [verify_record(item.envelope, device.key.public) for item in card.waiting()]
    for before, after in itertools.pairwise(records):
        assert (after.seq, after.prev) == (before.seq + 1, before.hash())
        assert after.boot_ns_start == before.boot_ns_end
    for held in records:
        assert held.boot_ns_end >= held.boot_ns_start
        assert held.wall_ns_end - held.wall_ns_start in (0, held.boot_ns_end - held.boot_ns_start)
    return records


@pytest.mark.fault("D16")
def test_d16_a_clock_at_1970_gives_no_wall_time_until_it_is_learned(card, device):
    camera = Stepping(9, (0, 0, "none"), (4, BOOT_OFFSET_NS, "ntp"))
    recorded = record(camera, card, device, segment_s=3.0)
    records = lines(card, device)
    assert recorded.frames == 72
    early = [held for held in records if held.wall_quality == "none"]
    assert [(held.wall_ns_start, held.wall_ns_end) for held in early] == [(0, 0)] * len(early)
    (learned,) = [held for held in records if held.kind == "clock"]
    assert learned.reason == "learned"
    # All that came before can be placed by it, and nothing that was signed is rewritten.
    offset_ns = learned.wall_ns_start - learned.boot_ns_start
    assert offset_ns == BOOT_OFFSET_NS
    assert {held.session for held in records} == {learned.session}
    late = [held for held in records if held.wall_quality == "ntp" and held.kind == "segment"]
    assert {held.wall_ns_start - held.boot_ns_start for held in late} == {offset_ns}
    assert 4 * SECOND_NS <= learned.boot_ns_start < 5 * SECOND_NS


@pytest.mark.fault("D17")
@pytest.mark.parametrize("jump_ns", [-HOUR_NS, 2 * 365 * 24 * HOUR_NS], ids=["back", "forward"])
def test_d17_a_clock_that_jumps_breaks_no_order_and_no_duration(jump_ns, card, device):
    jumped = BOOT_OFFSET_NS + jump_ns
    camera = Stepping(8, (0, BOOT_OFFSET_NS, "ntp"), (3.5, jumped, "ntp"), (6, 0, "none"))
    recorded = record(camera, card, device)
    records = lines(card, device)
    assert recorded.frames == 64
    assert [(held.kind, held.reason) for held in records] == [
        ("segment", ""),
        ("clock", "stepped"),
        ("segment", ""),
        ("clock", "lost"),
        ("segment", ""),
    ]
    assert records[1].wall_ns_start - records[0].wall_ns_end == jump_ns
    assert sum(held.frames for held in records) == 64


@pytest.mark.fault("D17")
def test_d17_a_clock_that_is_only_steered_cuts_nothing(card, device):
    steps = [(at, BOOT_OFFSET_NS + at * 10**7, "ntp") for at in range(6)]
    record(Stepping(6, *steps), card, device)
    assert [held.kind for held in lines(card, device)] == ["segment"]


@pytest.mark.fault("D16")
def test_d16_a_watched_camera_tells_its_machines_clock(card, device):
    class Machine(Clock):
        offset_ns, quality = 10**9, "none"

        def wall_ns(self):
            return self.boot_ns() + self.offset_ns

        def wall_quality(self):
            return self.quality

    machine = Machine()
    feed = Feed(lambda camera: camera.pictures(60))
    camera = Watched("test", feed, clock=machine)

    def stop():
        if feed.given > 20:
            machine.offset_ns, machine.quality = BOOT_OFFSET_NS, "ntp"
        return feed.given > 60

    record(camera, card, device, stop=stop)
    camera.close()
    assert [held.kind for held in lines(card, device)] == ["segment", "clock", "segment"]


REAL = """
import sys
sys.path.insert(0, {here!r})
from live import Feed, works
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record, stop_on_signals
from firsthand.record.cameras.watchdog import Watched

def tell(recorded):
    print(recorded.frames, flush=True)

camera = Watched("live", Feed(works()))
with stop_on_signals() as stop:
    record(camera, Card({card!r}), load_device({device!r}), stop=stop, progress=tell)
camera.close()
"""


@pytest.mark.fault("D17")
def test_d17_a_real_recorder_lives_through_1970_an_hour_back_and_two_years_on(
    card, device, tmp_path
):
    """libfaketime moves the wall clock under a running process, and leaves the boot clock alone."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    setting = tmp_path / "time"

    def turn(text: str) -> None:
        draft = tmp_path / "draft"
        draft.write_text(text + "\n")
        draft.replace(setting)

    turn("@1970-01-02 00:00:00")
    script = REAL.format(
        here=str(Path(__file__).parent), card=str(card.path), device=str(device.folder)
    )
    faked = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(setting)}
    faked |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ | faked
    )
    for text in ("+0", "-3600", "+63072000", ""):
        for _ in range(3):  # a line for each second of footage
            assert process.stdout.readline()
        if text:
            turn(text)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    records = lines(card, device)
    clocks = [held for held in records if held.kind == "clock"]
    # "learned" where this machine's clock is kept by a battery or by NTP, else it is only a guess
    assert clocks[0].reason in ("learned", "stepped")
    assert [held.reason for held in clocks[1:]] == ["stepped", "stepped"]
    assert records[0].wall_quality == "none"
    offsets = [held.wall_ns_start - held.boot_ns_start for held in clocks]
    moves = [after - before for before, after in itertools.pairwise(offsets)]
    assert moves == pytest.approx([-HOUR_NS, 17521 * HOUR_NS], abs=SECOND_NS)
    assert sum(held.frames for held in records) > 20 * 8


@pytest.mark.fault("D16")
def test_d16_the_quality_of_a_wall_clock_is_not_overstated(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 86_400 * SECOND_NS)
    assert Clock().wall_quality() == "none"
    monkeypatch.setattr(time, "time_ns", lambda: BOOT_OFFSET_NS)
    assert Clock().wall_quality() in ("fake", "rtc", "ntp")


# Changes of summer time in 2026 (US, EU, Lord Howe's half hour), a year's end, a leap second.
EDGES = (1772956800, 1774746000, 1759590000, 1798761600, 1483228800)


@pytest.mark.fault("D18")
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe"])
def test_d18_time_zones_summer_time_and_leap_seconds_change_nothing(
    zone, card, device, monkeypatch, tally
):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for edge in EDGES:
            offset_ns = (edge - 2) * SECOND_NS
            camera = Stepping(4, (0, offset_ns, "ntp"))
            record(camera, card, device, segment_s=1.0)
            records = [item.record for item in segments(card)][-4:]
            wall = [(held.wall_ns_start, held.wall_ns_end) for held in records]
            starts = [offset_ns + number * SECOND_NS for number in range(4)]
            assert wall == [(start, start + SECOND_NS) for start in starts]
            tally.add()
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.fault("D19")
def test_d19_each_start_is_a_session_of_its_own_whatever_the_machine_says(card, device):
    for _ in range(3):
        record(NumberedCamera(0.5), card, device)
    records = lines_of_any_session(card, device)
    assert len({held.session for held in records}) == 3
    assert not any(os.uname().nodename in json.dumps(item.envelope) for item in card.waiting())


def lines_of_any_session(card, device):
    records = [verify_record(item.envelope, device.key.public) for item in card.waiting()]
    assert all(after.seq == before.seq + 1 for before, after in itertools.pairwise(records))
    return records
