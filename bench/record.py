"""The recorder beside its peers: CPU, bytes, memory, and what `kill -9` takes.

One synthetic film (2304x1296, 30 pictures a second, 3 GB/h, a key picture each second; textured,
moving, noisy) is recorded offline through the pass-through path, sealed, signed and synced. The
peers get the same film: PyAV writes plain fragmented MP4 with as many syncs, ffmpeg cuts plain
segments. Then each is killed in mid-recording. Every contender is a process of its own.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import av

CHUNK, TAG = 64 * 1024, 16  # of the format (docs/format.md)
SIZE, FPS, BYTES_PER_HOUR = (2304, 1296), 30, 3_000_000_000
MADE_S = 10  # of film are made, and repeated up to the length that is recorded
AIMS = {"cpu_ratio": 1.3, "overhead_percent": 1.0, "rss_ratio": 1.0, "lost_s": 1.0}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
KILL_AT_S = 7.3
LIVE_S = 30


def main() -> int:
    """Prints one JSON object, which names the aims that were missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, help="of film to record")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        name, *arguments = given.worker
        print(json.dumps(WORKERS[name](*arguments)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory counts what its parent held at the fork.
        command = [sys.executable, __file__, "--worker", "film", name, str(given.seconds)]
        film = Path(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        figures = cost(film, folder, given.seconds, given.turns) | losses(film, folder)
    missed = [key for key, aim in AIMS.items() if figures.get(key, 0) > aim]
    about = {"bench": "record", "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    about |= {"commit": commit(), "seconds": given.seconds, "turns": given.turns}
    print(json.dumps(about | figures | {"aims": AIMS, "missed": missed}, indent=1))
    return 0


def cost(film: Path, folder: Path, seconds: int, turns: int) -> dict:
    """CPU, bytes and memory, each contender in turn, medians."""
    ours, pyav, source, seal, ffmpeg = [], [], [], [], []
    for turn in range(turns):
        ours.append(run("ours", film, folder / f"ours{turn}"))
        syncs = str(ours[-1]["syncs"])
        pyav.append(run("pyav", film, folder / f"pyav{turn}", syncs))
        source.append(run("source", film))
        seal.append(run("seal", film))
        if shutil.which("ffmpeg"):
            ffmpeg.append(run_ffmpeg(film, folder / f"ffmpeg{turn}"))
        for made in [path for path in folder.iterdir() if path.is_dir()]:
            shutil.rmtree(made)
    ours_s, pyav_s, source_s, seal_s = (
        statistics.median(row["loop_s"] for row in rows) for rows in (ours, pyav, source, seal)
    )
    live_s = min(LIVE_S, seconds)
    live = run("ours", film, folder / "live", f"live{live_s}")["loop_s"]
    pyav_live = run("pyav", film, folder / "pyav_live", syncs, live_s)["loop_s"]
    frames, size = count(str(film))
    assert {row["frames"] for row in ours} == {frames}
    figures = {
        "cpu_s_per_hour": per_hour(ours_s, seconds),
        "pyav_cpu_s_per_hour": per_hour(pyav_s, seconds),
        "reading_cpu_s_per_hour": per_hour(source_s, seconds),  # in each of the two above
        "sealing_cpu_s_per_hour": per_hour(seal_s, seconds),  # SHA-256 and sealing alone
        "cpu_ratio": round(ours_s / pyav_s, 2),
        # What a recorder would take that did all that PyAV does, sealed and hashed, and no more.
        "cpu_ratio_floor": round((pyav_s + seal_s) / pyav_s, 2),
        "cpu_ratio_without_reading": round((ours_s - source_s) / (pyav_s - source_s), 2),
        # In real time most of it is waking up, 30 times a second, with cold caches.
        "live_cpu_s_per_hour": per_hour(live, live_s),
        "pyav_live_cpu_s_per_hour": per_hour(pyav_live, live_s),
        "syncs": ours[0]["syncs"],
        "overhead_percent": round(100 * (ours[0]["bytes"] / size - 1), 3),
        "pyav_overhead_percent": round(100 * (pyav[0]["bytes"] / size - 1), 3),
        "rss_mb": round(statistics.median(row["rss_mb"] for row in ours), 1),
        "pyav_rss_mb": round(statistics.median(row["rss_mb"] for row in pyav), 1),
    }
    if not ffmpeg:
        return figures | {"note": "ffmpeg is not installed: no comparison with it"}
    rss_mb = statistics.median(row["rss_mb"] for row in ffmpeg)
    return figures | {
        "ffmpeg_rss_mb": round(rss_mb, 1),
        "rss_ratio": round(figures["rss_mb"] / rss_mb, 2),
        "ffmpeg_process_cpu_s_per_hour": per_hour(
            statistics.median(row["process_s"] for row in ffmpeg), seconds
        ),
        "process_cpu_s_per_hour": per_hour(
            statistics.median(row["process_s"] for row in ours), seconds
        ),
    }


def per_hour(cpu_s: float, seconds: int) -> float:
    """CPU seconds for an hour of footage."""
    return round(cpu_s * 3600 / seconds, 2)


def run(worker: str, *arguments: object) -> dict:
    """One contender in a process of its own: what it says, its CPU in all and its peak memory."""
    command = [sys.executable, __file__, "--worker", worker, *map(str, arguments)]
    if worker == "ours":
        command = [sys.executable, "-c", OURS, *map(str, (*arguments, "offline")[:3])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    said = json.loads(process.stdout.read())
    return said | usage(process)


def run_ffmpeg(film: Path, folder: Path) -> dict:
    """`ffmpeg -f segment` on the same film."""
    folder.mkdir()
    segments = ["-f", "segment", "-segment_time", "60", "-segment_format_options"]
    options = "movflags=frag_keyframe+empty_moov"
    command = ["ffmpeg", "-v", "error", "-i", str(film), "-c", "copy", *segments, options]
    return usage(subprocess.Popen([*command, str(folder / "%d.mp4")]))


def usage(process: subprocess.Popen) -> dict:
    """CPU and peak memory of a child, once it ended well."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{process.args} failed")
    # Linux counts in kB.
    return {"process_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}


# --- the contenders


# A process that holds nothing but the recorder, which reads the film at full speed and takes it for
# a live camera: sealed, signed, synced twice a second.
OURS = """
import json, sys, time
from firsthand.age import Identity
from firsthand.crypto import SigningKey
from firsthand.record.sealing import open_segment, part
from firsthand.record.cameras.av_camera import AvCamera
from firsthand.record.cameras.watchdog import Watched
from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.device import create_device
from firsthand.record.recorder import record

film, folder, pace = sys.argv[1:]

class Paced(AvCamera):
    def samples(self):
        began_ns = Clock().boot_ns()
        for sample in super().samples():
            time_ns = sample.time_ns if pace == "paced" else began_ns + sample.time_ns
            time.sleep(max(0, began_ns + sample.time_ns - Clock().boot_ns()) / 1e9)
            if pace == "paced":
                print(time_ns, flush=True)
            yield sample._replace(time_ns=time_ns)

identity, synced, sync = Identity.generate(), [], part._sync
part._sync = open_segment._sync = lambda handle: (synced.append(handle), sync(handle))
device = create_device(f"{folder}/device", name="d-1", person="p-1",
                       vault_url="http://127.0.0.1:9", recipient=str(identity.recipient),
                       receipt_key=str(SigningKey.generate().public))
open(f"{folder}/identity", "w").write(str(identity))
card = Card.create(f"{folder}/card")
if pace.startswith("live"):  # under watch, in real time, as on a device
    camera = Watched("film", lambda: Paced(f"copy:{film}"))
else:
    camera = (Paced if pace == "paced" else AvCamera)(f"copy:{film}")
camera.live = True
ends = time.monotonic() + float(pace[4:] or 0) if pace.startswith("live") else float("inf")
began = time.process_time()  # the file is open, and its first picture was looked at, as in each
done = record(camera, card, device, stop=lambda: time.monotonic() > ends)
print(json.dumps({"loop_s": time.process_time() - began, "syncs": len(synced),
                  "frames": done.frames, "bytes": done.size_bytes}))
"""


def work_pyav(film: str, folder: str, syncs: str, live_s: str = "0") -> dict:
    """PyAV copies the packets into plain fragmented MP4, 60 s a file, synced as often."""
    Path(folder).mkdir()
    frames = count(film)[0]
    every = max(1, frames // int(syncs))
    out, handle, done = None, -1, 0
    with av.open(film) as source:
        began, began_s = time.process_time(), time.monotonic()
        stream = source.streams.video[0]
        for packet in source.demux(stream):
            if not packet.size:
                continue
            if float(live_s):
                time.sleep(max(0, began_s + done / FPS - time.monotonic()))
                if done >= float(live_s) * FPS:
                    break
            if done % (60 * FPS) == 0:
                close(out, handle)
                path = str(Path(folder) / f"{done}.mp4")
                Path(path).touch()  # PyAV opens it with its first packet only
                out = av.open(path, "w", options=FRAGMENTED)
                copy = out.add_stream_from_template(stream)
                handle = os.open(path, os.O_RDONLY)
            packet.stream = copy
            out.mux(packet)
            done += 1
            if done % every == 0:
                os.fdatasync(handle)
        close(out, handle)
        spent = time.process_time() - began
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return {"loop_s": spent, "bytes": size}


def close(out: object, handle: int) -> None:
    """End a file and sync it."""
    if out:
        out.close()
        os.fdatasync(handle)
        os.close(handle)


def work_source(film: str) -> dict:
    """Only read the film, as both recorders do."""
    with av.open(film) as source:
        began = time.process_time()
        for packet in source.demux(video=0):
            memoryview(packet) if packet.size else None
        return {"loop_s": time.process_time() - began}


def work_seal(film: str) -> dict:
    """Only seal as many bytes in chunks and hash them, from and to memory: the format's own cost.

    Straight at the libraries, without a line of ours between.
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    cipher, hashed = ChaCha20Poly1305(os.urandom(32)), hashlib.sha256()
    plain, sealed = memoryview(bytearray(os.urandom(CHUNK))), memoryview(bytearray(CHUNK + TAG))
    chunks = -(-count(film)[1] // CHUNK)
    began = time.process_time()
    for number in range(chunks):
        cipher.encrypt_into(number.to_bytes(12, "big"), plain, None, sealed)
        hashed.update(sealed)
    return {"loop_s": time.process_time() - began}


def count(film: str) -> tuple[int, int]:
    """Pictures of a film and their bytes."""
    with av.open(film) as source:
        sizes = [packet.size for packet in source.demux(video=0) if packet.size]
    return len(sizes), sum(sizes)


# --- what a kill takes


def losses(film: Path, folder: Path) -> dict:
    """Seconds of footage that `kill -9` took from each, all fed in real time, side by side."""
    command = [sys.executable, "-c", OURS, str(film), str(folder / "paced"), "paced"]
    ours = subprocess.Popen(command, stdout=subprocess.PIPE)
    peers: dict[str, subprocess.Popen] = {}
    if shutil.which("ffmpeg"):
        made = {"fragmented": ["-movflags", "frag_keyframe+empty_moov"], "plain": []}
        feed = ["ffmpeg", "-v", "error", "-f", "h264", "-framerate", str(FPS), "-i", "pipe:0"]
        for name, options in made.items():
            target = [*options, str(folder / f"{name}.mp4")]
            peers[name] = subprocess.Popen(
                [*feed, "-c", "copy", *target], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
    fed = feed_peers(film, list(peers.values()))
    last = b""
    began_ns = int(ours.stdout.readline())
    while (line := ours.stdout.readline()) and int(line) - began_ns < KILL_AT_S * 1e9:
        last = line
    os.kill(ours.pid, signal.SIGKILL)
    rest = ours.stdout.read().split()
    given_s = (int(rest[-1] if rest else last) - began_ns) / 1e9
    found = {"lost_s": round(given_s - recovered(folder / "paced"), 2)}
    fed_s = fed()
    for name, process in peers.items():
        process.kill()
        process.wait()
        found[f"ffmpeg_{name}_lost_s"] = round(fed_s - seconds_in(folder / f"{name}.mp4"), 2)
    return found


def feed_peers(film: Path, processes: list[subprocess.Popen]):
    """Feed H.264 to these in real time from now on; call the result to stop: seconds fed."""
    stopped, fed = threading.Event(), [0.0]

    def feed() -> None:
        with av.open(str(film)) as source:
            stream = source.streams.video[0]
            annex_b = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
            began = time.monotonic()
            for number, packet in enumerate(source.demux(stream)):
                time.sleep(max(0, began + number / FPS - time.monotonic()))
                if stopped.is_set():
                    return
                data = b"".join(bytes(one) for one in annex_b.filter(packet))
                for process in processes:
                    process.stdin.write(data)
                    process.stdin.flush()
                fed[0] = number / FPS

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()

    def stop() -> float:
        while fed[0] < KILL_AT_S:
            time.sleep(0.01)
        stopped.set()
        thread.join()
        return fed[0]

    return stop


def recovered(folder: Path) -> float:
    """Seconds of footage in what the killed recorder left, after salvage, opened by the vault."""
    from firsthand.age import Identity, Opener, open_header
    from firsthand.record.card.card import Card
    from firsthand.record.card.salvage import salvage
    from firsthand.record.device import load_device

    identity = Identity.parse((folder / "identity").read_text())
    card = Card(folder / "card")
    salvage(card, load_device(folder / "device"))
    (item,) = card.waiting()
    video = item.record.parts[0]
    payload = item.read(0, video.size_bytes)
    key = open_header(base64.b64decode(item.headers()["video"]), [identity])
    plain = Opener(key, io.BytesIO(payload), len(payload), allow_cut=True).read_all()
    return seconds_in(io.BytesIO(plain))


def seconds_in(video: "Path | io.BytesIO") -> float:
    """Time of the last picture that a demuxer finds; 0 if it finds none."""
    try:
        with av.open(str(video) if isinstance(video, Path) else video) as source:
            found = [packet for packet in source.demux(video=0) if packet.size]
            return float(max(packet.pts * packet.time_base for packet in found))
    except (av.error.FFmpegError, ValueError):
        return 0.0


# --- the film


def make_film(folder: str, length: str) -> str:
    """So many seconds of film: MADE_S of it, over and over."""
    once, film, seconds = Path(folder) / "once.mp4", Path(folder) / "film.mp4", int(length)
    encode(once)
    with av.open(str(film), "w") as out:
        copy, number = None, 0
        while number < seconds * FPS:
            with av.open(str(once)) as source:
                stream = source.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if not packet.size or number >= seconds * FPS:
                        continue
                    packet.stream, packet.time_base = copy, stream.time_base
                    ticks = round(number / FPS / stream.time_base)
                    packet.pts = packet.dts = ticks
                    packet.duration = round(1 / FPS / stream.time_base)
                    out.mux(packet)
                    number += 1
    return str(film)


def encode(path: Path) -> None:
    """A textured scene that drifts, with noise upon it, at the planned rate."""
    import numpy as np

    width, height = SIZE
    chance = np.random.default_rng(1)
    coarse = chance.integers(40, 200, (height // 16 + 40, width // 16 + 40), dtype=np.uint8)
    scene = np.kron(coarse, np.ones((16, 16), dtype=np.uint8))
    scene = scene // 2 + chance.integers(0, 60, scene.shape, dtype=np.uint8)
    noise = chance.integers(0, 8, (height + 64, width + 64), dtype=np.uint8)
    chroma = np.full((height // 2, width), 128, dtype=np.uint8)
    bits = BYTES_PER_HOUR * 8 // 3600
    options = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": str(FPS)}
    options |= {"x264-params": f"scenecut=0:vbv-maxrate={bits // 1000}:vbv-bufsize={bits // 1000}"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = (
            width,
            height,
            "yuv420p",
            bits,
        )
        for number in range(MADE_S * FPS):
            x, y = 3 * number % 600, 2 * number % 600
            seen = (
                scene[y : y + height, x : x + width] + np.roll(noise, 37 * number)[:height, :width]
            )
            frame = av.VideoFrame.from_ndarray(np.concatenate([seen, chroma]), format="yuv420p")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def machine() -> str:
    """The processor's name and how many of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {name}"


def commit() -> str:
    """The commit that is measured."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


WORKERS = {"film": make_film, "pyav": work_pyav, "source": work_source, "seal": work_seal}

if __name__ == "__main__":
    sys.exit(main())
