"""A GoPro's telemetry in a video file: its motion at true times, and what its GPS says of the date.

The bytes are read in gpmf.py. Here the clocks of the sensors are measured against the pictures'.
"""

import statistics
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
from av.stream import Discard

from firsthand.record.cameras import gpmf
from firsthand.record.cameras.camera import Motion

MEND_S = 0.05  # a sensor's clock that strays further from the line had a break: see _Clock
SENSORS = ("gyro", "accel")


class Telemetry:
    """A GoPro's telemetry in a file: its clocks are measured first, then its motion is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        starts: dict[str, list[tuple[float, float]]] = {name: [] for name in SENSORS}
        stamps: dict[str, list[tuple[float, float]]] = {name: [] for name in SENSORS}
        counts = dict.fromkeys(SENSORS, 0)
        frame_ns: int | None = None  # what to add to a stamp to come to the file's time
        offsets: list[int] = []
        end_ns = 0
        for pts_ns, duration_ns, payload in _payloads(path):
            if frame_ns is None and payload.frame_stamp_us is not None:
                frame_ns = pts_ns - payload.frame_stamp_us * 1000
            if payload.utc_ns is not None:
                offsets.append(payload.utc_ns - pts_ns)
            for name in SENSORS:
                readings: gpmf.Readings | None = getattr(payload, name)
                if readings and readings.rows:
                    first = counts[name] if readings.first is None else readings.first
                    starts[name].append((first, pts_ns))
                    if readings.stamp_us is not None:
                        stamps[name].append((first, readings.stamp_us * 1000))
                    counts[name] = first + len(readings.rows)
            end_ns = pts_ns + duration_ns
        # The first times by GPS after power-on are often old; the middle one isn't.
        self.utc_offset_ns = round(statistics.median(offsets)) if offsets else None
        self._clocks: dict[str, _Clock] = {}
        for name in SENSORS:
            if frame_ns is not None and len(stamps[name]) == len(starts[name]) > 1:
                points = [(number, time + frame_ns) for number, time in stamps[name]]
            else:
                points = [*starts[name], (counts[name], end_ns)]
            if counts[name] and starts[name]:
                self._clocks[name] = _Clock(points)

    def motion(self) -> Iterator[Motion]:
        """Each reading of the gyroscope, with the acceleration at its time between two readings."""
        if len(self._clocks) < len(SENSORS):
            return
        gyro: deque[tuple[float, gpmf.Row]] = deque()
        accel: deque[tuple[float, gpmf.Row]] = deque()
        counts = dict.fromkeys(SENSORS, 0)
        for _, _, payload in _payloads(self._path):
            for name, waiting in (("gyro", gyro), ("accel", accel)):
                readings: gpmf.Readings | None = getattr(payload, name)
                if readings is None:
                    continue
                first = counts[name] if readings.first is None else readings.first
                clock = self._clocks[name]
                numbered = enumerate(readings.rows, first)
                waiting.extend((clock.time_ns(number), row) for number, row in numbered)
                counts[name] = first + len(readings.rows)
            yield from _joined(gyro, accel)
        if accel:  # the last readings of the gyroscope lie behind the last acceleration
            accel.append((float("inf"), accel[-1][1]))
            yield from _joined(gyro, accel)


class _Clock:
    """From the number of a reading to its time: a straight line, or from point to point.

    A sensor runs evenly on a clock of its own, while payloads are cut a few ms early or late. So
    a line through all is truer than each payload's own time, unless readings are missing.
    """

    def __init__(self, points: list[tuple[float, float]]) -> None:
        self._points = points
        self._start, self._step = gpmf.fit(points)
        worst = max(abs(self._start + self._step * x - y) for x, y in points)
        self._straight = worst <= MEND_S * 1e9 and self._step > 0
        self._at = 0

    def time_ns(self, number: int) -> float:
        """When the reading was taken, in ns of the file's own time; ask in rising order."""
        if self._straight:
            return self._start + self._step * number
        points = self._points
        if number < points[self._at][0]:
            self._at = 0
        while self._at < len(points) - 2 and number >= points[self._at + 1][0]:
            self._at += 1
        (x, y), (next_x, next_y) = points[self._at : self._at + 2]
        return y + (number - x) * (next_y - y) / max(1, next_x - x)


def _payloads(path: Path) -> Iterator[tuple[int, int, gpmf.Payload]]:
    """(time, duration, payload) of a file's telemetry, in ns of the file's own time."""
    with av.open(str(path)) as container:
        for stream in container.streams:
            if stream.type != "data":
                stream.discard = Discard.all  # else the whole file is read for a hundredth of it
        streams = list(container.streams.data)
        for packet in container.demux(streams) if streams else ():
            data = bytes(packet)
            if data[:4] != b"DEVC" or packet.pts is None:
                continue
            unit_ns = 10**9 * packet.time_base
            times = round(packet.pts * unit_ns), round((packet.duration or 0) * unit_ns)
            yield *times, gpmf.parse(data)


def _joined(
    gyro: "deque[tuple[float, gpmf.Row]]", accel: "deque[tuple[float, gpmf.Row]]"
) -> Iterator[Motion]:
    """Readings of the gyroscope up to the last acceleration, taken out of both queues."""
    while gyro and accel and gyro[0][0] <= accel[-1][0]:
        time_ns, turn = gyro.popleft()
        while len(accel) > 1 and accel[1][0] <= time_ns:
            accel.popleft()
        (before_ns, before), (after_ns, after) = accel[0], accel[min(1, len(accel) - 1)]
        share = 0.0
        if before_ns < time_ns < after_ns < float("inf"):
            share = (time_ns - before_ns) / (after_ns - before_ns)
        x, y, z = (b + (a - b) * share for b, a in zip(before, after, strict=True))
        yield Motion(round(time_ns), turn, (x, y, z))
