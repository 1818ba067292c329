"""A pause in a real recording: nothing after the press, whenever it falls."""

import os
import random
from itertools import pairwise

import pytest
from faults import FULL
from moment import SECOND_NS, Moment
from recording import NumberedCamera, open_parts, pictures, segments, sound

from firsthand.record.cameras.camera import Picture, Sound
from firsthand.record.recorder import record
from firsthand.record.wearer import heartbeat
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.obey import PIECE_NS
from firsthand.segment import iter_events

STEPS = ("replace", "rename", "unlink", "fsync", "mkdir", "pwrite", "write", "close")


class Pressed(NumberedCamera):
    """A camera beside which things happen: `plan` holds (number of a picture, what is done)."""

    def __init__(self, seconds, plan=(), clock=None, **options):
        options = {"size": (64, 48), "sound_hz": 0, "senses": False, "fps": 8.0} | options
        super().__init__(seconds, **options)
        self.plan, self.clock = list(plan), clock
        self.given = -1  # the last picture that was handed out

    def samples(self):
        for sample in super().samples():
            if self.clock:
                self.clock.now_ns = max(self.clock.now_ns, sample.time_ns)
            if isinstance(sample, Picture):
                number = self.given + 1
                while self.plan and self.plan[0][0] <= number:
                    self.plan.pop(0)[1]()
                self.given = number
            yield sample


@pytest.fixture
def clock():
    return Moment(0)


@pytest.fixture
def control(device, clock):
    return Control(device.folder, clock)


def kept(card, keys):
    """Numbers of all pictures on the card, segment by segment."""
    parts = [open_parts(item, keys.ingest) for item in segments(card)]
    return [[shown.number for shown in pictures(part["video"])] for part in parts]


def rows(card):
    return [
        (
            item.record.kind,
            item.record.reason,
            item.record.boot_ns_start / 1e9,
            item.record.boot_ns_end / 1e9,
        )
        for item in card.waiting()
    ]


def test_a_pause_is_a_gap_with_its_true_times(card, device, keys, control, clock):
    plan = [(16, lambda: control.pause(None)), (40, control.resume)]
    record(Pressed(8, plan, clock), card, device, control=control)
    assert rows(card) == [
        ("segment", "", 0, 2),
        ("gap", "paused", 2, 5),
        ("segment", "", 5, 8),
    ]
    assert kept(card, keys) == [list(range(16)), list(range(40, 64))]


def test_a_timed_pause_ends_by_itself(card, device, keys, control, clock):
    record(Pressed(6, [(8, lambda: control.pause(3))], clock), card, device, control=control)
    assert kept(card, keys) == [list(range(8)), list(range(32, 48))]
    assert rows(card)[1] == ("gap", "paused", 1, 4)


def test_a_recording_that_begins_paused_keeps_nothing_and_says_so(
    card, device, keys, control, clock
):
    control.pause(None)
    record(Pressed(2, clock=clock), card, device, control=control)
    assert kept(card, keys) == []
    assert [row[:2] for row in rows(card)] == [("gap", "paused")]


def test_a_long_pause_is_told_in_pieces(card, device, control, clock):
    control.pause(None)
    hours = 2 * PIECE_NS // 10**9 + 60
    camera = Pressed(hours, clock=clock, fps=0.1)
    record(camera, card, device, control=control)
    told = rows(card)
    assert len(told) == 3
    assert all(before[3] == after[2] for before, after in pairwise(told))


def test_sound_from_during_the_pause_stays_out(card, device, keys, control, clock):
    plan = [(16, lambda: control.pause(None)), (32, control.resume)]
    camera = Pressed(6, plan, clock, sound_hz=8000, burst_s=(2.25, 3.75))
    record(camera, card, device, control=control)
    for item in segments(card):
        video = open_parts(item, keys.ingest)["video"]
        loud = max(map(abs, sound(video, item.record.media["audio_samples"])))
        assert loud < 0.01


def test_a_live_camera_gives_nothing_from_before_the_wearer_resumed(device, card, control, clock):
    """Its samples come late: one that is read after the press may have been taken before."""
    from firsthand.record.wearer.heartbeat import Heart
    from firsthand.record.wearer.obey import Obeyed

    class Late:
        live, fps, name = True, 8.0, "late"

        def samples(self):
            yield Picture(0, 2, 2, b"")
            control.pause(None)
            clock.now_ns = 10 * SECOND_NS
            yield Picture(9 * SECOND_NS, 2, 2, b"")
            control.resume()
            clock.now_ns = 11 * SECOND_NS
            yield Sound(round(9.9e9), 8000, 1, bytes(4000))  # half of it was taken in the pause
            yield Picture(round(9.95e9), 2, 2, b"")
            yield Picture(round(10.1e9), 2, 2, b"")

    heart = Heart(device.folder, "s", clock)
    obeyed = Obeyed(Late(), control, heart, lambda: None)
    passed = [sample.time_ns for sample in obeyed.samples() if isinstance(sample, Picture | Sound)]
    assert passed == [0, round(10.1e9)]


