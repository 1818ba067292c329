"""Sessions of a device that does not know the time, placed by those that do."""

import itertools

import pytest
from faults import FULL

from firsthand import log
from firsthand.consent import erasure
from firsthand.consent.capture import closed, review, withhold
from firsthand.vault import catalog, erase, place

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
UNKNOWN = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}


def held(vault, person):
    with vault.db.read() as connection:
        rows = [*catalog.of_person(connection, person.id), *catalog.gaps(connection, person.id)]
        return sorted(rows, key=lambda row: row.start_ns)


def starts(vault, person):
    """Where each record of a person is placed, by number."""
    return {segment.seq: segment.start_ns for segment in held(vault, person)}


def untold(vault, person):
    return [row for row in held(vault, person) if row.record["wall_quality"] == "none"]


def by_log(vault, person):
    """Where the log says that what did not know the time lies, by segment."""
    with vault.db.read() as connection:
        return {key: each.start_ns for key, each in place.said(connection, person.id).items()}


def moves(vault, person):
    """How far the log says that sessions were moved, in order."""
    with vault.db.read() as connection:
        entries = log.read(connection, person.id)
        return [each.private["by_ns"] for each in entries if each.kind == "session_placed"]


def minutes(device, session, first, count, plain=None, **changes):
    """Some minutes of one session, made one after the other."""
    return [
        device.seal(plain, start_s=60 * number, session=session, **changes)
        for number in range(first, first + count)
    ]


def test_with_no_time_at_all_a_session_ends_now_and_the_one_before_it_where_it_began(
    vault, person, device, clock
):
    early, late = minutes(device, "a", 0, 2, **UNKNOWN), minutes(device, "b", 0, 3, **UNKNOWN)
    for made in [*early, *late]:
        device.hand_in(made)
    # The boot clock of each stands at 5 s where its first record begins.
    begun_ns = clock.now_ns - 185 * SECOND_NS
    found = held(vault, person)
    assert max(segment.stop_ns for segment in found) == clock.now_ns
    assert [segment.stop_ns for segment in found if segment.session == "a"][-1] == begun_ns
    # Between two minutes of a session, nothing; between the sessions, the time that booting took.
    stops = [segment.stop_ns for segment in found]
    later = [segment.start_ns for segment in found[1:]]
    gaps = [start - stop for start, stop in zip(later, stops, strict=False)]
    assert gaps == [0, 5 * SECOND_NS, 0, 0]


@pytest.mark.fault("D16")
def test_d16_four_boots_in_1970_fall_into_place_in_whatever_order_they_come(
    vault, make_device, clock
):
    """Only the last one learned the time; each order of arrival gives the same day."""
    found = set()
    orders = list(itertools.permutations(range(4)))
    for number, order in enumerate(orders if FULL else orders[::7]):
        person = vault.add_person(f"p{number}")
        device = make_device(person, f"d{number}")
        made = [minutes(device, name, 0, 2, {}, **UNKNOWN) for name in "abc"]
        made.append(minutes(device, "d", 0, 1, {}, **UNKNOWN) + minutes(device, "d", 1, 1, {}))
        for place_ in order:
            for each in made[place_]:
                device.hand_in(each)
        found.add(tuple(at - clock.now_ns for _, at in sorted(starts(vault, person).items())))
        assert by_log(vault, person) == {row.id: row.start_ns for row in untold(vault, person)}
    (one,) = found
    boot_ns = -5 * SECOND_NS  # of the last: its second record knew the time, 65 s after
    last = [0, MINUTE_NS]
    third = [boot_ns - 2 * MINUTE_NS, boot_ns - MINUTE_NS]
    before = [at + boot_ns - 2 * MINUTE_NS for at in third]
    first = [at + boot_ns - 2 * MINUTE_NS for at in before]
    assert list(one) == [*first, *before, *third, *last]


