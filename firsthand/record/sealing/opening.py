"""What stands beside an open segment for whoever finds it cut: its beginning and its reach.

    opening.json   what is known when a segment begins, and the headers of its parts
    mark           how far the video reaches, written anew as it grows

No camera library is needed for it, so the uploader can mend what a dead recorder left.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand.segment import Record

# Boot ns, pictures, bytes of video.part that hold them, CRC-32.
MARK = struct.Struct("<3qI")


@dataclass(frozen=True)
class Opening:
    """What is known when a segment begins; kept beside it for whoever finds it cut."""

    device: str
    person: str
    session: str
    seq: int
    boot_ns_start: int
    wall_offset_ns: int  # add to boot time; meaningless if wall_quality is "none"
    wall_quality: str
    media: dict[str, Any]
    recipient: str
    policy: str
    checkpoint: str

    def record(self, kind: str, boot_ns_end: int, boot_ns_start: int | None = None) -> Record:
        """A record over this time, not yet signed, with no parts."""
        start = self.boot_ns_start if boot_ns_start is None else boot_ns_start
        known = self.wall_quality != "none"
        return Record(
            device=self.device,
            person=self.person,
            session=self.session,
            seq=self.seq,
            prev="",
            kind=kind,
            boot_ns_start=start,
            boot_ns_end=boot_ns_end,
            wall_ns_start=start + self.wall_offset_ns if known else 0,
            wall_ns_end=boot_ns_end + self.wall_offset_ns if known else 0,
            wall_quality=self.wall_quality,
            recipient=self.recipient,
            policy=self.policy,
            checkpoint=self.checkpoint,
        )


def mark(boot_ns: int, frames: int, video_size: int) -> bytes:
    """What the file `mark` holds."""
    row = (boot_ns, frames, video_size)
    return MARK.pack(*row, zlib.crc32(repr(row).encode()))


def read_mark(folder: Path, video_size: int) -> tuple[int, int] | None:
    """(boot ns, pictures) that a cut segment's video is known to hold; None if nothing is."""
    try:
        *row, crc = MARK.unpack((folder / "mark").read_bytes())
    except (OSError, struct.error):
        return None
    if crc != zlib.crc32(repr(tuple(row)).encode()) or row[2] > video_size:
        return None
    return row[0], row[1]
