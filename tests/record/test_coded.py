"""Pictures that come as H.264 are kept as they are: from files, a stream, a Raspberry Pi."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import av
import pytest
from faults import FULL
from live import CLOCK, CodedCamera, configuration
from recording import SECOND_NS, numbered, open_parts, pictures, segments

from firsthand.errors import Failed, NotFound, Usage
from firsthand.record.cameras.camera import Coded, open_camera
from firsthand.record.cameras.h264 import Framer, units
from firsthand.record.cameras.picamera import PiCamera
from firsthand.record.card.salvage import salvage
from firsthand.record.recorder import record

SIZE = (160, 120)


def film(target, seconds, fps=10, key_s=1.0, format=None, pace=False, **options):
    """Numbered pictures as H.264 in any container; `pace` sends them in real time."""
    made = {"bf": "0", "tune": "zerolatency", "g": str(round(key_s * fps))} | options
    with av.open(str(target), "w", format=format) as out:
        stream = out.add_stream("libx264", rate=fps, options=made)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        began = time.monotonic()
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame(*SIZE, "rgb24")
            frame.planes[0].update(numbered(number, *SIZE))
            frame.pts = number
            if pace:
                time.sleep(max(0, began + number / fps - time.monotonic()))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def see(item, keys):
    return pictures(open_parts(item, keys.ingest)["video"])


def coded(path):
    """The packets of a file's pictures."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_h264_is_kept_to_the_byte_and_cut_at_key_pictures(kind, tmp_path, card, device, keys):
    path = film(tmp_path / f"film.{kind}", 7)
    recorded = record(open_camera(f"copy:{path}"), card, device, segment_s=2.5)
    shown = [see(item, keys) for item in segments(card)]
    assert [len(rows) for rows in shown] == [30, 30, 10]  # at the first key picture from 2.5 s on
    assert [row.number for rows in shown for row in rows] == list(range(70))
    assert all([row.time_s for row in rows if row.key][:2] == [0.0, 1.0] for rows in shown[:2])
    records = [item.record for item in segments(card)]
    assert [held.boot_ns_end for held in records] == [3 * 10**9, 6 * 10**9, 7 * 10**9]
    assert [held.boot_ns_start for held in records] == [0, 3 * 10**9, 6 * 10**9]
    assert recorded.frames == 70
    assert {held.media["key_ms"] for held in records} == {1000, 0}
    # The pictures themselves are the encoder's, without the name and settings that it writes.
    video = b"".join(open_parts(item, keys.ingest)["video"] for item in segments(card))
    slices = [unit for packet in coded(path) for unit in nal(packet, kind)]
    assert len(slices) >= 70
    assert all(unit in video for unit in slices)
    assert b"x264" not in video
    assert open_parts(segments(card)[0], keys.ingest)["still"].startswith(b"\xff\xd8")


def nal(packet, kind):
    """The slices in a packet."""
    if kind == "ts":
        found = list(units(packet))
    else:
        found, at = [], 0
        while at < len(packet):
            size = int.from_bytes(packet[at : at + 4], "big")
            found.append(packet[at + 4 : at + 4 + size])
            at += 4 + size
    return [unit for unit in found if unit[0] & 31 in (1, 5)]


def test_what_cannot_be_kept_as_it_is_says_so(tmp_path):
    reordered = film(tmp_path / "reordered.mp4", 2, bf="2", tune="film")
    with pytest.raises(Usage, match="B-frames") as caught:
        open_camera(f"copy:{reordered}")
    assert "copy:" in caught.value.hint
    with pytest.raises(Usage, match="no H\\.264"):
        open_camera("copy:lavfi:testsrc=size=160x120:rate=8:duration=1")
    with pytest.raises(NotFound):
        open_camera(f"copy:{tmp_path / 'missing.mp4'}")


def test_sound_beside_kept_pictures_is_kept_too(tmp_path, card, device, keys):
    path = tmp_path / "sounding.mp4"
    with av.open(str(path), "w") as out:
        options = {"bf": "0", "tune": "zerolatency", "g": "10"}
        stream = out.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=16000, layout="mono")
        for number in range(30):
            frame = av.VideoFrame(*SIZE, "rgb24")
            frame.planes[0].update(numbered(number, *SIZE))
            frame.pts = number
            out.mux(stream.encode(frame))
            block = av.AudioFrame(format="fltp", layout="mono", samples=1600)
            block.planes[0].update(bytes(6400))
            block.sample_rate, block.pts = 16000, number * 1600
            out.mux(sound.encode(block))
        out.mux(stream.encode(None))
        out.mux(sound.encode(None))
    record(open_camera(f"copy:{path}"), card, device, segment_s=1.0)
    items = segments(card)
    assert [len(see(item, keys)) for item in items] == [10, 10, 10]
    assert sum(item.record.media["audio_samples"] for item in items) == pytest.approx(
        48000, abs=1100
    )