def test_the_log_says_where_footage_was_and_how_far_it_was_moved(vault, person, device, clock):
    device.hand_in(device.seal(session="a", **UNKNOWN))
    (guessed,) = untold(vault, person)
    assert by_log(vault, person) == {guessed.id: guessed.start_ns}
    assert moves(vault, person) == []
    device.hand_in(device.seal(start_s=60, session="a"))
    (told,) = untold(vault, person)
    assert moves(vault, person) == [told.start_ns - guessed.start_ns] != [0]
    assert by_log(vault, person) == {told.id: told.start_ns}
    device.hand_in(device.seal(start_s=120, session="a", **UNKNOWN))  # needs no move any more
    assert len(moves(vault, person)) == 1
    assert by_log(vault, person) == {row.id: row.start_ns for row in untold(vault, person)}


def test_a_move_and_its_entry_are_there_together_or_not_at_all(vault, person, device, monkeypatch):
    device.hand_in(device.seal(session="a", **UNKNOWN))
    before, (guessed,) = by_log(vault, person), held(vault, person)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, "_arrive", crash)  # after entry and rows
        with pytest.raises(KeyboardInterrupt):
            device.hand_in(device.seal({}, start_s=60, session="a", reason="stalled"))
    assert (by_log(vault, person), moves(vault, person)) == (before, [])
    assert held(vault, person) == [guessed]


def test_a_time_of_nothing_is_no_time_whatever_clock_is_said_to_tell_it(
    vault, person, device, clock
):
    device.hand_in(device.seal(session="a", **(UNKNOWN | {"wall_quality": "ntp"})))
    clock.now_ns += HOUR_NS
    device.hand_in(device.seal({}, 60, session="a", reason="stalled"))
    (footage,) = [each for each in held(vault, person) if each.kind == "segment"]
    assert footage.start_ns == vault.now_ns() - HOUR_NS
    assert by_log(vault, person)[footage.id] == footage.start_ns


def test_the_log_names_no_device_to_whoever_reads_an_opening(vault, person, make_device):
    device = make_device(person, "annas-recorder")
    device.hand_in(device.seal(session="a", **UNKNOWN))
    device.hand_in(device.seal({}, start_s=60, session="a", reason="stalled"))
    with vault.db.read() as connection:
        told = [each.private for each in log.read(connection, person.id) if "_stored" in each.kind]
        told += [
            each.private for each in log.read(connection, person.id) if each.kind == place.MOVED
        ]
    assert len(told) == 3
    assert device.id not in str(told)


def test_what_was_signed_stays_as_it_was(vault, person, device):
    late = minutes(device, "a", 0, 1, **UNKNOWN)[0]
    device.hand_in(late)
    device.hand_in(device.seal(start_s=60, session="a"))
    with vault.db.read() as connection:
        row = catalog.find_record(connection, device.id, late.record.seq)
    assert row.record == late.record.to_json()
    assert row.record_hash == late.record.hash()


def test_a_segment_that_was_moved_to_another_day_still_opens_and_is_erased_with_that_day(
    vault, person, device, clock
):
    from firsthand.consent import erasure
    from firsthand.vault import reading
    from firsthand.vault.erase import carry_out

    clock.now_ns += 20 * HOUR_NS  # it comes home the day after
    device.hand_in(device.seal({"video": b"moved"}, **UNKNOWN))
    (segment,) = held(vault, person)
    before = segment.day
    device.hand_in(device.seal({"video": b"told"}, start_s=60))
    first, second = held(vault, person)
    assert catalog.day_of(first.start_ns) < before
    with vault.db.read() as connection:
        assert [row[:2] for row in catalog.days(connection, person.id)] == [(second.day, 2)]
    assert reading.read_part(vault, first.id, "video", "self", "x") == b"moved"
    with vault.db.write() as connection:
        order = erasure.order(connection, person, (first.start_ns, first.stop_ns), clock.now_ns)
    assert carry_out(vault, order)["segments"] == 1
    (left,) = held(vault, person)
    assert reading.read_part(vault, left.id, "video", "self", "x") == b"told"


def test_all_can_be_placed_anew_from_the_records_alone(vault, person, device, clock):
    for name in "ab":
        for made in minutes(device, name, 0, 2, **UNKNOWN):
            device.hand_in(made)
    device.hand_in(device.seal(start_s=120, session="c"))
    before = starts(vault, person)
    with vault.db.write() as connection:
        moved = catalog.segments.update().where(catalog.segments.c.seq < 5)
        columns = catalog.segments.c.start_ns, catalog.segments.c.stop_ns
        connection.execute(moved.values({each: each + HOUR_NS for each in columns}))
        place.rebuild(connection, clock.now_ns)
    assert starts(vault, person) == before


