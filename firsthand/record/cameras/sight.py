"""What a live camera's pictures show: black, covered, frozen ones are flagged, never deleted.

A few thousand bytes of a picture tell; no picture is kept or compared as a whole.
"""

import zlib
from typing import Any

from firsthand.record.cameras.camera import Coded, Picture
from firsthand.record.sealing.encode import as_frame

# A sensor's own noise changes every picture: one that stays the very same for so long is none.
FROZEN_S = 3.0
_LOOK_S = 0.5
_SAMPLES = 2048
_BLACK_MEAN = 24  # of 255; black itself is 16 in most video
_PLAIN_SPREAD = 6.0  # standard deviation under a finger or a sleeve; the dullest wall has more
# A coded picture in which nothing changed: 20 to 60 bytes at any size, and slices of a large one.
_SKIP_BYTES, _SKIP_PIXELS = 64, 16384


def judge(frame: Any) -> str:
    """ "black", "covered", or "" for a picture that shows something."""
    luma = _luma(frame)
    mean = sum(luma) / len(luma)
    variance = sum(value * value for value in luma) / len(luma) - mean * mean
    if variance >= _PLAIN_SPREAD**2:
        return ""
    return "black" if mean < _BLACK_MEAN else "covered"


class Freeze:
    """Tells for how long a camera has shown one and the same picture."""

    def __init__(self) -> None:
        self.changed = False  # whether there was ever another picture than the first
        self._print = 0
        self._since_ns = self._looked_ns = 0
        self._begun = False
        self._key: Coded | None = None

    def note(self, picture: Picture | Coded) -> int:
        """How long it has been the same, in ns, this picture included."""
        now_ns = picture.time_ns
        if not self._begun:
            self._begun, self._since_ns = True, now_ns
        if isinstance(picture, Coded):
            self._note_coded(picture)
        elif now_ns - self._looked_ns >= _LOOK_S * 1e9:
            self._looked_ns = now_ns
            print_ = zlib.crc32(_luma(as_frame(picture)))
            if print_ != self._print:
                self.changed = self._print != 0
                self._print, self._since_ns = print_, now_ns
        return now_ns - self._since_ns

    def shows_something(self, picture: Picture | Coded) -> bool:
        """Whether that picture is more than the dark: a covered sensor may be free of noise."""
        frame = as_frame(self._key if self._key else picture)
        return frame is not None and not judge(frame)

    def _note_coded(self, picture: Coded) -> None:
        if picture.key:
            self._key = picture
            return
        if len(picture.data) > _SKIP_BYTES + picture.width * picture.height // _SKIP_PIXELS:
            self.changed, self._since_ns = True, picture.time_ns


def _luma(frame: Any) -> bytes:
    """Bytes of brightness, evenly from all of the picture."""
    plane = memoryview(frame.planes[0])
    first = 1 if frame.format.name == "uyvy422" else 0
    # An even step stays on brightness where colour lies between; half of it is odd, to drift.
    step = 2 * (max(1, len(plane) // (2 * _SAMPLES)) | 1)
    return plane[first::step].tobytes()
