import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from recording import (
    SECOND_NS,
    NumberedCamera,
    one_chain,
    open_parts,
    pictures,
    segments,
    tile,
    whole_footage,
)

from firsthand.config import mark
from firsthand.errors import Failed
from firsthand.record.card.card import Card
from firsthand.record.card.salvage import salvage
from firsthand.record.device import load_device
from firsthand.record.recorder import record
from firsthand.segment import iter_events, iter_motion, verify_record

RECORDING = """
import resource, sys, time
sys.path.insert(0, {here!r})
from recording import NumberedCamera
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record

class Telling(NumberedCamera):
    def samples(self):
        for row in super().samples():
            print(row.time_ns, flush=True)
            yield row

limit = {limit}
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
camera = Telling({seconds}, live=True, paced=True, size={size}, fps={fps})
record(camera, Card({card!r}), load_device({device!r}), segment_s={segment_s})
"""


def run_recorder(card: Card, device, **options) -> subprocess.Popen:
    defaults = {"seconds": 60, "size": (160, 120), "fps": 8.0, "limit": 0, "segment_s": 60.0}
    script = RECORDING.format(
        here=str(Path(__file__).parent),
        card=str(card.path),
        device=str(device.folder),
        **(defaults | options),
    )
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kill_at(process: subprocess.Popen, seconds: float) -> float:
    """Kill -9 once the camera has reached this time; returns the last time it gave out."""
    last = 0
    for line in process.stdout:
        last = int(line)
        if last >= seconds * SECOND_NS:
            break
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    return int(rest[-1] if rest else last) / 1e9


@pytest.mark.parametrize(
    ("at_s", "options"),
    [
        (1.9, {}),
        (3.3, {"segment_s": 2.0}),
        (2.6, {"fps": 24.0, "size": (640, 480)}),
    ],
)
def test_kill_9_loses_less_than_a_second_and_keeps_the_chain(at_s, options, card, device, keys):
    killed_s = kill_at(run_recorder(card, device, **options), at_s)
    salvage(card, device)
    items = segments(card)
    cut = items[-1]
    assert cut.record.cut
    assert cut.record.reason == "cut"
    parts = open_parts(cut, keys.ingest)
    shown = pictures(parts["video"])
    last_s = cut.record.boot_ns_start / 1e9 + shown[-1].time_s
    assert killed_s - last_s < 1.0
    assert killed_s - cut.record.boot_ns_end / 1e9 < 1.0
    assert killed_s - list(iter_motion(parts["motion"]))[-1][0] / 1e9 < 1.0
    told = [row["start_ns"] / 1e9 for row in iter_events(parts.get("events", b""))]
    begun_s = cut.record.boot_ns_start / 1e9
    given = [second + 0.5 for second in range(int(killed_s) + 1)]
    assert {at_s for at_s in given if begun_s <= at_s <= killed_s - 1} <= set(told)
    assert 0 < cut.record.frames <= len(shown)
    videos = [open_parts(item, keys.ingest)["video"] for item in items]
    numbers = [row.number for video in videos for row in pictures(video)]
    assert numbers == list(range(len(numbers)))
    records = [verify_record(item.envelope, device.key.public) for item in card.waiting()]
    assert all(after.prev == before.hash() for before, after in pairwise(records))


def test_the_next_recording_salvages_and_goes_on(card, device):
    kill_at(run_recorder(card, device), 1.5)
    recorded = record(NumberedCamera(1), card, device)
    cut, new = [item.record for item in card.waiting()]
    assert recorded.salvaged == 1
    assert cut.cut
    assert not new.cut
    assert (new.seq, new.prev) == (cut.seq + 1, cut.hash())


def snapshots(tmp_path: Path, card: Card, device, monkeypatch) -> list[Path]:
    """Card and device as they stand before each rename, sync and unlink of one recording."""
    taken: list[Path] = []

    def watch(name):
        real = getattr(os, name)

        def watched(*args, **kwargs):
            place = tmp_path / f"cut{len(taken):03d}"
            shutil.copytree(card.path, place / "card")
            shutil.copytree(device.folder, place / "device")
            taken.append(place)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, watched)

    for name in ("rename", "replace", "fsync"):
        watch(name)
    record(NumberedCamera(3), card, device, segment_s=1.0)
    monkeypatch.undo()
    return taken


def test_a_cut_between_any_two_steps_is_salvaged_into_one_valid_chain(
    tmp_path, card, device, keys, monkeypatch
):
    places = snapshots(tmp_path, card, device, monkeypatch)
    assert len(places) > 40
    for place in places:
        left, held = Card(place / "card"), load_device(place / "device")
        record(NumberedCamera(0.5), left, held)
        items = left.waiting()
        records = [verify_record(item.envelope, held.key.public) for item in items]
        assert not list((left.path / "open").iterdir())
        assert all(after.prev == before.hash() for before, after in pairwise(records))
        assert all(after.seq > before.seq for before, after in pairwise(records))
        for item in segments(left):
            assert len(pictures(open_parts(item, keys.ingest)["video"])) >= item.record.frames


