"""A released sample, looked at: pictures, sound energies and body motion just before given times.

The only file of learn that knows PyAV. What the measurements become is in tokeniser.py.
"""

import io
import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import av
import numpy as np

from firsthand.errors import Damaged
from firsthand.segment import MOTION
from firsthand.shard import Sample

WIDE, HIGH = 64, 48  # every picture is looked at in this size
PICTURE = WIDE * HIGH * 3 // 2  # bytes of it as YUV 4:2:0
LOOK_BACK_NS = 1_000_000_000  # sound and motion are measured over the second before
SOUND_HZ = 8_000
# A window of AAC reaches 2048 samples: what sounds later can be heard that much too early.
SOUND_MARGIN_NS = 2048 * 1_000_000_000 // SOUND_HZ
BANDS = 8
IMU, FLOW = 12, 5  # how many numbers say how the body moved
Event = tuple[int, int, dict[str, str]]


@dataclass
class Clip:
    """A decoded sample in wall time, ns. Pictures [N, PICTURE] stand for the span that starts at
    their time; sound is mono at SOUND_HZ from `sound_ns` on; motion rows are time and six axes."""

    start_ns: int
    stop_ns: int
    gap: str
    picture_ns: np.ndarray
    picture_span_ns: int
    pictures: np.ndarray
    sound_ns: int
    sound: np.ndarray
    motion: np.ndarray
    events: list[Event] = field(default_factory=list)
    has_sound: bool = False
    has_motion: bool = False


def read_clip(sample: Sample) -> Clip:
    """Decode a sample. Raises Damaged where its files are not what they claim."""
    try:
        meta = sample.meta
        pictures, times, sound, sound_s = _decode(sample.files["clip.mp4"])
        events = _events(sample)
    except (KeyError, ValueError, av.error.FFmpegError) as error:
        hint = "ask for the release again"
        raise Damaged(f"sample {sample.id} of {sample.person} is damaged", hint) from error
    motion = np.frombuffer(sample.files.get("motion.bin", b""), dtype=np.uint8)
    motion = motion[: len(motion) - len(motion) % MOTION.size]
    rows = motion.view([("t", "<i8"), ("axes", "<f4", 6)])
    rows = rows[(rows["t"] != 0) | (rows["axes"] != 0).any(axis=1)]  # a row of zeros is padding
    table = np.column_stack([rows["t"] + sample.start_ns, rows["axes"].astype(np.float64)])
    return Clip(
        start_ns=sample.start_ns,
        stop_ns=sample.stop_ns,
        gap=meta.get("gap_before", "none"),
        picture_ns=np.array(times, dtype=np.int64) + sample.start_ns,
        picture_span_ns=round(1e9 / (meta.get("fps") or 4)),
        pictures=pictures,
        sound_ns=sample.start_ns + round(sound_s * 1e9),
        sound=sound,
        motion=table,
        events=events,
        has_sound=len(sound) > 0,
        has_motion=len(table) > 0,
    )


def _decode(video: bytes) -> tuple[np.ndarray, list[int], np.ndarray, float]:
    """Pictures [N, PICTURE] of an MP4, their times in ns from its start, its sound [S] and the
    second at which that begins."""
    pictures: list[np.ndarray] = []
    sound: list[np.ndarray] = []
    times: list[int] = []
    sound_s = 0.0
    with av.open(io.BytesIO(video), "r") as source:
        streams = [source.streams.video[0], *source.streams.audio[:1]]
        streams[0].codec_context.thread_count = 1
        resampler = av.AudioResampler("flt", "mono", SOUND_HZ)
        for frame in source.decode(streams):
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(WIDE, HIGH, format="yuv420p", interpolation="AREA")
                pictures.append(small.to_ndarray().reshape(-1))
                times.append(round((frame.time or 0.0) * 1e9))
            elif isinstance(frame, av.AudioFrame):
                if not sound:
                    sound_s = frame.time or 0.0
                # A release's sound is at this rate already: no resampling then.
                same = frame.sample_rate == SOUND_HZ and frame.format.name == "fltp"
                alone = same and frame.layout.name == "mono"
                parts = [frame] if alone else resampler.resample(frame)
                sound += [part.to_ndarray()[0] for part in parts]
    stacked = np.stack(pictures) if pictures else np.zeros((0, PICTURE), dtype=np.uint8)
    joined = np.concatenate(sound) if sound else np.zeros(0, dtype=np.float32)
    return stacked, times, joined, sound_s


def _events(sample: Sample) -> list[Event]:
    """The sample's labelled actions in wall time; a face is no action."""
    listed: list[dict[str, Any]] = json.loads(sample.files.get("events.json", b"[]"))
    return [
        (sample.start_ns + row["start_ns"], sample.start_ns + row["stop_ns"], row["fields"])
        for row in listed
        if "face" not in row["fields"]
    ]


