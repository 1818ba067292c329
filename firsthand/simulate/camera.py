"""A camera on a simulated person: one day of pictures, sound, motion and labels, as samples.

It yields what `record` expects of any camera. The person's acts come from `people.py`, the
pictures from `picture.py`; sound and motion are made here.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from math import pi, sin
from urllib.parse import parse_qsl

import numpy as np

from firsthand.errors import Usage
from firsthand.record.cameras.camera import Event, Motion, Picture, Sample, Sound
from firsthand.simulate.people import DAY_S, Act, Policy, live_day, policies
from firsthand.simulate.picture import HEIGHT, REACH, WIDTH, Box, View, face_box, render
from firsthand.simulate.world import MANNERS, ROOMS, Scene

SOUND_HZ = 8000
SOUND_CHUNK = 1000  # samples, 0.125 s
MOTION_HZ = 25
GRAVITY = 9.81  # m/s^2, along the sensor's y
FIRST_DAY = date(2026, 1, 5)  # a Monday
DAY_BEGINS = time(8, tzinfo=UTC)
SHORTEST_DAY_S = 5.0  # room for one act
EXAMPLE_URL = "sim:0?seed=1&day=0&seconds=480"
Vector = tuple[float, float, float]


class SimCamera:
    """One day of one simulated person; the same arguments give the same samples, byte for byte."""

    sound_hz = SOUND_HZ
    size = (WIDTH, HEIGHT)
    wall_quality = "ntp"
    live = False

    def __init__(
        self,
        policy: Policy,
        day: int,
        seed: int,
        fps: float = 8,
        day_s: float = DAY_S,
        first_day: date = FIRST_DAY,
    ) -> None:
        """The day is counted from 0, which is `first_day`; raises Usage for a day too short."""
        if day_s < SHORTEST_DAY_S:
            raise Usage(f"a simulated day of {day_s:g} s is too short", "give it 5 s or more")
        self.name = f"sim:{policy.index}?seed={seed}&day={day}&seconds={day_s:g}"
        self.fps = fps
        morning = datetime.combine(first_day + timedelta(days=day), DAY_BEGINS)
        self.wall_ns: int | None = int(morning.timestamp()) * 1_000_000_000
        self.day_s = day_s
        self.acts = live_day(policy, day, seed, day_s)
        self._starts = [act.start_s for act in self.acts]
        self._wearer = policy.index
        self._seed = (seed, 4, policy.index, day)

    def samples(self) -> Iterator[Sample]:
        """Every sample of the day in order of time, from time 0; can be called again."""
        sources = (self._labels(), self._faces(), self._motions(), self._sounds(), self._pictures())
        return heapq.merge(*sources, key=lambda sample: sample.time_ns)

    def close(self) -> None:
        """Nothing is held open."""

    def view(self, second: float) -> View:
        """What is in sight at this second of the day."""
        act, scene = self._at(second)
        if act is None:
            return View(scene, second / self.day_s, second, self._wearer)
        progress = (second - act.start_s) / (act.stop_s - act.start_s)
        return View(
            scene,
            second / self.day_s,
            second,
            self._wearer,
            act.verb,
            act.noun,
            progress,
            act.after,
        )

    def _at(self, second: float) -> tuple[Act | None, Scene]:
        """The act under way, None in a rest, and the scene in which it is or will be done."""
        number = bisect_right(self._starts, second) - 1
        if number < 0:
            return None, self.acts[0].scene
        act = self.acts[number]
        return (act, act.scene) if second < act.stop_s else (None, act.after)

    def _frame_times(self) -> Iterator[int]:
        for number in range(int(self.day_s * self.fps)):
            yield round(number * 1e9 / self.fps)

    def _pictures(self) -> Iterator[Sample]:
        for time_ns in self._frame_times():
            image = render(self.view(time_ns / 1e9))
            yield Picture(time_ns, WIDTH, HEIGHT, rgb=image.tobytes())

    def _labels(self) -> Iterator[Sample]:
        for act in self.acts:
            yield Event(_ns(act.start_s), _ns(act.stop_s), {"verb": act.verb, "noun": act.noun})

    def _faces(self) -> Iterator[Sample]:
        """A label for each run of pictures in which a face keeps its place."""
        shown, since, time_ns = None, 0, 0
        frame_ns = round(1e9 / self.fps)
        for time_ns in self._frame_times():
            box = face_box(self.view(time_ns / 1e9))
            if box != shown:
                if shown:
                    yield _face(since, time_ns, shown)
                shown, since = box, time_ns
        if shown:
            yield _face(since, time_ns + frame_ns, shown)

    def _sounds(self) -> Iterator[Sample]:
        chance = np.random.default_rng((*self._seed, 1))
        for first in range(0, int(self.day_s * SOUND_HZ) - SOUND_CHUNK + 1, SOUND_CHUNK):
            act, scene = self._at(first / SOUND_HZ)
            heard = _sound(act, scene, first, chance)
            pcm = np.clip(heard, -32767, 32767).astype("<i2").tobytes()
            yield Sound(first * 1_000_000_000 // SOUND_HZ, SOUND_HZ, 1, pcm=pcm)

    def _motions(self) -> Iterator[Sample]:
        chance = np.random.default_rng((*self._seed, 2))
        for number in range(int(self.day_s * MOTION_HZ)):
            act, _ = self._at(number / MOTION_HZ)
            gyro, accel = _motion(act, number / MOTION_HZ, chance.standard_normal(6).tolist())
            yield Motion(number * 1_000_000_000 // MOTION_HZ, gyro, accel)


def oracle(policy: Policy, day: int, seed: int, day_s: float = DAY_S) -> list[tuple[int, float]]:
    """For each act of that day: start_ns, as in the labels, and the best predictor's nats."""
    return [(_ns(act.start_s), -act.log_prob) for act in live_day(policy, day, seed, day_s)]