def test_a_bookmark_lies_in_the_events_at_its_time(card, device, keys, control, clock):
    plan = [(12, lambda: control.mark("the red door"))]
    record(Pressed(3, plan, clock, senses=True), card, device, control=control)
    (item,) = segments(card)
    events = list(iter_events(open_parts(item, keys.ingest)["events"]))
    marks = [event for event in events if "bookmark" in event["fields"]]
    assert [event["fields"] for event in marks] == [{"bookmark": "the red door"}]
    assert 1.5 <= marks[0]["start_ns"] / 1e9 <= 1.6


def test_a_mark_set_before_it_began_is_not_in_it(card, device, keys, control, clock):
    control.mark("before")
    control = Control(device.folder, clock)
    record(Pressed(1, clock=clock), card, device, control=control)
    assert "events" not in open_parts(segments(card)[0], keys.ingest)


class Pressing:
    """Counts what the recorder does to its files, and presses at two of these steps."""

    def __init__(self, monkeypatch, control, press_at=0, resume_at=0):
        self.count, self.camera = 0, None
        self.pressed_at = self.resumed_at = None
        self._control, self._press_at, self._resume_at = control, press_at, resume_at
        self._busy = False
        for name in STEPS:
            monkeypatch.setattr(os, name, self._stepping(getattr(os, name)))

    def _stepping(self, real):
        def step(*args, **options):
            self._step()
            return real(*args, **options)

        return step

    def _step(self):
        if self._busy or self.camera is None:
            return
        self.count += 1
        self._busy = True
        if self.count == self._press_at:
            self._control.pause(None)
            self.pressed_at = self.camera.given
        if self.count == self._resume_at:
            self._control.resume()
            self.resumed_at = self.camera.given
        self._busy = False


@pytest.mark.fault("D21")
def test_d21_not_one_picture_after_the_press_is_in_any_segment(
    tmp_path, device, keys, clock, tally
):
    """The press falls at every step of a recording with three rotations, resuming at another."""
    from firsthand.record.card.card import Card

    def run(number, press_at, resume_at):
        with pytest.MonkeyPatch.context() as monkeypatch:
            other = Control(device.folder, clock)
            other.resume()
            card = Card.create(tmp_path / f"card-{number}")
            pressing = Pressing(monkeypatch, other, press_at, resume_at)
            pressing.camera = Pressed(2, clock=clock, fps=8.0)
            record(pressing.camera, card, device, segment_s=0.6)
            pressing.camera = None
        numbers = [each for segment in kept(card, keys) for each in segment]
        assert numbers == sorted(set(numbers))
        assert not list((card.path / "open").iterdir())
        if pressing.pressed_at is not None:
            until = 16 if pressing.resumed_at is None else pressing.resumed_at
            private = set(range(pressing.pressed_at + 1, until + 1))
            assert not private & set(numbers)
            # Before the press all is kept, but for the one that was in hand; so it is after.
            assert set(range(pressing.pressed_at)) <= set(numbers)
            assert set(range(until + 2, 16)) <= set(numbers)
            if len(private) > 2:
                assert ("gap", "paused") in [row[:2] for row in rows(card)]
        else:
            assert numbers == list(range(16))
        told = rows(card)
        assert all(b[3] <= a[2] + 1e-9 for b, a in pairwise(told))
        tally.add()
        return pressing.count

    steps = run(0, 0, 0)
    assert steps > 60
    chance = random.Random(21)
    for number, press_at in enumerate(range(1, steps + 1, 1 if FULL else 5), 1):
        run(number, press_at, press_at + chance.choice([0, 1, 5, 20, 50]))


def test_the_recorder_says_what_it_does(card, device, control, clock):
    told = []

    def look():
        told.append(heartbeat.doing(device.folder, clock))

    plan = [
        (4, look),
        (8, lambda: control.pause(None)),
        (12, look),
        (16, control.resume),
        (20, look),
    ]
    record(Pressed(3, plan, clock), card, device, control=control)
    look()
    assert told == ["recording", "paused", "recording", "stopped"]


def test_a_pause_does_not_concern_footage_that_was_taken_earlier(
    card, device, keys, control, clock
):
    control.pause(None)
    record(Pressed(2, clock=clock), card, device, control=control, obey=False)
    assert kept(card, keys) == [list(range(16))]
    assert heartbeat.doing(device.folder, clock) == "stopped"