class Eye:
    """Looks at a person's clips one after the other and remembers the last second."""

    def __init__(self) -> None:
        self.before: Clip | None = None
        self.clip: Clip | None = None

    def turn_to(self, clip: Clip) -> None:
        """Go on to the next clip; across a gap nothing is remembered."""
        joined = self.clip is not None and clip.gap == "none"
        self.before = self.clip if joined else None
        self.clip = clip

    def look(self, at_ns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Picture [PICTURE], sound [BANDS], IMU [IMU] and image motion [FLOW] before `at_ns`.

        Nothing that happens at or after `at_ns` is in them: a picture counts only when the span
        that it stands for has ended. What is not known is NaN; a picture then is all zero.
        """
        clips = [clip for clip in (self.before, self.clip) if clip is not None]
        picture = np.zeros(PICTURE, dtype=np.uint8)
        recent = []
        for clip in clips:
            ended = clip.picture_ns + clip.picture_span_ns <= at_ns
            if ended.any():
                picture = clip.pictures[ended][-1]
                near = ended & (clip.picture_ns >= at_ns - LOOK_BACK_NS - clip.picture_span_ns)
                recent.append(clip.pictures[near, : WIDE * HIGH])
        felt = self._feel(clips, at_ns)
        # Where motion samples tell how the body moved, pictures need not.
        flow = _flow(recent) if np.isnan(felt).any() else np.full(FLOW, np.nan)
        return picture, self._hear(clips, at_ns), felt, flow

    def _hear(self, clips: list[Clip], at_ns: int) -> np.ndarray:
        """Log energy of the bands of the second before."""
        heard = []
        at_ns -= SOUND_MARGIN_NS
        for clip in clips:
            start = round((at_ns - LOOK_BACK_NS - clip.sound_ns) * SOUND_HZ / 1e9)
            stop = (at_ns - clip.sound_ns) * SOUND_HZ // 1_000_000_000
            heard.append(clip.sound[max(start, 0) : max(stop, 0)])
        sound = np.concatenate(heard) if heard else np.zeros(0)
        if len(sound) < SOUND_HZ // 8:
            return np.full(BANDS, np.nan)
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2 / len(sound)
        # Bands of equal ratio from 60 Hz to half the rate.
        hertz = np.fft.rfftfreq(len(sound), 1 / SOUND_HZ)
        edges = np.geomspace(60, SOUND_HZ / 2, BANDS + 1)
        band = np.digitize(hertz, edges) - 1
        return np.log([power[band == b].sum() + 1e-6 for b in range(BANDS)])

    def _feel(self, clips: list[Clip], at_ns: int) -> np.ndarray:
        """Mean and spread of each of the six axes over the second before."""
        felt = []
        for clip in clips:
            age_ns = at_ns - clip.motion[:, 0]
            felt.append(clip.motion[(age_ns > 0) & (age_ns <= LOOK_BACK_NS)])
        rows = np.concatenate(felt)[:, 1:] if felt else np.zeros((0, 6))
        if len(rows) < 4:
            return np.full(IMU, np.nan)
        return np.concatenate([rows.mean(0), np.log(rows.std(0) + 1e-3)])


def _flow(recent: list[np.ndarray]) -> np.ndarray:
    """How the whole picture moved over the last pictures: mean shift across and down (pixels),
    mean size of the shift across and down, log of what changed besides."""
    luma = np.concatenate(recent).astype(np.float32) if recent else np.zeros((0, WIDE * HIGH))
    if len(luma) < 2:
        return np.full(FLOW, np.nan)
    frames = luma.reshape(-1, HIGH, WIDE)
    shifts = np.array([shift(a, b) for a, b in pairwise(frames)])
    change = np.abs(np.diff(frames, axis=0)).mean()
    return np.concatenate([shifts.mean(0), np.abs(shifts).mean(0), [np.log(change + 0.1)]])


def shift(before: Any, after: Any) -> tuple[float, float]:
    """Shift (across, down) in pixels between two pictures, by phase correlation (Kuglin & Hines
    1975) on windowed pictures."""
    window = np.outer(np.hanning(HIGH), np.hanning(WIDE))
    a, b = (np.fft.rfft2((p - p.mean()) * window) for p in (before, after))
    cross = b * a.conj()
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), s=(HIGH, WIDE))
    down, across = np.unravel_index(int(peak.argmax()), peak.shape)
    return (
        float(across - WIDE if across > WIDE // 2 else across),
        float(down - HIGH if down > HIGH // 2 else down),
    )
