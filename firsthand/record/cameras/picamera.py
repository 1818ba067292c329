"""The Raspberry Pi's own camera through picamera2, with the Pi's own H.264 encoder.

A Pi 4 or Zero 2 W encodes in hardware, a Pi 5 in software; picamera2's H264Encoder is whichever
the board has. Either way coded pictures come, and nothing here touches a pixel.
"""

import contextlib
import queue
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from firsthand.errors import Error, Failed, NotFound, Usage
from firsthand.record.cameras.camera import Coded, Sample
from firsthand.record.cameras.h264 import Framer
from firsthand.record.clock import Clock

# 1080p30 is as much as the encoder of a Pi 4 or Zero 2 W takes (a Pi 5 may be given 2304x1296, all
# that a Camera Module 3 sees of itself at once); 6.67 Mbit/s is the planned 3 GB/h.
SIZE, FPS, BITRATE = (1920, 1080), 30, 6_670_000
EXAMPLE = "picamera2:0?size=1920x1080&fps=30&bitrate=6670000"
_AF_CONTINUOUS = 2  # libcamera's AfModeEnum.Continuous
_PATIENCE_S = 10.0  # for the first key picture


class PiCamera:
    """One camera of a Raspberry Pi; opening it waits for its first key picture."""

    live = True
    coded = True
    sound_hz = 0

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self.name = url
        number, self.size, self.fps, bitrate = _parse(url)
        self._came: queue.SimpleQueue[tuple[bytes, int, int]] = queue.SimpleQueue()
        self._framer = Framer(self.size)
        self._base_us: int | None = None
        self._camera: Any = _camera(number, url)
        try:
            self._start(bitrate)
            self._first = self._first_key()
        except Error:
            self.close()
            raise
        except Exception as error:  # picamera2 and libcamera raise RuntimeError for all they meet
            self.close()
            raise Failed(f"{url} does not start: {error}", "try: rpicam-hello") from error
        self.wall_ns: int | None = self._clock.wall_ns() - self._clock.boot_ns()
        self.wall_quality = self._clock.wall_quality()

    def samples(self) -> Iterator[Sample]:
        """Coded pictures at the boot-clock times at which the sensor began to see them."""
        yield self._first
        while True:
            picture = self._next(None)
            if picture:
                yield picture

    def close(self) -> None:
        """Stop encoder and camera; picamera2 may block here after a cable came loose."""
        camera, self._camera = self._camera, None
        if camera:
            with contextlib.suppress(Exception):
                camera.stop_recording()
            with contextlib.suppress(Exception):
                camera.close()

    def _start(self, bitrate: int) -> None:
        from picamera2.encoders import H264Encoder

        controls: dict[str, Any] = {"FrameRate": self.fps}
        if "AfMode" in self._camera.camera_controls:
            controls["AfMode"] = _AF_CONTINUOUS
        main = {"size": self.size, "format": "YUV420"}
        config = self._camera.create_video_configuration(main=main, controls=controls)
        self._camera.configure(config)
        # A key picture each second, each with its parameter sets.
        self._encoder = H264Encoder(
            bitrate=bitrate, repeat=True, iperiod=round(self.fps), framerate=round(self.fps)
        )
        self._camera.start_recording(self._encoder, _output(self._take))

    def _take(self, data: bytes, time_us: int) -> None:
        """What picamera2's thread calls with each coded picture."""
        self._came.put((bytes(data), time_us, self._clock.boot_ns()))

    def _next(self, timeout_s: float | None) -> Coded | None:
        data, time_us, came_ns = self._came.get(timeout=timeout_s)
        if self._base_us is None:
            # Times count from the first picture, whose own is the sensor's, on the boot clock.
            first_us = getattr(self._encoder, "firsttimestamp", None)
            self._base_us = came_ns // 1000 - time_us if first_us is None else first_us
        return self._framer.picture((self._base_us + time_us) * 1000, data)

    def _first_key(self) -> Coded:
        until_ns = self._clock.boot_ns() + round(_PATIENCE_S * 1e9)
        while (left_s := (until_ns - self._clock.boot_ns()) / 1e9) > 0:
            with contextlib.suppress(queue.Empty):
                picture = self._next(left_s)
                if picture and picture.key:
                    return picture
        raise Failed(f"{self.name} gives no picture", "check the camera's cable: rpicam-hello")


def _camera(number: int, url: str) -> Any:
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise Failed(
            f"{url} needs picamera2, which is not installed",
            "on Raspberry Pi OS: apt install python3-picamera2, and a venv that sees it",
        ) from error
    try:
        return Picamera2(number)
    except IndexError as error:
        raise NotFound(f"there is no camera {url}", "check its cable: rpicam-hello") from error
    except Exception as error:
        raise Failed(f"{url} does not open: {error}", "is another program using it?") from error


def _output(take: Any) -> Any:
    from picamera2.outputs import Output

    class Pictures(Output):  # type: ignore[misc, no-any-unimported]
        def outputframe(
            self,
            frame: Any,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: Any = None,
            audio: bool = False,
        ) -> None:
            if not audio and timestamp is not None:
                take(frame, timestamp)

    return Pictures()


def _parse(url: str) -> tuple[int, tuple[int, int], float, int]:
    number, _, query = url.removeprefix("picamera2:").partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    values = {"size": f"{SIZE[0]}x{SIZE[1]}", "fps": str(FPS), "bitrate": str(BITRATE)}
    unknown = sorted(given.keys() - values.keys())
    if unknown:
        raise Usage(f"{url} has an unknown setting {unknown[0]}", "use size, fps and bitrate")
    values |= given
    try:
        width, height = map(int, values["size"].split("x"))
        fps, bitrate = float(values["fps"]), int(values["bitrate"])
        if min(width, height, bitrate) < 1 or not 1 <= fps <= 200:
            raise ValueError
        return int(number or 0), (width, height), fps, bitrate
    except ValueError as error:
        raise Usage(f"{url} is no camera of a Pi", f"write it as {EXAMPLE}") from error
