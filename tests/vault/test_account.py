"""The account of a person's time: each second between two records has a reason."""

import pytest

from firsthand.consent.capture import withhold
from firsthand.vault.account import account

pytestmark = pytest.mark.files
MINUTE_NS = 60 * 10**9


def told(vault, person, clock, minutes=30):
    """(kind, reason, from, to in minutes) of the half hour from the clock's start on."""
    with vault.db.read() as connection:
        found = account(connection, person.id, clock.now_ns, clock.now_ns + minutes * MINUTE_NS)
    begin = clock.now_ns
    return [
        (
            each.kind,
            each.reason,
            (each.start_ns - begin) / MINUTE_NS,
            (each.stop_ns - begin) / MINUTE_NS,
        )
        for each in found
    ]


def test_what_lies_between_two_recordings_is_told_by_the_records_on_both_sides(
    vault, person, device, clock
):
    device.hand_in(device.seal(start_s=0, session="a", reason="cut"))
    device.hand_in(device.seal(start_s=180, session="b"))  # its boot clock went on
    device.hand_in(device.seal(start_s=300, session="c", reason="cut"))
    anew = {"boot_ns_start": 25 * 10**9, "boot_ns_end": 85 * 10**9}
    device.hand_in(device.seal(start_s=480, session="d", **anew))
    assert told(vault, person, clock) == [
        ("recorded", "", 0, 1),
        ("failed", "killed", 1, 3),
        ("recorded", "", 3, 4),
        ("off", "stopped", 4, 5),
        ("recorded", "", 5, 6),
        ("failed", "power", 6, 8),
        ("recorded", "", 8, 9),
    ]


def test_a_gap_that_reaches_out_of_the_interval_is_told_as_far_as_it_lies_within(
    vault, person, device, clock
):
    device.hand_in(device.seal(start_s=0, session="a", reason="cut"))
    anew = {"boot_ns_start": 25 * 10**9, "boot_ns_end": 85 * 10**9}
    device.hand_in(device.seal(start_s=7200, session="b", **anew))
    assert told(vault, person, clock) == [("recorded", "", 0, 1), ("failed", "power", 1, 30)]


def test_a_number_that_is_missing_between_two_recordings_leaves_it_open(
    vault, person, device, clock
):
    device.hand_in(device.seal(start_s=0, session="a", reason="cut"))
    device.seal(start_s=60, session="a")  # not home yet
    device.hand_in(device.seal(start_s=180, session="b"))
    assert told(vault, person, clock) == [("recorded", "", 0, 1), ("recorded", "", 3, 4)]


def test_gaps_keep_their_reasons_and_what_is_withheld_is_told_beside(vault, person, device, clock):
    device.hand_in(device.seal(start_s=0))
    device.hand_in(device.seal({}, start_s=60, reason="paused"))
    device.hand_in(device.seal({}, start_s=120, reason="full"))
    with vault.db.write() as connection:
        withhold.withhold(connection, person, clock.now_ns, clock.now_ns + MINUTE_NS, clock.now_ns)
    assert told(vault, person, clock) == [
        ("recorded", "", 0, 1),
        ("off", "paused", 1, 2),
        ("failed", "full", 2, 3),
        ("withheld", "", 0, 1),
    ]


def test_of_a_person_without_records_nothing_is_told(vault, person, clock):
    assert told(vault, person, clock) == []
