"""Pictures and sound into H.264 and AAC in one fragmented MP4 per segment, and into its still.

Pictures that the camera coded go in as they are. Nothing of the source but pictures and samples
goes in: no tag, no date, no data track. Sealing and cutting belong to others.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from firsthand.errors import Failed
from firsthand.record.cameras.camera import Coded, Picture, Sound
from firsthand.record.sealing import mp4
from firsthand.segment import SEGMENT_S

# A live camera's fragments are short, because a kill loses the one that grows.
LIVE_FRAGMENT_S, FRAGMENT_S = 0.25, 1.0
KEY_S = 1.0
WIDTH_MAX = 2304
STILL_WIDTH_MAX = 320
# Below this many pixels the fastest preset: at 160x120 it takes half the time of "superfast".
SMALL_PIXELS = 320 * 240
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_PRIMING = 1024  # samples that FFmpeg's encoder puts in front
SOUND_BLOCK_S = 0.2  # the encoder is called for this much sound at once
# Sound may drift this far from the camera's clock before silence is put in to catch up.
SOUND_SLACK_S = 0.1

_TICK = Fraction(1, mp4.VIDEO_HZ)


@dataclass(frozen=True)
class Fragment:
    """Bytes that end on a box, the time they reach (ns from the start) and the frames so far."""

    pieces: list[Any]  # buffers, to be written in turn
    stop_ns: int
    frames: int

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


def stored_size(width: int, height: int) -> tuple[int, int]:
    """The even size, at most 2304 wide, at which pictures of this size are kept."""
    if width > WIDTH_MAX:
        width, height = WIDTH_MAX, round(height * WIDTH_MAX / width)
    return max(2, width - width % 2), max(2, height - height % 2)


def still(frame: av.VideoFrame) -> bytes:
    """A JPEG of the picture, at most 320 pixels wide."""
    width, height = frame.width, frame.height
    if width > STILL_WIDTH_MAX:
        width, height = STILL_WIDTH_MAX, max(1, round(height * STILL_WIDTH_MAX / width))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.flags |= Flags.bitexact | Flags.qscale
    encoder.global_quality = 5 * 118  # FF_QP2LAMBDA: a good picture in 5 to 20 kB
    small = VideoReformatter().reformat(
        frame, width, height, "yuvj420p", dst_color_range="JPEG", threads=1
    )
    small.pts, small.time_base, small.pict_type = 0, encoder.time_base, PictureType.NONE
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])


def as_frame(picture: Picture | Coded) -> av.VideoFrame | None:
    """The picture's pixels; None if it is coded and can't be decoded alone."""
    if isinstance(picture, Coded):
        return _decoded(picture) if picture.key else None
    if picture.frame is not None:
        return picture.frame
    frame = av.VideoFrame(picture.width, picture.height, "rgb24")
    plane, rgb, row = frame.planes[0], picture.rgb or b"", 3 * picture.width
    if len(rgb) != row * picture.height:
        raise Failed(f"the camera gave {len(rgb)} bytes for {picture.width}x{picture.height} RGB")
    if plane.line_size != row:  # FFmpeg wants its rows padded
        padding = bytes(plane.line_size - row)
        rgb = b"".join(rgb[at : at + row] + padding for at in range(0, len(rgb), row))
    plane.update(rgb)
    return frame


def _decoded(picture: Coded) -> av.VideoFrame | None:
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = picture.avcc
    decoder.thread_count = 1
    decoder.options = {"skip_loop_filter": "all"}  # a third less work, and unseen when small
    try:
        frames = [*decoder.decode(av.Packet(picture.data)), *decoder.decode(None)]
    except av.error.FFmpegError:
        return None
    return frames[0] if frames else None  # type: ignore[return-value]


class Footage:
    """One segment's MP4 as it grows: takes pictures and sound, gives back whole fragments.

    Times are nanoseconds from the segment's start; pictures must come in rising order. `avcc` says
    that they come coded, in one of that configuration first.
    """

    def __init__(
        self, size: tuple[int, int], fps: float, sound_hz: int, live: bool, avcc: bytes = b""
    ) -> None:
        self.size = size if avcc else stored_size(*size)
        fragment_s = LIVE_FRAGMENT_S if live else FRAGMENT_S
        self._video: _Pictures
        if avcc:
            self._video = _Pictures(mp4.VideoTrack(*size, avcc), fragment_s)
        else:
            self._video = _PictureEncoder(self.size, fps, fragment_s, live)
        self._audio: _SoundEncoder | None = None
        self._sound_hz = sound_hz
        self._begun = False
        self._sequence = 0
        self._frames = 0

    @property
    def audio_hz(self) -> int:
        """Samples per second of the sound track, 0 without one."""
        return self._audio.rate_hz if self._audio else 0

    @property
    def audio_channels(self) -> int:
        """Channels of the sound track, 0 without one."""
        return self._audio.channels if self._audio else 0

    @property
    def audio_samples(self) -> int:
        """Samples per channel that were put in, those of filled-in silence included."""
        return self._audio.samples if self._audio else 0

    @property
    def audio_stop_ns(self) -> int:
        """Where the sound put in so far ends; 0 without sound."""
        return self._audio.stop_ns if self._audio else 0

    def add_picture(self, picture: Picture | Coded, time_ns: int) -> list[Fragment]:
        """Encode one picture, or take in one that is."""
        self._video.add(picture, time_ns)
        return self._full_fragments()

    def add_sound(self, sound: Sound, time_ns: int) -> None:
        """Encode sound; it leaves with the next fragment."""
        if self._audio is None:
            if self._begun:
                return  # the camera promised silence when the file began
            self._audio = _SoundEncoder(sound.rate_hz, sound.channels)
        self._audio.add(sound, time_ns)

    def finish(self, stop_ns: int) -> list[Fragment]:
        """Encode what is held back; the last picture lasts until `stop_ns`."""
        self._video.flush()
        if self._audio:
            self._audio.flush()
        fragments = self._full_fragments()
        last = self._video.take(_ticks(stop_ns))
        return [*fragments, self._fragment(*last, stop_ns)]

    def _full_fragments(self) -> list[Fragment]:
        fragments = []
        while cut := self._video.take_full():
            start, packets = cut
            stop = start + sum(packet.duration for packet in packets)
            fragments.append(self._fragment(start, packets, stop * 10**9 // mp4.VIDEO_HZ))
        return fragments

    def _fragment(self, start: int, packets: list[mp4.Packet], stop_ns: int) -> Fragment:
        pieces: list[Any] = [] if self._begun else [self._head()]
        runs = [mp4.Run(mp4.VIDEO_ID, start, packets)] if packets else []
        if self._audio and self._audio.packets:
            runs.append(self._audio.take())
        if runs:
            self._sequence += 1
            pieces += mp4.fragment(self._sequence, runs)
        self._frames += len(packets)
        return Fragment(pieces, stop_ns, self._frames)

    def _head(self) -> bytes:
        self._begun = True
        if self._sound_hz and self._audio is None:
            self._audio = _SoundEncoder(self._sound_hz, 1)
        return mp4.init_section(self._video.track, self._audio.track if self._audio else None)


class _Pictures:
    """Coded pictures in a queue, until they make a whole fragment."""

    def __init__(self, track: mp4.VideoTrack, fragment_s: float) -> None:
        self.track = track
        self._fragment_ticks = round(fragment_s * mp4.VIDEO_HZ)
        self._queue: list[tuple[int, Any, bool]] = []  # ticks, data, key

    def add(self, picture: Any, time_ns: int) -> None:
        self._queue.append((_ticks(time_ns), picture.data, picture.key))

    def flush(self) -> None:
        """Nothing is held back."""

    def take_full(self) -> tuple[int, list[mp4.Packet]] | None:
        """The packets of a whole fragment, once the packet after it is there."""
        if not self._queue or self._queue[-1][0] - self._queue[0][0] < self._fragment_ticks:
            return None
        full = self._queue[0][0] + self._fragment_ticks
        number = next(number for number, row in enumerate(self._queue) if row[0] >= full)
        return self.take(self._queue[number][0], number)

    def take(self, stop: int, count: int | None = None) -> tuple[int, list[mp4.Packet]]:
        """The first packets, or all, the last of which lasts until `stop` (ticks)."""
        rows = self._queue[:count]
        self._queue = [] if count is None else self._queue[count:]
        stops = [*(ticks for ticks, _, _ in rows[1:]), stop]
        packets = [
            mp4.Packet(data, max(1, until - ticks), key)
            for (ticks, data, key), until in zip(rows, stops, strict=False)
        ]
        return (rows[0][0] if rows else 0), packets


class _PictureEncoder(_Pictures):
    """The same for pictures that come as pixels."""

    def __init__(self, size: tuple[int, int], fps: float, fragment_s: float, live: bool) -> None:
        self._size = size
        self._small = size[0] * size[1] <= SMALL_PIXELS
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = size
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = _TICK
        encoder.framerate = Fraction(fps).limit_denominator(1001)
        encoder.thread_count = 1 if self._small else 0
        encoder.flags |= Flags.global_header
        # annexb=0 makes x264 write MP4's length-prefixed form itself. B-frames would save bytes,
        # but a cut would then lose pictures that were already shown.
        encoder.options = {
            "preset": "ultrafast" if self._small else "veryfast",
            "crf": "23",
            "bf": "0",
            "forced-idr": "1",
            "x264-params": "annexb=0:scenecut=0:keyint=infinite",
        } | ({"tune": "zerolatency"} if live or self._small else {})
        encoder.open()
        self._encoder = encoder
        self._reformatter = VideoReformatter()
        self._next_key_ns = 0
        super().__init__(mp4.VideoTrack(*size, bytes(encoder.extradata or b"")), fragment_s)

    def add(self, picture: Any, time_ns: int) -> None:
        source = as_frame(picture)
        if source is None:
            raise Failed("the camera mixes coded pictures with plain ones")
        frame = self._reformatter.reformat(
            source,
            *self._size,
            "yuv420p",
            dst_color_range="MPEG",
            # Chroma is halved either way; POINT costs a fifth less on small rendered pictures.
            interpolation=Interpolation.POINT if self._unscaled(source) else Interpolation.BILINEAR,
            threads=self._encoder.thread_count,
        )
        frame.pts = _ticks(time_ns)
        frame.time_base = _TICK
        frame.pict_type = PictureType.NONE  # a decoded frame brings its old type along
        if time_ns >= self._next_key_ns:
            frame.pict_type = PictureType.I
            self._next_key_ns = time_ns + round(KEY_S * 1e9)
        self._keep(frame)

    def flush(self) -> None:
        self._keep(None)

    def _keep(self, frame: av.VideoFrame | None) -> None:
        for packet in self._encoder.encode(frame):
            self._queue.append((packet.pts or 0, bytes(packet), packet.is_keyframe))

    def _unscaled(self, frame: av.VideoFrame) -> bool:
        return self._small and (frame.width, frame.height) == self._size


class _SoundEncoder:
    def __init__(self, rate_hz: int, channels: int) -> None:
        self._source_hz = rate_hz
        self.rate_hz = next((rate for rate in AAC_RATES if rate >= rate_hz), AAC_RATES[-1])
        self.channels = channels
        encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate = self.rate_hz
        encoder.layout = _layout(self.channels)
        encoder.format = "fltp"
        encoder.bit_rate = min(64_000, 2 * self.rate_hz + 8_000) * self.channels
        encoder.time_base = Fraction(1, self.rate_hz)
        encoder.flags |= Flags.global_header
        encoder.options = {"aac_coder": "fast"}  # half the time of the default
        encoder.open()
        self._encoder = encoder
        self._start: int | None = None  # sample number, from the segment's start, of the first one
        self._done = 0  # samples, priming included, that came out of the encoder
        self._left = 0  # of these, in fragments already
        self._taken_in = 0  # at the source's rate
        self._pcm = bytearray()  # of this, not yet given to the encoder
        self._block_size = 2 * channels * int(SOUND_BLOCK_S * rate_hz)
        self._time_base = Fraction(1, rate_hz)
        self.packets: list[mp4.Packet] = []
        self.track = mp4.AudioTrack(
            self.rate_hz, self.channels, bytes(encoder.extradata or b""), AAC_PRIMING
        )

    @property
    def samples(self) -> int:
        return self._taken_in * self.rate_hz // self._source_hz

    @property
    def stop_ns(self) -> int:
        start_ns = (self._start or 0) * 10**9 // self.rate_hz
        return start_ns + self._taken_in * 10**9 // self._source_hz

    def add(self, sound: Sound, time_ns: int) -> None:
        if self._start is None:
            self._start = max(0, round(time_ns * self.rate_hz / 1e9))
        late_ns = time_ns - self.stop_ns
        if late_ns > SOUND_SLACK_S * 1e9:
            missing = min(late_ns * self._source_hz // 10**9, int(SEGMENT_S * self._source_hz))
            self._take_in(bytes(2 * self.channels * missing))
        self._take_in(sound.pcm)

    def flush(self) -> None:
        if self._start is None:
            return
        self._encode()
        self._keep(self._encoder.encode(None))
        total = AAC_PRIMING + self.samples
        # The encoder fills its last block up; its true length is what is left.
        excess = self._done - total
        while self.packets and excess >= self.packets[-1].duration:
            excess -= self.packets.pop().duration
        if self.packets and excess > 0:
            last = self.packets[-1]
            self.packets[-1] = last._replace(duration=last.duration - excess)

    def take(self) -> mp4.Run:
        packets, self.packets = self.packets, []
        start = (self._start or 0) + self._left
        self._left += sum(packet.duration for packet in packets)
        return mp4.Run(mp4.AUDIO_ID, start, packets)

    def _take_in(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._taken_in += len(pcm) // (2 * self.channels)
        if len(self._pcm) >= self._block_size:
            self._encode()

    def _encode(self) -> None:
        count = len(self._pcm) // (2 * self.channels)
        if not count:
            return
        frame = av.AudioFrame(format="s16", layout=_layout(self.channels), samples=count)
        frame.sample_rate = self._source_hz
        plane = frame.planes[0]
        self._pcm += bytes(plane.buffer_size - len(self._pcm))
        plane.update(bytes(self._pcm))
        self._pcm.clear()
        frame.pts, frame.time_base = self._taken_in - count, self._time_base
        self._keep(self._encoder.encode(frame))

    def _keep(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            self.packets.append(mp4.Packet(bytes(packet), 1024))
            self._done += 1024


def _ticks(time_ns: int) -> int:
    return (time_ns * mp4.VIDEO_HZ + 500_000_000) // 10**9


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"
