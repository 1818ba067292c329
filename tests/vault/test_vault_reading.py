"""Reading: logged before a byte is opened, and closed to whoever has no business there."""

import pytest
import sqlalchemy as sa

from firsthand import log
from firsthand.consent import people, withhold
from firsthand.errors import Damaged, Failed, NotFound, Refused, WrongKey
from firsthand.vault import catalog, reading

SECOND_NS = 10**9


@pytest.fixture
def segments(vault, person, device):
    """Three minutes of footage, one after the other."""
    for number in range(3):
        device.hand_in(
            device.seal({"video": b"video %d " % number * 9, "still": b"still"}, 60 * number)
        )
    with vault.db.read() as connection:
        return list(catalog.of_person(connection, person.id))


def reads(vault, person):
    with vault.db.read() as connection:
        return [e.private for e in log.read(connection, person.id) if e.kind == "read"]


def read(vault, segment, part="video", who="self"):
    return reading.read_part(vault, segment.id, part, who, "a reason")


def test_each_read_is_in_the_log_with_who_and_why(vault, person, segments):
    assert read(vault, segments[1], who="dr example") == b"video 1 " * 9
    reading.read_cut(vault, segments[2].id, "still", "r-1")
    said = {"person": person.id, "part": "video", "who": "dr example", "why": "a reason"}
    assert reads(vault, person) == [
        said | {"segment": segments[1].id},
        said | {"segment": segments[2].id, "part": "still", "who": "run r-1", "why": "release"},
    ]


def test_the_log_entry_comes_before_the_bytes(vault, person, segments, monkeypatch):
    seen = []

    def lost(*_):
        seen.append(len(reads(vault, person)))
        raise Failed("the store is gone")

    monkeypatch.setattr(vault.store, "read", lost)
    with pytest.raises(Failed):
        read(vault, segments[0])
    assert seen == [1]


def test_without_a_log_entry_nothing_is_opened(vault, segments, monkeypatch):
    opened = []
    monkeypatch.setattr(vault.store, "read", lambda *_: opened.append(1))
    monkeypatch.setattr(vault.keyring, "day_key", lambda *_: opened.append(1))

    def fail(*_, **__):
        raise Failed("disk full")

    monkeypatch.setattr(people, "note", fail)
    for attempt in (reading.read_part, reading.read_cut):
        arguments = ("self", "x") if attempt is reading.read_part else ("r-1",)
        with pytest.raises(Failed, match="disk full"):
            attempt(vault, segments[0].id, "video", *arguments)
    assert opened == []


def keep_back(vault, person, start_ns, stop_ns):
    with vault.db.write() as connection:
        return withhold.withhold(connection, person, start_ns, stop_ns)


def test_withheld_footage_is_closed_to_all_but_the_wearer(vault, person, segments):
    first, second, third = segments
    one = second.start_ns + 30 * SECOND_NS
    held = keep_back(vault, person, one, one + 1)
    with pytest.raises(Refused, match="withheld"):
        read(vault, second, who="dr example")
    assert reads(vault, person) == []
    assert read(vault, second) == b"video 1 " * 9
    for other in (first, third):
        assert read(vault, other, who="dr example")
    with vault.db.write() as connection:
        withhold.lift(connection, person, held.id)
    assert read(vault, second, who="dr example")


def test_a_withhold_closes_exactly_the_segments_that_it_touches(vault, person, segments):
    first, second, third = segments
    keep_back(vault, person, second.start_ns, second.stop_ns)
    for other in (first, third):
        assert read(vault, other, who="dr example")
    with pytest.raises(Refused):
        read(vault, second, who="dr example")


def test_anothers_withhold_says_nothing_about_my_footage(vault, person, segments):
    ben = vault.add_person("ben")
    keep_back(vault, ben, 0, 2**62)
    assert read(vault, segments[0], who="dr example")


def test_only_the_wearers_own_word_is_self(vault, person, segments):
    keep_back(vault, person, 0, 2**62)
    for who in ("Self", "self ", "SELF", ""):
        with pytest.raises(Refused):
            read(vault, segments[0], who=who)


def test_what_is_not_there_is_not_found(vault, person, device, segments):
    device.hand_in(device.seal({}, 200))
    with vault.db.read() as connection:
        (gap,) = catalog.gaps(connection, person.id)
    for segment, part in (("s-none", "video"), (segments[0].id, "motion"), (gap.id, "video")):
        with pytest.raises(NotFound):
            reading.read_part(vault, segment, part, "self", "x")


def change(vault, statement, **values):
    with vault.db.write() as connection:
        connection.execute(sa.text(statement), values)


def test_a_wrapped_file_key_opens_in_no_other_place(vault, person, device, segments):
    first, second, _ = segments
    copy = "UPDATE segment_part SET file_key = (SELECT file_key FROM segment_part"
    copy += " WHERE segment = :a AND name = :b) WHERE segment = :c AND name = 'video'"
    for source, part in ((second.id, "video"), (first.id, "still")):
        change(vault, copy, a=source, b=part, c=first.id)
        with pytest.raises(WrongKey):
            read(vault, first)


@pytest.mark.parametrize("column", ["person", "day"])
def test_a_segment_put_on_anothers_account_or_day_does_not_open(vault, device, segments, column):
    ben = vault.add_person("ben")
    vault.keyring.day_key(ben.id, segments[0].day, 0, make=True)
    value = {"person": ben.id, "day": "2026-11-02"}[column]
    change(
        vault,
        f"UPDATE segment SET {column} = :value WHERE id = :id",
        value=value,
        id=segments[0].id,
    )
    with pytest.raises((WrongKey, NotFound)):
        read(vault, segments[0])


def test_a_changed_moved_or_shortened_object_is_found_on_reading(vault, segments):
    whole, other = (b"".join(vault.store.chunks(each.object)) for each in segments[:2])

    def put(data):
        vault.store.delete(segments[0].object)
        vault.store.put(segments[0].object, data)

    for changed in (bytes([whole[0] ^ 1]) + whole[1:], whole[1:] + b"\0", bytes(len(whole))):
        put(changed)
        with pytest.raises(Damaged):
            read(vault, segments[0])
    put(whole[:50])
    with pytest.raises((Damaged, Failed)):
        read(vault, segments[0])
    put(other)
    with pytest.raises(Damaged):
        read(vault, segments[0])
    vault.store.delete(segments[0].object)
    with pytest.raises(NotFound, match="not in the store"):
        read(vault, segments[0])


def test_the_object_alone_is_no_footage(vault, segments):
    data = b"".join(vault.store.chunks(segments[0].object))
    assert b"video 0" not in data
    assert b"still" not in data