def test_a_number_that_was_only_taken_before_a_cut_moves_nothing(vault, person, device):
    for made in minutes(device, "a", 0, 2, **UNKNOWN):
        device.hand_in(made)
    blank = {"boot_ns_start": 0, "boot_ns_end": 0, "reason": "cut"} | UNKNOWN
    device.hand_in(device.seal({}, session="b", **blank))
    for made in [*minutes(device, "b", 5, 1, **UNKNOWN), *minutes(device, "b", 6, 1)]:
        device.hand_in(made)
    found = [row for row in held(vault, person) if row.record["boot_ns_end"]]
    begun_ns = found[-1].start_ns - 6 * MINUTE_NS
    assert [row.start_ns - begun_ns for row in found] == [at * MINUTE_NS for at in (0, 1, 5, 6)]


def test_a_recorder_that_was_started_again_goes_on_by_the_same_boot_clock(
    vault, person, device, clock
):
    """Between the two, three minutes in which the card was changed, say."""
    for made in [*minutes(device, "a", 0, 2, **UNKNOWN), *minutes(device, "b", 5, 2)]:
        device.hand_in(made)
    found = held(vault, person)
    assert [row.start_ns - clock.now_ns for row in found] == [at * MINUTE_NS for at in (0, 1, 5, 6)]


def test_what_is_moved_or_goes_on_past_midnight_is_in_review_where_it_lies(vault, person, device):
    def in_review():
        with vault.db.read() as connection:
            return {each.day for each in review.open_days(connection, person.id, vault.now_ns())}

    midnight_s = -8 * 3600
    boot = {"boot_ns_start": 5 * SECOND_NS, "boot_ns_end": 65 * SECOND_NS}
    device.hand_in(device.seal(start_s=midnight_s - 30, **boot))
    assert in_review() == {"2026-10-31", "2026-11-01"}
    fake = {"wall_ns_start": DAY_NS, "wall_ns_end": DAY_NS + 60 * SECOND_NS}
    device.hand_in(device.seal(session="a", wall_quality="none", **fake, **boot))
    assert in_review() == {"1970-01-02", "2026-10-31", "2026-11-01"}
    later = {"boot_ns_start": 65 * SECOND_NS, "boot_ns_end": 125 * SECOND_NS}
    device.hand_in(device.seal({}, -3 * 86_400, session="a", reason="stalled", **later))
    assert in_review() == {"1970-01-02", "2026-10-29", "2026-10-31", "2026-11-01"}


def test_what_is_placed_where_all_was_erased_is_closed_to_others(vault, person, device):
    day_ns = vault.now_ns() - 3 * DAY_NS
    with vault.db.write() as connection:
        bounds = (day_ns - HOUR_NS, day_ns + HOUR_NS)
        order = erasure.order(connection, person, bounds, vault.now_ns())
    erase.carry_out(vault, order)
    boot = {"boot_ns_start": 5 * SECOND_NS, "boot_ns_end": 65 * SECOND_NS}
    fake = {"wall_ns_start": DAY_NS, "wall_ns_end": DAY_NS + 60 * SECOND_NS}
    device.hand_in(device.seal(session="a", wall_quality="none", **fake, **boot))
    later = {"boot_ns_start": 65 * SECOND_NS, "boot_ns_end": 125 * SECOND_NS}
    device.hand_in(device.seal({}, -3 * 86_400, session="a", reason="stalled", **later))
    (moved,) = [each for each in held(vault, person) if each.kind == "segment"]
    assert bounds[0] < moved.start_ns < bounds[1]
    with vault.db.read() as connection:
        doors = closed.doors(connection, person, *bounds, vault.now_ns())
    assert doors.hides(moved.start_ns, moved.stop_ns, ("review",)) == "erased"


