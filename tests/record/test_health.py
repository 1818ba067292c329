"""What a device knows of itself, from the card as it is."""

from recording import NumberedCamera

from firsthand.record.card.card import Card
from firsthand.record.home import health
from firsthand.record.recorder import record
from firsthand.record.sensors import Sensors


def test_the_backlog_is_what_lies_on_the_card(card: Card, device, tmp_path):
    done = record(NumberedCamera(5), card, device, segment_s=2)
    said = health.body(card, Sensors(tmp_path))
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
        progress=lambda done: told.append(health.body(card, Sensors(tmp_path))["recording"]),
    )
    assert told[0] == 1
    assert health.body(card, Sensors(tmp_path))["recording"] == 0