def test_a_camera_whose_settings_change_begins_a_new_segment(card, device):
    other = configuration()[:-1] + b"\xff"

    class Changing(CodedCamera):
        def samples(self):
            for row in super().samples():
                changed = row.time_ns - self.began_ns >= 2 * SECOND_NS
                if row.key and changed:
                    row = Coded(row.time_ns, *self.size, row.data, True, other)
                yield row

    camera = Changing(4, 10.0, 1.0)
    camera.began_ns = CLOCK.boot_ns()
    record(camera, card, device)
    assert [item.record.frames for item in segments(card)] == [20, 20]


def test_pictures_that_no_decoder_can_begin_with_leave_a_gap(card, device):
    """A key picture each 20 s: after 12 s beyond its length a segment ends without one."""
    recorded = record(CodedCamera(30, 10.0, 0.1, key_s=20.0), card, device, segment_s=2.0)
    first, gap, second = [item.record for item in card.waiting()]
    assert (first.frames, second.frames) == (140, 100)
    assert (gap.kind, gap.reason, gap.dropped) == ("gap", "dropped", 60)
    assert (gap.boot_ns_start, gap.boot_ns_end) == (first.boot_ns_end, second.boot_ns_start)
    assert (recorded.frames, recorded.dropped) == (240, 60)


def port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_stream_is_kept_as_it_comes_from_its_first_key_picture_on(card, device, keys):
    url = f"udp://127.0.0.1:{port()}"
    sender = threading.Thread(
        target=film, args=(f"{url}?pkt_size=1316", 5), kwargs={"format": "mpegts", "pace": True}
    )
    sender.start()
    time.sleep(0.5)  # into the first second: its key picture is gone
    camera = open_camera(f"copy:{url}")
    began_ns = CLOCK.boot_ns()
    try:
        recorded = record(
            camera, card, device, stop=lambda: CLOCK.boot_ns() - began_ns > 2.5 * SECOND_NS
        )
    finally:
        camera.close()
        sender.join()
    shown = [row.number for item in segments(card) for row in see(item, keys)]
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    assert len(shown) == recorded.frames >= 15
    assert shown[0] % 10 == 0  # a key picture
    assert recorded.dropped == 0
    assert not recorded.gaps


KILLED = """
import sys
sys.path.insert(0, {here!r})
from live import CodedCamera
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record

class Telling(CodedCamera):
    def samples(self):
        for row in super().samples():
            print(row.time_ns, flush=True)
            yield row

camera = Telling(60, {fps}, {mbit_s}, paced=True)
record(camera, Card({card!r}), load_device({device!r}))
"""


