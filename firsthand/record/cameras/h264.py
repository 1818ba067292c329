"""H.264 as cameras send it, start codes between its units, into MP4's form with their lengths.

Only the framing changes: no picture is decoded or coded again (ITU-T H.264 annex B, ISO 14496-15).
"""

import re
import struct
from collections.abc import Iterator

from firsthand.errors import Damaged
from firsthand.record.cameras.camera import Coded

_START = re.compile(b"\0\0\1")
_UNIT = struct.Struct(">IB")
_IDR, _SEI, _SPS, _PPS, _DELIMITER, _FILLER = 5, 6, 7, 8, 9, 12
# SEI goes too: an encoder writes its name and settings into it, and a decoder needs none of it.
_LEFT_OUT = (_SEI, _SPS, _PPS, _DELIMITER, _FILLER)


def units(data: bytes) -> Iterator[bytes]:
    """The NAL units between the start codes."""
    starts = [found.end() for found in _START.finditer(data)]
    stops = [*(start - 3 for start in starts[1:]), len(data)]
    for start, stop in zip(starts, stops, strict=False):
        # A unit never ends in a zero byte; those belong to the next, longer, start code.
        unit = data[start:stop].rstrip(b"\0")
        if unit:
            yield unit


def strip(data: memoryview) -> bytes | memoryview:
    """The same picture in MP4's form (lengths of 4 bytes) without what no decoder needs."""
    at, size, kept, whole = 0, len(data), [], True
    while at + 4 < size:
        length, head = _UNIT.unpack_from(data, at)
        stop = at + 4 + length
        if head & 31 in _LEFT_OUT:
            whole = False
        else:
            kept.append((at, stop))
        at = stop
    return data if whole else b"".join(data[start:stop] for start, stop in kept)


class Framer:
    """Turns access units of annex B into coded pictures; holds the parameter sets seen last."""

    def __init__(self, size: tuple[int, int], parameters: bytes = b"") -> None:
        self._size = size
        self._sps = self._pps = b""
        for unit in units(parameters):
            self._learn(unit)

    def picture(self, time_ns: int, data: bytes) -> Coded | None:
        """The picture in one access unit; None if there is none, or none can be decoded yet."""
        key, pieces = False, []
        for unit in units(data):
            self._learn(unit)
            kind = unit[0] & 31
            key = key or kind == _IDR
            if kind not in _LEFT_OUT:
                pieces += [len(unit).to_bytes(4, "big"), unit]
        if not pieces or not (self._sps and self._pps):
            return None
        avcc = configuration(self._sps, self._pps) if key else b""
        return Coded(time_ns, *self._size, b"".join(pieces), key, avcc)

    def _learn(self, unit: bytes) -> None:
        if unit[0] & 31 == _SPS:
            self._sps = unit
        elif unit[0] & 31 == _PPS:
            self._pps = unit


def configuration(sps: bytes, pps: bytes) -> bytes:
    """MP4's decoder configuration record of a stream with these parameter sets."""
    if len(sps) < 4 or not pps:
        raise Damaged("the camera's H.264 lacks its parameter sets", "restart the camera")
    record = bytes([1, sps[1], sps[2], sps[3], 0xFF, 0xE1])  # lengths of 4 bytes, one SPS
    record += len(sps).to_bytes(2, "big") + sps + b"\1" + len(pps).to_bytes(2, "big") + pps
    if sps[1] in (100, 110, 122, 144):  # high profiles say 4:2:0 and 8 bit once more
        record += bytes([0xFD, 0xF8, 0xF8, 0])
    return record
