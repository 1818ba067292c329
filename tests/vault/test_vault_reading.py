"""Reading: logged before a byte is opened, and closed to whoever has no business there."""

import pytest
import sqlalchemy as sa

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access import askers, viewing
from firsthand.consent.capture import bystanders, review, withhold, zones
from firsthand.consent.terms import consents
from firsthand.errors import Damaged, Failed, NotFound, Refused, WrongKey
from firsthand.vault import catalog, reading

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
NOW_NS = 1_793_520_000 * SECOND_NS


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
    if who == "self":
        return reading.read_part(vault, segment.id, part, who, "a reason")
    return reading.read_view(vault, *who, segment.id, part)


@pytest.fixture
def view(vault, person, segments):
    """Dr Example, who may look at the person's whole day; and the view's id."""
    with vault.db.write() as connection:
        review.reviewed(connection, person, now_ns=NOW_NS)
        consents.give(connection, person, ["human-view"], now_ns=NOW_NS)
        dr, *eyes = [
            askers.give(connection, name, "reviewer")[0] for name in ("dr example", "eve", "fred")
        ]
        start_ns = segments[0].start_ns
        asked = viewing.request(
            connection, dr, person, start_ns, start_ns + DAY_NS, "a fall at home", now_ns=NOW_NS
        )
        for eye in eyes:
            viewing.approve(connection, asked.id, eye, NOW_NS)
        viewing.say(connection, asked.id, person, "yes", NOW_NS)
    return dr, asked.id


