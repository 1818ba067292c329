"""`firsthand device` as people call it: install, and what the vault's side lists."""

import json
from pathlib import Path

import pytest

from firsthand.cli import main


@pytest.fixture
def data(tmp_path, capsys) -> Path:
    assert main(["--data", str(tmp_path / "data"), "person", "add", "ana"]) == 0
    capsys.readouterr()
    return tmp_path / "data"


def test_install_writes_the_services_below_a_root_and_removes_them(data, tmp_path, capsys):
    root, card = tmp_path / "root", tmp_path / "card"
    given = ["--data", str(data), "device", "install", "--root", str(root), "--button", "17"]
    assert main([*given, "--card", str(card)]) == 0
    shown = capsys.readouterr().out
    assert "written: /etc/systemd/system/firsthand-recorder.service" in shown
    unit = root / "etc/systemd/system/firsthand-recorder.service"
    assert f"--data {data.resolve()} record start --camera picamera2:0" in unit.read_text()
    assert main(given) == 0
    assert "all is as it should be" in capsys.readouterr().out
    assert main([*given, "--remove"]) == 0
    assert "removed: " in capsys.readouterr().out
    assert not unit.exists()


def test_install_needs_a_device(tmp_path, capsys):
    given = ["--data", str(tmp_path / "none"), "device", "install", "--root", str(tmp_path)]
    assert main(given) == 10
    assert "firsthand device enrol" in capsys.readouterr().err


def test_a_device_that_is_to_be_enrolled_later_waits_for_that_as_a_service(tmp_path, capsys):
    root, data, card = tmp_path / "root", tmp_path / "pi", tmp_path / "usb"
    given = ["--data", str(data), "device", "install", "--root", str(root), "--enrol"]
    assert main([*given, "--card", str(card)]) == 0
    shown = capsys.readouterr().out
    assert "this computer, once it is enrolled, records from power-on" in shown
    unit = (root / "etc/systemd/system/firsthand-enrolment.service").read_text()
    assert f"ConditionPathExistsGlob=!{data}/devices/*/device.json" in unit
    assert f"device enrol --wait --scan picamera2:0 --card {card}" in unit
    (card / "card.json").unlink()  # as an empty mount point
    assert main(["--data", str(data), "device", "enrol", "--wait", "--card", str(card)]) == 10
    assert "not marked as a card" in capsys.readouterr().err
    for wrong in ([], ["http://vault.local:8707", "--wait"]):
        assert main(["--data", str(data), "device", "enrol", *wrong]) == 2
    capsys.readouterr()


def test_list_and_revoke_at_the_vault(data, capsys):
    (name,) = (path.name for path in (data / "devices").iterdir())
    assert main(["--data", str(data), "device", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []  # this computer sends no heartbeats
    assert main(["--data", str(data), "device", "revoke", name]) == 0
    assert main(["--data", str(data), "device", "revoke", name]) == 13
    assert f"device {name} is revoked" in capsys.readouterr().err


def test_a_code_is_shown_as_text_and_as_a_qr_and_as_json(data, tmp_path, capsys):
    given = ["--data", str(data), "person", "enrol-code", "ana"]
    picture = tmp_path / "code.svg"
    assert main([*given, "--no-wait", "--svg", str(picture)]) == 0
    assert "on the device: firsthand device enrol http" in capsys.readouterr().out
    assert picture.read_text().startswith("<?xml")
    assert main([*given, "--no-wait"]) == 0
    assert "█" in capsys.readouterr().out
    assert main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["link"] == f"{told['url']}#{told['code']}"
    assert main([*given[:-1], "nobody", "--json"]) == 10
