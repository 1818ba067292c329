"""Whether there is a network: NetworkManager's words, over a real D-Bus."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firsthand.record.home import network
from firsthand.record.home.network import Network, NetworkManager, Unwatched, read_properties


@pytest.mark.parametrize(
    ("state", "up"),
    [(0, None), (10, False), (20, False), (40, False), (50, True), (60, True), (70, True)],
)
def test_up_is_what_is_connected_a_home_without_internet_too(state, up):
    assert read_properties({"State": state, "Connectivity": 4}).up is up


@pytest.mark.parametrize("metered", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["802-11-wireless", "gsm", ""])
def test_metered_is_what_is_said_or_guessed_so_and_a_mobile_network_unless_said_not(metered, kind):
    found = read_properties({"State": 70, "Metered": metered, "PrimaryConnectionType": kind})
    assert found.metered is (metered in (1, 3) or (kind == "gsm" and metered != 2))
    assert found.kind == {"802-11-wireless": "Wi-Fi", "gsm": "mobile network", "": ""}[kind]


def test_a_portal_is_told():
    assert read_properties({"State": 70, "Connectivity": 2}).portal
    assert not read_properties({"State": 70, "Connectivity": 4}).portal


def test_where_nobody_knows_nothing_is_known():
    assert Unwatched().look() == Network(up=None)
    assert read_properties({}) == Network()


# A stand-in for the daemon alone: the bus, the messages and our own code are the real ones.
DAEMON = """
import sys
from jeepney import DBusAddress, message_bus, new_error, new_method_return
from jeepney.io.blocking import open_dbus_connection
bus = open_dbus_connection(bus="SYSTEM")
bus.send_and_get_reply(message_bus.RequestName("org.freedesktop.NetworkManager"))
state, connectivity, metered, kind = sys.argv[1:]
print("ready", flush=True)
while True:
    asked = bus.receive()
    if asked.header.message_type.value != 1:
        continue
    properties = {
        "State": ("u", int(state)),
        "Connectivity": ("u", int(connectivity)),
        "Metered": ("u", int(metered)),
        "PrimaryConnectionType": ("s", kind),
    }
    bus.send(new_method_return(asked, "a{sv}", (properties,)))
"""
CONFIG = """<busconfig>
  <listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>"""


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A message bus of the test's own; call it to have a NetworkManager on it say these things."""
    pytest.importorskip("jeepney")
    daemon = shutil.which("dbus-daemon")
    if not daemon:
        pytest.skip("dbus-daemon is not installed")
    path = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(CONFIG.format(socket=path))
    command = [daemon, f"--config-file={tmp_path / 'bus.conf'}", "--nofork", "--nopidfile"]
    started = [subprocess.Popen(command)]
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)

    def say(*words: object) -> None:
        while len(started) > 1:
            stop(started.pop())
        command = [sys.executable, "-c", DAEMON, *map(str, words)]
        manager = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        started.append(manager)
        assert manager.stdout is not None
        assert manager.stdout.readline() == "ready\n"

    def stop(process: subprocess.Popen) -> None:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()

    yield say
    for process in reversed(started):
        stop(process)


def test_network_manager_is_asked_over_the_system_bus(bus):
    watch = NetworkManager()
    assert watch.look() == Network()  # nobody of that name is there yet
    bus(70, 4, 2, "802-11-wireless")
    assert watch.look() == Network(up=True, kind="Wi-Fi")
    bus(70, 2, 4, "802-11-wireless")
    assert watch.look() == Network(up=True, portal=True, kind="Wi-Fi")
    bus(70, 4, 1, "gsm")
    assert watch.look() == Network(up=True, metered=True, kind="mobile network")
    bus(20, 1, 0, "")
    assert watch.look() == Network(up=False)
    watch.close()


def test_a_bus_that_says_nothing_is_not_waited_for(monkeypatch, tmp_path):
    pytest.importorskip("jeepney")
    monkeypatch.setattr(network, "ASK_S", 0.2)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        assert NetworkManager().look() == Network()


def test_without_a_bus_nothing_is_known_and_nothing_is_raised(monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    assert NetworkManager().look() == Network()
