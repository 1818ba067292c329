"""The wearer's verbs, as a wearer types them, against a real recorder in another process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firsthand.cli import main
from firsthand.record.card.card import Card
from firsthand.record.device import load_device

RECORDING = """
import sys, time
from firsthand.record.cameras.camera import Motion, Picture
from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.device import load_device
from firsthand.record.recorder import record, stop_on_signals

class Camera:
    name, fps, size, sound_hz, live = "steady", 20.0, (64, 48), 0, True
    wall_ns, wall_quality = None, "none"
    def samples(self):
        clock = Clock()
        while True:
            yield Picture(clock.boot_ns(), 64, 48, rgb=bytes(64 * 48 * 3))
            time.sleep(0.05)
    def close(self):
        pass

device = load_device(sys.argv[1])
with stop_on_signals() as stop:
    record(Camera(), Card(device.folder / "card"), device, stop=stop)
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("FIRSTHAND_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FIRSTHAND_VAULT_URL", "http://127.0.0.1:9")
    assert main(["person", "add", "ana"]) == 0
    return tmp_path / "data"


@pytest.fixture
def folder(data: Path, capsys) -> Path:
    capsys.readouterr()
    return next((data / "devices").iterdir())


@pytest.fixture
def recorder(folder: Path):
    process = subprocess.Popen([sys.executable, "-c", RECORDING, str(folder)])
    deadline = time.monotonic() + 30
    while status()["doing"] != "recording":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        process.terminate()
        assert process.wait(20) == 0


def status() -> dict:
    read = [sys.executable, "-m", "firsthand", "device", "status", "--json"]
    return json.loads(subprocess.run(read, capture_output=True, check=True).stdout)


def said(capsys, *arguments: str, code: int = 0) -> str:
    assert main(["device", *arguments]) == code
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_a_day_with_a_device(recorder, folder, capsys):
    card = Card(folder / "card")
    assert "recording\n" in said(capsys, "status")
    assert "marked: the red door" in said(capsys, "bookmark", "the red door")
    assert "paused for 15 min more, until" in said(capsys, "pause", "--for", "15m")
    assert "nothing to mark" in said(capsys, "bookmark", code=1)
    deadline = time.monotonic() + 10
    while card.opened():  # closed at the next picture
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert said(capsys, "resume") == "recording\n"
    told = said(capsys, "forget", "--last", "1")
    assert "gone from the card" in told
    assert "asked first thing when it is reached" in told
    kinds = [item.record.kind for item in card.waiting()]
    assert kinds[0] == "forgotten"
    assert kinds[1] == "gap"
    assert set(kinds[2:]) == {"forgotten"}
    assert "1 to be forgotten in the vault too" in said(capsys, "status")
    # Killed, it is dark at once.
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait()
    assert "stopped" in said(capsys, "status")
    assert status()["doing"] == "stopped"


def test_a_pause_outlives_the_recorder(folder, capsys):
    assert "stopped; and paused until you resume" in said(capsys, "pause")
    process = subprocess.Popen([sys.executable, "-c", RECORDING, str(folder)])
    deadline = time.monotonic() + 30
    while status()["doing"] != "paused":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    assert process.wait(20) == 0
    waiting = Card(folder / "card").waiting()
    assert [(item.record.kind, item.record.reason) for item in waiting] == [("gap", "paused")]
    assert said(capsys, "resume") == "stopped\n"


@pytest.mark.parametrize("length", ["", "15", "0m", "x", "1d", "-5m"])
def test_a_length_that_makes_no_sense_is_refused(folder, capsys, length):
    assert "no length of a pause" in said(capsys, "pause", "--for", length, code=2)
    assert not (folder / "control.json").exists()


def test_the_controls_need_no_package_of_a_vault_nor_a_camera(folder):
    code = (
        "import sys; from firsthand.cli import main;"
        "codes = [main(['device', *words.split()]) for words in "
        "('status', 'pause --for 1h', 'resume')];"
        "heavy = {'sqlalchemy', 'av', 'fastapi', 'numpy', 'gpiozero'} & set(sys.modules);"
        "print(codes, heavy)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[0, 0, 0] set()"
    assert load_device(folder).name
