"""What every camera yields: pictures, sound, motion, labels and honest gaps, each with its time.

Times are nanoseconds of one steady clock: the boot clock of a live camera, else one that starts
near the first sample. Files, webcams and streams are read by `av_camera.py`, the Raspberry Pi's
camera by `picamera.py`, and `watchdog.py` watches whatever is live; others register their scheme.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from firsthand.errors import Usage


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: raw RGB24 rows without padding in `rgb`, or a PyAV VideoFrame in `frame`."""

    time_ns: int
    width: int
    height: int
    rgb: bytes | None = None
    frame: Any = None


class Coded(NamedTuple):  # made 30 times a second, in a third of a frozen dataclass's time
    """One picture that the camera has coded: an H.264 access unit of length-prefixed NAL units.

    Pictures come in the order shown (no B-frames). `avcc`, the decoder configuration record, stands
    at each key picture, where a decoder can begin.
    """

    time_ns: int
    width: int
    height: int
    data: Any  # any buffer of bytes
    key: bool
    avcc: bytes = b""


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
    dropped: int = 0  # pictures that came meanwhile and could not be kept

    @property
    def time_ns(self) -> int:
        """When the gap begins."""
        return self.start_ns


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing came up to this time, and the camera is still waited for."""

    time_ns: int


Sample = Picture | Coded | Sound | Motion | Event | Gap | Tick


class Camera(Protocol):
    """A source of samples in time order; `live` says that they come no faster than real time.

    A live camera's wall_ns and wall_quality may change while it runs: when the clock is set. One
    whose pictures come coded says so in an attribute `coded`.
    """

    name: str
    fps: float
    size: tuple[int, int]
    sound_hz: int  # 0: no sound
    live: bool

    @property
    def wall_ns(self) -> int | None:
        """Wall clock at time 0, where the source knows it."""
        ...

    @property
    def wall_quality(self) -> str:
        """How far to believe it: none, fake, rtc, ntp or gps."""
        ...

    def samples(self) -> Iterator[Sample]:
        """Yield every sample in order of time_ns; ends when the camera ends."""
        ...

    def close(self) -> None:
        """Let go of the camera; safe to call twice."""
        ...


# FFmpeg's input devices, and the streams that run whether or not they're read. lavfi makes test
# pictures; it runs as fast as it is read.
DEVICES = ("v4l2", "avfoundation", "lavfi")
STREAMS = ("rtsp", "rtsps", "rtmp", "udp", "srt", "rtp")
COPY = "copy:"  # in front of a URL: keep the H.264 that comes as it is
_LIVE = {*DEVICES[:2], *STREAMS, "picamera2"}

_openers: dict[str, Callable[[str], Camera]] = {}


def register(scheme: str, opener: Callable[[str], Camera], live: bool = False) -> None:
    """Let `open_camera` open URLs of one scheme with this opener; it is given the whole URL.

    A live camera is watched, and opened anew when it fails.
    """
    _openers[scheme] = opener
    (_LIVE.add if live else _LIVE.discard)(scheme)


def open_camera(url: str | Path) -> Camera:
    """Open a file, a webcam (`v4l2:/dev/video0`), a stream or a registered scheme; raises Error."""
    text = str(url)
    if not text:
        raise Usage("no camera given", 'give a file, a URL or a webcam such as "v4l2:/dev/video0"')
    if not is_live(text):
        return _open(text)
    from firsthand.record.cameras.watchdog import Watched

    return Watched(text, lambda: _open(text))


def is_live(url: str) -> bool:
    """Whether this names a camera that runs whether or not it is read; a file that exists isn't."""
    return not Path(url).exists() and url.removeprefix(COPY).partition(":")[0] in _LIVE


def _open(url: str) -> Camera:
    scheme, colon, _ = url.partition(":")
    if colon and scheme in _openers and not Path(url).exists():
        return _openers[scheme](url)
    if scheme == "picamera2":
        from firsthand.record.cameras.picamera import PiCamera

        return PiCamera(url)
    from firsthand.record.cameras.av_camera import (
        AvCamera,  # keeps PyAV out of every other start-up
    )

    return AvCamera(url)
