"""Fragmented MP4 (ISO 14496-12, -14, -15), box by box: one H.264 track and perhaps an AAC track.

Written here instead of by FFmpeg's muxer so that every fragment's end is known to the byte, and
because what is never written can't leak: there is no tag, no date and no encoder name in it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

VIDEO_HZ = 90_000  # ticks of the video track; 1/30, 1/29.97 and 1/8 s are whole numbers of them
VIDEO_ID, AUDIO_ID = 1, 2
FILLER_MIN = 8  # the smallest box

_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
# The heads of a fragment have a fixed size but for trun, which has three numbers a packet: each is
# packed in one call, as box by box they took twice as long, four times a second.
_MOOF = struct.Struct(">I4s I4sII")  # moof, mfhd
_TRAF = struct.Struct(">I4s I4sII I4sIQ I4sIII")  # traf, tfhd, tfdt, trun without its packets
_ROW_SIZE = 12
_KEY_SAMPLE, _DELTA_SAMPLE = 0x02000000, 0x01010000


@dataclass(frozen=True)
class VideoTrack:
    """An H.264 track; `avcc` is the decoder configuration record."""

    width: int
    height: int
    avcc: bytes


@dataclass(frozen=True)
class AudioTrack:
    """An AAC track; the first `priming` samples are the encoder's own and are not played."""

    rate_hz: int
    channels: int
    asc: bytes
    priming: int


class Packet(NamedTuple):
    """One coded picture or block of sound; duration in ticks of its track."""

    data: Any  # any buffer of bytes
    duration: int
    key: bool = True


@dataclass(frozen=True)
class Run:
    """Consecutive packets of one track from `start` (ticks since the start of the file)."""

    track_id: int
    start: int
    packets: Sequence[Packet]


def init_section(video: VideoTrack, audio: AudioTrack | None) -> bytes:
    """The file's head: ftyp and moov."""
    tracks = [_video_trak(video)]
    extends = [_full(b"trex", 0, 0, struct.pack(">5I", VIDEO_ID, 1, 0, 0, 0))]
    if audio:
        tracks.append(_audio_trak(audio))
        extends.append(_full(b"trex", 0, 0, struct.pack(">5I", AUDIO_ID, 1, 0, 0, 0)))
    mvhd = struct.pack(">4IIH10x", 0, 0, 1000, 0, 0x10000, 0x100) + _MATRIX
    mvhd += bytes(24) + struct.pack(">I", AUDIO_ID + 1)
    moov = _box(b"moov", _full(b"mvhd", 0, 0, mvhd), *tracks, _box(b"mvex", *extends))
    return _box(b"ftyp", b"iso6", bytes(4), b"iso6isomavc1mp41") + moov


def fragment(sequence: int, runs: Sequence[Run]) -> list[Any]:
    """One moof with its mdat, in pieces to be written in turn; `sequence` counts from 1.

    The pictures aren't joined: a copy of each megabyte cost half as much as writing it.
    """
    size = _MOOF.size + sum(_TRAF.size + _ROW_SIZE * len(run.packets) for run in runs)
    offset = first = size + 8
    trafs = []
    for run in runs:
        trafs.append(_traf(run, offset))
        offset += sum(len(packet.data) for packet in run.packets)
    moof = _MOOF.pack(size, b"moof", 16, b"mfhd", 0, sequence)
    head = b"".join((moof, *trafs, struct.pack(">I4s", 8 + offset - first, b"mdat")))
    return [head, *(packet.data for run in runs for packet in run.packets)]


def filler(size: int) -> bytes:
    """A box of `size` bytes (8 or more) that every reader passes over."""
    return struct.pack(">I4s", size, b"free") + bytes(size - FILLER_MIN)


def _traf(run: Run, offset: int) -> bytes:
    count = len(run.packets)
    rows: list[int] = []
    for data, duration, key in run.packets:
        rows += duration, len(data), _KEY_SAMPLE if key else _DELTA_SAMPLE
    row_size = _ROW_SIZE * count
    head = _TRAF.pack(
        *(_TRAF.size + row_size, b"traf"),
        *(16, b"tfhd", 0x020000, run.track_id),  # offsets count from moof
        *(20, b"tfdt", 1 << 24, run.start),
        *(20 + row_size, b"trun", 0x701, count, offset),  # duration, size and flags of each follow
    )
    return head + struct.pack(f">{len(rows)}I", *rows)


def _video_trak(track: VideoTrack) -> bytes:
    entry = bytes(6) + struct.pack(">H16x2H", 1, track.width, track.height)
    entry += struct.pack(">2I4xH32xHh", 0x480000, 0x480000, 1, 0x18, -1)
    avc1 = _box(b"avc1", entry, _box(b"avcC", track.avcc))
    size = struct.pack(">2I", track.width << 16, track.height << 16)
    header = _full(b"vmhd", 0, 1, bytes(8))
    return _trak(VIDEO_ID, VIDEO_HZ, b"vide", avc1, header, 0, size, b"")


def _audio_trak(track: AudioTrack) -> bytes:
    config = _descriptor(5, track.asc)
    config = _descriptor(4, bytes([0x40, 0x15]) + bytes(11) + config)
    stream = struct.pack(">HB", AUDIO_ID, 0) + config + _descriptor(6, b"\x02")
    esds = _full(b"esds", 0, 0, _descriptor(3, stream))
    entry = bytes(6) + struct.pack(">H8x2H4xI", 1, track.channels, 16, track.rate_hz << 16)
    mp4a = _box(b"mp4a", entry, esds)
    # The edit list takes the encoder's priming away, so that sound stays in step with pictures.
    edit = struct.pack(">I", 1) + struct.pack(">Ii2H", 0, track.priming, 1, 0)
    edts = _box(b"edts", _full(b"elst", 0, 0, edit))
    header = _full(b"smhd", 0, 0, bytes(4))
    return _trak(AUDIO_ID, track.rate_hz, b"soun", mp4a, header, 0x100, bytes(8), edts)


def _trak(
    track_id: int,
    timescale: int,
    handler: bytes,
    entry: bytes,
    media_header: bytes,
    volume: int,
    size: bytes,
    edts: bytes,
) -> bytes:
    tkhd = struct.pack(">3I4xI8x2hH2x", 0, 0, track_id, 0, 0, 0, volume) + _MATRIX + size
    mdhd = struct.pack(">4I2H", 0, 0, timescale, 0, 0x55C4, 0)  # language "und"
    hdlr = bytes(4) + handler + bytes(12) + b"\0"
    dref = _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1))
    stbl = _box(
        b"stbl",
        _full(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        _full(b"stts", 0, 0, bytes(4)),
        _full(b"stsc", 0, 0, bytes(4)),
        _full(b"stsz", 0, 0, bytes(8)),
        _full(b"stco", 0, 0, bytes(4)),
    )
    minf = _box(b"minf", media_header, _box(b"dinf", dref), stbl)
    mdia = _box(b"mdia", _full(b"mdhd", 0, 0, mdhd), _full(b"hdlr", 0, 0, hdlr), minf)
    return _box(b"trak", _full(b"tkhd", 0, 3, tkhd), edts, mdia)


def _box(kind: bytes, *content: bytes) -> bytes:
    return b"".join((struct.pack(">I4s", 8 + sum(map(len, content)), kind), *content))


def _full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)


def _descriptor(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content