@pytest.mark.fault("D1")
@pytest.mark.parametrize("mbit_s", [0.1, 0.5, 2.0, 6.7, 20.0, 50.0] if FULL else [0.1, 50.0])
@pytest.mark.parametrize("at_s", [0.9, 1.4, 2.1, 3.3] if FULL else [1.4])
def test_kill_9_loses_at_most_a_second_at_any_bitrate(mbit_s, at_s, card, device, keys, tally):
    script = KILLED.format(
        here=str(Path(__file__).parent),
        card=str(card.path),
        device=str(device.folder),
        fps=30.0,
        mbit_s=mbit_s,
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    began_ns = int(process.stdout.readline())
    last_ns = began_ns
    while last_ns - began_ns < at_s * SECOND_NS:
        last_ns = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    last_ns = int(rest[-1]) if rest else last_ns
    salvage(card, device)
    (item,) = segments(card)
    video = open_parts(item, keys.ingest)["video"]
    times = demuxed(video)
    lost_s = (last_ns - began_ns) / 1e9 - times[-1]
    assert lost_s <= 1.0
    assert (last_ns - item.record.boot_ns_end) / 1e9 <= 1.0
    assert item.record.frames <= len(times)
    tally.bound = "1 s"
    tally.add(lost_bytes=round(lost_s * mbit_s * 125_000))


def demuxed(video):
    """Times in seconds of the pictures in an MP4, none of which has to decode."""
    import io

    with av.open(io.BytesIO(video)) as container:
        return [
            float(packet.pts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.size
        ]


# --- the Raspberry Pi's camera, through a module with the part of picamera2's interface in use


class FakePi:
    """What picamera2 does with a camera: coded pictures in annex B from a thread of its own."""

    def __init__(self, path, cameras=1):
        self.packets = coded(path)
        self.cameras, self.calls = cameras, []
        self.modules = {
            "picamera2": types.ModuleType("picamera2"),
            "picamera2.encoders": types.ModuleType("picamera2.encoders"),
            "picamera2.outputs": types.ModuleType("picamera2.outputs"),
        }
        pi = self

        class Output:
            def __init__(self, pts=None):
                self.recording = False

            def start(self):
                self.recording = True

            def stop(self):
                self.recording = False

            def outputframe(self, frame, keyframe=True, timestamp=None, packet=None, audio=False):
                raise NotImplementedError

        class H264Encoder:
            def __init__(
                self,
                bitrate=None,
                repeat=True,
                iperiod=None,
                framerate=None,
                enable_sps_framerate=False,
                qp=None,
                profile=None,
            ):
                pi.calls.append(("H264Encoder", bitrate, repeat, iperiod, framerate))
                self.firsttimestamp = None

        class Picamera2:
            def __init__(self, camera_num=0, tuning=None, allocator=None):
                if camera_num >= pi.cameras:
                    raise IndexError("list index out of range")
                self.camera_controls = {"AfMode": (0, 2, 0), "FrameDurationLimits": (1, 2, 1)}

            def create_video_configuration(self, main={}, lores=None, raw=None, controls={}):  # noqa: B006
                pi.calls.append(("config", main, controls))
                return {"main": main, "controls": controls}

            def configure(self, camera_config="preview"):
                pi.calls.append(("configure",))

            def start_recording(
                self, encoder, output, pts=None, config=None, quality=None, name=None
            ):
                assert isinstance(output, Output)
                output.start()
                self.running = True
                self.thread = threading.Thread(target=self._run, args=(encoder, output))
                self.thread.start()

            def _run(self, encoder, output):
                encoder.firsttimestamp = CLOCK.boot_ns() // 1000
                for number, packet in enumerate(pi.packets):
                    time.sleep(0.01)
                    if not self.running:
                        return
                    output.outputframe(packet, True, number * 10_000, None, False)

            def stop_recording(self):
                pi.calls.append(("stop_recording",))
                self.running = False
                self.thread.join()

            def close(self):
                pi.calls.append(("close",))

        self.modules["picamera2"].Picamera2 = Picamera2
        self.modules["picamera2.encoders"].H264Encoder = H264Encoder
        self.modules["picamera2.outputs"].Output = Output


@pytest.fixture
def pi(tmp_path, monkeypatch):
    made = FakePi(film(tmp_path / "film.ts", 4, fps=50, key_s=0.2))
    for name, module in made.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def test_a_pis_camera_is_recorded_as_its_encoder_gives_it(pi, card, device, keys):
    camera = open_camera("picamera2:0?size=160x120&fps=100")
    began_ns = CLOCK.boot_ns()
    recorded = record(camera, card, device, stop=lambda: CLOCK.boot_ns() - began_ns > SECOND_NS)
    camera.close()
    item = segments(card)[0]
    shown = see(item, keys)
    assert [row.number for row in shown] == list(range(len(shown)))
    assert len(shown) == recorded.frames > 50
    assert shown[10].time_s == pytest.approx(0.1, abs=0.001)  # the sensor's own times
    assert abs(item.record.boot_ns_start - began_ns) < SECOND_NS
    assert pi.calls[0] == (
        "config",
        {"size": (160, 120), "format": "YUV420"},
        {"FrameRate": 100.0, "AfMode": 2},
    )
    assert ("H264Encoder", 6_670_000, True, 100, 100) in pi.calls
    for _ in range(100):
        if ("close",) in pi.calls:
            break
        time.sleep(0.02)
    assert pi.calls[-2:] == [("stop_recording",), ("close",)]


def test_a_pi_without_camera_or_library_says_what_to_do(pi, monkeypatch):
    with pytest.raises(NotFound, match="no camera picamera2:3"):
        PiCamera("picamera2:3")
    for url in ("picamera2:0?size=big", "picamera2:x", "picamera2:0?fps=0"):
        with pytest.raises(Usage, match="no camera of a Pi"):
            PiCamera(url)
    with pytest.raises(Usage, match="zoom"):
        PiCamera("picamera2:0?zoom=2")
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(Failed, match="needs picamera2") as caught:
        open_camera("picamera2:0")
    assert "apt install" in caught.value.hint


def test_units_between_start_codes_of_either_length_are_found():
    data = b"\0\0\0\1\x67abc\0\0\1\x68d\0\0\0\1\x65\0\0\3\1e"
    assert list(units(data)) == [b"\x67abc", b"\x68d", b"\x65\0\0\3\1e"]
    assert Framer(SIZE).picture(0, b"\0\0\0\1\x41later") is None  # no parameters yet
    assert Framer(SIZE).picture(0, data[:12]) is None
    picture = Framer(SIZE).picture(5, data)
    assert (picture.key, picture.time_ns) == (True, 5)
    assert picture.data == b"\0\0\0\6" + b"\x65\0\0\3\1e"
