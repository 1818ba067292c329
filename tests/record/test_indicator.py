"""The indicator against the truth: a real recorder in a process of its own, killed at any time."""

import io
import mmap
import random
import signal
import struct
from pathlib import Path

import pytest
from children import Child
from faults import FULL
from moment import SECOND_NS, Moment
from recording import NumberedCamera, numbered, open_parts, pictures, segments

from firsthand.record.cameras.camera import Motion, Picture
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record
from firsthand.record.wearer import heartbeat
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.heartbeat import (
    RECORDING,
    SILENT,
    STALE_S,
    STOPPED,
    Heart,
    doing,
    truth,
)
from firsthand.record.wearer.indicator import LOOK_S, REMIND_S, Indicator, TextLamp, is_lit


class Shown:
    """A lamp that remembers."""

    def __init__(self):
        self.lit, self.buzzes, self.words = False, [], []

    def light(self, on):
        self.lit = on

    def buzz(self, count):
        self.buzzes.append(count)

    def say(self, word):
        self.words.append(word)


@pytest.fixture
def clock():
    return Moment()


def test_without_a_recorder_it_is_dark(tmp_path, clock):
    lamp = Shown()
    indicator = Indicator(tmp_path, lamp, clock)
    for _ in range(100):
        indicator.tick()
        assert not lamp.lit
        clock.now_ns += SECOND_NS // 10
    assert indicator.word == STOPPED
    assert lamp.buzzes == []


def test_recording_blinks_and_nothing_that_stands_still_means_it(tmp_path, clock):
    heart, lamp = Heart(tmp_path, "s", clock), Shown()
    indicator = Indicator(tmp_path, lamp, clock)
    lit = []
    for _ in range(80):
        heart.beat(RECORDING, 0)
        indicator.tick()
        lit.append(lamp.lit)
        clock.now_ns += SECOND_NS // 20
    assert 0 < sum(lit) < 20
    assert lamp.words == [RECORDING]


def test_no_two_states_look_alike():
    def look(word):
        return tuple(is_lit(word, at / 20) for at in range(20 * 20))

    seen = [look(word) for word in (RECORDING, "paused", "stalled", STOPPED)]
    assert len(set(seen)) == 4
    assert look("hot") == look("stalled")


def test_a_pause_is_called_to_mind(tmp_path, clock):
    heart, lamp = Heart(tmp_path, "s", clock), Shown()
    indicator = Indicator(tmp_path, lamp, clock)
    for _ in range(int(3 * REMIND_S) + 10):
        heart.beat("paused", 0)
        indicator.tick()
        clock.now_ns += SECOND_NS
    assert lamp.buzzes == [2, 2, 2, 2]
    assert [word for word in lamp.words if word.startswith("still paused")]


def test_a_recorder_that_says_nothing_is_not_recording(tmp_path, clock):
    Heart(tmp_path, "s", clock).beat(RECORDING, 0)
    assert doing(tmp_path, clock) == RECORDING
    clock.now_ns += round(STALE_S * 1e9)
    assert doing(tmp_path, clock) == RECORDING
    clock.now_ns += 1
    assert doing(tmp_path, clock) == SILENT


def test_a_beat_of_another_boot_is_none(tmp_path, clock):
    Heart(tmp_path, "s", clock).beat(RECORDING, 0)
    clock.boot = "boot-2"
    assert doing(tmp_path, clock) == STOPPED


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"v":1}', "\0\0\0"])
def test_a_torn_beat_is_none(tmp_path, clock, text):
    (tmp_path / "state.json").write_text(text)
    assert doing(tmp_path, clock) == STOPPED


def test_anothers_process_number_is_no_sign_of_life(tmp_path, clock, monkeypatch):
    Heart(tmp_path, "s", clock).beat(RECORDING, 0)
    monkeypatch.setattr(heartbeat, "_begun", lambda pid: "another")
    assert doing(tmp_path, clock) == STOPPED


def test_a_stop_says_why(tmp_path, clock):
    heart = Heart(tmp_path, "s", clock)
    heart.beat(RECORDING, 5)
    heart.stop("the card is full")
    beat = heartbeat.last_beat(tmp_path)
    assert (beat.doing, beat.why, beat.time_ns) == (STOPPED, "the card is full", 5)


def test_a_terminal_gets_a_line_for_each_change(tmp_path, clock):
    out = io.StringIO()
    heart, indicator = Heart(tmp_path, "s", clock), Indicator(tmp_path, TextLamp(out), clock)
    for word in (RECORDING, RECORDING, "paused", "stalled"):
        heart.beat(word, 0)
        indicator.tick()
        clock.now_ns += SECOND_NS
    assert out.getvalue().splitlines() == [RECORDING, "paused", "stalled"]


# The property: whatever happens, the lamp says "recording" exactly when what is seen is kept.


