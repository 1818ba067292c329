"""What a device knows of itself: from the card as it is, and from /sys as Linux writes it."""

import pytest
from recording import NumberedCamera

from firsthand.record.card.card import Card
from firsthand.record.home import health
from firsthand.record.recorder import record


def write(system, path, text):
    (system / path).parent.mkdir(parents=True, exist_ok=True)
    (system / path).write_text(text)


def test_the_backlog_is_what_lies_on_the_card(card: Card, device, tmp_path):
    done = record(NumberedCamera(5), card, device, segment_s=2)
    said = health.body(card, tmp_path)
    assert said["segments_waiting"] == done.segments == 3
    assert said["frames"] == done.frames
    assert said["waiting_bytes"] == done.size_bytes
    assert said["waiting_s"] == 5
    assert "temperature_c" not in said
    assert "battery_percent" not in said


def test_recording_is_told_by_a_segment_that_grows(card, device, tmp_path):
    told = []
    record(
        NumberedCamera(3),
        card,
        device,
        progress=lambda done: told.append(health.body(card, tmp_path)["recording"]),
    )
    assert told[0] == 1
    assert health.body(card, tmp_path)["recording"] == 0


@pytest.mark.parametrize(("word", "slowed"), [("0", 0), ("50000", 0), ("50005", 1), ("8", 1)])
def test_throttling_is_what_holds_now_not_what_was_once(tmp_path, word, slowed):
    assert health.throttled(tmp_path) is None
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", word + "\n")
    assert health.throttled(tmp_path) == slowed


def test_the_hottest_zone_counts_and_a_broken_sensor_does_not(tmp_path):
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "41000\n")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "62000\n")
    write(tmp_path, "sys/class/thermal/thermal_zone2/temp", "broken\n")
    assert health.temperature_c(tmp_path) == 62
