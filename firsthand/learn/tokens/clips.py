"""A released sample, decoded: small pictures, sound, motion samples, labelled actions, words.

The only file of learn that knows PyAV. What is made of them at a given time is in eye.py.
"""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from firsthand.errors import Damaged, Usage
from firsthand.segment import MOTION
from firsthand.shard import GAPS, Sample

WIDE, HIGH = 64, 48  # every picture is looked at in this size
PICTURE = WIDE * HIGH * 3 // 2  # bytes of it as YUV 4:2:0
SOUND_HZ = 8_000
NO_ACTIONS = ("face", "words")  # fields of events that are no actions
Event = tuple[int, int, dict[str, str]]


@dataclass
class Clip:
    """A decoded sample in wall time, ns. Pictures [N, PICTURE] stand for the span that starts at
    their time; sound is mono at SOUND_HZ from `sound_ns` on; motion rows are time and six axes.
    `words` are pieces of a transcript, each at the time when it had been said. `large` are the
    pictures as RGB of another size [N, height, width, 3], where that was asked for."""

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
    words: list[tuple[int, str]] = field(default_factory=list)
    large: np.ndarray | None = None


def read_clip(sample: Sample, large: tuple[int, int] | None = None) -> Clip:
    """Decode a sample; `large` is (width, height) of further pictures in colour. Raises Damaged
    where the sample's files are not what they claim."""
    if "clip.mp4" not in sample.files:
        raise Usage(
            f"sample {sample.id} of {sample.person} holds no video: its run did not ask for it",
            "train on a run whose proposal names video",
        )
    try:
        meta = sample.meta
        decoded = _decode(sample.files["clip.mp4"], large)
        events, words = actions(sample), _words(sample)
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
        gap=gap_before(sample),
        picture_ns=np.array(decoded.times, dtype=np.int64) + sample.start_ns,
        picture_span_ns=round(1e9 / (meta.get("fps") or 4)),
        pictures=_stacked(decoded.pictures, (PICTURE,)),
        sound_ns=sample.start_ns + round(decoded.sound_s * 1e9),
        sound=np.concatenate([np.zeros(0, dtype=np.float32), *decoded.sound]),
        motion=table,
        events=events,
        words=words,
        large=_stacked(decoded.large, (large[1], large[0], 3)) if large else None,
    )


def actions(sample: Sample) -> list[Event]:
    """The sample's labelled actions in wall time, without decoding it; a face is no action.
    Damaged where they cannot be read."""
    return [
        (sample.start_ns + row["start_ns"], sample.start_ns + row["stop_ns"], row["fields"])
        for row in _listed(sample)
        if not any(name in row["fields"] for name in NO_ACTIONS)
    ]


def gap_before(sample: Sample) -> str:
    """Why nothing was recorded just before the sample; "none" where it goes on. Damaged where
    its meta.json cannot be read or names another reason than shard.GAPS."""
    try:
        gap = sample.meta.get("gap_before", "none")
    except (KeyError, ValueError, AttributeError):
        gap = None
    if gap not in GAPS:
        raise Damaged(
            f"sample {sample.id} of {sample.person} is damaged: it follows a gap {gap!r}",
            "ask for the release again",
        )
    return gap


def _words(sample: Sample) -> list[tuple[int, str]]:
    """The pieces of the sample's transcripts, spread evenly over the time they were said in."""
    pieces = []
    for row in _listed(sample):
        said = row["fields"].get("words", "").split()
        for number, piece in enumerate(said, start=1):
            length_ns = (row["stop_ns"] - row["start_ns"]) * number // len(said)
            pieces.append((sample.start_ns + row["start_ns"] + length_ns, piece))
    return sorted(pieces)


def _listed(sample: Sample) -> list[dict[str, Any]]:
    """The rows of events.json; Damaged where it does not hold rows with times and fields."""
    try:
        rows: list[dict[str, Any]] = json.loads(sample.files.get("events.json", b"[]"))
        good = all(
            isinstance(row["start_ns"], int) and isinstance(row["stop_ns"], int)
            and all(isinstance(value, str) for value in row["fields"].values())
            for row in rows
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise Damaged(
            f"the labels of sample {sample.id} of {sample.person} are damaged",
            "ask for the release again",
        )
    return rows


@dataclass
class Decoded:
    """What an MP4 holds: pictures [PICTURE] with times in ns from its start, large ones, and its
    sound in parts with the second at which it begins."""

    pictures: list[np.ndarray] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    large: list[np.ndarray] = field(default_factory=list)
    sound: list[np.ndarray] = field(default_factory=list)
    sound_s: float = 0.0


def _decode(video: bytes, large: tuple[int, int] | None) -> Decoded:
    out = Decoded()
    with av.open(io.BytesIO(video), "r") as source:
        streams = [source.streams.video[0], *source.streams.audio[:1]]
        streams[0].codec_context.thread_count = 1
        resampler = av.AudioResampler("flt", "mono", SOUND_HZ)
        for frame in source.decode(streams):
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(WIDE, HIGH, format="yuv420p", interpolation="AREA")
                out.pictures.append(small.to_ndarray().reshape(-1))
                out.times.append(round((frame.time or 0.0) * 1e9))
                if large:
                    colour = frame.reformat(*large, format="rgb24", interpolation="BICUBIC")
                    out.large.append(colour.to_ndarray())
            elif isinstance(frame, av.AudioFrame):
                if not out.sound:
                    out.sound_s = frame.time or 0.0
                # A release's sound is at this rate already: no resampling then.
                same = frame.sample_rate == SOUND_HZ and frame.format.name == "fltp"
                alone = same and frame.layout.name == "mono"
                parts = [frame] if alone else resampler.resample(frame)
                out.sound += [part.to_ndarray()[0] for part in parts]
    return out


def _stacked(pictures: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """[N, *shape], also where there are none."""
    return np.stack(pictures) if pictures else np.zeros((0, *shape), dtype=np.uint8)
