"""The ladder, by real files such as the system's."""

import pytest
from moment import SECOND_NS, Moment
from recording import NumberedCamera, open_parts, pictures, segments

from firsthand.record.cameras.camera import Coded, Picture
from firsthand.record.recorder import record
from firsthand.record.sensors import Sensors
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.ladder import LOOK_S, Ladder, Step
from firsthand.segment import iter_events

HEAT, BATTERY = "sys/class/thermal/thermal_zone", "sys/class/power_supply/BAT0"
MODEL = "proc/device-tree/model"


@pytest.fixture
def clock():
    return Moment()


@pytest.fixture
def sensors(tmp_path):
    """Files as on a Raspberry Pi with a battery that tells its charge."""
    for name in (f"{HEAT}0", f"{HEAT}1", BATTERY, "proc/device-tree"):
        (tmp_path / name).mkdir(parents=True)
    made = Sensors(tmp_path)
    (tmp_path / MODEL).write_text("Raspberry Pi Zero 2 W Rev 1.0\0")
    heat(made, 40.0)
    charge(made, 90)
    return made


def heat(sensors, degrees_c, zone=0):
    (sensors.system / f"{HEAT}{zone}" / "temp").write_text(f"{round(degrees_c * 1000)}\n")


def charge(sensors, percent, status="Discharging"):
    (sensors.system / BATTERY / "capacity").write_text(f"{percent}\n")
    (sensors.system / BATTERY / "status").write_text(f"{status}\n")


def step(ladder, clock):
    clock.now_ns += round(LOOK_S * 1e9)
    return ladder.step()


@pytest.mark.fault("D24")
def test_d24_heat_leads_down_the_ladder_and_up_again(sensors, clock, tally):
    ladder = Ladder(sensors, clock)
    for degrees_c, number in [(60, 0), (75, 1), (79, 1), (80, 2), (84, 3), (80, 3), (78.9, 2)]:
        heat(sensors, degrees_c, zone=1)
        assert step(ladder, clock) == Step(number, "hot" if number else "")
        tally.add()
    heat(sensors, 75.5, zone=1)
    assert step(ladder, clock).number == 2  # 5 degrees away, not before
    heat(sensors, 69, zone=1)
    assert step(ladder, clock) == Step()


@pytest.mark.fault("D24")
def test_d24_a_low_battery_leads_down_the_ladder_unless_it_is_charged(sensors, clock, tally):
    ladder = Ladder(sensors, clock)
    for percent, number in [(50, 0), (15, 1), (8, 2), (3, 3), (7, 3), (9, 2), (14, 1), (21, 0)]:
        charge(sensors, percent)
        assert step(ladder, clock) == Step(number, "battery" if number else "")
        tally.add()
    charge(sensors, 2, "Charging")
    assert step(ladder, clock) == Step()


def test_the_worse_of_the_two_counts(sensors, clock):
    ladder = Ladder(sensors, clock)
    heat(sensors, 76)
    charge(sensors, 7)
    assert step(ladder, clock) == Step(2, "battery")
    heat(sensors, 81)
    assert step(ladder, clock) == Step(2, "hot")


def test_heat_counts_on_a_raspberry_pi_only(sensors, clock):
    heat(sensors, 90)
    assert step(Ladder(sensors, clock), clock) == Step(3, "hot")
    (sensors.system / MODEL).write_text("ThinkPad")
    assert step(Ladder(sensors, clock), clock) == Step()


@pytest.mark.parametrize("text", ["", "hot", "nan", "9" * 400])
def test_a_sensor_that_talks_nonsense_stops_nothing(sensors, clock, text):
    (sensors.system / f"{HEAT}0" / "temp").write_text(text)
    (sensors.system / BATTERY / "capacity").write_text("\xff")
    assert step(Ladder(sensors, clock), clock) == Step()


def test_a_machine_without_sensors_stays_at_the_top(tmp_path, clock):
    assert step(Ladder(Sensors(tmp_path / "none"), clock), clock) == Step()


def test_each_step_keeps_fewer_pictures(sensors, clock):
    ladder = Ladder(sensors, clock)
    plain = [Picture(number * SECOND_NS // 8, 2, 2, b"") for number in range(32)]
    coded = [
        Coded(time_ns=p.time_ns, width=2, height=2, data=b"", key=number % 8 == 0)
        for number, p in enumerate(plain)
    ]
    for number, kept in [(0, 32), (1, 16), (2, 4)]:
        assert sum(ladder.keeps(picture, Step(number, "hot")) for picture in plain) == kept
        assert sum(ladder.keeps(p, Step(number, "hot")) for p in coded) == (4 if number else 32)


@pytest.mark.fault("D24")
def test_d24_a_recording_says_what_it_gave_up_and_why(sensors, clock, device, card, keys, tally):
    plan = {2: 76, 4: 85, 6: 40}  # second: degrees

    class Heating(NumberedCamera):
        def samples(self):
            for sample in super().samples():
                clock.now_ns = max(clock.now_ns, 100 * SECOND_NS + sample.time_ns)
                if plan and sample.time_ns >= min(plan) * SECOND_NS:
                    heat(sensors, plan.pop(min(plan)))
                    clock.now_ns += round(LOOK_S * 1e9)
                yield sample

    control, ladder = Control(device.folder, clock), Ladder(sensors, clock)
    camera = Heating(8, size=(64, 48), sound_hz=0, senses=False)
    record(camera, card, device, control=control, ladder=ladder)
    waiting = card.waiting()
    assert [(item.record.kind, item.record.reason) for item in waiting] == [
        ("segment", ""),
        ("gap", "hot"),
        ("segment", ""),
    ]
    gap = waiting[1].record
    assert (gap.boot_ns_start, gap.boot_ns_end) == (4 * SECOND_NS, 6 * SECOND_NS)
    first, last = (open_parts(item, keys.ingest) for item in segments(card))
    numbers = [shown.number for shown in pictures(first["video"])]
    assert numbers[:17] == list(range(17))
    assert len(numbers) == 16 + 8
    told = [event["fields"] for part in (first, last) for event in iter_events(part["events"])]
    assert told == [
        {"device": "half of the pictures", "why": "hot"},
        {"device": "all pictures", "why": "recovered"},
    ]
    tally.add()
