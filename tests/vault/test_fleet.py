"""The fleet: last words, short histories, and the alarm before a day of silence is over."""

import pytest

from firsthand.consent import people
from firsthand.errors import Usage
from firsthand.vault import fleet

HOUR_NS = 3600 * 10**9


def members(vault):
    with vault.db.read() as connection:
        return fleet.members(connection, vault.now_ns())


def hear(vault, device, body):
    with vault.db.write() as connection:
        fleet.hear(connection, device.id, vault.now_ns(), body)


def test_a_silent_device_is_told_within_a_day_and_not_after_a_day_worn(vault, device, clock):
    assert members(vault) == []  # a computer that sends no heartbeats is not missed
    hear(vault, device, {"waiting_bytes": 5})
    clock.now_ns += 16 * HOUR_NS
    (member,) = members(vault)
    assert (member.silent, member.body, member.wearer) == (False, {"waiting_bytes": 5}, "ana")
    clock.now_ns += 8 * HOUR_NS - 1
    assert members(vault)[0].silent
    hear(vault, device, {})
    assert not members(vault)[0].silent


def test_a_revoked_device_and_one_whose_wearer_left_are_not_missed(
    vault, person, device, make_device, clock
):
    for each in (device, make_device(person, "d2")):
        hear(vault, each, {})
    with vault.db.write() as connection:
        people.revoke(connection, "d2", vault.now_ns())
    assert [member.device for member in members(vault)] == ["d1"]
    with vault.db.write() as connection:
        change = people.people.update().where(people.people.c.id == person.id)
        connection.execute(change.values(status="withdrawn"))
    assert members(vault) == []


def test_the_history_is_short_and_the_newest(vault, device, clock):
    for number in range(fleet.HISTORY + 5):
        clock.now_ns += HOUR_NS
        hear(vault, device, {"frames": number})
    with vault.db.read() as connection:
        kept = fleet.history(connection, device.id)
    assert [body["frames"] for _, body in kept] == list(range(5, fleet.HISTORY + 5))
    assert members(vault)[0].body == {"frames": fleet.HISTORY + 4}


@pytest.mark.parametrize(
    "body",
    [
        {"battery_percent": 101},
        {"battery_percent": "full"},
        {"dropped": -1},
        {"recording": True},
        {"temperature_c": float("nan")},
        {"room_bytes": [1]},
    ],
)
def test_what_no_device_can_say_is_refused(vault, device, body):
    with pytest.raises(Usage):
        hear(vault, device, body)
    assert members(vault) == []


def test_what_a_newer_device_says_beyond_is_passed_over(vault, device):
    hear(vault, device, {"battery_percent": 50, "mood": "fine"})
    assert members(vault)[0].body == {"battery_percent": 50}