def open_sim(url: str) -> SimCamera:
    """Open `sim:PERSON?seed=1&day=0&seconds=480`; raises Usage when it is not of that form."""
    person, _, query = url.removeprefix("sim:").partition("?")
    values = {"seed": "1", "day": "0", "seconds": str(DAY_S)}
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(given.keys() - values.keys())
    if unknown:
        raise Usage(f"{url} has an unknown setting {unknown[0]}", "use seed, day and seconds")
    values |= given
    try:
        index, seed, day = int(person), int(values["seed"]), int(values["day"])
        day_s = float(values["seconds"])
    except ValueError as error:
        raise Usage(f"{url} is no simulated camera", f"write it as {EXAMPLE_URL}") from error
    if min(index, seed, day) < 0 or not day_s < 1e6:
        raise Usage(f"{url} is out of range", f"write it as {EXAMPLE_URL}")
    return SimCamera(policies(index + 1, seed)[index], day, seed, day_s=day_s)


def _ns(second: float) -> int:
    # Acts begin and end on a whole millisecond, so this is exact.
    return round(second * 1000) * 1_000_000


def _face(start_ns: int, stop_ns: int, box: Box) -> Event:
    return Event(start_ns, stop_ns, {"face": ",".join(map(str, box))})


def _sound(act: Act | None, scene: Scene, first: int, chance: np.random.Generator) -> np.ndarray:
    """A chunk of sound, float in int16's range, that starts at this sample of the day."""
    second = (first + np.arange(SOUND_CHUNK)) / SOUND_HZ
    noise = chance.standard_normal(SOUND_CHUNK)
    heard = 40 * noise
    if scene.rain:
        heard += 260 * noise * (chance.random(SOUND_CHUNK) < 0.2)
    if scene.steam and scene.room == "kitchen":
        heard += 500 * np.diff(noise, prepend=0.0)
    if act is None:
        return heard
    times, _, _, kind, pitch = MANNERS[act.verb]
    beat = (second - act.start_s) * times % 1  # 0 to 1 within each stroke of the hand
    tone = np.sin(2 * np.pi * pitch * second)
    if kind == "water":
        heard += 1500 * _soften(noise, 4) + 900 * tone * np.sin(2 * np.pi * 5 * second)
    elif kind == "steps":
        heard += 9000 * np.exp(-14 * beat) * np.sin(2 * np.pi * pitch * second)
    elif kind == "clatter":
        heard += 5000 * np.exp(-25 * beat) * (tone + 0.5 * np.sin(2 * np.pi * 2.7 * pitch * second))
    elif kind == "scrape":
        heard += 1800 * np.abs(np.sin(np.pi * beat)) * _soften(noise, 2) * (1 + tone)
    else:
        step = 1 + np.floor((second - act.start_s) * times) % 4 / 4
        heard += 3500 * np.exp(-3 * beat) * np.sin(2 * np.pi * pitch * step * second)
    return heard


def _soften(noise: np.ndarray, over: int) -> np.ndarray:
    return np.convolve(noise, np.full(over, 1 / over), "same")


def _motion(act: Act | None, second: float, noise: list[float]) -> tuple[Vector, Vector]:
    """One reading: x to the right, y up, z backwards; gyro in rad/s, acceleration in m/s^2."""
    breath = 0.02 * sin(2 * pi * second / 4)
    pitch = yaw = roll = 0.0
    side, up, back = 0.0, breath, 0.0
    if act is not None:
        times, aside, lift = MANNERS[act.verb][:3]
        progress = (second - act.start_s) / (act.stop_s - act.start_s)
        swing = sin(2 * pi * times * second)
        if act.verb == "walk":
            turn = 0.5 + 0.25 * ROOMS.index(act.noun)
            yaw = turn * sin(pi * progress) * (1 if ROOMS.index(act.noun) % 2 else -1)
            roll = 0.15 * sin(pi * times * second)
            up, back = up + 2.4 * swing, 0.9 * sin(2 * pi * times * second + 1)
        else:
            side, up = 0.05 * aside * swing, up + 0.06 * lift * swing
            leaning = progress < REACH or progress > 1 - REACH
            pitch = (-0.5 if progress < 0.5 else 0.5) if leaning else 0.02 * lift * swing
    gyro = (pitch + 0.01 * noise[0], yaw + 0.01 * noise[1], roll + 0.01 * noise[2])
    accel = (side + 0.04 * noise[3], GRAVITY + up + 0.04 * noise[4], back + 0.04 * noise[5])
    return gyro, accel
