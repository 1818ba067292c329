"""People and devices: a name leads to one person, and nobody passes as another."""

import pytest

from firsthand import log
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.errors import NotFound, Refused, Usage

KEY = SigningKey.generate().public


def test_a_person_is_found_by_name_and_by_id(connection, ana, ben):
    assert people.find(connection, "ana") == ana
    assert people.find(connection, ben.id) == ben
    assert people.listed(connection) == sorted([ana, ben], key=lambda each: each.id)
    for unknown in ("Ana", "", "p-00000000", "%", "ana' OR 1=1"):
        with pytest.raises(NotFound):
            people.find(connection, unknown)


def test_two_people_have_neither_the_same_id_nor_the_same_salt(connection, ana, ben):
    assert ana.id != ben.id
    assert ana.salt != ben.salt
    assert len(ana.salt or b"") == 32


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\nb", "a\x1b[2Jb", "a\u202eb"])
def test_a_name_that_is_none_is_refused(connection, name):
    with pytest.raises(Usage):
        people.add(connection, name)
    assert log.size(connection) == 0


def test_a_taken_name_is_refused(connection, ana):
    with pytest.raises(Usage, match="already"):
        people.add(connection, " ana ")


def test_nobody_takes_anothers_id_for_a_name(connection, ana):
    for name in (ana.id, f"erased {ana.id}", f" {ana.id} "):
        with pytest.raises(Usage, match="reads like the id"):
            people.add(connection, name)
    # And if such a row came from elsewhere, the id still leads to whom it names.
    row = {"id": "p-ffffffff", "name": ana.id, "jurisdiction": "", "status": "active"}
    connection.execute(people.people.insert().values(**row, salt=b"x", added_ns=1))
    assert people.find(connection, ana.id) == ana


def test_a_name_is_in_the_log_for_its_bearer_only(connection, ana):
    entry, place = log.read(connection)
    assert entry.private == {"person": ana.id, "name": "ana", "jurisdiction": "sim"}
    assert place.private == {"person": ana.id, "jurisdiction": "sim"}
    assert "ana" not in str(entry.public)
    assert ana.id not in str(entry.public)


def test_a_device_is_bound_to_one_person_and_key(connection, ana, ben):
    people.enrol(connection, ana, "d1", KEY)
    found = people.find_device(connection, "d1")
    assert (found.person, found.key) == (ana.id, KEY)
    with pytest.raises(Usage, match="already"):
        people.enrol(connection, ben, "d1", SigningKey.generate().public)
    assert people.find_device(connection, "d1") == found


@pytest.mark.parametrize("name", ["", "a b", "a|b", 'a"b', "a\nb", "é", "x" * 65, "../d1"])
def test_a_device_name_that_could_not_stand_in_a_signed_request_is_refused(connection, ana, name):
    with pytest.raises(Usage, match="no device name"):
        people.enrol(connection, ana, name, KEY)


def test_an_unknown_or_revoked_device_is_refused(connection, ana):
    with pytest.raises(NotFound):
        people.find_device(connection, "d1")
    people.enrol(connection, ana, "d1", KEY)
    connection.execute(people.devices.update().values(status="revoked"))
    with pytest.raises(Refused, match="revoked"):
        people.find_device(connection, "d1")


def test_who_has_left_gets_no_device_though_the_caller_looked_them_up_before(connection, ana):
    connection.execute(people.people.update().values(status="withdrawn"))
    with pytest.raises(Refused):
        people.enrol(connection, ana, "d1", KEY)
