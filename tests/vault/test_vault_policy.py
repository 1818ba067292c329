"""What a device is told: its wearer's law and places, under a number that only rises."""

from firsthand.capture import Rules
from firsthand.consent.capture import law, zones
from firsthand.vault.policy import policy_of

DAY_NS = 86_400 * 10**9


def test_a_policy_keeps_its_number_until_something_changes(vault, clock, person, device):
    first = policy_of(vault, device.enrolled)
    clock.now_ns += 3600 * 10**9
    assert policy_of(vault, device.enrolled) == first
    with vault.db.write() as connection:
        said = zones.say(connection, person, "clinic", clock.now_ns, clock.now_ns + DAY_NS)
    second = policy_of(vault, device.enrolled)
    assert second.number > first.number
    assert Rules.from_json(second.rules).zones == (said.zone,)
    row = law.Law("sim", "all", "yes", "", "a court", "2026-11-01", "a lawyer", "2027-11-01")
    with vault.db.write() as connection:
        law.add(connection, row)
    assert policy_of(vault, device.enrolled).number > second.number


def test_a_place_that_lies_behind_is_told_no_more(vault, clock, person, device):
    with vault.db.write() as connection:
        zones.say(connection, person, "clinic", clock.now_ns, clock.now_ns + DAY_NS)
    told = policy_of(vault, device.enrolled)
    clock.now_ns += 4 * DAY_NS
    later = policy_of(vault, device.enrolled)
    assert (len(told.rules["zones"]), len(later.rules["zones"])) == (1, 0)
    assert later.number > told.number


def test_two_devices_of_a_person_are_told_the_same(vault, person, device, make_device):
    other = make_device(person, "d2")
    one, two = (policy_of(vault, each.enrolled) for each in (device, other))
    assert one.rules == two.rules
    assert (one.device, two.device) == ("d1", "d2")
