"""Heat, batteries and the firmware's word, from files as Linux writes them."""

import pytest

from firsthand.record.sensors import Sensors

ZONES, SUPPLIES = "sys/class/thermal", "sys/class/power_supply"


@pytest.fixture
def write(tmp_path):
    def put(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return put


def test_what_no_sensor_says_is_left_out(tmp_path):
    found = Sensors(tmp_path)
    assert found.model() == ""
    assert found.temperature_c() is found.battery_percent() is found.draining_percent() is None
    assert found.throttled() is None


@pytest.mark.parametrize(("word", "slowed"), [("0", 0), ("50000", 0), ("50005", 1), ("8", 1)])
def test_throttling_is_what_holds_now_not_what_was_once(tmp_path, write, word, slowed):
    write("sys/devices/platform/soc/soc:firmware/get_throttled", word + "\n")
    assert Sensors(tmp_path).throttled() == slowed


@pytest.mark.parametrize("broken", ["broken\n", "-273000\n", "32767000\n", "nan", ""])
def test_the_hottest_zone_counts_and_a_broken_sensor_does_not(tmp_path, write, broken):
    write(f"{ZONES}/thermal_zone0/temp", "41000\n")
    write(f"{ZONES}/thermal_zone1/temp", "62000\n")
    write(f"{ZONES}/thermal_zone2/temp", broken)
    assert Sensors(tmp_path).temperature_c() == 62


def test_the_emptiest_battery_counts_and_only_one_that_drains_runs_low(tmp_path, write):
    for name, percent, status in (("BAT0", 60, "Discharging"), ("BAT1", 20, "Charging")):
        write(f"{SUPPLIES}/{name}/capacity", f"{percent}\n")
        write(f"{SUPPLIES}/{name}/status", f"{status}\n")
    write(f"{SUPPLIES}/usb/online", "0\n")
    assert Sensors(tmp_path).battery_percent() == 20
    assert Sensors(tmp_path).draining_percent() == 60


def test_the_battery_of_a_mouse_is_not_the_machines(tmp_path, write):
    write(f"{SUPPLIES}/hidpp_battery_0/capacity", "2\n")
    write(f"{SUPPLIES}/hidpp_battery_0/scope", "Device\n")
    assert Sensors(tmp_path).battery_percent() is None
