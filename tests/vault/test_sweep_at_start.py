"""A server carries out at its start what was due or was cut off while it was away."""

import time

import pytest

from firsthand.consent import erasure
from firsthand.vault import catalog, erase
from firsthand.web.server import Server

WEEK_NS = 7 * 86_400 * 10**9


@pytest.mark.files
def test_erasures_that_are_due_or_were_cut_off_are_carried_out_at_the_start(
    vault, person, device, clock
):
    for minute in range(3):
        device.hand_in(device.seal({"video": b"v"}, 60 * minute))
    with vault.db.read() as connection:
        ids = [each.id for each in catalog.of_person(connection, person.id)]
    due = erase.place(vault, person, listed=[ids[0]])
    clock.now_ns += WEEK_NS
    begun = erase.place(vault, person, listed=[ids[1]], wait_ns=0)
    with vault.db.write() as connection:
        erasure.begin(connection, begun, clock())
    waiting = erase.place(vault, person, listed=[ids[2]])
    with Server(vault, "127.0.0.1", 0).background():
        until = time.monotonic() + 20
        states: list[str] = []
        while states != ["erased", "erased", "hidden"] and time.monotonic() < until:
            with vault.db.read() as connection:
                orders = (due, begun, waiting)
                states = [erasure.find(connection, each.id).state for each in orders]
            time.sleep(0.02)
    assert states == ["erased", "erased", "hidden"]
