"""Coverage: whatever overlaps whatever, a day has 24 hours, and each has one kind."""

from faults import FULL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firsthand.consent import erasure
from firsthand.consent.capture import bystanders, withhold, zones
from firsthand.vault import coverage as covering
from firsthand.vault import erase

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
EIGHT = 1_793_520_000 * SECOND_NS  # 2026-11-01 08:00:00, where the device's clock begins
DAY = "2026-11-01"
SHARED = [HealthCheck.function_scoped_fixture]


def of(vault, person, day=DAY):
    with vault.db.read() as connection:
        found = covering.coverage(connection, person, day)
    assert sum(found.kinds.values()) == DAY_NS
    return {kind: length / SECOND_NS for kind, length in found.kinds.items()}


def test_a_day_without_anything_is_unknown_as_a_whole(vault, person):
    assert of(vault, person) == {"unknown": 86_400}


def test_each_kind_is_told_by_its_reason(vault, person, device):
    for start_s in (0, 60, 120):
        device.hand_in(device.seal(start_s=start_s))
    device.hand_in(device.seal({}, 180, 30, reason="stalled"))
    device.hand_in(device.seal({}, 210, 20, reason="place"))
    with vault.db.write() as connection:
        withhold.withhold(connection, person, EIGHT + 10 * SECOND_NS, EIGHT + 25 * SECOND_NS)
        order = erasure.order(
            connection, person, (EIGHT + 125 * SECOND_NS, EIGHT + 126 * SECOND_NS)
        )
    erase.carry_out(vault, order)
    told = of(vault, person)
    gaps = {"failed: stalled": 30, "off: place": 20}
    assert told == {"recorded": 105, "withheld": 15, "deleted": 60, "unknown": 86_170, **gaps}


def test_held_and_closed_places_are_told_apart_and_the_wearers_word_goes_first(
    vault, person, device
):
    device.hand_in(device.seal(length_s=1200))
    with vault.db.write() as connection:
        code = bystanders.badge_code(person, DAY)
        asked = (EIGHT + 300 * SECOND_NS, EIGHT + 400 * SECOND_NS)
        bystanders.ask(connection, *asked, code=code)
        bystanders.settle(connection)
        zones.say(connection, person, "clinic", EIGHT + 600 * SECOND_NS, EIGHT + 700 * SECOND_NS)
        withhold.withhold(connection, person, EIGHT + 350 * SECOND_NS, EIGHT + 650 * SECOND_NS)
    # A hold has a margin of 120 s on both sides, a place of 60 s.
    expected = {"held": 170, "withheld": 300, "place": 110, "recorded": 620, "unknown": 85_200}
    assert of(vault, person) == expected


spans = st.lists(st.tuples(st.integers(-5, 30), st.integers(1, 20), st.sampled_from(
    ["withhold", "clinic", "gap", "segment"])), max_size=5)  # fmt: skip


@settings(max_examples=40 if FULL else 6, deadline=None, suppress_health_check=SHARED)
@given(spans)
def test_the_kinds_of_a_day_sum_to_24_hours_whatever_overlaps(vault, person, device, drawn):
    for start, hours, kind in drawn:
        begin = EIGHT - 8 * HOUR_NS + start * HOUR_NS
        if kind in ("gap", "segment"):
            plain = {} if kind == "gap" else None
            device.hand_in(device.seal(plain, (start - 8) * 3600, hours * 600))
        else:
            with vault.db.write() as connection:
                if kind == "withhold":
                    withhold.withhold(connection, person, begin, begin + hours * HOUR_NS)
                else:
                    zones.say(connection, person, "clinic", begin, begin + hours * HOUR_NS)
    for day in ("2026-10-31", DAY, "2026-11-02"):
        of(vault, person, day)
