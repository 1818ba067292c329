"""What the vault's policy says of law and places is done by the recorder, while it runs."""

from dataclasses import replace

import pytest
from recording import NumberedCamera

from firsthand.capture import BORDER_NS, Law, Rules, Zone, may_capture
from firsthand.policy import Policy, sign_policy
from firsthand.record.recorder import record
from firsthand.record.wearer.policy import take
from firsthand.segment import Record

SECOND_NS = 10**9
WALL_NS = 1_800_000_000 * SECOND_NS  # where NumberedCamera's clock stands at its start
LAW = Law("NL", "one", "yes", "", "a statute", "2026-01-01", "a lawyer", "2036-01-01")
HOME = Rules("NL", (LAW,))


def clinic(start_s: float, stop_s: float) -> Zone:
    """A stay that closes these seconds of a recording, its borders included."""
    bounds = [WALL_NS + round(at * SECOND_NS) for at in (start_s, stop_s)]
    return Zone(
        "clinic", "clinic", False, False, False, bounds[0] + BORDER_NS, bounds[1] - BORDER_NS
    )


def tell(device, keys, number, rules):
    recipient = str(keys.ingest.recipient)
    told = Policy("d-1", "p-1", number, recipient, rules=rules.to_json())
    take(device, sign_policy(told, keys.receipt))


def records(card) -> list[Record]:
    return [item.record for item in card.waiting()]


def heard(card) -> int:
    return sum(item.media.get("audio_samples", 0) for item in records(card))


def camera(seconds=8, **changes):
    return NumberedCamera(seconds, size=(64, 48), senses=False, live=True, **changes)


@pytest.mark.parametrize(
    ("rules", "quality", "sound"),
    [
        (HOME, "ntp", True),
        (HOME, "fake", False),
        (HOME, "none", False),
        (replace(HOME, laws=()), "ntp", False),
        (replace(HOME, laws=(replace(LAW, audio="all"),)), "ntp", False),
        (replace(HOME, laws=(replace(LAW, expires="2026-12-31"),)), "ntp", False),
        (None, "ntp", False),
    ],
)
def test_sound_is_recorded_only_where_a_current_law_allows_it(
    card, device, keys, rules, quality, sound
):
    if rules is not None:
        tell(device, keys, 1, rules)
    source = camera(4)
    source.wall_quality = quality
    record(source, card, device)
    assert sum(item.frames for item in records(card)) == 32
    assert (heard(card) > 0) == sound


def test_where_no_picture_may_be_taken_there_is_a_gap_and_nothing_else(card, device, keys):
    tell(device, keys, 1, replace(HOME, zones=(clinic(-3600, 4),)))
    record(camera(), card, device)
    kept = records(card)
    gaps = [item for item in kept if item.kind == "gap"]
    assert [(item.reason, item.boot_ns_start, item.parts) for item in gaps] == [("place", 0, ())]
    (rest,) = [item for item in kept if item.kind == "segment"]
    assert rest.boot_ns_start >= 4 * SECOND_NS
    assert rest.boot_ns_start <= 5.2 * SECOND_NS


def test_a_place_said_while_the_recorder_runs_holds_within_seconds(card, device, keys):
    tell(device, keys, 1, HOME)
    source = camera(30, sound_hz=0)
    given = source.samples

    def samples():
        told = False
        for sample in given():
            if not told and sample.time_ns >= 5 * SECOND_NS:
                zone = Zone("other", "x", True, False, False, WALL_NS, WALL_NS + 10**15)
                tell(device, keys, 2, replace(HOME, zones=(zone,)))
                told = True
            yield sample

    source.samples = samples
    record(source, card, device)
    kept = records(card)
    assert [item.kind for item in kept] == ["segment", "gap"]
    assert 5 * SECOND_NS < kept[0].boot_ns_end <= 16.5 * SECOND_NS
    assert kept[1].boot_ns_end > 29 * SECOND_NS


def test_the_records_name_the_policy_that_they_were_made_under(card, device, keys):
    tell(device, keys, 7, HOME)
    record(camera(2), card, device)
    told = Policy("d-1", "p-1", 7, str(keys.ingest.recipient), rules=HOME.to_json())
    assert {item.policy for item in records(card)} == {told.hash()}


def test_footage_of_a_file_is_left_to_the_vault(card, device, keys):
    source = NumberedCamera(2, size=(64, 48), senses=False)
    record(source, card, device)
    assert heard(card) > 0
    assert not may_capture(Rules(""), None).audio
