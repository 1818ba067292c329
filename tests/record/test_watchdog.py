"""A camera that stalls, fails or lies, and what the record says of it."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import FULL
from live import CLOCK, CodedCamera, Feed, LiveCamera, block, then, works
from recording import SECOND_NS, NumberedCamera, open_parts, pictures, segments

from firsthand.errors import Failed, NotFound
from firsthand.record.cameras.camera import Coded, Gap, Picture, Tick, open_camera, register
from firsthand.record.cameras.watchdog import RETRY_S, Watched, _Inbox
from firsthand.record.clock import Clock
from firsthand.record.recorder import record


def run(feed: Feed, card, device, pictures_wanted: int, **options):
    """Record from a watched camera until so many pictures came in."""
    camera = Watched("test", feed, chance=random.Random(1), **options)
    try:
        return record(camera, card, device, stop=lambda: feed.given >= pictures_wanted)
    finally:
        camera.close()


def lines(card):
    """The records on a card, oldest first, and that they cover all time without overlap."""
    records = [item.record for item in card.waiting()]
    for before, after in itertools.pairwise(records):
        assert after.boot_ns_start >= before.boot_ns_end
        assert (after.seq, after.prev) == (before.seq + 1, before.hash())
    return records


@pytest.mark.fault("D4")
def test_d4_a_camera_that_stalls_is_reopened_within_5_s(card, device, keys):
    feed = Feed(then(1.0, block), works())
    recorded = run(feed, card, device, 40)
    kinds = [(record.kind, record.reason) for record in lines(card)]
    assert kinds[0] == ("segment", "")
    assert ("gap", "stalled") in kinds
    assert kinds[-1] == ("segment", "")
    before, after = lines(card)[0], lines(card)[-1]
    assert after.boot_ns_start - before.boot_ns_end < 5 * SECOND_NS
    gaps = [record for record in lines(card) if record.kind == "gap"]
    assert sum(gap.boot_ns_end - gap.boot_ns_start for gap in gaps) == (
        after.boot_ns_start - before.boot_ns_end
    )
    shown = [row.number for item in segments(card) for row in see(item, keys)]
    assert shown == list(range(recorded.frames))
    assert recorded.dropped == 0


def see(item, keys):
    return pictures(open_parts(item, keys.ingest)["video"])


def fail() -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.fault("D5")
def test_d5_a_camera_that_fails_is_reopened_and_the_gap_says_so(card, device):
    recorded = run(Feed(then(0.5, fail), then(0.5, fail), works()), card, device, 30)
    reasons = [record.reason for record in lines(card) if record.kind == "gap"]
    assert set(reasons) == {"failed"}
    assert recorded.frames >= 29


@dataclass
class QuickClock(Clock):
    """A boot clock that passes only by sleeping."""

    now_ns: int = 10**12

    def boot_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(max(seconds, 1e-3) * 1e9)


@pytest.mark.fault("D5")
@pytest.mark.parametrize("flood", [False, True], ids=["unplugged", "errors"])
def test_d5_an_hour_without_camera_is_no_busy_loop_and_is_told_in_pieces(flood, tally):
    tries, clock = [], QuickClock()

    def opener():
        tries.append(clock.boot_ns())
        if not flood and len(tries) > 1:
            raise NotFound("there is no camera", "plug it in")
        return LiveCamera(lambda camera: iter([fail()]), Feed())

    camera = Watched("test", opener, clock=clock, chance=random.Random(2))
    began_ns = clock.boot_ns()
    gaps = []
    for sample in camera.samples():
        if isinstance(sample, Gap):
            gaps.append(sample)
        if clock.boot_ns() - began_ns > 3600 * SECOND_NS:
            camera.close()
    pauses = [after - before for before, after in itertools.pairwise(tries)][6:]
    assert max(pauses) <= 1.6 * RETRY_S * SECOND_NS
    assert min(pauses) >= 0.4 * RETRY_S * SECOND_NS
    assert len(set(pauses)) > 100  # jittered
    assert {gap.reason for gap in gaps[2:]} == {"failed" if flood else "unplugged"}
    assert len(gaps) >= 58
    assert all(after.start_ns == before.stop_ns for before, after in itertools.pairwise(gaps))
    tally.add(cases=len(tries))


def test_a_camera_that_ends_by_itself_is_opened_again(card, device):
    run(Feed(works(0.4), works()), card, device, 16)
    assert [record.reason for record in lines(card) if record.kind == "gap"] == ["ended"]


def test_a_camera_that_is_not_there_at_first_is_an_error():
    def opener():
        raise NotFound("there is no camera", "plug it in")

    with pytest.raises(NotFound, match="no camera"):
        Watched("test", opener)


def test_a_camera_that_does_not_open_is_an_error_and_not_waited_for():
    with pytest.raises(Failed, match="does not answer") as caught:
        Watched("test", block, open_s=0.2)
    assert caught.value.hint


def test_a_camera_stuck_again_and_again_asks_for_a_new_process(card, device):
    feed = Feed(then(0.1, block))
    with pytest.raises(Failed, match="stuck in its driver"):
        run(feed, card, device, 10**6, stall_s=0.3)
    assert len(feed.opened) == 5
    assert len(segments(card)) == 5  # all of it closed


STUCK = """
import sys
sys.path.insert(0, {here!r})
from live import Feed, block, then
from firsthand.record.cameras.camera import open_camera, register
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record, stop_on_signals

