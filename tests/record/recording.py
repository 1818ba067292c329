"""Cameras whose every picture carries its number, and reading a card back with the secret key."""

import base64
import io
import math
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from firsthand.age import Identity, Opener, open_header
from firsthand.record.cameras.camera import Event, Gap, Motion, Picture, Sample, Sound
from firsthand.record.card.card import Card, Waiting
from firsthand.record.device import Device
from firsthand.record.sealing.part import CLOSED, OPEN
from firsthand.segment import Record, verify_record

BITS = 12
CELL = 16  # pixels of the square that shows one bit
SECOND_NS = 10**9
SOUND_BLOCK = 1000


def numbered(number: int, width: int = 160, height: int = 120) -> bytes:
    """An RGB picture in whose squares `number` can be read after lossy coding."""
    columns = width // CELL
    rows = []
    for y in range(-(-height // CELL)):
        row = bytearray()
        for x in range(columns):
            bit = y * columns + x
            lit = bit < BITS and number >> bit & 1
            row += (b"\xf0\xf0\xf0" if lit else b"\x10\x20\x10") * CELL
        rows.append(bytes(row) + bytes(3 * (width - columns * CELL)))
    return b"".join(rows[y // CELL] for y in range(height))


def number_of(frame: Any) -> int:
    """The number in a decoded picture."""
    plane, columns = frame.planes[0], frame.width // CELL
    luma = memoryview(plane)

    def lit(bit: int) -> bool:
        y, x = divmod(bit, columns)
        return luma[(y * CELL + CELL // 2) * plane.line_size + x * CELL + CELL // 2] > 120

    return sum(lit(bit) << bit for bit in range(BITS))


class NumberedCamera:
    """Numbered pictures, a burst of sound in [burst_s), motion at 25 Hz and a label a second."""

    name = "numbered"

    def __init__(
        self,
        seconds: float,
        fps: float = 8.0,
        size: tuple[int, int] = (160, 120),
        sound_hz: int = 8000,
        burst_s: tuple[float, float] = (0.0, 0.0),
        senses: bool = True,
        live: bool = False,
        paced: bool = False,
        wall_ns: int | None = 1_800_000_000 * SECOND_NS,
        gap: Gap | None = None,
        start_ns: int = 0,
    ) -> None:
        self.seconds, self.fps, self.size, self.sound_hz = seconds, fps, size, sound_hz
        self.burst_s, self.senses, self.live, self.paced = burst_s, senses, live, paced
        self.wall_ns, self.wall_quality, self.gap = wall_ns, "ntp", gap
        self.start_ns = start_ns
        self.closed = False

    def samples(self) -> Iterator[Sample]:
        """All samples in order of time."""
        rows = [*self._pictures(), *self._sounds(), *self._senses()]
        if self.gap:
            rows = [row for row in rows if not self.gap.start_ns <= row.time_ns < self.gap.stop_ns]
            rows.append(self.gap)
        began_ns = time.monotonic_ns()
        for row in sorted(rows, key=lambda row: row.time_ns):
            ahead_ns = row.time_ns - self.start_ns - (time.monotonic_ns() - began_ns)
            if self.paced and ahead_ns > 0:
                time.sleep(ahead_ns / 1e9)
            yield row

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _pictures(self) -> Iterator[Sample]:
        width, height = self.size
        for number in range(round(self.seconds * self.fps)):
            rgb = numbered(number, width, height)
            time_ns = self.start_ns + round(number * 1e9 / self.fps)
            yield Picture(time_ns, width, height, rgb=rgb)

    def _sounds(self) -> Iterator[Sample]:
        if not self.sound_hz:
            return
        for at in range(0, round(self.seconds * self.sound_hz), SOUND_BLOCK):
            time_ns = self.start_ns + at * SECOND_NS // self.sound_hz
            pcm = array("h", (self._loudness(at + n) for n in range(SOUND_BLOCK)))
            yield Sound(time_ns, self.sound_hz, 1, pcm.tobytes())

    def _loudness(self, sample: int) -> int:
        start_s, stop_s = self.burst_s
        if not start_s <= sample / self.sound_hz < stop_s:
            return 0
        return round(12000 * math.sin(sample * 2 * math.pi * 500 / self.sound_hz))

    def _senses(self) -> Iterator[Sample]:
        if not self.senses:
            return
        for number in range(round(self.seconds * 25)):
            time_ns = self.start_ns + number * SECOND_NS // 25
            yield Motion(time_ns, (number / 8, 0.5, -0.5), (0.0, 9.75, 0.25))
        for number in range(int(self.seconds)):
            start_ns = self.start_ns + number * SECOND_NS + SECOND_NS // 2
            fields = {"verb": "take", "noun": f"canary{number}"}
            yield Event(start_ns, start_ns + SECOND_NS // 4, fields)


@dataclass(frozen=True)
class Shown:
    """One decoded picture."""

    time_s: float
    number: int
    key: bool


def open_parts(item: Waiting, identity: Identity) -> dict[str, bytes]:
    """What the parts of a segment hold, opened as the vault would."""
    headers, offset, plain = item.headers(), 0, {}
    for part in item.record.parts:
        payload = item.read(offset, part.size_bytes)
        offset += part.size_bytes
        key = open_header(base64.b64decode(headers[part.name]), [identity])
        opener = Opener(key, io.BytesIO(payload), len(payload), allow_cut=part.cut)
        plain[part.name] = opener.read_all()
    return plain


def pictures(video: bytes) -> list[Shown]:
    """Every picture of an MP4, decoded."""
    with av.open(io.BytesIO(video)) as container:
        return [
            Shown(float(frame.time), number_of(frame), frame.key_frame)
            for frame in container.decode(video=0)
        ]


def sound(video: bytes, samples: int) -> list[float]:
    """The first `samples` samples of the sound of an MP4, first channel."""
    with av.open(io.BytesIO(video)) as container:
        values = array("f")
        for frame in container.decode(audio=0):
            values.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    return list(values[:samples])


def segments(card: Card) -> list[Waiting]:
    """The segments that wait on a card, without gaps."""
    return [item for item in card.waiting() if item.record.kind == "segment"]


def flip(path: Path, at: int) -> None:
    """Change one byte of a file, all its bits."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 255]))


def one_chain(card: Card, device: Device) -> list[Record]:
    """The records on a card, after checking that all are signed and that each link holds.

    A chain may begin anew, with an empty `prev`, only where its numbers jump.
    """
    assert not list((card.path / "open").iterdir())
    records = [verify_record(item.envelope, device.key.public) for item in card.waiting()]
    for before, after in pairwise(records):
        assert after.seq > before.seq
        linked = after.prev in (before.hash(), before.media.get("replaces"))
        assert linked or (not after.prev and after.seq > before.seq + 1)
    return records


def whole_footage(card: Card, device: Device, identity: Identity) -> list[int]:
    """The numbers of all pictures on a card, every part of every segment verified and opened."""
    numbers = []
    for item in segments(card):
        item.verify(device.key.public)
        names = {path.name for path in item.folder.iterdir()}
        names -= {"opening.json", "record.json", "mark"}
        assert names == {f"{p.name}{OPEN if p.cut else CLOSED}" for p in item.record.parts}
        shown = pictures(open_parts(item, identity)["video"])
        assert len(shown) >= item.record.frames
        numbers += [row.number for row in shown]
    return numbers


def tile(records: list[Record]) -> None:
    """What was recorded and the gaps leave no time between them, and no time is there twice."""
    known = [record for record in records if record.boot_ns_end]
    for before, after in pairwise(known):
        times = [(each.kind, each.reason, each.boot_ns_start, each.boot_ns_end) for each in known]
        assert abs(after.boot_ns_start - before.boot_ns_end) <= SECOND_NS // 8, times
