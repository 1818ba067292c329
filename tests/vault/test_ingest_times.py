"""When a segment was, as far as its device knew."""

from typing import Any

import pytest
from holdings import MINUTE_NS, SECOND_NS, assert_clean, entries, held

from firsthand.errors import Error
from firsthand.vault import catalog


def unsure(start_s: float, **changes: Any) -> dict[str, Any]:
    blank = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}
    return {"start_s": start_s} | blank | changes


def test_a_record_without_the_time_is_placed_by_its_session(vault, person, device, clock):
    known = device.seal(start_s=600)
    device.hand_in(known)
    device.hand_in(device.seal(**unsure(120)))
    starts = [segment.start_ns for segment in held(vault, person)]
    assert starts == [clock.now_ns + 120 * SECOND_NS, clock.now_ns + 600 * SECOND_NS]


@pytest.mark.parametrize("quality", ["none", "fake"])
def test_a_clock_that_stood_still_is_not_believed_over_one_that_ran(
    vault, person, device, clock, quality
):
    # A Pi without a clock battery wakes up in the past: a withhold of today must still touch it.
    stale = {"wall_ns_start": 5 * SECOND_NS, "wall_quality": quality}
    device.hand_in(device.seal(start_s=600))
    device.hand_in(device.seal(**unsure(120, **stale)))
    assert held(vault, person)[0].start_ns == clock.now_ns + 120 * SECOND_NS


def test_a_segment_of_no_length_can_still_be_touched(vault, person, device, clock):
    device.hand_in(device.seal(length_s=0))
    with vault.db.read() as connection:
        at = clock.now_ns
        assert len(catalog.of_person(connection, person.id, at, at + 1)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"wall_ns_start": 2**63 - 1},
        {"boot_ns_start": 0, "boot_ns_end": 2**63 - 1},
        {"boot_ns_start": -(2**63), "boot_ns_end": 2**63 - 1},
        {"wall_ns_start": 2**63 - MINUTE_NS - 1},
        {"wall_ns_start": -5},
        {"boot_ns_start": -(2**62), "boot_ns_end": 0, "wall_ns_start": 0},
    ],
)
def test_times_from_nowhere_are_stored_or_refused_with_an_error_of_ours(vault, device, change):
    made = device.seal(**change)
    try:
        device.hand_in(made)
    except Error:
        assert "segment_stored" not in entries(vault)
    assert_clean(vault)