register("stuck", lambda url: Feed(then(1.0, block))(), live=True)
camera = open_camera("stuck:0")
print("ready", flush=True)
with stop_on_signals() as stop:
    done = record(camera, Card({card!r}), load_device({device!r}), stop=stop)
camera.close()
print(done.frames, flush=True)
"""


@pytest.mark.fault("D3")
@pytest.mark.parametrize("after_s", [0.5, 2.0])
def test_d3_sigterm_with_a_camera_that_never_returns_ends_in_5_s(after_s, card, device, keys):
    here = str(Path(__file__).parent)
    script = STUCK.format(here=here, card=str(card.path), device=str(device.folder))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    assert process.wait(timeout=20) == 0
    assert time.monotonic() - asked < 5
    item = segments(card)[-1]
    assert not item.record.cut
    assert not list((card.path / "open").iterdir())
    assert len(see(item, keys)) == item.record.frames >= 8
    assert int(process.stdout.read()) == item.record.frames


@pytest.mark.fault("D6")
@pytest.mark.parametrize("share", [0.05, 0.15, 0.30])
def test_d6_dropped_pictures_are_counted_and_time_stays_true(share, card, device, keys, tally):
    chance = random.Random(share)

    class Dropping(NumberedCamera):
        def samples(self):
            for row in super().samples():
                if isinstance(row, Picture) and row.time_ns > 0 and chance.random() < share:
                    continue
                yield row

    camera = Dropping(20, fps=24.0, live=True, sound_hz=0, senses=False)
    recorded = record(camera, card, device, segment_s=5.0)
    shown = [(item, row) for item in segments(card) for row in see(item, keys)]
    assert recorded.frames == len(shown) < 24 * 20
    last = shown[-1][1].number
    assert recorded.frames + recorded.dropped == last + 1
    for item, row in shown:
        true_s = row.number / 24
        start_s = (item.record.boot_ns_start) / 1e9
        assert abs(start_s + row.time_s - true_s) < 0.0005
    assert recorded.footage_ns == round((last + 1) / 24 * 1e9) or share > 0
    tally.add(cases=round(24 * 20 * share))


NOISE = random.Random(7).randbytes(160 * 120 * 3)


def scene(kind: str, number: int) -> bytes:
    if kind == "black":
        return bytes([number % 3]) * len(NOISE)
    if kind == "covered":
        return bytes(90 + (at // 9600 + number) % 4 for at in range(len(NOISE)))
    if kind == "frozen":
        return NOISE
    shift = 977 * number % len(NOISE)
    return NOISE[shift:] + NOISE[:shift]


class Showing(NumberedCamera):
    """8 s of one kind of picture."""

    def __init__(self, kind: str) -> None:
        super().__init__(8, sound_hz=0, senses=False, live=True)
        self.kind = kind

    def samples(self):
        for row in super().samples():
            number = round(row.time_ns * self.fps / 1e9)
            yield Picture(row.time_ns, *self.size, rgb=scene(self.kind, number))


@pytest.mark.fault("D7")
@pytest.mark.parametrize("kind", ["black", "covered", "frozen", ""])
def test_d7_a_black_covered_or_frozen_picture_is_flagged_and_kept(kind, card, device, keys):
    recorded = record(Showing(kind), card, device)
    item = segments(card)[0]
    assert recorded.frames == len(see(item, keys)) == 64
    flags = {key: value for key, value in item.record.media.items() if key[:-3] in FLAGS}
    assert set(flags) == ({f"{kind}_ms"} if kind else set())
    assert all(4000 <= value <= 8000 for value in flags.values())


FLAGS = ("black", "covered", "frozen")


@pytest.mark.fault("D7")
def test_d7_a_frozen_camera_is_reopened_once_and_not_for_what_stands_still(card, device):
    def frozen(camera):
        yield from camera.pictures(0.5)
        yield from camera.pictures(60, same=True)

    feed = Feed(frozen, lambda camera: camera.pictures(60, same=True))
    run(feed, card, device, 20 * 8)
    assert [record.reason for record in lines(card) if record.kind == "gap"] == ["frozen"]
    assert len(feed.opened) == 2  # the second time it is what there is to see


def test_a_full_buffer_drops_whole_pictures_up_to_the_next_key_one():
    inbox = _Inbox(100, CLOCK)

    def coded(number, key=False):
        return Coded(number * SECOND_NS // 10, 8, 8, bytes(30), key)

    for number in range(12):
        inbox.put(coded(number, key=number % 10 == 0))
    taken = [inbox.get(0) for _ in range(3)]
    assert [row.time_ns for row in taken] == [0, SECOND_NS // 10, SECOND_NS // 5]
    inbox.put(coded(13))
    inbox.put(coded(20, key=True))
    gap, key = inbox.get(0), inbox.get(0)
    assert gap == Gap(SECOND_NS // 5, 2 * SECOND_NS, "dropped", 10)
    assert key.key
    assert inbox.get(0) is None


SLOW = """
import sys, time
sys.path.insert(0, {here!r})
from live import CodedCamera
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record
from firsthand.record.cameras.watchdog import Watched

