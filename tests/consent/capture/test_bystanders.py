"""Bystanders' requests: hidden at once, destroyed by no silence, and nobody learns anything."""

import pytest

from firsthand import log
from firsthand.consent import erasure
from firsthand.consent.capture import bystanders, closed, zones
from firsthand.errors import NotFound, Refused, Usage

MINUTE_NS = 60 * 10**9


@pytest.fixture
def hour(now_ns):
    """An encounter an hour ago."""
    return now_ns - 60 * MINUTE_NS, now_ns - 50 * MINUTE_NS


def code_of(person, time_ns):
    return bystanders.badge_code(person, bystanders.day_of(time_ns))


def ask(connection, hour, now_ns, **fields):
    return bystanders.ask(connection, *hour, now_ns=now_ns, **fields)


def hidden(connection, person, hour, now_ns):
    return closed.doors(connection, person, *hour, now_ns).hides(*hour)


def test_a_badges_code_hides_that_persons_time_and_no_others(connection, ana, ben, hour, now_ns):
    ask(connection, hour, now_ns, code=f" {code_of(ana, hour[0]).lower()} ")
    placed = bystanders.settle(connection, now_ns)
    assert [held.person for held in placed] == [ana.id]
    assert hidden(connection, ana, hour, now_ns) == "held"
    assert hidden(connection, ben, hour, now_ns) == ""
    assert bystanders.settle(connection, now_ns) == []


def test_a_code_is_no_name_changes_daily_and_dies_with_its_person(connection, ana, ben):
    codes = {bystanders.badge_code(who, f"2026-11-{day:02}") for who in (ana, ben)
             for day in range(1, 31)}  # fmt: skip
    assert len(codes) == 60
    assert not any(who.id[2:] in code.lower() for who in (ana, ben) for code in codes)
    order = erasure.order(connection, ana)
    erasure.forget(connection, ana.id)
    erasure.done(connection, order)
    gone = connection.execute(erasure.people.people.select()).first()
    assert bystanders.badge_code(erasure.people.Person(**gone._mapping), "2026-11-01") == ""


def test_a_place_concerns_whoever_says_to_have_been_there_then(connection, ana, ben, hour, now_ns):
    zones.say(connection, ana, "other", hour[0], hour[1], label="Corner Café", now_ns=now_ns)
    zones.say(connection, ben, "other", hour[0] - 10**14, hour[0] - 10**13, label="Corner Café")
    ask(connection, hour, now_ns, place="  corner   CAFÉ ")
    assert [held.person for held in bystanders.settle(connection, now_ns)] == [ana.id]


@pytest.mark.parametrize("place", ["NL", "nl-nh", "US-CA", "SIM", "Home", " work "])
def test_no_word_of_a_stranger_hides_a_whole_country(connection, ana, hour, now_ns, place):
    """Nor everybody who is at home: refused by the name alone, whether anybody is there or not."""
    zones.say(connection, ana, "home", hour[0], hour[1], jurisdiction="NL", now_ns=now_ns)
    before = log.size(connection)
    with pytest.raises(Usage, match="too wide") as refused:
        ask(connection, hour, now_ns, place=place)
    assert "street" in refused.value.hint
    assert log.size(connection) == before
    ask(connection, hour, now_ns, place=place, code=code_of(ana, hour[0]))  # the badge says whom
    assert len(bystanders.settle(connection, now_ns)) == 1


@pytest.mark.parametrize("label", ["Old Freedonia", "", "Worship"])
def test_neither_whose_law_holds_nor_a_kind_is_where_somebody_was(
    connection, ana, hour, now_ns, label
):
    """What is on no list of laws passes as a place, and hides nobody who lives there."""
    said = {"jurisdiction": "Old Freedonia", "now_ns": now_ns}
    zones.say(connection, ana, "worship", *hour, label=label, **said)
    ask(connection, hour, now_ns, place="old freedonia")
    assert bystanders.settle(connection, now_ns) == []


def test_true_and_false_requests_leave_the_same_traces(connection, ana, hour, now_ns):
    """What the asking does is compared statement by statement."""
    done = []
    for code in (code_of(ana, hour[0]), "ZZZZZZZZ"):
        seen = []
        connection.info["seen"] = seen

        def note(conn, cursor, statement, *rest, seen=seen):
            seen.append(statement)

        from sqlalchemy import event

        event.listen(connection.engine, "before_cursor_execute", note)
        ask(connection, hour, now_ns, code=code)
        event.remove(connection.engine, "before_cursor_execute", note)
        kinds = [entry.kind for entry in log.read(connection)][-1]
        done.append(([each for each in seen if "log_hash" not in each], kinds))
    assert done[0] == done[1]


