"""Other cameras' footage: in the chain like one's own, each picture once, at honest times."""

import math
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from recording import SECOND_NS, numbered, open_parts, pictures, segments
from test_gpmf import gps, payload, sensor

from firsthand.errors import Failed, NotFound
from firsthand.record.cameras.imported import import_file
from firsthand.record.cameras.telemetry import Telemetry
from firsthand.record.card.card import Card
from firsthand.record.card.salvage import salvage
from firsthand.segment import iter_events, iter_motion

SAID_NS = 1_714_557_600 * SECOND_NS  # 2024-05-01 10:00:00 UTC
RATE_HZ = 100


@dataclass
class Film:
    """A video file whose pictures carry their numbers, with a GoPro's telemetry if it has any."""

    seconds: int
    fps: int = 4
    date: str = "2024-05-01T10:00:00.000000Z"
    payloads: list[bytes] = field(default_factory=list)

    def write(self, path: Path) -> Path:
        with av.open(str(path), "w") as out:
            if self.date:
                out.metadata["creation_time"] = self.date
            video = out.add_stream("h264", rate=self.fps, options={"preset": "ultrafast"})
            video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
            data = None
            if self.payloads:
                data = out.add_data_stream("bin_data")
                data.time_base = Fraction(1, 1000)
            for number in range(self.seconds * self.fps):
                frame = av.VideoFrame(160, 120, "rgb24")
                frame.planes[0].update(_padded(numbered(number), frame.planes[0].line_size))
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, self.fps)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
            for number, content in enumerate(self.payloads):
                packet = av.Packet(content)
                packet.pts = packet.dts = number * 1000
                packet.duration, packet.time_base = 1000, Fraction(1, 1000)
                packet.stream = data
                out.mux(packet)
        return path


def _padded(rgb: bytes, line_size: int) -> bytes:
    rows = (rgb[at : at + 480] for at in range(0, len(rgb), 480))
    return b"".join(row + bytes(line_size - 480) for row in rows)