camera = Watched("slow", lambda: CodedCamera(60, 30.0, 6.0, paced=True), **{options})
until = time.monotonic() + {seconds}
record(camera, Card({card!r}), load_device({device!r}), stop=lambda: time.monotonic() > until)
"""


@pytest.mark.fault("D13")
@pytest.mark.parametrize("sync_s", [0.5, 2.0, 5.0] if FULL else [0.3])
@pytest.mark.parametrize("case", ["buffer", "overflow"])
def test_d13_a_slow_card_costs_no_picture_until_the_buffer_is_full(case, sync_s, card, device):
    """Every sync takes long; the small buffer holds a quarter of a second of pictures."""
    if not shutil.which("strace"):
        pytest.skip("strace, which delays the syncs, is not installed: apt-get install strace")
    seconds, delay_us = max(4, 10 * sync_s), round(sync_s * 1e6)
    options = {} if case == "buffer" else {"buffer_bytes": 200_000}
    script = SLOW.format(
        here=str(Path(__file__).parent),
        card=str(card.path),
        device=str(device.folder),
        seconds=seconds,
        options=options,
    )
    syncs = "fsync,fdatasync"
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={syncs}"]
    command += ["-e", f"inject={syncs}:delay_enter={delay_us}", sys.executable, "-c", script]
    subprocess.run(command, check=True, timeout=400)
    records = lines(card)
    frames = sum(record.frames for record in records)
    dropped = sum(record.dropped for record in records)
    span_ns = records[-1].boot_ns_end - records[0].boot_ns_start
    assert frames + dropped == pytest.approx(span_ns * 30 / 1e9, abs=1)
    if case == "buffer":
        assert dropped == 0
        assert span_ns >= 2 * SECOND_NS
    else:
        assert dropped > 0
        assert "dropped" in {record.reason for record in records if record.kind == "gap"}


@pytest.mark.fault("D1")
@pytest.mark.parametrize(
    "mbit_s", [0.1, 0.5, 1.0, 2.5, 6.7, 20.0, 50.0] if FULL else [0.1, 6.7, 50]
)
@pytest.mark.parametrize("fps", [2.0, 4.0, 8.0, 10.0, 24.0, 25.0, 30.0, 60.0] if FULL else [10, 30])
def test_nothing_on_the_disk_is_ever_older_than_a_second(mbit_s, fps, card, device):
    """At each picture, the mark, which is written after a sync, reaches to within a second."""
    worst_ns, late = 0, []

    class Looking(CodedCamera):
        def samples(self):
            nonlocal worst_ns
            began_ns = None
            for row in super().samples():
                yield row
                began_ns = began_ns or row.time_ns
                (folder,) = (card.path / "open").iterdir()
                mark = (folder / "mark").read_bytes()
                reached_ns = int.from_bytes(mark[:8], "little") or began_ns
                worst_ns = max(worst_ns, row.time_ns - reached_ns)
                late.append(row.time_ns - reached_ns)

    record(Looking(6, fps, mbit_s), card, device)
    assert worst_ns <= 0.95 * SECOND_NS
    assert segments(card)[0].record.media["key_ms"] == 1000


def test_a_live_url_is_watched_and_ticks_while_nothing_comes():
    register("silent", lambda url: Feed(then(0.1, block))(), live=True)
    camera = open_camera("silent:1")
    samples = camera.samples()
    kinds = [type(next(samples)) for _ in range(5)]
    camera.close()
    assert kinds == [Picture, Picture, Tick, Tick, Tick]
