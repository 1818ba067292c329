"""One segment while it is recorded: samples go in, sealed parts grow on the card.

When to begin and end one is the recorder's business; what is left after a cut is salvage's.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from firsthand.crypto import canonical
from firsthand.forgetting import REASON
from firsthand.record.cameras.camera import Camera, Coded, Event, Motion, Picture, Sound, Tick
from firsthand.record.cameras.sight import FROZEN_S, Freeze, judge
from firsthand.record.card.card import Card, headers_json, shred
from firsthand.record.device import Device
from firsthand.record.durable import write_durably
from firsthand.record.sealing import mp4
from firsthand.record.sealing.encode import Footage, Fragment, as_frame, still
from firsthand.record.sealing.opening import MARK, Opening, mark
from firsthand.record.sealing.part import CLOSED, FILE_MODE, PartWriter, Secret, hash_object
from firsthand.segment import MOTION, PARTS, Part, Record, pack_events, pack_motion

MOTION_ROWS = 64  # of a camera that isn't live are sealed at once
# How often a live picture is judged. A coded one must be decoded for it (20 ms at 2304x1296, on a
# Pi more), so it's the one of the still: once a segment.
JUDGE_S = 1.0
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has fsync only


class OpenSegment:
    """Takes the samples of one segment in order of time; `close` gives the record to be signed."""

    def __init__(
        self,
        card: Card,
        folder: Path,
        opening: Opening,
        camera: Camera,
        device: Device,
        avcc: bytes = b"",
    ) -> None:
        """`avcc` is the configuration of a camera whose pictures come coded."""
        self.folder = folder
        self.avcc = avcc
        self.start_ns = opening.boot_ns_start
        self.last_picture_ns: int | None = None
        self.frames = 0
        self.dropped = 0
        self._longest_gap_ns = 0
        self._live = camera.live
        self._frame_ns = round(1e9 / camera.fps) if camera.fps else 0
        self._footage = Footage(camera.size, camera.fps, camera.sound_hz, camera.live, avcc)
        width, height = self._footage.size
        media = opening.media | {"width": width, "height": height}
        self._opening = replace(opening, media=media)
        self._secrets = {name: Secret(device.recipient) for name in PARTS}
        self._writers: dict[str, PartWriter] = {}
        self._parts: dict[str, Part] = {}
        # Of each fragment not known to be sealed: plain size at its end, how far it reaches,
        # pictures so far. Not the fragment itself: its pictures are let go of while they are warm.
        self._unsealed: deque[tuple[int, int, int]] = deque()
        self._fragment_from_ns = self.start_ns
        self._freeze = Freeze()
        self._judged_ns = self.start_ns
        self._last_key_ns: int | None = None
        self._longest_key_ns = 0
        self._coded_fault = ""
        self._faults_ns: dict[str, int] = {}  # for how long the picture was black, covered, frozen
        self._stop_ns = self.start_ns
        self._motions: list[tuple[int, float, float, float, float, float, float]] = []
        headers = {name: secret.header for name, secret in self._secrets.items()}
        data = vars(self._opening) | {"v": 1, "headers": headers_json(headers)}
        write_durably(folder / "opening.json", canonical(data))
        self._mark = os.open(folder / "mark", os.O_WRONLY | os.O_CREAT, FILE_MODE)
        os.pwrite(self._mark, bytes(MARK.size), 0)  # so that it never grows under a sync

    @property
    def stop_ns(self) -> int:
        """Where what was taken in ends: the last picture's or sound's own length included."""
        return max(self._stop_ns, self.start_ns + self._footage.audio_stop_ns)

    @property
    def size_bytes(self) -> int:
        """Bytes on the card so far."""
        return sum(writer.file_size for writer in self._writers.values())

    def add(self, sample: Picture | Coded | Sound | Motion | Event | Tick) -> None:
        """Take in one sample; raises OSError when the card fails."""
        match sample:
            case Coded() | Picture():
                self._add_picture(sample)
            case Sound():
                self._footage.add_sound(sample, sample.time_ns - self.start_ns)
            case Motion():
                self._motions.append((sample.time_ns, *sample.gyro, *sample.accel))
                self._reach(sample.time_ns)
                if self._live or len(self._motions) >= MOTION_ROWS:
                    self._write_motions()
            case Event():
                self._part("events").write([_event_line(sample)], sample.time_ns)
                self._reach(sample.time_ns)
        if self._live:
            self._secure(sample.time_ns)

    def close(self, stop_ns: int) -> Record:
        """Seal every part and return the whole record, which reaches to stop_ns."""
        self._note_gap(stop_ns)
        for fragment in self._footage.finish(stop_ns - self.start_ns):
            self._write_video(fragment)
        self._write_motions()
        for name, writer in list(self._writers.items()):
            self._parts[name] = writer.close()
        self._write_mark(stop_ns, self.frames)
        os.close(self._mark)
        media = self._opening.media
        if self._footage.audio_hz:
            media = media | {
                "audio_hz": self._footage.audio_hz,
                "audio_channels": self._footage.audio_channels,
                "audio_samples": self._footage.audio_samples,
            }
        if self.avcc:
            media = media | {"key_ms": self._longest_key_ns // 10**6}
        media = media | {f"{kind}_ms": ns // 10**6 for kind, ns in self._faults_ns.items()}
        parts = tuple(self._parts[name] for name in PARTS if name in self._parts)
        return replace(
            self._opening.record("segment", stop_ns),
            parts=parts,
            object_sha256=self._object_sha256(parts),
            object_size=sum(part.size_bytes for part in parts),
            frames=self.frames,
            dropped=self.dropped,
            longest_gap_ns=self._longest_gap_ns,
            media=media,
        )

    def abandon(self) -> None:
        """Let go of the files as they are; salvage makes a cut segment of them."""
        with contextlib.suppress(OSError):  # closed already
            os.close(self._mark)
        for writer in self._writers.values():
            writer.abandon()

    def discard(self) -> Record:
        """Let go of all that it holds, keys and bytes; the record says that it's forgotten."""
        self.abandon()
        row = self._opening.record("forgotten", self.stop_ns)
        shred(self.folder, keep=())
        return replace(row, media={}, reason=REASON)

    def _add_picture(self, picture: Picture | Coded) -> None:
        if self.last_picture_ns is not None and picture.time_ns <= self.last_picture_ns:
            self.dropped += 1  # two pictures can't have one time
            return
        self._note_gap(picture.time_ns)
        self.last_picture_ns = picture.time_ns
        self.frames += 1
        self._reach(picture.time_ns + self._frame_ns)
        if self.frames == 1:
            self._write_still(picture)
        if isinstance(picture, Coded) and picture.key:
            self._note_key(picture.time_ns)
        if self._live:
            self._judge(picture)
        for fragment in self._footage.add_picture(picture, picture.time_ns - self.start_ns):
            self._write_video(fragment)

    def _write_still(self, picture: Picture | Coded) -> None:
        frame = as_frame(picture)
        if frame is None:
            return
        writer = self._part("still")
        writer.write([still(frame)], picture.time_ns)
        self._parts["still"] = writer.close()
        del self._writers["still"]
        if self._live and isinstance(picture, Coded):
            self._coded_fault = judge(frame)

    def _note_key(self, time_ns: int) -> None:
        """How far key pictures lie apart is the camera's own choice: the record says it."""
        if self._last_key_ns is not None:
            self._longest_key_ns = max(self._longest_key_ns, time_ns - self._last_key_ns)
        self._last_key_ns = time_ns

    def _judge(self, picture: Picture | Coded) -> None:
        same_ns = self._freeze.note(picture)
        if picture.time_ns - self._judged_ns < JUDGE_S * 1e9:
            return
        if isinstance(picture, Coded):
            fault = self._coded_fault
        else:
            fault = judge(as_frame(picture))
        if not fault and same_ns >= FROZEN_S * 1e9:
            fault = "frozen"
        if fault:
            so_far = self._faults_ns.get(fault, 0)
            self._faults_ns[fault] = so_far + picture.time_ns - self._judged_ns
        self._judged_ns = picture.time_ns

    def _note_gap(self, time_ns: int) -> None:
        if self.last_picture_ns is None:
            return
        gap_ns = time_ns - self.last_picture_ns
        if gap_ns <= self._longest_gap_ns and gap_ns <= self._frame_ns:
            return
        self._longest_gap_ns = max(self._longest_gap_ns, gap_ns)
        if self._live and self._frame_ns:  # a file may have any rate it likes
            self.dropped += max(0, round(gap_ns / self._frame_ns) - 1)

    def _reach(self, time_ns: int) -> None:
        self._stop_ns = max(self._stop_ns, time_ns)

    def _write_video(self, fragment: Fragment) -> None:
        if not fragment.pieces:
            return
        writer = self._part("video")
        writer.write(fragment.pieces, self._fragment_from_ns)
        stop_ns = self.start_ns + fragment.stop_ns
        length_ns, self._fragment_from_ns = stop_ns - self._fragment_from_ns, stop_ns
        self._unsealed.append((writer.plain_size, stop_ns, fragment.frames))
        if not self._live:
            self._note_mark()
        elif writer.is_due(stop_ns, ahead_ns=length_ns):  # nothing more comes for so long
            writer.secure(stop_ns, ahead_ns=length_ns)
            self._note_mark()

    def _write_motions(self) -> None:
        if self._motions:
            self._part("motion").write([pack_motion(self._motions)], self._motions[0][0])
            self._motions.clear()

    def _secure(self, now_ns: int) -> None:
        secured = False
        for writer in self._writers.values():
            if writer.is_due(now_ns):
                writer.secure(now_ns)
                secured = True
        if secured:
            self._note_mark()  # after the sync: a mark never promises more than the disk holds

    def _note_mark(self) -> None:
        writer = self._writers.get("video")
        reached = None
        while writer and self._unsealed and self._unsealed[0][0] <= writer.sealed_size:
            reached = self._unsealed.popleft()
        if reached:
            self._write_mark(*reached[1:])
            if self._live:
                # Else a power cut leaves the footage, and a record by which it has no length.
                _sync(self._mark)

    def _write_mark(self, boot_ns: int, frames: int) -> None:
        os.pwrite(self._mark, mark(boot_ns, frames, self._writers["video"].file_size), 0)

    def _part(self, name: str) -> PartWriter:
        if name not in self._writers:
            filler, least = FILLERS[name]
            self._writers[name] = PartWriter(self.folder, name, self._secrets[name], filler, least)
        return self._writers[name]

    def _object_sha256(self, parts: tuple[Part, ...]) -> str:
        video = self._writers.get("video")
        return hash_object([self.folder / f"{part.name}{CLOSED}" for part in parts[1:]], video)


# What fills a chunk of each part, and the least that its readers can pass over.
FILLERS: dict[str, tuple[Callable[[int], bytes], int]] = {
    "video": (mp4.filler, mp4.FILLER_MIN),
    "motion": (bytes, MOTION.size),
    "still": (bytes, 1),
    "events": (lambda size: b" " * size, 1),
}


def _event_line(event: Event) -> bytes:
    line = {"start_ns": event.start_ns, "stop_ns": event.stop_ns, "fields": event.fields}
    return pack_events([line])