class Told(Moment):
    """A clock that all processes share, and the number of the picture, by a file."""

    def __init__(self, path):
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 16)
        begun_ns = self.now_ns
        super().__init__()
        self.now_ns = begun_ns or self.now_ns

    @property
    def now_ns(self):
        return struct.unpack("q", self._shared[:8])[0]

    @now_ns.setter
    def now_ns(self, value):
        self._shared[:8] = struct.pack("q", value)

    @property
    def number(self):
        return struct.unpack("q", self._shared[8:])[0]

    @number.setter
    def number(self, value):
        self._shared[8:] = struct.pack("q", value)


class Piped:
    """A live camera that gives a sample for each letter that comes down a line."""

    name, fps, size, sound_hz, live = "piped", 8.0, (64, 48), 0, True
    wall_ns, wall_quality = None, "none"

    def __init__(self, line, clock):
        self._line, self._clock = line, clock

    def samples(self):
        while True:
            try:
                letter = self._line.recv()
            except EOFError:
                return
            now_ns = self._clock.now_ns
            if letter == "f":
                yield Picture(now_ns, 64, 48, rgb=numbered(self._clock.number, 64, 48))
            else:
                yield Motion(now_ns, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
            self._line.send("a")  # the sample before was dealt with

    def close(self):
        """Nothing is held open."""


def record_step_by_step(line, card, folder, clock):
    """A recorder, in a process of its own."""
    clock, device = Told(clock), load_device(folder)
    record(Piped(line, clock), Card(card), device, control=Control(device.folder, clock))


def give(child, letter):
    """A sample, and wait until the recorder asks for the next."""
    child.line.send(letter)
    assert child.hear() == "a"


EVENTS = ("picture",) * 8 + ("pause", "pause 2", "resume", "kill", "start", "end", "wait", "motion")


def live_through(seed, device, card, keys, tally):
    """One random life; each picture is judged by what the lamp said and by what is on the card."""
    chance, shared = random.Random(seed), card.path.with_suffix(".clock")
    clock = Told(shared)
    control, lamp = Control(device.folder, clock), Shown()
    indicator = Indicator(device.folder, lamp, clock)
    process, fates, unsafe, dead, given_ns = None, {}, set(), [], 0

    def look():
        clock.now_ns += round(LOOK_S * 1e9)
        indicator.tick()
        return indicator.word

    for _ in range(60):
        event = chance.choice(EVENTS)
        if event == "picture" and process:
            if clock.number > 4000:
                break
            clock.number += 1
            clock.now_ns += SECOND_NS // 8
            give(process, "f")
            given_ns = clock.now_ns
            fates[clock.number] = (look() == RECORDING, clock.now_ns)
        elif event == "motion" and process:
            give(process, "m")
            given_ns = clock.now_ns
        elif event.startswith("pause"):
            control.pause(2.0 if event.endswith("2") else None)
            assert look() != RECORDING
        elif event == "resume":
            control.resume()
        elif event == "wait":
            clock.now_ns += chance.choice([1, 2, 5]) * SECOND_NS
        elif event == "start" and not process:
            process = Child(record_step_by_step, card.path, device.folder, shared)
            clock.now_ns += SECOND_NS // 8
            give(process, "m")
        elif event == "end" and process:
            assert process.end() == 0
            process = None
            assert look() == STOPPED
        elif event == "kill" and process:
            reap = chance.random() < 0.5
            process.kill()
            dead.append(process)
            if reap:
                assert dead.pop().end() == -signal.SIGKILL
            process = None
            # What was not sealed yet is lost with the process: at most a second before the last
            # sample that it was given. (A watched camera gives one each moment, this one doesn't.)
            unsafe |= {n for n, (_, at_ns) in fates.items() if given_ns - at_ns < SECOND_NS * 2}
            unsafe.add(clock.number)  # the last waits for the next, which says how long it lasts
            assert look() == STOPPED
        if look() == RECORDING:
            assert process
            assert not control.paused()
        tally.add()
    if process:
        assert process.end() == 0
    for each in dead:
        assert each.end() == -signal.SIGKILL
    control.resume()
    record(NumberedCamera(0.1, size=(64, 48), sound_hz=0, senses=False), card, device)  # salvages
    kept = set()
    for item in segments(card)[:-1]:
        kept |= {row.number for row in pictures(open_parts(item, keys.ingest)["video"])}
    for one, (said, _) in fates.items():
        if said:
            assert one in kept or one in unsafe, f"picture {one} was shown as recorded"
        else:
            assert one not in kept, f"picture {one} was recorded while the lamp said no"
    return fates


def test_the_indicator_equals_the_truth_through_every_life(tmp_path, device, keys, tally):
    told = []
    for seed in range(150 if FULL else 6):
        card = Card.create(tmp_path / f"life-{seed}")
        told += live_through(seed, device, card, keys, tally).values()
    assert {said for said, _ in told} == {True, False}


def test_the_truth_hears_the_wearer_before_the_recorder_does(tmp_path, clock):
    Heart(tmp_path, "s", clock).beat(RECORDING, 0)
    control = Control(tmp_path, clock)
    control.pause(None)
    assert doing(tmp_path, clock) == RECORDING
    assert truth(tmp_path, control) == "paused"
    assert Path("/proc/self/stat").exists()