def kept_back(vault, person):
    """The intervals that a person keeps back, and those of them that go with a session."""
    with vault.db.read() as connection:
        found = withhold.of(connection, person.id)
    follows = [(each.start_ns, each.stop_ns) for each in found if each.id.startswith("wm-")]
    return [(each.start_ns, each.stop_ns) for each in found], follows


def test_what_was_kept_back_stays_so_wherever_its_session_comes_to_lie(
    vault, person, device, clock
):
    for made in minutes(device, "dark", 0, 2, **UNKNOWN):
        device.hand_in(made)
    seen_ns = starts(vault, person)[2]
    word = (seen_ns + 10 * SECOND_NS, seen_ns + 5 * MINUTE_NS)
    with vault.db.write() as connection:
        withhold.withhold(connection, person, *word, clock.now_ns)
    for number in (2, 3):  # each moves what came before it
        device.hand_in(device.seal(start_s=60 * number, session="dark", **UNKNOWN))
        lies_ns = starts(vault, person)[2]
        assert lies_ns != seen_ns
        kept, follows = kept_back(vault, person)
        assert kept == sorted([word, *follows])
        assert follows == [(lies_ns + 10 * SECOND_NS, lies_ns + MINUTE_NS)]
    with vault.db.write() as connection:
        (mine,) = [each for each in withhold.of(connection, person.id) if each.id[:3] == "wm-"]
        withhold.lift(connection, person, mine.id, clock.now_ns)
    device.hand_in(device.seal(start_s=240, session="dark", **UNKNOWN))
    assert kept_back(vault, person) == ([word], [])  # their last word counts


def test_what_waits_to_be_erased_is_kept_back_when_it_is_moved(vault, person, device, clock):
    device.hand_in(device.seal(session="dark", **UNKNOWN))
    bounds = (starts(vault, person)[1], starts(vault, person)[1] + MINUTE_NS)
    with vault.db.write() as connection:
        erasure.order(connection, person, bounds, clock.now_ns, wait_ns=DAY_NS)
    device.hand_in(device.seal(start_s=60, session="dark", **UNKNOWN))
    with vault.db.read() as connection:
        row = catalog.find_record(connection, device.id, 1)
    assert row.start_ns != bounds[0]
    assert kept_back(vault, person)[1] == [(row.start_ns, row.start_ns + MINUTE_NS)]


def test_what_was_kept_back_comes_along_from_before_1970_too(vault, person, device, clock):
    first = device.seal(session="a", **UNKNOWN)
    between = device.seal({}, 60, session="b", reason="stalled")
    fake = {"wall_ns_start": 1, "wall_ns_end": MINUTE_NS + 1, "wall_quality": "rtc"}
    device.hand_in(first)
    word = (starts(vault, person)[1], starts(vault, person)[1] + MINUTE_NS)
    with vault.db.write() as connection:
        withhold.withhold(connection, person, *word, clock.now_ns)
    device.hand_in(device.seal({}, session="c", reason="stalled", **fake))
    assert starts(vault, person)[1] < 0
    device.hand_in(between)  # which knew the time
    lies_ns = starts(vault, person)[1]
    assert lies_ns > word[0] - HOUR_NS
    assert kept_back(vault, person)[1] == [(lies_ns, lies_ns + MINUTE_NS)]


def test_whoever_keeps_back_a_time_keeps_it_back_even_where_footage_brought_an_interval(
    vault, person, device, clock
):
    device.hand_in(device.seal(session="dark", **UNKNOWN))
    word = (starts(vault, person)[1], starts(vault, person)[1] + MINUTE_NS)
    with vault.db.write() as connection:
        withhold.withhold(connection, person, *word, clock.now_ns)
    device.hand_in(device.seal(start_s=60, session="dark", **UNKNOWN))
    lies_ns = starts(vault, person)[1]
    time = (lies_ns, lies_ns + MINUTE_NS)
    assert kept_back(vault, person) == (sorted([word, time]), [time])
    with vault.db.write() as connection:
        withhold.withhold(connection, person, *time, clock.now_ns)
    device.hand_in(device.seal(start_s=120, session="dark", **UNKNOWN))
    assert starts(vault, person)[1] != lies_ns
    assert time in kept_back(vault, person)[0]
