"""The wearer's own key: file keys are handed over sealed to it, after a log entry that says so."""

import hashlib

import pytest

from firsthand import age, log
from firsthand.errors import NotFound, Refused, WrongKey
from firsthand.vault import catalog, erase, reading
from firsthand.vault.keys import personal

PLAIN = {"video": b"v" * 200_000, "events": b'{"a":1}\n'}


@pytest.fixture
def stored(vault, device):  # type: ignore[no-untyped-def]
    made = device.seal(PLAIN)
    device.hand_in(made)
    with vault.db.read() as connection:
        return catalog.find_record(connection, device.id, made.record.seq), made


def entries(vault) -> list[log.Entry]:  # type: ignore[no-untyped-def]
    with vault.db.read() as connection:
        return list(log.read(connection))


def test_header_and_payload_are_an_age_file_that_only_the_wearer_opens(vault, stored):
    segment, made = stored
    mine, other = age.Identity.generate(), age.Identity.generate()
    for handed in reading.hand_over(vault, segment.id, mine.recipient):
        payload = b"".join(handed.payload())
        named = next(part for part in made.record.parts if part.name == handed.part)
        assert hashlib.sha256(payload).hexdigest() == named.payload_sha256  # as it was recorded
        assert age.decrypt(handed.header + payload, [mine]) == PLAIN[handed.part]
        with pytest.raises(WrongKey):
            age.decrypt(handed.header + payload, [other])


def test_the_log_says_to_which_key_before_any_is_given(vault, stored, monkeypatch):
    segment, _ = stored
    mine = age.Identity.generate()
    seen = []
    give = age.seal_header

    def watch(*given):  # type: ignore[no-untyped-def]
        seen.append([entry.kind for entry in entries(vault)][-1])
        return give(*given)

    monkeypatch.setattr(age, "seal_header", watch)
    reading.hand_over(vault, segment.id, mine.recipient)
    assert seen == ["file_keys_given"] * 2
    told = entries(vault)[-1].private or {}
    assert told["segment"] == segment.id
    assert (told["parts"], told["key_id"]) == (["events", "video"], mine.recipient.key_id)


def test_a_part_that_was_cut_is_sealed_anew_so_that_any_age_tool_opens_it(vault, device):
    made = device.seal({"video": b"v" * 200_000})
    whole = made.sealed
    cut = whole[: 16 + 2 * 65_552]  # the nonce and two whole chunks: the last one is missing
    from dataclasses import replace

    part = replace(
        made.record.parts[0],
        size_bytes=len(cut),
        payload_sha256=hashlib.sha256(cut).hexdigest(),
        cut=True,
    )
    record = replace(
        made.record,
        parts=(part,),
        object_sha256=hashlib.sha256(cut).hexdigest(),
        object_size=len(cut),
    )
    from firsthand.segment import sign_record

    device.hand_in(
        replace(made, record=record, envelope=sign_record(record, device.key), sealed=cut)
    )
    with vault.db.read() as connection:
        segment = catalog.find_record(connection, device.id, record.seq)
    mine = age.Identity.generate()
    (handed,) = reading.hand_over(vault, segment.id, mine.recipient)
    file = handed.header + b"".join(handed.payload())
    assert age.decrypt(file, [mine]) == b"v" * 2 * 65_536


def test_what_is_hidden_or_erased_is_handed_to_nobody(vault, person, stored):
    segment, _ = stored
    mine = age.Identity.generate()
    order = erase.place(vault, person, listed=[segment.id])
    with pytest.raises(NotFound):
        reading.hand_over(vault, segment.id, mine.recipient)
    erase.undo(vault, order.id)
    assert reading.hand_over(vault, segment.id, mine.recipient)
    erase.carry_out(vault, erase.place(vault, person, wait_ns=0))
    with pytest.raises(NotFound):
        reading.hand_over(vault, segment.id, mine.recipient)


def test_a_registered_key_is_the_last_one_and_goes_with_its_person(vault, person):
    keys = [age.Identity.generate().recipient for _ in range(2)]
    with vault.db.write() as connection:
        with pytest.raises(NotFound, match="no personal key"):
            personal.of(connection, person)
        for key in keys:
            personal.register(connection, person, key, 1)
        assert personal.of(connection, person) == keys[1]
    erase.carry_out(vault, erase.place(vault, person, wait_ns=0))
    with vault.db.write() as connection:
        with pytest.raises(NotFound):
            personal.of(connection, person)
        with pytest.raises(Refused):
            personal.register(connection, person, keys[0], 1)