def test_each_read_is_in_the_log_with_who_and_why(vault, person, segments, view):
    assert read(vault, segments[1], who=view) == b"video 1 " * 9
    reading.read_cut(vault, segments[2].id, "still", "r-1")
    said = {"person": person.id, "part": "video", "who": "dr example"}
    said |= {"why": f"view {view[1]}: a fall at home", "view": view[1]}
    assert reads(vault, person) == [
        said | {"segment": segments[1].id},
        {"person": person.id, "segment": segments[2].id, "part": "still"}
        | {"who": "run r-1", "why": "release"},
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


def test_withheld_footage_is_closed_to_all_but_the_wearer(vault, person, segments, view):
    first, second, third = segments
    one = second.start_ns + 30 * SECOND_NS
    held = keep_back(vault, person, one, one + 1)
    with pytest.raises(Refused, match="withheld"):
        read(vault, second, who=view)
    assert reads(vault, person) == []
    assert read(vault, second) == b"video 1 " * 9
    for other in (first, third):
        assert read(vault, other, who=view)
    with vault.db.write() as connection:
        withhold.lift(connection, person, held.id)
    assert read(vault, second, who=view)


def test_a_withhold_closes_exactly_the_segments_that_it_touches(vault, person, segments, view):
    first, second, third = segments
    keep_back(vault, person, second.start_ns, second.stop_ns)
    for other in (first, third):
        assert read(vault, other, who=view)
    with pytest.raises(Refused):
        read(vault, second, who=view)


def test_anothers_withhold_says_nothing_about_my_footage(vault, person, segments, view):
    ben = vault.add_person("ben")
    keep_back(vault, ben, 0, 2**62)
    assert read(vault, segments[0], who=view)


def test_only_the_wearers_own_word_is_self(vault, person, segments):
    for who in ("Self", "self ", "SELF", "", "dr example"):
        with pytest.raises(Refused, match="another's"):
            reading.read_part(vault, segments[0].id, "video", who, "x")
    assert reads(vault, person) == []


@pytest.mark.parametrize("why", ["held", "review", "place"])
def test_a_view_opens_nothing_that_is_closed(vault, person, segments, view, why):
    first = segments[0]
    with vault.db.write() as connection:
        if why == "held":
            code = bystanders.badge_code(person, first.day)
            bystanders.ask(connection, first.start_ns, first.start_ns + 1, code=code)
        elif why == "review":
            review.arrive(connection, person.id, first.day, NOW_NS)
        else:
            zones.say(connection, person, "clinic", first.start_ns, first.stop_ns, now_ns=NOW_NS)
    with pytest.raises(Refused, match=reading.WHY[why]):
        read(vault, first, who=view)
    assert reads(vault, person) == []
    assert read(vault, first)


def test_a_view_ends_by_time_by_a_no_and_by_withdrawal(vault, clock, person, segments, view):
    _, name = view
    assert read(vault, segments[0], who=view)
    clock.now_ns += 24 * 3600 * SECOND_NS
    with pytest.raises(Refused, match="time"):
        read(vault, segments[0], who=view)
    clock.now_ns = NOW_NS
    with vault.db.write() as connection:
        (given,) = consents.of(connection, person.id)
        consents.withdraw(connection, person, given.id)
    with pytest.raises(Refused, match="withdrawn"):
        read(vault, segments[0], who=view)
    with vault.db.write() as connection:
        consents.give(connection, person, ["human-view"], now_ns=NOW_NS)
    assert read(vault, segments[0], who=view)
    with vault.db.write() as connection:
        viewing.say(connection, name, person, "no")
    with pytest.raises(Refused, match="not granted"):
        read(vault, segments[0], who=view)


def test_a_view_is_its_askers_alone_and_of_its_interval_alone(
    vault, person, device, segments, view
):
    device.hand_in(device.seal({"video": b"late"}, 2 * 86_400))
    with vault.db.write() as connection:
        review.reviewed(connection, person, now_ns=NOW_NS)
        late = catalog.of_person(connection, person.id)[-1]
        other, _ = askers.give(connection, "mallory", "reviewer")
    with pytest.raises(NotFound):
        read(vault, late, who=view)
    for asker in (other, askers.KEEPER):
        with pytest.raises(Refused, match="another's"):
            read(vault, segments[0], who=(asker, view[1]))


def test_breaking_the_glass_is_logged_first_and_opens_no_withheld_footage(
    vault, person, segments, monkeypatch
):
    with vault.db.write() as connection:
        consents.give(connection, person, ["human-view"], now_ns=NOW_NS)
        dr, _ = askers.give(connection, "dr example", "reviewer")
        bounds = segments[0].start_ns, segments[2].stop_ns
        broken = viewing.break_glass(
            connection, dr, person, *bounds, "she does not answer her door", NOW_NS
        )
        withhold.withhold(connection, person, segments[1].start_ns, segments[1].stop_ns)
    order = []
    keys = vault.keyring.day_key

    def day_key(*given):
        with vault.db.read() as connection:
            order.extend(entry.kind for entry in log.read(connection, person.id))
        return keys(*given)

    monkeypatch.setattr(vault.keyring, "day_key", day_key)
    assert read(vault, segments[0], who=(dr, broken.id))  # though it is still in review
    assert [kind for kind in order if kind in ("glass_broken", "read")] == ["glass_broken", "read"]
    with vault.db.write() as connection:
        closed = "what is closed is withheld by its wearer"
        assert reading.state(vault, connection, broken) == f"open, 2 of 3 segments: {closed}"
        (held,) = withhold.of(connection, person.id)
        withhold.withhold(connection, person, *bounds)
        assert reading.state(vault, connection, broken) == f"granted, but closed: {closed}"
        for each in withhold.of(connection, person.id):
            withhold.lift(connection, person, each.id)
        assert reading.state(vault, connection, broken) == "open"
        (consent,) = consents.of(connection, person.id)
        consents.withdraw(connection, person, consent.id, NOW_NS)
        assert "granted, but closed: " in reading.state(vault, connection, broken)
        assert "withdrawn" in reading.state(vault, connection, broken)
        consents.give(connection, person, ["human-view"], now_ns=NOW_NS)
        withhold.withhold(connection, person, held.start_ns, held.stop_ns)
    with pytest.raises(Refused, match="withheld"):
        read(vault, segments[1], who=(dr, broken.id))


def test_looking_has_a_daily_quota_for_the_human_not_for_the_key(
    vault, clock, person, segments, view, monkeypatch
):
    dr, name = view
    monkeypatch.setattr(viewing, "QUOTA_NS", 130 * SECOND_NS)
    for part in ("still", "video"):  # a segment counts once
        for segment in segments[:2]:
            assert read(vault, segment, part, who=view)
    with vault.db.write() as connection:
        alias, _ = askers.give(connection, "dr e.", "reviewer", human="Dr Example")
    for asker in (dr, alias):
        with pytest.raises(Refused, match="no more"):
            read(vault, segments[2], who=(asker, name))
    clock.now_ns += 16 * 3600 * SECOND_NS
    assert read(vault, segments[2], who=view)


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
