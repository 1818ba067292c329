"""What systemd hears: from the messages themselves, and from a recorder that really runs."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from firsthand.config import mark
from firsthand.record.card.card import Card
from firsthand.record.notify import Service


@pytest.fixture
def line(tmp_path):
    """The socket that systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(20)
        yield bound


def hear(line) -> str:
    return line.recv(4096).decode()


def hear_until(line, stop_s: float) -> None:
    while time.monotonic() < stop_s:
        hear(line)


def test_ready_is_said_once_and_pings_at_most_once_a_second(line, tmp_path):
    now = [5.0]
    service = Service({"NOTIFY_SOCKET": str(tmp_path / "notify")}, lambda: now[0])
    service.ready("recording")
    service.ready("recording")
    service.ping()
    service.ping()
    now[0] += 1
    service.ping()
    service.ready("recording: 1 segment")
    service.stopping()
    heard = [hear(line) for _ in range(5)]
    assert heard[0] == "READY=1\nSTATUS=recording"
    assert heard[1:3] == ["WATCHDOG=1"] * 2
    assert heard[3:] == ["STATUS=recording: 1 segment", "STOPPING=1"]


def test_an_abstract_socket_is_found():
    name = f"firsthand-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("\0" + name)
        bound.settimeout(5)
        Service({"NOTIFY_SOCKET": "@" + name}).ping()
        assert hear(bound) == "WATCHDOG=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_systemd_nothing_is_said_and_nothing_fails(environment):
    service = Service(environment)
    service.ready()
    service.ping()


def test_a_recorder_pings_from_its_loop_and_no_more_once_it_hangs(line, make_device, tmp_path):
    data = mark(tmp_path / "data", "real")
    device = make_device(data / "devices" / "d-1")
    Card.create(device.folder / "card")
    arguments = ["--data", str(data), "record", "start"]
    arguments += ["--camera", "lavfi:testsrc2=size=64x48:rate=4", "--seconds", "1e9"]
    started = subprocess.Popen(
        [sys.executable, "-m", "firsthand", *arguments],
        env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        heard = ""
        while heard.count("WATCHDOG=1") < 2 or "READY=1" not in heard:
            heard += hear(line) + "\n"
        assert heard.count("READY=1") == 1
        assert "STATUS=recording" in heard
        started.send_signal(signal.SIGSTOP)  # hangs, as in a driver
        line.settimeout(1.5)
        with pytest.raises(TimeoutError):  # after what was under way
            hear_until(line, time.monotonic() + 5)
        started.send_signal(signal.SIGCONT)
        started.send_signal(signal.SIGTERM)
        line.setblocking(False)
        out, errors = started.communicate(timeout=30)
    finally:
        started.kill()
    assert started.returncode == 0, errors
    assert "recorded" in out
