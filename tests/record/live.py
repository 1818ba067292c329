"""Live cameras for tests: each opening follows a script, in real time or as fast as it is read."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from recording import numbered

from firsthand.record.cameras.camera import Camera, Coded, Picture, Sample
from firsthand.record.clock import Clock

CLOCK = Clock()
_never = threading.Event()
Script = Callable[["LiveCamera"], Iterator[Sample]]


class LiveCamera:
    """Pictures on the boot clock, each with its number; the script says how it goes wrong."""

    name = "live"
    live = True
    sound_hz = 0

    def __init__(self, script: Script, feed: "Feed") -> None:
        self.script, self.feed = script, feed
        self.fps, self.size = feed.fps, feed.size
        self.wall_ns, self.wall_quality = 1_800_000_000 * 10**9, "ntp"
        self.closed = False

    def samples(self) -> Iterator[Sample]:
        """What the script gives."""
        yield from self.script(self)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def pictures(self, seconds: float, same: bool = False) -> Iterator[Sample]:
        """Numbered pictures in real time; `same`: one and the same over and over."""
        began_ns = CLOCK.boot_ns()
        for count in range(round(seconds * self.fps)):
            at_ns = began_ns + round(count * 1e9 / self.fps)
            # time.sleep fails under libfaketime, which moves the wall clock for some tests
            _never.wait(max(0, at_ns - CLOCK.boot_ns()) / 1e9)
            if not same or not count:
                rgb = numbered(self.feed.given, *self.size)
            self.feed.given += 1
            yield Picture(at_ns, *self.size, rgb=rgb)


class Feed:
    """Opens one scripted camera after the other; the last script serves all later openings."""

    def __init__(self, *scripts: Script, fps: float = 20.0, size=(160, 120)) -> None:
        self.scripts, self.fps, self.size = scripts, fps, size
        self.given = 0  # pictures, by all of them
        self.opened: list[int] = []  # boot times

    def __call__(self) -> Camera:
        """The next camera."""
        script = self.scripts[min(len(self.opened), len(self.scripts) - 1)]
        self.opened.append(CLOCK.boot_ns())
        return LiveCamera(script, self)


def works(seconds: float = 60.0) -> Script:
    """A camera that works for so long, then ends."""
    return lambda camera: camera.pictures(seconds)


def then(seconds: float, what: Callable[[], object]) -> Script:
    """A camera that works for so long and then does something else."""

    def script(camera: LiveCamera) -> Iterator[Sample]:
        yield from camera.pictures(seconds)
        what()

    return script


def block() -> None:
    """What a driver does whose cable came loose: it never returns."""
    threading.Event().wait()


class CodedCamera:
    """Coded pictures of random bytes at a given rate: whole MP4 that no decoder has to open."""

    name = "coded"
    live = True
    coded = True
    sound_hz = 0
    wall_quality = "ntp"

    def __init__(
        self, seconds: float, fps: float, mbit_s: float, paced: bool = False, key_s: float = 1.0
    ) -> None:
        self.seconds, self.fps, self.paced = seconds, fps, paced
        self.size = (160, 120)
        self.wall_ns = 1_800_000_000 * 10**9
        self._avcc = configuration()
        self._picture_size = max(16, round(mbit_s * 125_000 / fps))
        self._key_every = max(1, round(key_s * fps))

    def samples(self) -> Iterator[Sample]:
        """Pictures, a key one each second, in real time if paced."""
        began_ns = CLOCK.boot_ns()
        noise = random.Random(1).randbytes(4 * self._picture_size)
        for number in range(round(self.seconds * self.fps)):
            time_ns = began_ns + round(number * 1e9 / self.fps)
            if self.paced:
                time.sleep(max(0, time_ns - CLOCK.boot_ns()) / 1e9)
            key = number % self._key_every == 0
            # A key picture takes four times as much as the others, and these a little less.
            unit = bytes([0x65 if key else 0x41]) + noise[: self._picture_size * (4 if key else 1)]
            data = len(unit).to_bytes(4, "big") + unit
            yield Coded(time_ns, *self.size, data, key, self._avcc if key else b"")

    def close(self) -> None:
        """Nothing is held open."""


def configuration() -> bytes:
    """The decoder configuration of some H.264 of 160x120."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 120, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.options = {"x264-params": "annexb=0", "bf": "0"}
    encoder.open()
    return bytes(encoder.extradata)
