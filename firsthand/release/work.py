"""One shard's worth of work: read, cut, scrub, pack, seal, put.

`make_shard` is idempotent and needs nothing but its job, so that a process pool, or a cluster,
can run it anywhere and any number of times.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from firsthand.config import Settings
from firsthand.consent.terms.vocabulary import STREAMS
from firsthand.crypto import canonical
from firsthand.errors import Failed, NotFound
from firsthand.release.clip import FPS, cut_clip, picture_size
from firsthand.release.scrub import Coarse, Scrubber
from firsthand.release.selection import Piece
from firsthand.segment import OWN_FIELDS, iter_events, iter_motion, pack_motion
from firsthand.shard import Sample, pack_shard
from firsthand.vault import reading
from firsthand.vault.vault import Vault


@dataclass(frozen=True)
class Job:
    """One person's day in one release."""

    settings: Settings
    release: str
    run: str
    person: str
    name: str  # the person's name within this release
    day: str
    consents: tuple[str, ...]
    pieces: tuple[Piece, ...]
    streams: tuple[str, ...] = STREAMS  # what the proposal names, and nothing else
    seal: str = ""  # tells the release key X: one that was destroyed is another one
    scrubber: Coarse = field(default_factory=Coarse)

    @property
    def key(self) -> str:
        """Where the shard goes: the same job always goes to the same place."""
        content: list[Any] = [
            self.day,
            list(self.streams),
            [list(vars(piece).values()) for piece in self.pieces],
        ]
        content += [self.scrubber.name, self.scrubber.version, self.scrubber.most_px, self.seal]
        digest = hashlib.sha256(canonical(content)).hexdigest()[:12]
        return f"releases/{self.release}/{self.name}.{self.day}.{digest}.shard"


def make_shard(job: Job, vault: Vault | None = None) -> dict[str, Any]:
    """Makes and stores the shard of a job, and returns its row of the manifest."""
    opened = vault or Vault(job.settings)
    try:
        return _make(opened, job)
    finally:
        if vault is None:
            opened.close()


def _make(vault: Vault, job: Job) -> dict[str, Any]:
    samples, rows = [], []
    faces = hidden = 0
    for number, piece in enumerate(job.pieces):
        sample, seen = _sample(vault, job, piece, f"{job.day}-{number:04d}")
        faces, hidden = faces + seen[0], hidden + seen[1]
        samples.append(sample)
        rows.append(
            {
                "id": sample.id,
                "start_ns": sample.start_ns,
                "stop_ns": sample.stop_ns,
                "record": vault.segment(piece.segment).record_hash,
                "consents": list(job.consents),
                "sound": piece.sound,
            }
        )
    release_key = vault.keyring.release_key(job.release, job.person)
    data = pack_shard(samples, release_key, job.release)
    _put(vault, job.key, data)
    return {
        "person": job.name,
        "file": job.key.rsplit("/", 1)[1],
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "faces": faces,
        "hidden": hidden,
        "samples": rows,
    }


def _put(vault: Vault, key: str, data: bytes) -> None:
    try:
        vault.store.put(key, data)
    except Failed:
        # The same job has been here before; only the very same bytes may stand in its place.
        held = b"".join(vault.store.chunks(key)) if vault.store.size(key) is not None else None
        if held is None:
            raise
        if held != data:
            vault.store.delete(key)
            vault.store.put(key, data)


def _sample(vault: Vault, job: Job, piece: Piece, name: str) -> tuple[Sample, tuple[int, int]]:
    segment = vault.segment(piece.segment)
    start_s = (piece.start_ns - segment.start_ns) / 1e9
    stop_s = (piece.stop_ns - segment.start_ns) / 1e9
    clip, pictures, has_sound = b"", 0, False
    original = size = (0, 0)
    if "video" in job.streams:
        video = reading.read_cut(vault, segment.id, "video", job.run)
        original = picture_size(video)
        size = job.scrubber.size(*original)
        sound = piece.sound and "sound" in job.streams
        clip, pictures, has_sound = cut_clip(video, start_s, stop_s, size, sound)
    zero_ns = segment.record["boot_ns_start"] + piece.start_ns - segment.start_ns
    length_ns = piece.stop_ns - piece.start_ns
    motion, labels = b"", []
    if "motion" in job.streams:
        motion = _motion(vault, job, segment.id, zero_ns, length_ns)
    if "events" in job.streams or clip:  # labels of faces say what the scrubber hid
        labels = _labels(vault, job, segment.id, zero_ns, length_ns)
    wanted = labels if "events" in job.streams else []
    events = [label for label in wanted if not {"face", *OWN_FIELDS} & label["fields"].keys()]
    meta = {
        "width": size[0],
        "height": size[1],
        "fps": FPS,
        "pictures": pictures,
        "has_sound": has_sound,
        "has_motion": bool(motion),
        "has_events": bool(events),
        "gap_before": piece.gap_before,
    }
    files = {"clip.mp4": clip} if clip else {}
    files |= {
        "motion.bin": motion,
        "events.json": canonical(events),
        "meta.json": canonical(meta),
    }
    sample = Sample(job.name, name, piece.start_ns, piece.stop_ns, files)
    return sample, _faces(labels, original, job.scrubber) if clip else (0, 0)


def _motion(vault: Vault, job: Job, segment: str, zero_ns: int, length_ns: int) -> bytes:
    data = _optional(vault, job, segment, "motion")
    rows = ((row[0] - zero_ns, *row[1:]) for row in iter_motion(data))
    return pack_motion(row for row in rows if 0 <= row[0] < length_ns)  # type: ignore[misc]


def _labels(
    vault: Vault, job: Job, segment: str, zero_ns: int, length_ns: int
) -> list[dict[str, Any]]:
    """Labels that lie within the piece, in its own time; one that reaches out is left out."""
    listed = []
    for event in iter_events(_optional(vault, job, segment, "events")):
        start_ns, stop_ns = event["start_ns"] - zero_ns, event["stop_ns"] - zero_ns
        if start_ns >= 0 and stop_ns <= length_ns:
            fields = event["fields"]
            listed.append({"start_ns": start_ns, "stop_ns": stop_ns, "fields": fields})
    return listed


def _optional(vault: Vault, job: Job, segment: str, part: str) -> bytes:
    try:
        return reading.read_cut(vault, segment, part, job.run)
    except NotFound:
        return b""


def _faces(
    labels: list[dict[str, Any]], original: tuple[int, int], scrubber: Scrubber
) -> tuple[int, int]:
    """(labelled faces, those the scrubber hides)."""
    widths = [
        float(label["fields"]["face"].split(",")[2])
        for label in labels
        if "face" in label["fields"]
    ]
    return len(widths), sum(scrubber.hides(width, *original) for width in widths)
