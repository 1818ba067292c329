"""Codes at the vault: one device, ten minutes, a person who takes part."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from firsthand import enrolment
from firsthand.consent import erasure, people
from firsthand.consent.access import askers
from firsthand.crypto import SigningKey
from firsthand.errors import Error, NotFound, Refused
from firsthand.vault import enrol, erase, fleet


def say_hello(offered, key=None):
    return enrolment.hello(enrolment.read_code(offered.code), key or SigningKey.generate())


def test_a_device_that_knows_the_code_is_enrolled_for_the_person_of_the_code(vault, person):
    offered = enrol.offer(vault, person)
    key = SigningKey.generate()
    sent = say_hello(offered, key)
    code = enrolment.read_code(offered.code)
    given = enrolment.verify_welcome(enrol.accept(vault, sent), sent, code)
    with vault.db.read() as connection:
        found = people.find_device(connection, given["device"])
        assert enrol.user_of(connection, offered.id) == given["device"]
        assert [item.device for item in fleet.members(connection, vault.now_ns())] == [found.id]
    assert (found.person, found.key) == (person.id, key.public)
    assert given["receipt_key"] == str(vault.keyring.log_key().public)
    assert given["recipient"] == vault.keyring.ingest_recipient(person.id, vault.now_ns())


@pytest.mark.fault("P3")
def test_p3_a_code_that_was_photographed_or_used_or_is_late_enrols_nobody(
    vault, person, clock, tally
):
    offered = enrol.offer(vault, person)
    owner = SigningKey.generate()
    enrol.accept(vault, say_hello(offered, owner))

    def refused(envelope):
        with pytest.raises(Refused, match="wrong, was used, or has ended"):
            enrol.accept(vault, envelope)
        tally.add()

    refused(say_hello(offered))  # photographed: another device with the same code
    assert enrol.accept(vault, say_hello(offered, owner))  # the same one, whose answer was lost
    clock.now_ns += enrolment.LIFETIME_S * 10**9
    refused(say_hello(offered, owner))  # not even the same one later
    late = enrol.offer(vault, person)
    clock.now_ns += enrolment.LIFETIME_S * 10**9
    refused(say_hello(late))
    with vault.db.read() as connection:
        assert len(connection.execute(people.devices.select()).all()) == 1


@pytest.mark.fault("P3")
@pytest.mark.parametrize("since", ["a key", "footage", "revoked", "nothing"])
def test_p3_who_made_a_code_is_asked_again_when_it_is_used(vault, person, make_device, since):
    """An office sets a wearer up; once they act for themselves, no code of before enrols."""
    with vault.db.write() as connection:
        office, _ = askers.give(connection, "office", "organisation")
    offered = enrol.offer(vault, person, office)
    with vault.db.write() as connection:
        if since == "a key":
            askers.give(connection, "ana's", "wearer", person=person)
        elif since == "revoked":
            askers.revoke(connection, "office")
    if since == "footage":
        device = make_device(person, "d2")
        device.hand_in(device.seal({"events": b"\n"}, 0))
    sent, before = say_hello(offered), devices_of(vault, person)
    if since == "nothing":
        assert enrol.accept(vault, sent)
        assert len(devices_of(vault, person)) == len(before) + 1
        return
    with pytest.raises(Refused, match="wrong, was used, or has ended"):
        enrol.accept(vault, sent)
    assert devices_of(vault, person) == before


def devices_of(vault, person):
    with vault.db.read() as connection:
        return [each for each in connection.execute(people.devices.select()).all()
                if each.person == person.id]  # fmt: skip


def test_p3_a_code_is_not_guessed(vault, person):
    offered = enrol.offer(vault, person)
    wrong = say_hello(offered) | {"proof": "0" * 64}
    for _ in range(enrol.MAX_TRIES):
        with pytest.raises(Refused, match="wrong, was used"):
            enrol.accept(vault, wrong)
    with pytest.raises(Refused):  # dead by now, also for who knows it
        enrol.accept(vault, say_hello(offered))


def test_p3_of_two_devices_at_once_one_is_enrolled(open_vault, person):
    vaults = [open_vault() for _ in range(4)]
    offered = enrol.offer(vaults[0], person)

    def one(vault):
        try:
            return enrol.accept(vault, say_hello(offered))
        except Error as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, vaults))
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert all(isinstance(answer, dict | Refused) for answer in answers), answers


def test_nobody_who_left_gets_a_code_and_a_code_outlives_no_erasure(vault, person):
    offered = enrol.offer(vault, person)
    with vault.db.write() as connection:
        order = erasure.order(connection, person)
    erase.carry_out(vault, order)
    with pytest.raises(Refused):
        enrol.accept(vault, say_hello(offered))
    with pytest.raises(Refused):
        enrol.offer(vault, person)
    with vault.db.read() as connection:
        assert connection.execute(enrol.codes.select()).all() == []


def test_an_erased_persons_heartbeats_are_gone(vault, person, device):
    with vault.db.write() as connection:
        fleet.hear(connection, device.id, vault.now_ns(), {"battery_percent": 50})
        order = erasure.order(connection, person)
    erase.carry_out(vault, order)
    with vault.db.read() as connection:
        assert connection.execute(fleet.words.select()).all() == []


def test_the_code_itself_is_kept_nowhere(vault, person, tmp_path):
    offered = enrol.offer(vault, person)
    vault.close()
    digits = offered.code.replace("-", "").encode()
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            assert digits not in path.read_bytes().replace(b"-", b"")


def test_a_revoked_device_is_believed_no_more(vault, device):
    with vault.db.write() as connection:
        people.revoke(connection, device.id, vault.now_ns())
    with vault.db.read() as connection, pytest.raises(Refused, match="revoked"):
        people.find_device(connection, device.id)
    with vault.db.write() as connection, pytest.raises(NotFound):
        people.revoke(connection, "d-none")