@pytest.mark.parametrize(
    ("start", "stop", "fields"),
    [
        (0, 121, {"code": "ABCDEFGH"}),
        (5, 5, {"code": "ABCDEFGH"}),
        (5, 4, {"code": "ABCDEFGH"}),
        (70, 80, {"code": "ABCDEFGH"}),
        (0, 10, {}),
        (0, 10, {"place": "  "}),
    ],
)
def test_what_can_concern_nobody_is_refused(connection, hour, now_ns, start, stop, fields):
    bounds = hour[0] + start * MINUTE_NS, hour[0] + stop * MINUTE_NS
    with pytest.raises(Usage):
        bystanders.ask(connection, *bounds, now_ns=now_ns, **fields)


def test_silence_keeps_it_hidden_and_destroys_nothing(connection, ana, hour, now_ns):
    ask(connection, hour, now_ns, code=code_of(ana, hour[0]))
    (held,) = bystanders.settle(connection, now_ns)
    late = now_ns + 31 * 86_400 * 10**9
    assert not held.overdue(now_ns)
    assert held.overdue(late)
    assert hidden(connection, ana, hour, late) == "held"
    assert erasure.open_orders(connection) == []


def test_the_wearer_keeps_or_erases_and_decides_once(connection, ana, ben, hour, now_ns):
    for decision in ("keep", "erase"):
        request = ask(connection, hour, now_ns, code=code_of(ana, hour[0]), words="the red coat")
        (held,) = bystanders.settle(connection, now_ns)
        with pytest.raises(NotFound):
            bystanders.decide(connection, ben, held.id, decision, now_ns)
        order = bystanders.decide(connection, ana, held.id, decision, now_ns)
        assert bystanders.find(connection, request).words == ""
        with pytest.raises(NotFound):
            bystanders.decide(connection, ana, held.id, "keep", now_ns)
        if decision == "keep":
            assert order is None
            assert hidden(connection, ana, hour, now_ns) == ""
    assert order is not None
    assert order.start_ns < hour[0] < hour[1] < order.stop_ns
    assert hidden(connection, ana, hour, now_ns) == "erased"  # and for good


def test_no_strangers_word_alone_empties_more_than_an_hour(connection, ana, now_ns):
    start_ns = now_ns - 120 * MINUTE_NS
    bystanders.ask(connection, start_ns, now_ns, code=code_of(ana, start_ns), now_ns=now_ns)
    (held,) = bystanders.settle(connection, now_ns)
    with pytest.raises(Refused, match="stranger"):
        bystanders.decide(connection, ana, held.id, "erase", now_ns)
    assert erasure.open_orders(connection) == []
    assert bystanders.decide(connection, ana, held.id, "erase", now_ns, "eve")


def test_the_wearer_is_told_by_their_log_and_strangers_words_are_not_in_it(
    connection, ana, hour, now_ns
):
    ask(connection, hour, now_ns, code=code_of(ana, hour[0]), words="mail me: x@example.org")
    bystanders.settle(connection, now_ns)
    kinds = ("bystander_asked", "bystander_hold")
    asked, told = [each for each in log.read(connection) if each.kind in kinds]
    assert (asked.kind, told.kind, told.private["person"]) == (*kinds, ana.id)
    assert "example.org" not in str([asked, told])


def test_how_much_longer_the_log_is_tells_nobody_who_was_there(connection, ana, ben, hour, now_ns):
    zones.say(connection, ben, "other", *hour, label="Corner", now_ns=now_ns)
    grown = []
    for said in ({"code": "AAAAAAAA"}, {"code": code_of(ana, hour[0])}, {"place": "Corner"}):
        before = log.size(connection)
        ask(connection, hour, now_ns, **said)
        bystanders.settle(connection, now_ns)
        grown.append(log.size(connection) - before)
    assert len(set(grown)) == 1
    leaves = log.raw(connection, 0, log.size(connection))
    assert len(set(leaves)) == len(leaves)  # nor do two hashes that are the same
