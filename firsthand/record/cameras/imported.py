"""Footage that was taken by another camera: a GoPro, a phone, glasses.

The file becomes a camera whose samples the recorder seals like any other's: pictures and sound as
av_camera.py reads them, motion from a GoPro's telemetry, and a wall clock as good as its source.
Nothing else of the file is kept: no place, no serial number, no name.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import av

from firsthand.errors import Failed, NotFound
from firsthand.record.cameras.av_camera import AvCamera
from firsthand.record.cameras.camera import Sample, Sound
from firsthand.record.cameras.telemetry import Telemetry
from firsthand.record.card.card import Card, read_json
from firsthand.record.device import Device
from firsthand.record.durable import append_durably
from firsthand.record.recorder import Recorded, record

JOURNAL = "imported.jsonl"


@dataclass(frozen=True)
class Taken:
    """When a file begins: by GPS, by the date it bears, as somebody said, or nobody knows."""

    wall_ns: int | None = None
    source: str = "unknown"  # gps | file | given | unknown
    said_ns: int = 0  # the date that the file bears

    @property
    def quality(self) -> str:
        """As in a record. A file's own date may be local time, an export's, or a flat battery's."""
        return {"gps": "gps", "unknown": "none"}.get(self.source, "fake")


@dataclass(frozen=True)
class Imported:
    """What became of one file."""

    done: Recorded
    taken: Taken
    motion: int  # readings
    first: int = 0  # numbers of its records
    last: int = 0


class FileCamera:
    """A file as camera, with motion and a wall clock; from `skip_ns` on, after an interruption."""

    def __init__(
        self,
        path: Path,
        given_ns: int | None = None,
        skip_ns: int = 0,
        source: str = "",
        before: "Imported | None" = None,
    ) -> None:
        self._camera = AvCamera(str(path))
        self.name, self.fps, self.size = self._camera.name, self._camera.fps, self._camera.size
        self.sound_hz, self.live = self._camera.sound_hz, False
        self._telemetry = Telemetry(path)
        self._skip_ns = skip_ns
        taken = _taken(path, self._telemetry, given_ns, self._camera.origin_ns)
        self.taken = _follow(taken, before)
        self.wall_ns, self.wall_quality = self.taken.wall_ns, self.taken.quality
        self.media = {"imported": source, "wall_source": self.taken.source}
        self.motion = 0

    def samples(self) -> Iterator[Sample]:
        """Pictures, sound and motion in order of time."""
        origin_ns, sensed = self._camera.origin_ns, self._telemetry.motion()
        ahead = next(sensed, None)
        for sample in self._camera.samples():
            # Motion before the first sample or after the last belongs to no picture.
            while ahead is not None and ahead.time_ns - origin_ns < sample.time_ns:
                time_ns = ahead.time_ns - origin_ns
                if time_ns >= self._skip_ns:
                    self.motion += 1
                    yield replace(ahead, time_ns=time_ns)
                ahead = next(sensed, None)
            kept = _from(sample, self._skip_ns)
            if kept is not None:
                yield kept

    def close(self) -> None:
        """Let go of the file."""
        self._camera.close()


def import_file(
    path: Path,
    device: Device,
    card: Card,
    *,
    given_ns: int | None = None,
    before: Imported | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Recorded], None] | None = None,
) -> Imported:
    """Seal a file onto the card as segments of the device's chain; Failed if it was before.

    `before` is the file before it: of a recording that a camera cut into several files, all bear
    the date of the first.

    What was cut short goes on after the last whole segment; only when that one was carried home
    meanwhile, and the journal did not know of it yet, does up to a minute come twice.
    """
    digest = file_digest(path)
    journal = device.folder / JOURNAL
    known = _lookup(journal, digest)
    if "last" in known:
        raise Failed(
            f"{path.name} was imported before: it is {_numbers(known)} of device {device.name}",
            "nothing was recorded again",
        )
    skip_ns = max(known.get("until_ns", 0), _on_card(card, digest).get("until_ns", 0))
    camera = FileCamera(path, given_ns, skip_ns, digest, before)
    segments = 0

    def tell(done: Recorded) -> None:
        nonlocal segments
        if done.segments > segments:
            segments = done.segments
            _note(journal, digest, **(_on_card(card, digest) | _only(known, "first")))
        if progress:
            progress(done)

    try:
        done = record(camera, card, device, stop=stop, progress=tell)
    finally:
        camera.close()
    imported = Imported(done, camera.taken, camera.motion)
    if done.stopped:
        return imported
    last = int(read_json(device.folder / "chain.json")["taken"])
    first = _lookup(journal, digest).get("first", last)
    _note(journal, digest, first=first, last=last)
    return replace(imported, first=first, last=last)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; NotFound or Failed."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", "check its name") from error
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}", "name a video file") from error


def _numbers(known: dict[str, Any]) -> str:
    first, last = known["first"], known["last"]
    return f"segment {first}" if first == last else f"segments {first} to {last}"


def _lookup(journal: Path, digest: str) -> dict[str, Any]:
    """All that the journal says of a file, later lines over earlier ones."""
    found: dict[str, Any] = {}
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue  # torn by a power cut
        if isinstance(said, dict) and said.get("sha256") == digest:
            found |= said
    return found


def _note(journal: Path, digest: str, **fields: int) -> None:
    append_durably(journal, json.dumps({"sha256": digest} | fields).encode())


def _on_card(card: Card, digest: str) -> dict[str, int]:
    """What waits on the card of a file: its first number, and how far it reaches into the file."""
    mine = [item.record for item in card.waiting() if item.record.media.get("imported") == digest]
    if not mine:
        return {}
    first, until_ns = min(each.seq for each in mine), max(each.boot_ns_end for each in mine)
    return {"first": first, "until_ns": until_ns}


def _only(known: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: known[name]} if name in known else {}


def _taken(path: Path, telemetry: Telemetry, given_ns: int | None, origin_ns: int) -> Taken:
    if given_ns is not None:
        return Taken(given_ns, "given")
    if telemetry.utc_offset_ns is not None:
        return Taken(telemetry.utc_offset_ns + origin_ns, "gps")
    with av.open(str(path)) as container:
        text = container.metadata.get("creation_time", "")
    try:
        moment = datetime.fromisoformat(text)
        epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        wall_ns = (moment - epoch) // timedelta(microseconds=1) * 1000
    except (ValueError, TypeError):
        return Taken()
    # Before 2000 it is a clock that was never set: MP4 counts from 1904.
    return Taken(wall_ns, "file", wall_ns) if moment.year >= 2000 else Taken()


def _follow(taken: Taken, before: Imported | None) -> Taken:
    if before is None or taken.source != "file" or before.taken.said_ns != taken.said_ns:
        return taken
    return replace(taken, wall_ns=(before.taken.wall_ns or 0) + before.done.footage_ns)


def _from(sample: Sample, start_ns: int) -> Sample | None:
    """The sample, or what of it lies at or after a time; None if nothing does."""
    if sample.time_ns >= start_ns:
        return sample
    if isinstance(sample, Sound) and sample.stop_ns > start_ns:
        skipped = -(-(start_ns - sample.time_ns) * sample.rate_hz // 10**9)
        time_ns = sample.time_ns + skipped * 10**9 // sample.rate_hz
        return replace(sample, time_ns=time_ns, pcm=sample.pcm[skipped * 2 * sample.channels :])
    return None
