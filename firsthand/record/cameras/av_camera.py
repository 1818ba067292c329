"""Cameras that PyAV reads: video files, webcams and streams.

Pictures and sound are decoded and nothing else is taken: no tag, no data track, no date. (A file's
creation_time is as often that of an export, and local time as often as UTC: it is no clock.) With
`copy:` in front of the URL, pictures that come as H.264 are kept as they are.
"""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import av
from av.container import InputContainer

from firsthand.errors import Damaged, Error, Failed, NotFound, Usage
from firsthand.record.cameras.camera import COPY, DEVICES, Coded, Picture, Sample, Sound, is_live
from firsthand.record.cameras.h264 import Framer, strip
from firsthand.record.clock import Clock

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 4.0
# Sound and pictures are put in order of time; a file that keeps them further apart than this many
# bytes of decoded pictures is taken in the order in which it lies.
HELD_BYTES = 64 * 2**20
HELD_CODED = 256  # or than so many coded ones
SOUND_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

_DECODE = f'leave out "{COPY}": it is then decoded, and coded anew'
_MEND = "check that it is a whole video file, and that it plays elsewhere"


class AvCamera:
    """A file, webcam or stream as camera; opening it decodes the first picture."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self.coded = url.startswith(COPY) and not Path(url).exists()
        scheme, address, options = _parse(url.removeprefix(COPY) if self.coded else url)
        self.name = Path(address).name if not scheme else url
        self.live = is_live(url)
        self._container: InputContainer | None = None
        self._pictures: deque[Picture | Coded] = deque()
        self._sounds: deque[Sound] = deque()
        self._index = 0
        self.damaged_packets = 0
        try:
            self._container = _open(address, scheme, options)
            self._begin()
        except av.error.FFmpegError as error:
            self.close()
            raise _explain(self.name, error) from error
        except Error:
            self.close()
            raise

    @property
    def origin_ns(self) -> int:
        """Time 0 of its samples, in ns of the file's own time."""
        return self._base_ns

    def samples(self) -> Iterator[Sample]:
        """Pictures and sound in order of time, from 0 on; a live camera's from the boot clock."""
        try:
            yield from self._ordered()
        except av.error.FFmpegError as error:
            raise Failed(f"{self.name} stopped: {error.strerror}", _MEND) from error
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file or device."""
        if self._container:
            self._container.close()
            self._container = None

    def _begin(self) -> None:
        assert self._container
        self._video = _video_stream(self._container, self.name)
        audio = self._container.streams.audio
        self._audio = audio[0] if audio and audio[0].codec_context is not None else None
        width, height = self._video.codec_context.width, self._video.codec_context.height
        if self.coded:
            self._begin_coded(width, height)
        elif width * height > 640 * 480:
            self._video.thread_type = "AUTO"
        self.sound_hz = _sound_rate(self._audio.codec_context.sample_rate) if self._audio else 0
        self._resampler: Any = None
        rate = self._video.average_rate or self._video.guessed_rate
        self.fps = float(rate) if rate and 0 < rate <= 1000 else 30.0
        self._steps = self._read()
        self._base_ns = 0
        while not self._pictures:
            if not next(self._steps, False):
                raise Damaged(f"{self.name} promises a video but holds no picture", _MEND)
        self._set_base()
        self.size = (self._pictures[0].width, self._pictures[0].height)

    def _begin_coded(self, width: int, height: int) -> None:
        context = self._video.codec_context
        if context.name != "h264":
            raise Usage(f"{self.name} sends {context.name}, no H.264", _DECODE)
        if context.has_b_frames:
            raise Usage(f"{self.name} sends B-frames", _DECODE)
        extra = bytes(context.extradata or b"")
        # MP4 and Matroska keep the configuration apart; in other streams it lies between pictures.
        self._framer = None if extra[:1] == b"\1" else Framer((width, height), extra)
        if extra[:1] == b"\1" and extra[4] & 3 != 3:
            raise Usage(f"{self.name} keeps its H.264 in an unusual way", _DECODE)
        self._avcc, self._coded_size = extra, (width, height)
        base = self._video.time_base
        self._ticks = base.numerator * 10**9, base.denominator
        self._last_ns: int | None = None

    def _set_base(self) -> None:
        # A file's clock starts with its first sample; the sound may be ahead of the pictures.
        first_ns = min(held[0].time_ns for held in (self._pictures, self._sounds) if held)
        if not self._sounds and self._audio and self._audio.start_time is not None:
            start_ns = _to_ns(self._audio.start_time, self._audio.time_base)
            if 0 <= first_ns - start_ns <= 10 * 10**9:
                first_ns = start_ns
        origin_ns = self._clock.boot_ns() if self.live else 0
        self._base_ns = first_ns - origin_ns
        self.wall_ns = self._clock.wall_ns() - origin_ns if self.live else None
        self.wall_quality = self._clock.wall_quality() if self.live else "none"
        for held in (self._pictures, self._sounds):
            early = [_earlier(sample, self._base_ns) for sample in held]
            held.clear()
            held.extend(early)

    def _ordered(self) -> Iterator[Sample]:
        limit = self._held_max()
        pictures, sounds = self._pictures, self._sounds
        for _ in self._steps:
            while pictures and (sounds or not self._audio):
                yield self._earliest()
            while len(pictures) > limit:
                yield pictures.popleft()
        while pictures or sounds:
            yield self._earliest()

    def _earliest(self) -> Sample:
        if not self._sounds:
            return self._pictures.popleft()
        if not self._pictures:
            return self._sounds.popleft()
        pictures_first = self._pictures[0].time_ns < self._sounds[0].time_ns
        return self._pictures.popleft() if pictures_first else self._sounds.popleft()

    def _held_max(self) -> int:
        if self.coded:
            return HELD_CODED
        width, height = self.size
        return max(8, HELD_BYTES // (width * height * 3 // 2))

    def _read(self) -> Iterator[bool]:
        """Decode packet by packet into the two queues."""
        assert self._container
        streams = [self._video] + ([self._audio] if self._audio else [])
        video = self._video.index
        for packet in self._container.demux(streams):
            coded = self.coded and packet.stream_index == video
            # Asked of coded pictures at the key ones: asking takes as long as keeping one.
            if (not coded or packet.is_keyframe) and packet.has_sidedata("encryption_info"):
                raise Usage(f"{self.name} is encrypted", "decrypt it first, where you may")
            if coded:
                self._keep_coded(packet)
                yield True
                continue
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.damaged_packets += 1
                continue
            for frame in frames:
                self._keep(packet.stream, frame)
            yield True

    def _keep(self, stream: Any, frame: Any) -> None:
        if stream is self._video:
            time_ns = self._picture_time(frame)
            self._pictures.append(Picture(time_ns, frame.width, frame.height, frame=frame))
            return
        pts, base = frame.pts, frame.time_base
        channels = 1 if frame.layout.nb_channels == 1 else 2
        if self._resampler is None:
            layout = "mono" if channels == 1 else "stereo"
            self._resampler = av.AudioResampler(format="s16", layout=layout, rate=self.sound_hz)
        for block in self._resampler.resample(frame):
            pcm = bytes(block.planes[0])[: block.samples * 2 * block.layout.nb_channels]
            if pts is None or not pcm:
                continue
            time_ns = _to_ns(pts, base) - self._base_ns
            self._sounds.append(Sound(time_ns, self.sound_hz, block.layout.nb_channels, pcm))

    def _keep_coded(self, packet: Any) -> None:
        """A picture as it comes, from the first on that can be decoded alone."""
        if not packet.size:
            return
        self._index += 1
        pts = packet.pts
        raw_ns = round((self._index - 1) * 1e9 / self.fps) if pts is None else self._ns(pts)
        if self._framer:
            picture = self._framer.picture(raw_ns - self._base_ns, bytes(packet))
        else:
            key, (width, height) = packet.is_keyframe, self._coded_size
            avcc = self._avcc if key else b""
            data = strip(memoryview(packet))
            picture = Coded(raw_ns - self._base_ns, width, height, data, key, avcc)
        if picture is None or (self._last_ns is None and not picture.key):
            return
        if self._last_ns is not None and raw_ns < self._last_ns:
            raise Failed(f"{self.name} sends pictures out of order", _DECODE)
        self._last_ns = raw_ns
        self._pictures.append(picture)

    def _ns(self, pts: int) -> int:
        """A time of the video stream; its base is read once, as PyAV makes a fraction each time."""
        up, down = self._ticks
        return (pts * up + down // 2) // down

    def _picture_time(self, frame: Any) -> int:
        self._index += 1
        if frame.pts is None:
            return round((self._index - 1) * 1e9 / self.fps) - self._base_ns
        return _to_ns(frame.pts, frame.time_base) - self._base_ns


def _earlier(sample: Any, by_ns: int) -> Any:
    time_ns = sample.time_ns - by_ns
    if isinstance(sample, Coded):
        return sample._replace(time_ns=time_ns)
    return replace(sample, time_ns=time_ns)


def _parse(url: str) -> tuple[str, str, dict[str, str]]:
    """(scheme or "", address, device options) of a URL; a file that exists is always a file."""
    scheme, colon, rest = url.partition(":")
    if not colon or Path(url).exists():
        return "", url, {}
    if scheme not in DEVICES:
        return scheme, url, {}
    # v4l2:/dev/video0?video_size=1280x720&framerate=30; lavfi has its own use for "?" and "&"
    address, _, query = rest.partition("?") if scheme != "lavfi" else (rest, "", "")
    return scheme, address, dict(parse_qsl(query))


def _open(address: str, scheme: str, options: dict[str, str]) -> InputContainer:
    if not scheme:
        path = Path(address)
        if path.is_dir():
            raise Usage(f"{path} is a folder", "name a file in it")
        if not path.exists():
            raise NotFound(f"there is no file {path}", "check its name")
        if not os.access(path, os.R_OK):
            raise Failed(f"{path} may not be read", "change its permissions")
    if scheme == "avfoundation":
        options = {"framerate": "30"} | options  # it refuses FFmpeg's default rate
    av.logging.set_level(av.logging.PANIC)  # its messages name files and go to stderr
    return av.open(
        address,
        format=scheme if scheme in DEVICES else None,
        options=options,
        timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if scheme not in ("", "lavfi") else None,
    )


def _video_stream(container: InputContainer, name: str) -> Any:
    for stream in container.streams.video:
        cover = av.stream.Disposition.attached_pic & stream.disposition
        if not cover and stream.codec_context is not None:
            return stream
    if not len(container.streams):
        raise Damaged(f"{name} is only the beginning of a video file", _MEND)
    kinds = " and ".join(sorted({stream.type for stream in container.streams}))
    raise Usage(f"{name} holds no pictures, only {kinds}", "name a file with a video stream")


def _explain(name: str, error: av.error.FFmpegError) -> Error:
    if isinstance(error, av.error.FileNotFoundError):
        return NotFound(f"there is no camera {name}", "check that it is plugged in")
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
        return Damaged(f"{name} cannot be read as video", _MEND)
    return Failed(f"cannot open {name}: {error.strerror}", _MEND)


def _sound_rate(rate_hz: int) -> int:
    return next((rate for rate in SOUND_RATES if rate >= rate_hz), SOUND_RATES[-1])


def _to_ns(pts: int, time_base: Any) -> int:
    scaled = pts * time_base.numerator * 10**9
    return (scaled + time_base.denominator // 2) // time_base.denominator
