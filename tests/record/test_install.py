"""The services: systemd itself checks them, and installing twice changes nothing."""

import configparser
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from firsthand.errors import Failed, Usage
from firsthand.record import install as units
from firsthand.record.install import (
    ACCOUNT,
    PANEL,
    RECORDER,
    UNITS,
    UPLOADER,
    Plan,
    install,
    remove,
)

PLAN = Plan("picamera2:", Path("/var/lib/firsthand"), Path("/mnt/card"), "nobody")


def unit(root, name):
    read = configparser.RawConfigParser(strict=False)
    read.optionxform = str
    read.read_string((root / UNITS / name).read_text())
    return read


def test_installing_twice_changes_nothing_and_removing_leaves_nothing_of_it(tmp_path):
    written = install(PLAN, tmp_path)
    assert written == [f"/{UNITS}/{RECORDER}", f"/{UNITS}/{UPLOADER}"]
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert install(PLAN, tmp_path) == []
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    changed = install(replace(PLAN, camera="v4l2:/dev/video0"), tmp_path)
    assert changed == [f"/{UNITS}/{RECORDER}"]
    assert len(remove(tmp_path)) == 2
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert remove(tmp_path) == []


def test_what_is_written_is_started_and_owned_and_only_a_change_starts_it_anew(tmp_path):
    me = pwd.getpwuid(os.getuid()).pw_name
    data, card = tmp_path / "data", tmp_path / "card"
    (data / "devices").mkdir(parents=True)
    card.mkdir()
    plan = replace(PLAN, data=data, card=card, user=me)
    ran: list[list[str]] = []
    install(plan, tmp_path / "root", ran.append)
    assert ran == [["systemctl", "daemon-reload"], ["systemctl", "restart", RECORDER, UPLOADER]]
    ran.clear()
    install(plan, tmp_path / "root", ran.append)
    assert ran == [["systemctl", "start", RECORDER, UPLOADER]]
    ran.clear()
    remove(tmp_path / "root", ran.append)
    assert ran == [["systemctl", "stop", RECORDER, UPLOADER], ["systemctl", "daemon-reload"]]
    ran.clear()
    with pytest.raises(Failed, match="cannot give"):
        install(replace(plan, user="fh-nobody-has-this"), tmp_path / "root", ran.append)
    assert ran == [["systemd-sysusers", str(tmp_path / "root" / ACCOUNT)]]


def test_both_start_at_boot_and_are_started_again_for_ever(tmp_path):
    install(PLAN, tmp_path)
    for name in (RECORDER, UPLOADER):
        wanted = tmp_path / UNITS / "multi-user.target.wants" / name
        assert str(wanted.readlink()) == f"/{UNITS}/{name}"
        read = unit(tmp_path, name)
        assert read["Service"]["Restart"] == "always"
        assert read["Unit"]["StartLimitIntervalSec"] == "0"
        assert read["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize(
    ("plan", "recorder"),
    [
        (PLAN, {"ProtectHome": "yes", "IPAddressDeny": "any", "MemoryMax": "300M"}),
        (replace(PLAN, data=Path("/home/pi/data")), {"ProtectHome": "read-only"}),
        (replace(PLAN, camera="rtsp://10.0.0.2/x"), {"IPAddressDeny": None}),
        (
            replace(PLAN, card=Path("/mnt/my card"), camera="v4l2:/dev/video0?a=%d&b=$x"),
            {
                "ReadWritePaths": '-/var/lib/firsthand "-/mnt/my card"',
                "ExecStart": f":{sys.executable} -m firsthand --data /var/lib/firsthand record "
                "start --camera v4l2:/dev/video0?a=%%d&b=$x",
            },
        ),
    ],
)
def test_the_recorder_gets_what_its_plan_needs_and_no_more(plan, recorder, tmp_path):
    install(plan, tmp_path)
    service = unit(tmp_path, RECORDER)["Service"]
    assert {name: service.get(name) for name in recorder} == recorder
    assert service["Type"] == "notify"
    assert service["User"] == "nobody"


def test_button_and_led_get_a_service_that_reaches_pins_and_nothing_else(tmp_path):
    install(replace(PLAN, button=17, led=27), tmp_path)
    service = unit(tmp_path, PANEL)["Service"]
    assert service["ExecStart"].endswith(" device panel --button 17 --led 27")
    assert service["DeviceAllow"] == "char-gpiochip rw"
    assert len(remove(tmp_path)) == 3


@pytest.mark.parametrize("pins", [{"button": 28}, {"led": -1}, {"led": 3, "haptic": 3}])
def test_pins_that_cannot_be_are_refused(pins, tmp_path):
    with pytest.raises(Usage, match="from 0 to 27"):
        install(replace(PLAN, **pins), tmp_path)


def test_an_account_is_made_only_where_it_is_missing(tmp_path):
    install(replace(PLAN, user="firsthand"), tmp_path)
    assert (tmp_path / ACCOUNT).read_text().startswith("u firsthand ")
    (tmp_path / "etc/passwd").write_text("pi:x:1000:1000::/home/pi:/bin/sh\n")
    (tmp_path / ACCOUNT).unlink()
    install(replace(PLAN, user="pi"), tmp_path)
    assert not (tmp_path / ACCOUNT).exists()


def test_only_groups_that_the_machine_has_are_named(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("root:x:0:\nvideo:x:44:\ngpio:x:997:\n")
    install(PLAN, tmp_path)
    assert unit(tmp_path, RECORDER)["Service"]["SupplementaryGroups"] == "video gpio"


@pytest.mark.parametrize("change", [{"camera": ""}, {"user": "a\nb"}, {"camera": "a\nExecStart=b"}])
def test_what_would_add_lines_to_a_unit_is_refused(change, tmp_path):
    with pytest.raises(Usage):
        install(replace(PLAN, **change), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "etc").write_text("a file")
    with pytest.raises(Failed, match="cannot write"):
        install(PLAN, tmp_path)


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not here"
)


@needs_systemd
@pytest.mark.parametrize("camera", ["picamera2:", "rtsp://10.0.0.2/x y'\"\\%n;#"])
def test_systemd_finds_nothing_wrong_with_the_units(camera, tmp_path):
    card = tmp_path / "my card"
    install(Plan(camera, tmp_path / "data", card, "root", button=17, enrol=True), tmp_path)
    files = [str(tmp_path / UNITS / name) for name in units.SERVICES]
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files],
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_something_wrong_where_there_is(tmp_path):
    install(PLAN, tmp_path)
    file = tmp_path / UNITS / RECORDER
    file.write_text(file.read_text().replace("WatchdogSec=30", "WatchdogSec=often"))
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True
    )
    assert f"{RECORDER}:" in told.stderr
    assert "often" in told.stderr


@needs_systemd
@pytest.mark.parametrize(
    ("name", "exposure"), [(RECORDER, 25), (UPLOADER, 25), (PANEL, 25), (units.ENROLMENT, 30)]
)
def test_systemd_rates_the_services_as_well_confined(name, exposure, tmp_path):
    """In tenths; 92 to 96 is what a service without any of this gets."""
    install(replace(PLAN, button=17, enrol=True), tmp_path)
    told = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=yes", f"--threshold={exposure}"),
            str(tmp_path / UNITS / name),
        ],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-300:]


def test_a_command_that_fails_is_told():
    with pytest.raises(Failed, match=r"systemd|not here"):
        units.command(["systemctl-that-is-not-there"])
    with pytest.raises(Failed, match='"false" failed'):
        units.command(["false"])