def test_a_torn_tail_and_a_missing_mark_still_open(card, device, keys):
    kill_at(run_recorder(card, device), 2.5)
    folder = next((card.path / "open").iterdir())
    with open(folder / "video.part", "ab") as file:
        file.write(os.urandom(5000))
    (folder / "mark").unlink()
    salvage(card, device)
    item = segments(card)[0]
    assert item.record.frames == 0  # nothing is claimed that isn't known
    assert len(pictures(open_parts(item, keys.ingest)["video"])) >= 8


@pytest.mark.fault("D8")
def test_d8_a_file_that_may_not_grow_is_cut_and_the_next_one_begun(card, device, keys):
    process = run_recorder(card, device, limit=200_000, size=(640, 480), seconds=4)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    records = one_chain(card, device)
    tile(records)
    told = [(each.kind, each.reason) for each in records[:2]]
    assert told == [("segment", "cut"), ("gap", "full")]
    numbers = whole_footage(card, device, keys.ingest)
    assert numbers == sorted(set(numbers))
    assert numbers


def test_a_small_disk_fills_and_earlier_segments_stay_intact(tmp_path, device, keys):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4600k", "none", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        card = Card.create(place / "card")
        with pytest.raises(Failed, match="is full") as caught:
            record(NumberedCamera(60), card, device, segment_s=2.0)
        assert "carry home" in caught.value.hint
        items = segments(card)
        assert items
        for item in items:
            assert pictures(open_parts(item, keys.ingest)["video"])
            assert not item.record.cut
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_budget_ends_recording_before_the_disk_does(tmp_path, device):
    card = Card.create(tmp_path / "small", budget_bytes=100_000)
    with pytest.raises(Failed, match="is full"):
        record(NumberedCamera(60), card, device, segment_s=5.0)
    assert 1 <= len(segments(card)) < 12


def test_a_write_error_in_mid_segment_leaves_a_cut_segment(card, device, keys, monkeypatch):
    real, written = os.write, []

    def failing(handle, data):
        if len(data) > 60_000:
            written.append(len(data))
            if len(written) > 3:
                raise OSError(5, "Input/output error")
        return real(handle, data)

    monkeypatch.setattr(os, "write", failing)
    record(NumberedCamera(20, live=True), card, device)
    monkeypatch.undo()
    item = segments(card)[0]
    assert item.record.cut
    assert {each.reason for each in one_chain(card, device)} >= {"cut", "card"}
    assert pictures(open_parts(item, keys.ingest)["video"])


def test_ctrl_c_closes_the_segment_cleanly(card, device, keys):
    script = """
import sys
sys.path.insert(0, {here!r})
from recording import NumberedCamera
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record, stop_on_signals
print("ready", flush=True)
with stop_on_signals() as stop:
    done = record(NumberedCamera(60, live=True, paced=True), Card({card!r}),
                  load_device({device!r}), stop=stop)
sys.exit(42 if done.stopped else 1)
"""
    here = str(Path(__file__).parent)
    script = script.format(here=here, card=str(card.path), device=str(device.folder))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 42
    item = segments(card)[0]
    assert not item.record.cut
    assert len(pictures(open_parts(item, keys.ingest)["video"])) == item.record.frames


def test_salvage_of_an_unbegun_segment_says_that_nothing_was_recorded(card, device):
    (card.path / "open" / "0000000007-abcdef").mkdir()
    (left,) = salvage(card, device)
    assert (left.kind, left.reason, left.seq, left.session) == ("gap", "cut", 7, "abcdef")
    assert not left.parts


# Whoever imports PyAV in this process fails: it takes 17 MB, of which a Pi Zero 2 W has few.
WITHOUT_PYAV = """
import sys
sys.modules["av"] = None
from firsthand.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_uploader_and_the_wearers_commands_need_no_pyav(tmp_path, make_device):
    mark(tmp_path, "real")
    device = make_device(tmp_path / "devices" / "d-1")
    card = Card.create(device.folder / "card")
    (card.path / "open" / "0000000007-abcdef").mkdir()  # of a recorder that died
    (tmp_path / "firsthand.toml").write_text('vault_url = "http://127.0.0.1:9"\n')
    for command, code in (("device status", 0), ("record upload --patience 0", 3)):
        arguments = ["--data", str(tmp_path), *command.split()]
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_PYAV, *arguments], capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
    assert [item.record.reason for item in card.waiting()] == ["cut"]
