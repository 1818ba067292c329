"""Whose records are taken, and in which order and number."""

from dataclasses import replace

import pytest
from holdings import assert_clean, entries, held, objects

from firsthand.consent import people
from firsthand.errors import Damaged, Error, NotFound, Refused, Usage
from firsthand.segment import sign_record, verify_receipt
from firsthand.vault import catalog, ingest


def test_two_different_records_of_one_number_are_refused_before_and_after(vault, person, device):
    first, fork = device.seal(seq=7), device.seal(seq=7, start_s=60)
    opened = device.open(first), device.open(fork)
    assert opened[0]["upload"] != opened[1]["upload"]
    device.put(fork, opened[1]["upload"])
    device.hand_in(first)
    with pytest.raises(Refused, match="two different records numbered 7"):
        device.open(fork)
    with pytest.raises(Refused, match="two different records numbered 7"):
        ingest.complete(vault, opened[1]["upload"], device.id)
    assert [segment.record_hash for segment in held(vault, person)] == [first.record.hash()]
    assert len(objects(vault)) == 1


def test_two_devices_of_one_person_number_on_their_own(vault, person, device, make_device):
    other = make_device(person, "d2")
    device.hand_in(device.seal(seq=1))
    other.hand_in(other.seal(seq=1))
    assert len(held(vault, person)) == 2


def test_a_device_hands_in_its_own_persons_segments_only(vault, person, device, make_device):
    ben = vault.add_person("ben")
    foreign = make_device(ben, "d2")
    made = device.seal()
    with pytest.raises(Damaged):  # not by this key
        foreign.open(made)
    for change in ({"device": "d2"}, {"person": ben.id}, {"person": "p-none"}):
        with pytest.raises(Refused):
            device.open(device.seal(**change))
    forged = replace(made, envelope=sign_record(made.record, foreign.key))
    with pytest.raises(Damaged):
        device.open(forged)
    with pytest.raises(Refused):
        foreign.open(forged)
    assert held(vault, person) == held(vault, ben) == []


def test_another_devices_upload_is_not_found(vault, person, device, make_device):
    other = make_device(person, "d2")
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    for attempt in (ingest.missing_parts, ingest.complete, ingest.abort):
        with pytest.raises(NotFound):
            attempt(vault, upload, other.id)
    device.hand_in(made)
    with pytest.raises(NotFound):
        ingest.complete(vault, upload, other.id)


def test_a_device_that_was_revoked_meanwhile_completes_nothing(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    with vault.db.write() as connection:
        connection.execute(people.devices.update().values(status="revoked"))
    with pytest.raises(Refused, match="revoked"):
        ingest.complete(vault, upload, device.id)
    assert objects(vault) == []


def test_an_upload_that_was_never_opened_is_not_found(vault, device):
    for upload in ("", "x", "1-", "-1-ab", "1-" + "0" * 64, "9" * 99, "\u0661-x", "../../x"):
        for attempt in (ingest.missing_parts, ingest.complete, ingest.abort):
            with pytest.raises(NotFound):
                attempt(vault, upload, device.id)


def test_segments_arrive_in_any_order(vault, person, device):
    made = [device.seal(start_s=60 * number) for number in range(4)]
    for number in (2, 0, 3, 1):
        device.hand_in(made[number])
    assert [segment.seq for segment in held(vault, person)] == [1, 2, 3, 4]
    assert [made[n].record.prev for n in (1, 2, 3)] == [made[n].record.hash() for n in (0, 1, 2)]


def test_a_gap_needs_no_bytes_and_is_receipted_at_once_and_once(vault, person, device):
    made = device.seal({}, reason="paused")
    first = device.open(made)["receipt"]
    assert device.open(made)["receipt"] == first
    receipt = verify_receipt(first, vault.keyring.log_key().public)
    assert (receipt.kind, receipt.object_size) == ("stored", 0)
    with vault.db.read() as connection:
        (gap,) = catalog.gaps(connection, person.id)
    assert (gap.kind, gap.record["reason"], gap.object) == ("gap", "paused", "")
    assert (held(vault, person), objects(vault)) == ([], [])
    assert_clean(vault)


def test_every_kind_of_record_without_bytes_is_kept(vault, device):
    for kind in ("gap", "withheld", "forgotten", "clock"):
        device.open(device.seal({}, kind=kind))
        assert entries(vault)[-1] == f"{kind}_stored"


def test_missing_numbers_are_counted(vault, person, device):
    for seq in (1, 2, 5, 9):
        device.hand_in(device.seal({}, seq=seq))
    with vault.db.read() as connection:
        assert catalog.missing_records(connection, person.id) == 5
        assert catalog.missing_records(connection, person.id, [3, 4, 10]) == 3


def test_a_text_that_no_database_can_ask_for_again_is_refused(vault, device):
    for change in ({"session": "boot\0"}, {"reason": "\0"}, {"media": {"codec": "h\0"}}):
        with pytest.raises(Usage, match="NUL"):
            device.open(device.seal({}, **change))
    for name in ("\0", "1-\0" + "0" * 64):
        with pytest.raises(Error):
            ingest.missing_parts(vault, name, device.id)
    device.hand_in(device.seal({}, session="b\\u0001", reason="ä\n\x01"))


def test_numbers_that_a_device_skipped_when_it_lost_count_are_not_missing(
    vault, person, device, make_segment
):
    device.hand_in(make_segment())
    device.seq, device.prev = 1_000_003, ""
    device.hand_in(make_segment(start_s=60))
    with vault.db.read() as connection:
        assert catalog.missing_records(connection, person.id) == 0
    device.seq += 1_000_000  # with a link to the one before: those did exist
    device.hand_in(make_segment(start_s=120))
    with vault.db.read() as connection:
        assert catalog.missing_records(connection, person.id) == 1_000_000


def test_a_gap_in_the_place_of_a_segment_that_came_home_leaves_the_segment(
    vault, person, device, make_segment
):
    made = make_segment()
    device.hand_in(made)
    device.seq = made.record.seq
    gap = make_segment({}, reason="overwritten", media={"replaces": made.record.hash()})
    receipt = device.hand_in(gap)["receipt"]
    assert (receipt["kind"], receipt["record_hash"]) == ("stored", gap.record.hash())
    with vault.db.read() as connection:
        held = catalog.find_record(connection, device.id, made.record.seq)
    assert (held.kind, held.record_hash) == ("segment", made.record.hash())
    device.seq = made.record.seq
    with pytest.raises(Refused):
        device.hand_in(make_segment({}, reason="overwritten", media={"replaces": "another"}))
