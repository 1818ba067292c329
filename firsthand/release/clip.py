"""Cutting and re-encoding: a piece of a segment becomes a small clean clip.

Only decoded pictures and sound go on; container tags, data tracks and subtitles have no way
through. The only file here that knows PyAV.
"""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.resampler import AudioResampler
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from firsthand.errors import Damaged

FPS = 4
SOUND_HZ = 8_000
SOUND_BITS = 16_000
TICK = Fraction(1, FPS)
BITEXACT = {"fflags": "+bitexact"}


def picture_size(video: bytes) -> tuple[int, int]:
    """Width and height in pixels of a video part."""
    with _open(video) as source:
        stream = source.streams.video[0]
        return stream.width, stream.height


def pictures_of(video: bytes) -> Iterator[tuple[int, av.VideoFrame]]:
    """(second, picture): the first key picture of each second of a video part; Damaged."""
    with _open(video) as source:
        stream = source.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY"
        next_s = 0
        for frame in source.decode(stream):
            second = int(float(frame.pts * frame.time_base) + 0.001)
            if second >= next_s:
                next_s = second + 1
                yield second, frame


def cut_clip(
    video: bytes, start_s: float, stop_s: float, size: tuple[int, int], sound: bool
) -> tuple[bytes, int, bool]:
    """The interval as an MP4 of 4 fps with a key frame each second, mono 8 kHz AAC if wanted.

    Times count from the start of the part; returns (bytes, pictures, whether it has sound).
    """
    out = io.BytesIO()
    with _open(video) as source:
        sound = sound and bool(source.streams.audio)
        with av.open(out, "w", format="mp4", container_options=BITEXACT) as target:
            picture = target.add_stream("libx264", rate=FPS)
            picture.width, picture.height = size
            picture.pix_fmt = "yuv420p"
            picture.gop_size = FPS
            picture.codec_context.time_base = TICK
            picture.options = {"preset": "veryfast", "crf": "20", "bf": "0", "threads": "1"}
            picture.codec_context.thread_count = 1
            track = None
            if sound:
                track = target.add_stream("aac", rate=SOUND_HZ, layout="mono")
                track.bit_rate = SOUND_BITS
                track.options = {"aac_coder": "fast"}
            # One reformatter for all: a new one for each picture took half of the time.
            reduce = VideoReformatter().reformat
            count = 0
            for tick, frame in _pictures(source, start_s, stop_s):
                small = reduce(frame, *size, "yuv420p", interpolation="AREA", threads=1)
                small.pts, small.time_base, small.pict_type = tick, TICK, PictureType.NONE
                target.mux(picture.encode(small))
                count += 1
            target.mux(picture.encode(None))
            if track is not None:
                for chunk in _sound(video, start_s, stop_s):
                    target.mux(track.encode(chunk))
                target.mux(track.encode(None))
    return out.getvalue(), count, sound


def _open(video: bytes):  # type: ignore[no-untyped-def]
    try:
        return av.open(io.BytesIO(video), metadata_errors="replace")
    except av.FFmpegError as error:
        raise Damaged(f"a video part does not decode: {error}") from error


def _pictures(source, start_s: float, stop_s: float) -> Iterator[tuple[int, av.VideoFrame]]:  # type: ignore[no-untyped-def]
    """(tick, picture): the first picture at or after each quarter second of the interval."""
    tick = 0
    source.streams.video[0].codec_context.thread_count = 1
    for frame in source.decode(source.streams.video[0]):
        time_s = float(frame.pts * frame.time_base)
        # 1 ms of slack: a frame's time is rounded to the time base of its stream.
        if time_s >= stop_s - 0.001:
            return
        place = (time_s - start_s + 0.001) * FPS
        if place >= tick:
            yield int(place), frame
            tick = int(place) + 1


def _sound(video: bytes, start_s: float, stop_s: float) -> Iterator[av.AudioFrame]:
    """The interval's sound, mono at 8 kHz, cut to the sample."""
    resampler = AudioResampler(format="fltp", layout="mono", rate=SOUND_HZ)
    first, last = round(start_s * SOUND_HZ), round(stop_s * SOUND_HZ)
    at: int | None = None
    with _open(video) as source:
        for frame in [*source.decode(source.streams.audio[0]), None]:
            if at is None and frame is not None:
                at = round(float(frame.pts * frame.time_base) * SOUND_HZ)
            for chunk in resampler.resample(frame):
                assert at is not None
                begin, end = max(first - at, 0), min(last - at, chunk.samples)
                if end > begin:
                    yield _slice(chunk, begin, end, at + begin - first)
                at += chunk.samples


def _slice(chunk: av.AudioFrame, begin: int, end: int, pts: int) -> av.AudioFrame:
    cut = av.AudioFrame(format="fltp", layout="mono", samples=end - begin)
    cut.planes[0].update(bytes(chunk.planes[0])[begin * 4 : end * 4])
    cut.rate, cut.pts, cut.time_base = SOUND_HZ, pts, Fraction(1, SOUND_HZ)
    return cut