def telemetry(seconds: int, jitter: int = 3, stamped: bool = True, broken: int = -1) -> list[bytes]:
    """A second of readings each, of which x is their number from 1; cut now early, now late."""
    made, at = [], 0
    for second in range(seconds):
        stop = (second + 1) * RATE_HZ + (jitter if second % 2 else -jitter)
        if second == seconds - 1:
            stop = seconds * RATE_HZ
        rows = [(number + 1, 0, 0) for number in range(at, stop)]
        stamp_us = 80_000 + at * 10**6 // RATE_HZ if stamped else -1
        told = [sensor(key, rows, 1, total=stop, stamp=stamp_us) for key in ("ACCL", "GYRO")]
        shutter = struct.pack(">4scBHQ", b"STMP", b"J", 8, 1, 80_000 + second * 10**6)
        shutter += struct.pack(">4scBHf", b"SHUT", b"f", 4, 1, 0.01)
        told.append(struct.pack(">4sBBH", b"STRM", 0, 4, len(shutter) // 4) + shutter)
        text = f"2405012{second // 3600}{second // 60 % 60:02}{second % 60:02}.500"
        told.append(gps(3, "240501000000.000" if second == 0 else text))
        made.append(b"DEVC" if second == broken else payload(*told))
        at = stop
    return made


def shown(card: Card, keys) -> list[int]:
    return [
        each.number
        for item in segments(card)
        for each in pictures(open_parts(item, keys.ingest)["video"])
    ]


def test_a_long_file_becomes_segments_with_every_picture_once(tmp_path, card, device, keys):
    film = Film(130).write(tmp_path / "film.mp4")
    done = import_file(film, device, card)
    found = [item.record for item in segments(card)]
    assert [record.duration_s for record in found] == [60, 60, 10]
    assert shown(card, keys) == list(range(520))
    assert [record.wall_ns_start - SAID_NS for record in found] == [0, 60e9, 120e9]
    assert {record.wall_quality for record in found} == {"fake"}
    assert (done.first, done.last) == (1, 3)
    assert found[1].prev == found[0].hash()


def test_motion_has_the_true_times_of_its_sensor_however_payloads_are_cut(
    tmp_path, card, device, keys
):
    film = Film(10, payloads=telemetry(10)).write(tmp_path / "gopro.mp4")
    done = import_file(film, device, card)
    (item,) = segments(card)
    rows = list(iter_motion(open_parts(item, keys.ingest)["motion"]))
    assert done.motion == len(rows) == 975  # those after the last picture at 9.75 s are no one's
    for number, (time_ns, *values) in enumerate(rows):
        assert values == [number + 1, 0, 0, number + 1, 0, 0]
        assert abs(time_ns - number * SECOND_NS // RATE_HZ) < 10_000


@pytest.mark.parametrize("broken", [-1, 4])
def test_without_stamps_or_with_a_lost_second_motion_is_at_most_a_payload_off(tmp_path, broken):
    payloads = telemetry(10, stamped=False, broken=broken)
    film = Film(10, payloads=payloads).write(tmp_path / "gopro.mp4")
    found = list(Telemetry(film).motion())
    assert len(found) == (1000 if broken < 0 else 1000 - 94)
    late = [each.time_ns - (each.gyro[0] - 1) * SECOND_NS / RATE_HZ for each in found]
    assert max(abs(value) for value in late) < 35e6  # three readings, and the line through them


def test_acceleration_is_told_at_the_time_of_the_gyroscopes_reading(tmp_path):
    """Of two sensors at different rates: what lies between two readings is drawn between them."""
    turns = [(number, 0, 0) for number in range(200)]
    pushes = [(number, 0, 0) for number in range(0, 200, 4)]
    both = payload(sensor("GYRO", turns, 1, total=200), sensor("ACCL", pushes, 1, total=50))
    film = Film(2, payloads=[both]).write(tmp_path / "gopro.mp4")
    for each in list(Telemetry(film).motion())[:190]:
        assert each.accel[0] == pytest.approx(each.gyro[0], abs=0.01)


def test_gps_tells_the_time_and_nothing_of_the_place_is_kept(tmp_path, card, device, keys):
    film = Film(10, payloads=telemetry(10)).write(tmp_path / "gopro.mp4")
    done = import_file(film, device, card)
    (item,) = segments(card)
    assert item.record.wall_quality == "gps"
    # The file's own date says 10:00:00; by GPS it began at 20:00:00.5 (its first word is stale).
    assert item.record.wall_ns_start - SAID_NS == 10 * 3600 * SECOND_NS + SECOND_NS // 2
    assert done.taken.source == "gps"
    parts = open_parts(item, keys.ingest)
    assert list(iter_events(parts.get("events", b""))) == []
    assert item.record.media.keys() == {"fps_milli", "width", "height", "imported", "wall_source"}


@pytest.mark.parametrize(
    ("date", "given_ns", "wall_ns", "quality", "source"),
    [
        ("2024-05-01T10:00:00.000000Z", None, SAID_NS, "fake", "file"),
        ("2024-05-01T10:00:00.000000Z", 5 * SECOND_NS, 5 * SECOND_NS, "fake", "given"),
        ("1904-01-01T00:00:00.000000Z", None, 0, "none", "unknown"),
        ("", None, 0, "none", "unknown"),
    ],
)
def test_the_record_says_where_its_time_is_from(
    date, given_ns, wall_ns, quality, source, tmp_path, card, device
):
    done = import_file(
        Film(2, date=date).write(tmp_path / "film.mp4"), device, card, given_ns=given_ns
    )
    (item,) = segments(card)
    assert (item.record.wall_ns_start, item.record.wall_quality) == (wall_ns, quality)
    assert done.taken.source == item.record.media["wall_source"] == source


def test_files_that_a_camera_cut_follow_each_other(tmp_path, card, device):
    first = import_file(Film(3).write(tmp_path / "GH010001.MP4"), device, card)
    second = import_file(Film(2).write(tmp_path / "GH020001.MP4"), device, card, before=first)
    third = import_file(Film(4).write(tmp_path / "GH030001.MP4"), device, card, before=second)
    other = Film(5, date="2024-05-01T12:00:00.000000Z").write(tmp_path / "GH010002.MP4")
    fourth = import_file(other, device, card, before=third)
    began = [(each.taken.wall_ns - SAID_NS) / SECOND_NS for each in (first, second, third, fourth)]
    assert began == [0, 3, 5, 7200]


def test_the_same_content_is_refused_whatever_its_name(tmp_path, card, device):
    film = Film(2).write(tmp_path / "film.mp4")
    import_file(film, device, card)
    import_file(Film(3).write(tmp_path / "other.mp4"), device, card)
    film.rename(tmp_path / "copy.mp4")
    with pytest.raises(Failed, match=r"copy\.mp4 was imported before: it is segment 1 of"):
        import_file(tmp_path / "copy.mp4", device, card)
    assert len(segments(card)) == 2


def test_what_is_no_file_is_told(tmp_path, card, device):
    with pytest.raises(NotFound, match="there is no file"):
        import_file(tmp_path / "none.mp4", device, card)
    with pytest.raises(Failed, match="cannot be read"):
        import_file(tmp_path, device, card)


KILLED = """
import os, sys, signal
from pathlib import Path
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.cameras.imported import import_file
film, device, card, at_s = sys.argv[1:]
def tell(done):
    if done.footage_ns >= float(at_s) * 1e9:
        os.kill(os.getpid(), signal.SIGKILL)
import_file(Path(film), load_device(Path(device)), Card(Path(card)), progress=tell)
"""


@pytest.mark.parametrize("at_s", [5, 59.5, 60, 75, 130])
def test_an_import_that_was_killed_goes_on_where_it_was(at_s, tmp_path, card, device, keys):
    film = Film(130).write(tmp_path / "film.mp4")
    given = [str(film), str(device.folder), str(card.path), str(at_s)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *given])
    assert killed.returncode == -signal.SIGKILL
    salvage(card, device)
    before = shown_at(card, keys)
    done = import_file(film, device, card)
    after = shown_at(card, keys)
    assert before == after[: len(before)]
    times = [time_ns for time_ns, _ in after]
    assert times == sorted(times)
    numbers = [number for _, number in after]
    # A cut segment's record says how far it surely reaches; a picture beyond may come again.
    assert sorted(set(numbers)) == list(range(520))
    assert len(numbers) - 520 <= 4
    assert done.first == (2 if at_s == 5 else 1)  # of the first, nothing was sealed yet
    with pytest.raises(Failed, match=f"segments {done.first} to {done.last}"):
        import_file(film, device, card)


def shown_at(card, keys) -> list[tuple[int, int]]:
    return [
        (item.record.boot_ns_start + round(each.time_s * 1e9), each.number)
        for item in segments(card)
        for each in pictures(open_parts(item, keys.ingest)["video"])
    ]


# --- a real GoPro's file


@pytest.mark.data
def test_a_real_gopros_motion_and_time_are_read(test_data, card, device, keys):
    done = import_file(test_data / "clips" / "gopro_max-heromode.mp4", device, card)
    (item,) = segments(card)
    record = item.record
    assert (record.frames, record.wall_quality) == (315, "gps")
    # Its own date says 15:45:32 "Z", which is the local time of California, by a clock 18 s off.
    assert 1_574_120_714 < record.wall_ns_start / 1e9 < 1_574_120_716
    rows = list(iter_motion(open_parts(item, keys.ingest)["motion"]))
    assert done.motion == len(rows) > 2060
    steps = {later[0] - row[0] for row, later in pairwise(rows)}
    assert max(steps) - min(steps) <= 1
    assert 5.0e6 < min(steps) < 5.1e6  # 198 readings a second
    pull = [sum(row[4 + axis] for row in rows) / len(rows) for axis in range(3)]
    assert 9.5 < math.hypot(*pull) < 10.1
    assert pull[2] > 9  # held upright
    turn = max(abs(value) for row in rows for value in row[1:4])
    assert 0.1 < turn < 10  # a walker's, in rad/s


@pytest.mark.data
def test_a_real_gopros_stamps_lie_on_a_line(test_data):
    read = Telemetry(test_data / "clips" / "gopro_max-heromode.mp4")
    for clock in read._clocks.values():
        assert clock._straight
        assert max(abs(clock._start + clock._step * x - y) for x, y in clock._points) < 1e5
