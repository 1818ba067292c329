"""What every camera yields: pictures, sound, motion, labels and honest gaps, each with its time.

Times are nanoseconds of one steady clock per camera that starts near its first sample. Cameras
that read files, webcams and streams live in `av_camera.py`; other kinds register their scheme.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from firsthand.errors import Usage


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: raw RGB24 rows without padding in `rgb`, or a PyAV VideoFrame in `frame`."""

    time_ns: int
    width: int
    height: int
    rgb: bytes | None = None
    frame: Any = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A run of sound from time_ns on: interleaved native int16 samples of one or two channels."""

    time_ns: int
    rate_hz: int
    channels: int
    pcm: bytes

    @property
    def stop_ns(self) -> int:
        """When its last sample ends."""
        return self.time_ns + len(self.pcm) // (2 * self.channels) * 10**9 // self.rate_hz


@dataclass(frozen=True, slots=True)
class Motion:
    """One reading of the motion sensor: gyro in rad/s and acceleration in m/s^2, each x, y, z."""

    time_ns: int
    gyro: tuple[float, float, float]
    accel: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Event:
    """A label over an interval, such as {"verb": "take", "noun": "cup"}."""

    start_ns: int
    stop_ns: int
    fields: dict[str, str]

    @property
    def time_ns(self) -> int:
        """When the label begins."""
        return self.start_ns


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which the camera knows that it saw nothing; never stored as footage."""

    start_ns: int
    stop_ns: int
    reason: str

    @property
    def time_ns(self) -> int:
        """When the gap begins."""
        return self.start_ns


Sample = Picture | Sound | Motion | Event | Gap


class Camera(Protocol):
    """A source of samples in time order; `live` says that they come no faster than real time."""

    name: str
    fps: float
    size: tuple[int, int]
    sound_hz: int  # 0: no sound
    wall_ns: int | None  # wall clock at time 0, where the source knows it
    wall_quality: str  # none | fake | rtc | ntp | gps
    live: bool

    def samples(self) -> Iterator[Sample]:
        """Yield every sample in order of time_ns; ends when the camera ends."""
        ...

    def close(self) -> None:
        """Let go of the camera; safe to call twice."""
        ...


_openers: dict[str, Callable[[str], Camera]] = {}


def register(scheme: str, opener: Callable[[str], Camera]) -> None:
    """Let `open_camera` open URLs of one scheme with this opener; it is given the whole URL."""
    _openers[scheme] = opener


def open_camera(url: str | Path) -> Camera:
    """Open a file, a webcam (`v4l2:/dev/video0`), a stream or a registered scheme; raises Error."""
    text = str(url)
    if not text:
        raise Usage("no camera given", 'give a file, a URL or a webcam such as "v4l2:/dev/video0"')
    scheme, colon, _ = text.partition(":")
    if colon and scheme in _openers and not Path(text).exists():
        return _openers[scheme](text)
    from firsthand.record.av_camera import AvCamera  # keeps PyAV out of every other start-up

    return AvCamera(text)
