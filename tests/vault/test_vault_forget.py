"""Forgetting at the vault: by request, and by a record that replaces one that is held."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, NotFound, Refused
from firsthand.forgetting import LONGEST_NS, Forget, sign_forget, verify_forgotten
from firsthand.segment import sign_record, verify_receipt
from firsthand.vault import catalog, erase, forget, reading
from firsthand.vault.check import check

SECOND_NS = 10**9
NOW_NS = 1_793_520_000 * SECOND_NS


def asked(by, **changes):
    said = {"id": "f-1", "device": by.id, "person": by.person.id}
    said |= {"length_ns": 90 * SECOND_NS, "top": 99, "session": "boot1", "boot_ns": 185 * SECOND_NS}
    return sign_forget(Forget(**(said | changes)), by.key)


def minutes(device, count, start=0):
    made = [device.seal(start_s=60 * number) for number in range(start, start + count)]
    for each in made:
        device.hand_in(each)
    return made


def stored(vault, device):
    with vault.db.read() as connection:
        rows = catalog.newest(connection, device.id, 10**6, 10**6)
    return [row.seq for row in rows if row.state == "stored" and row.kind == "segment"][::-1]


def replacing(device, made):
    """The forgotten record in the place of one."""
    record = replace(
        made.record,
        kind="forgotten",
        parts=(),
        object_sha256="",
        object_size=0,
        media={"replaces": made.record.hash()},
        reason="wearer",
    )
    return record, sign_record(record, device.key)


def take(vault, device, envelope):
    """As the API does."""
    from firsthand.vault import ingest

    forget.make_way(vault, device.enrolled, envelope)
    return ingest.open_upload(vault, device.enrolled, envelope, {})["receipt"]


def test_the_last_minutes_are_erased_and_the_receipt_says_so(vault, device):
    minutes(device, 3)
    envelope = forget.forget(vault, device.enrolled, asked(device))
    receipt = verify_forgotten(envelope, vault.keyring.log_key().public)
    assert (receipt.id, receipt.device, receipt.segments) == ("f-1", device.id, 2)
    assert receipt.size_bytes > 0
    assert stored(vault, device) == [1]
    assert len(list(vault.store.keys("segments"))) == 1
    assert not check(vault).faults
    proof = erase.inclusion(vault, receipt.log_index)
    assert proof["index"] == receipt.log_index


def test_asked_again_it_answers_the_same_and_erases_nothing_more(vault, device):
    minutes(device, 3)
    first = forget.forget(vault, device.enrolled, asked(device))
    minutes(device, 1, start=3)
    assert forget.forget(vault, device.enrolled, asked(device)) == first
    assert stored(vault, device) == [1, 4]


def test_an_interval_covers_what_comes_later(vault, device):
    minutes(device, 1)
    times = {"wall_ns_start": NOW_NS + 60 * SECOND_NS, "wall_ns_stop": NOW_NS + 180 * SECOND_NS}
    forget.forget(vault, device.enrolled, asked(device, top=1, boot_ns=10**12, **times))
    receipt = device.hand_in(device.seal(start_s=70))
    assert receipt["receipt"]["kind"] == "refused"
    assert stored(vault, device) == [1]


def test_nobody_elses_request_is_taken(vault, device, make_device, person):
    minutes(device, 3)
    other = make_device(person, "d2")
    with pytest.raises(Damaged):
        forget.forget(vault, other.enrolled, asked(device))
    with pytest.raises(Refused):
        forget.forget(vault, device.enrolled, asked(device, device="d2"))
    with pytest.raises(Refused):
        forget.forget(vault, device.enrolled, asked(device, person="p-2"))
    stranger = replace(device.enrolled, key=SigningKey.generate().public)
    with pytest.raises(Damaged):
        forget.forget(vault, stranger, asked(device))
    assert stored(vault, device) == [1, 2, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"length_ns": 0},
        {"length_ns": -1},
        {"length_ns": LONGEST_NS + 1},
        {"wall_ns_start": 0, "wall_ns_stop": LONGEST_NS + 1},
        {"wall_ns_start": 1, "wall_ns_stop": 0},
        {"v": 2},
    ],
)
def test_no_request_reaches_further_than_a_day(vault, device, changes):
    with pytest.raises(Damaged):
        forget.forget(vault, device.enrolled, asked(device, **changes))


def test_a_forgotten_record_erases_the_one_it_replaces(vault, device):
    first, second = minutes(device, 2)
    record, envelope = replacing(device, second)
    receipt = verify_receipt(take(vault, device, envelope), vault.keyring.log_key().public)
    assert (receipt.kind, receipt.record_hash) == ("stored", record.hash())
    assert stored(vault, device) == [1]
    assert len(list(vault.store.keys("segments"))) == 1
    with vault.db.read() as connection:
        held = catalog.find_record(connection, device.id, 2)
        keys = connection.scalars(
            sa.select(catalog.parts.c.file_key).where(catalog.parts.c.segment == held.id)
        ).all()
    assert (held.kind, held.record_hash, held.object) == ("forgotten", record.hash(), "")
    assert set(keys) == {None}
    with pytest.raises(NotFound):
        reading.read_part(vault, held.id, "video", "self", "test")
    # What comes again, late or twice, changes nothing.
    assert take(vault, device, envelope) == take(vault, device, envelope)
    late = device.open(second)["receipt"]["receipt"]
    assert (late["kind"], late["reason"]) == ("refused", "forgotten")
    assert device.hand_in(first)["receipt"]["kind"] == "stored"
    assert not check(vault).faults


def test_what_is_being_sent_when_it_is_forgotten_ends_nowhere(vault, device):
    (made,) = [device.seal(start_s=0)]
    upload = device.open(made)["upload"]
    device.put(made, upload)
    _, envelope = replacing(device, made)
    assert take(vault, device, envelope)["receipt"]["kind"] == "stored"
    from firsthand.vault import ingest

    late = ingest.complete(vault, upload, device.id)["receipt"]
    assert (late["kind"], late["reason"]) == ("refused", "forgotten")
    assert list(vault.store.keys("segments")) == []
    with vault.db.read() as connection:
        assert not connection.execute(sa.select(catalog.uploads)).all()


def test_another_record_of_that_number_is_still_a_fork(vault, device):
    (made,) = minutes(device, 1)
    record, _ = replacing(device, made)
    other = replace(record, media={"replaces": "00" * 32})
    with pytest.raises(Refused, match="two different records"):
        take(vault, device, sign_record(other, device.key))
    assert stored(vault, device) == [1]


def test_a_device_of_an_erased_person_gets_its_answer(vault, device, person):
    from firsthand.consent import erasure

    (made,) = minutes(device, 1)
    with vault.db.write() as connection:
        order = erasure.order(connection, people.find(connection, person.id))
    erase.carry_out(vault, order)
    receipt = forget.forget(vault, device.enrolled, asked(device))
    assert receipt["forgotten"]["segments"] == 0
    _, envelope = replacing(device, made)
    assert take(vault, device, envelope)["receipt"]["kind"] == "refused"
